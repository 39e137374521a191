/**
 * Debug exceptions: single steps, breakpoints of the debug registers, and what delays them.
 *
 * While TF is set or a breakpoint is enabled (L.DEBUGGING), every instruction is a block of its own, interpreted, with a poll before and
 * behind it: `debugPoll` delivers what the last one has left (L.DEBUG_PENDING in the bits of DR6, L.STEP), takes interrupts, compares
 * instruction breakpoints, and begins the next. Nothing of this is looked at otherwise. Data breakpoints keep their pages out of the TLBs, so
 * that accesses to them come to `noteAccess`.
 * Answers to: AMD64 manual volume 2, section 13.1. Called by run.ts, memory.ts, ports.ts and control-registers.ts.
 */
import * as L from './generated/layout';
import {
  vp, raise, segment, forcePollNow, MODE_64, FLAG_TF, FLAG_RF, CR4_DE, CHECK_BREAKPOINTS, SHADOW_STACK, SEG_CS, VECTOR_DB,
} from './state';
import { flushAll } from './tlb';
import { noteWatched, watchesMemory, watchesPage } from './stop-points';

/** DR6: breakpoints 0 to 3, debug register access, single step. */
const HIT: u64 = 0xf;
const STATUS_BD: u64 = 0x2000;
const STATUS_BS: u64 = 0x4000;
/** DR7: enable bits, general detect. */
const ENABLED: u64 = 0xff;
const CONTROL_GD: u64 = 0x2000;
const KIND_EXECUTE: u32 = 0;
const KIND_WRITE: u32 = 1;
const KIND_PORT: u32 = 2;
/** DEBUGCTL: a step goes to the next branch. */
const CONTROL_BTF: u64 = 2;

/** L.STEP: an instruction has been begun; with TF. */
const STEP_BEGUN: u32 = 1;
const STEP_TRAP: u32 = 2;

/** Kind of breakpoint `index` when it is enabled, else -1. */
function kindOf(index: u32): i32 {
  const control = load<u64>(vp, L.DR7);
  if (((control >> (index * 2)) & 3) == 0) return -1;
  const kind = <u32>(control >> (16 + index * 4)) & 3;
  // Without CR4.DE there are no port breakpoints; what they mean then is undefined.
  return kind == KIND_PORT && !(load<u64>(vp, L.CR4) & CR4_DE) ? -1 : <i32>kind;
}
function bytesOf(index: u32): u64 {
  const length = <u32>(load<u64>(vp, L.DR7) >> (18 + index * 4)) & 3;
  return length == 2 ? 8 : length + 1;
}
function addressOf(index: u32): u64 {
  const address = load<u64>(vp + index * 8, L.DR0);
  return load<u32>(vp, L.MODE) & MODE_64 ? address : address & 0xffffffff;
}
function overlaps(index: u32, address: u64, size: u32): bool {
  const bytes = bytesOf(index);
  const first = addressOf(index) & ~(bytes - 1);
  return address + (size - 1) >= first && address <= first + (bytes - 1);
}

/** An access by data breakpoints; those that it meets are reported behind the instruction. */
export function noteAccess(address: u64, size: u32, write: bool): void {
  if (watchesMemory()) noteWatched(address, size, write);
  for (let index: u32 = 0; index < 4; index++) {
    const kind = kindOf(index);
    if ((kind == 3 || (kind == KIND_WRITE && write)) && overlaps(index, address, size)) notePending(1 << index);
  }
}
/** An access to ports by port breakpoints. */
export function notePort(port: u32, size: u32): void {
  for (let index: u32 = 0; index < 4; index++) {
    if (kindOf(index) == KIND_PORT && overlaps(index, port, size)) notePending(1 << index);
  }
}
function notePending(bits: u32): void {
  store<u32>(vp, load<u32>(vp, L.DEBUG_PENDING) | bits, L.DEBUG_PENDING);
}

/** Whether a page's accesses are compared with data breakpoints. */
export function isWatched(address: u64): bool {
  if (watchesPage(address)) return true;
  for (let index: u32 = 0; index < 4; index++) {
    const kind = kindOf(index);
    if (kind == KIND_WRITE || kind == 3) {
      const first = addressOf(index) & ~(bytesOf(index) - 1);
      if (first >> 12 == address >> 12) return true;
    }
  }
  return false;
}

/** From the next instruction on there is a poll before each. */
export function stepFromHere(): void {
  store<u32>(vp, 1, L.DEBUGGING);
  forcePollNow();
}

/** A debug register was written. */
export function debugRegistersChanged(): void {
  let watching = watchesMemory();
  for (let index: u32 = 0; index < 4; index++) watching = watching || kindOf(index) == KIND_WRITE || kindOf(index) == 3;
  const checks = load<u32>(vp, L.ACCESS_CHECKS);
  if (watching || (checks & CHECK_BREAKPOINTS) != 0) {
    store<u32>(vp, watching ? checks | CHECK_BREAKPOINTS : checks & ~CHECK_BREAKPOINTS, L.ACCESS_CHECKS);
    flushAll();
  }
  const waiting = load<u32>(vp, L.DEBUG_PENDING) | load<u32>(vp, L.STEP);
  if ((load<u64>(vp, L.DR7) & ENABLED) != 0 || waiting != 0) stepFromHere();
}

