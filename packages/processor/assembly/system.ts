/**
 * System instructions: control and debug registers, MSRs, CPUID, SYSCALL, descriptor tables, port I/O, HLT, x87 and SSE state.
 * Answers to: AMD64 manual volumes 2 and 3. Called by run.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import {
  vp, forcePoll, raise, getRegister, setRegister, segment, MODE_64, MODE_LONG, MODE_PROTECTED, CR0_PE, CR0_PG, CR0_WP, CR0_TS, CR0_EM, CR0_NE, CR0_ET, CR0_NW,
  CR0_CD, CR0_AM, CR0_MP, CR4_PAE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMEP, CR4_SMAP, CR4_UMIP, CR4_TSD, CR4_DE, CR4_MCE, CR4_PCE, CR4_OSFXSR,
  CR4_OSXMMEXCPT, CR4_FSGSBASE, CR4_OSXSAVE, EFER_LMA, EFER_LME, EFER_SCE, EFER_NXE, FLAG_IF, FLAG_IOPL, FLAG_AC, FLAG_TF, FLAG_RF, FLAG_VM,
  FLAG_NT, FLAG_DF, FLAG_ID, FLAGS_ARITHMETIC, RAX, RBX, RCX, RDX, RSP, R11, SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR,
  VECTOR_UD, VECTOR_GP, VECTOR_NM, VECTOR_BP, VECTOR_DB, VECTOR_OF, VECTOR_PF,
} from './state';
import { getFlags, setExplicit, arithmeticFlags, overflow } from './flags';
import {
  readPointer, writePointer, modifyPointer, commitIfPending, effectiveAddress, flushAll, flushPage, flushPcid, switchAddressSpace, selectContext, isCanonical,
  dropLinks, readSystem, lastSystemValue,
} from './memory';
import { fault, raiseAt, nextRip, go, sizeOf, putRegister, pushSized, loadSigned, stackLinear, setStack, stackFault } from './general';
import { FORM_R, FORM_M, FORM_RR } from './decoder';
import { leaveOperation, LEAVE_EXIT, LEAVE_DELIVER } from './blocks';
import {
  loadCs, loadDataSegment, loadSystemSegment, probeDescriptor, descriptor, attributesOf, limitOf, putSegment, setCpl, updateMode, longMode,
} from './segments';
import { putFlags, interruptReturn, farReturn, farTransfer, enterHandler, deliverFault } from './interrupts';
import { readMsr, writeMsr, msrValue } from './msr';
import { readCr8, writeCr8 } from './apic';
import { hostNow, hostPortRead, hostPortWrite, hostRandom } from './host';

export const EXIT_HALT: u32 = 1;
export const EXIT_SHUTDOWN: u32 = 2;
export const EXIT_KICKED: u32 = 3;
export const EXIT_BUDGET: u32 = 4;
export const EXIT_UNSUPPORTED: u32 = 5;

export const UNSUPPORTED_X87: u32 = 1;
export const UNSUPPORTED_REAL_MODE: u32 = 2;
export const UNSUPPORTED_VM86: u32 = 3;

/** Stops the run with a reason that says what this processor has not got. RIP is the instruction's own. */
export function unsupported(u: usize, what: u32): usize {
  store<u64>(vp, load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9), L.RIP);
  store<u32>(vp, EXIT_UNSUPPORTED, L.EXIT_REASON);
  store<u32>(vp, what, L.EXIT_DETAIL);
  return leaveOperation(LEAVE_EXIT);
}

function privileged(): bool {
  return load<u32>(vp, L.CPL) == 0;
}

/** The TSC as the guest reads it. */
export function guestTsc(): u64 {
  return <u64>(hostNow() * load<f64>(L.SHARED + L.SHARED_TSC_PER_NANOSECOND)) + load<u64>(vp, L.TSC_OFFSET);
}

// ---- CPUID ----

