/**
 * What is known about lazy flags before code is emitted: how they were made at each block's entry, and where they can be seen.
 * Kinds are those of assembly/flags.ts. LOGIC, ADD with first operand = result and second = 0, is known only statically. SINGLE and DOUBLE
 * are a region's own: flags of a comparison whose operands are in the locals of `RegionVectors.compared`; they leave it as EXPLICIT.
 * Called by: region-emitter.ts.
 */

import { CONDITIONS } from '../table/conditions.ts';
import { callsWithFlags, isCalled } from './emit-called.ts';
import { mayRaise } from './float-analysis.ts';
import { FLOW, type Instruction } from './instruction.ts';
import type { Region } from './region.ts';

export const KIND = {
  explicit: 0,
  add: 1,
  sub: 2,
  inc: 3,
  dec: 4,
  result: 5,
  single: 6,
  double: 7,
  logic: 17,
} as const;

const KIND_AFTER: Readonly<Record<string, number>> = {
  ADD: KIND.add,
  SUB: KIND.sub,
  CMP: KIND.sub,
  CMPXCHG: KIND.sub,
  XADD: KIND.add,
  NEG: KIND.sub,
  AND: KIND.logic,
  OR: KIND.logic,
  XOR: KIND.logic,
  TEST: KIND.logic,
  ADC: KIND.explicit,
  SBB: KIND.explicit,
  INC: KIND.inc,
  DEC: KIND.dec,
  IMUL2: KIND.result,
  IMUL3: KIND.result,
  MUL: KIND.result,
  IMUL1: KIND.result,
  BT: KIND.explicit,
  BTS: KIND.explicit,
  BTR: KIND.explicit,
  BTC: KIND.explicit,
  BSF: KIND.explicit,
  BSR: KIND.explicit,
  CLC: KIND.explicit,
  STC: KIND.explicit,
  CMC: KIND.explicit,
  SAHF: KIND.explicit,
  CMPXCHG8B: KIND.explicit,
  POPCNT: KIND.explicit,
  COMISS: KIND.single,
  UCOMISS: KIND.single,
  COMISD: KIND.double,
  UCOMISD: KIND.double,
};
/** The six arithmetic flags as RFLAGS bits. */
export const FLAG = { carry: 0x1, parity: 0x4, auxiliary: 0x10, zero: 0x40, sign: 0x80, overflow: 0x800 } as const;
export const ALL_FLAGS = 0x8d5;

const SHIFTS = new Set(['SHL', 'SHR', 'SAR', 'SHLD', 'SHRD', 'SHLD_CL', 'SHRD_CL']);
const ROTATES = new Set(['ROL', 'ROR', 'RCL', 'RCR']);

/** The count of a shift by an immediate, as the processor masks it; undefined when it is in CL. */
export function shiftCount(instruction: Instruction): number | undefined {
  const { operation, form } = instruction;
  const constant = operation === 'SHLD' || operation === 'SHRD' || form === 'RI' || form === 'MI';
  return constant ? instruction.immediate & (instruction.size === 3 ? 63 : 31) : undefined;
}

/** Flags that an operation writes when it writes any; those that are left out keep their value. */
const WRITTEN: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    ['ADD', 'SUB', 'CMP', 'NEG', 'AND', 'OR', 'XOR', 'TEST', 'ADC', 'SBB', 'CMPXCHG', 'XADD', 'POPCNT'].map((name) => [
      name,
      ALL_FLAGS,
    ]),
  ),
  ...Object.fromEntries(['COMISS', 'COMISD', 'UCOMISS', 'UCOMISD'].map((name) => [name, ALL_FLAGS])),
  ...Object.fromEntries(['IMUL2', 'IMUL3', 'MUL', 'IMUL1', ...SHIFTS].map((name) => [name, ALL_FLAGS])),
  ...Object.fromEntries([...ROTATES].map((name) => [name, FLAG.carry | FLAG.overflow])),
  ...Object.fromEntries(['BT', 'BTS', 'BTR', 'BTC', 'CLC', 'STC', 'CMC'].map((name) => [name, FLAG.carry])),
  INC: ALL_FLAGS & ~FLAG.carry,
  DEC: ALL_FLAGS & ~FLAG.carry,
  BSF: FLAG.zero,
  BSR: FLAG.zero,
  CMPXCHG8B: FLAG.zero,
  SAHF: ALL_FLAGS & ~FLAG.overflow,
};

/** Flags that an instruction writes, at least when its count is not zero. */
export function flagsWritten(instruction: Instruction): number {
  const { operation } = instruction;
  if ((SHIFTS.has(operation) || ROTATES.has(operation)) && shiftCount(instruction) === 0) return 0;
  return WRITTEN[operation] ?? 0;
}

/** Kind that a comparison of floating-point numbers makes; undefined for other operations. */
export function kindOfComparison(operation: string): number | undefined {
  const kind = KIND_AFTER[operation];
  return kind === KIND.single || kind === KIND.double ? kind : undefined;
}
/** Kind after an instruction of whose flags those in `live` can be seen; undefined when it depends on a run-time value. */
export function kindAfter(instruction: Instruction, before: number | undefined, live: number): number | undefined {
  const { operation } = instruction;
  if (callsWithFlags(operation)) return undefined;
  if ((flagsWritten(instruction) & live) === 0) return before;
  if (SHIFTS.has(operation) || ROTATES.has(operation)) {
    if (shiftCount(instruction) === undefined) return undefined;
    return SHIFTS.has(operation) ? KIND.result : KIND.explicit;
  }
  return KIND_AFTER[operation] ?? before;
}

