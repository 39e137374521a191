/**
 * The differential harness: runs the cases of a seed on both processors and collects what differs.
 *
 * How the host's processor is reached is the caller's affair (`native`), so that this module needs no operating system.
 */
import type { DifferentialCase } from './differential-builder.ts';
import { compareOutcomes, type Difference } from './differential-compare.ts';
import { Coverage } from './differential-coverage.ts';
import { type GeneratorOptions, generateCase } from './differential-generator.ts';
import { LACKING_NOTHING, type Lacking, type NativeRunner } from './differential-host.ts';
import {
  BATCH_CASES,
  decodeResultFile,
  encodeCaseFile,
  HANG_VECTOR,
  type MachineState,
  type Outcome,
  RESULT,
} from './differential-layout.ts';
import { DifferentialMachine, type ProcessorFactory } from './differential-machine.ts';
import { makeTemplate } from './differential-random.ts';

export interface Finding {
  readonly subject: DifferentialCase;
  readonly differences: readonly Difference[];
  readonly expected: Outcome;
}

export interface DifferentialOptions {
  readonly seed: number;
  readonly first: number;
  readonly count: number;
  readonly blockEvery?: number;
  readonly only?: ReadonlySet<string>;
  /** What the host lacks; nothing if absent. */
  readonly lacking?: Lacking;
  readonly native: NativeRunner;
  /** Absent: the host's processor is compared with itself. */
  readonly processor?: ProcessorFactory;
  /** Stop collecting after so many findings. */
  readonly findingLimit?: number;
}

export interface DifferentialResult {
  readonly findings: readonly Finding[];
  readonly findingCount: number;
  readonly coverage: Coverage;
  /** Cases with which the host's processor did not come to an end: faults of the generator. */
  readonly endless: readonly number[];
  /** Instructions that the engine executed, the kernel's between the cases included. */
  readonly interpreted: number;
  readonly translated: number;
  /** Milliseconds. */
  readonly times: { generate: number; native: number; processor: number; compare: number };
}

export const generatorOptions = (
  options: Pick<DifferentialOptions, 'seed' | 'blockEvery' | 'only' | 'lacking'>,
): GeneratorOptions => ({
  seed: options.seed,
  template: makeTemplate(options.seed),
  ...(options.blockEvery === undefined ? {} : { blockEvery: options.blockEvery }),
  ...(options.only === undefined ? {} : { only: options.only }),
  ...(options.lacking === undefined ? {} : { lacking: options.lacking }),
});

/** Runs states on both sides. */
export class DifferentialPair {
  readonly #native: NativeRunner;
  readonly #template: Uint8Array;
  readonly machine: DifferentialMachine | undefined;
  readonly times = { generate: 0, native: 0, processor: 0, compare: 0 };

  constructor(
    native: NativeRunner,
    processor: ProcessorFactory | undefined,
    template: Uint8Array,
    lacking: Lacking = LACKING_NOTHING,
  ) {
    this.#native = native;
    this.#template = template;
    this.machine = processor === undefined ? undefined : new DifferentialMachine(processor, template, lacking);
  }

  async run(states: readonly MachineState[]): Promise<{ expected: readonly Outcome[]; found: readonly Outcome[] }> {
    const file = encodeCaseFile(this.#template, states);
    const began = performance.now();
    const native = this.#native(file).then((bytes) => {
      this.times.native += performance.now() - began;
      return decodeResultFile(bytes).outcomes;
    });
    if (this.machine === undefined)
      return { expected: await native, found: decodeResultFile(await this.#native(file)).outcomes };
    // The runner works in its own process meanwhile. A rejection is looked at below, by the await.
    native.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 0));
    const start = performance.now();
    const found = this.machine.runBatch(states);
    this.times.processor += performance.now() - start;
    return { expected: await native, found };
  }
}

/** Runs `count` cases from index `first` on. */
export async function runDifferential(options: DifferentialOptions): Promise<DifferentialResult> {
  const generator = generatorOptions(options);
  const pair = new DifferentialPair(options.native, options.processor, generator.template, options.lacking);
  const coverage = new Coverage();
  const findings: Finding[] = [];
  const endless: number[] = [];
  const limit = options.findingLimit ?? 200;
  let findingCount = 0;
  const end = options.first + options.count;
  for (let index = options.first; index < end; ) {
    const started = performance.now();
    const subjects: DifferentialCase[] = [];
    const batchEnd = Math.min(end, (Math.floor(index / BATCH_CASES) + 1) * BATCH_CASES);
    for (; index < batchEnd; index++) subjects.push(generateCase(generator, index));
    pair.times.generate += performance.now() - started;
    const { expected, found } = await pair.run(subjects.map((subject) => subject.state));
    const comparing = performance.now();
    const suspects: DifferentialCase[] = [];
    subjects.forEach((subject, position) => {
      const left = expected[position];
      const right = found[position];
      if (left === undefined || right === undefined) throw new RangeError(`case ${subject.index} has no outcome`);
      coverage.add(subject, left);
      if (left.view.getUint32(RESULT.vector, true) === HANG_VECTOR) endless.push(subject.index);
      if (compareOutcomes(subject, left, right).length > 0) suspects.push(subject);
    });
    // An interrupt on the host between two instructions loses the x87's pointers. What does not differ again was that.
    for (const subject of suspects) {
      if (findings.length >= limit) {
        findingCount++;
        continue;
      }
      const again = await pair.run([subject.state]);
      const [left] = again.expected;
      const [right] = again.found;
      if (left === undefined || right === undefined) throw new RangeError(`case ${subject.index} has no outcome`);
      const differences = compareOutcomes(subject, left, right);
      if (differences.length === 0) continue;
      findingCount++;
      findings.push({ subject, differences, expected: left });
    }
    pair.times.compare += performance.now() - comparing;
  }
  const { interpreted = 0, translated = 0 } = pair.machine ?? {};
  return { findings, findingCount, coverage, endless, interpreted, translated, times: pair.times };
}
