/**
 * System instructions: the table of them, and those that are short: CPUID, flags, MSRs, HLT, cache and TLB control, FSGSBASE, XSETBV.
 * Each handler returns the next operation: u + 16, or one that leaves the block.
 * Answers to: AMD64 manual volumes 2 and 3. Called by run.ts through `executeSystem`.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { FEATURE_AVX, FEATURE_PKU, FEATURE_XSAVEC } from './generated/tables';
import { COMPONENT_PKRU, compactedBytes, inUse, standardBytes } from './xsave';
import {
  vp, forcePoll, raise, getRegister, setRegister, segment, MODE_64, MODE_PROTECTED, CR0_TS, CR4_PCIDE, CR4_UMIP, CR4_TSD, CR4_FSGSBASE, CR4_OSXSAVE, CR4_PKE,
  FLAG_IF, FLAG_IOPL, FLAG_AC, FLAG_TF, FLAG_RF, FLAG_VM, FLAG_NT, FLAG_DF, FLAG_ID, FLAGS_ARITHMETIC, RAX, RBX, RCX, RDX, RSP, SEG_FS, SEG_GS,
  SEG_LDTR, SEG_TR, VECTOR_UD, VECTOR_GP, VECTOR_BP, VECTOR_DB, VECTOR_OF, SHADOW_STI,
} from './state';
import { getFlags, setExplicit, overflow } from './flags';
import { readPointer, effectiveAddress, isCanonical } from './memory';
import { flushAll, flushLocal, flushPage, flushPcid, selectContext, writePkru } from './tlb';
import { branch, fault, raiseAt, nextRip, startRip, go, sizeOf, putRegister, loadSigned } from './operands';
import { pushSized, stackLinear, setStack, stackFault } from './stack';
import { leaveOperation, LEAVE_EXIT, LEAVE_DELIVER, LEAVE_POLL } from './blocks';
import { interruptPending, interruptsEnabled } from './run';
import { putFlags } from './interrupts';
import { interruptReturn, farReturn, farTransfer } from './far-transfers';
import { trapWaits } from './debug';
import { readMsr, writeMsr, msrValue } from './msr';
import { hostHypercall, hostNow, hostRandom } from './host';
import { moveToControl, moveFromControl, moveFromDebug, moveToDebug } from './control-registers';
import {
  storeTable, loadTable, storeSelector, loadAccess, verify, moveToSegment, loadSystemSelector, loadMachineStatus, adjustRequestedLevel,
} from './descriptor-instructions';
import { systemCall, systemReturn, sysenter, sysexit, softwareInterrupt } from './system-calls';
import { portIn, portOut } from './ports';

export const EXIT_HALT: u32 = 1;
export const EXIT_SHUTDOWN: u32 = 2;
export const EXIT_KICKED: u32 = 3;
export const EXIT_BUDGET: u32 = 4;
export const EXIT_UNSUPPORTED: u32 = 5;
export const EXIT_STOP_POINT: u32 = 6;

export const UNSUPPORTED_TASK_SWITCH: u32 = 1;
export const UNSUPPORTED_VIRTUAL_8086: u32 = 2;

/** Answers to a hypercall: there is none (#UD); done; not finished, the instruction is to be executed again. */
const HYPERCALL_ABSENT: u32 = 0;
const HYPERCALL_AGAIN: u32 = 2;

/** Stops the run with a reason that says what this processor has not got. RIP is the instruction's own. */
export function unsupported(u: usize, what: u32): usize {
  store<u64>(vp, load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9), L.RIP);
  store<u32>(vp, EXIT_UNSUPPORTED, L.EXIT_REASON);
  store<u32>(vp, what, L.EXIT_DETAIL);
  return leaveOperation(LEAVE_EXIT);
}

export function privileged(): bool {
  return load<u32>(vp, L.CPL) == 0;
}

