/** The TinyProcessor as an engine of `runMachine`. Its thread's module is the built one, as Node itself runs no TypeScript. */
import type { EngineParts } from '../run-virtual-machine.ts';
import { kickIndex } from './tiny-processor.ts';

export const tinyEngine: EngineParts = {
  processorModule: new URL('../../dist/testing/tiny-worker.js', import.meta.url),
  cpuid: () => [],
  kick(partition, index) {
    const words = new Int32Array(partition.memory.buffer);
    Atomics.store(words, kickIndex(partition.layout, index), 1);
    Atomics.notify(words, kickIndex(partition.layout, index));
  },
};
