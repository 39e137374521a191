/**
 * Segments, descriptors and privilege: loading of segment registers, far transfers, the TSS.
 * Answers to: AMD64 manual volume 2, chapter 4 and 8. Called by interrupts.ts, descriptor-instructions.ts, system-calls.ts, moves.ts and stack.ts.
 * Functions that can fault return false after `raise`.
 */
import * as L from './generated/layout';
import {
  vp, raise, segment, MODE_64, MODE_LONG, MODE_16, MODE_FLAT, MODE_STACK32, MODE_PROTECTED, CR0_PE, EFER_LMA, VECTOR_GP, VECTOR_NP, VECTOR_SS, SEG_CS, SEG_DS,
  SEG_SS, SEG_ES, SEG_GS, SEG_LDTR, SEG_TR,
} from './state';
import { readSystem, lastSystemValue, writeSystem } from './memory';
import { selectContext, dropLinks } from './tlb';

const ATTRIBUTE_P: u32 = 0x80;
const ATTRIBUTE_S: u32 = 0x10;
const ATTRIBUTE_L: u32 = 0x2000;
const ATTRIBUTE_DB: u32 = 0x4000;
const ATTRIBUTE_G: u32 = 0x8000;

/** The descriptor last read. */
export let descriptor: u64 = 0;
let descriptorAddress: u64 = 0;

// @ts-ignore: decorator
@inline
export function attributesOf(d: u64): u32 {
  return <u32>(d >> 40) & 0xf0ff;
}
export function baseOf(d: u64): u64 {
  return ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000);
}
export function limitOf(d: u64): u32 {
  const limit = <u32>(d & 0xffff) | (<u32>(d >> 32) & 0xf0000);
  return attributesOf(d) & ATTRIBUTE_G ? (limit << 12) | 0xfff : limit;
}

/** Whether an operand lies within a segment of that limit: expand-down data lies above it, as far as its B bit lets addresses go. */
export function withinLimit(offset: u32, size: u32, limit: u32, attributes: u32): bool {
  const last = <u64>offset + (size - 1);
  if ((attributes & 0x1c) == 0x14) return offset > limit && last <= (attributes & ATTRIBUTE_DB ? 0xffffffff : 0xffff);
  return last <= <u64>limit;
}

export function longMode(): bool {
  return (load<u64>(vp, L.EFER) & EFER_LMA) != 0;
}

/** Reads the descriptor of a selector from GDT or LDT. On failure raises `vector` with the selector as error code. */
export function readDescriptor(selector: u32, vector: u32, external: u32): bool {
  let base: u64 = 0;
  let limit: u32 = 0;
  if (selector & 4) {
    const ldt = segment(SEG_LDTR);
    if (!(load<u32>(ldt, L.SEGMENT_ATTRIBUTES) & ATTRIBUTE_P)) {
      raise(vector, (selector & 0xfffc) | external);
      return false;
    }
    base = load<u64>(ldt);
    limit = load<u32>(ldt, L.SEGMENT_LIMIT);
  } else {
    base = load<u64>(vp, L.GDTR_BASE);
    limit = load<u32>(vp, L.GDTR_LIMIT);
  }
  const offset = selector & 0xfff8;
  if (offset + 7 > limit) {
    raise(vector, (selector & 0xfffc) | external);
    return false;
  }
  descriptorAddress = base + offset;
  if (!readSystem(descriptorAddress, 8)) return false;
  descriptor = lastSystemValue();
  return true;
}

/** Reads a descriptor without raising anything but page faults: for LAR, LSL, VERR, VERW. @returns 0 no such descriptor, 1 read, 2 faulted. */
export function probeDescriptor(selector: u32): u32 {
  if ((selector & 0xfffc) == 0) return 0;
  let limit = load<u32>(vp, L.GDTR_LIMIT);
  if (selector & 4) {
    const ldt = segment(SEG_LDTR);
    if (!(load<u32>(ldt, L.SEGMENT_ATTRIBUTES) & ATTRIBUTE_P)) return 0;
    limit = load<u32>(ldt, L.SEGMENT_LIMIT);
  }
  if ((selector & 0xfff8) + 7 > limit) return 0;
  return readDescriptor(selector, VECTOR_GP, 0) ? 1 : 2;
}

/** Sets the accessed bit of the descriptor last read, as hardware does when it loads one. */
export function markAccessed(): bool {
  if (descriptor & ((<u64>1) << 40)) return true;
  descriptor |= (<u64>1) << 40;
  return writeSystem(descriptorAddress + 5, 1, descriptor >> 40);
}

export function putSegment(index: u32, selector: u32, base: u64, limit: u32, attributes: u32): void {
  const s = segment(index);
  store<u64>(s, base);
  store<u32>(s, limit, L.SEGMENT_LIMIT);
  store<u32>(s, attributes, L.SEGMENT_ATTRIBUTES);
  store<u32>(s, selector, L.SEGMENT_SELECTOR);
}

