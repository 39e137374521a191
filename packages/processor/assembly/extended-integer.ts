/**
 * Integer extensions: BMI1, BMI2, LZCNT, MOVBE, ADX, CRC32, RDSEED, RDPID.
 * Each handler returns the next operation. Answers to: AMD64 manual volume 3; Intel SDM volume 2 for ADX and RDPID. Called by extended.ts.
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp, getRegister, setRegister, RDX } from './state';
import { readPointer, writePointer, commitIfPending, effectiveAddress } from './memory';
import { sizeOf, fault, putRegister, loadUnsigned, storeSized } from './operands';
import { arithmeticFlags, setExplicit, setLogic, setResult } from './flags';
import { FORM_M, FORM_RM, FORM_MR, IMMEDIATE_REGISTER_SHIFT } from './decoder';
import { hostRandom } from './host';

const CARRY: u64 = 1;
const ZERO: u64 = 0x40;
const OVERFLOW: u64 = 0x800;

// @ts-ignore: decorator
@inline
function vexRegister(u: usize): u32 {
  return ((load<u32>(u, 12) >> IMMEDIATE_REGISTER_SHIFT) & 15) << 3;
}
// @ts-ignore: decorator
@inline
function truncated(value: u64, size: u32): u64 {
  return size == 3 ? value : size == 2 ? value & 0xffffffff : value & 0xffff;
}
/** A result as lazy flags have it: sign-extended. */
function extended(value: u64, size: u32): i64 {
  return size == 3 ? <i64>value : <i64><i32>value;
}

/** Bits of `value` gathered where `mask` has ones. */
export function extractBits(value: u64, mask: u64): u64 {
  let result: u64 = 0;
  for (let to: u64 = 0; mask != 0; to++) {
    result |= ((value >> ctz<u64>(mask)) & 1) << to;
    mask &= mask - 1;
  }
  return result;
}
/** The low bits of `value` put where `mask` has ones. */
export function depositBits(value: u64, mask: u64): u64 {
  let result: u64 = 0;
  for (; mask != 0; value >>= 1) {
    if (value & 1) result |= mask & (0 - mask);
    mask &= mask - 1;
  }
  return result;
}

/** CRC-32C (polynomial 11EDC6F41h, reflected) over `bytes` bytes. */
export function crc32(crc: u32, value: u64, bytes: u32): u32 {
  for (let i: u32 = 0; i < bytes; i++) {
    crc ^= <u32>value & 0xff;
    value >>= 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78 & (0 - (crc & 1)));
  }
  return crc;
}

function byteSwapped(value: u64, size: u32): u64 {
  return size == 3 ? bswap<u64>(value) : size == 2 ? <u64>bswap<u32>(<u32>value) : <u64>bswap<u16>(<u16>value);
}

function moveSwapped(u: usize, form: u32): usize {
  const size = sizeOf(u);
  const bytes: u32 = 1 << size;
  const address = effectiveAddress(u);
  if (form == FORM_MR) {
    const p = writePointer(address, bytes);
    if (p == 0) return fault(u);
    storeSized(p, size, <i64>byteSwapped(loadUnsigned(vp + load<u8>(u, 3), size), size));
    commitIfPending(p, bytes);
  } else {
    const p = readPointer(address, bytes);
    if (p == 0) return fault(u);
    putRegister(load<u8>(u, 2), size, <i64>byteSwapped(loadUnsigned(p, size), size));
  }
  return u + 16;
}

