/**
 * Multiplication and division as WebAssembly.
 *
 * A division whose dividend needs more than 64 bits is the core's; one that could fault leaves the region for the interpreter.
 * Answers to: AMD64 manual volume 3. The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts.
 */
import { bitsOf, type Emit, extend } from './emit-operands.ts';
import { KIND } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

/** Pushes the high half of a x b; operands in locals, signed or not. Uses the address and c locals. */
export function multiplyHigh(emitter: RegionEmitter, a: number, b: number, signed: boolean): void {
  const { code, wide, address } = emitter;
  const t = wide[3];
  const low = (local: number): void => {
    code.get(local);
    code.i64(0xffffffff);
    code.op(OP.i64_and);
  };
  const high = (local: number): void => {
    code.get(local);
    code.i64(32);
    code.op(OP.i64_shr_u);
  };
  // t = ah * bl + (al * bl >> 32); address = al * bh + low(t); high = ah * bh + high(t) + high(address)
  high(a);
  low(b);
  code.op(OP.i64_mul);
  low(a);
  low(b);
  code.op(OP.i64_mul);
  code.i64(32);
  code.op2(OP.i64_shr_u, OP.i64_add);
  code.set(t);
  low(a);
  high(b);
  code.op(OP.i64_mul);
  low(t);
  code.op(OP.i64_add);
  code.set(address);
  high(a);
  high(b);
  code.op(OP.i64_mul);
  high(t);
  code.op(OP.i64_add);
  high(address);
  code.op(OP.i64_add);
  if (!signed) return;
  for (const [sign, other] of [
    [a, b],
    [b, a],
  ] as const) {
    code.get(sign);
    code.i64(63);
    code.op(OP.i64_shr_s);
    code.get(other);
    code.op2(OP.i64_and, OP.i64_sub);
  }
}

/** CF and OF from an i32 on the stack: the product did not fit. */
function productFlags(emitter: RegionEmitter, result: number): void {
  const { code } = emitter;
  code.op(OP.i64_extend_u);
  code.i64(0x801);
  code.op(OP.i64_mul);
  code.set(emitter.ccB);
  code.get(result);
  code.set(emitter.ccResult);
  code.i32(KIND.result);
  code.set(emitter.ccKind);
}

/** IMUL with two or three operands. */
export function multiplyTwo(three: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    const { size, form } = instruction;
    if (form === 'RM') emitter.loadOperand(instruction, size, true);
    else emitter.readRegister(instruction.source, size);
    code.set(b);
    if (three) code.i64(size === 1 ? (instruction.immediate << 16) >> 16 : instruction.immediate);
    else emitter.readRegister(instruction.destination, size);
    code.set(a);
    code.get(a);
    code.get(b);
    code.op(OP.i64_mul);
    code.set(r);
    code.get(r);
    emitter.writeRegister(instruction.destination, size);
    if (!emitter.flagsNeeded) return;
    if (size === 3) {
      multiplyHigh(emitter, a, b, true);
      code.get(r);
      code.i64(63);
      code.op2(OP.i64_shr_s, OP.i64_ne);
    } else {
      code.get(r);
      code.get(r);
      extend(emitter, size);
      code.tee(r);
      code.op(OP.i64_ne);
    }
    productFlags(emitter, r);
  };
}

/** MUL and one-operand IMUL. */
export function multiplyWide(signed: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    const { size } = instruction;
    if (instruction.form === 'M') emitter.loadOperand(instruction, size, signed);
    else emitter.readRegister(instruction.destination, size, signed);
    code.set(b);
    emitter.readRegister(0, size, signed);
    code.set(a);
    code.get(a);
    code.get(b);
    code.op(OP.i64_mul);
    code.set(r);
    if (size === 3) {
      multiplyHigh(emitter, a, b, signed);
      code.tee(b);
      emitter.writeRegister(16, 3);
      code.get(r);
      emitter.writeRegister(0, 3);
      if (!emitter.flagsNeeded) return;
      code.get(b);
      if (signed) {
        code.get(r);
        code.i64(63);
        code.op(OP.i64_shr_s);
      } else code.i64(0);
      code.op(OP.i64_ne);
      productFlags(emitter, r);
      return;
    }
    const bits = bitsOf(size);
    if (size === 0) {
      code.get(r);
      emitter.writeRegister(0, 1);
    } else {
      code.get(r);
      code.i64(bits);
      code.op(OP.i64_shr_u);
      emitter.writeRegister(16, size);
      code.get(r);
      emitter.writeRegister(0, size);
    }
    if (!emitter.flagsNeeded) return;
    code.get(r);
    if (signed) {
      code.get(r);
      extend(emitter, size);
      code.op(OP.i64_ne);
    } else {
      code.i64(bits);
      code.op(OP.i64_shr_u);
      code.i64(0);
      code.op(OP.i64_ne);
    }
    code.get(r);
    extend(emitter, size);
    code.set(r);
    productFlags(emitter, r);
  };
}

