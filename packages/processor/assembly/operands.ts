/**
 * What instructions in their general form have in common: sizes, operands and results, leaving for the next operation, faults.
 *
 * Values are i64, sign-extended from the operand size (log2 of the bytes). A handler returns the next operation: u + 16, or one that
 * leaves the block. Nothing of the guest's state has changed when a handler returns `fault`, unless the manual says otherwise.
 * Answers to: AMD64 manual volume 3, chapter 1. Called by the files of instructions; `fault` and `raiseAt` by the run loop too.
 */
import * as L from './generated/layout';
import { vp, raise, MODE_64 } from './state';
import { modifyPointer, commitIfPending, effectiveAddress } from './memory';
import { FORM_R, FORM_RR, FORM_RI } from './decoder';
import { leaveOperation, LEAVE_DELIVER, LEAVE_GO } from './blocks';
import { recordBranch } from './branches';

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

/** Continues at an address, behind the instruction or at it. */
export function go(rip: u64): usize {
  store<u64>(vp, rip, L.RIP);
  return leaveOperation(LEAVE_GO);
}
/** Continues at an address: the instruction is a branch that was taken. */
export function branch(u: usize, rip: u64): usize {
  recordBranch(startRip(u), rip, L.BRANCH_TAKEN);
  return go(rip);
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
export function bitsOf(size: u32): u32 {
  return 8 << size;
}

/** Compare-and-exchange at an aligned host address; returns what was there, sign-extended. */
export function exchangeIf(p: usize, size: u32, expected: i64, value: i64): i64 {
  if (size == 0) return <i64>(<i8>atomic.cmpxchg<u8>(p, <u8>expected, <u8>value));
  if (size == 1) return <i64>(<i16>atomic.cmpxchg<u16>(p, <u16>expected, <u16>value));
  if (size == 2) return <i64>(<i32>atomic.cmpxchg<u32>(p, <u32>expected, <u32>value));
  return <i64>atomic.cmpxchg<u64>(p, <u64>expected, <u64>value);
}

/** Where the destination of a register-or-memory operation stands; 0 after a fault. */
export function destination(u: usize, form: u32, bytes: u32): usize {
  if (form == FORM_R || form == FORM_RR || form == FORM_RI) return vp + load<u8>(u, 2);
  return modifyPointer(effectiveAddress(u), bytes);
}
function isRegisterForm(form: u32): bool {
  return form == FORM_R || form == FORM_RR || form == FORM_RI;
}
export function putDestination(u: usize, form: u32, p: usize, size: u32, value: i64): void {
  if (isRegisterForm(form)) putRegister(load<u8>(u, 2), size, value);
  else {
    storeSized(p, size, value);
    commitIfPending(p, 1 << size);
  }
}
