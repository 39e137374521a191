/**
 * SSE3, SSSE3, SSE4.1 and SSE4.2 on 128 bits: dispatch of the extensions' vector operations. Semantics: AMD64 Architecture Programmer's
 * Manual volume 4. The contract is that of vectorOperation in vector.ts, which sends here what it does not know; a VEX form with 256 bits
 * comes twice (extended.ts).
 */
import * as L from './generated/layout';
import { Operation } from './generated/operations';
import { vp } from './state';
import { get, put, shuffle32 } from './vector-integer';
import { compareElements, fusedOperation, halvesToSingles, isFused, singlesToHalves } from './vector-fused';
import { ADD, SUBTRACT, alternate, dotDouble, dotSingle, horizontalDouble, horizontalSingle, roundDouble, roundDoubles, roundSingle, roundSingles } from './vector-float';
import { cryptographic } from './vector-crypto';

/** Where the operand lies that instructions have beside ModRM: XMM0, or the register that the immediate names. */
export let implicitOperand: usize = 0;
export function setImplicitOperand(address: usize): void {
  implicitOperand = address;
}

// @ts-ignore: decorator
@inline
function done(d: usize, value: v128): u32 {
  put(d, value);
  return 0;
}
// @ts-ignore: decorator
@inline
function leave(value: u64): u32 {
  store<u64>(vp, value, L.VECTOR_RESULT);
  return 0;
}
// @ts-ignore: decorator
@inline
function even16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
}
// @ts-ignore: decorator
@inline
function odd16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}
// @ts-ignore: decorator
@inline
function even32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 0, 2, 4, 6);
}
// @ts-ignore: decorator
@inline
function odd32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 1, 3, 5, 7);
}

/** PMADDUBSW: unsigned bytes of `a` times signed ones of `b`, neighbours added with saturation. */
function multiplyAddBytes(a: v128, b: v128): v128 {
  const evenProducts = i16x8.mul(v128.and(a, i16x8.splat(255)), i16x8.shr_s(i16x8.shl(b, 8), 8));
  const oddProducts = i16x8.mul(i16x8.shr_u(a, 8), i16x8.shr_s(b, 8));
  return i16x8.add_sat_s(evenProducts, oddProducts);
}

/** PALIGNR: bytes `count` to `count + 15` of d above s. */
function alignRight(d: usize, s: usize, count: u32): void {
  const buffer = vp + L.VECTOR_TEMPORARY + 128;
  put(buffer, get(s));
  put(buffer + 16, get(d));
  if (count >= 32) put(d, i64x2.splat(0));
  else {
    put(buffer + 32, i64x2.splat(0));
    put(d, get(buffer + count));
  }
}

/** MPSADBW: sums of absolute differences of four bytes of s with eight places in d. */
function blockDifferences(d: usize, s: usize, select: u32): void {
  const buffer = vp + L.VECTOR_TEMPORARY + 128;
  put(buffer, get(d));
  const block = load<u32>(s + ((select & 3) << 2));
  const from = (select & 4) != 0 ? 4 : 0;
  for (let i: u32 = 0; i < 8; i++) {
    let sum: i32 = 0;
    for (let k: u32 = 0; k < 4; k++) {
      const difference = <i32>load<u8>(buffer + from + i + k) - <i32>((block >> (k << 3)) & 255);
      sum += difference < 0 ? -difference : difference;
    }
    store<u16>(d + (i << 1), <u16>sum);
  }
}

/** PHMINPOSUW. */
function smallestWord(d: usize, s: usize): void {
  let smallest: u32 = load<u16>(s);
  let index: u32 = 0;
  for (let i: u32 = 1; i < 8; i++) {
    const value: u32 = load<u16>(s + (i << 1));
    if (value < smallest) {
      smallest = value;
      index = i;
    }
  }
  store<u64>(d, <u64>smallest | (<u64>index << 16));
  store<u64>(d, 0, 8);
}

/** INSERTPS. `memory`: the source is one element, whatever the immediate says. */
function insertSingle(d: usize, s: usize, immediate: u32, inMemory: bool): void {
  const value = load<u32>(inMemory ? s : s + (((immediate >> 6) & 3) << 2));
  store<u32>(d + (((immediate >> 4) & 3) << 2), value);
  for (let i: u32 = 0; i < 4; i++) {
    if (((immediate >> i) & 1) != 0) store<u32>(d + (i << 2), 0);
  }
}

