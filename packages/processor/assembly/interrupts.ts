/**
 * Delivery of exceptions and interrupts through the IDT or the table of real mode, stacks of inner levels, and the combination of faults into
 * double and triple faults.
 * Answers to: AMD64 manual volume 2, chapter 8. Called by run.ts, system.ts and system-calls.ts.
 */
import * as L from './generated/layout';
import {
  vp, raise, segment, getRegister, MODE_64, MODE_PROTECTED, NO_VECTOR, FLAG_TF, FLAG_NT, FLAG_RF, FLAG_VM, FLAG_IF, FLAG_AC, FLAGS_ARITHMETIC,
  VECTOR_DF, VECTOR_PF, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS, VECTOR_DE, VECTOR_DB, VECTOR_AC, VECTOR_ABSENT, RSP, SEG_CS, SEG_SS, SEG_TR,
} from './state';
import { getFlags, setExplicit } from './flags';
import { readSystem, lastSystemValue, isCanonical } from './memory';
import { selectContext } from './tlb';
import {
  descriptor, readDescriptor, attributesOf, baseOf, limitOf, loadCs, loadRealCs, longMode, putSegment, setCpl, markAccessed,
} from './segments';
import { beginCurrentStack, beginNewStack, beginWideStack, roomFor, pushValue, commitStack } from './stack-frames';
import { forgetTraps, stepFromHere } from './debug';
import { recordBranch } from './branches';
import { EXIT_SHUTDOWN, EXIT_UNSUPPORTED, UNSUPPORTED_TASK_SWITCH } from './system';

/** Sets RFLAGS as a whole; the caller has masked what may change. */
export function putFlags(flags: u64): void {
  const acBefore = load<u64>(vp, L.FLAGS) & FLAG_AC;
  setExplicit(flags & FLAGS_ARITHMETIC);
  store<u64>(vp, flags & ~FLAGS_ARITHMETIC & 0x3f7fd5 & ~<u64>2 & ~FLAG_VM, L.FLAGS);
  if (flags & FLAG_TF) stepFromHere();
  if ((flags & FLAG_AC) != acBefore) selectContext();
}

/** The stack of an inner level as the TSS names it, from readInnerStack. */
let innerPointer: u64 = 0;
let innerSelector: u32 = 0;
let innerDescriptor: u64 = 0;
export function innerStack(): u64 {
  return innerPointer;
}
export function innerStackSelector(): u32 {
  return innerSelector;
}
export function innerStackDescriptor(): u64 {
  return innerDescriptor;
}

/**
 * Reads the stack of a level from the TSS, or the interrupt stack `ist` (1 to 7) of long mode, and checks its segment outside long mode.
 * `external`: bit 0 of error codes. @returns false after raise
 */
export function readInnerStack(level: u32, ist: u32, external: u32): bool {
  const tss = segment(SEG_TR);
  const long = longMode();
  const wide = (load<u32>(tss, L.SEGMENT_ATTRIBUTES) & 8) != 0;
  const at: u32 = ist != 0 ? 0x1c + ist * 8 : !long && !wide ? 2 + level * 4 : 4 + level * 8;
  const bytes: u32 = long ? 8 : wide ? 6 : 4;
  if (at + bytes - 1 > load<u32>(tss, L.SEGMENT_LIMIT)) {
    raise(VECTOR_TS, (load<u32>(tss, L.SEGMENT_SELECTOR) & 0xfffc) | external);
    return false;
  }
  const pointerBytes: u32 = long ? 8 : bytes - 2;
  if (!readSystem(load<u64>(tss) + at, pointerBytes)) return false;
  innerPointer = lastSystemValue();
  innerSelector = 0;
  if (long) return true;
  if (!readSystem(load<u64>(tss) + at + pointerBytes, 2)) return false;
  innerSelector = <u32>lastSystemValue();
  if ((innerSelector & 0xfffc) == 0) {
    raise(VECTOR_TS, external);
    return false;
  }
  if (!readDescriptor(innerSelector, VECTOR_TS, external)) return false;
  const attributes = attributesOf(descriptor);
  if ((innerSelector & 3) != level || ((attributes >> 5) & 3) != level || (attributes & 0x1a) != 0x12) {
    raise(VECTOR_TS, (innerSelector & 0xfffc) | external);
    return false;
  }
  if (!(attributes & 0x80)) {
    raise(VECTOR_SS, (innerSelector & 0xfffc) | external);
    return false;
  }
  if (!markAccessed()) return false;
  innerDescriptor = descriptor;
  return true;
}

