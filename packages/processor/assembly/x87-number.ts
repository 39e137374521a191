/**
 * x87 numbers: 80-bit extended values as a significand (u64) and a word of sign and exponent; their kinds, 128-bit steps, rounding.
 *
 * An instruction clears `raised`, computes with the functions here and in x87-arithmetic.ts, and finds the exceptions in `raised` (bits of
 * the status word, C1 among them when a result was rounded up) and the value in resultSignificand and resultHigh. A function that returns
 * false has no result: an exception that is not masked came before it.
 * Answers to: AMD64 Architecture Programmer's Manual volume 1, chapter 6. Called by x87-arithmetic.ts, x87-convert.ts, x87-functions.ts
 * and x87-execute.ts.
 */
import { multiplyHigh } from './multiply';

/** Bits of the status word. The first six are the exceptions, whose masks stand at the same place of the control word. */
export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;
export const SF: u32 = 0x40;
export const C0: u32 = 0x100;
export const C1: u32 = 0x200;
export const C2: u32 = 0x400;
export const C3: u32 = 0x4000;

/** Kinds of values, those that are no numbers last. */
export const ZERO: u32 = 0;
export const NORMAL: u32 = 1;
/** Pseudo-denormals are denormals. */
export const DENORMAL: u32 = 2;
export const INFINITY: u32 = 3;
export const QUIET: u32 = 4;
export const SIGNALING: u32 = 5;
/** Unnormals, pseudo-infinities and pseudo-NaNs. */
export const UNSUPPORTED: u32 = 6;

export const BIAS: i32 = 16383;
export const TOP_BIT: u64 = 0x8000000000000000;
const QUIET_BIT: u64 = 0x4000000000000000;
/** What is taken from or added to the exponent of a register result whose overflow or underflow is not masked. */
const WRAP: i32 = 24576;

export const NEAREST: u32 = 0;
export const DOWN: u32 = 1;
export const UP: u32 = 2;
export const CHOP: u32 = 3;

/** Exceptions and C1 of the running instruction. */
export let raised: u32 = 0;
/** The control word while an instruction runs. */
export let control: u32 = 0;
export let resultSignificand: u64 = 0;
export let resultHigh: u32 = 0;
/** The operand in memory is denormal, which its value in a register's format does not show. */
let denormalInMemory: bool = false;
export function noteDenormalOperand(): void {
  denormalInMemory = true;
}
export function begin(controlWord: u32): void {
  raised = 0;
  denormalInMemory = false;
  control = controlWord;
}
export function note(exceptions: u32): void {
  raised |= exceptions;
}
export function restoreRaised(exceptions: u32): void {
  raised = exceptions;
}
export function setResult(significand: u64, high: u32): void {
  resultSignificand = significand;
  resultHigh = high;
}
export function setIndefinite(): void {
  setResult(0xc000000000000000, 0xffff);
}
// @ts-ignore: decorator
@inline
export function rounding(): u32 {
  return (control >> 10) & 3;
}
/** Significant bits by precision control. */
export function precision(): u32 {
  const field = (control >> 8) & 3;
  return field == 0 ? 24 : field == 2 ? 53 : 64;
}

export function kindOf(significand: u64, high: u32): u32 {
  const exponent = high & 0x7fff;
  if (exponent == 0) return significand == 0 ? ZERO : DENORMAL;
  if (<i64>significand >= 0) return UNSUPPORTED;
  if (exponent != 0x7fff) return NORMAL;
  if (significand << 1 == 0) return INFINITY;
  return significand & QUIET_BIT ? QUIET : SIGNALING;
}

/** IE with the indefinite value. @returns false when it is not masked */
export function invalid(): bool {
  raised |= IE;
  setIndefinite();
  return (control & IE) != 0;
}
/** DE, when one operand is denormal. @returns false when it is not masked */
export function denormalOperand(present: bool): bool {
  if (!present && !denormalInMemory) return true;
  raised |= DE;
  return (control & DE) != 0;
}

