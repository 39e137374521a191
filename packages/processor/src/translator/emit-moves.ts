/**
 * Moves, exchanges, conditions as values, and the stack as WebAssembly.
 *
 * Answers to: AMD64 manual volume 3. The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts.
 */
import { conditionCode, emitCondition } from './emit-conditions.ts';
import { type Emit, extend, pushSource, pushUncut, readDestination, writeDestination } from './emit-operands.ts';
import { KIND } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP, VOID } from './wasm-encoder.ts';

export const move: Emit = (emitter, instruction) => {
  const { code } = emitter;
  const { form, size } = instruction;
  if (form === 'MR' || form === 'MI') {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer('write', 1 << size);
    if (form === 'MI') code.i64(instruction.immediate);
    else pushUncut(emitter, instruction.source);
    emitter.storeSized(size);
    return;
  }
  if (form === 'RR') pushUncut(emitter, instruction.source);
  else pushSource(emitter, instruction, false);
  writeExtended(emitter, instruction, form === 'RM');
};

/** Writes the destination; `zeros`: what is on the stack has zeros above 32 bits when that is the size. */
function writeExtended(emitter: RegionEmitter, { destination, size }: Instruction, zeros: boolean): void {
  emitter.writeRegister(destination, size === 2 && zeros ? 3 : size);
}

/** MOVZX, MOVSX and MOVSXD: `from` is the source's size. */
export function moveExtend(from: number, signed: boolean): Emit {
  return (emitter, instruction) => {
    if (instruction.form === 'RM') emitter.loadOperand(instruction, from, signed);
    else emitter.readRegister(instruction.source, from, signed);
    writeExtended(emitter, instruction, !signed);
  };
}

/** MOV between the accumulator and an address that stands in the instruction. */
export function moveOffset(store: boolean): Emit {
  return (emitter, instruction) => {
    const { code } = emitter;
    const { size } = instruction;
    emitter.checkSegment(instruction);
    code.i64(instruction.wide);
    emitter.addSegment(instruction);
    emitter.operandPointer(store ? 'write' : 'read', 1 << size);
    if (store) {
      emitter.readRegister(0, 3);
      emitter.storeSized(size);
    } else {
      emitter.loadSized(size, false);
      emitter.writeRegister(0, size);
    }
  };
}

export function setCondition(suffix: string): Emit {
  const condition = conditionCode(suffix);
  return (emitter, instruction) => {
    const { code } = emitter;
    if (instruction.form === 'M') {
      emitter.effectiveAddress(instruction);
      emitter.operandPointer('write', 1);
      emitCondition(emitter, condition);
      code.op(OP.i64_extend_u);
      emitter.storeSized(0);
      return;
    }
    emitCondition(emitter, condition);
    code.op(OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 0);
  };
}

export function conditionalMove(suffix: string): Emit {
  const condition = conditionCode(suffix);
  return (emitter, instruction) => {
    const { code } = emitter;
    if (instruction.form === 'RM') emitter.loadOperand(instruction, instruction.size, false);
    else emitter.readRegister(instruction.source, instruction.size, false);
    emitter.readRegister(instruction.destination, instruction.size, false);
    emitCondition(emitter, condition);
    code.op(OP.select);
    emitter.writeRegister(instruction.destination, instruction.size);
  };
}

const RSP = 32;
const RBP = 40;

/** PUSH of 64 bits, in 32-bit code of 32, or of 16 with an operand-size prefix. */
export const push: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const { form, size } = instruction;
  if (form === 'M') emitter.loadOperand(instruction, size, true);
  else if (form === 'R') emitter.readRegister(instruction.destination, size);
  else code.i64(instruction.immediate);
  code.set(wide[0]);
  pushLocal(emitter, size);
};

/** Pushes wide[0] onto the guest's stack. */
export function pushLocal(emitter: RegionEmitter, size: number): void {
  const { code, wide } = emitter;
  emitter.push(() => code.get(wide[0]), size);
}

/** Pushes what the stack pointer becomes when the operand at `address` is popped. */
function pushPopped(emitter: RegionEmitter, size: number): void {
  const { code, address } = emitter;
  code.get(address);
  code.i64(1 << size);
  code.op(OP.i64_add);
  emitter.cutAddress();
}

