/**
 * SSE and SSE2 moves and integer operations as v128 instructions over the locals of XMM registers (region-vectors.ts).
 *
 * That vectors are available (CR0.EM, CR0.TS, CR4.OSFXSR) is checked once at a region's entry, see region-emitter.ts.
 * Answers to: AMD64 manual volume 4; WebAssembly core specification, section 5.4.8. Called by: emit-instructions.ts.
 */
import { testVectors } from './emit-bits.ts';
import { emitFloat } from './emit-float.ts';
import type { Emit } from './emit-operands.ts';
import { emitElements } from './emit-vector-elements.ts';
import { pushGeneral, pushLow, pushVector, vectorPointer, wideGeneral } from './emit-vector-operands.ts';
import { V } from './vector-opcodes.ts';
import { OP } from './wasm-encoder.ts';

/** Two operands to one, destination first. */
const BINARY: Readonly<Record<string, number>> = {
  PAND: V.and,
  POR: V.or,
  PXOR: V.xor,
  PADDB: V.i8x16_add,
  PADDW: V.i16x8_add,
  PADDD: V.i32x4_add,
  PADDQ: V.i64x2_add,
  PSUBB: V.i8x16_sub,
  PSUBW: V.i16x8_sub,
  PSUBD: V.i32x4_sub,
  PSUBQ: V.i64x2_sub,
  PADDSB: V.i8x16_add_sat_s,
  PADDUSB: V.i8x16_add_sat_u,
  PSUBSB: V.i8x16_sub_sat_s,
  PSUBUSB: V.i8x16_sub_sat_u,
  PADDSW: V.i16x8_add_sat_s,
  PADDUSW: V.i16x8_add_sat_u,
  PSUBSW: V.i16x8_sub_sat_s,
  PSUBUSW: V.i16x8_sub_sat_u,
  PCMPEQB: V.i8x16_eq,
  PCMPEQW: V.i16x8_eq,
  PCMPEQD: V.i32x4_eq,
  PCMPGTB: V.i8x16_gt_s,
  PCMPGTW: V.i16x8_gt_s,
  PCMPGTD: V.i32x4_gt_s,
  PMINUB: V.i8x16_min_u,
  PMAXUB: V.i8x16_max_u,
  PMINSW: V.i16x8_min_s,
  PMAXSW: V.i16x8_max_s,
  PMULLW: V.i16x8_mul,
  PMADDWD: V.i32x4_dot,
  PAVGB: V.i8x16_avgr_u,
  PAVGW: V.i16x8_avgr_u,
  PACKSSWB: V.i8x16_narrow_s,
  PACKUSWB: V.i8x16_narrow_u,
  PACKSSDW: V.i16x8_narrow_s,
  PACKUSDW: V.i16x8_narrow_u,
  PMINSB: V.i8x16_min_s,
  PMINUW: V.i16x8_min_u,
  PMINSD: V.i32x4_min_s,
  PMINUD: V.i32x4_min_u,
  PMAXSB: V.i8x16_max_s,
  PMAXUW: V.i16x8_max_u,
  PMAXSD: V.i32x4_max_s,
  PMAXUD: V.i32x4_max_u,
  PMULLD: V.i32x4_mul,
  PCMPEQQ: V.i64x2_eq,
  PCMPGTQ: V.i64x2_gt_s,
};
/** Shifts: opcode, element bits, whether the sign comes in. */
const SHIFTS: Readonly<Record<string, readonly [number, number, boolean]>> = {
  PSLLW: [V.i16x8_shl, 16, false],
  PSRAW: [V.i16x8_shr_s, 16, true],
  PSRLW: [V.i16x8_shr_u, 16, false],
  PSLLD: [V.i32x4_shl, 32, false],
  PSRAD: [V.i32x4_shr_s, 32, true],
  PSRLD: [V.i32x4_shr_u, 32, false],
  PSLLQ: [V.i64x2_shl, 64, false],
  PSRLQ: [V.i64x2_shr_u, 64, false],
};
/** Lanes of source bytes: 0..15 the destination's, 16..31 the source's. */
const SHUFFLES: Readonly<Record<string, readonly number[]>> = {
  PUNPCKLBW: [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23],
  PUNPCKHBW: [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31],
  PUNPCKLWD: [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23],
  PUNPCKHWD: [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31],
  UNPCKLPS: [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23],
  UNPCKHPS: [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31],
  PUNPCKLQDQ: [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23],
  PUNPCKHQDQ: [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31],
};
/** High halves of 32-bit products. */
const ODD_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31] as const;

