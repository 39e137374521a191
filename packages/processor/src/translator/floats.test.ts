/**
 * Floating-point instructions in translated code: ordinary numbers do not leave the region, everything else does and is the interpreter's,
 * to the same registers, flags and MXCSR. What the results must be is the differential test's affair (tests/differential).
 */
import { describe, expect, it } from 'vitest';
import { TRANSLATE_AT_ONCE } from '../index.ts';
import { TinyMachine } from '../testing/tiny-machine.ts';

const ROUNDS = 3000;
/** MXCSR of a program after its first inexact result, and before. */
const INEXACT = 0x1fa0n;
const FRESH = 0x1f80n;

const bits = new DataView(new ArrayBuffer(16));
function singles(...values: number[]): bigint {
  for (let at = 0; at < 4; at++) bits.setFloat32(at * 4, values[at % values.length] ?? 0, true);
  return bits.getBigUint64(0, true) | (bits.getBigUint64(8, true) << 64n);
}
function doubles(...values: number[]): bigint {
  for (let at = 0; at < 2; at++) bits.setFloat64(at * 8, values[at % values.length] ?? 0, true);
  return bits.getBigUint64(0, true) | (bits.getBigUint64(8, true) << 64n);
}

interface Run {
  readonly what: string;
  readonly translated: number;
  readonly interpreted: number;
  readonly mxcsr: bigint;
  readonly registers: readonly unknown[];
}

/** mov ecx, ROUNDS; again: movaps xmm0, xmm4; movaps xmm1, xmm5; the instructions; dec ecx; jnz again */
function loop(
  instructions: readonly number[],
  [left, right]: readonly [bigint, bigint],
  mxcsr: bigint,
  translate: boolean,
): Run {
  const machine = new TinyMachine('long', { translateAfter: translate ? TRANSLATE_AT_ONCE : 0 });
  const body = [0x0f, 0x28, 0xc4, 0x0f, 0x28, 0xcd, ...instructions, 0xff, 0xc9];
  const code = [0xb9, ROUNDS & 0xff, ROUNDS >> 8, 0, 0, ...body, 0x75, 0xfe - body.length];
  const { what } = machine.run(code, {
    budget: 1e6,
    registers: { Xmm4: left, Xmm5: right, Mxcsr: mxcsr, Rax: 7n, Rdx: 3n },
  });
  const { processor } = machine;
  const names = ['Rax', 'Rcx', 'Rdx', 'Rflags', 'Xmm0', 'Xmm1'] as const;
  return {
    what,
    ...processor.instructionCounts(),
    mxcsr: processor.readRegister('Mxcsr') as bigint,
    registers: names.map((name) => processor.readRegister(name)),
  };
}

/** Runs interpreted and translated, checks that both end alike, and gives the share that was translated. */
function translatedShare(
  instructions: readonly number[],
  values: readonly [bigint, bigint],
  mxcsr = INEXACT,
): { share: number; mxcsr: bigint } {
  const [plain, translated] = [false, true].map((translate) => loop(instructions, values, mxcsr, translate));
  expect(plain?.what).toBe('done');
  expect(translated?.registers).toEqual(plain?.registers);
  expect(translated?.mxcsr).toBe(plain?.mxcsr);
  const { translated: inside = 0, interpreted: outside = 1 } = translated ?? {};
  return { share: inside / (inside + outside), mxcsr: translated?.mxcsr ?? 0n };
}

const PREFIX = { ps: [], pd: [0x66], ss: [0xf3], sd: [0xf2] } as const;
const ARITHMETIC = { sqrt: 0x51, add: 0x58, mul: 0x59, sub: 0x5c, min: 0x5d, div: 0x5e, max: 0x5f } as const;
type Format = keyof typeof PREFIX;
const FORMATS = Object.keys(PREFIX) as Format[];
const isDouble = (format: Format): boolean => format.endsWith('d');
const vector = (format: Format, ...values: number[]): bigint => (isDouble(format) ? doubles : singles)(...values);

