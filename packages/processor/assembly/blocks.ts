/**
 * Decoded code: straight-line blocks of operations by physical address, found by RIP through a jump cache and links.
 *
 * A block: 64-byte header (BLOCK of src/state-layout.ts), then operations, the last of which leaves the block.
 *
 * Invariant: a page with decoded code has its code lines set in the page record and no write entry in any TLB, so every write to such
 * a line comes through invalidateCode, which makes the operations of the blocks it hits RESYNC: even the running block stops exactly
 * behind the writing instruction. A block is freed only with the whole arena, and only in a look-up.
 * Called by run.ts and memory.ts.
 */
import * as L from './generated/layout';
import { vp, MODE_64, MODE_16, MODE_FLAT, raise, VECTOR_GP, SEG_CS, segment } from './state';
import { decodeInstruction, decodedLength, decodedEnds, RESULT_LONG, RESULT_SHORT } from './decoder';
import { hostInterpreted, hostTranslate } from './host';
import { fetchPointer, mayExecute } from './memory';
import { walkedGlobal, walkedGpa } from './page-walk';
import { readablePointer } from './physical-memory';
import { protectCodePage, dropLinks, findFetch, fillFetch } from './tlb';
import { settleBranches } from './branches';
import { hasStopOffset, watchesMemory } from './stop-points';

export const HEADER: u32 = L.BLOCK_FIRST_OPERATION;
const MAX_OPERATIONS: u32 = 64;
/** A block's bytes stay below this, so offsets fit a byte. */
const MAX_BYTES: u32 = 230;
const HASH_ENTRIES: u32 = 65536;
const INTERPRET_ENTRIES: u32 = 4096;
const FREED_LIMIT: u32 = 4000;
/** Where a page record counts the regions that a write dropped. */
const CODE_CHANGES: usize = 12;
/** So many dropped regions make a page one that keeps changing: its code is left to the interpreter until the arena is emptied. */
const CHANGING: u32 = 64;
/** A region's further page, behind its operations (REGION_PAGES of src/state-layout.ts). */
export const MORE_PAGE_BYTES: u32 = 16;
export const MORE_NEXT: u32 = 4;
export const MORE_DELTA: u32 = 8;
export const MORE_FROM: u32 = 12;
export const MORE_TO: u32 = 14;
/** L.HOT_THRESHOLD of a processor that translates before it executes. */
export const TRANSLATE_AT_ONCE: u32 = 0xffffffff;

/**
 * Operations that no instruction decodes to; the run loop leaves the block on them: DELIVER the recorded exception, RESYNC after the
 * block was dropped, EXIT from the loop, POLL, NEXT (the code behind the block), GO on at L.RIP.
 */
export const LEAVE_DELIVER: u32 = L.LEAVE_DELIVER;
export const LEAVE_RESYNC: u32 = L.LEAVE_RESYNC;
export const LEAVE_EXIT: u32 = L.LEAVE_EXIT;
export const LEAVE_POLL: u32 = L.LEAVE_POLL;
export const LEAVE_NEXT: u32 = L.LEAVE_NEXT;
export const LEAVE_GO: u32 = L.LEAVE_GO;
const LEAVE_LAST: u32 = L.LEAVE_TRANSLATED;

// @ts-ignore: decorator
@inline
export function leaveOperation(which: u32): usize {
  return vp + L.LEAVE_OPERATIONS + (which - LEAVE_DELIVER) * 16;
}

/** Arena state lies in its first 16 bytes: u32 next free address, u32 flushes. */
export function arenaNext(): u32 {
  return load<u32>(vp + L.ARENA);
}

/** Bytes of an instruction that crosses a page, put together. */
const FETCH_BUFFER: u32 = 32;

/** How often the arena was emptied: a link may be written only if it was not meanwhile. */
// @ts-ignore: decorator
@inline
export function arenaFlushes(): u32 {
  return load<u32>(vp + L.ARENA, 4);
}

export function initializeBlocks(): void {
  for (let which = LEAVE_DELIVER; which <= LEAVE_LAST; which++) store<u16>(leaveOperation(which), <u16>which);
  resetArena();
}