function blendSingles(d: usize, s: usize, select: u32): void {
  for (let i: u32 = 0; i < 4; i++) {
    if (((select >> i) & 1) != 0) store<u32>(d + (i << 2), load<u32>(s + (i << 2)));
  }
}

/** VPERMILPS: elements of d by the low bits of those of s. */
function permuteSingles(d: usize, s: usize): void {
  const a = load<u32>(d + ((load<u32>(s) & 3) << 2));
  const b = load<u32>(d + ((load<u32>(s, 4) & 3) << 2));
  const c = load<u32>(d + ((load<u32>(s, 8) & 3) << 2));
  const e = load<u32>(d + ((load<u32>(s, 12) & 3) << 2));
  store<u32>(d, a);
  store<u32>(d, b, 4);
  store<u32>(d, c, 8);
  store<u32>(d, e, 12);
}

/** See vectorOperation. */
export function extendedOperation(operation: u32, d: usize, s: usize, immediate: u32): u32 {
  switch (operation) {
    case Operation.LDDQU:
    case Operation.MOVNTDQA:
      return done(d, get(s));
    case Operation.MOVDDUP: return done(d, v128.load64_splat(s));
    case Operation.MOVSHDUP: return done(d, v128.shuffle<i32>(get(s), get(s), 1, 1, 3, 3));
    case Operation.MOVSLDUP: return done(d, v128.shuffle<i32>(get(s), get(s), 0, 0, 2, 2));
    case Operation.ADDSUBPS: return alternate<u32>(d, s);
    case Operation.ADDSUBPD: return alternate<u64>(d, s);
    case Operation.HADDPS: return horizontalSingle(ADD, d, s);
    case Operation.HADDPD: return horizontalDouble(ADD, d, s);
    case Operation.HSUBPS: return horizontalSingle(SUBTRACT, d, s);
    case Operation.HSUBPD: return horizontalDouble(SUBTRACT, d, s);

    case Operation.PSHUFB: return done(d, i8x16.swizzle(get(d), v128.and(get(s), i8x16.splat(<i8>0x8f))));
    case Operation.PHADDW: return done(d, i16x8.add(even16(get(d), get(s)), odd16(get(d), get(s))));
    case Operation.PHADDD: return done(d, i32x4.add(even32(get(d), get(s)), odd32(get(d), get(s))));
    case Operation.PHADDSW: return done(d, i16x8.add_sat_s(even16(get(d), get(s)), odd16(get(d), get(s))));
    case Operation.PHSUBW: return done(d, i16x8.sub(even16(get(d), get(s)), odd16(get(d), get(s))));
    case Operation.PHSUBD: return done(d, i32x4.sub(even32(get(d), get(s)), odd32(get(d), get(s))));
    case Operation.PHSUBSW: return done(d, i16x8.sub_sat_s(even16(get(d), get(s)), odd16(get(d), get(s))));
    case Operation.PMADDUBSW: return done(d, multiplyAddBytes(get(d), get(s)));
    case Operation.PSIGNB: {
      const negative = i8x16.shr_s(get(s), 7);
      return done(d, v128.andnot(i8x16.sub(v128.xor(get(d), negative), negative), i8x16.eq(get(s), i8x16.splat(0))));
    }
    case Operation.PSIGNW: {
      const negative = i16x8.shr_s(get(s), 15);
      return done(d, v128.andnot(i16x8.sub(v128.xor(get(d), negative), negative), i16x8.eq(get(s), i16x8.splat(0))));
    }
    case Operation.PSIGND: {
      const negative = i32x4.shr_s(get(s), 31);
      return done(d, v128.andnot(i32x4.sub(v128.xor(get(d), negative), negative), i32x4.eq(get(s), i32x4.splat(0))));
    }
    case Operation.PMULHRSW: {
      const low = i32x4.extmul_low_i16x8_s(get(d), get(s));
      const high = i32x4.extmul_high_i16x8_s(get(d), get(s));
      const one = i32x4.splat(1);
      return done(d, even16(i32x4.shr_s(i32x4.add(i32x4.shr_s(low, 14), one), 1), i32x4.shr_s(i32x4.add(i32x4.shr_s(high, 14), one), 1)));
    }
    case Operation.PABSB: return done(d, i8x16.abs(get(s)));
    case Operation.PABSW: return done(d, i16x8.abs(get(s)));
    case Operation.PABSD: return done(d, i32x4.abs(get(s)));
    case Operation.PALIGNR: alignRight(d, s, immediate & 255); return 0;

    case Operation.PBLENDVB: return done(d, v128.bitselect(get(s), get(d), i8x16.shr_s(get(implicitOperand), 7)));
    case Operation.BLENDVPS: return done(d, v128.bitselect(get(s), get(d), i32x4.shr_s(get(implicitOperand), 31)));
    case Operation.BLENDVPD: return done(d, v128.bitselect(get(s), get(d), i64x2.shr_s(get(implicitOperand), 63)));
    case Operation.PTEST:
      return leave((v128.any_true(v128.and(get(d), get(s))) ? 0 : 0x40) | (v128.any_true(v128.andnot(get(s), get(d))) ? 0 : 1));
    case Operation.PMOVSXBW: return done(d, v128.load_ext<i8>(s));
    case Operation.PMOVSXBD: return done(d, i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(s))));
    case Operation.PMOVSXBQ:
      return done(d, i64x2(<i64>load<i8>(s), <i64>load<i8>(s, 1)));
    case Operation.PMOVSXWD: return done(d, v128.load_ext<i16>(s));
    case Operation.PMOVSXWQ: return done(d, i64x2(<i64>load<i16>(s), <i64>load<i16>(s, 2)));
    case Operation.PMOVSXDQ: return done(d, v128.load_ext<i32>(s));
    case Operation.PMOVZXBW: return done(d, v128.load_ext<u8>(s));
    case Operation.PMOVZXBD: return done(d, i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(s))));
    case Operation.PMOVZXBQ: return done(d, i64x2(<i64>load<u8>(s), <i64>load<u8>(s, 1)));
    case Operation.PMOVZXWD: return done(d, v128.load_ext<u16>(s));
    case Operation.PMOVZXWQ: return done(d, i64x2(<i64>load<u16>(s), <i64>load<u16>(s, 2)));
    case Operation.PMOVZXDQ: return done(d, v128.load_ext<u32>(s));
    case Operation.PMULDQ: {
      const a = i64x2.shr_s(i64x2.shl(get(d), 32), 32);
      const b = i64x2.shr_s(i64x2.shl(get(s), 32), 32);
      return done(d, i64x2.mul(a, b));
    }
    case Operation.PCMPEQQ: return done(d, i64x2.eq(get(d), get(s)));
    case Operation.PCMPGTQ: return done(d, i64x2.gt_s(get(d), get(s)));
    case Operation.PACKUSDW: return done(d, i16x8.narrow_i32x4_u(get(d), get(s)));
    case Operation.PMINSB: return done(d, i8x16.min_s(get(d), get(s)));
    case Operation.PMINSD: return done(d, i32x4.min_s(get(d), get(s)));
    case Operation.PMINUW: return done(d, i16x8.min_u(get(d), get(s)));
    case Operation.PMINUD: return done(d, i32x4.min_u(get(d), get(s)));
    case Operation.PMAXSB: return done(d, i8x16.max_s(get(d), get(s)));
    case Operation.PMAXSD: return done(d, i32x4.max_s(get(d), get(s)));
    case Operation.PMAXUW: return done(d, i16x8.max_u(get(d), get(s)));
    case Operation.PMAXUD: return done(d, i32x4.max_u(get(d), get(s)));
    case Operation.PMULLD: return done(d, i32x4.mul(get(d), get(s)));
    case Operation.PHMINPOSUW: smallestWord(d, s); return 0;
    case Operation.ROUNDPS: return roundSingles(d, s, immediate);
    case Operation.ROUNDPD: return roundDoubles(d, s, immediate);
    case Operation.ROUNDSS: return roundSingle(d, s, immediate);
    case Operation.ROUNDSD: return roundDouble(d, s, immediate);
    case Operation.BLENDPS: blendSingles(d, s, immediate); return 0;
    case Operation.BLENDPD:
      if ((immediate & 1) != 0) store<u64>(d, load<u64>(s));
      if ((immediate & 2) != 0) store<u64>(d, load<u64>(s, 8), 8);
      return 0;
    case Operation.PBLENDW:
      for (let i: u32 = 0; i < 8; i++) {
        if (((immediate >> i) & 1) != 0) store<u16>(d + (i << 1), load<u16>(s + (i << 1)));
      }
      return 0;
    case Operation.PEXTRB: return leave(<u64>load<u8>(s + (immediate & 15)));
    case Operation.PEXTRW_STORE: return leave(<u64>load<u16>(s + ((immediate & 7) << 1)));
    case Operation.PEXTRD:
      return leave((immediate & 0x40000000) != 0 ? load<u64>(s + ((immediate & 1) << 3)) : <u64>load<u32>(s + ((immediate & 3) << 2)));
    case Operation.EXTRACTPS: return leave(<u64>load<u32>(s + ((immediate & 3) << 2)));
    case Operation.PINSRB: store<u8>(d + (immediate & 15), load<u8>(s)); return 0;
    case Operation.PINSRD:
      if ((immediate & 0x40000000) != 0) store<u64>(d + ((immediate & 1) << 3), load<u64>(s));
      else store<u32>(d + ((immediate & 3) << 2), load<u32>(s));
      return 0;
    case Operation.INSERTPS: insertSingle(d, s, immediate, (immediate & 0x80000000) != 0); return 0;
    case Operation.DPPS: return dotSingle(d, s, immediate);
    case Operation.DPPD: return dotDouble(d, s, immediate);
    case Operation.MPSADBW: blockDifferences(d, s, immediate); return 0;

    // AVX, on each half of 256 bits.
    case Operation.VCMPPS: return compareElements<u32>(d, s, immediate & 31, 4);
    case Operation.VCMPPD: return compareElements<u64>(d, s, immediate & 31, 2);
    case Operation.VCMPSS: return compareElements<u32>(d, s, immediate & 31, 1);
    case Operation.VCMPSD: return compareElements<u64>(d, s, immediate & 31, 1);
    case Operation.VCVTPH2PS: return halvesToSingles(d, s);
    case Operation.VCVTPS2PH: return singlesToHalves(d, s, immediate);
    case Operation.VTESTPS:
      return leave((i32x4.bitmask(v128.and(get(d), get(s))) != 0 ? 0 : 0x40) | (i32x4.bitmask(v128.andnot(get(s), get(d))) != 0 ? 0 : 1));
    case Operation.VTESTPD:
      return leave((i64x2.bitmask(v128.and(get(d), get(s))) != 0 ? 0 : 0x40) | (i64x2.bitmask(v128.andnot(get(s), get(d))) != 0 ? 0 : 1));
    case Operation.VPERMILPS: permuteSingles(d, s); return 0;
    case Operation.VPERMILPS_IMM: shuffle32(d, s, immediate); return 0;
    case Operation.VPERMILPD: {
      const low = load<u64>(d + (<usize>(load<u32>(s) & 2) << 2));
      const high = load<u64>(d + (<usize>(load<u32>(s, 8) & 2) << 2));
      return done(d, i64x2(<i64>low, <i64>high));
    }
    case Operation.VPERMILPD_IMM:
      return done(d, i64x2(load<i64>(s + ((immediate & 1) << 3)), load<i64>(s + ((immediate & 2) << 2))));
    case Operation.VPBLENDD: blendSingles(d, s, immediate); return 0;
    case Operation.VPSLLVD:
    case Operation.VPSRLVD:
    case Operation.VPSRAVD:
      for (let at: u32 = 0; at < 16; at += 4) {
        const count = load<u32>(s + at);
        const value = load<u32>(d + at);
        if (operation == Operation.VPSRAVD) store<i32>(d + at, <i32>value >> (count > 31 ? 31 : <i32>count));
        else store<u32>(d + at, count > 31 ? 0 : operation == Operation.VPSLLVD ? value << count : value >> count);
      }
      return 0;
    case Operation.VPSLLVQ:
    case Operation.VPSRLVQ:
      for (let at: u32 = 0; at < 16; at += 8) {
        const count = load<u64>(s + at);
        const value = load<u64>(d + at);
        store<u64>(d + at, count > 63 ? 0 : operation == Operation.VPSLLVQ ? value << count : value >> count);
      }
      return 0;
    default:
      if (isFused(operation)) return fusedOperation(operation, d, implicitOperand, s);
      return cryptographic(operation, d, s, immediate, implicitOperand);
  }
}
