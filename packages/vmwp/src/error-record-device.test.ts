import { DeviceArea } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { ERROR_RECORD_BASE, ErrorRecordDevice, errorRecordTableBody } from './error-record-device.ts';

const BUFFER = 0x1000;
const ACTION = { write: 0, read: 1, clear: 2, offset: 4, execute: 5, status: 7, next: 8, identifier: 9, count: 10 };

/** Does what an operating system's interpreter of the table does. */
class Platform {
  readonly written: Uint8Array[] = [];
  readonly area = DeviceArea.standalone();
  readonly device = new ErrorRecordDevice(this.area, (record) => this.written.push(record));

  setValue(value: bigint): void {
    this.device.writeMmio(8, 4, Number(value & 0xffff_ffffn));
    this.device.writeMmio(12, 4, Number(value >> 32n));
  }
  act(action: number): bigint {
    this.device.writeMmio(0, 4, action);
    return BigInt(this.device.readMmio(8, 4)) | (BigInt(this.device.readMmio(12, 4)) << 32n);
  }
  operation(begin: number, offset: bigint): bigint {
    this.act(begin);
    this.setValue(offset);
    this.act(ACTION.offset);
    this.act(ACTION.execute);
    return this.act(ACTION.status);
  }
  put(record: Uint8Array): void {
    record.forEach((byte, index) => {
      this.device.writeMmio(BUFFER + index, 1, byte);
    });
  }
}

function record(identifier: bigint, length = 200): Uint8Array {
  const bytes = new Uint8Array(length).fill(0x5a);
  const view = new DataView(bytes.buffer);
  view.setUint32(20, length, true);
  view.setBigUint64(96, identifier, true);
  return bytes;
}

describe('error record device', () => {
  it('stores, counts, finds, reads and clears records', () => {
    const platform = new Platform();
    expect(platform.act(ACTION.next)).toBe(0xffff_ffff_ffff_ffffn);
    platform.put(record(0x1122334455667788n));
    expect(platform.operation(ACTION.write, 0n)).toBe(0n);
    platform.put(record(2n, 128));
    expect(platform.operation(ACTION.write, 0n)).toBe(0n);
    expect(platform.written.map((bytes) => bytes.length)).toEqual([200, 128]);
    expect(platform.act(ACTION.count)).toBe(2n);
    expect([1, 2, 3].map(() => platform.act(ACTION.next))).toEqual([0x1122334455667788n, 2n, 0x1122334455667788n]);

    platform.device.writeMmio(BUFFER + 150, 4, 0);
    platform.setValue(0x1122334455667788n);
    platform.act(ACTION.identifier);
    expect(platform.operation(ACTION.read, 0n)).toBe(0n);
    expect(platform.device.readMmio(BUFFER + 150, 4)).toBe(0x5a5a5a5a);
    expect(platform.device.readMmio(BUFFER + 96, 4)).toBe(0x55667788);

    expect(platform.operation(ACTION.clear, 0n)).toBe(0n);
    expect(platform.operation(ACTION.clear, 0n)).toBe(5n);
    expect(platform.act(ACTION.count)).toBe(1n);
  });

  it('refuses records whose length or place is wrong, and more than it has room for', () => {
    const platform = new Platform();
    const bad = record(1n);
    new DataView(bad.buffer).setUint32(20, 0xffff_ffff, true);
    platform.put(bad);
    expect(platform.operation(ACTION.write, 0n)).toBe(3n);
    platform.put(record(1n));
    expect(platform.operation(ACTION.write, 0x3fffn)).toBe(3n);
    expect(platform.operation(ACTION.write, 0x1_0000_0000n)).toBe(3n);
    for (let identifier = 1n; identifier <= 9n; identifier++) {
      platform.put(record(identifier));
      expect(platform.operation(ACTION.write, 0n)).toBe(identifier <= 8n ? 0n : 1n);
    }
    // What there is no room for is told all the same.
    expect(platform.written).toHaveLength(9);
  });

  it('never leaves its buffer', () => {
    const platform = new Platform();
    for (const offset of [0x3ffd + BUFFER, 0x3fff + BUFFER]) {
      platform.device.writeMmio(offset, 4, 0xffff_ffff);
      expect(platform.device.readMmio(offset, 4)).toBe(0);
    }
    expect(platform.device.readMmio(4, 4)).toBe(0);
  });

  it('keeps records over a guest reset and in a saved state', () => {
    const platform = new Platform();
    platform.put(record(7n));
    platform.operation(ACTION.write, 0n);
    platform.device.reset();
    expect(platform.act(ACTION.count)).toBe(1n);
    const other = new Platform();
    other.device.restore(JSON.parse(JSON.stringify(platform.device.save())));
    expect(other.act(ACTION.next)).toBe(7n);
    expect(() => other.device.restore({ version: 1, fields: {} })).toThrow(/PL-4104/);
    expect(() => other.device.restore({ ...(platform.device.save() as object), version: 2 })).toThrow(/PL-4103/);
  });

  it('has a table whose entries lie in its registers', () => {
    const body = errorRecordTableBody();
    const view = new DataView(body.buffer);
    const entries = view.getUint32(8, true);
    expect(body.length).toBe(12 + entries * 32);
    expect(view.getUint32(0, true)).toBe(48);
    for (let entry = 0; entry < entries; entry++) {
      const address = Number(view.getBigUint64(12 + entry * 32 + 8, true));
      expect([ERROR_RECORD_BASE, ERROR_RECORD_BASE + 8]).toContain(address);
    }
  });
});
