/**
 * What the translator knows of an operation in one of its forms, put together once from the tables of its parts, so that going over a
 * region's instructions takes neither look-ups by name nor calls.
 * Called by: instruction-reader.ts (and through it everything that reads `Instruction.facts`).
 */
import type { FormName } from '../build/forms.ts';
import { isVexGeneral } from './emit-bit-manipulation.ts';
import { callsVectors, callsWithFlags, emitCalledExtension, extensionFlags } from './emit-called.ts';
import { conditionCode } from './emit-conditions.ts';
import { emitterOf, lockedEmitterOf, untranslatedFormsOf } from './emit-instructions.ts';
import type { Emit } from './emit-operands.ts';
import { isVectorOperation } from './emit-vector.ts';
import { emitVex } from './emit-vex.ts';
import { flagFacts, KIND, kindOfComparison } from './flag-analysis.ts';
import { mayRaise } from './float-analysis.ts';
import { FLOW } from './instruction.ts';
import { implicitRegisters, namesGeneral } from './region-registers.ts';
import { UNTRANSLATED, type UntranslatedForm } from './untranslated.ts';
import { namesakeOf } from './vex.ts';

/** What is known of a whole region, by bits that are or'ed over its instructions. */
export const TRAIT = {
  /** Reads or writes arithmetic flags. */
  flags: 1,
  vector: 2,
  /** May leave the region for the sake of floating-point operands. */
  raises: 4,
  /** Makes flags by comparing floating-point numbers. */
  comparesSingles: 8,
  comparesDoubles: 16,
  /** Has vector instructions that are encoded with VEX. */
  vex: 32,
} as const;

export interface OperationFacts {
  readonly operation: string;
  /** What it does on each 128 bits, for operations that are encoded with VEX and have translations; else the same. */
  readonly namesake: string;
  readonly form: FormName;
  /** One of FLOW. */
  readonly flow: number;
  /** Code of a branch's condition; -1: it is none. */
  readonly condition: number;
  /** It is encoded with VEX, and has a translation: on vectors, or on general registers of which VEX.vvvv names one. */
  readonly vexVector: boolean;
  readonly vexGeneral: boolean;
  /** Its last eight bytes are one number. */
  readonly wide: boolean;
  readonly vector: boolean;
  /** Bits of TRAIT. */
  readonly traits: number;
  /** General registers that are used without being named: bits by number. */
  readonly registers: number;
  /** Whether destination and source name general registers. */
  readonly generalDestination: boolean;
  readonly generalSource: boolean;
  /** The core executes it, as an operation of an extension (emit-called.ts), and works on vector registers. */
  readonly calledExtension: boolean;
  readonly callsVectors: boolean;
  /** It has memory as its destination: a LOCK prefix may stand before it. */
  readonly mayLock: boolean;
  /** Flags that it writes when it writes any, those of them that it always writes, and those that must be right before it. */
  readonly written: number;
  readonly overwritten: number;
  readonly seen: number;
  /** Kind of lazy flags behind it when they can be seen (flag-analysis.ts); KEPT, UNKNOWN. */
  readonly kind: number;
  /** It loads the flags anew, whatever can be seen of them. */
  readonly forgets: boolean;
  /** Why it is always left to the interpreter, and forms of it that are. */
  readonly reason: string | undefined;
  readonly untranslatedForms: readonly UntranslatedForm[];
  readonly emit: Emit | undefined;
  readonly lockedEmit: Emit | undefined;
  /** The same with a count of zero, for shifts and rotates by an immediate: flags stay. */
  readonly withoutCount: OperationFacts | undefined;
}

const FLOWS: Readonly<Record<string, number>> = {
  JMP: FLOW.jump,
  CALL: FLOW.call,
  RET: FLOW.return,
  JMP_INDIRECT: FLOW.computed,
  CALL_INDIRECT: FLOW.computed,
  SYSCALL: FLOW.system,
  SYSRET: FLOW.system,
  IRET: FLOW.system,
  SYSENTER: FLOW.system,
  SYSEXIT: FLOW.system,
};
/** Operations whose last eight bytes are one number. */
const WIDE = new Set(['MOV_IMM64', 'MOV_LOAD_OFFSET', 'MOV_STORE_OFFSET']);
const COMPARISON_TRAITS = [TRAIT.comparesSingles, TRAIT.comparesDoubles];

/** @param extension the operation is one of an extension (OperationNames.firstExtension) */
export function factsOf(operation: string, form: FormName, extension: boolean): OperationFacts {
  const emit = emitterOf(operation, extension);
  const calledExtension = emit === emitCalledExtension;
  const vexVector = emitVex(operation) !== undefined;
  const name = vexVector ? namesakeOf(operation) : operation;
  const flow = operation.startsWith('JCC_') ? FLOW.branch : (FLOWS[operation] ?? FLOW.plain);
  const vector = vexVector || isVectorOperation(operation);
  const flags = flagFacts(name, form, calledExtension);
  const forgets = callsWithFlags(operation) || (calledExtension && extensionFlags(operation));
  const comparison = kindOfComparison(name);
  const touches = flags.written !== 0 || flags.read !== 0 || forgets || flow === FLOW.branch;
  const traits =
    (touches ? TRAIT.flags : 0) |
    (vector ? TRAIT.vector : 0) |
    (vexVector ? TRAIT.vex : 0) |
    (mayRaise(name) ? TRAIT.raises : 0) |
    (comparison === undefined ? 0 : (COMPARISON_TRAITS[comparison - KIND.single] ?? 0));
  const named = namesGeneral(name, form, vector);
  const facts = {
    operation,
    namesake: name,
    form,
    flow,
    vexVector,
    vexGeneral: isVexGeneral(operation),
    condition: flow === FLOW.branch ? conditionCode(operation.slice(4)) : -1,
    wide: WIDE.has(operation),
    vector,
    traits,
    registers: implicitRegisters(operation),
    generalDestination: named.destination && !calledExtension,
    generalSource: named.source && !calledExtension,
    calledExtension,
    callsVectors: calledExtension && callsVectors(operation),
    mayLock: !extension && (form === 'M' || form === 'MR' || form === 'MI'),
    written: flags.written,
    overwritten: flags.overwritten,
    seen: flags.seen,
    kind: flags.kind,
    forgets,
    reason: UNTRANSLATED.get(operation),
    untranslatedForms: untranslatedFormsOf(operation),
    emit,
    lockedEmit: lockedEmitterOf(operation),
  };
  const without = flags.counted
    ? { ...facts, written: 0, overwritten: 0, traits: flags.read === 0 ? 0 : TRAIT.flags, withoutCount: undefined }
    : undefined;
  return { ...facts, withoutCount: without };
}