/** The bytes of elements: `bytes` each, by their numbers over both operands. */
const lanesOf = (bytes: number, elements: readonly number[]): number[] =>
  elements.flatMap((element) => Array.from({ length: bytes }, (_, byte) => element * bytes + byte));
/** The four two-bit fields of an immediate. */
const fields = (immediate: number): number[] => [0, 2, 4, 6].map((at) => (immediate >> at) & 3);

const binary =
  (opcode: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    if (opcode === V.xor && instruction.form === 'RR' && instruction.first === instruction.source) {
      code.splat32(0);
    } else {
      vectors.get(instruction.first);
      pushVector(emitter, instruction);
      code.vector(opcode);
    }
    vectors.set(instruction.destination);
  };

const shift =
  ([opcode, bits, signed]: readonly [number, number, boolean]): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const count = instruction.immediate & 0xff;
    // Everything is shifted out.
    if (count >= bits && !signed) code.splat32(0);
    else {
      vectors.get(instruction.first);
      code.i32(Math.min(count, bits - 1));
      code.vector(opcode);
    }
    vectors.set(instruction.destination);
  };
/** Shifts by the low 64 bits of the source. */
const shiftByRegister =
  ([opcode, bits, signed]: readonly [number, number, boolean]): Emit =>
  (emitter, instruction) => {
    const { code, vectors, wide } = emitter;
    const count = wide[0];
    pushVector(emitter, instruction);
    code.lane(V.i64x2_extract, 0);
    code.set(count);
    vectors.get(instruction.first);
    code.get(count);
    if (signed) {
      code.i64(bits - 1);
      code.get(count);
      code.i64(bits);
      code.op2(OP.i64_lt_u, OP.select);
    }
    code.op(OP.i32_wrap);
    code.vector(opcode);
    vectors.set(instruction.destination);
    if (signed) return;
    code.get(count);
    code.i64(bits);
    code.op(OP.i64_ge_u);
    emitter.when(() => {
      code.splat32(0);
      vectors.set(instruction.destination);
    });
  };
/** Shifts of the whole register by bytes: indices beyond 15 give zero. */
const shiftBytes =
  (left: boolean): Emit =>
  ({ code, vectors }, { first, destination, immediate }) => {
    const count = Math.min(immediate & 0xff, 16);
    vectors.get(first);
    code.vectorBytes(
      V.const,
      Array.from({ length: 16 }, (_, at) => {
        const from = left ? at - count : at + count;
        return from < 0 || from > 15 ? 0x80 : from;
      }),
    );
    code.vector(V.swizzle);
    vectors.set(destination);
  };

/** Destination and source, shuffled. */
const shuffle =
  (lanes: (immediate: number) => readonly number[]): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    vectors.get(instruction.first);
    pushVector(emitter, instruction);
    code.vectorBytes(V.shuffle, lanes(instruction.immediate));
    vectors.set(instruction.destination);
  };
/** The source alone, shuffled. */
const shuffleSource =
  (lanes: (immediate: number) => readonly number[]): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const scratch = vectors.vector(0);
    pushVector(emitter, instruction);
    code.tee(scratch);
    code.get(scratch);
    code.vectorBytes(V.shuffle, lanes(instruction.immediate));
    vectors.set(instruction.destination);
  };

/** MULHW and PMULHUW. */
const multiplyHigh =
  (low: number, high: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const scratch = vectors.vector(0);
    pushVector(emitter, instruction);
    code.set(scratch);
    for (const opcode of [low, high]) {
      vectors.get(instruction.first);
      code.get(scratch);
      code.vector(opcode);
    }
    code.vectorBytes(V.shuffle, ODD_WORDS);
    vectors.set(instruction.destination);
  };

/** The source's low element into the destination's: from memory the rest is cleared, from a register it stays. */
const loadLow =
  (bytes: 4 | 8): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    if (instruction.form === 'RM') pushLow(emitter, instruction, bytes);
    else {
      vectors.get(instruction.first);
      vectors.get(instruction.source);
      code.lane(bytes === 4 ? V.f32x4_extract : V.f64x2_extract, 0);
      code.lane(bytes === 4 ? V.f32x4_replace : V.f64x2_replace, 0);
    }
    vectors.set(instruction.destination);
  };
