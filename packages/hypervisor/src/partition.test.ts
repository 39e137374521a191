import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { AccessSize, Device, MmioRange, PortRange } from './device.ts';
import { CPUID_LIMIT, SHARED, SHARED_OFFSET } from './memory-layout.ts';
import { Partition } from './partition.ts';

const clock = { time: 0, now: () => clock.time };
let partition: Partition;
beforeEach(() => {
  clock.time = 0;
  partition = Partition.create({ ramBytes: 2 ** 20, processors: 2, clock });
});

/** A device that writes down what it is asked, and answers with the low bits of the address. */
class Recorder implements Device {
  readonly log: string[] = [];
  readonly name: string;
  readonly ports: readonly PortRange[];
  readonly mmio: readonly MmioRange[];
  constructor(name: string, ports: readonly PortRange[], mmio: readonly MmioRange[] = []) {
    this.name = name;
    this.ports = ports;
    this.mmio = mmio;
  }
  readPort(port: number, size: AccessSize): number {
    this.log.push(`read ${port.toString(16)} ${size}`);
    return port & 0xff;
  }
  writePort(port: number, size: AccessSize, value: number): void {
    this.log.push(`write ${port.toString(16)} ${size} ${value.toString(16)}`);
  }
  readMmio(offset: number, size: AccessSize): number {
    return offset + size;
  }
  writeMmio(offset: number, size: AccessSize, value: number): void {
    this.log.push(`mmio ${offset.toString(16)} ${size} ${value.toString(16)}`);
  }
  reset(): void {
    this.log.push('reset');
  }
  inspect() {
    return { log: this.log.length };
  }
  save(): unknown {
    return { version: 1, name: this.name };
  }
  restore(state: unknown): void {
    this.log.push(`restore ${JSON.stringify(state)}`);
  }
}

class Timed extends Recorder {
  next = Number.POSITIVE_INFINITY;
  deadline(): number {
    return this.next;
  }
  onDeadline(now: number): void {
    this.log.push(`deadline ${now}`);
    this.next = Number.POSITIVE_INFINITY;
  }
  override writePort(_port: number, _size: AccessSize, value: number): void {
    this.next = value;
  }
}

describe('ports', () => {
  it('read as ones and drop writes where there is no device', () => {
    expect([1, 2, 4].map((size) => partition.portRead(0x1234, size as AccessSize))).toEqual([0xff, 0xffff, 0xffffffff]);
    partition.portWrite(0x1234, 4, 1);
    expect(partition.portRead(0xffff, 4)).toBe(0xffffffff);
  });

  it('split accesses that are wider than the device takes, low bytes first', () => {
    const device = new Recorder('bytes', [{ first: 0x300, count: 3 }]);
    partition.addDevice(device);
    expect(partition.portRead(0x300, 4)).toBe(0xff020100);
    expect(partition.portRead(0x2ff, 2)).toBe(0x00ff);
    partition.portWrite(0x301, 4, 0xaabbccdd);
    expect(device.log).toEqual([
      'read 300 1',
      'read 301 1',
      'read 302 1',
      'read 300 1',
      'write 301 1 dd',
      'write 302 1 cc',
    ]);
  });

  it('pass wide accesses on whole where the device takes them, but not across its end', () => {
    const device = new Recorder('wide', [{ first: 0x600, count: 6, widest: 4 }]);
    partition.addDevice(device);
    partition.portRead(0x600, 4);
    partition.portRead(0x602, 4);
    partition.portRead(0x604, 4);
    partition.portWrite(0x604, 2, 0x1234);
    partition.portWrite(0x605, 2, 0x1234);
    expect(device.log).toEqual(['read 600 4', 'read 602 4', 'read 604 2', 'write 604 2 1234', 'write 605 1 34']);
  });

  it('answer with ones at devices that cannot be read', () => {
    partition.addDevice({
      name: 'mute',
      ports: [{ first: 0x80, count: 1 }],
      mmio: [],
      reset: () => {},
      inspect: () => ({}),
      save: () => ({ version: 1 }),
      restore: () => {},
    });
    expect(partition.portRead(0x80, 1)).toBe(0xff);
    partition.portWrite(0x80, 1, 0);
  });
});

