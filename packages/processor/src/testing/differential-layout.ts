/**
 * The differential harness: memory that a case sees, and the layout of cases and results.
 *
 * The host's processor (native/differential-runner.c) and the software engine (differential-machine.ts) give every case
 * the same user-mode world: the same linear addresses with the same permissions, the same segments, the same initial
 * registers. Only this file knows the numbers; the runner gets addresses in the file's header.
 *
 *     CODE   2 MiB, execute and read   one slot of SLOT_STRIDE bytes per case of a batch, filled with INT3
 *     DATA   read-write, read-write, read-only, then nothing
 *     STACK  two pages read-write
 *     HIGH   two pages read-write above 4 GiB; the low halves of its addresses are those of DATA
 *
 * A local descriptor table has segments with bases and limits of their own, for FS and GS of 32-bit code and whoever loads a selector.
 *
 * Everything else below 2^47 is unmapped on both sides.
 */

export const PAGE = 4096;
export const CODE_BASE = 0x1000_0000n;
export const CODE_BYTES = 2 * 1024 * 1024;
export const DATA_BASE = 0x1041_0000n;
export const STACK_BASE = 0x1042_0000n;
export const HIGH_BASE = 0x2345_1041_0000n;
/** Bytes from one case's slot to the next: odd, so that instructions lie across page boundaries now and then. */
export const SLOT_STRIDE = 0x1e1;
/** Cases in one batch: their slots fill the code region. */
export const BATCH_CASES = 4096;

/** Pages whose contents the template gives: DATA 0 and 1, STACK 0 and 1, HIGH 0 and 1 (writable), DATA 2 (read-only). */
export const TEMPLATE_PAGES = [
  DATA_BASE,
  DATA_BASE + 0x1000n,
  STACK_BASE,
  STACK_BASE + 0x1000n,
  HIGH_BASE,
  HIGH_BASE + 0x1000n,
  DATA_BASE + 0x2000n,
] as const;
export const WRITABLE_PAGE_COUNT = 6;

/** Linear address of a word of the writable pages, as changes number them. */
export const wordAddress = (word: number): bigint =>
  (TEMPLATE_PAGES[Math.floor(word / 1024)] ?? 0n) + BigInt((word % 1024) * 4);

const CASE_BYTES = 944;
export const CASE = {
  registers: 0,
  rip: 128,
  flags: 136,
  mode32: 144,
  patchOffset: 148,
  patchCount: 152,
  fsSelector: 156,
  gsSelector: 158,
  fsBase: 160,
  gsBase: 168,
  /** An FXSAVE image (64-bit form), of which the first 416 bytes count. */
  vectorState: 176,
  /** The upper halves of YMM0..15. */
  upper: 688,
} as const;

export const RESULT_BYTES = 968;
export const RESULT = {
  registers: 0,
  rip: 128,
  flags: 136,
  cr2: 144,
  vector: 152,
  error: 156,
  cs: 160,
  ss: 162,
  ds: 164,
  es: 166,
  fs: 168,
  gs: 170,
  fsBase: 176,
  gsBase: 184,
  vectorState: 192,
  changeOffset: 704,
  changeCount: 708,
  upper: 712,
} as const;

/** Fields of an FXSAVE image. */
export const FXSAVE = {
  control: 0,
  status: 2,
  tag: 4,
  opcode: 6,
  instruction: 8,
  data: 16,
  mxcsr: 24,
  stack: 32,
  xmm: 160,
  end: 416,
} as const;

/** The vector that stands for a case that does not end. */
export const HANG_VECTOR = 255;
/** The vector that stands for a case at which the engine itself stopped. */
export const LOST_VECTOR = 254;

export type Mode = 32 | 64;

