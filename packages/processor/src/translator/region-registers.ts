/**
 * Which registers operations use without naming them, and which operands of vector operations are general registers.
 * Called by: operation-facts.ts, region-vectors.ts, format-instruction.ts.
 */

import type { FormName } from '../build/forms.ts';
import { calledRegisters } from './emit-called.ts';
import type { Instruction } from './instruction.ts';
import { fourthPlace, isWide, namesFirst, namesFourth, UPPER } from './vex.ts';

/** Vector operations with a general register as destination, or as source. */
const GENERAL_DESTINATION = new Set([
  'MOVD_FROM_X',
  'PMOVMSKB',
  'MOVMSKPS',
  'MOVMSKPD',
  'PEXTRW',
  'PEXTRW_STORE',
  'PEXTRB',
  'PEXTRD',
  'CVTSS2SI',
  'CVTTSS2SI',
  'CVTSD2SI',
  'CVTTSD2SI',
]);
const GENERAL_SOURCE = new Set(['MOVD_TO_X', 'PINSRW', 'PINSRB', 'PINSRD', 'CVTSI2SS', 'CVTSI2SD']);

/** Whether destination and source of an operation name general registers. */
export function namesGeneral(
  operation: string,
  form: FormName,
  vector: boolean,
): { readonly destination: boolean; readonly source: boolean } {
  const inRegister = form === 'R' || form === 'RR' || form === 'RI' || form === 'RM';
  return {
    destination: inRegister && (!vector || GENERAL_DESTINATION.has(operation)),
    source: (form === 'RR' || form === 'MR') && (!vector || GENERAL_SOURCE.has(operation)),
  };
}

/** General registers that an operation uses without naming them: bits by number. */
export function implicitRegisters(operation: string): number {
  let used = calledRegisters(operation);
  for (const register of IMPLICIT[operation] ?? []) used |= 1 << register;
  return used;
}

const NONE: readonly number[] = [];

/** The places (16 times the number) of the XMM registers that an instruction names, destination first where it is one. */
export function vectorPlaces(instruction: Instruction): readonly number[] {
  if (!instruction.vector) return NONE;
  const { operation, form, destination, source, facts } = instruction;
  const places: number[] = [];
  if (form.startsWith('R') && !GENERAL_DESTINATION.has(operation)) places.push(destination);
  if ((form === 'RR' || form === 'MR') && !GENERAL_SOURCE.has(operation)) places.push(source);
  return facts.vexVector ? vexPlaces(instruction, places) : places;
}
/** The same with what only VEX instructions name; of what is written, and of all operands of 256 bits, the upper halves too. */
function vexPlaces(instruction: Instruction, places: number[]): readonly number[] {
  const { operation, form, destination, first, facts } = instruction;
  if (namesFirst(operation, facts.form)) places.push(first);
  if (namesFourth(operation)) places.push(fourthPlace(instruction));
  if (isWide(instruction)) return places.flatMap((place) => [place, place + UPPER]);
  if (form.startsWith('R') && writesVector(operation)) places.push(destination + UPPER);
  return places;
}
/** Operations that compare, and leave their destination alone. */
const COMPARES = /^(U?COMIS|PTEST)/;
/** Whether an operation with a register as its destination writes a vector register. */
export function writesVector(operation: string): boolean {
  return !GENERAL_DESTINATION.has(operation) && !COMPARES.test(operation);
}

const RSP_ONLY = [4];
/** Registers that operations use without naming them. */
const IMPLICIT: Readonly<Record<string, readonly number[]>> = {
  PUSH: RSP_ONLY,
  PUSH_IMM: RSP_ONLY,
  POP: RSP_ONLY,
  CALL: RSP_ONLY,
  RET: RSP_ONLY,
  CALL_INDIRECT: RSP_ONLY,
  LEAVE: [4, 5],
  PUSHA: [0, 1, 2, 3, 4, 5, 6, 7],
  POPA: [0, 1, 2, 3, 4, 5, 6, 7],
  CWDE: [0],
  CDQ: [0, 2],
  MUL: [0, 2],
  IMUL1: [0, 2],
  DIV: [0, 2],
  IDIV: [0, 2],
  CMPXCHG: [0],
  CMPXCHG8B: [0, 1, 2, 3],
  XLAT: [0, 3],
  LAHF: [0],
  SAHF: [0],
  PUSHF: RSP_ONLY,
  MOV_LOAD_OFFSET: [0],
  MOV_STORE_OFFSET: [0],
  SHLD_CL: [1],
  MOVS: [1, 6, 7],
  STOS: [0, 1, 7],
  SHRD_CL: [1],
  MULX: [2],
};
