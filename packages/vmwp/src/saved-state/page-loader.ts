/**
 * The pages of a saved machine's memory, brought in from its file when they are touched first, a piece of the file at a time.
 *
 *     absent ──a thread asks──> loading ──read, checked, put in place──> present        (a state for each piece, shared by all threads)
 *        ^                         └─ cannot be read, or altered ─┐
 *        └────────────────────────────────────────────────────────┘ (whoever asks gets the error, and so does the next one)
 *
 * Each thread has a loader of its own over the same description, and the process's one descriptor of the file: the file may be renamed or
 * deleted meanwhile. Invariants: no byte of the file comes into guest memory before the checksum of its piece was found right; a piece is
 * put in place once, so that what the guest has written since stays.
 * Called by: restored-memory.ts (main thread), processor-worker-main.ts (a processor's), through GuestMemory and the engine.
 */
import { readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { PlinthError } from '@plinth/errors';
import { type GuestMemory, PAGE_BYTES, type PageSource } from '@plinth/hypervisor';
import { fileReason } from '../file-reason.ts';

const ABSENT = 0;
const LOADING = 1;
const PRESENT = 2;
/** How long another thread may take to read a piece, in milliseconds: a disk that has fallen asleep takes seconds. */
const PATIENCE_MILLISECONDS = 60_000;
const WAIT_MILLISECONDS = 100;

/** What a thread must know of the file; plain data over shared memory. */
export interface SavedPages {
  readonly path: string;
  readonly descriptor: number;
  /** Where the first page lies in the file. */
  readonly offset: number;
  readonly pieceBytes: number;
  /** For each run of pages: its first page; how many pages of the file come before it, and behind the last one how many there are. */
  readonly firsts: Uint32Array<SharedArrayBuffer>;
  readonly starts: Uint32Array<SharedArrayBuffer>;
  readonly checksums: Uint32Array<SharedArrayBuffer>;
  readonly states: Int32Array<SharedArrayBuffer>;
}

export class PageLoader implements PageSource {
  readonly #saved: SavedPages;
  readonly #memory: GuestMemory;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  readonly #perPiece: number;

  constructor(saved: SavedPages, memory: GuestMemory) {
    this.#saved = saved;
    this.#memory = memory;
    this.#buffer = new Uint8Array(saved.pieceBytes);
    this.#perPiece = saved.pieceBytes / PAGE_BYTES;
  }

  /** All pages of the file as absent ones of a memory that nobody has used. */
  mark(): void {
    const { firsts, starts } = this.#saved;
    for (let run = 0; run + 1 < starts.length; run++) {
      this.#memory.absent.mark(at(firsts, run), at(starts, run + 1) - at(starts, run));
    }
  }

  /** @throws PlinthError PL-2203, PL-2204, PL-3006: the file is not what it was, or cannot be read */
  load(page: number): void {
    const { firsts, starts } = this.#saved;
    const run = lastUpTo(firsts, page, firsts.length);
    const inRun = page - at(firsts, run);
    if (inRun < 0 || inRun >= at(starts, run + 1) - at(starts, run)) throw new RangeError(`page ${page} is in no run`);
    this.#loadPiece(Math.floor((at(starts, run) + inRun) / this.#perPiece));
  }

  get pieces(): number {
    return this.#saved.states.length;
  }

  /** Whether the file is needed no more. */
  get isComplete(): boolean {
    return this.#memory.absent.count === 0;
  }

  /**
   * Brings in a piece that has not been touched yet, for whoever wants all of them.
   * @returns its bytes; 0 when it is there already, or is being loaded
   * @throws as `load`
   */
  fill(piece: number): number {
    return Atomics.load(this.#saved.states, piece) === ABSENT ? this.#loadPiece(piece) : 0;
  }

  /** Brings in all that is absent. @throws as `load` */
  loadAll(): void {
    for (let piece = 0; piece < this.pieces; piece++) this.#loadPiece(piece);
  }

  #loadPiece(piece: number): number {
    const { states } = this.#saved;
    for (;;) {
      const before = Atomics.compareExchange(states, piece, ABSENT, LOADING);
      if (before === PRESENT) return 0;
      if (before === ABSENT) break;
      this.#await(piece);
    }
    let settled: number = ABSENT;
    try {
      const bytes = this.#read(piece);
      this.#place(piece, bytes);
      settled = PRESENT;
      return bytes.length;
    } finally {
      Atomics.store(states, piece, settled);
      Atomics.notify(states, piece);
    }
  }

  /** Until another thread has done with a piece. */
  #await(piece: number): void {
    const { states } = this.#saved;
    for (let waited = 0; waited < PATIENCE_MILLISECONDS; waited += WAIT_MILLISECONDS) {
      if (Atomics.wait(states, piece, LOADING, WAIT_MILLISECONDS) !== 'timed-out') return;
    }
    throw new PlinthError('PL-4106', { state: 'pages of the saved machine', seconds: PATIENCE_MILLISECONDS / 1000 });
  }

  #read(piece: number): Uint8Array<ArrayBuffer> {
    const { path, descriptor, offset, pieceBytes, starts, checksums } = this.#saved;
    const left = at(starts, starts.length - 1) * PAGE_BYTES - piece * pieceBytes;
    const bytes = this.#buffer.subarray(0, Math.min(pieceBytes, left));
    readFully(path, descriptor, bytes, offset + piece * pieceBytes);
    if (crc32(bytes) !== at(checksums, piece)) {
      const first = piece * this.#perPiece;
      throw new PlinthError('PL-2204', { path, part: `page ${first} and those behind it of its memory` });
    }
    return bytes;
  }

  #place(piece: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { firsts, starts } = this.#saved;
    let position = piece * this.#perPiece;
    for (let run = lastUpTo(starts, position, starts.length - 1), done = 0; done < bytes.length; run++) {
      const pages = Math.min(at(starts, run + 1) - position, (bytes.length - done) / PAGE_BYTES);
      const content = bytes.subarray(done, done + pages * PAGE_BYTES);
      this.#memory.absent.settle(at(firsts, run) + (position - at(starts, run)), content);
      position += pages;
      done += content.length;
    }
  }
}

/** The tables' indices are the loader's own. */
const at = (table: Uint32Array, index: number): number => table[index] as number;

/** Index below `end` of the last entry that is not greater than `value`; 0 when all are. */
function lastUpTo(table: Uint32Array, value: number, end: number): number {
  let [low, high] = [0, end];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(table, middle) <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** @throws PlinthError PL-3006 when the file cannot be read, PL-2203 when it ends before */
export function readFully(path: string, descriptor: number, target: Uint8Array, position: number): void {
  for (let done = 0; done < target.length; ) {
    let count: number;
    try {
      count = readSync(descriptor, target, done, target.length - done, position + done);
    } catch (error) {
      throw unreadable(path, error);
    }
    if (count === 0) {
      throw new PlinthError('PL-2203', { path, bytes: position + done, expected: position + target.length });
    }
    done += count;
  }
}

export function unreadable(path: string, error: unknown): PlinthError {
  return new PlinthError('PL-3006', { path, option: '--restore', reason: fileReason(error) }, { cause: error });
}