/** Pushes the dividend of a division of 8 or 16 bits: AX, or DX with AX; sign-extended. */
function pushNarrowDividend(emitter: RegionEmitter, size: number, signed: boolean): void {
  const { code } = emitter;
  if (size === 0) {
    emitter.readRegister(0, 1, signed);
    return;
  }
  emitter.readRegister(16, 1, signed);
  code.i64(16);
  code.op(OP.i64_shl);
  emitter.readRegister(0, 1, false);
  code.op(OP.i64_or);
}

/** Writes quotient and remainder that locals hold: AL and AH with 8 bits, else A and D. */
function writeQuotient(emitter: RegionEmitter, size: number, quotient: number, remainder: number): void {
  const { code } = emitter;
  code.get(quotient);
  emitter.writeRegister(0, size);
  code.get(remainder);
  emitter.writeRegister(size === 0 ? 1 : 16, size);
}

/** The core divides: RAX, RDX and the divisor are stored for it, and what it makes of them is loaded again. */
function divideByCore(emitter: RegionEmitter, instruction: Instruction): void {
  const divisor = instruction.form === 'M' ? 0 : 1 << (instruction.destination >> 3);
  emitter.callCore(instruction, 1 | (1 << 2) | divisor, false);
}

/** Signed division of 8 and 16 bits: an i64 holds everything; what does not fit is the interpreter's. */
function divideSignedNarrow(emitter: RegionEmitter, instruction: Instruction): void {
  const { code, wide } = emitter;
  const [a, b, q] = wide;
  const { size } = instruction;
  if (instruction.form === 'M') emitter.loadOperand(instruction, size, true);
  else emitter.readRegister(instruction.destination, size);
  code.tee(b);
  code.op(OP.i64_eqz);
  emitter.sideExitIf();
  pushNarrowDividend(emitter, size, true);
  code.tee(a);
  code.get(b);
  code.op(OP.i64_div_s);
  code.tee(q);
  code.get(q);
  extend(emitter, size);
  code.op(OP.i64_ne);
  emitter.sideExitIf();
  code.get(a);
  code.get(b);
  code.op(OP.i64_rem_s);
  code.set(a);
  writeQuotient(emitter, size, q, a);
}

/** Signed division; of 32 and 64 bits in place when the dividend is a sign-extended one and the divisor neither 0 nor -1. */
export const divideSigned: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [a, b] = wide;
  const { size } = instruction;
  if (size < 2) {
    divideSignedNarrow(emitter, instruction);
    return;
  }
  if (instruction.form === 'M') emitter.loadOperand(instruction, size, true);
  else emitter.readRegister(instruction.destination, size);
  code.set(b);
  emitter.readRegister(0, size);
  code.set(a);
  code.get(b);
  code.i64(1);
  code.op(OP.i64_add);
  code.i64(1);
  code.op(OP.i64_le_u);
  emitter.readRegister(16, size);
  code.get(a);
  code.i64(63);
  code.op3(OP.i64_shr_s, OP.i64_ne, OP.i32_or);
  emitter.either(
    () => divideByCore(emitter, instruction),
    () => {
      code.get(a);
      code.get(b);
      code.op(OP.i64_div_s);
      emitter.writeRegister(0, size);
      code.get(a);
      code.get(b);
      code.op(OP.i64_rem_s);
      emitter.writeRegister(16, size);
    },
  );
};

/** Unsigned division; of 64 bits in place when there is nothing in RDX. */
export const divide: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [a, b, r] = wide;
  const { size } = instruction;
  const quotientAndRemainder = (): void => {
    code.get(a);
    code.get(b);
    code.op(OP.i64_div_u);
    code.set(r);
    code.get(a);
    code.get(b);
    code.op(OP.i64_rem_u);
    code.set(a);
    writeQuotient(emitter, size, r, a);
  };
  if (instruction.form === 'M') emitter.loadOperand(instruction, size, false);
  else emitter.readRegister(instruction.destination, size, false);
  code.set(b);
  if (size === 3) {
    code.get(b);
    code.op(OP.i64_eqz);
    emitter.readRegister(16, 3);
    code.i64(0);
    code.op2(OP.i64_ne, OP.i32_or);
    emitter.either(
      () => divideByCore(emitter, instruction),
      () => {
        emitter.readRegister(0, 3);
        code.set(a);
        quotientAndRemainder();
      },
    );
    return;
  }
  // The quotient fits when the high half is below the divisor (and so the divisor is not zero).
  emitter.readRegister(size === 0 ? 1 : 16, size, false);
  code.tee(r);
  code.get(b);
  code.op(OP.i64_ge_u);
  emitter.sideExitIf();
  code.get(r);
  code.i64(bitsOf(size));
  code.op(OP.i64_shl);
  emitter.readRegister(0, size, false);
  code.op(OP.i64_or);
  code.set(a);
  quotientAndRemainder();
};
