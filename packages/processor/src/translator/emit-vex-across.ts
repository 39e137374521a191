/**
 * VEX instructions that do not do the same on each 128 bits: broadcasts, insertions and extractions of halves, permutations across lanes,
 * PTEST of 256 bits, and the clearing of registers.
 *
 * Operands are read before anything is written, since a destination may be a source of the other half.
 * Answers to: AMD64 manual volume 4; assembly/vector-across.ts. Called by: emit-vex.ts.
 */
import type { Emit } from './emit-operands.ts';
import { vectorPointer } from './emit-vector-operands.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';
import { fourthPlace, HIGH_OPERAND, isWide, LOW_OPERAND, UPPER } from './vex.ts';

const ALL_REGISTERS = Array.from({ length: 16 }, (_, number) => number << 4);

/** Takes a vector and writes it to the destination, and to its upper half where the instruction has 256 bits. */
function writeBoth({ vectors }: RegionEmitter, instruction: Instruction): void {
  const { destination } = instruction;
  vectors.set(destination);
  if (!isWide(instruction)) {
    vectors.clear(destination + UPPER);
    return;
  }
  vectors.get(destination);
  vectors.set(destination + UPPER);
}

/** An element of so many bytes, everywhere: loads of it, and what the lowest one of a register becomes by. */
const broadcast =
  (bytes: number, load: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    if (instruction.form === 'RM') {
      vectorPointer(emitter, instruction, 'read', bytes);
      code.vectorMemory(load, 0);
    } else {
      vectors.get(instruction.source);
      vectors.get(instruction.source);
      code.vectorBytes(
        V.shuffle,
        Array.from({ length: 16 }, (_, at) => at % bytes),
      );
    }
    writeBoth(emitter, instruction);
  };

/** Pushes a source of 128 bits. */
function pushHalf(emitter: RegionEmitter, instruction: Instruction): void {
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', 16);
    emitter.code.vectorMemory(V.load, 0);
  } else emitter.vectors.get(instruction.source);
}

/** Reads both halves of the source into scratch vectors. */
function readWide(emitter: RegionEmitter, instruction: Instruction): void {
  const { code, pointer, vectors } = emitter;
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', 32);
    code.tee(pointer);
    code.vectorMemory(V.load, 0);
  } else vectors.get(instruction.source);
  vectors.set(LOW_OPERAND);
  if (instruction.form === 'RM') {
    code.get(pointer);
    code.vectorMemory(V.load, 16);
  } else vectors.get(instruction.source + UPPER);
  vectors.set(HIGH_OPERAND);
}
/** Takes the lower half's vector below the upper half's and writes both. */
function writeHalves({ vectors }: RegionEmitter, { destination }: Instruction): void {
  vectors.set(destination + UPPER);
  vectors.set(destination);
}

/** Pushes one of four halves, by two bits of the immediate, or zero. */
function pushSelected({ code, vectors }: RegionEmitter, { first }: Instruction, select: number): void {
  if ((select & 8) !== 0) code.splat32(0);
  else vectors.get([first, first + UPPER, LOW_OPERAND, HIGH_OPERAND][select & 3] ?? first);
}

/** Pushes a vector of two quadwords of the source in scratch vectors, by their numbers. */
function pushQuads({ code, vectors }: RegionEmitter, numbers: readonly number[]): void {
  vectors.get(LOW_OPERAND);
  vectors.get(HIGH_OPERAND);
  code.vectorBytes(
    V.shuffle,
    numbers.flatMap((number) => Array.from({ length: 8 }, (_, at) => number * 8 + at)),
  );
}

/** Takes a vector of 32-bit indices and pushes those of the elements' bytes; indices have the bits of `mask`. */
function byteIndices({ code }: RegionEmitter, mask: number): void {
  code.splat32(mask);
  code.vector(V.and);
  code.splat32(0x04040404);
  code.vector(V.i32x4_mul);
  code.splat32(0x03020100);
  code.vector(V.i8x16_add);
}

/** VPERMD and VPERMPS: a half of the result, by the half of the indices at a place. */
function pushPermuted(emitter: RegionEmitter, indices: number): void {
  const { code, vectors } = emitter;
  const bytes = vectors.vector(0);
  vectors.get(indices);
  byteIndices(emitter, 7);
  code.set(bytes);
  // An index that is none of a swizzle's sixteen gives zero.
  vectors.get(LOW_OPERAND);
  code.get(bytes);
  code.vector(V.swizzle);
  vectors.get(HIGH_OPERAND);
  code.get(bytes);
  code.splat32(0x10101010);
  code.vector(V.i8x16_sub, V.swizzle, V.or);
}

