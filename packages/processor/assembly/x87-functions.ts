/**
 * The transcendental functions of the x87: F2XM1, FYL2X, FYL2XP1, FPATAN, FSIN, FCOS, FSINCOS, FPTAN.
 *
 * Each is a series over an argument that was made small, with 128 bits (x87-wide.ts), rounded once: results are those of the exact value
 * but where it lies within 2^-50 units of the last place from the middle of two. Arguments of the circular functions are reduced with as
 * many bits of 2/pi as the largest needs. Special values are as AMD's processors have them.
 * Answers to: AMD64 Architecture Programmer's Manual volume 5 for ranges and special values. Called by x87-execute.ts.
 */
import {
  BIAS, DENORMAL, INFINITY, PE, QUIET, TOP_BIT, UE, ZE, ZERO,
  control, denormalOperand, invalid, kindOf, multiplySignificands, note, propagate, propagateOne, resultHigh, resultSignificand, roundToRegister, setResult,
  unpack, unpackedExponent, unpackedSignificand, wideHigh, wideLow,
} from './x87-number';
import * as W from './x87-wide';
import { multiplyHigh } from './multiply';

/** 2/pi in 256 bits behind the point. */
const TWO_OVER_PI_0: u64 = 0xa2f9836e4e441529;
const TWO_OVER_PI_1: u64 = 0xfc2757d1f534ddc0;
const TWO_OVER_PI_2: u64 = 0xdb6295993c439041;
const TWO_OVER_PI_3: u64 = 0xfe5163abdebbc561;
/** Significands of 128 bits: pi (times any power of two), ln 2 (exponent -1), log2 e (exponent 0). */
const PI_HIGH: u64 = 0xc90fdaa22168c234;
const PI_LOW: u64 = 0xc4c6628b80dc1cd1;
const LN2_HIGH: u64 = 0xb17217f7d1cf79ab;
const LN2_LOW: u64 = 0xc9e3b39803f2f6af;
const LOG2E_HIGH: u64 = 0xb8aa3b295c17f0bb;
const LOG2E_LOW: u64 = 0xbe87fed0691d3e89;
/** Significand of the square root of 2. */
const SQRT2: u64 = 0xb504f333f9de6484;
/** Arc tangents of k/8, k from 1 to 8, Q127, high and low halves. */
const ARC_TANGENTS = memory.data<u64>([
  0x0feadd4d5617b6e3, 0x2c897989f3e888ef, 0x1f5b75f92c80dd62, 0xadb8f3debef442fc, 0x2dec3283c9bde11c, 0xe2a8c848b73f9120,
  0x3b58ce0ac3769ed1, 0x5bf9117b2f0ea340, 0x47802eaf7bfacfcd, 0xae41af0b32e21ba3, 0x525e3e8c9a7b8492, 0x0cd43f9522bed64f,
  0x5c029f15e118cf39, 0xe596d2a90852221e, 0x6487ed5110b4611a, 0x62633145c06e0e68,
]);

/** Rounds the wide number at hand, which is no exact result. */
function give(negative: bool): bool {
  return roundToRegister(negative ? 0x8000 : 0, W.exponent + BIAS, W.high, W.low | 1, 64);
}

// ---- exponential ----

