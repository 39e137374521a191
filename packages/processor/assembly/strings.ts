/**
 * String instructions: MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS, with repeat prefixes.
 *
 * MOVS and STOS go a page at a time where the direction is up and the memory is plain; the others element by element. Between pieces
 * the registers are as the architecture has them, so a fault or an interrupt in the middle resumes where it stopped.
 * Answers to: AMD64 manual volume 3, "Repeat prefixes". Called by run.ts.
 */
import * as L from './generated/layout';
import { watchesMemory } from './stop-points';
import { Operation } from './generated/operations';
import { vp, forcePoll, getRegister, setRegister, segment, MODE_64, FLAG_DF, RAX, RCX, RDX, RSI, RDI, SEG_ES } from './state';
import { readPointer, writePointer, commitIfPending, writeScratch, segmentLinear } from './memory';
import { setLazy, zero, CC_SUB } from './flags';
import { sizeOf, fault, loadSigned, loadUnsigned, storeSized, extend, go, startRip, putRegister } from './operands';
import { ioAllowed } from './ports';
import { notePort } from './debug';
import { hostPortRead, hostPortWrite } from './host';

/** Iterations between looks at interrupts for the element-wise loops. */
const SLICE: u32 = 4096;

function addressMask(u: usize): u64 {
  const narrow = (load<u8>(u, 6) & 0x80) != 0;
  if (load<u32>(vp, L.MODE) & MODE_64) return narrow ? 0xffffffff : 0xffffffffffffffff;
  return narrow ? 0xffff : 0xffffffff;
}
/** Number of the segment that an operand is in; -1: none (64-bit mode). */
function sourceSegment(u: usize): i32 {
  return <i32>((<u32>load<u8>(u, 6) >> 4) & 7) - 1;
}
function destinationSegment(): i32 {
  return load<u32>(vp, L.MODE) & MODE_64 ? -1 : <i32>SEG_ES;
}
function linear(index: i32, offset: u64): u64 {
  if (index < 0) return offset;
  return load<u32>(vp, L.MODE) & MODE_64 ? offset + load<u64>(segment(index)) : segmentLinear(index, offset);
}
/** Writes back an index or count register in the address size. */
function putIndex(offset: u32, mask: u64, value: u64): void {
  if (mask == 0xffff) store<u16>(vp + offset, <u16>value);
  else setRegister(offset, value & mask);
}

/** Whether elements up to the page's end can follow without a look at each: addresses are 64 bits wide, or 32 and in no segment to be checked. */
function plain(mask: u64, addresses: u64): bool {
  return mask == 0xffffffffffffffff || addresses >> 32 == 0;
}

/**
 * Runs the string operation. Resumes at the instruction itself when there is more to do than a slice. What it makes of its own bytes is
 * not looked at before that or its end, as on silicon.
 */