function cpuid(): void {
  const leaf = load<u32>(vp + RAX);
  const subleaf = load<u32>(vp + RCX);
  let eax: u32 = 0;
  let ebx: u32 = 0;
  let ecx: u32 = 0;
  let edx: u32 = 0;
  const count = load<u32>(L.SHARED + L.SHARED_CPUID_COUNT);
  let entry: usize = L.SHARED + L.SHARED_CPUID;
  for (let i: u32 = 0; i < count; i++) {
    if (load<u32>(entry) == leaf) {
      const wanted = load<u32>(entry, 4);
      if (wanted == 0xffffffff || wanted == subleaf) {
        eax = load<u32>(entry, 8);
        ebx = load<u32>(entry, 12);
        ecx = load<u32>(entry, 16);
        edx = load<u32>(entry, 20);
        break;
      }
    }
    entry += L.CPUID_ENTRY_BYTES;
  }
  // What depends on this processor's state or number.
  const id = load<u32>(vp + L.APIC + (2 << 2)) >> 24;
  if (leaf == 1) {
    ebx = (ebx & 0x00ffffff) | (id << 24);
    if (load<u64>(vp, L.CR4) & CR4_OSXSAVE) ecx |= 1 << 27;
  } else if (leaf == 0xb) edx = id;
  else if (leaf == 0x8000001e) eax = id;
  setRegister(RAX, eax);
  setRegister(RBX, ebx);
  setRegister(RCX, ecx);
  setRegister(RDX, edx);
}

// ---- control registers ----

const CR0_KNOWN: u64 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
const CR4_KNOWN: u64 =
  1 | 2 | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE |
  CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;

/** Writes CR0. @returns false for #GP. */
export function writeCr0(value: u64): bool {
  if (value >> 32 != 0) return false;
  value = (value & CR0_KNOWN) | CR0_ET;
  if ((value & CR0_PG) != 0 && (value & CR0_PE) == 0) return false;
  if ((value & CR0_NW) != 0 && (value & CR0_CD) == 0) return false;
  const before = load<u64>(vp, L.CR0);
  const efer = load<u64>(vp, L.EFER);
  if ((value & CR0_PG) != 0 && (before & CR0_PG) == 0) {
    if (efer & EFER_LME) {
      if (!(load<u64>(vp, L.CR4) & CR4_PAE)) return false;
      if (load<u32>(segment(SEG_CS), L.SEGMENT_ATTRIBUTES) & 0x2000) return false;
      store<u64>(vp, efer | EFER_LMA, L.EFER);
    }
  } else if ((value & CR0_PG) == 0 && (before & CR0_PG) != 0) {
    if (load<u32>(vp, L.MODE) & MODE_64) return false;
    store<u64>(vp, efer & ~EFER_LMA, L.EFER);
  }
  store<u64>(vp, value, L.CR0);
  if ((value ^ before) & (CR0_PG | CR0_WP | CR0_PE)) {
    updateMode();
    flushAll();
  }
  return true;
}

export function writeCr3(value: u64): bool {
  const pcide = (load<u64>(vp, L.CR4) & CR4_PCIDE) != 0;
  const keep = pcide && value >> 63 != 0;
  if (pcide) value &= 0x7fffffffffffffff;
  const physical = (<u64>1 << load<u32>(L.SHARED + L.SHARED_PHYSICAL_ADDRESS_BITS)) - 1;
  if (longMode() && (value & ~physical) != 0) return false;
  store<u64>(vp, value, L.CR3);
  switchAddressSpace(value, keep);
  return true;
}

export function writeCr4(value: u64): bool {
  if (value & ~CR4_KNOWN) return false;
  const before = load<u64>(vp, L.CR4);
  if (longMode() && (value & CR4_PAE) == 0) return false;
  if ((value & CR4_PCIDE) != 0 && (before & CR4_PCIDE) == 0) {
    if (!longMode() || (load<u64>(vp, L.CR3) & 0xfff) != 0) return false;
  }
  store<u64>(vp, value, L.CR4);
  if ((value ^ before) & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) {
    flushAll();
    switchAddressSpace(load<u64>(vp, L.CR3), false);
  }
  return true;
}

