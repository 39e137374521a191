/**
 * Ring buffers in guest memory: one control page, then the data.
 *
 * Control page (32-bit words, struct hv_ring_buffer of Linux's hyperv.h): 0 write index, 1 read index, 2 interrupt mask,
 * 3 pending send size, 16 feature bits. Indexes are bytes into the data. A ring is empty when both are equal, so a writer never
 * fills the last byte. Who writes signals the reader only when the ring was empty and the reader's mask is 0; a writer that
 * found no room leaves what it needs as pending send size, and the reader signals it once that much is free.
 *
 * The guest can change all of this at any time, from another thread. So: the index that is ours lives here and the page gets a
 * copy that is never read back; each value of the guest is loaded once, checked, and used from a local; a packet is copied out
 * before it is looked into. Loads and stores of the control page are atomic (sequentially consistent), which gives the order
 * "data, index, then look whether to signal" on any host.
 *
 * Invariant: nothing outside the ring's GPADL is touched, whatever the guest writes. Called by: channel.ts.
 */
import { isGpaFault } from '@plinth/hypervisor';
import type { GuestBuffer } from './gpa-ranges.ts';
import { DESCRIPTOR, isPacketProblem, type Packet, parsePacket, TRAILER_BYTES } from './packet.ts';

export const RING_PAGE_BYTES = 4096;
const CONTROL_BYTES = 68;
const WORD = { writeIndex: 0, readIndex: 1, interruptMask: 2, pendingSendSize: 3, features: 16 } as const;
const FEATURE_PENDING_SEND_SIZE = 1;

/** The guest broke the ring's rules: the channel cannot go on. */
export interface RingFault {
  readonly kind: 'corrupt';
  readonly problem: string;
}

const corrupt = (problem: string): RingFault => ({ kind: 'corrupt', problem });

/** What both directions share: the pages of one ring. */
class RingMemory {
  readonly buffer: GuestBuffer;
  readonly dataBytes: number;

  /** @param buffer whole pages, at least two, page-aligned */
  constructor(buffer: GuestBuffer) {
    this.buffer = buffer;
    this.dataBytes = buffer.length - RING_PAGE_BYTES;
  }

  /** The control words in place; undefined when the page is no memory any more. */
  control(access: 'read' | 'write'): Int32Array | undefined {
    const pieces = this.buffer.pieces(0, CONTROL_BYTES, access);
    if (isGpaFault(pieces) || pieces[0] === undefined || pieces[0].length < CONTROL_BYTES) return undefined;
    // Pages begin at multiples of 4096 in the partition's memory, so the words are aligned.
    return new Int32Array(pieces[0].buffer, pieces[0].byteOffset, CONTROL_BYTES >> 2);
  }

  /** An index of the guest, if it can be one. */
  checkedIndex(value: number): number | undefined {
    const index = value >>> 0;
    return index < this.dataBytes && index % 8 === 0 ? index : undefined;
  }

  /** A copy of data bytes from an index on, around the end. */
  copyOut(index: number, length: number): Uint8Array<ArrayBuffer> | undefined {
    const first = Math.min(length, this.dataBytes - index);
    const head = this.buffer.read(RING_PAGE_BYTES + index, first);
    if (head === undefined || first === length) return head;
    const rest = this.buffer.read(RING_PAGE_BYTES, length - first);
    if (rest === undefined) return undefined;
    const all = new Uint8Array(length);
    all.set(head);
    all.set(rest, first);
    return all;
  }

  copyIn(index: number, bytes: Uint8Array): boolean {
    const first = Math.min(bytes.length, this.dataBytes - index);
    if (!this.buffer.write(RING_PAGE_BYTES + index, bytes.subarray(0, first))) return false;
    return first === bytes.length || this.buffer.write(RING_PAGE_BYTES, bytes.subarray(first));
  }

  advance(index: number, bytes: number): number {
    const next = index + bytes;
    return next >= this.dataBytes ? next - this.dataBytes : next;
  }
}

