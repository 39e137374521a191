/**
 * A small WebAssembly encoder: bytes of instructions, and modules of functions over one imported shared memory.
 * Answers to: WebAssembly core specification 2.0, section 5. Called by: region-emitter.ts and the translator.
 */
import { V } from './vector-opcodes.ts';

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export const VOID = 0x40;

/** Opcodes by the specification's names. */
export const OP = {
  nop: 0x01,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  br_if: 0x0d,
  return: 0x0f,
  call: 0x10,
  return_call: 0x12,
  return_call_indirect: 0x13,
  drop: 0x1a,
  select: 0x1b,
  local_get: 0x20,
  local_set: 0x21,
  local_tee: 0x22,
  i32_load: 0x28,
  i64_load: 0x29,
  f32_load: 0x2a,
  f64_load: 0x2b,
  i32_load16_u: 0x2f,
  i64_load8_s: 0x30,
  i64_load8_u: 0x31,
  i64_load16_s: 0x32,
  i64_load16_u: 0x33,
  i64_load32_s: 0x34,
  i64_load32_u: 0x35,
  i32_store: 0x36,
  i64_store: 0x37,
  i64_store8: 0x3c,
  i64_store16: 0x3d,
  i64_store32: 0x3e,
  i32_const: 0x41,
  i64_const: 0x42,
  f32_const: 0x43,
  f64_const: 0x44,
  i32_eqz: 0x45,
  i32_eq: 0x46,
  i32_ne: 0x47,
  i32_lt_s: 0x48,
  i32_lt_u: 0x49,
  i32_gt_u: 0x4b,
  i32_ge_u: 0x4f,
  i64_eqz: 0x50,
  i64_eq: 0x51,
  i64_ne: 0x52,
  i64_lt_s: 0x53,
  i64_lt_u: 0x54,
  i64_gt_s: 0x55,
  i64_gt_u: 0x56,
  i64_le_s: 0x57,
  i64_le_u: 0x58,
  i64_ge_s: 0x59,
  i64_ge_u: 0x5a,
  f32_eq: 0x5b,
  f32_ne: 0x5c,
  f32_lt: 0x5d,
  f32_gt: 0x5e,
  f32_le: 0x5f,
  f32_ge: 0x60,
  f64_eq: 0x61,
  f64_ne: 0x62,
  f64_lt: 0x63,
  f64_gt: 0x64,
  f64_le: 0x65,
  f64_ge: 0x66,
  i32_add: 0x6a,
  i32_sub: 0x6b,
  i32_mul: 0x6c,
  i32_and: 0x71,
  i32_or: 0x72,
  i32_xor: 0x73,
  i32_shl: 0x74,
  i32_shr_s: 0x75,
  i32_shr_u: 0x76,
  i32_rotl: 0x77,
  i32_rotr: 0x78,
  i64_clz: 0x79,
  i64_ctz: 0x7a,
  i64_popcnt: 0x7b,
  i64_add: 0x7c,
  i64_sub: 0x7d,
  i64_mul: 0x7e,
  i64_div_s: 0x7f,
  i64_div_u: 0x80,
  i64_rem_s: 0x81,
  i64_rem_u: 0x82,
  i64_and: 0x83,
  i64_or: 0x84,
  i64_xor: 0x85,
  i64_shl: 0x86,
  i64_shr_s: 0x87,
  i64_shr_u: 0x88,
  i64_rotl: 0x89,
  i64_rotr: 0x8a,
  f32_abs: 0x8b,
  f32_trunc: 0x8f,
  f32_nearest: 0x90,
  f32_sqrt: 0x91,
  f32_add: 0x92,
  f32_sub: 0x93,
  f32_mul: 0x94,
  f32_div: 0x95,
  f64_abs: 0x99,
  f64_trunc: 0x9d,
  f64_nearest: 0x9e,
  f64_sqrt: 0x9f,
  f64_add: 0xa0,
  f64_sub: 0xa1,
  f64_mul: 0xa2,
  f64_div: 0xa3,
  i32_wrap: 0xa7,
  i32_trunc_f32: 0xa8,
  i32_trunc_f64: 0xaa,
  i64_extend_s: 0xac,
  i64_extend_u: 0xad,
  i64_trunc_f32: 0xae,
  i64_trunc_f64: 0xb0,
  f32_convert_i32: 0xb2,
  f32_convert_i64: 0xb4,
  f32_demote: 0xb6,
  f64_convert_i32: 0xb7,
  f64_convert_i64: 0xb9,
  f64_promote: 0xbb,
  i32_reinterpret: 0xbc,
  i64_reinterpret: 0xbd,
  i64_extend8: 0xc2,
  i64_extend16: 0xc3,
  i64_extend32: 0xc4,
} as const;

/** Atomic read-modify-write operations (threads proposal): number of the i32 form; those of i64 follow by width. */
export const ATOMIC = {
  add: 0x1e,
  sub: 0x25,
  and: 0x2c,
  or: 0x33,
  xor: 0x3a,
  xchg: 0x41,
  cmpxchg: 0x48,
} as const;
/** Where the i64 forms of 8, 16, 32 and 64 bits stand behind the i32 form. */
export const ATOMIC_WIDTH = [4, 5, 6, 1] as const;

