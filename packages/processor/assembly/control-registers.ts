/**
 * Control and debug registers: what may be written to them, and what follows for mode, translations and decoded code.
 *
 * A write that is refused changes nothing. Answers to: AMD64 manual volume 2, chapters 3 and 13. Called by system.ts.
 */
import * as L from './generated/layout';
import {
  vp, getRegister, setRegister, segment, MODE_64, CR0_PE, CR0_PG, CR0_WP, CR0_TS, CR0_EM, CR0_NE, CR0_ET, CR0_NW, CR0_CD, CR0_AM, CR0_MP, CR4_PAE,
  CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMEP, CR4_SMAP, CR4_UMIP, CR4_TSD, CR4_DE, CR4_MCE, CR4_PCE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_FSGSBASE,
  CR4_OSXSAVE, CR4_PKE, EFER_LMA, EFER_LME, SEG_CS, VECTOR_UD, VECTOR_GP, VECTOR_DB,
} from './state';
import { flushAll, selectContext, switchAddressSpace } from './tlb';
import { accessDetected, debugRegistersChanged } from './debug';
import { raiseAt, nextRip, go } from './operands';
import { updateMode, longMode } from './segments';
import { readCr8, writeCr8 } from './apic';
import { isAbsent, privileged } from './system';
import { FEATURE_PKU } from './generated/tables';

const CR0_KNOWN: u64 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
const CR4_KNOWN: u64 =
  CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE |
  CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE;

/** Writes CR0. @returns false for #GP. */
export function writeCr0(value: u64): bool {
  if (value >> 32 != 0) return false;
  value = (value & CR0_KNOWN) | CR0_ET;
  if ((value & CR0_PG) != 0 && (value & CR0_PE) == 0) return false;
  if ((value & CR0_NW) != 0 && (value & CR0_CD) == 0) return false;
  const before = load<u64>(vp, L.CR0);
  const efer = load<u64>(vp, L.EFER);
  if ((value & CR0_PG) != 0 && (before & CR0_PG) == 0) {
    if (efer & EFER_LME) {
      if (!(load<u64>(vp, L.CR4) & CR4_PAE)) return false;
      if (load<u32>(segment(SEG_CS), L.SEGMENT_ATTRIBUTES) & 0x2000) return false;
      store<u64>(vp, efer | EFER_LMA, L.EFER);
    }
  } else if ((value & CR0_PG) == 0 && (before & CR0_PG) != 0) {
    if (load<u32>(vp, L.MODE) & MODE_64 || (load<u64>(vp, L.CR4) & CR4_PCIDE) != 0) return false;
    store<u64>(vp, efer & ~EFER_LMA, L.EFER);
  }
  store<u64>(vp, value, L.CR0);
  if ((value ^ before) & (CR0_PG | CR0_WP | CR0_PE)) {
    updateMode();
    flushAll();
  } else if ((value ^ before) & CR0_AM) selectContext();
  return true;
}

export function writeCr3(value: u64): bool {
  const pcide = (load<u64>(vp, L.CR4) & CR4_PCIDE) != 0;
  const keep = pcide && value >> 63 != 0;
  if (pcide) value &= 0x7fffffffffffffff;
  const physical = (<u64>1 << load<u32>(L.SHARED + L.SHARED_PHYSICAL_ADDRESS_BITS)) - 1;
  if (longMode() && (value & ~physical) != 0) return false;
  store<u64>(vp, value, L.CR3);
  switchAddressSpace(value, keep);
  return true;
}

export function writeCr4(value: u64): bool {
  if (value & ~CR4_KNOWN) return false;
  if ((value & CR4_PKE) != 0 && isAbsent(FEATURE_PKU)) return false;
  const before = load<u64>(vp, L.CR4);
  if (longMode() && (value & CR4_PAE) == 0) return false;
  if ((value & CR4_PCIDE) != 0 && (before & CR4_PCIDE) == 0) {
    if (!longMode() || (load<u64>(vp, L.CR3) & 0xfff) != 0) return false;
  }
  store<u64>(vp, value, L.CR4);
  if ((value ^ before) & CR4_DE) debugRegistersChanged();
  if ((value ^ before) & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE)) {
    flushAll();
    switchAddressSpace(load<u64>(vp, L.CR3), false);
  }
  return true;
}

