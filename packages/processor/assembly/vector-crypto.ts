/**
 * AES-NI, PCLMULQDQ and SHA on 128 bits. FIPS 197, FIPS 180-4; AMD64 Architecture Programmer's Manual volume 4, Intel SDM volume 2.
 * The contract is that of vectorOperation in vector.ts.
 */
import { Operation } from './generated/operations';
import { get, put } from './vector-integer';
import { AES_FORWARD as FORWARD, AES_INVERSE as INVERSE } from './generated/tables';

function substituted(state: v128, box: usize): v128 {
  let low: u64 = 0;
  let high: u64 = 0;
  const a = i64x2.extract_lane(state, 0);
  const b = i64x2.extract_lane(state, 1);
  for (let i: u64 = 0; i < 64; i += 8) {
    low |= <u64>load<u8>(box + <usize>((a >> i) & 255)) << i;
    high |= <u64>load<u8>(box + <usize>((b >> i) & 255)) << i;
  }
  return i64x2(low, high);
}
/** Doubles all bytes in GF(2^8). */
function doubled(state: v128): v128 {
  return v128.xor(i8x16.shl(state, 1), v128.and(i8x16.shr_s(state, 7), i8x16.splat(0x1b)));
}
function mixed(state: v128): v128 {
  const twice = doubled(state);
  const next = v128.shuffle<i8>(state, state, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
  const opposite = v128.shuffle<i8>(state, state, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  const last = v128.shuffle<i8>(state, state, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
  return v128.xor(v128.xor(v128.xor(twice, v128.xor(next, doubled(next))), opposite), last);
}
/** The inverse is the forward map of what is left of the inverse's matrix: 5 on the diagonal, 4 two places on. */
function inverseMixed(state: v128): v128 {
  const opposite = v128.shuffle<i8>(state, state, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  return mixed(v128.xor(state, doubled(doubled(v128.xor(state, opposite)))));
}
function rowsShifted(state: v128): v128 {
  return v128.shuffle<i8>(state, state, 0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11);
}
function rowsShiftedBack(state: v128): v128 {
  return v128.shuffle<i8>(state, state, 0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3);
}

function substitutedWord(word: u32): u32 {
  return (
    <u32>load<u8>(FORWARD + (word & 255)) | (<u32>load<u8>(FORWARD + ((word >> 8) & 255)) << 8) |
    (<u32>load<u8>(FORWARD + ((word >> 16) & 255)) << 16) | (<u32>load<u8>(FORWARD + (word >> 24)) << 24)
  );
}
function keyAssist(d: usize, s: usize, constant: u32): void {
  const x1 = substitutedWord(load<u32>(s, 4));
  const x3 = substitutedWord(load<u32>(s, 12));
  store<u32>(d, x1);
  store<u32>(d, rotr<u32>(x1, 8) ^ constant, 4);
  store<u32>(d, x3, 8);
  store<u32>(d, rotr<u32>(x3, 8) ^ constant, 12);
}

function carrylessProduct(d: usize, s: usize, select: u32): void {
  const a = load<u64>(d + ((select & 1) << 3));
  let b = load<u64>(s + ((select & 16) >> 1));
  let low: u64 = 0;
  let high: u64 = 0;
  while (b != 0) {
    const shift = ctz<u64>(b);
    low ^= a << shift;
    if (shift != 0) high ^= a >> (64 - shift);
    b &= b - 1;
  }
  store<u64>(d, low);
  store<u64>(d, high, 8);
}

// SHA-1: the registers hold A in the highest element.

function sha1Rounds(d: usize, s: usize, select: u32): void {
  let a = load<u32>(d, 12);
  let b = load<u32>(d, 8);
  let c = load<u32>(d, 4);
  let e: u32 = 0;
  let dd = load<u32>(d);
  for (let i: i32 = 3; i >= 0; i--) {
    let f: u32;
    let k: u32;
    if (select == 0) {
      f = (b & c) ^ (~b & dd);
      k = 0x5a827999;
    } else if (select == 2) {
      f = (b & c) ^ (b & dd) ^ (c & dd);
      k = 0x8f1bbcdc;
    } else {
      f = b ^ c ^ dd;
      k = select == 1 ? 0x6ed9eba1 : 0xca62c1d6;
    }
    const next = f + rotl<u32>(a, 5) + load<u32>(s + (<u32>i << 2)) + e + k;
    e = dd;
    dd = c;
    c = rotl<u32>(b, 30);
    b = a;
    a = next;
  }
  store<u32>(d, dd);
  store<u32>(d, c, 4);
  store<u32>(d, b, 8);
  store<u32>(d, a, 12);
}
function sha1Message2(d: usize, s: usize): void {
  const w13 = load<u32>(s, 8);
  const w14 = load<u32>(s, 4);
  const w15 = load<u32>(s);
  const w16 = rotl<u32>(load<u32>(d, 12) ^ w13, 1);
  const w17 = rotl<u32>(load<u32>(d, 8) ^ w14, 1);
  const w18 = rotl<u32>(load<u32>(d, 4) ^ w15, 1);
  const w19 = rotl<u32>(load<u32>(d) ^ w16, 1);
  store<u32>(d, w19);
  store<u32>(d, w18, 4);
  store<u32>(d, w17, 8);
  store<u32>(d, w16, 12);
}

function small0(x: u32): u32 {
  return rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3);
}
function small1(x: u32): u32 {
  return rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10);
}
/** Two rounds of SHA-256: d has C D G H, s A B E F from the highest element down; `words` two sums of words and constants. */
function sha256Rounds(d: usize, s: usize, words: usize): void {
  let a = load<u32>(s, 12);
  let b = load<u32>(s, 8);
  let c = load<u32>(d, 12);
  let dd = load<u32>(d, 8);
  let e = load<u32>(s, 4);
  let f = load<u32>(s);
  let g = load<u32>(d, 4);
  let h = load<u32>(d);
  const first = load<u32>(words);
  const second = load<u32>(words, 4);
  for (let i = 0; i < 2; i++) {
    const t =
      h + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25)) + ((e & f) ^ (~e & g)) + (i == 0 ? first : second);
    const u = (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = dd + t;
    dd = c;
    c = b;
    b = a;
    a = t + u;
  }
  store<u32>(d, f);
  store<u32>(d, e, 4);
  store<u32>(d, b, 8);
  store<u32>(d, a, 12);
}
function sha256Message2(d: usize, s: usize): void {
  const w16 = load<u32>(d) + small1(load<u32>(s, 8));
  const w17 = load<u32>(d, 4) + small1(load<u32>(s, 12));
  const w18 = load<u32>(d, 8) + small1(w16);
  const w19 = load<u32>(d, 12) + small1(w17);
  store<u32>(d, w16);
  store<u32>(d, w17, 4);
  store<u32>(d, w18, 8);
  store<u32>(d, w19, 12);
}

/** See vectorOperation; `implicit` is the address of XMM0. */
export function cryptographic(operation: u32, d: usize, s: usize, immediate: u32, implicit: usize): u32 {
  switch (operation) {
    case Operation.AESENC:
      put(d, v128.xor(mixed(substituted(rowsShifted(get(d)), FORWARD)), get(s)));
      return 0;
    case Operation.AESENCLAST:
      put(d, v128.xor(substituted(rowsShifted(get(d)), FORWARD), get(s)));
      return 0;
    case Operation.AESDEC:
      put(d, v128.xor(inverseMixed(substituted(rowsShiftedBack(get(d)), INVERSE)), get(s)));
      return 0;
    case Operation.AESDECLAST:
      put(d, v128.xor(substituted(rowsShiftedBack(get(d)), INVERSE), get(s)));
      return 0;
    case Operation.AESIMC:
      put(d, inverseMixed(get(s)));
      return 0;
    case Operation.AESKEYGENASSIST:
      keyAssist(d, s, immediate & 255);
      return 0;
    case Operation.PCLMULQDQ:
      carrylessProduct(d, s, immediate);
      return 0;
    case Operation.SHA1NEXTE: {
      const e = load<u32>(s, 12) + rotl<u32>(load<u32>(d, 12), 30);
      put(d, get(s));
      store<u32>(d, e, 12);
      return 0;
    }
    case Operation.SHA1MSG1: {
      const low = load<u64>(d);
      const x3 = load<u32>(d, 12) ^ <u32>(low >> 32);
      const x2 = load<u32>(d, 8) ^ <u32>low;
      store<u64>(d, low ^ load<u64>(s, 8));
      store<u32>(d, x2, 8);
      store<u32>(d, x3, 12);
      return 0;
    }
    case Operation.SHA1MSG2: sha1Message2(d, s); return 0;
    case Operation.SHA1RNDS4: sha1Rounds(d, s, immediate & 3); return 0;
    case Operation.SHA256RNDS2: sha256Rounds(d, s, implicit); return 0;
    case Operation.SHA256MSG1: {
      const w4 = load<u32>(s);
      for (let i: u32 = 0; i < 4; i++) {
        store<u32>(d + (i << 2), load<u32>(d + (i << 2)) + small0(i == 3 ? w4 : load<u32>(d + (i << 2), 4)));
      }
      return 0;
    }
    case Operation.SHA256MSG2: sha256Message2(d, s); return 0;
    // Every row that the decoder sends here has its case; vector.test.ts goes through the table.
    default: return unreachable();
  }
}
