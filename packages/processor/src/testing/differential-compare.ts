/**
 * The differential harness: what differs between two outcomes of a case, leaving out what the manual leaves undefined.
 */
import { type DifferentialCase, RSP } from './differential-builder.ts';
import {
  FXSAVE,
  HANG_VECTOR,
  LOST_VECTOR,
  type Outcome,
  RESULT,
  RESULT_BYTES,
  wordAddress,
} from './differential-layout.ts';

export interface Difference {
  readonly what: string;
  readonly expected: string;
  readonly found: string;
}

const GENERAL_NAMES = [
  'RAX',
  'RCX',
  'RDX',
  'RBX',
  'RSP',
  'RBP',
  'RSI',
  'RDI',
  'R8',
  'R9',
  'R10',
  'R11',
  'R12',
  'R13',
  'R14',
  'R15',
];
const VECTOR_NAMES: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  19: '#XM',
  [LOST_VECTOR]: 'the engine stopped',
  [HANG_VECTOR]: 'no end',
};
const BREAKPOINT = 3;
const USER_SPACE_END = 0x7fff_ffff_f000n;
const USER_CODE_32 = 0x23;
const PAGE_FAULT = 14;
const GENERAL_PROTECTION = 13;

const hexadecimal = (value: bigint | number): string => `0x${value.toString(16)}`;
const vectorName = (vector: number): string => VECTOR_NAMES[vector] ?? `vector ${vector}`;

/** Flags that were undefined where the case stopped. */
function undefinedFlagsAt(subject: DifferentialCase, outcome: Outcome): number {
  const rip = outcome.view.getBigUint64(RESULT.rip, true);
  const vector = outcome.view.getUint32(RESULT.vector, true);
  const before = (index: number): number => subject.undefinedBefore[index] ?? subject.undefinedAtEnd;
  for (let index = 0; index < subject.items.length; index++) {
    const address = subject.addresses[index] ?? 0n;
    const trapped = vector === 1 || vector === 3 || vector === 4;
    if (!trapped && rip === address) return before(index);
    if (trapped && rip === address + BigInt(subject.items[index]?.bytes.length ?? 0)) return before(index + 1);
  }
  return subject.undefinedBefore.reduce((all, mask) => all | mask, subject.undefinedAtEnd);
}

/** True when the case ran to its end: to an INT3 that is none of its instructions. */
export function ranToEnd(subject: DifferentialCase, outcome: Outcome): boolean {
  if (outcome.view.getUint32(RESULT.vector, true) !== BREAKPOINT) return false;
  return !subject.addresses.includes(outcome.view.getBigUint64(RESULT.rip, true) - 1n);
}

/** An 80-bit value as a number whose steps are units of the last place; the sign stays where it is. */
const place = (value: bigint): bigint => ((value >> 64n) << 63n) | (value & ((1n << 63n) - 1n));
/** Units of the last place by which two processors' transcendental functions may differ. */
const LAST_PLACES = 2n;

/** Approximations may differ in the last bits: relative error at most 1.5 * 2^-12 each. */
function closeEnough(expected: number, found: number): boolean {
  if (Object.is(expected, found) || (Number.isNaN(expected) && Number.isNaN(found))) return true;
  return Math.abs(expected - found) <= Math.abs(expected) * 3 * 2 ** -12;
}

const WORDS = {
  vectorState: RESULT.vectorState / 4,
  mxcsr: (RESULT.vectorState + FXSAVE.mxcsr) / 4,
  stack: (RESULT.vectorState + FXSAVE.stack) / 4,
  stateEnd: (RESULT.vectorState + FXSAVE.end) / 4,
  upper: RESULT.upper / 4,
  end: RESULT_BYTES / 4,
} as const;

function sameWords(a: Int32Array, b: Int32Array, from: number, to: number): boolean {
  let differs = 0;
  for (let at = from; at < to; at++) differs |= (a[at] as number) ^ (b[at] as number);
  return differs === 0;
}

