/**
 * Guest memory as the host sees it: the one way in.
 *
 * Nothing above this file turns a guest-physical address into an offset. `range` checks a range that a guest named, and
 * hands out views of it in place; opening for writing records what a processor must know: the pages are dirty, and
 * code that was decoded from them is stale. Pages whose content is not there yet come in first (absent-pages.ts). What the guest got wrong comes back as a value (GpaFault), never as an
 * exception: the caller decides what its protocol answers.
 *
 * Page records and the host-write ring are numbered by RAM page: (host offset - ramOffset) / 4096, which with the PC's map
 * is the guest page number. Overlay pages follow RAM and have records too, so that code in them is never stale.
 *
 * Invariant: every piece lies inside RAM or an overlay page of this partition. Called by: VSPs, devices with DMA, loaders.
 */
import { AbsentPages } from './absent-pages.ts';
import { type GpaSpace, PAGE_BYTES } from './gpa-space.ts';
import {
  HOST_WRITE_RING,
  type MemoryLayout,
  PAGE_FLAG,
  PAGE_RECORD,
  PAGE_RECORD_BYTES,
  SHARED,
  SHARED_OFFSET,
} from './memory-layout.ts';
import { SharedLock } from './shared-state.ts';

export type GuestAccess = 'read' | 'write';

/** Why a guest range cannot be opened, and the first address at which it fails. */
export interface GpaFault {
  readonly fault: 'bad-range' | 'not-memory' | 'read-only';
  readonly gpa: number;
}

/** The pieces of a range in order; more than one where neighbouring pages lie apart. */
export type GuestRange = readonly Uint8Array[];

export const isGpaFault = (result: GuestRange | GpaFault): result is GpaFault => 'fault' in result;

/** A copy of `length` bytes of pieces that is not shared with the guest; undefined for a fault. */
export function copyFrom(pieces: GuestRange | GpaFault, length: number): Uint8Array<ArrayBuffer> | undefined {
  if (isGpaFault(pieces)) return undefined;
  const copy = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    copy.set(piece, at);
    at += piece.length;
  }
  return copy;
}

/** Writes bytes to pieces that hold them all. @returns false, with nothing written, for a fault */
export function copyInto(pieces: GuestRange | GpaFault, bytes: Uint8Array): boolean {
  if (isGpaFault(pieces)) return false;
  let at = 0;
  for (const piece of pieces) {
    piece.set(bytes.subarray(at, at + piece.length));
    at += piece.length;
  }
  return true;
}

const RECORD_WORDS = PAGE_RECORD_BYTES >> 2;
const RECORD_CODE = PAGE_RECORD.codeLines >> 2;
const RECORD_FLAGS = PAGE_RECORD.flags >> 2;

export class GuestMemory {
  /** Pages that are brought in when they are touched. */
  readonly absent: AbsentPages;
  readonly #buffer: ArrayBufferLike;
  readonly #layout: MemoryLayout;
  readonly #space: GpaSpace;
  readonly #view: DataView;
  /** Page records, as u32s. */
  readonly #records: Uint32Array;
  readonly #hostWrites: Uint32Array;
  readonly #header: Uint32Array;
  readonly #lock: SharedLock;
  readonly #pages: number;

  constructor(buffer: ArrayBufferLike, layout: MemoryLayout, space: GpaSpace) {
    this.absent = new AbsentPages(buffer, layout);
    this.#buffer = buffer;
    this.#layout = layout;
    this.#space = space;
    this.#pages = layout.ramBytes / PAGE_BYTES;
    this.#view = new DataView(buffer);
    this.#records = new Uint32Array(buffer, layout.pagesOffset, (this.#pages + layout.overlayPages) * RECORD_WORDS);
    this.#hostWrites = new Uint32Array(buffer, SHARED_OFFSET + SHARED.hostWrites, HOST_WRITE_RING);
    this.#header = new Uint32Array(buffer, SHARED_OFFSET, 64);
    this.#lock = new SharedLock(new Int32Array(buffer, SHARED_OFFSET, 64), SHARED.hostLock >> 2, 'host writes');
  }

