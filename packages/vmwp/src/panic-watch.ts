/**
 * Sees a guest that has panicked before it could say so by an error record: Linux registers its store for these late in its
 * boot, and a panic before that only shows on the console.
 *
 * Linux's panic() ends with the line `---[ end Kernel panic - not syncing: REASON ]---` and spins for ever (kernel/panic.c). A text
 * alone proves nothing, as any program can print it. So the machine counts as dead when that line is the last thing on the console for
 * five seconds in which its processor has never halted: a shell would prompt, and a kernel that lives halts when it is idle.
 *
 * Called by: run-virtual-machine.ts, with every byte of the first serial port.
 */
import { printable } from './crash-report.ts';

const QUIET_MILLISECONDS = 5000;
/** Longer than any reason that is worth reading. */
const TAIL_BYTES = 1024;
const LAST_LINE = /---\[ end Kernel panic - not syncing: (.*) \]---\s*$/;

export class PanicWatch {
  readonly #halts: () => number;
  readonly #found: (reason: string) => void;
  #tail: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param halts how often the processor has halted
   * @param found told once, with the panic's line
   */
  constructor(halts: () => number, found: (reason: string) => void) {
    this.#halts = halts;
    this.#found = found;
  }

  observe(chunk: Uint8Array): void {
    clearTimeout(this.#timer);
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES);
    // Whatever ends otherwise, which is nearly everything, costs no search.
    if (!/\]---\s*$/.test(this.#tail.toString('latin1', Math.max(0, this.#tail.length - 8)))) return;
    const reason = LAST_LINE.exec(this.#tail.toString())?.[1];
    if (reason === undefined) return;
    const before = this.#halts();
    this.#timer = setTimeout(() => {
      if (this.#halts() === before) this.#found(printable(`Kernel panic - not syncing: ${reason}`).slice(0, 200));
    }, QUIET_MILLISECONDS);
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
