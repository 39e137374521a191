import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RtcCmos } from './rtc-cmos.ts';
import { access, area, HandClock, hostileAccesses, WatchedLine } from './testing/fixtures.ts';

const MIB = 2 ** 20;
const BOOT = Date.UTC(2024, 1, 29, 23, 59, 58);

const create = ({ start = BOOT, ramBytes = 256 * MIB } = {}) => {
  const clock = new HandClock();
  const line = new WatchedLine();
  const rtc = new RtcCmos(area(), { clock, line, ramBytes, wallClock: () => start + Math.floor(clock.time / 1e6) });
  const read = (register: number): number => {
    rtc.writePort(0x70, 1, register | 0x80);
    return rtc.readPort(0x71, 1);
  };
  const write = (register: number, value: number): void => {
    rtc.writePort(0x70, 1, register);
    rtc.writePort(0x71, 1, value);
  };
  const time = (): number[] => [0x32, 9, 8, 7, 4, 2, 0].map(read);
  const runTo = (milliseconds: number): number[] => {
    const fired: number[] = [];
    while (rtc.deadline() <= milliseconds * 1e6) {
      clock.time = rtc.deadline();
      const edges = line.edges;
      rtc.onDeadline(clock.time);
      if (line.edges > edges) fired.push(clock.time / 1e6);
      read(0x0c);
    }
    clock.time = milliseconds * 1e6;
    return fired;
  };
  return { rtc, clock, line, read, write, time, runTo };
};

describe('the time of day', () => {
  it('is the host clock in UTC, BCD and 24 hours, with its century', () => {
    const { time, read } = create();
    expect(time()).toEqual([0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58]);
    expect(read(6)).toBe(5); // Thursday
    expect([read(0x0a), read(0x0b), read(0x0d)]).toEqual([0x26, 0x02, 0x80]);
  });

  it('goes on, over midnight and the leap day', () => {
    const { time, clock } = create();
    clock.time = 3e9;
    expect(time()).toEqual([0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x01]);
  });

  it('is shown in binary and in 12 hours when asked to', () => {
    const { read, write, clock } = create();
    write(0x0b, 0x04);
    expect([read(0), read(2), read(4)]).toEqual([58, 59, 0x80 | 11]);
    clock.time = 3600e9;
    expect(read(4)).toBe(12); // 0:59 is 12 AM
    write(0x0b, 0x00);
    clock.time = 13 * 3600e9;
    expect(read(4)).toBe(0x80 | 0x12);
  });

  it('has one byte for the century, whatever date it was set to', () => {
    const { read, write } = create();
    write(11, 0x86);
    write(9, 255);
    write(0x32, 255);
    write(11, 0x06);
    expect(read(9)).toBe(55);
    expect(read(0x32)).toBe(257 & 0xff);
  });

  it('update-in-progress is up in the last 2 ms of a second, and values change as it falls', () => {
    const { read, clock } = create();
    clock.time = 997e6;
    expect(read(0x0a) & 0x80).toBe(0);
    clock.time = 998e6;
    expect([read(0x0a) & 0x80, read(0)]).toEqual([0x80, 0x58]);
    clock.time = 1000e6;
    expect([read(0x0a) & 0x80, read(0)]).toEqual([0, 0x59]);
  });

  it('is set as Linux does it (mc146818_set_time): SET, values, SET off', () => {
    const { read, write, time, clock } = create();
    const control = read(0x0b);
    write(0x0b, control | 0x80);
    for (const [register, value] of [
      [9, 0x31],
      [8, 0x12],
      [7, 0x31],
      [4, 0x23],
      [2, 0x59],
      [0, 0x50],
      [0x32, 0x20],
    ] as const) {
      write(register, value);
    }
    clock.time = 5e9;
    expect(time()).toEqual([0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x50]);
    expect(read(0x0a) & 0x80).toBe(0);
    write(0x0b, control);
    expect(time()).toEqual([0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x50]);
    clock.time = 15e9;
    expect(time()).toEqual([0x20, 0x32, 0x01, 0x01, 0x00, 0x00, 0x00]);
  });

  it('can be set without stopping it; impossible dates are carried over', () => {
    const { write, time } = create();
    write(4, 0x05);
    expect(time().slice(4)).toEqual([0x05, 0x59, 0x58]);
    write(7, 0x31);
    expect(time().slice(2, 4)).toEqual([0x03, 0x02]);
    write(9, 0x00);
    write(0x32, 0x00);
    expect(time().slice(0, 2)).toEqual([0x00, 0x00]);
  });
});