/** MOVQ: the rest is cleared in either form. */
const loadQuad: Emit = (emitter, instruction) => {
  const { code, vectors } = emitter;
  if (instruction.form === 'RM') pushLow(emitter, instruction, 8);
  else {
    code.splat32(0);
    vectors.get(instruction.source);
    code.lane(V.f64x2_extract, 0);
    code.lane(V.f64x2_replace, 0);
  }
  vectors.set(instruction.destination);
};
/** Stores an element of 4 or 8 bytes. */
const storeLane =
  (bytes: 4 | 8, lane: number): Emit =>
  (emitter, instruction) => {
    vectorPointer(emitter, instruction, 'write', bytes);
    emitter.vectors.get(instruction.source);
    emitter.code.vectorMemory(bytes === 4 ? V.store32_lane : V.store64_lane, 0);
    emitter.code.byte(lane);
  };
/** Loads 8 bytes into half of a register. */
const loadHalf =
  (lane: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    vectorPointer(emitter, instruction, 'read', 8);
    vectors.get(instruction.first);
    code.vectorMemory(V.load64_lane, 0);
    code.byte(lane);
    vectors.set(instruction.destination);
  };
/** Half of one register to half of another. */
const moveHalf =
  (from: number, to: number): Emit =>
  ({ code, vectors }, { first, source, destination }) => {
    vectors.get(first);
    vectors.get(source);
    code.lane(V.f64x2_extract, from);
    code.lane(V.f64x2_replace, to);
    vectors.set(destination);
  };

const mask =
  (opcode: number): Emit =>
  (emitter, instruction) => {
    emitter.vectors.get(instruction.source);
    emitter.code.vector(opcode);
    emitter.code.op(OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 3);
  };

const unaryMove: Emit = (emitter, instruction) => {
  pushVector(emitter, instruction);
  emitter.vectors.set(instruction.destination);
};

