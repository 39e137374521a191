/**
 * Shifts, double shifts and rotates as WebAssembly.
 *
 * Flags that the manual leaves undefined come out as the interpreter's. A count of zero leaves all flags as they were.
 * Answers to: AMD64 manual volume 3; assembly/bits.ts. The conventions of locals are those of emit-operands.ts.
 * Called by: emit-instructions.ts.
 */
import { emitCarry, emitFlags } from './emit-conditions.ts';
import { bitsOf, type Emit, extend, readDestination, writeDestination } from './emit-operands.ts';
import { FLAG, KIND, shiftCount } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP, VOID } from './wasm-encoder.ts';

/** A shift's count: a constant, or CL as the processor masks it, which then has a local. */
interface Count {
  readonly constant: number | undefined;
  /** Pushes `from` plus (`sign` 1) or less (-1) the count. */
  push(sign?: 1 | -1, from?: number): void;
  /** Emits what only happens when the count is not zero. */
  whenNotZero(emit: () => void): void;
}

/** Puts the count where it can be pushed from; `local` is taken when it is in CL. */
function countOf(emitter: RegionEmitter, instruction: Instruction, local: number): Count {
  const { code } = emitter;
  const constant = shiftCount(instruction);
  if (constant !== undefined) {
    return {
      constant,
      push: (sign = 1, from = 0) => code.i64(from + sign * constant),
      whenNotZero: (emit) => emit(),
    };
  }
  emitter.readRegister(8, 3);
  code.i64(instruction.size === 3 ? 63 : 31);
  code.op(OP.i64_and);
  code.set(local);
  return {
    constant,
    push: (sign = 1, from = 0) => {
      if (sign === -1) code.i64(from);
      code.get(local);
      if (sign === -1) code.op(OP.i64_sub);
      else if (from !== 0) {
        code.i64(from);
        code.op(OP.i64_add);
      }
    },
    whenNotZero: (emit) => {
      code.get(local);
      code.op4(OP.i64_eqz, OP.i32_eqz, OP.if, VOID);
      emit();
      code.op(OP.end);
    },
  };
}

/** Clears what a local has above the operand size. */
function zeroExtend({ code }: RegionEmitter, local: number, size: number): void {
  if (size === 3) return;
  code.get(local);
  code.i64((1n << BigInt(bitsOf(size))) - 1n);
  code.op(OP.i64_and);
  code.set(local);
}

/** Pushes one bit of a local. */
function bitOf({ code }: RegionEmitter, local: number, bit: number): void {
  code.get(local);
  if (bit !== 0) {
    code.i64(bit);
    code.op(OP.i64_shr_u);
  }
  code.i64(1);
  code.op(OP.i64_and);
}

/** Makes the flags those of a result, with CF and OF in ccB. */
function setResultKind({ code, ccKind, ccResult }: RegionEmitter, result: number): void {
  code.get(result);
  code.set(ccResult);
  code.i32(KIND.result);
  code.set(ccKind);
}

/** SHL, SHR, SAR by a constant or by CL. */
export function shift(operation: 'SHL' | 'SHR' | 'SAR'): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    readDestination(emitter, instruction, true);
    if (shiftCount(instruction) === 0) {
      writeDestination(emitter, instruction, a);
      return;
    }
    const count = countOf(emitter, instruction, b);
    if (operation !== 'SAR') zeroExtend(emitter, a, size);
    code.get(a);
    count.push();
    code.op(operation === 'SHL' ? OP.i64_shl : operation === 'SHR' ? OP.i64_shr_u : OP.i64_shr_s);
    extend(emitter, size);
    code.set(r);
    writeDestination(emitter, instruction, r);
    if (!emitter.flagsNeeded) return;
    count.whenNotZero(() => {
      // CF: the last bit shifted out.
      code.get(a);
      if (operation === 'SHL') {
        count.push(-1, bits);
        code.op(OP.i64_shr_u);
        if (size < 2) {
          // A count above the width makes the shift distance negative, and CF zero.
          code.i64(0);
          count.push();
          code.i64(bits);
          code.op(OP.i64_le_u);
          code.op(OP.select);
        }
      } else {
        count.push(1, -1);
        code.op(operation === 'SAR' ? OP.i64_shr_s : OP.i64_shr_u);
      }
      code.i64(1);
      code.op(OP.i64_and);
      code.set(emitter.ccB);
      if (operation !== 'SAR' && (emitter.live & FLAG.overflow) !== 0) {
        // OF as for a count of one: top bit against carry (SHL), against the bit below it (SHR).
        bitOf(emitter, r, bits - 1);
        if (operation === 'SHL') code.get(emitter.ccB);
        else bitOf(emitter, r, bits - 2);
        code.op(OP.i64_xor);
        code.i64(11);
        code.op(OP.i64_shl);
        code.get(emitter.ccB);
        code.op(OP.i64_or);
        code.set(emitter.ccB);
      }
      setResultKind(emitter, r);
    });
  };
}

