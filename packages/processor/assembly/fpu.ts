/**
 * x87 state and the instructions that only move or clear it, and FXSAVE; XSAVE is xsave.ts. AMD64 Architecture Programmer's Manual volume 5
 * and, for the images, volume 2 chapter 11. Called by the interpreter, which has checked availability, pending exceptions, alignment
 * and page faults, and gives contiguous pointers.
 *
 * Registers are kept by their physical number (R0..R7, 16 bytes each at L.FPU_REGISTERS); TOP lies in the status word; the tag byte is
 * the abridged form of FXSAVE (a set bit: not empty). FPU_STATUS always has ES and B as the flags and masks demand. As
 * on processors that announce RstrFpErrPtrs (CPUID 8000_0008h EBX bit 2), FXSAVE and XSAVE write the last instruction's opcode and
 * pointers when an exception is pending and zeros otherwise. Selectors beside the pointers are kept for the 32-bit forms.
 */
import * as L from './generated/layout';
import { MODE_64, MODE_LONG, MODE_PROTECTED, vp } from './state';

/** Bits that LDMXCSR, FXRSTOR and XRSTOR may set: all but MM (misaligned SSE is not announced). */
export const MXCSR_MASK: u32 = 0xffff;
export const MXCSR_INITIAL: u32 = 0x1f80;
const CONTROL_INITIAL: u16 = 0x37f;
/** Bits of the control word that exist, and the one that is always set. */
const CONTROL_BITS: u32 = 0x1f3f;
const CONTROL_ONES: u32 = 0x40;
const STATUS_SUMMARY: u32 = 0x8080;
const STATUS_EXCEPTIONS: u32 = 0x3f;

// @ts-ignore: decorator
@inline
function control(): u32 {
  return load<u16>(vp, L.FPU_CONTROL);
}
// @ts-ignore: decorator
@inline
function status(): u32 {
  return load<u16>(vp, L.FPU_STATUS);
}
// @ts-ignore: decorator
@inline
function top(): u32 {
  return (status() >> 11) & 7;
}
// @ts-ignore: decorator
@inline
function register(physical: u32): usize {
  return vp + L.FPU_REGISTERS + ((physical & 7) << 4);
}

/** Loads control and status word; ES and B follow from flags and masks. */
function setWords(controlWord: u32, statusWord: u32): void {
  const pending = (statusWord & ~controlWord & STATUS_EXCEPTIONS) != 0;
  if (!pending) store<u32>(vp, 0, L.FERR);
  store<u16>(vp, (controlWord & CONTROL_BITS) | CONTROL_ONES, L.FPU_CONTROL);
  store<u16>(vp, (statusWord & ~STATUS_SUMMARY) | (pending ? STATUS_SUMMARY : 0), L.FPU_STATUS);
}

/** Addresses are kept canonical. */
// @ts-ignore: decorator
@inline
function canonical(address: u64): u64 {
  return <u64>((<i64>address << 16) >> 16);
}

/** Whether an unmasked x87 exception waits for the next instruction that looks (math-fault.ts). */
export function fpuPending(): bool {
  return (status() & 0x80) != 0;
}

/** FNINIT. The registers keep their content, all tagged empty. */
export function fpuInit(): void {
  store<u32>(vp, 0, L.FERR);
  store<u16>(vp, CONTROL_INITIAL, L.FPU_CONTROL);
  store<u16>(vp, 0, L.FPU_STATUS);
  store<u8>(vp, 0, L.FPU_TAG);
  store<u16>(vp, 0, L.FPU_OPCODE);
  store<u64>(vp, 0, L.FPU_IP);
  store<u64>(vp, 0, L.FPU_DP);
  store<u32>(vp, 0, L.FPU_CS);
}

/** x87 and SSE as after RESET. */
export function fpuReset(): void {
  fpuInit();
  store<u16>(vp, 0x40, L.FPU_CONTROL);
  store<u8>(vp, 0xff, L.FPU_TAG);
  memory.fill(vp + L.FPU_REGISTERS, 0, 128);
  memory.fill(vp + L.XMM, 0, 512);
  store<u32>(vp, MXCSR_INITIAL, L.MXCSR);
}

