/**
 * BMI1, BMI2 and MOVBE as WebAssembly.
 *
 * `first` of an instruction is the register in VEX.vvvv; BLSI, BLSMSK and BLSR have their destination there (instruction-reader.ts). Flags
 * that the manual leaves undefined come out as the interpreter's: those of logic, or of a result with CF beside it.
 * Answers to: AMD64 manual volume 3; assembly/extended-integer.ts. The conventions of locals are those of emit-operands.ts.
 * Called by: emit-instructions.ts, operation-facts.ts.
 */
import { swapBytes } from './emit-bits.ts';
import { multiplyHigh } from './emit-multiply.ts';
import { bitsOf, type Emit, extend } from './emit-operands.ts';
import { KIND } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

/** Pushes the source, extended. */
function pushSource(emitter: RegionEmitter, instruction: Instruction, signed = false): void {
  const { form, size, source } = instruction;
  if (form === 'RM') emitter.loadOperand(instruction, size, signed);
  else emitter.readRegister(source, size, signed);
}

/** Takes the result, writes it, and makes flags of it: those of logic, or with CF from what pushes an i32. */
function finish(emitter: RegionEmitter, { destination, size }: Instruction, pushCarry?: () => void): void {
  const { code, ccB, ccKind, ccResult } = emitter;
  if (!emitter.flagsNeeded) {
    emitter.writeRegister(destination, size);
    return;
  }
  extend(emitter, size);
  code.set(ccResult);
  if (pushCarry === undefined) emitter.setFlags(KIND.add, ccResult, ccResult, undefined);
  else {
    pushCarry();
    code.op(OP.i64_extend_u);
    code.set(ccB);
    code.i32(KIND.result);
    code.set(ccKind);
  }
  code.get(ccResult);
  emitter.writeRegister(destination, size);
}

const andNot: Emit = (emitter, instruction) => {
  const { code } = emitter;
  pushSource(emitter, instruction);
  emitter.readRegister(instruction.first, 3);
  code.i64(-1);
  code.op2(OP.i64_xor, OP.i64_and);
  finish(emitter, instruction);
};

/** BLSI, BLSMSK, BLSR: the source with itself less one, or with its negative; CF of a source that is zero, or is not. */
const lowestBit =
  (combine: number, negative: boolean): Emit =>
  (emitter, instruction) => {
    const { code, wide } = emitter;
    const [source] = wide;
    pushSource(emitter, instruction);
    code.set(source);
    if (negative) {
      code.i64(0);
      code.get(source);
      code.op(OP.i64_sub);
    } else code.binaryConstant(source, 1, OP.i64_sub);
    code.get(source);
    code.op(combine);
    finish(emitter, instruction, () => {
      code.get(source);
      code.op(OP.i64_eqz);
      if (negative) code.op(OP.i32_eqz);
    });
  };

/** Reads the source into one local, and a byte of VEX.vvvv's register, from a bit on, into another. */
function readWithByte(emitter: RegionEmitter, instruction: Instruction, source: number, byte: number): void {
  pushSource(emitter, instruction);
  emitter.code.set(source);
  emitter.readRegister(instruction.first, 0, false);
  emitter.code.set(byte);
}
/** Pushes a mask of as many low bits as a local says: 64 and more are all. */
function pushMask({ code }: RegionEmitter, count: number): void {
  code.i64(-1);
  code.get(count);
  code.op(OP.i64_shl);
  code.i64(-1);
  code.op(OP.i64_xor);
  code.i64(-1);
  code.binaryConstant(count, 64, OP.i64_lt_u);
  code.op(OP.select);
}

/** BEXTR. */
const extractField: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [source, start, length] = wide;
  readWithByte(emitter, instruction, source, start);
  emitter.readRegister(instruction.first, 1, false);
  code.i64(8);
  code.op(OP.i64_shr_u);
  code.set(length);
  code.binary(source, start, OP.i64_shr_u);
  code.i64(0);
  code.binaryConstant(start, 64, OP.i64_lt_u);
  code.op(OP.select);
  pushMask(emitter, length);
  code.op(OP.i64_and);
  finish(emitter, instruction);
};

/** BZHI: CF when there is nothing to be cleared. */
const zeroHighBits: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [source, index] = wide;
  readWithByte(emitter, instruction, source, index);
  code.get(source);
  pushMask(emitter, index);
  code.op(OP.i64_and);
  finish(emitter, instruction, () => code.binaryConstant(index, bitsOf(instruction.size), OP.i64_ge_u));
};

/** SARX, SHLX, SHRX. */
const shiftBy =
  (opcode: number): Emit =>
  (emitter, instruction) => {
    const { code } = emitter;
    const { size, destination, first } = instruction;
    pushSource(emitter, instruction, opcode === OP.i64_shr_s);
    emitter.readRegister(first, 3);
    // WebAssembly looks at six bits of a count itself.
    if (size === 2) {
      code.i64(31);
      code.op(OP.i64_and);
    }
    code.op(opcode);
    emitter.writeRegister(destination, size);
  };

const rotateBy: Emit = (emitter, instruction) => {
  const { code } = emitter;
  const { size, immediate, destination } = instruction;
  pushSource(emitter, instruction);
  if (size === 3) {
    code.i64(immediate & 63);
    code.op(OP.i64_rotr);
  } else {
    code.op(OP.i32_wrap);
    code.i32(immediate & 31);
    code.op2(OP.i32_rotr, OP.i64_extend_u);
  }
  emitter.writeRegister(destination, size);
};

/** MULX: RDX times the source; where one register is named for both halves, the upper one stays. */
const multiplyWithoutFlags: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [a, b, product] = wide;
  const { size, destination, first } = instruction;
  pushSource(emitter, instruction);
  code.set(a);
  emitter.readRegister(16, size, false);
  code.set(b);
  code.binary(a, b, OP.i64_mul);
  code.set(product);
  if (size === 3) multiplyHigh(emitter, a, b, false);
  else code.binaryConstant(product, 32, OP.i64_shr_u);
  code.get(product);
  emitter.writeRegister(first, size);
  emitter.writeRegister(destination, size);
};

const moveSwapped: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [value] = wide;
  const { form, size } = instruction;
  if (form === 'MR') {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer('write', 1 << size);
    emitter.readRegister(instruction.source, 3);
    code.set(value);
    swapBytes(emitter, value, size);
    emitter.storeSized(size);
    return;
  }
  emitter.loadOperand(instruction, size, false);
  code.set(value);
  swapBytes(emitter, value, size);
  emitter.writeRegister(instruction.destination, size);
};

/** With an operand in VEX.vvvv. */
const WITH_REGISTER: Readonly<Record<string, Emit>> = {
  ANDN: andNot,
  BEXTR: extractField,
  BLSR: lowestBit(OP.i64_and, false),
  BLSMSK: lowestBit(OP.i64_xor, false),
  BLSI: lowestBit(OP.i64_and, true),
  BZHI: zeroHighBits,
  MULX: multiplyWithoutFlags,
  SARX: shiftBy(OP.i64_shr_s),
  SHLX: shiftBy(OP.i64_shl),
  SHRX: shiftBy(OP.i64_shr_u),
};
/** All by operation. */
export const BIT_MANIPULATION: Readonly<Record<string, Emit>> = {
  ...WITH_REGISTER,
  RORX: rotateBy,
  MOVBE: moveSwapped,
};
/** Whether an operation on general registers has a translation and an operand in VEX.vvvv. */
export function isVexGeneral(operation: string): boolean {
  return WITH_REGISTER[operation] !== undefined;
}
