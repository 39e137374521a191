/**
 * SSE, SSE2 and x87-state instructions: checks of availability and alignment, operands, and where results go. The operations
 * themselves are vector.ts and fpu.ts, which know no guest memory.
 * Answers to: AMD64 manual volume 2, section 11 and volume 4. Called by run.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import {
  vp, CR0_EM, CR0_TS, CR0_MP, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, VECTOR_UD, VECTOR_NM, VECTOR_GP, VECTOR_XM, RAX, RDX,
} from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress, isCanonical } from './memory';
import { fault, raiseAt, sizeOf, putRegister } from './operands';
import { FORM_RM, FORM_MR } from './decoder';
import { setExplicit } from './flags';
import { vectorOperation } from './vector';
import { maskedMove } from './strings';
import * as F from './fpu';
import { mathFault } from './math-fault';
import { XSAVE_LEGACY_BYTES, compactedBytes, headerGood, isCompacted, standardBytes, xrstorBytes, xrstorFrom, xsaveTo, xsavecTo } from './xsave';

// @ts-ignore: decorator
@inline
function xmm(place: u32): usize {
  return vp + L.XMM + (place << 1);
}

/** Operations whose vector or general destination is a general register. */
function resultToGeneral(operation: u32): bool {
  switch (operation) {
    case Operation.CVTTSS2SI:
    case Operation.CVTTSD2SI:
    case Operation.CVTSS2SI:
    case Operation.CVTSD2SI:
    case Operation.MOVMSKPS:
    case Operation.MOVMSKPD:
    case Operation.PMOVMSKB:
    case Operation.PEXTRW:
    case Operation.MOVD_FROM_X:
      return true;
  }
  return false;
}
function generalSource(operation: u32): bool {
  return (
    operation == Operation.CVTSI2SS || operation == Operation.CVTSI2SD || operation == Operation.PINSRW || operation == Operation.MOVD_TO_X
  );
}

/** Executes an operation with vector operands. */
export function executeVector(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  const cr0 = load<u64>(vp, L.CR0);
  const cr4 = load<u64>(vp, L.CR4);
  if ((cr0 & CR0_EM) != 0 || (cr4 & CR4_OSFXSR) == 0) return raiseAt(u, VECTOR_UD, 0);
  if (cr0 & CR0_TS) return raiseAt(u, VECTOR_NM, 0);
  if (operation == Operation.MASKMOVDQU) return maskedMove(u);
  const immediate = load<u32>(u, 12);
  const toGeneral = resultToGeneral(operation);
  const isStore = form == FORM_MR;
  let d: usize = 0;
  let s: usize = 0;
  let bytes: u32 = (immediate >> 8) & 0xff;
  const wideGeneral = (immediate & 0x40000000) != 0;
  if (form == FORM_RM || isStore) {
    // A general operand in memory has its own width.
    if (operation == Operation.CVTSI2SS || operation == Operation.CVTSI2SD || operation == Operation.MOVD_TO_X || operation == Operation.MOVD_FROM_X) {
      bytes = wideGeneral ? 8 : 4;
    } else if (operation == Operation.PINSRW) bytes = 2;
    const address = effectiveAddress(u);
    if ((immediate & 0x10000) != 0 && (address & 15) != 0) return raiseAt(u, VECTOR_GP, 0);
    if (isStore) {
      d = writePointer(address, bytes);
      if (d == 0) return fault(u);
      s = xmm(load<u8>(u, 3));
    } else {
      s = readPointer(address, bytes);
      if (s == 0) return fault(u);
      d = xmm(load<u8>(u, 2));
    }
  } else {
    s = generalSource(operation) ? vp + load<u8>(u, 3) : xmm(load<u8>(u, 3));
    d = xmm(load<u8>(u, 2));
  }
  if (vectorOperation(operation, d, s, immediate) != 0) {
    return raiseAt(u, cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD, 0);
  }
  if (toGeneral) {
    const result = load<u64>(vp, L.VECTOR_RESULT);
    if (isStore) {
      if (bytes == 8) store<u64>(d, result);
      else store<u32>(d, <u32>result);
    } else putRegister(load<u8>(u, 2), sizeOf(u) == 3 ? 3 : 2, <i64>result);
  } else if (operation == Operation.UCOMISS || operation == Operation.UCOMISD || operation == Operation.COMISS || operation == Operation.COMISD) {
    setExplicit(load<u64>(vp, L.VECTOR_RESULT));
  }
  if (isStore) commitIfPending(d, bytes);
  return u + 16;
}