/** F2XM1. Beyond -1 and 1 it is undefined, and gives its operand back. */
export function exponentialLessOne(significand: u64, high: u32): bool {
  const kind = kindOf(significand, high);
  if (kind >= QUIET) return propagateOne(significand, high, kind);
  const negative = (high & 0x8000) != 0;
  if (!denormalOperand(kind == DENORMAL)) return false;
  if (kind == ZERO) {
    setResult(0, high);
    return true;
  }
  if (kind == INFINITY) {
    if (negative) setResult(TOP_BIT, 0xbfff);
    else setResult(significand, high);
    return true;
  }
  unpack(significand, high);
  const e = unpackedExponent - BIAS;
  if (e >= 0) {
    note(PE);
    if (e > 0 || unpackedSignificand != TOP_BIT) setResult(significand, high);
    else if (negative) setResult(TOP_BIT, 0xbffe);
    else setResult(TOP_BIT, 0x3fff);
    return true;
  }
  // y = x ln 2; y (1 + y/2 (1 + y/3 (1 + ...))).
  W.product(e, unpackedSignificand, 0, -1, LN2_HIGH, LN2_LOW);
  const yExponent = W.exponent;
  const yHigh = W.high;
  const yLow = W.low;
  W.toFraction();
  const fractionHigh = W.high;
  const fractionLow = W.low;
  const one: u64 = TOP_BIT >> 1;
  W.set(0, one, 0);
  for (let k: u64 = 24; k >= 2; k--) {
    W.times(fractionHigh, fractionLow, W.high, W.low);
    W.over(k);
    W.fromOne(one, !negative);
  }
  const shift = W.normalise();
  W.product(yExponent, yHigh, yLow, 1 - shift, W.high, W.low);
  return give(negative);
}

// ---- logarithms ----

/** 2 artanh(z) log2(e) for the wide number at hand, z below 0.18. */
function logarithmOfRatio(): void {
  const zExponent = W.exponent;
  const zHigh = W.high;
  const zLow = W.low;
  W.product(zExponent, zHigh, zLow, zExponent, zHigh, zLow);
  W.toFraction();
  oddSeries(W.high, W.low, 14, true);
  const shift = W.normalise();
  W.product(zExponent, zHigh, zLow, 1 - shift, W.high, W.low);
  W.product(W.exponent, W.high, W.low, 1, LOG2E_HIGH, LOG2E_LOW);
}
/** 1 + w/3 + w²/5 + ... in Q126, or with alternating signs. */
function oddSeries(wHigh: u64, wLow: u64, terms: u64, same: bool): void {
  W.set(0, 0, 0);
  for (let k: u64 = terms; ; k--) {
    W.times(wHigh, wLow, W.high, W.low);
    const high = W.high;
    const low = W.low;
    W.set(0, TOP_BIT >> 1, 0);
    W.over(2 * k + 1);
    const sum = same ? W.low + low : W.low - low;
    const carry = same ? <u64>(sum < low) : <u64>(W.low < low);
    W.set(0, same ? W.high + high + carry : W.high - high - carry, sum);
    if (k == 0) break;
  }
}
/** log2 of a wide number m * 2^e; W.negative is its sign. Exactly zero has high 0. */
function logarithm(e: i32, high: u64, low: u64): void {
  let negative = false;
  if (high > SQRT2) {
    // m/2 - 1 is negative; both it and m/2 + 1 in units of 2^-128.
    e++;
    negative = true;
    W.set(0, ~high + <u64>(low == 0), 0 - low);
    const shift = W.normalise();
    W.ratio(-1 - shift, W.high, W.low, 0, TOP_BIT + (high >> 1), (high << 63) | (low >> 1));
  } else {
    W.set(0, high - TOP_BIT, low);
    const shift = W.normalise();
    if (shift == 128) W.set(0, 0, 0);
    else W.ratio(-shift, W.high, W.low, 1, (TOP_BIT >> 1) + (high >> 1), (high << 63) | (low >> 1));
  }
  if (W.high != 0) logarithmOfRatio();
  if (e == 0) {
    W.sum(negative, W.exponent, W.high, W.low, negative, W.exponent - 256, 0, 0);
    return;
  }
  const whole = <u64>(e < 0 ? -e : e);
  const places = <i32>clz(whole);
  W.sum(e < 0, 63 - places, whole << places, 0, negative, W.high == 0 ? -256 : W.exponent, W.high, W.low);
}

