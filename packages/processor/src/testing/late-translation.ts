/**
 * A translator that takes its time, as one on another thread does: what is sent is translated later, and what is translated is handed over
 * later still. Meanwhile the guest goes on, and changes code and page tables. When that is follows from a seed.
 *
 * Called by: program-machine.ts.
 */
import { operationNames } from '../build/operation-names.ts';
import { STATE } from '../state-layout.ts';
import { RegionCompiler } from '../translator/region-compiler.ts';
import type {
  TranslatedBatch,
  TranslationFactory,
  TranslationService,
  TranslatorMessage,
} from '../translator/translation-messages.ts';
import type { Random } from './differential-random.ts';

class LateTranslation implements TranslationService {
  readonly #compiler: RegionCompiler;
  readonly #ready: Int32Array;
  readonly #random: Random;
  readonly #waiting: TranslatorMessage[] = [];
  readonly #done: TranslatedBatch[] = [];

  constructor(compiler: RegionCompiler, ready: Int32Array, random: Random) {
    this.#compiler = compiler;
    this.#ready = ready;
    this.#random = random;
  }

  send(message: TranslatorMessage): void {
    this.#waiting.push(message);
    Atomics.store(this.#ready, 0, 1);
  }

  receive(): TranslatedBatch | undefined {
    if (this.#random.chance(0.5)) {
      const message = this.#waiting.shift();
      const batch = message === undefined ? undefined : this.#compiler.handle(message);
      if (batch !== undefined) this.#done.push(batch);
    }
    const batch = this.#random.chance(0.5) ? this.#done.shift() : undefined;
    if (this.#waiting.length > 0 || this.#done.length > 0) Atomics.store(this.#ready, 0, 1);
    return batch;
  }
}

export const translateLate =
  (random: Random): TranslationFactory =>
  ({ memory, base, decoder, always }) =>
    new LateTranslation(
      new RegionCompiler(memory, base, decoder, base, operationNames(), always),
      new Int32Array(memory.buffer, base + STATE.TRANSLATION_READY, 1),
      random,
    );
