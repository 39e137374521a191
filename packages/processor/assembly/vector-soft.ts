/**
 * IEEE 754 arithmetic on integers, for what WebAssembly's native operations cannot tell or do: exception flags at the ends of the
 * range, directed rounding, denormals as zero, flush to zero, x86's choice among NaNs. AMD64 Architecture Programmer's Manual
 * volume 1, chapter 4 ("SIMD floating-point exceptions"). vector-float.ts and vector-convert.ts come here when their native
 * paths do not apply.
 *
 * An operation is `begin`, lanes, `finish`: lanes collect exceptions in `raised`, `finish` merges them into MXCSR and
 * tells whether one is unmasked. Values are bit patterns, singles in the low half of a u64; `double` selects the format.
 */
import * as L from './generated/layout';
import { vp } from './state';

export const INVALID: u32 = 1;
export const DENORMAL: u32 = 2;
export const DIVIDE_BY_ZERO: u32 = 4;
export const OVERFLOW: u32 = 8;
export const UNDERFLOW: u32 = 16;
export const PRECISION: u32 = 32;
export const DENORMALS_ARE_ZERO: u32 = 0x40;
const OVERFLOW_MASK: u32 = 0x400;
const UNDERFLOW_MASK: u32 = 0x800;
const ROUNDING: u32 = 0x6000;
const ROUND_NEAREST: u32 = 0;
const ROUND_DOWN: u32 = 0x2000;
const ROUND_UP: u32 = 0x4000;
const FLUSH_TO_ZERO: u32 = 0x8000;
/** Exceptions found in the operands: when one is unmasked nothing is computed, so nothing else is reported. */
const BEFORE_COMPUTING: u32 = 7;

/** MXCSR as the operation found it. */
export let csr: u32 = 0;
/** Exceptions of the operation's elements so far. */
export let raised: u32 = 0;
/** Round to nearest with PE masked: native operations give the result when it and the operands are ordinary numbers. */
export let native: bool = false;

/** The operation is one half of one on 256 bits: exceptions are collected from both. */
let joined: bool = false;
/** What the steps of both halves raised that are over, 8 bits for each. */
let stepsOver: u32 = 0;

export function begin(): void {
  csr = load<u32>(vp, L.MXCSR);
  if (!joined) raised = 0;
  native = (csr & 0x7000) == 0x1000;
}

/** Operations up to `endJoined` are halves of one: none of them ends with an exception. */
export function beginJoined(): void {
  raised = 0;
  stepsOver = 0;
  joined = true;
}
/** @returns 1 when an unmasked exception was raised by any half */
export function endJoined(): u32 {
  joined = false;
  if (stepsOver == 0) return finish();
  const last = raised;
  for (let over = stepsOver; over != 0; over >>= 8) {
    raised = over & 0xff;
    if (finish() != 0) return 1;
    csr |= raised;
  }
  raised = last;
  return finish();
}

/**
 * A step of an operation of several is over: what it raised is in MXCSR before the next one begins, and may hinder it. Of halves the next
 * step is carried out anyway, and forgotten by `endJoined` if the one before went wrong in either. @returns 1 when the operation is over
 */
export function endStep(step: u32): u32 {
  if (!joined) {
    const over = finish();
    begin();
    return over;
  }
  stepsOver |= raised << (step << 3);
  raised = 0;
  return 0;
}

// @ts-ignore: decorator
@inline
export function signal(exceptions: u32): void {
  raised |= exceptions;
}

/** PE is already set: whether the result is exact no longer matters. */
// @ts-ignore: decorator
@inline
export function precisionKnown(): bool {
  return ((csr | raised) & PRECISION) != 0;
}

/** @returns 1 when an unmasked exception was raised: the caller then stores no result. */
export function finish(): u32 {
  const exceptions = raised;
  if (exceptions == 0 || joined) return 0;
  const unmasked = exceptions & ~(csr >> 7) & 0x3f;
  store<u32>(vp, csr | ((unmasked & BEFORE_COMPUTING) != 0 ? exceptions & BEFORE_COMPUTING : exceptions), L.MXCSR);
  return unmasked != 0 ? 1 : 0;
}

