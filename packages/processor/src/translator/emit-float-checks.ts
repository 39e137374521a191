/**
 * Checks that native floating-point arithmetic gives the processor's result and raises nothing but PE, which is set already.
 *
 * An element is ordinary when it is normal: its exponent is neither all ones (infinite, NaN) nor 0 (denormal, zero). Results that may have
 * been rounded up from a tiny one must not have the exponent 1 either. Zeros fail the first comparison and pass a second one, so ordinary
 * numbers cost one. Once MXCSR has DE and UE set too (`relaxed`), denormals raise nothing new: what is finite passes then. Everything that
 * fails leaves the region at the instruction, and the interpreter executes it.
 * Answers to: AMD64 manual volume 1, section 4.10. Called by: emit-float.ts, emit-float-packed.ts, emit-convert.ts.
 */
import { ALLOWED, CLEAN } from './float-analysis.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { V } from './vector-opcodes.ts';
import { OP } from './wasm-encoder.ts';

/** Leaves when the i32 on the stack is not zero. */
export type LeaveIf = () => void;

/** Least exponent that is ordinary: of operands and sums, and of what may have been tiny before it was rounded. */
export const NORMAL = 1;
export const NOT_TINY = 2;
export type Least = typeof NORMAL | typeof NOT_TINY;

/** Pushes whether the f64 in a local is not ordinary. */
function notOrdinaryDouble({ code }: RegionEmitter, value: number, least: Least): void {
  code.get(value);
  code.op(OP.i64_reinterpret);
  code.i64(52);
  code.op2(OP.i64_shr_u, OP.i32_wrap);
  code.i32(0x7ff);
  code.op(OP.i32_and);
  code.i32(least);
  code.op(OP.i32_sub);
  code.i32(0x7ff - least);
  code.op(OP.i32_ge_u);
}
/** Pushes whether the f32 in a local is not ordinary. */
function notOrdinarySingle({ code }: RegionEmitter, value: number, least: Least): void {
  code.get(value);
  code.op(OP.i32_reinterpret);
  code.i32(23);
  code.op(OP.i32_shr_u);
  code.i32(0xff);
  code.op(OP.i32_and);
  code.i32(least);
  code.op(OP.i32_sub);
  code.i32(0xff - least);
  code.op(OP.i32_ge_u);
}

/** What differs between singles and doubles. */
export interface Format {
  readonly bytes: 4 | 8;
  readonly load: number;
  readonly extract: number;
  readonly replace: number;
  readonly abs: number;
  readonly eq: number;
  readonly ne: number;
  readonly lt: number;
  readonly trunc: number;
  readonly add: number;
  readonly sub: number;
  readonly constant: (emitter: RegionEmitter, value: number) => void;
  readonly notOrdinary: (emitter: RegionEmitter, value: number, least: Least) => void;
  /** Scratch local by number. */
  readonly local: (emitter: RegionEmitter, number: number) => number;
  readonly vectorAbs: number;
  readonly vectorEq: number;
  readonly vectorNe: number;
  readonly vectorLt: number;
}
export const SINGLE: Format = {
  bytes: 4,
  load: OP.f32_load,
  extract: V.f32x4_extract,
  replace: V.f32x4_replace,
  abs: OP.f32_abs,
  eq: OP.f32_eq,
  ne: OP.f32_ne,
  lt: OP.f32_lt,
  trunc: OP.f32_trunc,
  add: OP.f32_add,
  sub: OP.f32_sub,
  constant: ({ code }, value) => code.f32(value),
  notOrdinary: notOrdinarySingle,
  local: ({ vectors }, number) => vectors.single(number),
  vectorAbs: V.f32x4_abs,
  vectorEq: V.f32x4_eq,
  vectorNe: V.f32x4_ne,
  vectorLt: V.f32x4_lt,
};
export const DOUBLE: Format = {
  bytes: 8,
  load: OP.f64_load,
  extract: V.f64x2_extract,
  replace: V.f64x2_replace,
  abs: OP.f64_abs,
  eq: OP.f64_eq,
  ne: OP.f64_ne,
  lt: OP.f64_lt,
  trunc: OP.f64_trunc,
  add: OP.f64_add,
  sub: OP.f64_sub,
  constant: ({ code }, value) => code.f64(value),
  notOrdinary: notOrdinaryDouble,
  local: ({ vectors }, number) => vectors.double(number),
  vectorAbs: V.f64x2_abs,
  vectorEq: V.f64x2_eq,
  vectorNe: V.f64x2_ne,
  vectorLt: V.f64x2_lt,
};

