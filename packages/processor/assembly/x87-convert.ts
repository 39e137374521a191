/**
 * x87 conversions between 80-bit values and what memory holds: singles, doubles, integers, packed decimals.
 *
 * Loads give a value in resultSignificand and resultHigh; stores leave their bytes in `stored` (and `storedHigh` beyond eight).
 * Answers to: AMD64 Architecture Programmer's Manual volume 1, chapter 6. Called by x87-execute.ts.
 */
import {
  BIAS, CHOP, DE, DENORMAL, IE, INFINITY, QUIET, SIGNALING, UNSUPPORTED, ZERO,
  control, integerValue, kindOf, note, raised, restoreRaised, resultHigh, resultSignificand, round, roundToInteger, roundedExponent, roundedSignificand,
  rounding, setResult, unpack, unpackedExponent, unpackedSignificand,
} from './x87-number';
import { fromMagnitude } from './x87-arithmetic';

/** A single or a double as a value, without any exception: SNaNs stay signaling, denormals become normal. @returns its kind */
function widen(sign: u32, exponent: u32, maximum: u32, fraction: u64, shift: i32): u32 {
  if (exponent == maximum) {
    setResult(((<u64>1) << 63) | (fraction << shift), sign | 0x7fff);
    return kindOf(resultSignificand, resultHigh);
  }
  const bias = <u32>BIAS - (maximum >> 1);
  if (exponent == 0) {
    if (fraction == 0) {
      setResult(0, sign);
      return ZERO;
    }
    const significand = fraction << shift;
    const places = <u32>clz(significand);
    setResult(significand << places, sign | (bias + 1 - places));
    return DENORMAL;
  }
  setResult(((<u64>1) << 63) | (fraction << shift), sign | (bias + exponent));
  return 1;
}
export function widenSingle(bits: u32): u32 {
  return widen((bits >> 16) & 0x8000, (bits >> 23) & 0xff, 0xff, bits & 0x7fffff, 40);
}
export function widenDouble(bits: u64): u32 {
  return widen(<u32>(bits >> 48) & 0x8000, <u32>(bits >> 52) & 0x7ff, 0x7ff, bits & 0xfffffffffffff, 11);
}
/** What a load of a single or double of a kind raises. @returns false when nothing is to be loaded */
export function loaded(kind: u32): bool {
  if (kind == SIGNALING) {
    note(IE);
    setResult(resultSignificand | 0x4000000000000000, resultHigh);
    return (control & IE) != 0;
  }
  // A denormal is loaded even when that is not masked.
  if (kind == DENORMAL) note(DE);
  return true;
}

export let stored: u64 = 0;
export let storedHigh: u32 = 0;

/** A value as a single (`bits` 24) or double (53). @returns false when nothing is to be stored */
export function narrow(significand: u64, high: u32, bits: u32): bool {
  const single = bits == 24;
  const sign: u64 = <u64>(high >> 15) << (single ? 31 : 63);
  const place: u64 = single ? 23 : 52;
  const most: i32 = single ? 254 : 2046;
  const kind = kindOf(significand, high);
  if (kind >= QUIET) {
    if (kind == UNSUPPORTED) stored = single ? 0xffc00000 : 0xfff8000000000000;
    else {
      const fraction = ((significand | 0x4000000000000000) << 1) >> (single ? 41 : 12);
      stored = sign | (<u64>(most + 1) << place) | fraction;
    }
    if (kind == QUIET) return true;
    note(IE);
    return (control & IE) != 0;
  }
  if (kind == ZERO || kind == INFINITY) {
    stored = kind == ZERO ? sign : sign | (<u64>(most + 1) << place);
    return true;
  }
  const minimum = BIAS - (most >> 1) + 1;
  unpack(significand, high);
  if (!round((high & 0x8000) != 0, unpackedExponent, unpackedSignificand, 0, bits, minimum, minimum + most - 1, false)) return false;
  const field: u64 = <i64>roundedSignificand < 0 ? <u64>(roundedExponent - minimum + 1) : 0;
  stored = sign | (field << place) | ((roundedSignificand << 1) >> (single ? 41 : 12));
  return true;
}

/** A value as an integer of 16, 32 or 64 bits. @returns false when nothing is to be stored */
export function toInteger(significand: u64, high: u32, bits: u32, truncate: bool): bool {
  const negative = (high & 0x8000) != 0;
  const kind = kindOf(significand, high);
  const limit: u64 = (<u64>1) << (bits - 1);
  if (kind == ZERO) {
    stored = 0;
    return true;
  }
  if (kind < INFINITY) {
    const before = raised;
    unpack(significand, high);
    if (roundToInteger(negative, unpackedExponent, unpackedSignificand, truncate ? CHOP : rounding())) {
      if (negative ? integerValue <= limit : integerValue < limit) {
        stored = negative ? 0 - integerValue : integerValue;
        return true;
      }
    }
    // The rounding that did not happen leaves no trace.
    restoreRaised(before);
  }
  stored = limit;
  note(IE);
  return (control & IE) != 0;
}
/** A value as a packed decimal of 18 digits in `stored` and `storedHigh`. @returns false when nothing is to be stored */
export function toDecimal(significand: u64, high: u32): bool {
  const negative = (high & 0x8000) != 0;
  const kind = kindOf(significand, high);
  if (kind < INFINITY) {
    const before = raised;
    let value: u64 = 0;
    let fits = true;
    if (kind != ZERO) {
      unpack(significand, high);
      fits = roundToInteger(negative, unpackedExponent, unpackedSignificand, rounding()) && integerValue < 1000000000000000000;
      value = integerValue;
    }
    if (fits) {
      let packed: u64 = 0;
      for (let place = 0; place < 64; place += 4) {
        packed |= (value % 10) << place;
        value /= 10;
      }
      stored = packed;
      storedHigh = <u32>(value % 10) | (<u32>(value / 10) << 4) | (negative ? 0x8000 : 0);
      return true;
    }
    restoreRaised(before);
  }
  stored = 0xc000000000000000;
  storedHigh = 0xffff;
  note(IE);
  return (control & IE) != 0;
}
/** FBLD's value. */
export function fromDecimal(low: u64, high: u32): void {
  let value: u64 = ((high >> 4) & 15) * 10 + (high & 15);
  for (let place = 60; place >= 0; place -= 4) value = value * 10 + ((low >> place) & 15);
  fromMagnitude(value, high & 0x8000);
}
