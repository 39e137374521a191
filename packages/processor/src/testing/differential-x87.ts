/**
 * The differential harness: values and states that x87 instructions are tried on.
 *
 * Every kind of 80-bit value, pairs of them that are close together or far apart, all rounding and precision controls, masks, a stack with
 * empty registers. Called by: differential-operations.ts.
 */
import type { InstructionRow } from '../table/index.ts';
import type { CaseBuilder } from './differential-builder.ts';
import { FXSAVE } from './differential-layout.ts';
import { avoidReadOnly, type Preparation, patchable } from './differential-preparations.ts';
import type { Random } from './differential-random.ts';

/** An 80-bit value: significand, and sign with exponent. */
export interface Extended {
  readonly significand: bigint;
  readonly high: number;
}

const TOP_BIT = 1n << 63n;
const ALL = (1n << 64n) - 1n;
const BIAS = 16383;

function normalSignificand(random: Random): bigint {
  switch (random.below(8)) {
    case 0:
      return TOP_BIT;
    case 1:
      return ALL;
    case 2:
      return TOP_BIT | (1n << BigInt(random.below(63)));
    case 3:
      // At and beside the middle of two doubles or singles.
      return TOP_BIT | ((random.bits64() >> 20n) << 12n) | BigInt(random.pick([0x3ff, 0x400, 0x401, 0x800, 0x7ff, 0]));
    case 4:
      return (
        TOP_BIT |
        ((random.bits64() >> 41n) << 40n) |
        random.pick([0n, 0x80_0000_0000n, 0x7f_ffff_ffffn, 0x80_0000_0001n])
      );
    case 5:
      return TOP_BIT | ((ALL << BigInt(random.below(64))) & ALL);
    default:
      return TOP_BIT | random.bits64();
  }
}

function randomExtended(random: Random): Extended {
  const sign = random.chance(0.5) ? 0x8000 : 0;
  switch (random.below(24)) {
    case 0:
      return { significand: 0n, high: sign };
    case 1:
      return { significand: TOP_BIT, high: sign | 0x7fff };
    case 2:
      return {
        significand: TOP_BIT | (1n << 62n) | (random.chance(0.3) ? 0n : random.bits64() >> 2n),
        high: sign | 0x7fff,
      };
    case 3:
      return { significand: TOP_BIT | 1n | (random.bits64() >> 2n), high: sign | 0x7fff };
    case 4:
      return { significand: random.pick([1n, 2n, TOP_BIT - 1n, TOP_BIT >> 1n, random.bits64() >> 1n]), high: sign };
    case 5:
      // A pseudo-denormal.
      return { significand: normalSignificand(random), high: sign };
    case 6:
      // Unnormals, pseudo-infinities and pseudo-NaNs.
      return {
        significand: random.chance(0.3) ? 0n : random.bits64() >> 1n,
        high: sign | random.pick([1, 0x3fff, 0x7fff, 0x7ffe, random.below(0x7fff) + 1]),
      };
    case 7:
      return { significand: normalSignificand(random), high: sign | random.pick([1, 2, 3, 0x7ffe, 0x7ffd, 30, 65]) };
    case 8:
      return { significand: normalSignificand(random), high: sign | (1 + random.below(0x7ffe)) };
    case 9:
      // The ends of doubles and singles.
      return {
        significand: normalSignificand(random),
        high: sign | (BIAS + random.pick([-1022, -1023, -1074, -1075, 1023, 1024, -126, -127, -149, -150, 127, 128])),
      };
    case 10:
    case 11: {
      // Whole numbers and halves.
      const value = BigInt(random.between(1, 1 << random.between(1, 24)));
      const bits = value.toString(2).length;
      return { significand: value << BigInt(64 - bits), high: sign | (BIAS + bits - 1 - random.pick([0, 0, 1])) };
    }
    case 12:
      // At the ends of integers.
      return {
        significand: normalSignificand(random),
        high: sign | (BIAS + random.pick([14, 15, 16, 30, 31, 32, 58, 59, 60, 61, 62, 63, 64])),
      };
    case 13:
      return { significand: TOP_BIT, high: sign | BIAS };
    default:
      return { significand: normalSignificand(random), high: sign | (BIAS + random.between(-70, 70)) };
  }
}

function putExtended(view: DataView, at: number, value: Extended): void {
  view.setBigUint64(at, value.significand, true);
  view.setUint16(at + 8, value.high, true);
}

