/**
 * Guest memory as the processor sees it: linear addresses through TLBs and page tables to slots of the GPA space.
 *
 * TLBs: eight sets, one per recently used PCID (without PCID only the first is used). A set holds for each of three contexts
 * (supervisor, supervisor with EFLAGS.AC set, user) a read and a write table of 1024 entries {u64 page, u32 addend}. An access
 * of n bytes at `a` hits when the entry of page(a) holds page(a + n - 1): one comparison covers validity, permission and page
 * crossing. Entries exist only for plain RAM; write entries only for pages that are dirty and hold no decoded code. Everything else
 * (MMIO, holes, crossing, code pages) goes through the slow functions, with a scratch area standing in for the operand.
 *
 * Answers to: AMD64 manual volume 2, chapters 5 and 7. Called by everything in the core that touches memory.
 */
import * as L from './generated/layout';
import {
  vp, raise, CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, CR4_PCIDE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, FLAG_AC,
  VECTOR_GP, VECTOR_PF, MODE_64, MODE_LONG,
} from './state';
import { hostMmioRead, hostMmioWrite } from './host';
import { apicRead, apicWrite } from './apic';
import { invalidateCode } from './blocks';

const TLB_ENTRIES: u32 = 1024;
const TLB_BYTES: u32 = TLB_ENTRIES * 16;
/** Read and write tables of one context. */
const CONTEXT_BYTES: u32 = 2 * TLB_BYTES;
const SET_BYTES: u32 = 3 * CONTEXT_BYTES;
const SETS: u32 = 8;
/** Behind the tables: per set {u32 pcid or 0xffffffff, u32 last use, u32 x4 generations by mode}, 32 bytes each; then the use counter and generation counter. */
const SET_HEADERS: u32 = SETS * SET_BYTES;
const SET_HEADER_BYTES: u32 = 32;
const CURRENT_SET: u32 = SET_HEADERS + SETS * SET_HEADER_BYTES;
const USE_COUNTER: u32 = CURRENT_SET + 4;
const NEXT_GENERATION: u32 = CURRENT_SET + 8;
/** 4096-bit filter of pages that were executed since the last new generation of any set. */
const EXECUTED_FILTER: u32 = CURRENT_SET + 16;
const INVALID_TAG: u64 = 1;

export const ACCESS_READ: u32 = 0;
export const ACCESS_WRITE: u32 = 1;
export const ACCESS_EXECUTE: u32 = 2;

const PTE_P: u64 = 1;
const PTE_W: u64 = 2;
const PTE_U: u64 = 4;
const PTE_A: u64 = 0x20;
const PTE_D: u64 = 0x40;
const PTE_PS: u64 = 0x80;
const PTE_NX: u64 = 0x8000000000000000;

const KIND_RAM: u32 = 1;
const KIND_ROM: u32 = 2;
const KIND_MMIO: u32 = 3;
const KIND_OVERLAY: u32 = 5;

/** Record of pages whose write entries may stand in a TLB (a bit of the page record's flags beside those of the layout). */
const PAGE_FLAG_WRITE_CACHED: u32 = 0x100;

// @ts-ignore: decorator
@inline
function tlbBase(): usize {
  return vp + L.TLB_SETS;
}
// @ts-ignore: decorator
@inline
function setHeader(set: u32): usize {
  return tlbBase() + SET_HEADERS + set * SET_HEADER_BYTES;
}

// ---- physical memory ----

/** Kind of the slot found by findSlot, and its host address of the byte asked for. */
let slotKind: u32 = 0;
let slotHost: usize = 0;

