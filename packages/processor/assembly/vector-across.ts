/**
 * VEX instructions that do not work on each 128 bits alone: broadcasts, permutations across lanes, masked moves, gathers, clearing of
 * registers, MXCSR. AMD64 Architecture Programmer's Manual volume 4. Called by extended.ts, which has checked that vectors are available.
 *
 * Elements that a mask leaves out are not accessed, so they do not fault. A gather that faults has cleared the mask of what it has done.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp, MODE_64, VECTOR_GP, VECTOR_UD } from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress, elementAddress, specialAddress } from './memory';
import { fault, raiseAt } from './operands';
import { FORM_RM, FORM_MR, IMMEDIATE_256, IMMEDIATE_REGISTER_SHIFT } from './decoder';
import { ldmxcsr } from './fpu';
import { maskedMove } from './strings';

// @ts-ignore: decorator
@inline
function vector(place: u32): usize {
  return vp + L.XMM + (place << 1);
}
/** Writes a result: what lies above the vector's length becomes zero. */
function putResult(u: usize, low: v128, high: v128): usize {
  const d = vector(load<u8>(u, 2));
  v128.store(d, low);
  v128.store(d, high, 16);
  return u + 16;
}
/** The source: memory of `bytes` bytes, or a register; 0 after a fault. */
function source(u: usize, form: u32, bytes: u32): usize {
  return form == FORM_RM ? readPointer(effectiveAddress(u), bytes) : vector(load<u8>(u, 3));
}

function broadcast(u: usize, operation: u32, form: u32, wide: bool, bytes: u32): usize {
  const s = source(u, form, bytes);
  if (s == 0) return fault(u);
  let value: v128;
  if (operation == Operation.VBROADCAST8) value = v128.load8_splat(s);
  else if (operation == Operation.VBROADCAST16) value = v128.load16_splat(s);
  else if (operation == Operation.VBROADCAST32) value = v128.load32_splat(s);
  else if (operation == Operation.VBROADCAST64) value = v128.load64_splat(s);
  else value = v128.load(s);
  return putResult(u, value, wide ? value : i64x2.splat(0));
}

/** VPERM2F128, VPERM2I128: one half, by two bits of the immediate, or zero. */
function half(select: u32, first: usize, second: usize): v128 {
  if ((select & 8) != 0) return i64x2.splat(0);
  return v128.load(((select & 2) != 0 ? second : first) + ((select & 1) << 4));
}

/** VPERMD, VPERMPS: any eight elements of the source. */
function permute32(u: usize, s: usize, order: usize): usize {
  const t = vp + L.VECTOR_TEMPORARY;
  for (let i: u32 = 0; i < 32; i += 4) store<u32>(t + i, load<u32>(s + ((load<u32>(order + i) & 7) << 2)));
  return putResult(u, v128.load(t), v128.load(t, 16));
}

function maskedLoad(u: usize, mask: usize, length: u32, step: u32): usize {
  const t = vp + L.VECTOR_TEMPORARY;
  v128.store(t, i64x2.splat(0));
  v128.store(t, i64x2.splat(0), 16);
  for (let at: u32 = 0; at < length; at += step) {
    if (load<i32>(mask + at + step - 4) >= 0) continue;
    const p = readPointer(elementAddress(u, at), step);
    if (p == 0) return fault(u);
    memory.copy(t + at, p, step);
  }
  return putResult(u, v128.load(t), v128.load(t, 16));
}
function maskedStore(u: usize, mask: usize, length: u32, step: u32): usize {
  const from = vector(load<u8>(u, 3));
  // All elements are tried before one is written.
  for (let at: u32 = 0; at < length; at += step) {
    if (load<i32>(mask + at + step - 4) < 0 && writePointer(elementAddress(u, at), step) == 0) return fault(u);
  }
  for (let at: u32 = 0; at < length; at += step) {
    if (load<i32>(mask + at + step - 4) >= 0) continue;
    const p = writePointer(elementAddress(u, at), step);
    memory.copy(p, from + at, step);
    commitIfPending(p, step);
  }
  return u + 16;
}

