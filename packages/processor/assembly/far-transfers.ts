/**
 * Far jumps, calls and returns, and IRET: to another code segment, through call gates, to an outer level.
 *
 * Everything is checked before anything of the guest's registers changes; functions return false after `raise`. RIP holds the result. What
 * leads to a hardware task switch or to virtual-8086 mode is absent by name.
 * Answers to: AMD64 manual volume 2, sections 4.9 to 4.11, and volume 3. Called by system.ts.
 */
import * as L from './generated/layout';
import {
  vp, raise, segment, getRegister, MODE_64, MODE_PROTECTED, FLAG_TF, FLAG_NT, FLAG_RF, FLAG_VM, FLAG_IF, FLAG_AC, FLAG_IOPL, FLAG_ID, FLAG_DF,
  FLAGS_ARITHMETIC, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS, VECTOR_ABSENT, RSP, SEG_CS, SEG_SS,
} from './state';
import { getFlags } from './flags';
import { readSystem, lastSystemValue, isCanonical } from './memory';
import {
  descriptor, readDescriptor, attributesOf, baseOf, limitOf, loadCs, loadRealCs, longMode, putSegment, setCpl, updateMode, dropInnerSegments, checkCode,
  markAccessed,
} from './segments';
import {
  beginCurrentStack, beginNewStack, beginWideStack, roomFor, pushValue, popValue, popped, release, commitStack, putStackPointer,
} from './stack-frames';
import { putFlags, readInnerStack, innerStack, innerStackSelector, innerStackDescriptor } from './interrupts';
import { UNSUPPORTED_TASK_SWITCH, UNSUPPORTED_VIRTUAL_8086 } from './system';

const WIDE_CODE: u32 = 0x2000;

/** Whether an offset may be gone to in the code segment of a descriptor. */
function offsetAllowed(offset: u64, code: u64): bool {
  const wide = longMode() && (attributesOf(code) & WIDE_CODE) != 0;
  if (wide ? isCanonical(offset) : offset <= <u64>limitOf(code)) return true;
  raise(VECTOR_GP, 0);
  return false;
}

