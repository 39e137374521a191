/**
 * SSE and SSE2, one function for all: dispatch, moves and the integer operations that are one WebAssembly instruction each.
 * Semantics: AMD64 Architecture Programmer's Manual volume 4; rows: src/table/vector.ts. The interpreter calls it with operands
 * already translated and checked (availability, alignment, page faults); MASKMOVDQU, which writes single bytes, stays with it.
 *
 * Invariants: of a source in memory only the operand's own bytes are read; the destination may be the source; when a
 * SIMD floating-point exception is due nothing but MXCSR has changed.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp } from './state';
import { extendedOperation } from './vector-extended';
import {
  doublesToIntegers,
  doublesToSingles,
  doubleToGeneral,
  doubleToSingle,
  generalToDouble,
  generalToSingle,
  integersToDoubles,
  integersToSingles,
  singlesToDoubles,
  singlesToIntegers,
  singleToDouble,
  singleToGeneral,
} from './vector-convert';
import {
  ADD,
  COMPARE,
  compareFlags,
  DIVIDE,
  MAXIMUM,
  MINIMUM,
  MULTIPLY,
  packedDouble,
  packedSingle,
  reciprocal,
  reciprocalSquareRoot,
  scalar,
  SQUARE_ROOT,
  SUBTRACT,
} from './vector-float';
import {
  get,
  multiplyEven,
  multiplyHighSigned,
  multiplyHighUnsigned,
  put,
  shiftBytesLeft,
  shiftBytesRight,
  shiftLeft16,
  shiftLeft32,
  shiftLeft64,
  shiftRight16,
  shiftRight32,
  shiftRight64,
  shiftSigned16,
  shiftSigned32,
  shuffle32,
  shuffleDouble,
  shuffleHigh16,
  shuffleLow16,
  shuffleSingle,
  sumAbsoluteDifferences,
} from './vector-integer';

/** `immediate` beside its low byte: the operand named by ModRM is in memory. */
export const VECTOR_MEMORY: u32 = 0x80000000;
/** `immediate`: the general-purpose operand is 64 bits wide. */
export const VECTOR_WIDE: u32 = 0x40000000;

// @ts-ignore: decorator
@inline
function leave(value: u64): u32 {
  store<u64>(vp, value, L.VECTOR_RESULT);
  return 0;
}

// @ts-ignore: decorator
@inline
function done(d: usize, value: v128): u32 {
  put(d, value);
  return 0;
}

/**
 * Executes one operation.
 * @param operation a row's operation whose operands include V, W or U
 * @param d address of the destination: a register slot (16 bytes) or, for stores, memory
 * @param s address of the source: a register slot, a general register, or memory of the operand's size
 * @param immediate bits 0-7 the immediate byte, VECTOR_MEMORY, VECTOR_WIDE
 * @returns 0; 1 when #XM must be raised. A result for a general register, or ZF PF CF, is left in L.VECTOR_RESULT.
 */
