/**
 * x87 instructions: operands from registers and memory, the stack with its faults, the status word, pointers, pops and results.
 *
 * The decoder leaves an instruction's opcode as FOP shows it (low bits of the first byte, then ModRM) in the operation's immediate; the
 * instruction is found by it. Nothing has changed when an access to memory faults. An exception that is not masked is left pending; one
 * that comes before the operation (IE, DE, ZE) leaves operands and stack as they were.
 * Answers to: AMD64 Architecture Programmer's Manual volume 1, chapter 6 and volume 5. Called by vector-execute.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp, segment, MODE_64, CR0_EM, CR0_TS, RSP, RBP, SEG_CS, SEG_DS, SEG_SS, VECTOR_NM } from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress } from './memory';
import { fault, raiseAt, startRip } from './operands';
import { condition, setExplicit } from './flags';
import { fdecstp, ffree, fincstp, fpuPending } from './fpu';
import { mathFault } from './math-fault';
import {
  C0, C1, C2, C3, DENORMAL, IE, QUIET, SF, TOP_BIT,
  begin, control, invalid, kindOf, note, noteDenormalOperand, raised, resultHigh, resultSignificand, rounding, setIndefinite, setResult,
} from './x87-number';
import * as A from './x87-arithmetic';
import * as V from './x87-convert';
import * as T from './x87-functions';

const STATUS_SUMMARY: u32 = 0x8080;
const EXCEPTIONS: u32 = 0x3f;

// @ts-ignore: decorator
@inline
function statusWord(): u32 {
  return load<u16>(vp, L.FPU_STATUS);
}
// @ts-ignore: decorator
@inline
function physical(index: u32): u32 {
  return ((statusWord() >> 11) + index) & 7;
}
// @ts-ignore: decorator
@inline
function register(index: u32): usize {
  return vp + L.FPU_REGISTERS + (physical(index) << 4);
}
// @ts-ignore: decorator
@inline
function isEmpty(index: u32): bool {
  return (<u32>load<u8>(vp, L.FPU_TAG) & (1 << physical(index))) == 0;
}
function tag(index: u32, full: bool): void {
  const bit = 1 << physical(index);
  const tags = <u32>load<u8>(vp, L.FPU_TAG);
  store<u8>(vp, full ? tags | bit : tags & ~bit, L.FPU_TAG);
}
/** Writes a register, which is then not empty. */
function put(index: u32, significand: u64, high: u32): void {
  const p = register(index);
  store<u64>(p, significand);
  store<u16>(p, <u16>high, 8);
  tag(index, true);
}
function putResult(index: u32): void {
  put(index, resultSignificand, resultHigh);
}
/** Writes a register that is known not to be empty. */
// @ts-ignore: decorator
@inline
function replace(p: usize, significand: u64, high: u32): void {
  store<u64>(p, significand);
  store<u16>(p, <u16>high, 8);
}
function pop(): void {
  const word = statusWord();
  store<u8>(vp, <u32>load<u8>(vp, L.FPU_TAG) & ~(1 << ((word >> 11) & 7)), L.FPU_TAG);
  store<u16>(vp, <u16>((word & ~0x3800) | ((word + 0x800) & 0x3800)), L.FPU_STATUS);
}
function pushResult(): void {
  const word = statusWord() - 0x800;
  const top = (word >> 11) & 7;
  replace(vp + L.FPU_REGISTERS + (top << 4), resultSignificand, resultHigh);
  store<u8>(vp, <u32>load<u8>(vp, L.FPU_TAG) | (1 << top), L.FPU_TAG);
  store<u16>(vp, <u16>((statusWord() & ~0x3800) | (word & 0x3800)), L.FPU_STATUS);
}
/** Whether ST(0) and ST(index) both hold something. */
// @ts-ignore: decorator
@inline
function bothFull(index: u32): bool {
  const tags = <u32>load<u8>(vp, L.FPU_TAG);
  const top = (statusWord() >> 11) & 7;
  return ((tags >> top) & (tags >> ((top + index) & 7)) & 1) != 0;
}
/** An empty register was to be read: the indefinite value stands for the result. @returns false when that is not masked */
function underflow(): bool {
  note(SF);
  return invalid();
}
/** A push onto a register that is not empty. */
function overflow(): bool {
  note(SF | C1);
  return invalid();
}

