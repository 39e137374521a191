/**
 * Translated regions in the place of decoded blocks: put there, dropped, put to rest.
 *
 * A region's block: the header, LEAVE_TRANSLATED with the region's slot and where chain code finds it, LEAVE_NEXT, and descriptions of its
 * further pages (REGION_PAGES of src/state-layout.ts). It is in the chains of all its pages, so that a write to its code drops it as it
 * drops any block (blocks.ts).
 *
 * Invariant: what the translator holds of a region (block, GPA, slot) is believed only after a look into the hash: the block may be gone,
 * and its place another's.
 * Called by: translation.ts.
 */
import * as L from './generated/layout';
import { vp } from './state';
import {
  HEADER, LEAVE_NEXT, MORE_DELTA, MORE_FROM, MORE_NEXT, MORE_PAGE_BYTES, MORE_TO, arenaNext, forgetRegionCache, hashOf, kill, markLines,
  morePage, pageOf,
} from './blocks';

/**
 * A block whose one operation is a translated region, in the place of the block `old`. A write to any byte of the hull of the region's bytes
 * in one of its pages drops it. The numbers are those of installRegion (translation.ts). @returns the new block, or 0 when the arena is full
 */
export function installRegionBlock(old: usize, slot: u32, module: u32, index: u32): usize {
  const description = vp + L.CODE_DESCRIPTION;
  const pages = load<u32>(description);
  const own = description + L.REGION_PAGES_LIST;
  const from = <u32>load<u16>(own, L.REGION_PAGES_FROM);
  const to = <u32>load<u16>(own, L.REGION_PAGES_TO);
  // Its entry and what is looked at before share a cache line.
  const block: usize = ((<usize>arenaNext() + 31) & ~63) + 32;
  if (block + 128 + pages * MORE_PAGE_BYTES > <usize>vp + L.ARENA_END) return 0;
  const gpa = load<u64>(old, L.BLOCK_GPA);
  const page = load<u32>(old, L.BLOCK_PAGE);
  const key = load<u32>(old, L.BLOCK_MODE_KEY);
  const rip = load<u64>(old, L.BLOCK_RIP);
  kill(old);
  memory.fill(block, 0, HEADER);
  store<u64>(block, rip, L.BLOCK_RIP);
  store<u64>(block, gpa, L.BLOCK_GPA);
  store<u32>(block, key, L.BLOCK_MODE_KEY);
  store<u32>(block, 1, L.BLOCK_OPERATIONS);
  store<u32>(block, page, L.BLOCK_PAGE);
  store<u16>(block, <u16>from, L.BLOCK_FROM);
  store<u16>(block, <u16>to, L.BLOCK_TO);
  store<u16>(block + HEADER, <u16>L.LEAVE_TRANSLATED);
  store<u32>(block + HEADER, module, 4);
  store<u32>(block + HEADER, index, 8);
  store<u32>(block + HEADER, slot, 12);
  store<u16>(block + HEADER + 16, <u16>LEAVE_NEXT);
  const hash = vp + L.BLOCK_HASH + hashOf(gpa) * 4;
  store<u32>(block, load<u32>(hash), L.BLOCK_NEXT);
  store<u32>(hash, <u32>block);
  const head = vp + L.PAGE_BLOCKS_OFFSET + page * 4;
  store<u32>(block, load<u32>(head), L.BLOCK_PAGE_NEXT);
  store<u32>(head, <u32>block);
  markLines(page, from, to - from);
  store<u32>(block, to - (<u32>gpa & 0xfff), L.BLOCK_BYTES);
  for (let number: u32 = 1; number < pages; number++) {
    const told = own + number * L.REGION_PAGES_ENTRY_BYTES;
    const more = morePage(block, number - 1);
    const other = pageOf(load<u32>(told, L.REGION_PAGES_HOST));
    const otherHead = vp + L.PAGE_BLOCKS_OFFSET + other * 4;
    store<u32>(more, other);
    store<u32>(more, load<u32>(otherHead), MORE_NEXT);
    store<u32>(more, load<u32>(told, L.REGION_PAGES_DELTA), MORE_DELTA);
    const first = <u32>load<u16>(told, L.REGION_PAGES_FROM);
    const end = <u32>load<u16>(told, L.REGION_PAGES_TO);
    store<u16>(more, <u16>first, MORE_FROM);
    store<u16>(more, <u16>end, MORE_TO);
    store<u32>(otherHead, <u32>block);
    markLines(other, first, end - first);
  }
  store<u16>(block, <u16>(pages - 1), L.BLOCK_MORE_PAGES);
  store<u32>(vp + L.ARENA, <u32>block + HEADER + 32 + (pages - 1) * MORE_PAGE_BYTES);
  return block;
}

/** Whether the region of that slot is alive. */
function isRegion(block: usize, gpa: u64, slot: u32): bool {
  let other: usize = load<u32>(vp + L.BLOCK_HASH + hashOf(gpa) * 4);
  while (other != 0 && other != block) other = load<u32>(other, L.BLOCK_NEXT);
  if (other == 0) return false;
  const operation = <u32>load<u16>(block + HEADER);
  return (operation == L.LEAVE_TRANSLATED || operation == L.LEAVE_RESTING) && load<u32>(block + HEADER, 12) == slot;
}
/** Gives a region's place back to decoded code, if it is still alive. */
export function dropRegion(block: usize, gpa: f64, slot: u32): void {
  if (isRegion(block, <u64>gpa, slot)) kill(block);
}
/** Puts a region to rest: its next entry goes through the run loop, which wakes it. */
export function restRegion(block: usize, gpa: f64, slot: u32): void {
  if (!isRegion(block, <u64>gpa, slot)) return;
  store<u16>(block + HEADER, <u16>L.LEAVE_RESTING);
  forgetRegionCache();
}
export function regionUsed(block: usize, gpa: f64, slot: u32): bool {
  return isRegion(block, <u64>gpa, slot) && load<u16>(block + HEADER) == L.LEAVE_TRANSLATED;
}
