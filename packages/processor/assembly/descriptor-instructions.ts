/**
 * Instructions about descriptor tables and selectors: LGDT, SGDT, LLDT, LTR and their relatives, MOV with segment registers, LAR, LSL,
 * VERR, VERW, ARPL, and the machine status word, which has their operands.
 *
 * Answers to: AMD64 manual volumes 2 (chapter 4) and 3. Called by system.ts; the descriptors themselves are read in segments.ts.
 */
import * as L from './generated/layout';
import { vp, setRegister, MODE_64, MODE_PROTECTED, CR4_UMIP, SEG_CS, SEG_SS, SEG_GS, VECTOR_UD, VECTOR_GP, SHADOW_STACK } from './state';
import { setExplicit, arithmeticFlags } from './flags';
import { readPointer, writePointer, modifyPointer, commitIfPending, effectiveAddress, isCanonical } from './memory';
import { fault, raiseAt, nextRip, go, sizeOf, putRegister } from './operands';
import { FORM_R, FORM_RR } from './decoder';
import { loadDataSegment, loadSystemSegment, probeDescriptor, descriptor, attributesOf, limitOf, longMode } from './segments';
import { writeCr0 } from './control-registers';
import { privileged } from './system';

export function storeTable(u: usize, base: u64, limit: u32): usize {
  if (load<u64>(vp, L.CR4) & CR4_UMIP && load<u32>(vp, L.CPL) != 0) return raiseAt(u, VECTOR_GP, 0);
  const is64 = (load<u32>(vp, L.MODE) & MODE_64) != 0;
  const bytes: u32 = is64 ? 10 : 6;
  const p = writePointer(effectiveAddress(u), bytes);
  if (p == 0) return fault(u);
  store<u16>(p, <u16>limit);
  if (is64) store<u64>(p, base, 2);
  else store<u32>(p, <u32>base, 2);
  commitIfPending(p, bytes);
  return u + 16;
}
export function loadTable(u: usize, interrupts: bool): usize {
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  const is64 = (load<u32>(vp, L.MODE) & MODE_64) != 0;
  const p = readPointer(effectiveAddress(u), is64 ? 10 : 6);
  if (p == 0) return fault(u);
  const limit = <u32>load<u16>(p);
  let base = is64 ? load<u64>(p, 2) : <u64>load<u32>(p, 2);
  if (!is64 && sizeOf(u) == 1) base &= 0xffffff;
  if (is64 && !isCanonical(base)) return raiseAt(u, VECTOR_GP, 0);
  if (interrupts) {
    store<u64>(vp, base, L.IDTR_BASE);
    store<u32>(vp, limit, L.IDTR_LIMIT);
  } else {
    store<u64>(vp, base, L.GDTR_BASE);
    store<u32>(vp, limit, L.GDTR_LIMIT);
  }
  return go(nextRip(u));
}

/** SLDT, STR, SMSW and MOV from a segment register: 16 bits to memory, the operand size to a register. */
export function storeSelector(u: usize, form: u32, value: u64, wideRegister: bool): usize {
  if (form == FORM_R || form == FORM_RR) {
    const size = sizeOf(u);
    if (size == 1) store<u16>(vp + load<u8>(u, 2), <u16>value);
    else setRegister(load<u8>(u, 2), wideRegister ? (size == 3 ? value : value & 0xffffffff) : value & 0xffff);
    return u + 16;
  }
  const p = writePointer(effectiveAddress(u), 2);
  if (p == 0) return fault(u);
  store<u16>(p, <u16>value);
  commitIfPending(p, 2);
  return u + 16;
}

let word: u32 = 0;

/** A 16-bit source operand, register or memory. @returns false after a recorded fault. */
function wordOperand(u: usize, registerForm: bool, place: u32): bool {
  if (registerForm) {
    word = load<u16>(vp + load<u8>(u + place));
    return true;
  }
  const p = readPointer(effectiveAddress(u), 2);
  if (p == 0) return false;
  word = load<u16>(p);
  return true;
}

function setZero(on: bool): void {
  setExplicit((arithmeticFlags() & ~<u64>0x40) | (on ? 0x40 : 0));
}

