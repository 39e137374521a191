/**
 * A software processor's thread: the engine's WebAssembly, compiled here, over the partition's memory.
 * Called by: the modules of such threads, software-worker.ts and translating-worker.ts.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
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
import { instantiateRegions } from './compiler-settings.ts';
import type { ProcessorSetup } from './processor-protocol.ts';
import { runProcessorWorker } from './processor-worker-main.ts';
import { translateAfter } from './translator-setting.ts';

const { resolve } = createRequire(import.meta.url);
const built = (name: string): Buffer => readFileSync(resolve(`@plinth/processor/${name}`));
const module = new WebAssembly.Module(built('engine.wasm') as BufferSource);

/** The translator's thread. This one has no event loop turns: batches are taken from the port when the engine asks. */
function translatorAt(messages: MessagePort): TranslationFactory {
  return () => ({
    send: (message) => messages.postMessage(message),
    receive: () => receiveMessageOnPort(messages)?.message as TranslatedBatch | undefined,
    instantiate: instantiateRegions,
  });
}

/**
 * Waits for the processor's setup and runs it to its end. The setup comes from ProcessorHost, which is of the same build; this thread may have
 * been started before there was one.
 * @param here translates on this thread, where no other does
 */
export function serveSoftwareProcessor(here?: TranslationFactory): void {
  parentPort?.once('message', (setup: ProcessorSetup) => runProcessor(setup, here));
}

function runProcessor(setup: ProcessorSetup, here: TranslationFactory | undefined): void {
  const threshold = translateAfter();
  const translation = setup.translation === undefined ? here : translatorAt(setup.translation);

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
}
