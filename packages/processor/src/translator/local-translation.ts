/**
 * A translator on the processor's own thread: the batch is there when `send` returns. For tests, and where each block is translated
 * before it is executed. Called by: software-processor.ts.
 */
import type { RegionCompiler } from './region-compiler.ts';
import type { TranslatedBatch, TranslationService, TranslatorMessage } from './translation-messages.ts';

export class LocalTranslation implements TranslationService {
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