/** FYL2X: y log2(x), for x = ST(0) and y = ST(1). */
export function timesLogarithm(xSignificand: u64, xHigh: u32, ySignificand: u64, yHigh: u32): bool {
  const xKind = kindOf(xSignificand, xHigh);
  const yKind = kindOf(ySignificand, yHigh);
  if (max(xKind, yKind) >= QUIET) return propagate(xSignificand, xHigh, xKind, ySignificand, yHigh, yKind);
  const ySign = yHigh & 0x8000;
  if ((xHigh & 0x8000) != 0 && xKind != ZERO) return invalid();
  if (xKind == ZERO) {
    if (yKind == ZERO) return invalid();
    if (yKind == INFINITY) {
      setResult(TOP_BIT, (ySign ^ 0x8000) | 0x7fff);
      return true;
    }
    note(ZE);
    setResult(TOP_BIT, (ySign ^ 0x8000) | 0x7fff);
    return (control & ZE) != 0;
  }
  if (xKind == INFINITY) {
    if (yKind == ZERO) return invalid();
    if (!denormalOperand(yKind == DENORMAL)) return false;
    setResult(TOP_BIT, ySign | 0x7fff);
    return true;
  }
  unpack(xSignificand, xHigh);
  const e = unpackedExponent - BIAS;
  const significand = unpackedSignificand;
  const one = e == 0 && significand == TOP_BIT;
  if (yKind == INFINITY && one) return invalid();
  if (!denormalOperand(xKind == DENORMAL || yKind == DENORMAL)) return false;
  if (yKind == INFINITY || yKind == ZERO || one) {
    const sign = ySign ^ (e < 0 ? 0x8000 : 0);
    if (yKind == INFINITY) setResult(TOP_BIT, sign | 0x7fff);
    else setResult(0, sign);
    return true;
  }
  unpack(ySignificand, yHigh);
  if (significand == TOP_BIT) {
    // A power of two: its logarithm is exact, the product perhaps too, but PE tells nothing of that.
    note(PE);
    const whole = <u64>(e < 0 ? -e : e);
    const places = <i32>clz(whole);
    const carry = multiplySignificands(unpackedSignificand, whole << places);
    roundToRegister(ySign ^ (e < 0 ? 0x8000 : 0), unpackedExponent + 63 - places + carry, wideHigh, wideLow, 64);
    if ((resultHigh & 0x7fff) == 0) note(UE);
    return true;
  }
  logarithm(e, significand, 0);
  const negative = W.negative != (ySign != 0);
  W.product(W.exponent, W.high, W.low, unpackedExponent - BIAS, unpackedSignificand, 0);
  return give(negative);
}

/** FYL2XP1: y log2(x + 1). For x not above -1 it is undefined, and gives x back. */
export function timesLogarithmPlusOne(xSignificand: u64, xHigh: u32, ySignificand: u64, yHigh: u32): bool {
  const xKind = kindOf(xSignificand, xHigh);
  const yKind = kindOf(ySignificand, yHigh);
  if (max(xKind, yKind) >= QUIET) return propagate(xSignificand, xHigh, xKind, ySignificand, yHigh, yKind);
  const xSign = xHigh & 0x8000;
  const sign = xSign ^ (yHigh & 0x8000);
  if (xKind == INFINITY) {
    if (xSign != 0 || yKind == ZERO) return invalid();
    if (!denormalOperand(yKind == DENORMAL)) return false;
    setResult(TOP_BIT, sign | 0x7fff);
    return true;
  }
  if (yKind == INFINITY && xKind == ZERO) return invalid();
  if (!denormalOperand(xKind == DENORMAL || yKind == DENORMAL)) return false;
  if (xKind == ZERO || yKind == ZERO) {
    setResult(0, sign);
    return true;
  }
  unpack(xSignificand, xHigh);
  const e = unpackedExponent - BIAS;
  const significand = unpackedSignificand;
  if (yKind == INFINITY) {
    setResult(TOP_BIT, sign | 0x7fff);
    return true;
  }
  if (xSign != 0 && e >= 0) {
    note(PE);
    setResult(xSignificand, xHigh);
    return true;
  }
  if (e < -2) {
    // Small: x / (x + 2).
    W.sum(xSign != 0, e, significand, 0, false, 1, TOP_BIT, 0);
    W.ratio(e, significand, 0, W.exponent, W.high, W.low);
    logarithmOfRatio();
  } else {
    W.sum(xSign != 0, e, significand, 0, false, 0, TOP_BIT, 0);
    logarithm(W.exponent, W.high, W.low);
  }
  unpack(ySignificand, yHigh);
  W.product(W.exponent, W.high, W.low, unpackedExponent - BIAS, unpackedSignificand, 0);
  return give(sign != 0);
}

