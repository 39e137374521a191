/**
 * The guest-physical address space of a partition: a table of slots, first match wins.
 *
 * The table lies in the partition header (SHARED.slots), where every engine and every thread reads it; this class writes
 * it and answers look-ups. A slot of a higher priority hides those below it, which is how overlay pages (TLFS 5.2.1),
 * shadowed ROM and devices' registers lie over RAM. Addresses in no slot behave as a hole: reads are all ones, writes
 * are dropped.
 *
 * Invariants: entries are sorted by falling priority; bounds are whole 4 KiB pages; what a slot points to lies inside
 * the memory; `slotGeneration` is odd while the table is being rewritten and another even number afterwards.
 * Called by: partition.ts, guest-memory.ts, loaders; engines read the table itself.
 */
import { PlinthError } from '@plinth/errors';
import { type MemoryLayout, SHARED, SHARED_OFFSET, SLOT_BYTES, SLOT_LIMIT } from './memory-layout.ts';
import { SharedLock } from './shared-state.ts';

/** How a slot answers: `rom` ignores writes, `mmio` intercepts both ways, `overlay` is RAM that lies elsewhere. */
export type SlotKind = 'ram' | 'rom' | 'mmio' | 'hole' | 'overlay';

/** The numbers of the kinds in the shared table. */
export const SLOT_KIND_NUMBER = { ram: 1, rom: 2, mmio: 3, hole: 4, overlay: 5 } as const satisfies Record<
  SlotKind,
  number
>;

const KIND_OF_NUMBER: readonly (SlotKind | undefined)[] = [undefined, 'ram', 'rom', 'mmio', 'hole', 'overlay'];

/** The priority that a kind has when none is given. */
export const SLOT_PRIORITY = { ram: 10, rom: 20, hole: 5, mmio: 50, overlay: 100 } as const satisfies Record<
  SlotKind,
  number
>;

export const PAGE_BYTES = 4096;
/** Guest-physical addresses end here: 2^52, the most that x86-64 page tables can name. */
export const GPA_LIMIT = 2 ** 52;

export interface Slot {
  /** Given by the space; unique in it. */
  readonly identifier: number;
  readonly kind: SlotKind;
  /** First guest-physical address. */
  readonly start: number;
  /** First guest-physical address behind the slot. */
  readonly end: number;
  /** Byte offset of `start`'s byte in the partition's memory; 0 for mmio and hole. */
  readonly hostOffset: number;
  readonly priority: number;
}

export interface SlotRequest {
  readonly kind: SlotKind;
  readonly start: number;
  readonly end: number;
  readonly hostOffset?: number;
  readonly priority?: number;
}

const hexadecimal = (value: number): string => `0x${value.toString(16)}`;

/** Header fields as indices of a Uint32Array that begins at SHARED_OFFSET. */
const COUNT = SHARED.slotCount >> 2;
const GENERATION = SHARED.slotGeneration >> 2;
/** Fields of a slot entry as indices of its u32s. */
const ENTRY = { startLow: 0, startHigh: 1, endLow: 2, endHigh: 3, kind: 4, hostOffset: 5, identifier: 6, priority: 7 };
const ENTRY_WORDS = SLOT_BYTES >> 2;

export class GpaSpace {
  readonly #words: Uint32Array;
  readonly #memoryBytes: number;
  readonly #lock: SharedLock;
  #slots: readonly Slot[] = [];
  #generation = -1;

  /** @param buffer the partition's memory; the table in it is taken as it is (zeros: no slots) */
  constructor(buffer: ArrayBufferLike, layout: MemoryLayout) {
    this.#words = new Uint32Array(buffer, SHARED_OFFSET, (SHARED.slots + SLOT_LIMIT * SLOT_BYTES) >> 2);
    this.#memoryBytes = layout.totalBytes;
    this.#lock = new SharedLock(new Int32Array(buffer, SHARED_OFFSET, 64), SHARED.hostLock >> 2, 'slot table');
  }

  /** The slots in the order of their priority. Follows changes that other threads made. */
  get slots(): readonly Slot[] {
    if (Atomics.load(this.#words, GENERATION) !== this.#generation) this.#reload();
    return this.#slots;
  }

  /** The slot that answers at an address; undefined where nothing is mapped. */
  find(gpa: number): Slot | undefined {
    for (const slot of this.slots) {
      if (gpa >= slot.start && gpa < slot.end) return slot;
    }
    return undefined;
  }

  /** The first address behind `gpa` at which another slot may answer than at `gpa` itself. */
  extentEnd(gpa: number): number {
    let end = GPA_LIMIT;
    for (const slot of this.slots) {
      if (gpa >= slot.start && gpa < slot.end) return Math.min(end, slot.end);
      if (slot.start > gpa && slot.start < end) end = slot.start;
    }
    return end;
  }

  /**
   * Adds a slot.
   * @throws PlinthError PL-4105 for bounds that are no pages or lie outside the memory, PL-4108 when the table is full
   */
  map(request: SlotRequest): Slot {
    const { kind, start, end, hostOffset = 0, priority = SLOT_PRIORITY[kind] } = request;
    const refuse = (problem: string): PlinthError =>
      new PlinthError('PL-4105', { start: hexadecimal(start), end: hexadecimal(end), problem });
    const isPage = (value: number): boolean => Number.isSafeInteger(value) && value >= 0 && value % PAGE_BYTES === 0;
    if (!isPage(start) || !isPage(end) || end > GPA_LIMIT) throw refuse('its bounds are not pages of the GPA space');
    if (start >= end) throw refuse('it is empty');
    if (kind === 'mmio' || kind === 'hole') {
      if (hostOffset !== 0) throw refuse('it has no memory behind it');
    } else if (!isPage(hostOffset) || hostOffset + (end - start) > this.#memoryBytes) {
      throw refuse('the memory behind it lies outside the partition');
    }
    return this.#change((slots) => {
      const identifier = slots.reduce((highest, slot) => Math.max(highest, slot.identifier), 0) + 1;
      const slot: Slot = { identifier, kind, start, end, hostOffset, priority };
      const position = slots.findIndex((other) => other.priority <= priority);
      return [position < 0 ? [...slots, slot] : slots.toSpliced(position, 0, slot), slot];
    });
  }

