/**
 * Comparisons, minimum and maximum. They raise nothing but IE (NaN) and DE (denormal), so they are native whatever MXCSR says as long as no
 * operand is one of these; operands may be infinite.
 *
 * The smaller or larger of two equal numbers is the second, as pmin and pmax with their operands reversed have it.
 * Answers to: AMD64 manual volume 4. Called by: emit-float.ts.
 */
import {
  checkComparable,
  cleanBit,
  cleanSource,
  DOUBLE,
  type Format,
  type LeaveIf,
  notOrdinaryVector,
  readBoth,
  SINGLE,
  signBits,
  unlessRelaxed,
} from './emit-float-checks.ts';
import type { Emit } from './emit-operands.ts';
import { pushLow, pushVector } from './emit-vector-operands.ts';
import { KIND } from './flag-analysis.ts';
import { CLEAN } from './float-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';

/** Leaves unless both scalars can be compared. */
function checkBoth(
  emitter: RegionEmitter,
  instruction: Instruction,
  format: Format,
  [left, right]: readonly [number, number],
  quiet = false,
): void {
  const { form, source, first } = instruction;
  const checks: number[] = [];
  if (!cleanSource(emitter, instruction, format)) checks.push(right);
  const same = form === 'RR' && source === first;
  if (!same && !emitter.vectors.isClean(first, cleanBit(format))) checks.push(left);
  if (checks.length === 0) return;
  emitter.withSideExit((leaveIf) => {
    for (const value of checks) checkComparable(emitter, format, value, quiet, leaveIf);
  });
}

/** Leaves unless all elements of both vectors can be compared. */
function checkVectors(emitter: RegionEmitter, instruction: Instruction, format: Format, source: number): void {
  const { code, vectors } = emitter;
  const { form, first } = instruction;
  const all = format.bytes === 4 ? CLEAN.singles : CLEAN.doubles;
  const checks: number[] = [];
  if (form !== 'RR' || !vectors.isClean(instruction.source, all)) checks.push(source);
  if (!(form === 'RR' && instruction.source === first) && !vectors.isClean(first, all)) {
    const left = vectors.vector(1);
    vectors.get(first);
    code.set(left);
    checks.push(left);
  }
  if (checks.length === 0) return;
  const infinity = (): void => {
    if (format.bytes === 4) code.splat32(0x7f800000);
    else code.splat64(0x7ff0_0000_0000_0000n);
  };
  const outside = (value: number, but: (() => void) | undefined): void => {
    notOrdinaryVector(emitter, format, value);
    if (but === undefined) return;
    but();
    code.vector(V.andnot);
  };
  emitter.withSideExit((leaveIf: LeaveIf) => {
    checks.forEach((value, index) => {
      outside(value, undefined);
      if (index > 0) code.vector(V.or);
    });
    signBits(emitter, format, 16 / format.bytes);
    emitter.when(() => {
      checks.forEach((value, index) => {
        outside(value, () => {
          code.get(value);
          code.splat32(0);
          code.vector(format.vectorEq);
          code.get(value);
          code.vector(format.vectorAbs);
          infinity();
          code.vector(format.vectorEq, V.or);
        });
        if (index > 0) code.vector(V.or);
      });
      signBits(emitter, format, 16 / format.bytes);
      unlessRelaxed(emitter, format, 16 / format.bytes, () => {
        // NaN alone.
        checks.forEach((value, index) => {
          code.get(value);
          code.get(value);
          code.vector(format.vectorNe);
          if (index > 0) code.vector(V.or);
        });
      });
      leaveIf();
    });
  });
}

/** Takes nothing; pushes the vector result from what pushes destination and source. */
type Operate = (emitter: RegionEmitter, immediate: number, left: () => void, right: () => void) => void;

const extreme =
  (opcode: number): Operate =>
  ({ code }, _, left, right) => {
    right();
    left();
    code.vector(opcode);
  };
