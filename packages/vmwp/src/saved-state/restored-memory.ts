/**
 * The memory of a machine that was restored, on the main thread: brings in what this thread touches, and by and by all the rest, so that
 * the machine needs its file no longer and an altered one is found out early.
 *
 * Invariant: whoever opens guest memory here never gets an exception of the file's: the failure is told, which ends the run, and until
 * then the bytes are zeros, as nobody trusts a guest's bytes. What is saved is never such bytes: `loadAll` throws.
 * Called by: run-virtual-machine.ts, machine-saver.ts.
 */
import type { GuestMemory } from '@plinth/hypervisor';
import { PageLoader, type SavedPages } from './page-loader.ts';
import type { SavedFile } from './saved-file.ts';

/** Bytes that are brought in before this thread looks at what else there is to do: some hundreds of microseconds. */
const STEP_BYTES = 512 * 1024;

export class RestoredMemory {
  /** For the other threads that touch guest memory. */
  readonly pages: SavedPages;
  readonly #file: SavedFile;
  readonly #loader: PageLoader;
  readonly #failed: (error: unknown) => void;
  #next = 0;
  #isClosed = false;

  /** @param memory that nobody has used yet: all that the file has becomes absent pages */
  constructor(file: SavedFile, memory: GuestMemory, failed: (error: unknown) => void) {
    this.#file = file;
    this.#failed = failed;
    this.pages = file.pages();
    this.#loader = new PageLoader(this.pages, memory);
    this.#loader.mark();
    memory.absent.source = { load: (page) => this.#attempt(() => this.#loader.load(page)) };
  }

  /** Begins to bring in the rest, beside everything else. */
  fill(): void {
    setImmediate(() => this.#step());
  }

  /** Brings in all of it now. @throws PlinthError PL-2203, PL-2204, PL-3006 */
  loadAll(): void {
    this.#loader.loadAll();
  }

  /** Nothing more is brought in by itself. */
  close(): void {
    this.#isClosed = true;
  }

  #step(): void {
    if (this.#isClosed) return;
    const { pieces } = this.#loader;
    const isFine = this.#attempt(() => {
      for (let bytes = 0; bytes < STEP_BYTES && this.#next < pieces; this.#next++) {
        bytes += this.#loader.fill(this.#next);
      }
    });
    if (!isFine) return;
    if (this.#next < pieces) this.fill();
    // Of the last pieces one may still be under way on another thread.
    else if (this.#loader.isComplete) this.#file.close();
    else setTimeout(() => this.#step(), 1).unref();
  }

  #attempt(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }
}
