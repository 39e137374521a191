/**
 * One instruction's bytes to one 16-byte operation, by the generated tables.
 *
 * An operation: u16 number (hot operations from 1, general ones from GENERAL_BASE: + operation * 8 + form), u8 destination, u8 source
 * (byte offsets of registers in the processor's block; for vector registers 16 * number), u8 base, u8 index (offsets; ZERO_SLOT for
 * none), u8 scale | size << 2 | segment << 4 | narrow << 7, u8 offset of the next instruction within the block, i32 displacement,
 * i32 immediate. For a memory destination the destination byte holds the LOCK prefix; for string operations the source byte holds the
 * repeat prefix (1 REP/REPE, 2 REPNE); a 64-bit immediate or absolute offset fills both last fields. Vector operations have an immediate
 * of their own: see the IMMEDIATE constants; the source byte of a gather is the index register.
 *
 * Answers to: AMD64 manual volume 3, chapter 1. Called by blocks.ts.
 */
import * as L from './generated/layout';
import { ROWS, ROW_BYTES, OPCODE_FIRST, OPCODE_COUNT, CANDIDATES, HOT_FORMS, HOT_OPERATION } from './generated/tables';
import { Operation } from './generated/operations';
import { vp, MODE_64, MODE_16, MODE_PROTECTED, RSP, RBP } from './state';

export const GENERAL_BASE: u32 = 1024;

export const FORM_N: u32 = 0;
export const FORM_R: u32 = 1;
export const FORM_M: u32 = 2;
export const FORM_RR: u32 = 3;
export const FORM_RI: u32 = 4;
export const FORM_RM: u32 = 5;
export const FORM_MR: u32 = 6;
export const FORM_MI: u32 = 7;

/** Immediate of vector and VEX operations, above the immediate byte and, from bit 8 on, the bytes of the operand in memory. */
export const IMMEDIATE_ALIGNED: u32 = 0x10000;
/** Extensions only: the destination is a general register, the source is, RFLAGS are written. */
export const IMMEDIATE_TO_GENERAL: u32 = 0x20000;
export const IMMEDIATE_FROM_GENERAL: u32 = 0x40000;
export const IMMEDIATE_FLAGS: u32 = 0x80000;
/** VEX.vvvv. */
export const IMMEDIATE_REGISTER_SHIFT: u32 = 20;
/** VEX.L and VEX.W; the encoding is VEX; the operand in memory grows with the vector. */
export const IMMEDIATE_256: u32 = 0x1000000;
export const IMMEDIATE_W: u32 = 0x2000000;
export const IMMEDIATE_VEX: u32 = 0x4000000;
export const IMMEDIATE_SCALED: u32 = 0x8000000;

/** What decodeInstruction found besides the operation. */
export let decodedLength: u32 = 0;
export let decodedEnds: bool = false;

const RESULT_OK: u32 = 0;
/** More bytes are needed than the page had. */
export const RESULT_SHORT: u32 = 1;
/** Longer than 15 bytes: #GP. */
export const RESULT_LONG: u32 = 2;

function registerOffset(number: u32, byte: bool, rex: u32): u32 {
  if (byte && rex == 0 && number >= 4) return (number - 4) * 8 + 1;
  return number * 8;
}

/** Fills `out` with an operation that raises #UD. */
function undefinedOperation(out: usize, next: u32): u32 {
  store<u16>(out, <u16>(GENERAL_BASE + Operation.UD2 * 8));
  store<u8>(out, <u8>next, 7);
  decodedEnds = true;
  return RESULT_OK;
}

/**
 * Decodes the instruction at `p`, of which `available` bytes may be read, into `out`. `start`: its offset in the block.
 * @returns RESULT_*; length in decodedLength.
 */