  /** Removes a slot; what lies under it answers again. Unknown identifiers are ignored. */
  unmap(identifier: number): void {
    this.#change((slots) => [slots.filter((slot) => slot.identifier !== identifier), undefined]);
  }

  /** Makes every processor forget its translations, at the latest at its next poll. */
  flushTranslations(): void {
    // By 2: an odd generation would say that the table is being rewritten.
    Atomics.add(this.#words, GENERATION, 2);
  }

  /** Makes a slot answer as RAM or ROM, as chipsets do with shadowed firmware ranges. */
  setKind(identifier: number, kind: 'ram' | 'rom'): void {
    this.#change((slots) => [
      slots.map((slot) => (slot.identifier === identifier ? { ...slot, kind } : slot)),
      undefined,
    ]);
  }

  #change<Result>(edit: (slots: readonly Slot[]) => readonly [readonly Slot[], Result]): Result {
    this.#lock.lock();
    try {
      this.#reload();
      const [slots, result] = edit(this.#slots);
      if (slots.length > SLOT_LIMIT) throw new PlinthError('PL-4108', { table: 'the slot table', limit: SLOT_LIMIT });
      // Odd for as long as the table is torn: whoever reads it then reads it again.
      Atomics.add(this.#words, GENERATION, 1);
      slots.forEach((slot, position) => {
        this.#words.set(encodeSlot(slot), (SHARED.slots >> 2) + position * ENTRY_WORDS);
      });
      Atomics.store(this.#words, COUNT, slots.length);
      this.#generation = (Atomics.add(this.#words, GENERATION, 1) + 1) >>> 0;
      this.#slots = slots;
      return result;
    } finally {
      this.#lock.unlock();
    }
  }

  #reload(): void {
    for (;;) {
      const generation = Atomics.load(this.#words, GENERATION);
      if (generation % 2 === 1) continue;
      const count = Math.min(Atomics.load(this.#words, COUNT), SLOT_LIMIT);
      const slots: Slot[] = [];
      for (let position = 0; position < count; position++) {
        const slot = decodeSlot(this.#words, (SHARED.slots >> 2) + position * ENTRY_WORDS);
        if (slot !== undefined) slots.push(slot);
      }
      if (Atomics.load(this.#words, GENERATION) !== generation) continue;
      this.#slots = slots;
      this.#generation = generation;
      return;
    }
  }
}

function encodeSlot(slot: Slot): number[] {
  const { start, end, kind, hostOffset, identifier, priority } = slot;
  const high = (value: number): number => Math.floor(value / 2 ** 32);
  return [start, high(start), end, high(end), SLOT_KIND_NUMBER[kind], hostOffset, identifier, priority];
}

function decodeSlot(words: Uint32Array, at: number): Slot | undefined {
  const word = (field: number): number => words[at + field] ?? 0;
  const kind = KIND_OF_NUMBER[word(ENTRY.kind)];
  if (kind === undefined) return undefined;
  return {
    identifier: word(ENTRY.identifier),
    kind,
    start: word(ENTRY.startLow) + word(ENTRY.startHigh) * 2 ** 32,
    end: word(ENTRY.endLow) + word(ENTRY.endHigh) * 2 ** 32,
    hostOffset: word(ENTRY.hostOffset),
    priority: word(ENTRY.priority),
  };
}

/** The classic gap of PC memory between conventional memory and 0xC0000: VGA and nothing. */
export const LOW_HOLE = { start: 0xa0000, end: 0xc0000 } as const;

/**
 * Maps RAM as a PC has it: conventional memory, a hole for VGA, RAM where option ROMs and firmware are shadowed, and
 * everything from 1 MiB on. RAM keeps its own address as its offset, so a byte at GPA g lies at ramOffset + g.
 */
export function mapPcMemory(space: GpaSpace, layout: MemoryLayout): void {
  const { ramOffset, ramBytes } = layout;
  const ram = (start: number, end: number): void => {
    if (start < end) space.map({ kind: 'ram', start, end, hostOffset: ramOffset + start });
  };
  // Looked up most often first: equal priorities keep the order of the newest in front.
  space.map({ kind: 'hole', start: LOW_HOLE.start, end: LOW_HOLE.end });
  ram(LOW_HOLE.end, Math.min(0x100000, ramBytes));
  ram(0, Math.min(LOW_HOLE.start, ramBytes));
  ram(0x100000, ramBytes);
}