const OTHERS: Readonly<Record<string, Emit>> = {
  MOV_X: unaryMove,
  MOV_X_STORE: (emitter, instruction) => {
    if (instruction.form === 'RR') {
      emitter.vectors.get(instruction.source);
      emitter.vectors.set(instruction.destination);
      return;
    }
    vectorPointer(emitter, instruction, 'write', 16);
    emitter.vectors.get(instruction.source);
    emitter.code.vectorMemory(V.store, 0);
  },
  MOVQ_LOAD: loadQuad,
  MOVSS_LOAD: loadLow(4),
  MOVSD_LOAD: loadLow(8),
  MOVQ_STORE: (emitter, instruction) => (instruction.form === 'RR' ? loadQuad : storeLane(8, 0))(emitter, instruction),
  MOVSS_STORE: (emitter, instruction) =>
    (instruction.form === 'RR' ? loadLow(4) : storeLane(4, 0))(emitter, instruction),
  MOVSD_STORE: (emitter, instruction) =>
    (instruction.form === 'RR' ? loadLow(8) : storeLane(8, 0))(emitter, instruction),
  MOVLPS_STORE: storeLane(8, 0),
  MOVHPS_STORE: storeLane(8, 1),
  MOVLPS_LOAD: loadHalf(0),
  MOVHPS_LOAD: loadHalf(1),
  MOVHLPS: moveHalf(1, 0),
  MOVLHPS: moveHalf(0, 1),
  MOVD_TO_X: (emitter, instruction) => {
    const { code, vectors, wide } = emitter;
    const bytes = wideGeneral(instruction) ? 8 : 4;
    if (instruction.form === 'RM') {
      vectorPointer(emitter, instruction, 'read', bytes);
      code.vectorMemory(bytes === 8 ? V.load64_zero : V.load32_zero, 0);
    } else {
      emitter.readRegister(instruction.source, bytes === 8 ? 3 : 2, false);
      code.set(wide[0]);
      code.splat32(0);
      code.get(wide[0]);
      code.lane(V.i64x2_replace, 0);
    }
    vectors.set(instruction.destination);
  },
  MOVD_FROM_X: (emitter, instruction) => {
    const wide = wideGeneral(instruction);
    if (instruction.form === 'MR') {
      storeLane(wide ? 8 : 4, 0)(emitter, instruction);
      return;
    }
    emitter.vectors.get(instruction.source);
    if (wide) emitter.code.lane(V.i64x2_extract, 0);
    else {
      emitter.code.lane(V.i32x4_extract, 0);
      emitter.code.op(OP.i64_extend_u);
    }
    emitter.writeRegister(instruction.destination, 3);
  },
  PINSRW: (emitter, instruction) => {
    const { code, vectors, narrow } = emitter;
    pushGeneral(emitter, instruction, 1, false);
    code.op(OP.i32_wrap);
    code.set(narrow[0]);
    vectors.get(instruction.first);
    code.get(narrow[0]);
    code.lane(V.i16x8_replace, instruction.immediate & 7);
    vectors.set(instruction.destination);
  },
  PEXTRW: (emitter, instruction) => {
    emitter.vectors.get(instruction.source);
    emitter.code.lane(V.i16x8_extract_u, instruction.immediate & 7);
    emitter.code.op(OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 3);
  },
  PMOVMSKB: mask(V.i8x16_bitmask),
  MOVMSKPS: mask(V.i32x4_bitmask),
  MOVMSKPD: mask(V.i64x2_bitmask),
  PANDN: (emitter, instruction) => {
    // The complement is the destination's.
    pushVector(emitter, instruction);
    emitter.vectors.get(instruction.first);
    emitter.code.vector(V.andnot);
    emitter.vectors.set(instruction.destination);
  },
  PMULHW: multiplyHigh(V.i32x4_extmul_low_s, V.i32x4_extmul_high_s),
  PMULHUW: multiplyHigh(V.i32x4_extmul_low_u, V.i32x4_extmul_high_u),
  PMULUDQ: (emitter, instruction) => {
    const { code, vectors } = emitter;
    // The even elements; V8 knows the pattern of a zero-extending multiplication.
    pushVector(emitter, instruction);
    code.vectorBytes(V.const, EVEN);
    code.vector(V.and);
    vectors.get(instruction.first);
    code.vectorBytes(V.const, EVEN);
    code.vector(V.and, V.i64x2_mul);
    vectors.set(instruction.destination);
  },
  PSADBW: (emitter, instruction) => {
    const { code, vectors } = emitter;
    const scratch = vectors.vector(0);
    pushVector(emitter, instruction);
    code.set(scratch);
    vectors.get(instruction.first);
    code.get(scratch);
    code.vector(V.i8x16_sub_sat_u);
    code.get(scratch);
    vectors.get(instruction.first);
    code.vector(V.i8x16_sub_sat_u, V.or, V.i16x8_extadd_i8x16_u, V.i32x4_extadd_i16x8_u);
    code.tee(scratch);
    code.i32(32);
    code.vector(V.i64x2_shr_u);
    code.get(scratch);
    code.vectorBytes(V.const, EVEN);
    code.vector(V.and, V.i64x2_add);
    vectors.set(instruction.destination);
  },
  PSHUFD: shuffleSource((immediate) => lanesOf(4, fields(immediate))),
  PSHUFLW: shuffleSource((immediate) => lanesOf(2, [...fields(immediate), 4, 5, 6, 7])),
  PSHUFHW: shuffleSource((immediate) => lanesOf(2, [0, 1, 2, 3, ...fields(immediate).map((field) => field + 4)])),
  SHUFPS: shuffle((immediate) =>
    lanesOf(
      4,
      fields(immediate).map((field, at) => field + (at < 2 ? 0 : 4)),
    ),
  ),
  SHUFPD: shuffle((immediate) => lanesOf(8, [immediate & 1, 2 + ((immediate >> 1) & 1)])),
  PSLLDQ_IMM: shiftBytes(true),
  PSRLDQ_IMM: shiftBytes(false),
};
/** Ones in the even 32-bit elements. */
const EVEN = [255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0] as const;

/** The source's lowest 4 or 8 bytes, each element made as many bits as it takes. */
const extended =
  (bytes: 4 | 8, ...opcodes: readonly number[]): Emit =>
  (emitter, instruction) => {
    pushLow(emitter, instruction, bytes);
    emitter.code.vector(...opcodes);
    emitter.vectors.set(instruction.destination);
  };
const unary =
  (opcode: number): Emit =>
  (emitter, instruction) => {
    pushVector(emitter, instruction);
    emitter.code.vector(opcode);
    emitter.vectors.set(instruction.destination);
  };
/** Elements of `bytes` bytes of the source where the immediate has ones, of the destination elsewhere. */
const blend = (bytes: number): Emit =>
  shuffle((immediate) => {
    const count = 16 / bytes;
    return lanesOf(
      bytes,
      Array.from({ length: count }, (_, at) => (((immediate >> at) & 1) === 0 ? at : at + count)),
    );
  });
