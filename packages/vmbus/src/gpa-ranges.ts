/**
 * Ranges of guest memory as a guest describes them: a count, and for each range a length, an offset into its first page and
 * the page numbers (struct gpa_range of Linux's hyperv.h). GPADLs and the external buffers of GPA-direct packets are such lists.
 *
 * Invariants: page numbers are checked once, when they are parsed; a GuestBuffer's bytes are reached through GuestMemory only,
 * so a page that is no memory (any more) is a fault at the access and nothing else. Called by: gpadl.ts, packet.ts, devices.
 */
import {
  copyFrom,
  copyInto,
  type GpaFault,
  type GuestAccess,
  type GuestMemory,
  type GuestRange,
  isGpaFault,
} from '@plinth/hypervisor';

const PAGE_BYTES = 4096;
/** Page numbers of guest-physical addresses below 2^52, the architecture's limit. */
const PAGE_NUMBER_LIMIT = 2n ** 40n;

/** Some contiguous guest-physical bytes of a buffer. */
export interface Extent {
  /** Where they begin in the buffer. */
  readonly start: number;
  readonly gpa: number;
  readonly bytes: number;
}

export interface ParsedRanges {
  readonly ranges: readonly (readonly Extent[])[];
  /** Bytes that the description took. */
  readonly used: number;
  readonly pages: number;
}

/**
 * Parses `count` ranges.
 * @param bytes the host's own copy of what the guest wrote
 * @returns the ranges, each as extents in order, or what is wrong with them
 */
export function parseGpaRanges(bytes: Uint8Array, count: number): ParsedRanges | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ranges: Extent[][] = [];
  let at = 0;
  let pages = 0;
  // Each range takes 16 bytes at least, so a count beyond that cannot be true and must not be counted to.
  if (count > bytes.length / 16) return `${count} ranges in ${bytes.length} bytes`;
  for (let index = 0; index < count; index++) {
    if (at + 8 > bytes.length) return `range ${index} begins past the end of the description`;
    const length = view.getUint32(at, true);
    const offset = view.getUint32(at + 4, true);
    at += 8;
    if (length === 0) return `range ${index} is empty`;
    if (offset >= PAGE_BYTES) return `range ${index} begins ${offset} bytes into its first page`;
    const rangePages = Math.ceil((offset + length) / PAGE_BYTES);
    if (at + rangePages * 8 > bytes.length)
      return `range ${index} needs ${rangePages} page numbers, and they are not there`;
    const extents: { start: number; gpa: number; bytes: number }[] = [];
    let start = 0;
    for (let page = 0; page < rangePages; page++) {
      const number = view.getBigUint64(at + page * 8, true);
      if (number >= PAGE_NUMBER_LIMIT) return `page number 0x${number.toString(16)} is past the address space`;
      const skipped = page === 0 ? offset : 0;
      const gpa = Number(number) * PAGE_BYTES + skipped;
      const here = Math.min(PAGE_BYTES - skipped, length - start);
      const last = extents.at(-1);
      if (last !== undefined && last.gpa + last.bytes === gpa) last.bytes += here;
      else extents.push({ start, gpa, bytes: here });
      start += here;
    }
    at += rangePages * 8;
    pages += rangePages;
    ranges.push(extents);
  }
  return { ranges, used: at, pages };
}

/** Guest memory that a guest lent, as one run of bytes. */
export class GuestBuffer {
  readonly length: number;
  readonly #memory: GuestMemory;
  readonly #extents: readonly Extent[];

  constructor(memory: GuestMemory, extents: readonly Extent[]) {
    this.#memory = memory;
    this.#extents = extents;
    const last = extents.at(-1);
    this.length = last === undefined ? 0 : last.start + last.bytes;
  }

  /** A part of the buffer as a buffer; undefined when it does not lie inside. */
  slice(start: number, length: number): GuestBuffer | undefined {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || start < 0 || length < 0) return undefined;
    if (start + length > this.length) return undefined;
    const extents: Extent[] = [];
    for (let at = start; at < start + length; ) {
      const extent = this.#at(at);
      const skipped = at - extent.start;
      const bytes = Math.min(extent.bytes - skipped, start + length - at);
      extents.push({ start: at - start, gpa: extent.gpa + skipped, bytes });
      at += bytes;
    }
    return new GuestBuffer(this.#memory, extents);
  }

  /**
   * The bytes in place: shared with the guest, who may change them at any time.
   * @returns pieces whose lengths sum up to `length`, or the fault
   */
  pieces(start: number, length: number, access: GuestAccess): GuestRange | GpaFault {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || start < 0 || length < 0) {
      return { fault: 'bad-range', gpa: start };
    }
    if (start + length > this.length) return { fault: 'bad-range', gpa: start };
    if (length === 0) return [];
    // What lies in one extent, as nearly everything does, needs no list.
    const { start: begins, gpa: first, bytes: there } = this.#at(start);
    if (start + length <= begins + there) return this.#memory.range(first + (start - begins), length, access);
    const part = this.slice(start, length);
    if (part === undefined) return { fault: 'bad-range', gpa: start };
    const all: Uint8Array[] = [];
    for (const { gpa, bytes } of part.#extents) {
      const pieces = this.#memory.range(gpa, bytes, access);
      if (isGpaFault(pieces)) return pieces;
      all.push(...pieces);
    }
    return all;
  }

  /** A copy that is the host's own; undefined where there is no memory. */
  read(start: number, length: number): Uint8Array<ArrayBuffer> | undefined {
    return copyFrom(this.pieces(start, length, 'read'), length);
  }

  /** @returns false, with nothing written, where there is no memory for all of them */
  write(start: number, bytes: Uint8Array): boolean {
    return copyInto(this.pieces(start, bytes.length, 'write'), bytes);
  }

  /** Whether all of it is memory now. */
  isMemory(): boolean {
    return !isGpaFault(this.pieces(0, this.length, 'read'));
  }

  /** Page-aligned at both ends, as rings must be. */
  isWholePages(): boolean {
    return this.#extents.every(({ gpa, bytes }) => gpa % PAGE_BYTES === 0 && bytes % PAGE_BYTES === 0);
  }

  /** The extents as plain data, for saved states. */
  extents(): readonly Extent[] {
    return this.#extents;
  }

  /** The extent of a byte that lies inside. */
  #at(start: number): Extent {
    let low = 0;
    let high = this.#extents.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#extents[middle] as Extent).start <= start) low = middle;
      else high = middle - 1;
    }
    return this.#extents[low] as Extent;
  }
}
