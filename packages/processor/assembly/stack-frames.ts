/**
 * The frames of interrupts and far transfers: a stack that is written or read before it becomes, or while it is, the current one.
 *
 * Each value is checked against the stack segment's limit, or for being canonical; a bad address is #SS with the error code that the
 * stack was begun with. RSP itself changes only by `commitStack`.
 * Answers to: AMD64 manual volume 2, sections 8.7 to 8.9. Called by interrupts.ts and far-transfers.ts.
 */
import * as L from './generated/layout';
import { vp, raise, segment, getRegister, setRegister, MODE_64, MODE_STACK32, RSP, SEG_SS, VECTOR_SS } from './state';
import { readPointer, writePointer, commitIfPending, isCanonical } from './memory';
import { baseOf, limitOf, attributesOf, withinLimit } from './segments';

const WIDE: u64 = 0xffffffffffffffff;

let pointer: u64 = 0;
let mask: u64 = 0;
let base: u64 = 0;
let limit: u32 = 0;
let attributes: u32 = 0;
let errorCode: u32 = 0;

/** The stack at SS:RSP. `error`: what #SS has for its code. */
export function beginCurrentStack(error: u32): void {
  const ss = segment(SEG_SS);
  const mode = load<u32>(vp, L.MODE);
  pointer = getRegister(RSP);
  mask = mode & MODE_64 ? WIDE : mode & MODE_STACK32 ? 0xffffffff : 0xffff;
  base = load<u64>(ss);
  limit = load<u32>(ss, L.SEGMENT_LIMIT);
  attributes = load<u32>(ss, L.SEGMENT_ATTRIBUTES);
  errorCode = error;
}
/** A stack of long mode. */
export function beginWideStack(top: u64, error: u32): void {
  pointer = top;
  mask = WIDE;
  errorCode = error;
}
/** A stack in a segment whose descriptor was checked and is not loaded yet. */
export function beginNewStack(top: u64, descriptor: u64, error: u32): void {
  pointer = top;
  base = baseOf(descriptor);
  limit = limitOf(descriptor);
  attributes = attributesOf(descriptor);
  mask = attributes & 0x4000 ? 0xffffffff : 0xffff;
  errorCode = error;
}

/** Linear address of an operand of `size` bytes at an offset; false after #SS. */
let linear: u64 = 0;
function place(offset: u64, size: u32): bool {
  if (mask == WIDE) {
    linear = offset;
    if (isCanonical(offset)) return true;
  } else {
    linear = (offset + base) & 0xffffffff;
    if (withinLimit(<u32>offset, size, limit, attributes)) return true;
  }
  raise(VECTOR_SS, errorCode);
  return false;
}

/** Whether so many bytes can be pushed, by the segment alone. @returns false after #SS */
export function roomFor(bytes: u32): bool {
  if (mask == WIDE) return true;
  for (let done: u32 = 2; done <= bytes; done += 2) {
    if (!place((pointer - done) & mask, 2)) return false;
  }
  return true;
}

export function pushValue(value: u64, size: u32): bool {
  const offset = (pointer - size) & mask;
  if (!place(offset, size)) return false;
  const p = writePointer(linear, size);
  if (p == 0) return false;
  if (size == 8) store<u64>(p, value);
  else if (size == 4) store<u32>(p, <u32>value);
  else store<u16>(p, <u16>value);
  commitIfPending(p, size);
  pointer = offset;
  return true;
}

let value: u64 = 0;
/** What popValue took. */
export function popped(): u64 {
  return value;
}
export function popValue(size: u32): bool {
  const offset = pointer & mask;
  if (!place(offset, size)) return false;
  const p = readPointer(linear, size);
  if (p == 0) return false;
  value = size == 8 ? load<u64>(p) : size == 4 ? <u64>load<u32>(p) : <u64>load<u16>(p);
  pointer = (pointer + size) & mask;
  return true;
}
export function release(bytes: u32): void {
  pointer = (pointer + bytes) & mask;
}

/** Writes RSP as wide as a stack segment of these attributes makes it. */
export function putStackPointer(top: u64, wide: bool, stackAttributes: u32): void {
  if (wide) setRegister(RSP, top);
  else if (stackAttributes & 0x4000) setRegister(RSP, top & 0xffffffff);
  else store<u16>(vp + RSP, <u16>top);
}
/** The stack's pointer becomes RSP. */
export function commitStack(): void {
  putStackPointer(pointer, mask == WIDE, mask == 0xffff ? 0 : 0x4000);
}