const arithmetic = FORMATS.flatMap((format) =>
  Object.entries(ARITHMETIC).map(
    ([name, opcode]) => [name + format, format, [...PREFIX[format], 0x0f, opcode, 0xc1]] as const,
  ),
);
const approximations = (['ps', 'ss'] as const).flatMap((format) => [
  [`rcp${format}`, format, [...PREFIX[format], 0x0f, 0x53, 0xc1]] as const,
  [`rsqrt${format}`, format, [...PREFIX[format], 0x0f, 0x52, 0xc1]] as const,
]);
const compares = FORMATS.map((format) => [`cmplt${format}`, format, [...PREFIX[format], 0x0f, 0xc2, 0xc1, 1]] as const);
const operations = [
  ...arithmetic,
  ...compares,
  ['ucomiss', 'ss', [0x0f, 0x2e, 0xc1]] as const,
  ['comisd', 'sd', [0x66, 0x0f, 0x2f, 0xc1]] as const,
];
/** Conversions of xmm1, or of RAX. */
const conversions: readonly (readonly [string, Format, readonly number[]])[] = [
  ['cvtsi2ss', 'ss', [0xf3, 0x48, 0x0f, 0x2a, 0xc0]],
  ['cvtsi2sd', 'sd', [0xf2, 0x48, 0x0f, 0x2a, 0xc0]],
  ['cvttss2si', 'ss', [0xf3, 0x0f, 0x2c, 0xd1]],
  ['cvtss2si', 'ss', [0xf3, 0x48, 0x0f, 0x2d, 0xd1]],
  ['cvttsd2si', 'sd', [0xf2, 0x48, 0x0f, 0x2c, 0xd1]],
  ['cvtsd2si', 'sd', [0xf2, 0x0f, 0x2d, 0xd1]],
  ['cvtss2sd', 'ss', [0xf3, 0x0f, 0x5a, 0xc1]],
  ['cvtsd2ss', 'sd', [0xf2, 0x0f, 0x5a, 0xc1]],
  ['cvtps2pd', 'ps', [0x0f, 0x5a, 0xc1]],
  ['cvtpd2ps', 'pd', [0x66, 0x0f, 0x5a, 0xc1]],
  ['cvtdq2ps', 'ps', [0x0f, 0x5b, 0xc1]],
  ['cvtdq2pd', 'pd', [0xf3, 0x0f, 0xe6, 0xc1]],
  ['cvtps2dq', 'ps', [0x66, 0x0f, 0x5b, 0xc1]],
  ['cvttps2dq', 'ps', [0xf3, 0x0f, 0x5b, 0xc1]],
  ['cvtpd2dq', 'pd', [0xf2, 0x0f, 0xe6, 0xc1]],
  ['cvttpd2dq', 'pd', [0x66, 0x0f, 0xe6, 0xc1]],
];

