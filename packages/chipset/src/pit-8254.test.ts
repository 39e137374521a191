import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PIT_FREQUENCY, Pit8254 } from './pit-8254.ts';
import { access, area, HandClock, hostileAccesses, WatchedLine } from './testing/fixtures.ts';

const NS = 1e9;
/** The time at which the given tick has just been counted. */
const ticks = (count: number): number => Math.ceil((count * NS) / PIT_FREQUENCY);

const create = (shared = area()) => {
  const clock = new HandClock();
  const line = new WatchedLine();
  const pit = new Pit8254(shared, { clock, line });
  const read = (port: number): number => pit.readPort(port, 1);
  const write = (port: number, ...values: number[]): void => {
    for (const value of values) pit.writePort(port, 1, value);
  };
  const read16 = (channel: number): number => read(0x40 + channel) | (read(0x40 + channel) << 8);
  return { pit, clock, line, read, write, read16, shared };
};

/** Runs the deadlines up to a time. @returns when they fell */
const runTo = (pit: Pit8254, clock: HandClock, time: number): number[] => {
  const fired: number[] = [];
  while (pit.deadline() <= time) {
    clock.time = pit.deadline();
    fired.push(clock.time);
    pit.onDeadline(clock.time);
  }
  clock.time = time;
  return fired;
};

describe('clock calibration as Linux does it (arch/x86/kernel/tsc.c)', () => {
  it('quick_pit_calibrate: channel 2 in mode 0 counts down from 0xffff, read without a latch', () => {
    const { read, write, clock } = create();
    write(0x61, (read(0x61) & ~0x02) | 0x01);
    write(0x43, 0xb0);
    write(0x42, 0xff, 0xff);
    for (const elapsed of [0, 256, 1000, 40000]) {
      clock.time = ticks(elapsed);
      const low = read(0x42);
      const high = read(0x42);
      expect((high << 8) | low).toBe(0xffff - elapsed);
    }
  });

  it('pit_calibrate_tsc: OUT2 in port 61h rises when the count has passed', () => {
    const { read, write, clock } = create();
    const latch = Math.floor(PIT_FREQUENCY / 100);
    write(0x61, (read(0x61) & ~0x02) | 0x01);
    write(0x43, 0xb0);
    expect(read(0x61) & 0x20).toBe(0);
    write(0x42, latch & 0xff, latch >> 8);
    clock.time = ticks(latch) - 2000;
    expect(read(0x61) & 0x20).toBe(0);
    clock.time = ticks(latch);
    expect(read(0x61) & 0x20).toBe(0x20);
    clock.time = ticks(latch + 5);
    expect(read(0x42) | (read(0x42) << 8)).toBe(0x10000 - 5);
  });

  it('the refresh bit toggles every 15 us, speaker and gate bits read back', () => {
    const { read, write, clock } = create();
    const before = read(0x61) & 0x10;
    clock.time = 15085;
    expect(read(0x61) & 0x10).not.toBe(before);
    write(0x61, 0xff);
    expect(read(0x61) & 0xc3).toBe(0x03);
  });
});

