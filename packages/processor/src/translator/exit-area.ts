/**
 * Places for the operations by which regions leave: 16 bytes each, in runs that belong to one module and are freed with it.
 *
 * Invariant: runs never overlap; neighbouring free runs are one. Called by: region-compiler.ts.
 */
const BYTES = 16;

interface Run {
  start: number;
  end: number;
}

export class ExitArea {
  readonly #start: number;
  readonly #end: number;
  /** Free runs by address. */
  #free: Run[];
  readonly #used = new Map<number, Run[]>();
  #open: Run[] | undefined;
  #current: Run | undefined;

  constructor(start: number, end: number) {
    this.#start = start;
    this.#end = end;
    this.#free = [{ start, end }];
  }

  /** Everything is free. */
  clear(): void {
    this.#free = [{ start: this.#start, end: this.#end }];
    this.#used.clear();
    this.#open = undefined;
    this.#current = undefined;
  }

  /** What is taken from now on belongs to the module. */
  open(module: number): void {
    this.#open = [];
    this.#used.set(module, this.#open);
    this.#current = undefined;
  }

  /** @returns address of a place, or 0 when all are taken */
  take(): number {
    if (this.#open === undefined) throw new RangeError('exit area: no module is open');
    const free = this.#free[0];
    if (free === undefined) return 0;
    const at = free.start;
    free.start += BYTES;
    if (free.start >= free.end) this.#free.shift();
    if (this.#current?.end === at) this.#current.end += BYTES;
    else {
      this.#current = { start: at, end: at + BYTES };
      this.#open.push(this.#current);
    }
    return at;
  }

  /** @returns address of so many places in a row, or 0 when there are none */
  takeRun(count: number): number {
    const bytes = count * BYTES;
    const index = this.#free.findIndex(({ start, end }) => end - start >= bytes);
    const free = this.#free[index];
    if (this.#open === undefined) throw new RangeError('exit area: no module is open');
    if (free === undefined) return 0;
    const at = free.start;
    free.start += bytes;
    if (free.start >= free.end) this.#free.splice(index, 1);
    this.#current = { start: at, end: at + bytes };
    this.#open.push(this.#current);
    return at;
  }

  close(): void {
    this.#open = undefined;
    this.#current = undefined;
  }

  /** Gives back what the module has; nothing when it is not known (any more). */
  free(module: number): void {
    const runs = this.#used.get(module);
    if (runs === undefined) return;
    this.#used.delete(module);
    const all = [...this.#free, ...runs].sort((a, b) => a.start - b.start);
    const merged: Run[] = [];
    for (const run of all) {
      const last = merged.at(-1);
      if (last !== undefined && last.end === run.start) last.end = run.end;
      else merged.push({ start: run.start, end: run.end });
    }
    this.#free = merged;
  }

  /** Places that are free. */
  get available(): number {
    return this.#free.reduce((sum, { start, end }) => sum + (end - start) / BYTES, 0);
  }
}
