/**
 * The map of a partition's one shared WebAssembly memory.
 *
 *     0            static data of the software engine (constant: every instance writes the same bytes again)
 *     SHARED       partition header, slot table, CPUID table, emulated devices' shared state
 *     PAGES        one 16-byte record per RAM page: code lines; dirty, touched and absent flags
 *     PROCESSORS   one block per virtual processor: registers, TLBs, decoded code
 *     RAM          guest RAM, at a 2 MiB boundary
 *     OVERLAYS     the hypervisor's overlay pages (TLFS 5.2.1); they have page records and hold code as RAM does
 *
 * Invariant: everything that changes lies at offsets computed here and passed in, never in an instance's static data,
 * so that several engine instances (one per virtual processor's worker) can share the memory.
 * Called by: whoever creates a partition (vmwp) and the engines.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** End of the area that the software engine's static data may fill. */
const STATIC_BYTES = 1 * MIB;

/** Byte offset of the partition header. */
export const SHARED_OFFSET = STATIC_BYTES;

/** Fields of the partition header, as byte offsets from SHARED_OFFSET. The assembly core reads the same numbers. */
export const SHARED = {
  /** u32: number of valid entries in the slot table. */
  slotCount: 0x00,
  /** u32: bumped whenever the slot table changes; processors flush their TLBs when they see another value. */
  slotGeneration: 0x04,
  /** u32: number of entries in the CPUID table. */
  cpuidCount: 0x08,
  /** u32: number of virtual processors. */
  processorCount: 0x0c,
  /** u32: byte offset of the page records. */
  pagesOffset: 0x10,
  /** u32: byte offset of RAM. */
  ramOffset: 0x14,
  /** u32: bytes of RAM. */
  ramBytes: 0x18,
  /** u32: byte offset of the first virtual processor's block. */
  processorsOffset: 0x1c,
  /** u32: bytes from one virtual processor's block to the next. */
  processorStride: 0x20,
  /** u32: write count of the host-write ring (see GuestMemory); each entry is a page number. */
  hostWriteCount: 0x24,
  /** f64: TSC ticks per nanosecond. */
  tscPerNanosecond: 0x28,
  /** u32: level of the i8259 pair's INT output (0 or 1), read by the processor that takes ExtINT. */
  externalInterrupt: 0x30,
  /** u32: guest-physical address width in bits. */
  physicalAddressBits: 0x34,
  /** u32: lock of the writers of the slot table and of the host-write ring (shared-state.ts has its protocol). */
  hostLock: 0x38,
  /** u32: number of overlay pages, which lie directly behind RAM. */
  overlayPages: 0x3c,
  /** u64: the partition's id; u64: its privileges (HV_PARTITION_PRIVILEGE_MASK); u64: those of the root on its behalf; u32: its state. */
  partitionId: 0x40,
  privileges: 0x48,
  rootPrivileges: 0x50,
  partitionState: 0x58,
  /** u64: bit per feature that the partition's processors do not have, in the order of their names (processor: cpu-features.ts). */
  absentFeatures: 0x60,
  /** u32: RAM pages whose content is not there yet (absent-pages.ts). */
  absentPages: 0x68,
  /** Slot table: 64 entries of 32 bytes {u64 start, u64 end, u32 kind, u32 host offset, u32 identifier, u32 reserved}. */
  slots: 0x400,
  /** CPUID table: 128 entries of 32 bytes {u32 leaf, u32 subleaf (0xffffffff: any), u32 eax, ebx, ecx, edx, u32 x2}. */
  cpuid: 0x1000,
  /** Host-write ring: 1024 u32 page numbers. */
  hostWrites: 0x3000,
  /** Emulated devices' shared state. */
  devices: 0x10000,
} as const;

export const SLOT_BYTES = 32;
export const SLOT_LIMIT = 64;
export const CPUID_ENTRY_BYTES = 32;
export const CPUID_LIMIT = 128;
export const HOST_WRITE_RING = 1024;
/** Bytes for emulated devices' shared state, from SHARED.devices on. */
export const DEVICE_STATE_BYTES = 1 * MIB;
const SHARED_BYTES = SHARED.devices + DEVICE_STATE_BYTES;

/** Bytes of one page record. */
export const PAGE_RECORD_BYTES = 16;
/** Fields of a page record. codeLines: u64, bit n set when decoded code lies in bytes 64n..64n+63 of the page. */
export const PAGE_RECORD = { codeLines: 0, flags: 8, codeChanges: 12 } as const;
/** Bits of a page record's flags (u32). */
export const PAGE_FLAG = {
  /** Written since the dirty log was last read. */
  dirty: 1,
  /** Read or written by the guest at all (for guestTouchedBytes). */
  touched: 2,
  /** Its content lies elsewhere, and is brought in before anybody reads or writes it (absent-pages.ts). */
  absent: 4,
} as const;

/** Largest RAM of a partition on the software engine: what fits into 4 GiB beside everything else. */
export const RAM_LIMIT_BYTES = 3072 * MIB;

/** Fixed part of a virtual processor's block; the per-page table of decoded blocks follows it. */
const PROCESSOR_FIXED_BYTES = 24 * MIB;

/** Overlay pages of a partition: those of all of it, and those of each virtual processor. */
const PARTITION_OVERLAYS = 2;
const PROCESSOR_OVERLAYS = 3;

export interface MemoryLayout {
  readonly processors: number;
  readonly ramBytes: number;
  /** Pages behind RAM that overlays show; see overlay-pages.ts. */
  readonly overlayPages: number;
  readonly pagesOffset: number;
  readonly processorsOffset: number;
  readonly processorStride: number;
  readonly ramOffset: number;
  readonly totalBytes: number;
}

const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/**
 * Lays out the memory of a partition.
 * @param ramBytes a multiple of 1 MiB, at most RAM_LIMIT_BYTES
 * @param processors number of virtual processors, at least 1
 * @throws RangeError when the whole would pass 4 GiB (callers check sizes first and say it better)
 */
export function layoutMemory(ramBytes: number, processors: number): MemoryLayout {
  const overlayPages = PARTITION_OVERLAYS + PROCESSOR_OVERLAYS * processors;
  const pages = ramBytes / 4096 + overlayPages;
  const pagesOffset = alignUp(SHARED_OFFSET + SHARED_BYTES, 64 * KIB);
  const processorsOffset = alignUp(pagesOffset + pages * PAGE_RECORD_BYTES, 64 * KIB);
  const processorStride = alignUp(PROCESSOR_FIXED_BYTES + pages * 4, 64 * KIB);
  const ramOffset = alignUp(processorsOffset + processors * processorStride, 2 * MIB);
  const totalBytes = alignUp(ramOffset + ramBytes + overlayPages * 4096, 64 * KIB);
  if (totalBytes > 4096 * MIB) throw new RangeError(`layout of ${totalBytes} bytes passes 4 GiB`);
  return { processors, ramBytes, overlayPages, pagesOffset, processorsOffset, processorStride, ramOffset, totalBytes };
}
