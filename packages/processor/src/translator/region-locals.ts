/**
 * Numbers of the locals that every region has, so that what is emitted most is the same everywhere; local 0 is the address of the
 * processor's block. General registers follow, then vectors. Called by: region-operands.ts; assembly/code-writer.ts through build/generate.ts.
 */
export const LOCAL = {
  ccResult: 1,
  ccA: 2,
  ccB: 3,
  address: 4,
  /** Four scratch locals for instructions. */
  wide: 5,
  ripBase: 9,
  ccKind: 10,
  entry: 11,
  pointer: 12,
  /** Three scratch locals for instructions. */
  narrow: 13,
  budget: 16,
  /** Where a side exit is: offset from the entry times 1024, plus the charged instructions that did not run. */
  exit: 17,
  result: 18,
  tlbRead: 19,
  tlbWrite: 20,
} as const;
/** How many of them are i64; then come those of type i32. */
export const WIDE_LOCALS = 9;
export const NARROW_LOCALS = 11;