/** Whether a segment covers all 4 GiB from 0 and these bits of its attributes are those of `type`. */
function isFlat(index: u32, mask: u32, type: u32): bool {
  const s = segment(index);
  return load<u64>(s) == 0 && load<u32>(s, L.SEGMENT_LIMIT) == 0xffffffff && (load<u32>(s, L.SEGMENT_ATTRIBUTES) & mask) == type;
}
function allFlat(): bool {
  return isFlat(SEG_CS, 0x88, 0x88) && isFlat(SEG_SS, 0x8e, 0x82) && isFlat(SEG_DS, 0x8e, 0x82) && isFlat(SEG_ES, 0x8e, 0x82);
}

/** Recomputes L.MODE from CR0, EFER and the segments, and the tables that depend on it. */
export function updateMode(): void {
  const before = load<u32>(vp, L.MODE);
  const cs = load<u32>(segment(SEG_CS), L.SEGMENT_ATTRIBUTES);
  const ss = load<u32>(segment(SEG_SS), L.SEGMENT_ATTRIBUTES);
  let mode: u32 = 0;
  if (load<u64>(vp, L.CR0) & CR0_PE) mode |= MODE_PROTECTED;
  if (longMode()) mode |= MODE_LONG;
  if (longMode() && (cs & ATTRIBUTE_L) != 0) mode |= MODE_64;
  else if (!(cs & ATTRIBUTE_DB)) mode |= MODE_16;
  if (!(mode & MODE_64) && (ss & ATTRIBUTE_DB) != 0) mode |= MODE_STACK32;
  if ((mode & (MODE_64 | MODE_16 | MODE_STACK32 | MODE_PROTECTED)) == (MODE_STACK32 | MODE_PROTECTED) && allFlat()) mode |= MODE_FLAT;
  store<u32>(vp, mode, L.MODE);
  // Generations are kept per 64-bit, flat or other code and user/supervisor only: other differences start anew.
  if ((before ^ mode) & (MODE_16 | MODE_PROTECTED)) dropLinks();
  else selectContext();
}

export function setCpl(cpl: u32): void {
  store<u32>(vp, cpl, L.CPL);
  selectContext();
}

/** Loads CS from a checked descriptor and enters `cpl`. */
export function loadCs(selector: u32, d: u64, cpl: u32): void {
  const cs = segment(SEG_CS);
  const oldBase = load<u64>(cs);
  const oldLimit = load<u32>(cs, L.SEGMENT_LIMIT);
  putSegment(SEG_CS, (selector & 0xfffc) | cpl, baseOf(d), limitOf(d), attributesOf(d) | 1);
  store<u32>(vp, cpl, L.CPL);
  updateMode();
  if (!(load<u32>(vp, L.MODE) & MODE_64) && (oldBase != baseOf(d) || oldLimit != limitOf(d))) dropLinks();
}

/**
 * Real mode: the base follows from the selector; limit and size stay as they are, which is what makes "unreal" mode.
 * A segment that was null in protected mode has none to keep.
 */
function loadRealSegment(index: u32, selector: u32, type: u32): void {
  const s = segment(index);
  const attributes = load<u32>(s, L.SEGMENT_ATTRIBUTES);
  const limit = attributes & ATTRIBUTE_P ? load<u32>(s, L.SEGMENT_LIMIT) : 0xffff;
  putSegment(index, selector, <u64>selector << 4, limit, (attributes & 0xf000) | type);
}
export function loadRealCs(selector: u32): void {
  const oldBase = load<u64>(segment(SEG_CS));
  loadRealSegment(SEG_CS, selector, 0x9b);
  updateMode();
  if (oldBase != <u64>selector << 4) dropLinks();
}

