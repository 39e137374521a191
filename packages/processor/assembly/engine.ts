/**
 * The software engine's surface to its host: attach to a processor's block, reset, run, registers that need more than a store.
 * Called by src/software-processor.ts; one instance per virtual processor, over the partition's shared memory.
 */
import * as L from './generated/layout';
import { vp, setProcessor, segment, NO_VECTOR, SEG_CS, SEG_LDTR, SEG_TR } from './state';
import { initializeTlb, dropLinks, flushAll, switchAddressSpace } from './tlb';
import { debugRegistersChanged } from './debug';
import { walk, walkedGpa, ACCESS_READ } from './page-walk';
import { forgetCode, initializeBlocks } from './blocks';
import { apicRead, apicReset, apicWrite, readCr8, writeCr8 } from './apic';
import { getFlags } from './flags';
import { putFlags } from './interrupts';
import { putSegment, updateMode } from './segments';
import { fpuReset } from './fpu';
import { runLoop } from './generated/loop';
import { guestTsc } from './system';
import { beginStep, endStep, settle } from './run';
import { decodeAt, decodeIn, describeCode, dropRegion, execute, isCurrentBlock, installRegion, rearm, regionUsed, restRegion, arenaFlushCount } from './translation';

export { decodeAt, decodeIn, describeCode, dropRegion, execute, isCurrentBlock, installRegion, rearm, regionUsed, restRegion, arenaFlushCount };
export { settleBranches } from './branches';
export { fuseDouble, fuseSingle } from './fused-native';
export * from './code-writer';

/** Makes this instance the processor whose block is at `address`. */
export function attach(address: usize): void {
  setProcessor(address);
}

/** Power-on state, except memory: AMD64 manual volume 2, section 14.1. `index` becomes the APIC id. */
export function reset(index: u32): void {
  const executed = load<u64>(vp, L.INSTRUCTIONS);
  const translated = load<u64>(vp, L.TRANSLATED);
  memory.fill(vp, 0, L.TLB_SETS);
  store<u64>(vp, executed, L.INSTRUCTIONS);
  store<u64>(vp, translated, L.TRANSLATED);
  store<u64>(vp, 0xfff0, L.RIP);
  store<u64>(vp, 0x0f00, 16);
  store<u32>(vp, 0x1f80, L.MXCSR);
  store<u64>(vp, 0x60000010, L.CR0);
  store<u64>(vp, 1, L.XCR0);
  store<u64>(vp, 0xffff0ff0, L.DR6);
  store<u64>(vp, 0x400, L.DR7);
  store<u64>(vp, 0x0007040600070406, L.PAT);
  store<u64>(vp, index == 0 ? 0xfee00900 : 0xfee00800, L.APIC_BASE);
  for (let s: u32 = 0; s < 6; s++) putSegment(s, 0, 0, 0xffff, 0x93);
  putSegment(SEG_CS, 0xf000, 0xffff0000, 0xffff, 0x9b);
  putSegment(SEG_LDTR, 0, 0, 0xffff, 0x82);
  putSegment(SEG_TR, 0, 0, 0xffff, 0x8b);
  store<u32>(vp, 0xffff, L.GDTR_LIMIT);
  store<u32>(vp, 0xffff, L.IDTR_LIMIT);
  store<u32>(vp, NO_VECTOR, L.FAULT_VECTOR);
  store<f64>(vp, Infinity, L.DEVICE_DEADLINE);
  fpuReset();
  apicReset(index);
  initializeBlocks();
  initializeTlb();
  updateMode();
  debugRegistersChanged();
}

/** Runs about `instructions` instructions, or until something ends the run. @returns EXIT_* (system.ts). */
export function run(instructions: f64): u32 {
  const reason = runLoop(instructions);
  settle();
  return reason;
}

/** One instruction, or the delivery of its exception: see beginStep. @returns EXIT_BUDGET when that is done, else another EXIT_*. */
export function stepOnce(): u32 {
  beginStep();
  const reason = runLoop(1);
  endStep();
  settle();
  return reason;
}

/** The list of stop points in the block has changed. */
export function changeStopPoints(): void {
  forgetCode();
  store<u32>(vp, 0, L.WATCH_HIT);
  debugRegistersChanged();
}

/** After control registers or segments were stored from outside: privilege level from SS, mode, TLBs. */
export function stateChanged(): void {
  store<u32>(vp, (load<u32>(segment(2), L.SEGMENT_ATTRIBUTES) >> 5) & 3, L.CPL);
  flushAll();
  switchAddressSpace(load<u64>(vp, L.CR3), false);
  updateMode();
  dropLinks();
  debugRegistersChanged();
}
export function readFlags(): u64 {
  return getFlags();
}
export function writeFlags(value: u64): void {
  putFlags(value);
}
export function readTaskPriority(): u64 {
  return readCr8();
}
export function writeTaskPriority(value: u64): void {
  writeCr8(value);
}
/** A register of the local APIC by its xAPIC offset. */
export function readApic(offset: u32): u32 {
  return <u32>apicRead(offset, 4);
}
export function writeApic(offset: u32, value: u32): void {
  apicWrite(offset, value);
}
export function flushTlb(): void {
  flushAll();
}
export function readTsc(): u64 {
  return guestTsc();
}
/** Linear to guest-physical for debuggers: no side effects. @returns the GPA, or all ones. */
export function translateLinear(address: u64): u64 {
  return walk(address, ACCESS_READ, false, true, true) ? walkedGpa() : 0xffffffffffffffff;
}
