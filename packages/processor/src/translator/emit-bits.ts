/**
 * Bit tests, bit scans, POPCNT, BSWAP, and additions that know one flag only, as WebAssembly.
 *
 * Flags that the manual leaves undefined come out as the interpreter's. Answers to: AMD64 manual volume 3.
 * The conventions of locals are those of emit-operands.ts. Called by: emit-instructions.ts.
 */
import { alignedPointer } from './emit-atomics.ts';
import { emitCondition, emitFlags } from './emit-conditions.ts';
import { bitsOf, type Emit, pushSource, readDestination, writeDestination } from './emit-operands.ts';
import { pushVector } from './emit-vector-operands.ts';
import { ALL_FLAGS, FLAG, KIND } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';
import { LOW_OPERAND } from './vex.ts';
import { ATOMIC, OP, VOID } from './wasm-encoder.ts';

/** Puts the flags besides `written` that can be seen into a local. */
function keepFlags(emitter: RegionEmitter, written: number, kept: number): void {
  const others = emitter.live & ~written;
  if (!emitter.flagsNeeded || others === 0) return;
  emitFlags(emitter, others);
  emitter.code.set(kept);
}
/** Takes the flags that were written (i64), and makes them and the kept ones the flags. */
function setFlagsBesides({ code, live, ccB, ccKind }: RegionEmitter, written: number, kept: number): void {
  if ((live & ~written) !== 0) {
    code.get(kept);
    code.op(OP.i64_or);
  }
  code.set(ccB);
  code.i32(KIND.explicit);
  code.set(ccKind);
}

/** Pushes the number of the bit within the operand. */
function pushBit(emitter: RegionEmitter, instruction: Instruction): void {
  const { code } = emitter;
  const bits = bitsOf(instruction.size);
  if (instruction.form === 'RI' || instruction.form === 'MI') code.i64(instruction.immediate & (bits - 1));
  else {
    emitter.readRegister(instruction.source, 3);
    code.i64(bits - 1);
    code.op(OP.i64_and);
  }
}

/** Reads the operand into wide[0]. With a register index, memory is as far from its address as the index says. */
function readBitOperand(emitter: RegionEmitter, instruction: Instruction, writes: boolean): void {
  const { code, pointer, wide } = emitter;
  const { form, size } = instruction;
  if (form !== 'MR') {
    readDestination(emitter, instruction, writes);
    return;
  }
  bitAddress(emitter, instruction);
  emitter.operandPointer(writes ? 'write' : 'read', 1 << size);
  code.tee(pointer);
  emitter.loadSized(size, true);
  code.set(wide[0]);
}

/** Pushes the linear address of the memory operand that a register's bit index leads to. */
function bitAddress(emitter: RegionEmitter, instruction: Instruction): void {
  const { code } = emitter;
  const { size } = instruction;
  emitter.effectiveAddress(instruction);
  emitter.readRegister(instruction.source, size);
  code.i64(3 + size);
  code.op(OP.i64_shr_s);
  code.i64(size);
  code.op2(OP.i64_shl, OP.i64_add);
  emitter.cutAddress();
}

/** Pushes the tested bit of a local as CF. */
function pushTested(emitter: RegionEmitter, value: number, bit: number): void {
  const { code } = emitter;
  code.get(value);
  code.get(bit);
  code.op(OP.i64_shr_u);
  code.i64(1);
  code.op(OP.i64_and);
}

/** BT, BTS, BTR, BTC without LOCK; `change` is what is done with the bit's mask. */
export function bitTest(change: number | undefined): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, r, kept] = wide;
    keepFlags(emitter, FLAG.carry, kept);
    readBitOperand(emitter, instruction, change !== undefined);
    pushBit(emitter, instruction);
    code.set(b);
    if (change !== undefined) {
      code.get(a);
      pushBitMask(emitter, b, change === OP.i64_and);
      code.op(change);
      code.set(r);
      writeDestination(emitter, instruction, r);
    }
    if (!emitter.flagsNeeded) return;
    pushTested(emitter, a, b);
    setFlagsBesides(emitter, FLAG.carry, kept);
  };
}