export function executeString(u: usize, operation: u32): usize {
  const size = sizeOf(u) == 3 && (operation == Operation.INS || operation == Operation.OUTS) ? 2 : sizeOf(u);
  const bytes: u64 = (<u64>1) << size;
  const mask = addressMask(u);
  const repeat = <u32>load<u8>(u, 3);
  const down = (load<u64>(vp, L.FLAGS) & FLAG_DF) != 0;
  const step: u64 = down ? 0 - bytes : bytes;
  let count: u64 = repeat != 0 ? getRegister(RCX) & mask : 1;
  if ((operation == Operation.INS || operation == Operation.OUTS) && !ioAllowed(<u32>load<u16>(vp + RDX), <u32>bytes)) return fault(u);
  // A repeat count of zero writes no register, not even RCX's upper half.
  if (count == 0) return u + 16;
  const from = sourceSegment(u);
  const to = destinationSegment();
  // Several at a time only where no element is looked at on its own.
  const alone = down || load<i32>(vp, L.BUDGET) < 0 || mask == 0xffff || watchesMemory();
  let left: u32 = SLICE;
  while (true) {
    let done: u64 = 1;
    const si = getRegister(RSI) & mask;
    const di = getRegister(RDI) & mask;
    switch (operation) {
      case Operation.MOVS: {
        const sa = linear(from, si);
        const da = linear(to, di);
        const s = readPointer(sa, <u32>bytes);
        if (s == 0) return fault(u);
        // The load comes first, also when both fault; its value must survive the store's scratch use.
        const value = loadSigned(s, size);
        const d = writePointer(da, <u32>bytes);
        if (d == 0) return fault(u);
        if (count > 1 && !alone && s >= <usize>vp + 0x1000000 && d != writeScratch() && s != vp + L.SCRATCH && plain(mask, sa | da)) {
          const room = min(0x1000 - (sa & 0xfff), 0x1000 - (da & 0xfff)) >> size;
          const n = min(count, room);
          if (n > 1) {
            const total = <u32>(n << size);
            // Overlap upwards repeats the pattern, as copying element by element does.
            if (d > s && d < s + total) {
              for (let i: u32 = 0; i < total; i += <u32>bytes) storeSized(d + i, size, loadSigned(s + i, size));
            } else memory.copy(d, s, total);
            done = n;
          } else storeSized(d, size, value);
        } else {
          storeSized(d, size, value);
          commitIfPending(d, <u32>bytes);
        }
        putIndex(RSI, mask, si + step * done);
        putIndex(RDI, mask, di + step * done);
        break;
      }
      case Operation.STOS: {
        const da = linear(to, di);
        const d = writePointer(da, <u32>bytes);
        if (d == 0) return fault(u);
        const value = loadSigned(vp + RAX, size);
        if (count > 1 && !alone && d != writeScratch() && plain(mask, da)) {
          const n = min(count, max((0x1000 - (da & 0xfff)) >> size, 1));
          const total = <u32>(n << size);
          const low = <u8>value;
          const uniform =
            size == 0 || (size == 1 && <u16>value == <u16>low * 0x101) || (size == 2 && <u32>value == <u32>low * 0x1010101) ||
            (size == 3 && <u64>value == <u64>low * 0x101010101010101);
          if (uniform) memory.fill(d, low, total);
          else for (let i: u32 = 0; i < total; i += <u32>bytes) storeSized(d + i, size, value);
          done = n;
        } else {
          storeSized(d, size, value);
          commitIfPending(d, <u32>bytes);
        }
        putIndex(RDI, mask, di + step * done);
        break;
      }
      case Operation.LODS: {
        const s = readPointer(linear(from, si), <u32>bytes);
        if (s == 0) return fault(u);
        putRegister(RAX, size, loadSigned(s, size));
        putIndex(RSI, mask, si + step);
        break;
      }
      case Operation.SCAS: {
        const d = readPointer(linear(to, di), <u32>bytes);
        if (d == 0) return fault(u);
        const a = loadSigned(vp + RAX, size);
        const b = loadSigned(d, size);
        setLazy(CC_SUB, extend(a - b, size), a, b);
        putIndex(RDI, mask, di + step);
        break;
      }
      case Operation.CMPS: {
        const s = readPointer(linear(from, si), <u32>bytes);
        if (s == 0) return fault(u);
        const a = loadSigned(s, size);
        const d = readPointer(linear(to, di), <u32>bytes);
        if (d == 0) return fault(u);
        const b = loadSigned(d, size);
        setLazy(CC_SUB, extend(a - b, size), a, b);
        putIndex(RSI, mask, si + step);
        putIndex(RDI, mask, di + step);
        break;
      }
      case Operation.INS: {
        const d = writePointer(linear(to, di), <u32>bytes);
        if (d == 0) return fault(u);
        storeSized(d, size, <i64>hostPortRead(<u32>load<u16>(vp + RDX), <u32>bytes));
        commitIfPending(d, <u32>bytes);
        putIndex(RDI, mask, di + step);
        break;
      }
      default: {
        const s = readPointer(linear(from, si), <u32>bytes);
        if (s == 0) return fault(u);
        hostPortWrite(<u32>load<u16>(vp + RDX), <u32>bytes, <u32>loadUnsigned(s, size));
        putIndex(RSI, mask, si + step);
      }
    }
    if ((operation == Operation.INS || operation == Operation.OUTS) && load<u32>(vp, L.DEBUGGING) != 0) notePort(<u32>load<u16>(vp + RDX), <u32>bytes);
    if (repeat == 0) return u + 16;
    count -= done;
    putIndex(RCX, mask, count);
    if (count == 0) return u + 16;
    if (operation == Operation.SCAS || operation == Operation.CMPS) {
      if (zero() != (repeat == 1)) return u + 16;
    }
    left--;
    if (left == 0 || (load<i32>(vp, L.BUDGET) | load<i32>(vp, L.REQUEST)) < 0) {
      // Interrupts may come in between: the instruction starts again with what is left.
      forcePoll();
      return go(startRip(u));
    }
  }
}

/** MASKMOVDQU: the bytes of the first register whose mask bytes have their top bit set go to DS:rDI. */
export function maskedMove(u: usize): usize {
  const mask = addressMask(u);
  const index = sourceSegment(u);
  const data = vp + L.XMM + (<usize>load<u8>(u, 2) << 1);
  const select = vp + L.XMM + (<usize>load<u8>(u, 3) << 1);
  const address = linear(index, getRegister(RDI) & mask);
  // All bytes are checked before the first is written.
  for (let i: u32 = 0; i < 16; i++) {
    if (load<u8>(select + i) & 0x80 && writePointer(address + i, 1) == 0) return fault(u);
  }
  for (let i: u32 = 0; i < 16; i++) {
    if (!(load<u8>(select + i) & 0x80)) continue;
    const p = writePointer(address + i, 1);
    store<u8>(p, load<u8>(data + i));
    commitIfPending(p, 1);
  }
  return u + 16;
}
