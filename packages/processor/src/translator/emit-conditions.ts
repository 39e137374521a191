/**
 * Conditions and flags as expressions over the lazy-flag locals, by the statically known kind, or by the kind that the code finds when it runs.
 * Answers to: assembly/flags.ts, whose functions these are in line. Called by: region-emitter.ts and the emit-*.ts files of instructions.
 */
import { CONDITIONS } from '../table/conditions.ts';
import { FLAG, KIND } from './flag-analysis.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { LOCAL } from './region-locals.ts';
import { OP } from './wasm-encoder.ts';

type Emit = (emitter: RegionEmitter) => void;

const compare =
  (left: number, right: number, opcode: number): Emit =>
  ({ code }) =>
    code.binary(left, right, opcode);
const compareWithZero =
  (left: number, opcode: number): Emit =>
  ({ code }) =>
    code.binaryConstant(left, 0, opcode);
const bitOf =
  (bit: number): Emit =>
  ({ code, ccB }) => {
    code.get(ccB);
    if (bit !== 0) {
      code.i64(bit);
      code.op(OP.i64_shr_u);
    }
    code.op(OP.i32_wrap);
    code.i32(1);
    code.op(OP.i32_and);
  };
const either =
  (left: Emit, right: Emit): Emit =>
  (emitter) => {
    left(emitter);
    right(emitter);
    emitter.code.op(OP.i32_or);
  };
const differ =
  (left: Emit, right: Emit): Emit =>
  (emitter) => {
    left(emitter);
    right(emitter);
    emitter.code.op(OP.i32_xor);
  };
const never: Emit = ({ code }) => code.i32(0);
/** Sign bit of (a ^ r) & (b ^ r), and of (a ^ b) & (a ^ r). */
const overflowAdd: Emit = ({ code, ccA, ccB, ccResult }) => {
  code.get(ccA);
  code.get(ccResult);
  code.op(OP.i64_xor);
  code.get(ccB);
  code.get(ccResult);
  code.op2(OP.i64_xor, OP.i64_and);
  code.i64(0);
  code.op(OP.i64_lt_s);
};
const overflowSub: Emit = ({ code, ccA, ccB, ccResult }) => {
  code.get(ccA);
  code.get(ccB);
  code.op(OP.i64_xor);
  code.get(ccA);
  code.get(ccResult);
  code.op2(OP.i64_xor, OP.i64_and);
  code.i64(0);
  code.op(OP.i64_lt_s);
};
const zeroResult = compareWithZero(LOCAL.ccResult, OP.i64_eq);
const negativeResult = compareWithZero(LOCAL.ccResult, OP.i64_lt_s);
const keptCarry: Emit = ({ code, ccKind }) => {
  code.get(ccKind);
  code.i32(8);
  code.op(OP.i32_shr_u);
  code.i32(1);
  code.op(OP.i32_and);
};
const parityOfResult: Emit = ({ code, ccResult }) => {
  code.get(ccResult);
  code.i64(0xff);
  code.op3(OP.i64_and, OP.i64_popcnt, OP.i32_wrap);
  code.i32(1);
  code.op2(OP.i32_and, OP.i32_eqz);
};

interface Flags {
  readonly overflow: Emit;
  readonly carry: Emit;
  readonly zero: Emit;
  readonly sign: Emit;
  readonly parity: Emit;
  /** Shorter forms than their combinations. */
  readonly belowOrEqual?: Emit;
  readonly less?: Emit;
  readonly lessOrEqual?: Emit;
}
/** After a comparison of floating-point numbers, which may be NaN: SF, OF and AF are clear. */
const compareFloats =
  (bytes: 4 | 8, opcode: number): Emit =>
  ({ code, vectors }) => {
    for (const local of vectors.compared(bytes)) code.get(local);
    code.op(opcode);
  };
const negated =
  (emit: Emit): Emit =>
  (emitter) => {
    emit(emitter);
    emitter.code.op(OP.i32_eqz);
  };
