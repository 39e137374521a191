/**
 * The translator's thread: takes hot blocks of one processor and posts batches of translated regions, so that neither translating nor
 * V8's first compiling stops the processor. Called by: processor-host.ts starts it as a worker.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { workerData } from 'node:worker_threads';
import { translationReadyWord } from '@plinth/processor/host';
import { createRegionCompiler, type OperationNames, type TranslatorMessage } from '@plinth/processor/translator';
import type { TranslationSetup } from './processor-protocol.ts';

// The setup comes from ProcessorHost, which is of the same build.
const { memory, layout, index, messages } = workerData as TranslationSetup;
const { resolve } = createRequire(import.meta.url);
const built = (name: string): Buffer => readFileSync(resolve(`@plinth/processor/${name}`));
const module = new WebAssembly.Module(built('engine.wasm') as BufferSource);
const names = JSON.parse(built('operations.json').toString()) as OperationNames;
const compiler = createRegionCompiler(module, names, memory, layout, index);
const ready = translationReadyWord(memory, layout, index);

messages.on('message', (message: TranslatorMessage) => {
  const batch = compiler.handle(message);
  if (batch === undefined) return;
  messages.postMessage(batch);
  Atomics.store(ready, 0, 1);
});