/** Takes an i64: with a count of zero, a local instead. */
function unlessZero({ code }: RegionEmitter, count: Count, local: number): void {
  if (count.constant !== undefined) return;
  code.get(local);
  count.push();
  code.op3(OP.i64_eqz, OP.i32_eqz, OP.select);
}

/** SHLD and SHRD, by an immediate or by CL. */
export function doubleShift(left: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, n] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    readDestination(emitter, instruction, true);
    if (shiftCount(instruction) === 0) {
      writeDestination(emitter, instruction, a);
      return;
    }
    const count = countOf(emitter, instruction, n);
    zeroExtend(emitter, a, size);
    emitter.readRegister(instruction.source, size, false);
    code.set(b);
    if (size === 3) {
      // A count of zero, which would want a shift by 64, takes the operand itself.
      code.get(a);
      count.push();
      code.op(left ? OP.i64_shl : OP.i64_shr_u);
      code.get(b);
      count.push(-1, 64);
      code.op2(left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or);
      unlessZero(emitter, count, a);
      code.set(r);
    } else {
      // Both operands in one value. With 16 bits the destination comes again behind the source: so the silicon treats counts above 16.
      if (size === 1) {
        code.get(a);
        code.i64(32);
        code.op(OP.i64_shl);
        code.get(b);
        code.i64(16);
        code.op2(OP.i64_shl, OP.i64_or);
        code.get(a);
        code.op(OP.i64_or);
      } else {
        code.get(left ? a : b);
        code.i64(32);
        code.op(OP.i64_shl);
        code.get(left ? b : a);
        code.op(OP.i64_or);
      }
      if (left) count.push(-1, 32);
      else count.push();
      code.op(OP.i64_shr_u);
      extend(emitter, size);
      code.set(r);
    }
    writeDestination(emitter, instruction, r);
    if (!emitter.flagsNeeded) return;
    count.whenNotZero(() => {
      if (left) {
        // With 16 bits and a count above it, the bit comes from the source.
        code.get(a);
        if (size === 1) {
          code.i64(16);
          code.op(OP.i64_shl);
          code.get(b);
          code.op(OP.i64_or);
        }
        count.push(-1, size === 1 ? 32 : bits);
      } else {
        code.get(a);
        if (size === 1) {
          code.get(b);
          code.i64(16);
          code.op2(OP.i64_shl, OP.i64_or);
        }
        count.push(1, -1);
      }
      code.op(OP.i64_shr_u);
      code.i64(1);
      code.op(OP.i64_and);
      // OF: the top bit changed.
      code.get(r);
      code.get(a);
      code.op(OP.i64_xor);
      code.i64(bits - 1);
      code.op(OP.i64_shr_u);
      code.i64(1);
      code.op(OP.i64_and);
      code.i64(11);
      code.op2(OP.i64_shl, OP.i64_or);
      code.set(emitter.ccB);
      setResultKind(emitter, r);
    });
  };
}

/** Pushes a local rotated by a distance (0 to the width less one) that `distance` pushes: i64, zero-extended below 32 bits. */
function pushRotated(emitter: RegionEmitter, size: number, left: boolean, a: number, distance: () => void): void {
  const { code } = emitter;
  const bits = bitsOf(size);
  code.get(a);
  if (size >= 2) {
    if (size === 2) code.op(OP.i32_wrap);
    distance();
    if (size === 2) code.op(OP.i32_wrap);
    code.op(size === 2 ? (left ? OP.i32_rotl : OP.i32_rotr) : left ? OP.i64_rotl : OP.i64_rotr);
    if (size === 2) code.op(OP.i64_extend_u);
    return;
  }
  distance();
  code.op(left ? OP.i64_shl : OP.i64_shr_u);
  code.get(a);
  code.i64(bits);
  distance();
  code.op3(OP.i64_sub, left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or);
}

/** ROL and ROR; flags other than CF and OF stay. */
export function rotate(left: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, n, r, kept] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    keepOthers(emitter, kept);
    readDestination(emitter, instruction, true);
    if (size < 2) zeroExtend(emitter, a, size);
    const count = countOf(emitter, instruction, n);
    pushRotated(emitter, size, left, a, () => {
      if (count.constant !== undefined) code.i64(count.constant & (bits - 1));
      else {
        count.push();
        if (size < 2) {
          code.i64(bits - 1);
          code.op(OP.i64_and);
        }
      }
    });
    code.set(r);
    writeDestination(emitter, instruction, r);
    if (!emitter.flagsNeeded) return;
    count.whenNotZero(() => rotateFlags(emitter, left, bits, r, kept, () => bitOf(emitter, r, left ? 0 : bits - 1)));
  };
}

