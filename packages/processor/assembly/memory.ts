/**
 * Guest memory as the processor sees it: linear addresses through TLBs (tlb.ts) and page tables (page-walk.ts) to slots of the GPA space
 * (physical-memory.ts).
 *
 * An access looks its address up in the current TLB. Everything else (MMIO, holes, operands across pages, writes to pages with decoded
 * code) goes through the slow functions, with a scratch area standing in for the operand.
 *
 * Answers to: AMD64 manual volume 2, chapters 5 and 7. Called by everything in the core that touches memory.
 */
import * as L from './generated/layout';
import {
  vp, raise, FLAG_AC, VECTOR_AC, VECTOR_GP, VECTOR_PF, VECTOR_SS, MODE_64, MODE_LONG, MODE_PROTECTED, SEG_SS, CHECK_ALIGNMENT, CHECK_BREAKPOINTS,
} from './state';
import {
  KIND_RAM, KIND_ROM, KIND_OVERLAY, foundKind, foundHost, findSlot, readablePointer, pageRecordOfHost, isApicPage, physicalRead, physicalWrite,
} from './physical-memory';
import { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE, walk, walkedGpa, walkedError, walkedKeyed } from './page-walk';
import { PAGE_FLAG_WRITE_CACHED, fillRead, fillSystemRead, fillWrite, noteKeyed, systemReadEntry } from './tlb';
import { withinLimit } from './segments';
import { noteAccess } from './debug';

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

/**
 * Translates one byte's address for an access. @returns host pointer for RAM; 0 when a fault was recorded; 1 when the page is not plain
 * memory (its GPA is walkedGpa()).
 */
