/**
 * General-purpose instructions in their general form: every operand size, register or memory, LOCK. The run loop has its own, faster
 * versions of the frequent ones; this file is the complete one.
 * Each handler returns the next operation: u + 16, or one that leaves the block.
 * Answers to: AMD64 manual volume 3. Called by run.ts through `executeGeneral`.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import {
  vp, raise, getRegister, setRegister, segment, MODE_64, MODE_16, MODE_STACK32, VECTOR_DE, VECTOR_UD, VECTOR_GP, VECTOR_SS, VECTOR_BR, VECTOR_NM,
  FLAG_DF, FLAG_CF, FLAG_AC, RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS,
} from './state';
import {
  readPointer, writePointer, modifyPointer, commitIfPending, writeScratch, effectiveAddress, isCanonical, specialAddress, UNUSABLE,
} from './memory';
import {
  setLazy, setLogic, setExplicit, setResult, carry, overflow, arithmeticFlags, condition, getFlags, CC_ADD, CC_SUB, CC_INC, CC_DEC, zero,
} from './flags';
import { FORM_N, FORM_R, FORM_M, FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, GENERAL_BASE } from './decoder';
import { leaveOperation, LEAVE_DELIVER, LEAVE_GO } from './blocks';
import { loadDataSegment } from './segments';
import { multiplyHigh, multiplyHighSigned } from './multiply';

// @ts-ignore: decorator
@inline
export function sizeOf(u: usize): u32 {
  return (load<u8>(u, 6) >> 2) & 3;
}
/** Leaves the operation after `raise`. */
export function fault(u: usize): usize {
  store<u32>(vp, <u32>u, L.FAULT_OPERATION);
  return leaveOperation(LEAVE_DELIVER);
}
export function raiseAt(u: usize, vector: u32, error: u32): usize {
  raise(vector, error);
  return fault(u);
}
export function nextRip(u: usize): u64 {
  const rip = load<u64>(vp, L.RIP_BASE) + load<u8>(u, 7);
  return load<u32>(vp, L.MODE) & MODE_64 ? rip : rip & 0xffffffff;
}
export function startRip(u: usize): u64 {
  return load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9);
}
/** Continues at an address. */
export function go(rip: u64): usize {
  store<u64>(vp, rip, L.RIP);
  return leaveOperation(LEAVE_GO);
}

export function loadSigned(p: usize, size: u32): i64 {
  if (size == 0) return load<i8>(p);
  if (size == 1) return load<i16>(p);
  if (size == 2) return load<i32>(p);
  return load<i64>(p);
}
export function loadUnsigned(p: usize, size: u32): u64 {
  if (size == 0) return load<u8>(p);
  if (size == 1) return load<u16>(p);
  if (size == 2) return load<u32>(p);
  return load<u64>(p);
}
export function storeSized(p: usize, size: u32, value: i64): void {
  if (size == 0) store<u8>(p, <u8>value);
  else if (size == 1) store<u16>(p, <u16>value);
  else if (size == 2) store<u32>(p, <u32>value);
  else store<i64>(p, value);
}
/** Writes a general register by its offset: 32-bit results clear the upper half. */
export function putRegister(offset: u32, size: u32, value: i64): void {
  if (size == 2) store<u64>(vp + offset, <u64>value & 0xffffffff);
  else storeSized(vp + offset, size, value);
}
export function extend(value: i64, size: u32): i64 {
  if (size == 0) return <i64>(<i8>value);
  if (size == 1) return <i64>(<i16>value);
  if (size == 2) return <i64>(<i32>value);
  return value;
}
// @ts-ignore: decorator
@inline
function bitsOf(size: u32): u32 {
  return 8 << size;
}

/** Compare-and-exchange at an aligned host address; returns what was there, sign-extended. */
function exchangeIf(p: usize, size: u32, expected: i64, value: i64): i64 {
  if (size == 0) return <i64>(<i8>atomic.cmpxchg<u8>(p, <u8>expected, <u8>value));
  if (size == 1) return <i64>(<i16>atomic.cmpxchg<u16>(p, <u16>expected, <u16>value));
  if (size == 2) return <i64>(<i32>atomic.cmpxchg<u32>(p, <u32>expected, <u32>value));
  return <i64>atomic.cmpxchg<u64>(p, <u64>expected, <u64>value);
}

/** Computes a two-operand arithmetic or logic operation on sign-extended values. */
function compute(operation: u32, a: i64, b: i64, size: u32, carryIn: i64): i64 {
  switch (operation) {
    case Operation.ADD:
      return extend(a + b, size);
    case Operation.OR:
      return a | b;
    case Operation.ADC:
      return extend(a + b + carryIn, size);
    case Operation.SBB:
      return extend(a - b - carryIn, size);
    case Operation.AND:
    case Operation.TEST:
      return a & b;
    case Operation.XOR:
      return a ^ b;
    default:
      return extend(a - b, size);
  }
}
function flagsAfter(operation: u32, r: i64, a: i64, b: i64, carryIn: i64): void {
  switch (operation) {
    case Operation.ADD:
      setLazy(CC_ADD, r, a, b);
      break;
    case Operation.SUB:
    case Operation.CMP:
      setLazy(CC_SUB, r, a, b);
      break;
    case Operation.ADC: {
      const cf = <u64>r < <u64>a || (carryIn != 0 && r == a);
      explicitAfter(r, cf, ((a ^ r) & (b ^ r)) < 0, ((a ^ b ^ r) & 0x10) != 0);
      break;
    }
    case Operation.SBB: {
      const cf = <u64>a < <u64>b || (carryIn != 0 && a == b);
      explicitAfter(r, cf, ((a ^ b) & (a ^ r)) < 0, ((a ^ b ^ r) & 0x10) != 0);
      break;
    }
    default:
      setLogic(r);
  }
}
function explicitAfter(r: i64, cf: bool, ov: bool, af: bool): void {
  setExplicit(
    (cf ? 1 : 0) | (popcnt<u32>(<u32>r & 0xff) & 1 ? 0 : 4) | (af ? 0x10 : 0) | (r == 0 ? 0x40 : 0) | (r < 0 ? 0x80 : 0) | (ov ? 0x800 : 0),
  );
}

