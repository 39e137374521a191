/**
 * Moves, conditions as values, exchanges and far pointers. XCHG with memory is locked with or without the prefix; CMPXCHG16B is not atomic among processors.
 * Answers to: AMD64 manual volume 3. Called by general.ts.
 */
import { vp, getRegister, setRegister, VECTOR_GP, RAX, RCX, RDX, RBX } from './state';
import { readPointer, writePointer, modifyPointer, commitIfPending, writeScratch, effectiveAddress, specialAddress } from './memory';
import { setLazy, setExplicit, arithmeticFlags, condition, CC_ADD, CC_SUB } from './flags';
import { FORM_R, FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI } from './decoder';
import { loadDataSegment } from './segments';
import {
  sizeOf, fault, raiseAt, loadSigned, loadUnsigned, storeSized, putRegister, extend, exchangeIf, destination, putDestination,
} from './operands';

export function move(u: usize, form: u32): usize {
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

/** MOV between the accumulator and an address that stands in the instruction. */
export function moveOffset(u: usize, toMemory: bool): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const address = load<u8>(u, 6) & 0xf0 ? specialAddress(u, load<u64>(u, 8)) : load<u64>(u, 8);
  const p = toMemory ? writePointer(address, bytes) : readPointer(address, bytes);
  if (p == 0) return fault(u);
  if (toMemory) {
    storeSized(p, size, getRegister(RAX));
    commitIfPending(p, bytes);
  } else putRegister(RAX, size, loadSigned(p, size));
  return u + 16;
}

/** MOVZX, MOVSX, MOVSXD: `from` is the source's size. */
export function moveExtend(u: usize, form: u32, from: u32, signed: bool): usize {
  let p: usize = vp + load<u8>(u, 3);
  if (form == FORM_RM) {
    p = readPointer(effectiveAddress(u), 1 << from);
    if (p == 0) return fault(u);
  }
  putRegister(load<u8>(u, 2), sizeOf(u), signed ? loadSigned(p, from) : <i64>loadUnsigned(p, from));
  return u + 16;
}

export function exchange(u: usize, form: u32): usize {
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

export function compareExchange(u: usize, form: u32): usize {
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

export function compareExchangeWide(u: usize): usize {
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

export function exchangeAdd(u: usize, form: u32): usize {
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

/** LES, LDS, LSS, LFS, LGS. */
export function loadFar(u: usize, index: u32): usize {
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

export function setCondition(u: usize, code: u32, form: u32): usize {
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
export function conditionalMove(u: usize, code: u32, form: u32): usize {
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
