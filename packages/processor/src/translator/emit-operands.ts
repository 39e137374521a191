/**
 * What the translations of instructions have in common: their operands read into the emitter's locals and written back.
 *
 * Values are i64, sign-extended from the operand size, as in the interpreter; wide[0] is the first operand, wide[1] the second,
 * wide[2] the result. What may fault does so before anything of the guest's state has changed.
 * Called by: the emit-*.ts files of instructions.
 */
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

export type Emit = (emitter: RegionEmitter, instruction: Instruction) => void;

export const bitsOf = (size: number): number => 8 << size;

/** Pushes the second operand: register, memory or immediate. */
export function pushSource(emitter: RegionEmitter, instruction: Instruction, signed = true): void {
  const { form, size } = instruction;
  if (form === 'RI' || form === 'MI') {
    const { immediate } = instruction;
    emitter.code.i64(size === 0 ? (immediate << 24) >> 24 : size === 1 ? (immediate << 16) >> 16 : immediate);
  } else if (form === 'RM') emitter.loadOperand(instruction, size, signed);
  else emitter.readRegister(instruction.source, size, signed);
}

/** Pushes a general register with whatever it has above the operand: for what is cut off, or masked, in the end. */
export function pushUncut(emitter: RegionEmitter, offset: number): void {
  emitter.readRegister(offset & ~7, 3);
  if ((offset & 7) === 0) return;
  emitter.code.i64(8);
  emitter.code.op(OP.i64_shr_u);
}

/** Extends the i64 on the stack from the operand size. */
export function extend(emitter: RegionEmitter, size: number): void {
  const opcode = [OP.i64_extend8, OP.i64_extend16, OP.i64_extend32][size];
  if (opcode !== undefined) emitter.code.op(opcode);
}

/** Reads the destination into a local, wide[0] when none is given; for memory the pointer stays in `pointer`. */
export function readDestination(
  emitter: RegionEmitter,
  instruction: Instruction,
  writes: boolean,
  local: number = emitter.wide[0],
): void {
  const { code, pointer } = emitter;
  if (instruction.form.startsWith('M')) {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer(writes ? 'write' : 'read', 1 << instruction.size);
    code.tee(pointer);
    emitter.loadSized(instruction.size, true);
  } else emitter.readRegister(instruction.destination, instruction.size);
  code.set(local);
}

/** Writes a local to the destination that readDestination read. */
export function writeDestination(emitter: RegionEmitter, instruction: Instruction, value: number): void {
  const { code, pointer } = emitter;
  if (instruction.form.startsWith('M')) {
    code.get(pointer);
    code.get(value);
    emitter.storeSized(instruction.size);
  } else {
    code.get(value);
    emitter.writeRegister(instruction.destination, instruction.size);
  }
}