/** Enters the instruction's exceptions, C1 and condition codes into the status word, and its pointers. `codes`: bits of C0, C2, C3. */
function finish(u: usize, code: u32, codes: u32, codeMask: u32): usize {
  let word = (statusWord() & ~(C1 | codeMask)) | raised | codes;
  if (raised & ~control & EXCEPTIONS) word |= STATUS_SUMMARY;
  store<u16>(vp, <u16>word, L.FPU_STATUS);
  store<u16>(vp, <u16>code, L.FPU_OPCODE);
  store<u64>(vp, startRip(u), L.FPU_IP);
  store<u16>(vp, <u16>load<u32>(segment(SEG_CS), L.SEGMENT_SELECTOR), L.FPU_CS);
  if ((code & 0xff) < 0xc0) dataPointer(u);
  return u + 16;
}
/** The memory operand's offset and selector. */
function dataPointer(u: usize): void {
  const flags = <u32>load<u8>(u, 6);
  const base = <u32>load<u8>(u, 4);
  let offset = load<u64>(vp + base) + (load<u64>(vp + load<u8>(u, 5)) << (flags & 3)) + <u64>(<i64>load<i32>(u, 8));
  const long = (load<u32>(vp, L.MODE) & MODE_64) != 0;
  if (flags & 0x80) offset &= long ? 0xffffffff : 0xffff;
  else if (!long) offset &= 0xffffffff;
  const override_ = (flags >> 4) & 7;
  const used = override_ != 0 ? override_ - 1 : base == RSP || base == RBP ? SEG_SS : SEG_DS;
  store<u64>(vp, offset, L.FPU_DP);
  store<u16>(vp, <u16>load<u32>(segment(used), L.SEGMENT_SELECTOR), L.FPU_DS);
}

/** Executes an x87 instruction, but for those that control the unit: they leave the pointers alone. */
export function executeX87(u: usize, operation: u32): usize {
  if (load<u64>(vp, L.CR0) & (CR0_EM | CR0_TS)) return raiseAt(u, VECTOR_NM, 0);
  if (fpuPending()) {
    const left = mathFault(u);
    if (left != 0) return left;
  }
  begin(load<u16>(vp, L.FPU_CONTROL));
  const code = load<u32>(u, 12);
  switch (operation) {
    case Operation.X87_ARITHMETIC:
      return (code & 0xff) < 0xc0 ? arithmeticMemory(u, code) : arithmeticRegister(u, code);
    case Operation.X87_LOAD:
      return loadMemory(u, code);
    case Operation.X87_STORE:
      return storeMemory(u, code);
    case Operation.X87_MOVE:
      return move(u, code);
    case Operation.X87_COMPARE:
      // FUCOM and FUCOMP; FUCOMPP.
      return compareWith(u, code, code & 7, true, (code >> 8) == 2 ? 2 : ((code >> 3) & 7) - 4);
    case Operation.FFREE:
      ffree(code & 7);
      return finish(u, code, 0, 0);
    case Operation.FINCSTP:
      fincstp();
      return finish(u, code, 0, 0);
    case Operation.FDECSTP:
      fdecstp();
      return finish(u, code, 0, 0);
    case Operation.FNOP:
      note(statusWord() & C1);
      return finish(u, code, 0, 0);
    case Operation.X87_FLAGS:
      return ((code >> 3) & 7) < 4 ? conditionalMove(u, code) : compareToFlags(u, code);
    default:
      return unary(u, code);
  }
}

