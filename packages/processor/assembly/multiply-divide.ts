/**
 * Multiplication and division in every form; 128-bit products and dividends from 64-bit pieces.
 * Answers to: AMD64 manual volume 3. Called by general.ts.
 */
import { vp, getRegister, setRegister, VECTOR_DE, RAX, RDX } from './state';
import { readPointer, effectiveAddress } from './memory';
import { setResult } from './flags';
import { FORM_R, FORM_RM } from './decoder';
import { multiplyHigh, multiplyHighSigned } from './multiply';
import { sizeOf, fault, raiseAt, loadSigned, loadUnsigned, putRegister, extend, bitsOf } from './operands';

/** The register or memory source of a one-operand multiplication or division; `sourcePointer` is 0 after a fault. */
function oneSource(u: usize, form: u32, size: u32): usize {
  return form == FORM_R ? vp + load<u8>(u, 2) : readPointer(effectiveAddress(u), 1 << size);
}

export function multiply(u: usize, signed: bool, form: u32): usize {
  const size = sizeOf(u);
  const p = oneSource(u, form, size);
  if (p == 0) return fault(u);
  let over = false;
  let low: i64 = 0;
  if (size == 3) {
    const a = getRegister(RAX);
    const b = load<u64>(p);
    low = <i64>(a * b);
    const high = signed ? multiplyHighSigned(a, b) : <i64>multiplyHigh(a, b);
    setRegister(RAX, low);
    setRegister(RDX, high);
    over = signed ? high != low >> 63 : high != 0;
  } else {
    const a = signed ? loadSigned(vp + RAX, size) : <i64>loadUnsigned(vp + RAX, size);
    const b = signed ? loadSigned(p, size) : <i64>loadUnsigned(p, size);
    const r = a * b;
    const bits = bitsOf(size);
    low = extend(r, size);
    if (size == 0) store<u16>(vp + RAX, <u16>r);
    else {
      putRegister(RAX, size, r);
      putRegister(RDX, size, r >> bits);
    }
    over = signed ? r != low : <u64>r >> bits != 0;
  }
  setExplicitMultiply(low, over);
  return u + 16;
}

/** CF and OF say that the result did not fit; the rest is undefined and left as the result's. */
function setExplicitMultiply(low: i64, over: bool): void {
  setResult(low, over ? 0x801 : 0);
}

/** IMUL with two or three operands. */
export function multiplyTwo(u: usize, form: u32, immediate: bool): usize {
  const size = sizeOf(u);
  let b: i64 = 0;
  if (form == FORM_RM) {
    const p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
    b = loadSigned(p, size);
  } else b = loadSigned(vp + load<u8>(u, 3), size);
  const at = load<u8>(u, 2);
  const a = immediate ? extend(<i64>load<i32>(u, 12), size) : loadSigned(vp + at, size);
  const r = a * b;
  const low = extend(r, size);
  const over = size == 3 ? multiplyHighSigned(a, b) != r >> 63 : r != low;
  putRegister(at, size, r);
  setExplicitMultiply(low, over);
  return u + 16;
}

/** Quotient and remainder of a 128-bit dividend; its high half is below the divisor. */
let remainder: u64 = 0;
function divideWide(high: u64, low: u64, divisor: u64): u64 {
  if (high == 0) {
    remainder = low % divisor;
    return low / divisor;
  }
  // Long division with digits of 32 bits: the divisor is shifted until its top bit is set, so that a digit's first guess is at most 2 too large.
  const shift = clz<u64>(divisor);
  const d = divisor << shift;
  const l = low << shift;
  const h = shift == 0 ? high : (high << shift) | (low >> (64 - shift));
  const upper = quotientDigit(h, l >> 32, d);
  const rest = (h << 32) + (l >> 32) - upper * d;
  const lower = quotientDigit(rest, l & 0xffffffff, d);
  remainder = ((rest << 32) + (l & 0xffffffff) - lower * d) >> shift;
  return (upper << 32) | lower;
}
/** One digit of 32 bits: (high, next) / divisor, where the divisor's top bit is set and high < divisor. Answers to: Knuth, volume 2, 4.3.1, D3. */
function quotientDigit(high: u64, next: u64, divisor: u64): u64 {
  const top = divisor >> 32;
  const bottom = divisor & 0xffffffff;
  let digit = high / top;
  let rest = high % top;
  while (digit >> 32 != 0 || digit * bottom > ((rest << 32) | next)) {
    digit--;
    rest += top;
    if (rest >> 32 != 0) break;
  }
  return digit;
}

export function divide(u: usize, signed: bool, form: u32): usize {
  const size = sizeOf(u);
  const p = oneSource(u, form, size);
  if (p == 0) return fault(u);
  if (loadUnsigned(p, size) == 0) return raiseAt(u, VECTOR_DE, 0);
  if (size == 3) {
    let low = getRegister(RAX);
    let high = getRegister(RDX);
    let divisor = load<u64>(p);
    if (!signed) {
      if (high >= divisor) return raiseAt(u, VECTOR_DE, 0);
      const q = divideWide(high, low, divisor);
      setRegister(RAX, q);
      setRegister(RDX, remainder);
      return u + 16;
    }
    const negativeDividend = <i64>high < 0;
    const negative = negativeDividend != <i64>divisor < 0;
    if (negativeDividend) {
      low = 0 - low;
      high = ~high + (low == 0 ? 1 : 0);
    }
    if (<i64>divisor < 0) divisor = 0 - divisor;
    if (high >= divisor) return raiseAt(u, VECTOR_DE, 0);
    const q = divideWide(high, low, divisor);
    if (negative ? q > 0x8000000000000000 : q > 0x7fffffffffffffff) return raiseAt(u, VECTOR_DE, 0);
    setRegister(RAX, negative ? 0 - q : q);
    setRegister(RDX, negativeDividend ? 0 - remainder : remainder);
    return u + 16;
  }
  const bits = bitsOf(size);
  if (signed) {
    const dividend: i64 =
      size == 0 ? <i64>load<i16>(vp + RAX)
      : size == 1 ? <i64>(<i32>((load<u16>(vp + RDX) << 16) | load<u16>(vp + RAX)))
      : <i64>((<u64>load<u32>(vp + RDX) << 32) | <u64>load<u32>(vp + RAX));
    const divisor = loadSigned(p, size);
    // The one 64-bit quotient that overflows i64 would trap.
    if (divisor == -1 && dividend == i64.MIN_VALUE) return raiseAt(u, VECTOR_DE, 0);
    const q = dividend / divisor;
    if (q != extend(q, size)) return raiseAt(u, VECTOR_DE, 0);
    const r = dividend % divisor;
    if (size == 0) store<u16>(vp + RAX, <u16>((q & 0xff) | (r << 8)));
    else {
      putRegister(RAX, size, q);
      putRegister(RDX, size, r);
    }
    return u + 16;
  }
  const dividend: u64 =
    size == 0 ? <u64>load<u16>(vp + RAX)
    : size == 1 ? (<u64>load<u16>(vp + RDX) << 16) | <u64>load<u16>(vp + RAX)
    : (<u64>load<u32>(vp + RDX) << 32) | <u64>load<u32>(vp + RAX);
  const divisor = loadUnsigned(p, size);
  const q = dividend / divisor;
  if (q >> bits != 0) return raiseAt(u, VECTOR_DE, 0);
  const r = dividend % divisor;
  if (size == 0) store<u16>(vp + RAX, <u16>(q | (r << 8)));
  else {
    putRegister(RAX, size, q);
    putRegister(RDX, size, r);
  }
  return u + 16;
}