/** MOV to segment register, POP segment, LxS: data segments and SS. */
export function loadDataSegment(index: u32, selector: u32): bool {
  if (!(load<u64>(vp, L.CR0) & CR0_PE)) {
    loadRealSegment(index, selector, 0x93);
    if (index == SEG_SS) updateMode();
    return true;
  }
  const cpl = load<u32>(vp, L.CPL);
  if ((selector & 0xfffc) == 0) {
    if (index == SEG_SS) {
      if (!(load<u32>(vp, L.MODE) & MODE_64) || cpl == 3 || (selector & 3) != cpl) {
        raise(VECTOR_GP, 0);
        return false;
      }
      putSegment(SEG_SS, selector, 0, 0xffffffff, 0xc093 | (cpl << 5));
      updateMode();
      return true;
    }
    putSegment(index, selector, 0, 0, 0);
    segmentLoaded(index);
    return true;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  const attributes = attributesOf(descriptor);
  const dpl = (attributes >> 5) & 3;
  const rpl = selector & 3;
  const error = selector & 0xfffc;
  if (!(attributes & ATTRIBUTE_S)) {
    raise(VECTOR_GP, error);
    return false;
  }
  if (index == SEG_SS) {
    // Writable data, and all three privilege levels the same.
    if ((attributes & 0xa) != 2 || rpl != cpl || dpl != cpl) {
      raise(VECTOR_GP, error);
      return false;
    }
    if (!(attributes & ATTRIBUTE_P)) {
      raise(VECTOR_SS, error);
      return false;
    }
  } else {
    const code = (attributes & 8) != 0;
    if (code && (attributes & 2) == 0) {
      raise(VECTOR_GP, error);
      return false;
    }
    const conforming = code && (attributes & 4) != 0;
    if (!conforming && (dpl < cpl || dpl < rpl)) {
      raise(VECTOR_GP, error);
      return false;
    }
    if (!(attributes & ATTRIBUTE_P)) {
      raise(VECTOR_NP, error);
      return false;
    }
  }
  if (!markAccessed()) return false;
  putSegment(index, selector, baseOf(descriptor), limitOf(descriptor), attributesOf(descriptor));
  segmentLoaded(index);
  return true;
}
/** The mode follows from SS, and outside 64-bit mode from DS and ES too. */
function segmentLoaded(index: u32): void {
  if (index == SEG_SS || (index <= SEG_DS && !(load<u32>(vp, L.MODE) & MODE_64))) updateMode();
}

/** After a return to an outer level: data segments that the new level may not use become null. */
export function dropInnerSegments(): void {
  const cpl = load<u32>(vp, L.CPL);
  for (let index: u32 = SEG_ES; index <= SEG_GS; index++) {
    if (index == SEG_CS || index == SEG_SS) continue;
    const s = segment(index);
    const attributes = load<u32>(s, L.SEGMENT_ATTRIBUTES);
    const conforming = (attributes & 0xc) == 0xc;
    if ((attributes & ATTRIBUTE_S) != 0 && !conforming && ((attributes >> 5) & 3) < cpl) putSegment(index, 0, 0, 0, 0);
  }
  segmentLoaded(SEG_DS);
}

/** LLDT and LTR: a system descriptor of the given types, 16 bytes long in long mode. */
export function loadSystemSegment(index: u32, selector: u32): bool {
  if (index == SEG_LDTR && (selector & 0xfffc) == 0) {
    putSegment(SEG_LDTR, selector, 0, 0, 0);
    return true;
  }
  if ((selector & 0xfffc) == 0 || (selector & 4) != 0) {
    raise(VECTOR_GP, selector & 0xfffc);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  const attributes = attributesOf(descriptor);
  const type = attributes & 0x1f;
  const right = index == SEG_LDTR ? type == 2 : type == 9 || (type == 1 && !longMode());
  if (!right) {
    raise(VECTOR_GP, selector & 0xfffc);
    return false;
  }
  if (!(attributes & ATTRIBUTE_P)) {
    raise(VECTOR_NP, selector & 0xfffc);
    return false;
  }
  let base = baseOf(descriptor);
  if (longMode()) {
    const low = descriptor;
    if ((selector & 0xfff8) + 15 > load<u32>(vp, L.GDTR_LIMIT)) {
      raise(VECTOR_GP, selector & 0xfffc);
      return false;
    }
    const at = descriptorAddress;
    if (!readSystem(at + 8, 8)) return false;
    base |= lastSystemValue() << 32;
    descriptor = low;
  }
  if (index == SEG_TR) {
    // Available becomes busy.
    if (!writeSystem(descriptorAddress + 5, 1, (descriptor >> 40) | 2)) return false;
    putSegment(index, selector, base, limitOf(descriptor), attributes | 2);
  } else putSegment(index, selector, base, limitOf(descriptor), attributes);
  return true;
}

/** Checks a code descriptor (in `descriptor`) for a far jump, call or return. `rpl`/`cpl` rules by kind: 0 jump/call, 1 return. */
export function checkCode(selector: u32, isReturn: bool): bool {
  const attributes = attributesOf(descriptor);
  const dpl = (attributes >> 5) & 3;
  const rpl = selector & 3;
  const cpl = load<u32>(vp, L.CPL);
  const conforming = (attributes & 4) != 0;
  let good = (attributes & 0x18) == 0x18;
  if (isReturn) good = good && rpl >= cpl && (conforming ? dpl <= rpl : dpl == rpl);
  else good = good && (conforming ? dpl <= cpl : rpl <= cpl && dpl == cpl);
  if (longMode() && (attributes & 0x6000) == 0x6000) good = false;
  if (!good) {
    raise(VECTOR_GP, selector & 0xfffc);
    return false;
  }
  if (!(attributes & ATTRIBUTE_P)) {
    raise(VECTOR_NP, selector & 0xfffc);
    return false;
  }
  return markAccessed();
}