/** Forgets all decoded and translated code. */
export function forgetCode(): void {
  resetArena();
  dropLinks();
}

/**
 * A region was dropped or put to rest: its slot may become another's, or it is to be woken. What holds it in the cache is not known (it may be
 * entered at several addresses), so all entries go; a burst of such regions clears but once.
 */
export function forgetRegionCache(): void {
  if (load<u32>(vp, L.REGION_CACHE_USED) == 0) return;
  memory.fill(vp + L.REGION_CACHE, 0, L.REGION_CACHE_ENTRIES * 16);
  store<u32>(vp, 0, L.REGION_CACHE_USED);
}

function resetArena(): void {
  settleBranches();
  // Without a block since the last time, or since power-on, all of it is zero: on a host where the first touch of a page is dear, pages that
  // a processor does not use for long stay untouched.
  const start = <u32>vp + L.ARENA + 64;
  if (load<u32>(vp + L.ARENA) > start) clearArena();
  store<u32>(vp + L.ARENA, start);
  store<u32>(vp + L.ARENA, load<u32>(vp + L.ARENA, 4) + 1, 4);
}

/** Clears what refers to blocks. */
function clearArena(): void {
  store<u32>(vp, 1, L.REGION_CACHE_USED);
  forgetRegionCache();
  memory.fill(vp + L.JUMP_CACHE, 0, L.JUMP_ENTRIES * 4);
  memory.fill(vp + L.JUMP_INTERPRET, 0, INTERPRET_ENTRIES * 4);
  store<u32>(vp + L.HOT_QUEUE, 0);
  store<u32>(vp + L.FREED_SLOTS, 0);
  memory.fill(vp + L.BLOCK_HASH, 0, HASH_ENTRIES * 4);
  const pages = (load<u32>(L.SHARED + L.SHARED_RAM_BYTES) >> 12) + load<u32>(L.SHARED + L.SHARED_OVERLAY_PAGES);
  memory.fill(vp + L.PAGE_BLOCKS_OFFSET, 0, pages * 4);
  // Code lines are shared by all processors; while there is one, they can be cleared with its blocks.
  if (load<u32>(L.SHARED + L.SHARED_PROCESSOR_COUNT) == 1) {
    let record: usize = load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET);
    for (let page: u32 = 0; page < pages; page++) {
      store<u64>(record, 0);
      store<u32>(record, 0, CODE_CHANGES);
      record += L.PAGE_RECORD_BYTES;
    }
  }
}

function modeKey(): u32 {
  return load<u32>(vp, L.MODE) & (MODE_64 | MODE_16 | MODE_FLAT);
}
/** Whether blocks with that mode key are translated: ordinary 64-bit code, and ordinary flat 32-bit code. */
// @ts-ignore: decorator
@inline
function isTranslated(key: u32): bool {
  return key == MODE_64 || key == MODE_FLAT;
}

// @ts-ignore: decorator
@inline
export function hashOf(gpa: u64): u32 {
  const x = <u32>(gpa ^ (gpa >> 16));
  return (x ^ (x << 3)) & (HASH_ENTRIES - 1);
}
// @ts-ignore: decorator
@inline
export function jumpSlot(rip: u64): usize {
  return vp + L.JUMP_CACHE + ((<u32>(rip ^ (rip >> 12)) & (L.JUMP_ENTRIES - 1)) << 2);
}

/** Bits of a mode key: the block is never translated; it is a single instruction and never translated. Both: one behind a side exit. */
export const INTERPRET_ONLY: u32 = 0x1000;
export const INTERPRET_ONE: u32 = 0x2000;
/** Slot of a block that is only interpreted. The kinds stand apart; finding the other one would do no harm. */
// @ts-ignore: decorator
@inline
export function interpretSlot(rip: u64, kind: u32): usize {
  return vp + L.JUMP_INTERPRET + ((<u32>(rip ^ (rip >> 12) ^ (kind >> 3)) & (INTERPRET_ENTRIES - 1)) << 2);
}

