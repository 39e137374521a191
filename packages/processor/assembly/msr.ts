/**
 * Model-specific registers that the processor itself has; all others are asked of the host, and #GP when it does not know them.
 * Answers to: AMD64 manual volume 2, appendix A. Called by system.ts.
 */
import * as L from './generated/layout';
import { vp, forcePoll, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, CR0_PG, SEG_FS, SEG_GS, segment } from './state';
import { isCanonical } from './memory';
import { flushAll } from './tlb';
import { guestTsc, isAbsent } from './system';
import { FEATURE_XSAVES } from './generated/tables';
import { x2apicRead, x2apicValue, x2apicWrite, writeApicBase, tscDeadline, setTscDeadline } from './apic';
import { hostMsrRead, hostMsrWrite } from './host';

const TSC_ADJUST: u32 = 0x3b;
const HARDWARE_CONFIGURATION: u32 = 0xc0010015;
/** HWCR bit 24: the TSC counts at the rate of the highest performance state. */
const TSC_AT_FULL_FREQUENCY: u64 = 0x1000000;
/** IA32_XSS: there are no supervisor components, so that it is zero. */
const SUPERVISOR_STATES: u32 = 0xda0;
const NORTHBRIDGE_CONFIGURATION: u32 = 0xc001001f;
const EXTENDED_CONFIGURATION: u64 = 0x400000000000;

/** Result of the last successful readMsr. */
export let msrValue: u64 = 0;

/** Fixed-range MTRR numbers in the order of their slots. */
function fixedMtrr(index: u32): i32 {
  if (index == 0x250) return 0;
  if (index == 0x258 || index == 0x259) return <i32>(index - 0x258 + 1);
  if (index >= 0x268 && index <= 0x26f) return <i32>(index - 0x268 + 3);
  return -1;
}

/** The slot of an MSR that is plain storage, or 0. */
function storageOf(index: u32): usize {
  switch (index) {
    case 0xc0000081:
      return vp + L.STAR;
    case 0xc0000082:
      return vp + L.LSTAR;
    case 0xc0000083:
      return vp + L.CSTAR;
    case 0xc0000084:
      return vp + L.SFMASK;
    case 0xc0000100:
      return segment(SEG_FS);
    case 0xc0000101:
      return segment(SEG_GS);
    case 0xc0000102:
      return vp + L.KERNEL_GS_BASE;
    case 0xc0000103:
      return vp + L.TSC_AUX;
    case 0x174:
      return vp + L.SYSENTER_CS;
    case 0x175:
      return vp + L.SYSENTER_ESP;
    case 0x176:
      return vp + L.SYSENTER_EIP;
    case 0x1d9:
      return vp + L.DEBUG_CONTROL;
    case 0x277:
      return vp + L.PAT;
    case 0x2ff:
      return vp + L.MTRR_DEFAULT;
  }
  if (index >= 0x200 && index < 0x210) return vp + L.MTRR_VARIABLE + (index - 0x200) * 8;
  const fixed = fixedMtrr(index);
  return fixed >= 0 ? vp + L.MTRR_FIXED + fixed * 8 : 0;
}

