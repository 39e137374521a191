/**
 * The high halves of 64-bit multiplications, which WebAssembly has not got.
 * Called by multiply-divide.ts and the run loop.
 */

/** High half of an unsigned 64 x 64 multiplication. */
export function multiplyHigh(a: u64, b: u64): u64 {
  const a0 = a & 0xffffffff;
  const a1 = a >> 32;
  const b0 = b & 0xffffffff;
  const b1 = b >> 32;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >> 32);
  const middle2 = a0 * b1 + (middle & 0xffffffff);
  return a1 * b1 + (middle >> 32) + (middle2 >> 32);
}
export function multiplyHighSigned(a: i64, b: i64): i64 {
  return <i64>multiplyHigh(a, b) - (a < 0 ? b : 0) - (b < 0 ? a : 0);
}