/** The TSC as the guest reads it. */
export function guestTsc(): u64 {
  return <u64>(hostNow() * load<f64>(L.SHARED + L.SHARED_TSC_PER_NANOSECOND)) + load<u64>(vp, L.TSC_OFFSET);
}

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
  } else if (leaf == 7 && subleaf == 0) {
    if (load<u64>(vp, L.CR4) & CR4_PKE) ecx |= 1 << 4;
  } else if (leaf == 0xd && subleaf < 2 && ebx != 0) {
    // The size of the area for what is enabled, in the form that XSAVE writes and in the compacted one.
    const enabled = load<u64>(vp, L.XCR0);
    ebx = subleaf == 0 ? standardBytes(enabled) : compactedBytes(enabled);
  } else if (leaf == 0xb) edx = id;
  else if (leaf == 0x8000001e) eax = id;
  setRegister(RAX, eax);
  setRegister(RBX, ebx);
  setRegister(RCX, ecx);
  setRegister(RDX, edx);
}

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
  if (value & FLAG_IF) interruptsEnabled();
  return go(nextRip(u));
}

function invalidatePcid(u: usize): usize {
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  const kind = load<u32>(vp, L.MODE) & MODE_64 ? getRegister(load<u8>(u, 2)) : getRegister(load<u8>(u, 2)) & 0xffffffff;
  const p = readPointer(effectiveAddress(u), 16);
  if (p == 0) return fault(u);
  const pcid = load<u64>(p);
  const address = load<u64>(p, 8);
  // The reserved bits of the descriptor count for every type, also for those that do not look at its PCID.
  if (kind > 3 || pcid > 0xfff || (kind < 2 && pcid != 0 && !(load<u64>(vp, L.CR4) & CR4_PCIDE))) return raiseAt(u, VECTOR_GP, 0);
  if (kind == 0) {
    if (!isCanonical(address)) return raiseAt(u, VECTOR_GP, 0);
    flushPage(address, true);
  } else if (kind == 1) flushPcid(<u32>pcid);
  else if (kind == 3) flushLocal();
  else flushAll();
  return go(nextRip(u));
}

/** Whether CPUID does not tell of a feature. */
export function isAbsent(feature: u64): bool {
  return ((load<u64>(L.SHARED + L.SHARED_ABSENT_FEATURES) >> feature) & 1) != 0;
}

