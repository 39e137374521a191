/**
 * The page walk: a linear address to a guest-physical one, checked as the manual says, with accessed and dirty flags set.
 *
 * Nothing is raised here: a failing walk leaves the error code and the address for whoever asked. Four levels in long mode, three with PAE,
 * two without. Answers to: AMD64 manual volume 2, chapter 5. Called by memory.ts and engine.ts.
 */
import * as L from './generated/layout';
import { vp, CR0_PG, CR0_WP, CR4_PAE, CR4_PGE, CR4_PKE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE } from './state';
import { KIND_RAM, KIND_OVERLAY, foundKind, foundHost, findSlot, readablePointer, noteWrite } from './physical-memory';

export const ACCESS_READ: u32 = 0;
export const ACCESS_WRITE: u32 = 1;
export const ACCESS_EXECUTE: u32 = 2;

const PTE_P: u64 = 1;
const PTE_W: u64 = 2;
const PTE_U: u64 = 4;
const PTE_A: u64 = 0x20;
const PTE_D: u64 = 0x40;
const PTE_PS: u64 = 0x80;
const PTE_G: u64 = 0x100;
const PTE_NX: u64 = 0x8000000000000000;
/** Where a page's protection key stands in its entry. */
const PTE_KEY_SHIFT: u64 = 59;

/** Bits of a page fault's error code. */
const ERROR_PRESENT: u32 = 1;
const ERROR_KEY: u32 = 0x20;

/** Results of the last walk. */
let walkGpa: u64 = 0;
let walkGlobal: bool = false;
let walkError: u32 = 0;
let walkKeyed: bool = false;

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
  if (foundKind() != KIND_RAM && foundKind() != KIND_OVERLAY) return;
  const host = foundHost();
  // Both flags lie in the low byte's neighbours: a 32-bit OR serves 32- and 64-bit entries.
  atomic.or<u32>(host, <u32>bits);
  noteWrite(host, 4);
}

/** PKRU's two bits of a key: no access at all; no writes, where those are checked. AMD64 manual volume 2, section 5.6.7. */
function keyForbids(key: u32, checkedWrite: bool): bool {
  const bits = load<u32>(vp, L.PKRU) >> (key << 1);
  return (bits & 1) != 0 || (checkedWrite && (bits & 2) != 0);
}

/**
 * Translates a linear address, checks it and sets accessed and dirty flags. On failure the page fault's error code is in walkError and
 * the address recorded; nothing is raised yet. `user`: the access counts as a user-mode access.
 */
export function walk(address: u64, access: u32, user: bool, accessFlagAc: bool, probe: bool): bool {
  const cr0 = load<u64>(vp, L.CR0);
  if (!(cr0 & CR0_PG)) {
    walkGpa = address & 0xffffffff;
    walkGlobal = false;
    walkKeyed = false;
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
      // Bits 13 to 20 are address bits 32 to 39; the one above them is reserved.
      if (entry & 0x200000) return pageFault(address, error | 9);
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

  error |= ERROR_PRESENT;
  walkKeyed = false;
  if ((cr4 & CR4_PKE) != 0 && allowUser && access != ACCESS_EXECUTE && (efer & EFER_LMA) != 0) {
    const key = <u32>(entry >> PTE_KEY_SHIFT) & 15;
    walkKeyed = key != 0;
    // Debuggers look past keys.
    if (!probe && keyForbids(key, access == ACCESS_WRITE && (user || (cr0 & CR0_WP) != 0))) return pageFault(address, error | ERROR_KEY);
  }
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
  const wanted: u64 = access == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A;
  if ((entry & wanted) != wanted && !probe) setEntryBits(entryGpa, wanted);
  walkGlobal = (entry & PTE_G) != 0 && (cr4 & CR4_PGE) != 0;
  return true;
}

/** Guest-physical address that the last successful walk found. */
// @ts-ignore: decorator
@inline
export function walkedGpa(): u64 {
  return walkGpa;
}

/** Whether the last successful walk came to a global page. */
// @ts-ignore: decorator
@inline
export function walkedGlobal(): bool {
  return walkGlobal;
}

/** Whether the last successful walk, of a read or a write, came to a page whose protection key is not 0 and counts. */
// @ts-ignore: decorator
@inline
export function walkedKeyed(): bool {
  return walkKeyed;
}

/** Error code of the page fault that the last failing walk found. */
// @ts-ignore: decorator
@inline
export function walkedError(): u32 {
  return walkError;
}
