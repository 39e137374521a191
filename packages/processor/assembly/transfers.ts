/**
 * Near transfers of control: jumps, calls, returns and loops.
 *
 * In 64-bit mode a target that is not canonical is #GP at the transfer, before anything is pushed or popped.
 * Answers to: AMD64 manual volume 3. Called by general.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp, getRegister, setRegister, segment, MODE_64, VECTOR_GP, RCX, RSP, SEG_CS } from './state';
import { readPointer, writePointer, effectiveAddress, isCanonical } from './memory';
import { zero } from './flags';
import { FORM_M } from './decoder';
import { sizeOf, fault, raiseAt, nextRip, branch, loadUnsigned, putRegister } from './operands';
import { stackLinear, setStack, stackFault, pushSized, popped, popSized } from './stack';

function target(u: usize, rip: u64): u64 {
  const size = sizeOf(u);
  return size == 1 ? rip & 0xffff : size == 2 ? rip & 0xffffffff : rip;
}

/** Whether a near transfer may go there: the address must be canonical, or within the code segment. */
function mayGo(rip: u64): bool {
  if (load<u32>(vp, L.MODE) & MODE_64) return isCanonical(rip);
  return rip <= <u64>load<u32>(segment(SEG_CS), L.SEGMENT_LIMIT);
}

export function nearTo(u: usize, rip: u64): usize {
  return mayGo(rip) ? branch(u, rip) : raiseAt(u, VECTOR_GP, 0);
}
export function relative(u: usize): u64 {
  return target(u, load<u64>(vp, L.RIP_BASE) + <u64>(<i64>load<i32>(u, 8)));
}

export function call(u: usize, rip: u64): usize {
  if (!mayGo(rip)) {
    // A stack that cannot be written comes first; nothing is written before the target is known to be good.
    const address = stackLinear(getRegister(RSP) - (1 << sizeOf(u)));
    if (writePointer(address, 1 << sizeOf(u)) == 0) return stackFault(u, address);
    return raiseAt(u, VECTOR_GP, 0);
  }
  const left = pushSized(u, <i64>nextRip(u), sizeOf(u));
  return left != 0 ? left : branch(u, rip);
}

export function ret(u: usize): usize {
  const size = sizeOf(u);
  const before = getRegister(RSP);
  const left = popSized(u, size);
  if (left != 0) return left;
  const rip = target(u, <u64>popped());
  if (!mayGo(rip)) {
    setRegister(RSP, before);
    return raiseAt(u, VECTOR_GP, 0);
  }
  setStack(getRegister(RSP) + <u64>load<u32>(u, 12));
  return branch(u, rip);
}

export function indirect(u: usize, form: u32, isCall: bool): usize {
  const size = sizeOf(u);
  let p: usize = vp + load<u8>(u, 2);
  if (form == FORM_M) {
    p = readPointer(effectiveAddress(u), 1 << size);
    if (p == 0) return fault(u);
  }
  const rip = loadUnsigned(p, size);
  return isCall ? call(u, rip) : nearTo(u, rip);
}

/** LOOP, LOOPE, LOOPNE, JCXZ: the counter's width is the address size. */
export function loopInstruction(u: usize, operation: u32): usize {
  const narrow = (load<u8>(u, 6) & 0x80) != 0;
  const is64 = (load<u32>(vp, L.MODE) & MODE_64) != 0;
  const size: u32 = is64 ? (narrow ? 2 : 3) : narrow ? 1 : 2;
  let count = loadUnsigned(vp + RCX, size);
  let taken = false;
  if (operation == Operation.JCXZ) taken = count == 0;
  else {
    count--;
    if (size < 3) count &= ((<u64>1) << (8 << size)) - 1;
    taken = count != 0;
    if (operation == Operation.LOOPE) taken = taken && zero();
    else if (operation == Operation.LOOPNE) taken = taken && !zero();
    if (taken && !mayGo(relative(u))) return raiseAt(u, VECTOR_GP, 0);
    putRegister(RCX, size, <i64>count);
  }
  if (!taken) return u + 16;
  return nearTo(u, relative(u));
}
