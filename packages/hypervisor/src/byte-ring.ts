/**
 * A ring of bytes between two threads over shared memory: one side writes, the other reads, neither waits.
 *
 * The indices run freely (modulo 2^32); the difference is the number of bytes held. The index of a side is stored only
 * after the bytes are, with Atomics, so the other side never sees bytes that are not there yet.
 * Invariant: one writer and one reader at a time. Called by: the UARTs, whose host end is on another thread.
 */

/** A ring over `bytes` (a power of two long) with its read and write index in two words of `words`. */
export class ByteRing {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;

  /** @param words two words: read index, write index */
  constructor(words: Uint32Array, bytes: Uint8Array) {
    this.#words = words;
    this.#bytes = bytes;
    this.#mask = bytes.length - 1;
  }

  /** Bytes that wait to be read. */
  get length(): number {
    // A corrupt index must not make the reader leave the ring, hence the bound.
    return Math.min((Atomics.load(this.#words, 1) - Atomics.load(this.#words, 0)) >>> 0, this.#bytes.length);
  }

  /** Bytes that can be written now. */
  get space(): number {
    return this.#bytes.length - this.length;
  }

  /** Adds one byte. @returns false when the ring is full */
  put(byte: number): boolean {
    if (this.space === 0) return false;
    const write = Atomics.load(this.#words, 1);
    this.#bytes[write & this.#mask] = byte;
    Atomics.store(this.#words, 1, (write + 1) >>> 0);
    return true;
  }

  /** Takes one byte, or -1 when there is none. */
  take(): number {
    if (this.length === 0) return -1;
    const read = Atomics.load(this.#words, 0);
    const byte = this.#bytes[read & this.#mask] as number;
    Atomics.store(this.#words, 0, (read + 1) >>> 0);
    return byte;
  }

  /** Adds as many bytes as there is space for. @returns how many */
  write(source: Uint8Array): number {
    const count = Math.min(source.length, this.space);
    const write = Atomics.load(this.#words, 1);
    const at = write & this.#mask;
    const first = Math.min(count, this.#bytes.length - at);
    this.#bytes.set(source.subarray(0, first), at);
    this.#bytes.set(source.subarray(first, count), 0);
    Atomics.store(this.#words, 1, (write + count) >>> 0);
    return count;
  }

  /** Takes everything that waits, as a copy that is not shared. */
  readAll(): Uint8Array<ArrayBuffer> {
    const bytes = this.peek();
    Atomics.store(this.#words, 0, (Atomics.load(this.#words, 0) + bytes.length) >>> 0);
    return bytes;
  }

  /** What waits, as a copy; it stays in the ring. */
  peek(): Uint8Array<ArrayBuffer> {
    const count = this.length;
    const copy = new Uint8Array(count);
    const at = Atomics.load(this.#words, 0) & this.#mask;
    const first = Math.min(count, this.#bytes.length - at);
    copy.set(this.#bytes.subarray(at, at + first));
    copy.set(this.#bytes.subarray(0, count - first), first);
    return copy;
  }

  clear(): void {
    Atomics.store(this.#words, 0, Atomics.load(this.#words, 1));
  }
}