describe('memory-mapped registers', () => {
  it('reach their device by offset, and ones elsewhere', () => {
    const device = new Recorder('mmio', [], [{ start: 0xfec00000, bytes: 4096 }]);
    partition.addDevice(device);
    expect(partition.space.find(0xfec00fff)?.kind).toBe('mmio');
    expect(partition.mmioRead(0xfec00010, 4)).toBe(0x14);
    expect(partition.mmioRead(0xfec00ffe, 4)).toBe(0xffffffff);
    expect(partition.mmioRead(0xfed00000, 2)).toBe(0xffff);
    partition.mmioWrite(0xfec00020, 2, 0x55);
    partition.mmioWrite(0xfed00000, 4, 1);
    expect(device.log).toEqual(['mmio 20 2 55']);
  });

  it('are mapped once, though every thread adds the device', () => {
    const range = { start: 0xfec00000, bytes: 4096 };
    partition.addDevice(new Recorder('mmio', [], [range]));
    const other = Partition.attach(partition.memory, clock);
    other.addDevice(new Recorder('mmio', [], [range]));
    expect(other.space.slots.filter(({ kind }) => kind === 'mmio')).toHaveLength(1);
    expect(other.layout).toEqual(partition.layout);
  });
});

describe('the registry', () => {
  it.each([
    ['name', new Recorder('first', [])],
    ['port 0x307', new Recorder('second', [{ first: 0x307, count: 1 }])],
    ['address 0xfec00000', new Recorder('second', [], [{ start: 0xfec00000, bytes: 8192 }])],
  ])('refuses a second device with the same %s', (resource, second) => {
    partition.addDevice(new Recorder('first', [{ first: 0x300, count: 8 }], [{ start: 0xfec00000, bytes: 4096 }]));
    expect(() => partition.addDevice(second)).toThrow(new RegExp(`PL-4107.*first.*${resource}`));
    expect(partition.devices).toHaveLength(1);
  });

  it('refuses more devices than its table can name', () => {
    for (let index = 0; index < 255; index++) partition.addDevice(new Recorder(`device ${index}`, []));
    expect(() => partition.addDevice(new Recorder('one more', []))).toThrow('PL-4108');
  });
});

describe('deadlines', () => {
  it('tell the earliest whenever it changes', () => {
    const told: number[] = [];
    partition.onDeadlineChange = (deadline) => told.push(deadline);
    const one = new Timed('one', [{ first: 1, count: 1, widest: 4 }]);
    const two = new Timed('two', [{ first: 2, count: 1, widest: 4 }]);
    partition.addDevice(one);
    partition.addDevice(two);
    partition.portWrite(1, 1, 50);
    partition.portWrite(2, 1, 70);
    partition.portWrite(2, 1, 40);
    expect(told).toEqual([50, 40]);
    expect(partition.nextDeadline()).toBe(40);
  });

  it('run the devices that are due, once each, and then ask again', () => {
    const told: number[] = [];
    const one = new Timed('one', []);
    const two = new Timed('two', []);
    partition.addDevice(one);
    partition.addDevice(two);
    [one.next, two.next] = [10, 30];
    partition.onDeadlineChange = (deadline) => told.push(deadline);
    clock.time = 20;
    partition.deadline();
    expect([one.log, two.log, told]).toEqual([['deadline 20'], [], [30]]);
    partition.deadline();
    expect(told).toEqual([30, 30]);
  });

  it('are looked at after a poll', () => {
    const told: number[] = [];
    partition.onDeadlineChange = (deadline) => told.push(deadline);
    const device = Object.assign(new Timed('one', []), {
      poll: vi.fn(() => {
        device.next = 5;
      }),
    });
    partition.addDevice(device);
    partition.poll();
    expect(device.poll).toHaveBeenCalledTimes(1);
    expect(told).toEqual([5]);
  });
});