/** Pushes the mask of the bit whose number a local holds. */
function pushBitMask({ code }: RegionEmitter, bit: number, inverted: boolean): void {
  code.i64(inverted ? -2 : 1);
  code.get(bit);
  code.op(inverted ? OP.i64_rotl : OP.i64_shl);
}

/** BTS, BTR and BTC of memory with LOCK: one atomic operation. `change` names it. */
export function bitTestLocked(change: 'or' | 'and' | 'xor'): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, , kept] = wide;
    const { size } = instruction;
    keepFlags(emitter, FLAG.carry, kept);
    if (instruction.form === 'MR') bitAddress(emitter, instruction);
    else emitter.effectiveAddress(instruction);
    alignedPointer(emitter, size);
    pushBit(emitter, instruction);
    code.set(b);
    pushBitMask(emitter, b, change === 'and');
    code.atomic(ATOMIC[change], size);
    code.set(a);
    if (!emitter.flagsNeeded) return;
    pushTested(emitter, a, b);
    setFlagsBesides(emitter, FLAG.carry, kept);
  };
}

/** BSF and BSR: a zero source leaves the destination alone. */
export function bitScan(forward: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, , , kept] = wide;
    const { size } = instruction;
    keepFlags(emitter, FLAG.zero, kept);
    if (instruction.form === 'RM') emitter.loadOperand(instruction, size, false);
    else emitter.readRegister(instruction.source, size, false);
    code.tee(a);
    code.op4(OP.i64_eqz, OP.i32_eqz, OP.if, VOID);
    if (!forward) code.i64(63);
    code.get(a);
    if (forward) code.op(OP.i64_ctz);
    else code.op2(OP.i64_clz, OP.i64_sub);
    emitter.writeRegister(instruction.destination, size);
    code.op(OP.end);
    if (!emitter.flagsNeeded) return;
    code.get(a);
    code.op2(OP.i64_eqz, OP.i64_extend_u);
    code.i64(6);
    code.op(OP.i64_shl);
    setFlagsBesides(emitter, FLAG.zero, kept);
  };
}

/** TZCNT and LZCNT: CF of a zero source, ZF of a zero result; the other flags, which are undefined, clear. */
export function countZeros(trailing: boolean): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b] = wide;
    const { size } = instruction;
    const bits = bitsOf(size);
    if (instruction.form === 'RM') emitter.loadOperand(instruction, size, false);
    else emitter.readRegister(instruction.source, size, false);
    code.tee(a);
    if (trailing) {
      // A bit above a shorter operand ends the count.
      if (size < 3) {
        code.i64(1n << BigInt(bits));
        code.op(OP.i64_or);
      }
      code.op(OP.i64_ctz);
    } else {
      code.op(OP.i64_clz);
      if (size < 3) {
        code.i64(64 - bits);
        code.op(OP.i64_sub);
      }
    }
    code.tee(b);
    emitter.writeRegister(instruction.destination, size);
    if (!emitter.flagsNeeded) return;
    code.get(b);
    code.op2(OP.i64_eqz, OP.i64_extend_u);
    code.i64(6);
    code.op(OP.i64_shl);
    code.get(a);
    code.op2(OP.i64_eqz, OP.i64_extend_u);
    code.op(OP.i64_or);
    setFlagsBesides(emitter, ALL_FLAGS, a);
  };
}

/** PTEST: ZF when no bit is in both, CF when the source has none besides the destination's. */
export const testVectors: Emit = (emitter, instruction) => {
  pushVector(emitter, instruction);
  emitter.vectors.set(LOW_OPERAND);
  testHalves(emitter, [[instruction.first, LOW_OPERAND]]);
};
/** The same of vectors at places, first operand and source of each half. */
export function testHalves(emitter: RegionEmitter, halves: readonly (readonly [number, number])[]): void {
  if (!emitter.flagsNeeded) return;
  const { code, vectors, wide } = emitter;
  const noneIn = (opcode: number): void => {
    halves.forEach(([first, source], at) => {
      vectors.get(source);
      vectors.get(first);
      code.vector(opcode);
      if (at > 0) code.vector(V.or);
    });
    code.vector(V.any_true);
    code.op2(OP.i32_eqz, OP.i64_extend_u);
  };
  noneIn(V.and);
  code.i64(6);
  code.op(OP.i64_shl);
  noneIn(V.andnot);
  code.op(OP.i64_or);
  setFlagsBesides(emitter, ALL_FLAGS, wide[0]);
}