/** Looks the GPA up in the slot table; leaves kind (0: no slot) and host address. */
export function findSlot(gpa: u64): void {
  const count = load<u32>(L.SHARED + L.SHARED_SLOT_COUNT);
  let slot: usize = L.SHARED + L.SHARED_SLOTS;
  for (let i: u32 = 0; i < count; i++) {
    if (gpa >= load<u64>(slot) && gpa < load<u64>(slot, 8)) {
      slotKind = load<u32>(slot, 16);
      slotHost = load<u32>(slot, 20) + <u32>(gpa - load<u64>(slot));
      return;
    }
    slot += L.SLOT_BYTES;
  }
  slotKind = 0;
  slotHost = 0;
}
/** @returns host address for reading RAM-like memory at gpa, or 0. */
export function readablePointer(gpa: u64): usize {
  findSlot(gpa);
  return slotKind == KIND_RAM || slotKind == KIND_ROM || slotKind == KIND_OVERLAY ? slotHost : 0;
}

/** Page record of a RAM host address, or 0 when the address is not in RAM. */
function pageRecordOfHost(host: usize): usize {
  const ram: usize = load<u32>(L.SHARED + L.SHARED_RAM_OFFSET);
  if (host < ram) return 0;
  const page = <u32>(host - ram) >> 12;
  return load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + page * L.PAGE_RECORD_BYTES;
}

function isApicPage(gpa: u64): bool {
  const base = load<u64>(vp, L.APIC_BASE);
  return (base & 0xc00) == 0x800 && (gpa & ~0xfff) == (base & 0x000ffffffffff000);
}