export function pageOf(host: usize): u32 {
  return <u32>(host - load<u32>(L.SHARED + L.SHARED_RAM_OFFSET)) >> 12;
}
function inRam(host: usize): bool {
  return host >= <usize>load<u32>(L.SHARED + L.SHARED_RAM_OFFSET);
}

export function markLines(page: u32, from: u32, bytes: u32): void {
  const record: usize = load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + page * L.PAGE_RECORD_BYTES;
  const first = from >> 6;
  const last = (from + bytes - 1) >> 6;
  const lines = (last - first == 63 ? ~(<u64>0) : ((<u64>1 << (last - first + 1)) - 1)) << first;
  const before = atomic.or<u64>(record, lines);
  if (before == 0) protectCodePage(page);
}

/** Linear address of an instruction pointer. */
export function linearOf(rip: u64): u64 {
  if (load<u32>(vp, L.MODE) & MODE_64) return rip;
  return (rip + load<u64>(segment(SEG_CS))) & 0xffffffff;
}

/**
 * Decodes a block at RIP into the arena. `single`: one instruction, outside the tables; of code, `left` bytes are in the segment.
 * @returns the block, or 0 after a recorded fault
 */
function decodeBlock(rip: u64, linear: u64, host: usize, gpa: u64, key: u32, single: bool, left: u32): usize {
  const block: usize = arenaNext();
  const operations = block + HEADER;
  let out = operations;
  const room: u32 = 0x1000 - (<u32>linear & 0xfff);
  let offset: u32 = 0;
  let count: u32 = 0;
  let secondHost: usize = 0;
  for (;;) {
    let result = decodeInstruction(host + offset, room - offset, out, offset);
    if (result == RESULT_SHORT) {
      if (count > 0) break;
      // The instruction runs into the next page.
      const buffer = vp + L.ARENA + 16;
      let next = (linear & ~0xfff) + 0x1000;
      if (!(load<u32>(vp, L.MODE) & MODE_64)) next &= 0xffffffff;
      if (left <= room) {
        raise(VECTOR_GP, 0);
        return 0;
      }
      secondHost = fetchPointer(next);
      if (secondHost == 0) return 0;
      memory.copy(buffer, host, room);
      memory.copy(buffer + room, secondHost, min(FETCH_BUFFER - room, 15));
      result = decodeInstruction(buffer, 15, out, 0);
      if (result == RESULT_LONG) {
        raise(VECTOR_GP, 0);
        return 0;
      }
      if (decodedLength > left) {
        raise(VECTOR_GP, 0);
        return 0;
      }
      offset += decodedLength;
      count++;
      out += 16;
      if (offset <= room) secondHost = 0;
      break;
    }
    if (result == RESULT_LONG) {
      if (count > 0) break;
      raise(VECTOR_GP, 0);
      return 0;
    }
    if (single && decodedLength > left) {
      raise(VECTOR_GP, 0);
      return 0;
    }
    offset += decodedLength;
    count++;
    out += 16;
    if (decodedEnds) break;
    if (single || key & INTERPRET_ONE || count >= MAX_OPERATIONS || offset >= MAX_BYTES || offset >= room) break;
    if (hasStopOffset(linear) || hasStopOffset(linear + offset) || watchesMemory()) break;
  }
  if (!single && hasStopOffset(linear)) store<u16>(operations, <u16>L.LEAVE_STOP_POINT);
  // Every block ends with this one, also behind an operation that leaves it: what kills a block may count on its place.
  store<u16>(out, <u16>LEAVE_NEXT);
  out += 16;
  memory.fill(block, 0, HEADER);
  store<u64>(block, rip, L.BLOCK_RIP);
  store<u64>(block, gpa, L.BLOCK_GPA);
  store<u32>(block, offset, L.BLOCK_BYTES);
  store<u32>(block, key, L.BLOCK_MODE_KEY);
  if (isTranslated(key)) store<u32>(block, load<u32>(vp, L.HOT_THRESHOLD), L.BLOCK_USES);
  store<u32>(block, count, L.BLOCK_OPERATIONS);
  if (single) return block;

  const hash = vp + L.BLOCK_HASH + hashOf(gpa) * 4;
  store<u32>(block, load<u32>(hash), L.BLOCK_NEXT);
  store<u32>(hash, <u32>block);
  if (inRam(host)) {
    const page = pageOf(host);
    store<u32>(block, page, L.BLOCK_PAGE);
    const head = vp + L.PAGE_BLOCKS_OFFSET + page * 4;
    store<u32>(block, load<u32>(head), L.BLOCK_PAGE_NEXT);
    store<u32>(head, <u32>block);
    store<u16>(block, <u16>(gpa & 0xfff), L.BLOCK_FROM);
    store<u16>(block, <u16>((<u32>gpa & 0xfff) + min(offset, room)), L.BLOCK_TO);
    markLines(page, <u32>gpa & 0xfff, min(offset, room));
    if (secondHost != 0 && inRam(secondHost)) {
      const second = pageOf(secondHost);
      store<u32>(block, second + 1, L.BLOCK_SECOND_PAGE);
      const secondHead = vp + L.PAGE_BLOCKS_OFFSET + second * 4;
      store<u32>(block, load<u32>(secondHead), L.BLOCK_SECOND_NEXT);
      store<u32>(secondHead, <u32>block);
      markLines(second, 0, offset - room);
    }
  }
  store<u32>(vp + L.ARENA, (<u32>out + 15) & ~15);
  return block;
}

