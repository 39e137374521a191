/**
 * Whole random programs: where they lie, and what both sides of a comparison are given.
 *
 * Linear addresses are those of the differential harness (differential-layout.ts), so that its encoder makes the operands:
 *
 *     CODE    CODE_PAGES pages, written and executed     the first one holds the main loop and whatever changes page tables
 *     ALIAS   the same page frames once more, written only through here
 *     DATA    read-write, read-write, read-only          STACK, HIGH  two pages read-write each
 *
 * Of each code page but the first, and of the second data page, there is another frame with contents of its own: a program changes
 * which one is mapped. Called by: program-generator.ts, program-machine.ts.
 */
import { CODE_BASE, DATA_BASE, HIGH_BASE, PAGE, STACK_BASE } from './differential-layout.ts';

export const CODE_PAGES = 6;
export const ALIAS_BASE = 0x3000_0000n;
/** Frames, guest-physical. */
export const FRAMES = {
  code: 0x10_0000,
  otherCode: 0x11_0000,
  data: 0x12_0000,
  otherData: 0x13_0000,
  stack: 0x14_0000,
  high: 0x15_0000,
} as const;
/** All frames that a program can reach, in runs. */
export const FRAME_RUNS: readonly { readonly frame: number; readonly pages: number }[] = [
  { frame: FRAMES.code, pages: CODE_PAGES },
  { frame: FRAMES.otherCode, pages: CODE_PAGES },
  { frame: FRAMES.data, pages: 3 },
  { frame: FRAMES.otherData, pages: 1 },
  { frame: FRAMES.stack, pages: 2 },
  { frame: FRAMES.high, pages: 2 },
];
/** A counter of the main loop, at the stack's lower end; those of other loops in 32-bit code follow it. */
export const LOOP_COUNTER = STACK_BASE + 8n;
/** Tables of addresses that indirect jumps and calls take, at the end of the first code page. */
export const ADDRESS_TABLE = 0xe00;

export interface Mapping {
  readonly linear: bigint;
  readonly frame: number;
  readonly writable: boolean;
  readonly executable: boolean;
}

const range = (linear: bigint, frame: number, pages: number, writable: boolean, executable: boolean): Mapping[] =>
  Array.from({ length: pages }, (_, page) => ({
    linear: linear + BigInt(page * PAGE),
    frame: frame + page * PAGE,
    writable,
    executable,
  }));

/** All pages of a program; 32-bit code has those below 4 GiB. */
const MAPPINGS: readonly Mapping[] = [
  ...range(CODE_BASE, FRAMES.code, CODE_PAGES, true, true),
  ...range(ALIAS_BASE, FRAMES.code, CODE_PAGES, true, false),
  ...range(DATA_BASE, FRAMES.data, 2, true, false),
  ...range(DATA_BASE + 0x2000n, FRAMES.data + 0x2000, 1, false, false),
  ...range(STACK_BASE, FRAMES.stack, 2, true, false),
  ...range(HIGH_BASE, FRAMES.high, 2, true, false),
];

export function mappingsOf(mode: ProgramMode): readonly Mapping[] {
  return bitsOf(mode) === 64 ? MAPPINGS : MAPPINGS.filter(({ linear }) => linear < 1n << 32n);
}

/** What a program is: 64-bit code, 32-bit code of long mode, or 32-bit code under three levels of page tables. */
export type ProgramMode = 'long' | 'compatibility' | 'pae';
export const PROGRAM_MODES: readonly ProgramMode[] = ['long', 'compatibility', 'pae'];
export const bitsOf = (mode: ProgramMode): 32 | 64 => (mode === 'long' ? 64 : 32);

/** How a program may change its own page tables. */
export type PagingChange = 'none' | 'entries' | 'roots' | 'tagged-roots';

export interface Program {
  readonly seed: number;
  readonly index: number;
  readonly mode: ProgramMode;
  readonly user: boolean;
  readonly paging: PagingChange;
  /** Contents of the code pages, and of their other frames. */
  readonly code: Uint8Array;
  readonly otherCode: Uint8Array;
  /** Contents of the data, stack and high pages in the order of the template, and of the other data frame. */
  readonly template: Uint8Array;
  readonly otherData: Uint8Array;
  readonly registers: readonly bigint[];
  readonly flags: bigint;
  readonly fsBase: bigint;
  readonly gsBase: bigint;
  readonly vectorState: Uint8Array;
  readonly entry: bigint;
  /** The program has ended when it faults here. */
  readonly end: bigint;
  readonly pieces: readonly Piece[];
}

/** An instruction in its place. */
export interface Piece {
  readonly address: bigint;
  readonly bytes: readonly number[];
  /** Arithmetic flags that the manual leaves undefined before it. */
  readonly undefinedFlags: number;
  /** Nothing of the program's course depends on it. */
  readonly plain: boolean;
  readonly text: string;
}