function binary(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const carryIn: i64 = operation == Operation.ADC || operation == Operation.SBB ? (carry() ? 1 : 0) : 0;
  const writes = operation != Operation.CMP && operation != Operation.TEST;
  let b: i64 = 0;
  if (form == FORM_RI || form == FORM_MI) b = extend(<i64>load<i32>(u, 12), size);
  else if (form == FORM_RM) {
    const p = readPointer(effectiveAddress(u), bytes);
    if (p == 0) return fault(u);
    b = loadSigned(p, size);
  } else b = loadSigned(vp + load<u8>(u, 3), size);

  if (form < FORM_MR) {
    const at = load<u8>(u, 2);
    const a = loadSigned(vp + at, size);
    const r = compute(operation, a, b, size, carryIn);
    if (writes) putRegister(at, size, r);
    flagsAfter(operation, r, a, b, carryIn);
    return u + 16;
  }
  const address = effectiveAddress(u);
  if (!writes) {
    const p = readPointer(address, bytes);
    if (p == 0) return fault(u);
    const a = loadSigned(p, size);
    flagsAfter(operation, compute(operation, a, b, size, 0), a, b, 0);
    return u + 16;
  }
  const p = modifyPointer(address, bytes);
  if (p == 0) return fault(u);
  let a = loadSigned(p, size);
  let r = compute(operation, a, b, size, carryIn);
  if (load<u8>(u, 2) != 0 && p != writeScratch() && (p & (bytes - 1)) == 0) {
    for (;;) {
      const seen = exchangeIf(p, size, a, r);
      if (seen == a) break;
      a = seen;
      r = compute(operation, a, b, size, carryIn);
    }
  } else {
    storeSized(p, size, r);
    commitIfPending(p, bytes);
  }
  flagsAfter(operation, r, a, b, carryIn);
  return u + 16;
}

/** INC, DEC, NOT, NEG. */
function unary(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  let p: usize = 0;
  if (form == FORM_R) p = vp + load<u8>(u, 2);
  else {
    p = modifyPointer(effectiveAddress(u), bytes);
    if (p == 0) return fault(u);
  }
  const cf: u32 = (operation == Operation.INC || operation == Operation.DEC) && carry() ? 0x100 : 0;
  const atomically = form == FORM_M && load<u8>(u, 2) != 0 && p != writeScratch() && (p & (bytes - 1)) == 0;
  let a = loadSigned(p, size);
  let r: i64 = 0;
  for (;;) {
    if (operation == Operation.INC) r = extend(a + 1, size);
    else if (operation == Operation.DEC) r = extend(a - 1, size);
    else if (operation == Operation.NOT) r = ~a;
    else r = extend(0 - a, size);
    if (!atomically) break;
    const seen = exchangeIf(p, size, a, r);
    if (seen == a) break;
    a = seen;
  }
  if (form == FORM_R) putRegister(load<u8>(u, 2), size, r);
  else if (!atomically) {
    storeSized(p, size, r);
    commitIfPending(p, bytes);
  }
  if (operation == Operation.INC) setLazy(3 | cf, r, a, 1);
  else if (operation == Operation.DEC) setLazy(4 | cf, r, a, 1);
  else if (operation == Operation.NEG) setLazy(CC_SUB, r, 0, a);
  return u + 16;
}

/** Where the destination of a register-or-memory operation stands; 0 after a fault. */
function destination(u: usize, form: u32, bytes: u32): usize {
  if (form == FORM_R || form == FORM_RR || form == FORM_RI) return vp + load<u8>(u, 2);
  return modifyPointer(effectiveAddress(u), bytes);
}
function isRegisterForm(form: u32): bool {
  return form == FORM_R || form == FORM_RR || form == FORM_RI;
}
function putDestination(u: usize, form: u32, p: usize, size: u32, value: i64): void {
  if (isRegisterForm(form)) putRegister(load<u8>(u, 2), size, value);
  else {
    storeSized(p, size, value);
    commitIfPending(p, 1 << size);
  }
}

