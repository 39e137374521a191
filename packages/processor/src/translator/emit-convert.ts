/**
 * Conversions between integers, singles and doubles, native where they raise nothing but PE, which is set already: of numbers that fit the
 * integer, and of ordinary numbers and zeros to ordinary numbers and zeros.
 *
 * Integers come out rounded to nearest, which is the rounding that the fast state of MXCSR has, or truncated.
 * Answers to: AMD64 manual volume 4. Called by: emit-float.ts.
 */
import {
  checkAllowed,
  checkExact,
  checkResult,
  checkScalar,
  cleanSource,
  DOUBLE,
  type Format,
  NOT_TINY,
  notOrdinaryVector,
  pushNonFinite,
  SINGLE,
  scalarSource,
  signBits,
  unlessRelaxed,
  writeLow,
} from './emit-float-checks.ts';
import type { Emit } from './emit-operands.ts';
import { pushGeneral, pushLow, pushVector, wideGeneral } from './emit-vector-operands.ts';
import { CLEAN, needsOfMxcsr } from './float-analysis.ts';
import { V } from './vector-opcodes.ts';
import { OP } from './wasm-encoder.ts';

/** CVTSI2SS, CVTSI2SD. */
const fromGeneral =
  (format: Format, narrow: number, wide: number): Emit =>
  (emitter, instruction) => {
    const { code } = emitter;
    const isWide = wideGeneral(instruction);
    const [value, result] = [emitter.wide[0], format.local(emitter, 2)];
    pushGeneral(emitter, instruction, isWide ? 3 : 2, true);
    code.set(value);
    if (needsOfMxcsr(instruction) !== 0) {
      emitter.withSideExit((leaveIf) =>
        checkExact(emitter, leaveIf, () => {
          // Exact as far as the significand goes.
          const least = 1n << (format.bytes === 4 ? 24n : 53n);
          code.get(value);
          code.i64(least);
          code.op(OP.i64_add);
          code.i64(2n * least);
          code.op(OP.i64_gt_u);
        }),
      );
    }
    code.get(value);
    if (!isWide) code.op(OP.i32_wrap);
    code.op(isWide ? wide : narrow);
    code.set(result);
    writeLow(emitter, instruction, format, result);
  };

interface ToGeneral {
  readonly format: Format;
  readonly nearest: number | undefined;
  readonly narrow: number;
  readonly wide: number;
}
/** CVTSS2SI, CVTSD2SI and their truncating forms. */
const toGeneral =
  ({ format, nearest, narrow, wide }: ToGeneral): Emit =>
  (emitter, instruction) => {
    const { code } = emitter;
    const isWide = instruction.size === 3;
    const [given, value] = [format.local(emitter, 0), format.local(emitter, 1)];
    scalarSource(emitter, instruction, format, given);
    emitter.withSideExit((leaveIf) => {
      code.get(given);
      if (nearest !== undefined) code.op(nearest);
      code.set(value);
      // What does not fit, and NaN.
      code.get(value);
      code.op(format.abs);
      format.constant(emitter, isWide ? 2 ** 63 : 2 ** 31);
      code.op2(format.lt, OP.i32_eqz);
      leaveIf();
      checkExact(emitter, leaveIf, () => {
        code.get(value);
        code.op(format.trunc);
        code.get(given);
        code.op(format.ne);
      });
    });
    code.get(value);
    code.op(isWide ? wide : narrow);
    if (!isWide) code.op(OP.i64_extend_u);
    emitter.writeRegister(instruction.destination, 3);
  };

/** CVTSS2SD: exact. */
const widen: Emit = (emitter, instruction) => {
  const { code } = emitter;
  const [value, result] = [SINGLE.local(emitter, 0), DOUBLE.local(emitter, 2)];
  scalarSource(emitter, instruction, SINGLE, value);
  if (!cleanSource(emitter, instruction, SINGLE))
    emitter.withSideExit((leaveIf) => checkScalar(emitter, SINGLE, value, leaveIf));
  code.get(value);
  code.op(OP.f64_promote);
  code.set(result);
  writeLow(emitter, instruction, DOUBLE, result);
};
/** CVTSD2SS. An operand that is not ordinary gives such a result. */
const narrow: Emit = (emitter, instruction) => {
  const { code } = emitter;
  const [value, result] = [DOUBLE.local(emitter, 0), SINGLE.local(emitter, 2)];
  scalarSource(emitter, instruction, DOUBLE, value);
  emitter.withSideExit((leaveIf) => {
    code.get(value);
    code.op(OP.f32_demote);
    code.set(result);
    checkExact(emitter, leaveIf, () => {
      code.get(result);
      code.op(OP.f64_promote);
      code.get(value);
      code.op(OP.f64_ne);
    });
    checkResult(emitter, SINGLE, result, NOT_TINY, leaveIf, () => {
      code.get(value);
      code.f64(0);
      code.op(OP.f64_ne);
    });
  });
  writeLow(emitter, instruction, SINGLE, result);
};