  /**
   * Opens guest memory in place.
   * @param gpa first guest-physical address: any number, from the guest, unchecked
   * @param length in bytes: any number, unchecked; 0 gives no pieces
   * @param access 'write' marks every page of the range dirty and its decoded code stale
   * @returns the pieces, whose lengths sum up to `length`, or why not
   */
  range(gpa: number, length: number, access: GuestAccess): GuestRange | GpaFault {
    if (!Number.isSafeInteger(gpa) || !Number.isSafeInteger(length) || gpa < 0 || length < 0) {
      return { fault: 'bad-range', gpa };
    }
    const end = gpa + length;
    if (!Number.isSafeInteger(end)) return { fault: 'bad-range', gpa };
    // The common case, one slot: no list is built up.
    const pieces: { offset: number; bytes: number }[] = [];
    for (let at = gpa; at < end; ) {
      const slot = this.#space.find(at);
      if (slot === undefined || slot.kind === 'mmio' || slot.kind === 'hole') return { fault: 'not-memory', gpa: at };
      if (slot.kind === 'rom' && access === 'write') return { fault: 'read-only', gpa: at };
      const bytes = Math.min(this.#space.extentEnd(at), end) - at;
      const offset = slot.hostOffset + (at - slot.start);
      const last = pieces.at(-1);
      if (last !== undefined && last.offset + last.bytes === offset) last.bytes += bytes;
      else pieces.push({ offset, bytes });
      at += bytes;
    }
    for (const { offset, bytes } of pieces) this.#open(offset, bytes, access);
    return pieces.map(({ offset, bytes }) => new Uint8Array(this.#buffer, offset, bytes));
  }

  /** A copy of guest bytes that is not shared with the guest; undefined where there is no memory. */
  read(gpa: number, length: number): Uint8Array<ArrayBuffer> | undefined {
    return copyFrom(this.range(gpa, length, 'read'), length);
  }

  /** Writes bytes. @returns false, with nothing written, where there is no memory for all of them */
  write(gpa: number, bytes: Uint8Array): boolean {
    return copyInto(this.range(gpa, bytes.length, 'write'), bytes);
  }

  /** Little-endian numbers; undefined where there is no memory. */
  readU8(gpa: number): number | undefined {
    const at = this.#offset(gpa, 1, 'read');
    return at < 0 ? undefined : this.#view.getUint8(at);
  }

  readU16(gpa: number): number | undefined {
    const at = this.#offset(gpa, 2, 'read');
    return at < 0 ? this.#readAcross(gpa, 2)?.getUint16(0, true) : this.#view.getUint16(at, true);
  }

  readU32(gpa: number): number | undefined {
    const at = this.#offset(gpa, 4, 'read');
    return at < 0 ? this.#readAcross(gpa, 4)?.getUint32(0, true) : this.#view.getUint32(at, true);
  }

  readU64(gpa: number): bigint | undefined {
    const at = this.#offset(gpa, 8, 'read');
    return at < 0 ? this.#readAcross(gpa, 8)?.getBigUint64(0, true) : this.#view.getBigUint64(at, true);
  }

  /** @returns false where there is no memory; values are truncated to their width */
  writeU8(gpa: number, value: number): boolean {
    const at = this.#offset(gpa, 1, 'write');
    if (at >= 0) this.#view.setUint8(at, value);
    return at >= 0;
  }

  writeU16(gpa: number, value: number): boolean {
    const at = this.#offset(gpa, 2, 'write');
    if (at < 0) return this.#writeAcross(gpa, 2, (view) => view.setUint16(0, value, true));
    this.#view.setUint16(at, value, true);
    return true;
  }

  writeU32(gpa: number, value: number): boolean {
    const at = this.#offset(gpa, 4, 'write');
    if (at < 0) return this.#writeAcross(gpa, 4, (view) => view.setUint32(0, value, true));
    this.#view.setUint32(at, value, true);
    return true;
  }

  writeU64(gpa: number, value: bigint): boolean {
    const at = this.#offset(gpa, 8, 'write');
    if (at < 0) return this.#writeAcross(gpa, 8, (view) => view.setBigUint64(0, value, true));
    this.#view.setBigUint64(at, value, true);
    return true;
  }

  /**
   * The RAM pages written since the last call (by guest and host), in rising order; their marks are taken away, and
   * processors fill their TLBs anew, so that the next write is seen.
   */
  takeDirtyPages(): Uint32Array<ArrayBuffer> {
    const dirty: number[] = [];
    for (let page = 0; page < this.#pages; page++) {
      const at = page * RECORD_WORDS + RECORD_FLAGS;
      if (((this.#records[at] as number) & PAGE_FLAG.dirty) === 0) continue;
      Atomics.and(this.#records, at, ~PAGE_FLAG.dirty);
      dirty.push(page);
    }
    // By 2: an odd generation would say that the slot table is being rewritten.
    if (dirty.length > 0) Atomics.add(this.#header, SHARED.slotGeneration >> 2, 2);
    return Uint32Array.from(dirty);
  }

  /** Bytes of the RAM pages that the guest or the host on its behalf has ever used. */
  guestTouchedBytes(): number {
    let pages = 0;
    for (let page = 0; page < this.#pages; page++) {
      if (((this.#records[page * RECORD_WORDS + RECORD_FLAGS] as number) & PAGE_FLAG.touched) !== 0) pages++;
    }
    return pages * PAGE_BYTES;
  }

  /** One of the partition's overlay pages, for whoever keeps it; what was decoded from it counts as stale. */
  overlayPage(page: number, access: GuestAccess): Uint8Array {
    const { ramOffset, ramBytes, overlayPages } = this.#layout;
    if (page >= overlayPages) throw new RangeError(`overlay page ${page} of ${overlayPages}`);
    const offset = ramOffset + ramBytes + page * PAGE_BYTES;
    if (access === 'write') this.#noteWrite(offset, PAGE_BYTES);
    return new Uint8Array(this.#buffer, offset, PAGE_BYTES);
  }

  /**
   * Pages of the partition's pool, whatever lies over them in the guest-physical space: for whoever saves all of it, and puts it back.
   * @throws RangeError for pages that the pool has not got
   */
  poolPages(first: number, count: number, access: GuestAccess): Uint8Array {
    const { ramOffset } = this.#layout;
    const isSound = Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 0;
    if (!isSound || first + count > this.#pages) throw new RangeError(`pages ${first}+${count} of ${this.#pages}`);
    const offset = ramOffset + first * PAGE_BYTES;
    this.#open(offset, count * PAGE_BYTES, access);
    return new Uint8Array(this.#buffer, offset, count * PAGE_BYTES);
  }

  /** Numbers of the pool's pages that anybody has ever used, in rising order: all others are zero. */
  *usedPages(): Generator<number> {
    for (let page = 0; page < this.#pages; page++) {
      const flags = this.#records[page * RECORD_WORDS + RECORD_FLAGS] as number;
      if ((flags & (PAGE_FLAG.touched | PAGE_FLAG.dirty)) !== 0) yield page;
    }
  }

  /** Offset of `bytes` bytes that lie in one slot; -1 when they do not, or are not memory. */
  #offset(gpa: number, bytes: number, access: GuestAccess): number {
    if (!Number.isSafeInteger(gpa) || gpa < 0) return -1;
    const slot = this.#space.find(gpa);
    if (slot === undefined || slot.kind === 'mmio' || slot.kind === 'hole') return -1;
    if (access === 'write' && slot.kind === 'rom') return -1;
    if (gpa + bytes > this.#space.extentEnd(gpa)) return -1;
    const offset = slot.hostOffset + (gpa - slot.start);
    this.#open(offset, bytes, access);
    return offset;
  }

  #readAcross(gpa: number, bytes: number): DataView | undefined {
    const copy = this.read(gpa, bytes);
    return copy === undefined ? undefined : new DataView(copy.buffer);
  }

  #writeAcross(gpa: number, bytes: number, put: (view: DataView) => void): boolean {
    const copy = new Uint8Array(bytes);
    put(new DataView(copy.buffer));
    return this.write(gpa, copy);
  }

  /** Before anybody gets hold of bytes of the pool: what is absent comes in, what is opened for writing is noted. */
  #open(offset: number, bytes: number, access: GuestAccess): void {
    if (this.absent.count !== 0) {
      const from = offset - this.#layout.ramOffset;
      this.absent.bringIn(Math.max(Math.floor(from / PAGE_BYTES), 0), Math.ceil((from + bytes) / PAGE_BYTES));
    }
    if (access === 'write') this.#noteWrite(offset, bytes);
  }

  #noteWrite(offset: number, bytes: number): void {
    const { ramOffset, ramBytes, overlayPages } = this.#layout;
    const recordedEnd = ramOffset + ramBytes + overlayPages * PAGE_BYTES;
    const first = Math.floor((Math.max(offset, ramOffset) - ramOffset) / PAGE_BYTES);
    const end = Math.ceil((Math.min(offset + bytes, recordedEnd) - ramOffset) / PAGE_BYTES);
    for (let page = first; page < end; page++) {
      const at = page * RECORD_WORDS;
      Atomics.or(this.#records, at + RECORD_FLAGS, PAGE_FLAG.dirty | PAGE_FLAG.touched);
      if (((this.#records[at + RECORD_CODE] as number) | (this.#records[at + RECORD_CODE + 1] as number)) !== 0) {
        this.#noteStaleCode(page);
      }
    }
  }

  /** Tells every processor that code decoded from the page is stale. A reader more than a ring behind drops all. */
  #noteStaleCode(page: number): void {
    this.#lock.lock();
    try {
      const count = Atomics.load(this.#header, SHARED.hostWriteCount >> 2);
      Atomics.store(this.#hostWrites, count % HOST_WRITE_RING, page);
      Atomics.store(this.#header, SHARED.hostWriteCount >> 2, (count + 1) >>> 0);
    } finally {
      this.#lock.unlock();
    }
  }
}
