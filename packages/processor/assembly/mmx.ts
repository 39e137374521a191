/**
 * MMX: the vector operations on 64 bits, over the x87 registers' significands.
 *
 * Each operation is done by its SSE2 namesake (vector.ts) on operands extended with zeros; packs and unpacks of high halves are laid out
 * so that it comes to the same. As the architecture has it, every MMX instruction but EMMS makes all x87 registers valid and their stack's
 * top zero, and a written register's exponent and sign all ones.
 * Answers to: AMD64 manual volume 1, chapter 5 and volume 5. Called by run.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { NAMESAKE } from './generated/tables';
import { vp, getRegister, CR0_EM, CR0_TS, CR4_OSXMMEXCPT, VECTOR_GP, VECTOR_NM, VECTOR_UD, VECTOR_XM, RDI } from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress, specialAddress } from './memory';
import { fault, raiseAt, putRegister } from './operands';
import { FORM_RM, FORM_MR } from './decoder';
import { fpuPending } from './fpu';
import { mathFault } from './math-fault';
import { vectorOperation } from './vector';

/** Two 16-byte operands, behind the buffer of FXSAVE images. */
const FIRST: u32 = 0x2000;
const SECOND: u32 = 0x2010;

// @ts-ignore: decorator
@inline
function register(number: u32): usize {
  return vp + L.FPU_REGISTERS + number * 16;
}
function put(number: u32, value: u64): void {
  store<u64>(register(number), value);
  store<u16>(register(number), 0xffff, 8);
}
function enterMmx(): void {
  store<u16>(vp, load<u16>(vp, L.FPU_STATUS) & ~<u16>0x3800, L.FPU_STATUS);
  store<u8>(vp, 0xff, L.FPU_TAG);
}

/** The 64- or 32-bit source, or two's worth for 128-bit ones, in SECOND. @returns false after a recorded fault. */
function fetchSource(u: usize, form: u32, bytes: u32): bool {
  const second = vp + SECOND;
  store<u64>(second, 0);
  store<u64>(second, 0, 8);
  if (form == FORM_RM) {
    const p = readPointer(effectiveAddress(u), bytes);
    if (p == 0) return false;
    memory.copy(second, p, bytes);
  } else store<u64>(second, load<u64>(register(load<u8>(u, 3))));
  return true;
}

/** MASKMOVQ: the bytes whose mask bytes have their top bit set go to DS:rDI. */
function maskedMove(u: usize): usize {
  const data = register(load<u8>(u, 2));
  const select = register(load<u8>(u, 3));
  const flags = load<u8>(u, 6);
  const address = flags & 0xf0 ? specialAddress(u, getRegister(RDI)) : getRegister(RDI);
  enterMmx();
  // The silicon checks all eight bytes, whatever the mask says.
  if (writePointer(address, 8) == 0) return fault(u);
  for (let i: u32 = 0; i < 8; i++) {
    if (!(load<u8>(select + i) & 0x80)) continue;
    const p = writePointer(address + i, 1);
    store<u8>(p, load<u8>(data + i));
    commitIfPending(p, 1);
  }
  return u + 16;
}

/** Conversions between MMX and XMM registers. */
function convert(u: usize, operation: u32, form: u32, immediate: u32): usize {
  const fromMmx = operation == Operation.MMX_CVTPI2PS || operation == Operation.MMX_CVTPI2PD;
  const first = vp + FIRST;
  const second = vp + SECOND;
  if (fromMmx || form == FORM_RM) {
    const address = effectiveAddress(u);
    if (form == FORM_RM && (immediate & 0x10000) != 0 && (address & 15) != 0) return raiseAt(u, VECTOR_GP, 0);
    if (!fetchSource(u, form, (immediate >> 8) & 0xff)) return fault(u);
  } else {
    const source = vp + L.XMM + (<usize>load<u8>(u, 3) << 1);
    store<u64>(second, load<u64>(source));
    const whole = operation == Operation.MMX_CVTPD2PI || operation == Operation.MMX_CVTTPD2PI;
    store<u64>(second, whole ? load<u64>(source, 8) : 0, 8);
  }
  let vector: u32 = 0;
  switch (operation) {
    case Operation.MMX_CVTPI2PS:
      vector = Operation.CVTDQ2PS;
      break;
    case Operation.MMX_CVTPI2PD:
      vector = Operation.CVTDQ2PD;
      break;
    case Operation.MMX_CVTPS2PI:
      vector = Operation.CVTPS2DQ;
      break;
    case Operation.MMX_CVTTPS2PI:
      vector = Operation.CVTTPS2DQ;
      break;
    case Operation.MMX_CVTPD2PI:
      vector = Operation.CVTPD2DQ;
      break;
    default:
      vector = Operation.CVTTPD2DQ;
  }
  // The registers are MMX's before the conversion raises anything; a memory source of CVTPI2PD leaves them alone.
  if (!(operation == Operation.MMX_CVTPI2PD && form == FORM_RM)) enterMmx();
  if (vectorOperation(vector, first, second, 0) != 0) return raiseAt(u, load<u64>(vp, L.CR4) & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD, 0);
  if (fromMmx) {
    const destination = vp + L.XMM + (<usize>load<u8>(u, 2) << 1);
    store<u64>(destination, load<u64>(first));
    if (operation == Operation.MMX_CVTPI2PD) store<u64>(destination, load<u64>(first, 8), 8);
  } else put(load<u8>(u, 2), load<u64>(first));
  return u + 16;
}

