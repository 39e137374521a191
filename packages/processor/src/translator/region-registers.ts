/** Which general registers a region needs locals for. Called by: region-emitter.ts. */
import { STATE } from '../state-layout.ts';
import type { Region } from './region.ts';

/** General registers that a region reads or writes, by number. */
export function registersOf(region: Region): Set<number> {
  const used = new Set<number>();
  const add = (offset: number): void => {
    if (offset < STATE.ZERO_SLOT) used.add(offset >> 3);
  };
  for (const { block } of region.nodes) {
    for (const { base, index, destination, source, operation, form } of block.instructions) {
      add(base);
      add(index);
      if (form.startsWith('R')) add(destination);
      if (form === 'RR' || form === 'MR') add(source);
      for (const register of IMPLICIT[operation] ?? []) used.add(register);
    }
  }
  return used;
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
  SHRD_CL: [1],
};
