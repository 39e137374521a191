/**
 * The synthetic interrupt controller of one virtual processor: 16 sources, a page of message slots, a page of event flags.
 *
 *     postMessage ──> buffer ──> queue of its source ──> slot in the message page, when empty ──> interrupt
 *     signalEvent ──> bit in the event flags page ──> interrupt, if the bit was clear
 *     guest: EOM, or EOI of the source's vector ──> the next queued message
 *
 * Any thread may post and signal: registers and buffers are shared state under a lock, slots and flags are changed atomically. A slot is
 * written only while its message type is 0; otherwise its 'message pending' flag is set, and the type looked at once more, since the guest
 * may have emptied it in between.
 *
 * Invariants: a source's messages arrive in the order in which they were posted; at most BUFFERS wait; each timer has a buffer of its own.
 * Answers to: TLFS, "Inter-partition communication". Called by: synthetic-msrs.ts, synthetic-timers.ts, hypercalls, the root.
 */
import type { InspectTree } from '../device.ts';
import type { InterruptMessage } from '../engine.ts';
import type { Partition } from '../partition.ts';
import { describeState, type SavedFields, type SharedState } from '../shared-state.ts';
import { OVERLAY, type OverlayPages } from './overlay-pages.ts';
import { HV_STATUS, type HvStatus } from './status.ts';
import { Words64 } from './words.ts';

export const SINT_COUNT = 16;
/** Event flags of one source. */
export const FLAG_COUNT = 2048;
export const PAYLOAD_LIMIT = 240;
export const TIMER_COUNT = 4;

const MESSAGE_BYTES = 256;
const HEADER_BYTES = 16;
/** Buffers for posted messages; one for each timer follows. */
const BUFFERS = 64;
const ALL_BUFFERS = BUFFERS + TIMER_COUNT;
const FLAGS_BYTES = FLAG_COUNT / 8;

/** Fields of HV_MESSAGE's header. */
const MESSAGE = { type: 0, size: 4, flags: 5, sender: 8 } as const;
const MESSAGE_PENDING = 1;

const SINT_MASKED = 1 << 16;
const SINT_AUTOMATIC_EOI = 1 << 17;
const SINT_POLLING = 1 << 18;
const SINT_AFTER_RESET = 0x10000n;
const LOWEST_VECTOR = 16;
const ENABLE = 1;

const STATE = describeState(1, {
  control: { type: 'u32', length: 2 },
  eventFlagsPage: { type: 'u32', length: 2 },
  messagePage: { type: 'u32', length: 2 },
  sources: { type: 'u32', length: 2 * SINT_COUNT },
  /** Per buffer: 1 + its source, 0 when it is free; its place in the order of posting; its bytes. */
  bufferSource: { type: 'u8', length: ALL_BUFFERS },
  bufferOrder: { type: 'u32', length: ALL_BUFFERS },
  buffers: { type: 'u8', length: ALL_BUFFERS * MESSAGE_BYTES },
  nextOrder: 'u32',
  /** Somebody's message was refused, and wants to know when that may have changed. */
  starved: 'u8',
  messages: { type: 'u32', transient: true },
  events: { type: 'u32', transient: true },
});

/** What a source's vector needs of the local APIC. */
export interface VectorAssist {
  readonly automaticEoi: boolean;
  readonly eoiNotice: boolean;
}

export interface SynicHost {
  deliver(message: InterruptMessage): void;
  /** A vector's EOI handling changed; on the processor's own thread. */
  assistVector(processor: number, vector: number, assist: VectorAssist): void;
  /** A message may be accepted again after one had been refused. */
  roomAgain(): void;
}

/** The saved state of one SynIC: registers, queue, and the pages' content as base64-free plain bytes. */
export interface SavedSynic {
  readonly version: 1;
  readonly state: SavedFields;
  readonly messagePage: readonly number[];
  readonly eventFlagsPage: readonly number[];
}

export class Synic {
  readonly processor: number;
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #overlays: OverlayPages;
  readonly #host: SynicHost;
  readonly #control: Words64;
  readonly #eventFlagsPage: Words64;
  readonly #messagePage: Words64;
  readonly #sources: Words64;
  readonly #slots: { readonly bytes: Uint8Array; readonly types: Int32Array };
  readonly #flags: Int32Array;