/**
 * A block of code that is translated, before its first execution, where each is translated then. A single instruction behind a side exit is the
 * interpreter's; the host is told of any other block that is not translated. @returns the block to enter, 0 when there is none any more
 */
function translateAtOnce(block: usize, gpa: u64, key: u32): usize {
  if (isTranslated(key)) {
    store<u32>(vp + L.HOT_QUEUE + 4, <u32>block);
    store<u32>(vp + L.HOT_QUEUE, 1);
    hostTranslate(true);
    const region = blockAt(gpa, key);
    // The region took the block's place, and was at once given up to make room for others.
    if (region == 0) return 0;
    if (holdsRegion(region)) return region;
  }
  if ((key & INTERPRET_ONLY) == 0) hostInterpreted(block);
  return block;
}

/** Entry of the page in the TLB of fetches, filled when it has none. @returns 0 after a recorded fault */
function fetch(linear: u64): usize {
  const entry = findFetch(linear);
  if (entry != 0) return entry;
  const host = fetchPointer(linear);
  return host == 0 ? 0 : fillFetch(linear, host, walkedGpa(), walkedGlobal());
}

const NO_LIMIT: u32 = 0xffffffff;
/** Bytes of code from RIP to the end of the code segment; 0 behind it. */
function codeLeft(rip: u64): u32 {
  if (load<u32>(vp, L.MODE) & MODE_64) return NO_LIMIT;
  const limit = <u64>load<u32>(segment(SEG_CS), L.SEGMENT_LIMIT);
  return rip > limit ? 0 : <u32>min<u64>(limit - rip + 1, NO_LIMIT);
}

/** Description of a region's further page (REGION_PAGES of src/state-layout.ts). */
// @ts-ignore: decorator
@inline
export function morePage(block: usize, index: u32): usize {
  return block + HEADER + 32 + index * MORE_PAGE_BYTES;
}
/** Linear address of a region's further page when the region is entered at `linear`. */
function morePageLinear(block: usize, index: u32, linear: u64): u64 {
  const page = (linear & ~0xfff) + (<u64>(<i64>load<i32>(morePage(block, index), MORE_DELTA)) << 12);
  return load<u32>(vp, L.MODE) & MODE_64 ? page : page & 0xffffffff;
}
/**
 * Whether a region that is entered at `linear` finds its further pages where they were when it was translated, executable: it may never come
 * there, so there is no fault when they are not.
 */
function hasPagesAround(block: usize, linear: u64): bool {
  const count = <u32>load<u16>(block, L.BLOCK_MORE_PAGES);
  for (let index: u32 = 0; index < count; index++) {
    const at = morePageLinear(block, index, linear);
    if (findFetch(at) == 0 && !mayExecute(at)) return false;
    const entry = fetch(at);
    if (entry == 0) return false;
    const host: usize = load<u32>(entry, 12);
    if (!inRam(host) || pageOf(host) != load<u32>(morePage(block, index))) return false;
  }
  return true;
}

