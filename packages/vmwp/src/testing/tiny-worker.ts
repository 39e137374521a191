/** The thread of a TinyProcessor: bundled by the tests and started in place of the software engine's. */
import { workerData } from 'node:worker_threads';
import type { ProcessorSetup } from '../processor-protocol.ts';
import { runProcessorWorker } from '../processor-worker-main.ts';
import { kickIndex, TinyProcessor } from './tiny-processor.ts';

const setup = workerData as ProcessorSetup;
runProcessorWorker(setup, (partition, index, handlers) => {
  const processor = new TinyProcessor(partition, index, handlers);
  return {
    processor,
    kickWord: { words: new Int32Array(partition.memory.buffer), index: kickIndex(partition.layout, index) },
    deliver: () => {},
    kick: () => processor.kick(),
  };
});
