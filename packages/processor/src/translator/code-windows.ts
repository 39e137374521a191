/**
 * The windows of code around a hot block as the translator sees them: what assembly/code-windows.ts found, read by offset.
 *
 * An offset is a distance in linear addresses from the start of the hot block's page; its place is where its byte lies when the windows lie
 * one behind the other, as their copies do.
 * Invariant: no two windows hold the same linear page, so an offset has one place at most.
 * Called by: translator.ts (which reads the description), region-compiler.ts and region.ts.
 */
import { CODE_WINDOW, STATE } from '../state-layout.ts';

/** Bytes of all windows. */
export const WINDOWS_BYTES = CODE_WINDOW.MOST * CODE_WINDOW.BYTES;
const PAGE = 4096;
const WINDOW_SHIFT = Math.log2(CODE_WINDOW.BYTES);
const WITHIN = CODE_WINDOW.BYTES - 1;

/** A page and the next one in linear order, as they were when the processor asked. */
export interface CodeWindow {
  /** Pages from the hot block's page to the window's first. */
  readonly delta: number;
  /** Host addresses of the two; 0: the second is not known. */
  readonly pages: readonly [number, number];
  /** Bits of both pages (512 bytes each): where blocks begin that were executed, and where regions begin. */
  readonly executed: Uint8Array;
  readonly regions: Uint8Array;
}

/** Number of the window that a place is in; negative for no place. */
export const windowOf = (place: number): number => place >> WINDOW_SHIFT;

/** What describeCode left in the block of the processor at `base`. */
export function readWindows(view: DataView, bytes: Uint8Array, base: number): CodeWindow[] {
  const at = base + STATE.CODE_DESCRIPTION;
  return Array.from({ length: view.getUint32(at, true) }, (_, index) => {
    const entry = at + CODE_WINDOW.LIST + index * CODE_WINDOW.ENTRY_BYTES;
    const bits = at + CODE_WINDOW.BITS + index * 2 * CODE_WINDOW.BITS_BYTES;
    return {
      delta: view.getInt32(entry, true),
      pages: [view.getUint32(entry + 4, true), view.getUint32(entry + 8, true)],
      executed: bytes.slice(bits, bits + CODE_WINDOW.BITS_BYTES),
      regions: bytes.slice(bits + CODE_WINDOW.BITS_BYTES, bits + 2 * CODE_WINDOW.BITS_BYTES),
    };
  });
}

/** Windows by offset. */
export class WindowMap {
  /** Offset of each window's first byte. */
  readonly starts: number[] = [];
  readonly #sizes: number[] = [];
  /** Bytes of the first window, which begins at offset 0 and has nearly all that is asked for. */
  #first = 0;
  #windows: readonly CodeWindow[] = [];

  /** From now on it is about these windows, the hot block's first. */
  set(windows: readonly CodeWindow[]): void {
    this.#windows = windows;
    this.starts.length = 0;
    this.#sizes.length = 0;
    for (let at = 0; at < windows.length; at++) {
      const window = windows[at];
      this.starts.push((window?.delta ?? 0) * PAGE);
      this.#sizes.push(window?.pages[1] === 0 ? PAGE : CODE_WINDOW.BYTES);
    }
    this.#first = this.#sizes[0] ?? 0;
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
  /** Host address of the page that a place is in. */
  page(place: number): number {
    return this.#windows[windowOf(place)]?.pages[(place & WITHIN) < PAGE ? 0 : 1] ?? 0;
  }
  executed(place: number): boolean {
    return bit(this.#windows[place >> WINDOW_SHIFT]?.executed, place);
  }
  region(place: number): boolean {
    return bit(this.#windows[place >> WINDOW_SHIFT]?.regions, place);
  }
}

function bit(bits: Uint8Array | undefined, place: number): boolean {
  const within = place & WITHIN;
  return ((bits?.[within >> 3] ?? 0) & (1 << (within & 7))) !== 0;
}
