/**
 * The instructions that have a translation, by the operation's name, and which of their forms.
 *
 * Called by: region-emitter.ts; `translatable` by translator.ts.
 */

import { arithmetic, step, withCarry } from './emit-arithmetic.ts';
import {
  compareExchangeLocked,
  compareExchangeWide,
  exchange,
  exchangeAddLocked,
  lockedArithmetic,
  lockedNot,
  lockedStep,
} from './emit-atomics.ts';
import { BIT_MANIPULATION } from './emit-bit-manipulation.ts';
import { addWithFlag, bitScan, bitTest, bitTestLocked, byteSwap, countZeros, populationCount } from './emit-bits.ts';
import { emitCalled, emitCalledExtension, isCalled } from './emit-called.ts';
import {
  compareExchange,
  conditionalMove,
  exchangeAdd,
  leave,
  move,
  moveExtend,
  moveOffset,
  pop,
  popAll,
  push,
  pushAll,
  setCondition,
} from './emit-moves.ts';
import { divide, divideSigned, multiplyTwo, multiplyWide } from './emit-multiply.ts';
import { type Emit, extend, readDestination, writeDestination } from './emit-operands.ts';
import { doubleShift, rotate, rotateThroughCarry, shift } from './emit-shifts.ts';
import { moveString, storeString } from './emit-strings.ts';
import {
  accessCheck,
  changeCarry,
  clearDirection,
  clearInterrupts,
  loadFlags,
  moveFromSegment,
  pushFlags,
  readBase,
  setDirection,
  setInterrupts,
  storeFlags,
  swapGs,
  translateByte,
  writeBase,
} from './emit-system.ts';
import { emitVector } from './emit-vector.ts';
import { emitVex } from './emit-vex.ts';
import { FLAG, KIND } from './flag-analysis.ts';
import { FLOW, type Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { ADDRESS_OF_16_BITS, UNTRANSLATED_FORMS, type UntranslatedForm } from './untranslated.ts';
import { OP } from './wasm-encoder.ts';

const nothing: Emit = () => {};

const TRANSLATIONS: Readonly<Record<string, Emit>> = {
  MOV: move,
  MOV_IMM64: (emitter, instruction) => {
    emitter.code.i64(instruction.wide);
    // The decoder has extended one of 32 bits with zeros.
    emitter.writeRegister(instruction.destination, instruction.size === 2 ? 3 : instruction.size);
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
    const { code, ccA, ccB, ccResult, flagsNeeded, wide } = emitter;
    const [a, b, r] = flagsNeeded ? [ccA, ccB, ccResult] : wide;
    readDestination(emitter, instruction, true, b);
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
  RCL: rotateThroughCarry(true),
  RCR: rotateThroughCarry(false),
  SHLD: doubleShift(true),
  SHLD_CL: doubleShift(true),
  SHRD: doubleShift(false),
  SHRD_CL: doubleShift(false),
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
  TZCNT: countZeros(true),
  LZCNT: countZeros(false),
  BSF: bitScan(true),
  BSR: bitScan(false),
  POPCNT: populationCount,
  BSWAP: byteSwap,
  ADCX: addWithFlag(FLAG.carry),
  ADOX: addWithFlag(FLAG.overflow),
  PUSH: push,
  PUSH_IMM: push,
  POP: pop,
  LEAVE: leave,
  PUSHA: pushAll,
  POPA: popAll,
  XCHG: exchange,
  CMPXCHG8B: compareExchangeWide,
  MOV_LOAD_OFFSET: moveOffset(false),
  MOV_STORE_OFFSET: moveOffset(true),
  MOV_FROM_SEG: moveFromSegment,
  XLAT: translateByte,
  MOVS: moveString,
  STOS: storeString,
  PUSHF: pushFlags,
  LAHF: loadFlags,
  SAHF: storeFlags,
  CLC: changeCarry('clear'),
  STC: changeCarry('set'),
  CMC: changeCarry('complement'),
  CLD: clearDirection,
  STD: setDirection,
  CLI: clearInterrupts,
  STI: setInterrupts,
  CLAC: accessCheck(false),
  STAC: accessCheck(true),
  SWAPGS: swapGs,
  RDFSBASE: readBase('FS'),
  RDGSBASE: readBase('GS'),
  WRFSBASE: writeBase('FS'),
  WRGSBASE: writeBase('GS'),
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
  ...BIT_MANIPULATION,
  NOP: nothing,
  NOP_MODRM: nothing,
  FENCE: nothing,
};

/** With a LOCK prefix, which only stands before a memory destination. */
const LOCKED: Readonly<Record<string, Emit>> = {
  ADD: lockedArithmetic('add'),
  SUB: lockedArithmetic('sub'),
  AND: lockedArithmetic('and'),
  OR: lockedArithmetic('or'),
  XOR: lockedArithmetic('xor'),
  INC: lockedStep(true),
  DEC: lockedStep(false),
  NOT: lockedNot,
  BTS: bitTestLocked('or'),
  BTR: bitTestLocked('and'),
  BTC: bitTestLocked('xor'),
  XCHG: exchange,
  XADD: exchangeAddLocked,
  CMPXCHG: compareExchangeLocked,
  CMPXCHG8B: compareExchangeWide,
};

/** Emitter of an operation; undefined for transfers, and where there is no translation. */
export function emitterOf(operation: string, extension: boolean): Emit | undefined {
  if (operation.startsWith('SETCC_')) return setCondition(operation.slice(6));
  if (operation.startsWith('CMOVCC_')) return conditionalMove(operation.slice(7));
  const own =
    TRANSLATIONS[operation] ?? (isCalled(operation) ? emitCalled : (emitVex(operation) ?? emitVector(operation)));
  return own ?? (extension ? emitCalledExtension : undefined);
}
/** The same where a LOCK prefix stands before it. */
export function lockedEmitterOf(operation: string): Emit | undefined {
  return LOCKED[operation];
}
/** Forms of an operation that are left to the interpreter. */
export function untranslatedFormsOf(operation: string): readonly UntranslatedForm[] {
  return UNTRANSLATED_FORMS.filter(({ operations }) =>
    operations instanceof RegExp ? operations.test(operation) : operations.includes(operation),
  );
}

/** The decoder has a LOCK prefix where a register destination would stand. */
function emitOf({ facts, destination }: Instruction): Emit | undefined {
  return facts.mayLock && destination !== 0 ? facts.lockedEmit : facts.emit;
}

/** Whether an instruction has a translation. */
export function translatable(instruction: Instruction): boolean {
  if (untranslatedReason(instruction) !== undefined) return false;
  const { flow } = instruction;
  // The region's structure handles transfers of control; those to another privilege level are executed by the core.
  if (flow !== FLOW.plain && flow !== FLOW.system) return true;
  return emitOf(instruction) !== undefined;
}

/** Why an instruction is left to the interpreter, when that is on purpose (untranslated.ts). */
export function untranslatedReason(instruction: Instruction): string | undefined {
  const { untranslatedForms, reason } = instruction.facts;
  if (instruction.address16) return ADDRESS_OF_16_BITS;
  if (untranslatedForms.length === 0) return reason;
  return untranslatedForms.find((form) => form.when(instruction))?.reason ?? reason;
}

/** Emits one instruction; its operation must be translatable and no transfer. */
export function emitInstruction(emitter: RegionEmitter, instruction: Instruction): void {
  const emit = emitOf(instruction);
  if (emit === undefined) throw new RangeError(`no translation of ${instruction.operation}`);
  emit(emitter, instruction);
}
