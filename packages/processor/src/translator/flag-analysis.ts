/**
 * What is known about lazy flags before code is emitted: how they were made at each block's entry, and where they can be seen.
 * Kinds are those of assembly/flags.ts; LOGIC is ADD with first operand = result and second = 0, known statically.
 * Called by: region-emitter.ts.
 */
import type { Instruction } from './instruction.ts';
import type { Region } from './region.ts';

export const KIND = { explicit: 0, add: 1, sub: 2, inc: 3, dec: 4, result: 5, logic: 17 } as const;

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
  ROL: KIND.explicit,
  ROR: KIND.explicit,
};
const SHIFTS = new Set(['SHL', 'SHR', 'SAR', 'ROL', 'ROR']);

/** The count of a shift by an immediate, as the processor masks it; undefined when it is in CL. */
export function shiftCount(instruction: Instruction): number | undefined {
  if (instruction.form !== 'RI' && instruction.form !== 'MI') return undefined;
  return instruction.immediate & (instruction.size === 3 ? 63 : 31);
}

/** Kind after an instruction; undefined when it depends on a run-time value. */
export function kindAfter(instruction: Instruction, before: number | undefined): number | undefined {
  if (SHIFTS.has(instruction.operation)) {
    const count = shiftCount(instruction);
    if (count === undefined) return undefined;
    if (count === 0) return before;
    return KIND_AFTER[instruction.operation] ?? KIND.result;
  }
  return KIND_AFTER[instruction.operation] ?? before;
}

export function kindsAtEntry(region: Region): Map<number, number | undefined> {
  const atEntry = new Map<number, number | undefined>();
  const atEnd: (number | undefined)[] = [];
  for (const node of region.nodes) {
    let kind: number | undefined;
    if (node.order > 0 && !node.loopHeader) {
      const kinds = node.predecessors.map((from) => atEnd[from]);
      const first = kinds[0];
      if (kinds.every((candidate) => candidate === first)) kind = first;
    }
    atEntry.set(node.order, kind);
    for (const instruction of node.block.instructions) kind = kindAfter(instruction, kind);
    atEnd[node.order] = kind;
  }
  return atEntry;
}

/** Whether an instruction sets all six flags whatever the operands. */
function setsAll(instruction: Instruction): boolean {
  const { operation } = instruction;
  if (operation === 'ADD' || operation === 'SUB' || operation === 'CMP' || operation === 'NEG') return true;
  if (operation === 'CMPXCHG' || operation === 'XADD') return true;
  if (operation === 'AND' || operation === 'OR' || operation === 'XOR' || operation === 'TEST') return true;
  if (operation === 'ADC' || operation === 'SBB') return true;
  if (operation === 'IMUL2' || operation === 'IMUL3' || operation === 'MUL' || operation === 'IMUL1') return true;
  if (operation === 'SHL' || operation === 'SHR' || operation === 'SAR') return (shiftCount(instruction) ?? 0) !== 0;
  return false;
}
const READS = new Set(['ADC', 'SBB']);
/** Instructions that have no memory operand but may leave for the interpreter. */
const MAY_LEAVE = new Set(['PUSH', 'PUSH_IMM', 'POP', 'LEAVE', 'DIV', 'IDIV']);

function seesFlags(instruction: Instruction): boolean {
  const { operation, form } = instruction;
  if (READS.has(operation) || operation.startsWith('SETCC_') || operation.startsWith('CMOVCC_')) return true;
  if (MAY_LEAVE.has(operation)) return true;
  return form.includes('M') && operation !== 'LEA' && operation !== 'NOP_MODRM';
}

/** Per block, per instruction: can anything see the flags that it sets? */
export function flagNeeds(region: Region): Map<number, boolean[]> {
  const liveAtEntry: boolean[] = region.nodes.map(() => true);
  const needs = new Map<number, boolean[]>();
  for (let changed = true; changed; ) {
    changed = false;
    for (let order = region.nodes.length - 1; order >= 0; order--) {
      const node = region.nodes[order];
      if (node === undefined) continue;
      const { instructions, terminator } = node.block;
      const list: boolean[] = new Array(instructions.length).fill(true);
      let live = true;
      let last = instructions.length - 1;
      if (terminator.kind === 'fall' || terminator.kind === 'jump') {
        const target = terminator.kind === 'fall' ? terminator.next : terminator.target;
        const successor = node.successors.includes(target) ? region.byOffset.get(target) : undefined;
        live = successor === undefined || successor.order <= order || (liveAtEntry[successor.order] ?? true);
        if (terminator.kind === 'jump') last--;
      } else if (terminator.kind !== 'interpret') last--;
      for (let at = last; at >= 0; at--) {
        const instruction = instructions[at];
        if (instruction === undefined) continue;
        list[at] = live;
        if (setsAll(instruction)) live = false;
        if (seesFlags(instruction)) live = true;
      }
      needs.set(order, list);
      if (liveAtEntry[order] !== live) {
        liveAtEntry[order] = live;
        changed = true;
      }
    }
  }
  return needs;
}
