/**
 * SSE and SSE2 floating-point arithmetic, minimum and maximum, comparisons, square roots and approximations. AMD64 Architecture
 * Programmer's Manual volume 4. Called by vector.ts.
 *
 * Each element is computed natively when that gives the processor's result and exceptions: rounding to nearest, PE masked,
 * operands and result ordinary (normal and away from the smallest, or zero). Then only PE can be raised, and whether the
 * result is exact is tested only until PE is set. Everything else goes to vector-soft.ts. `B` is u32 for singles, u64 for doubles.
 */
import {
  begin,
  endStep,
  csr,
  defaultNaN,
  finish,
  INVALID,
  isNaN64,
  isSignalling,
  native,
  noteDenormals,
  operand,
  PRECISION,
  precisionKnown,
  quietBit,
  raised,
  signal,
  softAdd,
  softDivide,
  softMultiply,
  softSquareRoot,
} from './vector-soft';
import * as L from './generated/layout';
import { vp } from './state';

export const ADD: u32 = 0;
export const SUBTRACT: u32 = 1;
export const MULTIPLY: u32 = 2;
export const DIVIDE: u32 = 3;
export const MINIMUM: u32 = 4;
export const MAXIMUM: u32 = 5;
export const SQUARE_ROOT: u32 = 6;
/** Comparison with predicate n is COMPARE + n. */
export const COMPARE: u32 = 8;

/** Normal, and not the smallest exponent, where tininess would have to be judged. */
// @ts-ignore: decorator
@inline
export function ordinary<B>(bits: B): bool {
  if (sizeof<B>() == 8) return (<u64>bits << 1) - 0x40000000000000 < 0xffa0000000000000;
  return (<u32>bits << 1) - 0x2000000 < 0xfd000000;
}
// @ts-ignore: decorator
@inline
function notDenormal<B>(bits: B): bool {
  if (sizeof<B>() == 8) return (<u64>bits << 1) - 1 >= 0x1fffffffffffff;
  return (<u32>bits << 1) - 1 >= 0xffffff;
}
// @ts-ignore: decorator
@inline
function isZero<B>(bits: B): bool {
  if (sizeof<B>() == 8) return <u64>bits << 1 == 0;
  return <u32>bits << 1 == 0;
}
/** So large that the exactness test of an addition might overflow. */
// @ts-ignore: decorator
@inline
function huge<B>(bits: B): bool {
  if (sizeof<B>() == 8) return <u64>bits << 1 >= 0xfe00000000000000;
  return <u32>bits << 1 >= 0xf0000000;
}

/** Significant bits of a normal double without trailing zeros. */
// @ts-ignore: decorator
@inline
function oddSignificand(bits: u64): u64 {
  const significand = (bits & 0xfffffffffffff) | 0x10000000000000;
  return significand >> ctz<u64>(significand);
}
/** Whether the product of two normal doubles fits in 53 bits (its magnitude being in range). */
export function exactProduct(a: u64, b: u64): bool {
  const x = oddSignificand(a);
  const y = oddSignificand(b);
  const width = 128 - clz<u64>(x) - clz<u64>(y);
  // An odd product of m and n bits has m + n - 1 or m + n.
  return width <= 53 || (width == 54 && (x * y) >> 53 == 0);
}

function addLane<B>(a: B, b: B, subtract: bool): B {
  if (native) {
    if (sizeof<B>() == 8) {
      const x = reinterpret<f64>(<u64>a);
      const y = subtract ? -reinterpret<f64>(<u64>b) : reinterpret<f64>(<u64>b);
      const sum = x + y;
      const bits = reinterpret<u64>(sum);
      if ((ordinary<u64>(bits) || isZero<u64>(bits)) && notDenormal<B>(a) && notDenormal<B>(b)) {
        if (precisionKnown()) return <B>bits;
        if (!huge<B>(a) && !huge<B>(b)) {
          const part = sum - x;
          if ((x - (sum - part)) + (y - part) != 0) signal(PRECISION);
          return <B>bits;
        }
      }
    } else {
      const x = reinterpret<f32>(<u32>a);
      const y = subtract ? -reinterpret<f32>(<u32>b) : reinterpret<f32>(<u32>b);
      const sum: f32 = x + y;
      const bits = reinterpret<u32>(sum);
      if ((ordinary<u32>(bits) || isZero<u32>(bits)) && notDenormal<B>(a) && notDenormal<B>(b)) {
        if (precisionKnown()) return <B>bits;
        if (!huge<B>(a) && !huge<B>(b)) {
          const part: f32 = sum - x;
          if ((x - (sum - part)) + (y - part) != 0) signal(PRECISION);
          return <B>bits;
        }
      }
    }
  }
  return <B>softAdd(<u64>a, <u64>b, subtract, sizeof<B>() == 8);
}