/**
 * Copies between the guest and a contiguous buffer: what is left in a page at once where a TLB entry covers it, else eight bytes at a time
 * where the area is aligned so, else two, and never beyond its end.
 */
const BUFFER: u32 = L.STATE_IMAGE;

function copyFromGuest(address: u64, start: u32, end: u32): bool {
  const step: u32 = ((<u32>address | start | end) & 7) == 0 ? 8 : 2;
  for (let i = start; i < end; ) {
    const some = min(step, end - i);
    const p = readPointer(address + i, some);
    if (p == 0) return false;
    const piece = min(end - i, 0x1000 - (<u32>(address + i) & 0xfff));
    const whole = contiguous(address + i, piece, false);
    if (whole != 0) {
      memory.copy(vp + BUFFER + i, whole, piece);
      i += piece;
      continue;
    }
    if (some == 8) store<u64>(vp + BUFFER + i, load<u64>(p));
    else if (some == 2) store<u16>(vp + BUFFER + i, load<u16>(p));
    else store<u8>(vp + BUFFER + i, load<u8>(p));
    i += some;
  }
  return true;
}
/** Both pages are tried before anything is written. */
function writable(address: u64, bytes: u32): bool {
  return writePointer(address, 1) != 0 && writePointer(address + bytes - 1, 1) != 0;
}
function copyToGuest(address: u64, start: u32, end: u32): void {
  const step: u32 = ((<u32>address | start | end) & 7) == 0 ? 8 : 2;
  for (let i = start; i < end; ) {
    const some = min(step, end - i);
    const p = writePointer(address + i, some);
    const piece = min(end - i, 0x1000 - (<u32>(address + i) & 0xfff));
    const whole = contiguous(address + i, piece, true);
    if (whole != 0) {
      memory.copy(whole, vp + BUFFER + i, piece);
      i += piece;
      continue;
    }
    if (some == 8) store<u64>(p, load<u64>(vp + BUFFER + i));
    else if (some == 2) store<u16>(p, load<u16>(vp + BUFFER + i));
    else store<u8>(p, load<u8>(vp + BUFFER + i));
    commitIfPending(p, some);
    i += some;
  }
}

/** Of a long XSAVE area just its ends have components: up to here those that stand behind each other. */
const PACKED_BYTES: u32 = L.XSAVE_AVX + L.XSAVE_AVX_BYTES + L.XSAVE_PKRU_BYTES;
function copyAreaFromGuest(address: u64, start: u32, bytes: u32): bool {
  if (!copyFromGuest(address, start, min(bytes, PACKED_BYTES))) return false;
  return bytes <= L.XSAVE_PKRU || copyFromGuest(address, L.XSAVE_PKRU, bytes);
}
function copyAreaToGuest(address: u64, bytes: u32): void {
  copyToGuest(address, 0, min(bytes, PACKED_BYTES));
  if (bytes > L.XSAVE_PKRU) copyToGuest(address, L.XSAVE_PKRU, bytes);
}

/** Host address of an area of guest memory in one page that a TLB entry covers; 0 when it has to be copied. */
function contiguous(address: u64, bytes: u32, write: bool): usize {
  if ((<u32>address & 0xfff) + bytes > 0x1000) return 0;
  const entry = (write ? load<u32>(vp, L.TLB_WRITE) : load<u32>(vp, L.TLB_READ)) + ((<u32>(address >> 12) & 1023) << 4);
  return load<u64>(entry) == (address & ~0xfff) ? <u32>address + load<u32>(entry, 8) : 0;
}