/** A value near another: the sums and remainders of such are the ones that cancel. */
function near(random: Random, value: Extended): Extended {
  const exponent = value.high & 0x7fff;
  if (exponent === 0 || exponent >= 0x7f00 || random.chance(0.3)) return value;
  const significand = random.chance(0.5)
    ? value.significand + BigInt(random.between(-3, 3))
    : normalSignificand(random);
  return {
    significand: BigInt.asUintN(64, significand) | TOP_BIT,
    high: (value.high ^ (random.chance(0.3) ? 0x8000 : 0)) + Math.max(-exponent, random.between(-2, 2)),
  };
}

/** The unit's registers, control and status. */
export function fillX87(builder: CaseBuilder): void {
  const { random, vectorState } = builder;
  const view = new DataView(vectorState.buffer, vectorState.byteOffset);
  const rounding = random.chance(0.4) ? 0 : random.word() & 0xc00;
  const precision = random.chance(0.5) ? 0x300 : random.pick([0, 0x200, 0x300, 0x100]);
  const masks = random.chance(0.6) ? 0x3f : random.word() & 0x3f;
  const control = 0x40 | rounding | precision | masks;
  let status = random.word() & 0x7f00;
  if (random.chance(0.3)) status |= random.word() & 0x7f;
  // Rarely an exception is pending.
  if (random.chance(0.97)) status &= ~0x3f | masks;
  if ((status & 0x3f & ~control) !== 0) status |= 0x8080;
  view.setUint16(FXSAVE.control, control, true);
  view.setUint16(FXSAVE.status, status, true);
  view.setUint8(FXSAVE.tag, random.chance(0.7) ? fullBelow(random, (status >> 11) & 7) : random.below(256));
  for (let register = 0; register < 8; register++)
    putExtended(view, FXSAVE.stack + 16 * register, randomExtended(random));
  if (random.chance(0.25)) {
    const first = { significand: view.getBigUint64(FXSAVE.stack, true), high: view.getUint16(FXSAVE.stack + 8, true) };
    for (let register = 1; register < 8; register++)
      putExtended(view, FXSAVE.stack + 16 * register, near(random, first));
  }
}
/** Tags of a stack with some registers in use from its top on. */
function fullBelow(random: Random, top: number): number {
  let tags = 0;
  const used = random.pick([7, 7, 7, 7, 8, 6, 2, 1]);
  for (let index = 0; index < used; index++) tags |= 1 << ((top + index) & 7);
  return tags;
}

const CIRCULAR = new Set(['fsin', 'fcos', 'fsincos', 'fptan']);
/** Arguments that need no reduction: with how many bits of pi it is done is each processor's affair. */
function bringNear({ random, vectorState }: CaseBuilder): void {
  const view = new DataView(vectorState.buffer, vectorState.byteOffset);
  const high = view.getUint16(FXSAVE.stack + 8, true);
  const exponent = high & 0x7fff;
  if (exponent < BIAS - 1 || exponent >= BIAS + 63) return;
  view.setUint16(FXSAVE.stack + 8, (high & 0x8000) | (BIAS - 2 - random.below(random.chance(0.7) ? 4 : 80)), true);
}

function operandBytes(random: Random, row: InstructionRow): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  const width = row.operands[0]?.width;
  if (row.name === 'fbld') {
    for (let at = 0; at < 9; at++) bytes[at] = random.below(10) * 16 + random.below(10);
    if (random.chance(0.2)) bytes.fill(random.pick([0, 0x99]), 0, 9);
    bytes[9] = random.chance(0.5) ? 0x80 : 0;
    if (random.chance(0.3)) bytes[9] |= random.below(128);
    return bytes.subarray(0, 10);
  }
  if (width === 't') {
    putExtended(view, 0, randomExtended(random));
    return bytes.subarray(0, 10);
  }
  if (row.name.startsWith('fi')) {
    view.setBigUint64(0, random.integer(), true);
    return bytes.subarray(0, width === 'w' ? 2 : width === 'd' ? 4 : 8);
  }
  if (width === 'd') {
    view.setUint32(0, random.single(), true);
    return bytes.subarray(0, 4);
  }
  view.setBigUint64(0, random.double(), true);
  return bytes.subarray(0, 8);
}

export function prepareX87(builder: CaseBuilder, row: InstructionRow): Preparation {
  fillX87(builder);
  if (CIRCULAR.has(row.name)) bringNear(builder);
  if (row.operation !== 'X87_LOAD' && row.operation !== 'X87_ARITHMETIC') return {};
  return {
    wishes: { target: avoidReadOnly(patchable(builder)) },
    after: ({ target, form }) => {
      if (form === 'memory' && target !== undefined) builder.patch(target, operandBytes(builder.random, row));
    },
  };
}
