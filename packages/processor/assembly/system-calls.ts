/**
 * SYSCALL, SYSENTER, their returns, and software interrupts.
 *
 * Segments of system calls come from model-specific registers and no table is read; sums of selectors are cut off at 16 bits. SYSENTER does
 * not exist in long mode, as with AMD.
 * Answers to: AMD64 manual volume 2, chapter 6. Called by system.ts.
 */
import * as L from './generated/layout';
import {
  vp, getRegister, setRegister, MODE_64, CR0_PE, EFER_SCE, FLAG_IF, FLAG_RF, FLAG_VM, RCX, RDX, RSP, R11, SEG_CS, SEG_SS, VECTOR_UD,
  VECTOR_GP,
} from './state';
import { getFlags } from './flags';
import { fault, raiseAt, nextRip, branch, sizeOf } from './operands';
import { putSegment, updateMode, longMode } from './segments';
import { putFlags, enterHandler } from './interrupts';
import { forgetStep, stepBySystemCall } from './debug';
import { privileged } from './system';
import { interruptsEnabled } from './run';

export function systemCall(u: usize): usize {
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
    putSegment(SEG_SS, (selector + 8) & 0xffff, 0, 0xffffffff, 0xc093);
    store<u32>(vp, 0, L.CPL);
    putFlags(flags & ~load<u64>(vp, L.SFMASK) & ~FLAG_RF);
    updateMode();
    stepBySystemCall();
    return branch(u, rip);
  }
  setRegister(RCX, nextRip(u));
  putSegment(SEG_CS, selector, 0, 0xffffffff, 0xc09b);
  putSegment(SEG_SS, (selector + 8) & 0xffff, 0, 0xffffffff, 0xc093);
  store<u32>(vp, 0, L.CPL);
  putFlags(flags & ~(FLAG_IF | FLAG_RF | FLAG_VM));
  updateMode();
  stepBySystemCall();
  return branch(u, star & 0xffffffff);
}

export function systemReturn(u: usize): usize {
  if (!(load<u64>(vp, L.EFER) & EFER_SCE)) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged() || !(load<u64>(vp, L.CR0) & CR0_PE)) return raiseAt(u, VECTOR_GP, 0);
  const selector = <u32>(load<u64>(vp, L.STAR) >> 48) & 0xfffc;
  const wide = sizeOf(u) == 3;
  const rip = wide ? getRegister(RCX) : getRegister(RCX) & 0xffffffff;
  if (wide) putSegment(SEG_CS, ((selector + 16) | 3) & 0xffff, 0, 0xffffffff, 0xa0fb);
  else putSegment(SEG_CS, selector | 3, 0, 0xffffffff, 0xc0fb);
  putSegment(SEG_SS, ((selector + 8) | 3) & 0xffff, 0, 0xffffffff, 0xc0f3);
  store<u32>(vp, 3, L.CPL);
  if (longMode()) putFlags((getRegister(R11) & 0x3c7fd7 & ~(FLAG_RF | FLAG_VM)) | 2);
  else store<u64>(vp, load<u64>(vp, L.FLAGS) | FLAG_IF, L.FLAGS);
  updateMode();
  stepBySystemCall();
  if (load<u64>(vp, L.FLAGS) & FLAG_IF) interruptsEnabled();
  return branch(u, rip);
}

export function sysenter(u: usize): usize {
  // In long mode this is #UD on this vendor's processors, in every submode.
  if (longMode()) return raiseAt(u, VECTOR_UD, 0);
  const selector = <u32>load<u64>(vp, L.SYSENTER_CS) & 0xfffc;
  if (!(load<u64>(vp, L.CR0) & CR0_PE) || selector == 0) return raiseAt(u, VECTOR_GP, 0);
  store<u64>(vp, load<u64>(vp, L.FLAGS) & ~(FLAG_IF | FLAG_VM), L.FLAGS);
  putSegment(SEG_CS, selector, 0, 0xffffffff, 0xc09b);
  putSegment(SEG_SS, (selector + 8) & 0xffff, 0, 0xffffffff, 0xc093);
  store<u32>(vp, 0, L.CPL);
  setRegister(RSP, load<u64>(vp, L.SYSENTER_ESP) & 0xffffffff);
  updateMode();
  return branch(u, load<u64>(vp, L.SYSENTER_EIP) & 0xffffffff);
}
export function sysexit(u: usize): usize {
  if (longMode()) return raiseAt(u, VECTOR_UD, 0);
  const selector = <u32>load<u64>(vp, L.SYSENTER_CS) & 0xfffc;
  if (!(load<u64>(vp, L.CR0) & CR0_PE) || selector == 0 || !privileged()) return raiseAt(u, VECTOR_GP, 0);
  putSegment(SEG_CS, ((selector + 16) | 3) & 0xffff, 0, 0xffffffff, 0xc0fb);
  putSegment(SEG_SS, ((selector + 24) | 3) & 0xffff, 0, 0xffffffff, 0xc0f3);
  store<u32>(vp, 3, L.CPL);
  setRegister(RSP, getRegister(RCX) & 0xffffffff);
  updateMode();
  return branch(u, getRegister(RDX) & 0xffffffff);
}

export function softwareInterrupt(u: usize, vector: u32): usize {
  const here = load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9);
  store<u64>(vp, nextRip(u), L.RIP);
  if (enterHandler(vector, false, 0, true, false)) {
    forgetStep();
    return branch(u, load<u64>(vp, L.RIP));
  }
  // Not delivered: what went wrong is reported at the instruction itself.
  store<u64>(vp, here, L.RIP);
  return fault(u);
}