/** Rotates and shifts. Undefined flags come out as AMD's silicon leaves them where that is known (OF as for a count of one). */
function shift(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  const bits = bitsOf(size);
  const p = destination(u, form, 1 << size);
  if (p == 0) return fault(u);
  let count: u32 = form == FORM_RI || form == FORM_MI ? load<u32>(u, 12) & 0xff : <u32>load<u8>(vp + load<u8>(u, 3));
  count &= size == 3 ? 63 : 31;
  const a = loadUnsigned(p, size);
  if (count == 0) {
    // Flags stay; the destination is still written (a 32-bit register loses its upper half).
    putDestination(u, form, p, size, <i64>a);
    return u + 16;
  }
  const flags = arithmeticFlags();
  let r: u64 = 0;
  let cf = false;
  let ov = false;
  const top: u64 = <u64>1 << (bits - 1);
  const mask: u64 = size == 3 ? 0xffffffffffffffff : (<u64>1 << bits) - 1;
  switch (operation) {
    case Operation.ROL: {
      const n = count & (bits - 1);
      r = n == 0 ? a : ((a << n) | (a >> (bits - n))) & mask;
      cf = (r & 1) != 0;
      ov = ((r & top) != 0) != cf;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | (cf ? 1 : 0) | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.ROR: {
      const n = count & (bits - 1);
      r = n == 0 ? a : ((a >> n) | (a << (bits - n))) & mask;
      cf = (r & top) != 0;
      ov = ((r ^ (r << 1)) & top) != 0;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | (cf ? 1 : 0) | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.RCL: {
      const n = count % (bits + 1);
      let c = flags & 1;
      r = a;
      for (let i: u32 = 0; i < n; i++) {
        const out: u64 = r & top ? 1 : 0;
        r = ((r << 1) | c) & mask;
        c = out;
      }
      cf = c != 0;
      ov = ((r & top) != 0) != cf;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | c | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.RCR: {
      const n = count % (bits + 1);
      let c = flags & 1;
      r = a;
      for (let i: u32 = 0; i < n; i++) {
        const out = r & 1;
        r = (r >> 1) | (c != 0 ? top : 0);
        c = out;
      }
      ov = ((r ^ (r << 1)) & top) != 0;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | c | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.SHL:
      r = (count >= bits ? 0 : a << count) & mask;
      cf = count > bits ? false : ((a >> (bits - count)) & 1) != 0;
      ov = ((r & top) != 0) != cf;
      break;
    case Operation.SHR:
      r = count >= bits ? 0 : a >> count;
      cf = count > bits ? false : ((a >> (count - 1)) & 1) != 0;
      ov = ((r ^ (r << 1)) & top) != 0;
      break;
    default: {
      const s = extend(<i64>a, size);
      r = <u64>(s >> min(count, 63)) & mask;
      cf = ((s >> min(count - 1, 63)) & 1) != 0;
      ov = false;
    }
  }
  putDestination(u, form, p, size, <i64>r);
  setResult(extend(<i64>r, size), (cf ? 1 : 0) | (ov ? 0x800 : 0));
  return u + 16;
}

/** SHLD and SHRD. The source register is in the source byte for memory and register destinations alike. */
function doubleShift(u: usize, left: bool, byCl: bool, form: u32): usize {
  const size = sizeOf(u);
  const bits = bitsOf(size);
  const p = destination(u, form, 1 << size);
  if (p == 0) return fault(u);
  const count = (byCl ? <u32>load<u8>(vp + RCX) : load<u32>(u, 12)) & (size == 3 ? 63 : 31);
  const a = loadUnsigned(p, size);
  const b = loadUnsigned(vp + load<u8>(u, 3), size);
  if (count == 0) {
    putDestination(u, form, p, size, <i64>a);
    return u + 16;
  }
  let r: u64 = 0;
  let cf = false;
  const mask: u64 = size == 3 ? 0xffffffffffffffff : (<u64>1 << bits) - 1;
  if (size == 1) {
    // Counts above 16 are undefined: the silicon goes on shifting in the destination's own bits after the source's.
    const wide = left ? (a << 32) | (b << 16) | a : (a << 32) | (b << 16) | a;
    if (left) {
      r = (wide >> (32 - count)) & mask;
      cf = ((wide >> (48 - count)) & 1) != 0;
    } else {
      r = (wide >> count) & mask;
      cf = ((wide >> (count - 1)) & 1) != 0;
    }
  } else if (left) {
    r = ((a << count) | (b >> (bits - count))) & mask;
    cf = ((a >> (bits - count)) & 1) != 0;
  } else {
    r = ((a >> count) | (b << (bits - count))) & mask;
    cf = ((a >> (count - 1)) & 1) != 0;
  }
  const ov = (((r ^ a) >> (bits - 1)) & 1) != 0;
  putDestination(u, form, p, size, <i64>r);
  setResult(extend(<i64>r, size), (cf ? 1 : 0) | (ov ? 0x800 : 0));
  return u + 16;
}

/** The register or memory source of a one-operand multiplication or division; `sourcePointer` is 0 after a fault. */
function oneSource(u: usize, form: u32, size: u32): usize {
  return form == FORM_R ? vp + load<u8>(u, 2) : readPointer(effectiveAddress(u), 1 << size);
}

function multiply(u: usize, signed: bool, form: u32): usize {
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
function multiplyTwo(u: usize, form: u32, immediate: bool): usize {
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

/** Quotient and remainder of a 128-bit dividend. */
let remainder: u64 = 0;
function divideWide(high: u64, low: u64, divisor: u64): u64 {
  if (high == 0) {
    remainder = low % divisor;
    return low / divisor;
  }
  let r = high;
  let q: u64 = 0;
  for (let i: i32 = 63; i >= 0; i--) {
    const top = r >> 63;
    r = (r << 1) | ((low >> i) & 1);
    if (top != 0 || r >= divisor) {
      r -= divisor;
      q |= <u64>1 << i;
    }
  }
  remainder = r;
  return q;
}

function divide(u: usize, signed: bool, form: u32): usize {
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

// ---- moves ----

function move(u: usize, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  let value: i64 = 0;
  if (form == FORM_RI || form == FORM_MI) value = <i64>load<i32>(u, 12);
  else if (form == FORM_RM) {
    const p = readPointer(effectiveAddress(u), bytes);
    if (p == 0) return fault(u);
    value = loadSigned(p, size);
  } else value = loadSigned(vp + load<u8>(u, 3), size);
  if (form < FORM_MR) {
    putRegister(load<u8>(u, 2), size, value);
    return u + 16;
  }
  const p = writePointer(effectiveAddress(u), bytes);
  if (p == 0) return fault(u);
  storeSized(p, size, value);
  commitIfPending(p, bytes);
  return u + 16;
}

/** MOVZX, MOVSX, MOVSXD: `from` is the source's size. */
function moveExtend(u: usize, form: u32, from: u32, signed: bool): usize {
  let p: usize = vp + load<u8>(u, 3);
  if (form == FORM_RM) {
    p = readPointer(effectiveAddress(u), 1 << from);
    if (p == 0) return fault(u);
  }
  putRegister(load<u8>(u, 2), sizeOf(u), signed ? loadSigned(p, from) : <i64>loadUnsigned(p, from));
  return u + 16;
}

function exchange(u: usize, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const source = load<u8>(u, 3);
  const b = loadSigned(vp + source, size);
  if (form == FORM_RR) {
    const at = load<u8>(u, 2);
    const a = loadSigned(vp + at, size);
    putRegister(at, size, b);
    putRegister(source, size, a);
    return u + 16;
  }
  const p = modifyPointer(effectiveAddress(u), bytes);
  if (p == 0) return fault(u);
  let a = loadSigned(p, size);
  if (p != writeScratch() && (p & (bytes - 1)) == 0) {
    for (;;) {
      const seen = exchangeIf(p, size, a, b);
      if (seen == a) break;
      a = seen;
    }
  } else {
    storeSized(p, size, b);
    commitIfPending(p, bytes);
  }
  putRegister(source, size, a);
  return u + 16;
}

function compareExchange(u: usize, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const p = destination(u, form, bytes);
  if (p == 0) return fault(u);
  const expected = loadSigned(vp + RAX, size);
  const value = loadSigned(vp + load<u8>(u, 3), size);
  let a = loadSigned(p, size);
  if (form == FORM_MR && load<u8>(u, 2) != 0 && p != writeScratch() && (p & (bytes - 1)) == 0) {
    a = exchangeIf(p, size, expected, value);
    if (a != expected) putRegister(RAX, size, a);
  } else if (a == expected) putDestination(u, form, p, size, value);
  else {
    // The destination is written back with its own value. A 32-bit register destination keeps its upper half on a mismatch.
    if (form == FORM_MR) putDestination(u, form, p, size, a);
    putRegister(RAX, size, a);
  }
  setLazy(CC_SUB, extend(expected - a, size), expected, a);
  return u + 16;
}

function compareExchangeWide(u: usize): usize {
  const wide = sizeOf(u) == 3;
  const address = effectiveAddress(u);
  if (wide && (address & 15) != 0) return raiseAt(u, VECTOR_GP, 0);
  const bytes: u32 = wide ? 16 : 8;
  const p = modifyPointer(address, bytes);
  if (p == 0) return fault(u);
  let equal = false;
  if (wide) {
    const low = load<u64>(p);
    const high = load<u64>(p, 8);
    equal = low == getRegister(RAX) && high == getRegister(RDX);
    if (equal) {
      store<u64>(p, getRegister(RBX));
      store<u64>(p, getRegister(RCX), 8);
    } else {
      setRegister(RAX, low);
      setRegister(RDX, high);
    }
  } else {
    const expected = <u64>load<u32>(vp + RAX) | (<u64>load<u32>(vp + RDX) << 32);
    const value = <u64>load<u32>(vp + RBX) | (<u64>load<u32>(vp + RCX) << 32);
    let old = load<u64>(p);
    if (p != writeScratch() && (p & 7) == 0) old = atomic.cmpxchg<u64>(p, expected, value);
    else if (old == expected) store<u64>(p, value);
    equal = old == expected;
    if (!equal) {
      setRegister(RAX, old & 0xffffffff);
      setRegister(RDX, old >> 32);
    }
  }
  commitIfPending(p, bytes);
  setExplicit((arithmeticFlags() & ~<u64>0x40) | (equal ? 0x40 : 0));
  return u + 16;
}

function exchangeAdd(u: usize, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const p = destination(u, form, bytes);
  if (p == 0) return fault(u);
  const source = load<u8>(u, 3);
  const b = loadSigned(vp + source, size);
  let a = loadSigned(p, size);
  let r = extend(a + b, size);
  if (form == FORM_MR) {
    if (p != writeScratch() && (p & (bytes - 1)) == 0) {
      for (;;) {
        const seen = exchangeIf(p, size, a, r);
        if (seen == a) break;
        a = seen;
        r = extend(a + b, size);
      }
    } else putDestination(u, form, p, size, r);
    putRegister(source, size, a);
  } else {
    putRegister(source, size, a);
    putRegister(load<u8>(u, 2), size, r);
  }
  setLazy(CC_ADD, r, a, b);
  return u + 16;
}

/** BT, BTS, BTR, BTC. With a register index a memory operand reaches beyond its own size. */
function bitTest(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const bits = bitsOf(size);
  let index: i64 = form == FORM_RI || form == FORM_MI ? <i64>load<u8>(u, 12) : loadSigned(vp + load<u8>(u, 3), size);
  let p: usize = vp + load<u8>(u, 2);
  const memoryForm = form >= FORM_MR;
  if (memoryForm) {
    let address = effectiveAddress(u);
    if (form == FORM_MR) {
      const step = (index >> (3 + size)) << size;
      const flags = <u32>load<u8>(u, 6);
      if (!(load<u32>(vp, L.MODE) & MODE_64)) {
        // SEG is always named here; a 16-bit address wraps within the segment.
        const segmentBase = load<u64>(segment(((flags >> 4) & 7) - 1));
        const mask: u64 = flags & 0x80 ? 0xffff : 0xffffffff;
        if (address != UNUSABLE) address = (((address - segmentBase + step) & mask) + segmentBase) & 0xffffffff;
      } else if (flags & 0x80) {
        const seg = (flags >> 4) & 7;
        const segmentBase: u64 = seg != 0 ? load<u64>(segment(seg - 1)) : 0;
        address = ((address - segmentBase + step) & 0xffffffff) + segmentBase;
      } else address += step;
    }
    p = operation == Operation.BT ? readPointer(address, bytes) : modifyPointer(address, bytes);
    if (p == 0) return fault(u);
  }
  index &= bits - 1;
  const mask: i64 = <i64>1 << index;
  let a = loadSigned(p, size);
  let r = a;
  const atomically = memoryForm && load<u8>(u, 2) != 0 && p != writeScratch() && (p & (bytes - 1)) == 0;
  for (;;) {
    if (operation == Operation.BTS) r = a | mask;
    else if (operation == Operation.BTR) r = a & ~mask;
    else if (operation == Operation.BTC) r = a ^ mask;
    if (!atomically || operation == Operation.BT) break;
    const seen = exchangeIf(p, size, a, extend(r, size));
    if (seen == a) break;
    a = seen;
  }
  if (operation != Operation.BT) {
    if (!memoryForm) putRegister(load<u8>(u, 2), size, r);
    else if (!atomically) {
      storeSized(p, size, r);
      commitIfPending(p, bytes);
    }
  }
  const cf: u64 = (a >> index) & 1;
  setExplicit((arithmeticFlags() & ~<u64>1) | cf);
  return u + 16;
}

function bitScan(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 3);
  if (form == FORM_RM) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const value = loadUnsigned(p, size);
  if (operation == Operation.POPCNT) {
    putRegister(load<u8>(u, 2), size, <i64>popcnt<u64>(value));
    setExplicit(value == 0 ? 0x40 : 0);
    return u + 16;
  }
  // A zero source leaves the destination as it was (AMD defines this).
  if (value != 0) putRegister(load<u8>(u, 2), size, <i64>(operation == Operation.BSF ? ctz<u64>(value) : 63 - clz<u64>(value)));
  setExplicit((arithmeticFlags() & ~<u64>0x40) | (value == 0 ? 0x40 : 0));
  return u + 16;
}

// ---- stack ----

// @ts-ignore: decorator
@inline
function stackMask(): u64 {
  const mode = load<u32>(vp, L.MODE);
  return mode & MODE_64 ? 0xffffffffffffffff : mode & MODE_STACK32 ? 0xffffffff : 0xffff;
}
export function stackLinear(pointer: u64): u64 {
  const mode = load<u32>(vp, L.MODE);
  if (mode & MODE_64) return pointer;
  return ((pointer & stackMask()) + load<u64>(segment(SEG_SS))) & 0xffffffff;
}
export function setStack(pointer: u64): void {
  const mask = stackMask();
  if (mask == 0xffff) store<u16>(vp + RSP, <u16>pointer);
  else setRegister(RSP, pointer & mask);
}
/** A bad stack address is #SS whatever the operand's base was. */
export function stackFault(u: usize, address: u64): usize {
  if (load<u32>(vp, L.FAULT_VECTOR) == VECTOR_GP) raise(VECTOR_SS, 0);
  return fault(u);
}
/** Pushes a value of `size` (log2). @returns 0 when done, else the operation to go on with. */
export function pushSized(u: usize, value: i64, size: u32): usize {
  const bytes: u32 = 1 << size;
  const pointer = getRegister(RSP) - bytes;
  const address = stackLinear(pointer);
  const p = writePointer(address, bytes);
  if (p == 0) return stackFault(u, address);
  storeSized(p, size, value);
  commitIfPending(p, bytes);
  setStack(pointer);
  return 0;
}
let popValue: i64 = 0;
export function popSized(u: usize, size: u32): usize {
  const bytes: u32 = 1 << size;
  const pointer = getRegister(RSP);
  const address = stackLinear(pointer);
  const p = readPointer(address, bytes);
  if (p == 0) return stackFault(u, address);
  popValue = loadSigned(p, size);
  setStack(pointer + bytes);
  return 0;
}

function push(u: usize, form: u32): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 2);
  if (form == FORM_M) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const left = pushSized(u, loadSigned(p, size), size);
  return left != 0 ? left : u + 16;
}

function pop(u: usize, form: u32): usize {
  const size = sizeOf(u);
  const before = getRegister(RSP);
  const left = popSized(u, size);
  if (left != 0) return left;
  const value = popValue;
  if (form == FORM_R) {
    putRegister(load<u8>(u, 2), size, value);
    return u + 16;
  }
  // The address is computed with the stack pointer already moved.
  const p = writePointer(effectiveAddress(u), 1 << size);
  if (p == 0) {
    setRegister(RSP, before);
    return fault(u);
  }
  storeSized(p, size, value);
  commitIfPending(p, 1 << size);
  return u + 16;
}

function enter(u: usize): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const immediate = load<u32>(u, 12);
  const allocate = immediate & 0xffff;
  const level = (immediate >> 16) & 31;
  const rspBefore = getRegister(RSP);
  const rbpBefore = getRegister(RBP);
  let left = pushSized(u, <i64>rbpBefore, size);
  if (left != 0) return left;
  const frame = getRegister(RSP);
  if (level != 0) {
    let rbp = rbpBefore;
    for (let i: u32 = 1; i < level; i++) {
      rbp -= bytes;
      const p = readPointer(stackLinear(rbp), bytes);
      if (p == 0) {
        setRegister(RSP, rspBefore);
        return stackFault(u, stackLinear(rbp));
      }
      left = pushSized(u, loadSigned(p, size), size);
      if (left != 0) {
        setRegister(RSP, rspBefore);
        return left;
      }
    }
    left = pushSized(u, <i64>frame, size);
    if (left != 0) {
      setRegister(RSP, rspBefore);
      return left;
    }
  }
  const pointer = getRegister(RSP) - allocate;
  // The silicon probes the new stack top for writing before it commits.
  if (writePointer(stackLinear(pointer), bytes) == 0) {
    setRegister(RSP, rspBefore);
    return stackFault(u, stackLinear(pointer));
  }
  setStack(pointer);
  putRegister(RBP, size, <i64>frame);
  return u + 16;
}

function leave(u: usize): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const pointer = getRegister(RBP);
  const address = stackLinear(pointer);
  const p = readPointer(address, bytes);
  if (p == 0) return stackFault(u, address);
  const value = loadSigned(p, size);
  setStack(pointer + bytes);
  putRegister(RBP, size, value);
  return u + 16;
}

function pushAll(u: usize): usize {
  const size = sizeOf(u);
  const before = getRegister(RSP);
  for (let i: u32 = 0; i < 8; i++) {
    const value = i == 4 ? <i64>before : <i64>getRegister(i * 8);
    const left = pushSized(u, value, size);
    if (left != 0) {
      setRegister(RSP, before);
      return left;
    }
  }
  return u + 16;
}
function popAll(u: usize): usize {
  const size = sizeOf(u);
  const bytes: u64 = 1 << size;
  const before = getRegister(RSP);
  // All eight are readable before any register changes.
  for (let i: u64 = 0; i < 8; i++) {
    const address = stackLinear(before + i * bytes);
    if (readPointer(address, <u32>bytes) == 0) return stackFault(u, address);
  }
  for (let i: i32 = 7; i >= 0; i--) {
    popSized(u, size);
    if (i != 4) putRegister(i * 8, size, popValue);
  }
  return u + 16;
}

// ---- control transfer ----

function target(u: usize, rip: u64): u64 {
  const size = sizeOf(u);
  return size == 1 ? rip & 0xffff : size == 2 ? rip & 0xffffffff : rip;
}
/** A near transfer; the new address must be canonical. */
function nearTo(u: usize, rip: u64): usize {
  if (load<u32>(vp, L.MODE) & MODE_64 && !isCanonical(rip)) return raiseAt(u, VECTOR_GP, 0);
  return go(rip);
}
function relative(u: usize): u64 {
  return target(u, load<u64>(vp, L.RIP_BASE) + <u64>(<i64>load<i32>(u, 8)));
}

function call(u: usize, rip: u64): usize {
  if (load<u32>(vp, L.MODE) & MODE_64 && !isCanonical(rip)) {
    // A stack that cannot be written comes first; nothing is written before the target is known to be good.
    const address = stackLinear(getRegister(RSP) - (1 << sizeOf(u)));
    if (writePointer(address, 1 << sizeOf(u)) == 0) return stackFault(u, address);
    return raiseAt(u, VECTOR_GP, 0);
  }
  const left = pushSized(u, <i64>nextRip(u), sizeOf(u));
  return left != 0 ? left : go(rip);
}

function ret(u: usize): usize {
  const size = sizeOf(u);
  const before = getRegister(RSP);
  const left = popSized(u, size);
  if (left != 0) return left;
  const rip = target(u, <u64>popValue);
  if (load<u32>(vp, L.MODE) & MODE_64 && !isCanonical(rip)) {
    setRegister(RSP, before);
    return raiseAt(u, VECTOR_GP, 0);
  }
  setStack(getRegister(RSP) + <u64>load<u32>(u, 12));
  return go(rip);
}

function indirect(u: usize, form: u32, isCall: bool): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 2);
  if (form == FORM_M) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const rip = loadUnsigned(p, size);
  return isCall ? call(u, rip) : nearTo(u, rip);
}

