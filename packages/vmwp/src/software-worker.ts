/** The module of a software processor's thread: the engine's WebAssembly, compiled here, over the partition's memory. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import {
  createSoftwareProcessor,
  kickProcessor,
  kickWord,
  requestInterrupt,
  STATE,
  type TranslatedBatch,
  type TranslationFactory,
} from '@plinth/processor';
import type { OperationNames } from '@plinth/processor/translator';
import type { ProcessorSetup } from './processor-protocol.ts';
import { runProcessorWorker } from './processor-worker-main.ts';
import { translateAfter } from './translator-setting.ts';

const built = (name: string): Buffer => readFileSync(fileURLToPath(import.meta.resolve(`@plinth/processor/${name}`)));
const module = new WebAssembly.Module(built('engine.wasm') as BufferSource);

// The setup comes from ProcessorHost, which is of the same build; this thread may have been started before there was one.
const setup = await new Promise<ProcessorSetup>((resolve) => parentPort?.once('message', resolve));

/** The translator's thread. This one has no event loop turns: batches are taken from the port when the engine asks. */
function translatorAt(messages: MessagePort): TranslationFactory {
  return () => ({
    send: (message) => messages.postMessage(message),
    receive: () => receiveMessageOnPort(messages)?.message as TranslatedBatch | undefined,
  });
}
const threshold = translateAfter();
let translation: TranslationFactory | undefined;
if (setup.translation !== undefined) translation = translatorAt(setup.translation);
else if (threshold !== 0) translation = (await import('@plinth/processor/local-translation')).translateLocally;

runProcessorWorker(setup, ({ memory, layout, guestMemory }, index, handlers, trace) => {
  const processor = createSoftwareProcessor(module, {
    memory,
    layout,
    index,
    handlers,
    loadPage: (page) => guestMemory.absent.bringIn(page, page + 1),
    ...(threshold === undefined ? {} : { translateAfter: threshold }),
    ...(translation === undefined ? {} : { translation }),
    ...(trace === undefined ? {} : { trace }),
  });
  const exceptions = new Uint32Array(
    memory.buffer,
    layout.processorsOffset + index * layout.processorStride + STATE.EXCEPTION_COUNT,
    1,
  );
  return {
    processor,
    kickWord: { words: kickWord(memory, layout, index), index: 0 },
    deliver: (message) => requestInterrupt(memory, layout, message),
    kick: (other) => kickProcessor(memory, layout, other),
    lastExceptions: () => processor.recentExceptions(),
    lastBranches: () => processor.recentBranches(),
    exceptionCount: () => exceptions[0] ?? 0,
    translationSummary: () =>
      processor.describeLeaves(JSON.parse(built('operations.json').toString()) as OperationNames),
  };
});
