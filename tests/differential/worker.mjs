/**
 * One of the threads that the differential harness runs on: runs ranges of cases as it is asked, and answers with what was counted and with
 * the cases that differ, told as text.
 *
 * Works over the built tree. Called by: pool.mjs.
 */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { disassemble, runNative } from './oracle.mjs';

const dist = new URL('../../packages/processor/dist/', import.meta.url);
const { createSoftwareProcessor, TRANSLATE_AT_ONCE } = await import(new URL('index.js', dist).href);
const { translateLocally } = await import(new URL('translator/local-translation.js', dist).href);
const { DifferentialPair, generatorOptions, runDifferential } = await import(
  new URL('testing/differential-run.js', dist).href
);
const { describeCase, minimise } = await import(new URL('testing/differential-minimise.js', dist).href);

/** @type {import('./pool.mjs').Subjects} */
const { seed, translate, only, blockEvery, lacking } = workerData;
const module = new WebAssembly.Module(readFileSync(new URL('engine.wasm', dist)));
const processor = ({ memory, layout, handlers }) =>
  createSoftwareProcessor(module, {
    memory,
    layout,
    index: 0,
    handlers,
    translation: translateLocally,
    translateAfter: translate ? TRANSLATE_AT_ONCE : 0,
  });
const { template } = generatorOptions({ seed, only, blockEvery });

async function tell(subject) {
  const smallest = await minimise(new DifferentialPair(runNative, processor, template, lacking), subject);
  const { state, addresses, items } = smallest.subject;
  const bytes = Uint8Array.from(items.flatMap((item) => item.bytes));
  const text = await disassemble(bytes, addresses[0] ?? 0n, state.mode);
  const way = translate ? ' --translate' : '';
  return `${describeCase(smallest)}\n${text ?? '(no objdump)'}\n  node tests/differential/run.mjs --seed ${seed} --case ${subject.index}${way}`;
}

parentPort.on('message', async ({ first, count, told }) => {
  try {
    const result = await runDifferential({
      seed,
      first,
      count,
      only,
      blockEvery,
      lacking,
      native: runNative,
      processor,
    });
    const stories = [];
    for (const { subject } of result.findings.slice(0, told)) stories.push(await tell(subject));
    const { findingCount, endless, interpreted, translated, times } = result;
    const counts = result.coverage.counts();
    parentPort.postMessage({ counts, findingCount, endless, interpreted, translated, times, stories });
  } catch (error) {
    parentPort.postMessage({ error });
  }
});
