/**
 * What the translator (src/translator) asks of the core: the decoder, the code around a block that is hot, and places for its results.
 *
 * Decoding needs no processor state, so that a second instance, attached to L.TRANSLATOR, does it on a thread of its own; everything
 * else happens on the processor's thread, between runs of blocks.
 * Called by: src/translator/translator.ts and region-compiler.ts.
 */
import * as L from './generated/layout';
import { vp, forcePollNow, MODE_64, MODE_FLAT, MODE_LONG, MODE_PROTECTED, MODE_STACK32, NO_VECTOR } from './state';
import { executeOther } from './run';
import { FIRST_EXTENSION } from './generated/tables';
import { FORM_MR, GENERAL_BASE, decodeInstruction, decodedLength } from './decoder';
import { Operation } from './generated/operations';
import { effectiveAddress, isWriteCached, takeAddressFault } from './memory';
import { readablePointer } from './physical-memory';
import { findWindows } from './code-windows';
import {
  LEAVE_DELIVER, LEAVE_GO, TRANSLATE_AT_ONCE, arenaFlushes, isBlock, keepsChanging, leaveOperation, rearm,
} from './blocks';
import { dropRegion, installRegionBlock, regionUsed, restRegion } from './region-blocks';

/**
 * Decodes one instruction of 64-bit or of flat 32-bit code, of which `room` bytes may be read, into the operation behind the LEAVE operations.
 * @returns its length, or 0 when it is longer than that or there is none
 */
export function decodeAt(host: usize, room: u32, code32: bool): u32 {
  return decodeIn(code32 ? MODE_PROTECTED | MODE_STACK32 | MODE_FLAT : MODE_64 | MODE_LONG | MODE_PROTECTED, host, room);
}
/** The same for code of another mode (MODE_* of state.ts): for disassembly. */
export function decodeIn(wanted: u32, host: usize, room: u32): u32 {
  const mode = load<u32>(vp, L.MODE);
  store<u32>(vp, wanted, L.MODE);
  const result = decodeInstruction(host, room, vp + L.LEAVE_OPERATIONS + 0x200, 0);
  store<u32>(vp, mode, L.MODE);
  return result == 0 ? decodedLength : 0;
}

/**
 * Leaves at L.CODE_DESCRIPTION what a translator must know of the code around a block (code-windows.ts).
 * @returns false when the block is no longer the one of that address, or its code is not to be translated
 */
export function describeCode(block: usize, gpa: f64): bool {
  if (!isBlock(block, <u64>gpa)) return false;
  const first = readablePointer(<u64>gpa & ~0xfff);
  const atOnce = load<u32>(vp, L.HOT_THRESHOLD) == TRANSLATE_AT_ONCE;
  if (first == 0 || (!atOnce && keepsChanging(first))) return false;
  return findWindows(block, first, atOnce);
}

/** A store whose page has no write entry in the TLB: it may hold code, the region's own too. */
function mayChangeCode(u: usize, number: u32): bool {
  const operation = number >> 3;
  const extension = operation >= FIRST_EXTENSION && (number & 7) == FORM_MR;
  if (!extension && operation != Operation.X87_STORE && operation != Operation.FNSTCW && operation != Operation.FNSTSW) return false;
  const address = effectiveAddress(u);
  const page = address & ~0xfff;
  // Thirty-two bytes are the most that one of them stores.
  return !isWriteCached(page) || (((address + 31) & ~0xfff) != page && !isWriteCached(page + 0x1000));
}

/**
 * Executes one operation for a region: L.RIP_BASE is the instruction's own address, registers and budget are stored.
 * @returns 0 to go on behind it, or the operation to go on with in the run loop
 */
export function execute(u: usize): usize {
  const number = <u32>load<u16>(u);
  const general = number - GENERAL_BASE;
  if (mayChangeCode(u, general)) return interpreted();
  const next = executeOther(u, number);
  if (next == u + 16) return 0;
  if (next == leaveOperation(LEAVE_GO)) {
    // The instruction has been charged already: a poll that it asked for comes before the next one.
    if (load<i32>(vp, L.BUDGET) == 0) forcePollNow();
    return leaveOperation(L.LEAVE_JUMP);
  }
  if (next == leaveOperation(LEAVE_DELIVER)) {
    // Nothing has been done: the interpreter comes to the same end, and knows the instruction that raised it.
    takeAddressFault();
    store<u32>(vp, NO_VECTOR, L.FAULT_VECTOR);
    return interpreted();
  }
  return next;
}
/** Leaves for the interpreter at the region's current instruction. */
function interpreted(): usize {
  store<u64>(vp, load<u64>(vp, L.RIP_BASE), L.RIP);
  store<i32>(vp, load<i32>(vp, L.BUDGET) + 1, L.BUDGET);
  return leaveOperation(L.LEAVE_INTERPRET);
}

/** Whether a block is still the one at a GPA. */
export function isCurrentBlock(block: usize, gpa: f64): bool {
  return isBlock(block, <u64>gpa);
}
/**
 * Puts a region in the place of a block. Its pages stand at L.CODE_DESCRIPTION (REGION_PAGES of src/state-layout.ts); `module` and `index`:
 * where chain code of the region's own module finds it.
 * @returns the region's block, or 0 when there is no room
 */
export function installRegion(block: usize, slot: u32, module: u32, index: u32): usize {
  return installRegionBlock(block, slot, module, index);
}
export function arenaFlushCount(): u32 {
  return arenaFlushes();
}
export { dropRegion, rearm, regionUsed, restRegion };
