/** `--cpu-features`: levels, single features, and what goes with them. */
import { describe, expect, it } from 'vitest';
import { absentFeatures, CPU_FEATURES, type CpuFeature, parseCpuFeatures, withoutFeatures } from './cpu-features.ts';
import { defaultCpuid } from './cpuid.ts';

const table = defaultCpuid({ processors: 1 });
function disabled(list: string): readonly CpuFeature[] {
  const parsed = parseCpuFeatures(list === '' ? [] : list.split(','));
  if (!('disabled' in parsed)) throw new RangeError(`${parsed.word} is no feature`);
  return parsed.disabled;
}
/** Features that CPUID tells of with a list. */
function told(list: string): ReadonlySet<CpuFeature> {
  const absent = absentFeatures(withoutFeatures(table, disabled(list)));
  return new Set(CPU_FEATURES.filter((_, index) => (absent >> BigInt(index)) % 2n === 0n));
}

describe('lists of processor features', () => {
  it('have levels, of which each has what the one below has', () => {
    const [one, two, three] = ['v1', 'v2', 'v3'].map(told);
    expect(['pni', 'sse4_2', 'popcnt', 'cx16'].filter((name) => one?.has(name as CpuFeature))).toEqual([]);
    expect(two?.has('sse4_2')).toBe(true);
    expect(two?.has('bmi2')).toBe(false);
    expect(
      ['avx', 'avx2', 'fma', 'f16c', 'bmi1', 'bmi2', 'abm', 'movbe'].every((name) => three?.has(name as CpuFeature)),
    ).toBe(true);
    expect([...(one ?? [])].filter((name) => !two?.has(name))).toEqual([]);
    expect([...(two ?? [])].filter((name) => !three?.has(name))).toEqual([]);
  });
  it('change single features, from left to right', () => {
    expect(told('v1,+popcnt').has('popcnt')).toBe(true);
    expect(told('v3,-avx2').has('avx2')).toBe(false);
    expect(told('v3,-avx2').has('fma')).toBe(true);
    expect(told('-nx').has('nx')).toBe(false);
    expect(told('-nx,v2').has('nx')).toBe(true);
  });
  it('take with a feature what needs it, and give with it what it needs', () => {
    for (const name of ['avx', 'avx2', 'fma', 'f16c', 'xsavec'] as const)
      expect(told('v3,-xsave').has(name), name).toBe(false);
    for (const name of ['aes', 'pclmulqdq', 'sha_ni'] as const) expect(told('v1').has(name), name).toBe(false);
    expect(told('v1,+sha_ni').has('ssse3')).toBe(true);
    expect(told('v1,+avx2').has('avx')).toBe(true);
    expect(told('v1,+sse4_2').has('ssse3')).toBe(true);
  });
  it('mean the highest level when they say nothing', () => {
    expect([...told('')]).toEqual([...told('v3')]);
    expect(told('-avx2').has('fma')).toBe(true);
  });
  it('make the area of XSAVE as long as its components', () => {
    const size = (list: string): number | undefined =>
      withoutFeatures(table, disabled(list)).find(({ leaf, subleaf }) => leaf === 0xd && subleaf === 0)?.ecx;
    expect(size('v3')).toBe(2440);
    expect(size('v2')).toBe(2440);
    expect(size('v3,-pku')).toBe(832);
    expect(size('v2,-pku')).toBe(576);
  });
  it.each(['v4', 'avx', '+avx512f', '', '-'])('do not take %s', (word) => {
    expect(parseCpuFeatures(['v2', word])).toEqual({ word });
  });
});
