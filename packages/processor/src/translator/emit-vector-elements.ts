/**
 * SSE4.1's insertions and extractions of single elements, and products of every other one.
 *
 * Answers to: AMD64 manual volume 4. Called by: emit-vector.ts.
 */
import type { Emit } from './emit-operands.ts';
import { pushGeneral, pushVector, vectorPointer, wideGeneral } from './emit-vector-operands.ts';
import { V } from './vector-opcodes.ts';
import { OP } from './wasm-encoder.ts';

interface Element {
  /** log2 of its bytes. */
  readonly size: number;
  readonly extract: number;
  readonly replace: number;
  /** Whether the lane is an i64. */
  readonly wide: boolean;
}
const BYTE: Element = { size: 0, extract: V.i8x16_extract_u, replace: V.i8x16_replace, wide: false };
const WORD: Element = { size: 1, extract: V.i16x8_extract_u, replace: V.i16x8_replace, wide: false };
const DOUBLEWORD: Element = { size: 2, extract: V.i32x4_extract, replace: V.i32x4_replace, wide: false };
const QUADWORD: Element = { size: 3, extract: V.i64x2_extract, replace: V.i64x2_replace, wide: true };

const lane = (immediate: number, { size }: Element): number => immediate & ((16 >> size) - 1);

/** To memory, or zero-extended to a general register. */
const extractElement =
  (narrow: Element): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const element = narrow === DOUBLEWORD && wideGeneral(instruction) ? QUADWORD : narrow;
    const toMemory = instruction.form === 'MR';
    if (toMemory) vectorPointer(emitter, instruction, 'write', 1 << element.size);
    vectors.get(instruction.source);
    code.lane(element.extract, lane(instruction.immediate, element));
    if (!element.wide) code.op(OP.i64_extend_u);
    if (toMemory) emitter.storeSized(element.size);
    else emitter.writeRegister(instruction.destination, 3);
  };

const insertElement =
  (narrow: Element): Emit =>
  (emitter, instruction) => {
    const { code, vectors, wide } = emitter;
    const element = narrow === DOUBLEWORD && wideGeneral(instruction) ? QUADWORD : narrow;
    pushGeneral(emitter, instruction, element.size, false);
    code.set(wide[0]);
    vectors.get(instruction.first);
    code.get(wide[0]);
    if (!element.wide) code.op(OP.i32_wrap);
    code.lane(element.replace, lane(instruction.immediate, element));
    vectors.set(instruction.destination);
  };

/** PMULDQ: the even elements, sign-extended. */
const multiplyEven: Emit = (emitter, instruction) => {
  const { code, vectors } = emitter;
  const extended = (): void => {
    code.i32(32);
    code.vector(V.i64x2_shl);
    code.i32(32);
    code.vector(V.i64x2_shr_s);
  };
  pushVector(emitter, instruction);
  extended();
  vectors.get(instruction.first);
  extended();
  code.vector(V.i64x2_mul);
  vectors.set(instruction.destination);
};

const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['PEXTRB', extractElement(BYTE)],
  ['PEXTRW_STORE', extractElement(WORD)],
  ['PEXTRD', extractElement(DOUBLEWORD)],
  ['PINSRB', insertElement(BYTE)],
  ['PINSRD', insertElement(DOUBLEWORD)],
  ['PMULDQ', multiplyEven],
]);

/** The emitter of one of these. */
export function emitElements(operation: string): Emit | undefined {
  return EMITTERS.get(operation);
}