const ofFloats = (bytes: 4 | 8, lt: number, gt: number, ge: number, ne: number): Flags => {
  // What is unordered counts as equal and as below.
  const zero = negated(either(compareFloats(bytes, lt), compareFloats(bytes, gt)));
  const unordered =
    (at: 0 | 1): Emit =>
    ({ code, vectors }) => {
      const local = vectors.compared(bytes)[at];
      code.get(local);
      code.get(local);
      code.op(ne);
    };
  return {
    overflow: never,
    sign: never,
    parity: either(unordered(0), unordered(1)),
    carry: negated(compareFloats(bytes, ge)),
    zero,
    belowOrEqual: negated(compareFloats(bytes, gt)),
    less: never,
    lessOrEqual: zero,
  };
};
const ofResult = { zero: zeroResult, sign: negativeResult, parity: parityOfResult };
const FLAGS: Readonly<Record<number, Flags>> = {
  [KIND.explicit]: { overflow: bitOf(11), carry: bitOf(0), zero: bitOf(6), sign: bitOf(7), parity: bitOf(2) },
  [KIND.add]: { ...ofResult, overflow: overflowAdd, carry: compare(LOCAL.ccResult, LOCAL.ccA, OP.i64_lt_u) },
  [KIND.sub]: {
    ...ofResult,
    zero: compare(LOCAL.ccA, LOCAL.ccB, OP.i64_eq),
    overflow: overflowSub,
    carry: compare(LOCAL.ccA, LOCAL.ccB, OP.i64_lt_u),
    belowOrEqual: compare(LOCAL.ccA, LOCAL.ccB, OP.i64_le_u),
    less: compare(LOCAL.ccA, LOCAL.ccB, OP.i64_lt_s),
    lessOrEqual: compare(LOCAL.ccA, LOCAL.ccB, OP.i64_le_s),
  },
  [KIND.inc]: { ...ofResult, overflow: overflowAdd, carry: keptCarry },
  [KIND.dec]: { ...ofResult, overflow: overflowSub, carry: keptCarry },
  [KIND.result]: { ...ofResult, overflow: bitOf(11), carry: bitOf(0) },
  [KIND.logic]: {
    ...ofResult,
    overflow: never,
    carry: never,
    belowOrEqual: zeroResult,
    less: negativeResult,
    lessOrEqual: compareWithZero(LOCAL.ccResult, OP.i64_le_s),
  },
  [KIND.single]: ofFloats(4, OP.f32_lt, OP.f32_gt, OP.f32_ge, OP.f32_ne),
  [KIND.double]: ofFloats(8, OP.f64_lt, OP.f64_gt, OP.f64_ge, OP.f64_ne),
};
/** Kinds whose auxiliary flag is clear. */
const WITHOUT_AUXILIARY = new Set<number | undefined>([KIND.result, KIND.logic, KIND.single, KIND.double]);

/** Pushes whether the kind, looked at when the code runs, is one of the given ones. */
const kindIs =
  (...kinds: readonly number[]): Emit =>
  ({ code, ccKind }) => {
    // Kinds are below eight: a bit of a mask each.
    code.i32(kinds.reduce((mask, kind) => mask | (1 << kind), 0));
    code.get(ccKind);
    code.i32(7);
    code.op2(OP.i32_and, OP.i32_shr_u);
    code.i32(1);
    code.op(OP.i32_and);
  };
/** Pushes one of two conditions by a third. */
const choose =
  (when: Emit, yes: Emit, no: Emit): Emit =>
  (emitter) => {
    yes(emitter);
    no(emitter);
    when(emitter);
    emitter.code.op(OP.select);
  };

const explicit = kindIs(KIND.explicit);
/** Flags whose kind is only known when the code runs. */
const UNKNOWN: Flags = {
  zero: choose(explicit, bitOf(6), zeroResult),
  sign: choose(explicit, bitOf(7), negativeResult),
  parity: choose(explicit, bitOf(2), parityOfResult),
  carry: choose(
    kindIs(KIND.inc, KIND.dec),
    keptCarry,
    choose(
      kindIs(KIND.add),
      compare(LOCAL.ccResult, LOCAL.ccA, OP.i64_lt_u),
      choose(kindIs(KIND.sub), compare(LOCAL.ccA, LOCAL.ccB, OP.i64_lt_u), bitOf(0)),
    ),
  ),
  overflow: choose(
    kindIs(KIND.explicit, KIND.result),
    bitOf(11),
    choose(kindIs(KIND.add, KIND.inc), overflowAdd, overflowSub),
  ),
};

