/**
 * Whole random programs: interpreted and translated side by side.
 *
 * The interpreter is the oracle: the differential harness compares it with the host's own processor instruction for instruction,
 * and what programs do beyond that (page tables, interrupts, stores into running code) no user program of the host can show.
 * Called by: tests/differential.
 */
import { TRANSLATE_AT_ONCE } from '../translate-after.ts';
import { CODE_BASE } from './differential-layout.ts';
import { mixSeed, Random } from './differential-random.ts';
import { translateLate } from './late-translation.ts';
import { generateProgram } from './program-generator.ts';
import type { Piece, Program, ProgramMode } from './program-layout.ts';
import { INSTRUCTION_LIMIT, type ProgramEvent, ProgramMachine, type Trace } from './program-machine.ts';

/** A way to execute a program that must not be told from the interpreter's. */
export interface Way {
  readonly name: string;
  readonly translateAfter: number;
  readonly interrupts: boolean;
  /** Translations come late, as from another thread. */
  readonly late?: boolean;
}

export const WAYS: readonly Way[] = [
  { name: 'translated at once', translateAfter: TRANSLATE_AT_ONCE, interrupts: false },
  { name: 'translated at once, with interrupts', translateAfter: TRANSLATE_AT_ONCE, interrupts: true },
  { name: 'translated when hot, with interrupts', translateAfter: 4, interrupts: true },
  { name: 'translated late, with interrupts', translateAfter: 2, interrupts: true, late: true },
  { name: 'interpreted, with interrupts', translateAfter: 0, interrupts: true },
];

export interface ProgramFinding {
  readonly program: Program;
  readonly way: Way;
  readonly difference: string;
}

export interface ProgramsResult {
  readonly programs: number;
  readonly events: number;
  readonly interpreted: number;
  readonly translated: number;
  readonly interrupts: number;
  readonly findings: readonly ProgramFinding[];
}

const prototypes = new Map<ProgramMode, ProgramMachine>();

/** The program of an index; the next numbers are tried when one does not fit into its pages. */
export function programOf(seed: number, index: number, mode: ProgramMode = 'long'): Program {
  const prototype = prototypes.get(mode) ?? new ProgramMachine(mode, 0);
  prototypes.set(mode, prototype);
  const services = prototype.services.bind(prototype);
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      return { ...generateProgram({ seed: seed + attempt * 0x10_0000, index, mode, services }), seed, index };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  throw new RangeError(`no program of seed ${seed}, index ${index} fits`);
}

export function runProgram(program: Program, way: Way): Trace {
  const random = way.interrupts ? new Random(mixSeed(program.seed ^ 0x1277, program.index)) : undefined;
  const translation = way.late ? translateLate(new Random(mixSeed(program.seed ^ 0x1a7e, program.index))) : undefined;
  return new ProgramMachine(program.mode, way.translateAfter, translation).run(
    program,
    way === INTERPRETED ? INSTRUCTION_LIMIT : 4 * INSTRUCTION_LIMIT,
    random,
  );
}

const INTERPRETED: Way = { name: 'interpreted', translateAfter: 0, interrupts: false };

/** Runs programs in every way. */
export function runPrograms(options: {
  readonly seed: number;
  readonly first: number;
  readonly count: number;
  readonly mode?: ProgramMode;
  readonly ways?: readonly Way[];
  readonly findingLimit?: number;
}): ProgramsResult {
  const { seed, first, count, mode = 'long', ways = WAYS, findingLimit = 10 } = options;
  const findings: ProgramFinding[] = [];
  const sums = { events: 0, interpreted: 0, translated: 0, interrupts: 0 };
  let programs = 0;
  for (let index = first; index < first + count && findings.length < findingLimit; index++) {
    const program = programOf(seed, index, mode);
    const expected = runProgram(program, INTERPRETED);
    // Loops within loops that take too long: where they are given up depends on when the budget is looked at.
    if (expected.ended === 'without end') continue;
    programs++;
    sums.events += expected.events.length;
    for (const way of ways) {
      const found = runProgram(program, way);
      sums.interpreted += found.interpreted;
      sums.translated += found.translated;
      sums.interrupts += found.interrupts;
      const difference = compareTraces(program, expected, found);
      if (difference !== undefined) findings.push({ program, way, difference });
    }
  }
  return { programs, ...sums, findings };
}

const hexadecimal = (value: bigint | number): string => `0x${value.toString(16)}`;
const ARITHMETIC = 0x8d5n;

