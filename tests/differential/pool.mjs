/**
 * The differential harness on several threads: the cases of a seed, a batch at a time to whichever thread is free. A case follows from its
 * seed and number alone, so the result does not depend on how many threads there are.
 *
 * Called by: instructions.test.ts and run.mjs.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

const dist = new URL('../../packages/processor/dist/testing/', import.meta.url);
const { Coverage } = await import(new URL('differential-coverage.js', dist).href);
const { BATCH_CASES } = await import(new URL('differential-layout.js', dist).href);

/**
 * @typedef {object} Subjects
 * @property {number} seed
 * @property {boolean} [translate] translated before it is executed, or only interpreted
 * @property {ReadonlySet<string>} [only] rows of these names
 * @property {number} [blockEvery] one case in so many is a block
 * @property {ReadonlySet<string>} [lacking] what the host lacks
 */
/**
 * @typedef {object} PoolResult
 * @property {import('../../packages/processor/src/testing/differential-coverage.ts').Coverage} coverage
 * @property {number} findingCount
 * @property {string[]} stories what differs, minimised, of the first findings
 * @property {number[]} endless
 * @property {number} interpreted
 * @property {number} translated
 * @property {Record<string, number>} times milliseconds of all threads together
 */

const THREADS = Math.min(availableParallelism(), Number(process.env.PLINTH_DIFFERENTIAL_THREADS ?? 4));

/** Findings that are told of. */
const TOLD = 8;

/**
 * @param {Subjects & { first?: number, count: number, threads?: number }} options
 * @returns {Promise<PoolResult>}
 */
export async function runInPool({ first = 0, count, threads = THREADS, ...subjects }) {
  const result = {
    coverage: new Coverage(),
    findingCount: 0,
    stories: [],
    endless: [],
    interpreted: 0,
    translated: 0,
    times: {},
  };
  const end = first + count;
  let next = first;
  const take = (answer) => {
    result.coverage.merge(answer.counts);
    result.findingCount += answer.findingCount;
    result.stories.push(...answer.stories);
    result.endless.push(...answer.endless);
    result.interpreted += answer.interpreted;
    result.translated += answer.translated;
    for (const [name, time] of Object.entries(answer.times)) result.times[name] = (result.times[name] ?? 0) + time;
  };
  const work = async () => {
    const worker = new Worker(new URL('worker.mjs', import.meta.url), { workerData: subjects });
    try {
      while (next < end) {
        const from = next;
        next = Math.min(end, (Math.floor(from / BATCH_CASES) + 1) * BATCH_CASES);
        const answer = await new Promise((resolve, reject) => {
          const ended = (status) => reject(new Error(`a thread of the harness ended with status ${status}`));
          worker.once('error', reject).once('exit', ended);
          worker.once('message', (answer) => {
            worker.off('error', reject).off('exit', ended);
            resolve(answer);
          });
          worker.postMessage({ first: from, count: next - from, told: Math.max(0, TOLD - result.stories.length) });
        });
        if (answer.error !== undefined) throw answer.error;
        take(answer);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, threads) }, work));
  return result;
}
