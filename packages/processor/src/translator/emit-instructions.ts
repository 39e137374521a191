/**
 * The instructions that have a translation, each as WebAssembly over the emitter's locals.
 *
 * Values are i64, sign-extended from the operand size, as in assembly/general.ts; wide[0] is the first operand, wide[1] the second,
 * wide[2] the result. What may fault does so before anything of the guest's state has changed.
 * Called by: region-emitter.ts; `translatable` by translator.ts.
 */
import { emitAllFlags, emitCarry, emitCondition } from './emit-conditions.ts';
import { KIND, kindAfter, shiftCount } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

type Emit = (emitter: RegionEmitter, instruction: Instruction) => void;

const bitsOf = (size: number): number => 8 << size;

/** Pushes the second operand: register, memory or immediate. */
function pushSource(emitter: RegionEmitter, instruction: Instruction, signed = true): void {
  const { form, size } = instruction;
  if (form === 'RI' || form === 'MI') {
    const { immediate } = instruction;
    emitter.code.i64(size === 0 ? (immediate << 24) >> 24 : size === 1 ? (immediate << 16) >> 16 : immediate);
  } else if (form === 'RM') emitter.loadOperand(instruction, size, signed);
  else emitter.readRegister(instruction.source, size, signed);
}

/** Extends the i64 on the stack from the operand size. */
function extend(emitter: RegionEmitter, size: number): void {
  const opcode = [OP.i64_extend8, OP.i64_extend16, OP.i64_extend32][size];
  if (opcode !== undefined) emitter.code.op(opcode);
}

/** Reads the destination into wide[0]; for memory the pointer stays in `pointer`. */
function readDestination(emitter: RegionEmitter, instruction: Instruction, writes: boolean): void {
  const { code, pointer, wide } = emitter;
  if (instruction.form.startsWith('M')) {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer(writes ? 'write' : 'read', 1 << instruction.size);
    code.tee(pointer);
    emitter.loadSized(instruction.size, true);
  } else emitter.readRegister(instruction.destination, instruction.size);
  code.set(wide[0]);
}
/** Writes a local to the destination that readDestination read. */
function writeDestination(emitter: RegionEmitter, instruction: Instruction, value: number): void {
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

function arithmetic(opcode: number, kind: number, writes: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    if (instruction.form === 'RM') {
      pushSource(emitter, instruction);
      code.set(b);
      readDestination(emitter, instruction, writes);
    } else {
      readDestination(emitter, instruction, writes);
      pushSource(emitter, instruction);
      code.set(b);
    }
    code.get(a);
    code.get(b);
    code.op(opcode);
    if (kind !== KIND.logic) extend(emitter, instruction.size);
    code.set(r);
    if (writes) writeDestination(emitter, instruction, r);
    if (kind === KIND.logic) {
      emitter.setFlags(KIND.add, r, r, undefined);
      emitter.kind = KIND.logic;
    } else emitter.setFlags(kind, r, a, b);
  };
}

