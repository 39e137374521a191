/**
 * A debugger's stop points, before instructions and behind accesses to memory.
 *
 * Before instructions: a list of linear addresses, and a bit for each of the 4096 offsets in a page that one has.
 *
 * A block ends before an instruction at such an offset, and one that begins there begins with LEAVE_STOP_POINT, which compares the real
 * address with the list (run.ts). Blocks are found by physical address, and what runs at one linear address may have been decoded at
 * another; the offset within the page is the same at both. Code without such offsets runs as ever.
 *
 * Behind accesses: watched ranges keep their pages out of the TLBs, as data breakpoints of the guest do (debug.ts), so that accesses come
 * to `noteWatched`; while there are some, each instruction is a block of its own, and the poll behind it stops.
 *
 * Invariant: when the lists change, decoded code is forgotten (changeStopPoints in engine.ts), and nothing is translated while they are not
 * empty. Called by blocks.ts, run.ts, debug.ts.
 */
import * as L from './generated/layout';
import { vp, forcePollNow } from './state';

const RANGE_BYTES: usize = 24;
const ACCESS_READ: u32 = 1;
const ACCESS_WRITE: u32 = 2;

export function hasStopOffset(linear: u64): bool {
  if (load<u32>(vp, L.STOP_COUNT) == 0) return false;
  const offset = <u32>linear & 0xfff;
  return (load<u8>(vp + (offset >> 3), L.STOP_OFFSETS) & (1 << (offset & 7))) != 0;
}

export function isStopPoint(linear: u64): bool {
  const count = load<u32>(vp, L.STOP_COUNT);
  for (let index: u32 = 0; index < count; index++) {
    if (load<u64>(vp + (index << 3), L.STOP_ADDRESSES) == linear) return true;
  }
  return false;
}

export function watchesMemory(): bool {
  return load<u32>(vp, L.WATCH_COUNT) != 0;
}

export function watchesPage(address: u64): bool {
  const count = load<u32>(vp, L.WATCH_COUNT);
  for (let index: u32 = 0; index < count; index++) {
    const range = vp + L.WATCH_RANGES + index * RANGE_BYTES;
    if (load<u64>(range) >> 12 <= address >> 12 && address >> 12 <= load<u64>(range, 8) >> 12) return true;
  }
  return false;
}

/** An access; where it meets a range, the instruction is the last before the stop. */
export function noteWatched(address: u64, size: u32, write: bool): void {
  const count = load<u32>(vp, L.WATCH_COUNT);
  const access: u32 = write ? ACCESS_WRITE : ACCESS_READ;
  for (let index: u32 = 0; index < count; index++) {
    const range = vp + L.WATCH_RANGES + index * RANGE_BYTES;
    if (address > load<u64>(range, 8) || address + (size - 1) < load<u64>(range) || (load<u32>(range, 16) & access) == 0) continue;
    if (load<u32>(vp, L.WATCH_HIT) != 0) return;
    store<u32>(vp, index + 1, L.WATCH_HIT);
    forcePollNow();
    return;
  }
}