function multiplyLane<B>(a: B, b: B): B {
  if (native && notDenormal<B>(a) && notDenormal<B>(b)) {
    if (sizeof<B>() == 8) {
      const bits = reinterpret<u64>(reinterpret<f64>(<u64>a) * reinterpret<f64>(<u64>b));
      if (ordinary<u64>(bits)) {
        if (!precisionKnown() && !exactProduct(<u64>a, <u64>b)) signal(PRECISION);
        return <B>bits;
      }
      if (isZero<u64>(bits) && (isZero<B>(a) || isZero<B>(b))) return <B>bits;
    } else {
      const x = reinterpret<f32>(<u32>a);
      const y = reinterpret<f32>(<u32>b);
      const product: f32 = x * y;
      const bits = reinterpret<u32>(product);
      if (ordinary<u32>(bits)) {
        if (!precisionKnown() && <f64>product != <f64>x * <f64>y) signal(PRECISION);
        return <B>bits;
      }
      if (isZero<u32>(bits) && (isZero<B>(a) || isZero<B>(b))) return <B>bits;
    }
  }
  return <B>softMultiply(<u64>a, <u64>b, sizeof<B>() == 8);
}

function divideLane<B>(a: B, b: B): B {
  if (native && notDenormal<B>(a) && notDenormal<B>(b)) {
    if (sizeof<B>() == 8) {
      const x = reinterpret<f64>(<u64>a);
      const y = reinterpret<f64>(<u64>b);
      const quotient = x / y;
      const bits = reinterpret<u64>(quotient);
      if (ordinary<u64>(bits)) {
        if (!precisionKnown() && !(exactProduct(bits, <u64>b) && quotient * y == x)) signal(PRECISION);
        return <B>bits;
      }
      if (isZero<u64>(bits) && isZero<B>(a)) return <B>bits;
    } else {
      const x = reinterpret<f32>(<u32>a);
      const y = reinterpret<f32>(<u32>b);
      const quotient: f32 = x / y;
      const bits = reinterpret<u32>(quotient);
      if (ordinary<u32>(bits)) {
        if (!precisionKnown() && <f64>quotient * <f64>y != <f64>x) signal(PRECISION);
        return <B>bits;
      }
      if (isZero<u32>(bits) && isZero<B>(a)) return <B>bits;
    }
  }
  return <B>softDivide(<u64>a, <u64>b, sizeof<B>() == 8);
}

function squareRootLane<B>(a: B): B {
  if (native && notDenormal<B>(a)) {
    if (sizeof<B>() == 8) {
      const x = reinterpret<f64>(<u64>a);
      const root = Math.sqrt(x);
      const bits = reinterpret<u64>(root);
      if (ordinary<u64>(bits)) {
        if (!precisionKnown() && !(exactProduct(bits, bits) && root * root == x)) signal(PRECISION);
        return <B>bits;
      }
    } else {
      const x = reinterpret<f32>(<u32>a);
      const root = Mathf.sqrt(x);
      const bits = reinterpret<u32>(root);
      if (ordinary<u32>(bits)) {
        if (!precisionKnown() && <f64>root * <f64>root != <f64>x) signal(PRECISION);
        return <B>bits;
      }
    }
  }
  return <B>softSquareRoot(<u64>a, sizeof<B>() == 8);
}

// @ts-ignore: decorator
@inline
function less<B>(a: B, b: B): bool {
  if (sizeof<B>() == 8) return reinterpret<f64>(<u64>a) < reinterpret<f64>(<u64>b);
  return reinterpret<f32>(<u32>a) < reinterpret<f32>(<u32>b);
}
// @ts-ignore: decorator
@inline
function equal<B>(a: B, b: B): bool {
  if (sizeof<B>() == 8) return reinterpret<f64>(<u64>a) == reinterpret<f64>(<u64>b);
  return reinterpret<f32>(<u32>a) == reinterpret<f32>(<u32>b);
}

/** The smaller or larger; the second operand when one is a NaN or both are zero. */
function extremeLane<B>(left: B, right: B, maximum: bool): B {
  const double = sizeof<B>() == 8;
  const a = <B>operand(<u64>left, double);
  const b = <B>operand(<u64>right, double);
  if (isNaN64(<u64>a, double) || isNaN64(<u64>b, double)) {
    signal(INVALID);
    return b;
  }
  noteDenormals(<u64>a, <u64>b, double);
  return (maximum ? less<B>(b, a) : less<B>(a, b)) ? a : b;
}