export type RingRead =
  | { readonly kind: 'empty' }
  | { readonly kind: 'packet'; readonly packet: Packet; readonly bytes: number }
  | RingFault;

const NO_MEMORY = corrupt('a page of the ring is not memory');

/** The ring that the guest writes. */
export class IncomingRing {
  readonly #ring: RingMemory;
  #readIndex: number;

  private constructor(ring: RingMemory, readIndex: number) {
    this.#ring = ring;
    this.#readIndex = readIndex;
  }

  /**
   * @param buffer the ring's pages
   * @param readIndex where a restored ring stood; without it the guest's own value is taken, as for a new ring
   */
  static open(buffer: GuestBuffer, readIndex?: number): IncomingRing | RingFault {
    const ring = new RingMemory(buffer);
    const control = ring.control('read');
    if (control === undefined) return NO_MEMORY;
    const index = ring.checkedIndex(readIndex ?? Atomics.load(control, WORD.readIndex));
    return index === undefined
      ? corrupt('the read index of the ring to the host is outside of it')
      : new IncomingRing(ring, index);
  }

  get readIndex(): number {
    return this.#readIndex;
  }

  /** The next packet, which stays in the ring until `release`. */
  peek(): RingRead {
    const ring = this.#ring;
    const control = ring.control('read');
    if (control === undefined) return NO_MEMORY;
    const writeIndex = ring.checkedIndex(Atomics.load(control, WORD.writeIndex));
    if (writeIndex === undefined) return corrupt('the write index of the ring to the host is outside of it');
    const available = (writeIndex - this.#readIndex + ring.dataBytes) % ring.dataBytes;
    if (available === 0) return { kind: 'empty' };
    if (available < DESCRIPTOR.bytes + TRAILER_BYTES) {
      return corrupt(`${available} bytes in the ring, which no packet can be`);
    }
    const head = ring.copyOut(this.#readIndex, DESCRIPTOR.bytes);
    const descriptor = head === undefined ? undefined : DESCRIPTOR.read(head);
    if (head === undefined || descriptor === undefined) return NO_MEMORY;
    const length = descriptor.length8 * 8;
    const offset = descriptor.offset8 * 8;
    if (
      length < DESCRIPTOR.bytes ||
      offset < DESCRIPTOR.bytes ||
      offset > length ||
      length + TRAILER_BYTES > available
    ) {
      return corrupt(
        `a packet of ${length} bytes with its data at ${offset}, where ${available} bytes are in the ring`,
      );
    }
    const bytes = ring.copyOut(this.#readIndex, length);
    if (bytes === undefined) return NO_MEMORY;
    // The descriptor in the second copy may differ by now: what was checked is what counts.
    bytes.set(head);
    const packet = parsePacket(bytes, offset);
    return isPacketProblem(packet)
      ? corrupt(packet.problem)
      : { kind: 'packet', packet, bytes: length + TRAILER_BYTES };
  }

  /**
   * Takes a peeked packet's bytes out of the ring.
   * @returns whether the guest waits for this much room and must be signalled
   */
  release(bytes: number): { readonly kind: 'released'; readonly signal: boolean } | RingFault {
    const ring = this.#ring;
    const control = ring.control('write');
    if (control === undefined) return NO_MEMORY;
    const before = this.#readIndex;
    this.#readIndex = ring.advance(before, bytes);
    Atomics.store(control, WORD.readIndex, this.#readIndex);
    const pending = Atomics.load(control, WORD.pendingSendSize) >>> 0;
    if (pending === 0) return { kind: 'released', signal: false };
    const writeIndex = ring.checkedIndex(Atomics.load(control, WORD.writeIndex));
    if (writeIndex === undefined) return corrupt('the write index of the ring to the host is outside of it');
    const used = (index: number): number => (writeIndex - index + ring.dataBytes) % ring.dataBytes;
    const freeBefore = ring.dataBytes - used(before);
    const freeNow = ring.dataBytes - used(this.#readIndex);
    // Only the step from too little to enough is told; filling the ring exactly is never possible, so equal is too little.
    return { kind: 'released', signal: freeBefore <= pending && freeNow > pending };
  }

  /** Asks the guest not to signal (true) while the host reads anyway, or to signal again (false). */
  setInterruptMask(masked: boolean): boolean {
    const control = this.#ring.control('write');
    if (control !== undefined) Atomics.store(control, WORD.interruptMask, masked ? 1 : 0);
    return control !== undefined;
  }

  inspect(): { readonly dataBytes: number; readonly readIndex: number } {
    return { dataBytes: this.#ring.dataBytes, readIndex: this.#readIndex };
  }
}

export type RingWrite =
  | { readonly kind: 'written'; readonly signal: boolean }
  | { readonly kind: 'full' }
  | { readonly kind: 'too-large' }
  | RingFault;

/** The ring that the host writes. */
export class OutgoingRing {
  readonly #ring: RingMemory;
  #writeIndex: number;
  #waiting = false;

  private constructor(ring: RingMemory, writeIndex: number) {
    this.#ring = ring;
    this.#writeIndex = writeIndex;
  }

  /** As IncomingRing.open; tells the guest that this host uses pending send sizes. */
  static open(buffer: GuestBuffer, writeIndex?: number): OutgoingRing | RingFault {
    const ring = new RingMemory(buffer);
    const control = ring.control('write');
    if (control === undefined) return NO_MEMORY;
    const index = ring.checkedIndex(writeIndex ?? Atomics.load(control, WORD.writeIndex));
    if (index === undefined) return corrupt('the write index of the ring to the guest is outside of it');
    Atomics.or(control, WORD.features, FEATURE_PENDING_SEND_SIZE);
    return new OutgoingRing(ring, index);
  }

  get writeIndex(): number {
    return this.#writeIndex;
  }

  /** Whether the last write found no room, and the guest was asked to signal when there is. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** Writes a packet as `buildPacket` made it. 'full' leaves the request for a signal behind. */
  write(packet: Uint8Array): RingWrite {
    const ring = this.#ring;
    const control = ring.control('write');
    if (control === undefined) return NO_MEMORY;
    const needed = packet.length + TRAILER_BYTES;
    if (needed >= ring.dataBytes) return { kind: 'too-large' };
    let free = this.#free(control);
    if (free !== undefined && free <= needed) {
      Atomics.store(control, WORD.pendingSendSize, needed);
      this.#waiting = true;
      // The guest may have read on before it could see the request.
      free = this.#free(control);
    }
    if (free === undefined) return corrupt('the read index of the ring to the guest is outside of it');
    if (free <= needed) return { kind: 'full' };
    const whole = new Uint8Array(needed);
    whole.set(packet);
    new DataView(whole.buffer).setUint32(packet.length + 4, this.#writeIndex, true);
    if (!ring.copyIn(this.#writeIndex, whole)) return NO_MEMORY;
    const before = this.#writeIndex;
    this.#writeIndex = ring.advance(before, needed);
    Atomics.store(control, WORD.writeIndex, this.#writeIndex);
    if (this.#waiting) Atomics.store(control, WORD.pendingSendSize, 0);
    this.#waiting = false;
    const wasEmpty = Atomics.load(control, WORD.readIndex) >>> 0 === before;
    return { kind: 'written', signal: wasEmpty && Atomics.load(control, WORD.interruptMask) === 0 };
  }

  #free(control: Int32Array): number | undefined {
    const readIndex = this.#ring.checkedIndex(Atomics.load(control, WORD.readIndex));
    if (readIndex === undefined) return undefined;
    return this.#ring.dataBytes - ((this.#writeIndex - readIndex + this.#ring.dataBytes) % this.#ring.dataBytes);
  }

  inspect(): { readonly dataBytes: number; readonly writeIndex: number; readonly waiting: boolean } {
    return { dataBytes: this.#ring.dataBytes, writeIndex: this.#writeIndex, waiting: this.#waiting };
  }
}
