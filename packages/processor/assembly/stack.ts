/**
 * The stack: PUSH, POP and their relatives in every form, and what other instructions push and pop through.
 *
 * The stack pointer moves only when the access has succeeded. The width of the pointer is the stack segment's, the width of the operand
 * the instruction's. A bad stack address is #SS.
 * Answers to: AMD64 manual volume 3. Called by general.ts, transfers.ts, system.ts and the run loop (`stackFault`).
 */
import * as L from './generated/layout';
import { vp, raise, getRegister, setRegister, segment, MODE_64, MODE_STACK32, VECTOR_GP, VECTOR_SS, RSP, RBP, SEG_SS, SHADOW_STACK } from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress, segmentLinear } from './memory';
import { FORM_R, FORM_M } from './decoder';
import { loadDataSegment } from './segments';
import { sizeOf, fault, loadSigned, storeSized, putRegister } from './operands';

// @ts-ignore: decorator
@inline
function stackMask(): u64 {
  const mode = load<u32>(vp, L.MODE);
  return mode & MODE_64 ? 0xffffffffffffffff : mode & MODE_STACK32 ? 0xffffffff : 0xffff;
}
export function stackLinear(pointer: u64): u64 {
  const mode = load<u32>(vp, L.MODE);
  if (mode & MODE_64) return pointer;
  return segmentLinear(SEG_SS, pointer & stackMask());
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

/** What popSized took off the stack, sign-extended. */
let popValue: i64 = 0;
// @ts-ignore: decorator
@inline
export function popped(): i64 {
  return popValue;
}

/** Pops a value of `size` (log2) for `popped`. @returns 0 when done, else the operation to go on with. */
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

export function push(u: usize, form: u32): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 2);
  if (form == FORM_M) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const left = pushSized(u, loadSigned(p, size), size);
  return left != 0 ? left : u + 16;
}

export function pop(u: usize, form: u32): usize {
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

export function enter(u: usize): usize {
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

export function leave(u: usize): usize {
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

export function pushAll(u: usize): usize {
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
export function popAll(u: usize): usize {
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

export function pushSegment(u: usize): usize {
  const selector = load<u32>(segment(load<u8>(u, 2)), L.SEGMENT_SELECTOR);
  const left = pushSized(u, <i64>selector, sizeOf(u));
  return left != 0 ? left : u + 16;
}
export function popSegment(u: usize): usize {
  const before = getRegister(RSP);
  const left = popSized(u, sizeOf(u));
  if (left != 0) return left;
  const index = <u32>load<u8>(u, 2);
  const after = getRegister(RSP);
  setRegister(RSP, before);
  if (!loadDataSegment(index, <u32>popValue & 0xffff)) return fault(u);
  setRegister(RSP, after);
  if (index == SEG_SS) store<u32>(vp, SHADOW_STACK, L.SHADOW);
  return u + 16;
}
