/**
 * Packed floating-point arithmetic: all elements at once, native while the checks of emit-float-checks.ts hold for each.
 *
 * One comparison per vector says whether all its elements are ordinary; the vectors' comparisons are combined, so there is one branch.
 * Behind it, elements that are zero are looked at again.
 * Answers to: AMD64 manual volume 4. Called by: emit-float.ts.
 */
import {
  checkAllowed,
  DOUBLE,
  type Format,
  NORMAL,
  NOT_TINY,
  notOrdinaryVector,
  pushNonFinite,
  SINGLE,
  signBits,
  unlessRelaxed,
} from './emit-float-checks.ts';
import type { Emit } from './emit-operands.ts';
import { pushVector } from './emit-vector-operands.ts';
import { CLEAN } from './float-analysis.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';

type Kind = 'add' | 'multiply' | 'divide' | 'root';

/** Pushes which elements of the result may be zero: those that are exactly so. */
function pushExactZeros(
  { code }: RegionEmitter,
  format: Format,
  kind: Kind,
  [left, right, result]: readonly [number, number, number],
): void {
  const zero = (local: number): void => {
    code.get(local);
    code.splat32(0);
    code.vector(format.vectorEq);
  };
  if (kind === 'add' || kind === 'root') zero(result);
  else if (kind === 'multiply') {
    zero(left);
    zero(right);
    code.vector(V.or);
  } else {
    // Zero by zero is NaN.
    zero(left);
    zero(right);
    code.vector(V.andnot);
  }
}

const arithmetic =
  (format: Format, opcode: number, kind: Kind): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const { form, source, first } = instruction;
    const all = format.bytes === 4 ? CLEAN.singles : CLEAN.doubles;
    const [left, right, result] = [vectors.vector(1), vectors.vector(0), vectors.vector(2)];
    pushVector(emitter, instruction);
    code.set(right);
    const operands: number[] = [];
    if (form !== 'RR' || !vectors.isClean(source, all)) operands.push(right);
    if (kind !== 'root') {
      vectors.get(first);
      code.set(left);
      if (!(form === 'RR' && source === first) && !vectors.isClean(first, all)) operands.push(left);
    }
    const least = kind === 'multiply' || kind === 'divide' ? NOT_TINY : NORMAL;
    emitter.withSideExit((leaveIf) => {
      checkAllowed(emitter, leaveIf);
      if (kind !== 'root') code.get(left);
      code.get(right);
      code.vector(opcode);
      code.set(result);
      notOrdinaryVector(emitter, format, result, least);
      for (const operand of operands) {
        notOrdinaryVector(emitter, format, operand);
        code.vector(V.or);
      }
      signBits(emitter, format, 16 / format.bytes);
      emitter.when(() => {
        notOrdinaryVector(emitter, format, result, least);
        pushExactZeros(emitter, format, kind, [left, right, result]);
        code.vector(V.andnot);
        for (const operand of operands) {
          notOrdinaryVector(emitter, format, operand);
          code.get(operand);
          code.splat32(0);
          code.vector(format.vectorEq, V.andnot, V.or);
        }
        signBits(emitter, format, 16 / format.bytes);
        unlessRelaxed(emitter, format, 16 / format.bytes, () => pushNonFinite(emitter, format, [result, ...operands]));
        leaveIf();
      });
    });
    code.get(result);
    vectors.set(instruction.destination);
  };

const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['ADDPS', arithmetic(SINGLE, V.f32x4_add, 'add')],
  ['SUBPS', arithmetic(SINGLE, V.f32x4_sub, 'add')],
  ['MULPS', arithmetic(SINGLE, V.f32x4_mul, 'multiply')],
  ['DIVPS', arithmetic(SINGLE, V.f32x4_div, 'divide')],
  ['SQRTPS', arithmetic(SINGLE, V.f32x4_sqrt, 'root')],
  ['ADDPD', arithmetic(DOUBLE, V.f64x2_add, 'add')],
  ['SUBPD', arithmetic(DOUBLE, V.f64x2_sub, 'add')],
  ['MULPD', arithmetic(DOUBLE, V.f64x2_mul, 'multiply')],
  ['DIVPD', arithmetic(DOUBLE, V.f64x2_div, 'divide')],
  ['SQRTPD', arithmetic(DOUBLE, V.f64x2_sqrt, 'root')],
]);

/** The emitter of packed arithmetic. */
export function emitPacked(operation: string): Emit | undefined {
  return EMITTERS.get(operation);
}