/** That a control register does not exist is found before that nobody may have it. */
function controlExists(number: u32): bool {
  return number == 0 || number == 2 || number == 3 || number == 4 || number == 8;
}
function moveToControl(u: usize): usize {
  const value = load<u32>(vp, L.MODE) & MODE_64 ? getRegister(load<u8>(u, 3)) : getRegister(load<u8>(u, 3)) & 0xffffffff;
  let good = true;
  switch (load<u8>(u, 2)) {
    case 0:
      good = writeCr0(value);
      break;
    case 2:
      store<u64>(vp, value, L.CR2);
      break;
    case 3:
      good = writeCr3(value);
      break;
    case 4:
      good = writeCr4(value);
      break;
    case 8:
      good = value < 16;
      if (good) writeCr8(value);
      break;
    default:
      return raiseAt(u, VECTOR_UD, 0);
  }
  return good ? go(nextRip(u)) : raiseAt(u, VECTOR_GP, 0);
}

function moveFromControl(u: usize): usize {
  let value: u64 = 0;
  switch (load<u8>(u, 3)) {
    case 0:
      value = load<u64>(vp, L.CR0);
      break;
    case 2:
      value = load<u64>(vp, L.CR2);
      break;
    case 3:
      value = load<u64>(vp, L.CR3);
      break;
    case 4:
      value = load<u64>(vp, L.CR4);
      break;
    case 8:
      value = readCr8();
      break;
    default:
      return raiseAt(u, VECTOR_UD, 0);
  }
  setRegister(load<u8>(u, 2), load<u32>(vp, L.MODE) & MODE_64 ? value : value & 0xffffffff);
  return u + 16;
}

function debugRegister(u: usize, number: u32): i32 {
  if (number == 4 || number == 5) {
    if (load<u64>(vp, L.CR4) & CR4_DE) return -1;
    return number + 2;
  }
  return number < 8 ? <i32>number : -1;
}
function debugAddress(number: i32): usize {
  return number < 4 ? vp + L.DR0 + number * 8 : number == 6 ? vp + L.DR6 : vp + L.DR7;
}

// ---- system calls ----

function systemCall(u: usize): usize {
  if (!(load<u64>(vp, L.EFER) & EFER_SCE)) return raiseAt(u, VECTOR_UD, 0);
  const star = load<u64>(vp, L.STAR);
  const selector = <u32>(star >> 32) & 0xfffc;
  const flags = getFlags();
  const is64 = (load<u32>(vp, L.MODE) & MODE_64) != 0;
  if (longMode()) {
    setRegister(RCX, nextRip(u));
    setRegister(R11, flags & ~FLAG_RF);
    const rip = is64 ? load<u64>(vp, L.LSTAR) : load<u64>(vp, L.CSTAR);
    putSegment(SEG_CS, selector, 0, 0xffffffff, 0xa09b);
    putSegment(SEG_SS, selector + 8, 0, 0xffffffff, 0xc093);
    store<u32>(vp, 0, L.CPL);
    putFlags(flags & ~load<u64>(vp, L.SFMASK) & ~FLAG_RF);
    updateMode();
    return go(rip);
  }
  setRegister(RCX, nextRip(u));
  putSegment(SEG_CS, selector, 0, 0xffffffff, 0xc09b);
  putSegment(SEG_SS, selector + 8, 0, 0xffffffff, 0xc093);
  store<u32>(vp, 0, L.CPL);
  putFlags(flags & ~(FLAG_IF | FLAG_RF | FLAG_VM));
  updateMode();
  return go(star & 0xffffffff);
}

function systemReturn(u: usize): usize {
  if (!(load<u64>(vp, L.EFER) & EFER_SCE)) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged() || !(load<u64>(vp, L.CR0) & CR0_PE)) return raiseAt(u, VECTOR_GP, 0);
  const selector = <u32>(load<u64>(vp, L.STAR) >> 48) & 0xfffc;
  const wide = sizeOf(u) == 3;
  const rip = wide ? getRegister(RCX) : getRegister(RCX) & 0xffffffff;
  if (wide) putSegment(SEG_CS, (selector + 16) | 3, 0, 0xffffffff, 0xa0fb);
  else putSegment(SEG_CS, selector | 3, 0, 0xffffffff, 0xc0fb);
  putSegment(SEG_SS, (selector + 8) | 3, 0, 0xffffffff, 0xc0f3);
  store<u32>(vp, 3, L.CPL);
  if (longMode()) putFlags((getRegister(R11) & 0x3c7fd7 & ~(FLAG_RF | FLAG_VM)) | 2);
  else store<u64>(vp, load<u64>(vp, L.FLAGS) | FLAG_IF, L.FLAGS);
  updateMode();
  if (load<u64>(vp, L.FLAGS) & FLAG_IF) forcePoll();
  return go(rip);
}

