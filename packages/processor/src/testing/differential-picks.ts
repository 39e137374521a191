/**
 * The differential harness: random values that mean something: selectors, places to branch to, stacks.
 *
 * Most are good and some are not, so that both ends of an instruction are seen.
 * Called by: differential-preparations.ts and differential-operations.ts.
 */
import { type CaseBuilder, READ_ONLY_BASE, RSP } from './differential-builder.ts';
import type { EncodingWishes } from './differential-encoder.ts';
import { DATA_BASE, HIGH_BASE, SLOT_STRIDE, STACK_BASE, slotAddress } from './differential-layout.ts';

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

/** Selectors of Linux's user segments, null ones, and some that must not be loaded. */
export const pickSelector = (builder: CaseBuilder): bigint =>
  BigInt(
    builder.random.pick([
      0,
      0x2b,
      0x2b,
      0x2b,
      0x28,
      0x2a,
      3,
      1,
      0x23,
      0x33,
      0x30,
      0x20,
      0x10,
      0x18,
      0x1b,
      0x08,
      0x2f,
      0x53,
      0x63,
      0x6b,
      0x80,
      0x8b,
      0xfffb,
      // Of the local table: empty, its segments with several privileges, and beyond its end.
      0x07,
      0x0f,
      0x17,
      0x1c,
      0x26,
      0x2f,
      0x37,
      builder.random.below(65536) | 0x100,
    ]),
  );
export const pickCodeSelector = (builder: CaseBuilder): bigint =>
  BigInt(
    builder.random.pick([
      0x33, 0x33, 0x33, 0x23, 0x23, 0x23, 0x30, 0x20, 0x32, 0x2b, 0x10, 0x13, 0, 3, 0x8b, 0x37, 0x40, 0x53, 0x63,
    ]),
  );

/** An address where INT3 awaits, in the case's own slot but outside of the bytes from `start` to `end`. */
function pickLanding(builder: CaseBuilder, start: bigint, end: bigint): bigint {
  const { random } = builder;
  const slot = slotAddress(builder.slot);
  return random.chance(0.7)
    ? end + BigInt(random.below(Number(slot + BigInt(SLOT_STRIDE - 1) - end)))
    : slot + BigInt(random.below(Number(start - slot)));
}

/** Where an indirect branch goes: mostly to a landing; to pages that are not code, to nowhere. */
export function pickDestination(builder: CaseBuilder): bigint {
  const { random } = builder;
  if (random.chance(0.75)) return pickLanding(builder, builder.position, builder.position + 16n);
  if (builder.mode === 64 && random.chance(0.35))
    return random.pick([0x0000_8000_0000_0000n, 0x8000_0000_0000_0000n, HIGH_BASE, (1n << 62n) | random.bits64()]);
  return random.pick([DATA_BASE + 8n, READ_ONLY_BASE, READ_ONLY_BASE + 0x1000n, 0x7000_0000n, 0x10n]);
}

export function relativeBranch(builder: CaseBuilder): EncodingWishes {
  const { random } = builder;
  return {
    branch: (end, bits) => {
      const start = builder.position;
      if (bits === 8) {
        const forward = random.chance(0.7);
        return forward ? BigInt(random.below(128)) : -BigInt(random.between(Number(end - start) + 1, 128));
      }
      if (random.chance(0.8)) return pickLanding(builder, start, end) - end;
      return random.pick([DATA_BASE + 4n, READ_ONLY_BASE, READ_ONLY_BASE + 0x1000n, 0x7000_0000n]) - end;
    },
  };
}

export const withStack = (builder: CaseBuilder): bigint => builder.fix(RSP, builder.pickStack(1));

/** A stack pointer that is not so near to an edge that a frame lies on both sides of it. */
export function pickFrame(builder: CaseBuilder): bigint {
  for (;;) {
    const pointer = builder.pickStack(1);
    const edges = [STACK_BASE, STACK_BASE + 0x2000n];
    // Above 4 GiB it matters whether the old or the new code segment says how wide the stack is.
    if (pointer >> 32n === 0n && edges.every((edge) => pointer - edge > 64n || edge - pointer > 64n)) return pointer;
  }
}

/** Address of the bytes that the next instruction pops: RSP as the stack's size truncates it. */
export const stackTop = (builder: CaseBuilder): bigint => builder.values[RSP] ?? 0n;