/** Finds or makes the block at RIP and enters it in the jump cache. @returns block or 0 after a recorded fault. */
export function lookUpSlow(rip: u64, kind: u32): usize {
  const left = codeLeft(rip);
  if (left == 0) {
    raise(VECTOR_GP, 0);
    return 0;
  }
  if (arenaNext() + HEADER + (MAX_OPERATIONS + 2) * 16 > <u32>vp + L.ARENA_END) {
    forgetCode();
  }
  const linear = linearOf(rip);
  const page = fetch(linear);
  if (page == 0) return 0;
  const host: usize = load<u32>(page, 12) | (<u32>linear & 0xfff);
  const gpa = load<u64>(page, 16) | (linear & 0xfff);
  let generation = load<u32>(page, 8);
  let nextPage = (linear & ~0xfff) + 0x1000;
  if (!(load<u32>(vp, L.MODE) & MODE_64)) nextPage &= 0xffffffff;
  const key = modeKey() | kind;
  let block: usize = load<u32>(vp + L.BLOCK_HASH + hashOf(gpa) * 4);
  while (block != 0) {
    // An overlay may have come over the page, or gone, since the block was decoded.
    if (load<u64>(block, L.BLOCK_GPA) == gpa && load<u32>(block, L.BLOCK_MODE_KEY) == key && (!inRam(host) || load<u32>(block, L.BLOCK_PAGE) == pageOf(host))) {
      const second = load<u32>(block, L.BLOCK_SECOND_PAGE);
      if (second == 0) {
        if (hasPagesAround(block, linear)) break;
      } else {
        const secondPage = fetch(nextPage);
        if (secondPage == 0) return 0;
        const secondHost: usize = load<u32>(secondPage, 12);
        if (inRam(secondHost) && pageOf(secondHost) + 1 == second) break;
      }
    }
    block = load<u32>(block, L.BLOCK_NEXT);
  }
  // What runs out of its segment is decoded for this entry alone.
  if (left < MAX_BYTES + 16 && (block == 0 || load<u32>(block, L.BLOCK_BYTES) > left)) {
    return decodeBlock(rip, linear, host, gpa, key, true, left);
  }
  if (block == 0) {
    block = decodeBlock(rip, linear, host, gpa, key, false, NO_LIMIT);
    if (block == 0) return 0;
    if (load<u32>(vp, L.HOT_THRESHOLD) == TRANSLATE_AT_ONCE && key & (MODE_64 | MODE_FLAT)) {
      block = translateAtOnce(block, gpa, key);
      if (block == 0) return lookUpSlow(rip, kind);
    }
  }
  if (load<u32>(block, L.BLOCK_SECOND_PAGE) != 0) {
    // An INVLPG of the second page must be noticed too; both have to be global.
    const secondPage = fetch(nextPage);
    if (secondPage == 0) return 0;
    if (load<u32>(secondPage, 8) != generation) generation = load<u32>(vp, L.GENERATION);
  }
  // So must one of a region's further pages.
  for (let index: u32 = 0; index < load<u16>(block, L.BLOCK_MORE_PAGES); index++) {
    const more = fetch(morePageLinear(block, index, linear));
    if (more == 0) return 0;
    if (load<u32>(more, 8) != generation) generation = load<u32>(vp, L.GENERATION);
  }
  store<u64>(block, rip, L.BLOCK_RIP);
  store<u32>(block, generation, L.BLOCK_GENERATION);
  store<u32>(kind != 0 ? interpretSlot(rip, kind) : jumpSlot(rip), <u32>block);
  return block;
}

/** A block of one instruction that nothing else finds: for single steps. */
export function singleBlock(rip: u64): usize {
  if (arenaNext() + HEADER + (MAX_OPERATIONS + 2) * 16 > <u32>vp + L.ARENA_END) {
    forgetCode();
  }
  const linear = linearOf(rip);
  const host = fetchPointer(linear);
  if (host == 0) return 0;
  const left = codeLeft(rip);
  if (left == 0) {
    raise(VECTOR_GP, 0);
    return 0;
  }
  return decodeBlock(rip, linear, host, walkedGpa(), modeKey(), true, left);
}