function sysenter(u: usize): usize {
  // In long mode this is #UD on this vendor's processors, in every submode.
  if (longMode()) return raiseAt(u, VECTOR_UD, 0);
  const selector = <u32>load<u64>(vp, L.SYSENTER_CS) & 0xfffc;
  if (!(load<u64>(vp, L.CR0) & CR0_PE) || selector == 0) return raiseAt(u, VECTOR_GP, 0);
  store<u64>(vp, load<u64>(vp, L.FLAGS) & ~(FLAG_IF | FLAG_VM), L.FLAGS);
  putSegment(SEG_CS, selector, 0, 0xffffffff, 0xc09b);
  putSegment(SEG_SS, selector + 8, 0, 0xffffffff, 0xc093);
  store<u32>(vp, 0, L.CPL);
  setRegister(RSP, load<u64>(vp, L.SYSENTER_ESP) & 0xffffffff);
  updateMode();
  return go(load<u64>(vp, L.SYSENTER_EIP) & 0xffffffff);
}
function sysexit(u: usize): usize {
  if (longMode()) return raiseAt(u, VECTOR_UD, 0);
  const selector = <u32>load<u64>(vp, L.SYSENTER_CS) & 0xfffc;
  if (!(load<u64>(vp, L.CR0) & CR0_PE) || selector == 0 || !privileged()) return raiseAt(u, VECTOR_GP, 0);
  putSegment(SEG_CS, (selector + 16) | 3, 0, 0xffffffff, 0xc0fb);
  putSegment(SEG_SS, (selector + 24) | 3, 0, 0xffffffff, 0xc0f3);
  store<u32>(vp, 3, L.CPL);
  setRegister(RSP, getRegister(RCX) & 0xffffffff);
  updateMode();
  return go(getRegister(RDX) & 0xffffffff);
}

// ---- port I/O ----

/** Checks IOPL and the TSS's permission map. @returns false after raise. */
export function ioAllowed(port: u32, bytes: u32): bool {
  if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return true;
  const cpl = load<u32>(vp, L.CPL);
  if (cpl <= (<u32>(load<u64>(vp, L.FLAGS) >> 12) & 3)) return true;
  const tss = segment(SEG_TR);
  const limit = load<u32>(tss, L.SEGMENT_LIMIT);
  if (limit >= 0x67) {
    if (!readSystem(load<u64>(tss) + 0x66, 2)) return false;
    const at = <u32>lastSystemValue() + (port >> 3);
    if (at + 1 <= limit) {
      if (!readSystem(load<u64>(tss) + at, 2)) return false;
      const mask: u32 = ((1 << bytes) - 1) << (port & 7);
      if ((<u32>lastSystemValue() & mask) == 0) return true;
    }
  }
  raise(VECTOR_GP, 0);
  return false;
}

function portIn(u: usize, port: u32): usize {
  const size = sizeOf(u) == 3 ? 2 : sizeOf(u);
  if (!ioAllowed(port, 1 << size)) return fault(u);
  // Devices may look at the clock or ask for an interrupt.
  putRegister(RAX, size, <i64>hostPortRead(port, 1 << size));
  return u + 16;
}
function portOut(u: usize, port: u32): usize {
  const size = sizeOf(u) == 3 ? 2 : sizeOf(u);
  if (!ioAllowed(port, 1 << size)) return fault(u);
  const value = size == 0 ? <u32>load<u8>(vp + RAX) : size == 1 ? <u32>load<u16>(vp + RAX) : load<u32>(vp + RAX);
  hostPortWrite(port, 1 << size, value);
  return u + 16;
}