/** Leaves unless MXCSR allows native arithmetic with inexact results; once is enough on a way through the region. */
export function checkAllowed(emitter: RegionEmitter, leaveIf: LeaveIf): void {
  const { code, vectors } = emitter;
  if (vectors.isAllowed(ALLOWED.inexact)) return;
  code.get(vectors.mode);
  leaveIf();
}
/** Leaves unless MXCSR allows native arithmetic and, while PE is clear, the result is exact: `inexact` pushes zero then. */
export function checkExact(emitter: RegionEmitter, leaveIf: LeaveIf, inexact: () => void): void {
  const { code, vectors } = emitter;
  if (vectors.isAllowed(ALLOWED.inexact)) return;
  code.get(vectors.mode);
  emitter.when(() => {
    inexact();
    if (!vectors.isAllowed(ALLOWED.exact)) {
      code.get(vectors.mode);
      code.i32(1);
      code.op2(OP.i32_ne, OP.i32_or);
    }
    leaveIf();
  });
}

/** Leaves unless the scalar in a local is ordinary or zero. */
export function checkScalar(emitter: RegionEmitter, format: Format, value: number, leaveIf: LeaveIf): void {
  checkResult(emitter, format, value, NORMAL, leaveIf, () => {
    emitter.code.get(value);
    format.constant(emitter, 0);
    emitter.code.op(format.ne);
  });
}
/** Leaves unless the scalar in a local is ordinary, or what `otherwise` pushes is zero, or it is finite and denormals raise nothing. */
export function checkResult(
  emitter: RegionEmitter,
  format: Format,
  value: number,
  least: Least,
  leaveIf: LeaveIf,
  otherwise: () => void,
): void {
  const { code } = emitter;
  format.notOrdinary(emitter, value, least);
  emitter.when(() => {
    otherwise();
    code.get(emitter.vectors.relaxed);
    code.get(value);
    code.op(format.abs);
    format.constant(emitter, Infinity);
    code.op4(format.lt, OP.i32_and, OP.i32_eqz, OP.i32_and);
    leaveIf();
  });
}
/** Leaves when the scalar is denormal or NaN, unless `quiet` and it is a quiet one: what a comparison or an extreme would note. */
export function checkComparable(
  emitter: RegionEmitter,
  format: Format,
  value: number,
  quiet: boolean,
  leaveIf: LeaveIf,
): void {
  const { code } = emitter;
  checkResult(emitter, format, value, NORMAL, leaveIf, () => {
    code.get(value);
    format.constant(emitter, 0);
    code.op(format.ne);
    code.get(value);
    code.op(format.abs);
    format.constant(emitter, Infinity);
    code.op2(format.ne, OP.i32_and);
    if (!quiet) return;
    code.get(value);
    if (format.bytes === 4) {
      code.op(OP.i32_reinterpret);
      code.i32(1);
      code.op(OP.i32_shl);
      code.i32(0xff800000 | 0);
      code.op(OP.i32_lt_u);
    } else {
      code.op(OP.i64_reinterpret);
      code.i64(1);
      code.op(OP.i64_shl);
      code.i64(-(1n << 52n));
      code.op(OP.i64_lt_u);
    }
    code.op(OP.i32_and);
  });
}

