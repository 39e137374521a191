/**
 * Which registers a region needs locals for, and which operands of vector operations are general registers.
 * Called by: region-emitter.ts, the emit-vector*.ts and emit-float*.ts files.
 */
import { STATE } from '../state-layout.ts';
import { isVectorOperation } from './emit-vector.ts';
import type { Instruction } from './instruction.ts';
import type { Region } from './region.ts';

/** Vector operations with a general register as destination, or as source. */
const GENERAL_DESTINATION = new Set([
  'MOVD_FROM_X',
  'PMOVMSKB',
  'MOVMSKPS',
  'MOVMSKPD',
  'PEXTRW',
  'CVTSS2SI',
  'CVTTSS2SI',
  'CVTSD2SI',
  'CVTTSD2SI',
]);
const GENERAL_SOURCE = new Set(['MOVD_TO_X', 'PINSRW', 'CVTSI2SS', 'CVTSI2SD']);

/** General registers that a region reads or writes, by number. */
export function registersOf(region: Region): Set<number> {
  const used = new Set<number>();
  const add = (offset: number): void => {
    if (offset < STATE.ZERO_SLOT) used.add(offset >> 3);
  };
  for (const { block } of region.nodes) {
    for (const { base, index, destination, source, operation, form } of block.instructions) {
      const vector = isVectorOperation(operation);
      add(base);
      add(index);
      if (form.startsWith('R') && (!vector || GENERAL_DESTINATION.has(operation))) add(destination);
      if ((form === 'RR' || form === 'MR') && (!vector || GENERAL_SOURCE.has(operation))) add(source);
      for (const register of IMPLICIT[operation] ?? []) used.add(register);
    }
  }
  return used;
}

/** The places (16 times the number) of the XMM registers that an instruction names, destination first where it is one. */
export function vectorPlaces({ operation, form, destination, source }: Instruction): number[] {
  if (!isVectorOperation(operation)) return [];
  const places: number[] = [];
  if (form.startsWith('R') && !GENERAL_DESTINATION.has(operation)) places.push(destination);
  if ((form === 'RR' || form === 'MR') && !GENERAL_SOURCE.has(operation)) places.push(source);
  return places;
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
};
