import { type AccessSize, type InterruptMessage, Partition, SHARED, SHARED_OFFSET } from '@plinth/hypervisor';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { createChipset, type Generation } from './chipset.ts';
import { HandClock } from './testing/fixtures.ts';

const MIB = 2 ** 20;
const START = Date.UTC(2024, 0, 1);

const create = (existing?: Partition, generation: Generation = 1) => {
  const clock = new HandClock();
  const partition =
    existing === undefined
      ? Partition.create({ ramBytes: 4 * MIB, processors: 1, clock })
      : Partition.attach(existing.memory, existing.clock);
  const messages: InterruptMessage[] = [];
  const host = {
    deliver: (message: InterruptMessage) => messages.push(message),
    kick: vi.fn(),
    wallClock: () => START + Math.floor(clock.time / 1e6),
    powerOff: vi.fn(),
    reset: vi.fn(),
    consoleReady: vi.fn(),
  };
  const chipset = createChipset(partition, host, generation);
  const out = (port: number, ...values: number[]): void => {
    for (const value of values) partition.portWrite(port, 1, value);
  };
  const redirect = (input: number, low: number): void => {
    partition.mmioWrite(0xfec00000, 4, 0x10 + 2 * input);
    partition.mmioWrite(0xfec00010, 4, low);
  };
  const output = (): number =>
    new DataView(partition.memory.buffer, SHARED_OFFSET).getUint32(SHARED.externalInterrupt, true);
  return { partition, clock, chipset, host, messages, out, redirect, output };
};

const initializePic = (out: (port: number, ...values: number[]) => void): void => {
  out(0x20, 0x11);
  out(0x21, 0x30, 0x04, 0x01, 0x00);
  out(0xa0, 0x11);
  out(0xa1, 0x38, 0x02, 0x01, 0x00);
};

describe('interrupt wires', () => {
  it('take the timer to i8259 input 0 and IOAPIC input 2', () => {
    const { partition, clock, messages, out, redirect, output, host } = create();
    initializePic(out);
    redirect(0, 0x50);
    redirect(2, 0x52);
    out(0x43, 0x34);
    out(0x40, 0x00, 0x10);
    messages.length = 0;
    partition.acknowledgeExternalInterrupt();
    out(0x20, 0x20);
    host.kick.mockClear();
    clock.time = partition.nextDeadline();
    partition.deadline();
    expect(messages.map(({ vector }) => vector)).toEqual([0x52]);
    expect([output(), host.kick.mock.calls]).toEqual([1, [[0]]]);
    expect(partition.acknowledgeExternalInterrupt()).toBe(0x30);
    expect(output()).toBe(0);
  });

  it('take COM1 to 4, COM2 to 3, the clock to 8 and the SCI to 9', () => {
    const { partition, clock, chipset, messages, out, redirect } = create();
    for (const input of [3, 4, 8]) redirect(input, 0x40 + input);
    redirect(9, 0x49 | 0x8000);
    const last = (): number | undefined => messages.splice(0).at(-1)?.vector;
    for (const [port, vector] of [
      [0x3f8, 0x44],
      [0x2f8, 0x43],
    ] as const) {
      out(port + 4, 0x08);
      out(port + 1, 0x02);
      clock.time = partition.nextDeadline();
      partition.deadline();
      expect(last()).toBe(vector);
    }
    out(0x70, 0x0b);
    out(0x71, 0x12);
    clock.time = 1.01e9;
    partition.deadline();
    expect(last()).toBe(0x48);
    partition.portWrite(0x602, 2, 0x0100);
    chipset.pm.pressPowerButton();
    partition.poll();
    expect(last()).toBe(0x49);
    partition.endOfInterrupt(0x49);
    expect(last()).toBe(0x49);
    partition.portWrite(0x600, 2, 0x0100);
    partition.endOfInterrupt(0x49);
    expect(last()).toBeUndefined();
  });

  it('are there for devices that come later', () => {
    const { chipset, messages, redirect } = create();
    redirect(11, 0x4b);
    chipset.line(11).set(1);
    expect(messages.map(({ vector }) => vector)).toEqual([0x4b]);
  });
});

