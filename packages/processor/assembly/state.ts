/**
 * The running virtual processor, as every file of the core sees it: the address of its block in the shared memory.
 * Set once per instance by `attach` in engine.ts; everything that changes lies behind it (see src/state-layout.ts).
 */
import * as L from './generated/layout';

/** Address of this processor's block. The only mutable global that an instance has of its own, besides caches of constants. */
export let vp: usize = 0;
export function setProcessor(address: usize): void {
  vp = address;
}

/** Mode bits (L.MODE): what decoding and address arithmetic depend on. */
export const MODE_64: u32 = 1;
/** Long mode is active (64-bit or compatibility). */
export const MODE_LONG: u32 = 2;
/** Default operand and address size is 16 bits. */
export const MODE_16: u32 = 4;
/** Stack size is 32 bits (SS.B) outside 64-bit mode. */
export const MODE_STACK32: u32 = 8;
/** Protected mode. */
export const MODE_PROTECTED: u32 = 16;
/**
 * 32-bit code of protected or compatibility mode with a 32-bit stack, where CS, SS, DS and ES cover all 4 GiB from 0: offsets are linear
 * addresses, and no access through them is one that a segment refuses. Only such 32-bit code is translated.
 */
export const MODE_FLAT: u32 = 32;

/** Bits of L.ACCESS_CHECKS: while one is set, the accesses it is about have no TLB entry. */
export const CHECK_ALIGNMENT: u32 = 1;
export const CHECK_BREAKPOINTS: u32 = 2;

/** L.SHADOW: behind STI interrupts wait for one instruction; behind MOV SS and POP SS debug exceptions too. */
export const SHADOW_STI: u32 = 1;
export const SHADOW_STACK: u32 = 2;

export const FLAG_TF: u64 = 0x0100;
export const FLAG_IF: u64 = 0x0200;
export const FLAG_DF: u64 = 0x0400;
export const FLAG_IOPL: u64 = 0x3000;
export const FLAG_NT: u64 = 0x4000;
export const FLAG_RF: u64 = 0x10000;
export const FLAG_VM: u64 = 0x20000;
export const FLAG_AC: u64 = 0x40000;
export const FLAG_ID: u64 = 0x200000;
export const FLAGS_ARITHMETIC: u64 = 0x8d5;

export const CR0_PE: u64 = 1;
export const CR0_MP: u64 = 2;
export const CR0_EM: u64 = 4;
export const CR0_TS: u64 = 8;
export const CR0_ET: u64 = 16;
export const CR0_NE: u64 = 32;
export const CR0_WP: u64 = 0x10000;
export const CR0_AM: u64 = 0x40000;
export const CR0_NW: u64 = 0x20000000;
export const CR0_CD: u64 = 0x40000000;
export const CR0_PG: u64 = 0x80000000;

export const CR4_DE: u64 = 8;
export const CR4_TSD: u64 = 4;
export const CR4_PSE: u64 = 0x10;
export const CR4_PAE: u64 = 0x20;
export const CR4_MCE: u64 = 0x40;
export const CR4_PGE: u64 = 0x80;
export const CR4_PCE: u64 = 0x100;
export const CR4_OSFXSR: u64 = 0x200;
export const CR4_OSXMMEXCPT: u64 = 0x400;
export const CR4_UMIP: u64 = 0x800;
export const CR4_FSGSBASE: u64 = 0x10000;
export const CR4_PCIDE: u64 = 0x20000;
export const CR4_OSXSAVE: u64 = 0x40000;
export const CR4_SMEP: u64 = 0x100000;
export const CR4_SMAP: u64 = 0x200000;
export const CR4_PKE: u64 = 0x400000;

export const EFER_SCE: u64 = 1;
export const EFER_LME: u64 = 0x100;
export const EFER_LMA: u64 = 0x400;
export const EFER_NXE: u64 = 0x800;

export const VECTOR_DE: u32 = 0;
export const VECTOR_DB: u32 = 1;
export const VECTOR_NMI: u32 = 2;
export const VECTOR_BP: u32 = 3;
export const VECTOR_OF: u32 = 4;
export const VECTOR_BR: u32 = 5;
export const VECTOR_UD: u32 = 6;
export const VECTOR_NM: u32 = 7;
export const VECTOR_DF: u32 = 8;
export const VECTOR_TS: u32 = 10;
export const VECTOR_NP: u32 = 11;
export const VECTOR_SS: u32 = 12;
export const VECTOR_GP: u32 = 13;
export const VECTOR_PF: u32 = 14;
export const VECTOR_MF: u32 = 16;
export const VECTOR_AC: u32 = 17;
export const VECTOR_XM: u32 = 19;
export const NO_VECTOR: u32 = 0xffffffff;

export const SEG_ES: u32 = 0;
export const SEG_CS: u32 = 1;
export const SEG_SS: u32 = 2;
export const SEG_DS: u32 = 3;
export const SEG_FS: u32 = 4;
export const SEG_GS: u32 = 5;
export const SEG_LDTR: u32 = 6;
export const SEG_TR: u32 = 7;

export const RAX: u32 = 0;
export const RCX: u32 = 8;
export const RDX: u32 = 16;
export const RBX: u32 = 24;
export const RSP: u32 = 32;
export const RBP: u32 = 40;
export const RSI: u32 = 48;
export const RDI: u32 = 56;
export const R11: u32 = 88;

// @ts-ignore: decorator
@inline
export function getRegister(offset: u32): u64 {
  return load<u64>(vp + offset);
}
// @ts-ignore: decorator
@inline
export function setRegister(offset: u32, value: u64): void {
  store<u64>(vp + offset, value);
}
// @ts-ignore: decorator
@inline
export function segment(index: u32): usize {
  return vp + L.SEGMENTS + index * L.SEGMENT_BYTES;
}

/** Records an exception for delivery; the caller leaves the operation. */
export function raise(vector: u32, errorCode: u32): void {
  store<u32>(vp, vector, L.FAULT_VECTOR);
  store<u32>(vp, errorCode, L.FAULT_ERROR);
}

/** A pseudo vector: what was to be done is absent, and ends the run under the name of what is added (UNSUPPORTED_* of system.ts). */
export const VECTOR_ABSENT: u32 = 0x100;
/** Another, none of those behind VECTOR_ABSENT: the processor stops before the instruction until an interrupt comes (math-fault.ts). */
export const VECTOR_FERR: u32 = 0x1ff;

/** Makes the next transfer a poll, even one that is charged already. */
export function forcePollNow(): void {
  store<i32>(vp, load<i32>(vp, L.GRANTED) - load<i32>(vp, L.BUDGET) - 1, L.GRANTED);
  store<i32>(vp, -1, L.BUDGET);
}

/** Makes the next transfer between blocks a poll, without losing count of what was executed. */
export function forcePoll(): void {
  store<i32>(vp, load<i32>(vp, L.GRANTED) - load<i32>(vp, L.BUDGET), L.GRANTED);
  store<i32>(vp, 0, L.BUDGET);
}
