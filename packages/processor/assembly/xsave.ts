/**
 * XSAVE, XSAVEOPT, XSAVEC and XRSTOR: the images of x87, SSE and AVX state in standard and compacted form.
 * AMD64 Architecture Programmer's Manual volume 2, section 11.5, and volume 4. Called by vector-execute.ts with all checks of the area done.
 *
 * AVX is the only component behind the header, at the same place in both forms. Components are in use when their content differs from the
 * initial one.
 */
import * as L from './generated/layout';
import { vp } from './state';
import {
  MXCSR_INITIAL, MXCSR_MASK, clearXmm, fpuInUse, fpuInit, restoreX87, restoreXmm, saveX87, saveXmm, xmmCount,
} from './fpu';

const X87: u64 = 1;
const SSE: u64 = 2;
export const COMPONENT_AVX: u64 = 4;
const COMPACTED: u64 = 0x8000000000000000;
const HEADER: usize = 512;
const UPPER: usize = 576;
/** Bytes of image and header, and of all with AVX's. */
export const XSAVE_LEGACY_BYTES: u32 = 576;
export const XSAVE_BYTES: u32 = 832;

function saveUpper(p: usize): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) v128.store(p + UPPER + index * 16, v128.load(vp + L.XMM + index * 32, 16));
}
function restoreUpper(p: usize): void {
  const count = xmmCount();
  for (let index: u32 = 0; index < count; index++) v128.store(vp + L.XMM + index * 32, v128.load(p + UPPER + index * 16), 16);
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
  return (fpuInUse() ? X87 : 0) | (v128.any_true(low) ? SSE : 0) | (v128.any_true(high) ? COMPONENT_AVX : 0);
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
  if ((components & (SSE | COMPONENT_AVX)) != 0) {
    store<u32>(p, load<u32>(vp, L.MXCSR), 24);
    store<u32>(p, MXCSR_MASK, 28);
  }
  if ((written & SSE) != 0) saveXmm(p);
  if ((written & COMPONENT_AVX) != 0) saveUpper(p);
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
  if ((written & COMPONENT_AVX) != 0) saveUpper(p);
  store<u64>(p, written, HEADER);
  store<u64>(p, components | COMPACTED, HEADER + 8);
}

/** Components whose content an image has, which says how much of it XRSTOR reads. */
export function xsavePresent(p: usize): u64 {
  return load<u64>(p, HEADER);
}

/**
 * XRSTOR in either form. @param mask EDX:EAX
 * @returns false for #GP: a component that XCR0 lacks, reserved bits of header or MXCSR; nothing has changed then
 */
export function xrstorFrom(p: usize, mask: u64, wide: bool): bool {
  const enabled = load<u64>(vp, L.XCR0);
  const components = mask & enabled;
  const present = load<u64>(p, HEADER);
  const form = load<u64>(p, HEADER + 8);
  const compacted = (form & COMPACTED) != 0;
  if (compacted) {
    if ((form & ~COMPACTED & ~enabled) != 0 || (present & ~form) != 0) return false;
    for (let at: usize = 16; at < 64; at += 8) if (load<u64>(p + HEADER + at) != 0) return false;
  } else if ((present & ~enabled) != 0 || form != 0 || load<u64>(p, HEADER + 16) != 0) return false;
  const mxcsr = load<u32>(p, 24);
  const loadsMxcsr = compacted ? (components & present & SSE) != 0 : (components & (SSE | COMPONENT_AVX)) != 0;
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
  if ((components & COMPONENT_AVX) != 0) {
    if ((present & COMPONENT_AVX) != 0) restoreUpper(p);
    else clearUpper();
  }
  return true;
}