/** General detect: an access to a debug register is itself a #DB. @returns true when it is to be raised */
export function accessDetected(): bool {
  const control = load<u64>(vp, L.DR7);
  if (!(control & CONTROL_GD)) return false;
  // The handler may look.
  store<u64>(vp, control & ~CONTROL_GD, L.DR7);
  store<u64>(vp, load<u64>(vp, L.DR6) | STATUS_BD, L.DR6);
  return true;
}

/** A fault takes the place of what its instruction would have been reported for. */
export function forgetTraps(): void {
  store<u32>(vp, 0, L.WATCH_HIT);
  store<u32>(vp, 0, L.DEBUG_PENDING);
  store<u32>(vp, 0, L.STEP);
}
/** A software interrupt is not stepped into: its handler runs without TF, and there is no trap at its start. */
export function forgetStep(): void {
  store<u32>(vp, load<u32>(vp, L.STEP) & ~STEP_TRAP, L.STEP);
}
/** SYSCALL and SYSRET trap by the flags that they have loaded. */
export function stepBySystemCall(): void {
  if (load<u32>(vp, L.DEBUGGING) == 0 && !(load<u64>(vp, L.FLAGS) & FLAG_TF)) return;
  store<u32>(vp, STEP_BEGUN | (load<u64>(vp, L.FLAGS) & FLAG_TF ? STEP_TRAP : 0), L.STEP);
  store<u64>(vp, ~(<u64>0), L.STEP_NEXT);
}
/** Whether a trap waits for the instruction's end: HLT does not halt then. */
export function trapWaits(): bool {
  return (load<u32>(vp, L.STEP) & STEP_TRAP) != 0 || load<u32>(vp, L.DEBUG_PENDING) != 0;
}

/** Traps of the instruction before. @returns true when #DB was raised */
export function raiseTraps(shadow: u32): bool {
  const step = load<u32>(vp, L.STEP);
  const rip = load<u64>(vp, L.RIP);
  let pending: u64 = load<u32>(vp, L.DEBUG_PENDING);
  store<u32>(vp, 0, L.STEP);
  // A repeated string instruction goes on where a breakpoint would meet it again.
  if ((step & STEP_BEGUN) != 0 && rip == load<u64>(vp, L.STEP_START)) store<u64>(vp, load<u64>(vp, L.FLAGS) | FLAG_RF, L.FLAGS);
  if (shadow == SHADOW_STACK) return false;
  if (step & STEP_TRAP) {
    if (!(load<u64>(vp, L.DEBUG_CONTROL) & CONTROL_BTF) || rip != load<u64>(vp, L.STEP_NEXT)) pending |= STATUS_BS;
  }
  store<u32>(vp, 0, L.DEBUG_PENDING);
  if (pending == 0) return false;
  report(pending);
  return true;
}
function report(bits: u64): void {
  store<u64>(vp, (load<u64>(vp, L.DR6) & ~HIT) | bits, L.DR6);
  store<u64>(vp, load<u64>(vp, L.DEBUG_CONTROL) & ~(<u64>3), L.DEBUG_CONTROL);
  store<u32>(vp, 0, L.HALTED);
  raise(VECTOR_DB, 0);
}

/** Instruction breakpoints at RIP, which RF switches off once. @returns true when #DB was raised */
export function raiseBreakpoints(): bool {
  if (load<u64>(vp, L.FLAGS) & FLAG_RF) return false;
  const rip = load<u64>(vp, L.RIP);
  const linear = load<u32>(vp, L.MODE) & MODE_64 ? rip : (rip + load<u64>(segment(SEG_CS))) & 0xffffffff;
  let hits: u64 = 0;
  for (let index: u32 = 0; index < 4; index++) {
    if (kindOf(index) == KIND_EXECUTE && overlaps(index, linear, 1)) hits |= 1 << index;
  }
  if (hits == 0) return false;
  report(hits);
  return true;
}

/** Begins the instruction at RIP, when instructions are still to be looked at one by one. */
export function beginInstruction(): bool {
  const flags = load<u64>(vp, L.FLAGS);
  const trap = (flags & FLAG_TF) != 0;
  if (!trap && (load<u64>(vp, L.DR7) & ENABLED) == 0) {
    store<u32>(vp, 0, L.DEBUGGING);
    return false;
  }
  store<u64>(vp, flags & ~FLAG_RF, L.FLAGS);
  store<u32>(vp, STEP_BEGUN | (trap ? STEP_TRAP : 0), L.STEP);
  store<u64>(vp, load<u64>(vp, L.RIP), L.STEP_START);
  return true;
}