  constructor(partition: Partition, overlays: OverlayPages, processor: number, host: SynicHost) {
    this.processor = processor;
    this.#overlays = overlays;
    this.#host = host;
    this.#state = partition.deviceArea.attach(`synic-${processor}`, STATE);
    const { values } = this.#state;
    this.#control = new Words64(values.control);
    this.#eventFlagsPage = new Words64(values.eventFlagsPage);
    this.#messagePage = new Words64(values.messagePage);
    this.#sources = new Words64(values.sources);
    const bytes = overlays.page(OVERLAY.messages(processor), 'read');
    this.#slots = { bytes, types: new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
    const flags = overlays.page(OVERLAY.eventFlags(processor), 'read');
    this.#flags = new Int32Array(flags.buffer, flags.byteOffset, flags.length / 4);
    if (this.#state.fresh) this.reset();
  }

  reset(): void {
    this.#state.clear();
    for (let sint = 0; sint < SINT_COUNT; sint++) this.#sources.set(SINT_AFTER_RESET, sint);
    this.#placePages();
    this.#slots.bytes.fill(0);
    this.#flags.fill(0);
  }

  // ---- registers ---------------------------------------------------------------------------------------------------

  get control(): bigint {
    return this.#control.get();
  }

  set control(value: bigint) {
    this.#state.locked(() => this.#control.set(value));
    this.#changed();
  }

  get eventFlagsPage(): bigint {
    return this.#eventFlagsPage.get();
  }

  set eventFlagsPage(value: bigint) {
    this.#state.locked(() => {
      // A page that comes into use is empty, whatever its last user left.
      if (this.#eventFlagsPage.low() % 2 === 0 && value % 2n === 1n) this.#flags.fill(0);
      this.#eventFlagsPage.set(value);
      this.#placePages();
    });
  }

  get messagePage(): bigint {
    return this.#messagePage.get();
  }

