/**
 * A product and a sum rounded once, as the core does it for ordinary numbers in operations that round each, against exact arithmetic on
 * integers: on numbers of few bits and of many, near ties and cancelling.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Random } from '../testing/differential-random.ts';

type Fuse = (a: number, b: number, c: number) => number;
const CASES = 40_000;
const SEED = 20261129;

const module = new WebAssembly.Module(readFileSync(new URL('../../dist/engine.wasm', import.meta.url)));
const refuse = (): never => {
  throw new Error('arithmetic asks nothing of the host');
};
const imports: WebAssembly.Imports = {};
for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
  imports[space] ??= {};
  imports[space][name] =
    kind === 'memory'
      ? new WebAssembly.Memory({ initial: 4096, maximum: 65536, shared: true })
      : kind === 'table'
        ? new WebAssembly.Table({ element: 'anyfunc', initial: 1 })
        : refuse;
}
const { fuseDouble, fuseSingle } = new WebAssembly.Instance(module, imports).exports as unknown as {
  readonly fuseDouble: Fuse;
  readonly fuseSingle: Fuse;
};

const view = new DataView(new ArrayBuffer(8));
/** A number as sign times magnitude times 2^-1074. */
function exactOf(value: number): bigint {
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
  return bits >> 63n === 0n ? magnitude : -magnitude;
}
/** Bits behind the point of a product of two such numbers. */
const POINT = 2 * 1074;

/** `value` times 2^-POINT to nearest, ties to even, with that many bits. @param zero what a zero is to be */
function rounded(value: bigint, precision: number, zero: number): number {
  if (value === 0n) return zero;
  const magnitude = value < 0n ? -value : value;
  const drop = BigInt(Math.max(0, magnitude.toString(2).length - precision));
  let kept = magnitude >> drop;
  const rest = magnitude - (kept << drop);
  const half = drop === 0n ? 0n : 1n << (drop - 1n);
  if (drop !== 0n && (rest > half || (rest === half && (kept & 1n) !== 0n))) kept++;
  // Two steps: 2^-2148 is no double.
  const scale = Number(drop) - POINT;
  const result = Number(kept) * 2 ** Math.floor(scale / 2) * 2 ** Math.ceil(scale / 2);
  return value < 0n ? -result : result;
}
const expected = (a: number, b: number, c: number, precision: number): number =>
  rounded(exactOf(a) * exactOf(b) + (exactOf(c) << 1074n), precision, a * b + c);

const same = (left: number, right: number): boolean => Object.is(left, right);

/** A fraction from 1 to 2 of so many bits: random ones, few that are set, or nearly all set. */
function fraction(random: Random, bits: number): number {
  let value = random.bits64() & ((1n << BigInt(bits - 1)) - 1n);
  const kind = random.below(4);
  if (kind === 1) value = 1n << BigInt(random.below(bits - 1));
  if (kind === 2) value = (1n << BigInt(bits - 1)) - 1n - BigInt(random.below(4));
  if (kind === 3) value = (value >> BigInt(random.below(bits - 1))) << BigInt(random.below(bits >> 1));
  return 1 + Number(value & ((1n << BigInt(bits - 1)) - 1n)) / 2 ** (bits - 1);
}
const number = (random: Random, bits: number, range: number): number =>
  (random.chance(0.5) ? -1 : 1) * fraction(random, bits) * 2 ** random.between(-range, range);

/** Numbers of a format, and summands that are near the product's ties, cancel it, or are zero. */
function* cases(random: Random, bits: number, range: number, round: (value: number) => number) {
  for (let index = 0; index < CASES; index++) {
    const a = number(random, bits, range);
    const b = number(random, bits, range);
    const product = round(a * b);
    const unit = 2 ** (Math.floor(Math.log2(Math.abs(product))) - bits);
    const choices = [
      () => number(random, bits, range),
      () => round(product * 2 ** random.between(-2 * bits, 2 * bits) * fraction(random, bits)),
      () => -product,
      () => round(-product * (1 + 2 ** -random.between(1, bits))),
      () => (random.chance(0.5) ? -1 : 1) * unit * 2 ** random.between(-3, 3),
      () => (random.chance(0.5) ? -1 : 1) * unit * fraction(random, bits) * 2 ** random.between(-bits, 3),
      () => round(product * 2 ** bits * fraction(random, bits)),
      () => (random.chance(0.5) ? -0 : 0),
    ];
    yield [a, b, round(random.pick(choices)())] as const;
  }
}

describe('a product and a sum of ordinary numbers', () => {
  it.each([
    ['doubles', fuseDouble, 53, 95, (value: number) => value],
    ['singles', fuseSingle, 24, 30, Math.fround],
  ] as const)('are rounded once: %s', (_, fuse, bits, range, round) => {
    const random = new Random(SEED);
    let computed = 0;
    const wrong: unknown[] = [];
    for (const [a, b, c] of cases(random, bits, range, round)) {
      const found = fuse(a, b, c);
      if (Number.isNaN(found)) continue;
      computed++;
      const right = expected(a, b, c, bits);
      if (!same(found, right)) wrong.push({ a, b, c, found, right });
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    // Summands may be denormal, and results tiny; nearly all are not.
    expect(computed).toBeGreaterThan(0.9 * CASES);
  });

  it.each([
    ['doubles', fuseDouble, 2 ** -1022, 2 ** 1023],
    ['singles', fuseSingle, 2 ** -126, 2 ** 127],
  ] as const)('are left to others at the ends: %s', (_, fuse, least, most) => {
    const others = [
      [Infinity, 1, 1],
      [1, -Infinity, 1],
      [1, 1, Infinity],
      [NaN, 0, 1],
      [0, NaN, 1],
      [0, 1, NaN],
      [0, Infinity, 1],
      [least / 2, 1, 1],
      [0, least / 2, 1],
      [1, 1, least / 2],
      [least, 0.5, 0],
      [most, 2, 0],
      [least, 1, -least * (1 + 2 ** -20)],
    ] as const;
    for (const [a, b, c] of others) expect([a, b, c, fuse(a, b, c)]).toEqual([a, b, c, NaN]);
  });

  it.each([['doubles', fuseDouble] as const, ['singles', fuseSingle] as const])(
    'has the sign of a zero: %s',
    (_, fuse) => {
      const found = [fuse(0, 5, 0), fuse(-0, 5, -0), fuse(-0, 5, 0), fuse(0, -5, -0), fuse(3, 4, -12), fuse(0, 5, 7)];
      expect(found).toEqual([0, -0, 0, -0, 0, 7]);
    },
  );
});