/** LAR and LSL: visibility of a descriptor by type and privilege. */
export function loadAccess(u: usize, form: u32, limit: bool): usize {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return raiseAt(u, VECTOR_UD, 0);
  if (!wordOperand(u, form == FORM_RR, 3)) return fault(u);
  const selector = word;
  const probe = probeDescriptor(selector);
  if (probe == 2) return fault(u);
  if (probe == 0) {
    setZero(false);
    return u + 16;
  }
  const d = descriptor;
  const attributes = attributesOf(d);
  const type = attributes & 0x1f;
  const dpl = (attributes >> 5) & 3;
  const rpl = selector & 3;
  const cpl = load<u32>(vp, L.CPL);
  let good = true;
  if (type & 0x10) {
    const conforming = (type & 0xc) == 0xc;
    if (!conforming && (dpl < cpl || dpl < rpl)) good = false;
  } else {
    good = dpl >= cpl && dpl >= rpl;
    if (longMode()) good = good && (type == 2 || type == 9 || type == 11 || (!limit && type == 12));
    else good = good && (type == 1 || type == 2 || type == 3 || type == 9 || type == 11 || (!limit && (type == 4 || type == 5 || type == 12)));
  }
  if (!good) {
    setZero(false);
    return u + 16;
  }
  putRegister(load<u8>(u, 2), sizeOf(u), limit ? <i64>limitOf(d) : <i64>((d >> 32) & 0x00ffff00));
  setZero(true);
  return u + 16;
}

export function verify(u: usize, form: u32, forWrite: bool): usize {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return raiseAt(u, VECTOR_UD, 0);
  if (!wordOperand(u, form == FORM_R, 2)) return fault(u);
  const selector = word;
  const probe = probeDescriptor(selector);
  if (probe == 2) return fault(u);
  let good = probe == 1;
  if (good) {
    const attributes = attributesOf(descriptor);
    const dpl = (attributes >> 5) & 3;
    const cpl = load<u32>(vp, L.CPL);
    const code = (attributes & 8) != 0;
    good = (attributes & 0x10) != 0;
    if (forWrite) good = good && !code && (attributes & 2) != 0;
    else good = good && (!code || (attributes & 2) != 0);
    const conforming = code && (attributes & 4) != 0;
    if (!conforming) good = good && dpl >= cpl && dpl >= (selector & 3);
  }
  setZero(good);
  return u + 16;
}

export function moveToSegment(u: usize, form: u32): usize {
  const index = <u32>load<u8>(u, 2);
  if (index == SEG_CS || index > SEG_GS) return raiseAt(u, VECTOR_UD, 0);
  if (!wordOperand(u, form == FORM_RR, 3)) return fault(u);
  if (!loadDataSegment(index, word)) return fault(u);
  if (index == SEG_SS) store<u32>(vp, SHADOW_STACK, L.SHADOW);
  return go(nextRip(u));
}

/** LLDT and LTR. */
export function loadSystemSelector(u: usize, form: u32, index: u32): usize {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  if (!wordOperand(u, form == FORM_R, 2)) return fault(u);
  return loadSystemSegment(index, word) ? u + 16 : fault(u);
}

/** LMSW. */
export function loadMachineStatus(u: usize, form: u32): usize {
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  if (!wordOperand(u, form == FORM_R, 2)) return fault(u);
  const cr0 = load<u64>(vp, L.CR0);
  // PE can be set but not cleared.
  writeCr0((cr0 & ~<u64>0xe) | (<u64>word & 0xf) | (cr0 & 1));
  return go(nextRip(u));
}

/** ARPL. */
export function adjustRequestedLevel(u: usize, form: u32): usize {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return raiseAt(u, VECTOR_UD, 0);
  const source = <u32>load<u16>(vp + load<u8>(u, 3));
  let p: usize = vp + load<u8>(u, 2);
  const inMemory = form != FORM_RR;
  if (inMemory) {
    p = readPointer(effectiveAddress(u), 2);
    if (p == 0) return fault(u);
  }
  const selector = <u32>load<u16>(p);
  const raised = (selector & 3) < (source & 3);
  // Memory is written only when the selector changes.
  if (inMemory && raised) {
    p = modifyPointer(effectiveAddress(u), 2);
    if (p == 0) return fault(u);
  }
  if (raised) store<u16>(p, <u16>((selector & 0xfffc) | (source & 3)));
  if (inMemory && raised) commitIfPending(p, 2);
  setZero(raised);
  return u + 16;
}