describe('MSRs and CPUID', () => {
  it('MSRs fault unless somebody answers for them', () => {
    expect(partition.msrRead(0x40000000)).toBeUndefined();
    expect(partition.msrWrite(0x40000000, 1n)).toBe(false);
    const written: bigint[] = [];
    partition.addMsrs(0x40000000, 2, {
      read: (index) => BigInt(index) + 1n,
      write: (_, value) => written.push(value) > 0,
    });
    expect(partition.msrRead(0x40000001)).toBe(0x40000002n);
    expect(partition.msrWrite(0x40000000, 9n)).toBe(true);
    expect(written).toEqual([9n]);
    expect(() => partition.addMsrs(0x40000001, 1, { read: () => 0n, write: () => true })).toThrow('PL-4107');
  });

  it('the CPUID table reads back, with 0xffffffff for any subleaf', () => {
    const rows = [
      { leaf: 0, eax: 0xd, ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 },
      { leaf: 7, subleaf: 0, eax: 0, ebx: 0x80000000, ecx: 0, edx: 0 },
    ];
    partition.writeCpuid(rows);
    expect(partition.readCpuid()).toEqual(rows);
    const table = new Uint32Array(partition.memory.buffer, SHARED_OFFSET + SHARED.cpuid, 16);
    expect([table[1], table[8], table[9], table[11]]).toEqual([0xffffffff, 7, 0, 0x80000000]);
    const row = { leaf: 1, eax: 0, ebx: 0, ecx: 0, edx: 0 };
    expect(() => partition.writeCpuid(Array.from({ length: CPUID_LIMIT + 1 }, () => row))).toThrow('PL-4108');
  });
});

describe('interrupt cycles', () => {
  it('go to the controllers, or to a floating bus', () => {
    expect(partition.acknowledgeExternalInterrupt()).toBe(0xff);
    partition.endOfInterrupt(0x30);
    const endOfInterrupt = vi.fn();
    partition.interruptControllers = { acknowledge: () => 0x31, endOfInterrupt };
    expect(partition.acknowledgeExternalInterrupt()).toBe(0x31);
    partition.endOfInterrupt(0x30);
    expect(endOfInterrupt).toHaveBeenCalledWith(0x30);
  });
});

describe('saved devices', () => {
  it('go back to the device of their name; a device that is not in there is reset', () => {
    const one = new Recorder('one', []);
    const two = new Recorder('two', []);
    partition.addDevice(one);
    partition.addDevice(two);
    const saved = partition.saveDevices();
    expect(saved).toEqual({
      version: 1,
      devices: { one: { version: 1, name: 'one' }, two: { version: 1, name: 'two' } },
    });
    partition.restoreDevices({ version: 1, devices: { one: saved.devices.one } });
    expect(one.log).toEqual(['restore {"version":1,"name":"one"}']);
    expect(two.log).toEqual(['reset']);
    partition.resetDevices();
    expect(two.log).toEqual(['reset', 'reset']);
  });

  it.each([
    ['an unknown device', { version: 1, devices: { other: {} } }, /PL-4102.*other/],
    ['a newer version', { version: 2, devices: {} }, /PL-4103/],
    ['a version that never was', { version: 0, devices: {} }, /PL-4104/],
    ['no devices', { version: 1 }, /PL-4104/],
    ['no version', { devices: {} }, /PL-4104/],
    ['nothing', null, /PL-4104/],
  ])('refuse %s', (_, saved, message) => {
    expect(() => partition.restoreDevices(saved)).toThrow(message);
  });
});

describe('inspect', () => {
  it('is a tree of plain data over memory, slots, ports and devices', () => {
    partition.addDevice(new Recorder('one', [{ first: 0x300, count: 8 }], [{ start: 0xfec00000, bytes: 4096 }]));
    expect(JSON.parse(JSON.stringify(partition.inspect()))).toMatchObject({
      processors: 2,
      memory: { ramBytes: 2 ** 20, touchedBytes: 0 },
      ports: ['0x300-0x307 one'],
      mmio: ['0xfec00000-0xfec00fff one'],
      devices: { one: { log: 0 } },
    });
  });
});