describe('channel 0', () => {
  it('in mode 2 interrupts on the grid of its period, without drift over an hour', () => {
    const { pit, write, clock, line } = create();
    write(0x43, 0x34);
    write(0x40, 0x9c, 0x2e); // 11932: 100 Hz
    const start = clock.time;
    line.edges = 0;
    const fired = runTo(pit, clock, 3600 * NS);
    expect(fired).toHaveLength(Math.floor((3600 * PIT_FREQUENCY) / 11932));
    expect(line.edges).toBe(fired.length);
    expect(Math.abs((fired.at(-1) ?? 0) - start - (fired.length * 11932 * NS) / PIT_FREQUENCY)).toBeLessThan(2);
  });

  it('makes one interrupt of periods that nobody saw, and stays on its grid', () => {
    const { pit, write, clock, line } = create();
    write(0x43, 0x34);
    write(0x40, 0xe8, 0x03);
    line.edges = 0;
    clock.time = ticks(10500);
    pit.onDeadline(clock.time);
    expect([line.edges, pit.deadline()]).toEqual([1, ticks(11000)]);
    pit.onDeadline(clock.time);
    expect(line.edges).toBe(1);
  });

  it('in mode 0 interrupts once, at terminal count', () => {
    const { pit, write, clock, line } = create();
    write(0x43, 0x30);
    expect(line.level).toBe(0);
    write(0x40, 100, 0);
    expect([pit.deadline(), line.level]).toEqual([ticks(100), 0]);
    expect(runTo(pit, clock, NS)).toEqual([ticks(100)]);
    expect([line.level, pit.deadline()]).toEqual([1, Number.POSITIVE_INFINITY]);
  });

  it('in mode 4 strobes once, a tick after the count', () => {
    const { pit, write, clock, line } = create();
    write(0x43, 0x38);
    expect(line.level).toBe(1);
    write(0x40, 100, 0);
    line.edges = 0;
    expect(runTo(pit, clock, NS)).toEqual([ticks(101)]);
    expect(line.edges).toBe(1);
  });

  it('in mode 3 interrupts every period; a count of 0 is 65536', () => {
    const { pit, write, clock } = create();
    write(0x43, 0x36);
    write(0x40, 0, 0);
    expect(runTo(pit, clock, NS)).toHaveLength(18);
  });

  it('is silent after its control word until it is loaded, and in the triggered modes', () => {
    const { pit, write } = create();
    for (const mode of [0, 1, 2, 3, 4, 5]) {
      write(0x43, 0x30 | (mode << 1));
      expect(pit.deadline()).toBe(Number.POSITIVE_INFINITY);
      write(0x40, 5, 0);
      expect(Number.isFinite(pit.deadline())).toBe(mode !== 1 && mode !== 5);
    }
  });

  it('cannot be made to interrupt without end at one time', () => {
    const { pit, write, clock } = create();
    write(0x43, 0x14);
    write(0x40, 1);
    for (let round = 0; round < 1000; round++) {
      const deadline = pit.deadline();
      clock.time = Math.max(clock.time, deadline);
      pit.onDeadline(clock.time);
      expect(pit.deadline()).toBeGreaterThan(clock.time);
    }
  });
});