/** Whether XCR0 may have a value: x87 always; YMM with SSE, and where CPUID tells of AVX; PKRU where it tells of protection keys. */
function validXcr0(value: u64): bool {
  const allowed: u64 = (isAbsent(FEATURE_AVX) ? 3 : 7) | (isAbsent(FEATURE_PKU) ? 0 : COMPONENT_PKRU);
  return (value & 1) != 0 && (value & ~allowed) == 0 && (value & 6) != 4;
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
      if (load<u64>(vp, L.FLAGS) & ~flagsBefore & FLAG_IF) interruptsEnabled();
      return branch(u, load<u64>(vp, L.RIP));
    }
    case Operation.RETF:
      return farReturn(1 << sizeOf(u), load<u32>(u, 12)) ? branch(u, load<u64>(vp, L.RIP)) : fault(u);
    case Operation.JMP_FAR_IMM:
      return farTransfer(load<u32>(u, 8) & 0xffff, <u64>load<u32>(u, 12), false, 1 << sizeOf(u), 0) ? branch(u, load<u64>(vp, L.RIP)) : fault(u);
    case Operation.CALL_FAR_IMM:
      return farTransfer(load<u32>(u, 8) & 0xffff, <u64>load<u32>(u, 12), true, 1 << sizeOf(u), nextRip(u)) ? branch(u, load<u64>(vp, L.RIP)) : fault(u);
    case Operation.JMP_FAR_MEM:
    case Operation.CALL_FAR_MEM: {
      // This vendor reads a 32-bit offset even with REX.W.
      const size: u32 = sizeOf(u) == 1 ? 1 : 2;
      const p = readPointer(effectiveAddress(u), (1 << size) + 2);
      if (p == 0) return fault(u);
      const offset = size == 1 ? <u64>load<u16>(p) : <u64>load<u32>(p);
      const selector = <u32>load<u16>(p + (1 << size));
      const isCall = operation == Operation.CALL_FAR_MEM;
      return farTransfer(selector, offset, isCall, 1 << sizeOf(u), nextRip(u)) ? branch(u, load<u64>(vp, L.RIP)) : fault(u);
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
        // The next poll, whenever it comes, keeps interrupts off for one more instruction: HLT directly behind STI never misses one.
        store<u32>(vp, SHADOW_STI, L.SHADOW);
        interruptsEnabled();
      }
      return go(nextRip(u));
    }
    case Operation.HLT:
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, nextRip(u), L.RIP);
      if (trapWaits()) return leaveOperation(LEAVE_POLL);
      store<u32>(vp, 1, L.HALTED);
      // An interrupt that waited for STI's shadow to pass comes now: nobody would wake the processor for it later.
      if (interruptPending()) return leaveOperation(LEAVE_POLL);
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
    case Operation.VMMCALL: {
      if (!privileged()) return raiseAt(u, VECTOR_UD, 0);
      const start = startRip(u);
      store<u64>(vp, nextRip(u), L.RIP);
      const answer = hostHypercall();
      if (answer == HYPERCALL_ABSENT) return raiseAt(u, VECTOR_UD, 0);
      // Any register, and what stands behind an address, may be another one now.
      forcePoll();
      return go(answer == HYPERCALL_AGAIN ? start : load<u64>(vp, L.RIP));
    }
    case Operation.MOV_TO_CR:
      return moveToControl(u);
    case Operation.MOV_FROM_CR:
      return moveFromControl(u);
    case Operation.MOV_FROM_DR:
      return moveFromDebug(u);
    case Operation.MOV_TO_DR:
      return moveToDebug(u);
    case Operation.CLTS:
      if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, load<u64>(vp, L.CR0) & ~CR0_TS, L.CR0);
      return u + 16;
    case Operation.LMSW:
      return loadMachineStatus(u, form);
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
    case Operation.MOV_TO_SEG:
      return moveToSegment(u, form);
    case Operation.LLDT:
    case Operation.LTR:
      return loadSystemSelector(u, form, operation == Operation.LLDT ? SEG_LDTR : SEG_TR);
    case Operation.VERR:
      return verify(u, form, false);
    case Operation.VERW:
      return verify(u, form, true);
    case Operation.LAR:
      return loadAccess(u, form, false);
    case Operation.LSL:
      return loadAccess(u, form, true);
    case Operation.ARPL:
      return adjustRequestedLevel(u, form);
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
      if (!(load<u32>(vp, L.MODE) & MODE_64)) flushPage(address & 0xffffffff, false);
      else if (isCanonical(address)) flushPage(address, false);
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
      {
        // Register 1 is there with XSAVEC: components in use among those enabled.
        const number = load<u32>(vp + RCX);
        const most: u32 = isAbsent(FEATURE_XSAVEC) ? 0 : 1;
        if (number > most) return raiseAt(u, VECTOR_GP, 0);
        const value = load<u64>(vp, L.XCR0) & (number == 0 ? 0xffffffffffffffff : inUse());
        setRegister(RAX, value & 0xffffffff);
        setRegister(RDX, value >> 32);
      }
      return u + 16;
    case Operation.XSETBV: {
      if (!(load<u64>(vp, L.CR4) & CR4_OSXSAVE)) return raiseAt(u, VECTOR_UD, 0);
      const value = (<u64>load<u32>(vp + RDX) << 32) | <u64>load<u32>(vp + RAX);
      if (!privileged() || load<u32>(vp + RCX) != 0 || !validXcr0(value)) return raiseAt(u, VECTOR_GP, 0);
      store<u64>(vp, value, L.XCR0);
      return u + 16;
    }
    case Operation.RDPKRU:
      if (!(load<u64>(vp, L.CR4) & CR4_PKE)) return raiseAt(u, VECTOR_UD, 0);
      if (load<u32>(vp + RCX) != 0) return raiseAt(u, VECTOR_GP, 0);
      setRegister(RAX, load<u32>(vp, L.PKRU));
      setRegister(RDX, 0);
      return u + 16;
    case Operation.WRPKRU:
      if (!(load<u64>(vp, L.CR4) & CR4_PKE)) return raiseAt(u, VECTOR_UD, 0);
      if ((load<u32>(vp + RCX) | load<u32>(vp + RDX)) != 0) return raiseAt(u, VECTOR_GP, 0);
      writePkru(load<u32>(vp + RAX));
      return u + 16;
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
