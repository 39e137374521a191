/**
 * The differential harness: outcomes recorded once on a processor, for hosts that have no such processor.
 *
 * Each row of the table has its own cases in each mode, which follow from the row's text alone: a row that is added later leaves the
 * recordings of all others as they are. Only outcomes are kept, with a checksum of each row's inputs, so that a recording that no longer
 * belongs to what is generated is found out. An outcome is stored as its difference from what nearly all instructions leave alone
 * (registers, vectors, memory), column by column: nothing but zeros compresses to nothing.
 *
 *     u32 length of JSON · JSON: the rows and their checksums · RESULT records, byte 0 of all, byte 1 of all, .. · changed words
 *
 * Called by: tests/differential/recorded.test.ts and record.mjs.
 */
import { INSTRUCTIONS, type InstructionRow } from '../table/index.ts';
import type { DifferentialCase } from './differential-builder.ts';
import { exclusionReason, generateSingleOf, modesOf } from './differential-generator.ts';
import {
  BATCH_CASES,
  encodeCase,
  FXSAVE,
  type Mode,
  type Outcome,
  PAGE,
  RESULT,
  RESULT_BYTES,
  TEMPLATE_PAGES,
  WRITABLE_PAGE_COUNT,
} from './differential-layout.ts';
import { makeTemplate, mixSeed } from './differential-random.ts';

/** Cases of each row in each mode: the file has 0.6 MiB with them. */
const RECORDED_CASES = 8;
const RECORDING_SEED = 0x706c;

export const recordingTemplate = (): Uint8Array<ArrayBuffer> => makeTemplate(RECORDING_SEED);

/** FNV-1a with 32 bits. */
function checksum(bytes: Uint8Array, start = 0x811c9dc5): number {
  let sum = start;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}

/** The cases of one row in one mode. */
export interface RecordedRow {
  readonly name: string;
  readonly mode: Mode;
  readonly row: InstructionRow;
  readonly subjects: readonly DifferentialCase[];
  /** Of all that the cases begin with. */
  readonly inputs: number;
}

function inputsOf(subjects: readonly DifferentialCase[]): number {
  const bytes = new Uint8Array(1024);
  let sum = 0x811c9dc5;
  for (const { state } of subjects) {
    encodeCase(new DataView(bytes.buffer), 0, state, 0);
    sum = checksum(state.code, checksum(bytes, sum));
    for (const { address, bytes: patch } of state.patches)
      sum = checksum(patch, Math.imul(sum ^ Number(address & 0xffffn), 0x01000193));
  }
  return sum;
}

function recordedRow(name: string, row: InstructionRow, mode: Mode, template: Uint8Array): RecordedRow {
  const own = checksum(Uint8Array.from(`${name} ${mode}`, (letter) => letter.charCodeAt(0)));
  const subjects = Array.from({ length: RECORDED_CASES }, (_, index) => {
    const slot = mixSeed(own, index) % BATCH_CASES;
    return generateSingleOf(row, mode, { seed: own, index, slot, template });
  });
  return { name, mode, row, subjects, inputs: inputsOf(subjects) };
}

/** All rows that have cases, in the table's order. */
export function recordedRows(): RecordedRow[] {
  const template = recordingTemplate();
  const taken = new Map<string, number>();
  return INSTRUCTIONS.filter((row) => exclusionReason(row) === undefined).flatMap((row) => {
    // Rows that only attributes tell apart are numbered.
    const text = `${row.name} (${row.text})`;
    const number = (taken.get(text) ?? 0) + 1;
    taken.set(text, number);
    const name = number === 1 ? text : `${text} #${number}`;
    return modesOf(row).map((mode) => recordedRow(name, row, mode, template));
  });
}

/** Parts cases into batches in which no two have the same slot. */
export function inBatches(subjects: readonly DifferentialCase[]): DifferentialCase[][] {
  const batches: { taken: Set<number>; subjects: DifferentialCase[] }[] = [];
  for (const subject of subjects) {
    let batch = batches.find(({ taken }) => !taken.has(subject.state.slot));
    if (batch === undefined) {
      batch = { taken: new Set(), subjects: [] };
      batches.push(batch);
    }
    batch.taken.add(subject.state.slot);
    batch.subjects.push(subject);
  }
  return batches.map((batch) => batch.subjects);
}

/** The outcome of an instruction that does nothing at all. */
function idleRecord({ state, items, addresses }: DifferentialCase): Uint8Array {
  const record = new Uint8Array(RESULT_BYTES);
  const view = new DataView(record.buffer);
  state.registers.forEach((value, register) => {
    view.setBigUint64(RESULT.registers + 8 * register, value, true);
  });
  const last = items.length - 1;
  const end = (addresses[last] ?? 0n) + BigInt(items[last]?.bytes.length ?? 0) + 1n;
  view.setBigUint64(RESULT.rip, end, true);
  view.setBigUint64(RESULT.flags, state.flags, true);
  view.setUint32(RESULT.vector, 3, true);
  view.setBigUint64(RESULT.fsBase, state.fsBase, true);
  view.setBigUint64(RESULT.gsBase, state.gsBase, true);
  record.set(state.vectorState.subarray(0, FXSAVE.end), RESULT.vectorState);
  record.set(state.upper, RESULT.upper);
  return record;
}