export function kindsAtEntry(region: Region, needs: readonly (readonly number[])[]): (number | undefined)[] {
  const atEntry: (number | undefined)[] = [];
  const atEnd: (number | undefined)[] = [];
  for (const node of region.nodes) {
    let kind: number | undefined;
    if (node.order > 0 && !node.loopHeader) {
      const kinds = node.predecessors.map((from) => atEnd[from]);
      const first = kinds[0];
      if (kinds.every((candidate) => candidate === first)) kind = first;
    }
    atEntry.push(kind);
    const live = needs[node.order] ?? [];
    let at = 0;
    for (const instruction of node.block.instructions) kind = kindAfter(instruction, kind, live[at++] ?? ALL_FLAGS);
    atEnd[node.order] = kind;
  }
  return atEntry;
}

/** Flags that an instruction always sets. */
function overwritten(instruction: Instruction): number {
  const { operation } = instruction;
  const byCount = SHIFTS.has(operation) || ROTATES.has(operation);
  return byCount && shiftCount(instruction) === undefined ? 0 : flagsWritten(instruction);
}

const { carry, parity, zero, sign, overflow } = FLAG;
/** Flags that pairs of conditions look at, in the order of their codes. */
const CONDITION_READS = [overflow, carry, zero, carry | zero, sign, parity, sign | overflow, zero | sign | overflow];
function conditionReads(suffix: string): number {
  return CONDITION_READS[(CONDITIONS as readonly string[]).indexOf(suffix) >> 1] ?? ALL_FLAGS;
}

const READS: Readonly<Record<string, number>> = {
  ADC: carry,
  SBB: carry,
  RCL: carry,
  RCR: carry,
  CMC: carry,
  LOOPE: zero,
  LOOPNE: zero,
  LAHF: ALL_FLAGS & ~overflow,
  PUSHF: ALL_FLAGS,
};
/** Instructions that have no memory operand but may leave for the interpreter. */
const MAY_LEAVE = new Set([
  ...['PUSH', 'PUSH_IMM', 'POP', 'LEAVE', 'DIV', 'IDIV', 'XLAT', 'MOV_LOAD_OFFSET', 'MOV_STORE_OFFSET'],
  ...['MOVS', 'STOS', 'PUSHF', 'CLI', 'CLAC', 'STAC', 'SWAPGS', 'RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'],
]);

/** Flags that an instruction looks at, or that must be right because it may leave for the interpreter. */
function flagsSeen(instruction: Instruction): number {
  const { operation, form } = instruction;
  if (MAY_LEAVE.has(operation) || mayRaise(operation) || isCalled(operation)) return ALL_FLAGS;
  if (form.includes('M') && operation !== 'LEA' && operation !== 'NOP_MODRM') return ALL_FLAGS;
  return flagsRead(instruction);
}
/** Flags that an instruction looks at. */
function flagsRead({ operation }: Instruction): number {
  if (operation.startsWith('JCC_')) return conditionReads(operation.slice(4));
  if (operation.startsWith('SETCC_')) return conditionReads(operation.slice(6));
  if (operation.startsWith('CMOVCC_')) return conditionReads(operation.slice(7));
  return READS[operation] ?? 0;
}

/** Whether a region reads or writes arithmetic flags at all. */
export function touchesFlags(region: Region): boolean {
  return region.nodes.some(({ block }) =>
    block.instructions.some(
      (instruction) =>
        flagsWritten(instruction) !== 0 ||
        callsWithFlags(instruction.operation) ||
        instruction.flow === FLOW.branch ||
        flagsRead(instruction) !== 0,
    ),
  );
}

/** Per block, per instruction: the flags that can be seen behind it. */
export function flagNeeds(region: Region): number[][] {
  const liveAtEntry: number[] = region.nodes.map(() => ALL_FLAGS);
  const needs: number[][] = region.nodes.map(() => []);
  for (let changed = true; changed; ) {
    changed = false;
    for (let order = region.nodes.length - 1; order >= 0; order--) {
      const node = region.nodes[order];
      if (node === undefined) continue;
      const { instructions, terminator } = node.block;
      const list: number[] = new Array(instructions.length).fill(ALL_FLAGS);
      const liveAt = (target: number): number => {
        const successor = node.successors.includes(target) ? region.byOffset.get(target) : undefined;
        // An exit shows everything, and so does a back edge, by which the region may leave.
        return successor === undefined || successor.order <= order
          ? ALL_FLAGS
          : (liveAtEntry[successor.order] ?? ALL_FLAGS);
      };
      let live = ALL_FLAGS;
      if (terminator.kind === 'fall') live = liveAt(terminator.next);
      else if (terminator.kind === 'jump') live = liveAt(terminator.target);
      else if (terminator.kind === 'branch') live = liveAt(terminator.target) | liveAt(terminator.next);
      for (let at = instructions.length - 1; at >= 0; at--) {
        const instruction = instructions[at];
        if (instruction === undefined) continue;
        list[at] = live;
        live = (live & ~overwritten(instruction)) | flagsSeen(instruction);
      }
      needs[order] = list;
      if (liveAtEntry[order] !== live) {
        liveAtEntry[order] = live;
        changed = true;
      }
    }
  }
  return needs;
}
