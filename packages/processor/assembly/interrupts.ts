/**
 * Delivery of exceptions and interrupts through the IDT, IRET, and the combination of faults into double and triple faults.
 * Answers to: AMD64 manual volume 2, chapter 8. Called by run.ts, system.ts and system-calls.ts.
 */
import * as L from './generated/layout';
import {
  vp, raise, segment, setRegister, getRegister, MODE_64, MODE_LONG, MODE_STACK32, MODE_PROTECTED, NO_VECTOR, FLAG_TF, FLAG_NT, FLAG_RF, FLAG_VM,
  FLAG_IF, FLAG_AC, FLAG_IOPL, FLAG_ID, FLAG_DF, FLAGS_ARITHMETIC, VECTOR_DF, VECTOR_PF, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS, VECTOR_DE,
  VECTOR_DB, VECTOR_AC, RSP, SEG_CS, SEG_SS, SEG_TR,
} from './state';
import { getFlags, setExplicit } from './flags';
import { readSystem, lastSystemValue, writePointer, readPointer, commitIfPending, isCanonical } from './memory';
import { selectContext } from './tlb';
import {
  descriptor, readDescriptor, attributesOf, baseOf, limitOf, loadCs, longMode, putSegment, setCpl, updateMode, dropInnerSegments,
  checkCode,
} from './segments';

/** Sets RFLAGS as a whole; the caller has masked what may change. */
export function putFlags(flags: u64): void {
  const acBefore = load<u64>(vp, L.FLAGS) & FLAG_AC;
  setExplicit(flags & FLAGS_ARITHMETIC);
  store<u64>(vp, flags & ~FLAGS_ARITHMETIC & 0x3f7fd5 & ~<u64>2 & ~FLAG_VM, L.FLAGS);
  if ((flags & FLAG_AC) != acBefore) selectContext();
}

function stackMask(): u64 {
  const mode = load<u32>(vp, L.MODE);
  return mode & MODE_64 ? 0xffffffffffffffff : mode & MODE_STACK32 ? 0xffffffff : 0xffff;
}

/** Stack pointer and base of the stack being written or read by the functions below. */
let stackPointer: u64 = 0;
let stackBase: u64 = 0;
let stackPointerMask: u64 = 0;

function beginStack(pointer: u64, base: u64, mask: u64): void {
  stackPointer = pointer;
  stackBase = base;
  stackPointerMask = mask;
}
function pushValue(value: u64, size: u32): bool {
  const pointer = (stackPointer - size) & stackPointerMask;
  let address = pointer + stackBase;
  if (!(load<u32>(vp, L.MODE) & MODE_LONG) || stackPointerMask != 0xffffffffffffffff) address &= 0xffffffff;
  else if (!isCanonical(address)) {
    raise(VECTOR_SS, 0);
    return false;
  }
  const p = writePointer(address, size);
  if (p == 0) return false;
  if (size == 8) store<u64>(p, value);
  else if (size == 4) store<u32>(p, <u32>value);
  else store<u16>(p, <u16>value);
  commitIfPending(p, size);
  stackPointer = pointer;
  return true;
}
let popped: u64 = 0;
function popValue(size: u32): bool {
  let address = (stackPointer & stackPointerMask) + stackBase;
  if (stackPointerMask != 0xffffffffffffffff) address &= 0xffffffff;
  else if (!isCanonical(address)) {
    raise(VECTOR_SS, 0);
    return false;
  }
  const p = readPointer(address, size);
  if (p == 0) return false;
  popped = size == 8 ? load<u64>(p) : size == 4 ? <u64>load<u32>(p) : <u64>load<u16>(p);
  stackPointer = (stackPointer + size) & stackPointerMask;
  return true;
}

function setStackPointer(value: u64): void {
  const mask = stackPointerMask;
  if (mask == 0xffffffffffffffff) setRegister(RSP, value);
  else if (mask == 0xffffffff) setRegister(RSP, value & 0xffffffff);
  else setRegister(RSP, (getRegister(RSP) & ~<u64>0xffff) | (value & 0xffff));
}

/**
 * One attempt to enter a handler. RIP must be that to be pushed. `software`: INT n, INT3, INTO (DPL is checked).
 * @returns false when another exception was raised; nothing but memory below the stack pointer has changed then.
 */
