/**
 * Overlay pages: pages of the hypervisor that cover a page of the guest's memory where the guest asks for it (TLFS, "GPA overlay pages").
 *
 * Each overlay has a page of its own behind RAM, which keeps its content wherever it lies; RAM beneath reappears when it is taken away.
 * A register with the page number in bits 63:12 and an enable bit 0 says where. An address beyond the guest-physical space shows
 * nothing. Invariant: at most one slot per overlay. Called by: the registers' handlers, on their processor's thread.
 */
import { PAGE_BYTES } from '../gpa-space.ts';
import type { Partition } from '../partition.ts';

/** Numbers of the pages behind RAM: two of the partition, then three for each virtual processor. */
export const OVERLAY = {
  hypercall: 0,
  referenceTsc: 1,
  messages: (processor: number): number => 2 + 3 * processor,
  eventFlags: (processor: number): number => 3 + 3 * processor,
  assist: (processor: number): number => 4 + 3 * processor,
} as const;

const PAGE_MASK = ~0xfffn;

export class OverlayPages {
  readonly #partition: Partition;

  constructor(partition: Partition) {
    this.#partition = partition;
  }

  /** The page's bytes; for writing, code that was decoded from it counts as stale. */
  page(number: number, access: 'read' | 'write'): Uint8Array {
    return this.#partition.guestMemory.overlayPage(number, access);
  }

  /**
   * Puts an overlay where its register says.
   * @param kind `rom` when the guest's writes are to be dropped
   */
  place(number: number, register: bigint, kind: 'overlay' | 'rom'): void {
    const { space, layout } = this.#partition;
    const hostOffset = layout.ramOffset + layout.ramBytes + number * PAGE_BYTES;
    const address = register & PAGE_MASK;
    const limit = 1n << BigInt(this.#partition.physicalAddressBits);
    const start = (register & 1n) === 1n && address < limit ? Number(address) : undefined;
    const slot = space.slots.find((candidate) => candidate.hostOffset === hostOffset);
    if (slot !== undefined) {
      if (slot.start === start) return;
      space.unmap(slot.identifier);
    }
    if (start !== undefined) {
      space.map({ kind, start, end: start + PAGE_BYTES, hostOffset, priority: OVERLAY_PRIORITY });
    }
  }
}

/** Above RAM, ROM and devices alike. */
const OVERLAY_PRIORITY = 100;
