/**
 * What is known about lazy flags before code is emitted: how they were made at each block's entry, and where they can be seen.
 * Kinds are those of assembly/flags.ts. LOGIC, ADD with first operand = result and second = 0, is known only statically. SINGLE and DOUBLE
 * are a region's own: flags of a comparison whose operands are in the locals of `RegionVectors.compared`; they leave it as EXPLICIT.
 * Called by: operation-facts.ts, region-emitter.ts.
 */

import type { FormName } from '../build/forms.ts';
import { CONDITIONS } from '../table/conditions.ts';
import { isCalled } from './emit-called.ts';
import { mayRaise } from './float-analysis.ts';
import type { Instruction } from './instruction.ts';
import { type Region, type RegionNode, successorAt } from './region.ts';

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
  TZCNT: KIND.explicit,
  ADCX: KIND.explicit,
  ADOX: KIND.explicit,
  LZCNT: KIND.explicit,
  PTEST: KIND.explicit,
  ANDN: KIND.logic,
  BEXTR: KIND.logic,
  BLSR: KIND.result,
  BLSMSK: KIND.result,
  BLSI: KIND.result,
  BZHI: KIND.result,
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

/** The count of a shift by an immediate, as the processor masks it. */
export function shiftCountOf(immediate: number, size: number): number {
  return immediate & (size === 3 ? 63 : 31);
}
/** The same; undefined when it is in CL. */
export function shiftCount({ operation, form, immediate, size }: Instruction): number | undefined {
  return hasConstantCount(operation, form) ? shiftCountOf(immediate, size) : undefined;
}
function hasConstantCount(operation: string, form: FormName): boolean {
  return operation === 'SHLD' || operation === 'SHRD' || form === 'RI' || form === 'MI';
}

/** Flags that an operation writes when it writes any; those that are left out keep their value. */
const WRITTEN: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    [
      'ADD',
      'SUB',
      'CMP',
      'NEG',
      'AND',
      'OR',
      'XOR',
      'TEST',
      'ADC',
      'SBB',
      'CMPXCHG',
      'XADD',
      'POPCNT',
      'TZCNT',
      'LZCNT',
      'PTEST',
      ...['ANDN', 'BEXTR', 'BLSR', 'BLSMSK', 'BLSI', 'BZHI'],
    ].map((name) => [name, ALL_FLAGS]),
  ),
  ...Object.fromEntries(['COMISS', 'COMISD', 'UCOMISS', 'UCOMISD'].map((name) => [name, ALL_FLAGS])),
  ...Object.fromEntries(['IMUL2', 'IMUL3', 'MUL', 'IMUL1', ...SHIFTS].map((name) => [name, ALL_FLAGS])),
  ...Object.fromEntries([...ROTATES].map((name) => [name, FLAG.carry | FLAG.overflow])),
  ...Object.fromEntries(['BT', 'BTS', 'BTR', 'BTC', 'CLC', 'STC', 'CMC', 'ADCX'].map((name) => [name, FLAG.carry])),
  INC: ALL_FLAGS & ~FLAG.carry,
  DEC: ALL_FLAGS & ~FLAG.carry,
  BSF: FLAG.zero,
  BSR: FLAG.zero,
  CMPXCHG8B: FLAG.zero,
  SAHF: ALL_FLAGS & ~FLAG.overflow,
  ADOX: FLAG.overflow,
};

/** Kind that a comparison of floating-point numbers makes; undefined for other operations. */
export function kindOfComparison(operation: string): number | undefined {
  const kind = KIND_AFTER[operation];
  return kind === KIND.single || kind === KIND.double ? kind : undefined;
}

/** Kinds of flags that are no kind: only known at run time, and whatever it was before. */
export const UNKNOWN = 255;
export const KEPT = 254;

/** What an operation has to do with flags (see OperationFacts). */
export interface FlagFacts {
  readonly written: number;
  readonly overwritten: number;
  readonly read: number;
  readonly seen: number;
  readonly kind: number;
  /** It is a shift or rotate by an immediate, which does nothing to flags when that is zero. */
  readonly counted: boolean;
}

/** @param called the core executes it, as an operation of an extension */
export function flagFacts(operation: string, form: FormName, called: boolean): FlagFacts {
  const shifts = SHIFTS.has(operation);
  const byCount = shifts || ROTATES.has(operation);
  const counted = byCount && hasConstantCount(operation, form);
  const written = WRITTEN[operation] ?? 0;
  let kind = KIND_AFTER[operation] ?? KEPT;
  if (byCount) kind = !counted ? UNKNOWN : shifts ? KIND.result : KIND.explicit;
  return {
    written,
    overwritten: byCount && !counted ? 0 : written,
    read: flagsRead(operation),
    seen: called ? ALL_FLAGS : flagsSeen(operation, form),
    kind,
    counted,
  };
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
  ADCX: carry,
  ADOX: overflow,
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
  ...[
    'PUSH',
    'PUSH_IMM',
    'POP',
    'PUSHA',
    'POPA',
    'LEAVE',
    'DIV',
    'IDIV',
    'XLAT',
    'MOV_LOAD_OFFSET',
    'MOV_STORE_OFFSET',
  ],
  ...['MOVS', 'STOS', 'PUSHF', 'CLI', 'STI', 'CLAC', 'STAC', 'SWAPGS'],
  ...['RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'],
]);