/** Growing bytes with LEB128 numbers. The methods are short of calls: most of a cold translator's time goes through them. */
class ByteWriter {
  #bytes: Uint8Array;
  length = 0;

  constructor(bytes = new Uint8Array(4096)) {
    this.#bytes = bytes;
  }
  /** Room for `count` more bytes. */
  #room(count: number): Uint8Array {
    const needed = this.length + count;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  byte(value: number): void {
    this.#room(1)[this.length++] = value;
  }
  /** Up to four bytes. */
  op(first: number, second = -1, third = -1, fourth = -1): void {
    const bytes = this.#room(4);
    let at = this.length;
    bytes[at++] = first;
    if (second >= 0) bytes[at++] = second;
    if (third >= 0) bytes[at++] = third;
    if (fourth >= 0) bytes[at++] = fourth;
    this.length = at;
  }
  /** Opcodes that each take the same kind of operand: an unsigned number. */
  withUnsigned(opcode: number, value: number): void {
    const bytes = this.#room(6);
    let at = this.length;
    bytes[at++] = opcode;
    let left = value >>> 0;
    while (left >= 0x80) {
      bytes[at++] = (left & 0x7f) | 0x80;
      left >>>= 7;
    }
    bytes[at++] = left;
    this.length = at;
  }
  withSigned(opcode: number, value: number): void {
    const bytes = this.#room(6);
    let at = this.length;
    bytes[at++] = opcode;
    let left = value | 0;
    while (left > 63 || left < -64) {
      bytes[at++] = (left & 0x7f) | 0x80;
      left >>= 7;
    }
    bytes[at++] = left & 0x7f;
    this.length = at;
  }
  unsigned(value: number): void {
    let left = value >>> 0;
    while (left >= 0x80) {
      this.byte((left & 0x7f) | 0x80);
      left >>>= 7;
    }
    this.byte(left);
  }
  signed64(value: bigint): void {
    let left = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(left & 0x7fn);
      left >>= 7n;
      if ((left === 0n && (low & 0x40) === 0) || (left === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }
  append(bytes: Uint8Array): void {
    this.#room(bytes.length).set(bytes, this.length);
    this.length += bytes.length;
  }
  text(value: string): void {
    this.unsigned(value.length);
    for (let at = 0; at < value.length; at++) this.byte(value.charCodeAt(at));
  }
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

const SCRATCH = new Uint8Array(64 * 1024);
const HEADER = new Uint8Array(1024);

/** A function's code while it is written. Its parameters (i32) are the first locals. */
export class FunctionWriter extends ByteWriter {
  readonly #locals: number[] = [];
  readonly #parameters: number;

  /** One function is written at a time, so all begin in the same buffer; what is written meanwhile needs `bytes` of its own. */
  constructor(parameters = 1, bytes = SCRATCH) {
    super(bytes);
    this.#parameters = parameters;
  }
  /** @returns the index of a new local of the type */
  local(type: number): number {
    this.#locals.push(type);
    return this.#locals.length + this.#parameters - 1;
  }
  call(number: number): void {
    this.withUnsigned(OP.call, number);
  }
  /** A tail call of another function of the module; its arguments are on the stack. */
  tailCall(number: number): void {
    this.byte(OP.return_call);
    this.unsigned(number);
  }
  /** A tail call of a region through the module's table, by the index on the stack. */
  tailCallRegion(): void {
    for (const byte of [OP.return_call_indirect, REGION_TYPE, 0]) this.byte(byte);
  }
  get(local: number): void {
    this.withUnsigned(OP.local_get, local);
  }
  set(local: number): void {
    this.withUnsigned(OP.local_set, local);
  }
  tee(local: number): void {
    this.withUnsigned(OP.local_tee, local);
  }
  i32(value: number): void {
    this.withSigned(OP.i32_const, value);
  }
  i64(value: number | bigint): void {
    if (typeof value === 'number' && value >= -0x80000000 && value <= 0x7fffffff) {
      this.withSigned(OP.i64_const, value);
      return;
    }
    this.byte(OP.i64_const);
    this.signed64(BigInt(value));
  }
  /** A load or store; alignment is only a hint, so none is claimed. */
  memory(opcode: number, offset: number): void {
    this.byte(opcode);
    this.withUnsigned(0, offset);
  }
  /** An atomic i64 operation on 2^size bytes; the address must be aligned. */
  atomic(operation: number, size: number): void {
    for (const byte of [0xfe, operation + (ATOMIC_WIDTH[size] ?? 1), size, 0]) this.byte(byte);
  }
  /** Takes destination, source and bytes, or destination, value and bytes. */
  memoryCopy(): void {
    for (const byte of [0xfc, 0x0a, 0, 0]) this.byte(byte);
  }
  memoryFill(): void {
    for (const byte of [0xfc, 0x0b, 0]) this.byte(byte);
  }
  f32(value: number): void {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setFloat32(0, value, true);
    this.byte(OP.f32_const);
    for (let at = 0; at < 4; at++) this.byte(bytes.getUint8(at));
  }
  f64(value: number): void {
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setFloat64(0, value, true);
    this.byte(OP.f64_const);
    for (let at = 0; at < 8; at++) this.byte(bytes.getUint8(at));
  }
  /** Vector instructions without an immediate. */
  vector(...opcodes: readonly number[]): void {
    for (const opcode of opcodes) {
      this.byte(0xfd);
      this.unsigned(opcode);
    }
  }
  lane(opcode: number, lane: number): void {
    this.vector(opcode);
    this.byte(lane);
  }
  vectorMemory(opcode: number, offset: number): void {
    this.vector(opcode);
    this.byte(0);
    this.unsigned(offset);
  }
  /** A constant, or the lanes of a shuffle (0..15 the first operand's bytes, 16..31 the second's). */
  vectorBytes(opcode: number, bytes: readonly number[]): void {
    this.vector(opcode);
    for (const value of bytes) this.byte(value);
  }
  /** A constant of four equal 32-bit elements. */
  splat32(value: number): void {
    this.vectorBytes(
      V.const,
      Array.from({ length: 16 }, (_, at) => (value >>> ((at & 3) * 8)) & 0xff),
    );
  }
  /** A constant of two equal 64-bit elements. */
  splat64(value: bigint): void {
    this.vectorBytes(
      V.const,
      Array.from({ length: 16 }, (_, at) => Number((value >> BigInt((at & 7) * 8)) & 0xffn)),
    );
  }
  branch(opcode: number, depth: number): void {
    this.withUnsigned(opcode, depth);
  }
  /** Makes nothing of what was written from one place to another; it must be whole instructions. */
  blank(from: number, to: number): void {
    this.view().fill(OP.nop, from, to);
  }
  /** The body as the code section wants it: locals in runs, instructions, end. */
  body(): Uint8Array {
    const out = new ByteWriter(HEADER);
    const runs: [number, number][] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last !== undefined && last[1] === type) last[0]++;
      else runs.push([1, type]);
    }
    out.unsigned(runs.length);
    for (const [count, type] of runs) {
      out.unsigned(count);
      out.byte(type);
    }
    const body = new Uint8Array(out.length + this.length + 1);
    body.set(out.view());
    body.set(this.view(), out.length);
    body[body.length - 1] = OP.end;
    return body;
  }
}

function section(out: ByteWriter, id: number, content: ByteWriter): void {
  out.byte(id);
  out.unsigned(content.length);
  out.append(content.view());
}

/** Types of a module's functions: a region, and what leads from one region to the next. */
const REGION_TYPE = 0;
const CHAIN_TYPE = 1;
/** Numbers of the functions that each module has before its regions: the core's `execute`, which is imported, and the chain. */
export const EXECUTE = 0;
export const CHAIN = 1;
const FIRST_REGION = 2;
const FUNCREF = 0x70;

/**
 * A module over the shared memory `env.memory` of at most 65536 pages: function 0 is `env.execute` (i32) -> i32, 1 is `chain`
 * (i32, i32) -> i32, then come regions (i32) -> i32, which are exported by their number from 0 on and stand in the module's own table at that number.
 */
export function encodeModule(chain: Uint8Array, regions: readonly Uint8Array[], maximumPages: number): Uint8Array {
  const out = new ByteWriter();
  for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
  const types = new ByteWriter();
  for (const byte of [2, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 1, I32]) types.byte(byte);
  section(out, 1, types);
  const imports = new ByteWriter();
  imports.unsigned(2);
  imports.text('env');
  imports.text('memory');
  imports.byte(2);
  imports.byte(3);
  imports.unsigned(1);
  imports.unsigned(maximumPages);
  imports.text('env');
  imports.text('execute');
  imports.byte(0);
  imports.unsigned(REGION_TYPE);
  section(out, 2, imports);
  const functions = new ByteWriter();
  functions.unsigned(regions.length + 1);
  functions.unsigned(CHAIN_TYPE);
  for (let number = 0; number < regions.length; number++) functions.unsigned(REGION_TYPE);
  section(out, 3, functions);
  const table = new ByteWriter();
  for (const byte of [1, FUNCREF, 1]) table.byte(byte);
  table.unsigned(regions.length);
  table.unsigned(regions.length);
  section(out, 4, table);
  const exports = new ByteWriter();
  exports.unsigned(regions.length);
  for (let number = 0; number < regions.length; number++) {
    exports.text(String(number));
    exports.byte(0);
    exports.unsigned(FIRST_REGION + number);
  }
  section(out, 7, exports);
  const elements = new ByteWriter();
  for (const byte of [1, 0, OP.i32_const, 0, OP.end]) elements.byte(byte);
  elements.unsigned(regions.length);
  for (let number = 0; number < regions.length; number++) elements.unsigned(FIRST_REGION + number);
  section(out, 9, elements);
  const code = new ByteWriter();
  code.unsigned(regions.length + 1);
  for (const body of [chain, ...regions]) {
    code.unsigned(body.length);
    code.append(body);
  }
  section(out, 10, code);
  return out.view().slice();
}