// @ts-ignore: decorator
@inline
export function fractionBits(double: bool): u64 {
  return double ? 52 : 23;
}
// @ts-ignore: decorator
@inline
export function signBit(double: bool): u64 {
  return double ? 0x8000000000000000 : 0x80000000;
}
// @ts-ignore: decorator
@inline
export function infinity(double: bool): u64 {
  return double ? 0x7ff0000000000000 : 0x7f800000;
}
// @ts-ignore: decorator
@inline
export function quietBit(double: bool): u64 {
  return double ? 0x8000000000000 : 0x400000;
}
/** What an invalid operation gives. */
// @ts-ignore: decorator
@inline
export function defaultNaN(double: bool): u64 {
  return double ? 0xfff8000000000000 : 0xffc00000;
}
// @ts-ignore: decorator
@inline
export function magnitude(bits: u64, double: bool): u64 {
  return bits & (double ? 0x7fffffffffffffff : 0x7fffffff);
}
// @ts-ignore: decorator
@inline
export function isNaN64(bits: u64, double: bool): bool {
  return magnitude(bits, double) > infinity(double);
}
export function isSignalling(bits: u64, double: bool): bool {
  return isNaN64(bits, double) && (bits & quietBit(double)) == 0;
}
/** Not zero and below the smallest normal number. */
// @ts-ignore: decorator
@inline
export function isDenormal(bits: u64, double: bool): bool {
  return magnitude(bits, double) - 1 < (double ? 0xfffffffffffff : 0x7fffff);
}

/** An operand as the operation sees it: a denormal is zero when MXCSR.DAZ says so. */
export function operand(bits: u64, double: bool): u64 {
  return (csr & DENORMALS_ARE_ZERO) != 0 && isDenormal(bits, double) ? bits & signBit(double) : bits;
}

/** The result of two operands of which one is a NaN: the first that is one, quiet. */
export function propagate(a: u64, b: u64, double: bool): u64 {
  if (isSignalling(a, double) || isSignalling(b, double)) raised |= INVALID;
  return (isNaN64(a, double) ? a : b) | quietBit(double);
}

export function invalid(double: bool): u64 {
  raised |= INVALID;
  return defaultNaN(double);
}

/** Raises DE if one of two operands, neither a NaN, is a denormal. */
export function noteDenormals(a: u64, b: u64, double: bool): void {
  if (isDenormal(a, double) || isDenormal(b, double)) raised |= DENORMAL;
}

// A finite number other than zero is significand * 2^(exponent - 62) with bit 62 of the significand set.

export function exponentOf(abs: u64, double: bool): i32 {
  const field = <i32>(abs >> fractionBits(double));
  if (field != 0) return field - (double ? 1023 : 127);
  return (double ? -1011 : -86) - <i32>clz<u64>(abs);
}
export function significandOf(abs: u64, double: bool): u64 {
  const bits = fractionBits(double);
  if (abs >> bits == 0) return abs << (clz<u64>(abs) - 1);
  const unit = <u64>1 << bits;
  return ((abs & (unit - 1)) | unit) << (62 - bits);
}

/** Shifts right; any bit lost stays visible in the lowest. */
// @ts-ignore: decorator
@inline
function shiftJam(value: u64, count: u32): u64 {
  if (count > 63) return value != 0 ? 1 : 0;
  return count == 0 ? value : (value >> count) | ((value << (64 - count)) != 0 ? 1 : 0);
}

/** Drops the lowest bits of a significand as MXCSR.RC says. */
export function roundOff(significand: u64, drop: u64, negative: bool): u64 {
  const unit = <u64>1 << drop;
  const mode = csr & ROUNDING;
  if (mode == ROUND_NEAREST) {
    const half = unit >> 1;
    const rounded = (significand + half) >> drop;
    return (significand & (unit - 1)) == half ? rounded & ~1 : rounded;
  }
  const away = mode == ROUND_UP ? !negative : mode == ROUND_DOWN ? negative : false;
  return (away ? significand + (unit - 1) : significand) >> drop;
}

/** Rounds and packs a number; raises OE, UE and PE. Tininess is judged after rounding. */
export function roundPack(negative: bool, exponent: i32, significand: u64, double: bool): u64 {
  const sign = negative ? signBit(double) : 0;
  const bits = fractionBits(double);
  const drop = 62 - bits;
  const lost = (<u64>1 << drop) - 1;
  const smallest = double ? -1022 : -126;
  let inexact = (significand & lost) != 0;
  let rounded = roundOff(significand, drop, negative);
  let top = exponent;
  if (rounded >> (bits + 1) != 0) {
    rounded >>= 1;
    top++;
  }
  if (top < smallest) {
    if ((csr & UNDERFLOW_MASK) == 0) {
      raised |= inexact ? UNDERFLOW | PRECISION : UNDERFLOW;
      return sign;
    }
    if ((csr & FLUSH_TO_ZERO) != 0) {
      raised |= UNDERFLOW | PRECISION;
      return sign;
    }
    const denormal = shiftJam(significand, smallest - exponent);
    if ((denormal & lost) != 0) raised |= UNDERFLOW | PRECISION;
    return sign | roundOff(denormal, drop, negative);
  }
  if (top > (double ? 1023 : 127)) {
    if ((csr & OVERFLOW_MASK) == 0) {
      raised |= inexact ? OVERFLOW | PRECISION : OVERFLOW;
      return sign;
    }
    raised |= OVERFLOW | PRECISION;
    const mode = csr & ROUNDING;
    const infinite = mode == ROUND_NEAREST || (mode == ROUND_UP && !negative) || (mode == ROUND_DOWN && negative);
    return sign | (infinity(double) - (infinite ? 0 : 1));
  }
  if (inexact) raised |= PRECISION;
  return sign | ((<u64>(top - smallest) << bits) + rounded);
}