/** ADC and SBB: flags are made at once where they can be seen. */
function withCarry(subtract: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, c] = wide;
    if (emitter.kind === undefined) {
      emitter.sideExit();
      emitter.kind = KIND.explicit;
      return;
    }
    if (instruction.form === 'RM') {
      pushSource(emitter, instruction);
      code.set(b);
      readDestination(emitter, instruction, true);
    } else {
      readDestination(emitter, instruction, true);
      pushSource(emitter, instruction);
      code.set(b);
    }
    emitCarry(emitter);
    code.set(c);
    code.get(a);
    code.get(b);
    code.op(subtract ? OP.i64_sub : OP.i64_add);
    code.get(c);
    code.op(subtract ? OP.i64_sub : OP.i64_add);
    extend(emitter, instruction.size);
    code.set(r);
    writeDestination(emitter, instruction, r);
    emitter.kind = KIND.explicit;
    if (!emitter.flagsNeeded) return;
    // CF: r < a, or r == a with a carry in (ADC); a < b, or a == b with a borrow in (SBB).
    const left = subtract ? a : r;
    const right = subtract ? b : a;
    code.get(left);
    code.get(right);
    code.op(OP.i64_lt_u, OP.i64_extend_u);
    code.get(left);
    code.get(right);
    code.op(OP.i64_eq, OP.i64_extend_u);
    code.get(c);
    code.op(OP.i64_and, OP.i64_or);
    // OF into bit 11: the sign of the product of differences.
    code.get(a);
    code.get(subtract ? b : r);
    code.op(OP.i64_xor);
    code.get(subtract ? a : b);
    code.get(r);
    code.op(OP.i64_xor, OP.i64_and);
    code.i64(63);
    code.op(OP.i64_shr_u);
    code.i64(11);
    code.op(OP.i64_shl, OP.i64_or);
    code.get(a);
    code.get(b);
    code.op(OP.i64_xor);
    code.get(r);
    code.op(OP.i64_xor);
    code.i64(0x10);
    code.op(OP.i64_and, OP.i64_or);
    resultFlags(emitter, r);
    code.op(OP.i64_or);
    code.set(emitter.ccB);
    code.i32(KIND.explicit);
    code.set(emitter.ccKind);
  };
}
/** Pushes SF, ZF and PF of a result. */
function resultFlags({ code }: RegionEmitter, r: number): void {
  code.get(r);
  code.op(OP.i64_eqz, OP.i64_extend_u);
  code.i64(6);
  code.op(OP.i64_shl);
  code.get(r);
  code.i64(56);
  code.op(OP.i64_shr_u);
  code.i64(0x80);
  code.op(OP.i64_and, OP.i64_or);
  code.get(r);
  code.i64(0xff);
  code.op(OP.i64_and, OP.i64_popcnt);
  code.i64(1);
  code.op(OP.i64_and);
  code.i64(1);
  code.op(OP.i64_xor);
  code.i64(2);
  code.op(OP.i64_shl, OP.i64_or);
}

function step(opcode: number, kind: number): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, c] = wide;
    if (emitter.flagsNeeded) {
      if (emitter.kind === undefined) {
        emitter.sideExit();
        return;
      }
      emitCarry(emitter);
      code.set(c);
    }
    readDestination(emitter, instruction, true);
    code.get(a);
    code.i64(1);
    code.op(opcode);
    extend(emitter, instruction.size);
    code.set(r);
    writeDestination(emitter, instruction, r);
    code.i64(1);
    code.set(b);
    emitter.setFlags(kind, r, a, b);
    if (emitter.flagsNeeded) {
      code.get(c);
      code.op(OP.i32_wrap);
      code.i32(8);
      code.op(OP.i32_shl);
      code.i32(kind);
      code.op(OP.i32_or);
      code.set(emitter.ccKind);
    } else emitter.kind = undefined;
  };
}