export function readMsr(index: u32): bool {
  const storage = storageOf(index);
  if (storage != 0) {
    msrValue = load<u64>(storage);
    return true;
  }
  if (index >= 0x800 && index <= 0x83f) {
    if (!x2apicRead(index - 0x800)) return false;
    msrValue = x2apicValue;
    return true;
  }
  switch (index) {
    case 0x10:
      msrValue = guestTsc();
      return true;
    case 0x1b:
      msrValue = load<u64>(vp, L.APIC_BASE);
      return true;
    case TSC_ADJUST:
      msrValue = load<u64>(vp, L.TSC_OFFSET);
      return true;
    case 0xfe:
      // Eight variable ranges, fixed ranges, write-combining.
      msrValue = 0x508;
      return true;
    case 0x6e0:
      msrValue = tscDeadline();
      return true;
    case 0xc0000080:
      msrValue = load<u64>(vp, L.EFER);
      return true;
    case HARDWARE_CONFIGURATION:
      msrValue = TSC_AT_FULL_FREQUENCY;
      return true;
    case SUPERVISOR_STATES:
      msrValue = 0;
      return !isAbsent(FEATURE_XSAVES);
    // No machine-check banks, status clear; no microcode update; SYSCFG, top of memory, northbridge configuration: nothing set.
    case 0x179:
    case 0x17a:
    case 0x8b:
    case 0xc0010010:
    case 0xc001001a:
    case 0xc001001d:
    case NORTHBRIDGE_CONFIGURATION:
      msrValue = 0;
      return true;
  }
  const at = vp + L.SCRATCH;
  if (hostMsrRead(index, at) == 0) return false;
  msrValue = load<u64>(at);
  return true;
}

/** Whoever computes time from this TSC is told of its new offset. */
function setTscOffset(value: u64): bool {
  store<u64>(vp, value, L.TSC_OFFSET);
  hostMsrWrite(TSC_ADJUST, <u32>value, <u32>(value >> 32));
  return true;
}

function validPat(value: u64): bool {
  for (let i: u32 = 0; i < 8; i++) {
    const type = <u32>(value >> (i * 8)) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}

export function writeMsr(index: u32, value: u64): bool {
  switch (index) {
    case 0x10:
      return setTscOffset(load<u64>(vp, L.TSC_OFFSET) + (value - guestTsc()));
    case TSC_ADJUST:
      return setTscOffset(value);
    case 0x1b:
      return writeApicBase(value, load<u32>(vp + L.APIC + 8) >> 24);
    case 0x6e0:
      setTscDeadline(value);
      return true;
    case 0xc0000080: {
      const before = load<u64>(vp, L.EFER);
      if ((value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) != 0) return false;
      if (((value ^ before) & EFER_LME) != 0 && (load<u64>(vp, L.CR0) & CR0_PG) != 0) return false;
      store<u64>(vp, (value & ~EFER_LMA) | (before & EFER_LMA), L.EFER);
      if ((value ^ before) & EFER_NXE) flushAll();
      return true;
    }
    case 0xc0000082:
    case 0xc0000083:
    case 0xc0000100:
    case 0xc0000101:
    case 0xc0000102:
    case 0x175:
    case 0x176:
      if (!isCanonical(value)) return false;
      break;
    case 0x277:
      if (!validPat(value)) return false;
      break;
    // DEBUGCTL: branch records read as zero; branch steps are there.
    case 0x1d9:
      if (value & ~<u64>3) return false;
      break;
    case SUPERVISOR_STATES:
      return value == 0 && !isAbsent(FEATURE_XSAVES);
    case 0x8b:
    case 0x79:
    case 0xfe:
    case 0x179:
      return false;
    case HARDWARE_CONFIGURATION:
      return value == TSC_AT_FULL_FREQUENCY;
    case NORTHBRIDGE_CONFIGURATION:
      // Extended configuration access through 0xCF8 is asked for by every kernel; with no PCI bus behind the port it changes nothing.
      return (value & ~EXTENDED_CONFIGURATION) == 0;
    case 0x17a:
    case 0xc0010010:
    case 0xc001001a:
    case 0xc001001d:
      // Chipset-configuration bits of other models: writes of what was read change nothing.
      return value == 0;
  }
  const storage = storageOf(index);
  if (storage != 0) {
    store<u64>(storage, index == 0xc0000103 || index == 0xc0000084 ? value & 0xffffffff : value);
    return true;
  }
  if (index >= 0x800 && index <= 0x83f) return x2apicWrite(index - 0x800, value);
  if (hostMsrWrite(index, <u32>value, <u32>(value >> 32)) == 0) return false;
  // It may have set a timer, asked for an interrupt, or laid an overlay over code.
  forcePoll();
  return true;
}