/**
 * Rounds and packs a half-precision number without its sign, as bits 0-1 of `control` or (bit 2) MXCSR say. FTZ plays no part.
 */
export function roundPackHalf(negative: bool, exponent: i32, significand: u64, control: u32): u64 {
  const before = csr;
  if ((control & 4) == 0) csr = (csr & ~ROUNDING) | ((control & 3) << 13);
  const result = packHalf(negative, exponent, significand);
  csr = before;
  return result;
}
function packHalf(negative: bool, exponent: i32, significand: u64): u64 {
  const drop: u64 = 52;
  const lost = (<u64>1 << drop) - 1;
  const inexact = (significand & lost) != 0;
  let rounded = roundOff(significand, drop, negative);
  let top = exponent;
  if (rounded >> 11 != 0) {
    rounded >>= 1;
    top++;
  }
  if (top < -14) {
    // Unmasked, what counts is whether the number fits into the fraction with whatever exponent, as in `roundPack`.
    if ((csr & UNDERFLOW_MASK) == 0) {
      raised |= inexact ? UNDERFLOW | PRECISION : UNDERFLOW;
      return 0;
    }
    const denormal = shiftJam(significand, -14 - exponent);
    if ((denormal & lost) != 0) raised |= UNDERFLOW | PRECISION;
    return roundOff(denormal, drop, negative);
  }
  if (top > 15) {
    if ((csr & OVERFLOW_MASK) == 0) {
      raised |= inexact ? OVERFLOW | PRECISION : OVERFLOW;
      return 0;
    }
    raised |= OVERFLOW | PRECISION;
    const mode = csr & ROUNDING;
    const infinite = mode == ROUND_NEAREST || (mode == ROUND_UP && !negative) || (mode == ROUND_DOWN && negative);
    return infinite ? 0x7c00 : 0x7bff;
  }
  if (inexact) raised |= PRECISION;
  return (<u64>(top + 14) << 10) + rounded;
}

/** Zero where two numbers cancel: positive, except when rounding down. */
export function cancelled(double: bool): u64 {
  return (csr & ROUNDING) == ROUND_DOWN ? signBit(double) : 0;
}

/** Packs an operand again as a result: it may have to be flushed to zero. */
export function repack(bits: u64, double: bool): u64 {
  const abs = magnitude(bits, double);
  return roundPack((bits & signBit(double)) != 0, exponentOf(abs, double), significandOf(abs, double), double);
}

/** a + b, or a - b. */
export function softAdd(left: u64, right: u64, subtract: bool, double: bool): u64 {
  if (isNaN64(left, double) || isNaN64(right, double)) return propagate(left, right, double);
  const sign = signBit(double);
  let a = operand(left, double);
  let b = operand(right, double);
  if (subtract) b ^= sign;
  const infinite = infinity(double);
  if (magnitude(a, double) == infinite) {
    if (b == (a ^ sign)) return invalid(double);
    noteDenormals(a, b, double);
    return a;
  }
  noteDenormals(a, b, double);
  if (magnitude(b, double) == infinite) return b;
  if (magnitude(a, double) == 0) {
    if (magnitude(b, double) == 0) return a == b ? a : cancelled(double);
    return repack(b, double);
  }
  if (magnitude(b, double) == 0) return repack(a, double);

  if (magnitude(a, double) < magnitude(b, double)) {
    const swapped = a;
    a = b;
    b = swapped;
  }
  const negative = (a & sign) != 0;
  const absA = magnitude(a, double);
  const absB = magnitude(b, double);
  let exponent = exponentOf(absA, double);
  const larger = significandOf(absA, double);
  const smaller = shiftJam(significandOf(absB, double), exponent - exponentOf(absB, double));
  if (((a ^ b) & sign) == 0) {
    const sum = larger + smaller;
    if (sum >> 63 == 0) return roundPack(negative, exponent, sum, double);
    return roundPack(negative, exponent + 1, shiftJam(sum, 1), double);
  }
  const difference = larger - smaller;
  if (difference == 0) return cancelled(double);
  const shift = <i32>clz<u64>(difference) - 1;
  return roundPack(negative, exponent - shift, difference << shift, double);
}