/** FNSTCW. */
export function fnstcw(): u32 {
  return control();
}
/** FLDCW: unmasking a flagged exception makes it pending. */
export function fldcw(value: u32): void {
  setWords(value, status());
}
/** FNSTSW. */
export function fnstsw(): u32 {
  return status();
}
/** FNCLEX. */
export function fnclex(): void {
  store<u32>(vp, 0, L.FERR);
  store<u16>(vp, status() & 0x7f00, L.FPU_STATUS);
}
/** FFREE ST(index). C1 is cleared. */
export function ffree(index: u32): void {
  store<u16>(vp, status() & ~0x200, L.FPU_STATUS);
  store<u8>(vp, <u32>load<u8>(vp, L.FPU_TAG) & ~(1 << ((top() + index) & 7)), L.FPU_TAG);
}
function setTop(value: u32): void {
  // C1 is cleared.
  store<u16>(vp, (status() & ~0x3a00) | ((value & 7) << 11), L.FPU_STATUS);
}
/** FINCSTP. */
export function fincstp(): void {
  setTop(top() + 1);
}
/** FDECSTP. */
export function fdecstp(): void {
  setTop(top() - 1);
}

/** The tag word of FNSTENV: per register 0 valid, 1 zero, 2 special (NaN, infinity, denormal, unsupported), 3 empty. */
export function fullTag(): u32 {
  const tags = <u32>load<u8>(vp, L.FPU_TAG);
  let word: u32 = 0;
  for (let physical: u32 = 0; physical < 8; physical++) {
    let tag: u32 = 3;
    if ((tags & (1 << physical)) != 0) {
      const significand = load<u64>(register(physical));
      const exponent = <u32>load<u16>(register(physical), 8) & 0x7fff;
      if (exponent == 0 && significand == 0) tag = 1;
      else tag = exponent != 0 && exponent != 0x7fff && <i64>significand < 0 ? 0 : 2;
    }
    word |= tag << (physical << 1);
  }
  return word;
}
/** Abridges a tag word: only empty or not is kept, the rest follows from the content. */
function setFullTag(word: u32): void {
  let tags: u32 = 0;
  for (let physical: u32 = 0; physical < 8; physical++) {
    if (((word >> (physical << 1)) & 3) != 3) tags |= 1 << physical;
  }
  store<u8>(vp, tags, L.FPU_TAG);
}

/** In real mode the environment's pointers are linear addresses of 32 (or 20) bits, and the opcode stands in its short form too. */
// @ts-ignore: decorator
@inline
function inRealMode(): bool {
  return (load<u32>(vp, L.MODE) & (MODE_PROTECTED | MODE_LONG | MODE_64)) == 0;
}

/** FNSTENV: 28 bytes (the 32-bit form) or 14. All exceptions are then masked. */
export function fnstenvTo(p: usize, wide: bool): void {
  const opcode = <u32>load<u16>(vp, L.FPU_OPCODE);
  const instruction = load<u64>(vp, L.FPU_IP);
  const data = load<u64>(vp, L.FPU_DP);
  const real = inRealMode();
  const linear = <u32>instruction + (<u32>load<u16>(vp, L.FPU_CS) << 4);
  const linearData = <u32>data + (<u32>load<u16>(vp, L.FPU_DS) << 4);
  if (wide) {
    store<u32>(p, control() | 0xffff0000);
    store<u32>(p, status() | 0xffff0000, 4);
    store<u32>(p, fullTag() | 0xffff0000, 8);
    store<u32>(p, <u32>instruction, 12);
    store<u32>(p, <u32>load<u16>(vp, L.FPU_CS) | (opcode << 16), 16);
    store<u32>(p, <u32>data, 20);
    store<u32>(p, <u32>load<u16>(vp, L.FPU_DS) | 0xffff0000, 24);
    if (real) {
      store<u32>(p, linear | 0xffff0000, 12);
      store<u32>(p, ((linear >> 16) << 12) | opcode, 16);
      store<u32>(p, linearData | 0xffff0000, 20);
      store<u32>(p, (linearData >> 16) << 12, 24);
    }
  } else {
    store<u16>(p, control());
    store<u16>(p, status(), 2);
    store<u16>(p, fullTag(), 4);
    store<u16>(p, <u16>instruction, 6);
    store<u16>(p, load<u16>(vp, L.FPU_CS), 8);
    store<u16>(p, <u16>data, 10);
    store<u16>(p, load<u16>(vp, L.FPU_DS), 12);
    if (real) {
      store<u16>(p, <u16>linear, 6);
      store<u16>(p, <u16>(((linear >> 16) << 12) | opcode), 8);
      store<u16>(p, <u16>linearData, 10);
      store<u16>(p, <u16>((linearData >> 16) << 12), 12);
    }
  }
  setWords(control() | STATUS_EXCEPTIONS, status());
}

