/**
 * Scalar floating-point arithmetic, native while the checks of emit-float-checks.ts hold.
 *
 * Operands are read and checked before anything is written; a result that is not ordinary leaves the region too, since nothing was written
 * then. Which elements need no check is known from float-analysis.ts.
 * Answers to: AMD64 manual volume 4. Called by: emit-vector.ts.
 */
import { emitConversion } from './emit-convert.ts';
import {
  checkAllowed,
  checkExact,
  checkResult,
  checkScalar,
  cleanBit,
  cleanSource,
  DOUBLE,
  type Format,
  NORMAL,
  NOT_TINY,
  readBoth,
  SINGLE,
  scalarSource,
  writeLow,
} from './emit-float-checks.ts';
import { emitComparison } from './emit-float-compare.ts';
import { emitPacked } from './emit-float-packed.ts';
import { emitMxcsr } from './emit-mxcsr.ts';
import type { Emit } from './emit-operands.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

type Kind = 'add' | 'subtract' | 'multiply' | 'divide';
type Numbers = readonly [left: number, right: number, result: number];
/** Pushes whether a result that is not ordinary is not an exact zero either; the operands are ordinary or zero. */
function pushInexactZero(emitter: RegionEmitter, format: Format, kind: Kind, [left, right, result]: Numbers): void {
  const { code } = emitter;
  const test = (local: number, opcode: number): void => {
    code.get(local);
    format.constant(emitter, 0);
    code.op(opcode);
  };
  if (kind === 'add' || kind === 'subtract') test(result, format.ne);
  else if (kind === 'multiply') {
    test(left, format.ne);
    test(right, format.ne);
    code.op(OP.i32_and);
  } else {
    // Zero by zero is NaN.
    test(left, format.ne);
    test(right, format.eq);
    code.op(OP.i32_or);
  }
}

/** Pushes what the sum's or difference's rounding took away, compared with zero: 1 when it is inexact. */
function pushInexactSum(emitter: RegionEmitter, format: Format, subtract: boolean, numbers: Numbers): void {
  const { code } = emitter;
  const [left, right, result] = numbers;
  const part = format.local(emitter, 5);
  code.get(result);
  code.get(left);
  code.op(format.sub);
  code.set(part);
  code.get(left);
  code.get(result);
  code.get(part);
  code.op2(format.sub, format.sub);
  code.get(right);
  code.get(part);
  if (subtract) code.op2(format.add, format.sub);
  else code.op2(format.sub, format.add);
  format.constant(emitter, 0);
  code.op(format.ne);
}
/** Pushes 1 unless the product of the two doubles needs no more bits than a double has, by their trailing zeros. */
function pushInexactProduct({ code }: RegionEmitter, left: number, right: number): void {
  for (const local of [left, right]) {
    code.get(local);
    code.op(OP.i64_reinterpret);
    code.i64(1n << 52n);
    code.op2(OP.i64_or, OP.i64_ctz);
  }
  code.op(OP.i64_add);
  code.i64(53);
  code.op(OP.i64_lt_u);
}
/** Pushes 1 unless the result is exact, or not seen to be so. */
function pushInexact(emitter: RegionEmitter, format: Format, kind: Kind, numbers: Numbers): void {
  if (kind === 'add' || kind === 'subtract') {
    pushInexactSum(emitter, format, kind === 'subtract', numbers);
    return;
  }
  const { code } = emitter;
  const [left, right, result] = numbers;
  // A quotient is exact when its product with the divisor is, and gives the dividend.
  const [a, b, product] = kind === 'multiply' ? [left, right, result] : [result, right, left];
  const single = format.bytes === 4;
  if (single || kind === 'divide') {
    for (const local of [a, b, product]) {
      code.get(local);
      // The product of two singles is exact in a double.
      if (single) code.op(OP.f64_promote);
      if (local === b) code.op(OP.f64_mul);
    }
    code.op(OP.f64_ne);
  }
  if (single) return;
  pushInexactProduct(emitter, a, b);
  if (kind === 'divide') code.op(OP.i32_or);
}

const arithmetic =
  (format: Format, opcode: number, kind: Kind): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const [left, right] = readBoth(emitter, instruction, format);
    const result = format.local(emitter, 2);
    const numbers = [left, right, result] as const;
    emitter.withSideExit((leaveIf) => {
      const same = instruction.form === 'RR' && instruction.source === instruction.first;
      if (!cleanSource(emitter, instruction, format)) checkScalar(emitter, format, right, leaveIf);
      if (!same && !vectors.isClean(instruction.first, cleanBit(format))) checkScalar(emitter, format, left, leaveIf);
      code.get(left);
      code.get(right);
      code.op(opcode);
      code.set(result);
      // A sum that is as small is exact.
      const least = kind === 'multiply' || kind === 'divide' ? NOT_TINY : NORMAL;
      checkResult(emitter, format, result, least, leaveIf, () => pushInexactZero(emitter, format, kind, numbers));
      checkExact(emitter, leaveIf, () => pushInexact(emitter, format, kind, numbers));
    });
    writeLow(emitter, instruction, format, result);
  };

const squareRoot =
  (format: Format, opcode: number): Emit =>
  (emitter, instruction) => {
    const { code } = emitter;
    const [operand, result] = [format.local(emitter, 1), format.local(emitter, 2)];
    scalarSource(emitter, instruction, format, operand);
    emitter.withSideExit((leaveIf) => {
      checkAllowed(emitter, leaveIf);
      if (!cleanSource(emitter, instruction, format)) checkScalar(emitter, format, operand, leaveIf);
      code.get(operand);
      code.op(opcode);
      code.set(result);
      // Of a negative number it is NaN.
      checkScalar(emitter, format, result, leaveIf);
    });
    writeLow(emitter, instruction, format, result);
  };

const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['ADDSS', arithmetic(SINGLE, OP.f32_add, 'add')],
  ['SUBSS', arithmetic(SINGLE, OP.f32_sub, 'subtract')],
  ['MULSS', arithmetic(SINGLE, OP.f32_mul, 'multiply')],
  ['DIVSS', arithmetic(SINGLE, OP.f32_div, 'divide')],
  ['SQRTSS', squareRoot(SINGLE, OP.f32_sqrt)],
  ['ADDSD', arithmetic(DOUBLE, OP.f64_add, 'add')],
  ['SUBSD', arithmetic(DOUBLE, OP.f64_sub, 'subtract')],
  ['MULSD', arithmetic(DOUBLE, OP.f64_mul, 'multiply')],
  ['DIVSD', arithmetic(DOUBLE, OP.f64_div, 'divide')],
  ['SQRTSD', squareRoot(DOUBLE, OP.f64_sqrt)],
]);

/** The emitter of a floating-point operation, if it has one. */
export function emitFloat(operation: string): Emit | undefined {
  return (
    EMITTERS.get(operation) ??
    emitPacked(operation) ??
    emitComparison(operation) ??
    emitConversion(operation) ??
    emitMxcsr(operation)
  );
}
