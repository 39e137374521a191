/**
 * Exceptions of VEX instructions that differ from those of single steps: found by the differential harness beside an AMD processor.
 *
 * AMD64 manual volume 4, VDPPS: products and sums are steps of their own, and what a step raises unmasked ends the instruction; volume 3,
 * section 1.1: an instruction of more than 15 bytes is #GP, whatever else is wrong with it. VCVTPS2PH raises OE, UE and PE as other
 * instructions do that round.
 */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const DATA = 0x8000;
const registers = { Rbx: BigInt(DATA) } as const;
const DENORMAL = 2;
const UNDERFLOW = 0x10;
const PRECISION = 0x20;
/** All masked but PE. */
const MXCSR = 0x0f80;

describe.each([
  ['interpreted', 0],
  ['translated', TRANSLATE_AT_ONCE],
])('VDPPS, %s', (_, translateAfter) => {
  /** Its exceptions and MXCSR, with 8 elements in each operand. */
  function dot(left: readonly number[], right: readonly number[], wide: boolean): { what: string; mxcsr: number } {
    const machine = new TinyMachine('long', { translateAfter });
    machine.set('XCr0', 7n);
    [...left, ...right].forEach((value, index) => {
      machine.ram.setFloat32(DATA + 4 * index, value, true);
    });
    machine.ram.setUint32(DATA + 64, MXCSR, true);
    const { what } = machine.run(
      // vldmxcsr [rbx+64]; vmovups ymm1, [rbx]; vdpps ymm0, ymm1, [rbx+32], 0xff
      [0xc5, 0xf8, 0xae, 0x53, 0x40, 0xc5, 0xfc, 0x10, 0x0b, 0xc4, 0xe3, wide ? 0x75 : 0x71, 0x40, 0x43, 0x20, 0xff],
      { registers },
    );
    const control = machine.processor.readRegister('XmmControlStatus') as bigint;
    return { what, mxcsr: Number((control >> 64n) & 0xffffn) };
  }

  const ones = [1, 1, 1, 1, 1, 1, 1, 1];
  /** Its product is a denormal and not exact. */
  const tiny = [1e-30, 1, 1, 1, 1, 1, 1, 1];
  const alsoTiny = [1.1e-12, 1, 1, 1, 1, 1, 1, 1];

  it('ends with what its products raise: no sum of them is made', () => {
    for (const wide of [false, true])
      expect(dot(tiny, alsoTiny, wide)).toEqual({ what: '#19', mxcsr: MXCSR | UNDERFLOW | PRECISION });
  });

  it('ends so when the other half goes wrong', () => {
    // A denormal product that is exact, so that the sum would raise DE; the upper half's product is not exact.
    const exact = [2 ** -100, 1, 1, 1, 1e10 / 3, 1, 1, 1];
    const small = [2 ** -30, 1, 1, 1, 1e10 / 7, 1, 1, 1];
    expect(dot(exact, small, true)).toEqual({ what: '#19', mxcsr: MXCSR | PRECISION });
  });

  it('goes on to its sums otherwise', () => {
    expect(dot([2 ** -100, ...ones.slice(1)], [2 ** -30, ...ones.slice(1)], false)).toEqual({
      what: '#19',
      mxcsr: MXCSR | DENORMAL | PRECISION,
    });
    expect(dot(ones, ones, true)).toEqual({ what: 'done', mxcsr: MXCSR });
  });
});

describe.each([
  ['interpreted', 0],
  ['translated', TRANSLATE_AT_ONCE],
])('VCVTPS2PH, %s', (_, translateAfter) => {
  const OVERFLOW = 8;
  /** Only one exception is not masked. */
  const unmasked = (exception: number): number => 0x1f80 & ~(exception << 7);

  function convert(value: number, control: number): { what: string; raised: number } {
    const machine = new TinyMachine('long', { translateAfter });
    machine.set('XCr0', 7n);
    for (let element = 0; element < 4; element++)
      machine.ram.setFloat32(DATA + 4 * element, element === 0 ? value : 1, true);
    machine.ram.setUint32(DATA + 64, control, true);
    // vldmxcsr [rbx+64]; vmovups xmm1, [rbx]; vcvtps2ph xmm0, xmm1, 4
    const code = [0xc5, 0xf8, 0xae, 0x53, 0x40, 0xc5, 0xf8, 0x10, 0x0b, 0xc4, 0xe3, 0x79, 0x1d, 0xc8, 4];
    const { what } = machine.run(code, { registers });
    const state = machine.processor.readRegister('XmmControlStatus') as bigint;
    return { what, raised: Number((state >> 64n) & 0x3fn) };
  }

  it('raises PE with an unmasked underflow or overflow only if the fraction is too long', () => {
    // IEEE 754 (2008), 7.4 and 7.5: what such a trap is told of is rounded with whatever exponent. 1.5 fits, eleven ones and a last one do not.
    const long = 1 + 2 ** -12;
    expect(convert(1.5 * 2 ** -25, unmasked(UNDERFLOW))).toEqual({ what: '#19', raised: UNDERFLOW });
    expect(convert(long * 2 ** -25, unmasked(UNDERFLOW))).toEqual({ what: '#19', raised: UNDERFLOW | PRECISION });
    expect(convert(1.5 * 2 ** 16, unmasked(OVERFLOW))).toEqual({ what: '#19', raised: OVERFLOW });
    expect(convert(long * 2 ** 16, unmasked(OVERFLOW))).toEqual({ what: '#19', raised: OVERFLOW | PRECISION });
  });

  it('raises PE with a masked one whenever the half differs', () => {
    expect(convert(1.5 * 2 ** -25, 0x1f80)).toEqual({ what: 'done', raised: UNDERFLOW | PRECISION });
    expect(convert(2 ** -24, 0x1f80)).toEqual({ what: 'done', raised: 0 });
    expect(convert(1.5 * 2 ** 16, 0x1f80)).toEqual({ what: 'done', raised: OVERFLOW | PRECISION });
  });
});

describe('an instruction with a register in VEX.vvvv where none belongs', () => {
  /** vpextrb [rcx+0x7fffffff], xmm12, 0xff with another value in the field. */
  const STRANGE = [0xc4, 0x63, 0x51, 0x14, 0xa1, 0xff, 0xff, 0xff, 0x7f, 0xff];
  const run = (prefixes: number): string => {
    const machine = new TinyMachine('long');
    machine.set('XCr0', 7n);
    const { what, delivery } = machine.run([...new Array<number>(prefixes).fill(0x2e), ...STRANGE]);
    expect(delivery?.rip).toBe(BigInt(PLACE.code));
    return what;
  };
  it('is #UD', () => {
    expect(run(0)).toBe('#UD');
    expect(run(5)).toBe('#UD');
  });
  it('is #GP with more than 15 bytes', () => {
    expect(run(6)).toBe('#GP(0x0)');
  });
});
