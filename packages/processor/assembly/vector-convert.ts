/**
 * Conversions between integers, singles and doubles. AMD64 Architecture Programmer's Manual volume 4. Called by vector.ts.
 * A number that no integer of the size represents, and a NaN, gives the integer indefinite value (only the sign bit set) and IE.
 */
import * as L from './generated/layout';
import { vp } from './state';
import { ordinary } from './vector-float';
import {
  begin,
  csr,
  DENORMALS_ARE_ZERO,
  finish,
  INVALID,
  native,
  PRECISION,
  precisionKnown,
  raised,
  signal,
  softConvert,
  softFromInteger,
} from './vector-soft';

const ROUND_NEAREST: u32 = 0;
const ROUND_DOWN: u32 = 0x2000;
const ROUND_UP: u32 = 0x4000;
const INDEFINITE_32: u64 = 0x80000000;
const INDEFINITE_64: u64 = 0x8000000000000000;

/** To the integer that MXCSR.RC, or truncation, chooses; bit pattern of 32 or 64 bits. */
function toInteger(value: f64, truncate: bool, wide: bool): u64 {
  const mode = csr & 0x6000;
  let rounded: f64;
  if (truncate) rounded = Math.trunc(value);
  else if (mode == ROUND_NEAREST) rounded = nearest<f64>(value);
  else if (mode == ROUND_DOWN) rounded = Math.floor(value);
  else if (mode == ROUND_UP) rounded = Math.ceil(value);
  else rounded = Math.trunc(value);
  if (wide) {
    if (!(rounded >= -9223372036854775808.0 && rounded < 9223372036854775808.0)) {
      signal(INVALID);
      return INDEFINITE_64;
    }
    if (rounded != value) signal(PRECISION);
    return <u64>(<i64>rounded);
  }
  if (!(rounded >= -2147483648.0 && rounded <= 2147483647.0)) {
    signal(INVALID);
    return INDEFINITE_32;
  }
  if (rounded != value) signal(PRECISION);
  return <u64>(<u32>(<i32>rounded));
}

/** The double at an address, a denormal as zero when DAZ is set: whether it is inexact then changes. */
// @ts-ignore: decorator
@inline
function double(address: usize): f64 {
  const bits = load<u64>(address);
  if ((csr & DENORMALS_ARE_ZERO) != 0 && (bits & 0x7ff0000000000000) == 0) return 0;
  return reinterpret<f64>(bits);
}
// @ts-ignore: decorator
@inline
function single(address: usize): f64 {
  const bits = load<u32>(address);
  if ((csr & DENORMALS_ARE_ZERO) != 0 && (bits & 0x7f800000) == 0) return 0;
  return <f64>reinterpret<f32>(bits);
}

// @ts-ignore: decorator
@inline
function merge(): u32 {
  return raised != 0 ? finish() : 0;
}

/** CVTSS2SI, CVTTSS2SI. */
export function singleToGeneral(s: usize, truncate: bool, wide: bool): u32 {
  begin();
  const result = toInteger(single(s), truncate, wide);
  if (merge() != 0) return 1;
  store<u64>(vp, result, L.VECTOR_RESULT);
  return 0;
}
/** CVTSD2SI, CVTTSD2SI. */
export function doubleToGeneral(s: usize, truncate: bool, wide: bool): u32 {
  begin();
  const result = toInteger(double(s), truncate, wide);
  if (merge() != 0) return 1;
  store<u64>(vp, result, L.VECTOR_RESULT);
  return 0;
}

/** CVTPS2DQ, CVTTPS2DQ. */
export function singlesToIntegers(d: usize, s: usize, truncate: bool): u32 {
  begin();
  const e0 = toInteger(single(s), truncate, false);
  const e1 = toInteger(single(s + 4), truncate, false);
  const e2 = toInteger(single(s + 8), truncate, false);
  const e3 = toInteger(single(s + 12), truncate, false);
  if (merge() != 0) return 1;
  store<u64>(d, e0 | (e1 << 32));
  store<u64>(d, e2 | (e3 << 32), 8);
  return 0;
}
/** CVTPD2DQ, CVTTPD2DQ. */
export function doublesToIntegers(d: usize, s: usize, truncate: bool): u32 {
  begin();
  const e0 = toInteger(double(s), truncate, false);
  const e1 = toInteger(double(s + 8), truncate, false);
  if (merge() != 0) return 1;
  store<u64>(d, e0 | (e1 << 32));
  store<u64>(d, 0, 8);
  return 0;
}

