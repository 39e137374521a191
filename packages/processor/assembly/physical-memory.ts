/**
 * Guest-physical memory: slots of the GPA space, page records, and reads and writes by guest-physical address.
 *
 * A write to RAM marks its page and drops decoded code that it hits. Where there is no slot, reads give all ones and writes are lost.
 * Answers to: packages/hypervisor's GPA space. Called by page-walk.ts, tlb.ts and memory.ts.
 */
import * as L from './generated/layout';
import { vp } from './state';
import { hostLoadPage, hostMmioRead, hostMmioWrite } from './host';
import { apicRead, apicWrite } from './apic';
import { invalidateCode } from './blocks';

export const KIND_RAM: u32 = 1;
export const KIND_ROM: u32 = 2;
const KIND_MMIO: u32 = 3;
export const KIND_OVERLAY: u32 = 5;

/** Kind of the slot found by findSlot, and its host address of the byte asked for. */
let slotKind: u32 = 0;
let slotHost: usize = 0;
// @ts-ignore: decorator
@inline
export function foundKind(): u32 {
  return slotKind;
}
// @ts-ignore: decorator
@inline
export function foundHost(): usize {
  return slotHost;
}

/**
 * Looks the GPA up in the slot table; leaves kind (0: no slot) and host address. The page's content is there then, whoever has it until it
 * is touched: every way to guest memory that has no TLB entry comes by here, page walks and instruction fetches too.
 */
export function findSlot(gpa: u64): void {
  const count = load<u32>(L.SHARED + L.SHARED_SLOT_COUNT);
  let slot: usize = L.SHARED + L.SHARED_SLOTS;
  for (let i: u32 = 0; i < count; i++) {
    if (gpa >= load<u64>(slot) && gpa < load<u64>(slot, 8)) {
      slotKind = load<u32>(slot, 16);
      slotHost = load<u32>(slot, 20) + <u32>(gpa - load<u64>(slot));
      if (atomic.load<u32>(L.SHARED + L.SHARED_ABSENT_PAGES) != 0) bringIn();
      return;
    }
    slot += L.SLOT_BYTES;
  }
  slotKind = 0;
  slotHost = 0;
}

/** Loads the found page when it is absent. */
function bringIn(): void {
  if (slotKind != KIND_RAM && slotKind != KIND_ROM) return;
  const record = pageRecordOfHost(slotHost);
  if (record == 0 || (atomic.load<u32>(record + 8) & L.PAGE_FLAG_ABSENT) == 0) return;
  hostLoadPage(<u32>(slotHost - load<u32>(L.SHARED + L.SHARED_RAM_OFFSET)) >> 12);
}

/** @returns host address for reading RAM-like memory at gpa, or 0. */
export function readablePointer(gpa: u64): usize {
  findSlot(gpa);
  return slotKind == KIND_RAM || slotKind == KIND_ROM || slotKind == KIND_OVERLAY ? slotHost : 0;
}

/** Page record of a RAM host address, or 0 when the address is not in RAM. */
export function pageRecordOfHost(host: usize): usize {
  const ram: usize = load<u32>(L.SHARED + L.SHARED_RAM_OFFSET);
  if (host < ram) return 0;
  const page = <u32>(host - ram) >> 12;
  return load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + page * L.PAGE_RECORD_BYTES;
}

export function isApicPage(gpa: u64): bool {
  const base = load<u64>(vp, L.APIC_BASE);
  return (base & 0xc00) == 0x800 && (gpa & ~0xfff) == (base & 0x000ffffffffff000);
}

/** Reads 1, 2, 4 or 8 bytes that do not cross a page. */
export function physicalRead(gpa: u64, size: u32): u64 {
  if (isApicPage(gpa)) return apicRead(<u32>gpa & 0xfff, size);
  findSlot(gpa);
  if (slotKind == KIND_MMIO) {
    if (size <= 4) return hostMmioRead(<f64>gpa, size);
    const low = hostMmioRead(<f64>gpa, 4);
    return (<u64>hostMmioRead(<f64>(gpa + 4), 4) << 32) | low;
  }
  if (slotKind == 0 || slotKind == 4) return 0xffffffffffffffff;
  if (size == 1) return load<u8>(slotHost);
  if (size == 2) return load<u16>(slotHost);
  if (size == 4) return load<u32>(slotHost);
  return load<u64>(slotHost);
}

export function physicalWrite(gpa: u64, size: u32, value: u64): void {
  if (isApicPage(gpa)) {
    apicWrite(<u32>gpa & 0xfff, <u32>value);
    return;
  }
  findSlot(gpa);
  if (slotKind == KIND_MMIO) {
    if (size <= 4) hostMmioWrite(<f64>gpa, size, <u32>value);
    else {
      hostMmioWrite(<f64>gpa, 4, <u32>value);
      hostMmioWrite(<f64>(gpa + 4), 4, <u32>(value >> 32));
    }
    return;
  }
  if (slotKind != KIND_RAM && slotKind != KIND_OVERLAY) return;
  const host = slotHost;
  if (size == 1) store<u8>(host, <u8>value);
  else if (size == 2) store<u16>(host, <u16>value);
  else if (size == 4) store<u32>(host, <u32>value);
  else store<u64>(host, value);
  noteWrite(host, size);
}

/** Marks a write to RAM that did not go through a write entry, and drops decoded code it hits. */
export function noteWrite(host: usize, size: u32): void {
  const record = pageRecordOfHost(host);
  if (record == 0) return;
  atomic.or<u32>(record + 8, L.PAGE_FLAG_DIRTY | L.PAGE_FLAG_TOUCHED);
  if (load<u64>(record) != 0) {
    const ram: usize = load<u32>(L.SHARED + L.SHARED_RAM_OFFSET);
    invalidateCode(<u32>(host - ram) >> 12, <u32>host & 0xfff, size);
  }
}
