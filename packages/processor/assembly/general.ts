/**
 * General-purpose instructions in their general form: every operand size, register or memory, LOCK. The run loop has its own, faster
 * versions of the frequent ones; those that the imported files have are complete.
 * Each handler returns the next operation: u + 16, or one that leaves the block.
 * Answers to: AMD64 manual volume 3. Called by run.ts through `executeGeneral`.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp, getRegister, setRegister, MODE_64, VECTOR_DE, FLAG_DF, RAX, RDX, RBX, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS } from './state';
import { readPointer, specialAddress } from './memory';
import { setLogic, setExplicit, arithmeticFlags, condition } from './flags';
import { sizeOf, fault, raiseAt, loadSigned, putRegister } from './operands';
import { binary, unary, decimal, bound } from './arithmetic';
import { shift, doubleShift, bitTest, bitScan } from './bits';
import { multiply, multiplyTwo, divide } from './multiply-divide';
import {
  move, moveOffset, moveExtend, exchange, compareExchange, compareExchangeWide, exchangeAdd, loadFar, setCondition, conditionalMove,
} from './moves';
import { pushSized, push, pop, enter, leave, pushAll, popAll, pushSegment, popSegment } from './stack';
import { nearTo, relative, call, ret, indirect, loopInstruction } from './transfers';

/** Executes a general operation. @returns the next operation, or 0 when the number is none of this file's. */
export function executeGeneral(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  if (operation >= <u32>Operation.JCC_O && operation <= <u32>Operation.JCC_NLE) {
    if (!condition(operation - Operation.JCC_O)) return u + 16;
    return nearTo(u, relative(u));
  }
  if (operation >= <u32>Operation.SETCC_O && operation <= <u32>Operation.SETCC_NLE) return setCondition(u, operation - Operation.SETCC_O, form);
  if (operation >= <u32>Operation.CMOVCC_O && operation <= <u32>Operation.CMOVCC_NLE) {
    return conditionalMove(u, operation - Operation.CMOVCC_O, form);
  }
  switch (operation) {
    case Operation.ADD:
    case Operation.OR:
    case Operation.ADC:
    case Operation.SBB:
    case Operation.AND:
    case Operation.SUB:
    case Operation.XOR:
    case Operation.CMP:
    case Operation.TEST:
      return binary(u, operation, form);
    case Operation.INC:
    case Operation.DEC:
    case Operation.NOT:
    case Operation.NEG:
      return unary(u, operation, form);
    case Operation.ROL:
    case Operation.ROR:
    case Operation.RCL:
    case Operation.RCR:
    case Operation.SHL:
    case Operation.SHR:
    case Operation.SAR:
      return shift(u, operation, form);
    case Operation.SHLD:
      return doubleShift(u, true, false, form);
    case Operation.SHLD_CL:
      return doubleShift(u, true, true, form);
    case Operation.SHRD:
      return doubleShift(u, false, false, form);
    case Operation.SHRD_CL:
      return doubleShift(u, false, true, form);
    case Operation.MUL:
      return multiply(u, false, form);
    case Operation.IMUL1:
      return multiply(u, true, form);
    case Operation.IMUL2:
      return multiplyTwo(u, form, false);
    case Operation.IMUL3:
      return multiplyTwo(u, form, true);
    case Operation.DIV:
      return divide(u, false, form);
    case Operation.IDIV:
      return divide(u, true, form);
    case Operation.MOV:
      return move(u, form);
    case Operation.MOV_IMM64:
      putRegister(load<u8>(u, 2), sizeOf(u), load<i64>(u, 8));
      return u + 16;
    case Operation.MOV_LOAD_OFFSET:
      return moveOffset(u, false);
    case Operation.MOV_STORE_OFFSET:
      return moveOffset(u, true);
    case Operation.MOVZX8:
      return moveExtend(u, form, 0, false);
    case Operation.MOVZX16:
      return moveExtend(u, form, 1, false);
    case Operation.MOVSX8:
      return moveExtend(u, form, 0, true);
    case Operation.MOVSX16:
      return moveExtend(u, form, 1, true);
    case Operation.MOVSXD:
      return moveExtend(u, form, 2, true);
    case Operation.XCHG:
      return exchange(u, form);
    case Operation.CMPXCHG:
      return compareExchange(u, form);
    case Operation.CMPXCHG8B:
      return compareExchangeWide(u);
    case Operation.XADD:
      return exchangeAdd(u, form);
    case Operation.BT:
    case Operation.BTS:
    case Operation.BTR:
    case Operation.BTC:
      return bitTest(u, operation, form);
    case Operation.BSF:
    case Operation.BSR:
    case Operation.POPCNT:
      return bitScan(u, operation, form);
    case Operation.BSWAP: {
      const at = load<u8>(u, 2);
      const size = sizeOf(u);
      if (size == 3) setRegister(at, bswap<u64>(getRegister(at)));
      else if (size == 2) setRegister(at, bswap<u32>(load<u32>(vp + at)));
      else store<u16>(vp + at, 0);
      return u + 16;
    }
    case Operation.LEA: {
      // The segment plays no part: only the offset counts, in the address size.
      const flags = <u32>load<u8>(u, 6);
      let address = load<u64>(vp + load<u8>(u, 4)) + (load<u64>(vp + load<u8>(u, 5)) << (flags & 3)) + <u64>(<i64>load<i32>(u, 8));
      if (flags & 0x80) address &= load<u32>(vp, L.MODE) & MODE_64 ? 0xffffffff : 0xffff;
      putRegister(load<u8>(u, 2), sizeOf(u), address);
      return u + 16;
    }
    case Operation.PUSH:
      return push(u, form);
    case Operation.PUSH_IMM: {
      const left = pushSized(u, <i64>load<i32>(u, 12), sizeOf(u));
      return left != 0 ? left : u + 16;
    }
    case Operation.POP:
      return pop(u, form);
    case Operation.PUSHA:
      return pushAll(u);
    case Operation.POPA:
      return popAll(u);
    case Operation.ENTER:
      return enter(u);
    case Operation.LEAVE:
      return leave(u);
    case Operation.PUSH_SEG:
      return pushSegment(u);
    case Operation.POP_SEG:
      return popSegment(u);
    case Operation.CALL:
      return call(u, relative(u));
    case Operation.JMP:
      return nearTo(u, relative(u));
    case Operation.CALL_INDIRECT:
      return indirect(u, form, true);
    case Operation.JMP_INDIRECT:
      return indirect(u, form, false);
    case Operation.RET:
      return ret(u);
    case Operation.LOOP:
    case Operation.LOOPE:
    case Operation.LOOPNE:
    case Operation.JCXZ:
      return loopInstruction(u, operation);
    case Operation.NOP:
    case Operation.NOP_MODRM:
    case Operation.FENCE:
      return u + 16;
    case Operation.CWDE: {
      const size = sizeOf(u);
      if (size == 3) setRegister(RAX, <i64>load<i32>(vp + RAX));
      else if (size == 2) putRegister(RAX, 2, <i64>load<i16>(vp + RAX));
      else store<i16>(vp + RAX, <i16>load<i8>(vp + RAX));
      return u + 16;
    }
    case Operation.CDQ: {
      const size = sizeOf(u);
      putRegister(RDX, size, loadSigned(vp + RAX, size) >> 63);
      return u + 16;
    }
    case Operation.SAHF:
      setExplicit((<u64>load<u8>(vp + RAX + 1) & 0xd5) | (arithmeticFlags() & 0x800));
      return u + 16;
    case Operation.LAHF:
      store<u8>(vp + RAX + 1, <u8>(arithmeticFlags() & 0xd5) | 2);
      return u + 16;
    case Operation.CLC:
      setExplicit(arithmeticFlags() & ~<u64>1);
      return u + 16;
    case Operation.STC:
      setExplicit(arithmeticFlags() | 1);
      return u + 16;
    case Operation.CMC:
      setExplicit(arithmeticFlags() ^ 1);
      return u + 16;
    case Operation.CLD:
      store<u64>(vp, load<u64>(vp, L.FLAGS) & ~FLAG_DF, L.FLAGS);
      return u + 16;
    case Operation.STD:
      store<u64>(vp, load<u64>(vp, L.FLAGS) | FLAG_DF, L.FLAGS);
      return u + 16;
    case Operation.XLAT: {
      let address = getRegister(RBX) + <u64>load<u8>(vp + RAX);
      if (load<u8>(u, 6) & 0xf0) address = specialAddress(u, address);
      const p = readPointer(address, 1);
      if (p == 0) return fault(u);
      store<u8>(vp + RAX, load<u8>(p));
      return u + 16;
    }
    case Operation.DAA:
    case Operation.DAS:
    case Operation.AAA:
    case Operation.AAS:
      return decimal(u, operation);
    case Operation.AAM: {
      const base = <u32>load<u8>(u, 12);
      if (base == 0) return raiseAt(u, VECTOR_DE, 0);
      const al = <u32>load<u8>(vp + RAX);
      store<u16>(vp + RAX, <u16>(((al / base) << 8) | (al % base)));
      setLogic(<i64>load<i8>(vp + RAX));
      return u + 16;
    }
    case Operation.AAD: {
      const r = <u32>load<u8>(vp + RAX) + <u32>load<u8>(vp + RAX + 1) * <u32>load<u8>(u, 12);
      store<u16>(vp + RAX, <u16>(r & 0xff));
      setLogic(<i64>(<i8>r));
      return u + 16;
    }
    case Operation.BOUND:
      return bound(u);
    case Operation.LOAD_FAR_ES:
      return loadFar(u, SEG_ES);
    case Operation.LOAD_FAR_DS:
      return loadFar(u, SEG_DS);
    case Operation.LOAD_FAR_SS:
      return loadFar(u, SEG_SS);
    case Operation.LOAD_FAR_FS:
      return loadFar(u, SEG_FS);
    case Operation.LOAD_FAR_GS:
      return loadFar(u, SEG_GS);
  }
  return 0;
}
