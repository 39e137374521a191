/**
 * x87 arithmetic on 80-bit values, exact and rounded once: sums, products, quotients, roots, remainders, comparisons, scaling.
 *
 * Operands come as significand and word of sign and exponent; see x87-number.ts for results and exceptions.
 * Answers to: AMD64 Architecture Programmer's Manual volume 1, chapter 6 and volume 5; what both leave open is as AMD's processors do it.
 * Called by x87-execute.ts.
 */
import {
  BIAS, C0, C1, C2, C3, DE, DENORMAL, DOWN, IE, INFINITY, QUIET, SIGNALING, TOP_BIT, UNSUPPORTED, ZE, ZERO,
  control, denormalOperand, divide, integerValue, invalid, kindOf, multiplySignificands, note, precision, propagate, propagateOne, remainder,
  roundToInteger, roundToRegister, rounding, setResult, shiftRightSticky, unpack, unpackedExponent, unpackedSignificand, wideHigh, wideLow,
  CHOP,
} from './x87-number';
import { multiplyHigh } from './multiply';

/** a + b, or a - b with `flip` 0x8000. */
export function add(aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32, flip: u32): bool {
  const aKind = kindOf(aSignificand, aHigh);
  const bKind = kindOf(bSignificand, bHigh);
  if (max(aKind, bKind) >= QUIET) return propagate(aSignificand, aHigh, aKind, bSignificand, bHigh, bKind);
  bHigh ^= flip;
  const aSign = aHigh & 0x8000;
  const bSign = bHigh & 0x8000;
  if (aKind == INFINITY && bKind == INFINITY && aSign != bSign) return invalid();
  if (!denormalOperand(aKind == DENORMAL || bKind == DENORMAL)) return false;
  if (aKind == INFINITY || bKind == INFINITY) {
    setResult(TOP_BIT, (aKind == INFINITY ? aSign : bSign) | 0x7fff);
    return true;
  }
  if (aKind == ZERO && bKind == ZERO) {
    setResult(0, aSign == bSign ? aSign : rounding() == DOWN ? 0x8000 : 0);
    return true;
  }
  if (bKind == ZERO) {
    unpack(aSignificand, aHigh);
    return roundToRegister(aSign, unpackedExponent, unpackedSignificand, 0, precision());
  }
  unpack(bSignificand, bHigh);
  if (aKind == ZERO) return roundToRegister(bSign, unpackedExponent, unpackedSignificand, 0, precision());
  let small = unpackedSignificand;
  let smallExponent = unpackedExponent;
  unpack(aSignificand, aHigh);
  let large = unpackedSignificand;
  let exponent = unpackedExponent;
  let sign = aSign;
  if (smallExponent > exponent || (smallExponent == exponent && small > large)) {
    const s = small;
    small = large;
    large = s;
    const e = smallExponent;
    smallExponent = exponent;
    exponent = e;
    sign = bSign;
  }
  shiftRightSticky(small, 0, min<u32>(<u32>(exponent - smallExponent), 128));
  let low = wideLow;
  if (aSign == bSign) {
    const sum = large + wideHigh;
    if (sum < large) {
      low = (sum << 63) | (low >> 1) | (low & 1);
      return roundToRegister(sign, exponent + 1, (sum >> 1) | TOP_BIT, low, precision());
    }
    return roundToRegister(sign, exponent, sum, low, precision());
  }
  let high = large - wideHigh - <u64>(low != 0);
  low = 0 - low;
  if ((high | low) == 0) {
    setResult(0, rounding() == DOWN ? 0x8000 : 0);
    return true;
  }
  if (high == 0) {
    high = low;
    low = 0;
    exponent -= 64;
  }
  const shift = <u32>clz(high);
  if (shift != 0) {
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  return roundToRegister(sign, exponent - <i32>shift, high, low, precision());
}

export function multiply(aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32): bool {
  const aKind = kindOf(aSignificand, aHigh);
  const bKind = kindOf(bSignificand, bHigh);
  if (max(aKind, bKind) >= QUIET) return propagate(aSignificand, aHigh, aKind, bSignificand, bHigh, bKind);
  const sign = (aHigh ^ bHigh) & 0x8000;
  const infinite = aKind == INFINITY || bKind == INFINITY;
  const zero = aKind == ZERO || bKind == ZERO;
  if (infinite && zero) return invalid();
  if (!denormalOperand(aKind == DENORMAL || bKind == DENORMAL)) return false;
  if (infinite || zero) {
    setResult(infinite ? TOP_BIT : 0, sign | (infinite ? 0x7fff : 0));
    return true;
  }
  unpack(aSignificand, aHigh);
  const significand = unpackedSignificand;
  const exponent = unpackedExponent;
  unpack(bSignificand, bHigh);
  const carry = multiplySignificands(significand, unpackedSignificand);
  return roundToRegister(sign, exponent + unpackedExponent - BIAS + carry, wideHigh, wideLow, precision());
}

/** a / b. */
export function quotient(aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32): bool {
  const aKind = kindOf(aSignificand, aHigh);
  const bKind = kindOf(bSignificand, bHigh);
  if (max(aKind, bKind) >= QUIET) return propagate(aSignificand, aHigh, aKind, bSignificand, bHigh, bKind);
  const sign = (aHigh ^ bHigh) & 0x8000;
  if ((aKind == INFINITY && bKind == INFINITY) || (aKind == ZERO && bKind == ZERO)) return invalid();
  if (bKind == ZERO && aKind != INFINITY) {
    note(ZE);
    setResult(TOP_BIT, sign | 0x7fff);
    return (control & ZE) != 0;
  }
  if (!denormalOperand(aKind == DENORMAL || bKind == DENORMAL)) return false;
  if (aKind == INFINITY) {
    setResult(TOP_BIT, sign | 0x7fff);
    return true;
  }
  if (bKind == INFINITY || aKind == ZERO) {
    setResult(0, sign);
    return true;
  }
  unpack(aSignificand, aHigh);
  const a = unpackedSignificand;
  let exponent = unpackedExponent;
  unpack(bSignificand, bHigh);
  const b = unpackedSignificand;
  exponent += BIAS - unpackedExponent;
  let q: u64;
  if (a >= b) q = divide(a >> 1, a << 63, b);
  else {
    q = divide(a, 0, b);
    exponent--;
  }
  return roundToRegister(sign, exponent, q, behind(remainder, b), precision());
}
/** What stands behind the last bit of a quotient, as far as rounding looks at it. */
function behind(rest: u64, divisor: u64): u64 {
  if (rest == 0) return 0;
  const other = divisor - rest;
  return rest == other ? TOP_BIT : rest > other ? TOP_BIT | 1 : 1;
}

/** The largest double below 2^64. */
const LARGEST_BELOW: f64 = 18446744073709549568.0;

export function squareRoot(significand: u64, high: u32): bool {
  const kind = kindOf(significand, high);
  if (kind >= QUIET) return propagateOne(significand, high, kind);
  if (kind == ZERO) {
    setResult(0, high);
    return true;
  }
  if (high & 0x8000) return invalid();
  if (!denormalOperand(kind == DENORMAL)) return false;
  if (kind == INFINITY) {
    setResult(significand, high);
    return true;
  }
  unpack(significand, high);
  // The radicand is 128 bits from 2^126 on; the root has 64. A double's root and one step of Newton's come to within one of it.
  const odd = (unpackedExponent - BIAS) & 1;
  const exponent = ((unpackedExponent - BIAS - odd) >> 1) + BIAS;
  const first = odd ? unpackedSignificand : unpackedSignificand >> 1;
  const second: u64 = odd ? 0 : unpackedSignificand << 63;
  const near = Math.sqrt(<f64>first) * 4294967296.0;
  let root: u64 = near < LARGEST_BELOW ? <u64>near : 0xffffffffffffffff;
  const other: u64 = first < root ? divide(first, second, root) : 0xffffffffffffffff;
  root = other < root ? root - ((root - other) >> 1) : root + ((other - root) >> 1);
  let rest = second - root * root;
  let over = first - multiplyHigh(root, root) - <u64>(rest > second);
  while (<i64>over < 0) {
    root--;
    const sum = rest + (root << 1) + 1;
    over += (root >> 63) + <u64>(sum < rest);
    rest = sum;
  }
  const low: u64 = (over | rest) == 0 ? 0 : over != 0 || rest > root ? TOP_BIT | 1 : 1;
  return roundToRegister(0, exponent, root, low, precision());
}

/** Condition codes of a comparison of ST(0) = a with b. `quiet`: quiet NaNs are no invalid operation. */
export let comparison: u32 = 0;
export function compare(aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32, quiet: bool): bool {
  const aKind = kindOf(aSignificand, aHigh);
  const bKind = kindOf(bSignificand, bHigh);
  comparison = C0 | C2 | C3;
  if (max(aKind, bKind) >= QUIET) {
    if (quiet && aKind <= QUIET && bKind <= QUIET) return true;
    note(IE);
    return (control & IE) != 0;
  }
  const answered = denormalOperand(aKind == DENORMAL || bKind == DENORMAL);
  comparison = order(aSignificand, aHigh, aKind, bSignificand, bHigh, bKind);
  return answered;
}
function order(aSignificand: u64, aHigh: u32, aKind: u32, bSignificand: u64, bHigh: u32, bKind: u32): u32 {
  if (aKind == ZERO && bKind == ZERO) return C3;
  const aSign = aHigh & 0x8000;
  if (aKind == ZERO) return bHigh & 0x8000 ? 0 : C0;
  if (bKind == ZERO) return aSign ? C0 : 0;
  if (aSign != (bHigh & 0x8000)) return aSign ? C0 : 0;
  const aExponent = max<u32>(aHigh & 0x7fff, 1);
  const bExponent = max<u32>(bHigh & 0x7fff, 1);
  if (aExponent == bExponent && aSignificand == bSignificand) return C3;
  const less = aExponent < bExponent || (aExponent == bExponent && aSignificand < bSignificand);
  return less != (aSign != 0) ? C0 : 0;
}

/** FXAM's condition codes, C1 being the sign, of a register that is not empty. */
export function examine(significand: u64, high: u32): u32 {
  const kind = kindOf(significand, high);
  const sign: u32 = high & 0x8000 ? C1 : 0;
  if (kind == UNSUPPORTED) return sign;
  if (kind >= QUIET) return sign | C0;
  if (kind == ZERO) return sign | C3;
  if (kind == DENORMAL) return sign | C3 | C2;
  return sign | C2 | (kind == INFINITY ? C0 : 0);
}

/** FRNDINT. */
export function roundInteger(significand: u64, high: u32): bool {
  const kind = kindOf(significand, high);
  if (kind >= QUIET) return propagateOne(significand, high, kind);
  if (!denormalOperand(kind == DENORMAL)) return false;
  setResult(significand, high);
  if (kind == INFINITY || kind == ZERO) return true;
  const sign = high & 0x8000;
  unpack(significand, high);
  if (!roundToInteger(sign != 0, unpackedExponent, unpackedSignificand, rounding())) return true;
  const value = integerValue;
  if (value == 0) setResult(0, sign);
  else {
    const shift = <u32>clz(value);
    setResult(value << shift, sign | (<u32>BIAS + 63 - shift));
  }
  return true;
}

/** FSCALE: a times 2 to the integer part of b. */
export function scale(aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32): bool {
  const aKind = kindOf(aSignificand, aHigh);
  const bKind = kindOf(bSignificand, bHigh);
  if (max(aKind, bKind) >= QUIET) return propagate(aSignificand, aHigh, aKind, bSignificand, bHigh, bKind);
  const sign = aHigh & 0x8000;
  if (bKind == INFINITY && (bHigh & 0x8000 ? aKind == INFINITY : aKind == ZERO)) return invalid();
  if (!denormalOperand(aKind == DENORMAL || bKind == DENORMAL)) return false;
  if (aKind == INFINITY || aKind == ZERO) {
    setResult(aSignificand, aHigh);
    return true;
  }
  if (bKind == INFINITY) {
    if (bHigh & 0x8000) setResult(0, sign);
    else setResult(TOP_BIT, sign | 0x7fff);
    return true;
  }
  let by: i32 = 0;
  const exponent = <i32>(bHigh & 0x7fff) - BIAS;
  // Beyond 2^16 every result overflows or underflows alike.
  if (exponent >= 16) by = 0x10000;
  else if (exponent >= 0) by = <i32>(bSignificand >> (63 - exponent));
  if (bHigh & 0x8000) by = -by;
  unpack(aSignificand, aHigh);
  return roundToRegister(sign, unpackedExponent + by, unpackedSignificand, 0, 64);
}

/** FXTRACT: the exponent as a number is the result, the significand is left in extracted*. */
export let extractedSignificand: u64 = 0;
export let extractedHigh: u32 = 0;
export function extract(significand: u64, high: u32): bool {
  const kind = kindOf(significand, high);
  extractedSignificand = significand;
  extractedHigh = high;
  if (kind >= QUIET) {
    const answered = propagateOne(significand, high, kind);
    extractedSignificand = kind == UNSUPPORTED ? 0xc000000000000000 : significand | 0x4000000000000000;
    extractedHigh = kind == UNSUPPORTED ? 0xffff : high;
    return answered;
  }
  if (kind == ZERO) {
    note(ZE);
    setResult(TOP_BIT, 0xffff);
    return (control & ZE) != 0;
  }
  if (kind == INFINITY) {
    setResult(TOP_BIT, 0x7fff);
    return true;
  }
  if (!denormalOperand(kind == DENORMAL)) return false;
  unpack(significand, high);
  extractedSignificand = unpackedSignificand;
  extractedHigh = (high & 0x8000) | <u32>BIAS;
  fromInteger(<i64>(unpackedExponent - BIAS));
  return true;
}

/** An integer as a value, exact. */
export function fromInteger(value: i64): void {
  if (value == 0) {
    setResult(0, 0);
    return;
  }
  fromMagnitude(value < 0 ? 0 - <u64>value : <u64>value, value < 0 ? 0x8000 : 0);
}
export function fromMagnitude(value: u64, sign: u32): void {
  const shift = <u32>clz(value);
  setResult(value << shift, sign | (value == 0 ? 0 : <u32>BIAS + 63 - shift));
}

/** Condition codes of the last partial remainder: C2 while it is not complete, else the quotient's last three bits. */
export let remainderCodes: u32 = 0;
/** The condition codes that it writes: C2 alone when there is no quotient. */
export let remainderMask: u32 = 0;

/** FPREM (`nearest` false) and FPREM1: a - b * q. */
export function partialRemainder(aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32, nearest: bool): bool {
  const aKind = kindOf(aSignificand, aHigh);
  const bKind = kindOf(bSignificand, bHigh);
  remainderCodes = 0;
  remainderMask = C2;
  if (max(aKind, bKind) >= QUIET) return propagate(aSignificand, aHigh, aKind, bSignificand, bHigh, bKind);
  if (aKind == INFINITY || bKind == ZERO) return invalid();
  if (!denormalOperand(aKind == DENORMAL || bKind == DENORMAL)) return false;
  remainderMask = C0 | C2 | C3;
  let sign = aHigh & 0x8000;
  if (aKind == ZERO) {
    setResult(0, sign);
    return true;
  }
  unpack(aSignificand, aHigh);
  const a = unpackedSignificand;
  const aExponent = unpackedExponent;
  if (bKind == INFINITY) return roundToRegister(sign, aExponent, a, 0, 64);
  unpack(bSignificand, bHigh);
  const b = unpackedSignificand;
  const bExponent = unpackedExponent;
  let difference = aExponent - bExponent;
  const least = nearest ? -1 : 0;
  if (least > difference) return roundToRegister(sign, aExponent, a, 0, 64);
  let exponent = bExponent;
  let partial = false;
  if (difference >= 64) {
    partial = true;
    // A step takes between 32 and 63 bits of the quotient.
    const step = (difference & 31) | 32;
    exponent = bExponent + difference - step;
    difference = step;
  }
  let rest: u64;
  let codes: u64 = 0;
  if (difference < 0) {
    // A half to one of b: twice a is compared with b below, at a's own exponent.
    if (a <= b) {
      // 2a <= 2b in units of half b: a / b < 1/2, or equal to it, which rounds to the even 0.
      return roundToRegister(sign, aExponent, a, 0, 64);
    }
    // a > b / 2: the quotient is 1, what is left is b - a, at a's exponent: 2b - a.
    const left = b - (a - b);
    const shift = <u32>clz(left);
    remainderCodes = C1;
    return roundToRegister(sign ^ 0x8000, aExponent - <i32>shift, left << shift, 0, 64);
  }
  let high: u64 = difference == 0 ? 0 : a >> (64 - difference);
  const low: u64 = a << difference;
  if (high >= b) high -= b;
  if (high == 0 && low < b) rest = low;
  else {
    codes = divide(high, low, b);
    rest = remainder;
  }
  if (partial) {
    remainderCodes = C2;
  } else {
    if (nearest && rest != 0) {
      const other = b - rest;
      if (rest > other || (rest == other && (codes & 1) != 0)) {
        rest = other;
        sign ^= 0x8000;
        codes++;
      }
    }
    remainderCodes = (codes & 4 ? C0 : 0) | (codes & 2 ? C3 : 0) | (codes & 1 ? C1 : 0);
  }
  if (rest == 0) {
    setResult(0, aHigh & 0x8000);
    return true;
  }
  const shift = <u32>clz(rest);
  return roundToRegister(sign, exponent - <i32>shift, rest << shift, 0, 64);
}