export function softMultiply(left: u64, right: u64, double: bool): u64 {
  if (isNaN64(left, double) || isNaN64(right, double)) return propagate(left, right, double);
  const sign = (left ^ right) & signBit(double);
  const a = magnitude(operand(left, double), double);
  const b = magnitude(operand(right, double), double);
  const infinite = infinity(double);
  if (a == infinite || b == infinite) {
    if (a == 0 || b == 0) return invalid(double);
    noteDenormals(a, b, double);
    return sign | infinite;
  }
  noteDenormals(a, b, double);
  if (a == 0 || b == 0) return sign;
  // Both factors with bit 63 set: the product's upper half has bit 62 or 63 set.
  const x = significandOf(a, double) << 1;
  const y = significandOf(b, double) << 1;
  const xLow = x & 0xffffffff;
  const xHigh = x >> 32;
  const yLow = y & 0xffffffff;
  const yHigh = y >> 32;
  const low = xLow * yLow;
  const cross = xHigh * yLow + (low >> 32);
  const middle = xLow * yHigh + (cross & 0xffffffff);
  let product = xHigh * yHigh + (cross >> 32) + (middle >> 32);
  if (((middle << 32) | (low & 0xffffffff)) != 0) product |= 1;
  let exponent = exponentOf(a, double) + exponentOf(b, double);
  if (product >> 63 != 0) {
    product = shiftJam(product, 1);
    exponent++;
  }
  return roundPack(sign != 0, exponent, product, double);
}

export function softDivide(left: u64, right: u64, double: bool): u64 {
  if (isNaN64(left, double) || isNaN64(right, double)) return propagate(left, right, double);
  const sign = (left ^ right) & signBit(double);
  const a = magnitude(operand(left, double), double);
  const b = magnitude(operand(right, double), double);
  const infinite = infinity(double);
  if (a == infinite) {
    if (b == infinite) return invalid(double);
    noteDenormals(a, b, double);
    return sign | infinite;
  }
  if (b == 0) {
    if (a == 0) return invalid(double);
    raised |= DIVIDE_BY_ZERO;
    return sign | infinite;
  }
  noteDenormals(a, b, double);
  if (a == 0 || b == infinite) return sign;
  let remainder = significandOf(a, double);
  const divisor = significandOf(b, double);
  let exponent = exponentOf(a, double) - exponentOf(b, double);
  if (remainder < divisor) {
    remainder <<= 1;
    exponent--;
  }
  let quotient: u64 = 0;
  for (let step = 0; step < 57; step++) {
    quotient <<= 1;
    if (remainder >= divisor) {
      remainder -= divisor;
      quotient |= 1;
    }
    remainder <<= 1;
  }
  return roundPack(sign != 0, exponent, (quotient << 6) | (remainder != 0 ? 1 : 0), double);
}

export function softSquareRoot(bits: u64, double: bool): u64 {
  if (isNaN64(bits, double)) return propagate(bits, bits, double);
  const value = operand(bits, double);
  const abs = magnitude(value, double);
  if (abs == 0) return value;
  if (value != abs) return invalid(double);
  if (abs == infinity(double)) return value;
  noteDenormals(abs, abs, double);
  let exponent = exponentOf(abs, double);
  let radicand = significandOf(abs, double);
  if ((exponent & 1) != 0) {
    radicand <<= 1;
    exponent--;
  }
  let remainder: u64 = 0;
  let root: u64 = 0;
  for (let step = 0; step < 57; step++) {
    remainder = (remainder << 2) | (radicand >> 62);
    radicand <<= 2;
    const trial = (root << 2) | 1;
    root <<= 1;
    if (remainder >= trial) {
      remainder -= trial;
      root |= 1;
    }
  }
  return roundPack(false, exponent >> 1, (root << 6) | (remainder != 0 ? 1 : 0), double);
}

/** An integer as a floating-point number. */
export function softFromInteger(value: i64, double: bool): u64 {
  if (value == 0) return 0;
  const negative = value < 0;
  const abs = negative ? 0 - <u64>value : <u64>value;
  // Only -2^63 has bit 63 set.
  if (abs >> 63 != 0) return roundPack(negative, 63, 0x4000000000000000, double);
  const shift = <i32>clz<u64>(abs) - 1;
  return roundPack(negative, 62 - shift, abs << shift, double);
}

/** Single to double, or double to single. */
export function softConvert(bits: u64, double: bool): u64 {
  const negative = (bits & signBit(double)) != 0;
  const sign = negative ? signBit(!double) : 0;
  const abs = magnitude(operand(bits, double), double);
  if (isNaN64(bits, double)) {
    if ((bits & quietBit(double)) == 0) raised |= INVALID;
    const payload = double ? (abs & 0xfffffffffffff) >> 29 : (abs & 0x7fffff) << 29;
    return sign | infinity(!double) | quietBit(!double) | payload;
  }
  if (abs == 0) return sign;
  if (abs == infinity(double)) return sign | infinity(!double);
  noteDenormals(abs, abs, double);
  return roundPack(negative, exponentOf(abs, double), significandOf(abs, double), !double);
}