/** Reads 1, 2, 4 or 8 bytes that do not cross a page. */
function physicalRead(gpa: u64, size: u32): u64 {
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

function physicalWrite(gpa: u64, size: u32, value: u64): void {
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

// ---- the page walk ----

/** Results of the last successful walk. */
let walkGpa: u64 = 0;
let walkWritable: bool = false;
let walkDirty: bool = false;
let walkError: u32 = 0;

function pageFault(address: u64, error: u32): bool {
  walkError = error;
  store<u64>(vp, address, L.FAULT_ADDRESS);
  return false;
}

function tableEntry(gpa: u64, wide: bool): u64 {
  const p = readablePointer(gpa);
  if (p == 0) return wide ? 0xffffffffffffffff & ~PTE_P : 0;
  return wide ? load<u64>(p) : <u64>load<u32>(p);
}

function setEntryBits(gpa: u64, bits: u64): void {
  findSlot(gpa);
  if (slotKind != KIND_RAM && slotKind != KIND_OVERLAY) return;
  const host = slotHost;
  // Both flags lie in the low byte's neighbours: a 32-bit OR serves 32- and 64-bit entries.
  atomic.or<u32>(host, <u32>bits);
  noteWrite(host, 4);
}

/**
 * Translates a linear address, checks it and sets accessed and dirty flags. On failure the page fault's error code is in walkError and
 * the address recorded; nothing is raised yet. `user`: the access counts as a user-mode access.
 */
export function walk(address: u64, access: u32, user: bool, accessFlagAc: bool, probe: bool): bool {
  const cr0 = load<u64>(vp, L.CR0);
  if (!(cr0 & CR0_PG)) {
    walkGpa = address & 0xffffffff;
    walkWritable = true;
    walkDirty = true;
    return true;
  }
  const cr3 = load<u64>(vp, L.CR3);
  const cr4 = load<u64>(vp, L.CR4);
  const efer = load<u64>(vp, L.EFER);
  const nxe = (efer & EFER_NXE) != 0;
  const physicalMask: u64 = ((<u64>1 << load<u32>(L.SHARED + L.SHARED_PHYSICAL_ADDRESS_BITS)) - 1) & ~0xfff;
  const reservedHigh: u64 = 0x000ffffffffff000 & ~physicalMask;
  let error: u32 = (access == ACCESS_WRITE ? 2 : 0) | (user ? 4 : 0);
  if (access == ACCESS_EXECUTE && (nxe || (cr4 & CR4_SMEP) != 0)) error |= 16;

  let allowWrite = true;
  let allowUser = true;
  let noExecute = false;
  let entryGpa: u64 = 0;
  let entry: u64 = 0;
  let pageMask: u64 = 0xfff;

  if (cr4 & CR4_PAE) {
    const long = (efer & EFER_LMA) != 0;
    let table = long ? cr3 & physicalMask : cr3 & 0xffffffe0;
    let level: i32 = long ? 3 : 2;
    for (;;) {
      const shift: u64 = <u64>(12 + 9 * level);
      const index = level == 2 && !long ? (address >> 30) & 3 : (address >> shift) & 0x1ff;
      entryGpa = table + index * 8;
      entry = tableEntry(entryGpa, true);
      if (!(entry & PTE_P)) return pageFault(address, error);
      if ((entry & reservedHigh) != 0 || (!nxe && (entry & PTE_NX) != 0)) return pageFault(address, error | 9);
      const legacyTop = level == 2 && !long;
      if (!legacyTop) {
        allowWrite = allowWrite && (entry & PTE_W) != 0;
        allowUser = allowUser && (entry & PTE_U) != 0;
        noExecute = noExecute || (entry & PTE_NX) != 0;
      } else if (entry & 0x1e6) return pageFault(address, error | 9);
      if (level == 0) break;
      if ((entry & PTE_PS) != 0 && !legacyTop) {
        if (level == 3) return pageFault(address, error | 9);
        pageMask = (<u64>1 << shift) - 1;
        // Bits between the PAT bit (12) and the page frame are reserved.
        if ((entry & pageMask & 0x3fffe000) != 0) return pageFault(address, error | 9);
        break;
      }
      if ((entry & PTE_A) == 0 && !legacyTop && !probe) setEntryBits(entryGpa, PTE_A);
      table = entry & physicalMask;
      level--;
    }
    walkGpa = (entry & physicalMask & ~pageMask) | (address & pageMask);
  } else {
    let table = cr3 & 0xfffff000;
    entryGpa = table + ((address >> 22) & 0x3ff) * 4;
    entry = tableEntry(entryGpa, false);
    if (!(entry & PTE_P)) return pageFault(address, error);
    allowWrite = (entry & PTE_W) != 0;
    allowUser = (entry & PTE_U) != 0;
    if ((entry & PTE_PS) != 0 && (cr4 & CR4_PSE) != 0) {
      pageMask = 0x3fffff;
      walkGpa = (entry & 0xffc00000) | (((entry >> 13) & 0xff) << 32) | (address & 0x3fffff);
    } else {
      if (!(entry & PTE_A) && !probe) setEntryBits(entryGpa, PTE_A);
      table = entry & 0xfffff000;
      entryGpa = table + ((address >> 12) & 0x3ff) * 4;
      entry = tableEntry(entryGpa, false);
      if (!(entry & PTE_P)) return pageFault(address, error);
      allowWrite = allowWrite && (entry & PTE_W) != 0;
      allowUser = allowUser && (entry & PTE_U) != 0;
      walkGpa = (entry & 0xfffff000) | (address & 0xfff);
    }
  }

  error |= 1;
  if (user) {
    if (!allowUser) return pageFault(address, error);
    if (access == ACCESS_WRITE && !allowWrite) return pageFault(address, error);
    if (access == ACCESS_EXECUTE && noExecute) return pageFault(address, error);
  } else {
    if (access == ACCESS_EXECUTE) {
      if (noExecute) return pageFault(address, error);
      if (allowUser && (cr4 & CR4_SMEP) != 0) return pageFault(address, error);
    } else {
      if (allowUser && (cr4 & CR4_SMAP) != 0 && !accessFlagAc) return pageFault(address, error);
      if (access == ACCESS_WRITE && !allowWrite && (cr0 & CR0_WP) != 0) return pageFault(address, error);
    }
  }
  walkWritable = allowWrite || (!user && (cr0 & CR0_WP) == 0);
  const wanted: u64 = access == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A;
  if ((entry & wanted) != wanted && !probe) setEntryBits(entryGpa, wanted);
  walkDirty = access == ACCESS_WRITE || (entry & PTE_D) != 0;
  return true;
}
export function walkedGpa(): u64 {
  return walkGpa;
}

// ---- TLB sets ----

function newGeneration(): u32 {
  const at = tlbBase() + NEXT_GENERATION;
  const generation = load<u32>(at) + 1;
  store<u32>(at, generation);
  return generation;
}

function newGenerations(set: u32): void {
  const header = setHeader(set);
  for (let i: u32 = 0; i < 4; i++) store<u32>(header + 8 + i * 4, newGeneration());
}

function clearSet(set: u32): void {
  const start = tlbBase() + set * SET_BYTES;
  const used = setHeader(set) + 24;
  if (load<u32>(used) != 0) {
    for (let p = start; p < start + SET_BYTES; p += 16) store<u64>(p, INVALID_TAG);
    store<u32>(used, 0);
  }
  newGenerations(set);
}

/** Puts the tables for the current privilege level, AC flag and mode in place. Called after each change of those or of the set. */
export function selectContext(): void {
  const set = load<u32>(tlbBase() + CURRENT_SET);
  const cpl = load<u32>(vp, L.CPL);
  const context: u32 = cpl == 3 ? 2 : (load<u64>(vp, L.FLAGS) & FLAG_AC) != 0 ? 1 : 0;
  const tables = tlbBase() + set * SET_BYTES + context * CONTEXT_BYTES;
  store<u32>(vp, tables, L.TLB_READ);
  store<u32>(vp, tables + TLB_BYTES, L.TLB_WRITE);
  const mode: u32 = (cpl == 3 ? 2 : 0) | (load<u32>(vp, L.MODE) & MODE_64 ? 1 : 0);
  store<u32>(vp, load<u32>(setHeader(set) + 8 + mode * 4), L.GENERATION);
}

function clearFilter(): void {
  memory.fill(tlbBase() + EXECUTED_FILTER, 0, 512);
}

/** Forgets all translations, global ones included. */
export function flushAll(): void {
  for (let set: u32 = 0; set < SETS; set++) {
    clearSet(set);
    if (set != load<u32>(tlbBase() + CURRENT_SET)) store<u32>(setHeader(set), 0xffffffff);
  }
  clearFilter();
  selectContext();
}

/** Starts new generations everywhere: no decoded block is entered without a look-up. */
export function dropLinks(): void {
  for (let set: u32 = 0; set < SETS; set++) newGenerations(set);
  clearFilter();
  selectContext();
}

/** First use of a processor's tables. */
export function initializeTlb(): void {
  for (let set: u32 = 0; set < SETS; set++) {
    store<u32>(setHeader(set), 0xffffffff);
    store<u32>(setHeader(set) + 24, 1);
  }
  store<u32>(tlbBase() + CURRENT_SET, 0);
  flushAll();
}

/** Forgets what the given PCID has (its global pages too: more than asked is allowed). */
export function flushPcid(pcid: u32): void {
  for (let set: u32 = 0; set < SETS; set++) {
    if (load<u32>(setHeader(set)) == pcid) clearSet(set);
  }
  selectContext();
}

/** Makes the tables of CR3's PCID current; `keep`: bit 63 of the CR3 write (translations stay). */
export function switchAddressSpace(cr3: u64, keep: bool): void {
  const pcid: u32 = load<u64>(vp, L.CR4) & CR4_PCIDE ? <u32>cr3 & 0xfff : 0;
  const counter = load<u32>(tlbBase() + USE_COUNTER) + 1;
  store<u32>(tlbBase() + USE_COUNTER, counter);
  let oldest: u32 = 0;
  let found: i32 = -1;
  for (let set: u32 = 0; set < SETS; set++) {
    if (load<u32>(setHeader(set)) == pcid) {
      found = set;
      break;
    }
    if (load<u32>(setHeader(set) + 4) < load<u32>(setHeader(oldest) + 4)) oldest = set;
  }
  if (found < 0) {
    found = oldest;
    store<u32>(setHeader(oldest), pcid);
    clearSet(oldest);
  } else if (!keep) clearSet(found);
  store<u32>(setHeader(found) + 4, counter);
  store<u32>(tlbBase() + CURRENT_SET, found);
  selectContext();
}

/** INVLPG: one page, in every set (a global page may stand in all of them). */
export function flushPage(address: u64): void {
  const index = (<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4;
  for (let set: u32 = 0; set < SETS; set++) {
    let entry = tlbBase() + set * SET_BYTES + index;
    for (let table: u32 = 0; table < 6; table++) {
      store<u64>(entry, INVALID_TAG);
      entry += TLB_BYTES;
    }
  }
  const bit = filterBit(address);
  if (load<u8>(tlbBase() + EXECUTED_FILTER + (bit >> 3)) & (1 << (bit & 7))) dropLinks();
}

function filterBit(address: u64): u32 {
  const page = <u32>(address >> 12);
  return (page ^ (page >> 12)) & 4095;
}

/** A block's page is about to be entered by link: an INVLPG of it must be noticed. */
export function noteExecuted(address: u64): void {
  const bit = filterBit(address);
  const at = tlbBase() + EXECUTED_FILTER + (bit >> 3);
  store<u8>(at, load<u8>(at) | (<u8>1 << <u8>(bit & 7)));
}

/** Removes the write entries of a RAM page that is about to hold decoded code. */
export function protectCodePage(page: u32): void {
  const ram: usize = load<u32>(L.SHARED + L.SHARED_RAM_OFFSET);
  const record = load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + page * L.PAGE_RECORD_BYTES;
  if (!(load<u32>(record, 8) & PAGE_FLAG_WRITE_CACHED)) return;
  atomic.and<u32>(record + 8, ~PAGE_FLAG_WRITE_CACHED);
  const host: u32 = ram + (page << 12);
  for (let set: u32 = 0; set < SETS; set++) {
    if (load<u32>(setHeader(set) + 24) == 0) continue;
    for (let context: u32 = 0; context < 3; context++) {
      let entry = tlbBase() + set * SET_BYTES + context * CONTEXT_BYTES + TLB_BYTES;
      for (let i: u32 = 0; i < TLB_ENTRIES; i++) {
        if (<u32>load<u64>(entry) + load<u32>(entry, 8) == host) store<u64>(entry, INVALID_TAG);
        entry += 16;
      }
    }
  }
}

// ---- accesses ----

/** True when the linear address is one that long mode allows; always outside 64-bit mode. */
// @ts-ignore: decorator
@inline
export function isCanonical(address: u64): bool {
  return <u64>((<i64>address << 16) >> 16) == address;
}

/** Set when an address itself was bad: the run loop makes it #SS when the operand's base is a stack register. */
let addressFault: bool = false;
export function takeAddressFault(): bool {
  const was = addressFault;
  addressFault = false;
  return was;
}

/** Privilege and AC flag of explicit accesses. */
// @ts-ignore: decorator
@inline
function explicitUser(): bool {
  return load<u32>(vp, L.CPL) == 3;
}

function fillRead(address: u64, host: usize): void {
  const entry = load<u32>(vp, L.TLB_READ) + ((<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4);
  store<u64>(entry, address & ~0xfff);
  store<u32>(entry, <u32>host - <u32>address, 8);
  store<u32>(setHeader(load<u32>(tlbBase() + CURRENT_SET)) + 24, 1);
}
function fillWrite(address: u64, host: usize): void {
  const entry = load<u32>(vp, L.TLB_WRITE) + ((<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4);
  store<u64>(entry, address & ~0xfff);
  store<u32>(entry, <u32>host - <u32>address, 8);
  store<u32>(setHeader(load<u32>(tlbBase() + CURRENT_SET)) + 24, 1);
}

/**
 * Translates one byte's address for an access. @returns host pointer for RAM; 0 when a fault was recorded; 1 when the page is not plain
 * memory (its GPA is in walkGpa).
 */
function translate(address: u64, access: u32): usize {
  // Outside 64-bit mode only UNUSABLE is not canonical.
  if (!isCanonical(address)) {
    addressFault = true;
    raise(VECTOR_GP, 0);
    return 0;
  }
  if (!walk(address, access, explicitUser(), (load<u64>(vp, L.FLAGS) & FLAG_AC) != 0, false)) {
    raise(VECTOR_PF, walkError);
    return 0;
  }
  if (isApicPage(walkGpa)) return 1;
  findSlot(walkGpa);
  if (slotKind != KIND_RAM && slotKind != KIND_OVERLAY && !(slotKind == KIND_ROM && access != ACCESS_WRITE)) return 1;
  const host = slotHost;
  const record = pageRecordOfHost(host);
  if (record == 0) {
    fillRead(address, host);
    if (access == ACCESS_WRITE) fillWrite(address, host);
    return host;
  }
  let flags = L.PAGE_FLAG_TOUCHED;
  if (access == ACCESS_WRITE) {
    if (load<u64>(record) != 0) return 1;
    flags |= L.PAGE_FLAG_DIRTY | PAGE_FLAG_WRITE_CACHED;
    fillWrite(address, host);
  }
  if ((load<u32>(record, 8) & flags) != flags) atomic.or<u32>(record + 8, flags);
  fillRead(address, host);
  return host;
}

/** An operand that reaches out of the canonical half, or beyond 4 GiB outside 64-bit mode, is refused before its first page is looked at. */
function lastByteCanonical(address: u64, size: u32): bool {
  const last = address + (size - 1);
  if (load<u32>(vp, L.MODE) & MODE_64 ? isCanonical(last) : last <= 0xffffffff) return true;
  addressFault = true;
  raise(VECTOR_GP, 0);
  return false;
}

/** Slow half of readPointer: fills the TLB, or assembles the operand in the scratch area. @returns 0 after a fault. */
export function readSlow(address: u64, size: u32): usize {
  const room: u32 = 0x1000 - (<u32>address & 0xfff);
  if (size > room && !lastByteCanonical(address, size)) return 0;
  const host = translate(address, ACCESS_READ);
  if (host == 0) return 0;
  const scratch = vp + L.SCRATCH;
  if (size <= room) {
    if (host != 1) return host;
    const gpa = walkGpa;
    for (let done: u32 = 0; done < size; ) {
      const piece = pieceSize(gpa + done, size - done);
      const value = physicalRead(gpa + done, piece);
      copyOut(scratch + done, piece, value);
      done += piece;
    }
    return scratch;
  }
  const gpa = walkGpa;
  let second = address + room;
  if (!(load<u32>(vp, L.MODE) & MODE_64)) second &= 0xffffffff;
  const secondHost = translate(second, ACCESS_READ);
  if (secondHost == 0) return 0;
  const secondGpa = walkGpa;
  for (let i: u32 = 0; i < size; i++) {
    store<u8>(scratch + i, <u8>physicalRead(i < room ? gpa + i : secondGpa + (i - room), 1));
  }
  return scratch;
}

/** Largest naturally aligned piece for a device access. */
function pieceSize(gpa: u64, left: u32): u32 {
  const low = <u32>gpa;
  if (left >= 8 && (low & 7) == 0) return 8;
  if (left >= 4 && (low & 3) == 0) return 4;
  if (left >= 2 && (low & 1) == 0) return 2;
  return 1;
}
function copyOut(at: usize, size: u32, value: u64): void {
  if (size == 1) store<u8>(at, <u8>value);
  else if (size == 2) store<u16>(at, <u16>value);
  else if (size == 4) store<u32>(at, <u32>value);
  else store<u64>(at, value);
}
function copyIn(at: usize, size: u32): u64 {
  if (size == 1) return load<u8>(at);
  if (size == 2) return load<u16>(at);
  if (size == 4) return load<u32>(at);
  return load<u64>(at);
}

/** Where a pending scratch write goes. */
let pendingGpa: u64 = 0;
let pendingSecond: u64 = 0;
let pendingRoom: u32 = 0;

/**
 * Slow half of writePointer. @returns RAM pointer, or writeScratch() when the value must be committed with commitWrite, or 0 after a fault.
 * `modify`: the operand is read before it is written, so the scratch area gets its value.
 */
export function writeSlow(address: u64, size: u32, modify: bool): usize {
  const room: u32 = 0x1000 - (<u32>address & 0xfff);
  if (size > room && !lastByteCanonical(address, size)) return 0;
  const host = translate(address, ACCESS_WRITE);
  if (host == 0) return 0;
  if (size <= room && host != 1) return host;
  pendingGpa = walkGpa;
  pendingRoom = size;
  const scratch = vp + L.SCRATCH + 32;
  if (size > room) {
    let second = address + room;
    if (!(load<u32>(vp, L.MODE) & MODE_64)) second &= 0xffffffff;
    const secondHost = translate(second, ACCESS_WRITE);
    if (secondHost == 0) return 0;
    pendingSecond = walkGpa;
    pendingRoom = room;
  }
  if (modify) {
    if (size <= room) {
      for (let done: u32 = 0; done < size; ) {
        const piece = pieceSize(pendingGpa + done, size - done);
        copyOut(scratch + done, piece, physicalRead(pendingGpa + done, piece));
        done += piece;
      }
    } else {
      for (let i: u32 = 0; i < size; i++) {
        store<u8>(scratch + i, <u8>physicalRead(i < room ? pendingGpa + i : pendingSecond + (i - room), 1));
      }
    }
  }
  return scratch;
}

// @ts-ignore: decorator
@inline
export function writeScratch(): usize {
  return vp + L.SCRATCH + 32;
}

/** Carries out the write that writeSlow left pending in the scratch area. Cannot fault: both pages were checked. */
export function commitWrite(size: u32): void {
  const scratch = vp + L.SCRATCH + 32;
  const gpa = pendingGpa;
  if (pendingRoom >= size) {
    for (let done: u32 = 0; done < size; ) {
      const piece = pieceSize(gpa + done, size - done);
      physicalWrite(gpa + done, piece, copyIn(scratch + done, piece));
      done += piece;
    }
    return;
  }
  const second = pendingSecond;
  const room = pendingRoom;
  for (let i: u32 = 0; i < size; i++) {
    physicalWrite(i < room ? gpa + i : second + (i - room), 1, load<u8>(scratch + i));
  }
}

/** Pointer for reading `size` bytes at a linear address with the rights of the current context; 0 after a fault. */
// @ts-ignore: decorator
@inline
export function readPointer(address: u64, size: u32): usize {
  const entry = load<u32>(vp, L.TLB_READ) + ((<u32>(address >> 12) & 1023) << 4);
  if (load<u64>(entry) == ((address + (size - 1)) & ~0xfff)) return <u32>address + load<u32>(entry, 8);
  return readSlow(address, size);
}
/** Pointer for overwriting; commitWrite(size) when it equals writeScratch(). */
// @ts-ignore: decorator
@inline
export function writePointer(address: u64, size: u32): usize {
  const entry = load<u32>(vp, L.TLB_WRITE) + ((<u32>(address >> 12) & 1023) << 4);
  if (load<u64>(entry) == ((address + (size - 1)) & ~0xfff)) return <u32>address + load<u32>(entry, 8);
  return writeSlow(address, size, false);
}
/** Pointer for reading and then writing. */
// @ts-ignore: decorator
@inline
export function modifyPointer(address: u64, size: u32): usize {
  const entry = load<u32>(vp, L.TLB_WRITE) + ((<u32>(address >> 12) & 1023) << 4);
  if (load<u64>(entry) == ((address + (size - 1)) & ~0xfff)) return <u32>address + load<u32>(entry, 8);
  return writeSlow(address, size, true);
}
// @ts-ignore: decorator
@inline
export function commitIfPending(pointer: usize, size: u32): void {
  if (pointer == vp + L.SCRATCH + 32) commitWrite(size);
}

/**
 * Reads with supervisor rights whatever the CPL (descriptor tables, TSS). @returns false after a recorded fault; value in systemValue.
 */
let systemValue: u64 = 0;
export function readSystem(address: u64, size: u32): bool {
  systemValue = 0;
  for (let i: u32 = 0; i < size; ) {
    const at = load<u32>(vp, L.MODE) & MODE_LONG ? address + i : (address + i) & 0xffffffff;
    if (!walk(at, ACCESS_READ, false, false, false)) {
      raise(VECTOR_PF, walkError);
      return false;
    }
    const piece: u32 = i == 0 && (<u32>address & 0xfff) + size <= 0x1000 ? size : 1;
    systemValue |= physicalRead(walkGpa, piece) << (i * 8);
    i += piece;
  }
  return true;
}
export function lastSystemValue(): u64 {
  return systemValue;
}
export function writeSystem(address: u64, size: u32, value: u64): bool {
  const whole = (<u32>address & 0xfff) + size <= 0x1000;
  for (let pass = 0; pass < 2; pass++) {
    for (let i: u32 = 0; i < size; ) {
      const at = load<u32>(vp, L.MODE) & MODE_LONG ? address + i : (address + i) & 0xffffffff;
      if (!walk(at, ACCESS_WRITE, false, false, false)) {
        raise(VECTOR_PF, walkError);
        return false;
      }
      const piece: u32 = whole ? size : 1;
      if (pass == 1) physicalWrite(walkGpa, piece, value >> (i * 8));
      i += piece;
    }
  }
  return true;
}

/** Translates an instruction's address. @returns host pointer to readable memory; 0 after a recorded fault. GPA by walkedGpa(). */
export function fetchPointer(address: u64): usize {
  if (load<u32>(vp, L.MODE) & MODE_64 && !isCanonical(address)) {
    raise(VECTOR_GP, 0);
    return 0;
  }
  if (!walk(address, ACCESS_EXECUTE, explicitUser(), false, false)) {
    raise(VECTOR_PF, walkError);
    return 0;
  }
  const p = readablePointer(walkGpa);
  if (p == 0) {
    // Nothing executable answers there (a device or a hole): bus error, which a PC shows as all ones; no row decodes those.
    raise(VECTOR_GP, 0);
    return 0;
  }
  const record = pageRecordOfHost(p);
  if (record != 0 && !(load<u32>(record, 8) & L.PAGE_FLAG_TOUCHED)) atomic.or<u32>(record + 8, L.PAGE_FLAG_TOUCHED);
  return p;
}

/** Stands for every address in a null segment outside 64-bit mode: no access to it succeeds, each is #GP. */
export const UNUSABLE: u64 = 0x4000000000000000;
// @ts-ignore: decorator
@inline
export function segmentUsable(index: u32): bool {
  return (load<u32>(vp + L.SEGMENTS + index * L.SEGMENT_BYTES, L.SEGMENT_ATTRIBUTES) & 0x80) != 0;
}

/** Effective address of an operation's memory operand with a segment or a narrow address size. */
export function specialAddress(u: usize, address: u64): u64 {
  const flags = <u32>load<u8>(u, 6);
  const seg = (flags >> 4) & 7;
  const narrow = (flags & 0x80) != 0;
  if (load<u32>(vp, L.MODE) & MODE_64) {
    if (narrow) address &= 0xffffffff;
    return seg != 0 ? address + load<u64>(vp + L.SEGMENTS + (seg - 1) * L.SEGMENT_BYTES) : address;
  }
  address &= narrow ? 0xffff : 0xffffffff;
  if (seg != 0) {
    if (!segmentUsable(seg - 1)) return UNUSABLE;
    address += load<u64>(vp + L.SEGMENTS + (seg - 1) * L.SEGMENT_BYTES);
  }
  return address & 0xffffffff;
}

/** Linear address of an operation's memory operand. */
// @ts-ignore: decorator
@inline
export function effectiveAddress(u: usize): u64 {
  const flags = <u32>load<u8>(u, 6);
  const address =
    load<u64>(vp + load<u8>(u, 4)) + (load<u64>(vp + load<u8>(u, 5)) << (flags & 3)) + <u64>(<i64>load<i32>(u, 8));
  return flags & 0xf0 ? specialAddress(u, address) : address;
}
