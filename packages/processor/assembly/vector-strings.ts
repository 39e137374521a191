/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. AMD64 Architecture Programmer's Manual volume 4; Intel SDM volume 2, section 4.1.
 * Called by extended.ts with the operands' addresses.
 */
import { vp, RAX, RCX, RDX } from './state';
import { setExplicit } from './flags';
import { get, put } from './vector-integer';

function element(at: usize, index: u32, words: bool, signed: bool): i32 {
  if (words) return signed ? <i32>load<i16>(at + (index << 1)) : <i32>load<u16>(at + (index << 1));
  return signed ? <i32>load<i8>(at + index) : <i32>load<u8>(at + index);
}
function implicitLength(at: usize, words: bool): u32 {
  const count: u32 = words ? 8 : 16;
  let length: u32 = 0;
  while (length < count && element(at, length, words, false) != 0) length++;
  return length;
}
/** A length in a register: its magnitude, at most the number of elements. */
function explicitLength(register: u32, wide: bool, count: u32): u32 {
  const value = wide ? load<i64>(vp + register) : <i64>load<i32>(vp + register);
  const magnitude: u64 = value < 0 ? 0 - <u64>value : <u64>value;
  return magnitude > <u64>count ? count : <u32>magnitude;
}

/** The comparison's bits before polarity (IntRes1). */
function compared(a: usize, b: usize, lengthA: u32, lengthB: u32, immediate: u32): u32 {
  const words = (immediate & 1) != 0;
  const signed = (immediate & 2) != 0;
  const count: u32 = words ? 8 : 16;
  let result: u32 = 0;
  for (let j: u32 = 0; j < count; j++) {
    let bit = false;
    switch ((immediate >> 2) & 3) {
      case 0:
        if (j < lengthB) {
          const value = element(b, j, words, signed);
          for (let i: u32 = 0; i < lengthA && !bit; i++) bit = element(a, i, words, signed) == value;
        }
        break;
      case 1:
        if (j < lengthB) {
          const value = element(b, j, words, signed);
          for (let i: u32 = 0; i + 1 < lengthA && !bit; i += 2) {
            bit = element(a, i, words, signed) <= value && value <= element(a, i + 1, words, signed);
          }
        }
        break;
      case 2:
        if (j < lengthA && j < lengthB) bit = element(a, j, words, signed) == element(b, j, words, signed);
        else bit = j >= lengthA && j >= lengthB;
        break;
      default:
        bit = true;
        for (let i: u32 = 0; i < lengthA && i + j < count && bit; i++) {
          bit = i + j < lengthB && element(a, i, words, signed) == element(b, i + j, words, signed);
        }
    }
    if (bit) result |= 1 << j;
  }
  return result;
}

/**
 * Compares and leaves flags, and ECX or XMM0. @param wide lengths in RAX and RDX have 64 bits; @param mask address of XMM0 for a mask as
 * result, 0 for an index; @param explicitLengths they are in RAX and RDX
 */
export function compareStrings(a: usize, b: usize, immediate: u32, explicitLengths: bool, wide: bool, mask: usize): void {
  const words = (immediate & 1) != 0;
  const count: u32 = words ? 8 : 16;
  const lengthA = explicitLengths ? explicitLength(RAX, wide, count) : implicitLength(a, words);
  const lengthB = explicitLengths ? explicitLength(RDX, wide, count) : implicitLength(b, words);
  const all: u32 = (1 << count) - 1;
  let bits = compared(a, b, lengthA, lengthB, immediate);
  if ((immediate & 0x10) != 0) bits ^= (immediate & 0x20) != 0 ? (1 << lengthB) - 1 : all;
  setExplicit(
    (bits != 0 ? 1 : 0) | (lengthB < count ? 0x40 : 0) | (lengthA < count ? 0x80 : 0) | ((bits & 1) != 0 ? 0x800 : 0),
  );
  if (mask == 0) {
    const index = bits == 0 ? count : (immediate & 0x40) != 0 ? 31 - clz<u32>(bits) : ctz<u32>(bits);
    store<u64>(vp + RCX, index);
    return;
  }
  let value = i64x2(<i64>bits, 0);
  if ((immediate & 0x40) != 0) {
    put(mask, i64x2.splat(0));
    for (let i: u32 = 0; i < count; i++) {
      if (((bits >> i) & 1) == 0) continue;
      if (words) store<u16>(mask + (i << 1), 0xffff);
      else store<u8>(mask + i, 0xff);
    }
    value = get(mask);
  }
  put(mask, value);
}
