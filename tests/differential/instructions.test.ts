/**
 * The software engine's instructions against the host's own processor: registers, flags, memory and faults agree.
 *
 * The cases run twice with different seeds: interpreted, which is where every row of the table must have enough cases in each mode, and with
 * every block translated before its first execution. PLINTH_DIFFERENTIAL_CASES, PLINTH_DIFFERENTIAL_BLOCKS, PLINTH_DIFFERENTIAL_TRANSLATED (numbers of cases)
 * and PLINTH_DIFFERENTIAL_SEED change how much is run; the report of the first lies in bench/results/differential.json. A failing
 * case is repeated with `node tests/differential/run.mjs --seed S --case N`, with `--translate` for translated code. Both run the built
 * tree on as many threads as there are processors, PLINTH_DIFFERENTIAL_THREADS at most. Rows and modes that this host cannot be asked about are
 * told of and need no cases (differential-host.ts).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { compareOutcomes } from '../../packages/processor/src/testing/differential-compare.ts';
import { formatCoverage } from '../../packages/processor/src/testing/differential-coverage.ts';
import { casesForRows, generateCase } from '../../packages/processor/src/testing/differential-generator.ts';
import {
  formatObstacles,
  LACKING_NOTHING,
  lackingOf,
  unfitness,
} from '../../packages/processor/src/testing/differential-host.ts';
import {
  decodeResultFile,
  encodeCaseFile,
  FXSAVE,
  type Outcome,
  RESULT,
} from '../../packages/processor/src/testing/differential-layout.ts';
import { generatorOptions } from '../../packages/processor/src/testing/differential-run.ts';
import { isLong } from '../support/long.ts';
import { buildRunner, missingOracle, runNative } from './oracle.mjs';
import { runInPool } from './pool.mjs';

/** The least that each row of the table must have had, and one run of the tests altogether. */
const CASES_PER_ROW = 500;
const INSTRUCTIONS_WANTED = isLong ? 100_000_000 : 1_000_000;
/** A case has two and a half instructions: most have one, every twelfth up to fifty. */
const CASES = Number(
  process.env.PLINTH_DIFFERENTIAL_CASES ?? (isLong ? 3_000_000 : casesForRows(CASES_PER_ROW, LACKING_NOTHING)),
);
/** In a long run, cases that are all blocks of instructions, eighteen in the mean: most of a case's time is its state. */
const BLOCKS = Number(process.env.PLINTH_DIFFERENTIAL_BLOCKS ?? (isLong ? 5_100_000 : 0));
const TRANSLATED_CASES = Number(process.env.PLINTH_DIFFERENTIAL_TRANSLATED ?? (isLong ? 1_000_000 : 60_000));
const SEED = Number(process.env.PLINTH_DIFFERENTIAL_SEED ?? 1);
const TRANSLATED_SEED = SEED + 1000;
const BLOCK_SEED = SEED + 2000;
const TIMEOUT = (isLong ? 12 : 1) * 3_600_000;

const reportFile = fileURLToPath(new URL('../../bench/results/differential.json', import.meta.url));
const missing = await missingOracle();