export function vectorOperation(operation: u32, d: usize, s: usize, immediate: u32): u32 {
  switch (operation) {
    case Operation.MOV_X: return done(d, get(s));
    case Operation.MOV_X_STORE: return done(d, get(s));
    case Operation.MOVSS_LOAD:
      if ((immediate & VECTOR_MEMORY) != 0) return done(d, v128.load32_zero(s));
      store<u32>(d, load<u32>(s));
      return 0;
    case Operation.MOVSD_LOAD:
      if ((immediate & VECTOR_MEMORY) != 0) return done(d, v128.load64_zero(s));
      store<u64>(d, load<u64>(s));
      return 0;
    case Operation.MOVSS_STORE: store<u32>(d, load<u32>(s)); return 0;
    case Operation.MOVSD_STORE: store<u64>(d, load<u64>(s)); return 0;
    case Operation.MOVLPS_LOAD: store<u64>(d, load<u64>(s)); return 0;
    case Operation.MOVLPS_STORE: store<u64>(d, load<u64>(s)); return 0;
    case Operation.MOVHPS_LOAD: store<u64>(d, load<u64>(s), 8); return 0;
    case Operation.MOVHPS_STORE: store<u64>(d, load<u64>(s, 8)); return 0;
    case Operation.MOVHLPS: store<u64>(d, load<u64>(s, 8)); return 0;
    case Operation.MOVLHPS: store<u64>(d, load<u64>(s), 8); return 0;
    case Operation.MOVQ_LOAD: return done(d, v128.load64_zero(s));
    case Operation.MOVQ_STORE:
      if ((immediate & VECTOR_MEMORY) != 0) store<u64>(d, load<u64>(s));
      else put(d, v128.load64_zero(s));
      return 0;
    case Operation.MOVD_TO_X: return done(d, (immediate & VECTOR_WIDE) != 0 ? v128.load64_zero(s) : v128.load32_zero(s));
    case Operation.MOVD_FROM_X: return leave((immediate & VECTOR_WIDE) != 0 ? load<u64>(s) : <u64>load<u32>(s));
    case Operation.PINSRW: store<u16>(d + ((immediate & 7) << 1), load<u16>(s)); return 0;
    case Operation.PEXTRW: return leave(<u64>load<u16>(s + ((immediate & 7) << 1)));
    case Operation.PMOVMSKB: return leave(<u64>(<u32>i8x16.bitmask(get(s))));
    case Operation.MOVMSKPS: return leave(<u64>(<u32>i32x4.bitmask(get(s))));
    case Operation.MOVMSKPD: return leave(<u64>(<u32>i64x2.bitmask(get(s))));

    case Operation.PAND: return done(d, v128.and(get(d), get(s)));
    case Operation.PANDN: return done(d, v128.andnot(get(s), get(d)));
    case Operation.POR: return done(d, v128.or(get(d), get(s)));
    case Operation.PXOR: return done(d, v128.xor(get(d), get(s)));
    case Operation.PADDB: return done(d, i8x16.add(get(d), get(s)));
    case Operation.PADDW: return done(d, i16x8.add(get(d), get(s)));
    case Operation.PADDD: return done(d, i32x4.add(get(d), get(s)));
    case Operation.PADDQ: return done(d, i64x2.add(get(d), get(s)));
    case Operation.PSUBB: return done(d, i8x16.sub(get(d), get(s)));
    case Operation.PSUBW: return done(d, i16x8.sub(get(d), get(s)));
    case Operation.PSUBD: return done(d, i32x4.sub(get(d), get(s)));
    case Operation.PSUBQ: return done(d, i64x2.sub(get(d), get(s)));
    case Operation.PADDSB: return done(d, i8x16.add_sat_s(get(d), get(s)));
    case Operation.PADDSW: return done(d, i16x8.add_sat_s(get(d), get(s)));
    case Operation.PADDUSB: return done(d, i8x16.add_sat_u(get(d), get(s)));
    case Operation.PADDUSW: return done(d, i16x8.add_sat_u(get(d), get(s)));
    case Operation.PSUBSB: return done(d, i8x16.sub_sat_s(get(d), get(s)));
    case Operation.PSUBSW: return done(d, i16x8.sub_sat_s(get(d), get(s)));
    case Operation.PSUBUSB: return done(d, i8x16.sub_sat_u(get(d), get(s)));
    case Operation.PSUBUSW: return done(d, i16x8.sub_sat_u(get(d), get(s)));
    case Operation.PMINUB: return done(d, i8x16.min_u(get(d), get(s)));
    case Operation.PMAXUB: return done(d, i8x16.max_u(get(d), get(s)));
    case Operation.PMINSW: return done(d, i16x8.min_s(get(d), get(s)));
    case Operation.PMAXSW: return done(d, i16x8.max_s(get(d), get(s)));
    case Operation.PAVGB: return done(d, i8x16.avgr_u(get(d), get(s)));
    case Operation.PAVGW: return done(d, i16x8.avgr_u(get(d), get(s)));
    case Operation.PMULLW: return done(d, i16x8.mul(get(d), get(s)));
    case Operation.PMULHW: return done(d, multiplyHighSigned(get(d), get(s)));
    case Operation.PMULHUW: return done(d, multiplyHighUnsigned(get(d), get(s)));
    case Operation.PMULUDQ: return done(d, multiplyEven(get(d), get(s)));
    case Operation.PMADDWD: return done(d, i32x4.dot_i16x8_s(get(d), get(s)));
    case Operation.PSADBW: return done(d, sumAbsoluteDifferences(get(d), get(s)));
    case Operation.PCMPEQB: return done(d, i8x16.eq(get(d), get(s)));
    case Operation.PCMPEQW: return done(d, i16x8.eq(get(d), get(s)));
    case Operation.PCMPEQD: return done(d, i32x4.eq(get(d), get(s)));
    case Operation.PCMPGTB: return done(d, i8x16.gt_s(get(d), get(s)));
    case Operation.PCMPGTW: return done(d, i16x8.gt_s(get(d), get(s)));
    case Operation.PCMPGTD: return done(d, i32x4.gt_s(get(d), get(s)));

    case Operation.PACKSSWB: return done(d, i8x16.narrow_i16x8_s(get(d), get(s)));
    case Operation.PACKUSWB: return done(d, i8x16.narrow_i16x8_u(get(d), get(s)));
    case Operation.PACKSSDW: return done(d, i16x8.narrow_i32x4_s(get(d), get(s)));
    case Operation.PUNPCKLBW: return done(d, v128.shuffle<i8>(get(d), get(s), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    case Operation.PUNPCKHBW: return done(d, v128.shuffle<i8>(get(d), get(s), 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
    case Operation.PUNPCKLWD: return done(d, v128.shuffle<i16>(get(d), get(s), 0, 8, 1, 9, 2, 10, 3, 11));
    case Operation.PUNPCKHWD: return done(d, v128.shuffle<i16>(get(d), get(s), 4, 12, 5, 13, 6, 14, 7, 15));
    case Operation.UNPCKLPS: return done(d, v128.shuffle<i32>(get(d), get(s), 0, 4, 1, 5));
    case Operation.UNPCKHPS: return done(d, v128.shuffle<i32>(get(d), get(s), 2, 6, 3, 7));
    case Operation.PUNPCKLQDQ: return done(d, v128.shuffle<i64>(get(d), get(s), 0, 2));
    case Operation.PUNPCKHQDQ: return done(d, v128.shuffle<i64>(get(d), get(s), 1, 3));
    case Operation.PSHUFD: shuffle32(d, s, immediate); return 0;
    case Operation.PSHUFLW: shuffleLow16(d, s, immediate); return 0;
    case Operation.PSHUFHW: shuffleHigh16(d, s, immediate); return 0;
    case Operation.SHUFPS: shuffleSingle(d, s, immediate); return 0;
    case Operation.SHUFPD: shuffleDouble(d, s, immediate); return 0;

    case Operation.PSLLW: shiftLeft16(d, load<u64>(s)); return 0;
    case Operation.PSLLD: shiftLeft32(d, load<u64>(s)); return 0;
    case Operation.PSLLQ: shiftLeft64(d, load<u64>(s)); return 0;
    case Operation.PSRLW: shiftRight16(d, load<u64>(s)); return 0;
    case Operation.PSRLD: shiftRight32(d, load<u64>(s)); return 0;
    case Operation.PSRLQ: shiftRight64(d, load<u64>(s)); return 0;
    case Operation.PSRAW: shiftSigned16(d, load<u64>(s)); return 0;
    case Operation.PSRAD: shiftSigned32(d, load<u64>(s)); return 0;
    case Operation.PSLLW_IMM: shiftLeft16(d, immediate & 255); return 0;
    case Operation.PSLLD_IMM: shiftLeft32(d, immediate & 255); return 0;
    case Operation.PSLLQ_IMM: shiftLeft64(d, immediate & 255); return 0;
    case Operation.PSRLW_IMM: shiftRight16(d, immediate & 255); return 0;
    case Operation.PSRLD_IMM: shiftRight32(d, immediate & 255); return 0;
    case Operation.PSRLQ_IMM: shiftRight64(d, immediate & 255); return 0;
    case Operation.PSRAW_IMM: shiftSigned16(d, immediate & 255); return 0;
    case Operation.PSRAD_IMM: shiftSigned32(d, immediate & 255); return 0;
    case Operation.PSLLDQ_IMM: shiftBytesLeft(d, immediate & 255); return 0;
    case Operation.PSRLDQ_IMM: shiftBytesRight(d, immediate & 255); return 0;

    case Operation.ADDSS: return scalar<u32>(ADD, d, s);
    case Operation.ADDSD: return scalar<u64>(ADD, d, s);
    case Operation.ADDPS: return packedSingle(ADD, d, s);
    case Operation.ADDPD: return packedDouble(ADD, d, s);
    case Operation.SUBSS: return scalar<u32>(SUBTRACT, d, s);
    case Operation.SUBSD: return scalar<u64>(SUBTRACT, d, s);
    case Operation.SUBPS: return packedSingle(SUBTRACT, d, s);
    case Operation.SUBPD: return packedDouble(SUBTRACT, d, s);
    case Operation.MULSS: return scalar<u32>(MULTIPLY, d, s);
    case Operation.MULSD: return scalar<u64>(MULTIPLY, d, s);
    case Operation.MULPS: return packedSingle(MULTIPLY, d, s);
    case Operation.MULPD: return packedDouble(MULTIPLY, d, s);
    case Operation.DIVSS: return scalar<u32>(DIVIDE, d, s);
    case Operation.DIVSD: return scalar<u64>(DIVIDE, d, s);
    case Operation.DIVPS: return packedSingle(DIVIDE, d, s);
    case Operation.DIVPD: return packedDouble(DIVIDE, d, s);
    case Operation.MINSS: return scalar<u32>(MINIMUM, d, s);
    case Operation.MINSD: return scalar<u64>(MINIMUM, d, s);
    case Operation.MINPS: return packedSingle(MINIMUM, d, s);
    case Operation.MINPD: return packedDouble(MINIMUM, d, s);
    case Operation.MAXSS: return scalar<u32>(MAXIMUM, d, s);
    case Operation.MAXSD: return scalar<u64>(MAXIMUM, d, s);
    case Operation.MAXPS: return packedSingle(MAXIMUM, d, s);
    case Operation.MAXPD: return packedDouble(MAXIMUM, d, s);
    case Operation.SQRTSS: return scalar<u32>(SQUARE_ROOT, d, s);
    case Operation.SQRTSD: return scalar<u64>(SQUARE_ROOT, d, s);
    case Operation.SQRTPS: return packedSingle(SQUARE_ROOT, d, s);
    case Operation.SQRTPD: return packedDouble(SQUARE_ROOT, d, s);
    case Operation.CMPSS: return scalar<u32>(COMPARE + (immediate & 7), d, s);
    case Operation.CMPSD_X: return scalar<u64>(COMPARE + (immediate & 7), d, s);
    case Operation.CMPPS: return packedSingle(COMPARE + (immediate & 7), d, s);
    case Operation.CMPPD: return packedDouble(COMPARE + (immediate & 7), d, s);
    case Operation.COMISS: return compareFlags<u32>(d, s, false);
    case Operation.COMISD: return compareFlags<u64>(d, s, false);
    case Operation.UCOMISS: return compareFlags<u32>(d, s, true);
    case Operation.UCOMISD: return compareFlags<u64>(d, s, true);
    case Operation.RCPSS: store<u32>(d, reciprocal(load<u32>(s))); return 0;
    case Operation.RCPPS:
      for (let at: usize = 0; at < 16; at += 4) store<u32>(d + at, reciprocal(load<u32>(s + at)));
      return 0;
    case Operation.RSQRTSS: store<u32>(d, reciprocalSquareRoot(load<u32>(s))); return 0;
    case Operation.RSQRTPS:
      for (let at: usize = 0; at < 16; at += 4) store<u32>(d + at, reciprocalSquareRoot(load<u32>(s + at)));
      return 0;

    case Operation.CVTSI2SS: return generalToSingle(d, s, (immediate & VECTOR_WIDE) != 0);
    case Operation.CVTSI2SD: return generalToDouble(d, s, (immediate & VECTOR_WIDE) != 0);
    case Operation.CVTSS2SI: return singleToGeneral(s, false, (immediate & VECTOR_WIDE) != 0);
    case Operation.CVTTSS2SI: return singleToGeneral(s, true, (immediate & VECTOR_WIDE) != 0);
    case Operation.CVTSD2SI: return doubleToGeneral(s, false, (immediate & VECTOR_WIDE) != 0);
    case Operation.CVTTSD2SI: return doubleToGeneral(s, true, (immediate & VECTOR_WIDE) != 0);
    case Operation.CVTPS2DQ: return singlesToIntegers(d, s, false);
    case Operation.CVTTPS2DQ: return singlesToIntegers(d, s, true);
    case Operation.CVTPD2DQ: return doublesToIntegers(d, s, false);
    case Operation.CVTTPD2DQ: return doublesToIntegers(d, s, true);
    case Operation.CVTDQ2PS: return integersToSingles(d, s);
    case Operation.CVTDQ2PD: return integersToDoubles(d, s);
    case Operation.CVTSS2SD: return singleToDouble(d, s);
    case Operation.CVTPS2PD: return singlesToDoubles(d, s);
    case Operation.CVTSD2SS: return doubleToSingle(d, s);
    case Operation.CVTPD2PS: return doublesToSingles(d, s);

    default: return extendedOperation(operation, d, s, immediate);
  }
}