/** Description of one of a region's further pages, by its number; 0: it is none of them. */
function findMorePage(block: usize, page: u32): usize {
  const count = <u32>load<u16>(block, L.BLOCK_MORE_PAGES);
  for (let index: u32 = 0; index < count; index++) {
    const at = morePage(block, index);
    if (load<u32>(at) == page) return at;
  }
  return 0;
}
/** Where a block has the next one of a page: the page may be its first, its second, or a region's further one. */
// @ts-ignore: decorator
@inline
function nextField(block: usize, page: u32): usize {
  if (load<u32>(block, L.BLOCK_PAGE) == page) return block + L.BLOCK_PAGE_NEXT;
  if (load<u16>(block, L.BLOCK_MORE_PAGES) == 0) return block + L.BLOCK_SECOND_NEXT;
  return findMorePage(block, page) + MORE_NEXT;
}

/** Takes a block out of the chain of one of its pages. */
function unlinkFrom(page: u32, target: usize): void {
  let field: usize = vp + L.PAGE_BLOCKS_OFFSET + page * 4;
  let block: usize = load<u32>(field);
  while (block != 0) {
    const next = nextField(block, page);
    if (block == target) {
      store<u32>(field, load<u32>(next));
      return;
    }
    field = next;
    block = load<u32>(next);
  }
}

// @ts-ignore: decorator
@inline
export function holdsRegion(block: usize): bool {
  const operation = <u32>load<u16>(block + HEADER);
  return operation == L.LEAVE_TRANSLATED || operation == L.LEAVE_RESTING;
}

/** A block that was taken from the queue and not translated counts anew, from a share of the threshold. */
export function rearm(block: usize, gpa: f64): void {
  if (isBlock(block, <u64>gpa)) store<u32>(block, (load<u32>(vp, L.HOT_THRESHOLD) >> 1) + 1, L.BLOCK_USES);
}

/** Whether the code of a page keeps changing. */
export function keepsChanging(host: usize): bool {
  if (!inRam(host)) return false;
  const record: usize = load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + pageOf(host) * L.PAGE_RECORD_BYTES;
  return load<u32>(record, CODE_CHANGES) >= CHANGING;
}

/**
 * Sets the bits of offsets in a RAM page at which blocks with a mode key, and at which regions of theirs, begin.
 * @returns whether the page is RAM
 */
export function describePage(host: usize, key: u32, blocks: usize, regions: usize): bool {
  if (!inRam(host)) return false;
  const page = pageOf(host);
  let block: usize = load<u32>(vp + L.PAGE_BLOCKS_OFFSET + page * 4);
  while (block != 0) {
    const first = load<u32>(block, L.BLOCK_PAGE) == page;
    if (first && load<u32>(block, L.BLOCK_MODE_KEY) == key) {
      const offset = <u32>load<u64>(block, L.BLOCK_GPA) & 0xfff;
      const bit = <u8>1 << <u8>(offset & 7);
      store<u8>(blocks + (offset >> 3), load<u8>(blocks + (offset >> 3)) | bit);
      if (holdsRegion(block)) store<u8>(regions + (offset >> 3), load<u8>(regions + (offset >> 3)) | bit);
    }
    block = load<u32>(nextField(block, page));
  }
  return true;
}

/** Whether a block is still the one of code that is translated at a GPA. */
export function isBlock(block: usize, gpa: u64): bool {
  return blockAt(gpa, MODE_64) == block || blockAt(gpa, MODE_FLAT) == block;
}
/** The block with a mode key at a GPA, or 0. */
export function blockAt(gpa: u64, key: u32): usize {
  const host = readablePointer(gpa);
  let block: usize = load<u32>(vp + L.BLOCK_HASH + hashOf(gpa) * 4);
  while (block != 0) {
    if (load<u64>(block, L.BLOCK_GPA) == gpa && load<u32>(block, L.BLOCK_MODE_KEY) == key && inRam(host) && load<u32>(block, L.BLOCK_PAGE) == pageOf(host)) return block;
    block = load<u32>(block, L.BLOCK_NEXT);
  }
  return 0;
}

