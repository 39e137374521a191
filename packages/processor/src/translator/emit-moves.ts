/**
 * Moves, exchanges, conditions as values, and the stack as WebAssembly.
 *
 * Answers to: AMD64 manual volume 3. The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts.
 */
import { emitCondition } from './emit-conditions.ts';
import { type Emit, extend, pushSource, readDestination, writeDestination } from './emit-operands.ts';
import { KIND } from './flag-analysis.ts';
import { OP, VOID } from './wasm-encoder.ts';

export const move: Emit = (emitter, instruction) => {
  const { code } = emitter;
  const { form, size } = instruction;
  if (form === 'MR' || form === 'MI') {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer('write', 1 << size);
    if (form === 'MI') code.i64(instruction.immediate);
    else emitter.readRegister(instruction.source, size === 2 ? 3 : size, false);
    emitter.storeSized(size);
    return;
  }
  pushSource(emitter, instruction, false);
  emitter.writeRegister(instruction.destination, size);
};

/** MOVZX, MOVSX and MOVSXD: `from` is the source's size. */
export function moveExtend(from: number, signed: boolean): Emit {
  return (emitter, instruction) => {
    if (instruction.form === 'RM') emitter.loadOperand(instruction, from, signed);
    else emitter.readRegister(instruction.source, from, signed);
    emitter.writeRegister(instruction.destination, instruction.size);
  };
}

export function setCondition(suffix: string): Emit {
  return (emitter, instruction) => {
    const { code } = emitter;
    if (instruction.form === 'M') {
      emitter.effectiveAddress(instruction);
      emitter.operandPointer('write', 1);
      emitCondition(emitter, suffix);
      code.op(OP.i64_extend_u);
      emitter.storeSized(0);
      return;
    }
    emitCondition(emitter, suffix);
    code.op(OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 0);
  };
}

export function conditionalMove(suffix: string): Emit {
  return (emitter, instruction) => {
    const { code } = emitter;
    if (instruction.form === 'RM') emitter.loadOperand(instruction, instruction.size, false);
    else emitter.readRegister(instruction.source, instruction.size, false);
    emitter.readRegister(instruction.destination, instruction.size, false);
    emitCondition(emitter, suffix);
    code.op(OP.select);
    emitter.writeRegister(instruction.destination, instruction.size);
  };
}

export const push: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  if (instruction.form === 'M') emitter.loadOperand(instruction, 3, true);
  else if (instruction.form === 'R') emitter.readRegister(instruction.destination, 3);
  else code.i64(instruction.immediate);
  code.set(wide[0]);
  emitter.push(() => code.get(wide[0]));
};

export const pop: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  emitter.readRegister(32, 3);
  emitter.operandPointer('read', 8);
  code.memory(OP.i64_load, 0);
  code.set(wide[0]);
  code.get(emitter.address);
  code.i64(8);
  code.op(OP.i64_add);
  emitter.writeRegister(32, 3);
  code.get(wide[0]);
  emitter.writeRegister(instruction.destination, 3);
};

export const leave: Emit = (emitter) => {
  const { code, wide } = emitter;
  emitter.readRegister(40, 3);
  emitter.operandPointer('read', 8);
  code.memory(OP.i64_load, 0);
  code.set(wide[0]);
  code.get(emitter.address);
  code.i64(8);
  code.op(OP.i64_add);
  emitter.writeRegister(32, 3);
  code.get(wide[0]);
  emitter.writeRegister(40, 3);
};

export const exchange: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const { size } = instruction;
  emitter.readRegister(instruction.destination, size);
  code.set(wide[0]);
  emitter.readRegister(instruction.source, size);
  emitter.writeRegister(instruction.destination, size);
  code.get(wide[0]);
  emitter.writeRegister(instruction.source, size);
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
  code.op(OP.i64_eqz, OP.if, VOID);
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