/** @returns what differs first, or undefined */
export function compareTraces(program: Program, expected: Trace, found: Trace): string | undefined {
  const undefinedAt = new Map(program.pieces.map(({ address, undefinedFlags }) => [address, BigInt(undefinedFlags)]));
  const count = Math.max(expected.events.length, found.events.length);
  for (let index = 0; index < count; index++) {
    const [one, other] = [expected.events[index], found.events[index]];
    if (one === undefined || other === undefined) break;
    const difference = compareEvents(one, other, undefinedAt.get(one.rip) ?? ARITHMETIC);
    if (difference !== undefined)
      return `event ${index} (vector ${one.vector} at ${hexadecimal(one.rip)}): ${difference}`;
  }
  if (expected.ended !== found.ended || expected.events.length !== found.events.length) {
    return `ended '${expected.ended}' after ${expected.events.length} events, found '${found.ended}' after ${found.events.length}`;
  }
  const starts = new Set(program.pieces.map(({ address }) => address));
  const stray = found.interruptedAt.find((address) => address >= 0x10_0000n && !starts.has(address));
  return stray === undefined ? undefined : `an interrupt came from ${hexadecimal(stray)}, which is no instruction`;
}

const NAMES = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ');

function compareEvents(one: ProgramEvent, other: ProgramEvent, undefinedFlags: bigint): string | undefined {
  const differences: string[] = [];
  const compare = (name: string, a: bigint | number, b: bigint | number): void => {
    if (a !== b) differences.push(`${name} ${hexadecimal(a)}, found ${hexadecimal(b)}`);
  };
  compare('vector', one.vector, other.vector);
  compare('error code', one.error, other.error);
  compare('RIP', one.rip, other.rip);
  compare('CR2', one.address, other.address);
  compare('RFLAGS', one.flags & ~undefinedFlags, other.flags & ~undefinedFlags);
  one.registers.forEach((value, register) => {
    compare(NAMES[register] ?? '', value, other.registers[register] ?? 0n);
  });
  compare('hash of vector registers', one.hashes.vectors, other.hashes.vectors);
  compare('accessed code pages', one.accessedCode, other.accessedCode & one.accessedCode);
  compare('hash of page tables', one.hashes.tables, other.hashes.tables);
  compare('hash of memory', one.hashes.memory, other.hashes.memory);
  return differences.length === 0 ? undefined : differences.join('; ');
}

/** The program with NOPs in the place of some of its instructions. */
function without(program: Program, dropped: ReadonlySet<bigint>): Program {
  const replace = (code: Uint8Array): Uint8Array => {
    const copy = code.slice();
    for (const { address, bytes } of program.pieces) {
      if (dropped.has(address))
        copy.fill(0x90, Number(address - CODE_BASE), Number(address - CODE_BASE) + bytes.length);
    }
    return copy;
  };
  return { ...program, code: replace(program.code), otherCode: replace(program.otherCode) };
}

/**
 * Drops plain instructions for as long as the program still differs: halves first, then smaller parts. What is dropped may have
 * defined flags that are read later, so what is left is for a person to judge.
 */
export function minimiseProgram({
  program,
  way,
  difference,
}: ProgramFinding): ProgramFinding & { readonly left: readonly Piece[] } {
  const candidates = program.pieces.filter(({ plain }) => plain).map(({ address }) => address);
  let dropped = new Set<bigint>();
  let best = difference;
  for (let size = candidates.length; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < candidates.length; at += size) {
      const attempt = new Set([...dropped, ...candidates.slice(at, at + size)]);
      if (attempt.size === dropped.size) continue;
      const smaller = without(program, attempt);
      const found = compareTraces(program, runProgram(smaller, INTERPRETED), runProgram(smaller, way));
      if (found === undefined) continue;
      dropped = attempt;
      best = found;
    }
  }
  return {
    program: without(program, dropped),
    way,
    difference: best,
    left: program.pieces.filter(({ address }) => !dropped.has(address)),
  };
}

/** A finding for a person: what differs, and the instructions that are left. */
export function describeProgram(finding: ProgramFinding & { readonly left: readonly Piece[] }): string {
  const { program, way, difference, left } = finding;
  const lines = [
    `program ${program.index} of seed ${program.seed}, ${program.mode}, ${program.user ? 'user' : 'supervisor'}, paging ${program.paging}, ${way.name}`,
    `  ${difference}`,
    ...left.map(
      ({ address, bytes, text }) =>
        `  ${hexadecimal(address)}  ${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}  ${text}`,
    ),
    `  registers ${program.registers.map(hexadecimal).join(' ')}`,
  ];
  return lines.join('\n');
}
