/**
 * Numbers of 128 significant bits, for functions whose results are to be right in all 64 bits of an 80-bit value.
 *
 * A wide number is `high:low` with its top bit set, from 1 to 2, times 2 to `exponent`; its sign is kept beside it. Results stand in `high`,
 * `low` and `exponent`, and are off by a few units of their last bit. Fixed-point numbers share high and low; their
 * comments tell the weight (Q127: 1 is 2^127).
 * Called by x87-functions.ts.
 */
import { TOP_BIT, divide, shiftRightSticky, wideHigh, wideLow } from './x87-number';
import { multiplyHigh } from './multiply';

export let high: u64 = 0;
export let low: u64 = 0;
export let exponent: i32 = 0;
/** Sign of the last sum. */
export let negative: bool = false;

export function set(newExponent: i32, newHigh: u64, newLow: u64): void {
  exponent = newExponent;
  high = newHigh;
  low = newLow;
}

/** The high half of a 256-bit product. */
export function times(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  let top = multiplyHigh(aHigh, bHigh);
  const first = aHigh * bHigh;
  const second = first + multiplyHigh(aHigh, bLow);
  top += <u64>(second < first);
  const third = second + multiplyHigh(aLow, bHigh);
  top += <u64>(third < second);
  high = top;
  low = third;
}
/** Shifts until the top bit is set. @returns by how much; 128 for zero */
export function normalise(): i32 {
  let shift: i32 = 0;
  if (high == 0) {
    if (low == 0) return 128;
    high = low;
    low = 0;
    shift = 64;
  }
  const places = <i32>clz(high);
  if (places != 0) {
    high = (high << places) | (low >> (64 - places));
    low <<= places;
  }
  return shift + places;
}
/** Product of two wide numbers. */
export function product(aExponent: i32, aHigh: u64, aLow: u64, bExponent: i32, bHigh: u64, bLow: u64): void {
  times(aHigh, aLow, bHigh, bLow);
  exponent = aExponent + bExponent + 1 - normalise();
}
/** Quotient of two wide numbers. */
export function ratio(aExponent: i32, aHigh: u64, aLow: u64, bExponent: i32, bHigh: u64, bLow: u64): void {
  exponent = aExponent - bExponent;
  if (aHigh > bHigh || (aHigh == bHigh && aLow >= bLow)) {
    aLow = (aHigh << 63) | (aLow >> 1);
    aHigh >>= 1;
  } else exponent--;
  // One 64-bit digit after the other; the first estimate is too large by 2 at most.
  let digit: u64 = aHigh >= bHigh ? 0xffffffffffffffff : divide(aHigh, aLow, bHigh);
  const p0 = digit * bLow;
  const middle = digit * bHigh;
  const p1 = middle + multiplyHigh(digit, bLow);
  let r2 = aHigh - multiplyHigh(digit, bHigh) - <u64>(p1 < middle);
  let r1 = aLow - p1;
  r2 -= <u64>(r1 > aLow);
  let r0: u64 = 0 - p0;
  if (p0 != 0) {
    r2 -= <u64>(r1 == 0);
    r1--;
  }
  while (r2 != 0) {
    digit--;
    r0 += bLow;
    const carry = <u64>(r0 < bLow);
    const sum = r1 + bHigh;
    const with_ = sum + carry;
    r2 += <u64>(sum < r1) + <u64>(with_ < sum);
    r1 = with_;
  }
  high = digit;
  low = r1 >= bHigh ? 0xffffffffffffffff : divide(r1, r0, bHigh);
}
/** Sum of two signed wide numbers; exactly zero has high 0. */
export function sum(
  aNegative: bool, aExponent: i32, aHigh: u64, aLow: u64, bNegative: bool, bExponent: i32, bHigh: u64, bLow: u64,
): void {
  if (bExponent > aExponent || (bExponent == aExponent && (bHigh > aHigh || (bHigh == aHigh && bLow > aLow)))) {
    sum(bNegative, bExponent, bHigh, bLow, aNegative, aExponent, aHigh, aLow);
    return;
  }
  shiftRightSticky(bHigh, bLow, min<u32>(<u32>(aExponent - bExponent), 128));
  negative = aNegative;
  exponent = aExponent;
  if (aNegative == bNegative) {
    low = aLow + wideLow;
    const carry = <u64>(low < aLow);
    const half = aHigh + wideHigh;
    high = half + carry;
    if (half < aHigh || high < half) {
      low = (high << 63) | (low >> 1);
      high = (high >> 1) | TOP_BIT;
      exponent++;
    }
    return;
  }
  low = aLow - wideLow;
  high = aHigh - wideHigh - <u64>(aLow < wideLow);
  const shift = normalise();
  exponent -= shift;
}

/** A wide number below 1 as a fraction of 2^128. */
export function toFraction(): void {
  shiftRightSticky(high, low, <u32>min(-1 - exponent, 128));
  high = wideHigh;
  low = wideLow;
}
/** Divides the fixed-point number by a small integer. */
export function over(divisor: u64): void {
  const first = high / divisor;
  let rest = high % divisor;
  const next = (rest << 32) | (low >> 32);
  const second = next / divisor;
  rest = next % divisor;
  high = first;
  low = (second << 32) | (((rest << 32) | (low & 0xffffffff)) / divisor);
}
/** The fixed-point number, taken from or added to a power of two that is `one` in its high half. */
export function fromOne(one: u64, add: bool): void {
  if (add) high += one;
  else {
    high = one - high - <u64>(low != 0);
    low = 0 - low;
  }
}