export function decodeInstruction(p: usize, available: u32, out: usize, start: u32): u32 {
  const mode = load<u32>(vp, L.MODE);
  const is64 = (mode & MODE_64) != 0;
  const limit = p + min(available, 15);
  const tooMany: u32 = available >= 15 ? RESULT_LONG : RESULT_SHORT;
  let at = p;
  let rex: u32 = 0;
  let operand16 = false;
  let address67 = false;
  let repeat: u32 = 0;
  let lock = false;
  let seg: u32 = 0;
  let byte: u32 = 0;
  decodedEnds = false;

  for (;;) {
    if (at >= limit) return tooMany;
    byte = load<u8>(at);
    at++;
    if (is64 && (byte & 0xf0) == 0x40) {
      rex = byte;
      if (at >= limit) return tooMany;
      // A REX prefix counts only directly before the opcode.
      const following = <u32>load<u8>(at);
      const prefix =
        following == 0x66 || following == 0x67 || following == 0xf0 || following == 0xf2 || following == 0xf3 ||
        following == 0x2e || following == 0x36 || following == 0x3e || following == 0x26 || following == 0x64 ||
        following == 0x65 || (following & 0xf0) == 0x40;
      if (prefix) rex = 0;
      continue;
    }
    if (byte == 0x66) operand16 = true;
    else if (byte == 0x67) address67 = true;
    else if (byte == 0xf0) lock = true;
    else if (byte == 0xf2) repeat = 2;
    else if (byte == 0xf3) repeat = 1;
    else if (byte == 0x26) seg = is64 ? seg : 1;
    else if (byte == 0x2e) seg = is64 ? seg : 2;
    else if (byte == 0x36) seg = is64 ? seg : 3;
    else if (byte == 0x3e) seg = is64 ? seg : 4;
    else if (byte == 0x64) seg = 5;
    else if (byte == 0x65) seg = 6;
    else break;
  }

  let opcode = byte;
  // VEX: bits 0-3 the register, 4 L, 5 W, 6 that there is one.
  let vex: u32 = 0;
  // A prefix that may not stand before VEX: #UD, unless the instruction is too long.
  let illegal = false;
  if ((byte & 0xfe) == 0xc4 && (mode & MODE_PROTECTED) != 0) {
    if (at >= limit) return tooMany;
    const payload = <u32>load<u8>(at);
    // Outside 64-bit mode a ModRM byte of LES or LDS with a register is what makes it VEX.
    if (is64 || payload >= 0xc0) {
      illegal = operand16 || lock || repeat != 0 || rex != 0;
      lock = false;
      rex = 0;
      at++;
      let last = payload;
      let map: u32 = 1;
      if (byte == 0xc4) {
        if (at >= limit) return tooMany;
        last = <u32>load<u8>(at++);
        map = payload & 31;
        if (is64) rex = 0x40 | ((payload >> 5) ^ 7) | ((last >> 4) & 8);
        vex = (last & 0x80) >> 2;
      } else if (is64) rex = 0x40 | (((payload >> 5) ^ 4) & 4);
      vex |= 0x40 | (((last >> 3) & 15) ^ 15) | ((last << 2) & 0x10);
      if (!is64) vex &= ~8;
      const pp = last & 3;
      operand16 = pp == 1;
      repeat = pp == 2 ? 1 : pp == 3 ? 2 : 0;
      if (at >= limit) return tooMany;
      const code = <u32>load<u8>(at++);
      if (map == 0 || map > 3) {
        decodedLength = <u32>(at - p);
        return undefinedOperation(out, start + decodedLength);
      }
      opcode = (map + 3) * 256 + code;
    }
  }
  if (opcode == 0x0f) {
    if (at >= limit) return tooMany;
    byte = load<u8>(at++);
    opcode = 256 + byte;
    if (byte == 0x38 || byte == 0x3a) {
      if (at >= limit) return tooMany;
      opcode = (byte == 0x38 ? 512 : 768) + <u32>load<u8>(at++);
    }
  }

  // Choose the row.
  const absent = load<u64>(L.SHARED + L.SHARED_ABSENT_FEATURES);
  const count = <u32>load<u8>(OPCODE_COUNT + opcode);
  let candidate = CANDIDATES + (<u32>load<u16>(OPCODE_FIRST + opcode * 2) << 1);
  let row: usize = 0;
  let strangeRow: usize = 0;
  let modrm: u32 = 0;
  let haveModrm = false;
  for (let i: u32 = 0; i < count; i++) {
    const r = ROWS + <u32>load<u16>(candidate) * ROW_BYTES;
    candidate += 2;
    const rule = load<u8>(r);
    if (rule != 0) {
      if (rule == 1 && (repeat != 0 || operand16)) continue;
      if (rule == 2 && (repeat != 0 || !operand16)) continue;
      if (rule == 3 && repeat != 1) continue;
      if (rule == 4 && repeat != 2) continue;
      if (rule == 5 && repeat != 0) continue;
    }
    const feature = <u64>((vex & 0x10) != 0 ? load<u8>(r, 22) : load<u8>(r, 21));
    if (feature != 0 && ((absent >> (feature - 1)) & 1) != 0) continue;
    const vexRule = <u32>load<u8>(r, 20);
    let strange = false;
    if (vexRule != 0 || vex != 0) {
      const length = vexRule & 3;
      if (length == 1 && (vex & 0x10) != 0) continue;
      if (length == 2 && (vex & 0x10) == 0) continue;
      if ((vexRule & 4) != 0 && (vex & 0x20) != 0) continue;
      if ((vexRule & 8) != 0 && (vex & 0x20) == 0) continue;
      strange = (vexRule & 0x10) == 0 && (vex & 15) != 0;
    }
    const modeRule = load<u8>(r, 4);
    if (modeRule == 1 && is64) continue;
    if (modeRule == 2 && !is64) continue;
    if (load<u8>(r, 5)) {
      if (!haveModrm) {
        if (at >= limit) return tooMany;
        modrm = load<u8>(at);
        haveModrm = true;
      }
      const digit = load<u8>(r, 1);
      if (digit != 0xff && digit != ((modrm >> 3) & 7)) continue;
      const isRegister = modrm >= 0xc0 || (load<u8>(r, 11) & 8) != 0;
      const modRule = load<u8>(r, 2);
      if (modRule == 1 && !isRegister) continue;
      if (modRule == 2 && isRegister) continue;
      const rmRule = load<u8>(r, 3);
      if (rmRule != 0xff && rmRule != (modrm & 7)) continue;
    } else if (opcode == 0x90 && (rex & 1) != 0 && load<u16>(r, 12) == Operation.NOP * 8) continue;
    if (strange) {
      strangeRow = r;
      continue;
    }
    row = r;
    break;
  }
  // A register in VEX.vvvv where none belongs: #UD, but the instruction has its length, and more than 15 bytes are #GP first.
  if (row == 0 && strangeRow != 0) {
    row = strangeRow;
    illegal = true;
  }
  if (row == 0) {
    // The length of what does not exist is that of its opcode; the fault is reported at its start anyway.
    decodedLength = <u32>(at - p);
    return undefinedOperation(out, start + decodedLength);
  }

  const attributes = <u32>load<u8>(row, 11);
  const usesModrm = load<u8>(row, 5) != 0;
  const rule = load<u8>(row);
  const w = (rex & 8) != 0;
  const vsib = (load<u8>(row, 20) & 0x20) != 0;
  let vectorIndex: u32 = 0;
  // The index vector of a gather is in a SIB byte.
  if (vsib && ((modrm & 7) != 4 || (!is64 && ((mode & MODE_16) != 0) != address67))) illegal = true;

  // Operand size.
  let size: u32 = 0;
  const sizeCode = <u32>load<u8>(row, 6);
  const defaults = <u32>load<u8>(row, 7);
  const mandatory66 = rule == 2;
  const narrow = ((mode & MODE_16) != 0) != (operand16 && !mandatory66);
  if (sizeCode < 4) size = sizeCode;
  else if (sizeCode == 5) size = w ? 3 : 2;
  else if (w) size = 3;
  else if (narrow) size = 1;
  else size = is64 && defaults != 0 ? 3 : 2;

  let memory = false;
  let base: u32 = L.ZERO_SLOT;
  let index: u32 = L.ZERO_SLOT;
  let scale: u32 = 0;
  let displacement: i64 = 0;
  let segUsed: u32 = 0;
  let narrowAddress = false;
  let ripRelative = false;
  const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
  const rm = (modrm & 7) | ((rex & 1) << 3);

  if (usesModrm) {
    at++;
    const mod = modrm >> 6;
    if (mod == 3) {
      // MASKMOVDQU has its memory operand beside ModRM.
      segUsed = seg != 0 ? seg : is64 ? 0 : 4;
      narrowAddress = is64 ? address67 : ((mode & MODE_16) != 0) != address67;
    }
    if (mod != 3 && (attributes & 8) == 0) {
      memory = true;
      const address16 = !is64 && ((mode & MODE_16) != 0) != address67;
      let defaultStack = false;
      if (address16) {
        narrowAddress = true;
        const form = modrm & 7;
        if (form == 0) { base = 24; index = 48; }
        else if (form == 1) { base = 24; index = 56; }
        else if (form == 2) { base = 40; index = 48; defaultStack = true; }
        else if (form == 3) { base = 40; index = 56; defaultStack = true; }
        else if (form == 4) base = 48;
        else if (form == 5) base = 56;
        else if (form == 6) { if (mod != 0) { base = 40; defaultStack = true; } }
        else base = 24;
        if (mod == 1) {
          if (at >= limit) return tooMany;
          displacement = <i64>load<i8>(at++);
        } else if (mod == 2 || (mod == 0 && form == 6)) {
          if (at + 2 > limit) return tooMany;
          displacement = <i64>load<i16>(at);
          at += 2;
        }
      } else {
        narrowAddress = is64 && address67;
        let wide = mod == 2;
        if ((modrm & 7) == 4) {
          if (at >= limit) return tooMany;
          const sib = <u32>load<u8>(at++);
          const indexNumber = ((sib >> 3) & 7) | ((rex & 2) << 2);
          if (vsib) {
            vectorIndex = indexNumber;
            scale = sib >> 6;
          } else if (indexNumber != 4) {
            index = indexNumber * 8;
            scale = sib >> 6;
          }
          if ((sib & 7) == 5 && mod == 0) wide = true;
          else base = ((sib & 7) | ((rex & 1) << 3)) * 8;
        } else if ((modrm & 7) == 5 && mod == 0) {
          wide = true;
          if (is64) {
            base = L.RIP_BASE;
            ripRelative = true;
          }
        } else base = rm * 8;
        defaultStack = base == RSP || base == RBP;
        if (mod == 1) {
          if (at >= limit) return tooMany;
          displacement = <i64>load<i8>(at++);
        } else if (wide) {
          if (at + 4 > limit) return tooMany;
          displacement = <i64>load<i32>(at);
          at += 4;
        }
      }
      segUsed = seg != 0 ? seg : is64 ? 0 : defaultStack ? 3 : 4;
    }
  } else if (attributes & 4 || load<u8>(row, 10) == 10) {
    // String operations and absolute offsets: the segment of the source, and the address size.
    segUsed = seg != 0 ? seg : is64 ? 0 : 4;
    narrowAddress = is64 ? address67 : ((mode & MODE_16) != 0) != address67;
  } else {
    // XLAT and the loop instructions look at the address size, XLAT at the segment.
    segUsed = seg != 0 ? seg : is64 ? 0 : 4;
    narrowAddress = is64 ? address67 : ((mode & MODE_16) != 0) != address67;
  }

  // Implicit stack operands: what a bad stack address raises is told by the base.
  if (!usesModrm && defaults != 0) base = RSP;

  if (lock) {
    if ((attributes & 1) == 0 || !memory) {
      decodedLength = <u32>(at - p);
      return undefinedOperation(out, start + decodedLength);
    }
  }

  // Immediates.
  let immediate: i64 = 0;
  const immediateCode = <u32>load<u8>(row, 10);
  let wideImmediate = false;
  let isJump = false;
  switch (immediateCode) {
    case 1:
      if (at >= limit) return tooMany;
      immediate = <i64>load<u8>(at++);
      break;
    case 2:
    case 8:
      if (at >= limit) return tooMany;
      immediate = <i64>load<i8>(at++);
      isJump = immediateCode == 8;
      break;
    case 3:
      if (at + 2 > limit) return tooMany;
      immediate = <i64>load<u16>(at);
      at += 2;
      break;
    case 4:
    case 9:
      if (size == 1) {
        if (at + 2 > limit) return tooMany;
        immediate = <i64>load<i16>(at);
        at += 2;
      } else {
        if (at + 4 > limit) return tooMany;
        immediate = <i64>load<i32>(at);
        at += 4;
      }
      isJump = immediateCode == 9;
      break;
    case 5:
      wideImmediate = true;
      if (size == 3) {
        if (at + 8 > limit) return tooMany;
        immediate = load<i64>(at);
        at += 8;
      } else if (size == 2) {
        if (at + 4 > limit) return tooMany;
        immediate = <i64>load<u32>(at);
        at += 4;
      } else {
        if (at + 2 > limit) return tooMany;
        immediate = <i64>load<u16>(at);
        at += 2;
      }
      break;
    case 6:
      if (at + 3 > limit) return tooMany;
      immediate = <i64>load<u16>(at) | (<i64>load<u8>(at, 2) << 16);
      at += 3;
      break;
    case 7: {
      const bytes: u32 = size == 1 ? 4 : 6;
      if (at + bytes > limit) return tooMany;
      immediate = size == 1 ? <i64>load<u16>(at) : <i64>load<u32>(at);
      displacement = <i64>load<u16>(at + bytes - 2);
      at += bytes;
      break;
    }
    case 10: {
      wideImmediate = true;
      const bytes: u32 = is64 ? (narrowAddress ? 4 : 8) : narrowAddress ? 2 : 4;
      if (at + bytes > limit) return tooMany;
      immediate = bytes == 8 ? load<i64>(at) : bytes == 4 ? <i64>load<u32>(at) : <i64>load<u16>(at);
      at += bytes;
      break;
    }
    case 11:
      immediate = 1;
      break;
  }

  const length = <u32>(at - p);
  const next = start + length;
  decodedLength = length;
  if (illegal) return undefinedOperation(out, next);
  decodedEnds = (attributes & 2) != 0;

  // Operand places.
  let places: u32 = 0;
  for (let which: u32 = 0; which < 2; which++) {
    const place = <u32>load<u8>(row + 8 + which);
    let value: u32 = 0;
    switch (place) {
      case 1: value = reg * 8; break;
      case 2: value = registerOffset(reg, true, rex); break;
      case 3: value = memory ? 0 : rm * 8; break;
      case 4: value = memory ? 0 : registerOffset(rm, true, rex); break;
      case 5: value = ((opcode & 7) | ((rex & 1) << 3)) * 8; break;
      case 6: value = registerOffset((opcode & 7) | ((rex & 1) << 3), true, rex); break;
      case 7: value = 0; break;
      case 8: value = 8; break;
      case 9: value = 16; break;
      case 10: value = reg * 16; break;
      case 11: value = memory ? 0 : rm * 16; break;
      case 12: value = reg & 7; break;
      case 13: value = reg; break;
      case 14: value = reg; break;
      case 15: value = modrm & 7; break;
      // MMX registers have no REX extension.
      case 22: value = reg & 7; break;
      case 23: value = memory ? 0 : rm & 7; break;
      default: if (place >= 16) value = place - 16;
    }
    places |= value << (which * 8);
  }

  const form = <u32>load<u16>(row + (memory ? 14 : 12));
  // Vector rows carry the memory operand's width, whether it must be aligned, and the general operand's width.
  if (attributes & 16) {
    const general = <u32>load<u8>(row, 23);
    const scaled = (load<u8>(row, 18) & 0x40) != 0;
    // A length that is ignored is 128.
    if ((load<u8>(row, 20) & 3) == 3) vex &= ~0x10;
    const bytes = scaled && (vex & 0x10) != 0 ? (<u32>load<u8>(row, 18) & 0x3f) << 1 : <u32>load<u8>(row, 18) & 0x3f;
    immediate |= (<i64>bytes << 8) | (<i64>load<u8>(row, 19) << 16) | (<i64>(general & 7) << 17);
    if (scaled && general != 0) immediate |= <i64>IMMEDIATE_SCALED;
    if (memory) immediate |= <i64>1 << 31;
    if (size == 3 && sizeCode == 5) immediate |= <i64>1 << 30;
  }
  // x87: the opcode as the unit's last-opcode register has it.
  if (attributes & 32) immediate = <i64>(((opcode & 7) << 8) | modrm);
  if (vex != 0) immediate |= <i64>(((vex & 15) << IMMEDIATE_REGISTER_SHIFT) | ((vex & 0x70) << 20));
  if (vsib) places = (places & 0xff) | (vectorIndex << 12);
  if (attributes & 4) places = (places & 0xff) | (repeat << 8);
  const shape = form & 7;
  if (memory && (shape == FORM_M || shape == FORM_MR || shape == FORM_MI)) places = (places & 0xff00) | (lock ? 1 : 0);

  let number = form < HOT_FORMS ? <u32>load<u16>(HOT_OPERATION + ((form << 2) + size) * 2) : 0;
  if (lock || number == 0 || (isJump && !is64)) number = GENERAL_BASE + form;
  store<u16>(out, <u16>number);
  store<u16>(out, <u16>places, 2);
  store<u8>(out, <u8>base, 4);
  store<u8>(out, <u8>index, 5);
  store<u8>(out, <u8>(scale | (size << 2) | (segUsed << 4) | (narrowAddress ? 0x80 : 0)), 6);
  store<u8>(out, <u8>next, 7);
  if (wideImmediate) {
    store<i64>(out, immediate, 8);
  } else {
    if (ripRelative) displacement += <i64>next;
    if (isJump) {
      displacement = <i64>next + immediate;
      immediate = 0;
    }
    store<i32>(out, <i32>displacement, 8);
    store<i32>(out, <i32>immediate, 12);
  }
  return RESULT_OK;
}
