/**
 * Instructions of extensions beyond SSE2: the way from an operation to its handler. Rows: src/table/extensions.ts and avx.ts.
 *
 * A VEX form of an SSE instruction does what its namesake does, on a copy of the register that VEX.vvvv names, once for each 128 bits, and
 * clears what lies above the vector's length. Exceptions of both halves are collected before anything is written.
 * Called by run.ts for the operations from FIRST_EXTENSION on.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { NAMESAKE } from './generated/tables';
import {
  vp, CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, VECTOR_UD, VECTOR_NM, VECTOR_GP, VECTOR_XM,
} from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress } from './memory';
import { fault, raiseAt, sizeOf, putRegister } from './operands';
import {
  FORM_RM, FORM_MR, FORM_RI, IMMEDIATE_256, IMMEDIATE_ALIGNED, IMMEDIATE_FLAGS, IMMEDIATE_FROM_GENERAL, IMMEDIATE_REGISTER_SHIFT,
  IMMEDIATE_SCALED, IMMEDIATE_TO_GENERAL, IMMEDIATE_VEX,
} from './decoder';
import { setExplicit } from './flags';
import { VECTOR_WIDE, vectorOperation } from './vector';
import { setImplicitOperand } from './vector-extended';
import { isFused } from './vector-fused';
import { beginJoined, endJoined } from './vector-soft';
import { compareStrings } from './vector-strings';
import { executeAcross } from './vector-across';
import { executeExtendedInteger } from './extended-integer';
import { executeMmx } from './mmx';

/** Address of a vector register by its place, 16 times its number. */
// @ts-ignore: decorator
@inline
function vector(place: u32): usize {
  return vp + L.XMM + (place << 1);
}

/** Executes an operation of an extension. @returns the next operation */
export function executeExtension(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  const next = executeExtendedInteger(u, operation, form);
  if (next != 0) return next;
  const immediate = load<u32>(u, 12);
  const namesake = <u32>load<u16>(NAMESAKE + operation * 2);
  if (namesake != 0 && (immediate & IMMEDIATE_VEX) == 0) return executeMmx(u, number);

  const cr0 = load<u64>(vp, L.CR0);
  const cr4 = load<u64>(vp, L.CR4);
  if ((immediate & IMMEDIATE_VEX) != 0) {
    if ((cr4 & CR4_OSXSAVE) == 0 || (load<u64>(vp, L.XCR0) & 6) != 6) return raiseAt(u, VECTOR_UD, 0);
  } else if ((cr0 & CR0_EM) != 0 || (cr4 & CR4_OSFXSR) == 0) return raiseAt(u, VECTOR_UD, 0);
  if (cr0 & CR0_TS) return raiseAt(u, VECTOR_NM, 0);
  const base = namesake != 0 ? namesake - 1 : operation;
  switch (base) {
    case Operation.PCMPESTRI:
    case Operation.PCMPESTRM:
    case Operation.PCMPISTRI:
    case Operation.PCMPISTRM:
      return strings(u, base, form, immediate);
  }
  if ((immediate & IMMEDIATE_VEX) != 0) {
    const across = executeAcross(u, operation, form, immediate);
    if (across != 0) return across;
  }
  if (vectors(u, base, form, immediate)) return u + 16;
  if (load<u32>(vp, L.FAULT_VECTOR) == VECTOR_XM) return raiseAt(u, cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD, 0);
  return fault(u);
}

function strings(u: usize, operation: u32, form: u32, immediate: u32): usize {
  let s = vector(load<u8>(u, 3));
  if (form == FORM_RM) {
    s = readPointer(effectiveAddress(u), 16);
    if (s == 0) return fault(u);
  }
  const masks = operation == Operation.PCMPESTRM || operation == Operation.PCMPISTRM;
  const explicitLengths = operation == Operation.PCMPESTRM || operation == Operation.PCMPESTRI;
  compareStrings(vector(load<u8>(u, 2)), s, immediate, explicitLengths, sizeOf(u) == 3, masks ? vector(0) : 0);
  if (masks && (immediate & IMMEDIATE_VEX) != 0) v128.store(vector(0), i64x2.splat(0), 16);
  return u + 16;
}

/** Conversions whose result is half as long as their source. */
function narrows(operation: u32): bool {
  switch (operation) {
    case Operation.CVTPD2PS:
    case Operation.CVTPD2DQ:
    case Operation.CVTTPD2DQ:
    case Operation.VCVTPS2PH:
      return true;
  }
  return false;
}
/** By how much the immediate byte is shifted for the upper 128 bits. */
function immediateShift(operation: u32): u32 {
  switch (operation) {
    case Operation.BLENDPS:
    case Operation.VPBLENDD:
      return 4;
    case Operation.BLENDPD:
    case Operation.SHUFPD:
    case Operation.VPERMILPD_IMM:
      return 2;
    case Operation.MPSADBW:
      return 3;
  }
  return 0;
}
/** How many bits of a mask in a general register 128 bits make. */
function maskBits(operation: u32): u32 {
  return operation == Operation.PMOVMSKB ? 16 : operation == Operation.MOVMSKPS ? 4 : 2;
}