/** FLDENV. */
export function fldenvFrom(p: usize, wide: bool): void {
  if (wide) {
    setWords(load<u16>(p), load<u16>(p, 4));
    setFullTag(load<u16>(p, 8));
    store<u64>(vp, load<u32>(p, 12), L.FPU_IP);
    store<u16>(vp, load<u16>(p, 16), L.FPU_CS);
    store<u16>(vp, load<u16>(p, 18) & 0x7ff, L.FPU_OPCODE);
    store<u64>(vp, load<u32>(p, 20), L.FPU_DP);
    store<u16>(vp, load<u16>(p, 24), L.FPU_DS);
  } else {
    setWords(load<u16>(p), load<u16>(p, 2));
    setFullTag(load<u16>(p, 4));
    store<u64>(vp, load<u16>(p, 6), L.FPU_IP);
    store<u16>(vp, load<u16>(p, 8), L.FPU_CS);
    store<u16>(vp, 0, L.FPU_OPCODE);
    store<u64>(vp, load<u16>(p, 10), L.FPU_DP);
    store<u16>(vp, load<u16>(p, 12), L.FPU_DS);
  }
  if (!inRealMode()) return;
  // Linear addresses: the selectors are none.
  const step: usize = wide ? 4 : 2;
  const upper: usize = p + 4 * step;
  const upperData: usize = p + 6 * step;
  const high = wide ? (load<u32>(upper) >> 12) & 0xffff : <u32>load<u16>(upper) >> 12;
  const highData = wide ? (load<u32>(upperData) >> 12) & 0xffff : <u32>load<u16>(upperData) >> 12;
  store<u64>(vp, <u64>load<u16>(p + 3 * step) | (<u64>high << 16), L.FPU_IP);
  store<u64>(vp, <u64>load<u16>(p + 5 * step) | (<u64>highData << 16), L.FPU_DP);
  store<u16>(vp, load<u16>(upper) & 0x7ff, L.FPU_OPCODE);
  store<u32>(vp, 0, L.FPU_CS);
}

/** FNSAVE: 108 or 94 bytes; then as FNINIT. */
export function fnsaveTo(p: usize, wide: bool): void {
  fnstenvTo(p, wide);
  const registers = p + (wide ? 28 : 14);
  for (let index: u32 = 0; index < 8; index++) memory.copy(registers + index * 10, register(top() + index), 10);
  fpuInit();
}

/** FRSTOR. */
export function frstorFrom(p: usize, wide: bool): void {
  fldenvFrom(p, wide);
  const registers = p + (wide ? 28 : 14);
  for (let index: u32 = 0; index < 8; index++) memory.copy(register(top() + index), registers + index * 10, 10);
}

/** Registers that FXSAVE and XSAVE cover in the current mode. */
// @ts-ignore: decorator
@inline
export function xmmCount(): u32 {
  return (load<u32>(vp, L.MODE) & MODE_64) != 0 ? 16 : 8;
}

/** A pointer as FXSAVE stores it: 64 bits, or 32 bits and the selector. */
// @ts-ignore: decorator
@inline
function pointer(offset: u32, selector: u32, wide: bool): u64 {
  const address = load<u64>(vp + offset);
  return wide ? address : (address & 0xffffffff) | (<u64>load<u16>(vp + selector) << 32);
}

