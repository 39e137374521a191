/**
 * What a host cannot be asked about is in none of the harness's cases, and the coverage report names it; all else has its cases still.
 */
import { describe, expect, it } from 'vitest';
import { INSTRUCTIONS } from '../table/index.ts';
import { Coverage } from './differential-coverage.ts';
import { comparedModesOf, exclusionReason, generateCase } from './differential-generator.ts';
import { formatObstacles, LACKING_NOTHING, type Lacking, rowObstacle, unfitness } from './differential-host.ts';
import { makeTemplate } from './differential-random.ts';

const SEED = 3;
const template = makeTemplate(SEED);
const ABSENT: Lacking = new Set(['fsgsbase', 'abm', 'avx2', '32-bit code']);
const CASES = 3000;
const rowsOf = (lacking: Lacking, blockEvery: number): Set<string> => {
  const names = new Set<string>();
  for (let index = 0; index < CASES; index++)
    for (const { row } of generateCase({ seed: SEED, template, blockEvery, lacking }, index).items)
      if (row !== undefined) names.add(row.name);
  return names;
};

describe('a host that lacks something', () => {
  it('is asked about none of it, alone or in blocks', () => {
    const missing = INSTRUCTIONS.filter((row) => rowObstacle(row, ABSENT) !== undefined);
    expect(new Set(missing.map(({ feature }) => feature))).toContain('fsgsbase');
    // Also a row whose 256-bit form alone is of AVX2.
    expect(missing.some(({ feature }) => feature === 'avx')).toBe(true);
    for (const blockEvery of [2, 12]) {
      const asked = rowsOf(ABSENT, blockEvery);
      for (const name of ['rdfsbase', 'wrgsbase', 'lzcnt', 'vpermd', 'pusha']) expect(asked).not.toContain(name);
    }
    expect(rowsOf(LACKING_NOTHING, 12)).toContain('rdfsbase');
    for (let index = 0; index < CASES; index++)
      expect(generateCase({ seed: SEED, template, lacking: ABSENT }, index).state.mode).toBe(64);
  });

  it('is asked about all else in every mode that can be compared', () => {
    const left = INSTRUCTIONS.filter((row) => comparedModesOf(row, ABSENT).length > 0);
    const wanted = INSTRUCTIONS.filter(
      (row) => exclusionReason(row) === undefined && row.mode !== 'not64' && rowObstacle(row, ABSENT) === undefined,
    );
    expect(left.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id));
  });

  it('owes no cases for it, and the report says so', () => {
    const report = new Coverage().report(500, ABSENT);
    expect(report.shortcomings.filter((line) => /compatibility mode|fsbase|lzcnt/.test(line))).toEqual([]);
    expect(report.shortcomings.some((line) => line.startsWith('add ('))).toBe(true);
    expect(new Coverage().report(500).shortcomings.some((line) => line.startsWith('rdfsbase'))).toBe(true);
    const text = formatObstacles(report.incomparable);
    expect(text).toContain("the host's processor is without fsgsbase: rdfsbase, rdgsbase, wrfsbase, wrgsbase\n");
    expect(text).toContain("the host's kernel has no 32-bit code segment: compatibility mode\n");
  });

  it('cannot be compared with at all when it lacks what every case needs', () => {
    expect(unfitness(ABSENT)).toBeUndefined();
    expect(unfitness(new Set(['AMD', 'abm']))).toBe("the host's processor is without AMD");
  });
});