/** Operations on vectors in each 128 bits. @returns false after `raise`; #XM stands for a SIMD floating-point exception */
function vectors(u: usize, operation: u32, form: u32, immediate: u32): bool {
  const vex = (immediate & IMMEDIATE_VEX) != 0;
  const lanes: u32 = (immediate & IMMEDIATE_256) != 0 ? 2 : 1;
  const toGeneral = (immediate & IMMEDIATE_TO_GENERAL) != 0;
  const isStore = form == FORM_MR;
  let bytes = (immediate >> 8) & 0xff;
  if (bytes == 0) bytes = (immediate & VECTOR_WIDE) != 0 ? 8 : 4;
  const stride: u32 = lanes == 1 ? 0 : operation == Operation.VCVTPS2PH ? 16 : (immediate & IMMEDIATE_SCALED) != 0 ? bytes >> 1 : form == FORM_RI || isStore ? 16 : 0;
  let d: usize = 0;
  let s: usize = 0;
  if (form == FORM_RM || isStore) {
    const address = effectiveAddress(u);
    if ((immediate & IMMEDIATE_ALIGNED) != 0 && (address & (bytes - 1)) != 0) {
      raiseAt(u, VECTOR_GP, 0);
      return false;
    }
    if (isStore) {
      d = writePointer(address, bytes);
      if (d == 0) return false;
      s = vector(load<u8>(u, 3));
    } else {
      s = readPointer(address, bytes);
      if (s == 0) return false;
    }
  } else if ((immediate & IMMEDIATE_FROM_GENERAL) != 0) s = vp + load<u8>(u, 3);
  else s = vector(form == FORM_RI ? load<u8>(u, 2) : load<u8>(u, 3));

  const keep = immediate & 0xc0000000;
  if (!vex) {
    if (!isStore && !toGeneral) d = vector(load<u8>(u, 2));
    setImplicitOperand(vector(0));
    if (vectorOperation(operation, d, s, keep | (immediate & 0xff)) != 0) return simdException();
  } else {
    const temporary = vp + L.VECTOR_TEMPORARY;
    const named = vector(((immediate >> IMMEDIATE_REGISTER_SHIFT) & 15) << 4);
    const fusedForm = isFused(operation);
    const narrowing = narrows(operation);
    let general: u64 = 0;
    beginJoined();
    for (let lane: u32 = 0; lane < lanes; lane++) {
      const at = lane << 4;
      // Stores write their operand, which has been checked, directly; results for registers are made beside them.
      const to = isStore && !narrowing && !toGeneral ? d + at : temporary + at;
      const from = s + lane * stride;
      if (!isStore || narrowing) {
        // What FMA and shifts by an immediate start from is not VEX.vvvv.
        const start = fusedForm ? vector(load<u8>(u, 2)) : form == FORM_RI ? s : named;
        v128.store(to, v128.load(toGeneral || narrowing ? vector(load<u8>(u, 2) & 0xf0) + at : start + at));
      }
      setImplicitOperand(fusedForm ? named + at : vector(immediate & 0xf0) + at);
      const byte = lane == 0 ? immediate & 0xff : (immediate & 0xff) >> immediateShift(operation);
      const flagsBefore = general;
      const tested = (immediate & IMMEDIATE_FLAGS) != 0 && !toGeneral ? vector(load<u8>(u, 2)) + at : to;
      if (vectorOperation(operation, tested, from, keep | byte) != 0) return simdException();
      const result = load<u64>(vp, L.VECTOR_RESULT);
      if ((immediate & IMMEDIATE_FLAGS) != 0) general = lane == 0 ? result : flagsBefore & result;
      else general |= result << (lane * maskBits(operation));
    }
    if (endJoined() != 0) return simdException();
    store<u64>(vp, general, L.VECTOR_RESULT);
    if (narrowing) {
      const pair = i64x2(load<i64>(temporary), lanes == 2 ? load<i64>(temporary, 16) : 0);
      v128.store(temporary, pair);
      if (isStore) {
        if (bytes == 16) v128.store(d, pair);
        else store<u64>(d, load<u64>(temporary));
      } else {
        const to = vector(load<u8>(u, 2));
        v128.store(to, pair);
        v128.store(to, i64x2.splat(0), 16);
      }
    } else if (!isStore && !toGeneral && (immediate & IMMEDIATE_FLAGS) == 0) {
      const to = form == FORM_RI ? named : vector(load<u8>(u, 2));
      v128.store(to, v128.load(temporary));
      v128.store(to, lanes == 2 ? v128.load(temporary, 16) : i64x2.splat(0), 16);
    }
  }
  if (toGeneral) {
    const result = load<u64>(vp, L.VECTOR_RESULT);
    if (!isStore) putRegister(load<u8>(u, 2), sizeOf(u) == 3 ? 3 : 2, <i64>result);
    else if (bytes == 8) store<u64>(d, result);
    else if (bytes == 4) store<u32>(d, <u32>result);
    else if (bytes == 2) store<u16>(d, <u16>result);
    else store<u8>(d, <u8>result);
  } else if ((immediate & IMMEDIATE_FLAGS) != 0) setExplicit(load<u64>(vp, L.VECTOR_RESULT));
  if (isStore) commitIfPending(d, bytes);
  return true;
}

function simdException(): bool {
  // Ends what may have been begun for two halves.
  endJoined();
  store<u32>(vp, VECTOR_XM, L.FAULT_VECTOR);
  return false;
}