/** The memory operand of an arithmetic instruction as a value. @returns false after a recorded fault */
function fetchOperand(u: usize, code: u32): bool {
  const address = effectiveAddress(u);
  const group = code >> 8;
  const p = readPointer(address, group == 4 ? 8 : group == 6 ? 2 : 4);
  if (p == 0) return false;
  if (group == 2) A.fromInteger(<i64>load<i32>(p));
  else if (group == 6) A.fromInteger(<i64>load<i16>(p));
  else if ((group == 0 ? V.widenSingle(load<u32>(p)) : V.widenDouble(load<u64>(p))) == DENORMAL) noteDenormalOperand();
  return true;
}

/** ST(0) = a with b by the digit of the opcode. @returns false when there is no result */
function calculate(digit: u32, aSignificand: u64, aHigh: u32, bSignificand: u64, bHigh: u32): bool {
  switch (digit) {
    case 0:
      return A.add(aSignificand, aHigh, bSignificand, bHigh, 0);
    case 1:
      return A.multiply(aSignificand, aHigh, bSignificand, bHigh);
    case 4:
      return A.add(aSignificand, aHigh, bSignificand, bHigh, 0x8000);
    case 5:
      return A.add(bSignificand, bHigh, aSignificand, aHigh, 0x8000);
    case 6:
      return A.quotient(aSignificand, aHigh, bSignificand, bHigh);
    default:
      return A.quotient(bSignificand, bHigh, aSignificand, aHigh);
  }
}

function arithmeticMemory(u: usize, code: u32): usize {
  if (!fetchOperand(u, code)) return fault(u);
  const digit = (code >> 3) & 7;
  const significand = resultSignificand;
  const high = resultHigh;
  const p = register(0);
  if (digit == 2 || digit == 3) {
    let answered: bool;
    let codes = C0 | C2 | C3;
    if (isEmpty(0)) answered = underflow();
    else {
      answered = A.compare(load<u64>(p), load<u16>(p, 8), significand, high, false);
      codes = A.comparison;
    }
    if (digit == 3 && answered) pop();
    return finish(u, code, codes, C0 | C2 | C3);
  }
  if (isEmpty(0)) {
    if (underflow()) putResult(0);
  } else if (calculate(digit, load<u64>(p), load<u16>(p, 8), significand, high)) replace(p, resultSignificand, resultHigh);
  return finish(u, code, 0, 0);
}

function arithmeticRegister(u: usize, code: u32): usize {
  const digit = (code >> 3) & 7;
  const index = code & 7;
  if (digit == 2 || digit == 3) {
    // Of the groups for results in ST(i), DE /2 pops once and DE /3 twice.
    const pops: u32 = (code >> 8) == 6 ? digit - 1 : digit - 2;
    return compareWith(u, code, index, false, pops);
  }
  const p = register(0);
  const q = register(index);
  const toIndex = (code >> 8) != 0;
  if (!bothFull(index) ? underflow() : calculate(digit, load<u64>(p), load<u16>(p, 8), load<u64>(q), load<u16>(q, 8))) {
    putResult(toIndex ? index : 0);
    if ((code >> 8) == 6) pop();
  }
  return finish(u, code, 0, 0);
}

function compareWith(u: usize, code: u32, index: u32, quiet: bool, pops: u32): usize {
  const p = register(0);
  const q = register(index);
  let answered: bool;
  let codes = C0 | C2 | C3;
  if (!bothFull(index)) answered = underflow();
  else {
    answered = A.compare(load<u64>(p), load<u16>(p, 8), load<u64>(q), load<u16>(q, 8), quiet);
    codes = A.comparison;
  }
  if (answered) for (; pops != 0; pops--) pop();
  return finish(u, code, codes, C0 | C2 | C3);
}

