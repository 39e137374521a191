/**
 * Scalar floating-point arithmetic, native while the checks of emit-float-checks.ts hold.
 *
 * Operands are read and checked before anything is written; a result that is not ordinary leaves the region too, since nothing was written
 * then. Which elements need no check is known from float-analysis.ts.
 * Answers to: AMD64 manual volume 4. Called by: emit-vector.ts.
 */
import { emitConversion } from './emit-convert.ts';
import {
  checkFast,
  checkResult,
  checkScalar,
  cleanBit,
  cleanSource,
  DOUBLE,
  type Format,
  readBoth,
  SINGLE,
  scalarSource,
  writeLow,
} from './emit-float-checks.ts';
import { emitComparison } from './emit-float-compare.ts';
import { emitPacked } from './emit-float-packed.ts';
import type { Emit } from './emit-operands.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

type Kind = 'add' | 'multiply' | 'divide';
/** Pushes whether a result that is not ordinary is not an exact zero either; the operands are ordinary or zero. */
function pushInexactZero(
  emitter: RegionEmitter,
  format: Format,
  kind: Kind,
  [left, right, result]: readonly [number, number, number],
): void {
  const { code } = emitter;
  const test = (local: number, opcode: number): void => {
    code.get(local);
    format.constant(emitter, 0);
    code.op(opcode);
  };
  if (kind === 'add') test(result, format.ne);
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

const arithmetic =
  (format: Format, opcode: number, kind: Kind): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const [left, right] = readBoth(emitter, instruction, format);
    const result = format.local(emitter, 2);
    emitter.withSideExit((leaveIf) => {
      checkFast(emitter, leaveIf);
      const same = instruction.form === 'RR' && instruction.source === instruction.destination;
      if (!cleanSource(emitter, instruction, format)) checkScalar(emitter, format, right, leaveIf);
      if (!same && !vectors.isClean(instruction.destination, cleanBit(format)))
        checkScalar(emitter, format, left, leaveIf);
      code.get(left);
      code.get(right);
      code.op(opcode);
      code.set(result);
      checkResult(emitter, format, result, leaveIf, () =>
        pushInexactZero(emitter, format, kind, [left, right, result]),
      );
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
      checkFast(emitter, leaveIf);
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
  ['SUBSS', arithmetic(SINGLE, OP.f32_sub, 'add')],
  ['MULSS', arithmetic(SINGLE, OP.f32_mul, 'multiply')],
  ['DIVSS', arithmetic(SINGLE, OP.f32_div, 'divide')],
  ['SQRTSS', squareRoot(SINGLE, OP.f32_sqrt)],
  ['ADDSD', arithmetic(DOUBLE, OP.f64_add, 'add')],
  ['SUBSD', arithmetic(DOUBLE, OP.f64_sub, 'add')],
  ['MULSD', arithmetic(DOUBLE, OP.f64_mul, 'multiply')],
  ['DIVSD', arithmetic(DOUBLE, OP.f64_div, 'divide')],
  ['SQRTSD', squareRoot(DOUBLE, OP.f64_sqrt)],
]);

/** The emitter of a floating-point operation, if it has one. */
export function emitFloat(operation: string): Emit | undefined {
  return EMITTERS.get(operation) ?? emitPacked(operation) ?? emitComparison(operation) ?? emitConversion(operation);
}
