/**
 * Addition, subtraction, logic, INC and DEC as WebAssembly, and the flags that ADC and SBB leave.
 *
 * Answers to: AMD64 manual volume 3. The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts.
 */
import { emitCarry } from './emit-conditions.ts';
import { type Emit, extend, pushSource, pushUncut, readDestination, writeDestination } from './emit-operands.ts';
import { FLAG, KIND } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

/** ADD, SUB, CMP and logic. `writes`: not only for the flags. */
export function arithmetic(opcode: number, kind: number, writes: boolean): Emit {
  return (emitter, instruction) => {
    const { code, ccA, ccB, ccResult, flagsNeeded, wide } = emitter;
    const { form, size } = instruction;
    if (!flagsNeeded && form.startsWith('R')) {
      withoutFlags(emitter, instruction, opcode, writes);
      return;
    }
    // Nothing leaves the region once the operands are read, so they are read into where the flags are made from.
    const [a, b, r] = flagsNeeded ? [ccA, ccB, ccResult] : wide;
    if (form === 'RM') {
      pushSource(emitter, instruction);
      code.set(b);
      readDestination(emitter, instruction, writes, a);
    } else {
      readDestination(emitter, instruction, writes, a);
      pushSource(emitter, instruction);
      code.set(b);
    }
    code.get(a);
    code.get(b);
    code.op(opcode);
    if (kind !== KIND.logic) extend(emitter, size);
    code.set(r);
    if (writes) writeDestination(emitter, instruction, r);
    if (kind === KIND.logic) emitter.setFlags(KIND.add, r, r, undefined);
    else emitter.setFlags(kind, r, a, b);
  };
}

/** A register destination and nobody who sees the flags: what is above the operand is cut off at the end. */
function withoutFlags(emitter: RegionEmitter, instruction: Instruction, opcode: number, writes: boolean): void {
  const { code, wide } = emitter;
  const { destination, form, immediate, size, source } = instruction;
  if (form === 'RM') {
    // Its fault is to be seen in any case.
    pushSource(emitter, instruction, false);
    code.set(wide[1]);
  }
  if (!writes) return;
  pushUncut(emitter, destination);
  if (form === 'RM') code.get(wide[1]);
  else if (form === 'RI') code.i64(immediate);
  else pushUncut(emitter, source);
  code.op(opcode);
  emitter.writeRegister(destination, size);
}

/** ADC and SBB: flags are made at once where they can be seen. */
export function withCarry(subtract: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, c] = wide;
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
    if (!emitter.flagsNeeded) return;
    const { live } = emitter;
    // CF: r < a, or r == a with a carry in (ADC); a < b, or a == b with a borrow in (SBB).
    const left = subtract ? a : r;
    const right = subtract ? b : a;
    code.get(left);
    code.get(right);
    code.op2(OP.i64_lt_u, OP.i64_extend_u);
    code.get(left);
    code.get(right);
    code.op2(OP.i64_eq, OP.i64_extend_u);
    code.get(c);
    code.op2(OP.i64_and, OP.i64_or);
    if ((live & FLAG.overflow) !== 0) {
      // The sign of the product of differences, into bit 11.
      code.get(a);
      code.get(subtract ? b : r);
      code.op(OP.i64_xor);
      code.get(subtract ? a : b);
      code.get(r);
      code.op2(OP.i64_xor, OP.i64_and);
      code.i64(63);
      code.op(OP.i64_shr_u);
      code.i64(11);
      code.op2(OP.i64_shl, OP.i64_or);
    }
    if ((live & FLAG.auxiliary) !== 0) {
      code.get(a);
      code.get(b);
      code.op(OP.i64_xor);
      code.get(r);
      code.op(OP.i64_xor);
      code.i64(0x10);
      code.op2(OP.i64_and, OP.i64_or);
    }
    orResultFlags(emitter, r);
    code.set(emitter.ccB);
    code.i32(KIND.explicit);
    code.set(emitter.ccKind);
  };
}

/** Adds SF, ZF and PF of a result, those that can be seen, to the flags on the stack. */
function orResultFlags({ code, live }: RegionEmitter, r: number): void {
  if ((live & FLAG.zero) !== 0) {
    code.get(r);
    code.op2(OP.i64_eqz, OP.i64_extend_u);
    code.i64(6);
    code.op2(OP.i64_shl, OP.i64_or);
  }
  if ((live & FLAG.sign) !== 0) {
    code.get(r);
    code.i64(56);
    code.op(OP.i64_shr_u);
    code.i64(0x80);
    code.op2(OP.i64_and, OP.i64_or);
  }
  if ((live & FLAG.parity) !== 0) {
    code.get(r);
    code.i64(0xff);
    code.op2(OP.i64_and, OP.i64_popcnt);
    code.i64(1);
    code.op(OP.i64_and);
    code.i64(1);
    code.op(OP.i64_xor);
    code.i64(2);
    code.op2(OP.i64_shl, OP.i64_or);
  }
}

/** INC and DEC: CF stays, so it is made before the others change. */
export function step(opcode: number, kind: number): Emit {
  return (emitter, instruction) => {
    const { code, ccA, ccB, ccResult, wide } = emitter;
    const keepsCarry = emitter.flagsNeeded && (emitter.live & FLAG.carry) !== 0;
    if (keepsCarry) {
      emitCarry(emitter);
      code.set(wide[3]);
    }
    const [a, r] = emitter.flagsNeeded ? [ccA, ccResult] : [wide[0], wide[2]];
    readDestination(emitter, instruction, true, a);
    code.get(a);
    code.i64(1);
    code.op(opcode);
    extend(emitter, instruction.size);
    code.set(r);
    writeDestination(emitter, instruction, r);
    if (!emitter.flagsNeeded) return;
    code.i64(1);
    code.set(ccB);
    emitter.setFlags(kind, r, a, ccB);
    if (keepsCarry) pushCarryKind(emitter, kind, wide[3]);
  };
}

/** Sets the kind of INC or DEC with the carry that a local holds. */
export function pushCarryKind({ code, ccKind }: RegionEmitter, kind: number, carry: number): void {
  code.get(carry);
  code.op(OP.i32_wrap);
  code.i32(8);
  code.op(OP.i32_shl);
  code.i32(kind);
  code.op(OP.i32_or);
  code.set(ccKind);
}
