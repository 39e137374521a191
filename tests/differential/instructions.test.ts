/**
 * The software engine's instructions against the host's own processor: registers, flags, memory and faults agree.
 *
 * The cases run twice with different seeds: interpreted, which is where every row of the table must have enough cases, and with
 * every block translated before its first execution. PLINTH_DIFFERENTIAL_CASES, PLINTH_DIFFERENTIAL_TRANSLATED (numbers of cases)
 * and PLINTH_DIFFERENTIAL_SEED change how much is run; the report of the first lies in bench/results/differential.json. A failing
 * case is repeated with `node tests/differential/run.mjs --seed S --case N`, with `--translate` for translated code.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSoftwareProcessor, TRANSLATE_AT_ONCE } from '@plinth/processor';
import { translateLocally } from '@plinth/processor/local-translation';
import { describe, expect, it } from 'vitest';
import { compareOutcomes } from '../../packages/processor/src/testing/differential-compare.ts';
import { formatCoverage } from '../../packages/processor/src/testing/differential-coverage.ts';
import { generateCase } from '../../packages/processor/src/testing/differential-generator.ts';
import {
  decodeResultFile,
  encodeCaseFile,
  FXSAVE,
  type Outcome,
  RESULT,
} from '../../packages/processor/src/testing/differential-layout.ts';
import type { ProcessorFactory } from '../../packages/processor/src/testing/differential-machine.ts';
import { describeCase, minimise } from '../../packages/processor/src/testing/differential-minimise.ts';
import {
  DifferentialPair,
  type DifferentialResult,
  generatorOptions,
  runDifferential,
  unfitHost,
} from '../../packages/processor/src/testing/differential-run.ts';
import { buildRunner, disassemble, missingOracle, runNative } from './oracle.mjs';

const LONG = process.env.PLINTH_TEST_LONG !== undefined;
const CASES = Number(process.env.PLINTH_DIFFERENTIAL_CASES ?? (LONG ? 3_000_000 : 300_000));
const TRANSLATED_CASES = Number(process.env.PLINTH_DIFFERENTIAL_TRANSLATED ?? (LONG ? 1_000_000 : 40_000));
const SEED = Number(process.env.PLINTH_DIFFERENTIAL_SEED ?? 1);
const TRANSLATED_SEED = SEED + 1000;
/** The contract's floor for one run of the tests. */
const INSTRUCTIONS_WANTED = 200_000;
const CASES_PER_ROW = 100;

const reportFile = fileURLToPath(new URL('../../bench/results/differential.json', import.meta.url));
const engine = fileURLToPath(new URL('../../packages/processor/dist/engine.wasm', import.meta.url));
const missing = await missingOracle();

/** The engine with a count of transfers after which a block is translated; 0: never. */
function engineProcessor(translateAfter: number): ProcessorFactory {
  const module = new WebAssembly.Module(readFileSync(engine));
  return ({ memory, layout, handlers }) =>
    createSoftwareProcessor(module, {
      memory,
      layout,
      index: 0,
      handlers,
      translateAfter,
      translation: translateLocally,
    });
}

async function tell(result: DifferentialResult, processor: ProcessorFactory, seed: number): Promise<string> {
  const pair = new DifferentialPair(runNative, processor, generatorOptions({ seed }).template);
  const stories: string[] = [];
  for (const { subject } of result.findings.slice(0, 8)) {
    const smallest = await minimise(pair, subject);
    const { state, addresses, items } = smallest.subject;
    const start = addresses[0] ?? 0n;
    const bytes = Uint8Array.from(items.flatMap((item) => item.bytes));
    const text = await disassemble(bytes, start, state.mode);
    stories.push(
      `${describeCase(smallest)}\n${text ?? '(no objdump)'}\n  node tests/differential/run.mjs --seed ${seed} --case ${subject.index}`,
    );
  }
  return `${result.findingCount} cases differ\n${stories.join('\n\n')}`;
}

describe("instructions on the host's processor and on the engine", () => {
  it(`agree in ${CASES} cases of seed ${SEED}`, { timeout: 3_600_000 }, async (context) => {
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const unfit = await unfitHost(runNative);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const processor = engineProcessor(0);
    const result = await runDifferential({ seed: SEED, first: 0, count: CASES, native: runNative, processor });
    const report = result.coverage.report(CASES_PER_ROW);
    mkdirSync(dirname(reportFile), { recursive: true });
    writeFileSync(reportFile, `${JSON.stringify({ seed: SEED, ...report }, null, 1)}\n`);
    if (process.env.PLINTH_DIFFERENTIAL_TABLE !== undefined) process.stdout.write(`${formatCoverage(report)}\n`);
    process.stdout.write(
      `differential: seed ${SEED}, ${report.cases} cases, ${report.instructions} instructions, ${report.rows.length} rows compared, ` +
        `${report.excluded.length} excluded\n`,
    );
    expect(result.endless).toEqual([]);
    if (result.findingCount > 0) expect.fail(await tell(result, processor, SEED));
    expect(report.shortcomings).toEqual([]);
    expect(report.instructions).toBeGreaterThanOrEqual(INSTRUCTIONS_WANTED);
  });

  const translatedTitle = `agree in ${TRANSLATED_CASES} cases of seed ${TRANSLATED_SEED}, translated before they are executed`;
  it(translatedTitle, { timeout: 3_600_000 }, async (context) => {
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const unfit = await unfitHost(runNative);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const processor = engineProcessor(TRANSLATE_AT_ONCE);
    const result = await runDifferential({
      seed: TRANSLATED_SEED,
      first: 0,
      count: TRANSLATED_CASES,
      native: runNative,
      processor,
    });
    expect(result.endless).toEqual([]);
    if (result.findingCount > 0) expect.fail(await tell(result, processor, TRANSLATED_SEED));
    process.stdout.write(
      `differential: seed ${TRANSLATED_SEED}, ${result.translated} instructions of translated code, ${result.interpreted} interpreted\n`,
    );
    // Fewer would mean that the cases do not reach the translator.
    expect(result.translated).toBeGreaterThan(TRANSLATED_CASES);
  });

  it('would notice a wrong register, flag, vector, memory word or exception', async (context) => {
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const unfit = await unfitHost(runNative);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const generator = generatorOptions({ seed: SEED });
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