/** Pushes a vector whose elements have their sign bit set where those of the vector in a local are not ordinary. */
export function notOrdinaryVector({ code }: RegionEmitter, format: Format, value: number, least: Least = NORMAL): void {
  // Of doubles the upper words are looked at. The signs are shifted out; an addition makes the range's start the least signed number.
  const start = least << (format.bytes === 4 ? 24 : 21);
  const end = format.bytes === 4 ? 0xff000000 : 0xffe00000;
  code.get(value);
  code.i32(1);
  code.vector(V.i32x4_shl);
  code.splat32(0x80000000 - start);
  code.vector(V.i32x4_add);
  code.splat32(end - start - 0x80000001);
  code.vector(V.i32x4_gt_s);
}
/** Takes a vector and pushes an i32 of the sign bits that matter to the format, of the lowest `elements`. */
export function signBits({ code }: RegionEmitter, format: Format, elements: number): void {
  if (format.bytes === 8) code.vector(V.i64x2_bitmask);
  else code.vector(V.i32x4_bitmask);
  if (elements * format.bytes < 16) {
    code.i32((1 << elements) - 1);
    code.op(OP.i32_and);
  }
}

/**
 * Takes the bits of elements that may not pass, and pushes those of `nonFinite` instead where denormals raise nothing.
 * @param nonFinite pushes a vector
 */
export function unlessRelaxed(emitter: RegionEmitter, format: Format, elements: number, nonFinite: () => void): void {
  const { code, vectors, narrow } = emitter;
  code.set(narrow[0]);
  nonFinite();
  signBits(emitter, format, elements);
  code.get(narrow[0]);
  code.get(vectors.relaxed);
  code.op(OP.select);
}

/** Pushes a vector of ones where an element of one of the vectors in locals is infinite or NaN. */
export function pushNonFinite({ code }: RegionEmitter, format: Format, locals: readonly number[]): void {
  locals.forEach((local, index) => {
    code.get(local);
    code.vector(format.vectorAbs);
    if (format.bytes === 4) code.splat32(0x7f800000);
    else code.splat64(0x7ff0_0000_0000_0000n);
    code.vector(format.vectorLt);
    if (index > 0) code.vector(V.and);
  });
  code.vector(V.not);
}

/** Reads the scalar source into a local: a number in memory, or the lowest element. */
export function scalarSource(emitter: RegionEmitter, instruction: Instruction, format: Format, local: number): void {
  const { code, vectors } = emitter;
  if (instruction.form === 'RM') {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer('read', format.bytes);
    code.memory(format.load, 0);
  } else {
    vectors.get(instruction.source);
    code.lane(format.extract, 0);
  }
  code.set(local);
}

/** The fact that makes a check of the lowest element needless. */
export const cleanBit = ({ bytes }: Format): number => (bytes === 4 ? CLEAN.single : CLEAN.double);
/** Whether the source's lowest element needs no check. */
export const cleanSource = (emitter: RegionEmitter, { form, source }: Instruction, format: Format): boolean =>
  form === 'RR' && emitter.vectors.isClean(source, cleanBit(format));

/** Reads first operand and source into locals 0 and 1 of the format. */
export function readBoth(emitter: RegionEmitter, instruction: Instruction, format: Format): readonly [number, number] {
  const { code, vectors } = emitter;
  const [left, right] = [format.local(emitter, 0), format.local(emitter, 1)];
  scalarSource(emitter, instruction, format, right);
  vectors.get(instruction.first);
  code.lane(format.extract, 0);
  code.set(left);
  return [left, right];
}
/** Writes a local to the destination's lowest element, the first operand's others beside it. */
export function writeLow(
  { code, vectors }: RegionEmitter,
  { first, destination }: Instruction,
  format: Format,
  value: number,
): void {
  vectors.get(first);
  code.get(value);
  code.lane(format.replace, 0);
  vectors.set(destination);
}