/** All ones when the predicate (EQ LT LE UNORD, then their negations) holds. LT and LE object to any NaN, the others to signalling ones. */
function compareLane<B>(left: B, right: B, predicate: u32): B {
  const double = sizeof<B>() == 8;
  const a = <B>operand(<u64>left, double);
  const b = <B>operand(<u64>right, double);
  let holds = false;
  const relation = predicate & 3;
  if (isNaN64(<u64>a, double) || isNaN64(<u64>b, double)) {
    if (relation == 1 || relation == 2 || isSignalling(<u64>a, double) || isSignalling(<u64>b, double)) signal(INVALID);
    holds = relation == 3;
  } else {
    noteDenormals(<u64>a, <u64>b, double);
    if (relation == 0) holds = equal<B>(a, b);
    else if (relation == 1) holds = less<B>(a, b);
    else if (relation == 2) holds = !less<B>(b, a);
  }
  return holds != ((predicate & 4) != 0) ? <B>-1 : <B>0;
}

// @ts-ignore: decorator
@inline
function lane<B>(kind: u32, a: B, b: B): B {
  if (kind == ADD) return addLane<B>(a, b, false);
  if (kind == SUBTRACT) return addLane<B>(a, b, true);
  if (kind == MULTIPLY) return multiplyLane<B>(a, b);
  if (kind == DIVIDE) return divideLane<B>(a, b);
  if (kind == MINIMUM) return extremeLane<B>(a, b, false);
  if (kind == MAXIMUM) return extremeLane<B>(a, b, true);
  if (kind == SQUARE_ROOT) return squareRootLane<B>(b);
  return compareLane<B>(a, b, kind & 7);
}

// @ts-ignore: decorator
@inline
function merge(): u32 {
  return raised != 0 ? finish() : 0;
}

/** The operation on the lowest element. `kind` is constant where this is called, and so chooses its lane function there. */
// @ts-ignore: decorator
@inline
export function scalar<B>(kind: u32, d: usize, s: usize): u32 {
  begin();
  const result = lane<B>(kind, load<B>(d), load<B>(s));
  if (merge() != 0) return 1;
  store<B>(d, result);
  return 0;
}

export function packedDouble(kind: u32, d: usize, s: usize): u32 {
  begin();
  const low = lane<u64>(kind, load<u64>(d), load<u64>(s));
  const high = lane<u64>(kind, load<u64>(d, 8), load<u64>(s, 8));
  if (merge() != 0) return 1;
  store<u64>(d, low);
  store<u64>(d, high, 8);
  return 0;
}

/** Whether no element is a denormal. */
// @ts-ignore: decorator
@inline
function noDenormals(value: v128): bool {
  return i32x4.all_true(i32x4.ge_u(i32x4.sub(i32x4.shl(value, 1), i32x4.splat(1)), i32x4.splat(0xffffff)));
}

export function packedSingle(kind: u32, d: usize, s: usize): u32 {
  begin();
  if (native && (csr & PRECISION) != 0 && kind <= DIVIDE) {
    const a = v128.load(d);
    const b = v128.load(s);
    let result: v128;
    if (kind == ADD) result = f32x4.add(a, b);
    else if (kind == SUBTRACT) result = f32x4.sub(a, b);
    else if (kind == MULTIPLY) result = f32x4.mul(a, b);
    else result = f32x4.div(a, b);
    const shifted = i32x4.shl(result, 1);
    let fine = i32x4.lt_u(i32x4.sub(shifted, i32x4.splat(0x2000000)), i32x4.splat(0xfd000000));
    if (kind <= SUBTRACT) fine = v128.or(fine, i32x4.eq(shifted, i32x4.splat(0)));
    if (i32x4.all_true(fine) && noDenormals(a) && noDenormals(b)) {
      v128.store(d, result);
      return 0;
    }
  }
  const e0 = lane<u32>(kind, load<u32>(d), load<u32>(s));
  const e1 = lane<u32>(kind, load<u32>(d, 4), load<u32>(s, 4));
  const e2 = lane<u32>(kind, load<u32>(d, 8), load<u32>(s, 8));
  const e3 = lane<u32>(kind, load<u32>(d, 12), load<u32>(s, 12));
  if (merge() != 0) return 1;
  store<u32>(d, e0);
  store<u32>(d, e1, 4);
  store<u32>(d, e2, 8);
  store<u32>(d, e3, 12);
  return 0;
}

