import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { DebugExit } from './debug-exit.ts';
import { PciConfiguration } from './pci-configuration.ts';
import { SystemControl } from './system-control.ts';
import { SystemPorts } from './system-ports.ts';
import { access, area, HandClock, hostileAccesses } from './testing/fixtures.ts';

describe('configuration ports without a bus', () => {
  it('answer Linux probe of mechanism 1 with ones at once (arch/x86/pci/direct.c, pci_check_type1)', () => {
    const pci = new PciConfiguration(vi.fn());
    pci.writePort(0xcfb, 1, 0x01);
    pci.writePort(0xcf8, 4, 0x80000000);
    expect(pci.readPort(0xcf8, 4)).toBe(0xffffffff);
    expect([pci.readPort(0xcfc, 4), pci.readPort(0xcfe, 2), pci.readPort(0xcfc, 1)]).toEqual([
      0xffffffff, 0xffff, 0xff,
    ]);
  });

  it('reset by a byte to 0xcf9 only', () => {
    const reset = vi.fn();
    const pci = new PciConfiguration(reset);
    pci.writePort(0xcf8, 4, 0x80000600);
    pci.writePort(0xcf9, 1, 0x02);
    pci.writePort(0xcf9, 2, 0x06);
    expect([reset.mock.calls.length, pci.readPort(0xcf9, 1)]).toEqual([0, 0]);
    pci.writePort(0xcf9, 1, 0x06);
    expect(reset).toHaveBeenCalledTimes(1);
    pci.reset();
    expect(pci.inspect()).toEqual({ devices: [] });
  });

  it('save a version, and know no other', () => {
    const pci = new PciConfiguration(vi.fn());
    pci.restore(pci.save());
    expect(() => pci.restore({ version: 2 })).toThrow('PL-4103');
    expect(() => pci.restore({ version: 0 })).toThrow('PL-4104');
    expect(() => pci.restore(null)).toThrow('PL-4104');
  });
});

describe('system ports', () => {
  const create = () => {
    const reset = vi.fn();
    return { reset, ports: new SystemPorts(area(), reset) };
  };

  it('have no keyboard controller, but its reset line', () => {
    const { ports, reset } = create();
    expect([ports.readPort(0x64, 1), ports.readPort(0x60, 1)]).toEqual([0xfd, 0xff]);
    for (const command of [0x20, 0xaa, 0xd1, 0xff]) ports.writePort(0x64, 1, command);
    ports.writePort(0x60, 1, 0xfe);
    expect(reset).not.toHaveBeenCalled();
    ports.writePort(0x64, 1, 0xfe);
    expect(reset).toHaveBeenCalledTimes(1);
  });

  it('reset by port 92h, where A20 is always on', () => {
    const { ports, reset } = create();
    ports.writePort(0x92, 1, 0x00);
    expect([ports.readPort(0x92, 1), reset.mock.calls.length]).toEqual([0x02, 0]);
    ports.writePort(0x92, 1, 0x03);
    expect(reset).toHaveBeenCalledTimes(1);
  });

  it('keep the POST code, over save and restore, until a reset', () => {
    const { ports } = create();
    ports.writePort(0x80, 1, 0x5a);
    const other = create().ports;
    other.restore(JSON.parse(JSON.stringify(ports.save())));
    expect([other.readPort(0x80, 1), other.inspect()]).toEqual([0x5a, { postCode: 0x5a }]);
    other.reset();
    expect(other.readPort(0x80, 1)).toBe(0);
  });

  it('stay in range under a hostile guest', () => {
    fc.assert(
      fc.property(hostileAccesses(create().ports), (accesses) => {
        const { ports } = create();
        for (const step of accesses) {
          const value = access(ports, step, new HandClock());
          if (value !== undefined) expect(value).toBe(value & 0xff);
        }
      }),
    );
  });
});

describe('the debug exit port', () => {
  it('ends with (v << 1) | 1', () => {
    const exit = vi.fn();
    const port = new DebugExit(0xf4, exit);
    port.writePort(0xf4, 1, 0);
    port.writePort(0xf4, 1, 0x31);
    port.writePort(0xf4, 1, 0xff);
    expect(exit.mock.calls).toEqual([[1], [0x63], [0xff]]);
    expect([port.ports, port.readPort(0xf4, 1), port.inspect()]).toEqual([
      [{ first: 0xf4, count: 1, widest: 1 }],
      0,
      { port: 0xf4 },
    ]);
    port.reset();
    port.restore(port.save());
  });
});

describe('port 61h without a timer', () => {
  it('is kept over a save, and forgets at a reset', () => {
    const from = new SystemControl(area(), new HandClock());
    from.writePort(0x61, 1, 0x02);
    const to = new SystemControl(area(), new HandClock());
    to.restore(JSON.parse(JSON.stringify(from.save())));
    expect(to.readPort(0x61, 1)).toBe(0x02);
    to.reset();
    expect([to.readPort(0x61, 1), to.inspect()]).toEqual([0, { kept: 0 }]);
  });
});
