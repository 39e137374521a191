/**
 * The innermost part of the translator: writes the WebAssembly of a region, byte by byte, into a part of the processor's block.
 *
 * It is here because a translator has to be fast while it is cold: a call of this takes V8's first code of JavaScript 6 ns where the same in
 * JavaScript takes 20 to 50. Beside single instructions it has the sequences that regions consist of, with the locals of
 * translator/region-locals.ts.
 *
 * Invariant: nothing is written outside the area given to `codeBegin`. One guest instruction writes less than ROOM, and `codeReserve` is
 * called for each; where there is no room left it starts over, and the function is void.
 * Answers to: WebAssembly core specification 2.0, section 5. Called by: src/translator/wasm-encoder.ts.
 */
import * as L from './generated/layout';

/** Less than what is written for one guest instruction, or for what stands around them. */
const ROOM: usize = 8192;

const I32_WRAP: u32 = 0xa7;
const I64_EXTEND_U: u32 = 0xad;
const I64_ADD: u32 = 0x7c;
const I64_SUB: u32 = 0x7d;
const I64_AND: u32 = 0x83;
const I64_OR: u32 = 0x84;
const I64_SHL: u32 = 0x86;
const I64_SHR_U: u32 = 0x88;
const I64_NE: u32 = 0x52;
const I32_ADD: u32 = 0x6a;
const I32_AND: u32 = 0x71;
const I64_LOAD: u32 = 0x29;
const I32_LOAD: u32 = 0x28;
const BR_IF: u32 = 0x0d;

let start: usize = 0;
let at: usize = 0;
let limit: usize = 0;
let full: bool = false;

/** Begins a function in the area from `address` to `end`. */
export function codeBegin(address: usize, end: usize): void {
  start = address;
  at = address;
  limit = end - ROOM;
  full = false;
}
/** Makes sure that there is room for what one guest instruction becomes. */
export function codeReserve(): void {
  if (at <= limit) return;
  full = true;
  at = start;
}
/** Whether more was written than there was room for. */
export function codeFull(): bool {
  return full;
}
export function codeLength(): u32 {
  return <u32>(at - start);
}
/** Makes nothing of what stands from one place to another. */
export function codeBlank(from: u32, to: u32): void {
  memory.fill(start + from, 0x01, to - from);
}

export function codeOp(first: u32): void {
  store<u8>(at, <u8>first);
  at += 1;
}
export function codeOp2(first: u32, second: u32): void {
  store<u8>(at, <u8>first);
  store<u8>(at, <u8>second, 1);
  at += 2;
}
export function codeOp3(first: u32, second: u32, third: u32): void {
  store<u8>(at, <u8>first);
  store<u8>(at, <u8>second, 1);
  store<u8>(at, <u8>third, 2);
  at += 3;
}
export function codeOp4(first: u32, second: u32, third: u32, fourth: u32): void {
  codeOp2(first, second);
  codeOp2(third, fourth);
}

export function codeUnsigned(value: u32): void {
  let left = value;
  while (left >= 0x80) {
    store<u8>(at++, <u8>(left | 0x80));
    left >>= 7;
  }
  store<u8>(at++, <u8>left);
}
function signed(value: i64): void {
  let left = value;
  while (left > 63 || left < -64) {
    store<u8>(at++, <u8>(left | 0x80));
    left >>= 7;
  }
  store<u8>(at++, <u8>(left & 0x7f));
}
export function codeWithUnsigned(opcode: u32, value: u32): void {
  codeOp(opcode);
  codeUnsigned(value);
}

export function codeGet(local: u32): void {
  codeWithUnsigned(0x20, local);
}
export function codeSet(local: u32): void {
  codeWithUnsigned(0x21, local);
}
export function codeTee(local: u32): void {
  codeWithUnsigned(0x22, local);
}
export function codeI32(value: i32): void {
  codeOp(0x41);
  signed(value);
}
export function codeI64(value: i32): void {
  codeOp(0x42);
  signed(value);
}
export function codeI64Wide(low: u32, high: u32): void {
  codeOp(0x42);
  signed(<i64>low | (<i64>high << 32));
}
/** A load or store; alignment is only a hint, so none is claimed. */
export function codeMemory(opcode: u32, offset: u32): void {
  codeOp2(opcode, 0);
  codeUnsigned(offset);
}
/** `local = local.op value` with an i32 constant. */
export function codeStep(local: u32, opcode: u32, value: i32): void {
  codeGet(local);
  codeI32(value);
  codeOp(opcode);
  codeSet(local);
}
/** Loads a local from a field of the processor's block, or stores it there. */
export function codeLoadField(opcode: u32, offset: u32, local: u32): void {
  codeGet(0);
  codeMemory(opcode, offset);
  codeSet(local);
}
export function codeStoreField(opcode: u32, offset: u32, local: u32): void {
  codeGet(0);
  codeGet(local);
  codeMemory(opcode, offset);
}