/** FUCOMI, FCOMI, and with a pop (DF). */
function compareToFlags(u: usize, code: u32): usize {
  const index = code & 7;
  const group = code >> 8;
  const digit = (code >> 3) & 7;
  const p = register(0);
  const q = register(index);
  let answered: bool;
  let codes = C0 | C2 | C3;
  if (!bothFull(index)) answered = underflow();
  else {
    // C1 stays.
    note(statusWord() & C1);
    answered = A.compare(load<u64>(p), load<u16>(p, 8), load<u64>(q), load<u16>(q, 8), digit == 5);
    codes = A.comparison;
  }
  // Carry, parity and zero are C0, C2 and C3.
  setExplicit((codes & C0 ? 1 : 0) | (codes & C2 ? 4 : 0) | (codes & C3 ? 0x40 : 0));
  if (group == 7 && answered) pop();
  return finish(u, code, 0, 0);
}

/** FLD, FILD, FBLD of memory. */
function loadMemory(u: usize, code: u32): usize {
  const group = code >> 8;
  const digit = (code >> 3) & 7;
  let bytes: u32 = 4;
  if (group == 5) bytes = 8;
  else if (group == 3 && digit == 5) bytes = 10;
  else if (group == 7) bytes = digit == 0 ? 2 : digit == 4 ? 10 : 8;
  const p = readPointer(effectiveAddress(u), bytes);
  if (p == 0) return fault(u);
  let answered: bool;
  if (!isEmpty(7)) answered = overflow();
  else if (group == 1) answered = V.loaded(V.widenSingle(load<u32>(p)));
  else if (group == 5) answered = V.loaded(V.widenDouble(load<u64>(p)));
  else {
    answered = true;
    if (bytes == 10 && group == 3) setResult(load<u64>(p), load<u16>(p, 8));
    else if (bytes == 10) V.fromDecimal(load<u64>(p), load<u16>(p, 8));
    else A.fromInteger(bytes == 2 ? <i64>load<i16>(p) : bytes == 4 ? <i64>load<i32>(p) : load<i64>(p));
  }
  if (answered) pushResult();
  return finish(u, code, 0, 0);
}

/** FST, FSTP, FIST, FISTP, FISTTP, FBSTP to memory. */
function storeMemory(u: usize, code: u32): usize {
  const group = code >> 8;
  const digit = (code >> 3) & 7;
  const extended = group == 3 && digit == 7;
  const decimal = group == 7 && digit == 6;
  const real = group == 1 || (group == 5 && digit != 1);
  let bytes: u32 = 4;
  if (group == 5 || (group == 7 && digit == 7)) bytes = 8;
  else if (extended || decimal) bytes = 10;
  else if (group == 7) bytes = 2;
  const p = writePointer(effectiveAddress(u), bytes);
  if (p == 0) return fault(u);
  const s = register(0);
  let significand = load<u64>(s);
  let high = <u32>load<u16>(s, 8);
  let answered = true;
  const empty = isEmpty(0);
  if (empty) {
    answered = underflow();
    significand = resultSignificand;
    high = resultHigh;
  }
  if (answered) {
    if (extended) {
      store<u64>(p, significand);
      store<u16>(p, <u16>high, 8);
    } else {
      if (real) answered = V.narrow(significand, high, bytes == 4 ? 24 : 53);
      else if (decimal) answered = V.toDecimal(significand, high);
      else answered = V.toInteger(significand, high, bytes << 3, digit == 1);
      if (answered) {
        if (bytes == 2) store<u16>(p, <u16>V.stored);
        else if (bytes == 4) store<u32>(p, <u32>V.stored);
        else store<u64>(p, V.stored);
        if (bytes == 10) store<u16>(p, <u16>V.storedHigh, 8);
      }
    }
  }
  if (answered) {
    commitIfPending(p, bytes);
    // FST and FIST stay.
    if (digit != 2) pop();
  }
  return finish(u, code, 0, 0);
}

/** FCMOVcc: B, E, BE, U (DA), and their opposites (DB). */
function conditionalMove(u: usize, code: u32): usize {
  const digit = (code >> 3) & 7;
  const index = code & 7;
  if (!bothFull(index)) {
    if (underflow()) putResult(0);
  } else {
    // C1 stays, for once.
    note(statusWord() & C1);
    const q = register(index);
    if (condition(digit == 3 ? 10 : 2 + digit * 2) != ((code >> 8) == 3)) replace(register(0), load<u64>(q), load<u16>(q, 8));
  }
  return finish(u, code, 0, 0);
}