/** The result when an operand is a NaN or no supported value. @returns false for an invalid operation that is not masked */
export function propagate(aSignificand: u64, aHigh: u32, aKind: u32, bSignificand: u64, bHigh: u32, bKind: u32): bool {
  if (aKind == UNSUPPORTED || bKind == UNSUPPORTED) return invalid();
  const signaling = aKind == SIGNALING || bKind == SIGNALING;
  let takeA = aKind >= QUIET;
  if (takeA && bKind >= QUIET) {
    // A quiet one before a signaling one; then the larger significand; then the positive one.
    if (aKind != bKind) takeA = aKind == QUIET;
    else if (aSignificand != bSignificand) takeA = aSignificand > bSignificand;
    else takeA = (aHigh & 0x8000) == 0;
  }
  if (takeA) setResult(aSignificand | QUIET_BIT, aHigh);
  else setResult(bSignificand | QUIET_BIT, bHigh);
  if (!signaling) return true;
  raised |= IE;
  return (control & IE) != 0;
}
export function propagateOne(significand: u64, high: u32, kind: u32): bool {
  return propagate(significand, high, kind, 0, 0, ZERO);
}

/** A finite number other than zero as a significand with its top bit set and a biased exponent, which may be below 1. */
export let unpackedSignificand: u64 = 0;
export let unpackedExponent: i32 = 0;
export function unpack(significand: u64, high: u32): void {
  const exponent = high & 0x7fff;
  const shift = clz(significand);
  unpackedSignificand = significand << shift;
  unpackedExponent = <i32>(exponent == 0 ? 1 : exponent) - <i32>shift;
}

/** 128-bit results of the steps below. */
export let wideHigh: u64 = 0;
export let wideLow: u64 = 0;

/** Shifts right; what is lost leaves its trace in the last bit. */
export function shiftRightSticky(high: u64, low: u64, count: u32): void {
  if (count == 0) {
    wideHigh = high;
    wideLow = low;
  } else if (count < 64) {
    wideHigh = high >> count;
    wideLow = (high << (64 - count)) | (low >> count) | <u64>(low << (64 - count) != 0);
  } else if (count < 128) {
    const n = count - 64;
    wideHigh = 0;
    const lost = n == 0 ? low : low | (high << (64 - n));
    wideLow = (high >> n) | <u64>(lost != 0);
  } else {
    wideHigh = 0;
    wideLow = <u64>((high | low) != 0);
  }
}

/** 128 by 64 bits; the divisor has its top bit set and exceeds `high`. The remainder is left in `remainder`. */
export let remainder: u64 = 0;
export function divide(high: u64, low: u64, divisor: u64): u64 {
  const d1 = divisor >> 32;
  const d0 = divisor & 0xffffffff;
  const first = digit(high, low >> 32, divisor, d1, d0);
  const second = digit(remainder, low & 0xffffffff, divisor, d1, d0);
  return (first << 32) | second;
}
/** One 32-bit digit of a quotient. */
function digit(high: u64, next: u64, divisor: u64, d1: u64, d0: u64): u64 {
  let q = high / d1;
  let r = high % d1;
  while (q >= 0x100000000 || q * d0 > ((r << 32) | next)) {
    q--;
    r += d1;
    if (r >= 0x100000000) break;
  }
  remainder = ((high << 32) | next) - q * divisor;
  return q;
}

/** Whether the value `high`, with `low` behind it, is rounded away from zero at the bits of `mask`. */
function roundsUp(negative: bool, high: u64, low: u64, mask: u64): bool {
  const mode = rounding();
  const rest = high & mask;
  if ((rest | low) == 0) return false;
  if (mode != NEAREST) return mode == (negative ? DOWN : UP);
  if (mask == 0) return low > TOP_BIT || (low == TOP_BIT && (high & 1) != 0);
  const half = (mask + 1) >> 1;
  return rest > half || (rest == half && (low != 0 || (high & (mask + 1)) != 0));
}

/** What `round` found: the exponent is `minimum` also for denormals, whose top bit is clear. */
export let roundedExponent: i32 = 0;
export let roundedSignificand: u64 = 0;

/**
 * Rounds a number other than zero to `bits` significant bits within a format of exponents from `minimum` to `maximum` (biased as those of
 * 80-bit values). `high` has its top bit set. Overflow gives exponent maximum + 1.
 * @param toRegister results that overflow or underflow unmasked come with a wrapped exponent; in memory there is none (false)
 */