// ---- arc tangent ----

/** The arc tangent of a wide number not above 1, as a wide number. */
function arcTangent(): void {
  const exponent = W.exponent;
  const high = W.high;
  const low = W.low;
  let k: u32 = 0;
  if (exponent >= -4) {
    // The nearest eighth.
    k = <u32>(((high >> (59 - exponent)) + 1) >> 1);
  }
  if (k == 0) {
    arcTangentSmall(exponent, high, low);
    return;
  }
  // tan(a - b) = (q - c) / (1 + q c), c = k/8.
  const places = <i32>clz(<u64>k);
  W.product(exponent, high, low, 60 - places, (<u64>k) << places, 0);
  W.sum(false, 0, TOP_BIT, 0, false, W.exponent, W.high, W.low);
  const belowExponent = W.exponent;
  const belowHigh = W.high;
  const belowLow = W.low;
  W.sum(false, exponent, high, low, true, 60 - places, (<u64>k) << places, 0);
  const negative = W.negative;
  const tableHigh = load<u64>(ARC_TANGENTS + ((k - 1) << 4));
  const tableLow = load<u64>(ARC_TANGENTS + ((k - 1) << 4), 8);
  const present = W.high != 0;
  if (present) {
    W.ratio(W.exponent, W.high, W.low, belowExponent, belowHigh, belowLow);
    arcTangentSmall(W.exponent, W.high, W.low);
  }
  const restExponent = W.exponent;
  const restHigh = W.high;
  const restLow = W.low;
  W.set(0, tableHigh, tableLow);
  const shift = W.normalise();
  if (present) W.sum(false, -shift, W.high, W.low, negative, restExponent, restHigh, restLow);
  else W.set(-shift, W.high, W.low);
}
/** The series itself, up to 1/16. */
function arcTangentSmall(exponent: i32, high: u64, low: u64): void {
  W.product(exponent, high, low, exponent, high, low);
  W.toFraction();
  oddSeries(W.high, W.low, 10, false);
  belowOne(TOP_BIT >> 1);
  const shift = W.normalise();
  W.product(exponent, high, low, 1 - shift, W.high, W.low);
}
/** A series that is 1 but for what its bits do not show lies below 1. */
function belowOne(one: u64): void {
  if (W.high == one && W.low == 0) W.set(0, one - 1, 0xffffffffffffffff);
}

