/**
 * Integer SSE2 operations that take more than one WebAssembly instruction: high products, shifts with counts out of range, byte
 * shifts, shuffles, absolute differences. AMD64 Architecture Programmer's Manual volume 4. Called by vector.ts; operands are
 * addresses of 16 bytes (register slots or memory), the destination may be the source.
 */

// @ts-ignore: decorator
@inline
export function get(address: usize): v128 {
  return v128.load(address);
}
// @ts-ignore: decorator
@inline
export function put(address: usize, value: v128): void {
  v128.store(address, value);
}

/** PMULHW: high halves of the signed products. */
// @ts-ignore: decorator
@inline
export function multiplyHighSigned(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(i32x4.extmul_low_i16x8_s(a, b), i32x4.extmul_high_i16x8_s(a, b), 1, 3, 5, 7, 9, 11, 13, 15);
}

/** PMULHUW: high halves of the unsigned products. */
// @ts-ignore: decorator
@inline
export function multiplyHighUnsigned(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(i32x4.extmul_low_i16x8_u(a, b), i32x4.extmul_high_i16x8_u(a, b), 1, 3, 5, 7, 9, 11, 13, 15);
}

/** PMULUDQ: 64-bit products of the even 32-bit elements. */
// @ts-ignore: decorator
@inline
export function multiplyEven(a: v128, b: v128): v128 {
  const even = i64x2.splat(0xffffffff);
  return i64x2.mul(v128.and(a, even), v128.and(b, even));
}

/** PSADBW: sums of the absolute differences of the bytes of each half. */
// @ts-ignore: decorator
@inline
export function sumAbsoluteDifferences(a: v128, b: v128): v128 {
  const difference = v128.or(i8x16.sub_sat_u(a, b), i8x16.sub_sat_u(b, a));
  const quarters = i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(difference));
  return i64x2.add(v128.and(quarters, i64x2.splat(0xffffffff)), i64x2.shr_u(quarters, 32));
}

// Shift counts are 64 bits wide; a count beyond the element gives zero, or copies of the sign.

export function shiftLeft16(d: usize, count: u64): void {
  put(d, count > 15 ? i64x2.splat(0) : i16x8.shl(get(d), <i32>count));
}
export function shiftLeft32(d: usize, count: u64): void {
  put(d, count > 31 ? i64x2.splat(0) : i32x4.shl(get(d), <i32>count));
}
export function shiftLeft64(d: usize, count: u64): void {
  put(d, count > 63 ? i64x2.splat(0) : i64x2.shl(get(d), <i32>count));
}
export function shiftRight16(d: usize, count: u64): void {
  put(d, count > 15 ? i64x2.splat(0) : i16x8.shr_u(get(d), <i32>count));
}
export function shiftRight32(d: usize, count: u64): void {
  put(d, count > 31 ? i64x2.splat(0) : i32x4.shr_u(get(d), <i32>count));
}
export function shiftRight64(d: usize, count: u64): void {
  put(d, count > 63 ? i64x2.splat(0) : i64x2.shr_u(get(d), <i32>count));
}
export function shiftSigned16(d: usize, count: u64): void {
  put(d, i16x8.shr_s(get(d), count > 15 ? 15 : <i32>count));
}
export function shiftSigned32(d: usize, count: u64): void {
  put(d, i32x4.shr_s(get(d), count > 31 ? 31 : <i32>count));
}

// @ts-ignore: decorator
@inline
function iota(): v128 {
  return i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/** PSLLDQ. An index below zero wraps to 240 and more, which a swizzle reads as zero, as it does 16 and more. */
export function shiftBytesLeft(d: usize, count: u32): void {
  put(d, i8x16.swizzle(get(d), i8x16.sub(iota(), i8x16.splat(<i8>(count > 15 ? 16 : count)))));
}
/** PSRLDQ. */
export function shiftBytesRight(d: usize, count: u32): void {
  put(d, i8x16.swizzle(get(d), i8x16.add(iota(), i8x16.splat(<i8>(count > 15 ? 16 : count)))));
}

/** PSHUFD: any four elements of the source. */
export function shuffle32(d: usize, s: usize, order: u32): void {
  const a = load<u32>(s + ((order & 3) << 2));
  const b = load<u32>(s + (((order >> 2) & 3) << 2));
  const c = load<u32>(s + (((order >> 4) & 3) << 2));
  const e = load<u32>(s + (((order >> 6) & 3) << 2));
  store<u32>(d, a);
  store<u32>(d, b, 4);
  store<u32>(d, c, 8);
  store<u32>(d, e, 12);
}

/** SHUFPS: two elements of the destination, then two of the source. */
export function shuffleSingle(d: usize, s: usize, order: u32): void {
  const a = load<u32>(d + ((order & 3) << 2));
  const b = load<u32>(d + (((order >> 2) & 3) << 2));
  const c = load<u32>(s + (((order >> 4) & 3) << 2));
  const e = load<u32>(s + (((order >> 6) & 3) << 2));
  store<u32>(d, a);
  store<u32>(d, b, 4);
  store<u32>(d, c, 8);
  store<u32>(d, e, 12);
}

/** SHUFPD: one element of the destination, then one of the source. */
export function shuffleDouble(d: usize, s: usize, order: u32): void {
  const a = load<u64>(d + ((order & 1) << 3));
  const b = load<u64>(s + ((order & 2) << 2));
  store<u64>(d, a);
  store<u64>(d, b, 8);
}

/** Any four 16-bit elements of a 64-bit half. */
function shuffleHalf(half: u64, order: u32): u64 {
  const a = (half >> (<u64>(order & 3) << 4)) & 0xffff;
  const b = (half >> (<u64>((order >> 2) & 3) << 4)) & 0xffff;
  const c = (half >> (<u64>((order >> 4) & 3) << 4)) & 0xffff;
  const e = (half >> (<u64>((order >> 6) & 3) << 4)) & 0xffff;
  return a | (b << 16) | (c << 32) | (e << 48);
}
/** PSHUFLW. */
export function shuffleLow16(d: usize, s: usize, order: u32): void {
  const high = load<u64>(s, 8);
  store<u64>(d, shuffleHalf(load<u64>(s), order));
  store<u64>(d, high, 8);
}
/** PSHUFHW. */
export function shuffleHigh16(d: usize, s: usize, order: u32): void {
  const high = load<u64>(s, 8);
  store<u64>(d, load<u64>(s));
  store<u64>(d, shuffleHalf(high, order), 8);
}