describe('interrupts', () => {
  it('at the end of every update', () => {
    const { write, runTo, line } = create();
    write(0x0b, 0x12);
    expect(runTo(3500)).toEqual([1000, 2000, 3000]);
    expect(line.level).toBe(0);
  });

  it('at the alarm, with parts that do not matter', () => {
    const { write, runTo } = create();
    write(1, 0x05);
    write(3, 0x00);
    write(5, 0x00);
    write(0x0b, 0x22);
    expect(runTo(100_000)).toEqual([7000]);
    write(1, 0xff);
    expect(runTo(100_500)).toEqual([]);
    write(3, 0xc0);
    write(1, 0x10);
    expect(runTo(200_000)).toEqual([132_000, 192_000]);
  });

  it('never at an alarm time that does not exist, or at a full day when it has just passed', () => {
    const { rtc, write, runTo } = create();
    write(1, 0x75);
    write(0x0b, 0x22);
    expect(rtc.deadline()).toBe(Number.POSITIVE_INFINITY);
    write(1, 0x58);
    write(3, 0x59);
    write(5, 0x23);
    expect(runTo(86_400_000)).toEqual([86_400_000]);
  });

  it('periodically, on the grid of the rate', () => {
    const { write, runTo, rtc } = create();
    write(0x0a, 0x2f); // 2 Hz
    write(0x0b, 0x42);
    expect(runTo(2100)).toEqual([500, 1000, 1500, 2000]);
    write(0x0a, 0x21);
    expect(rtc.deadline()).toBeLessThan(2100e6 + 1e9 / 256);
    write(0x0a, 0x20);
    expect(rtc.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  it('ask for nothing more until the flags are read', () => {
    const { rtc, write, read, clock, line } = create();
    write(0x0b, 0x12);
    clock.time = 1e9;
    rtc.onDeadline(clock.time);
    expect([line.level, rtc.deadline()]).toEqual([1, Number.POSITIVE_INFINITY]);
    expect(read(0x0c)).toBe(0x80 | 0x40 | 0x10);
    expect([line.level, read(0x0c), rtc.deadline()]).toEqual([0, 0, 2e9]);
  });

  it('flags are there for those who poll, with nothing enabled', () => {
    const { read, write, clock, rtc } = create();
    write(1, 0x59);
    write(3, 0xff);
    write(5, 0xff);
    clock.time = 1e9;
    expect(read(0x0c)).toBe(0x70);
    expect(rtc.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  it('do not come while the clock is stopped', () => {
    const { rtc, write } = create();
    write(0x0b, 0x92);
    expect(rtc.deadline()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('CMOS RAM', () => {
  it('tells memory sizes as firmware leaves them, and keeps what is written', () => {
    const { read, write } = create();
    const word = (low: number, high: number): number => read(low) | (read(high) << 8);
    expect([word(0x15, 0x16), word(0x30, 0x31), word(0x34, 0x35)]).toEqual([640, 0xffff, (240 * 1024) / 64]);
    write(0x0f, 0x05);
    write(0x7f, 0x99);
    expect([read(0x0f), read(0x7f)]).toEqual([0x05, 0x99]);
    write(0x0c, 0xff);
    write(0x0d, 0x00);
    expect([read(0x0c) & 0x80, read(0x0d)]).toEqual([0, 0x80]);
    expect(create({ ramBytes: 2 * MIB }).read(0x34)).toBe(0);
  });

  it('has an index port that cannot be read', () => {
    expect(create().rtc.readPort(0x70, 1)).toBe(0xff);
  });
});

describe('state', () => {
  it('keeps offset, alarm and RAM; a reset of the guest only disables interrupts', () => {
    const from = create();
    from.write(4, 0x12);
    from.write(0x40, 0x77);
    from.write(0x0b, 0x12);
    const to = create();
    to.rtc.restore(JSON.parse(JSON.stringify(from.rtc.save())));
    expect([to.read(4), to.read(0x40), to.rtc.deadline()]).toEqual([0x12, 0x77, 1e9]);
    to.rtc.reset();
    expect([to.read(4), to.read(0x40), to.read(0x0b), to.rtc.deadline()]).toEqual([
      0x12,
      0x77,
      0x02,
      Number.POSITIVE_INFINITY,
    ]);
  });

  it('survives a saved offset beyond all calendars', () => {
    const { rtc, time } = create();
    const saved = rtc.save() as { version: number; fields: Record<string, unknown> };
    for (const offset of [1e300, -1e300, null, 0.5]) {
      rtc.restore({ ...saved, fields: { ...saved.fields, offset } });
      expect(time().every((value) => Number.isInteger(value))).toBe(true);
      JSON.stringify(rtc.inspect());
    }
  });

  it('stays in range under a hostile guest', () => {
    const index = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x32, 0x7f);
    const step = fc.record({
      index,
      value: fc.option(fc.nat(255), { nil: undefined }),
      pause: fc.oneof(fc.nat(3e9), fc.constant(1e13)),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), hostileAccesses(create().rtc), (steps, accesses) => {
        const { rtc, clock, read, write } = create();
        for (const one of steps) {
          clock.time += one.pause;
          if (rtc.deadline() <= clock.time) rtc.onDeadline(clock.time);
          if (one.value === undefined) {
            const value = read(one.index);
            expect(value).toBe(value & 0xff);
          } else {
            write(one.index, one.value);
          }
          expect(rtc.deadline()).toBeGreaterThan(clock.time);
        }
        for (const one of accesses) {
          const value = access(rtc, one, clock);
          if (value !== undefined) expect(value).toBe(value & 0xff);
        }
        JSON.stringify(rtc.inspect());
      }),
    );
  });
});
