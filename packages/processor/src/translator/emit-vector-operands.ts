/**
 * Operands of vector instructions: memory, registers, and their lowest elements.
 *
 * `immediate` beside its low byte: bits 8 to 15 the memory operand's bytes, bit 16 that it must be aligned, bit 30 that the general operand
 * is 64 bits wide (assembly/decoder.ts). What may fault is done before anything of the guest's state has changed.
 * Called by: the emit-vector*.ts and emit-float*.ts files.
 */
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';
import { OP } from './wasm-encoder.ts';

/** Whether the general operand has 64 bits. */
export const wideGeneral = ({ immediate }: Instruction): boolean => (immediate & 0x40000000) !== 0;

/** Pushes the host pointer of the memory operand; a misaligned one that must not be is the interpreter's. */
export function vectorPointer(
  emitter: RegionEmitter,
  instruction: Instruction,
  access: 'read' | 'write',
  bytes: number,
): void {
  const { code, address } = emitter;
  emitter.effectiveAddress(instruction);
  if ((instruction.immediate & 0x10000) !== 0) {
    code.tee(address);
    code.op(OP.i32_wrap);
    code.i32(15);
    code.op(OP.i32_and);
    emitter.sideExitIf();
    code.get(address);
  }
  emitter.operandPointer(access, bytes);
}

/** Pushes the 16-byte source operand. */
export function pushVector(emitter: RegionEmitter, instruction: Instruction): void {
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', 16);
    emitter.code.vectorMemory(V.load, 0);
  } else emitter.vectors.get(instruction.source);
}

/** Pushes the source's lowest 4 or 8 bytes as a vector whose other bytes are zero (from memory) or anything (from a register). */
export function pushLow(emitter: RegionEmitter, instruction: Instruction, bytes: 4 | 8): void {
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', bytes);
    emitter.code.vectorMemory(bytes === 4 ? V.load32_zero : V.load64_zero, 0);
  } else emitter.vectors.get(instruction.source);
}

/** Pushes the general source operand as i64, zero- or sign-extended. */
export function pushGeneral(emitter: RegionEmitter, instruction: Instruction, size: number, signed: boolean): void {
  if (instruction.form === 'RM') {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer('read', 1 << size);
    emitter.loadSized(size, signed);
  } else emitter.readRegister(instruction.source, size, signed);
}
