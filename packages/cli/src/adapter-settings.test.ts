import { describe, expect, it } from 'vitest';
import { parseAdapterSettings } from './adapter-settings.ts';
import type { OptionValues } from './command-line.ts';

const mac = '00:15:5d:01:02:03';
const device = 'F8615163-df3e-46c5-913f-f2d2f965ed0e';

describe('the options of plinth vm ip', () => {
  it('set nothing when none is given', () => {
    expect(parseAdapterSettings(mac, {})).toBeUndefined();
    expect(parseAdapterSettings('00155D010203', {})).toBeUndefined();
    expect(parseAdapterSettings('0015.5d01.0203', {})).toBeUndefined();
  });

  it('become lists, and IPv4 networks masks', () => {
    const options = { '--address': ['192.0.2.5/23', 'fd00::5/64'], '--gateway': ['192.0.2.1'], '--dns': ['fd00::1'] };
    expect(parseAdapterSettings(device, options)).toEqual({
      set: true,
      dhcp: false,
      addresses: '192.0.2.5;fd00::5',
      subnets: '255.255.254.0;64',
      gateways: '192.0.2.1',
      dnsServers: 'fd00::1',
    });
    const masks = ['0', '1', '8', '31', '32'].map((bits) =>
      parseAdapterSettings(device, { '--address': [`10.0.0.1/${bits}`] }),
    );
    expect(masks.map((settings) => settings?.subnets)).toEqual([
      ...['0.0.0.0', '128.0.0.0', '255.0.0.0', '255.255.255.254', '255.255.255.255'],
    ]);
    expect(parseAdapterSettings(device, { '--dhcp': true })).toMatchObject({ set: true, dhcp: true, addresses: '' });
  });

  it.each<[string, OptionValues]>([
    ['00:15:5d:01:02', {}],
    ['eth0', {}],
    [device, {}],
    [mac, { '--dhcp': true }],
    [device, { '--address': ['192.0.2.5'] }],
    [device, { '--address': ['192.0.2.5/33'] }],
    [device, { '--address': ['fd00::/129'] }],
    [device, { '--address': ['10.0.0.256/8'] }],
    [device, { '--gateway': ['192.0.2.1/24'] }],
    [device, { '--dns': ['a.b'] }],
  ])('are refused where they are no addresses: %s %j', (address, options) => {
    expect(() => parseAdapterSettings(address, options)).toThrow(/PL-1004/);
  });
});
