/**
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR and XRSTORS: the images of x87, SSE, AVX and PKRU state in standard and compacted form.
 * AMD64 Architecture Programmer's Manual volume 2, section 11.5, and volume 4. Called by vector-execute.ts with all checks of the area done.
 *
 * AVX's component is at the same place in both forms; in the compacted form PKRU's follows directly. Components are in use when their content
 * differs from the initial one.
 */
import * as L from './generated/layout';
import { vp } from './state';
import {
  MXCSR_INITIAL, MXCSR_MASK, clearXmm, fpuInUse, fpuInit, restoreX87, restoreXmm, saveX87, saveXmm, xmmCount,
} from './fpu';
import { writePkru } from './tlb';

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;
export const COMPONENT_PKRU: u64 = 0x200;
const COMPACTED: u64 = 0x8000000000000000;
const HEADER: usize = 512;
/** Bytes of image and header: what each of the instructions reads or writes in any case. */
export const XSAVE_LEGACY_BYTES: u32 = 576;

/** Bytes of the standard form up to the end of the last of these components. */
export function standardBytes(components: u64): u32 {
  if ((components & COMPONENT_PKRU) != 0) return L.XSAVE_PKRU + L.XSAVE_PKRU_BYTES;
  return (components & AVX) != 0 ? L.XSAVE_AVX + L.XSAVE_AVX_BYTES : XSAVE_LEGACY_BYTES;
}
/** Bytes of the compacted form of these components. */
export function compactedBytes(components: u64): u32 {
  return compactedPkru(components) + ((components & COMPONENT_PKRU) != 0 ? L.XSAVE_PKRU_BYTES : 0);
}
function compactedPkru(components: u64): u32 {
  return L.XSAVE_AVX + ((components & AVX) != 0 ? L.XSAVE_AVX_BYTES : 0);
}

function saveUpper(p: usize): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) v128.store(p + L.XSAVE_AVX + index * 16, v128.load(vp + L.XMM + index * 32, 16));
}
function restoreUpper(p: usize): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) v128.store(vp + L.XMM + index * 32, v128.load(p + L.XSAVE_AVX + index * 16), 16);
}
function clearUpper(): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) v128.store(vp + L.XMM + index * 32, i64x2.splat(0), 16);
}

/** Components in use (XINUSE); MXCSR does not count. */
export function inUse(): u64 {
  let low = i64x2.splat(0);
  let high = i64x2.splat(0);
  for (let index: u32 = 0; index < 16; index++) {
    low = v128.or(low, v128.load(vp + L.XMM + index * 32));
    high = v128.or(high, v128.load(vp + L.XMM + index * 32, 16));
  }
  let used = (fpuInUse() ? X87 : 0) | (v128.any_true(low) ? SSE : 0) | (v128.any_true(high) ? AVX : 0);
  if (load<u32>(vp, L.PKRU) != 0) used |= COMPONENT_PKRU;
  return used;
}

/**
 * XSAVE and XSAVEOPT (`optimized`: components that are not in use are not written), standard form. Parts that are not asked for stay as they
 * are, so `p` must hold what memory holds. @param mask EDX:EAX; only components enabled in XCR0 are saved
 */
export function xsaveTo(p: usize, mask: u64, wide: bool, optimized: bool): void {
  const components = mask & load<u64>(vp, L.XCR0);
  const used = inUse();
  const written = optimized ? components & used : components;
  if ((written & X87) != 0) saveX87(p, wide);
  if ((components & (SSE | AVX)) != 0) {
    store<u32>(p, load<u32>(vp, L.MXCSR), 24);
    store<u32>(p, MXCSR_MASK, 28);
  }
  if ((written & SSE) != 0) saveXmm(p);
  if ((written & AVX) != 0) saveUpper(p);
  if ((written & COMPONENT_PKRU) != 0) store<u64>(p + L.XSAVE_PKRU, <u64>load<u32>(vp, L.PKRU));
  store<u64>(p, (load<u64>(p, HEADER) & ~components) | (components & used), HEADER);
}

