/**
 * What `--stats FILE` writes: the contract's shape, and the counters behind it.
 *
 * The processors' threads count in one small shared block (doubles), so that the numbers survive a thread that has to be
 * terminated; the main thread reads them when the run ends. Called by: run-virtual-machine.ts, processor-thread.ts.
 */
import type { VmbusStatus } from '@plinth/vmbus';

/** Counters in the shared block, in its order. */
export const COUNTERS = [
  'interpreted',
  'translated',
  'firstInstruction',
  'kernelEntry',
  'portReads',
  'portWrites',
  'mmioReads',
  'mmioWrites',
  'msrReads',
  'msrWrites',
  'hypercalls',
  'deadlines',
  'halts',
  'kicks',
  'budgets',
  'acknowledgements',
  'endsOfInterrupt',
  'regions',
  'modules',
  'translatorBytes',
  'evicted',
  'longestPause',
] as const;
export type CounterName = (typeof COUNTERS)[number];

/** Exits as the statistics name them, and the counter that holds each. */
const EXIT_COUNTERS: Readonly<Record<string, CounterName>> = {
  'port-read': 'portReads',
  'port-write': 'portWrites',
  'mmio-read': 'mmioReads',
  'mmio-write': 'mmioWrites',
  'msr-read': 'msrReads',
  'msr-write': 'msrWrites',
  hypercall: 'hypercalls',
  deadline: 'deadlines',
  halt: 'halts',
  kick: 'kicks',
  budget: 'budgets',
  'interrupt-acknowledge': 'acknowledgements',
  'end-of-interrupt': 'endsOfInterrupt',
};

/** The shared block: one double per counter. Only one thread writes each counter. */
export class Counters {
  readonly buffer: SharedArrayBuffer;
  readonly values: Float64Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(COUNTERS.length * 8)) {
    this.buffer = buffer;
    this.values = new Float64Array(buffer);
  }

  get(name: CounterName): number {
    return this.values[COUNTERS.indexOf(name)] ?? 0;
  }

  set(name: CounterName, value: number): void {
    this.values[COUNTERS.indexOf(name)] = value;
  }

  /** `{reason: count}` of the exits that happened at all. */
  exits(): Record<string, number> {
    const result: Record<string, number> = {};
    for (const [reason, counter] of Object.entries(EXIT_COUNTERS)) {
      const count = this.get(counter);
      if (count > 0) result[reason] = count;
    }
    return result;
  }
}

/** Index of a counter in `Counters.values`, for the handlers that count millions. */
export const counterIndex = (name: CounterName): number => COUNTERS.indexOf(name);

export interface MarkRecord {
  readonly text: string;
  /** Seconds since the process started; null when the text never appeared. */
  readonly wallSeconds: number | null;
  /** CPU seconds of all threads, user and system, since the process started. */
  readonly hostCpuSeconds: number | null;
}

/** The contract's `--stats` object. Times are seconds since the process started. */
export interface RunStatistics {
  readonly engine: 'software';
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly hostCpuSeconds: number;
  readonly wallSeconds: number;
  readonly peakRssBytes: number;
  /** Bytes of guest pages that the guest read, wrote or executed at all. */
  readonly guestTouchedBytes: number;
  readonly milestones: {
    readonly firstInstruction: number | null;
    readonly kernelEntry: number | null;
    readonly agentReady: number | null;
  };
  readonly marks: readonly MarkRecord[];
  readonly instructions: { readonly interpreted: number; readonly translated: number };
  readonly translator: {
    readonly regions: number;
    readonly modules: number;
    readonly bytes: number;
    readonly evicted: number;
    /** The longest time that the processor's thread stood still for translation: what it takes over, sends off and gives up at a time. */
    readonly longestPauseSeconds: number;
  };
  readonly exits: Readonly<Record<string, number>>;
  /** Version of the protocol while a guest is connected, and every channel that is offered. */
  readonly vmbus: VmbusStatus;
  readonly exit: { readonly reason: string; readonly code: number };
}