/** Puts the flags that a rotate leaves alone, and that can be seen, into a local. */
function keepOthers(emitter: RegionEmitter, kept: number): void {
  const others = othersOf(emitter);
  if (!emitter.flagsNeeded || others === 0) return;
  emitFlags(emitter, others);
  emitter.code.set(kept);
}
const othersOf = ({ live }: RegionEmitter): number => live & ~(FLAG.carry | FLAG.overflow);

/** CF from what `carry` pushes, OF as for a count of one; the other flags are in `kept`. */
function rotateFlags(
  emitter: RegionEmitter,
  left: boolean,
  bits: number,
  r: number,
  kept: number,
  carry: () => void,
): void {
  const { code, ccB, ccKind } = emitter;
  carry();
  if ((emitter.live & FLAG.overflow) !== 0) {
    code.set(ccB);
    // The top bit against CF (left), against the bit below it (right).
    bitOf(emitter, r, bits - 1);
    if (left) code.get(ccB);
    else bitOf(emitter, r, bits - 2);
    code.op(OP.i64_xor);
    code.i64(11);
    code.op(OP.i64_shl);
    code.get(ccB);
    code.op(OP.i64_or);
  }
  if (othersOf(emitter) !== 0) {
    code.get(kept);
    code.op(OP.i64_or);
  }
  code.set(ccB);
  code.i32(KIND.explicit);
  code.set(ccKind);
}

/** RCL and RCR: rotates of one bit more than the operand has, CF above it. */
export function rotateThroughCarry(left: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, n, r, kept] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    keepOthers(emitter, kept);
    readDestination(emitter, instruction, true);
    if (shiftCount(instruction) === 0) {
      writeDestination(emitter, instruction, a);
      return;
    }
    const count = countOf(emitter, instruction, n);
    // Nothing leaves the region from here on, so this local is free.
    const carryOut = emitter.address;
    if (size === 3) throughCarry64(emitter, count, left, carryOut);
    else {
      zeroExtend(emitter, a, size);
      emitCarry(emitter);
      code.i64(bits);
      code.op(OP.i64_shl);
      code.get(a);
      code.op(OP.i64_or);
      code.set(a);
      const distance = (): void => {
        if (count.constant !== undefined) code.i64(count.constant % (bits + 1));
        else {
          count.push();
          if (size < 2) {
            code.i64(bits + 1);
            code.op(OP.i64_rem_u);
          }
        }
      };
      code.get(a);
      distance();
      code.op(left ? OP.i64_shl : OP.i64_shr_u);
      code.get(a);
      if (count.constant !== undefined) code.i64(bits + 1 - (count.constant % (bits + 1)));
      else {
        code.i64(bits + 1);
        distance();
        code.op(OP.i64_sub);
      }
      code.op2(left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or);
      code.tee(r);
      code.i64(bits);
      code.op(OP.i64_shr_u);
      code.i64(1);
      code.op(OP.i64_and);
      code.set(carryOut);
    }
    writeDestination(emitter, instruction, r);
    if (!emitter.flagsNeeded) return;
    count.whenNotZero(() => rotateFlags(emitter, left, bits, r, kept, () => code.get(carryOut)));
  };
}

/** The 64-bit forms, whose 65 bits have no local. */
function throughCarry64(emitter: RegionEmitter, count: Count, left: boolean, carryOut: number): void {
  const { code, wide } = emitter;
  const [a, , r] = wide;
  // The operand without the bit that goes into CF, then CF, then what came round behind it.
  code.get(a);
  count.push();
  code.op(left ? OP.i64_shl : OP.i64_shr_u);
  emitCarry(emitter);
  if (left) count.push(1, -1);
  else count.push(-1, 64);
  code.op2(OP.i64_shl, OP.i64_or);
  if (count.constant !== 1) {
    code.get(a);
    code.i64(1);
    code.op(left ? OP.i64_shr_u : OP.i64_shl);
    count.push(-1, 64);
    code.op2(left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or);
  }
  unlessZero(emitter, count, a);
  code.set(r);
  code.get(a);
  if (left) count.push(-1, 64);
  else count.push(1, -1);
  code.op(OP.i64_shr_u);
  code.i64(1);
  code.op(OP.i64_and);
  code.set(carryOut);
}