/** XSAVEC: the compacted form, of which components that are not in use are not written. */
export function xsavecTo(p: usize, components: u64, wide: bool): void {
  let used = inUse();
  // Here MXCSR is SSE's.
  if (load<u32>(vp, L.MXCSR) != MXCSR_INITIAL) used |= SSE;
  const written = components & used;
  if ((written & X87) != 0) saveX87(p, wide);
  if ((written & SSE) != 0) {
    store<u32>(p, load<u32>(vp, L.MXCSR), 24);
    store<u32>(p, MXCSR_MASK, 28);
    saveXmm(p);
  }
  if ((written & AVX) != 0) saveUpper(p);
  if ((written & COMPONENT_PKRU) != 0) store<u64>(p + compactedPkru(components), <u64>load<u32>(vp, L.PKRU));
  store<u64>(p, written, HEADER);
  store<u64>(p, components | COMPACTED, HEADER + 8);
}

/** Whether an image says that it has the compacted form. */
export function isCompacted(p: usize): bool {
  return (load<u64>(p, HEADER + 8) & COMPACTED) != 0;
}

/** Whether an image's header has nothing that XRSTOR refuses: reserved bits, or a component that XCR0 lacks. */
export function headerGood(p: usize): bool {
  const enabled = load<u64>(vp, L.XCR0);
  const present = load<u64>(p, HEADER);
  const form = load<u64>(p, HEADER + 8);
  if (!isCompacted(p)) return (present & ~enabled) == 0 && form == 0 && load<u64>(p, HEADER + 16) == 0;
  if ((form & ~COMPACTED & ~enabled) != 0 || (present & ~form) != 0) return false;
  for (let at: usize = 16; at < 64; at += 8) if (load<u64>(p + HEADER + at) != 0) return false;
  return true;
}

/**
 * How much of an image XRSTOR touches, from its header: of the standard form all that is asked for, of the compacted one what is there of it.
 * @param wanted EDX:EAX and XCR0
 */
export function xrstorBytes(p: usize, wanted: u64): u32 {
  const form = load<u64>(p, HEADER + 8);
  if ((form & COMPACTED) == 0) return standardBytes(wanted);
  const read = wanted & load<u64>(p, HEADER);
  if ((read & COMPONENT_PKRU) != 0) return compactedBytes(form);
  return (read & AVX) != 0 ? L.XSAVE_AVX + L.XSAVE_AVX_BYTES : XSAVE_LEGACY_BYTES;
}

/**
 * XRSTOR in either form. @param mask EDX:EAX
 * @returns false for #GP: a component that XCR0 lacks, reserved bits of header or MXCSR; nothing has changed then
 */
export function xrstorFrom(p: usize, mask: u64, wide: bool): bool {
  if (!headerGood(p)) return false;
  const components = mask & load<u64>(vp, L.XCR0);
  const present = load<u64>(p, HEADER);
  const form = load<u64>(p, HEADER + 8);
  const compacted = (form & COMPACTED) != 0;
  const mxcsr = load<u32>(p, 24);
  const loadsMxcsr = compacted ? (components & present & SSE) != 0 : (components & (SSE | AVX)) != 0;
  if (loadsMxcsr && (mxcsr & ~MXCSR_MASK) != 0) return false;
  if ((components & X87) != 0) {
    if ((present & X87) != 0) {
      restoreX87(p, wide);
    } else {
      fpuInit();
      memory.fill(vp + L.FPU_REGISTERS, 0, 128);
    }
  }
  if (loadsMxcsr) store<u32>(vp, mxcsr, L.MXCSR);
  else if (compacted && (components & SSE) != 0) store<u32>(vp, MXCSR_INITIAL, L.MXCSR);
  if ((components & SSE) != 0) {
    if ((present & SSE) != 0) restoreXmm(p);
    else clearXmm();
  }
  if ((components & AVX) != 0) {
    if ((present & AVX) != 0) restoreUpper(p);
    else clearUpper();
  }
  if ((components & COMPONENT_PKRU) != 0) {
    const at = p + (compacted ? compactedPkru(form) : L.XSAVE_PKRU);
    writePkru((present & COMPONENT_PKRU) != 0 ? load<u32>(at) : 0);
  }
  return true;
}
