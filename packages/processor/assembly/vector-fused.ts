/**
 * FMA and F16C, and AVX's comparisons with 32 predicates. AMD64 Architecture Programmer's Manual volume 4. Called by vector-extended.ts.
 *
 * A fused product and sum is exact in 128 bits and rounded once; where nothing but PE can come of it, which is set, fused-native.ts is faster. The three operands keep the order in which the instruction names them
 * for the choice among NaNs.
 */
import { fuseDouble, fuseSingle } from './fused-native';
import { Operation } from './generated/operations';
import {
  begin,
  cancelled,
  exponentOf,
  finish,
  infinity,
  INVALID,
  invalid,
  isNaN64,
  isSignalling,
  magnitude,
  native,
  noteDenormals,
  operand,
  precisionKnown,
  quietBit,
  raised,
  repack,
  roundPack,
  roundPackHalf,
  signal,
  signBit,
  significandOf,
} from './vector-soft';

// @ts-ignore: decorator
@inline
function merge(): u32 {
  return raised != 0 ? finish() : 0;
}

/** A NaN in both formats. */
const NOT_NATIVE: u64 = 0xffffffffffffffff;

let high: u64 = 0;
let low: u64 = 0;
/** Shifts high:low right; any bit lost stays visible in the lowest. */
function shiftPair(count: u32): void {
  if (count == 0) return;
  if (count > 127) {
    low = (high | low) != 0 ? 1 : 0;
    high = 0;
  } else if (count > 63) {
    const by = <u64>(count - 64);
    const lost = low != 0 || (by != 0 && high << (64 - by) != 0);
    low = (high >> by) | (lost ? 1 : 0);
    high = 0;
  } else {
    const by = <u64>count;
    const lost = low << (64 - by) != 0;
    low = (low >> by) | (high << (64 - by)) | (lost ? 1 : 0);
    high >>= by;
  }
}

/** x * y + z, or with signs changed. */
function fused(x: u64, y: u64, z: u64, negateProduct: bool, negateSum: bool, double: bool): u64 {
  const sign = signBit(double);
  const a = operand(x, double);
  const b = operand(y, double);
  const c = operand(z, double) ^ (negateSum ? sign : 0);
  const absA = magnitude(a, double);
  const absB = magnitude(b, double);
  const absC = magnitude(c, double);
  const infinite = infinity(double);
  const productSign = (a ^ b ^ (negateProduct ? sign : 0)) & sign;
  if (absA == infinite || absB == infinite) {
    if (absA == 0 || absB == 0) return invalid(double);
    if (absC == infinite && (c & sign) != productSign) return invalid(double);
    noteDenormals(a, b, double);
    noteDenormals(c, c, double);
    return productSign | infinite;
  }
  noteDenormals(a, b, double);
  noteDenormals(c, c, double);
  if (absC == infinite) return c;
  if (absA == 0 || absB == 0) {
    if (absC == 0) return productSign == (c & sign) ? productSign : cancelled(double);
    return repack(c, double);
  }
  const p = significandOf(absA, double) << 1;
  const q = significandOf(absB, double) << 1;
  const pLow = p & 0xffffffff;
  const qLow = q & 0xffffffff;
  const lowest = pLow * qLow;
  const cross = (p >> 32) * qLow + (lowest >> 32);
  const middle = pLow * (q >> 32) + (cross & 0xffffffff);
  high = (p >> 32) * (q >> 32) + (cross >> 32) + (middle >> 32);
  low = (middle << 32) | (lowest & 0xffffffff);
  let exponent = exponentOf(absA, double) + exponentOf(absB, double);
  if (high >> 63 != 0) {
    shiftPair(1);
    exponent++;
  }
  if (absC == 0) return roundPack(productSign != 0, exponent, high | (low != 0 ? 1 : 0), double);

  const exponentC = exponentOf(absC, double);
  const significandC = significandOf(absC, double);
  let resultSign = productSign;
  let otherHigh: u64;
  let otherLow: u64;
  if (exponent > exponentC || (exponent == exponentC && high >= significandC)) {
    const productHigh = high;
    const productLow = low;
    high = significandC;
    low = 0;
    shiftPair(<u32>(exponent - exponentC));
    otherHigh = high;
    otherLow = low;
    high = productHigh;
    low = productLow;
  } else {
    shiftPair(<u32>(exponentC - exponent));
    otherHigh = high;
    otherLow = low;
    high = significandC;
    low = 0;
    exponent = exponentC;
    resultSign = c & sign;
  }
  if (productSign == (c & sign)) {
    low += otherLow;
    high += otherHigh + (low < otherLow ? 1 : 0);
    if (high >> 63 != 0) {
      shiftPair(1);
      exponent++;
    }
  } else {
    const borrow: u64 = low < otherLow ? 1 : 0;
    low -= otherLow;
    high -= otherHigh + borrow;
    if ((high | low) == 0) return cancelled(double);
    const shift: u64 = (high != 0 ? clz<u64>(high) : 64 + clz<u64>(low)) - 1;
    if (shift > 63) {
      high = low << (shift - 64);
      low = 0;
    } else if (shift != 0) {
      high = (high << shift) | (low >> (64 - shift));
      low <<= shift;
    }
    exponent -= <i32>shift;
  }
  return roundPack(resultSign != 0, exponent, high | (low != 0 ? 1 : 0), double);
}

