/**
 * The software engine's instructions against outcomes that were recorded on an AMD processor (record.mjs): on every host, whatever its
 * processor. Where the host's own is one that can be compared with, the recording is compared with it too.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { createSoftwareProcessor, TRANSLATE_AT_ONCE } from '@plinth/processor';
import { translateLocally } from '@plinth/processor/local-translation';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DifferentialCase } from '../../packages/processor/src/testing/differential-builder.ts';
import { compareOutcomes } from '../../packages/processor/src/testing/differential-compare.ts';
import {
  formatObstacles,
  lackingOf,
  recordingObstacle,
  unfitness,
} from '../../packages/processor/src/testing/differential-host.ts';
import {
  decodeResultFile,
  encodeCaseFile,
  type Outcome,
} from '../../packages/processor/src/testing/differential-layout.ts';
import { DifferentialMachine } from '../../packages/processor/src/testing/differential-machine.ts';
import { describeCase } from '../../packages/processor/src/testing/differential-minimise.ts';
import {
  decodeRecording,
  inBatches,
  type RecordedRow,
  recordedRows,
  recordingTemplate,
} from '../../packages/processor/src/testing/differential-recording.ts';
import { buildRunner, missingOracle, runNative } from './oracle.mjs';

const recordingFile = fileURLToPath(new URL('recorded-cases.br', import.meta.url));
const engine = fileURLToPath(new URL('../../packages/processor/dist/engine.wasm', import.meta.url));

type BatchRunner = (subjects: readonly DifferentialCase[]) => Promise<readonly Outcome[]> | readonly Outcome[];

describe('recorded outcomes', () => {
  let rows: readonly RecordedRow[];
  let subjects: readonly DifferentialCase[];
  let expected: ReadonlyMap<DifferentialCase, Outcome>;
  const template = recordingTemplate();

  beforeAll(() => {
    rows = recordedRows();
    subjects = rows.flatMap((row) => row.subjects);
    const { stale, outcomes } = decodeRecording(rows, brotliDecompressSync(readFileSync(recordingFile)));
    // To be recorded anew: node tests/differential/record.mjs
    expect(stale).toEqual([]);
    expect(outcomes).toHaveLength(subjects.length);
    expected = new Map(subjects.map((subject, index) => [subject, outcomes[index] as Outcome]));
  });

  /** Cases whose outcome is not the recorded one, told as text. */
  async function differing(run: BatchRunner, compared = subjects): Promise<string[]> {
    const stories: string[] = [];
    for (const batch of inBatches(compared)) {
      const found = await run(batch);
      for (const [index, subject] of batch.entries()) {
        const outcome = found[index];
        const recorded = expected.get(subject);
        if (outcome === undefined || recorded === undefined) throw new RangeError('a recorded case has no outcome');
        const differences = compareOutcomes(subject, recorded, outcome);
        if (differences.length > 0) stories.push(describeCase({ subject, differences }));
      }
    }
    return stories;
  }

  function onEngine(translateAfter: number): BatchRunner {
    const module = new WebAssembly.Module(readFileSync(engine));
    const machine = new DifferentialMachine(
      ({ memory, layout, handlers }) =>
        createSoftwareProcessor(module, {
          memory,
          layout,
          index: 0,
          handlers,
          translateAfter,
          translation: translateLocally,
        }),
      template,
    );
    return (batch) => machine.runBatch(batch.map(({ state }) => state));
  }

  it('are those of the interpreter', async () => {
    expect(await differing(onEngine(0))).toEqual([]);
  });

  it('are those of translated code', async () => {
    expect(await differing(onEngine(TRANSLATE_AT_ONCE))).toEqual([]);
  });

  it("are those of the host's processor", async (context) => {
    const missing = await missingOracle();
    if (missing !== undefined) context.skip(missing);
    await buildRunner();
    const lacking = await lackingOf(runNative);
    const unfit = unfitness(lacking);
    if (unfit !== undefined) context.skip(`not applicable: ${unfit}`);
    const obstacles = rows.map(({ row, mode }) => recordingObstacle(row, mode, lacking));
    const compared = rows.flatMap((row, index) => (obstacles[index] === undefined ? row.subjects : []));
    process.stdout.write(
      `recorded: ${compared.length} of ${subjects.length} cases compared with the host's processor\n${formatObstacles(
        rows.flatMap(({ name, mode }, index) => {
          const reason = obstacles[index];
          return reason === undefined ? [] : [{ what: mode === 64 ? name : '32-bit code', reason }];
        }),
      )}`,
    );
    const onHost: BatchRunner = async (batch) => {
      const states = batch.map(({ state }) => state);
      return decodeResultFile(await runNative(encodeCaseFile(template, states))).outcomes;
    };
    // An interrupt of the host between two instructions loses the x87's pointers: what differs twice does differ.
    const first = new Set(await differing(onHost, compared));
    const second = first.size === 0 ? [] : await differing(onHost, compared);
    expect(second.filter((story) => first.has(story))).toEqual([]);
  });
});
