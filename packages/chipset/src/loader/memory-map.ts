/**
 * The guest's memory map as firmware would report it (INT 15h function E820h; address range types of ACPI 6.5, table 15.2).
 * Called by `linux.ts` and `multiboot.ts`.
 *
 * Invariants: entries are sorted, do not overlap, and none is empty; 640 KiB to 1 MiB is never RAM.
 */
import type { GpaRange, MemoryMapEntry, ReservedRange } from './types.ts';

/** 640 KiB to 1 MiB: VGA's window, option ROMs and firmware. */
const firmwareHole = { start: 0xa0000, end: 0x100000 } as const satisfies GpaRange;

/** Type numbers of the E820 interface. */
export const typeNumber = { ram: 1, reserved: 2, 'acpi-reclaimable': 3, 'acpi-nvs': 4 } as const satisfies Record<
  MemoryMapEntry['type'],
  number
>;

/** Bytes of one entry in the boot parameters: address and length (64 bits each), type (32 bits). */
const memoryMapEntryBytes = 20;

/**
 * The map of a machine with RAM from 0 to `memoryBytes`. Of reserved ranges that overlap, the earlier one in the list counts.
 */
export function memoryMap(memoryBytes: number, reserved: readonly ReservedRange[]): MemoryMapEntry[] {
  const claims: readonly MemoryMapEntry[] = [
    ...reserved,
    { ...firmwareHole, type: 'reserved' },
    { start: 0, end: memoryBytes, type: 'ram' },
  ];
  const edges = [...new Set(claims.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const entries: { start: number; end: number; type: MemoryMapEntry['type'] }[] = [];
  edges.forEach((start, index) => {
    const end = edges[index + 1];
    const claim = claims.find((candidate) => candidate.start <= start && start < candidate.end);
    if (end === undefined || claim === undefined) return;
    const last = entries.at(-1);
    if (last !== undefined && last.end === start && last.type === claim.type) last.end = end;
    else entries.push({ start, end, type: claim.type });
  });
  return entries;
}

/**
 * The highest place for `size` bytes within `window` that is RAM throughout; undefined when there is none.
 *
 * @param alignment a power of two
 */
export function highestPlace(
  map: readonly MemoryMapEntry[],
  window: GpaRange,
  size: number,
  alignment: number,
): number | undefined {
  for (const entry of [...map].reverse()) {
    if (entry.type !== 'ram') continue;
    const end = Math.min(entry.end, window.end);
    const start = Math.floor((end - size) / alignment) * alignment;
    if (start >= Math.max(entry.start, window.start)) return start;
  }
  return undefined;
}

/** Whether the whole range is RAM. */
export function isRam(map: readonly MemoryMapEntry[], range: GpaRange): boolean {
  return map.some((entry) => entry.type === 'ram' && entry.start <= range.start && range.end <= entry.end);
}

/** The entries as the boot parameters hold them. */
export function encodeMemoryMap(map: readonly MemoryMapEntry[]): Uint8Array {
  const bytes = new Uint8Array(map.length * memoryMapEntryBytes);
  const view = new DataView(bytes.buffer);
  map.forEach((entry, index) => {
    const at = index * memoryMapEntryBytes;
    view.setBigUint64(at, BigInt(entry.start), true);
    view.setBigUint64(at + 8, BigInt(entry.end - entry.start), true);
    view.setUint32(at + 16, typeNumber[entry.type], true);
  });
  return bytes;
}