/** The same where nothing but PE can come of it; NaN for all else. */
function fusedNative(x: u64, y: u64, z: u64, negateProduct: bool, negateSum: bool, double: bool): u64 {
  if (double) {
    const a = reinterpret<f64>(x);
    const c = reinterpret<f64>(z);
    return reinterpret<u64>(fuseDouble(negateProduct ? -a : a, reinterpret<f64>(y), negateSum ? -c : c));
  }
  const a = reinterpret<f32>(<u32>x);
  const c = reinterpret<f32>(<u32>z);
  return <u64>reinterpret<u32>(fuseSingle(negateProduct ? -a : a, reinterpret<f32>(<u32>y), negateSum ? -c : c));
}

/** The result of operands of which one is a NaN: the first that is one, in the instruction's order, quiet. */
function fusedNaN(first: u64, second: u64, third: u64, double: bool): u64 {
  if (isSignalling(first, double) || isSignalling(second, double) || isSignalling(third, double)) signal(INVALID);
  const chosen = isNaN64(first, double) ? first : isNaN64(second, double) ? second : third;
  return chosen | quietBit(double);
}

/** Operations of FMA in the table's order: twenty for each order of operands, 132, 213, 231. */
const FUSED_PER_ORDER: u32 = 20;
export function isFused(operation: u32): bool {
  return operation >= <u32>Operation.VFMADDSUB132PS && operation <= <u32>Operation.VFNMSUB231SD;
}

/**
 * One FMA operation on 128 bits. @param d the first operand, and the result; @param h the second (VEX.vvvv); @param s the third
 */
export function fusedOperation(operation: u32, d: usize, h: usize, s: usize): u32 {
  const number = operation - <u32>Operation.VFMADDSUB132PS;
  const order = number / FUSED_PER_ORDER;
  const within = number % FUSED_PER_ORDER;
  // Alternating kinds have two formats, the others four.
  const kind: u32 = within < 4 ? within >> 1 : 2 + ((within - 4) >> 2);
  const format: u32 = within < 4 ? within & 1 : (within - 4) & 3;
  const double = (format & 1) != 0;
  const step: u32 = double ? 8 : 4;
  const bytes: u32 = format >= 2 ? step : 16;
  begin();
  let result = v128.load(d);
  for (let at: u32 = 0; at < bytes; at += step) {
    const first = double ? load<u64>(d + at) : <u64>load<u32>(d + at);
    const second = double ? load<u64>(h + at) : <u64>load<u32>(h + at);
    const third = double ? load<u64>(s + at) : <u64>load<u32>(s + at);
    const odd = (at & step) != 0;
    const negateProduct = kind >= 4;
    const negateSum = kind == 0 ? !odd : kind == 1 ? odd : kind == 3 || kind == 5;
    let x = first;
    let y = third;
    let z = second;
    if (order == 1) {
      x = second;
      y = first;
      z = third;
    } else if (order == 2) {
      x = second;
      y = third;
      z = first;
    }
    let value: u64 = native && precisionKnown() ? fusedNative(x, y, z, negateProduct, negateSum, double) : NOT_NATIVE;
    if (!isNaN64(value, double)) {
      // All is done.
    } else if (isNaN64(first, double) || isNaN64(second, double) || isNaN64(third, double)) value = fusedNaN(x, y, z, double);
    else value = fused(x, y, z, negateProduct, negateSum, double);
    if (double) result = at == 0 ? i64x2.replace_lane(result, 0, <i64>value) : i64x2.replace_lane(result, 1, <i64>value);
    else if (at == 0) result = i32x4.replace_lane(result, 0, <i32>value);
    else if (at == 4) result = i32x4.replace_lane(result, 1, <i32>value);
    else if (at == 8) result = i32x4.replace_lane(result, 2, <i32>value);
    else result = i32x4.replace_lane(result, 3, <i32>value);
  }
  if (merge() != 0) return 1;
  v128.store(d, result);
  return 0;
}