export function enterHandler(vector: u32, hasError: bool, errorCode: u32, software: bool, fault: bool): bool {
  const external: u32 = software ? 0 : 1;
  const selectorError = vector * 8 + 2 + external;
  const long = longMode();
  const gateBytes: u32 = long ? 16 : 8;
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) {
    raise(VECTOR_GP, 0);
    return false;
  }
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
  if (!(type == 14 || type == 15 || (narrowGate && !long))) {
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
  const tss = segment(SEG_TR);

  if (long) {
    const ist = <u32>(low >> 32) & 7;
    let sp = oldSp;
    if (ist != 0 || newCpl < cpl) {
      const at: u32 = ist != 0 ? 0x1c + ist * 8 : 4 + newCpl * 8;
      if (at + 7 > load<u32>(tss, L.SEGMENT_LIMIT)) {
        raise(VECTOR_TS, (load<u32>(tss, L.SEGMENT_SELECTOR) & 0xfffc) | external);
        return false;
      }
      if (!readSystem(load<u64>(tss) + at, 8)) return false;
      sp = lastSystemValue();
    }
    const oldCplForContext = cpl;
    if (newCpl != cpl) setCpl(newCpl);
    beginStack(sp & ~<u64>15, 0, 0xffffffffffffffff);
    const modeBefore = load<u32>(vp, L.MODE);
    // Pushes are 64-bit whatever the interrupted mode.
    store<u32>(vp, modeBefore | MODE_64, L.MODE);
    const done =
      pushValue(oldSs, 8) && pushValue(oldSp, 8) && pushValue(oldFlags, 8) && pushValue(oldCs, 8) && pushValue(rip, 8) &&
      (!hasError || pushValue(errorCode, 8));
    store<u32>(vp, modeBefore, L.MODE);
    if (!done) {
      if (newCpl != oldCplForContext) setCpl(oldCplForContext);
      return false;
    }
    if (!isCanonical(offset)) {
      if (newCpl != oldCplForContext) setCpl(oldCplForContext);
      raise(VECTOR_GP, external);
      return false;
    }
    setRegister(RSP, stackPointer);
    if (newCpl != oldCplForContext) putSegment(SEG_SS, newCpl, 0, 0xffffffff, 0xc093 | (newCpl << 5));
  } else {
    const size: u32 = narrowGate ? 2 : 4;
    let ssSelector = oldSs;
    let ssDescriptor: u64 = 0;
    let sp = oldSp;
    let base = load<u64>(segment(SEG_SS));
    let mask = stackMask();
    const change = newCpl < cpl;
    if (change) {
      const narrowTss = (load<u32>(tss, L.SEGMENT_ATTRIBUTES) & 8) == 0;
      const at: u32 = narrowTss ? 2 + newCpl * 4 : 4 + newCpl * 8;
      const bytes: u32 = narrowTss ? 2 : 4;
      if (!readSystem(load<u64>(tss) + at, bytes)) return false;
      sp = lastSystemValue();
      if (!readSystem(load<u64>(tss) + at + bytes, 2)) return false;
      ssSelector = <u32>lastSystemValue();
      if (!readDescriptor(ssSelector, VECTOR_TS, external)) return false;
      ssDescriptor = descriptor;
      const ssAttributes = attributesOf(ssDescriptor);
      if ((ssSelector & 3) != newCpl || ((ssAttributes >> 5) & 3) != newCpl || (ssAttributes & 0x1a) != 0x12) {
        raise(VECTOR_TS, (ssSelector & 0xfffc) | external);
        return false;
      }
      base = baseOf(ssDescriptor);
      mask = ssAttributes & 0x4000 ? 0xffffffff : 0xffff;
      setCpl(newCpl);
    }
    beginStack(sp, base, mask);
    const done =
      (!change || (pushValue(oldSs, size) && pushValue(oldSp, size))) && pushValue(oldFlags, size) && pushValue(oldCs, size) &&
      pushValue(rip, size) && (!hasError || pushValue(errorCode, size));
    if (!done) {
      if (change) setCpl(cpl);
      return false;
    }
    if (change) putSegment(SEG_SS, ssSelector, baseOf(ssDescriptor), limitOf(ssDescriptor), attributesOf(ssDescriptor));
    setStackPointer(stackPointer);
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

/**
 * Delivers the recorded exception; RIP is the address to push. @returns false on a triple fault: the chain's length is in EXIT_DETAIL,
 * its members at the end of the exception ring.
 */
export function deliverFault(): bool {
  let previous = NO_VECTOR;
  let chain: u32 = 0;
  while (true) {
    let vector = load<u32>(vp, L.FAULT_VECTOR);
    let error = load<u32>(vp, L.FAULT_ERROR);
    store<u32>(vp, NO_VECTOR, L.FAULT_VECTOR);
    remember(vector, error);
    chain++;
    if (vector == VECTOR_PF) store<u64>(vp, load<u64>(vp, L.FAULT_ADDRESS), L.CR2);
    if (previous != NO_VECTOR) {
      if (previous == VECTOR_DF) {
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
    if (enterHandler(vector, hasErrorCode(vector), error, false, vector != VECTOR_DB)) return true;
    previous = vector;
  }
}

/** Delivers a hardware interrupt or NMI. @returns false on a triple fault. */
export function deliverInterrupt(vector: u32): bool {
  store<u64>(vp, load<u64>(vp, L.COUNTERS + 8) + 1, L.COUNTERS + 8);
  if (enterHandler(vector, false, 0, false, false)) return true;
  return deliverFault();
}

// ---- IRET ----

/** IRET with the given operand size in bytes. RIP holds the result. @returns false after raise. */
export function interruptReturn(size: u32): bool {
  const mode = load<u32>(vp, L.MODE);
  if (!(mode & MODE_PROTECTED)) {
    raise(VECTOR_GP, 0);
    return false;
  }
  const cpl = load<u32>(vp, L.CPL);
  const flagsBefore = load<u64>(vp, L.FLAGS);
  if (flagsBefore & FLAG_NT) {
    raise(VECTOR_GP, 0);
    return false;
  }
  beginStack(getRegister(RSP), mode & MODE_64 ? 0 : load<u64>(segment(SEG_SS)), stackMask());
  if (!popValue(size)) return false;
  const rip = popped;
  if (!popValue(size)) return false;
  const selector = <u32>popped & 0xffff;
  if (!popValue(size)) return false;
  let flags = popped;
  if ((selector & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  if (!checkCode(selector, true)) return false;
  const code = descriptor;
  const newCpl = selector & 3;
  const to64 = longMode() && (attributesOf(code) & 0x2000) != 0;
  let newSp: u64 = 0;
  let ss: u32 = 0;
  const popsStack = (mode & MODE_64) != 0 || newCpl > cpl;
  let ssDescriptor: u64 = 0;
  if (popsStack) {
    if (!popValue(size)) return false;
    newSp = popped;
    if (!popValue(size)) return false;
    ss = <u32>popped & 0xffff;
  }
  if (to64 ? !isCanonical(rip) : rip > limitOf(code)) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (popsStack) {
    if ((ss & 0xfffc) == 0) {
      if (!to64 || newCpl == 3 || (ss & 3) != newCpl) {
        raise(VECTOR_GP, 0);
        return false;
      }
    } else {
      if (!readDescriptor(ss, VECTOR_GP, 0)) return false;
      ssDescriptor = descriptor;
      const attributes = attributesOf(ssDescriptor);
      if ((ss & 3) != newCpl || ((attributes >> 5) & 3) != newCpl || (attributes & 0x1a) != 0x12) {
        raise(VECTOR_GP, ss & 0xfffc);
        return false;
      }
      if (!(attributes & 0x80)) {
        raise(VECTOR_SS, ss & 0xfffc);
        return false;
      }
    }
  }
  // Which flags may change: IF by IOPL, IOPL only at level 0.
  let changeable = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;
  if (size == 2) changeable &= 0xffff;
  if (cpl == 0) changeable |= FLAG_IOPL;
  if (cpl <= (<u32>(flagsBefore >> 12) & 3)) changeable |= FLAG_IF;
  flags = (flags & changeable) | (getFlags() & ~changeable);
  const spAfter = stackPointer;
  loadCs(selector, code, newCpl);
  if (popsStack) {
    if ((ss & 0xfffc) == 0) putSegment(SEG_SS, ss, 0, 0xffffffff, 0xc093 | (newCpl << 5));
    else putSegment(SEG_SS, ss, baseOf(ssDescriptor), limitOf(ssDescriptor), attributesOf(ssDescriptor));
    updateMode();
    stackPointerMask = to64 ? 0xffffffffffffffff : attributesOf(ssDescriptor) & 0x4000 ? 0xffffffff : 0xffff;
    setStackPointer(newSp);
  } else setStackPointer(spAfter);
  putFlags(flags);
  if (newCpl > cpl) dropInnerSegments();
  store<u64>(vp, to64 ? rip : rip & 0xffffffff, L.RIP);
  return true;
}

/** Far return: RETF with the given operand size and bytes to release. */
export function farReturn(size: u32, release: u32): bool {
  const mode = load<u32>(vp, L.MODE);
  const cpl = load<u32>(vp, L.CPL);
  beginStack(getRegister(RSP), mode & MODE_64 ? 0 : load<u64>(segment(SEG_SS)), stackMask());
  if (!popValue(size)) return false;
  const rip = popped;
  if (!popValue(size)) return false;
  const selector = <u32>popped & 0xffff;
  if ((selector & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  if (!checkCode(selector, true)) return false;
  const code = descriptor;
  const newCpl = selector & 3;
  const to64 = longMode() && (attributesOf(code) & 0x2000) != 0;
  if (to64 ? !isCanonical(rip) : rip > limitOf(code)) {
    raise(VECTOR_GP, 0);
    return false;
  }
  stackPointer = (stackPointer + release) & stackPointerMask;
  if (newCpl > cpl) {
    if (!popValue(size)) return false;
    const newSp = popped;
    if (!popValue(size)) return false;
    const ss = <u32>popped & 0xffff;
    let ssDescriptor: u64 = 0;
    if ((ss & 0xfffc) == 0) {
      if (!to64 || newCpl == 3) {
        raise(VECTOR_GP, 0);
        return false;
      }
    } else {
      if (!readDescriptor(ss, VECTOR_GP, 0)) return false;
      ssDescriptor = descriptor;
      const attributes = attributesOf(ssDescriptor);
      if ((ss & 3) != newCpl || ((attributes >> 5) & 3) != newCpl || (attributes & 0x1a) != 0x12) {
        raise(VECTOR_GP, ss & 0xfffc);
        return false;
      }
      if (!(attributes & 0x80)) {
        raise(VECTOR_SS, ss & 0xfffc);
        return false;
      }
    }
    loadCs(selector, code, newCpl);
    if ((ss & 0xfffc) == 0) putSegment(SEG_SS, ss, 0, 0xffffffff, 0xc093 | (newCpl << 5));
    else putSegment(SEG_SS, ss, baseOf(ssDescriptor), limitOf(ssDescriptor), attributesOf(ssDescriptor));
    updateMode();
    stackPointerMask = to64 ? 0xffffffffffffffff : attributesOf(ssDescriptor) & 0x4000 ? 0xffffffff : 0xffff;
    setStackPointer((newSp + release) & stackPointerMask);
    dropInnerSegments();
  } else {
    const sp = stackPointer;
    loadCs(selector, code, newCpl);
    setStackPointer(sp);
  }
  store<u64>(vp, to64 ? rip : size == 2 ? rip & 0xffff : rip & 0xffffffff, L.RIP);
  return true;
}

/** Far jump or call to selector:offset within the current privilege level. `returnRip` is pushed by calls. */
export function farTransfer(selector: u32, offset: u64, isCall: bool, size: u32, returnRip: u64): bool {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED) || (selector & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  if (!(attributesOf(descriptor) & 0x10)) {
    // Call gates and task switches are absent: the catalogue names them (see UNSUPPORTED_GATE in engine.ts).
    raise(VECTOR_GP, selector & 0xfffc);
    return false;
  }
  if (!checkCode(selector, false)) return false;
  const code = descriptor;
  const to64 = longMode() && (attributesOf(code) & 0x2000) != 0;
  if (to64 ? !isCanonical(offset) : offset > limitOf(code)) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (isCall) {
    beginStack(getRegister(RSP), load<u32>(vp, L.MODE) & MODE_64 ? 0 : load<u64>(segment(SEG_SS)), stackMask());
    if (!pushValue(load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR), size)) return false;
    if (!pushValue(returnRip, size)) return false;
    setStackPointer(stackPointer);
  }
  loadCs(selector, code, load<u32>(vp, L.CPL));
  store<u64>(vp, to64 ? offset : offset & 0xffffffff, L.RIP);
  return true;
}