/** Memory as it is before the case runs, word by word as changes number them; only words that differ from the template. */
function patchedWords({ state }: DifferentialCase, template: Uint8Array): Map<number, number> {
  const words = new Map<number, number>();
  for (const { address, bytes } of state.patches) {
    const first = TEMPLATE_PAGES.findIndex((base) => address >= base && address < base + BigInt(PAGE));
    const start = first * PAGE + Number(address & 0xfffn);
    bytes.forEach((byte, index) => {
      // A patch ends where its two neighbouring pages do.
      const offset = start + index;
      if (first < 0 || offset >= WRITABLE_PAGE_COUNT * PAGE) return;
      const word = offset >> 2;
      const shift = 8 * (offset & 3);
      const before = words.get(word) ?? wordOf(template, word);
      words.set(word, ((before & ~(0xff << shift)) | (byte << shift)) >>> 0);
    });
  }
  for (const [word, value] of words) if (value === wordOf(template, word)) words.delete(word);
  return words;
}

const wordOf = (template: Uint8Array, word: number): number =>
  new DataView(template.buffer, template.byteOffset).getUint32(4 * word, true);

/** Words that the case itself changed, with what they are; a word that is the template's again too. */
function ownChanges(subject: DifferentialCase, changes: Uint32Array, template: Uint8Array): Map<number, number> {
  const before = patchedWords(subject, template);
  const own = new Map<number, number>();
  for (let at = 0; at < changes.length; at += 2) {
    const [word, value] = [changes[at] as number, changes[at + 1] as number];
    if (before.get(word) !== value) own.set(word, value);
    before.delete(word);
  }
  for (const word of before.keys()) own.set(word, wordOf(template, word));
  return own;
}

function allChanges(subject: DifferentialCase, own: ReadonlyMap<number, number>, template: Uint8Array): Uint32Array {
  const words = patchedWords(subject, template);
  for (const [word, value] of own) words.set(word, value);
  const pairs = [...words].filter(([word, value]) => value !== wordOf(template, word));
  return Uint32Array.from(pairs.sort(([left], [right]) => left - right).flat());
}

/** Offsets of a record that say nothing of the case. */
const PLACES = RESULT.changeOffset;

interface Header {
  readonly cases: number;
  /** Name, mode, checksum of inputs. */
  readonly rows: readonly (readonly [string, Mode, number])[];
}

/** @param outcomes of all subjects, in the rows' order */
export function encodeRecording(rows: readonly RecordedRow[], outcomes: readonly Outcome[]): Uint8Array<ArrayBuffer> {
  const template = recordingTemplate();
  const subjects = rows.flatMap((row) => row.subjects);
  const header: Header = {
    cases: RECORDED_CASES,
    rows: rows.map(({ name, mode, inputs }) => [name, mode, inputs]),
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const columns = new Uint8Array(RESULT_BYTES * subjects.length);
  const words: number[] = [];
  subjects.forEach((subject, index) => {
    const outcome = outcomes[index];
    if (outcome === undefined) throw new RangeError(`recorded case ${index} has no outcome`);
    const idle = idleRecord(subject);
    for (let at = 0; at < RESULT_BYTES; at++) {
      const place = at >= PLACES && at < PLACES + 8;
      columns[at * subjects.length + index] = place ? 0 : outcome.view.getUint8(at) ^ (idle[at] as number);
    }
    const own = ownChanges(subject, outcome.changes, template);
    words.push(own.size);
    for (const [word, value] of own) words.push(word, value);
  });
  const file = new Uint8Array(4 + text.length + columns.length + 4 * words.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, text.length, true);
  file.set(text, 4);
  file.set(columns, 4 + text.length);
  words.forEach((word, index) => {
    view.setUint32(4 + text.length + columns.length + 4 * index, word, true);
  });
  return file;
}

export interface Recording {
  /** Rows whose cases are no longer those that were recorded, or that have none. */
  readonly stale: readonly string[];
  /** In the order of the rows' subjects; empty when something is stale. */
  readonly outcomes: readonly Outcome[];
}

export function decodeRecording(rows: readonly RecordedRow[], file: Uint8Array): Recording {
  const template = recordingTemplate();
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const textBytes = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(4, 4 + textBytes))) as Header;
  const known = new Map(header.rows.map(([name, mode, inputs], position) => [`${name} ${mode}`, { inputs, position }]));
  const stale = rows
    .filter(({ name, mode, inputs }) => known.get(`${name} ${mode}`)?.inputs !== inputs)
    .map(({ name, mode }) => `${name} in ${mode}-bit code`);
  if (stale.length > 0 || header.cases !== RECORDED_CASES) return { stale, outcomes: [] };
  const total = header.rows.length * header.cases;
  const columns = 4 + textBytes;
  // Where the changed words of each case begin.
  const starts: number[] = [];
  let at = columns + RESULT_BYTES * total;
  for (let index = 0; index < total; index++) {
    starts.push(at);
    at += 4 + 8 * view.getUint32(at, true);
  }
  const outcomes = rows.flatMap(({ name, mode, subjects }) => {
    const position = known.get(`${name} ${mode}`)?.position ?? 0;
    return subjects.map((subject, ordinal): Outcome => {
      const index = position * header.cases + ordinal;
      const record = idleRecord(subject);
      for (let byte = 0; byte < RESULT_BYTES; byte++)
        record[byte] = (record[byte] as number) ^ (file[columns + byte * total + index] as number);
      const own = new Map<number, number>();
      const start = starts[index] as number;
      for (let pair = 0; pair < view.getUint32(start, true); pair++)
        own.set(view.getUint32(start + 4 + 8 * pair, true), view.getUint32(start + 8 + 8 * pair, true));
      return { view: new DataView(record.buffer), changes: allChanges(subject, own, template) };
    });
  });
  return { stale: [], outcomes };
}
