/** The chipset's part of x87 exceptions without CR0.NE: IRQ 13, port 0xF0, IGNNE#. Intel SDM volume 1, appendix D. */
import { describe, expect, it } from 'vitest';
import { CoprocessorError } from './coprocessor-error.ts';
import { area, WatchedLine } from './testing/fixtures.ts';

function made(): { device: CoprocessorError; line: WatchedLine } {
  const line = new WatchedLine();
  return { device: new CoprocessorError(area(), line), line };
}

describe('FERR#', () => {
  it('raises IRQ 13 once, until port 0xF0 is written; then IGNNE# is asserted', () => {
    const { device, line } = made();
    expect(device.signal(true)).toBe(false);
    expect([line.level, line.edges]).toEqual([1, 1]);
    expect(device.signal(false)).toBe(false);
    expect(line.edges).toBe(1);
    device.writePort(0xf0, 1, 0);
    expect(line.level).toBe(0);
    expect(device.signal(false)).toBe(true);
    expect(line.edges).toBe(1);
  });
  it('begins anew: IGNNE# is gone, and IRQ 13 comes again', () => {
    const { device, line } = made();
    device.signal(true);
    device.writePort(0xf0, 1, 0);
    expect(device.signal(true)).toBe(false);
    expect([line.level, line.edges]).toEqual([1, 2]);
  });
  it('is nothing that a write of port 0xF0 makes', () => {
    const { device, line } = made();
    device.writePort(0xf0, 1, 0);
    expect(line.edges).toBe(0);
    expect(device.signal(true)).toBe(false);
  });
});

describe('its state', () => {
  it('is saved and restored, and gone after a reset, with the line', () => {
    const { device, line } = made();
    device.signal(true);
    device.writePort(0xf0, 1, 0);
    const other = made();
    other.device.restore(device.save());
    expect(other.device.signal(false)).toBe(true);
    device.signal(true);
    device.reset();
    expect([line.level, device.signal(false)]).toEqual([0, false]);
    expect(() => device.restore({ version: 2 })).toThrow('PL-4103');
    expect(() => device.restore(null)).toThrow('PL-4104');
  });
  it('is not what its port reads', () => {
    expect(made().device.readPort(0xf0, 1)).toBe(0xff);
  });
});