/** A mask by the predicate (EQ LT LE UNORD, then their negations), for operands that are not NaN. */
const mask =
  (eq: number, ne: number, lt: number, le: number): Operate =>
  ({ code }, immediate, left, right) => {
    const predicate = immediate & 7;
    if (predicate === 3 || predicate === 7) {
      code.splat32(predicate === 3 ? 0 : -1);
      return;
    }
    const reversed = predicate >= 5;
    if (reversed) right();
    left();
    if (!reversed) right();
    code.vector([eq, lt, le, 0, ne, le, lt][predicate] ?? eq);
  };

/** The operation on the lowest elements; the others of the destination stay. */
const scalar =
  (format: Format, operate: Operate): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const source = vectors.vector(0);
    pushLow(emitter, instruction, format.bytes);
    code.set(source);
    const [left, right] = [format.local(emitter, 0), format.local(emitter, 1)];
    vectors.get(instruction.first);
    code.lane(format.extract, 0);
    code.set(left);
    code.get(source);
    code.lane(format.extract, 0);
    code.set(right);
    checkBoth(emitter, instruction, format, [left, right]);
    const first = (): void => vectors.get(instruction.first);
    first();
    operate(emitter, instruction.immediate, first, () => code.get(source));
    code.lane(format.extract, 0);
    code.lane(format.replace, 0);
    vectors.set(instruction.destination);
  };

const packed =
  (format: Format, operate: Operate): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const source = vectors.vector(0);
    pushVector(emitter, instruction);
    code.set(source);
    checkVectors(emitter, instruction, format, source);
    operate(
      emitter,
      instruction.immediate,
      () => vectors.get(instruction.first),
      () => code.get(source),
    );
    vectors.set(instruction.destination);
  };

/** COMIS and UCOMIS: ZF, PF and CF, which stay in the operands until somebody wants to have them. */
const compareFlags =
  (format: Format, quiet: boolean): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const operands = readBoth(emitter, instruction, format);
    checkBoth(emitter, instruction, format, operands, quiet);
    if (!emitter.flagsNeeded) return;
    emitter.kind = format.bytes === 4 ? KIND.single : KIND.double;
    const [left, right] = vectors.compared(format.bytes);
    code.get(operands[0]);
    code.set(left);
    code.get(operands[1]);
    code.set(right);
    code.i32(emitter.kind);
    code.set(emitter.ccKind);
  };

const maskSingles = mask(V.f32x4_eq, V.f32x4_ne, V.f32x4_lt, V.f32x4_le);
const maskDoubles = mask(V.f64x2_eq, V.f64x2_ne, V.f64x2_lt, V.f64x2_le);
const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['MINSS', scalar(SINGLE, extreme(V.f32x4_pmin))],
  ['MAXSS', scalar(SINGLE, extreme(V.f32x4_pmax))],
  ['MINSD', scalar(DOUBLE, extreme(V.f64x2_pmin))],
  ['MAXSD', scalar(DOUBLE, extreme(V.f64x2_pmax))],
  ['MINPS', packed(SINGLE, extreme(V.f32x4_pmin))],
  ['MAXPS', packed(SINGLE, extreme(V.f32x4_pmax))],
  ['MINPD', packed(DOUBLE, extreme(V.f64x2_pmin))],
  ['MAXPD', packed(DOUBLE, extreme(V.f64x2_pmax))],
  ['CMPSS', scalar(SINGLE, maskSingles)],
  ['CMPSD_X', scalar(DOUBLE, maskDoubles)],
  ['CMPPS', packed(SINGLE, maskSingles)],
  ['CMPPD', packed(DOUBLE, maskDoubles)],
  ['COMISS', compareFlags(SINGLE, false)],
  ['UCOMISS', compareFlags(SINGLE, true)],
  ['COMISD', compareFlags(DOUBLE, false)],
  ['UCOMISD', compareFlags(DOUBLE, true)],
]);

/** The emitter of a comparison, minimum or maximum. */
export function emitComparison(operation: string): Emit | undefined {
  return EMITTERS.get(operation);
}