function translate(address: u64, access: u32): usize {
  if (!isCanonical(address)) {
    addressFault = true;
    raise(VECTOR_GP, 0);
    return 0;
  }
  if (!walk(address, access, explicitUser(), (load<u64>(vp, L.FLAGS) & FLAG_AC) != 0, false)) {
    raise(VECTOR_PF, walkedError());
    return 0;
  }
  if (isApicPage(walkedGpa())) return 1;
  if (walkedKeyed()) noteKeyed(address);
  findSlot(walkedGpa());
  if (foundKind() != KIND_RAM && foundKind() != KIND_OVERLAY && !(foundKind() == KIND_ROM && access != ACCESS_WRITE)) return 1;
  const host = foundHost();
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
  if (address >> 32 != 0 && !(load<u32>(vp, L.MODE) & MODE_64)) {
    address = checkSegment(address, size, false);
    if (address == UNCHECKED) return 0;
    const entry = load<u32>(vp, L.TLB_READ) + ((<u32>(address >> 12) & 1023) << 4);
    if (load<u64>(entry) == ((address + (size - 1)) & ~0xfff)) return <u32>address + load<u32>(entry, 8);
  }
  if (load<u32>(vp, L.ACCESS_CHECKS) != 0 && !checkAccess(address, size, false)) return 0;
  const room: u32 = 0x1000 - (<u32>address & 0xfff);
  if (size > room && !lastByteCanonical(address, size)) return 0;
  const host = translate(address, ACCESS_READ);
  if (host == 0) return 0;
  const scratch = vp + L.SCRATCH;
  if (size <= room) {
    if (host != 1) return host;
    const gpa = walkedGpa();
    for (let done: u32 = 0; done < size; ) {
      const piece = pieceSize(gpa + done, size - done);
      const value = physicalRead(gpa + done, piece);
      copyOut(scratch + done, piece, value);
      done += piece;
    }
    return scratch;
  }
  const gpa = walkedGpa();
  let second = address + room;
  if (!(load<u32>(vp, L.MODE) & MODE_64)) second &= 0xffffffff;
  const secondHost = translate(second, ACCESS_READ);
  if (secondHost == 0) return 0;
  const secondGpa = walkedGpa();
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
  if (address >> 32 != 0 && !(load<u32>(vp, L.MODE) & MODE_64)) {
    address = checkSegment(address, size, true);
    if (address == UNCHECKED) return 0;
    const entry = load<u32>(vp, L.TLB_WRITE) + ((<u32>(address >> 12) & 1023) << 4);
    if (load<u64>(entry) == ((address + (size - 1)) & ~0xfff)) return <u32>address + load<u32>(entry, 8);
  }
  if (load<u32>(vp, L.ACCESS_CHECKS) != 0 && !checkAccess(address, size, true)) return 0;
  const room: u32 = 0x1000 - (<u32>address & 0xfff);
  if (size > room && !lastByteCanonical(address, size)) return 0;
  const host = translate(address, ACCESS_WRITE);
  if (host == 0) return 0;
  if (size <= room && host != 1) return host;
  pendingGpa = walkedGpa();
  pendingRoom = size;
  const scratch = vp + L.SCRATCH + 32;
  if (size > room) {
    let second = address + room;
    if (!(load<u32>(vp, L.MODE) & MODE_64)) second &= 0xffffffff;
    const secondHost = translate(second, ACCESS_WRITE);
    if (secondHost == 0) return 0;
    pendingSecond = walkedGpa();
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

/** Whether the TLB lets the context write the page of a linear address, aligned to pages. */
export function isWriteCached(page: u64): bool {
  return load<u64>(load<u32>(vp, L.TLB_WRITE) + ((<u32>(page >> 12) & 1023) << 4)) == page;
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
  const entry = systemReadEntry(address);
  if (load<u64>(entry) == ((address + (size - 1)) & ~0xfff)) {
    const p: usize = <u32>address + load<u32>(entry, 8);
    systemValue = size == 8 ? load<u64>(p) : size == 4 ? <u64>load<u32>(p) : size == 2 ? <u64>load<u16>(p) : <u64>load<u8>(p);
    return true;
  }
  systemValue = 0;
  for (let i: u32 = 0; i < size; ) {
    const at = load<u32>(vp, L.MODE) & MODE_LONG ? address + i : (address + i) & 0xffffffff;
    if (!walk(at, ACCESS_READ, false, false, false)) {
      raise(VECTOR_PF, walkedError());
      return false;
    }
    const piece: u32 = i == 0 && (<u32>address & 0xfff) + size <= 0x1000 ? size : 1;
    systemValue |= physicalRead(walkedGpa(), piece) << (i * 8);
    if (!isApicPage(walkedGpa()) && foundKind() == KIND_RAM && !walkedKeyed()) {
      const record = pageRecordOfHost(foundHost());
      if ((load<u32>(record, 8) & L.PAGE_FLAG_TOUCHED) == 0) atomic.or<u32>(record + 8, L.PAGE_FLAG_TOUCHED);
      fillSystemRead(at, foundHost());
    }
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
        raise(VECTOR_PF, walkedError());
        return false;
      }
      const piece: u32 = whole ? size : 1;
      if (pass == 1) physicalWrite(walkedGpa(), piece, value >> (i * 8));
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
    raise(VECTOR_PF, walkedError());
    return 0;
  }
  const p = readablePointer(walkedGpa());
  if (p == 0) {
    // Nothing executable answers there (a device or a hole): bus error, which a PC shows as all ones; no row decodes those.
    raise(VECTOR_GP, 0);
    return 0;
  }
  const record = pageRecordOfHost(p);
  if (record != 0 && !(load<u32>(record, 8) & L.PAGE_FLAG_TOUCHED)) atomic.or<u32>(record + 8, L.PAGE_FLAG_TOUCHED);
  return p;
}

/** Whether code may be fetched from the page of a canonical address; nothing is raised or marked. */
export function mayExecute(address: u64): bool {
  return isCanonical(address) && walk(address, ACCESS_EXECUTE, explicitUser(), false, true) && readablePointer(walkedGpa()) != 0;
}

/**
 * Mark of a linear address outside 64-bit mode whose segment has yet to be looked at: the segment's number stands in bits 32 to 34. No TLB
 * entry has such a tag, so the access comes to the slow functions, which know its size and direction.
 */
const UNCHECKED: u64 = 0x4000000000000000;

/** Linear address of an offset in a segment, outside 64-bit mode. Only writable data segments over all 4 GiB need no look at each access. */
export function segmentLinear(index: u32, offset: u64): u64 {
  const s = vp + L.SEGMENTS + index * L.SEGMENT_BYTES;
  const linear = (offset + load<u64>(s)) & 0xffffffff;
  if (load<u32>(s, L.SEGMENT_LIMIT) == 0xffffffff && (load<u32>(s, L.SEGMENT_ATTRIBUTES) & 0x8e) == 0x82) return linear;
  return linear | UNCHECKED | (<u64>index << 32);
}

/** Checks an operand against the segment that its address names. @returns the linear address, or UNCHECKED after a recorded fault */
function checkSegment(address: u64, size: u32, write: bool): u64 {
  const index = <u32>(address >> 32) & 7;
  const s = vp + L.SEGMENTS + index * L.SEGMENT_BYTES;
  const attributes = load<u32>(s, L.SEGMENT_ATTRIBUTES);
  let good = (attributes & 0x80) != 0;
  // Types are protected mode's.
  if (load<u32>(vp, L.MODE) & MODE_PROTECTED) good = good && (write ? (attributes & 0xa) == 2 : (attributes & 0xa) != 8);
  if (good && withinLimit(<u32>address - <u32>load<u64>(s), size, load<u32>(s, L.SEGMENT_LIMIT), attributes)) return address & 0xffffffff;
  raise(index == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
  return UNCHECKED;
}

/** What an access must be looked at for beside its page: alignment (#AC), data breakpoints. @returns false after a recorded fault */
function checkAccess(address: u64, size: u32, write: bool): bool {
  const checks = load<u32>(vp, L.ACCESS_CHECKS);
  if (checks & CHECK_ALIGNMENT) {
    // Far pointers and pseudo-descriptors of 6 bytes by 4, those of 10 by 8.
    const alignment: u32 = size == 6 ? 4 : size == 10 ? 8 : size;
    if ((alignment & (alignment - 1)) == 0 && (<u32>address & (alignment - 1)) != 0 && isCanonical(address)) {
      raise(VECTOR_AC, 0);
      return false;
    }
  }
  if (checks & CHECK_BREAKPOINTS) noteAccess(address, size, write);
  return true;
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
  return segmentLinear(seg - 1, address);
}

/** Linear address of an element `at` bytes into the memory operand of an operation that accesses its elements one by one: each wraps by itself. */
export function elementAddress(u: usize, at: u32): u64 {
  const flags = <u32>load<u8>(u, 6);
  const address =
    load<u64>(vp + load<u8>(u, 4)) + (load<u64>(vp + load<u8>(u, 5)) << (flags & 3)) + <u64>(<i64>load<i32>(u, 8)) + at;
  return flags & 0xf0 ? specialAddress(u, address) : address;
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