describe('floating point in translated code', () => {
  it.each([...operations, ...conversions])('%s of ordinary numbers does not leave the region', (_, format, bytes) => {
    const values = [vector(format, 7.1, 0.3, -9.5, 12.25), vector(format, 3.7, 1e-3, 2.5, 1e6)] as const;
    expect(translatedShare(bytes, values).share).toBeGreaterThan(0.99);
  });
  it.each([...operations, ...conversions])(
    '%s of zeros does not leave it where they raise nothing',
    (name, format, bytes) => {
      const values = [vector(format, 0, -0), vector(format, name.startsWith('div') ? 2 : 0, 1)] as const;
      expect(translatedShare(bytes, values).share).toBeGreaterThan(0.99);
    },
  );
  it.each(operations.filter(([name]) => /^(min|max|cmp|u?comis)/.test(name)))(
    '%s takes infinities',
    (_, format, bytes) => {
      const values = [vector(format, Infinity, 1), vector(format, 4, -Infinity)] as const;
      expect(translatedShare(bytes, values).share).toBeGreaterThan(0.99);
    },
  );

  it.each(['ss', 'sd'] as const)('ucomi%s of quiet NaN stays in the region, with its flags', (format) => {
    // ucomis xmm0, xmm1; setp al; setne dl; jp over one; seta dh; cmovb rax, rdx
    const compare = [...(format === 'sd' ? [0x66] : []), 0x0f, 0x2e, 0xc1];
    const code = [
      ...compare,
      ...[0x0f, 0x9a, 0xc0, 0x0f, 0x95, 0xc2, 0x7a, 0x03, 0x0f, 0x97, 0xc6, 0x48, 0x0f, 0x42, 0xc2],
    ];
    for (const values of [
      [1, Number.NaN],
      [Number.NaN, 1],
      [2, 1],
      [1, 2],
      [-0, 0],
      [Infinity, Infinity],
    ] as const) {
      const pair = [vector(format, values[0]), vector(format, values[1])] as const;
      expect(translatedShare(code, pair).share).toBeGreaterThan(0.99);
    }
  });
  it.each([...operations, ...conversions].filter(([name]) => !/^cvtdq|^sqrt/.test(name)))(
    '%s of denormals does not leave the region once DE and UE are set',
    (_, format, bytes) => {
      const least = isDouble(format) ? 2 ** -1022 : 2 ** -126;
      const values = [vector(format, least / 4, least / 1024), vector(format, least / 2, 1)] as const;
      expect(translatedShare(bytes, values, INEXACT | 0x12n).share).toBeGreaterThan(0.99);
      expect(
        translatedShare(bytes, [vector(format, least * 1.5), vector(format, 0.25)], INEXACT | 0x12n).share,
      ).toBeGreaterThan(0.99);
    },
  );

  const special = (format: Format): readonly (readonly [string, readonly [bigint, bigint]])[] => {
    const [least, most] = isDouble(format) ? [2 ** -1022, Number.MAX_VALUE] : [2 ** -126, 3.4028234663852886e38];
    const one = vector(format, 1, 2);
    return [
      ['NaN', [one, vector(format, 1, 1, Number.NaN)]],
      ['NaN first', [vector(format, Number.NaN), one]],
      ['denormal', [one, vector(format, least / 4)]],
      ['denormal first', [vector(format, least / 4, 1), one]],
      ['infinite', [vector(format, Infinity), vector(format, Infinity)]],
      ['too large', [vector(format, most), vector(format, most)]],
      ['too small', [vector(format, least), vector(format, 3, least * 1.5)]],
      ['negative', [vector(format, -1), vector(format, -1, -3)]],
      ['by zero', [one, vector(format, 0)]],
      ['zero by zero', [vector(format, 0), vector(format, 0)]],
    ];
  };
  it.each(approximations)('%s of ordinary numbers does not leave the region', (_, format, bytes) => {
    const values = [vector(format, 1), vector(format, 3.7, 1e-3, 2.5, 1e6)] as const;
    expect(translatedShare(bytes, values).share).toBeGreaterThan(0.99);
  });
  const cases = [...operations, ...conversions, ...approximations].flatMap(([name, format, bytes]) =>
    special(format).map(([what, values]) => [name, what, bytes, values] as const),
  );
  it.each(cases)('%s, %s: as interpreted', (_, __, bytes, values) => {
    translatedShare(bytes, values);
    translatedShare(bytes, values, FRESH);
  });

  it('the first inexact result is the interpreter’s, and sets PE', () => {
    const add = [0xf2, 0x0f, 0x58, 0xc1];
    const { share, mxcsr } = translatedShare(add, [doubles(1), doubles(2 ** -60)], FRESH);
    expect(mxcsr).toBe(INEXACT);
    expect(share).toBeGreaterThan(0.99);
  });
  it.each([...operations, ...conversions].filter(([name]) => /^(add|sub|mul|div).*s[sd]$|2s[sdi]$/.test(name)))(
    '%s with an exact result does not leave the region while PE is clear',
    (_, format, bytes) => {
      const values = [vector(format, -12), vector(format, 4)] as const;
      const { share, mxcsr } = translatedShare(bytes, values, FRESH);
      expect(share).toBeGreaterThan(0.99);
      expect(mxcsr).toBe(FRESH);
    },
  );
  it.each([
    ['rounding', 0x3fa0n],
    ['flush to zero', 0x9fa0n],
    ['denormals are zero', 0x1fe0n],
  ])('arithmetic with another %s is interpreted', (_, mxcsr) => {
    const mul = [0xf2, 0x0f, 0x59, 0xc1];
    const values = [doubles(1.1), doubles(1.3)] as const;
    expect(translatedShare(mul, values, mxcsr).share).toBeLessThan(0.99);
    expect(translatedShare(mul, [doubles(2 ** -600), doubles(2 ** -500)], mxcsr).mxcsr).not.toBe(mxcsr);
  });
  it('MXCSR that is loaded holds from there on', () => {
    const store = (value: number): number[] => [0xc7, 0x44, 0x24, 0xf8, value & 0xff, value >> 8, 0, 0];
    const load = [0x0f, 0xae, 0x54, 0x24, 0xf8];
    const divide = [0xf2, 0x0f, 0x5e, 0xc1];
    // The results by three modes are added up: to nearest, upwards, and with PE clear again.
    const code = [
      ...[...store(0x1fa0), ...load, ...divide, 0x0f, 0x28, 0xd8, 0x0f, 0x28, 0xc4],
      ...[...store(0x5fa0), ...load, ...divide, 0xf2, 0x0f, 0x58, 0xd8, 0x0f, 0x28, 0xc4],
      ...[...store(0x1f80), ...load, ...divide, 0xf2, 0x0f, 0x58, 0xd8, 0x0f, 0x28, 0xc3],
      // stmxcsr [rsp-8]; mov eax, [rsp-8]
      ...[0x0f, 0xae, 0x5c, 0x24, 0xf8, 0x8b, 0x44, 0x24, 0xf8],
    ];
    const { share, mxcsr } = translatedShare(code, [doubles(1), doubles(3)]);
    expect(mxcsr).toBe(INEXACT);
    expect(share).toBeGreaterThan(0.5);
    expect(share).toBeLessThan(0.99);
    // Exact ones alone stay in the region.
    expect(translatedShare([...store(0x1f80), ...load, ...divide], [doubles(6), doubles(2)]).share).toBeGreaterThan(
      0.99,
    );
  });
  it('a clean result is not checked again, and stays right over a loop with a merge', () => {
    // mulsd xmm0, xmm1; test ecx, 1; jz +4; addsd xmm0, xmm1; sqrtsd xmm0, xmm0; ucomisd xmm0, xmm1; seta al
    const code = [
      ...[0xf2, 0x0f, 0x59, 0xc1, 0xf6, 0xc1, 0x01, 0x74, 0x04, 0xf2, 0x0f, 0x58, 0xc1],
      ...[0xf2, 0x0f, 0x51, 0xc0, 0x66, 0x0f, 0x2e, 0xc1, 0x0f, 0x97, 0xc0],
    ];
    expect(translatedShare(code, [doubles(3.3), doubles(0.7)]).share).toBeGreaterThan(0.99);
    translatedShare(code, [doubles(3.3), doubles(-0.7)]);
    translatedShare(code, [doubles(2 ** -700), doubles(2 ** -400)]);
  });
});
