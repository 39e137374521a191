/**
 * A debugger's stop points before instructions: a list of linear addresses, and a bit for each of the 4096 offsets in a page that one has.
 *
 * A block ends before an instruction at such an offset, and one that begins there begins with LEAVE_STOP_POINT, which compares the real
 * address with the list (run.ts). Blocks are found by physical address, and what runs at one linear address may have been decoded at
 * another; the offset within the page is the same at both. Code without such offsets runs as ever.
 *
 * Invariant: when the list changes, decoded code is forgotten (changeStopPoints in engine.ts), and nothing is translated while it is not
 * empty. Called by blocks.ts, run.ts.
 */
import * as L from './generated/layout';
import { vp } from './state';

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