/** Moves between registers: FLD ST(i), FXCH, FST ST(i), FSTP ST(i), FFREEP, and the encodings that do the same. */
function move(u: usize, code: u32): usize {
  const group = code >> 8;
  const digit = (code >> 3) & 7;
  const index = code & 7;
  const p = register(0);
  const q = register(index);
  if (group == 1 && digit == 0) {
    // FLD ST(i).
    let answered = true;
    if (isEmpty(index)) answered = underflow();
    else if (!isEmpty(7)) answered = overflow();
    else setResult(load<u64>(q), load<u16>(q, 8));
    if (answered) pushResult();
    return finish(u, code, 0, 0);
  }
  if (group == 7 && digit == 0) {
    // FFREEP.
    tag(index, false);
    pop();
    return finish(u, code, 0, 0);
  }
  if (digit == 1) {
    // FXCH.
    if (!bothFull(index)) {
      if (!underflow()) return finish(u, code, 0, 0);
      if (isEmpty(0)) putResult(0);
      if (isEmpty(index)) putResult(index);
    }
    const significand = load<u64>(p);
    const high = load<u16>(p, 8);
    replace(p, load<u64>(q), load<u16>(q, 8));
    replace(q, significand, high);
    return finish(u, code, 0, 0);
  }
  // FST and FSTP ST(i). The encoding in D9 takes no notice of an empty register and stores nothing of it.
  let answered = true;
  if (isEmpty(0)) {
    if (group == 1) {
      pop();
      return finish(u, code, 0, 0);
    }
    answered = underflow();
  } else setResult(load<u64>(p), load<u16>(p, 8));
  if (answered) {
    putResult(index);
    if (!(group == 5 && digit == 2)) pop();
  }
  return finish(u, code, 0, 0);
}

/** A constant, rounded to nearest; what other directions make of it is one less or one more in the last place. */
function constant(which: u32): void {
  const mode = rounding();
  const below: u64 = mode == 1 || mode == 3 ? 1 : 0;
  switch (which) {
    case 0:
      setResult(TOP_BIT, 0x3fff);
      break;
    case 1:
      setResult(0xd49a784bcd1b8afe + (mode == 2 ? 1 : 0), 0x4000);
      break;
    case 2:
      setResult(0xb8aa3b295c17f0bc - below, 0x3fff);
      break;
    case 3:
      setResult(0xc90fdaa22168c235 - below, 0x4000);
      break;
    case 4:
      setResult(0x9a209a84fbcff799 - below, 0x3ffd);
      break;
    case 5:
      setResult(0xb17217f7d1cf79ac - below, 0x3ffe);
      break;
    default:
      setResult(0, 0);
  }
}