/** x87 state and control, FXSAVE, XSAVE, MXCSR. @returns 0 when the number is none of these. */
export function executeFpu(u: usize, number: u32): usize {
  const operation = number >> 3;
  const cr0 = load<u64>(vp, L.CR0);
  const cr4 = load<u64>(vp, L.CR4);
  switch (operation) {
    case Operation.LDMXCSR:
    case Operation.STMXCSR: {
      if ((cr0 & CR0_EM) != 0 || (cr4 & CR4_OSFXSR) == 0) return raiseAt(u, VECTOR_UD, 0);
      if (cr0 & CR0_TS) return raiseAt(u, VECTOR_NM, 0);
      const address = effectiveAddress(u);
      if (operation == Operation.LDMXCSR) {
        const p = readPointer(address, 4);
        if (p == 0) return fault(u);
        if (!F.ldmxcsr(load<u32>(p))) return raiseAt(u, VECTOR_GP, 0);
      } else {
        const p = writePointer(address, 4);
        if (p == 0) return fault(u);
        store<u32>(p, load<u32>(vp, L.MXCSR));
        commitIfPending(p, 4);
      }
      return u + 16;
    }
    case Operation.FXSAVE:
    case Operation.FXRSTOR: {
      if (cr0 & (CR0_EM | CR0_TS)) return raiseAt(u, VECTOR_NM, 0);
      const address = effectiveAddress(u);
      // Unlike elsewhere, what a non-canonical address raises comes before alignment.
      if ((address & 15) != 0 && !isCanonical(address) && readPointer(address, 1) == 0) return fault(u);
      if (address & 15) return raiseAt(u, VECTOR_GP, 0);
      const wide = sizeOf(u) == 3;
      const vectors = (cr4 & CR4_OSFXSR) != 0;
      if (operation == Operation.FXSAVE) {
        if (!writable(address, 512) || !copyFromGuest(address, 0, 512)) return fault(u);
        F.fxsaveTo(vp + BUFFER, wide);
        // Without OSFXSR this vendor saves no vector registers.
        copyToGuest(address, 0, vectors ? 416 : 160);
      } else {
        if (!copyFromGuest(address, 0, 512)) return fault(u);
        if (!F.fxrstorFrom(vp + BUFFER, wide)) return raiseAt(u, VECTOR_GP, 0);
      }
      return u + 16;
    }
    case Operation.XSAVE:
    case Operation.XSAVEOPT:
    case Operation.XSAVEC:
    case Operation.XSAVES:
    case Operation.XRSTOR:
    case Operation.XRSTORS: {
      if (!(cr4 & CR4_OSXSAVE)) return raiseAt(u, VECTOR_UD, 0);
      if (cr0 & CR0_TS) return raiseAt(u, VECTOR_NM, 0);
      const supervisor = operation == Operation.XSAVES || operation == Operation.XRSTORS;
      if (supervisor && load<u32>(vp, L.CPL) != 0) return raiseAt(u, VECTOR_GP, 0);
      const address = effectiveAddress(u);
      if (address & 63) return raiseAt(u, VECTOR_GP, 0);
      const wanted = ((<u64>load<u32>(vp + RDX) << 32) | <u64>load<u32>(vp + RAX)) & load<u64>(vp, L.XCR0);
      // IA32_XSS has no bits: XSAVES is XSAVEC of the supervisor, and XRSTORS takes the compacted form alone.
      if (operation == Operation.XRSTOR || operation == Operation.XRSTORS) return restoreState(u, address, wanted, supervisor);
      return saveState(u, operation, address, wanted);
    }
    case Operation.FWAIT:
      if ((cr0 & (CR0_TS | CR0_MP)) == (CR0_TS | CR0_MP)) return raiseAt(u, VECTOR_NM, 0);
      if (F.fpuPending()) {
        const left = mathFault(u);
        if (left != 0) return left;
      }
      return u + 16;
  }
  if (!isFpuState(operation)) return 0;
  if (cr0 & (CR0_EM | CR0_TS)) return raiseAt(u, VECTOR_NM, 0);
  return executeFpuState(u, operation);
}

function saveState(u: usize, operation: u32, address: u64, wanted: u64): usize {
  const compacted = operation == Operation.XSAVEC || operation == Operation.XSAVES;
  const bytes = compacted ? compactedBytes(wanted) : standardBytes(wanted);
  let to = contiguous(address, bytes, true);
  const direct = to != 0;
  if (!direct) {
    if (!writable(address, bytes) || !copyAreaFromGuest(address, 0, bytes)) return fault(u);
    to = vp + BUFFER;
  }
  const wide = sizeOf(u) == 3;
  if (compacted) xsavecTo(to, wanted, wide);
  else xsaveTo(to, wanted, wide, operation == Operation.XSAVEOPT);
  if (!direct) copyAreaToGuest(address, bytes);
  return u + 16;
}

