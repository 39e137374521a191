/**
 * Whole random programs: a main loop over functions that call each other, laid over pages so that code crosses their ends.
 *
 * A program follows from (seed, index) alone and always ends. Called by: program-run.ts.
 */
import { CaseBuilder, RSP } from './differential-builder.ts';
import { CODE_BASE, DATA_BASE, HIGH_BASE, PAGE, STACK_BASE, TEMPLATE_PAGES } from './differential-layout.ts';
import { makeTemplate, mixSeed, Random } from './differential-random.ts';
import { Assembler, type Draft, little32, little64, newLabel, place, resolve, sizeOf } from './program-assembler.ts';
import {
  ADDRESS_TABLE,
  bitsOf,
  CODE_PAGES,
  LOOP_COUNTER,
  type PagingChange,
  type Piece,
  type Program,
  type ProgramMode,
} from './program-layout.ts';
import { type Callee, MEMORY_COUNTER, type Services, Statements } from './program-statements.ts';

export interface ProgramOptions {
  readonly seed: number;
  readonly index: number;
  readonly mode: ProgramMode;
  /** What the machine offers for changes of page tables, in user mode and in supervisor mode. */
  readonly services: (paging: PagingChange) => Services;
}

const PAGINGS: readonly PagingChange[] = ['none', 'entries', 'entries', 'roots', 'tagged-roots'];

/** Freezes pointers to data, high data, an index, and keeps two registers for counters. @returns those two */
function prepareRegisters(builder: CaseBuilder): readonly number[] {
  const { random } = builder;
  const freeze = (register: number, value: bigint): void => {
    builder.fix(register, value);
    builder.frozen.add(register);
  };
  const inPages = (base: bigint): bigint => base + BigInt(random.below(0x2000));
  freeze(RSP, STACK_BASE + 0x1400n + BigInt(random.between(-64, 64) * 8));
  if (builder.mode === 32) {
    // There are too few registers for counters: 32-bit loops have theirs in memory.
    freeze(3, inPages(DATA_BASE));
    freeze(5, BigInt(random.between(-64, 64)));
    builder.fsBase = DATA_BASE + BigInt(random.below(64) * 8);
    builder.gsBase = DATA_BASE + 0x1000n - BigInt(random.below(64) * 8);
    return [MEMORY_COUNTER, MEMORY_COUNTER];
  }
  // Neither R11, which SYSCALL writes, nor what string instructions and divisions write.
  const candidates = [3, 5, 8, 9, 10, 12, 13, 14, 15];
  const take = (): number => candidates.splice(random.below(candidates.length), 1)[0] ?? 15;
  freeze(take(), inPages(DATA_BASE));
  freeze(take(), inPages(HIGH_BASE));
  freeze(take(), BigInt(random.between(-64, 64)));
  const counters = [take(), take()];
  for (const counter of counters) builder.frozen.add(counter);
  return counters;
}

/** Starts of the functions: behind each other with gaps, or so that they cross the end of a page. */
function layOut(functions: readonly (readonly Draft[])[], random: Random): (bigint | undefined)[] {
  let at = CODE_BASE + BigInt(PAGE);
  const end = CODE_BASE + BigInt(CODE_PAGES * PAGE);
  return functions.map((drafts) => {
    const size = BigInt(sizeOf(drafts));
    let start = at + BigInt(random.below(200));
    if (random.chance(0.6)) {
      const boundary = (start + size + BigInt(PAGE - 1)) & ~BigInt(PAGE - 1);
      const crossing = boundary - BigInt(random.between(1, Math.max(1, Number(size) - 1)));
      if (crossing >= start && crossing + size <= end) start = crossing;
    }
    if (start + size > end) return undefined;
    at = start + size;
    return start;
  });
}

