/**
 * The instructions that have a translation, by the operation's name, and which of their forms.
 *
 * Called by: region-emitter.ts; `translatable` by translator.ts.
 */
import { arithmetic, step, withCarry } from './emit-arithmetic.ts';
import { bitScan, bitTest, rotate, shift } from './emit-bits.ts';
import {
  compareExchange,
  conditionalMove,
  exchange,
  exchangeAdd,
  leave,
  move,
  moveExtend,
  pop,
  push,
  setCondition,
} from './emit-moves.ts';
import { divide, divideSigned, multiplyTwo, multiplyWide } from './emit-multiply.ts';
import { type Emit, extend, readDestination, writeDestination } from './emit-operands.ts';
import { emitVector, vectorTranslatable } from './emit-vector.ts';
import { KIND } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

const nothing: Emit = () => {};

const TRANSLATIONS: Readonly<Record<string, Emit>> = {
  MOV: move,
  MOV_IMM64: (emitter, instruction) => {
    emitter.code.i64(instruction.wide);
    emitter.writeRegister(instruction.destination, instruction.size);
  },
  MOVZX8: moveExtend(0, false),
  MOVZX16: moveExtend(1, false),
  MOVSX8: moveExtend(0, true),
  MOVSX16: moveExtend(1, true),
  MOVSXD: moveExtend(2, true),
  LEA: (emitter, instruction) => {
    emitter.effectiveAddress(instruction, false);
    emitter.writeRegister(instruction.destination, instruction.size);
  },
  ADD: arithmetic(OP.i64_add, KIND.add, true),
  SUB: arithmetic(OP.i64_sub, KIND.sub, true),
  CMP: arithmetic(OP.i64_sub, KIND.sub, false),
  AND: arithmetic(OP.i64_and, KIND.logic, true),
  OR: arithmetic(OP.i64_or, KIND.logic, true),
  XOR: arithmetic(OP.i64_xor, KIND.logic, true),
  TEST: arithmetic(OP.i64_and, KIND.logic, false),
  ADC: withCarry(false),
  SBB: withCarry(true),
  INC: step(OP.i64_add, KIND.inc),
  DEC: step(OP.i64_sub, KIND.dec),
  NOT: (emitter, instruction) => {
    const { code, wide } = emitter;
    readDestination(emitter, instruction, true);
    code.get(wide[0]);
    code.i64(-1);
    code.op(OP.i64_xor);
    code.set(wide[2]);
    writeDestination(emitter, instruction, wide[2]);
  },
  NEG: (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    readDestination(emitter, instruction, true);
    code.get(a);
    code.set(b);
    code.i64(0);
    code.set(a);
    code.i64(0);
    code.get(b);
    code.op(OP.i64_sub);
    extend(emitter, instruction.size);
    code.set(r);
    writeDestination(emitter, instruction, r);
    emitter.setFlags(KIND.sub, r, a, b);
  },
  SHL: shift('SHL'),
  SHR: shift('SHR'),
  SAR: shift('SAR'),
  ROL: rotate(true),
  ROR: rotate(false),
  IMUL2: multiplyTwo(false),
  IMUL3: multiplyTwo(true),
  MUL: multiplyWide(false),
  IMUL1: multiplyWide(true),
  DIV: divide,
  IDIV: divideSigned,
  CMPXCHG: compareExchange,
  XADD: exchangeAdd,
  BT: bitTest(undefined),
  BTS: bitTest(OP.i64_or),
  BTR: bitTest(OP.i64_and),
  BTC: bitTest(OP.i64_xor),
  BSF: bitScan(true),
  BSR: bitScan(false),
  PUSH: push,
  PUSH_IMM: push,
  POP: pop,
  LEAVE: leave,
  XCHG: exchange,
  BSWAP: (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b] = wide;
    emitter.readRegister(instruction.destination, 3);
    code.set(a);
    // Swap bytes, then 16-bit halves, then 32-bit halves.
    for (const [mask, distance] of [
      [0x00ff00ff00ff00ffn, 8],
      [0x0000ffff0000ffffn, 16],
    ] as const) {
      code.get(a);
      code.i64(distance);
      code.op(OP.i64_shr_u);
      code.i64(mask);
      code.op(OP.i64_and);
      code.get(a);
      code.i64(mask);
      code.op(OP.i64_and);
      code.i64(distance);
      code.op(OP.i64_shl, OP.i64_or);
      code.set(a);
    }
    code.get(a);
    if (instruction.size === 3) {
      code.i64(32);
      code.op(OP.i64_rotl);
    }
    code.set(b);
    code.get(b);
    emitter.writeRegister(instruction.destination, instruction.size);
  },
  CWDE: (emitter, instruction) => {
    emitter.readRegister(0, instruction.size - 1);
    emitter.writeRegister(0, instruction.size);
  },
  CDQ: (emitter, instruction) => {
    emitter.readRegister(0, instruction.size);
    emitter.code.i64(63);
    emitter.code.op(OP.i64_shr_s);
    emitter.writeRegister(16, instruction.size);
  },
  NOP: nothing,
  NOP_MODRM: nothing,
  FENCE: nothing,
};

/** Control transfers, which the region's structure handles; only in their 64-bit forms. */
const TRANSFERS = new Set(['JMP', 'CALL', 'RET', 'JMP_INDIRECT', 'CALL_INDIRECT']);

function emitOf(operation: string): Emit | undefined {
  if (operation.startsWith('SETCC_')) return setCondition(operation.slice(6));
  if (operation.startsWith('CMOVCC_')) return conditionalMove(operation.slice(7));
  return TRANSLATIONS[operation] ?? emitVector(operation);
}

/** Whether the operation needs vectors to be available. */
export function usesVectors(operation: string): boolean {
  return emitVector(operation) !== undefined;
}

/** Whether an instruction of 64-bit code has a translation. */
export function translatable(instruction: Instruction): boolean {
  const { operation, form, size } = instruction;
  if (operation.startsWith('JCC_') || TRANSFERS.has(operation)) return size === 3;
  if (emitOf(operation) === undefined) return false;
  // A LOCK prefix stands in the destination byte of memory forms.
  if ((form === 'M' || form === 'MR' || form === 'MI') && instruction.destination !== 0) return false;
  if (usesVectors(operation)) return vectorTranslatable(instruction);
  switch (operation) {
    case 'PUSH':
    case 'PUSH_IMM':
    case 'LEAVE':
      return size === 3;
    case 'POP':
      return size === 3 && form === 'R';
    case 'XCHG':
      return form === 'RR';
    case 'ROL':
    case 'ROR':
      return form === 'RI' || form === 'MI' || size >= 2;
    case 'BT':
    case 'BTS':
    case 'BTR':
    case 'BTC':
      return form !== 'MR';
    case 'MUL':
    case 'IMUL1':
    case 'DIV':
    case 'IDIV':
    case 'BSWAP':
      return size >= 2;
    case 'MOVSXD':
      return size >= 2;
    case 'CWDE':
    case 'CDQ':
      return size >= 1;
    default:
      return true;
  }
}

/** Emits one instruction; its operation must be translatable and no transfer. */
export function emitInstruction(emitter: RegionEmitter, instruction: Instruction): void {
  const emit = emitOf(instruction.operation);
  if (emit === undefined) throw new RangeError(`no translation of ${instruction.operation}`);
  emit(emitter, instruction);
}