/** LOOP, LOOPE, LOOPNE, JCXZ: the counter's width is the address size. */
function loopInstruction(u: usize, operation: u32): usize {
  const narrow = (load<u8>(u, 6) & 0x80) != 0;
  const is64 = (load<u32>(vp, L.MODE) & MODE_64) != 0;
  const size: u32 = is64 ? (narrow ? 2 : 3) : narrow ? 1 : 2;
  let count = loadUnsigned(vp + RCX, size);
  let taken = false;
  if (operation == Operation.JCXZ) taken = count == 0;
  else {
    count--;
    if (size < 3) count &= ((<u64>1) << (8 << size)) - 1;
    taken = count != 0;
    if (operation == Operation.LOOPE) taken = taken && zero();
    else if (operation == Operation.LOOPNE) taken = taken && !zero();
    if (taken && is64 && !isCanonical(relative(u))) return raiseAt(u, VECTOR_GP, 0);
    putRegister(RCX, size, <i64>count);
  }
  if (!taken) return u + 16;
  return nearTo(u, relative(u));
}

// ---- decimal arithmetic (not in 64-bit mode) ----

function decimal(u: usize, operation: u32): usize {
  const flags = arithmeticFlags();
  const al = <u32>load<u8>(vp + RAX);
  const af = (flags & 0x10) != 0;
  const cf = (flags & 1) != 0;
  if (operation == Operation.DAA || operation == Operation.DAS) {
    let r = al;
    let newCf = false;
    let newAf = false;
    const subtract = operation == Operation.DAS;
    if ((al & 15) > 9 || af) {
      newCf = subtract ? cf || r < 6 : cf || r > 0xf9;
      r = subtract ? r - 6 : r + 6;
      newAf = true;
    }
    if (al > 0x99 || cf) {
      r = subtract ? r - 0x60 : r + 0x60;
      newCf = true;
    }
    store<u8>(vp + RAX, <u8>r);
    const s = <i64>(<i8>r);
    explicitAfter(s, newCf, false, newAf);
    return u + 16;
  }
  const adjust = (al & 15) > 9 || af;
  let ax = <u32>load<u16>(vp + RAX);
  if (adjust) ax = operation == Operation.AAA ? ax + 0x106 : ax - 0x106;
  ax &= 0xff0f;
  store<u16>(vp + RAX, <u16>ax);
  explicitAfter(<i64>(<i8>ax), adjust, false, adjust);
  return u + 16;
}

