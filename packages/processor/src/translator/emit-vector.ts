/**
 * SSE and SSE2 moves and integer operations as v128 instructions. XMM registers stay in the processor's block: they are loaded and stored
 * where they are used. Floating-point arithmetic is left to the interpreter, which keeps MXCSR exact.
 *
 * That vectors are available (CR0.EM, CR0.TS, CR4.OSFXSR) is checked once at a region's entry, see region-emitter.ts.
 * Answers to: AMD64 manual volume 4; WebAssembly core specification, section 5.4.8. Called by: emit-instructions.ts.
 */
import { STATE } from '../state-layout.ts';
import type { Emit } from './emit-operands.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

/** Opcodes behind the vector prefix. */
const V = {
  load: 0x00,
  load32_zero: 0x5c,
  load64_zero: 0x5d,
  store: 0x0b,
  shuffle: 0x0d,
  and: 0x4e,
  andnot: 0x4f,
  or: 0x50,
  xor: 0x51,
  i8x16_bitmask: 0x64,
  i32x4_bitmask: 0xa4,
  i64x2_bitmask: 0xc4,
} as const;

/** Two operands to one, destination first. */
const BINARY: Readonly<Record<string, number>> = {
  PAND: V.and,
  POR: V.or,
  PXOR: V.xor,
  PADDB: 0x6e,
  PADDW: 0x8e,
  PADDD: 0xae,
  PADDQ: 0xce,
  PSUBB: 0x71,
  PSUBW: 0x91,
  PSUBD: 0xb1,
  PSUBQ: 0xd1,
  PADDSB: 0x6f,
  PADDUSB: 0x70,
  PSUBSB: 0x72,
  PSUBUSB: 0x73,
  PADDSW: 0x8f,
  PADDUSW: 0x90,
  PSUBSW: 0x92,
  PSUBUSW: 0x93,
  PCMPEQB: 0x23,
  PCMPEQW: 0x2d,
  PCMPEQD: 0x37,
  PCMPGTB: 0x27,
  PCMPGTW: 0x31,
  PCMPGTD: 0x3b,
  PMINUB: 0x77,
  PMAXUB: 0x79,
  PMINSW: 0x96,
  PMAXSW: 0x98,
  PMULLW: 0x95,
  PAVGB: 0x7b,
  PAVGW: 0x9b,
};
/** Shifts by a constant: opcode, element bits, whether the sign comes in. */
const SHIFTS: Readonly<Record<string, readonly [number, number, boolean]>> = {
  PSLLW_IMM: [0x8b, 16, false],
  PSRAW_IMM: [0x8c, 16, true],
  PSRLW_IMM: [0x8d, 16, false],
  PSLLD_IMM: [0xab, 32, false],
  PSRAD_IMM: [0xac, 32, true],
  PSRLD_IMM: [0xad, 32, false],
  PSLLQ_IMM: [0xcb, 64, false],
  PSRLQ_IMM: [0xcd, 64, false],
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

const xmm = (place: number): number => STATE.XMM + place * 2;
const wideGeneral = ({ immediate }: Instruction): boolean => (immediate & 0x40000000) !== 0;

function vectorMemory({ code }: RegionEmitter, opcode: number, offset: number): void {
  code.byte(0xfd);
  code.unsigned(opcode);
  code.byte(0);
  code.unsigned(offset);
}
function vectorOp({ code }: RegionEmitter, opcode: number): void {
  code.byte(0xfd);
  code.unsigned(opcode);
}
function shuffle(emitter: RegionEmitter, lanes: readonly number[]): void {
  vectorOp(emitter, V.shuffle);
  for (const lane of lanes) emitter.code.byte(lane);
}

/** Pushes the host pointer of the memory operand; a misaligned one that must not be is the interpreter's. */
function vectorPointer(
  emitter: RegionEmitter,
  instruction: Instruction,
  access: 'read' | 'write',
  bytes: number,
): void {
  const { code, address } = emitter;
  emitter.effectiveAddress(instruction);
  if ((instruction.immediate & 0x10000) !== 0) {
    code.tee(address);
    code.i64(15);
    code.op(OP.i64_and);
    code.i64(0);
    code.op(OP.i64_ne);
    emitter.sideExitIf();
    code.get(address);
  }
  emitter.operandPointer(access, bytes);
}

/** Pushes the 16-byte source operand. */
function pushVector(emitter: RegionEmitter, instruction: Instruction): void {
  if (instruction.form === 'RM') {
    vectorPointer(emitter, instruction, 'read', 16);
    vectorMemory(emitter, V.load, 0);
  } else {
    emitter.code.get(0);
    vectorMemory(emitter, V.load, xmm(instruction.source));
  }
}
/** Stores what `value` pushes into the destination register. The source must have been fetched before, for its fault. */
function storeVector(emitter: RegionEmitter, place: number, value: () => void): void {
  emitter.code.get(0);
  value();
  vectorMemory(emitter, V.store, xmm(place));
}

const binary =
  (opcode: number): Emit =>
  (emitter, instruction) => {
    storeVector(emitter, instruction.destination, () => {
      emitter.code.get(0);
      vectorMemory(emitter, V.load, xmm(instruction.destination));
      pushVector(emitter, instruction);
      vectorOp(emitter, opcode);
    });
  };

const shift =
  ([opcode, bits, signed]: readonly [number, number, boolean]): Emit =>
  (emitter, instruction) => {
    const { code } = emitter;
    const count = instruction.immediate & 0xff;
    storeVector(emitter, instruction.destination, () => {
      code.get(0);
      vectorMemory(emitter, V.load, xmm(instruction.destination));
      if (count >= bits && !signed) {
        // Everything is shifted out.
        code.get(0);
        vectorMemory(emitter, V.load, xmm(instruction.destination));
        vectorOp(emitter, V.xor);
      } else {
        code.i32(Math.min(count, bits - 1));
        vectorOp(emitter, opcode);
      }
    });
  };

/** A load of 4 or 8 bytes that clears the rest of the register, from memory, or MOVQ between registers. */
const loadLow =
  (bytes: number): Emit =>
  (emitter, instruction) => {
    storeVector(emitter, instruction.destination, () => {
      const opcode = bytes === 4 ? V.load32_zero : V.load64_zero;
      if (instruction.form === 'RM') {
        vectorPointer(emitter, instruction, 'read', bytes);
        vectorMemory(emitter, opcode, 0);
      } else {
        emitter.code.get(0);
        vectorMemory(emitter, opcode, xmm(instruction.source));
      }
    });
  };

/** Stores 4 or 8 bytes of a register, `from` bytes into it. */
const storePart =
  (bytes: number, from: number): Emit =>
  (emitter, instruction) => {
    const { code } = emitter;
    vectorPointer(emitter, instruction, 'write', bytes);
    code.get(0);
    code.memory(bytes === 4 ? OP.i64_load32_u : OP.i64_load, xmm(instruction.source) + from);
    code.memory(bytes === 4 ? OP.i64_store32 : OP.i64_store, 0);
  };
/** Loads 8 bytes into half of a register. */
const loadHalf =
  (to: number): Emit =>
  (emitter, instruction) => {
    const { code, wide } = emitter;
    vectorPointer(emitter, instruction, 'read', 8);
    code.memory(OP.i64_load, 0);
    code.set(wide[0]);
    code.get(0);
    code.get(wide[0]);
    code.memory(OP.i64_store, xmm(instruction.destination) + to);
  };

const mask =
  (opcode: number): Emit =>
  (emitter, instruction) => {
    emitter.code.get(0);
    vectorMemory(emitter, V.load, xmm(instruction.source));
    vectorOp(emitter, opcode);
    emitter.code.op(OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 3);
  };

const MOVES: Readonly<Record<string, Emit>> = {
  MOV_X: (emitter, instruction) =>
    storeVector(emitter, instruction.destination, () => pushVector(emitter, instruction)),
  MOV_X_STORE: (emitter, instruction) => {
    if (instruction.form === 'RR') {
      storeVector(emitter, instruction.destination, () => pushVector(emitter, instruction));
      return;
    }
    vectorPointer(emitter, instruction, 'write', 16);
    emitter.code.get(0);
    vectorMemory(emitter, V.load, xmm(instruction.source));
    vectorMemory(emitter, V.store, 0);
  },
  MOVQ_LOAD: loadLow(8),
  MOVSS_LOAD: loadLow(4),
  MOVSD_LOAD: loadLow(8),
  MOVQ_STORE: storePart(8, 0),
  MOVSS_STORE: storePart(4, 0),
  MOVSD_STORE: storePart(8, 0),
  MOVLPS_STORE: storePart(8, 0),
  MOVHPS_STORE: storePart(8, 8),
  MOVLPS_LOAD: loadHalf(0),
  MOVHPS_LOAD: loadHalf(8),
  MOVD_TO_X: (emitter, instruction) => {
    const { code, wide } = emitter;
    const bytes = wideGeneral(instruction) ? 8 : 4;
    if (instruction.form === 'RM') {
      vectorPointer(emitter, instruction, 'read', bytes);
      code.memory(bytes === 8 ? OP.i64_load : OP.i64_load32_u, 0);
    } else emitter.readRegister(instruction.source, bytes === 8 ? 3 : 2, false);
    code.set(wide[0]);
    code.get(0);
    code.get(wide[0]);
    code.memory(OP.i64_store, xmm(instruction.destination));
    code.get(0);
    code.i64(0);
    code.memory(OP.i64_store, xmm(instruction.destination) + 8);
  },
  MOVD_FROM_X: (emitter, instruction) => {
    const { code } = emitter;
    const bytes = wideGeneral(instruction) ? 8 : 4;
    if (instruction.form === 'MR') {
      storePart(bytes, 0)(emitter, instruction);
      return;
    }
    code.get(0);
    code.memory(bytes === 8 ? OP.i64_load : OP.i64_load32_u, xmm(instruction.source));
    emitter.writeRegister(instruction.destination, 3);
  },
  PMOVMSKB: mask(V.i8x16_bitmask),
  MOVMSKPS: mask(V.i32x4_bitmask),
  MOVMSKPD: mask(V.i64x2_bitmask),
  PANDN: (emitter, instruction) => {
    // The complement is the destination's.
    storeVector(emitter, instruction.destination, () => {
      pushVector(emitter, instruction);
      emitter.code.get(0);
      vectorMemory(emitter, V.load, xmm(instruction.destination));
      vectorOp(emitter, V.andnot);
    });
  },
  PSHUFD: (emitter, instruction) => {
    const { immediate } = instruction;
    storeVector(emitter, instruction.destination, () => {
      pushVector(emitter, instruction);
      emitter.code.get(0);
      vectorMemory(emitter, V.load, xmm(instruction.destination));
      const lanes = [0, 2, 4, 6].flatMap((at) => [0, 1, 2, 3].map((byte) => ((immediate >> at) & 3) * 4 + byte));
      shuffle(emitter, lanes);
    });
  },
};

/** The emitter of a vector operation, if it has one. */
export function emitVector(operation: string): Emit | undefined {
  const move = MOVES[operation];
  if (move !== undefined) return move;
  const opcode = BINARY[operation];
  if (opcode !== undefined) return binary(opcode);
  const shifted = SHIFTS[operation];
  if (shifted !== undefined) return shift(shifted);
  const lanes = SHUFFLES[operation];
  if (lanes === undefined) return undefined;
  return (emitter, instruction) => {
    storeVector(emitter, instruction.destination, () => {
      emitter.code.get(0);
      vectorMemory(emitter, V.load, xmm(instruction.destination));
      pushVector(emitter, instruction);
      shuffle(emitter, lanes);
    });
  };
}

/** Whether the form has a translation: what merges into a register from another one is left to the interpreter. */
export function vectorTranslatable({ operation, form }: Instruction): boolean {
  if (operation === 'MOVSS_LOAD' || operation === 'MOVSD_LOAD') return form === 'RM';
  if (operation === 'MOVQ_STORE' || operation === 'MOVSS_STORE' || operation === 'MOVSD_STORE') return form === 'MR';
  return true;
}