/** Bytes laid over the template before the case runs. */
export interface Patch {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** What both processors are given. */
export interface MachineState {
  readonly mode: Mode;
  readonly registers: readonly bigint[];
  readonly flags: bigint;
  readonly fsBase: bigint;
  readonly gsBase: bigint;
  /** Selectors of the local segments that the bases belong to; 0 in 64-bit code. */
  readonly fsSelector: number;
  readonly gsSelector: number;
  readonly vectorState: Uint8Array;
  /** 16 bytes for each register: the upper halves of the YMM registers. */
  readonly upper: Uint8Array;
  readonly patches: readonly Patch[];
  /** Address of the first instruction. */
  readonly rip: bigint;
  /** Contents of the slot, SLOT_STRIDE bytes. */
  readonly code: Uint8Array;
  /** Slot number in the batch: decides the addresses. */
  readonly slot: number;
}

export const slotAddress = (slot: number): bigint => CODE_BASE + BigInt(slot * SLOT_STRIDE);

/** A segment of the local descriptor table. */
export interface LocalSegment {
  readonly selector: number;
  readonly base: bigint;
  readonly descriptor: bigint;
  /** The offsets from `first` on that there are something at; what lies outside faults, or is another segment's. */
  readonly first: bigint;
}

/** A segment with DPL 3. `type`: of the descriptor, accessed; `flags`: G, D, L and AVL; `limit` in the descriptor's units. */
function localSegment(
  index: number,
  base: bigint,
  limit: bigint,
  type: bigint,
  flags: bigint,
  first = 0n,
): LocalSegment {
  const low = (limit & 0xffffn) | ((base & 0xff_ffffn) << 16n) | ((0xf0n | type) << 40n);
  const descriptor = low | ((limit >> 16n) << 48n) | (flags << 52n) | ((base >> 24n) << 56n);
  return { selector: index * 8 + 7, base, descriptor, first };
}

const WRITABLE = 3n;
const EXPAND_DOWN = 7n;
const READABLE_CODE = 0xbn;
const BIG = 4n;
const PAGES = 8n;
/** Entry 0 is there and empty. Linux's modify_ldt gives the host the same table. */
export const LOCAL_SEGMENTS: readonly LocalSegment[] = [
  // The two writable pages and nothing else.
  localSegment(1, DATA_BASE, 0x1fffn, WRITABLE, BIG),
  // 64 KiB, as far as an address of 16 bits reaches; a small segment.
  localSegment(2, DATA_BASE - 0x800n, 0xffffn, WRITABLE, 0n, 0x800n),
  // Expanding down: the offsets behind the limit.
  localSegment(3, DATA_BASE - 0x1000n, 0xfffn, EXPAND_DOWN, BIG, 0x1000n),
  localSegment(4, DATA_BASE - 0x4000n, 0x3fffn, EXPAND_DOWN, 0n, 0x4000n),
  // Not writable; a limit in pages, beyond which HIGH's low half is not.
  localSegment(5, DATA_BASE - 0x8000n, 0x8n, READABLE_CODE, BIG | PAGES, 0x8000n),
];
const LOCAL_ENTRIES = 8;

const FILE_HEADER_BYTES = 48 + 8 * LOCAL_ENTRIES;
const FILE_MAGIC = 0x43444c50;
const RESULT_MAGIC = 0x52444c50;

/** Encodes one case in the layout CASE. `patchOffset` counts bytes in the patches' stream. */
export function encodeCase(view: DataView, at: number, state: MachineState, patchOffset: number): void {
  state.registers.forEach((value, register) => {
    view.setBigUint64(at + CASE.registers + 8 * register, value, true);
  });
  view.setBigUint64(at + CASE.rip, state.rip, true);
  view.setBigUint64(at + CASE.flags, state.flags, true);
  view.setUint32(at + CASE.mode32, state.mode === 32 ? 1 : 0, true);
  view.setUint32(at + CASE.patchOffset, patchOffset, true);
  view.setUint32(at + CASE.patchCount, state.patches.length, true);
  view.setUint16(at + CASE.fsSelector, state.fsSelector, true);
  view.setUint16(at + CASE.gsSelector, state.gsSelector, true);
  view.setBigUint64(at + CASE.fsBase, state.fsBase, true);
  view.setBigUint64(at + CASE.gsBase, state.gsBase, true);
  new Uint8Array(view.buffer, view.byteOffset + at + CASE.vectorState, FXSAVE.end).set(
    state.vectorState.subarray(0, FXSAVE.end),
  );
  new Uint8Array(view.buffer, view.byteOffset + at + CASE.upper, 256).set(state.upper);
}

/** The file that the native runner reads: header, template, code, cases, patches. */
export function encodeCaseFile(template: Uint8Array, cases: readonly MachineState[]): Uint8Array<ArrayBuffer> {
  const patchBytes = cases
    .flatMap((state) => state.patches)
    .reduce((sum, patch) => sum + 16 + ((patch.bytes.length + 7) & ~7), 0);
  const codeAt = FILE_HEADER_BYTES + template.length;
  const casesAt = codeAt + CODE_BYTES;
  const patchesAt = casesAt + cases.length * CASE_BYTES;
  const file = new Uint8Array(patchesAt + patchBytes);
  const view = new DataView(file.buffer);
  [FILE_MAGIC, cases.length, patchBytes, CODE_BYTES].forEach((word, index) => {
    view.setUint32(4 * index, word, true);
  });
  [CODE_BASE, DATA_BASE, STACK_BASE, HIGH_BASE].forEach((address, index) => {
    view.setBigUint64(16 + 8 * index, address, true);
  });
  for (const { selector, descriptor } of LOCAL_SEGMENTS) view.setBigUint64(48 + (selector & ~7), descriptor, true);
  file.set(template, FILE_HEADER_BYTES);
  file.fill(0xcc, codeAt, casesAt);
  let patchOffset = 0;
  cases.forEach((state, index) => {
    file.set(state.code, codeAt + state.slot * SLOT_STRIDE);
    encodeCase(view, casesAt + index * CASE_BYTES, state, patchOffset);
    for (const { address, bytes } of state.patches) {
      view.setBigUint64(patchesAt + patchOffset, address, true);
      view.setUint32(patchesAt + patchOffset + 8, bytes.length, true);
      file.set(bytes, patchesAt + patchOffset + 16);
      patchOffset += 16 + ((bytes.length + 7) & ~7);
    }
  });
  return file;
}

/** One case's outcome: the record RESULT, and the 32-bit words of writable pages that differ from the template. */
export interface Outcome {
  readonly view: DataView;
  /** Pairs of word number (page * 1024 + word) and value. */
  readonly changes: Uint32Array;
  /** How the engine stopped, for HANG_VECTOR and LOST_VECTOR. */
  readonly note?: string;
}

export interface NativeResults {
  readonly outcomes: readonly Outcome[];
  readonly features: ReadonlySet<HostFeature>;
}

/** What the runner tells about the host, in the order of its bits; instruction sets by the table's names for them. */
export const HOST_FEATURES = [
  'popcnt',
  'cx16',
  'xsave',
  'fsgsbase',
  'AMD',
  'fma',
  'movbe',
  'aes',
  'f16c',
  'bmi1',
  'avx2',
  'bmi2',
  'adx',
  'sha_ni',
  'a local descriptor table',
  '32-bit code',
  'abm',
  'pni',
  'ssse3',
  'sse4_1',
  'sse4_2',
  'pclmulqdq',
  'avx',
  'clflushopt',
  'clwb',
  'xsavec',
  'xsaves',
] as const;
export type HostFeature = (typeof HOST_FEATURES)[number];

/** @throws RangeError when the file is not complete */
export function decodeResultFile(file: Uint8Array): NativeResults {
  const copy = file.slice();
  const view = new DataView(copy.buffer);
  const count = view.getUint32(4, true);
  const changes = view.getUint32(8, true);
  const changesAt = 16 + count * RESULT_BYTES;
  if (view.getUint32(0, true) !== RESULT_MAGIC || copy.length !== changesAt + changes * 8) {
    throw new RangeError(`result file of ${copy.length} bytes is not complete`);
  }
  const bits = view.getUint32(12, true);
  const outcomes = Array.from({ length: count }, (_, index): Outcome => {
    const record = new DataView(copy.buffer, 16 + index * RESULT_BYTES, RESULT_BYTES);
    const first = changesAt + 8 * record.getUint32(RESULT.changeOffset, true);
    return {
      view: record,
      changes: new Uint32Array(copy.buffer, first, 2 * record.getUint32(RESULT.changeCount, true)),
    };
  });
  return { outcomes, features: new Set(HOST_FEATURES.filter((_, bit) => ((bits >>> bit) & 1) === 1)) };
}
