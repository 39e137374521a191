/**
 * Instructions with LOCK, XCHG with memory, and the exchanges that compare: atomic operations of WebAssembly on the guest's memory.
 *
 * WebAssembly's atomics want natural alignment; an operand without it leaves the region for the interpreter.
 * Answers to: AMD64 manual volume 3. The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts, emit-bits.ts.
 */
import { pushCarryKind } from './emit-arithmetic.ts';
import { emitCarry, emitFlags } from './emit-conditions.ts';
import { type Emit, extend, pushSource } from './emit-operands.ts';
import { FLAG, KIND } from './flag-analysis.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { ATOMIC, OP, VOID } from './wasm-encoder.ts';

/** Takes a linear address, pushes the host pointer of an operand that is written and aligned, or leaves. `pointer` holds it too. */
export function alignedPointer(emitter: RegionEmitter, size: number): void {
  const { code, pointer } = emitter;
  emitter.operandPointer('write', 1 << size);
  code.set(pointer);
  if (size > 0) {
    code.get(pointer);
    code.i32((1 << size) - 1);
    code.op(OP.i32_and);
    emitter.sideExitIf();
  }
  code.get(pointer);
}

const LOGIC: Readonly<Record<string, number>> = { and: OP.i64_and, or: OP.i64_or, xor: OP.i64_xor };

/** ADD, SUB, AND, OR and XOR of memory with LOCK. */
export function lockedArithmetic(operation: 'add' | 'sub' | 'and' | 'or' | 'xor'): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    const { size } = instruction;
    emitter.effectiveAddress(instruction);
    alignedPointer(emitter, size);
    pushSource(emitter, instruction);
    code.tee(b);
    code.atomic(ATOMIC[operation], size);
    if (!emitter.flagsNeeded) {
      code.op(OP.drop);
      return;
    }
    extend(emitter, size);
    code.tee(a);
    code.get(b);
    const logic = LOGIC[operation];
    if (logic !== undefined) {
      code.op(logic);
      code.set(r);
      emitter.setFlags(KIND.add, r, r, undefined);
      return;
    }
    code.op(operation === 'add' ? OP.i64_add : OP.i64_sub);
    extend(emitter, size);
    code.set(r);
    emitter.setFlags(operation === 'add' ? KIND.add : KIND.sub, r, a, b);
  };
}

/** INC and DEC of memory with LOCK: CF stays. */
export function lockedStep(increment: boolean): Emit {
  const kind = increment ? KIND.inc : KIND.dec;
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, c] = wide;
    const { size } = instruction;
    const keepsCarry = emitter.flagsNeeded && (emitter.live & FLAG.carry) !== 0;
    if (keepsCarry) {
      emitCarry(emitter);
      code.set(c);
    }
    emitter.effectiveAddress(instruction);
    alignedPointer(emitter, size);
    code.i64(1);
    code.atomic(increment ? ATOMIC.add : ATOMIC.sub, size);
    if (!emitter.flagsNeeded) {
      code.op(OP.drop);
      return;
    }
    extend(emitter, size);
    code.tee(a);
    code.i64(1);
    code.tee(b);
    code.op(increment ? OP.i64_add : OP.i64_sub);
    extend(emitter, size);
    code.set(r);
    emitter.setFlags(kind, r, a, b);
    if (keepsCarry) pushCarryKind(emitter, kind, c);
  };
}

/** NOT of memory with LOCK. */
export const lockedNot: Emit = (emitter, instruction) => {
  const { code } = emitter;
  emitter.effectiveAddress(instruction);
  alignedPointer(emitter, instruction.size);
  code.i64(-1);
  code.atomic(ATOMIC.xor, instruction.size);
  code.op(OP.drop);
};

/** XCHG: with memory it is locked, with or without the prefix. */
export const exchange: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const { form, size, destination, source } = instruction;
  if (form === 'MR') {
    emitter.effectiveAddress(instruction);
    alignedPointer(emitter, size);
    emitter.readRegister(source, size);
    code.atomic(ATOMIC.xchg, size);
    emitter.writeRegister(source, size);
    return;
  }
  emitter.readRegister(destination, size);
  code.set(wide[0]);
  emitter.readRegister(source, size);
  emitter.writeRegister(destination, size);
  code.get(wide[0]);
  emitter.writeRegister(source, size);
};