/** POP; the address of a memory destination is computed with the stack pointer already moved. */
export const pop: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [value, pointer, target] = wide;
  const { form, size } = instruction;
  if (form === 'M') emitter.checkSegment(instruction);
  emitter.stackAddress(0);
  emitter.operandPointer('read', 1 << size);
  emitter.loadSized(size, true);
  code.set(value);
  pushPopped(emitter, size);
  if (form === 'R') {
    emitter.writeRegister(RSP, 3);
    code.get(value);
    emitter.writeRegister(instruction.destination, size);
    return;
  }
  // The stack pointer is back where it was when the store leaves the region.
  const stack = emitter.local(RSP);
  code.get(stack);
  code.set(pointer);
  code.set(stack);
  emitter.effectiveAddress(instruction, true, true);
  code.set(target);
  code.get(pointer);
  code.get(stack);
  code.set(pointer);
  code.set(stack);
  code.get(target);
  emitter.operandPointer('write', 1 << size);
  code.get(value);
  emitter.storeSized(size);
  code.get(pointer);
  emitter.writeRegister(RSP, 3);
};

export const leave: Emit = (emitter, { size }) => {
  const { code, wide } = emitter;
  emitter.readRegister(RBP, size, false);
  emitter.operandPointer('read', 1 << size);
  emitter.loadSized(size, false);
  code.set(wide[0]);
  pushPopped(emitter, size);
  emitter.writeRegister(RSP, 3);
  code.get(wide[0]);
  emitter.writeRegister(RBP, 3);
};

/** Registers in the order in which PUSHA stores them upwards in memory: EDI ESI EBP ESP EBX EDX ECX EAX. */
const ALL_REGISTERS = [56, 48, 40, 32, 24, 16, 8, 0];

/** PUSHA: all eight at once, or the interpreter pushes them one by one. */
export const pushAll: Emit = (emitter, { size }) => {
  const { code, pointer } = emitter;
  const bytes = 8 << size;
  emitter.stackAddress(-bytes);
  emitter.operandPointer('write', bytes);
  code.set(pointer);
  ALL_REGISTERS.forEach((register, place) => {
    code.get(pointer);
    code.i32(place << size);
    code.op(OP.i32_add);
    emitter.readRegister(register, 3);
    emitter.storeSized(size);
  });
  code.get(emitter.address);
  emitter.writeRegister(RSP, 3);
};

/** POPA: ESP's place is passed over. */
export const popAll: Emit = (emitter, { size }) => {
  const { code, pointer } = emitter;
  const bytes = 8 << size;
  emitter.stackAddress(0);
  emitter.operandPointer('read', bytes);
  code.set(pointer);
  ALL_REGISTERS.forEach((register, place) => {
    if (register === RSP) return;
    code.get(pointer);
    code.i32(place << size);
    code.op(OP.i32_add);
    emitter.loadSized(size, false);
    emitter.writeRegister(register, size);
  });
  code.get(emitter.address);
  code.i64(bytes);
  code.op(OP.i64_add);
  emitter.setStackPointer();
};

/** CMPXCHG without LOCK. A mismatch writes the destination's own value back to memory, and leaves a register alone. */
export const compareExchange: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [old, expected, difference, value] = wide;
  const { size } = instruction;
  readDestination(emitter, instruction, true);
  emitter.readRegister(0, size);
  code.set(expected);
  code.get(expected);
  code.get(old);
  code.op(OP.i64_sub);
  extend(emitter, size);
  code.set(difference);
  emitter.readRegister(instruction.source, size);
  code.set(value);
  code.get(difference);
  code.op3(OP.i64_eqz, OP.if, VOID);
  writeDestination(emitter, instruction, value);
  code.op(OP.else);
  if (instruction.form === 'MR') writeDestination(emitter, instruction, old);
  code.get(old);
  emitter.writeRegister(0, size);
  code.op(OP.end);
  emitter.setFlags(KIND.sub, difference, expected, old);
};

/** XADD without LOCK. */
export const exchangeAdd: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [old, addend, sum] = wide;
  const { size } = instruction;
  readDestination(emitter, instruction, true);
  emitter.readRegister(instruction.source, size);
  code.set(addend);
  code.get(old);
  code.get(addend);
  code.op(OP.i64_add);
  extend(emitter, size);
  code.set(sum);
  if (instruction.form === 'MR') {
    writeDestination(emitter, instruction, sum);
    code.get(old);
    emitter.writeRegister(instruction.source, size);
  } else {
    code.get(old);
    emitter.writeRegister(instruction.source, size);
    writeDestination(emitter, instruction, sum);
  }
  emitter.setFlags(KIND.add, sum, old, addend);
};