/** POPCNT: ZF of the source, all other flags clear. */
export const populationCount: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [a] = wide;
  const { size } = instruction;
  if (instruction.form === 'RM') emitter.loadOperand(instruction, size, false);
  else emitter.readRegister(instruction.source, size, false);
  code.tee(a);
  code.op(OP.i64_popcnt);
  emitter.writeRegister(instruction.destination, size);
  if (!emitter.flagsNeeded) return;
  code.get(a);
  code.op2(OP.i64_eqz, OP.i64_extend_u);
  code.i64(6);
  code.op(OP.i64_shl);
  setFlagsBesides(emitter, ALL_FLAGS, a);
};

/** BSWAP; with 16 bits the silicon clears the register. */
export const byteSwap: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  const [a] = wide;
  const { destination, size } = instruction;
  if (size < 2) {
    code.i64(0);
    emitter.writeRegister(destination, size);
    return;
  }
  emitter.readRegister(destination, 3);
  code.set(a);
  swapBytes(emitter, a, size);
  emitter.writeRegister(destination, size);
};

/** How far neighbours are apart that change places: bytes, then halves of 32 bits. */
const SWAPS = [
  [0x00ff00ff00ff00ffn, 8],
  [0x0000ffff0000ffffn, 16],
] as const;
/** Pushes the bytes of an operand in a local in reverse order; what lies above the operand is not said. The local is overwritten. */
export function swapBytes({ code }: RegionEmitter, value: number, size: number): void {
  for (const [mask, distance] of SWAPS.slice(0, size)) {
    code.get(value);
    code.i64(distance);
    code.op(OP.i64_shr_u);
    code.i64(mask);
    code.op(OP.i64_and);
    code.get(value);
    code.i64(mask);
    code.op(OP.i64_and);
    code.i64(distance);
    code.op2(OP.i64_shl, OP.i64_or);
    code.set(value);
  }
  code.get(value);
  if (size === 3) {
    code.i64(32);
    code.op(OP.i64_rotl);
  }
}

/** ADCX and ADOX: an addition with carry whose carry is one flag, and which leaves all others alone. */
export function addWithFlag(flag: typeof FLAG.carry | typeof FLAG.overflow): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [a, b, carry, kept] = wide;
    const { size } = instruction;
    keepFlags(emitter, flag, kept);
    pushSource(emitter, instruction, false);
    code.set(b);
    emitter.readRegister(instruction.destination, size, false);
    code.set(a);
    // Condition 0 is OF, condition 2 CF.
    emitCondition(emitter, flag === FLAG.carry ? 2 : 0);
    code.op(OP.i64_extend_u);
    code.set(carry);
    code.binary(a, b, OP.i64_add);
    code.set(b);
    // 64 bits run over at either addition, 32 leave their carry above.
    if (size === 3) code.binary(b, a, OP.i64_lt_u);
    code.binary(b, carry, OP.i64_add);
    code.set(a);
    if (size === 3) {
      code.binary(a, b, OP.i64_lt_u);
      code.op2(OP.i32_or, OP.i64_extend_u);
    } else {
      code.get(a);
      code.i64(32);
      code.op(OP.i64_shr_u);
    }
    code.set(carry);
    writeDestination(emitter, instruction, a);
    if (!emitter.flagsNeeded) return;
    code.get(carry);
    if (flag === FLAG.overflow) {
      code.i64(11);
      code.op(OP.i64_shl);
    }
    setFlagsBesides(emitter, flag, kept);
  };
}