function bound(u: usize): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const p = readPointer(effectiveAddress(u), bytes * 2);
  if (p == 0) return fault(u);
  const index = loadSigned(vp + load<u8>(u, 2), size);
  if (index < loadSigned(p, size) || index > loadSigned(p + bytes, size)) return raiseAt(u, VECTOR_BR, 0);
  return u + 16;
}

/** LES, LDS, LSS, LFS, LGS. */
function loadFar(u: usize, index: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const p = readPointer(effectiveAddress(u), bytes + 2);
  if (p == 0) return fault(u);
  const offset = loadSigned(p, size);
  const selector = <u32>load<u16>(p + bytes);
  if (!loadDataSegment(index, selector)) return fault(u);
  putRegister(load<u8>(u, 2), size, offset);
  return u + 16;
}

function setCondition(u: usize, code: u32, form: u32): usize {
  const value: i64 = condition(code) ? 1 : 0;
  if (form == FORM_R) {
    store<u8>(vp + load<u8>(u, 2), <u8>value);
    return u + 16;
  }
  const p = writePointer(effectiveAddress(u), 1);
  if (p == 0) return fault(u);
  store<u8>(p, <u8>value);
  commitIfPending(p, 1);
  return u + 16;
}
function conditionalMove(u: usize, code: u32, form: u32): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 3);
  if (form == FORM_RM) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const at = load<u8>(u, 2);
  // A 32-bit destination is written either way.
  putRegister(at, size, condition(code) ? loadSigned(p, size) : loadSigned(vp + at, size));
  return u + 16;
}