export function kill(block: usize): void {
  const count = load<u32>(block, L.BLOCK_OPERATIONS);
  if (holdsRegion(block)) {
    forgetRegionCache();
    const freed = vp + L.FREED_SLOTS;
    const slots = load<u32>(freed);
    // Beyond the list's end a slot is lost until the arena is emptied.
    if (slots < FREED_LIMIT) {
      store<u32>(freed + 4 + slots * 4, load<u32>(block + HEADER, 12));
      store<u32>(freed, slots + 1);
    }
  }
  for (let i: u32 = 0; i <= count; i++) store<u16>(block + HEADER + i * 16, <u16>LEAVE_RESYNC);
  store<u32>(block, 0, L.BLOCK_GENERATION);
  // Out of the hash chain.
  let previous: usize = vp + L.BLOCK_HASH + hashOf(load<u64>(block, L.BLOCK_GPA)) * 4;
  let other: usize = load<u32>(previous);
  while (other != 0) {
    if (other == block) {
      store<u32>(previous, load<u32>(block, L.BLOCK_NEXT));
      break;
    }
    previous = other + L.BLOCK_NEXT;
    other = load<u32>(previous);
  }
  const page = load<u32>(block, L.BLOCK_PAGE);
  unlinkFrom(page, block);
  const second = load<u32>(block, L.BLOCK_SECOND_PAGE);
  if (second != 0) unlinkFrom(second - 1, block);
  const more = <u32>load<u16>(block, L.BLOCK_MORE_PAGES);
  for (let index: u32 = 0; index < more; index++) unlinkFrom(load<u32>(morePage(block, index)), block);
}

/** First and one-past-last byte of a block within one page. */
// @ts-ignore: decorator
@inline
function startIn(block: usize, page: u32): u32 {
  if (load<u32>(block, L.BLOCK_PAGE) == page) return <u32>load<u16>(block, L.BLOCK_FROM);
  return load<u16>(block, L.BLOCK_MORE_PAGES) == 0 ? 0 : <u32>load<u16>(findMorePage(block, page), MORE_FROM);
}
// @ts-ignore: decorator
@inline
function endIn(block: usize, page: u32): u32 {
  if (load<u32>(block, L.BLOCK_PAGE) == page) return <u32>load<u16>(block, L.BLOCK_TO);
  if (load<u16>(block, L.BLOCK_MORE_PAGES) != 0) return <u32>load<u16>(findMorePage(block, page), MORE_TO);
  return (<u32>load<u64>(block, L.BLOCK_GPA) & 0xfff) + load<u32>(block, L.BLOCK_BYTES) - 0x1000;
}

/** Bytes [offset, offset + size) of a RAM page have changed: drops the blocks that were decoded from them. */
export function invalidateCode(page: u32, offset: u32, size: u32): void {
  const record: usize = load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + page * L.PAGE_RECORD_BYTES;
  const end = offset + size;
  const first = offset >> 6;
  const last = min(end - 1, 0xfff) >> 6;
  const lines = (last - first == 63 ? ~(<u64>0) : ((<u64>1 << (last - first + 1)) - 1)) << first;
  if ((load<u64>(record) & lines) == 0) return;
  let block: usize = load<u32>(vp + L.PAGE_BLOCKS_OFFSET + page * 4);
  let remaining: u64 = 0;
  while (block != 0) {
    const next: usize = load<u32>(nextField(block, page));
    const from = startIn(block, page);
    const to = endIn(block, page);
    if (from < end && offset < to) {
      if (holdsRegion(block)) store<u32>(record, load<u32>(record, CODE_CHANGES) + 1, CODE_CHANGES);
      kill(block);
    }
    else {
      const a = from >> 6;
      const b = (to - 1) >> 6;
      remaining |= (b - a == 63 ? ~(<u64>0) : ((<u64>1 << (b - a + 1)) - 1)) << a;
    }
    block = next;
  }
  if (load<u32>(L.SHARED + L.SHARED_PROCESSOR_COUNT) == 1) store<u64>(record, remaining);
}
