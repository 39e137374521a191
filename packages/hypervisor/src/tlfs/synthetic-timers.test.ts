/** Synthetic timers: each mode, each register, and what happens when nobody has looked for a while. TLFS, "Synthetic timers". */
import { beforeEach, describe, expect, it } from 'vitest';
import { TestGuest } from '../testing/test-guest.ts';

const CONFIG = 0x400000b0;
const COUNT = 0x400000b1;
const ENABLE = 1n;
const PERIODIC = 2n;
const LAZY = 4n;
const AUTO = 8n;
const DIRECT = 0x1000n;
const vector = (number: bigint): bigint => number << 4n;
const sint = (number: bigint): bigint => number << 16n;
/** 100 ns in nanoseconds. */
const UNIT = 100;

let guest: TestGuest;
beforeEach(() => {
  guest = new TestGuest();
});

describe('a one-shot timer in direct mode', () => {
  const config = ENABLE | DIRECT | vector(0xedn);

  it('fires at its time and not before, and is off then', () => {
    guest.write(CONFIG, config);
    guest.write(COUNT, 1000n);
    expect(guest.partition.nextDeadline()).toBe(1000 * UNIT);
    guest.pass(1000 * UNIT - 1);
    expect(guest.vectors()).toEqual([]);
    guest.pass(1);
    expect(guest.vectors()).toEqual([0xed]);
    expect(guest.read(CONFIG)).toBe(config & ~ENABLE);
    expect(guest.partition.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    guest.pass(1e9);
    expect(guest.vectors()).toEqual([]);
  });

  it('whose time has passed fires at once', () => {
    guest.now = 1e9;
    guest.write(CONFIG, config);
    guest.write(COUNT, 5n);
    guest.pass(0);
    expect(guest.vectors()).toEqual([0xed]);
  });

  it.each([
    ['count 0', COUNT, 0n],
    ['a configuration without the enable bit', CONFIG, config & ~ENABLE],
  ])('is stopped by %s', (_, msr, value) => {
    guest.write(CONFIG, config);
    guest.write(COUNT, 1000n);
    guest.write(msr, value);
    expect(guest.partition.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    expect((guest.read(CONFIG) ?? 1n) & ENABLE).toBe(0n);
    guest.pass(1e9);
    expect(guest.vectors()).toEqual([]);
  });

  it('never comes for a count beyond all time', () => {
    guest.write(CONFIG, config);
    guest.write(COUNT, (1n << 64n) - 1n);
    expect(guest.partition.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    expect(guest.read(COUNT)).toBe((1n << 64n) - 1n);
  });
});

describe('automatic enabling', () => {
  it('lets a count start the timer', () => {
    guest.write(CONFIG, AUTO | DIRECT | vector(0x40n));
    guest.write(COUNT, 10n);
    expect(guest.read(CONFIG)).toBe(ENABLE | AUTO | DIRECT | vector(0x40n));
    guest.pass(10 * UNIT);
    guest.write(COUNT, 20n);
    guest.pass(10 * UNIT);
    expect(guest.vectors()).toEqual([0x40, 0x40]);
  });

  it('is needed for that', () => {
    guest.write(CONFIG, DIRECT | vector(0x40n));
    guest.write(COUNT, 10n);
    guest.pass(1e6);
    expect(guest.vectors()).toEqual([]);
  });
});

describe('the configuration', () => {
  it.each([1n << 13n, 1n << 15n, 1n << 20n, 1n << 63n])('refuses the reserved bit 0x%s', (bit) => {
    expect(guest.write(CONFIG, bit)).toBe(false);
  });

  it('needs a vector in direct mode, and a source otherwise', () => {
    expect(guest.write(CONFIG, ENABLE | DIRECT | vector(15n))).toBe(false);
    expect(guest.write(CONFIG, DIRECT | vector(15n))).toBe(true);
    expect(guest.write(CONFIG, ENABLE)).toBe(true);
    expect(guest.read(CONFIG)).toBe(0n);
  });
});

describe('a periodic timer', () => {
  const config = ENABLE | PERIODIC | DIRECT | vector(0x50n);

  it('fires each period, from when it was enabled', () => {
    guest.now = 12_345_600;
    guest.write(COUNT, 100n);
    guest.write(CONFIG, config);
    for (let period = 0; period < 5; period++) {
      guest.pass(100 * UNIT - 1);
      expect(guest.vectors()).toEqual([]);
      guest.pass(1);
      expect(guest.vectors()).toEqual([0x50]);
    }
    expect(guest.read(CONFIG)).toBe(config);
  });

  it('that is late catches up with shorter periods', () => {
    guest.write(COUNT, 100n);
    guest.write(CONFIG, config);
    guest.pass(450 * UNIT);
    expect(guest.vectors()).toEqual([0x50]);
    expect(guest.partition.nextDeadline()).toBe(500 * UNIT);
    let fired = 1;
    while (guest.now < 2000 * UNIT) {
      guest.pass(10 * UNIT);
      fired += guest.vectors().length;
    }
    // Nothing was left out in the end: one for each 100 units.
    expect(fired).toBe(20);
  });

  it('that is far behind leaves expirations out', () => {
    guest.write(COUNT, 100n);
    guest.write(CONFIG, config);
    guest.pass(100_050 * UNIT);
    expect(guest.vectors()).toEqual([0x50]);
    expect(guest.partition.nextDeadline()).toBe(100_100 * UNIT);
  });

  it('that is lazy leaves every missed expiration out', () => {
    guest.write(COUNT, 100n);
    guest.write(CONFIG, config | LAZY);
    guest.pass(450 * UNIT);
    expect(guest.vectors()).toEqual([0x50]);
    expect(guest.partition.nextDeadline()).toBe(500 * UNIT);
    guest.pass(50 * UNIT);
    expect(guest.vectors()).toEqual([0x50]);
    expect(guest.partition.nextDeadline()).toBe(600 * UNIT);
  });

  it('of one unit does not hold up the processor', () => {
    guest.write(COUNT, 1n);
    guest.write(CONFIG, config);
    guest.pass(1e9);
    expect(guest.vectors()).toEqual([0x50]);
    expect(guest.partition.nextDeadline()).toBeGreaterThan(guest.now);
  });
});

describe('message mode', () => {
  /** The message in source 3's slot: type, then the payload's words. */
  const message = (): bigint[] => [0x10300, 0x10310, 0x10318, 0x10320].map((gpa) => guest.at(gpa));

  beforeEach(() => {
    guest.enableSynic();
    guest.write(0x40000093, 0x60n);
  });

  it('sends number, expiration and delivery time', () => {
    guest.write(CONFIG + 4, ENABLE | sint(3n));
    guest.write(COUNT + 4, 1000n);
    guest.pass(1500 * UNIT);
    expect(message()).toEqual([0x18_8000_0010n, 2n, 1000n, 1500n]);
    expect(guest.vectors()).toEqual([0x60]);
  });

  it('keeps one message back while the slot is taken, and no more', () => {
    guest.write(CONFIG, ENABLE | PERIODIC | sint(3n));
    guest.write(COUNT, 100n);
    for (let period = 0; period < 5; period++) guest.pass(100 * UNIT);
    expect(message()[2]).toBe(100n);
    expect((message()[0] ?? 0n) >> 40n).toBe(1n);
    guest.partition.guestMemory.writeU32(0x10300, 0);
    guest.write(0x40000084, 0n);
    expect(message()[2]).toBe(200n);
    guest.partition.guestMemory.writeU32(0x10300, 0);
    guest.write(0x40000084, 0n);
    expect((message()[0] ?? 0n) & 0xffffffffn).toBe(0n);
  });

  it('waits until the page is on', () => {
    guest.write(0x40000083, 0x10000n);
    guest.write(CONFIG, ENABLE | sint(3n));
    guest.write(COUNT, 10n);
    guest.pass(10 * UNIT);
    guest.write(0x40000083, 0x10001n);
    expect((message()[0] ?? 0n) & 0xffffffffn).toBe(0x8000_0010n);
  });
});

describe('four timers', () => {
  it('run on their own, and are all off after a reset', () => {
    for (const timer of [0, 1, 2, 3]) {
      guest.write(CONFIG + 2 * timer, ENABLE | DIRECT | vector(BigInt(0x40 + timer)));
      guest.write(COUNT + 2 * timer, BigInt(100 * (4 - timer)));
    }
    guest.pass(200 * UNIT);
    expect(guest.vectors()).toEqual([0x42, 0x43]);
    guest.partition.resetDevices();
    guest.pass(1e9);
    expect(guest.vectors()).toEqual([]);
    expect(guest.read(CONFIG)).toBe(0n);
  });
});
