/**
 * The differential harness: reproducible random numbers, and the values that break processors.
 *
 * Values are drawn from boundaries (zero, sign bits, all ones, one bit, few bits) about as often as from everything else,
 * for integers of each width, single and double floating point alike.
 */
import { TEMPLATE_PAGES } from './differential-layout.ts';

/** 32-bit finalizer (splitmix): neighbouring seeds give unrelated streams. */
export function mixSeed(seed: number, index: number): number {
  let value = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) | 0;
  value = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  value = Math.imul(value ^ (value >>> 15), 0x735a2d97);
  return (value ^ (value >>> 15)) >>> 0;
}

const MASK64 = (1n << 64n) - 1n;

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 .. 2^32 - 1. */
  word(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
    value = Math.imul(value ^ (value >>> 15), 0x735a2d97);
    return (value ^ (value >>> 15)) >>> 0;
  }

  /** 0 .. bound - 1. */
  below(bound: number): number {
    return Math.floor((this.word() / 2 ** 32) * bound);
  }

  /** low .. high, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.word() < probability * 2 ** 32;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('pick: nothing to pick from');
    return item;
  }

  bits64(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }

  /** A 64-bit integer, half of the time one at a boundary of some width. */
  integer(): bigint {
    switch (this.below(12)) {
      case 0:
        return 0n;
      case 1:
        return this.chance(0.5) ? 1n : MASK64;
      case 2: {
        // All below a sign bit, the sign bit alone, or all from it on, of some width; the upper bits random half of the time.
        const width = BigInt(this.pick([8, 16, 32, 64]));
        const sign = 1n << (width - 1n);
        const value = this.pick([sign - 1n, sign, sign + 1n, (1n << width) - 1n]);
        return this.chance(0.5) ? value : (value | ((this.bits64() >> width) << width)) & MASK64;
      }
      case 3:
        return 1n << BigInt(this.below(64));
      case 4:
        return (1n << BigInt(this.below(64))) - 1n;
      case 5:
        return BigInt(this.below(256));
      case 6:
        return (MASK64 ^ BigInt(this.below(256))) & MASK64;
      case 7:
        return BigInt(this.word());
      case 8:
        return BigInt.asUintN(64, BigInt(this.word() | 0));
      case 9:
        return this.bits64() & this.bits64() & this.bits64();
      default:
        return this.bits64();
    }
  }

  /** Bits of a single, mostly at a boundary of the format. */
  single(): number {
    const sign = this.chance(0.5) ? 0x80000000 : 0;
    const magnitude = (): number => {
      switch (this.below(12)) {
        case 0:
          return 0;
        case 1:
          return 0x3f800000;
        case 2:
          return 0x7f800000;
        case 3:
          return 0x7fc00000 | this.below(0x400000);
        case 4:
          return 0x7f800001 + this.below(0x3fffff);
        case 5:
          return this.pick([1, 2, 0x7fffff, 0x400000, this.below(0x800000)]);
        case 6:
          return this.pick([0x00800000, 0x00800001, 0x7f7fffff, 0x7f7ffffe]);
        case 7:
          return this.pick([0x4effffff, 0x4f000000, 0x4f000001, 0x5effffff, 0x5f000000, 0x4b000000, 0x4b7fffff]);
        case 8:
          // Small numbers with halves: rounding of conversions.
          return floatBits(this.below(4096) / 2);
        case 9:
          return 0x3f000000 + this.below(0x1000000);
        default:
          return this.word() & 0x7fffffff;
      }
    };
    return (magnitude() | sign) >>> 0;
  }

  /** Bits of a double, mostly at a boundary of the format. */
  double(): bigint {
    const sign = this.chance(0.5) ? 1n << 63n : 0n;
    const magnitude = (): bigint => {
      switch (this.below(13)) {
        case 0:
          return 0n;
        case 1:
          return 0x3ff0_0000_0000_0000n;
        case 2:
          return 0x7ff0_0000_0000_0000n;
        case 3:
          return 0x7ff8_0000_0000_0000n | (this.bits64() >> 13n);
        case 4:
          return 0x7ff0_0000_0000_0001n + (this.bits64() >> 14n);
        case 5:
          return this.pick([1n, 2n, 0xf_ffff_ffff_ffffn, 0x8_0000_0000_0000n, this.bits64() >> 12n]);
        case 6:
          return this.pick([0x0010_0000_0000_0000n, 0x0010_0000_0000_0001n, 0x7fef_ffff_ffff_ffffn]);
        case 7:
          return doubleBits(
            this.pick([2147483647, 2147483647.5, 2147483648, 2147483648.5, 2147483649, 2 ** 63, 2 ** 52 + 1]),
          );
        case 8:
          return doubleBits(this.below(4096) / 2);
        case 9:
          return 0x3fe0_0000_0000_0000n + (this.bits64() >> 9n);
        case 10:
          // Magnitudes around those of singles: overflow, underflow and double rounding of narrowing conversions.
          return (
            (BigInt(this.pick([0x380, 0x369, 0x36a, 0x47e, 0x47f, 0x3ff])) << 52n) |
            (this.chance(0.5) ? this.bits64() >> 12n : (this.bits64() >> 35n) << 28n)
          );
        default:
          return this.bits64() >> 1n;
      }
    };
    return magnitude() | sign;
  }

  /** Bits of a single or double of ordinary size, as programs have them. */
  ordinarySingle(): number {
    return ((this.chance(0.5) ? 0x80000000 : 0) | (0x3a000000 + this.below(0xa000000))) >>> 0;
  }
  ordinaryDouble(): bigint {
    const few = this.chance(0.3) ? 0xffff_ff00_0000_0000n : MASK64;
    return ((this.chance(0.5) ? 1n << 63n : 0n) | (0x3f40_0000_0000_0000n + (this.bits64() >> 7n))) & few;
  }

  /** Writes 16 bytes: two doubles, four singles, or integers. */
  vector(bytes: DataView, at: number, kind = this.below(10)): void {
    for (let lane = 0; lane < 16; lane += 8) {
      if (kind === 8) {
        bytes.setUint32(at + lane, this.ordinarySingle(), true);
        bytes.setUint32(at + lane + 4, this.ordinarySingle(), true);
      } else if (kind === 9) {
        bytes.setBigUint64(at + lane, this.ordinaryDouble(), true);
      } else if (kind < 3) {
        bytes.setUint32(at + lane, this.single(), true);
        bytes.setUint32(at + lane + 4, this.single(), true);
      } else if (kind < 6) {
        bytes.setBigUint64(at + lane, this.double(), true);
      } else if (kind === 6) {
        bytes.setBigUint64(at + lane, this.integer(), true);
      } else {
        for (let part = 0; part < 8; part += 2) {
          bytes.setUint16(
            at + lane + part,
            this.pick([0, 0xffff, 0x7fff, 0x8000, 0x7f80, 0x80ff, this.below(65536)]),
            true,
          );
        }
      }
    }
  }
}