/** Pushes `left opcode right`, two locals. */
export function codeBinary(left: u32, right: u32, opcode: u32): void {
  codeGet(left);
  codeGet(right);
  codeOp(opcode);
}
/** Pushes `left opcode value`, a local and an i64 constant. */
export function codeBinaryConstant(left: u32, value: i32, opcode: u32): void {
  codeGet(left);
  codeI64(value);
  codeOp(opcode);
}

/** Extends the i64 on the stack from 2^size bytes. */
export function codeExtend(size: u32): void {
  if (size < 3) codeOp(0xc2 + size);
}
/** Pushes a general register, sign-extended or zero-extended; `high`: bits 8 to 15 of it. */
export function codeReadRegister(local: u32, size: u32, high: u32, isSigned: bool): void {
  codeGet(local);
  if (high != 0) {
    codeI64(8);
    codeOp(I64_SHR_U);
  }
  if (size == 3) return;
  if (isSigned) codeExtend(size);
  else if (size == 2) codeOp2(I32_WRAP, I64_EXTEND_U);
  else {
    codeI64(size == 0 ? 0xff : 0xffff);
    codeOp(I64_AND);
  }
}
/** Takes an i64 and writes the register as the architecture does: 32 bits clear the upper half, 8 and 16 keep the rest. */
export function codeWriteRegister(local: u32, size: u32, high: u32): void {
  if (size < 2) {
    const mask = size == 1 ? 0xffff : high != 0 ? 0xff00 : 0xff;
    if (high != 0) {
      codeI64(8);
      codeOp(I64_SHL);
    }
    codeI64(mask);
    codeOp(I64_AND);
    codeGet(local);
    codeI64(~mask);
    codeOp2(I64_AND, I64_OR);
  } else if (size == 2) codeOp2(I32_WRAP, I64_EXTEND_U);
  codeSet(local);
}

/**
 * Pushes the linear address of a memory operand: locals of base and index (0: none), the index's scale, displacement, whether it is cut
 * off at 32 bits, and the offset of a segment's base in the processor's block (0: none).
 */
export function codeAddress(base: u32, index: u32, scale: u32, displacement: i32, narrow: bool, segment: u32): void {
  if (base != 0) codeGet(base);
  if (index != 0) {
    codeGet(index);
    if (scale != 0) {
      codeI64(scale);
      codeOp(I64_SHL);
    }
    if (base != 0) codeOp(I64_ADD);
  }
  const pushed = (base | index) != 0;
  if (displacement != 0 || !pushed) {
    codeI64(displacement);
    if (pushed) codeOp(I64_ADD);
  }
  if (narrow) codeOp2(I32_WRAP, I64_EXTEND_U);
  if (segment != 0) {
    codeGet(0);
    codeMemory(I64_LOAD, segment);
    codeOp(I64_ADD);
  }
}

/**
 * Takes a linear address (i64) and pushes the host pointer (i32) of so many bytes, or branches to the side exit at a depth with
 * `exit` in its local. `tlb`: the local with the address of the TLB.
 */
export function codeLookUp(tlb: u32, bytes: u32, exit: i32, depth: u32): void {
  // Where it would leave is set in any case: V8 makes no code of a constant that only an exit looks at, and br_if is cheaper than a block.
  codeI32(exit);
  codeSet(L.LOCAL_EXIT);
  codeTee(L.LOCAL_ADDRESS);
  codeI64(8);
  codeOp2(I64_SHR_U, I32_WRAP);
  codeI32(0x3ff0);
  codeOp(I32_AND);
  codeGet(tlb);
  codeOp(I32_ADD);
  codeTee(L.LOCAL_ENTRY);
  codeMemory(I64_LOAD, 0);
  codeGet(L.LOCAL_ADDRESS);
  if (bytes > 1) {
    codeI64(bytes - 1);
    codeOp(I64_ADD);
  }
  codeI64(-4096);
  codeOp2(I64_AND, I64_NE);
  codeWithUnsigned(BR_IF, depth);
  codeGet(L.LOCAL_ADDRESS);
  codeOp(I32_WRAP);
  codeGet(L.LOCAL_ENTRY);
  codeMemory(I32_LOAD, 8);
  codeOp(I32_ADD);
}
/** Takes a pointer and pushes the value there, extended to i64. */
export function codeLoad(size: u32, isSigned: bool): void {
  codeMemory(size == 3 ? I64_LOAD : (isSigned ? 0x30 : 0x31) + size * 2, 0);
}
/** Takes a pointer and an i64. */
export function codeStore(size: u32): void {
  codeMemory(size == 3 ? 0x37 : 0x3c + size, 0);
}
/** Copies one i64 local to another, if they are two. */
function copy(from: u32, to: u32): void {
  if (from == to) return;
  codeGet(from);
  codeSet(to);
}
/** Sets the lazy flags from locals; `b` 0: zero. */
export function codeSetFlags(kind: u32, result: u32, a: u32, b: u32): void {
  codeI32(kind);
  codeSet(L.LOCAL_CC_KIND);
  copy(result, L.LOCAL_CC_RESULT);
  copy(a, L.LOCAL_CC_A);
  if (b == 0) {
    codeI64(0);
    codeSet(L.LOCAL_CC_B);
  } else copy(b, L.LOCAL_CC_B);
}
