/**
 * The code around a hot block: windows of two pages each, found by following what was executed from the block on.
 *
 * A region may lie in all of them (src/translator/region.ts), so they are the pages to which direct jumps and calls lead that were taken, and
 * where they come back. Pages far away are left out: what is near in linear addresses mostly keeps its distance in every address space,
 * and a region is good only where it does.
 *
 * Invariant: no two windows hold the same linear page or the same RAM page.
 * Called by: translation.ts, on the processor's thread.
 */
import * as L from './generated/layout';
import { vp, MODE_FLAT } from './state';
import { isTransfer } from './generated/transfers';
import { ACCESS_READ, walk, walkedGpa } from './page-walk';
import { mayExecute } from './memory';
import { readablePointer } from './physical-memory';
import { describePage, holdsRegion, jumpSlot, keepsChanging } from './blocks';
import { findFetch, isCurrent } from './tlb';

/** How far a window may be away from the block's page, in pages. */
const FARTHEST: i64 = 4096;
/** Blocks that are followed, listed behind the description. */
const MOST_BLOCKS: u32 = 48;
const BLOCKS: u32 = L.CODE_WINDOW_BITS + L.CODE_WINDOW_MOST * 2 * L.CODE_WINDOW_BITS_BYTES;

let origin: u64 = 0;
/** Mode key of the block, and what its addresses are cut off by. */
let key: u32 = 0;
let cut: u64 = 0;
let windows: u32 = 0;
let blocks: u32 = 0;
/** The block itself was come back to. */
let cyclic: bool = false;

// @ts-ignore: decorator
@inline
function windowAt(index: u32): usize {
  return vp + L.CODE_DESCRIPTION + L.CODE_WINDOW_LIST + index * L.CODE_WINDOW_ENTRY_BYTES;
}
// @ts-ignore: decorator
@inline
function bitsOf(index: u32): usize {
  return vp + L.CODE_DESCRIPTION + L.CODE_WINDOW_BITS + index * 2 * L.CODE_WINDOW_BITS_BYTES;
}

function isKnown(host: usize): bool {
  for (let index: u32 = 0; index < windows; index++) {
    const window = windowAt(index);
    if (load<u32>(window, 4) == <u32>host || load<u32>(window, 8) == <u32>host) return true;
  }
  return false;
}

/**
 * Adds the window whose first page is at `linear`, when its code may be part of a region. The next page is only looked for: a region that
 * needs it is entered only where it is found to be executable. (`entered`: what is translated is entered at once, so there it must be.)
 */
function addWindow(linear: u64, first: usize, entered: bool): bool {
  const bits = bitsOf(windows);
  memory.fill(bits, 0, 2 * L.CODE_WINDOW_BITS_BYTES);
  if (!describePage(first, key, bits, bits + L.CODE_WINDOW_BITS_BYTES)) return false;
  const window = windowAt(windows);
  store<i32>(window, <i32>(<i64>(linear - origin) >> 12));
  store<u32>(window, <u32>first, 4);
  store<u32>(window, 0, 8);
  windows++;
  // A region ends where addresses begin anew.
  const next = (linear + 0x1000) & cut;
  if (next != 0 && (!entered || mayExecute(next)) && walk(next, ACCESS_READ, false, true, true)) {
    const second = readablePointer(walkedGpa());
    if (second != 0 && !isKnown(second) && describePage(second, key, bits + 512, bits + L.CODE_WINDOW_BITS_BYTES + 512)) store<u32>(window, <u32>second, 8);
  }
  return true;
}

/** Whether the page of an address is in a window. */
function isTaken(address: u64): bool {
  const distance = <i64>((address & ~0xfff) - origin) >> 12;
  for (let index: u32 = 0; index < windows; index++) {
    const window = windowAt(index);
    const behind = distance - <i64>load<i32>(window);
    if (behind == 0 || (behind == 1 && load<u32>(window, 8) != 0)) return true;
  }
  return false;
}
/** Whether the page of an address is in a window, or in one that can be added. */
function takePage(address: u64): bool {
  if (isTaken(address)) return true;
  const linear = address & ~0xfff;
  const distance = <i64>(linear - origin) >> 12;
  if (windows == L.CODE_WINDOW_MOST || distance > FARTHEST || distance < -FARTHEST) return false;
  const page = findFetch(linear);
  if (page == 0) return false;
  const host: usize = load<u32>(page, 12);
  if (isKnown(host) || keepsChanging(host)) return false;
  return addWindow(linear, host, false);
}

/** An address to which executed code leads: when a block was executed there, it is looked at too. */
function follow(target: u64, everywhere: bool): void {
  const rip = target & cut;
  const block: usize = load<u32>(jumpSlot(rip));
  if (block == 0 || load<u64>(block, L.BLOCK_RIP) != rip || !isCurrent(load<u32>(block, L.BLOCK_GENERATION)) || load<u32>(block, L.BLOCK_MODE_KEY) != key) return;
  if (holdsRegion(block)) return;
  const list = vp + L.CODE_DESCRIPTION + BLOCKS;
  if (load<u32>(list) == <u32>block) cyclic = true;
  if (blocks == MOST_BLOCKS || (everywhere ? !takePage(rip) : !isTaken(rip))) return;
  for (let index: u32 = 0; index < blocks; index++) if (load<u32>(list + index * 4) == <u32>block) return;
  store<u32>(list + blocks * 4, <u32>block);
  blocks++;
}

/** Follows executed code from the block on; `everywhere`: into pages that are no window yet, too. @returns false when its page is no RAM */
function findFrom(block: usize, first: usize, entered: bool, everywhere: bool): bool {
  windows = 0;
  blocks = 1;
  cyclic = false;
  if (!addWindow(origin, first, entered)) return false;
  const list = vp + L.CODE_DESCRIPTION + BLOCKS;
  store<u32>(list, <u32>block);
  for (let index: u32 = 0; index < blocks; index++) {
    const from: usize = load<u32>(list + index * 4);
    const base = load<u64>(from, L.BLOCK_RIP);
    const count = load<u32>(from, L.BLOCK_OPERATIONS);
    let u = from + L.BLOCK_FIRST_OPERATION;
    for (let operation: u32 = 0; operation < count; operation++) {
      if (isTransfer(<u32>load<u16>(u))) follow(base + <u64>(<i64>load<i32>(u, 8)), everywhere);
      u += 16;
    }
    // What is behind it, be it by a conditional jump that was not taken or when a call comes back.
    if (count != 0) follow(base + load<u8>(u - 9), everywhere);
  }
  return true;
}

/**
 * Describes the code around a block at L.CODE_DESCRIPTION (CODE_WINDOW of src/state-layout.ts). `first` is the host
 * address of its page. Other pages than its own and the next are worth it for loops: elsewhere a region over
 * them is left and entered as often as the two that it would be otherwise. @returns false when that page is no RAM
 */
export function findWindows(block: usize, first: usize, entered: bool): bool {
  origin = load<u64>(block, L.BLOCK_RIP) & ~0xfff;
  key = load<u32>(block, L.BLOCK_MODE_KEY);
  cut = key == MODE_FLAT ? 0xffffffff : ~(<u64>0);
  if (!findFrom(block, first, entered, true)) return false;
  if (windows > 1 && !cyclic) findFrom(block, first, entered, false);
  store<u32>(vp + L.CODE_DESCRIPTION, windows);
  return true;
}