/** D9 E0..FF: what works on ST(0), and functions of ST(0) and ST(1). */
function unary(u: usize, code: u32): usize {
  const which = code & 0x1f;
  const p = register(0);
  const significand = load<u64>(p);
  const high = <u32>load<u16>(p, 8);
  if (which >= 8 && which <= 14) {
    if (isEmpty(7)) constant(which - 8);
    else if (!overflow()) return finish(u, code, 0, 0);
    pushResult();
    return finish(u, code, 0, 0);
  }
  if (which == 5) {
    // FXAM tells the sign of an empty register too.
    const codes = isEmpty(0) ? C3 | C0 | (high & 0x8000 ? C1 : 0) : A.examine(significand, high);
    return finish(u, code, codes, C0 | C2 | C3);
  }
  if (which == 4) {
    let answered: bool;
    let codes = C0 | C2 | C3;
    if (isEmpty(0)) answered = underflow();
    else {
      answered = A.compare(significand, high, 0, 0, false);
      codes = A.comparison;
    }
    return finish(u, code, codes, C0 | C2 | C3);
  }
  if (which == 0x14) return extract(u, code, significand, high);
  if (which == 0x15 || which == 0x18 || which == 0x1d) {
    // FPREM1, FPREM, FSCALE.
    const q = register(1);
    const remainder = which != 0x1d;
    let codes: u32 = 0;
    let codeMask: u32 = 0;
    let answered: bool;
    if (!bothFull(1)) {
      answered = underflow();
      codeMask = remainder ? C2 : 0;
    } else if (remainder) {
      answered = A.partialRemainder(significand, high, load<u64>(q), load<u16>(q, 8), which == 0x15);
      codes = A.remainderCodes;
      codeMask = A.remainderMask;
    } else answered = A.scale(significand, high, load<u64>(q), load<u16>(q, 8));
    if (answered) putResult(0);
    return finish(u, code, codes, codeMask);
  }
  if (which == 0x11 || which == 0x13 || which == 0x19) return binaryFunction(u, code, significand, high);
  if (which == 0x12 || which >= 0x1e || which == 0x1b) return circular(u, code, significand, high);
  let answered: bool;
  if (isEmpty(0)) answered = underflow();
  else {
    answered = true;
    if (which == 0) setResult(significand, high ^ 0x8000);
    else if (which == 1) setResult(significand, high & 0x7fff);
    else if (which == 0x10) answered = T.exponentialLessOne(significand, high);
    else if (which == 0x1a) answered = A.squareRoot(significand, high);
    else answered = A.roundInteger(significand, high);
  }
  if (answered) putResult(0);
  return finish(u, code, 0, 0);
}

/** FXTRACT. */
function extract(u: usize, code: u32, significand: u64, high: u32): usize {
  if (isEmpty(0)) {
    if (underflow()) {
      putResult(0);
      pushResult();
    }
  } else if (!isEmpty(7)) {
    if (overflow()) {
      putResult(0);
      pushResult();
    }
  } else if (A.extract(significand, high)) {
    putResult(0);
    setResult(A.extractedSignificand, A.extractedHigh);
    pushResult();
  }
  return finish(u, code, 0, 0);
}

/** FYL2X, FPATAN, FYL2XP1: of ST(0) and ST(1), to ST(1), and a pop. */
function binaryFunction(u: usize, code: u32, significand: u64, high: u32): usize {
  const q = register(1);
  const second = load<u64>(q);
  const secondHigh = <u32>load<u16>(q, 8);
  const which = code & 0x1f;
  let answered: bool;
  if (!bothFull(1)) answered = underflow();
  else if (which == 0x11) answered = T.timesLogarithm(significand, high, second, secondHigh);
  else if (which == 0x13) answered = T.angle(significand, high, second, secondHigh);
  else answered = T.timesLogarithmPlusOne(significand, high, second, secondHigh);
  if (answered) {
    putResult(1);
    pop();
  }
  return finish(u, code, 0, 0);
}

/** FSIN, FCOS; FSINCOS and FPTAN, which push a second result. C2 says that the argument is out of range. */
function circular(u: usize, code: u32, significand: u64, high: u32): usize {
  const which = code & 0x1f;
  const pushes = which < 0x1e;
  let answered: bool;
  if (isEmpty(0)) answered = underflow();
  else if (pushes && !isEmpty(7)) answered = overflow();
  else {
    const what = which == 0x12 ? T.TANGENT : which == 0x1b ? T.SINE_COSINE : which == 0x1e ? T.SINE : T.COSINE;
    answered = T.circularFunction(what, significand, high);
    if (T.outOfRange) return finish(u, code, C2, C2);
    if (answered) {
      putResult(0);
      if (pushes) {
        setResult(T.secondSignificand, T.secondHigh);
        pushResult();
      }
    }
    return finish(u, code, 0, C2);
  }
  if (answered) {
    putResult(0);
    if (pushes) pushResult();
  }
  return finish(u, code, 0, C2);
}