/** @returns the next operation, or 0 when the operation is none of this file's */
export function executeExtendedInteger(u: usize, operation: u32, form: u32): usize {
  switch (operation) {
    case Operation.MOVBE:
      return moveSwapped(u, form);
    case Operation.RDPID:
      setRegister(load<u8>(u, 2), load<u64>(vp, L.TSC_AUX) & 0xffffffff);
      return u + 16;
    case Operation.RDSEED:
      putRegister(load<u8>(u, 2), sizeOf(u), <i64>((<u64>hostRandom() << 32) | <u64>hostRandom()));
      setExplicit(CARRY);
      return u + 16;
    case Operation.TZCNT:
    case Operation.LZCNT:
    case Operation.ANDN:
    case Operation.BEXTR:
    case Operation.BLSR:
    case Operation.BLSMSK:
    case Operation.BLSI:
    case Operation.BZHI:
    case Operation.MULX:
    case Operation.PDEP:
    case Operation.PEXT:
    case Operation.RORX:
    case Operation.SARX:
    case Operation.SHLX:
    case Operation.SHRX:
    case Operation.ADCX:
    case Operation.ADOX:
    case Operation.CRC32:
    case Operation.CRC32_8:
      break;
    default:
      return 0;
  }
  const size = sizeOf(u);
  const single = operation == Operation.BLSR || operation == Operation.BLSMSK || operation == Operation.BLSI;
  let p: usize = vp + (single ? load<u8>(u, 2) : load<u8>(u, 3));
  const sourceSize = operation == Operation.CRC32_8 ? 0 : size;
  if (form == FORM_RM || form == FORM_M) {
    p = readPointer(effectiveAddress(u), 1 << sourceSize);
    if (p == 0) return fault(u);
  }
  const source = loadUnsigned(p, sourceSize);
  const to = single ? vexRegister(u) : <u32>load<u8>(u, 2);
  const bits: u64 = 8 << size;
  const other = truncated(getRegister(vexRegister(u)), size);
  let result: u64 = 0;
  switch (operation) {
    case Operation.TZCNT:
    case Operation.LZCNT:
      if (operation == Operation.TZCNT) result = source == 0 ? bits : ctz<u64>(source);
      else result = clz<u64>(source) - (64 - bits);
      putRegister(to, size, <i64>result);
      setExplicit((source == 0 ? CARRY : 0) | (result == 0 ? ZERO : 0));
      return u + 16;
    case Operation.ANDN:
      result = ~other & source;
      setLogic(extended(result, size));
      break;
    case Operation.BEXTR: {
      const first = other & 0xff;
      const length = (other >> 8) & 0xff;
      result = first >= bits ? 0 : source >> first;
      if (length < 64) result &= (<u64>1 << length) - 1;
      setLogic(extended(result, size));
      break;
    }
    case Operation.BLSR:
      result = truncated(source & (source - 1), size);
      setResult(extended(result, size), source == 0 ? CARRY : 0);
      break;
    case Operation.BLSMSK:
      result = truncated(source ^ (source - 1), size);
      setResult(extended(result, size), source == 0 ? CARRY : 0);
      break;
    case Operation.BLSI:
      result = truncated(source & (0 - source), size);
      setResult(extended(result, size), source != 0 ? CARRY : 0);
      break;
    case Operation.BZHI: {
      const index = other & 0xff;
      result = index < bits ? source & ((<u64>1 << index) - 1) : source;
      setResult(extended(result, size), index >= bits ? CARRY : 0);
      break;
    }
    case Operation.MULX: {
      const factor = truncated(getRegister(RDX), size);
      if (size == 3) {
        const x = source & 0xffffffff;
        const y = factor & 0xffffffff;
        const cross = (source >> 32) * y + ((x * y) >> 32);
        const middle = x * (factor >> 32) + (cross & 0xffffffff);
        const high = (source >> 32) * (factor >> 32) + (cross >> 32) + (middle >> 32);
        setRegister(vexRegister(u), source * factor);
        // With one register for both, the upper half stays.
        setRegister(to, high);
      } else {
        const product = source * factor;
        putRegister(vexRegister(u), 2, <i64>product);
        putRegister(to, 2, <i64>(product >> 32));
      }
      return u + 16;
    }
    case Operation.PDEP:
      result = depositBits(other, source);
      break;
    case Operation.PEXT:
      result = extractBits(other, source);
      break;
    case Operation.RORX: {
      const count = <u64>load<u8>(u, 12) & (bits - 1);
      result = count == 0 ? source : (source >> count) | (source << (bits - count));
      break;
    }
    case Operation.SARX:
      result = <u64>((size == 3 ? <i64>source : <i64>(<i32>source)) >> <i64>(other & (bits - 1)));
      break;
    case Operation.SHLX:
      result = source << (other & (bits - 1));
      break;
    case Operation.SHRX:
      result = source >> (other & (bits - 1));
      break;
    case Operation.ADCX:
    case Operation.ADOX: {
      const flag = operation == Operation.ADCX ? CARRY : OVERFLOW;
      const flags = arithmeticFlags();
      const own = truncated(getRegister(to), size);
      const carryIn: u64 = (flags & flag) != 0 ? 1 : 0;
      const sum = own + source + carryIn;
      const carryOut = size == 3 ? sum < own || (carryIn != 0 && sum == own) : sum >> 32 != 0;
      setExplicit((flags & ~flag) | (carryOut ? flag : 0));
      result = sum;
      break;
    }
    default:
      result = <u64>crc32(load<u32>(vp + to), source, 1 << sourceSize);
      setRegister(to, result);
      return u + 16;
  }
  putRegister(to, size, <i64>result);
  return u + 16;
}