const move: Emit = (emitter, instruction) => {
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
function moveExtend(from: number, signed: boolean): Emit {
  return (emitter, instruction) => {
    if (instruction.form === 'RM') emitter.loadOperand(instruction, from, signed);
    else emitter.readRegister(instruction.source, from, signed);
    emitter.writeRegister(instruction.destination, instruction.size);
  };
}

/** SHL, SHR, SAR by a constant or by CL. */
function shift(operation: 'SHL' | 'SHR' | 'SAR'): Emit {
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
function rotate(left: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, , r, all] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    const count = shiftCount(instruction) ?? 0;
    if (emitter.flagsNeeded && count !== 0) {
      if (emitter.kind === undefined) {
        emitter.sideExit();
        emitter.kind = KIND.explicit;
        return;
      }
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
    // CF is the bit that came round; OF the top two bits' difference as for a count of one.
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
  };
}

/** Pushes the high half of a x b; operands in locals, signed or not. Uses the address and c locals. */
function multiplyHigh(emitter: RegionEmitter, a: number, b: number, signed: boolean): void {
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
  code.op(OP.i64_shr_u, OP.i64_add);
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
    code.op(OP.i64_and, OP.i64_sub);
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
function multiplyTwo(three: boolean): Emit {
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
    emitter.kind = KIND.result;
    if (!emitter.flagsNeeded) return;
    if (size === 3) {
      multiplyHigh(emitter, a, b, true);
      code.get(r);
      code.i64(63);
      code.op(OP.i64_shr_s, OP.i64_ne);
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

/** MUL and one-operand IMUL of 32 and 64 bits. */
function multiplyWide(signed: boolean): Emit {
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
    emitter.kind = KIND.result;
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
    code.get(r);
    code.i64(32);
    code.op(OP.i64_shr_u);
    emitter.writeRegister(16, 2);
    code.get(r);
    emitter.writeRegister(0, 2);
    if (!emitter.flagsNeeded) return;
    code.get(r);
    if (signed) {
      code.get(r);
      code.op(OP.i64_extend32, OP.i64_ne);
    } else {
      code.i64(32);
      code.op(OP.i64_shr_u);
      code.i64(0);
      code.op(OP.i64_ne);
    }
    code.get(r);
    code.op(OP.i64_extend32);
    code.set(r);
    productFlags(emitter, r);
  };
}

/** Unsigned division of 32 and 64 bits whose dividend has nothing in RDX; anything else is the interpreter's. */
const divide: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [a, b, r] = wide;
  const { size } = instruction;
  if (instruction.form === 'M') emitter.loadOperand(instruction, size, false);
  else emitter.readRegister(instruction.destination, size, false);
  code.set(b);
  if (size === 3) {
    code.get(b);
    code.op(OP.i64_eqz);
    emitter.readRegister(16, 3);
    code.i64(0);
    code.op(OP.i64_ne, OP.i32_or);
    emitter.sideExitIf();
    emitter.readRegister(0, 3);
    code.set(a);
  } else {
    // The quotient fits when the high half is below the divisor (and so the divisor is not zero).
    emitter.readRegister(16, 2, false);
    code.tee(r);
    code.get(b);
    code.op(OP.i64_ge_u);
    emitter.sideExitIf();
    code.get(r);
    code.i64(32);
    code.op(OP.i64_shl);
    emitter.readRegister(0, 2, false);
    code.op(OP.i64_or);
    code.set(a);
  }
  code.get(a);
  code.get(b);
  code.op(OP.i64_div_u);
  emitter.writeRegister(0, size);
  code.get(a);
  code.get(b);
  code.op(OP.i64_rem_u);
  emitter.writeRegister(16, size);
};

/** BT, BTS, BTR, BTC of a register, or of memory by a constant. */
function bitTest(change: number | undefined): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, all] = wide;
    const bits = bitsOf(instruction.size);
    if (emitter.flagsNeeded) {
      if (emitter.kind === undefined) {
        emitter.sideExit();
        emitter.kind = KIND.explicit;
        return;
      }
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

function bitScan(forward: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, , , all] = wide;
    const { size } = instruction;
    if (emitter.flagsNeeded) {
      if (emitter.kind === undefined) {
        emitter.sideExit();
        emitter.kind = KIND.explicit;
        return;
      }
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

function setCondition(suffix: string): Emit {
  return (emitter, instruction) => {
    const { code } = emitter;
    if (emitter.kind === undefined) {
      emitter.sideExit();
      return;
    }
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

function conditionalMove(suffix: string): Emit {
  return (emitter, instruction) => {
    const { code } = emitter;
    if (emitter.kind === undefined) {
      emitter.sideExit();
      return;
    }
    if (instruction.form === 'RM') emitter.loadOperand(instruction, instruction.size, false);
    else emitter.readRegister(instruction.source, instruction.size, false);
    emitter.readRegister(instruction.destination, instruction.size, false);
    emitCondition(emitter, suffix);
    code.op(OP.select);
    emitter.writeRegister(instruction.destination, instruction.size);
  };
}

const push: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  if (instruction.form === 'M') emitter.loadOperand(instruction, 3, true);
  else if (instruction.form === 'R') emitter.readRegister(instruction.destination, 3);
  else code.i64(instruction.immediate);
  code.set(wide[0]);
  emitter.push(() => code.get(wide[0]));
};

const pop: Emit = (emitter, instruction) => {
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

const leave: Emit = (emitter) => {
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

const exchange: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const { size } = instruction;
  emitter.readRegister(instruction.destination, size);
  code.set(wide[0]);
  emitter.readRegister(instruction.source, size);
  emitter.writeRegister(instruction.destination, size);
  code.get(wide[0]);
  emitter.writeRegister(instruction.source, size);
};

const nothing: Emit = () => {};

const TRANSLATIONS: Readonly<Record<string, Emit>> = {
  MOV: move,
  MOV_IMM64: (emitter, instruction) => {
    emitter.code.i64(instruction.wide);
    emitter.writeRegister(instruction.destination, instruction.size);
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
    const { code, wide } = emitter;
    const [a, b, r] = wide;
    readDestination(emitter, instruction, true);
    code.get(a);
    code.set(b);
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
  IMUL2: multiplyTwo(false),
  IMUL3: multiplyTwo(true),
  MUL: multiplyWide(false),
  IMUL1: multiplyWide(true),
  DIV: divide,
  BT: bitTest(undefined),
  BTS: bitTest(OP.i64_or),
  BTR: bitTest(OP.i64_and),
  BTC: bitTest(OP.i64_xor),
  BSF: bitScan(true),
  BSR: bitScan(false),
  PUSH: push,
  PUSH_IMM: push,
  POP: pop,
  LEAVE: leave,
  XCHG: exchange,
  BSWAP: (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b] = wide;
    emitter.readRegister(instruction.destination, 3);
    code.set(a);
    // Swap bytes, then 16-bit halves, then 32-bit halves.
    for (const [mask, distance] of [
      [0x00ff00ff00ff00ffn, 8],
      [0x0000ffff0000ffffn, 16],
    ] as const) {
      code.get(a);
      code.i64(distance);
      code.op(OP.i64_shr_u);
      code.i64(mask);
      code.op(OP.i64_and);
      code.get(a);
      code.i64(mask);
      code.op(OP.i64_and);
      code.i64(distance);
      code.op(OP.i64_shl, OP.i64_or);
      code.set(a);
    }
    code.get(a);
    if (instruction.size === 3) {
      code.i64(32);
      code.op(OP.i64_rotl);
    }
    code.set(b);
    code.get(b);
    emitter.writeRegister(instruction.destination, instruction.size);
  },
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
  NOP: nothing,
  NOP_MODRM: nothing,
  FENCE: nothing,
};

/** Control transfers, which the region's structure handles; only in their 64-bit forms. */
const TRANSFERS = new Set(['JMP', 'CALL', 'RET', 'JMP_INDIRECT', 'CALL_INDIRECT']);

function emitOf(operation: string): Emit | undefined {
  if (operation.startsWith('SETCC_')) return setCondition(operation.slice(6));
  if (operation.startsWith('CMOVCC_')) return conditionalMove(operation.slice(7));
  return TRANSLATIONS[operation];
}

/** Whether an instruction of 64-bit code has a translation. */
export function translatable(instruction: Instruction): boolean {
  const { operation, form, size } = instruction;
  if (operation.startsWith('JCC_') || TRANSFERS.has(operation)) return size === 3;
  if (emitOf(operation) === undefined) return false;
  // A LOCK prefix stands in the destination byte of memory forms.
  if ((form === 'M' || form === 'MR' || form === 'MI') && instruction.destination !== 0) return false;
  switch (operation) {
    case 'PUSH':
    case 'PUSH_IMM':
    case 'LEAVE':
      return size === 3;
    case 'POP':
      return size === 3 && form === 'R';
    case 'XCHG':
      return form === 'RR';
    case 'ROL':
    case 'ROR':
      return form === 'RI' || form === 'MI';
    case 'BT':
    case 'BTS':
    case 'BTR':
    case 'BTC':
      return form !== 'MR';
    case 'MUL':
    case 'IMUL1':
    case 'DIV':
    case 'BSWAP':
      return size >= 2;
    case 'MOVSXD':
      return size >= 2;
    case 'CWDE':
    case 'CDQ':
      return size >= 1;
    default:
      return true;
  }
}

/** Emits one instruction; its operation must be translatable and no transfer. */
export function emitInstruction(emitter: RegionEmitter, instruction: Instruction): void {
  const emit = emitOf(instruction.operation);
  if (emit === undefined) throw new RangeError(`no translation of ${instruction.operation}`);
  emit(emitter, instruction);
}