/** That a control register does not exist is found before that nobody may have it. */
function controlExists(number: u32): bool {
  return number == 0 || number == 2 || number == 3 || number == 4 || number == 8;
}
export function moveToControl(u: usize): usize {
  if (!controlExists(load<u8>(u, 2))) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  const value = load<u32>(vp, L.MODE) & MODE_64 ? getRegister(load<u8>(u, 3)) : getRegister(load<u8>(u, 3)) & 0xffffffff;
  let good = true;
  switch (load<u8>(u, 2)) {
    case 0:
      good = writeCr0(value);
      break;
    case 2:
      store<u64>(vp, value, L.CR2);
      break;
    case 3:
      good = writeCr3(value);
      break;
    case 4:
      good = writeCr4(value);
      break;
    case 8:
      good = value < 16;
      if (good) writeCr8(value);
      break;
    default:
      return raiseAt(u, VECTOR_UD, 0);
  }
  return good ? go(nextRip(u)) : raiseAt(u, VECTOR_GP, 0);
}

export function moveFromControl(u: usize): usize {
  if (!controlExists(load<u8>(u, 3))) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  let value: u64 = 0;
  switch (load<u8>(u, 3)) {
    case 0:
      value = load<u64>(vp, L.CR0);
      break;
    case 2:
      value = load<u64>(vp, L.CR2);
      break;
    case 3:
      value = load<u64>(vp, L.CR3);
      break;
    case 4:
      value = load<u64>(vp, L.CR4);
      break;
    case 8:
      value = readCr8();
      break;
    default:
      return raiseAt(u, VECTOR_UD, 0);
  }
  setRegister(load<u8>(u, 2), load<u32>(vp, L.MODE) & MODE_64 ? value : value & 0xffffffff);
  return u + 16;
}

function debugRegister(u: usize, number: u32): i32 {
  if (number == 4 || number == 5) {
    if (load<u64>(vp, L.CR4) & CR4_DE) return -1;
    return number + 2;
  }
  return number < 8 ? <i32>number : -1;
}
function debugAddress(number: i32): usize {
  return number < 4 ? vp + L.DR0 + number * 8 : number == 6 ? vp + L.DR6 : vp + L.DR7;
}

export function moveFromDebug(u: usize): usize {
  const number = debugRegister(u, load<u8>(u, 3));
  if (number < 0) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  if (accessDetected()) return raiseAt(u, VECTOR_DB, 0);
  const content = load<u64>(debugAddress(number));
  setRegister(load<u8>(u, 2), load<u32>(vp, L.MODE) & MODE_64 ? content : content & 0xffffffff);
  return u + 16;
}
export function moveToDebug(u: usize): usize {
  const number = debugRegister(u, load<u8>(u, 2));
  if (number < 0) return raiseAt(u, VECTOR_UD, 0);
  if (!privileged()) return raiseAt(u, VECTOR_GP, 0);
  if (accessDetected()) return raiseAt(u, VECTOR_DB, 0);
  let value = getRegister(load<u8>(u, 3));
  if (!(load<u32>(vp, L.MODE) & MODE_64)) value &= 0xffffffff;
  if (number >= 6 && load<u32>(vp, L.MODE) & MODE_64 && value >> 32 != 0) return raiseAt(u, VECTOR_GP, 0);
  if (number == 6) value = (value & 0xe00f) | 0xffff0ff0;
  if (number == 7) value = (value & 0xffff2fff) | 0x400;
  store<u64>(debugAddress(number), value);
  if (number != 6) debugRegistersChanged();
  return go(nextRip(u));
}