/** ADDSUBPS, ADDSUBPD: even elements subtracted, odd ones added. */
export function alternate<B>(d: usize, s: usize): u32 {
  begin();
  const e0 = addLane<B>(load<B>(d), load<B>(s), true);
  const e1 = addLane<B>(load<B>(d, sizeof<B>()), load<B>(s, sizeof<B>()), false);
  let e2: B = 0;
  let e3: B = 0;
  if (sizeof<B>() == 4) {
    e2 = addLane<B>(load<B>(d, 8), load<B>(s, 8), true);
    e3 = addLane<B>(load<B>(d, 12), load<B>(s, 12), false);
  }
  if (merge() != 0) return 1;
  store<B>(d, e0);
  store<B>(d, e1, sizeof<B>());
  if (sizeof<B>() == 4) {
    store<B>(d, e2, 8);
    store<B>(d, e3, 12);
  }
  return 0;
}

/** HADDPS, HSUBPS. */
export function horizontalSingle(kind: u32, d: usize, s: usize): u32 {
  begin();
  const subtract = kind == SUBTRACT;
  const e0 = addLane<u32>(load<u32>(d), load<u32>(d, 4), subtract);
  const e1 = addLane<u32>(load<u32>(d, 8), load<u32>(d, 12), subtract);
  const e2 = addLane<u32>(load<u32>(s), load<u32>(s, 4), subtract);
  const e3 = addLane<u32>(load<u32>(s, 8), load<u32>(s, 12), subtract);
  if (merge() != 0) return 1;
  store<u32>(d, e0);
  store<u32>(d, e1, 4);
  store<u32>(d, e2, 8);
  store<u32>(d, e3, 12);
  return 0;
}
/** HADDPD, HSUBPD. */
export function horizontalDouble(kind: u32, d: usize, s: usize): u32 {
  begin();
  const subtract = kind == SUBTRACT;
  const e0 = addLane<u64>(load<u64>(d), load<u64>(d, 8), subtract);
  const e1 = addLane<u64>(load<u64>(s), load<u64>(s, 8), subtract);
  if (merge() != 0) return 1;
  store<u64>(d, e0);
  store<u64>(d, e1, 8);
  return 0;
}

/** DPPS: products of the elements that the upper half of `select` names, their sum where the lower half says. */
export function dotSingle(d: usize, s: usize, select: u32): u32 {
  begin();
  const p0 = (select & 16) != 0 ? multiplyLane<u32>(load<u32>(d), load<u32>(s)) : 0;
  const p1 = (select & 32) != 0 ? multiplyLane<u32>(load<u32>(d, 4), load<u32>(s, 4)) : 0;
  const p2 = (select & 64) != 0 ? multiplyLane<u32>(load<u32>(d, 8), load<u32>(s, 8)) : 0;
  const p3 = (select & 128) != 0 ? multiplyLane<u32>(load<u32>(d, 12), load<u32>(s, 12)) : 0;
  if (endStep(0) != 0) return 1;
  const low = addLane<u32>(p0, p1, false);
  const high = addLane<u32>(p2, p3, false);
  if (endStep(1) != 0) return 1;
  const sum = addLane<u32>(low, high, false);
  if (endStep(2) != 0) return 1;
  for (let i: u32 = 0; i < 4; i++) store<u32>(d + (i << 2), ((select >> i) & 1) != 0 ? sum : 0);
  return 0;
}
/** DPPD. */
export function dotDouble(d: usize, s: usize, select: u32): u32 {
  begin();
  const p0 = (select & 16) != 0 ? multiplyLane<u64>(load<u64>(d), load<u64>(s)) : 0;
  const p1 = (select & 32) != 0 ? multiplyLane<u64>(load<u64>(d, 8), load<u64>(s, 8)) : 0;
  if (endStep(0) != 0) return 1;
  const sum = addLane<u64>(p0, p1, false);
  if (endStep(1) != 0) return 1;
  store<u64>(d, (select & 1) != 0 ? sum : 0);
  store<u64>(d, (select & 2) != 0 ? sum : 0, 8);
  return 0;
}

