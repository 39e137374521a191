/**
 * VEX-encoded vector instructions as WebAssembly: those that do what an SSE instruction does, on each 128 bits.
 *
 * With 128 bits they are the SSE instruction's translation with a first operand of its own, and clear the upper half of what they write.
 * With 256 bits they are that translation twice; the source in memory is read before, with one look-up, and where the second half may
 * leave the region the first one's result is held back. What works across lanes is in emit-vex-across.ts, FMA in
 * emit-fused.ts.
 * That the state is enabled (CR4.OSXSAVE, XCR0) is checked once at a region's entry, see region-emitter.ts.
 * Answers to: AMD64 manual volume 4; assembly/extended.ts. Called by: emit-instructions.ts, operation-facts.ts.
 */
import { testHalves } from './emit-bits.ts';
import { emitFused } from './emit-fused.ts';
import type { Emit } from './emit-operands.ts';
import { emitVector } from './emit-vector.ts';
import { vectorPointer } from './emit-vector-operands.ts';
import { emitAcross } from './emit-vex-across.ts';
import { mayRaise } from './float-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { writesVector } from './region-registers.ts';
import { V } from './vector-opcodes.ts';
import {
  HIGH_OPERAND,
  HIGH_RESULT,
  halvesOf,
  isWide,
  LOW_OPERAND,
  LOW_RESULT,
  namesakeOf,
  narrows,
  shiftsByVector,
  UPPER,
  widens,
} from './vex.ts';
import { OP } from './wasm-encoder.ts';

/** Bytes of the operand in memory. */
const bytesOf = ({ immediate }: Instruction): number => (immediate >> 8) & 0xff;

function move({ vectors }: RegionEmitter, from: number, to: number): void {
  vectors.get(from);
  vectors.set(to);
}

/** Reads a source of 256 bits in memory into scratch vectors. @returns the places of its halves, or of those of the register */
function wideSource(emitter: RegionEmitter, instruction: Instruction): readonly [number, number] {
  const { form, source } = instruction;
  if (form !== 'RM') return [source, source + UPPER];
  const { code, pointer, vectors } = emitter;
  vectorPointer(emitter, instruction, 'read', 32);
  code.tee(pointer);
  code.vectorMemory(V.load, 0);
  vectors.set(LOW_OPERAND);
  code.get(pointer);
  code.vectorMemory(V.load, 16);
  vectors.set(HIGH_OPERAND);
  return [LOW_OPERAND, HIGH_OPERAND];
}

/** Lanes that bring the bytes from `from` on down to the lowest ones. */
const down = (from: number): number[] => Array.from({ length: 16 }, (_, at) => (from + at) & 15);

/** Reads a source that is a part of 256 bits; the upper half of the result is made of the part behind its first `step` bytes. */
function partialSource(emitter: RegionEmitter, instruction: Instruction): readonly [number, number] {
  const { code, vectors } = emitter;
  const bytes = bytesOf(instruction);
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', bytes);
    code.vectorMemory(bytes === 16 ? V.load : bytes === 8 ? V.load64_zero : V.load32_zero, 0);
  } else vectors.get(instruction.source);
  vectors.set(LOW_OPERAND);
  vectors.get(LOW_OPERAND);
  vectors.get(LOW_OPERAND);
  code.vectorBytes(V.shuffle, down(bytes >> 1));
  vectors.set(HIGH_OPERAND);
  return [LOW_OPERAND, HIGH_OPERAND];
}

/** A shift's count has 128 bits, and the first half's result may overwrite it. */
function countSource(emitter: RegionEmitter, instruction: Instruction): readonly [number, number] {
  const { code, vectors } = emitter;
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', 16);
    code.vectorMemory(V.load, 0);
  } else vectors.get(instruction.source);
  vectors.set(LOW_OPERAND);
  return [LOW_OPERAND, LOW_OPERAND];
}

/** Both halves of a 256-bit instruction whose destination is a vector register. */
function emitHalves(emitter: RegionEmitter, instruction: Instruction, emit: Emit): void {
  const { operation, destination } = instruction;
  const read = widens(operation) ? partialSource : shiftsByVector(instruction) ? countSource : wideSource;
  const [low, high] = instruction.form === 'RI' ? [0, 0] : read(emitter, instruction);
  const held = mayRaise(operation);
  const [lower, upper] = halvesOf(instruction, low, high, held ? LOW_RESULT : destination);
  emit(emitter, lower);
  emit(emitter, upper);
  if (held) move(emitter, LOW_RESULT, destination);
}

/** Two halves to half as much. */
function emitNarrowing(emitter: RegionEmitter, instruction: Instruction, emit: Emit): void {
  const { code, vectors } = emitter;
  const { destination } = instruction;
  const [low, high] = wideSource(emitter, instruction);
  const [lower, upper] = halvesOf(instruction, low, high, LOW_RESULT);
  emit(emitter, lower);
  emit(emitter, { ...upper, destination: HIGH_RESULT });
  vectors.get(LOW_RESULT);
  vectors.get(HIGH_RESULT);
  code.vectorBytes(V.shuffle, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
  vectors.set(destination);
  vectors.clear(destination + UPPER);
}

/** The signs of both halves' elements. */
const wideMask =
  (opcode: number, bits: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    vectors.get(instruction.source);
    code.vector(opcode);
    vectors.get(instruction.source + UPPER);
    code.vector(opcode);
    code.i32(bits);
    code.op3(OP.i32_shl, OP.i32_or, OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 3);
  };
const wideStore: Emit = (emitter, instruction) => {
  const { code, pointer, vectors } = emitter;
  vectorPointer(emitter, instruction, 'write', 32);
  code.tee(pointer);
  vectors.get(instruction.source);
  code.vectorMemory(V.store, 0);
  code.get(pointer);
  vectors.get(instruction.source + UPPER);
  code.vectorMemory(V.store, 16);
};

/** Operations of 256 bits, by their SSE names and what is particular about them. */
const WIDE: Readonly<Record<string, Emit>> = {
  PMOVMSKB: wideMask(V.i8x16_bitmask, 16),
  MOVMSKPS: wideMask(V.i32x4_bitmask, 4),
  MOVMSKPD: wideMask(V.i64x2_bitmask, 2),
  PTEST: (emitter, instruction) => {
    const [low, high] = wideSource(emitter, instruction);
    testHalves(emitter, [
      [instruction.first, low],
      [instruction.first + UPPER, high],
    ]);
  },
};

const byHalves =
  (emit: Emit): Emit =>
  (emitter, instruction) => {
    const { operation, form, destination } = instruction;
    if (isWide(instruction)) {
      const wide = form === 'MR' ? wideStore : WIDE[operation];
      if (wide !== undefined) wide(emitter, instruction);
      else if (narrows(operation)) emitNarrowing(emitter, instruction, emit);
      else emitHalves(emitter, instruction, emit);
      return;
    }
    emit(emitter, instruction);
    if (form.startsWith('R') && writesVector(operation)) emitter.vectors.clear(destination + UPPER);
  };

function make(operation: string): Emit | undefined {
  const whole = emitAcross(operation) ?? emitFused(operation);
  if (whole !== undefined) return whole;
  const emit = emitVector(namesakeOf(operation));
  return emit === undefined ? undefined : byHalves(emit);
}

const known = new Map<string, Emit | undefined>();

/** The emitter of a vector operation that is encoded with VEX, if it has one. */
export function emitVex(operation: string): Emit | undefined {
  if (!operation.startsWith('V')) return undefined;
  if (!known.has(operation)) known.set(operation, make(operation));
  return known.get(operation);
}