/** Bits that an index of PSHUFB has: with the highest one set it gives zero. */
const INDEX_BITS = Array.from({ length: 16 }, () => 0x8f);

/** Operations of SSSE3 and SSE4.1 that are not one instruction for two operands. */
const LATER: Readonly<Record<string, Emit>> = {
  PTEST: testVectors,
  LDDQU: unaryMove,
  MOVNTDQA: unaryMove,
  PABSB: unary(V.i8x16_abs),
  PABSW: unary(V.i16x8_abs),
  PABSD: unary(V.i32x4_abs),
  PMOVSXBW: extended(8, V.i16x8_extend_low_s),
  PMOVZXBW: extended(8, V.i16x8_extend_low_u),
  PMOVSXWD: extended(8, V.i32x4_extend_low_s),
  PMOVZXWD: extended(8, V.i32x4_extend_low_u),
  PMOVSXDQ: extended(8, V.i64x2_extend_low_s),
  PMOVZXDQ: extended(8, V.i64x2_extend_low_u),
  PMOVSXBD: extended(4, V.i16x8_extend_low_s, V.i32x4_extend_low_s),
  PMOVZXBD: extended(4, V.i16x8_extend_low_u, V.i32x4_extend_low_u),
  PMOVSXWQ: extended(4, V.i32x4_extend_low_s, V.i64x2_extend_low_s),
  PMOVZXWQ: extended(4, V.i32x4_extend_low_u, V.i64x2_extend_low_u),
  // AVX's, on each 128 bits.
  VPERMILPD_IMM: shuffleSource((immediate) => lanesOf(8, [immediate & 1, (immediate >> 1) & 1])),
  MOVSHDUP: shuffleSource(() => lanesOf(4, [1, 1, 3, 3])),
  MOVSLDUP: shuffleSource(() => lanesOf(4, [0, 0, 2, 2])),
  MOVDDUP: (emitter, instruction) => {
    const { code, vectors } = emitter;
    const scratch = vectors.vector(0);
    pushLow(emitter, instruction, 8);
    code.tee(scratch);
    code.get(scratch);
    code.vectorBytes(V.shuffle, lanesOf(8, [0, 0]));
    vectors.set(instruction.destination);
  },
  PSHUFB: (emitter, instruction) => {
    const { code, vectors } = emitter;
    vectors.get(instruction.first);
    pushVector(emitter, instruction);
    code.vectorBytes(V.const, INDEX_BITS);
    code.vector(V.and, V.swizzle);
    vectors.set(instruction.destination);
  },
  PALIGNR: (emitter, instruction) => {
    const { code, vectors } = emitter;
    const count = instruction.immediate & 0xff;
    pushVector(emitter, instruction);
    if (count < 16) vectors.get(instruction.first);
    else {
      // Only the destination is left, above it zeros.
      code.set(vectors.vector(0));
      vectors.get(instruction.first);
      code.splat32(0);
    }
    const first = count < 16 ? count : count - 16;
    code.vectorBytes(
      V.shuffle,
      Array.from({ length: 16 }, (_, at) => Math.min(first + at, 31)),
    );
    vectors.set(instruction.destination);
  },
  BLENDPS: blend(4),
  BLENDPD: blend(8),
  PBLENDW: blend(2),
};

/** All of them by operation, made once. */
const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ...Object.entries(OTHERS),
  ...Object.entries(LATER),
  ...Object.entries(BINARY).map(([operation, opcode]): [string, Emit] => [operation, binary(opcode)]),
  ...Object.entries(SHIFTS).flatMap(([operation, parts]): [string, Emit][] => [
    [operation, shiftByRegister(parts)],
    [`${operation}_IMM`, shift(parts)],
  ]),
  ...Object.entries(SHUFFLES).map(([operation, lanes]): [string, Emit] => [operation, shuffle(() => lanes)]),
]);

/** What was looked up: this is asked of every instruction. */
const known = new Map<string, Emit | undefined>();

/** The emitter of a vector operation, if it has one. */
export function emitVector(operation: string): Emit | undefined {
  if (!known.has(operation))
    known.set(operation, EMITTERS.get(operation) ?? emitElements(operation) ?? emitFloat(operation));
  return known.get(operation);
}
/** Whether the operation works on XMM registers and has a translation. */
export function isVectorOperation(operation: string): boolean {
  return emitVector(operation) !== undefined;
}