/** To an integer of the same format, as bits 0-1 of the immediate or (bit 2) MXCSR say; bit 3: PE is not raised. */
function roundLane(bits: u64, immediate: u32, double: bool): u64 {
  if (isNaN64(bits, double)) {
    if (isSignalling(bits, double)) signal(INVALID);
    return bits | quietBit(double);
  }
  const pattern = operand(bits, double);
  const value = double ? reinterpret<f64>(pattern) : <f64>reinterpret<f32>(<u32>pattern);
  const mode = (immediate & 4) != 0 ? (csr >> 13) & 3 : immediate & 3;
  let rounded: f64;
  if (mode == 0) rounded = nearest<f64>(value);
  else if (mode == 1) rounded = Math.floor(value);
  else if (mode == 2) rounded = Math.ceil(value);
  else rounded = Math.trunc(value);
  if (rounded != value && (immediate & 8) == 0) signal(PRECISION);
  return double ? reinterpret<u64>(rounded) : <u64>reinterpret<u32>(<f32>rounded);
}
/** ROUNDSS. */
export function roundSingle(d: usize, s: usize, immediate: u32): u32 {
  begin();
  const result = roundLane(load<u32>(s), immediate, false);
  if (merge() != 0) return 1;
  store<u32>(d, <u32>result);
  return 0;
}
/** ROUNDSD. */
export function roundDouble(d: usize, s: usize, immediate: u32): u32 {
  begin();
  const result = roundLane(load<u64>(s), immediate, true);
  if (merge() != 0) return 1;
  store<u64>(d, result);
  return 0;
}
/** ROUNDPS. */
export function roundSingles(d: usize, s: usize, immediate: u32): u32 {
  begin();
  const low = roundLane(load<u32>(s), immediate, false) | (roundLane(load<u32>(s, 4), immediate, false) << 32);
  const high = roundLane(load<u32>(s, 8), immediate, false) | (roundLane(load<u32>(s, 12), immediate, false) << 32);
  if (merge() != 0) return 1;
  store<u64>(d, low);
  store<u64>(d, high, 8);
  return 0;
}
/** ROUNDPD. */
export function roundDoubles(d: usize, s: usize, immediate: u32): u32 {
  begin();
  const low = roundLane(load<u64>(s), immediate, true);
  const high = roundLane(load<u64>(s, 8), immediate, true);
  if (merge() != 0) return 1;
  store<u64>(d, low);
  store<u64>(d, high, 8);
  return 0;
}

/** COMIS and UCOMIS: leaves ZF PF CF in L.VECTOR_RESULT. `quiet`: only signalling NaNs are invalid. */
export function compareFlags<B>(d: usize, s: usize, quiet: bool): u32 {
  begin();
  const double = sizeof<B>() == 8;
  const a = <B>operand(<u64>load<B>(d), double);
  const b = <B>operand(<u64>load<B>(s), double);
  let flags: u64 = 0;
  if (isNaN64(<u64>a, double) || isNaN64(<u64>b, double)) {
    if (!quiet || isSignalling(<u64>a, double) || isSignalling(<u64>b, double)) signal(INVALID);
    flags = 0x45;
  } else {
    noteDenormals(<u64>a, <u64>b, double);
    if (less<B>(a, b)) flags = 0x01;
    else if (equal<B>(a, b)) flags = 0x40;
  }
  if (merge() != 0) return 1;
  store<u64>(vp, flags, L.VECTOR_RESULT);
  return 0;
}

// Approximations: 12 significant bits, no exceptions, MXCSR without influence; denormal operands and results are zero.

/** Keeps 12 significant bits: the relative error, at most 2^-13, is below the bound of 1.5 * 2^-12. */
// @ts-ignore: decorator
@inline
function twelveBits(value: f32): u32 {
  return (reinterpret<u32>(value) + 0x400) & 0xfffff800;
}

export function reciprocal(bits: u32): u32 {
  const abs = bits & 0x7fffffff;
  const sign = bits & 0x80000000;
  if (abs > 0x7f800000) return bits | 0x400000;
  if (abs < 0x800000) return sign | 0x7f800000;
  // From 2^126 on processors return zero.
  if (abs >= 0x7e800000) return sign;
  return twelveBits(<f32>1 / reinterpret<f32>(bits));
}

export function reciprocalSquareRoot(bits: u32): u32 {
  const abs = bits & 0x7fffffff;
  if (abs > 0x7f800000) return bits | 0x400000;
  if (abs < 0x800000) return (bits & 0x80000000) | 0x7f800000;
  if (bits != abs) return <u32>defaultNaN(false);
  if (abs == 0x7f800000) return 0;
  return twelveBits(<f32>1 / Mathf.sqrt(reinterpret<f32>(bits)));
}