/** CVTPS2PD: exact. */
const widenPacked: Emit = (emitter, instruction) => {
  const { code, vectors } = emitter;
  const value = vectors.vector(0);
  pushLow(emitter, instruction, 8);
  code.set(value);
  if (!(instruction.form === 'RR' && vectors.isClean(instruction.source, CLEAN.singles))) {
    emitter.withSideExit((leaveIf) => {
      notOrdinaryVector(emitter, SINGLE, value);
      signBits(emitter, SINGLE, 2);
      emitter.when(() => {
        notOrdinaryVector(emitter, SINGLE, value);
        code.get(value);
        code.splat32(0);
        code.vector(V.f32x4_eq, V.andnot);
        signBits(emitter, SINGLE, 2);
        unlessRelaxed(emitter, SINGLE, 2, () => pushNonFinite(emitter, SINGLE, [value]));
        leaveIf();
      });
    });
  }
  code.get(value);
  code.vector(V.f64x2_promote_low);
  vectors.set(instruction.destination);
};
/** CVTPD2PS. */
const narrowPacked: Emit = (emitter, instruction) => {
  const { code, vectors } = emitter;
  const [value, result] = [vectors.vector(0), vectors.vector(2)];
  pushVector(emitter, instruction);
  code.set(value);
  emitter.withSideExit((leaveIf) => {
    checkAllowed(emitter, leaveIf);
    code.get(value);
    code.vector(V.f32x4_demote_zero);
    code.set(result);
    notOrdinaryVector(emitter, SINGLE, result, NOT_TINY);
    signBits(emitter, SINGLE, 2);
    emitter.when(() => {
      // Zeros of zeros: the lower words of the operand's comparison are those of the result's elements.
      notOrdinaryVector(emitter, SINGLE, result, NOT_TINY);
      code.get(value);
      code.splat32(0);
      code.vector(V.f64x2_eq);
      code.get(value);
      code.vectorBytes(V.shuffle, [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
      code.vector(V.andnot);
      signBits(emitter, SINGLE, 2);
      unlessRelaxed(emitter, SINGLE, 2, () => pushNonFinite(emitter, SINGLE, [result]));
      leaveIf();
    });
  });
  code.get(result);
  vectors.set(instruction.destination);
};

/** CVTDQ2PS. */
const integersToSingles: Emit = (emitter, instruction) => {
  const { code, vectors } = emitter;
  const value = vectors.vector(0);
  pushVector(emitter, instruction);
  code.set(value);
  emitter.withSideExit((leaveIf) => checkAllowed(emitter, leaveIf));
  code.get(value);
  code.vector(V.f32x4_convert_i32x4);
  vectors.set(instruction.destination);
};
/** CVTDQ2PD: exact. */
const integersToDoubles: Emit = (emitter, instruction) => {
  pushLow(emitter, instruction, 8);
  emitter.code.vector(V.f64x2_convert_i32x4);
  emitter.vectors.set(instruction.destination);
};
/** CVTPS2DQ, CVTPD2DQ and their truncating forms. */
const toIntegers =
  (format: Format, nearest: number | undefined, opcode: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const value = vectors.vector(0);
    pushVector(emitter, instruction);
    if (nearest !== undefined) code.vector(nearest);
    code.set(value);
    emitter.withSideExit((leaveIf) => {
      checkAllowed(emitter, leaveIf);
      code.get(value);
      code.vector(format.vectorAbs);
      if (format.bytes === 4) code.splat32(0x4f000000);
      else code.splat64(0x41e0_0000_0000_0000n);
      code.vector(format.bytes === 4 ? V.f32x4_lt : V.f64x2_lt);
      signBits(emitter, format, 16 / format.bytes);
      code.i32(format.bytes === 4 ? 15 : 3);
      code.op(OP.i32_ne);
      leaveIf();
    });
    code.get(value);
    code.vector(opcode);
    vectors.set(instruction.destination);
  };

const toGeneralSingle = { format: SINGLE, narrow: OP.i32_trunc_f32, wide: OP.i64_trunc_f32 };
const toGeneralDouble = { format: DOUBLE, narrow: OP.i32_trunc_f64, wide: OP.i64_trunc_f64 };
const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['CVTSI2SS', fromGeneral(SINGLE, OP.f32_convert_i32, OP.f32_convert_i64)],
  ['CVTSI2SD', fromGeneral(DOUBLE, OP.f64_convert_i32, OP.f64_convert_i64)],
  ['CVTTSS2SI', toGeneral({ ...toGeneralSingle, nearest: undefined })],
  ['CVTSS2SI', toGeneral({ ...toGeneralSingle, nearest: OP.f32_nearest })],
  ['CVTTSD2SI', toGeneral({ ...toGeneralDouble, nearest: undefined })],
  ['CVTSD2SI', toGeneral({ ...toGeneralDouble, nearest: OP.f64_nearest })],
  ['CVTSS2SD', widen],
  ['CVTSD2SS', narrow],
  ['CVTPS2PD', widenPacked],
  ['CVTPD2PS', narrowPacked],
  ['CVTDQ2PS', integersToSingles],
  ['CVTDQ2PD', integersToDoubles],
  ['CVTTPS2DQ', toIntegers(SINGLE, undefined, V.i32x4_trunc_f32x4)],
  ['CVTPS2DQ', toIntegers(SINGLE, V.f32x4_nearest, V.i32x4_trunc_f32x4)],
  ['CVTTPD2DQ', toIntegers(DOUBLE, undefined, V.i32x4_trunc_f64x2)],
  ['CVTPD2DQ', toIntegers(DOUBLE, V.f64x2_nearest, V.i32x4_trunc_f64x2)],
]);

/** The emitter of a conversion. */
export function emitConversion(operation: string): Emit | undefined {
  return EMITTERS.get(operation);
}