function integerToSingle(value: i64): u32 {
  if (native) {
    const result = <f32>value;
    // 2^63, which an integer next to it may become, does not convert back.
    if (!precisionKnown() && (result == <f32>9223372036854775808.0 || <i64>result != value)) signal(PRECISION);
    return reinterpret<u32>(result);
  }
  return <u32>softFromInteger(value, false);
}
function integerToDouble(value: i64): u64 {
  if (native) {
    const result = <f64>value;
    if (!precisionKnown() && (result == 9223372036854775808.0 || <i64>result != value)) signal(PRECISION);
    return reinterpret<u64>(result);
  }
  return softFromInteger(value, true);
}

// @ts-ignore: decorator
@inline
function general(s: usize, wide: bool): i64 {
  return wide ? load<i64>(s) : <i64>load<i32>(s);
}

/** CVTSI2SS. */
export function generalToSingle(d: usize, s: usize, wide: bool): u32 {
  begin();
  const result = integerToSingle(general(s, wide));
  if (merge() != 0) return 1;
  store<u32>(d, result);
  return 0;
}
/** CVTSI2SD. */
export function generalToDouble(d: usize, s: usize, wide: bool): u32 {
  begin();
  const result = integerToDouble(general(s, wide));
  if (merge() != 0) return 1;
  store<u64>(d, result);
  return 0;
}
/** CVTDQ2PS. */
export function integersToSingles(d: usize, s: usize): u32 {
  begin();
  const e0 = <u64>integerToSingle(load<i32>(s));
  const e1 = <u64>integerToSingle(load<i32>(s, 4));
  const e2 = <u64>integerToSingle(load<i32>(s, 8));
  const e3 = <u64>integerToSingle(load<i32>(s, 12));
  if (merge() != 0) return 1;
  store<u64>(d, e0 | (e1 << 32));
  store<u64>(d, e2 | (e3 << 32), 8);
  return 0;
}
/** CVTDQ2PD: always exact. */
export function integersToDoubles(d: usize, s: usize): u32 {
  v128.store(d, f64x2.convert_low_i32x4_s(v128.load64_zero(s)));
  return 0;
}

function widen(bits: u32): u64 {
  const result = reinterpret<u64>(<f64>reinterpret<f32>(bits));
  const shifted = bits << 1;
  if (shifted == 0 || shifted - 0x1000000 < 0xfe000000) return result;
  return softConvert(bits, false);
}
function narrow(bits: u64): u32 {
  if (bits << 1 == 0) return <u32>(bits >> 32);
  if (native) {
    const value = reinterpret<f64>(bits);
    const result = <f32>value;
    const pattern = reinterpret<u32>(result);
    if (ordinary<u32>(pattern)) {
      if (!precisionKnown() && <f64>result != value) signal(PRECISION);
      return pattern;
    }
  }
  return <u32>softConvert(bits, true);
}

/** CVTSS2SD. */
export function singleToDouble(d: usize, s: usize): u32 {
  begin();
  const result = widen(load<u32>(s));
  if (merge() != 0) return 1;
  store<u64>(d, result);
  return 0;
}
/** CVTPS2PD. */
export function singlesToDoubles(d: usize, s: usize): u32 {
  begin();
  const e0 = widen(load<u32>(s));
  const e1 = widen(load<u32>(s, 4));
  if (merge() != 0) return 1;
  store<u64>(d, e0);
  store<u64>(d, e1, 8);
  return 0;
}
/** CVTSD2SS. */
export function doubleToSingle(d: usize, s: usize): u32 {
  begin();
  const result = narrow(load<u64>(s));
  if (merge() != 0) return 1;
  store<u32>(d, result);
  return 0;
}
/** CVTPD2PS. */
export function doublesToSingles(d: usize, s: usize): u32 {
  begin();
  const e0 = <u64>narrow(load<u64>(s));
  const e1 = <u64>narrow(load<u64>(s, 8));
  if (merge() != 0) return 1;
  store<u64>(d, e0 | (e1 << 32));
  store<u64>(d, 0, 8);
  return 0;
}