/** Gathers: `step` bytes for each element, `indexBytes` for each index. */
function gather(u: usize, immediate: u32, wide: bool, step: u32, indexBytes: u32): usize {
  const destination = <u32>load<u8>(u, 2);
  const index = <u32>load<u8>(u, 3);
  const maskPlace = ((immediate >> IMMEDIATE_REGISTER_SHIFT) & 15) << 4;
  if (destination == index || destination == maskPlace || index == maskPlace) return raiseAt(u, VECTOR_UD, 0);
  const d = vector(destination);
  const mask = vector(maskPlace);
  const widest = max(step, indexBytes);
  const count: u32 = (wide ? 32 : 16) / widest;
  const flags = <u32>load<u8>(u, 6);
  const base = load<u64>(vp + load<u8>(u, 4)) + <u64>(<i64>load<i32>(u, 8));
  for (let i: u32 = 0; i < count; i++) {
    const at = i * step;
    if (load<i32>(mask + at + step - 4) >= 0) {
      if (step == 8) store<u64>(mask + at, 0);
      else store<u32>(mask + at, 0);
      continue;
    }
    const offset = indexBytes == 8 ? load<i64>(vector(index) + i * 8) : <i64>load<i32>(vector(index) + i * 4);
    let address = base + (<u64>offset << (flags & 3));
    if (flags & 0xf0) address = specialAddress(u, address);
    const p = readPointer(address, step);
    if (p == 0) return fault(u);
    if (step == 8) {
      store<u64>(d + at, load<u64>(p));
      store<u64>(mask + at, 0);
    } else {
      store<u32>(d + at, load<u32>(p));
      store<u32>(mask + at, 0);
    }
  }
  memory.fill(mask, 0, 32);
  const used = count * step;
  memory.fill(d + used, 0, 32 - used);
  return u + 16;
}

/** @returns the next operation, or 0 when the operation is none of this file's */
export function executeAcross(u: usize, operation: u32, form: u32, immediate: u32): usize {
  const wide = (immediate & IMMEDIATE_256) != 0;
  const length: u32 = wide ? 32 : 16;
  const named = vector(((immediate >> IMMEDIATE_REGISTER_SHIFT) & 15) << 4);
  const count: u32 = (load<u32>(vp, L.MODE) & MODE_64) != 0 ? 16 : 8;
  switch (operation) {
    case Operation.VZEROUPPER:
      for (let i: u32 = 0; i < count; i++) v128.store(vector(i << 4), i64x2.splat(0), 16);
      return u + 16;
    case Operation.VZEROALL:
      memory.fill(vector(0), 0, count << 5);
      return u + 16;
    case Operation.VEX_LDMXCSR: {
      const p = readPointer(effectiveAddress(u), 4);
      if (p == 0) return fault(u);
      return ldmxcsr(load<u32>(p)) ? u + 16 : raiseAt(u, VECTOR_GP, 0);
    }
    case Operation.VEX_STMXCSR: {
      const p = writePointer(effectiveAddress(u), 4);
      if (p == 0) return fault(u);
      store<u32>(p, load<u32>(vp, L.MXCSR));
      commitIfPending(p, 4);
      return u + 16;
    }
    case Operation.VEX_MASKMOVDQU:
      return maskedMove(u);
    case Operation.VBROADCAST8:
    case Operation.VBROADCAST16:
    case Operation.VBROADCAST32:
    case Operation.VBROADCAST64:
    case Operation.VBROADCAST128:
      return broadcast(u, operation, form, wide, (immediate >> 8) & 0xff);
    case Operation.VINSERT128: {
      const s = source(u, form, 16);
      if (s == 0) return fault(u);
      const inserted = v128.load(s);
      return (immediate & 1) != 0 ? putResult(u, v128.load(named), inserted) : putResult(u, inserted, v128.load(named, 16));
    }
    case Operation.VEXTRACT128: {
      const value = v128.load(vector(load<u8>(u, 3)) + ((immediate & 1) << 4));
      if (form != FORM_MR) return putResult(u, value, i64x2.splat(0));
      const p = writePointer(effectiveAddress(u), 16);
      if (p == 0) return fault(u);
      v128.store(p, value);
      commitIfPending(p, 16);
      return u + 16;
    }
    case Operation.VPERM128: {
      const s = source(u, form, 32);
      if (s == 0) return fault(u);
      return putResult(u, half(immediate & 15, named, s), half((immediate >> 4) & 15, named, s));
    }
    case Operation.VPERMD: {
      const s = source(u, form, 32);
      return s == 0 ? fault(u) : permute32(u, s, named);
    }
    case Operation.VPERMQ: {
      const s = source(u, form, 32);
      if (s == 0) return fault(u);
      return putResult(
        u,
        i64x2(load<i64>(s + ((immediate & 3) << 3)), load<i64>(s + (((immediate >> 2) & 3) << 3))),
        i64x2(load<i64>(s + (((immediate >> 4) & 3) << 3)), load<i64>(s + (((immediate >> 6) & 3) << 3))),
      );
    }
    case Operation.VMASKMOV32:
      return form == FORM_MR ? maskedStore(u, named, length, 4) : maskedLoad(u, named, length, 4);
    case Operation.VMASKMOV64:
      return form == FORM_MR ? maskedStore(u, named, length, 8) : maskedLoad(u, named, length, 8);
    case Operation.VGATHER_DD: return gather(u, immediate, wide, 4, 4);
    case Operation.VGATHER_DQ: return gather(u, immediate, wide, 8, 4);
    case Operation.VGATHER_QD: return gather(u, immediate, wide, 4, 8);
    case Operation.VGATHER_QQ: return gather(u, immediate, wide, 8, 8);
  }
  return 0;
}