describe("instructions on the host's processor and on the engine", () => {
  it(`agree in ${CASES} cases of seed ${SEED}${BLOCKS > 0 ? ` and ${BLOCKS} blocks of seed ${BLOCK_SEED}` : ''}`, {
    timeout: TIMEOUT,
  }, async (context) => {
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const lacking = await lackingOf(runNative);
    const unfit = unfitness(lacking);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const result = await runInPool({ seed: SEED, count: CASES, lacking });
    const report = result.coverage.report(CASES_PER_ROW, lacking);
    mkdirSync(dirname(reportFile), { recursive: true });
    writeFileSync(reportFile, `${JSON.stringify({ seed: SEED, ...report }, null, 1)}\n`);
    if (process.env.PLINTH_DIFFERENTIAL_TABLE !== undefined) process.stdout.write(`${formatCoverage(report)}\n`);
    process.stdout.write(
      `differential: seed ${SEED}, ${report.cases} cases, ${report.instructions} instructions, ${report.rows.length} rows compared, ` +
        `${report.excluded.length} excluded\n${formatObstacles(report.incomparable)}`,
    );
    expect(result.endless).toEqual([]);
    expect(result.stories).toEqual([]);
    expect(result.findingCount).toBe(0);
    expect(report.shortcomings).toEqual([]);
    let { instructions } = report;
    if (BLOCKS > 0) {
      const blocks = await runInPool({ seed: BLOCK_SEED, count: BLOCKS, blockEvery: 1, lacking });
      const counts = blocks.coverage.report(0, lacking);
      process.stdout.write(
        `differential: seed ${BLOCK_SEED}, ${counts.cases} blocks, ${counts.instructions} instructions\n`,
      );
      expect(blocks.endless).toEqual([]);
      expect(blocks.stories).toEqual([]);
      expect(blocks.findingCount).toBe(0);
      instructions += counts.instructions;
    }
    expect(instructions).toBeGreaterThanOrEqual(INSTRUCTIONS_WANTED);
  });

  const translatedTitle = `agree in ${TRANSLATED_CASES} cases of seed ${TRANSLATED_SEED}, translated before they are executed`;
  it(translatedTitle, { timeout: TIMEOUT }, async (context) => {
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const lacking = await lackingOf(runNative);
    const unfit = unfitness(lacking);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const result = await runInPool({ seed: TRANSLATED_SEED, count: TRANSLATED_CASES, translate: true, lacking });
    expect(result.endless).toEqual([]);
    expect(result.stories).toEqual([]);
    expect(result.findingCount).toBe(0);
    process.stdout.write(
      `differential: seed ${TRANSLATED_SEED}, ${result.translated} instructions of translated code, ${result.interpreted} interpreted\n`,
    );
    // Fewer would mean that the cases do not reach the translator.
    expect(result.translated).toBeGreaterThan(TRANSLATED_CASES);
  });

  it('would notice a wrong register, flag, vector, memory word or exception', async (context) => {
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const lacking = await lackingOf(runNative);
    const unfit = unfitness(lacking);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const generator = generatorOptions({ seed: SEED, lacking });
    const subject = generateCase(generator, 0);
    const run = async (): Promise<Outcome> => {
      const [outcome] = decodeResultFile(await runNative(encodeCaseFile(generator.template, [subject.state]))).outcomes;
      if (outcome === undefined) throw new RangeError('the runner gave no outcome');
      return outcome;
    };
    const expected = await run();
    expect(compareOutcomes(subject, expected, await run())).toEqual([]);
    const spoil: Readonly<Record<string, (view: DataView) => void>> = {
      R9: (view) => view.setUint8(RESULT.registers + 9 * 8 + 7, view.getUint8(RESULT.registers + 9 * 8 + 7) ^ 1),
      RFLAGS: (view) => view.setUint8(RESULT.flags, view.getUint8(RESULT.flags) ^ 1),
      XMM15: (view) => {
        const at = RESULT.vectorState + FXSAVE.xmm + 15 * 16;
        view.setUint8(at, view.getUint8(at) ^ 1);
      },
      'YMM15[7]': (view) => {
        const at = RESULT.upper + 15 * 16 + 15;
        view.setUint8(at, view.getUint8(at) ^ 1);
      },
      exception: (view) => view.setUint32(RESULT.vector, view.getUint32(RESULT.vector, true) ^ 1, true),
    };
    for (const [name, change] of Object.entries(spoil)) {
      const found = await run();
      change(found.view);
      expect(compareOutcomes(subject, expected, found).map(({ what }) => what)).toContain(name);
    }
    const found = { ...(await run()), changes: Uint32Array.of(3, 0x12345678) };
    expect(compareOutcomes(subject, expected, found)[0]?.found).toBe('0x12345678');
  });
});
