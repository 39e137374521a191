/**
 * Starts the thread of a software processor, early if somebody can: Node takes as long to set a thread up and load its modules as the main
 * thread takes for all that comes before a machine, so that both do it at once.
 *
 *     startProcessorEarly() ─> modules, engine compiled ─> waits for its setup      (main thread: loads vmwp, reads files, makes the partition)
 *     createProcessorWorker(setup) ───────────────────────────^
 *
 * Imports nothing of the worker, so that it is loaded in a moment. Called by: cli (early), processor-host.ts.
 */
import { type TransferListItem, Worker } from 'node:worker_threads';
import type { ProcessorSetup } from './processor-protocol.ts';

/** Module of a software processor's thread: one that translates itself where each block is to be translated before it is executed. */
export const softwareProcessorModule =
  process.env.PLINTH_TRANSLATOR === 'force'
    ? new URL('./translating-worker.js', import.meta.url)
    : new URL('./software-worker.js', import.meta.url);

let early: Worker | undefined;

const create = (module: URL, name: string): Worker =>
  new Worker(module, {
    name,
    // Errors come as events, and the processor's thread prints nothing but traces.
    stdout: false,
    stderr: false,
    // Little lives long here, and V8 would let the young generation grow to 48 MiB. Measured with the translator's at 6: 12 MiB
    // less at the peak than with 12 each, no more CPU time.
    resourceLimits: { maxYoungGenerationSizeMb: 3 },
  });

/** Sets up a thread that the next machine takes, after `setCompilerFlags`. A process that ends without one does not wait for it. */
export function startProcessorEarly(): void {
  early ??= create(softwareProcessorModule, 'processor 0');
  early.unref();
}

/** A processor's thread with its setup: the early one, if it is of the same module. */
export function createProcessorWorker(module: URL, setup: ProcessorSetup, transfer: TransferListItem[]): Worker {
  const isEarly = early !== undefined && module.href === softwareProcessorModule.href && setup.index === 0;
  const worker = isEarly && early !== undefined ? early : create(module, `processor ${setup.index}`);
  if (isEarly) early = undefined;
  worker.ref();
  worker.postMessage(setup, transfer);
  return worker;
}