/** Real mode: a table of far pointers, three words on the stack, no error code. */
function enterRealHandler(vector: u32, software: bool): bool {
  const external: u32 = software ? 0 : 1;
  if (vector * 4 + 3 > load<u32>(vp, L.IDTR_LIMIT)) {
    raise(VECTOR_GP, vector * 8 + 2 + external);
    return false;
  }
  if (!readSystem(load<u64>(vp, L.IDTR_BASE) + vector * 4, 4)) return false;
  const target = <u32>lastSystemValue();
  const flags = getFlags();
  beginCurrentStack(0);
  if (!roomFor(6)) return false;
  const selector = load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR);
  if (!(pushValue(flags, 2) && pushValue(selector, 2) && pushValue(load<u64>(vp, L.RIP), 2))) return false;
  commitStack();
  putFlags(flags & ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF));
  loadRealCs(target >> 16);
  store<u64>(vp, target & 0xffff, L.RIP);
  return true;
}

/**
 * One attempt to enter a handler. RIP must be that to be pushed. `software`: INT n, INT3, INTO (DPL is checked).
 * @returns false when another exception was raised; nothing but memory below the stack pointer has changed then.
 */
export function enterHandler(vector: u32, hasError: bool, errorCode: u32, software: bool, fault: bool): bool {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return enterRealHandler(vector, software);
  const external: u32 = software ? 0 : 1;
  const selectorError = vector * 8 + 2 + external;
  const long = longMode();
  const gateBytes: u32 = long ? 16 : 8;
  if (vector * gateBytes + gateBytes - 1 > load<u32>(vp, L.IDTR_LIMIT)) {
    raise(VECTOR_GP, selectorError);
    return false;
  }
  const gateAddress = load<u64>(vp, L.IDTR_BASE) + vector * gateBytes;
  if (!readSystem(gateAddress, 8)) return false;
  const low = lastSystemValue();
  let high: u64 = 0;
  if (long) {
    if (!readSystem(gateAddress + 8, 8)) return false;
    high = lastSystemValue();
  }
  const type = <u32>(low >> 40) & 0x1f;
  const narrowGate = type == 6 || type == 7;
  const isTask = type == 5 && !long;
  if (!(type == 14 || type == 15 || isTask || (narrowGate && !long))) {
    raise(VECTOR_GP, selectorError);
    return false;
  }
  const cpl = load<u32>(vp, L.CPL);
  if (software && (<u32>(low >> 45) & 3) < cpl) {
    raise(VECTOR_GP, selectorError);
    return false;
  }
  if (!((low >> 47) & 1)) {
    raise(VECTOR_NP, selectorError);
    return false;
  }
  if (isTask) {
    raise(VECTOR_ABSENT + UNSUPPORTED_TASK_SWITCH, 0);
    return false;
  }
  const selector = <u32>(low >> 16) & 0xffff;
  if ((selector & 0xfffc) == 0) {
    raise(VECTOR_GP, external);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, external)) return false;
  const code = descriptor;
  const attributes = attributesOf(code);
  const dpl = (attributes >> 5) & 3;
  if ((attributes & 0x18) != 0x18 || dpl > cpl || (long && (attributes & 0x6000) != 0x2000)) {
    raise(VECTOR_GP, (selector & 0xfffc) | external);
    return false;
  }
  if (!(attributes & 0x80)) {
    raise(VECTOR_NP, (selector & 0xfffc) | external);
    return false;
  }
  const newCpl: u32 = attributes & 4 ? cpl : dpl;
  let offset = (low & 0xffff) | ((low >> 32) & 0xffff0000);
  if (long) offset |= high << 32;
  if (narrowGate) offset &= 0xffff;
  // RF is over when an instruction is: a software interrupt's own is not seen by its handler.
  const oldFlags = (software ? getFlags() & ~FLAG_RF : getFlags()) | (fault ? FLAG_RF : 0);
  const oldSp = getRegister(RSP);
  const oldSs = load<u32>(segment(SEG_SS), L.SEGMENT_SELECTOR);
  const oldCs = load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR);
  const rip = load<u64>(vp, L.RIP);
  if (!markAccessed()) return false;

  if (long) {
    const ist = <u32>(low >> 32) & 7;
    let sp = oldSp;
    if (ist != 0 || newCpl < cpl) {
      if (!readInnerStack(newCpl, ist, external)) return false;
      sp = innerPointer;
    }
    if (!isCanonical(offset)) {
      raise(VECTOR_GP, external);
      return false;
    }
    if (newCpl != cpl) setCpl(newCpl);
    beginWideStack(sp & ~<u64>15, external);
    const modeBefore = load<u32>(vp, L.MODE);
    // Pushes are 64-bit whatever the interrupted mode.
    store<u32>(vp, modeBefore | MODE_64, L.MODE);
    const done =
      pushValue(oldSs, 8) && pushValue(oldSp, 8) && pushValue(oldFlags, 8) && pushValue(oldCs, 8) && pushValue(rip, 8) &&
      (!hasError || pushValue(errorCode, 8));
    store<u32>(vp, modeBefore, L.MODE);
    if (!done) {
      if (newCpl != cpl) setCpl(cpl);
      return false;
    }
    commitStack();
    if (newCpl != cpl) putSegment(SEG_SS, newCpl, 0, 0xffffffff, 0xc093 | (newCpl << 5));
  } else {
    const size: u32 = narrowGate ? 2 : 4;
    const change = newCpl < cpl;
    if (change) {
      if (!readInnerStack(newCpl, 0, external)) return false;
      beginNewStack(innerPointer, innerDescriptor, (innerSelector & 0xfffc) | external);
    } else beginCurrentStack(external);
    if (!roomFor(((change ? 5 : 3) + (hasError ? 1 : 0)) * size)) return false;
    if (offset > <u64>limitOf(code)) {
      raise(VECTOR_GP, external);
      return false;
    }
    if (change) setCpl(newCpl);
    const done =
      (!change || (pushValue(oldSs, size) && pushValue(oldSp, size))) && pushValue(oldFlags, size) && pushValue(oldCs, size) &&
      pushValue(rip, size) && (!hasError || pushValue(errorCode, size));
    if (!done) {
      if (change) setCpl(cpl);
      return false;
    }
    if (change) putSegment(SEG_SS, innerSelector, baseOf(innerDescriptor), limitOf(innerDescriptor), attributesOf(innerDescriptor));
    commitStack();
  }

  let flags = oldFlags & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
  if (!(type & 1)) flags &= ~FLAG_IF;
  putFlags(flags);
  loadCs(selector, code, newCpl);
  store<u64>(vp, long ? offset : offset & 0xffffffff, L.RIP);
  return true;
}

