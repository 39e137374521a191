/**
 * The last branches that were taken, for whoever asks what led to a crash: a ring of BRANCH records (src/state-layout.ts).
 *
 * The interpreter records each branch with its address; so does a region's computed exit (a jump, call or return through a register or
 * memory), so that who went to a wild address is always known. A linked exit into another region is recorded by the exit's own operation
 * alone, as that costs least: where its branch stands follows from the distances that the translator has left. Branches within a region
 * are not recorded; the record that led into translated code says so. Exceptions and interrupts are records too.
 *
 * Invariant: an exit's operation that the ring names is alive; who gives exits back calls `settleBranches` before.
 * Called by: the run loop, run.ts, operands.ts, interrupts.ts, blocks.ts; chain.ts writes records of the same form.
 */
import * as L from './generated/layout';
import { vp } from './state';

/** Records lie at L.BRANCHES + L.BRANCH_NEXT, which stays below this. */
const RING_MASK: u32 = L.BRANCH_BYTES * L.BRANCH_COUNT - 1;

// @ts-ignore: decorator
@inline
function nextRecord(s: usize, at: u32): void {
  store<u32>(s, (at + L.BRANCH_BYTES) & RING_MASK, L.BRANCH_NEXT);
}

/** A branch that was taken; addresses as RIP has them. `about`: L.BRANCH_TAKEN and what else is known. */
// @ts-ignore: decorator
@inline
export function recordBranch(from: u64, to: u64, about: u32): void {
  const s = vp;
  const at = load<u32>(s, L.BRANCH_NEXT);
  const record = s + L.BRANCHES + at;
  store<u64>(record, to, L.BRANCH_TO);
  // With no operation in the lower half.
  store<u64>(record, (<u64>about) << 32, L.BRANCH_EXIT);
  store<u64>(record, from, L.BRANCH_FROM);
  nextRecord(s, at);
}

/** A region was left by a linked exit that leads into another region. */
// @ts-ignore: decorator
@inline
export function recordExit(exit: usize, to: u64): void {
  const s = vp;
  const at = load<u32>(s, L.BRANCH_NEXT);
  const record = s + L.BRANCHES + at;
  store<u64>(record, to, L.BRANCH_TO);
  store<u32>(record, <u32>exit, L.BRANCH_EXIT);
  nextRecord(s, at);
}

/** What is executed from the last branch's target on is a region. */
// @ts-ignore: decorator
@inline
export function enterTranslated(): void {
  const at = (load<u32>(vp, L.BRANCH_NEXT) - L.BRANCH_BYTES) & RING_MASK;
  const about = vp + L.BRANCHES + at + L.BRANCH_ABOUT;
  store<u32>(about, load<u32>(about) | L.BRANCH_TRANSLATED);
}

/** A region was left for another by a computed exit; where the core executed what left it, that has been recorded if it was a branch. */
// @ts-ignore: decorator
@inline
export function recordComputedExit(isBranch: bool, to: u64): void {
  if (isBranch) recordBranch(load<u64>(vp, L.BRANCH_SOURCE), to, L.BRANCH_TAKEN | L.BRANCH_TRANSLATED);
  else enterTranslated();
}

/** How far the branch of a linked exit is from its region's entry; NO_BRANCH when code just goes on there. */
function sourceOf(exit: usize): i32 {
  return load<i32>(vp + L.REGION_EXIT_SOURCES + ((exit - (vp + L.REGION_EXITS)) >> 2));
}
/** Address of a linked exit's branch, known where it led to. */
function addressOf(exit: usize, source: i32, to: u64): u64 {
  const from = to + <u64>(<i64>source - <i64>load<i32>(exit, 8));
  // 32-bit addresses begin anew behind 4 GiB.
  return to >> 32 == 0 ? from & 0xffffffff : from;
}

/** A region was left by a linked exit for what is no region, or is not entered yet. */
export function recordLinkedBranch(exit: usize, to: u64): void {
  const source = sourceOf(exit);
  if (source != <i32>L.BRANCH_NONE) recordBranch(addressOf(exit, source, to), to, L.BRANCH_TAKEN);
}

/** Makes all records stand for themselves. */
export function settleBranches(): void {
  for (let at: u32 = 0; at <= RING_MASK; at += L.BRANCH_BYTES) {
    const record = vp + L.BRANCHES + at;
    const exit: usize = load<u32>(record, L.BRANCH_EXIT);
    if (exit == 0) continue;
    const source = sourceOf(exit);
    const taken: u32 = source == <i32>L.BRANCH_NONE ? 0 : L.BRANCH_TAKEN;
    store<u64>(record, addressOf(exit, source, load<u64>(record, L.BRANCH_TO)), L.BRANCH_FROM);
    store<u64>(record, (<u64>(taken | L.BRANCH_TRANSLATED)) << 32, L.BRANCH_EXIT);
  }
}