/** Elements of the source where the fourth operand's have their sign set; `sign` makes a mask of it. */
const blendBySign =
  (sign: (emitter: RegionEmitter) => void): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const { first, destination } = instruction;
    const wide = isWide(instruction);
    const mask = fourthPlace(instruction);
    if (wide) readWide(emitter, instruction);
    else {
      pushHalf(emitter, instruction);
      vectors.set(LOW_OPERAND);
    }
    for (const half of wide ? [0, UPPER] : [0]) {
      vectors.get(half === 0 ? LOW_OPERAND : HIGH_OPERAND);
      vectors.get(first + half);
      vectors.get(mask + half);
      sign(emitter);
      code.vector(V.bitselect);
    }
    if (wide) writeHalves(emitter, instruction);
    else {
      vectors.set(destination);
      vectors.clear(destination + UPPER);
    }
  };

/** Elements moved within each half by indices in the source. */
const permuteWithin =
  (mask: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const wide = isWide(instruction);
    if (wide) readWide(emitter, instruction);
    else {
      pushHalf(emitter, instruction);
      vectors.set(LOW_OPERAND);
    }
    for (const half of wide ? [0, UPPER] : [0]) {
      vectors.get(instruction.first + half);
      vectors.get(half === 0 ? LOW_OPERAND : HIGH_OPERAND);
      byteIndices(emitter, mask);
      code.vector(V.swizzle);
    }
    if (wide) writeHalves(emitter, instruction);
    else {
      vectors.set(instruction.destination);
      vectors.clear(instruction.destination + UPPER);
    }
  };

const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['VBROADCAST8', broadcast(1, V.load8_splat)],
  ['VBROADCAST16', broadcast(2, V.load16_splat)],
  ['VBROADCAST32', broadcast(4, V.load32_splat)],
  ['VBROADCAST64', broadcast(8, V.load64_splat)],
  ['VBROADCAST128', broadcast(16, V.load)],
  [
    'VINSERT128',
    (emitter, instruction) => {
      const { vectors } = emitter;
      const { first, destination, immediate } = instruction;
      const upper = (immediate & 1) !== 0;
      pushHalf(emitter, instruction);
      vectors.get(upper ? first : first + UPPER);
      vectors.set(upper ? destination : destination + UPPER);
      vectors.set(upper ? destination + UPPER : destination);
    },
  ],
  [
    'VEXTRACT128',
    (emitter, instruction) => {
      const { code, vectors } = emitter;
      const { form, destination, immediate } = instruction;
      const from = instruction.source + ((immediate & 1) === 0 ? 0 : UPPER);
      if (form === 'MR') {
        vectorPointer(emitter, instruction, 'write', 16);
        vectors.get(from);
        code.vectorMemory(V.store, 0);
        return;
      }
      vectors.get(from);
      vectors.set(destination);
      vectors.clear(destination + UPPER);
    },
  ],
  [
    'VPERM128',
    (emitter, instruction) => {
      readWide(emitter, instruction);
      pushSelected(emitter, instruction, instruction.immediate & 15);
      pushSelected(emitter, instruction, (instruction.immediate >> 4) & 15);
      writeHalves(emitter, instruction);
    },
  ],
  [
    'VPERMQ',
    (emitter, instruction) => {
      const [a = 0, b = 0, c = 0, d = 0] = [0, 2, 4, 6].map((at) => (instruction.immediate >> at) & 3);
      readWide(emitter, instruction);
      pushQuads(emitter, [a, b]);
      pushQuads(emitter, [c, d]);
      writeHalves(emitter, instruction);
    },
  ],
  [
    'VPERMD',
    (emitter, instruction) => {
      readWide(emitter, instruction);
      pushPermuted(emitter, instruction.first);
      pushPermuted(emitter, instruction.first + UPPER);
      writeHalves(emitter, instruction);
    },
  ],
  ['VPERMILPS', permuteWithin(3)],
  [
    'VEX_PBLENDVB',
    blendBySign(({ code }) => {
      code.i32(7);
      code.vector(V.i8x16_shr_s);
    }),
  ],
  [
    'VEX_BLENDVPS',
    blendBySign(({ code }) => {
      code.i32(31);
      code.vector(V.i32x4_shr_s);
    }),
  ],
  [
    'VEX_BLENDVPD',
    blendBySign(({ code }) => {
      code.i32(63);
      code.vector(V.i64x2_shr_s);
    }),
  ],
  [
    'VZEROUPPER',
    ({ vectors }) => {
      for (const place of ALL_REGISTERS) vectors.clear(place + UPPER);
    },
  ],
  [
    'VZEROALL',
    ({ vectors }) => {
      for (const place of ALL_REGISTERS) {
        vectors.clear(place);
        vectors.clear(place + UPPER);
      }
    },
  ],
]);

/** The emitter of one of these. */
export function emitAcross(operation: string): Emit | undefined {
  return EMITTERS.get(operation);
}
