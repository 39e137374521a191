/**
 * Port I/O: IN and OUT through the host's handlers, and whether the task may.
 *
 * Answers to: AMD64 manual volume 2, section 12.2.4 (the TSS's permission map). Called by system.ts and strings.ts (INS, OUTS).
 */
import * as L from './generated/layout';
import { vp, raise, segment, MODE_PROTECTED, RAX, SEG_TR, VECTOR_GP } from './state';
import { readSystem, lastSystemValue } from './memory';
import { fault, sizeOf, putRegister } from './operands';
import { notePort } from './debug';
import { hostPortRead, hostPortWrite } from './host';

/** Checks IOPL and the TSS's permission map. @returns false after raise. */
export function ioAllowed(port: u32, bytes: u32): bool {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return true;
  const cpl = load<u32>(vp, L.CPL);
  if (cpl <= (<u32>(load<u64>(vp, L.FLAGS) >> 12) & 3)) return true;
  const tss = segment(SEG_TR);
  const limit = load<u32>(tss, L.SEGMENT_LIMIT);
  if (limit >= 0x67) {
    if (!readSystem(load<u64>(tss) + 0x66, 2)) return false;
    const at = <u32>lastSystemValue() + (port >> 3);
    if (at + 1 <= limit) {
      if (!readSystem(load<u64>(tss) + at, 2)) return false;
      const mask: u32 = ((1 << bytes) - 1) << (port & 7);
      if ((<u32>lastSystemValue() & mask) == 0) return true;
    }
  }
  raise(VECTOR_GP, 0);
  return false;
}

export function portIn(u: usize, port: u32): usize {
  const size = sizeOf(u) == 3 ? 2 : sizeOf(u);
  if (!ioAllowed(port, 1 << size)) return fault(u);
  if (load<u32>(vp, L.DEBUGGING) != 0) notePort(port, 1 << size);
  // Devices may look at the clock or ask for an interrupt.
  putRegister(RAX, size, <i64>hostPortRead(port, 1 << size));
  return u + 16;
}
export function portOut(u: usize, port: u32): usize {
  const size = sizeOf(u) == 3 ? 2 : sizeOf(u);
  if (!ioAllowed(port, 1 << size)) return fault(u);
  if (load<u32>(vp, L.DEBUGGING) != 0) notePort(port, 1 << size);
  const value = size == 0 ? <u32>load<u8>(vp + RAX) : size == 1 ? <u32>load<u16>(vp + RAX) : load<u32>(vp + RAX);
  hostPortWrite(port, 1 << size, value);
  return u + 16;
}