export function round(
  negative: bool, exponent: i32, high: u64, low: u64, bits: u32, minimum: i32, maximum: i32, toRegister: bool,
): bool {
  const mask: u64 = bits == 64 ? 0 : ((<u64>1) << (64 - bits)) - 1;
  let tiny = false;
  if (exponent < minimum) {
    // Tininess is that of the rounded number.
    tiny = exponent < minimum - 1 || (high | mask) != 0xffffffffffffffff || !roundsUp(negative, high, low, mask);
    if (tiny && (control & UE) == 0) {
      raised |= UE;
      if (!toRegister) return false;
      exponent += WRAP;
      if (exponent < minimum) {
        // FSCALE can get so far that even the wrapped exponent is none.
        raised |= PE;
        roundedExponent = minimum;
        roundedSignificand = 0;
        return true;
      }
    } else {
      shiftRightSticky(high, low, <u32>(minimum - exponent));
      high = wideHigh;
      low = wideLow;
      exponent = minimum;
    }
  }
  const up = roundsUp(negative, high, low, mask);
  const inexact = ((high & mask) | low) != 0;
  high &= ~mask;
  if (up) {
    high += mask + 1;
    if (high == 0) {
      high = TOP_BIT;
      exponent++;
    }
  }
  if (exponent > maximum) {
    raised |= OE;
    if ((control & OE) != 0 || (toRegister && exponent - WRAP > maximum)) {
      raised |= PE;
      const mode = rounding();
      if ((control & OE) == 0 || mode == NEAREST || mode == (negative ? DOWN : UP)) {
        raised |= C1;
        high = TOP_BIT;
        exponent = maximum + 1;
      } else {
        high = ~mask;
        exponent = maximum;
      }
      roundedExponent = exponent;
      roundedSignificand = high;
      return true;
    }
    if (!toRegister) return false;
    exponent -= WRAP;
  }
  if (inexact) {
    raised |= PE;
    if (up) raised |= C1;
    if (tiny) raised |= UE;
  }
  roundedExponent = exponent;
  roundedSignificand = high;
  return true;
}

/** Rounds to a register's format. `sign` is 0 or 0x8000. */
export function roundToRegister(sign: u32, exponent: i32, high: u64, low: u64, bits: u32): bool {
  if (bits == 64 && <u32>(exponent - 1) < 0x7ffd) {
    // What nearly all results are: normal, and far from overflow by rounding.
    if (low != 0) {
      raised |= PE;
      const mode = rounding();
      if (mode == NEAREST ? low > TOP_BIT || (low == TOP_BIT && (high & 1) != 0) : mode == (sign != 0 ? DOWN : UP)) {
        raised |= C1;
        high++;
        if (high == 0) {
          high = TOP_BIT;
          exponent++;
        }
      }
    }
    setResult(high, sign | <u32>exponent);
    return true;
  }
  round(sign != 0, exponent, high, low, bits, 1, 0x7ffe, true);
  const significand = roundedSignificand;
  setResult(significand, sign | (<i64>significand < 0 ? <u32>roundedExponent : 0));
  return true;
}

/** The product of two significands, its top bit set, in wideHigh and wideLow. @returns 1 when it was at least 2, else 0 */
export function multiplySignificands(a: u64, b: u64): i32 {
  const high = multiplyHigh(a, b);
  const low = a * b;
  if (<i64>high < 0) {
    wideHigh = high;
    wideLow = low;
    return 1;
  }
  wideHigh = (high << 1) | (low >> 63);
  wideLow = low << 1;
  return 0;
}

export let integerValue: u64 = 0;
/** Rounds a finite number's magnitude to an integer below 2^64. @returns false when it is not below; notes no exception but PE and C1 */
export function roundToInteger(negative: bool, exponent: i32, significand: u64, mode: u32): bool {
  const shift = BIAS + 63 - exponent;
  if (shift < 0) return false;
  if (shift == 0) {
    integerValue = significand;
    return true;
  }
  shiftRightSticky(significand, 0, min(<u32>shift, 127));
  let value = wideHigh;
  const rest = wideLow;
  let up = false;
  if (mode == NEAREST) up = rest > TOP_BIT || (rest == TOP_BIT && (value & 1) != 0);
  else if (mode != CHOP) up = rest != 0 && mode == (negative ? DOWN : UP);
  if (up) value++;
  if (rest != 0) raised |= PE | (up ? C1 : 0);
  integerValue = value;
  return true;
}
