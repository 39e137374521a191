/**
 * Lazy arithmetic flags.
 *
 * CC_KIND says how OF SF ZF AF PF CF follow from three values, all sign-extended to 64 bits from the operation's size, so that no case
 * depends on the size: result r, first operand a, second operand b.
 *   0 EXPLICIT  the flags stand in CC_B
 *   1 ADD       r = a + b          (logic operations are ADD with a = r, b = 0: CF, OF and AF come out clear)
 *   2 SUB       r = a - b
 *   3 ADD, 4 SUB with CF as it was: bit 0 of CC_KIND's upper half (kind | CF << 8)
 *   5 RESULT    SF, ZF, PF from r; CF and OF stand in CC_B
 */
import * as L from './generated/layout';
import { vp, FLAGS_ARITHMETIC } from './state';

export const CC_EXPLICIT: u32 = 0;
export const CC_ADD: u32 = 1;
export const CC_SUB: u32 = 2;
export const CC_INC: u32 = 3;
export const CC_DEC: u32 = 4;
export const CC_RESULT_KIND: u32 = 5;

// @ts-ignore: decorator
@inline
function kind(): u32 {
  return load<u32>(vp, L.CC_KIND) & 0xff;
}

// @ts-ignore: decorator
@inline
export function setLazy(ccKind: u32, result: i64, a: i64, b: i64): void {
  store<u32>(vp, ccKind, L.CC_KIND);
  store<i64>(vp, result, L.CC_RESULT);
  store<i64>(vp, a, L.CC_A);
  store<i64>(vp, b, L.CC_B);
}
// @ts-ignore: decorator
@inline
export function setLogic(result: i64): void {
  store<u32>(vp, CC_ADD, L.CC_KIND);
  store<i64>(vp, result, L.CC_RESULT);
  store<i64>(vp, result, L.CC_A);
  store<i64>(vp, 0, L.CC_B);
}
// @ts-ignore: decorator
@inline
export function setExplicit(flags: u64): void {
  store<u32>(vp, CC_EXPLICIT, L.CC_KIND);
  store<u64>(vp, flags, L.CC_B);
}
// @ts-ignore: decorator
@inline
export function setResult(result: i64, carryAndOverflow: u64): void {
  store<u32>(vp, CC_RESULT_KIND, L.CC_KIND);
  store<i64>(vp, result, L.CC_RESULT);
  store<u64>(vp, carryAndOverflow, L.CC_B);
}

export function carry(): bool {
  const k = load<u32>(vp, L.CC_KIND);
  switch (k & 0xff) {
    case 1:
      return load<u64>(vp, L.CC_RESULT) < load<u64>(vp, L.CC_A);
    case 2:
      return load<u64>(vp, L.CC_A) < load<u64>(vp, L.CC_B);
    case 3:
    case 4:
      return (k & 0x100) != 0;
    default:
      return (load<u64>(vp, L.CC_B) & 1) != 0;
  }
}
// @ts-ignore: decorator
@inline
export function zero(): bool {
  if (kind() == CC_EXPLICIT) return (load<u64>(vp, L.CC_B) & 0x40) != 0;
  return load<u64>(vp, L.CC_RESULT) == 0;
}
// @ts-ignore: decorator
@inline
export function sign(): bool {
  if (kind() == CC_EXPLICIT) return (load<u64>(vp, L.CC_B) & 0x80) != 0;
  return load<i64>(vp, L.CC_RESULT) < 0;
}
export function parity(): bool {
  if (kind() == CC_EXPLICIT) return (load<u64>(vp, L.CC_B) & 4) != 0;
  return (popcnt<u32>(<u32>load<u8>(vp, L.CC_RESULT)) & 1) == 0;
}
export function overflow(): bool {
  const k = kind();
  if (k == CC_EXPLICIT || k == CC_RESULT_KIND) return (load<u64>(vp, L.CC_B) & 0x800) != 0;
  const a = load<i64>(vp, L.CC_A);
  const b = load<i64>(vp, L.CC_B);
  const r = load<i64>(vp, L.CC_RESULT);
  if (k == CC_ADD || k == CC_INC) return ((a ^ r) & (b ^ r)) < 0;
  return ((a ^ b) & (a ^ r)) < 0;
}
function auxiliary(): bool {
  const k = kind();
  if (k == CC_EXPLICIT) return (load<u64>(vp, L.CC_B) & 0x10) != 0;
  if (k == CC_RESULT_KIND) return false;
  return ((load<u64>(vp, L.CC_A) ^ load<u64>(vp, L.CC_B) ^ load<u64>(vp, L.CC_RESULT)) & 0x10) != 0;
}
// @ts-ignore: decorator
@inline
export function less(): bool {
  if (kind() == CC_SUB) return load<i64>(vp, L.CC_A) < load<i64>(vp, L.CC_B);
  return sign() != overflow();
}

/** The six arithmetic flags as RFLAGS bits. */
export function arithmeticFlags(): u64 {
  if (kind() == CC_EXPLICIT) return load<u64>(vp, L.CC_B) & FLAGS_ARITHMETIC;
  return (
    (carry() ? 1 : 0) |
    (parity() ? 4 : 0) |
    (auxiliary() ? 0x10 : 0) |
    (zero() ? 0x40 : 0) |
    (sign() ? 0x80 : 0) |
    (overflow() ? 0x800 : 0)
  );
}

/** RFLAGS as software sees them. */
export function getFlags(): u64 {
  return load<u64>(vp, L.FLAGS) | arithmeticFlags() | 2;
}

/** Condition code 0..15. */
export function condition(code: u32): bool {
  let value = false;
  switch (code >> 1) {
    case 0:
      value = overflow();
      break;
    case 1:
      value = carry();
      break;
    case 2:
      value = zero();
      break;
    case 3:
      value = carry() || zero();
      break;
    case 4:
      value = sign();
      break;
    case 5:
      value = parity();
      break;
    case 6:
      value = less();
      break;
    default:
      value = zero() || less();
  }
  return value != ((code & 1) != 0);
}