/** Makes the flags of a comparison of floating-point numbers explicit, if they are such: what leaves the region has no other form of them. */
export function makeFloatsExplicit(emitter: RegionEmitter): void {
  const { code, ccKind, ccB, vectors } = emitter;
  for (const kind of vectors.comparisons) {
    const flags = FLAGS[kind];
    if (flags === undefined) throw new RangeError(`region: comparison of kind ${kind}`);
    code.get(ccKind);
    code.i32(kind);
    code.op(OP.i32_eq);
    emitter.when(() => {
      flags.carry(emitter);
      for (const [flag, bit] of [
        [flags.parity, 2],
        [flags.zero, 6],
      ] as const) {
        flag(emitter);
        code.i32(bit);
        code.op2(OP.i32_shl, OP.i32_or);
      }
      code.op(OP.i64_extend_u);
      code.set(ccB);
      code.i32(KIND.explicit);
      code.set(ccKind);
    });
  }
}

function flagsOf(emitter: RegionEmitter): Flags {
  if (emitter.kind === undefined) {
    makeFloatsExplicit(emitter);
    return UNKNOWN;
  }
  const flags = FLAGS[emitter.kind];
  if (flags === undefined) throw new RangeError(`region: flags of kind ${emitter.kind}`);
  return flags;
}

/** The eight conditions of a kind, each of which two codes look at. */
function formsOf(flags: Flags): readonly Emit[] {
  const less = flags.less ?? differ(flags.sign, flags.overflow);
  return [
    flags.overflow,
    flags.carry,
    flags.zero,
    flags.belowOrEqual ?? either(flags.carry, flags.zero),
    flags.sign,
    flags.parity,
    less,
    flags.lessOrEqual ?? either(flags.zero, less),
  ];
}
const CONDITION_FORMS = new Map<Flags, readonly Emit[]>();

/** Code of a condition by its suffix: 'NZ', 'LE' and so on. */
export function conditionCode(suffix: string): number {
  return (CONDITIONS as readonly string[]).indexOf(suffix);
}

/** Pushes a condition (i32, 0 or 1) by its code. */
export function emitCondition(emitter: RegionEmitter, condition: number): void {
  const flags = flagsOf(emitter);
  let forms = CONDITION_FORMS.get(flags);
  if (forms === undefined) {
    forms = formsOf(flags);
    CONDITION_FORMS.set(flags, forms);
  }
  forms[condition >> 1]?.(emitter);
  if ((condition & 1) === 1) emitter.code.op(OP.i32_eqz);
}

/** Pushes the carry flag (i64, 0 or 1). */
export function emitCarry(emitter: RegionEmitter): void {
  flagsOf(emitter).carry(emitter);
  emitter.code.op(OP.i64_extend_u);
}

/** Pushes those of the six flags that `mask` names as RFLAGS bits (i64). */
export function emitFlags(emitter: RegionEmitter, mask: number): void {
  const { code } = emitter;
  if (emitter.kind === KIND.explicit || mask === 0) {
    if (mask === 0) code.i64(0);
    else {
      code.get(emitter.ccB);
      code.i64(mask);
      code.op(OP.i64_and);
    }
    return;
  }
  const flags = flagsOf(emitter);
  const bits: readonly (readonly [Emit, number, number])[] = [
    [flags.carry, FLAG.carry, 0],
    [flags.parity, FLAG.parity, 2],
    [flags.zero, FLAG.zero, 6],
    [flags.sign, FLAG.sign, 7],
    [flags.overflow, FLAG.overflow, 11],
  ];
  let pushed = false;
  for (const [flag, bit, position] of bits) {
    if ((mask & bit) === 0) continue;
    flag(emitter);
    code.op(OP.i64_extend_u);
    if (position > 0) {
      code.i64(position);
      code.op(OP.i64_shl);
    }
    if (pushed) code.op(OP.i64_or);
    pushed = true;
  }
  if ((mask & FLAG.auxiliary) !== 0 && !WITHOUT_AUXILIARY.has(emitter.kind)) {
    emitAuxiliary(emitter);
    if (pushed) code.op(OP.i64_or);
    pushed = true;
  }
  if (!pushed) code.i64(0);
}

/** Pushes AF in its place: bit 4 of a ^ b ^ r, or of the explicit flags; none of a result with given CF and OF. */
function emitAuxiliary(emitter: RegionEmitter): void {
  const { code } = emitter;
  if (emitter.kind === undefined) code.get(emitter.ccB);
  code.get(emitter.ccA);
  code.get(emitter.ccB);
  code.op(OP.i64_xor);
  code.get(emitter.ccResult);
  code.op(OP.i64_xor);
  if (emitter.kind === undefined) {
    explicit(emitter);
    code.op(OP.select);
    code.i64(0);
  }
  code.i64(0x10);
  if (emitter.kind === undefined) {
    kindIs(KIND.result)(emitter);
    code.op(OP.select);
  }
  code.op(OP.i64_and);
}