// ---- flags ----

function pushFlags(u: usize): usize {
  const left = pushSized(u, <i64>(getFlags() & ~(FLAG_RF | FLAG_VM)), sizeOf(u));
  return left != 0 ? left : u + 16;
}
function popFlags(u: usize): usize {
  const size = sizeOf(u);
  const address = stackLinear(getRegister(RSP));
  const p = readPointer(address, 1 << size);
  if (p == 0) return stackFault(u, address);
  const value = <u64>loadSigned(p, size);
  setStack(getRegister(RSP) + (1 << size));
  const cpl = load<u32>(vp, L.CPL);
  const before = getFlags();
  let changeable = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
  if (cpl == 0) changeable |= FLAG_IOPL;
  if (cpl <= (<u32>(before >> 12) & 3)) changeable |= FLAG_IF;
  if (size == 1) changeable &= 0xffff;
  putFlags((value & changeable) | (before & ~(changeable | FLAG_RF)));
  if (value & FLAG_IF) forcePoll();
  return go(nextRip(u));
}

// ---- descriptor tables ----

function storeTable(u: usize, base: u64, limit: u32): usize {
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
function loadTable(u: usize, interrupts: bool): usize {
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
function storeSelector(u: usize, form: u32, value: u64, wideRegister: bool): usize {
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
function loadAccess(u: usize, form: u32, limit: bool): usize {
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

function verify(u: usize, form: u32, forWrite: bool): usize {
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

// ---- software interrupts ----

function softwareInterrupt(u: usize, vector: u32): usize {
  const here = load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9);
  store<u64>(vp, nextRip(u), L.RIP);
  if (enterHandler(vector, false, 0, true, false)) return go(load<u64>(vp, L.RIP));
  // Not delivered: what went wrong is reported at the instruction itself.
  store<u64>(vp, here, L.RIP);
  return fault(u);
}

function invalidatePcid(u: usize): usize {
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  const kind = load<u32>(vp, L.MODE) & MODE_64 ? getRegister(load<u8>(u, 2)) : getRegister(load<u8>(u, 2)) & 0xffffffff;
  const p = readPointer(effectiveAddress(u), 16);
  if (p == 0) return fault(u);
  const pcid = load<u64>(p);
  const address = load<u64>(p, 8);
  if (kind > 3 || (kind < 2 && pcid > 0xfff) || (kind < 2 && pcid != 0 && !(load<u64>(vp, L.CR4) & CR4_PCIDE))) return raiseAt(u, VECTOR_GP, 0);
  if (kind == 0) {
    if (!isCanonical(address)) return raiseAt(u, VECTOR_GP, 0);
    flushPage(address);
  } else if (kind == 1) flushPcid(<u32>pcid);
  else flushAll();
  return go(nextRip(u));
}

/** Executes a system operation. @returns the next operation, or 0 when the number is none of this file's. */
export function executeSystem(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  switch (operation) {
    case Operation.UD2:
      return raiseAt(u, VECTOR_UD, 0);
    case Operation.INT3:
      return softwareInterrupt(u, VECTOR_BP);
    case Operation.INT1:
      // A trap that asks no gate for its DPL.
      store<u64>(vp, nextRip(u), L.RIP);
      raise(VECTOR_DB, 0);
      store<u32>(vp, 0, L.FAULT_OPERATION);
      return leaveOperation(LEAVE_DELIVER);
    case Operation.INT:
      return softwareInterrupt(u, load<u8>(u, 12));
    case Operation.INTO:
      return overflow() ? softwareInterrupt(u, VECTOR_OF) : u + 16;
    case Operation.IRET: {
      const flagsBefore = load<u64>(vp, L.FLAGS);
      if (!interruptReturn(1 << sizeOf(u))) return fault(u);
      if (load<u64>(vp, L.FLAGS) & ~flagsBefore & FLAG_IF) forcePoll();
      return go(load<u64>(vp, L.RIP));
    }
    case Operation.RETF:
      return farReturn(1 << sizeOf(u), load<u32>(u, 12)) ? go(load<u64>(vp, L.RIP)) : fault(u);
    case Operation.JMP_FAR_IMM:
      return farTransfer(load<u32>(u, 8) & 0xffff, <u64>load<u32>(u, 12), false, 1 << sizeOf(u), 0) ? go(load<u64>(vp, L.RIP)) : fault(u);
    case Operation.CALL_FAR_IMM:
      return farTransfer(load<u32>(u, 8) & 0xffff, <u64>load<u32>(u, 12), true, 1 << sizeOf(u), nextRip(u)) ? go(load<u64>(vp, L.RIP)) : fault(u);
    case Operation.JMP_FAR_MEM:
    case Operation.CALL_FAR_MEM: {
      // This vendor reads a 32-bit offset even with REX.W.
      const size: u32 = sizeOf(u) == 1 ? 1 : 2;
      const p = readPointer(effectiveAddress(u), (1 << size) + 2);
      if (p == 0) return fault(u);
      const offset = size == 1 ? <u64>load<u16>(p) : <u64>load<u32>(p);
      const selector = <u32>load<u16>(p + (1 << size));
      const isCall = operation == Operation.CALL_FAR_MEM;
      return farTransfer(selector, offset, isCall, 1 << sizeOf(u), nextRip(u)) ? go(load<u64>(vp, L.RIP)) : fault(u);
    }
    case Operation.SYSCALL:
      return systemCall(u);
    case Operation.SYSRET:
      return systemReturn(u);
    case Operation.SYSENTER:
      return sysenter(u);
    case Operation.SYSEXIT:
      return sysexit(u);
    case Operation.PUSHF:
      return pushFlags(u);
    case Operation.POPF:
      return popFlags(u);
    case Operation.CLI: {
      const cpl = load<u32>(vp, L.CPL);
      if (cpl > (<u32>(load<u64>(vp, L.FLAGS) >> 12) & 3)) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, load<u64>(vp, L.FLAGS) & ~FLAG_IF, L.FLAGS);
      return u + 16;
    }
    case Operation.STI: {
      const cpl = load<u32>(vp, L.CPL);
      const flags = load<u64>(vp, L.FLAGS);
      if (cpl > (<u32>(flags >> 12) & 3)) return raiseAt(u, VECTOR_GP, 0);
      if (!(flags & FLAG_IF)) {
        store<u64>(vp, flags | FLAG_IF, L.FLAGS);
        store<u32>(vp, 1, L.SHADOW);
        forcePoll();
      }
      return go(nextRip(u));
    }
    case Operation.HLT:
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, nextRip(u), L.RIP);
      store<u32>(vp, 1, L.HALTED);
      store<u32>(vp, EXIT_HALT, L.EXIT_REASON);
      return leaveOperation(LEAVE_EXIT);
    case Operation.CPUID:
      cpuid();
      return u + 16;
    case Operation.RDTSC:
    case Operation.RDTSCP: {
      if (load<u64>(vp, L.CR4) & CR4_TSD && !privileged()) return raiseAt(u, VECTOR_GP, 0);
      const tsc = guestTsc();
      setRegister(RAX, tsc & 0xffffffff);
      setRegister(RDX, tsc >> 32);
      if (operation == Operation.RDTSCP) setRegister(RCX, load<u64>(vp, L.TSC_AUX) & 0xffffffff);
      return u + 16;
    }
    case Operation.RDPMC:
      return raiseAt(u, VECTOR_GP, 0);
    case Operation.RDRAND: {
      const size = sizeOf(u);
      const value = (<u64>hostRandom() << 32) | <u64>hostRandom();
      putRegister(load<u8>(u, 2), size, <i64>value);
      setExplicit(1);
      return u + 16;
    }
    case Operation.RDMSR:
      if (!privileged() || !readMsr(load<u32>(vp + RCX))) return raiseAt(u, VECTOR_GP, 0);
      setRegister(RAX, msrValue & 0xffffffff);
      setRegister(RDX, msrValue >> 32);
      return u + 16;
    case Operation.WRMSR:
      if (!privileged() || !writeMsr(load<u32>(vp + RCX), (<u64>load<u32>(vp + RDX) << 32) | <u64>load<u32>(vp + RAX))) {
        return raiseAt(u, VECTOR_GP, 0);
      }
      return go(nextRip(u));
    case Operation.MOV_TO_CR:
      if (!controlExists(load<u8>(u, 2))) return raiseAt(u, VECTOR_UD, 0);
      return privileged() ? moveToControl(u) : raiseAt(u, VECTOR_GP, 0);
    case Operation.MOV_FROM_CR:
      if (!controlExists(load<u8>(u, 3))) return raiseAt(u, VECTOR_UD, 0);
      return privileged() ? moveFromControl(u) : raiseAt(u, VECTOR_GP, 0);
    case Operation.MOV_FROM_DR: {
      const number = debugRegister(u, load<u8>(u, 3));
      if (number < 0) return raiseAt(u, VECTOR_UD, 0);
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      setRegister(load<u8>(u, 2), load<u64>(debugAddress(number)));
      return u + 16;
    }
    case Operation.MOV_TO_DR: {
      const number = debugRegister(u, load<u8>(u, 2));
      if (number < 0) return raiseAt(u, VECTOR_UD, 0);
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      let value = getRegister(load<u8>(u, 3));
      if (number >= 6 && load<u32>(vp, L.MODE) & MODE_64 && value >> 32 != 0) return raiseAt(u, VECTOR_GP, 0);
      if (number == 6) value = (value & 0xe00f) | 0xffff0ff0;
      if (number == 7) value = (value & 0xffff2fff) | 0x400;
      store<u64>(debugAddress(number), value);
      return go(nextRip(u));
    }
    case Operation.CLTS:
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, load<u64>(vp, L.CR0) & ~CR0_TS, L.CR0);
      return u + 16;
    case Operation.LMSW: {
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      if (!wordOperand(u, form == FORM_R, 2)) return fault(u);
      const cr0 = load<u64>(vp, L.CR0);
      // PE can be set but not cleared.
      writeCr0((cr0 & ~<u64>0xe) | (<u64>word & 0xf) | (cr0 & 1));
      return go(nextRip(u));
    }
    case Operation.SMSW:
      if (load<u64>(vp, L.CR4) & CR4_UMIP && !privileged()) return raiseAt(u, VECTOR_GP, 0);
      return storeSelector(u, form, load<u64>(vp, L.CR0), true);
    case Operation.SLDT:
    case Operation.STR:
      if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return raiseAt(u, VECTOR_UD, 0);
      if (load<u64>(vp, L.CR4) & CR4_UMIP && !privileged()) return raiseAt(u, VECTOR_GP, 0);
      return storeSelector(u, form, load<u32>(segment(operation == Operation.SLDT ? SEG_LDTR : SEG_TR), L.SEGMENT_SELECTOR), false);
    case Operation.MOV_FROM_SEG:
      if (load<u8>(u, 3) > 5) return raiseAt(u, VECTOR_UD, 0);
      return storeSelector(u, form, load<u32>(segment(load<u8>(u, 3)), L.SEGMENT_SELECTOR), false);
    case Operation.MOV_TO_SEG: {
      const index = <u32>load<u8>(u, 2);
      if (index == SEG_CS || index > SEG_GS) return raiseAt(u, VECTOR_UD, 0);
      if (!wordOperand(u, form == FORM_RR, 3)) return fault(u);
      if (!loadDataSegment(index, word)) return fault(u);
      if (index == SEG_SS) store<u32>(vp, 1, L.SHADOW);
      return go(nextRip(u));
    }
    case Operation.LLDT:
    case Operation.LTR:
      if (!(load<u32>(vp, L.MODE) & MODE_PROTECTED)) return raiseAt(u, VECTOR_UD, 0);
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      if (!wordOperand(u, form == FORM_R, 2)) return fault(u);
      return loadSystemSegment(operation == Operation.LLDT ? SEG_LDTR : SEG_TR, word) ? u + 16 : fault(u);
    case Operation.VERR:
      return verify(u, form, false);
    case Operation.VERW:
      return verify(u, form, true);
    case Operation.LAR:
      return loadAccess(u, form, false);
    case Operation.LSL:
      return loadAccess(u, form, true);
    case Operation.ARPL: {
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
    case Operation.SGDT:
      return storeTable(u, load<u64>(vp, L.GDTR_BASE), load<u32>(vp, L.GDTR_LIMIT));
    case Operation.SIDT:
      return storeTable(u, load<u64>(vp, L.IDTR_BASE), load<u32>(vp, L.IDTR_LIMIT));
    case Operation.LGDT:
      return loadTable(u, false);
    case Operation.LIDT:
      return loadTable(u, true);
    case Operation.INVLPG: {
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      const address = effectiveAddress(u);
      if (!(load<u32>(vp, L.MODE) & MODE_64) || isCanonical(address)) flushPage(address);
      return u + 16;
    }
    case Operation.INVPCID:
      return invalidatePcid(u);
    case Operation.WBINVD:
      return privileged() ? u + 16 : raiseAt(u, VECTOR_GP, 0);
    case Operation.CLAC:
    case Operation.STAC: {
      if (!privileged()) return raiseAt(u, VECTOR_UD, 0);
      const flags = load<u64>(vp, L.FLAGS) & ~FLAG_AC;
      store<u64>(vp, operation == Operation.STAC ? flags | FLAG_AC : flags, L.FLAGS);
      selectContext();
      return u + 16;
    }
    case Operation.SWAPGS: {
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      const gs = segment(SEG_GS);
      const base = load<u64>(gs);
      store<u64>(gs, load<u64>(vp, L.KERNEL_GS_BASE));
      store<u64>(vp, base, L.KERNEL_GS_BASE);
      return u + 16;
    }
    case Operation.RDFSBASE:
    case Operation.RDGSBASE:
    case Operation.WRFSBASE:
    case Operation.WRGSBASE: {
      if (!(load<u64>(vp, L.CR4) & CR4_FSGSBASE)) return raiseAt(u, VECTOR_UD, 0);
      const s = segment(operation == Operation.RDFSBASE || operation == Operation.WRFSBASE ? SEG_FS : SEG_GS);
      const at = <u32>load<u8>(u, 2);
      if (operation == Operation.RDFSBASE || operation == Operation.RDGSBASE) {
        putRegister(at, sizeOf(u), load<i64>(s));
        return u + 16;
      }
      const value = sizeOf(u) == 3 ? getRegister(at) : getRegister(at) & 0xffffffff;
      if (!isCanonical(value)) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(s, value);
      return u + 16;
    }
    case Operation.XGETBV:
      if (!(load<u64>(vp, L.CR4) & CR4_OSXSAVE)) return raiseAt(u, VECTOR_UD, 0);
      if (load<u32>(vp + RCX) != 0) return raiseAt(u, VECTOR_GP, 0);
      setRegister(RAX, load<u64>(vp, L.XCR0) & 0xffffffff);
      setRegister(RDX, load<u64>(vp, L.XCR0) >> 32);
      return u + 16;
    case Operation.XSETBV: {
      if (!(load<u64>(vp, L.CR4) & CR4_OSXSAVE)) return raiseAt(u, VECTOR_UD, 0);
      const value = (<u64>load<u32>(vp + RDX) << 32) | <u64>load<u32>(vp + RAX);
      if (!privileged() || load<u32>(vp + RCX) != 0 || (value & 1) == 0 || (value & ~<u64>3) != 0) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, value, L.XCR0);
      return u + 16;
    }
    case Operation.IN_IMM:
      return portIn(u, <u32>load<u8>(u, 12));
    case Operation.IN_DX:
      return portIn(u, <u32>load<u16>(vp + RDX));
    case Operation.OUT_IMM:
      return portOut(u, <u32>load<u8>(u, 12));
    case Operation.OUT_DX:
      return portOut(u, <u32>load<u16>(vp + RDX));
    case Operation.CLFLUSH: {
      const p = readPointer(effectiveAddress(u), 1);
      return p == 0 ? fault(u) : u + 16;
    }
  }
  return 0;
}