/** Whether two outcomes are the same to the last bit that can be compared: nearly all are, and nobody has to look closer. */
function identical(expected: Outcome, found: Outcome): boolean {
  if (found.note !== undefined || expected.changes.length !== found.changes.length) return false;
  for (let at = 0; at < expected.changes.length; at++) if (expected.changes[at] !== found.changes[at]) return false;
  const a = new Int32Array(expected.view.buffer, expected.view.byteOffset, WORDS.end);
  const b = new Int32Array(found.view.buffer, found.view.byteOffset, WORDS.end);
  const state = WORDS.vectorState;
  // With an exception pending the unit's pointers count too.
  const pending = ((a[state] as number) >>> 16) & 0x80;
  return (
    pending === 0 &&
    (((a[state + 1] as number) ^ (b[state + 1] as number)) & 0xff) === 0 &&
    sameWords(a, b, 0, state + 1) &&
    sameWords(a, b, WORDS.mxcsr, WORDS.mxcsr + 1) &&
    sameWords(a, b, WORDS.stack, WORDS.stateEnd) &&
    sameWords(a, b, WORDS.upper, WORDS.end)
  );
}

/** The differences of `found` from `expected`, empty when there are none. */
export function compareOutcomes(subject: DifferentialCase, expected: Outcome, found: Outcome): Difference[] {
  if (identical(expected, found)) return [];
  const differences: Difference[] = [];
  const add = (what: string, left: bigint | number | string, right: bigint | number | string): void => {
    if (left === right) return;
    const show = (value: bigint | number | string): string => (typeof value === 'string' ? value : hexadecimal(value));
    differences.push({ what, expected: show(left), found: show(right) });
  };
  const a = expected.view;
  const b = found.view;
  const wide = subject.state.mode === 64;
  const vector = a.getUint32(RESULT.vector, true);
  add('exception', vectorName(vector), vectorName(b.getUint32(RESULT.vector, true)));
  if (found.note !== undefined) differences.push({ what: 'engine', expected: 'goes on', found: found.note });
  if (differences.length > 0 && found.note !== undefined) return differences;
  add('RIP', a.getBigUint64(RESULT.rip, true), b.getBigUint64(RESULT.rip, true));
  const cr2 = a.getBigUint64(RESULT.cr2, true);
  const foundAddress = b.getBigUint64(RESULT.cr2, true);
  // Modulo the address size, for an address of 16 or 32 bits may wrap between the words.
  const low = cr2 < 0x1_0000n && foundAddress < 0x1_0000n;
  const apart = BigInt.asIntN(low ? 16 : 32, cr2 - foundAddress);
  const distance = cr2 === foundAddress ? 0n : apart < 0n ? -apart : apart;
  // What lies beyond user space is not mapped here, but may be there; and Linux tells programs that it is.
  const errorMask = vector === PAGE_FAULT && cr2 >= USER_SPACE_END ? ~1 : ~0;
  const otherPage = cr2 !== foundAddress && distance <= subject.addressTolerance;
  if ((vector === PAGE_FAULT && !otherPage) || vector === GENERAL_PROTECTION || (vector >= 10 && vector <= 12)) {
    add(
      'error code',
      (a.getUint32(RESULT.error, true) & errorMask) >>> 0,
      (b.getUint32(RESULT.error, true) & errorMask) >>> 0,
    );
  }
  if (
    vector === PAGE_FAULT &&
    cr2 !== foundAddress &&
    (subject.addressTolerance === 0n || distance > subject.addressTolerance)
  )
    add('CR2', cr2, foundAddress);
  const mask = wide ? (1n << 64n) - 1n : 0xffff_ffffn;
  const general = wide ? 16 : 8;
  const partial = subject.partialOnFault && !ranToEnd(subject, expected);
  for (let register = 0; register < general && !partial; register++) {
    const at = RESULT.registers + 8 * register;
    // After a far transfer into 32-bit code the upper half of RSP is nobody's.
    const visible = register === RSP && a.getUint16(RESULT.cs, true) === USER_CODE_32 ? 0xffff_ffffn : mask;
    add(GENERAL_NAMES[register] ?? '', a.getBigUint64(at, true) & visible, b.getBigUint64(at, true) & visible);
  }
  const flags = ~BigInt(undefinedFlagsAt(subject, expected));
  add('RFLAGS', a.getBigUint64(RESULT.flags, true) & flags, b.getBigUint64(RESULT.flags, true) & flags);
  for (const name of ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const) {
    // A return to user mode makes a null selector 0, and the host's signal handler lies behind one.
    const selector = (view: DataView): number =>
      view.getUint16(RESULT[name], true) <= 3 ? 0 : view.getUint16(RESULT[name], true);
    add(name.toUpperCase(), selector(a), selector(b));
  }
  for (const name of ['fsBase', 'gsBase'] as const)
    add(name, a.getBigUint64(RESULT[name], true), b.getBigUint64(RESULT[name], true));
  compareVectorState(subject, a, b, wide ? 16 : 8, add);
  compareMemory(subject, expected, found, differences);
  return differences;
}

