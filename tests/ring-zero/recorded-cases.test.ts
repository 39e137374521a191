/**
 * System instructions in every mode and at every level, against what QEMU's TCG made of them when they were recorded (record-cases.mjs), on any
 * host and without QEMU: the recorded kernel runs on Plinth and writes its outcomes. Where QEMU is not what the manuals say, `caseDifferences`
 * decides.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endAll, plinth } from '../support/plinth.ts';
import { type CaseOutcome, parseOutcomes, sameOutcome } from './case-outcomes.ts';
import { decodeRecording, recordingFile, sourcesDigest } from './case-recording.mjs';
import { byTheManuals, caseDifferences } from './cases-differ.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-cases-'));
const kernel = join(folder, 'kernel.elf');
afterAll(() => {
  endAll();
  rmSync(folder, { recursive: true, force: true });
});

describe('recorded cases of system instructions', () => {
  let recorded: Map<string, CaseOutcome>;

  beforeAll(() => {
    const recording = decodeRecording(readFileSync(recordingFile));
    // To be recorded anew: node tests/ring-zero/record-cases.mjs
    expect(recording.sources).toBe(sourcesDigest());
    expect(recording.emulator).toMatch(/^QEMU emulator version 7\.2/);
    recorded = parseOutcomes(recording.output);
    expect(recording.output).toMatch(new RegExp(`\\nend ${recorded.size.toString(16)}\\n$`));
    writeFileSync(kernel, recording.kernel);
  });

  it('have each difference from QEMU by the manuals somewhere', () => {
    const met = new Set([...recorded.values()].flatMap((subject) => byTheManuals(subject).differences));
    expect(caseDifferences.map(({ name }) => name).filter((name) => !met.has(name))).toEqual([]);
  });

  for (const translator of ['on', 'force'] as const) {
    it(`come out the same on Plinth (translator ${translator})`, async () => {
      const words = ['run', '--kernel', kernel, '--memory', '64M', '--debug-exit', '0xf4'];
      const { stdout, stderr, status } = await plinth(words, { environment: { PLINTH_TRANSLATOR: translator } });
      // A debug exit with 0.
      expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
      const found = parseOutcomes(stdout);
      const wrong: string[] = [];
      for (const [name, subject] of recorded) {
        const expected = byTheManuals(subject).outcome;
        const outcome = found.get(name)?.outcome;
        if (outcome === undefined || !sameOutcome(expected, outcome)) {
          wrong.push(`${name}: ${outcome?.join() ?? 'not there'}, not ${expected.join()}`);
        }
      }
      expect({ cases: found.size, wrong: wrong.length, first: wrong.slice(0, 20) }).toEqual({
        cases: recorded.size,
        wrong: 0,
        first: [],
      });
    });
  }
});