/** @throws RangeError when the program does not fit into its pages: the caller takes another index */
export function generateProgram({ seed, index, mode, services }: ProgramOptions): Program {
  const bits = bitsOf(mode);
  const template = makeTemplate(mixSeed(seed, index));
  const builder = new CaseBuilder({ seed, index, slot: 0, mode: bits, kind: 'block', template });
  const { random } = builder;
  // Where interrupts have no stack of their own, they would write onto that of a supervisor's program.
  const user = random.chance(0.4) || mode === 'pae';
  const asked = random.pick(PAGINGS);
  const paging = asked === 'tagged-roots' && mode === 'pae' ? 'roots' : asked;
  const counters = prepareRegisters(builder);
  const assembler = new Assembler(builder);
  const statements = new Statements(assembler, {
    user,
    paging,
    services: services(paging),
    selfModifying: random.chance(0.6),
    faulting: random.chance(0.5),
  });

  // The last function first: a function calls only those behind it, so the deepest calls are known.
  const count = random.between(2, 6);
  const callees: Callee[] = [];
  const texts: Draft[][] = [];
  for (let number = 0; number < count; number++) {
    const leaf = number < 2 || random.chance(0.3);
    const popBytes = random.chance(0.2) ? (bits / 8) * random.between(1, 2) : 0;
    const entry = newLabel();
    assembler.drafts = [];
    assembler.label(entry);
    assembler.defineFlags();
    statements.sequence(random.between(2, leaf ? 5 : 8), {
      callees: leaf ? [] : callees.slice(-3),
      counters: leaf ? [] : counters,
      depth: leaf ? 2 : 0,
    });
    assembler.emit(popBytes === 0 ? [0xc3] : [0xc2, popBytes, 0], { text: 'ret' });
    callees.push({ entry, leaf, popBytes });
    texts.push(assembler.drafts);
  }

  assembler.drafts = [];
  const [entry, head, end] = [newLabel(), newLabel(), newLabel()];
  const counter = little32(Number(LOOP_COUNTER));
  assembler.label(entry);
  assembler.emit([0xc7, 0x04, 0x25, ...counter, ...little32(random.between(5, random.pick([20, 100, 400])))], {
    text: 'mov counter',
  });
  assembler.label(head);
  assembler.defineFlags();
  statements.sequence(random.between(3, 8), { callees: callees.slice(-4), counters, depth: 0 });
  assembler.emit([0xff, 0x0c, 0x25, ...counter], { defines: 0x8d4, text: 'dec counter' });
  assembler.branch(5, head);
  assembler.label(end);
  assembler.emit([0x0f, 0x0b], { text: 'end' });
  const main = assembler.drafts;

  const starts = layOut(texts, random);
  const entryOffset = random.below(64);
  if (entryOffset + sizeOf(main) > ADDRESS_TABLE || starts.includes(undefined)) throw new RangeError('it does not fit');
  const placed = [
    { drafts: main, start: CODE_BASE + BigInt(entryOffset) },
    ...texts.map((drafts, number) => ({ drafts, start: starts[number] ?? 0n })),
  ];
  for (const { drafts, start } of placed) place(drafts, start);
  const pieces = placed.flatMap(({ drafts, start }) => resolve(drafts, start));
  const table = statements.table.flatMap(({ address }) => little64(address ?? 0n));

  for (let register = 0; register < 16; register++) builder.fix(register, random.integer());
  const code = layCode(pieces, table);
  return {
    seed,
    index,
    mode,
    user,
    paging,
    code,
    otherCode: otherFrames(code, statements, random),
    template,
    otherData: otherDataPage(seed, index),
    registers: builder.values.map((value) => value ?? 0n),
    flags: builder.flags & ~0x100n,
    fsBase: builder.fsBase,
    gsBase: builder.gsBase,
    vectorState: builder.vectorState,
    entry: entry.address ?? 0n,
    end: end.address ?? 0n,
    pieces,
  };
}

/** The code pages: instructions, the address table, and INT3 between them. */
function layCode(pieces: readonly Piece[], table: readonly number[]): Uint8Array {
  const code = new Uint8Array(CODE_PAGES * PAGE).fill(0xcc);
  for (const { address, bytes } of pieces) code.set(bytes, Number(address - CODE_BASE));
  code.set(table, ADDRESS_TABLE);
  return code;
}

/** The same code with other immediates, so that it tells which frame is executed. */
function otherFrames(code: Uint8Array, { patchables }: Statements, random: Random): Uint8Array {
  const other = code.slice();
  for (const { kind, immediate } of patchables) {
    if (kind === 'jump' || immediate.address === undefined || random.chance(0.3)) continue;
    const at = Number(immediate.address - CODE_BASE);
    // The first code page has one frame only.
    if (at >= PAGE) other[at] = random.below(256);
  }
  return other;
}

function otherDataPage(seed: number, index: number): Uint8Array {
  const random = new Random(mixSeed(seed, ~index));
  const page = new Uint8Array(PAGE);
  const view = new DataView(page.buffer);
  for (let at = 0; at < PAGE; at += 16) random.vector(view, at);
  return page;
}

/** Where each page of the template lies among a program's frames. */
export const templateOffset = (linear: bigint): number =>
  PAGE * TEMPLATE_PAGES.indexOf(linear as (typeof TEMPLATE_PAGES)[number]);