function compareVectorState(
  subject: DifferentialCase,
  a: DataView,
  b: DataView,
  vectors: number,
  add: (what: string, left: bigint | number, right: bigint | number) => void,
): void {
  const at = RESULT.vectorState;
  add('MXCSR', a.getUint32(at + FXSAVE.mxcsr, true), b.getUint32(at + FXSAVE.mxcsr, true));
  add('FCW', a.getUint16(at + FXSAVE.control, true), b.getUint16(at + FXSAVE.control, true));
  // C1 tells which way the last place was rounded.
  const status = (view: DataView): number =>
    view.getUint16(at + FXSAVE.status, true) & (subject.approximate ? ~0x200 : ~0);
  add('FSW', status(a), status(b));
  add('FTW', a.getUint8(at + FXSAVE.tag), b.getUint8(at + FXSAVE.tag));
  // The image has the last instruction's pointers only while an exception is pending.
  if ((a.getUint16(at + FXSAVE.status, true) & b.getUint16(at + FXSAVE.status, true) & 0x80) !== 0) {
    add('FOP', a.getUint16(at + FXSAVE.opcode, true), b.getUint16(at + FXSAVE.opcode, true));
    // What is restored is made canonical: to 57 bits on a host that could have five levels of page tables, here always to 48.
    const pointer = (view: DataView, offset: number): bigint => BigInt.asIntN(48, view.getBigUint64(at + offset, true));
    add('FIP', pointer(a, FXSAVE.instruction), pointer(b, FXSAVE.instruction));
    add('FDP', pointer(a, FXSAVE.data), pointer(b, FXSAVE.data));
  }
  for (let register = 0; register < 8; register++) {
    const value = (view: DataView): bigint =>
      (BigInt(view.getUint16(at + FXSAVE.stack + 16 * register + 8, true)) << 64n) |
      view.getBigUint64(at + FXSAVE.stack + 16 * register, true);
    const apart = place(value(a)) - place(value(b));
    // Transcendental functions: each processor has its own last place.
    if (subject.approximate && apart >= -LAST_PLACES && apart <= LAST_PLACES) continue;
    add(`ST${register}`, value(a), value(b));
  }
  for (let register = 0; register < vectors; register++) {
    const from = at + FXSAVE.xmm + 16 * register;
    if (subject.approximate) {
      for (let lane = 0; lane < 16; lane += 4) {
        if (closeEnough(a.getFloat32(from + lane, true), b.getFloat32(from + lane, true))) continue;
        add(`XMM${register}[${lane / 4}]`, a.getUint32(from + lane, true), b.getUint32(from + lane, true));
      }
      continue;
    }
    const value = (view: DataView): bigint =>
      (view.getBigUint64(from + 8, true) << 64n) | view.getBigUint64(from, true);
    add(`XMM${register}`, value(a), value(b));
  }
  for (let register = 0; register < vectors; register++) {
    for (let lane = 0; lane < 16; lane += 4) {
      const from = RESULT.upper + 16 * register + lane;
      if (subject.approximate && closeEnough(a.getFloat32(from, true), b.getFloat32(from, true))) continue;
      add(`YMM${register}[${4 + lane / 4}]`, a.getUint32(from, true), b.getUint32(from, true));
    }
  }
}

function compareMemory(subject: DifferentialCase, expected: Outcome, found: Outcome, differences: Difference[]): void {
  const left = expected.changes;
  const right = found.changes;
  if (left.length === right.length && left.every((word, index) => word === right[index])) return;
  const before = new Map<number, number>();
  const after = new Map<number, number>();
  for (let at = 0; at < left.length; at += 2) before.set(left[at] as number, left[at + 1] as number);
  for (let at = 0; at < right.length; at += 2) after.set(right[at] as number, right[at + 1] as number);
  let shown = 0;
  for (const word of [...new Set([...before.keys(), ...after.keys()])].sort((x, y) => x - y)) {
    if (before.get(word) === after.get(word) || isIgnored(subject, word)) continue;
    if (++shown > 8) break;
    const show = (value: number | undefined): string => (value === undefined ? 'as it was' : hexadecimal(value));
    differences.push({
      what: `memory ${hexadecimal(wordAddress(word))}`,
      expected: show(before.get(word)),
      found: show(after.get(word)),
    });
  }
}

function isIgnored(subject: DifferentialCase, word: number): boolean {
  const address = wordAddress(word);
  return subject.ignoredMemory.some(
    (range) => address + 4n > range.address && address < range.address + BigInt(range.bytes),
  );
}