  set messagePage(value: bigint) {
    this.#state.locked(() => {
      if (this.#messagePage.low() % 2 === 0 && value % 2n === 1n) this.#slots.bytes.fill(0);
      this.#messagePage.set(value);
      this.#placePages();
    });
    this.#changed();
  }

  readSource(sint: number): bigint {
    return this.#sources.get(sint);
  }

  /** @returns false for a vector that cannot be one */
  writeSource(sint: number, value: bigint): boolean {
    const vector = Number(value & 0xffn);
    if (vector < LOWEST_VECTOR && (Number(value & 0xffffffffn) & SINT_MASKED) === 0) return false;
    const before = this.#sources.low(sint) & 0xff;
    this.#state.locked(() => this.#sources.set(value, sint));
    for (const changed of new Set([before, vector])) this.#assist(changed);
    this.#changed();
    return true;
  }

  /** A register has changed: what waits may find a way now. */
  #changed(): void {
    this.deliverQueued();
    if (this.#accepts(this.#messagePage)) this.#tellRoom();
  }

  #tellRoom(): void {
    if (this.#state.values.starved === 0) return;
    this.#state.values.starved = 0;
    this.#host.roomAgain();
  }

  /** Tells the local APIC what the vectors of all sources need, after a reset of the processor or a restore. */
  assistVectors(): void {
    for (let sint = 0; sint < SINT_COUNT; sint++) this.#assist(this.#sources.low(sint) & 0xff);
  }

  /** The APIC's EOI of a vector: a source's next message may follow. */
  endOfInterrupt(vector: number): void {
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      if ((this.#sources.low(sint) & 0xff) === vector) this.#state.locked(() => this.#deliverNext(sint));
    }
  }

  /** The EOM register, and whatever else may have made a slot usable. */
  deliverQueued(): void {
    if (this.#state.values.bufferSource.every((source) => source === 0)) return;
    this.#state.locked(() => {
      for (let sint = 0; sint < SINT_COUNT; sint++) this.#deliverNext(sint);
    });
  }

  // ---- messages and events -----------------------------------------------------------------------------------------

  /**
   * Posts a message.
   * @param payload at most PAYLOAD_LIMIT bytes
   * @returns SUCCESS; INVALID_SYNIC_STATE when controller or page are off; INSUFFICIENT_BUFFERS when too many wait
   */
  postMessage(sint: number, type: number, sender: bigint, payload: Uint8Array): HvStatus {
    return this.#state.locked(() => {
      const { values } = this.#state;
      if (!this.#accepts(this.#messagePage)) {
        values.starved = 1;
        return HV_STATUS.INVALID_SYNIC_STATE;
      }
      const buffer = values.bufferSource.subarray(0, BUFFERS).indexOf(0);
      if (buffer < 0) {
        values.starved = 1;
        return HV_STATUS.INSUFFICIENT_BUFFERS;
      }
      this.#fill(buffer, sint, type, sender, payload);
      this.#deliverNext(sint);
      return HV_STATUS.SUCCESS;
    });
  }

  /** A timer's message, in the timer's own buffer. @returns false when its last one still waits there */
  postTimerMessage(timer: number, sint: number, type: number, payload: Uint8Array): boolean {
    return this.#state.locked(() => {
      const buffer = BUFFERS + timer;
      if (this.#state.values.bufferSource[buffer] !== 0) return false;
      this.#fill(buffer, sint, type, 0n, payload);
      if (this.#accepts(this.#messagePage)) this.#deliverNext(sint);
      return true;
    });
  }

  /** Sets an event flag. `newly`: it was clear. */
  signalEvent(sint: number, flag: number): { readonly status: HvStatus; readonly newly: boolean } {
    const source = this.#sources.low(sint);
    const isDeaf = (source & SINT_MASKED) !== 0 && (source & SINT_POLLING) === 0;
    if (!this.#accepts(this.#eventFlagsPage) || isDeaf) return { status: HV_STATUS.INVALID_SYNIC_STATE, newly: false };
    const bit = 1 << (flag & 31);
    const before = Atomics.or(this.#flags, (sint * FLAGS_BYTES) / 4 + (flag >>> 5), bit);
    const newly = (before & bit) === 0;
    if (newly) {
      this.#state.values.events++;
      this.#interrupt(sint);
    }
    return { status: HV_STATUS.SUCCESS, newly };
  }

  #accepts(page: Words64): boolean {
    return (this.#control.low() & page.low() & ENABLE) !== 0;
  }

  #fill(buffer: number, sint: number, type: number, sender: bigint, payload: Uint8Array): void {
    const { values } = this.#state;
    const start = buffer * MESSAGE_BYTES;
    const bytes = values.buffers.subarray(start, start + MESSAGE_BYTES).fill(0);
    const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_BYTES);
    view.setUint32(MESSAGE.type, type, true);
    view.setUint8(MESSAGE.size, payload.length);
    view.setBigUint64(MESSAGE.sender, sender, true);
    bytes.set(payload, HEADER_BYTES);
    values.bufferSource[buffer] = sint + 1;
    values.bufferOrder[buffer] = values.nextOrder;
    values.nextOrder = values.nextOrder + 1;
  }

  /** The source's oldest buffer; -1 when none waits. `others`: more wait behind it. */
  #oldest(sint: number): { readonly buffer: number; readonly others: boolean } {
    const { bufferSource, bufferOrder } = this.#state.values;
    let buffer = -1;
    let count = 0;
    for (let candidate = 0; candidate < ALL_BUFFERS; candidate++) {
      if (bufferSource[candidate] !== sint + 1) continue;
      count++;
      // Orders are compared as a difference: the counter may have turned over.
      const age = ((bufferOrder[candidate] ?? 0) - (bufferOrder[buffer] ?? 0)) | 0;
      if (buffer < 0 || age < 0) buffer = candidate;
    }
    return { buffer, others: count > 1 };
  }

  /** Moves the source's oldest message into its slot when that is empty. Under the lock. */
  #deliverNext(sint: number): void {
    const { buffer, others } = this.#oldest(sint);
    if (buffer < 0 || !this.#accepts(this.#messagePage)) return;
    const { values } = this.#state;
    const slot = sint * MESSAGE_BYTES;
    const { bytes, types } = this.#slots;
    if (Atomics.load(types, slot / 4) !== 0) {
      Atomics.or(bytes, slot + MESSAGE.flags, MESSAGE_PENDING);
      if (Atomics.load(types, slot / 4) !== 0) return;
    }
    const start = buffer * MESSAGE_BYTES;
    const message = values.buffers.subarray(start, start + MESSAGE_BYTES);
    bytes.set(message.subarray(MESSAGE.size), slot + MESSAGE.size);
    bytes[slot + MESSAGE.flags] = others ? MESSAGE_PENDING : 0;
    const type = new DataView(message.buffer, message.byteOffset, 4).getInt32(0, true);
    // The type last: with it the message is there.
    Atomics.store(types, slot / 4, type);
    values.bufferSource[buffer] = 0;
    values.messages++;
    this.#interrupt(sint);
    if (buffer < BUFFERS) this.#tellRoom();
  }

  /** Asks for the source's interrupt; a masked one is lost. */
  #interrupt(sint: number): void {
    const source = this.#sources.low(sint);
    if ((source & (SINT_MASKED | SINT_POLLING)) !== 0) return;
    this.#host.deliver({
      vector: source & 0xff,
      deliveryMode: 0,
      destination: this.processor,
      logicalDestination: false,
      levelTriggered: false,
    });
  }

  /** Of a vector, what the sources that have it ask for. */
  #assist(vector: number): void {
    if (vector < LOWEST_VECTOR) return;
    let automaticEoi = false;
    let eoiNotice = false;
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      const source = this.#sources.low(sint);
      if ((source & 0xff) !== vector || (source & SINT_MASKED) !== 0) continue;
      if ((source & SINT_AUTOMATIC_EOI) !== 0) automaticEoi = true;
      else eoiNotice = true;
    }
    this.#host.assistVector(this.processor, vector, { automaticEoi, eoiNotice });
  }

  #placePages(): void {
    this.#overlays.place(OVERLAY.eventFlags(this.processor), this.#eventFlagsPage.get(), 'overlay');
    this.#overlays.place(OVERLAY.messages(this.processor), this.#messagePage.get(), 'overlay');
  }

  // ------------------------------------------------------------------------------------------------------------------

  inspect(): InspectTree {
    const { values } = this.#state;
    const sources: Record<string, InspectTree> = {};
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      const source = this.#sources.low(sint);
      const queued = values.bufferSource.filter((owner) => owner === sint + 1).length;
      if (source === Number(SINT_AFTER_RESET) && queued === 0) continue;
      sources[sint] = {
        vector: source & 0xff,
        masked: (source & SINT_MASKED) !== 0,
        automaticEoi: (source & SINT_AUTOMATIC_EOI) !== 0,
        polling: (source & SINT_POLLING) !== 0,
        queuedMessages: queued,
        slotMessageType: Atomics.load(this.#slots.types, (sint * MESSAGE_BYTES) / 4) >>> 0,
      };
    }
    return {
      enabled: (this.#control.low() & ENABLE) !== 0,
      messagePage: `0x${this.#messagePage.get().toString(16)}`,
      eventFlagsPage: `0x${this.#eventFlagsPage.get().toString(16)}`,
      sources,
      messagesDelivered: values.messages,
      eventsSignalled: values.events,
    };
  }

  save(): SavedSynic {
    return {
      version: 1,
      state: this.#state.save(),
      messagePage: Array.from(this.#slots.bytes),
      eventFlagsPage: Array.from(this.#overlays.page(OVERLAY.eventFlags(this.processor), 'read')),
    };
  }

  /** @throws PlinthError PL-4103, PL-4104 for what `save` did not give */
  restore(saved: {
    readonly state: unknown;
    readonly messagePage: Uint8Array;
    readonly eventFlagsPage: Uint8Array;
  }): void {
    this.#state.restore(saved.state);
    this.#slots.bytes.set(saved.messagePage);
    this.#overlays.page(OVERLAY.eventFlags(this.processor), 'write').set(saved.eventFlagsPage);
    this.#placePages();
    this.assistVectors();
  }
}