/** Moves between MMX and general registers or memory. */
function moveGeneral(u: usize, operation: u32, form: u32, wide: bool): usize {
  const bytes: u32 = wide ? 8 : 4;
  if (operation == Operation.MMX_FROM_GENERAL) {
    let p: usize = vp + load<u8>(u, 3);
    if (form == FORM_RM) {
      p = readPointer(effectiveAddress(u), bytes);
      if (p == 0) return fault(u);
    }
    put(load<u8>(u, 2), wide ? load<u64>(p) : <u64>load<u32>(p));
  } else {
    const value = load<u64>(register(load<u8>(u, 3)));
    if (form == FORM_MR) {
      const p = writePointer(effectiveAddress(u), bytes);
      if (p == 0) return fault(u);
      if (wide) store<u64>(p, value);
      else store<u32>(p, <u32>value);
      commitIfPending(p, bytes);
    } else putRegister(load<u8>(u, 2), wide ? 3 : 2, <i64>value);
  }
  enterMmx();
  return u + 16;
}

/** MOVQ and MOVNTQ. */
function move(u: usize, form: u32): usize {
  if (form == FORM_MR) {
    const p = writePointer(effectiveAddress(u), 8);
    if (p == 0) return fault(u);
    store<u64>(p, load<u64>(register(load<u8>(u, 3))));
    commitIfPending(p, 8);
  } else {
    if (!fetchSource(u, form, 8)) return fault(u);
    put(load<u8>(u, 2), load<u64>(vp + SECOND));
  }
  enterMmx();
  return u + 16;
}

