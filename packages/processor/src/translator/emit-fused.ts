/**
 * FMA: a product and a sum rounded once, element by element by functions of the core (assembly/fused-native.ts), which each module imports.
 *
 * They answer NaN where the operands or the result are not ordinary numbers or zero: the region is left at the instruction then, before
 * anything was written, as it is while MXCSR does not allow inexact results.
 * Answers to: AMD64 manual volume 4; assembly/vector-fused.ts. Called by: emit-vex.ts.
 */
import { checkAllowed, DOUBLE, type Format, type LeaveIf, SINGLE } from './emit-float-checks.ts';
import type { Emit } from './emit-operands.ts';
import { vectorPointer } from './emit-vector-operands.ts';
import { partsOfFused } from './float-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';
import { HIGH_OPERAND, HIGH_RESULT, isWide, LOW_OPERAND, LOW_RESULT, UPPER } from './vex.ts';
import { FUSE_DOUBLE, FUSE_SINGLE, OP } from './wasm-encoder.ts';

/** What an operation does with the places of its three operands, in the instruction's order: destination, VEX.vvvv, source. */
interface Fused {
  readonly format: Format;
  readonly packed: boolean;
  /** Which operands are the factors and the summand. */
  readonly order: readonly [number, number, number];
  readonly negateProduct: boolean;
  /** Whether the summand's sign is changed, in even elements and in odd ones. */
  readonly negateSum: readonly [boolean, boolean];
}

const ORDERS: Readonly<Record<string, Fused['order']>> = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] };
const SIGNS: Readonly<Record<string, Fused['negateSum']>> = {
  ADD: [false, false],
  SUB: [true, true],
  ADDSUB: [true, false],
  SUBADD: [false, true],
};

/** Reads the source; a part of it that is in memory goes to scratch vectors. @returns the places of its halves */
function readSource(emitter: RegionEmitter, instruction: Instruction, bytes: number): readonly [number, number] {
  const { form, source } = instruction;
  if (form !== 'RM') return [source, source + UPPER];
  const { code, pointer, vectors } = emitter;
  vectorPointer(emitter, instruction, 'read', bytes);
  if (bytes === 32) code.tee(pointer);
  code.vectorMemory(bytes < 8 ? V.load32_zero : bytes === 8 ? V.load64_zero : V.load, 0);
  vectors.set(LOW_OPERAND);
  if (bytes === 32) {
    code.get(pointer);
    code.vectorMemory(V.load, 16);
    vectors.set(HIGH_OPERAND);
  }
  return [LOW_OPERAND, HIGH_OPERAND];
}

/** 128 bits, or the lowest element: the result is put to `result`, which is none of the operands. */
function emitHalf(
  emitter: RegionEmitter,
  { format, packed, order, negateProduct, negateSum }: Fused,
  operands: readonly [number, number, number],
  result: number,
  leaveIf: LeaveIf,
): void {
  const { code, vectors } = emitter;
  const single = format.bytes === 4;
  const value = format.local(emitter, 2);
  const elements = packed ? 16 / format.bytes : 1;
  vectors.get(operands[0]);
  vectors.set(result);
  for (let element = 0; element < elements; element++) {
    const push = (operand: 0 | 1 | 2, negate: boolean): void => {
      vectors.get(operands[order[operand] as 0 | 1 | 2]);
      code.lane(format.extract, element);
      if (negate) code.op(single ? OP.f32_neg : OP.f64_neg);
    };
    if (!packed) {
      push(0, negateProduct);
      push(1, false);
      push(2, negateSum[0]);
      code.call(single ? FUSE_SINGLE : FUSE_DOUBLE);
      code.set(value);
      code.get(value);
      code.get(value);
      code.op(format.ne);
      leaveIf();
      vectors.get(result);
      code.get(value);
    } else {
      vectors.get(result);
      push(0, negateProduct);
      push(1, false);
      push(2, negateSum[(element & 1) as 0 | 1]);
      code.call(single ? FUSE_SINGLE : FUSE_DOUBLE);
    }
    code.lane(format.replace, element);
    vectors.set(result);
  }
  if (!packed) return;
  vectors.get(result);
  vectors.get(result);
  code.vector(format.vectorNe, V.any_true);
  leaveIf();
}

function make(fused: Fused): Emit {
  return (emitter, instruction) => {
    const { vectors } = emitter;
    const { destination, first } = instruction;
    const wide = fused.packed && isWide(instruction);
    const [low, high] = readSource(emitter, instruction, !fused.packed ? fused.format.bytes : wide ? 32 : 16);
    emitter.withSideExit((leaveIf) => {
      checkAllowed(emitter, leaveIf);
      emitHalf(emitter, fused, [destination, first, low], LOW_RESULT, leaveIf);
      if (!wide) return;
      emitHalf(emitter, fused, [destination + UPPER, first + UPPER, high], HIGH_RESULT, leaveIf);
    });
    vectors.get(LOW_RESULT);
    vectors.set(destination);
    if (wide) {
      vectors.get(HIGH_RESULT);
      vectors.set(destination + UPPER);
    } else vectors.clear(destination + UPPER);
  };
}

/** The emitter of an operation of FMA. */
export function emitFused(operation: string): Emit | undefined {
  const parts = partsOfFused(operation);
  if (parts === undefined) return undefined;
  const { negated, kind, order, packed, single } = parts;
  return make({
    format: single ? SINGLE : DOUBLE,
    packed,
    order: ORDERS[order] as Fused['order'],
    negateProduct: negated,
    negateSum: SIGNS[kind] as Fused['negateSum'],
  });
}