/** Half precision to single: denormals raise nothing and stay what they are. */
function halfToSingle(bits: u32): u32 {
  const sign = (bits & 0x8000) << 16;
  const abs = bits & 0x7fff;
  if (abs > 0x7c00) {
    if ((abs & 0x200) == 0) signal(INVALID);
    return sign | 0x7fc00000 | ((abs & 0x3ff) << 13);
  }
  if (abs == 0x7c00) return sign | 0x7f800000;
  if (abs == 0) return sign;
  if (abs >= 0x400) return sign | ((abs << 13) + 0x38000000);
  const shift = clz<u32>(abs) - 21;
  return sign | (((abs << (shift + 13)) & 0x7fffff) + ((113 - shift) << 23));
}
/** VCVTPH2PS. */
export function halvesToSingles(d: usize, s: usize): u32 {
  begin();
  const e0 = <u64>halfToSingle(load<u16>(s));
  const e1 = <u64>halfToSingle(load<u16>(s, 2));
  const e2 = <u64>halfToSingle(load<u16>(s, 4));
  const e3 = <u64>halfToSingle(load<u16>(s, 6));
  if (merge() != 0) return 1;
  store<u64>(d, e0 | (e1 << 32));
  store<u64>(d, e2 | (e3 << 32), 8);
  return 0;
}
function singleToHalf(bits: u32, immediate: u32): u64 {
  const sign = (bits >> 16) & 0x8000;
  const abs = magnitude(operand(bits, false), false);
  if (isNaN64(bits, false)) {
    if (isSignalling(bits, false)) signal(INVALID);
    return sign | 0x7e00 | ((abs >> 13) & 0x3ff);
  }
  if (abs == 0) return sign;
  if (abs == infinity(false)) return sign | 0x7c00;
  noteDenormals(abs, abs, false);
  return sign | roundPackHalf(sign != 0, exponentOf(abs, false), significandOf(abs, false), immediate);
}
/** VCVTPS2PH: eight bytes at d, zeros behind them. */
export function singlesToHalves(d: usize, s: usize, immediate: u32): u32 {
  begin();
  const result =
    singleToHalf(load<u32>(s), immediate) | (singleToHalf(load<u32>(s, 4), immediate) << 16) |
    (singleToHalf(load<u32>(s, 8), immediate) << 32) | (singleToHalf(load<u32>(s, 12), immediate) << 48);
  if (merge() != 0) return 1;
  store<u64>(d, result);
  store<u64>(d, 0, 8);
  return 0;
}

/** When a predicate holds: bits for less, equal, greater, unordered; four bits for each of sixteen predicates. */
const HOLDS: u64 = 0xf4650b9a7ced8312;
/** Predicates that object to quiet NaNs; the upper sixteen are the other way round. */
const OBJECTS: u32 = 0x6666;
function comparedLane<B>(left: B, right: B, predicate: u32): B {
  const double = sizeof<B>() == 8;
  const a = operand(<u64>left, double);
  const b = operand(<u64>right, double);
  let relation: u32;
  if (isNaN64(a, double) || isNaN64(b, double)) {
    const objects = ((OBJECTS >> (predicate & 15)) & 1) != (predicate >> 4);
    if (objects || isSignalling(a, double) || isSignalling(b, double)) signal(INVALID);
    relation = 3;
  } else {
    noteDenormals(a, b, double);
    const x = double ? reinterpret<f64>(a) : <f64>reinterpret<f32>(<u32>a);
    const y = double ? reinterpret<f64>(b) : <f64>reinterpret<f32>(<u32>b);
    relation = x < y ? 0 : x == y ? 1 : 2;
  }
  return ((HOLDS >> (<u64>(predicate & 15) << 2)) >> relation) & 1 ? <B>-1 : <B>0;
}
/** VCMPSS, VCMPSD, VCMPPS, VCMPPD by the number of elements. */
export function compareElements<B>(d: usize, s: usize, predicate: u32, elements: u32): u32 {
  begin();
  let result = v128.load(d);
  for (let i: u32 = 0; i < elements; i++) {
    const at = i * sizeof<B>();
    const value = comparedLane<B>(load<B>(d + at), load<B>(s + at), predicate);
    if (sizeof<B>() == 8) result = i == 0 ? i64x2.replace_lane(result, 0, <i64>value) : i64x2.replace_lane(result, 1, <i64>value);
    else if (i == 0) result = i32x4.replace_lane(result, 0, <i32>value);
    else if (i == 1) result = i32x4.replace_lane(result, 1, <i32>value);
    else if (i == 2) result = i32x4.replace_lane(result, 2, <i32>value);
    else result = i32x4.replace_lane(result, 3, <i32>value);
  }
  if (merge() != 0) return 1;
  v128.store(d, result);
  return 0;
}