describe('counters', () => {
  it('latch a count until it is read, both bytes', () => {
    const { write, read16, clock } = create();
    write(0x43, 0x34);
    write(0x40, 0x00, 0x10);
    clock.time = ticks(16);
    write(0x43, 0x00);
    clock.time = ticks(100);
    write(0x43, 0x00); // a second latch does not move the first
    expect(read16(0)).toBe(0x1000 - 16);
    expect(read16(0)).toBe(0x1000 - 100);
  });

  it('can be read and loaded by one byte only', () => {
    const { read, write, clock } = create();
    write(0x43, 0x94);
    write(0x42, 0x80);
    write(0x61, 1);
    clock.time = ticks(1);
    expect([read(0x42), read(0x42)]).toEqual([0x7f, 0x7f]);
    write(0x43, 0xa4);
    write(0x42, 0x12);
    clock.time += ticks(256);
    expect([read(0x42), read(0x42)]).toEqual([0x11, 0x11]);
  });

  it('tell mode, access, output and null count by read-back', () => {
    const { read, write, clock } = create();
    write(0x43, 0x36);
    write(0x43, 0xe2);
    expect(read(0x40)).toBe(0x80 | 0x40 | 0x36);
    write(0x40, 100, 0);
    clock.time = ticks(60);
    write(0x43, 0xc2);
    expect(read(0x40)).toBe(0x36);
    expect(read(0x40) | (read(0x40) << 8)).toBe(100 - 20);
    write(0x43, 0xde); // counts of all
    expect(read(0x40)).toBe(100 - 20);
  });

  it('count in BCD where asked to', () => {
    const { write, read16, clock } = create();
    write(0x43, 0x35);
    write(0x40, 0x00, 0x10);
    clock.time = ticks(1);
    expect(read16(0)).toBe(0x0999);
    write(0x43, 0x31);
    write(0x40, 0, 0);
    expect(read16(0)).toBe(0);
    clock.time += ticks(2);
    expect(read16(0)).toBe(0x9998);
  });

  it('stop with a low gate and go on with a high one in modes 0 and 4', () => {
    for (const mode of [0, 4]) {
      const { write, read16, clock } = create();
      write(0x61, 1);
      write(0x43, 0xb0 | (mode << 1));
      write(0x42, 0xe8, 0x03);
      clock.time = ticks(100);
      write(0x61, 0);
      clock.time = ticks(500);
      expect(read16(2)).toBe(900);
      write(0x61, 1);
      clock.time = ticks(550) + 100;
      expect(read16(2)).toBe(850);
    }
  });

  it('start again with a rising gate in modes 2 and 3, their output high while it is low', () => {
    for (const mode of [2, 3]) {
      const { read, write, read16, clock } = create();
      write(0x61, 1);
      write(0x43, 0xb0 | (mode << 1));
      write(0x42, 100, 0);
      clock.time = ticks(60);
      write(0x61, 0);
      expect(read(0x61) & 0x20).toBe(0x20);
      clock.time = ticks(1000);
      write(0x61, 1);
      expect(read16(2)).toBe(100);
    }
  });

  it('make a square in mode 3 and a dip of one tick in mode 2', () => {
    const { read, write, clock } = create();
    const levels = (): string => {
      let seen = '';
      const start = clock.time;
      for (let tick = 0; tick < 12; tick++) {
        clock.time = start + ticks(tick) + 10;
        seen += (read(0x61) & 0x20) !== 0 ? '1' : '0';
      }
      return seen;
    };
    write(0x61, 1);
    write(0x43, 0xb6);
    write(0x42, 5, 0);
    expect(levels()).toBe('111001110011');
    write(0x43, 0xb4);
    write(0x42, 4, 0);
    expect(levels()).toBe('111011101110');
  });

  it('wait for the gate in modes 1 and 5', () => {
    const { read, write, clock } = create();
    write(0x43, 0xb2);
    write(0x42, 50, 0);
    clock.time = ticks(200);
    expect(read(0x61) & 0x20).toBe(0x20);
    write(0x61, 1);
    expect(read(0x61) & 0x20).toBe(0);
    clock.time += ticks(50);
    expect(read(0x61) & 0x20).toBe(0x20);
    write(0x61, 0);
    write(0x43, 0xba);
    write(0x42, 50, 0);
    write(0x61, 1);
    expect(read(0x61) & 0x20).toBe(0x20);
    clock.time += ticks(50);
    expect(read(0x61) & 0x20).toBe(0);
  });

  it('show no control word', () => {
    expect(create().read(0x43)).toBe(0);
  });
});

describe('state', () => {
  it('goes on after save and restore at the same partition time', () => {
    const from = create();
    from.write(0x43, 0x34);
    from.write(0x40, 0xe8, 0x03);
    from.clock.time = ticks(300);
    const to = create();
    to.clock.time = from.clock.time;
    to.pit.restore(JSON.parse(JSON.stringify(from.pit.save())));
    expect(to.read16(0)).toBe(700);
    expect(to.pit.deadline()).toBe(ticks(1000));
    to.pit.reset();
    expect(to.pit.deadline()).toBe(Number.POSITIVE_INFINITY);
    expect(to.pit.inspect()).toMatchObject({ channels: [{ mode: 3, count: 0 }, {}, { gate: 0 }], deadline: null });
  });

  it('stays in range under a hostile guest', () => {
    fc.assert(
      fc.property(hostileAccesses(create().pit), (accesses) => {
        const { pit, clock } = create();
        for (const step of accesses) {
          const result = access(pit, step, clock);
          if (result !== undefined) expect(result).toBe(result & 0xff);
          expect(pit.deadline()).toBeGreaterThan(clock.time - 86_400e9 - 10_000_000);
          expect(pit.deadline()).not.toBeNaN();
        }
        JSON.stringify(pit.inspect());
      }),
    );
  });
});
