/**
 * Shifts, rotates, bit tests and bit scans, in every form. Flags that the manual leaves undefined come out as AMD's silicon has them
 * where that is known: the differential harness compares.
 * Answers to: AMD64 manual volume 3. Called by general.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp, segment, MODE_64, RCX } from './state';
import { readPointer, modifyPointer, commitIfPending, writeScratch, effectiveAddress, segmentLinear } from './memory';
import { setExplicit, setResult, arithmeticFlags } from './flags';
import { FORM_RI, FORM_RM, FORM_MR, FORM_MI } from './decoder';
import {
  sizeOf, fault, loadSigned, loadUnsigned, storeSized, putRegister, extend, bitsOf, exchangeIf, destination, putDestination,
} from './operands';

/** Rotates and shifts. Undefined flags come out as AMD's silicon leaves them where that is known (OF as for a count of one). */
export function shift(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  const bits = bitsOf(size);
  const p = destination(u, form, 1 << size);
  if (p == 0) return fault(u);
  let count: u32 = form == FORM_RI || form == FORM_MI ? load<u32>(u, 12) & 0xff : <u32>load<u8>(vp + load<u8>(u, 3));
  count &= size == 3 ? 63 : 31;
  const a = loadUnsigned(p, size);
  if (count == 0) {
    // Flags stay; the destination is still written (a 32-bit register loses its upper half).
    putDestination(u, form, p, size, <i64>a);
    return u + 16;
  }
  const flags = arithmeticFlags();
  let r: u64 = 0;
  let cf = false;
  let ov = false;
  const top: u64 = <u64>1 << (bits - 1);
  const mask: u64 = size == 3 ? 0xffffffffffffffff : (<u64>1 << bits) - 1;
  switch (operation) {
    case Operation.ROL: {
      const n = count & (bits - 1);
      r = n == 0 ? a : ((a << n) | (a >> (bits - n))) & mask;
      cf = (r & 1) != 0;
      ov = ((r & top) != 0) != cf;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | (cf ? 1 : 0) | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.ROR: {
      const n = count & (bits - 1);
      r = n == 0 ? a : ((a >> n) | (a << (bits - n))) & mask;
      cf = (r & top) != 0;
      ov = ((r ^ (r << 1)) & top) != 0;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | (cf ? 1 : 0) | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.RCL: {
      const n = count % (bits + 1);
      let c = flags & 1;
      r = a;
      for (let i: u32 = 0; i < n; i++) {
        const out: u64 = r & top ? 1 : 0;
        r = ((r << 1) | c) & mask;
        c = out;
      }
      cf = c != 0;
      ov = ((r & top) != 0) != cf;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | c | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.RCR: {
      const n = count % (bits + 1);
      let c = flags & 1;
      r = a;
      for (let i: u32 = 0; i < n; i++) {
        const out = r & 1;
        r = (r >> 1) | (c != 0 ? top : 0);
        c = out;
      }
      ov = ((r ^ (r << 1)) & top) != 0;
      putDestination(u, form, p, size, <i64>r);
      setExplicit((flags & ~<u64>0x801) | c | (ov ? 0x800 : 0));
      return u + 16;
    }
    case Operation.SHL:
      r = (count >= bits ? 0 : a << count) & mask;
      cf = count > bits ? false : ((a >> (bits - count)) & 1) != 0;
      ov = ((r & top) != 0) != cf;
      break;
    case Operation.SHR:
      r = count >= bits ? 0 : a >> count;
      cf = count > bits ? false : ((a >> (count - 1)) & 1) != 0;
      ov = ((r ^ (r << 1)) & top) != 0;
      break;
    default: {
      const s = extend(<i64>a, size);
      r = <u64>(s >> min(count, 63)) & mask;
      cf = ((s >> min(count - 1, 63)) & 1) != 0;
      ov = false;
    }
  }
  putDestination(u, form, p, size, <i64>r);
  setResult(extend(<i64>r, size), (cf ? 1 : 0) | (ov ? 0x800 : 0));
  return u + 16;
}

/** SHLD and SHRD. The source register is in the source byte for memory and register destinations alike. */
export function doubleShift(u: usize, left: bool, byCl: bool, form: u32): usize {
  const size = sizeOf(u);
  const bits = bitsOf(size);
  const p = destination(u, form, 1 << size);
  if (p == 0) return fault(u);
  const count = (byCl ? <u32>load<u8>(vp + RCX) : load<u32>(u, 12)) & (size == 3 ? 63 : 31);
  const a = loadUnsigned(p, size);
  const b = loadUnsigned(vp + load<u8>(u, 3), size);
  if (count == 0) {
    putDestination(u, form, p, size, <i64>a);
    return u + 16;
  }
  let r: u64 = 0;
  let cf = false;
  const mask: u64 = size == 3 ? 0xffffffffffffffff : (<u64>1 << bits) - 1;
  if (size == 1) {
    // Counts above 16 are undefined: the silicon goes on shifting in the destination's own bits after the source's.
    const wide = left ? (a << 32) | (b << 16) | a : (a << 32) | (b << 16) | a;
    if (left) {
      r = (wide >> (32 - count)) & mask;
      cf = ((wide >> (48 - count)) & 1) != 0;
    } else {
      r = (wide >> count) & mask;
      cf = ((wide >> (count - 1)) & 1) != 0;
    }
  } else if (left) {
    r = ((a << count) | (b >> (bits - count))) & mask;
    cf = ((a >> (bits - count)) & 1) != 0;
  } else {
    r = ((a >> count) | (b << (bits - count))) & mask;
    cf = ((a >> (count - 1)) & 1) != 0;
  }
  const ov = (((r ^ a) >> (bits - 1)) & 1) != 0;
  putDestination(u, form, p, size, <i64>r);
  setResult(extend(<i64>r, size), (cf ? 1 : 0) | (ov ? 0x800 : 0));
  return u + 16;
}

/** BT, BTS, BTR, BTC. With a register index a memory operand reaches beyond its own size. */
export function bitTest(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const bits = bitsOf(size);
  let index: i64 = form == FORM_RI || form == FORM_MI ? <i64>load<u8>(u, 12) : loadSigned(vp + load<u8>(u, 3), size);
  let p: usize = vp + load<u8>(u, 2);
  const memoryForm = form >= FORM_MR;
  if (memoryForm) {
    let address = effectiveAddress(u);
    if (form == FORM_MR) {
      const step = (index >> (3 + size)) << size;
      const flags = <u32>load<u8>(u, 6);
      if (!(load<u32>(vp, L.MODE) & MODE_64)) {
        // SEG is always named here; a 16-bit address wraps within the segment.
        const named = ((flags >> 4) & 7) - 1;
        const mask: u64 = flags & 0x80 ? 0xffff : 0xffffffff;
        address = segmentLinear(named, (address - load<u64>(segment(named)) + step) & mask);
      } else if (flags & 0x80) {
        const seg = (flags >> 4) & 7;
        const segmentBase: u64 = seg != 0 ? load<u64>(segment(seg - 1)) : 0;
        address = ((address - segmentBase + step) & 0xffffffff) + segmentBase;
      } else address += step;
    }
    p = operation == Operation.BT ? readPointer(address, bytes) : modifyPointer(address, bytes);
    if (p == 0) return fault(u);
  }
  index &= bits - 1;
  const mask: i64 = <i64>1 << index;
  let a = loadSigned(p, size);
  let r = a;
  const atomically = memoryForm && load<u8>(u, 2) != 0 && p != writeScratch() && (p & (bytes - 1)) == 0;
  for (;;) {
    if (operation == Operation.BTS) r = a | mask;
    else if (operation == Operation.BTR) r = a & ~mask;
    else if (operation == Operation.BTC) r = a ^ mask;
    if (!atomically || operation == Operation.BT) break;
    const seen = exchangeIf(p, size, a, extend(r, size));
    if (seen == a) break;
    a = seen;
  }
  if (operation != Operation.BT) {
    if (!memoryForm) putRegister(load<u8>(u, 2), size, r);
    else if (!atomically) {
      storeSized(p, size, r);
      commitIfPending(p, bytes);
    }
  }
  const cf: u64 = (a >> index) & 1;
  setExplicit((arithmeticFlags() & ~<u64>1) | cf);
  return u + 16;
}

export function bitScan(u: usize, operation: u32, form: u32): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 3);
  if (form == FORM_RM) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const value = loadUnsigned(p, size);
  if (operation == Operation.POPCNT) {
    putRegister(load<u8>(u, 2), size, <i64>popcnt<u64>(value));
    setExplicit(value == 0 ? 0x40 : 0);
    return u + 16;
  }
  // A zero source leaves the destination as it was (AMD defines this).
  if (value != 0) putRegister(load<u8>(u, 2), size, <i64>(operation == Operation.BSF ? ctz<u64>(value) : 63 - clz<u64>(value)));
  setExplicit((arithmeticFlags() & ~<u64>0x40) | (value == 0 ? 0x40 : 0));
  return u + 16;
}