/** As silicon does: the header is read and found good before the area's last byte is tried, and that before what lies between is read. */
function restoreState(u: usize, address: u64, wanted: u64, compactedOnly: bool): usize {
  let from = contiguous(address, XSAVE_LEGACY_BYTES, false);
  if (from == 0) {
    from = vp + BUFFER;
    if (!copyFromGuest(address, 0, XSAVE_LEGACY_BYTES)) return fault(u);
  }
  if (!headerGood(from) || (compactedOnly && !isCompacted(from))) return raiseAt(u, VECTOR_GP, 0);
  const bytes = xrstorBytes(from, wanted);
  if (from == vp + BUFFER || contiguous(address, bytes, false) == 0) {
    if (readPointer(address + bytes - 1, 1) == 0 || !copyAreaFromGuest(address, 0, bytes)) return fault(u);
    from = vp + BUFFER;
  }
  return xrstorFrom(from, wanted, sizeOf(u) == 3) ? u + 16 : raiseAt(u, VECTOR_GP, 0);
}

function isFpuState(operation: u32): bool {
  switch (operation) {
    case Operation.FLDENV:
    case Operation.FLDCW:
    case Operation.FNSTENV:
    case Operation.FNSTCW:
    case Operation.FRSTOR:
    case Operation.FNSAVE:
    case Operation.FNSTSW:
    case Operation.FNSTSW_AX:
    case Operation.FNCLEX:
    case Operation.FNINIT:
    case Operation.FNSETPM:
      return true;
  }
  return false;
}

function storeWord(u: usize, value: u32): usize {
  const p = writePointer(effectiveAddress(u), 2);
  if (p == 0) return fault(u);
  store<u16>(p, <u16>value);
  commitIfPending(p, 2);
  return u + 16;
}

function executeFpuState(u: usize, operation: u32): usize {
  const narrow = sizeOf(u) == 1;
  switch (operation) {
    case Operation.FNSTCW:
      return storeWord(u, F.fnstcw());
    case Operation.FNSTSW:
      return storeWord(u, F.fnstsw());
    case Operation.FNSTSW_AX:
      store<u16>(vp + RAX, <u16>F.fnstsw());
      return u + 16;
    case Operation.FNINIT:
      F.fpuInit();
      return u + 16;
    // What the 8087 and the 80287 needed does nothing.
    case Operation.FNSETPM:
      return u + 16;
    case Operation.FNCLEX:
      F.fnclex();
      return u + 16;
    case Operation.FNSTENV:
    case Operation.FNSAVE: {
      const bytes: u32 = operation == Operation.FNSTENV ? (narrow ? 14 : 28) : narrow ? 94 : 108;
      const address = effectiveAddress(u);
      if (!writable(address, bytes)) return fault(u);
      if (operation == Operation.FNSTENV) F.fnstenvTo(vp + BUFFER, !narrow);
      else F.fnsaveTo(vp + BUFFER, !narrow);
      copyToGuest(address, 0, bytes);
      return u + 16;
    }
  }
  // The rest are waiting instructions.
  if (F.fpuPending()) {
    const left = mathFault(u);
    if (left != 0) return left;
  }
  switch (operation) {
    case Operation.FLDCW: {
      const p = readPointer(effectiveAddress(u), 2);
      if (p == 0) return fault(u);
      F.fldcw(load<u16>(p));
      break;
    }
    case Operation.FLDENV:
    case Operation.FRSTOR: {
      const bytes: u32 = operation == Operation.FLDENV ? (narrow ? 14 : 28) : narrow ? 94 : 108;
      if (!copyFromGuest(effectiveAddress(u), 0, bytes)) return fault(u);
      if (operation == Operation.FLDENV) F.fldenvFrom(vp + BUFFER, !narrow);
      else F.frstorFrom(vp + BUFFER, !narrow);
      break;
    }
  }
  return u + 16;
}
