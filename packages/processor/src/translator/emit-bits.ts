/**
 * Shifts, rotates, bit tests and bit scans as WebAssembly.
 *
 * Flags that the manual leaves undefined come out as the interpreter's. Answers to: AMD64 manual volume 3.
 * The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts.
 */
import { emitAllFlags } from './emit-conditions.ts';
import { bitsOf, type Emit, extend, readDestination, writeDestination } from './emit-operands.ts';
import { KIND, kindAfter, shiftCount } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP, VOID } from './wasm-encoder.ts';

/** SHL, SHR, SAR by a constant or by CL. */
export function shift(operation: 'SHL' | 'SHR' | 'SAR'): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    const count = shiftCount(instruction);
    const mask = size === 3 ? 63 : 31;
    readDestination(emitter, instruction, true);
    if (count === 0) {
      writeDestination(emitter, instruction, a);
      return;
    }
    // wide[1] is the count.
    if (count === undefined) {
      emitter.readRegister(8, 3);
      code.i64(mask);
      code.op(OP.i64_and);
    } else code.i64(count);
    code.set(b);
    if (operation !== 'SAR' && size !== 3) {
      code.get(a);
      code.i64((1n << BigInt(bits)) - 1n);
      code.op(OP.i64_and);
      code.set(a);
    }
    code.get(a);
    code.get(b);
    code.op(operation === 'SHL' ? OP.i64_shl : operation === 'SHR' ? OP.i64_shr_u : OP.i64_shr_s);
    extend(emitter, size);
    code.set(r);
    writeDestination(emitter, instruction, r);
    if (!emitter.flagsNeeded) {
      emitter.kind = kindAfter(instruction, emitter.kind);
      return;
    }
    const flags = (): void => {
      // CF: the last bit shifted out.
      code.get(a);
      if (operation === 'SHL') {
        // Counts beyond the width shift out zeros: the masked operand has them above.
        code.i64(bits);
        code.get(b);
        code.op(OP.i64_sub);
        code.op(OP.i64_shr_u);
        if (size < 2) {
          // A count above the width makes the shift distance negative, and CF zero.
          code.i64(0);
          code.get(b);
          code.i64(bits);
          code.op(OP.i64_le_u);
          code.op(OP.select);
        }
      } else {
        code.get(b);
        code.i64(1);
        code.op(OP.i64_sub);
        code.op(operation === 'SAR' ? OP.i64_shr_s : OP.i64_shr_u);
      }
      code.i64(1);
      code.op(OP.i64_and);
      code.set(emitter.ccB);
      if (operation !== 'SAR') {
        // OF as for a count of one: top bit against carry (SHL), against the bit below it (SHR).
        code.get(r);
        code.i64(operation === 'SHL' ? 63 : 63);
        code.op(OP.i64_shr_u);
        if (operation === 'SHL') code.get(emitter.ccB);
        else {
          code.get(r);
          code.i64(bits - 2);
          code.op(OP.i64_shr_u);
          code.i64(1);
          code.op(OP.i64_and);
        }
        code.op(OP.i64_xor);
        code.i64(11);
        code.op(OP.i64_shl);
        code.get(emitter.ccB);
        code.op(OP.i64_or);
        code.set(emitter.ccB);
      }
      code.get(r);
      code.set(emitter.ccResult);
      code.i32(KIND.result);
      code.set(emitter.ccKind);
    };
    if (count !== undefined) {
      flags();
      emitter.kind = KIND.result;
      return;
    }
    code.get(b);
    code.i64(0);
    code.op(OP.i64_ne, OP.if, 0x40);
    flags();
    code.op(OP.end);
    emitter.kind = undefined;
  };
}

/** ROL and ROR by a constant; flags other than CF and OF stay. */
export function rotate(left: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, , r, all] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    const constant = shiftCount(instruction);
    if (constant === undefined) {
      rotateByCl(emitter, instruction, left);
      return;
    }
    const count = constant;
    if (emitter.flagsNeeded && count !== 0) {
      emitAllFlags(emitter);
      code.set(all);
    }
    readDestination(emitter, instruction, true);
    const distance = count & (bits - 1);
    if (size >= 2) {
      code.get(a);
      if (size === 2) code.op(OP.i32_wrap);
      if (size === 2) code.i32(distance);
      else code.i64(distance);
      code.op(size === 2 ? (left ? OP.i32_rotl : OP.i32_rotr) : left ? OP.i64_rotl : OP.i64_rotr);
      if (size === 2) code.op(OP.i64_extend_u);
    } else {
      code.get(a);
      code.i64((1n << BigInt(bits)) - 1n);
      code.op(OP.i64_and);
      code.set(a);
      code.get(a);
      code.i64(distance);
      code.op(left ? OP.i64_shl : OP.i64_shr_u);
      code.get(a);
      code.i64(bits - distance);
      code.op(left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or);
    }
    code.set(r);
    writeDestination(emitter, instruction, r);
    if (count === 0) return;
    emitter.kind = KIND.explicit;
    if (!emitter.flagsNeeded) return;
    rotateFlags(emitter, left, bits, r, all);
  };
}