/** Executes an MMX operation. @returns the next operation, or 0 when the number is none of this file's. */
export function executeMmx(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  if (load<u16>(NAMESAKE + operation * 2) == 0 && !special(operation)) return 0;
  const cr0 = load<u64>(vp, L.CR0);
  if (cr0 & CR0_EM) return raiseAt(u, VECTOR_UD, 0);
  if (cr0 & CR0_TS) return raiseAt(u, VECTOR_NM, 0);
  if (fpuPending()) {
    const left = mathFault(u);
    if (left != 0) return left;
  }
  const immediate = load<u32>(u, 12);
  const first = vp + FIRST;
  const second = vp + SECOND;
  switch (operation) {
    case Operation.EMMS:
      store<u16>(vp, load<u16>(vp, L.FPU_STATUS) & ~<u16>0x3800, L.FPU_STATUS);
      store<u8>(vp, 0, L.FPU_TAG);
      return u + 16;
    case Operation.MMX_CVTPI2PS:
    case Operation.MMX_CVTPI2PD:
    case Operation.MMX_CVTPS2PI:
    case Operation.MMX_CVTTPS2PI:
    case Operation.MMX_CVTPD2PI:
    case Operation.MMX_CVTTPD2PI:
      return convert(u, operation, form, immediate);
    case Operation.MMX_FROM_GENERAL:
    case Operation.MMX_TO_GENERAL:
      return moveGeneral(u, operation, form, (immediate & 0x40000000) != 0);
    case Operation.MMX_MOVE:
      return move(u, form);
    case Operation.MMX_MASKMOVQ:
      return maskedMove(u);
    case Operation.MMX_MOVQ2DQ: {
      const destination = vp + L.XMM + (<usize>load<u8>(u, 2) << 1);
      store<u64>(destination, load<u64>(register(load<u8>(u, 3))));
      store<u64>(destination, 0, 8);
      enterMmx();
      return u + 16;
    }
    case Operation.MMX_MOVDQ2Q:
      put(load<u8>(u, 2), load<u64>(vp + L.XMM + (<usize>load<u8>(u, 3) << 1)));
      enterMmx();
      return u + 16;
    case Operation.MMX_PINSRW: {
      let p: usize = vp + load<u8>(u, 3);
      if (form == FORM_RM) {
        p = readPointer(effectiveAddress(u), 2);
        if (p == 0) return fault(u);
      }
      const lane = (immediate & 3) * 16;
      const old = load<u64>(register(load<u8>(u, 2)));
      put(load<u8>(u, 2), (old & ~(<u64>0xffff << lane)) | (<u64>load<u16>(p) << lane));
      enterMmx();
      return u + 16;
    }
    case Operation.MMX_PEXTRW:
      putRegister(load<u8>(u, 2), 2, (load<u64>(register(load<u8>(u, 3))) >> ((immediate & 3) * 16)) & 0xffff);
      enterMmx();
      return u + 16;
  }

  // The namesakes of SSE2.
  const vector = <u32>load<u16>(NAMESAKE + operation * 2) - 1;
  if (!fetchSource(u, form, (immediate >> 8) & 0xff)) return fault(u);
  const at = <u32>load<u8>(u, 2);
  if (operation == Operation.MMX_PMOVMSKB) {
    vectorOperation(vector, first, second, 0);
    putRegister(at, 2, load<i64>(vp, L.VECTOR_RESULT));
    enterMmx();
    return u + 16;
  }
  store<u64>(first, load<u64>(register(at)));
  store<u64>(first, 0, 8);
  let from: u32 = 0;
  switch (operation) {
    case Operation.MMX_PACKSSWB:
    case Operation.MMX_PACKUSWB:
    case Operation.MMX_PACKSSDW:
    case Operation.MMX_PHADDW:
    case Operation.MMX_PHADDD:
    case Operation.MMX_PHADDSW:
    case Operation.MMX_PHSUBW:
    case Operation.MMX_PHSUBD:
    case Operation.MMX_PHSUBSW:
      // Both halves of the result come from one 128-bit operand.
      store<u64>(first, load<u64>(second), 8);
      break;
    case Operation.MMX_PUNPCKHBW:
    case Operation.MMX_PUNPCKHWD:
    case Operation.MMX_UNPCKHPS:
      // What the unpack of low halves leaves in the upper half.
      from = 8;
      break;
    case Operation.MMX_PSHUFB:
      // Indices have three bits.
      store<u64>(second, load<u64>(second) & 0x8787878787878787);
      break;
    case Operation.MMX_PALIGNR:
      // Both operands are one of 128 bits, of which the source is the lower half, below nothing.
      store<u64>(second, load<u64>(first), 8);
      store<u64>(first, 0);
  }
  const low: u32 =
    operation == Operation.MMX_PUNPCKHBW ? Operation.PUNPCKLBW
    : operation == Operation.MMX_PUNPCKHWD ? Operation.PUNPCKLWD
    : operation == Operation.MMX_UNPCKHPS ? Operation.UNPCKLPS
    : vector;
  vectorOperation(low, first, second, immediate & 0xff);
  put(at, load<u64>(first + from));
  enterMmx();
  return u + 16;
}

/** MMX operations without a namesake. */
function special(operation: u32): bool {
  switch (operation) {
    case Operation.EMMS:
    case Operation.MMX_CVTPI2PS:
    case Operation.MMX_CVTPI2PD:
    case Operation.MMX_CVTPS2PI:
    case Operation.MMX_CVTTPS2PI:
    case Operation.MMX_CVTPD2PI:
    case Operation.MMX_CVTTPD2PI:
    case Operation.MMX_FROM_GENERAL:
    case Operation.MMX_TO_GENERAL:
    case Operation.MMX_MOVE:
    case Operation.MMX_MASKMOVQ:
    case Operation.MMX_MOVQ2DQ:
    case Operation.MMX_MOVDQ2Q:
      return true;
  }
  return false;
}
