/**
 * Pages of RAM whose content lies elsewhere until somebody touches them: those of a saved machine, in its file.
 *
 *     present <── settle ── loading (whoever touched it first) <── load ── absent <── mark
 *
 * A page's state is a bit of its page record (PAGE_FLAG.absent); how many there are stands in the partition header, so that a partition
 * without any costs whoever looks one word. An absent page is in no TLB and holds no decoded code: every way to its bytes (findSlot of the
 * software engine's core, GuestMemory) asks here first, and its source puts the bytes there on the thread that asks.
 *
 * Invariants: a page that is present never becomes absent again once a processor may run; an absent page counts as used. The bytes of a
 * page are all in place before the bit goes. Called by: guest-memory.ts, and the one who has the pages (vmwp's saved-state).
 */
import { PAGE_BYTES } from './gpa-space.ts';
import {
  type MemoryLayout,
  PAGE_FLAG,
  PAGE_RECORD,
  PAGE_RECORD_BYTES,
  SHARED,
  SHARED_OFFSET,
} from './memory-layout.ts';

/** Where absent pages come from; each thread that may touch one has its own. */
export interface PageSource {
  /**
   * Puts the page's bytes in place and settles it, with as many others as is convenient. Threads may ask for the same page at once.
   * @throws whatever keeps it from that; the page is absent as before
   */
  load(page: number): void;
}

const RECORD_WORDS = PAGE_RECORD_BYTES >> 2;
const RECORD_FLAGS = PAGE_RECORD.flags >> 2;
const COUNT = SHARED.absentPages >> 2;

export class AbsentPages {
  readonly #buffer: ArrayBufferLike;
  readonly #ramOffset: number;
  readonly #pages: number;
  readonly #records: Uint32Array;
  readonly #header: Uint32Array;
  /** What brings pages in on this thread. */
  source: PageSource | undefined;

  constructor(buffer: ArrayBufferLike, layout: MemoryLayout) {
    this.#buffer = buffer;
    this.#ramOffset = layout.ramOffset;
    this.#pages = layout.ramBytes / PAGE_BYTES;
    this.#records = new Uint32Array(buffer, layout.pagesOffset, this.#pages * RECORD_WORDS);
    this.#header = new Uint32Array(buffer, SHARED_OFFSET, SHARED.slots >> 2);
  }

  /** How many pages are absent. */
  get count(): number {
    return Atomics.load(this.#header, COUNT);
  }

  isAbsent(page: number): boolean {
    return (Atomics.load(this.#records, page * RECORD_WORDS + RECORD_FLAGS) & PAGE_FLAG.absent) !== 0;
  }

  /**
   * Makes pages absent that nobody has used; before a processor runs.
   * @throws RangeError for pages that are not there, or are in use
   */
  mark(first: number, pages: number): void {
    this.#check(first, pages);
    for (let page = first; page < first + pages; page++) {
      const at = page * RECORD_WORDS + RECORD_FLAGS;
      const before = Atomics.or(this.#records, at, PAGE_FLAG.absent | PAGE_FLAG.dirty | PAGE_FLAG.touched);
      if (before !== 0) throw new RangeError(`page ${page} is in use`);
    }
    Atomics.add(this.#header, COUNT, pages);
  }

  /**
   * Puts the content of absent pages in place; they are present then. For a source, which sees to it that nobody else does the same.
   * @throws RangeError for pages that are not there
   */
  settle(first: number, content: Uint8Array): void {
    const pages = content.length / PAGE_BYTES;
    this.#check(first, pages);
    new Uint8Array(this.#buffer, this.#ramOffset + first * PAGE_BYTES, content.length).set(content);
    for (let page = first; page < first + pages; page++) {
      Atomics.and(this.#records, page * RECORD_WORDS + RECORD_FLAGS, ~PAGE_FLAG.absent);
    }
    Atomics.sub(this.#header, COUNT, pages);
  }

  /**
   * Brings in those of a range of pages that are absent; pages behind RAM are nobody's matter here.
   * @throws whatever their source throws; RangeError when this thread has none
   */
  bringIn(first: number, end: number): void {
    for (let page = first; page < Math.min(end, this.#pages); page++) {
      if (!this.isAbsent(page)) continue;
      if (this.source === undefined)
        throw new RangeError(`page ${page} is absent, and this thread has no source of it`);
      this.source.load(page);
    }
  }

  #check(first: number, pages: number): void {
    const isSound = Number.isInteger(first) && Number.isInteger(pages) && first >= 0 && pages >= 0;
    if (!isSound || first + pages > this.#pages) throw new RangeError(`pages ${first}+${pages} of ${this.#pages}`);
  }
}