function hasErrorCode(vector: u32): bool {
  return vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) || vector == VECTOR_AC;
}
function contributory(vector: u32): bool {
  return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

/** Remembers an exception in the ring that crash reports show. */
function remember(vector: u32, error: u32): void {
  const count = load<u32>(vp, L.EXCEPTION_COUNT);
  const at = vp + L.EXCEPTIONS + (count & 15) * 48;
  store<u32>(at, vector);
  store<u32>(at, error, 4);
  store<u64>(at, load<u64>(vp, L.RIP), 8);
  store<u64>(at, vector == VECTOR_PF ? load<u64>(vp, L.FAULT_ADDRESS) : 0, 16);
  store<u64>(at, load<u64>(vp, L.INSTRUCTIONS), 24);
  store<u64>(at, load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR), 32);
  store<u64>(at, load<u64>(vp, L.CR3), 40);
  store<u32>(vp, count + 1, L.EXCEPTION_COUNT);
}

/** The handler at RIP was entered from `rip`. */
function recordEvent(rip: u64, vector: u32): void {
  recordBranch(rip, load<u64>(vp, L.RIP), L.BRANCH_TAKEN | L.BRANCH_EVENT | (vector << L.BRANCH_VECTOR_SHIFT));
}

/**
 * Delivers the recorded exception; RIP is the address to push. @returns false when the run is over, with its reason in EXIT_REASON: a
 * triple fault, the chain's length in EXIT_DETAIL and its members at the end of the exception ring, or what this processor has not got.
 */
export function deliverFault(): bool {
  let previous = NO_VECTOR;
  let chain: u32 = 0;
  const rip = load<u64>(vp, L.RIP);
  forgetTraps();
  while (true) {
    let vector = load<u32>(vp, L.FAULT_VECTOR);
    let error = load<u32>(vp, L.FAULT_ERROR);
    store<u32>(vp, NO_VECTOR, L.FAULT_VECTOR);
    if (vector >= VECTOR_ABSENT) {
      store<u32>(vp, EXIT_UNSUPPORTED, L.EXIT_REASON);
      store<u32>(vp, vector - VECTOR_ABSENT, L.EXIT_DETAIL);
      return false;
    }
    remember(vector, error);
    chain++;
    if (vector == VECTOR_PF) store<u64>(vp, load<u64>(vp, L.FAULT_ADDRESS), L.CR2);
    if (previous != NO_VECTOR) {
      if (previous == VECTOR_DF) {
        store<u32>(vp, EXIT_SHUTDOWN, L.EXIT_REASON);
        store<u32>(vp, chain, L.EXIT_DETAIL);
        return false;
      }
      const twice =
        (previous == VECTOR_PF && (vector == VECTOR_PF || contributory(vector))) || (contributory(previous) && contributory(vector));
      if (twice) {
        vector = VECTOR_DF;
        error = 0;
      }
    }
    store<u64>(vp, load<u64>(vp, L.COUNTERS) + 1, L.COUNTERS);
    if (enterHandler(vector, hasErrorCode(vector), error, false, vector != VECTOR_DB)) {
      recordEvent(rip, vector);
      return true;
    }
    previous = vector;
  }
}

/** Delivers a hardware interrupt or NMI. @returns false when the run is over, as deliverFault. */
export function deliverInterrupt(vector: u32): bool {
  const rip = load<u64>(vp, L.RIP);
  store<u64>(vp, load<u64>(vp, L.COUNTERS + 8) + 1, L.COUNTERS + 8);
  if (enterHandler(vector, false, 0, false, false)) {
    recordEvent(rip, vector);
    return true;
  }
  return deliverFault();
}