/** CF is the bit that came round, OF the top two bits' difference as for a count of one; the other flags are in `all`. */
function rotateFlags(emitter: RegionEmitter, left: boolean, bits: number, r: number, all: number): void {
  const { code } = emitter;
  code.get(all);
  code.i64(~0x801n);
  code.op(OP.i64_and);
  const top = (shiftDown: number): void => {
    code.get(r);
    code.i64(shiftDown);
    code.op(OP.i64_shr_u);
    code.i64(1);
    code.op(OP.i64_and);
  };
  top(left ? 0 : bits - 1);
  code.op(OP.i64_or);
  top(bits - 1);
  top(left ? 0 : bits - 2);
  code.op(OP.i64_xor);
  code.i64(11);
  code.op(OP.i64_shl, OP.i64_or);
  code.set(emitter.ccB);
  code.i32(KIND.explicit);
  code.set(emitter.ccKind);
}

/** ROL and ROR of 32 and 64 bits by CL: a count of zero leaves the flags as they were. */
function rotateByCl(emitter: RegionEmitter, instruction: Instruction, left: boolean): void {
  const { code, wide } = emitter;
  const [a, count, r, all] = wide;
  const { size } = instruction;
  if (emitter.flagsNeeded) {
    emitAllFlags(emitter);
    code.set(all);
  }
  readDestination(emitter, instruction, true);
  emitter.readRegister(8, 3);
  code.i64(size === 3 ? 63 : 31);
  code.op(OP.i64_and);
  code.set(count);
  code.get(a);
  if (size === 2) code.op(OP.i32_wrap);
  code.get(count);
  if (size === 2) code.op(OP.i32_wrap);
  code.op(size === 2 ? (left ? OP.i32_rotl : OP.i32_rotr) : left ? OP.i64_rotl : OP.i64_rotr);
  if (size === 2) code.op(OP.i64_extend_u);
  code.set(r);
  writeDestination(emitter, instruction, r);
  if (emitter.flagsNeeded) {
    code.get(count);
    code.i64(0);
    code.op(OP.i64_ne, OP.if, VOID);
    rotateFlags(emitter, left, bitsOf(size), r, all);
    code.op(OP.end);
  }
  emitter.kind = undefined;
}

/** BT, BTS, BTR, BTC of a register, or of memory by a constant. */
export function bitTest(change: number | undefined): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, all] = wide;
    const bits = bitsOf(instruction.size);
    if (emitter.flagsNeeded) {
      emitAllFlags(emitter);
      code.i64(~1n);
      code.op(OP.i64_and);
      code.set(all);
    }
    readDestination(emitter, instruction, change !== undefined);
    if (instruction.form === 'RI' || instruction.form === 'MI') code.i64(instruction.immediate & (bits - 1));
    else {
      emitter.readRegister(instruction.source, 3);
      code.i64(bits - 1);
      code.op(OP.i64_and);
    }
    code.set(b);
    if (change !== undefined) {
      code.get(a);
      code.i64(1);
      code.get(b);
      code.op(OP.i64_shl);
      if (change === OP.i64_and) {
        code.i64(-1);
        code.op(OP.i64_xor);
      }
      code.op(change);
      code.set(r);
      writeDestination(emitter, instruction, r);
    }
    emitter.kind = KIND.explicit;
    if (!emitter.flagsNeeded) return;
    code.get(a);
    code.get(b);
    code.op(OP.i64_shr_u);
    code.i64(1);
    code.op(OP.i64_and);
    code.get(all);
    code.op(OP.i64_or);
    code.set(emitter.ccB);
    code.i32(KIND.explicit);
    code.set(emitter.ccKind);
  };
}

export function bitScan(forward: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, , , all] = wide;
    const { size } = instruction;
    if (emitter.flagsNeeded) {
      emitAllFlags(emitter);
      code.i64(~0x40n);
      code.op(OP.i64_and);
      code.set(all);
    }
    if (instruction.form === 'RM') emitter.loadOperand(instruction, size, false);
    else emitter.readRegister(instruction.source, size, false);
    code.set(a);
    // A zero source leaves the destination alone.
    code.get(a);
    code.i64(0);
    code.op(OP.i64_ne, OP.if, 0x40);
    if (forward) {
      code.get(a);
      code.op(OP.i64_ctz);
    } else {
      code.i64(63);
      code.get(a);
      code.op(OP.i64_clz, OP.i64_sub);
    }
    emitter.writeRegister(instruction.destination, size);
    code.op(OP.end);
    emitter.kind = KIND.explicit;
    if (!emitter.flagsNeeded) return;
    code.get(a);
    code.op(OP.i64_eqz, OP.i64_extend_u);
    code.i64(6);
    code.op(OP.i64_shl);
    code.get(all);
    code.op(OP.i64_or);
    code.set(emitter.ccB);
    code.i32(KIND.explicit);
    code.set(emitter.ccKind);
  };
}