/** The stack segment that a return to an outer level pops, or that IRET of 64-bit mode pops. */
let newSs: u32 = 0;
let newSsDescriptor: u64 = 0;
function checkReturnStack(selector: u32, newCpl: u32, to64: bool): bool {
  newSs = selector;
  newSsDescriptor = 0;
  if ((selector & 0xfffc) == 0) {
    if (to64 && newCpl != 3 && (selector & 3) == newCpl) return true;
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  const attributes = attributesOf(descriptor);
  if ((selector & 3) != newCpl || ((attributes >> 5) & 3) != newCpl || (attributes & 0x1a) != 0x12) {
    raise(VECTOR_GP, selector & 0xfffc);
    return false;
  }
  if (!(attributes & 0x80)) {
    raise(VECTOR_SS, selector & 0xfffc);
    return false;
  }
  if (!markAccessed()) return false;
  newSsDescriptor = descriptor;
  return true;
}
function loadReturnStack(newCpl: u32): void {
  if ((newSs & 0xfffc) == 0) putSegment(SEG_SS, newSs, 0, 0xffffffff, 0xc093 | (newCpl << 5));
  else putSegment(SEG_SS, newSs, baseOf(newSsDescriptor), limitOf(newSsDescriptor), attributesOf(newSsDescriptor));
  updateMode();
}

/** IRET and RETF of real mode. `flags`: IRET. */
function returnReal(size: u32, flags: bool, releaseBytes: u32): bool {
  beginCurrentStack(0);
  if (!popValue(size)) return false;
  const rip = popped();
  if (!popValue(size)) return false;
  const selector = <u32>popped() & 0xffff;
  if (flags && !popValue(size)) return false;
  const image = popped();
  if (rip > <u64>load<u32>(segment(SEG_CS), L.SEGMENT_LIMIT)) {
    raise(VECTOR_GP, 0);
    return false;
  }
  release(releaseBytes);
  commitStack();
  loadRealCs(selector);
  if (flags) {
    const changeable: u64 = size == 2 ? 0xffff : FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID | FLAG_IOPL | FLAG_IF;
    putFlags((image & changeable) | (getFlags() & ~changeable));
  }
  store<u64>(vp, rip, L.RIP);
  return true;
}

/** IRET with the given operand size in bytes. */
export function interruptReturn(size: u32): bool {
  const mode = load<u32>(vp, L.MODE);
  if (!(mode & MODE_PROTECTED)) return returnReal(size, true, 0);
  const cpl = load<u32>(vp, L.CPL);
  const flagsBefore = load<u64>(vp, L.FLAGS);
  if (flagsBefore & FLAG_NT) {
    if (longMode()) raise(VECTOR_GP, 0);
    else raise(VECTOR_ABSENT + UNSUPPORTED_TASK_SWITCH, 0);
    return false;
  }
  beginCurrentStack(0);
  if (!popValue(size)) return false;
  const rip = popped();
  if (!popValue(size)) return false;
  const selector = <u32>popped() & 0xffff;
  if (!popValue(size)) return false;
  let flags = popped();
  if ((flags & FLAG_VM) != 0 && cpl == 0 && size == 4 && !longMode()) {
    raise(VECTOR_ABSENT + UNSUPPORTED_VIRTUAL_8086, 0);
    return false;
  }
  if ((selector & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  if (!checkCode(selector, true)) return false;
  const code = descriptor;
  const newCpl = selector & 3;
  const to64 = longMode() && (attributesOf(code) & WIDE_CODE) != 0;
  const popsStack = (mode & MODE_64) != 0 || newCpl > cpl;
  let newSp: u64 = 0;
  let ss: u32 = 0;
  if (popsStack) {
    if (!popValue(size)) return false;
    newSp = popped();
    if (!popValue(size)) return false;
    ss = <u32>popped() & 0xffff;
  }
  if (!offsetAllowed(rip, code)) return false;
  if (popsStack && !checkReturnStack(ss, newCpl, to64)) return false;
  // Which flags may change: IF by IOPL, IOPL only at level 0.
  let changeable = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;
  if (size == 2) changeable &= 0xffff;
  if (cpl == 0) changeable |= FLAG_IOPL;
  if (cpl <= (<u32>(flagsBefore >> 12) & 3)) changeable |= FLAG_IF;
  flags = (flags & changeable) | (getFlags() & ~changeable);
  if (!popsStack) commitStack();
  loadCs(selector, code, newCpl);
  if (popsStack) {
    loadReturnStack(newCpl);
    putStackPointer(newSp, to64, attributesOf(newSsDescriptor));
  }
  // Nobody looks at RF unless there are breakpoints.
  putFlags(load<u32>(vp, L.DEBUGGING) != 0 ? flags : flags & ~FLAG_RF);
  if (newCpl > cpl) dropInnerSegments();
  store<u64>(vp, to64 ? rip : rip & 0xffffffff, L.RIP);
  return true;
}

/** Far return: RETF with the given operand size and bytes to release. */
export function farReturn(size: u32, releaseBytes: u32): bool {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return returnReal(size, false, releaseBytes);
  const cpl = load<u32>(vp, L.CPL);
  beginCurrentStack(0);
  if (!popValue(size)) return false;
  const rip = popped();
  if (!popValue(size)) return false;
  const selector = <u32>popped() & 0xffff;
  if ((selector & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  if (!checkCode(selector, true)) return false;
  const code = descriptor;
  const newCpl = selector & 3;
  const to64 = longMode() && (attributesOf(code) & WIDE_CODE) != 0;
  release(releaseBytes);
  if (newCpl > cpl) {
    if (!popValue(size)) return false;
    const newSp = popped();
    if (!popValue(size)) return false;
    if (!checkReturnStack(<u32>popped() & 0xffff, newCpl, to64)) return false;
    if (!offsetAllowed(rip, code)) return false;
    loadCs(selector, code, newCpl);
    loadReturnStack(newCpl);
    putStackPointer(newSp + releaseBytes, to64, attributesOf(newSsDescriptor));
    dropInnerSegments();
  } else {
    if (!offsetAllowed(rip, code)) return false;
    commitStack();
    loadCs(selector, code, newCpl);
  }
  store<u64>(vp, to64 ? rip : rip & 0xffffffff, L.RIP);
  return true;
}

/** Pushes the return address of a far call within the level. */
function pushReturn(size: u32, returnRip: u64): bool {
  beginCurrentStack(0);
  return roomFor(size * 2) && pushValue(load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR), size) && pushValue(returnRip, size);
}

/** Far jump or call to selector:offset. `returnRip` is pushed by calls. */
export function farTransfer(selector: u32, offset: u64, isCall: bool, size: u32, returnRip: u64): bool {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) {
    if (offset > <u64>load<u32>(segment(SEG_CS), L.SEGMENT_LIMIT)) {
      raise(VECTOR_GP, 0);
      return false;
    }
    if (isCall) {
      if (!pushReturn(size, returnRip)) return false;
      commitStack();
    }
    loadRealCs(selector);
    store<u64>(vp, offset, L.RIP);
    return true;
  }
  if ((selector & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(selector, VECTOR_GP, 0)) return false;
  if (!(attributesOf(descriptor) & 0x10)) return throughSystemDescriptor(selector, isCall, returnRip);
  if (!checkCode(selector, false)) return false;
  const code = descriptor;
  const to64 = longMode() && (attributesOf(code) & WIDE_CODE) != 0;
  if (isCall && !pushReturn(size, returnRip)) return false;
  if (!offsetAllowed(offset, code)) return false;
  if (isCall) commitStack();
  loadCs(selector, code, load<u32>(vp, L.CPL));
  store<u64>(vp, to64 ? offset : offset & 0xffffffff, L.RIP);
  return true;
}

/** A far jump or call whose selector names a call gate, a task gate or a task state segment, which is in `descriptor`. */
function throughSystemDescriptor(selector: u32, isCall: bool, returnRip: u64): bool {
  const low = descriptor;
  const attributes = attributesOf(low);
  const type = attributes & 0x1f;
  const dpl = (attributes >> 5) & 3;
  const cpl = load<u32>(vp, L.CPL);
  const long = longMode();
  const error = selector & 0xfffc;
  const isGate = type == 12 || (type == 4 && !long);
  const isTask = !long && (type == 1 || type == 5 || type == 9);
  if ((!isGate && !isTask) || dpl < cpl || dpl < (selector & 3)) {
    raise(VECTOR_GP, error);
    return false;
  }
  let offset = (low & 0xffff) | ((low >> 32) & 0xffff0000);
  if (type == 4) offset &= 0xffff;
  if (long && !readGateHalf(selector)) return false;
  if (long) offset |= (lastSystemValue() & 0xffffffff) << 32;
  if (!(attributes & 0x80)) {
    raise(VECTOR_NP, error);
    return false;
  }
  if (isTask) {
    raise(VECTOR_ABSENT + UNSUPPORTED_TASK_SWITCH, 0);
    return false;
  }
  const target = <u32>(low >> 16) & 0xffff;
  if ((target & 0xfffc) == 0) {
    raise(VECTOR_GP, 0);
    return false;
  }
  if (!readDescriptor(target, VECTOR_GP, 0)) return false;
  const codeAttributes = attributesOf(descriptor);
  const codeDpl = (codeAttributes >> 5) & 3;
  const conforming = (codeAttributes & 4) != 0;
  let good = (codeAttributes & 0x18) == 0x18 && (isCall || conforming ? codeDpl <= cpl : codeDpl == cpl);
  if (long) good = good && (codeAttributes & 0x6000) == WIDE_CODE;
  if (!good) {
    raise(VECTOR_GP, target & 0xfffc);
    return false;
  }
  if (!(codeAttributes & 0x80)) {
    raise(VECTOR_NP, target & 0xfffc);
    return false;
  }
  if (!markAccessed()) return false;
  const code = descriptor;
  const size: u32 = long ? 8 : type == 4 ? 2 : 4;
  if (isCall && !conforming && codeDpl < cpl) return callInner(target, code, offset, size, <u32>(low >> 32) & 31, returnRip);
  if (isCall && !pushReturn(size, returnRip)) return false;
  if (!offsetAllowed(offset, code)) return false;
  if (isCall) commitStack();
  loadCs(target, code, cpl);
  store<u64>(vp, offset, L.RIP);
  return true;
}

/** The upper half of a call gate of long mode; its type must be 0. In lastSystemValue. */
function readGateHalf(selector: u32): bool {
  const read = readDescriptor(selector + 8, VECTOR_GP, 0);
  if (read && ((descriptor >> 40) & 0x1f) == 0) return true;
  if (read || load<u32>(vp, L.FAULT_VECTOR) == VECTOR_GP) raise(VECTOR_GP, selector & 0xfffc);
  return false;
}

/** A call through a gate to an inner level: its stack, from the TSS, gets the old one's place, parameters and the return address. */
function callInner(target: u32, code: u64, offset: u64, size: u32, parameters: u32, returnRip: u64): bool {
  const cpl = load<u32>(vp, L.CPL);
  const newCpl = <u32>(code >> 45) & 3;
  const long = size == 8;
  const oldSs = load<u32>(segment(SEG_SS), L.SEGMENT_SELECTOR);
  const oldSp = getRegister(RSP);
  if (!readInnerStack(newCpl, 0, 0)) return false;
  const count: u32 = long ? 0 : parameters;
  // The old stack is read at the old level, topmost parameter last.
  const copies = vp + L.GATE_PARAMETERS;
  if (count != 0) {
    beginCurrentStack(0);
    for (let i: u32 = 0; i < count; i++) {
      if (!popValue(size)) return false;
      store<u32>(copies + i * 4, <u32>popped());
    }
  }
  if (long) beginWideStack(innerStack(), 0);
  else beginNewStack(innerStack(), innerStackDescriptor(), innerStackSelector() & 0xfffc);
  if (!roomFor((4 + count) * size)) return false;
  if (!offsetAllowed(offset, code)) return false;
  setCpl(newCpl);
  const modeBefore = load<u32>(vp, L.MODE);
  if (long) store<u32>(vp, modeBefore | MODE_64, L.MODE);
  let done = pushValue(oldSs, size) && pushValue(oldSp, size);
  for (let i = count; done && i > 0; i--) done = pushValue(load<u32>(copies + (i - 1) * 4), size);
  done = done && pushValue(load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR), size) && pushValue(returnRip, size);
  store<u32>(vp, modeBefore, L.MODE);
  if (!done) {
    setCpl(cpl);
    return false;
  }
  if (long) putSegment(SEG_SS, newCpl, 0, 0xffffffff, 0xc093 | (newCpl << 5));
  else putSegment(SEG_SS, innerStackSelector(), baseOf(innerStackDescriptor()), limitOf(innerStackDescriptor()), attributesOf(innerStackDescriptor()));
  commitStack();
  loadCs(target, code, newCpl);
  store<u64>(vp, offset, L.RIP);
  return true;
}