describe('the host', () => {
  it('is asked for power-off and reset', () => {
    const { partition, host, out } = create();
    partition.portWrite(0x604, 2, 0x3401);
    expect(host.powerOff).toHaveBeenCalledTimes(1);
    out(0xcf9, 0x06);
    out(0x64, 0xfe);
    out(0x92, 0x01);
    expect(host.reset).toHaveBeenCalledTimes(3);
    partition.portWrite(0xcf8, 4, 0x8000ff00);
    expect(host.reset).toHaveBeenCalledTimes(3);
  });

  it('has its ends of the serial ports on a thread of its own', () => {
    const processor = create();
    const main = create(processor.partition);
    for (const character of 'ok') processor.out(0x2f8, character.charCodeAt(0));
    expect(processor.host.consoleReady.mock.calls).toEqual([[1]]);
    expect(new TextDecoder().decode(main.chipset.uarts[1].drain())).toBe('ok');
    expect(main.chipset.uarts[0].push(Uint8Array.of(0x41))).toBe(1);
    expect(main.host.kick.mock.calls).toEqual([[0]]);
    processor.partition.poll();
    expect(processor.partition.portRead(0x3f8, 1)).toBe(0x41);
    expect(main.partition.inspect().devices).toMatchObject({ com1: { bytesReceived: 1 }, com2: { bytesSent: 2 } });
  });
});

describe('the whole machine', () => {
  it('is saved and restored by device', () => {
    const from = create();
    initializePic(from.out);
    from.redirect(4, 0x44);
    from.out(0x43, 0x34);
    from.out(0x40, 0x00, 0x10);
    const to = create();
    to.partition.restoreDevices(JSON.parse(JSON.stringify(from.partition.saveDevices())));
    expect(to.partition.saveDevices()).toEqual(from.partition.saveDevices());
    expect(to.partition.nextDeadline()).toBe(from.partition.nextDeadline());
    expect(to.output()).toBe(from.output());
  });

  it('resets to what it was at power-on', () => {
    const { partition, out, redirect } = create();
    const powerOn = partition.saveDevices();
    initializePic(out);
    redirect(4, 0x44);
    out(0x43, 0x34);
    out(0x40, 0x00, 0x10);
    out(0x3fc, 0x08);
    out(0x3f9, 0x0f);
    partition.portWrite(0x602, 2, 0x0100);
    partition.resetDevices();
    expect(partition.saveDevices()).toEqual(powerOn);
  });

  it('answers every port at every size, and survives any guest', () => {
    const step = fc.record({
      port: fc.oneof(
        fc.constantFrom(0x20, 0x21, 0x40, 0x43, 0x61, 0x70, 0x71, 0x3f8, 0x3f9, 0x3fc, 0x4d0, 0x600, 0x604, 0xcf8),
        fc.nat(0xffff),
      ),
      size: fc.constantFrom<AccessSize>(1, 2, 4),
      value: fc.option(fc.integer({ min: 0, max: 0xffffffff }), { nil: undefined }),
      pause: fc.nat(5_000_000),
    });
    const { partition, clock } = create();
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        for (const { port, size, value, pause } of steps) {
          clock.time += pause;
          if (partition.nextDeadline() <= clock.time) partition.deadline();
          if (value === undefined) {
            const result = partition.portRead(port, size);
            expect(result).toBe(size === 4 ? result >>> 0 : result & (2 ** (8 * size) - 1));
          } else {
            partition.portWrite(port, size, value);
          }
          expect(partition.nextDeadline()).toBeGreaterThan(clock.time - 1);
        }
        JSON.stringify(partition.inspect());
        partition.restoreDevices(JSON.parse(JSON.stringify(partition.saveDevices())));
      }),
    );
  });
});

describe('a machine of generation 2', () => {
  it('has nothing at the ports of the i8254 and the i8259 pair, and port 61h without a timer', () => {
    const { partition, clock, out } = create(undefined, 2);
    for (const port of [0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43]) {
      out(port, 0x11);
      expect(partition.portRead(port, 1)).toBe(0xff);
    }
    out(0x61, 0xff);
    expect(partition.portRead(0x61, 1)).toBe(0x03);
    clock.time += 15_085;
    expect(partition.portRead(0x61, 1)).toBe(0x13);
    expect(partition.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
  });

  it('takes interrupts to the IOAPIC alone', () => {
    const { chipset, messages, redirect, output, partition } = create(undefined, 2);
    redirect(4, 0x54);
    chipset.line(4).set(1);
    expect(messages.map(({ vector }) => vector)).toEqual([0x54]);
    expect([output(), partition.acknowledgeExternalInterrupt()]).toEqual([0, 0xff]);
  });
});