/** The x87 part of the image: bytes 0-23 and the registers. `wide`: 64-bit pointers (REX.W). */
export function saveX87(p: usize, wide: bool): void {
  const pending = fpuPending();
  store<u16>(p, control());
  store<u16>(p, status(), 2);
  store<u16>(p, load<u8>(vp, L.FPU_TAG), 4);
  store<u16>(p, pending ? load<u16>(vp, L.FPU_OPCODE) : 0, 6);
  store<u64>(p, pending ? pointer(L.FPU_IP, L.FPU_CS, wide) : 0, 8);
  store<u64>(p, pending ? pointer(L.FPU_DP, L.FPU_DS, wide) : 0, 16);
  for (let index: u32 = 0; index < 8; index++) {
    const from = register(top() + index);
    store<u64>(p + index * 16, load<u64>(from), 32);
    store<u64>(p + index * 16, load<u16>(from, 8), 40);
  }
}

export function restoreX87(p: usize, wide: bool): void {
  setWords(load<u16>(p), load<u16>(p, 2));
  store<u8>(vp, load<u8>(p, 4), L.FPU_TAG);
  store<u16>(vp, load<u16>(p, 6) & 0x7ff, L.FPU_OPCODE);
  store<u64>(vp, wide ? canonical(load<u64>(p, 8)) : load<u32>(p, 8), L.FPU_IP);
  store<u16>(vp, wide ? 0 : load<u16>(p, 12), L.FPU_CS);
  store<u64>(vp, wide ? canonical(load<u64>(p, 16)) : load<u32>(p, 16), L.FPU_DP);
  store<u16>(vp, wide ? 0 : load<u16>(p, 20), L.FPU_DS);
  for (let index: u32 = 0; index < 8; index++) {
    const to = register(top() + index);
    store<u64>(to, load<u64>(p + index * 16, 32));
    store<u16>(to, load<u16>(p + index * 16, 40), 8);
  }
}

export function saveXmm(p: usize): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) {
    v128.store(p + index * 16, v128.load(vp + L.XMM + index * 32), 160);
  }
}
export function restoreXmm(p: usize): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) {
    v128.store(vp + L.XMM + index * 32, v128.load(p + index * 16, 160));
  }
}
export function clearXmm(): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) v128.store(vp + L.XMM + index * 32, i64x2.splat(0));
}

/** FXSAVE, FXSAVE64 (`wide`): bytes 0-415 of the image; the rest is left as it is. */
export function fxsaveTo(p: usize, wide: bool): void {
  saveX87(p, wide);
  store<u32>(p, load<u32>(vp, L.MXCSR), 24);
  store<u32>(p, MXCSR_MASK, 28);
  saveXmm(p);
}

/** FXRSTOR, FXRSTOR64. @returns false for #GP: MXCSR has reserved bits; nothing has changed then. */
export function fxrstorFrom(p: usize, wide: bool): bool {
  const mxcsr = load<u32>(p, 24);
  if ((mxcsr & ~MXCSR_MASK) != 0) return false;
  restoreX87(p, wide);
  store<u32>(vp, mxcsr, L.MXCSR);
  restoreXmm(p);
  return true;
}

/** LDMXCSR. @returns false for #GP. */
export function ldmxcsr(value: u32): bool {
  if ((value & ~MXCSR_MASK) != 0) return false;
  store<u32>(vp, value, L.MXCSR);
  return true;
}

/** Whether the x87 differs from its initial state. */
export function fpuInUse(): bool {
  let other = load<u64>(vp, L.FPU_IP) | load<u64>(vp, L.FPU_DP) | <u64>load<u32>(vp, L.FPU_CS);
  other |= <u64>load<u16>(vp, L.FPU_OPCODE);
  other |= <u64>(status() | load<u8>(vp, L.FPU_TAG) | (control() ^ CONTROL_INITIAL));
  for (let index: u32 = 0; index < 8; index++) other |= load<u64>(register(index)) | <u64>load<u16>(register(index), 8);
  return other != 0;
}
