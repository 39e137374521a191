/**
 * Addition, subtraction, logic, negation, decimal adjustment and BOUND, in every form.
 *
 * With LOCK an aligned destination in RAM is changed by compare-and-exchange on the host, so that other processors see one step.
 * Answers to: AMD64 manual volume 3. Called by general.ts.
 */
import { Operation } from './generated/operations';
import { vp, VECTOR_BR, RAX } from './state';
import { readPointer, modifyPointer, commitIfPending, writeScratch, effectiveAddress } from './memory';
import { setLazy, setLogic, setExplicit, carry, arithmeticFlags, CC_ADD, CC_SUB, CC_INC, CC_DEC } from './flags';
import { FORM_R, FORM_M, FORM_RI, FORM_RM, FORM_MR, FORM_MI } from './decoder';
import { sizeOf, fault, raiseAt, loadSigned, storeSized, putRegister, extend, exchangeIf } from './operands';

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

export function binary(u: usize, operation: u32, form: u32): usize {
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
export function unary(u: usize, operation: u32, form: u32): usize {
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
  if (operation == Operation.INC) setLazy(CC_INC | cf, r, a, 1);
  else if (operation == Operation.DEC) setLazy(CC_DEC | cf, r, a, 1);
  else if (operation == Operation.NEG) setLazy(CC_SUB, r, 0, a);
  return u + 16;
}

export function decimal(u: usize, operation: u32): usize {
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

export function bound(u: usize): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const p = readPointer(effectiveAddress(u), bytes * 2);
  if (p == 0) return fault(u);
  const index = loadSigned(vp + load<u8>(u, 2), size);
  if (index < loadSigned(p, size) || index > loadSigned(p + bytes, size)) return raiseAt(u, VECTOR_BR, 0);
  return u + 16;
}