/** Vectors of each sort in a pool. */
const POOLED = 2048;

/**
 * Vectors made in advance, of which the cases of a batch take theirs: with 2,048 there are four million pairs of operands in each batch, and
 * to make each register's afresh was a fifth of the time that a case took.
 */
export class VectorPool {
  readonly #words: Int32Array;

  /** @param kind as `Random.vector` has it; absent: all kinds mixed */
  constructor(seed: number, kind?: number) {
    const random = new Random(seed);
    this.#words = new Int32Array(POOLED * 4);
    const view = new DataView(this.#words.buffer);
    for (let at = 0; at < POOLED * 16; at += 16) random.vector(view, at, kind);
  }

  /** Copies one of the vectors to words from `to` on. */
  take(random: Random, into: Int32Array, to: number): void {
    const from = random.below(POOLED) * 4;
    for (let word = 0; word < 4; word++) into[to + word] = this.#words[from + word] as number;
  }
}

const scratch = new DataView(new ArrayBuffer(8));
function floatBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}
function doubleBits(value: number): bigint {
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
}

/** Contents of the template's pages, the same for every case of a seed. */
export function makeTemplate(seed: number): Uint8Array<ArrayBuffer> {
  const random = new Random(mixSeed(seed, 0x7e3a));
  const template = new Uint8Array(TEMPLATE_PAGES.length * 4096);
  const view = new DataView(template.buffer);
  for (let at = 0; at < template.length; at += 16) random.vector(view, at);
  // Where a stack lies in the read-only page, nothing is popped that would make the case single-step.
  template.fill(0, 6 * 4096 + 0x100, 6 * 4096 + 0x180);
  return template;
}
