/**
 * Records the outcomes of each row's cases on this host's processor, for hosts that are not x86-64 (recorded.test.ts), over the built tree:
 *
 *     node tests/differential/record.mjs
 *
 * To be run when rows are added to the table or the harness generates other cases: recorded.test.ts then names the rows. What came out twice
 * the same is written, as an interrupt of the host can lose the x87's pointers.
 */
import { writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';
import { buildRunner, missingOracle, runNative } from './oracle.mjs';

const dist = new URL('../../packages/processor/dist/testing/', import.meta.url);
const { encodeRecording, inBatches, recordedRows, recordingTemplate } = await import(
  new URL('differential-recording.js', dist).href
);
const { compareOutcomes } = await import(new URL('differential-compare.js', dist).href);
const { decodeResultFile, encodeCaseFile } = await import(new URL('differential-layout.js', dist).href);
const { lackingOf } = await import(new URL('differential-host.js', dist).href);

async function unfitness() {
  const missing = await missingOracle();
  if (missing !== undefined) return missing;
  await buildRunner();
  // A recording is of everything.
  const lacking = [...(await lackingOf(runNative))];
  return lacking.length === 0 ? undefined : `the host is without ${lacking.join(', ')}`;
}

const unfit = await unfitness();
if (unfit !== undefined) {
  process.stderr.write(`${unfit}\n`);
  process.exit(69);
}
const template = recordingTemplate();
const rows = recordedRows();
const subjects = rows.flatMap((row) => row.subjects);

async function runAll() {
  const found = new Map();
  for (const batch of inBatches(subjects)) {
    const file = encodeCaseFile(
      template,
      batch.map(({ state }) => state),
    );
    const { outcomes } = decodeResultFile(await runNative(file));
    for (const [index, subject] of batch.entries()) found.set(subject, outcomes[index]);
  }
  return subjects.map((subject) => found.get(subject));
}

for (;;) {
  const [first, second] = [await runAll(), await runAll()];
  const unequal = subjects.filter((subject, index) => compareOutcomes(subject, first[index], second[index]).length > 0);
  if (unequal.length > 0) {
    process.stderr.write(`${unequal.length} cases came out twice in different ways; once more\n`);
    continue;
  }
  const file = encodeRecording(rows, first);
  const compressed = brotliCompressSync(file, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 },
  });
  writeFileSync(new URL('recorded-cases.br', import.meta.url), compressed);
  process.stdout.write(`${subjects.length} cases of ${rows.length} rows and modes, ${compressed.length} bytes\n`);
  break;
}