/** FPATAN: the angle of the point x = ST(0), y = ST(1). */
export function angle(xSignificand: u64, xHigh: u32, ySignificand: u64, yHigh: u32): bool {
  const xKind = kindOf(xSignificand, xHigh);
  const yKind = kindOf(ySignificand, yHigh);
  if (max(xKind, yKind) >= QUIET) return propagate(xSignificand, xHigh, xKind, ySignificand, yHigh, yKind);
  const ySign = yHigh & 0x8000;
  const back = (xHigh & 0x8000) != 0;
  if (!denormalOperand(xKind == DENORMAL || yKind == DENORMAL)) return false;
  if (yKind == ZERO || (xKind == INFINITY && yKind != INFINITY)) {
    if (back) return piTimes(ySign, 1, PI_HIGH, PI_LOW);
    setResult(0, ySign);
    return true;
  }
  if (yKind == INFINITY) {
    if (xKind != INFINITY) return piTimes(ySign, 0, PI_HIGH, PI_LOW);
    // An eighth of the circle, or three.
    if (!back) return piTimes(ySign, -1, PI_HIGH, PI_LOW);
    return piTimes(ySign, 1, 0x96cbe3f9990e91a7, 0x9394c9e8a0a5159d);
  }
  if (xKind == ZERO) return piTimes(ySign, 0, PI_HIGH, PI_LOW);
  unpack(xSignificand, xHigh);
  const x = unpackedSignificand;
  const xExponent = unpackedExponent;
  unpack(ySignificand, yHigh);
  const y = unpackedSignificand;
  const yExponent = unpackedExponent;
  const steep = yExponent > xExponent || (yExponent == xExponent && y > x);
  if (steep) W.ratio(xExponent, x, 0, yExponent, y, 0);
  else W.ratio(yExponent, y, 0, xExponent, x, 0);
  arcTangent();
  if (steep) W.sum(false, 0, PI_HIGH, PI_LOW, !back, W.exponent, W.high, W.low);
  else if (back) W.sum(false, 1, PI_HIGH, PI_LOW, true, W.exponent, W.high, W.low);
  return give(ySign != 0);
}
function piTimes(sign: u32, exponent: i32, high: u64, low: u64): bool {
  W.set(exponent, high, low);
  return give(sign != 0);
}

// ---- circular functions ----

/** The argument within an eighth of the circle on either side of an axis, and which quarter the axis is. */
let quadrant: u32 = 0;
let argumentNegative: bool = false;
let argumentExponent: i32 = 0;
let argumentHigh: u64 = 0;
let argumentLow: u64 = 0;
let squareHigh: u64 = 0;
let squareLow: u64 = 0;

function reduce(e: i32, significand: u64): void {
  argumentNegative = false;
  quadrant = 0;
  if (e < -1) {
    argumentExponent = e;
    argumentHigh = significand;
    argumentLow = 0;
  } else {
    // x * 2/pi in 320 bits: p4 would be its integer part were e 63.
    const p0 = multiplyHigh(significand, TWO_OVER_PI_3);
    let p1 = significand * TWO_OVER_PI_2 + p0;
    let carry = <u64>(p1 < p0);
    const h2 = multiplyHigh(significand, TWO_OVER_PI_2) + carry;
    let p2 = significand * TWO_OVER_PI_1 + h2;
    carry = <u64>(p2 < h2);
    const h1 = multiplyHigh(significand, TWO_OVER_PI_1) + carry;
    let p3 = significand * TWO_OVER_PI_0 + h1;
    carry = <u64>(p3 < h1);
    let p4 = multiplyHigh(significand, TWO_OVER_PI_0) + carry;
    const shift = <u32>(63 - e);
    if (shift == 64) {
      p1 = p2;
      p2 = p3;
      p3 = p4;
      p4 = 0;
    } else if (shift != 0) {
      p1 = (p1 >> shift) | (p2 << (64 - shift));
      p2 = (p2 >> shift) | (p3 << (64 - shift));
      p3 = (p3 >> shift) | (p4 << (64 - shift));
      p4 >>= shift;
    }
    quadrant = <u32>p4 & 3;
    if (<i64>p3 < 0) {
      quadrant = (quadrant + 1) & 3;
      argumentNegative = true;
      p3 = ~p3;
      p2 = ~p2;
      p1 = ~p1;
    }
    let places: i32 = 0;
    if (p3 == 0) {
      p3 = p2;
      p2 = p1;
      p1 = 0;
      places = 64;
    }
    const n = <i32>clz(p3);
    if (n != 0) {
      p3 = (p3 << n) | (p2 >> (64 - n));
      p2 = (p2 << n) | (p1 >> (64 - n));
    }
    W.product(-1 - places - n, p3, p2, 0, PI_HIGH, PI_LOW);
    argumentExponent = W.exponent;
    argumentHigh = W.high;
    argumentLow = W.low;
  }
  W.product(argumentExponent, argumentHigh, argumentLow, argumentExponent, argumentHigh, argumentLow);
  W.toFraction();
  squareHigh = W.high;
  squareLow = W.low;
}
/** 1 - x/(a(a+1)) (1 - x/((a+2)(a+3)) (...)) of the reduced argument's square, as a wide number. */
function evenSeries(a: i32): void {
  W.set(0, TOP_BIT, 0);
  for (let term = 11; term >= 0; term--) {
    const k = a + 2 * term;
    W.times(squareHigh, squareLow, W.high, W.low);
    W.over(<u64>(k * (k + 1)));
    W.fromOne(TOP_BIT, false);
  }
  belowOne(TOP_BIT);
  W.set(-W.normalise(), W.high, W.low);
}
/** Sine or cosine of the reduced argument, without sign. */
function sineOfReduced(): void {
  evenSeries(2);
  W.product(argumentExponent, argumentHigh, argumentLow, W.exponent, W.high, W.low);
}
function cosineOfReduced(): void {
  evenSeries(1);
}
/** Leaves the sine (`quarters` 0) or the cosine (1) of the reduced argument. */
function circular(negative: bool, quarters: u32): bool {
  const turn = (quadrant + quarters) & 3;
  let sign = turn >= 2;
  if (turn & 1) cosineOfReduced();
  else {
    sineOfReduced();
    sign = sign != argumentNegative;
  }
  // The cosine is even.
  return give(quarters == 0 ? sign != negative : sign);
}