/** XADD with LOCK. */
export const exchangeAddLocked: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [old, addend, sum] = wide;
  const { size, source } = instruction;
  emitter.effectiveAddress(instruction);
  alignedPointer(emitter, size);
  emitter.readRegister(source, size);
  code.tee(addend);
  code.atomic(ATOMIC.add, size);
  extend(emitter, size);
  code.tee(old);
  emitter.writeRegister(source, size);
  if (!emitter.flagsNeeded) return;
  code.get(old);
  code.get(addend);
  code.op(OP.i64_add);
  extend(emitter, size);
  code.set(sum);
  emitter.setFlags(KIND.add, sum, old, addend);
};

/** CMPXCHG with LOCK. */
export const compareExchangeLocked: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [old, expected, difference] = wide;
  const { size, source } = instruction;
  emitter.effectiveAddress(instruction);
  alignedPointer(emitter, size);
  emitter.readRegister(0, size, false);
  emitter.readRegister(source, size, false);
  code.atomic(ATOMIC.cmpxchg, size);
  extend(emitter, size);
  code.set(old);
  emitter.readRegister(0, size);
  code.tee(expected);
  code.get(old);
  code.op(OP.i64_sub);
  extend(emitter, size);
  code.tee(difference);
  code.op4(OP.i64_eqz, OP.i32_eqz, OP.if, VOID);
  code.get(old);
  emitter.writeRegister(0, size);
  code.op(OP.end);
  emitter.setFlags(KIND.sub, difference, expected, old);
};

/** CMPXCHG8B as one atomic operation; CMPXCHG16B as the interpreter does it, not atomic among processors. */
export const compareExchangeWide: Emit = (emitter, instruction) => {
  const { code, live } = emitter;
  const others = live & ~FLAG.zero;
  const kept = emitter.wide[3];
  if (emitter.flagsNeeded && others !== 0) {
    emitFlags(emitter, others);
    code.set(kept);
  }
  emitter.effectiveAddress(instruction);
  const equal = emitter.narrow[0];
  if (instruction.size === 3) compareExchange16(emitter, equal);
  else compareExchange8(emitter, equal);
  if (!emitter.flagsNeeded) return;
  code.get(equal);
  code.op(OP.i64_extend_u);
  code.i64(6);
  code.op(OP.i64_shl);
  if (others !== 0) {
    code.get(kept);
    code.op(OP.i64_or);
  }
  code.set(emitter.ccB);
  code.i32(KIND.explicit);
  code.set(emitter.ccKind);
};

function compareExchange8(emitter: RegionEmitter, equal: number): void {
  const { code, wide } = emitter;
  const [old, expected] = wide;
  const pair = (low: number, high: number): void => {
    emitter.readRegister(low, 2, false);
    emitter.readRegister(high, 3);
    code.i64(32);
    code.op2(OP.i64_shl, OP.i64_or);
  };
  alignedPointer(emitter, 3);
  pair(0, 16);
  code.tee(expected);
  pair(24, 8);
  code.atomic(ATOMIC.cmpxchg, 3);
  code.tee(old);
  code.get(expected);
  code.op(OP.i64_eq);
  code.tee(equal);
  code.op3(OP.i32_eqz, OP.if, VOID);
  code.get(old);
  emitter.writeRegister(0, 2);
  code.get(old);
  code.i64(32);
  code.op(OP.i64_shr_u);
  emitter.writeRegister(16, 2);
  code.op(OP.end);
}

function compareExchange16(emitter: RegionEmitter, equal: number): void {
  const { code, pointer, wide } = emitter;
  const [low, high] = wide;
  emitter.operandPointer('write', 16);
  code.set(pointer);
  // Misaligned, it is #GP.
  code.get(pointer);
  code.i32(15);
  code.op(OP.i32_and);
  emitter.sideExitIf();
  for (const [local, offset] of [
    [low, 0],
    [high, 8],
  ] as const) {
    code.get(pointer);
    code.memory(OP.i64_load, offset);
    code.set(local);
  }
  code.get(low);
  emitter.readRegister(0, 3);
  code.op(OP.i64_eq);
  code.get(high);
  emitter.readRegister(16, 3);
  code.op2(OP.i64_eq, OP.i32_and);
  code.tee(equal);
  code.op2(OP.if, VOID);
  for (const [register, offset] of [
    [24, 0],
    [8, 8],
  ] as const) {
    code.get(pointer);
    emitter.readRegister(register, 3);
    code.memory(OP.i64_store, offset);
  }
  code.op(OP.else);
  code.get(low);
  emitter.writeRegister(0, 3);
  code.get(high);
  emitter.writeRegister(16, 3);
  code.op(OP.end);
}
