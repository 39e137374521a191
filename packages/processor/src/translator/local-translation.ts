/**
 * A translator on the processor's own thread: the batch is there when `send` returns. For tests, and where each block is translated
 * before it is executed. Called by: software-processor.ts.
 */
import { operationNames } from '../build/operation-names.ts';
import { RegionCompiler } from './region-compiler.ts';
import type {
  TranslatedBatch,
  TranslationFactory,
  TranslationService,
  TranslatorMessage,
} from './translation-messages.ts';

class LocalTranslation implements TranslationService {
  readonly atOnce = true;
  readonly #compiler: RegionCompiler;
  readonly #done: TranslatedBatch[] = [];

  constructor(compiler: RegionCompiler) {
    this.#compiler = compiler;
  }
  send(message: TranslatorMessage): void {
    const batch = this.#compiler.handle(message);
    if (batch !== undefined) this.#done.push(batch);
  }
  receive(): TranslatedBatch | undefined {
    return this.#done.shift();
  }
  interpreted(block: number): void {
    this.#compiler.checkInterpreted(block);
  }
}

export const translateLocally: TranslationFactory = ({ memory, base, decoder, always }) =>
  new LocalTranslation(new RegionCompiler(memory, base, decoder, base, operationNames(), always));
