/**
 * Arguments on which the transcendental functions of the x87 are tried: of every size, near the ends of the ranges, near multiples of
 * a quarter of the circle and near 1. Results are neither zero, infinite nor exact.
 * Called by: x87-functions.test.ts.
 */

import type { Extended } from './differential-x87.ts';
import type { Random } from './vector-cases.ts';

/** Functions by the last five bits of their opcodes. */
export const X87_FUNCTIONS = {
  f2xm1: 0x10,
  fyl2x: 0x11,
  fptan: 0x12,
  fpatan: 0x13,
  fyl2xp1: 0x19,
  fsin: 0x1e,
  fcos: 0x1f,
} as const;

export interface FunctionCase {
  readonly which: number;
  readonly x: Extended;
  readonly y: Extended;
}

const BIAS = 16383;
const TOP_BIT = 1n << 63n;
const ONE: Extended = { significand: TOP_BIT, high: BIAS };
/** Half of pi, to 188 bits behind the point. */
const HALF_PI = 0x1921fb54442d18469898cc51701b839a252049c1114cf98en;

/** A significand, often with few bits; never a power of two. */
function significand(random: Random): bigint {
  const bits = (BigInt(random.next()) << 32n) | BigInt(random.next());
  const kept = random.below(3) === 0 ? bits & ~((1n << BigInt(random.below(62))) - 1n) : bits;
  return BigInt.asUintN(64, kept | TOP_BIT | (1n << BigInt(random.below(63))));
}
const number = (random: Random, exponent: number, sign: number): Extended => ({
  significand: significand(random),
  high: sign | (BIAS + exponent),
});
const anySign = (random: Random): number => (random.below(2) === 0 ? 0 : 0x8000);
const between = (random: Random, low: number, high: number): number => low + random.below(high - low + 1);

/** The 64-bit number next to a multiple of half of pi. */
function nearAxis(random: Random): Extended {
  const multiple = (BigInt(random.next()) << 30n) >> BigInt(random.below(61));
  const value = HALF_PI * (multiple + 1n);
  const bits = value.toString(2).length;
  const exponent = Math.min(bits - 1 - 188, 62);
  return {
    significand: BigInt.asUintN(64, (value >> BigInt(exponent + 188 - 63)) + BigInt(random.below(3))) | TOP_BIT,
    high: anySign(random) | (BIAS + exponent),
  };
}

function operands(which: number, random: Random): readonly [Extended, Extended] {
  const shape = random.below(8);
  const sign = anySign(random);
  switch (which) {
    case X87_FUNCTIONS.f2xm1:
      return [
        number(random, shape < 5 ? between(random, -8, -1) : between(random, shape < 7 ? -80 : -16000, -1), sign),
        ONE,
      ];
    case X87_FUNCTIONS.fyl2x: {
      const y = number(random, between(random, -200, 200), sign);
      if (shape < 3)
        return [
          { significand: TOP_BIT + 1n + BigInt(random.next()) * BigInt(1 + random.below(1 << 28)), high: BIAS },
          y,
        ];
      if (shape < 5)
        return [
          { significand: (1n << 64n) - 1n - BigInt(random.next()) * BigInt(1 + random.below(1 << 28)), high: BIAS - 1 },
          y,
        ];
      return [number(random, shape < 7 ? between(random, -4, 4) : between(random, -16000, 16000), 0), y];
    }
    case X87_FUNCTIONS.fyl2xp1:
      return [
        number(random, shape < 5 ? between(random, -8, -3) : between(random, -400, -3), sign),
        number(random, between(random, -200, 200), anySign(random)),
      ];
    case X87_FUNCTIONS.fpatan: {
      const exponent = shape < 6 ? between(random, -100, 100) : between(random, -7000, 7000);
      const apart = shape < 5 ? between(random, -6, 6) : between(random, -200, 200);
      return [number(random, exponent, sign), number(random, exponent + apart, anySign(random))];
    }
    default:
      if (shape < 2) return [nearAxis(random), ONE];
      return [
        number(
          random,
          shape < 5 ? between(random, -6, 6) : shape < 7 ? between(random, -70, 62) : between(random, -16000, -1),
          sign,
        ),
        ONE,
      ];
  }
}

export function functionCases(which: number, count: number, random: Random): readonly FunctionCase[] {
  return Array.from({ length: count }, () => {
    const [x, y] = operands(which, random);
    return { which, x, y };
  });
}
