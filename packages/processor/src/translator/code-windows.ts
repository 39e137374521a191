/**
 * The windows of code around a hot block as the translator sees them: what assembly/code-windows.ts found, read by offset.
 *
 * An offset is a distance in linear addresses from the start of the hot block's page; its place is where its byte lies when the windows lie
 * one behind the other, as their copies do.
 * Invariant: no two windows hold the same linear page, so an offset has one place at most.
 * The processor's thread only copies the description: one array for a hot block, which is what its message is made of.
 * Called by: translator.ts (which copies the description), region-compiler.ts and region.ts.
 */
import { CODE_WINDOW, STATE } from '../state-layout.ts';

/** Bytes of all windows. */
export const WINDOWS_BYTES = CODE_WINDOW.MOST * CODE_WINDOW.BYTES;
const PAGE = 4096;
const WINDOW_SHIFT = Math.log2(CODE_WINDOW.BYTES);
const WITHIN = CODE_WINDOW.BYTES - 1;
const PAGE_SHIFT = Math.log2(PAGE);
const { LIST, BITS } = CODE_WINDOW;
/** Bytes of one window's bits: where blocks begin that were executed, then where regions begin. */
const BITS_OF_WINDOW = 2 * CODE_WINDOW.BITS_BYTES;
const NO_BITS = new Uint8Array(0);

/** Number of the window that a place is in; negative for no place. */
export const windowOf = (place: number): number => place >> WINDOW_SHIFT;

/** A copy of what describeCode left in the block of the processor at `base`: the layout is that of CODE_WINDOW (state-layout.ts). */
export function copyDescription(view: DataView, bytes: Uint8Array, base: number): Uint8Array {
  const at = base + STATE.CODE_DESCRIPTION;
  return bytes.slice(at, at + BITS + view.getUint32(at, true) * BITS_OF_WINDOW);
}

/**
 * The same for a single window in which no region begins, where no processor has described it.
 * @param pages host addresses of its pages; 0: there is no second one
 * @param executed bits of offsets in both at which blocks begin that were executed
 */
export function describeOneWindow(pages: readonly [number, number], executed: Uint8Array): Uint8Array {
  const description = new Uint8Array(BITS + BITS_OF_WINDOW);
  const view = new DataView(description.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(LIST + 4, pages[0], true);
  view.setUint32(LIST + 8, pages[1], true);
  description.set(executed, BITS);
  return description;
}

/** Windows by offset. */
export class WindowMap {
  /** Offset of each window's first byte. */
  readonly starts: number[] = [];
  readonly #sizes: number[] = [];
  /** Host addresses of each window's two pages. */
  readonly #pages: number[] = [];
  /** Bytes of the first window, which begins at offset 0 and has nearly all that is asked for. */
  #first = 0;
  /** Their bits, window by window. */
  #bits: Uint8Array = NO_BITS;

  /** From now on it is about the windows of this description, the hot block's first. */
  set(description: Uint8Array): void {
    const view = new DataView(description.buffer, description.byteOffset, description.length);
    this.starts.length = 0;
    this.#sizes.length = 0;
    this.#pages.length = 0;
    for (let number = view.getUint32(0, true), entry = LIST; number > 0; number--, entry += CODE_WINDOW.ENTRY_BYTES) {
      const second = view.getUint32(entry + 8, true);
      this.starts.push(view.getInt32(entry, true) * PAGE);
      this.#sizes.push(second === 0 ? PAGE : CODE_WINDOW.BYTES);
      this.#pages.push(view.getUint32(entry + 4, true), second);
    }
    this.#first = this.#sizes[0] ?? 0;
    this.#bits = description.subarray(BITS);
  }

  /** @returns the place of an offset, or -1 */
  place(offset: number): number {
    if (offset >= 0 && offset < this.#first) return offset;
    const { starts } = this;
    for (let at = 1; at < starts.length; at++) {
      const within = offset - (starts[at] ?? 0);
      if (within >= 0 && within < (this.#sizes[at] ?? 0)) return at * CODE_WINDOW.BYTES + within;
    }
    return -1;
  }
  /** Bytes from a place to its window's end. */
  room(place: number): number {
    return (this.#sizes[place >> WINDOW_SHIFT] ?? 0) - (place & WITHIN);
  }
  /** Host address of the page that a place is in; 0 for none. */
  page(place: number): number {
    return this.#pages[place >> PAGE_SHIFT] ?? 0;
  }
  executed(place: number): boolean {
    return this.#bit((place >> WINDOW_SHIFT) * BITS_OF_WINDOW, place);
  }
  region(place: number): boolean {
    return this.#bit((place >> WINDOW_SHIFT) * BITS_OF_WINDOW + CODE_WINDOW.BITS_BYTES, place);
  }
  #bit(from: number, place: number): boolean {
    return ((this.#bits[from + ((place & WITHIN) >> 3)] ?? 0) & (1 << (place & 7))) !== 0;
  }
}