/** The argument is too large: nothing is computed and C2 is to be set. */
export let outOfRange: bool = false;
/** The second result of FSINCOS and FPTAN: the cosine, 1, or what stands for it. */
export let secondSignificand: u64 = 0;
export let secondHigh: u32 = 0;

export const SINE: u32 = 0;
export const COSINE: u32 = 1;
export const SINE_COSINE: u32 = 2;
export const TANGENT: u32 = 3;

/** FSIN, FCOS, FSINCOS, FPTAN. */
export function circularFunction(which: u32, significand: u64, high: u32): bool {
  const kind = kindOf(significand, high);
  outOfRange = false;
  if (kind >= QUIET || kind == INFINITY) {
    const answered = kind == INFINITY ? invalid() : propagateOne(significand, high, kind);
    secondSignificand = resultSignificand;
    secondHigh = resultHigh;
    return answered;
  }
  const negative = (high & 0x8000) != 0;
  secondSignificand = TOP_BIT;
  secondHigh = 0x3fff;
  if (kind == ZERO) {
    if (which == COSINE) setResult(TOP_BIT, 0x3fff);
    else setResult(0, high);
    return true;
  }
  unpack(significand, high);
  const e = unpackedExponent - BIAS;
  if (e >= 63) {
    outOfRange = true;
    return true;
  }
  if (!denormalOperand(kind == DENORMAL)) return false;
  reduce(e, unpackedSignificand);
  if (which == TANGENT) return tangent(negative);
  if (which != SINE_COSINE) return circular(negative, which);
  circular(negative, 1);
  secondSignificand = resultSignificand;
  secondHigh = resultHigh;
  return circular(negative, 0);
}
function tangent(negative: bool): bool {
  const sign = (argumentNegative != ((quadrant & 1) != 0)) != negative;
  if (argumentExponent < -40 && (quadrant & 1) == 0) {
    // Barely more than the argument.
    W.product(argumentExponent, argumentHigh, argumentLow, 0, TOP_BIT, squareLow / 6 + 1);
    return give(sign);
  }
  cosineOfReduced();
  const exponent = W.exponent;
  const high = W.high;
  const low = W.low;
  sineOfReduced();
  if (quadrant & 1) W.ratio(exponent, high, low, W.exponent, W.high, W.low);
  else W.ratio(W.exponent, W.high, W.low, exponent, high, low);
  return give(sign);
}
