/**
 * What the translator (src/translator) asks of the core: the decoder, the blocks that were executed, and places for its results.
 * Called by: src/translator/translator.ts, on the processor's thread, between runs of blocks.
 */
import * as L from './generated/layout';
import { vp, MODE_64, MODE_LONG, MODE_PROTECTED } from './state';
import { decodeInstruction, decodedLength } from './decoder';
import { readablePointer } from './physical-memory';
import { allocateOperations, arenaFlushes, blockAt, installRegionBlock } from './blocks';

/**
 * Decodes one instruction of 64-bit code at a GPA into the scratch operation behind the LEAVE operations.
 * @returns its length, or 0 when it crosses the page's end or there is none
 */
export function decodeForTranslation(gpa: f64): u32 {
  const address = <u64>gpa;
  const host = readablePointer(address);
  if (host == 0) return 0;
  const mode = load<u32>(vp, L.MODE);
  store<u32>(vp, MODE_64 | MODE_LONG | MODE_PROTECTED, L.MODE);
  const result = decodeInstruction(host, 0x1000 - (<u32>address & 0xfff), vp + L.LEAVE_OPERATIONS + 0x200, 0);
  store<u32>(vp, mode, L.MODE);
  return result == 0 ? decodedLength : 0;
}

export function findBlock(gpa: f64): usize {
  return blockAt(<u64>gpa);
}
/** `module` and `index`: where chain code of the region's own module finds it. */
export function installRegion(block: usize, slot: u32, from: u32, to: u32, module: u32, index: u32): bool {
  return installRegionBlock(block, slot, from, to, module, index);
}
/** Jump operations, their displacements still to be written. @returns the first, or 0 */
export function allocateExits(count: u32): usize {
  const first = allocateOperations(count);
  if (first == 0) return 0;
  for (let i: u32 = 0; i < count; i++) store<u16>(first + i * 16, <u16>L.LEAVE_LINK);
  return first;
}
export function arenaFlushCount(): u32 {
  return arenaFlushes();
}