/** Executes a general operation. @returns the next operation, or 0 when the number is none of this file's. */
export function executeGeneral(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  if (operation >= <u32>Operation.JCC_O && operation <= <u32>Operation.JCC_NLE) {
    if (!condition(operation - Operation.JCC_O)) return u + 16;
    return nearTo(u, relative(u));
  }
  if (operation >= <u32>Operation.SETCC_O && operation <= <u32>Operation.SETCC_NLE) return setCondition(u, operation - Operation.SETCC_O, form);
  if (operation >= <u32>Operation.CMOVCC_O && operation <= <u32>Operation.CMOVCC_NLE) {
    return conditionalMove(u, operation - Operation.CMOVCC_O, form);
  }
  switch (operation) {
    case Operation.ADD:
    case Operation.OR:
    case Operation.ADC:
    case Operation.SBB:
    case Operation.AND:
    case Operation.SUB:
    case Operation.XOR:
    case Operation.CMP:
    case Operation.TEST:
      return binary(u, operation, form);
    case Operation.INC:
    case Operation.DEC:
    case Operation.NOT:
    case Operation.NEG:
      return unary(u, operation, form);
    case Operation.ROL:
    case Operation.ROR:
    case Operation.RCL:
    case Operation.RCR:
    case Operation.SHL:
    case Operation.SHR:
    case Operation.SAR:
      return shift(u, operation, form);
    case Operation.SHLD:
      return doubleShift(u, true, false, form);
    case Operation.SHLD_CL:
      return doubleShift(u, true, true, form);
    case Operation.SHRD:
      return doubleShift(u, false, false, form);
    case Operation.SHRD_CL:
      return doubleShift(u, false, true, form);
    case Operation.MUL:
      return multiply(u, false, form);
    case Operation.IMUL1:
      return multiply(u, true, form);
    case Operation.IMUL2:
      return multiplyTwo(u, form, false);
    case Operation.IMUL3:
      return multiplyTwo(u, form, true);
    case Operation.DIV:
      return divide(u, false, form);
    case Operation.IDIV:
      return divide(u, true, form);
    case Operation.MOV:
      return move(u, form);
    case Operation.MOV_IMM64:
      putRegister(load<u8>(u, 2), sizeOf(u), load<i64>(u, 8));
      return u + 16;
    case Operation.MOV_LOAD_OFFSET: {
      const size = sizeOf(u);
      const p = readPointer(load<u8>(u, 6) & 0xf0 ? specialAddress(u, load<u64>(u, 8)) : load<u64>(u, 8), 1 << size);
      if (p == 0) return fault(u);
      putRegister(RAX, size, loadSigned(p, size));
      return u + 16;
    }
    case Operation.MOV_STORE_OFFSET: {
      const size = sizeOf(u);
      const p = writePointer(load<u8>(u, 6) & 0xf0 ? specialAddress(u, load<u64>(u, 8)) : load<u64>(u, 8), 1 << size);
      if (p == 0) return fault(u);
      storeSized(p, size, getRegister(RAX));
      commitIfPending(p, 1 << size);
      return u + 16;
    }
    case Operation.MOVZX8:
      return moveExtend(u, form, 0, false);
    case Operation.MOVZX16:
      return moveExtend(u, form, 1, false);
    case Operation.MOVSX8:
      return moveExtend(u, form, 0, true);
    case Operation.MOVSX16:
      return moveExtend(u, form, 1, true);
    case Operation.MOVSXD:
      return moveExtend(u, form, 2, true);
    case Operation.XCHG:
      return exchange(u, form);
    case Operation.CMPXCHG:
      return compareExchange(u, form);
    case Operation.CMPXCHG8B:
      return compareExchangeWide(u);
    case Operation.XADD:
      return exchangeAdd(u, form);
    case Operation.BT:
    case Operation.BTS:
    case Operation.BTR:
    case Operation.BTC:
      return bitTest(u, operation, form);
    case Operation.BSF:
    case Operation.BSR:
    case Operation.POPCNT:
      return bitScan(u, operation, form);
    case Operation.BSWAP: {
      const at = load<u8>(u, 2);
      const size = sizeOf(u);
      if (size == 3) setRegister(at, bswap<u64>(getRegister(at)));
      else if (size == 2) setRegister(at, bswap<u32>(load<u32>(vp + at)));
      else store<u16>(vp + at, 0);
      return u + 16;
    }
    case Operation.LEA: {
      // The segment plays no part: only the offset counts, in the address size.
      const flags = <u32>load<u8>(u, 6);
      let address = load<u64>(vp + load<u8>(u, 4)) + (load<u64>(vp + load<u8>(u, 5)) << (flags & 3)) + <u64>(<i64>load<i32>(u, 8));
      if (flags & 0x80) address &= load<u32>(vp, L.MODE) & MODE_64 ? 0xffffffff : 0xffff;
      putRegister(load<u8>(u, 2), sizeOf(u), address);
      return u + 16;
    }
    case Operation.PUSH:
      return push(u, form);
    case Operation.PUSH_IMM: {
      const left = pushSized(u, <i64>load<i32>(u, 12), sizeOf(u));
      return left != 0 ? left : u + 16;
    }
    case Operation.POP:
      return pop(u, form);
    case Operation.PUSHA:
      return pushAll(u);
    case Operation.POPA:
      return popAll(u);
    case Operation.ENTER:
      return enter(u);
    case Operation.LEAVE:
      return leave(u);
    case Operation.PUSH_SEG: {
      const selector = load<u32>(segment(load<u8>(u, 2)), L.SEGMENT_SELECTOR);
      const left = pushSized(u, <i64>selector, sizeOf(u));
      return left != 0 ? left : u + 16;
    }
    case Operation.POP_SEG: {
      const before = getRegister(RSP);
      const left = popSized(u, sizeOf(u));
      if (left != 0) return left;
      const index = <u32>load<u8>(u, 2);
      if (!loadDataSegment(index, <u32>popValue & 0xffff)) {
        setRegister(RSP, before);
        return fault(u);
      }
      if (index == SEG_SS) store<u32>(vp, 1, L.SHADOW);
      return u + 16;
    }
    case Operation.CALL:
      return call(u, relative(u));
    case Operation.JMP:
      return nearTo(u, relative(u));
    case Operation.CALL_INDIRECT:
      return indirect(u, form, true);
    case Operation.JMP_INDIRECT:
      return indirect(u, form, false);
    case Operation.RET:
      return ret(u);
    case Operation.LOOP:
    case Operation.LOOPE:
    case Operation.LOOPNE:
    case Operation.JCXZ:
      return loopInstruction(u, operation);
    case Operation.NOP:
    case Operation.NOP_MODRM:
    case Operation.FENCE:
      return u + 16;
    case Operation.CWDE: {
      const size = sizeOf(u);
      if (size == 3) setRegister(RAX, <i64>load<i32>(vp + RAX));
      else if (size == 2) putRegister(RAX, 2, <i64>load<i16>(vp + RAX));
      else store<i16>(vp + RAX, <i16>load<i8>(vp + RAX));
      return u + 16;
    }
    case Operation.CDQ: {
      const size = sizeOf(u);
      putRegister(RDX, size, loadSigned(vp + RAX, size) >> 63);
      return u + 16;
    }
    case Operation.SAHF:
      setExplicit((<u64>load<u8>(vp + RAX + 1) & 0xd5) | (arithmeticFlags() & 0x800));
      return u + 16;
    case Operation.LAHF:
      store<u8>(vp + RAX + 1, <u8>(arithmeticFlags() & 0xd5) | 2);
      return u + 16;
    case Operation.CLC:
      setExplicit(arithmeticFlags() & ~<u64>1);
      return u + 16;
    case Operation.STC:
      setExplicit(arithmeticFlags() | 1);
      return u + 16;
    case Operation.CMC:
      setExplicit(arithmeticFlags() ^ 1);
      return u + 16;
    case Operation.CLD:
      store<u64>(vp, load<u64>(vp, L.FLAGS) & ~FLAG_DF, L.FLAGS);
      return u + 16;
    case Operation.STD:
      store<u64>(vp, load<u64>(vp, L.FLAGS) | FLAG_DF, L.FLAGS);
      return u + 16;
    case Operation.XLAT: {
      let address = getRegister(RBX) + <u64>load<u8>(vp + RAX);
      if (load<u8>(u, 6) & 0xf0) address = specialAddress(u, address);
      const p = readPointer(address, 1);
      if (p == 0) return fault(u);
      store<u8>(vp + RAX, load<u8>(p));
      return u + 16;
    }
    case Operation.DAA:
    case Operation.DAS:
    case Operation.AAA:
    case Operation.AAS:
      return decimal(u, operation);
    case Operation.AAM: {
      const base = <u32>load<u8>(u, 12);
      if (base == 0) return raiseAt(u, VECTOR_DE, 0);
      const al = <u32>load<u8>(vp + RAX);
      store<u16>(vp + RAX, <u16>(((al / base) << 8) | (al % base)));
      setLogic(<i64>load<i8>(vp + RAX));
      return u + 16;
    }
    case Operation.AAD: {
      const r = <u32>load<u8>(vp + RAX) + <u32>load<u8>(vp + RAX + 1) * <u32>load<u8>(u, 12);
      store<u16>(vp + RAX, <u16>(r & 0xff));
      setLogic(<i64>(<i8>r));
      return u + 16;
    }
    case Operation.BOUND:
      return bound(u);
    case Operation.LOAD_FAR_ES:
      return loadFar(u, SEG_ES);
    case Operation.LOAD_FAR_DS:
      return loadFar(u, SEG_DS);
    case Operation.LOAD_FAR_SS:
      return loadFar(u, SEG_SS);
    case Operation.LOAD_FAR_FS:
      return loadFar(u, SEG_FS);
    case Operation.LOAD_FAR_GS:
      return loadFar(u, SEG_GS);
  }
  return 0;
}