/** Flags that an instruction looks at, or that must be right because it may leave for the interpreter. */
function flagsSeen(operation: string, form: FormName): number {
  if (MAY_LEAVE.has(operation) || mayRaise(operation) || isCalled(operation)) return ALL_FLAGS;
  if (form.includes('M') && operation !== 'LEA' && operation !== 'NOP_MODRM') return ALL_FLAGS;
  return flagsRead(operation);
}
/** Flags that an instruction looks at. */
function flagsRead(operation: string): number {
  if (operation.startsWith('JCC_')) return conditionReads(operation.slice(4));
  if (operation.startsWith('SETCC_')) return conditionReads(operation.slice(6));
  if (operation.startsWith('CMOVCC_')) return conditionReads(operation.slice(7));
  return READS[operation] ?? 0;
}

/** What is known of flags in a region; good until the next region is looked at. */
export interface RegionFlags {
  /** Flags that can be seen behind an instruction, by the number that it has in the region (RegionNode.first). */
  readonly live: Uint16Array;
  /** Kind at a block's entry, by its order; UNKNOWN. */
  readonly atEntry: Uint8Array;
}

/** One region is looked at at a time. */
let found: RegionFlags = { live: new Uint16Array(512), atEntry: new Uint8Array(128) };
let liveAtEntry = new Uint16Array(128);
let kindAtEnd = new Uint8Array(128);

export function analyseFlags({ nodes, instructions }: Region): RegionFlags {
  if (instructions > found.live.length || nodes.length > found.atEntry.length) {
    const blocks = Math.max(nodes.length, found.atEntry.length);
    const count = Math.max(instructions, found.live.length) * 2;
    found = { live: new Uint16Array(count), atEntry: new Uint8Array(blocks) };
    liveAtEntry = new Uint16Array(blocks);
    kindAtEnd = new Uint8Array(blocks);
  }
  for (let order = nodes.length - 1; order >= 0; order--) {
    const node = nodes[order];
    if (node !== undefined) findLive(node);
  }
  for (let order = 0; order < nodes.length; order++) {
    const node = nodes[order];
    if (node === undefined) continue;
    const kind = order > 0 && !node.loopHeader ? kindOfPredecessors(node) : UNKNOWN;
    found.atEntry[order] = kind;
    kindAtEnd[order] = kindBehind(node, kind);
  }
  return found;
}

/** Flags that can be seen at an offset to which a node leads. An exit shows everything, and so does a back edge, by which the region may leave. */
function liveAt(node: RegionNode, target: number): number {
  const successor = successorAt(node, target);
  if (successor === undefined || successor.order <= node.order) return ALL_FLAGS;
  return liveAtEntry[successor.order] ?? ALL_FLAGS;
}

/** Backwards, behind all nodes that this one leads to: as nothing comes over back edges, once is enough. */
function findLive(node: RegionNode): void {
  const { live: list } = found;
  const { instructions, terminator } = node.block;
  let live = ALL_FLAGS;
  if (terminator.kind === 'branch') live = liveAt(node, terminator.target) | liveAt(node, terminator.next);
  else if (terminator.kind === 'fall') live = liveAt(node, terminator.next);
  else if (terminator.kind === 'jump') live = liveAt(node, terminator.target);
  const { first } = node;
  for (let at = instructions.length - 1; at >= 0; at--) {
    const facts = instructions[at]?.facts;
    if (facts === undefined) continue;
    list[first + at] = live;
    live = (live & ~facts.overwritten) | facts.seen;
  }
  liveAtEntry[node.order] = live;
}

/** Kind behind a block: that of the last instruction whose flags can be seen, or the one at its entry. */
function kindBehind({ block, first }: RegionNode, atEntry: number): number {
  const { instructions } = block;
  for (let at = instructions.length - 1; at >= 0; at--) {
    const facts = instructions[at]?.facts;
    if (facts === undefined) continue;
    if (((found.live[first + at] ?? 0) & facts.written) !== 0) {
      if (facts.kind !== KEPT) return facts.kind;
    } else if (facts.forgets) return UNKNOWN;
  }
  return atEntry;
}
function kindOfPredecessors({ predecessors }: RegionNode): number {
  const kind = kindAtEnd[predecessors[0] ?? 0] ?? UNKNOWN;
  for (let at = 1; at < predecessors.length; at++) if (kindAtEnd[predecessors[at] ?? 0] !== kind) return UNKNOWN;
  return kind;
}
