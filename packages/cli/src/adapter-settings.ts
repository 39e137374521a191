/**
 * The options of `plinth vm ip` as the worker takes them: lists as texts with semicolons between, IPv4 networks as masks, as data exchange
 * has them on the wire. Called by: vm-command.ts.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { PlinthError } from '@plinth/errors';
import type { OptionValues } from './command-line.ts';

export interface AdapterParameters {
  readonly set: true;
  readonly dhcp: boolean;
  readonly addresses: string;
  readonly subnets: string;
  readonly gateways: string;
  readonly dnsServers: string;
}

/**
 * @param adapter to show: its hardware address; to set: its device's instance id, for Linux's daemon finds it by that
 * @returns undefined where nothing is to be set
 * @throws PlinthError PL-1004 for what is no address
 */
export function parseAdapterSettings(adapter: string, options: OptionValues): AdapterParameters | undefined {
  const given = (flag: string): readonly string[] => {
    const value = options[flag] ?? [];
    return typeof value === 'object' ? value : [];
  };
  const plain = (flag: string): readonly string[] =>
    given(flag).map((value) => {
      if (isIP(value) === 0) throw wrong(value, flag, 'an IPv4 or IPv6 address');
      return value;
    });
  const networks = given('--address').map((value) => {
    const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(value) ?? [];
    const count = Number(bits);
    if (isIPv4(address) && count <= 32) return { address, subnet: maskOf(count) };
    if (isIPv6(address) && count <= 128) return { address, subnet: bits };
    throw wrong(value, '--address', 'an address and the bits of its network, such as 192.0.2.5/24');
  });
  const gateways = plain('--gateway');
  const dnsServers = plain('--dns');
  const dhcp = options['--dhcp'] === true;
  const sets = dhcp || networks.length + gateways.length + dnsServers.length > 0;
  if (sets && !INSTANCE_ID.test(adapter)) {
    throw wrong(adapter, 'ADAPTER', 'the Device_ID that lsvmbus -v shows in the guest, when addresses are set');
  }
  if (!sets && !/^[0-9a-f]{12}$/i.test(adapter.replaceAll(/[:.-]/g, ''))) {
    throw wrong(adapter, 'ADAPTER', 'a hardware address such as 00:15:5d:01:02:03');
  }
  if (!sets) return undefined;
  return {
    set: true,
    dhcp,
    addresses: networks.map(({ address }) => address).join(';'),
    subnets: networks.map(({ subnet }) => subnet).join(';'),
    gateways: gateways.join(';'),
    dnsServers: dnsServers.join(';'),
  };
}

const INSTANCE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const wrong = (value: string, option: string, expected: string): PlinthError =>
  new PlinthError('PL-1004', { value, option, expected, command: 'vm ip' });

/** 255.255.255.0 for 24. */
function maskOf(bits: number): string {
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join('.');
}
