/**
 * A small WebAssembly encoder: the bytes of instructions. Modules are put together in wasm-module.ts.
 *
 * Functions are written by the core (assembly/code-writer.ts): most of what a cold translator does is this. It does not look whether there
 * is room: `reserve` does, once for each guest instruction.
 * Answers to: WebAssembly core specification 2.0, section 5. Called by: region-emitter.ts and the emitters.
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
  f32_neg: 0x8c,
  f32_trunc: 0x8f,
  f32_nearest: 0x90,
  f32_sqrt: 0x91,
  f32_add: 0x92,
  f32_sub: 0x93,
  f32_mul: 0x94,
  f32_div: 0x95,
  f64_abs: 0x99,
  f64_neg: 0x9a,
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

/** Growing bytes with LEB128 numbers, for what stands around the functions. Whoever writes makes room before. */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }
  reserve(count: number): void {
    const { bytes, length } = this;
    if (length + count <= bytes.length) return;
    this.check();
    this.bytes = new Uint8Array(Math.max(length + count, bytes.length * 2));
    this.bytes.set(bytes);
  }
  /** @throws RangeError when more was written than there was room for, which is lost */
  check(): void {
    if (this.length > this.bytes.length) throw new RangeError('more WebAssembly was written than there was room for');
  }

  byte(value: number): void {
    this.bytes[this.length++] = value;
  }
  unsigned(value: number): void {
    let left = value >>> 0;
    while (left >= 0x80) {
      this.byte((left & 0x7f) | 0x80);
      left >>>= 7;
    }
    this.byte(left);
  }
  append(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
  text(value: string): void {
    this.unsigned(value.length);
    for (let at = 0; at < value.length; at++) this.byte(value.charCodeAt(at));
  }
  /** What was written, until more is. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Functions of assembly/code-writer.ts, which see; flags are 0 or 1. */
export interface CodeWriterExports {
  codeBegin(address: number, end: number): void;
  codeReserve(): void;
  codeFull(): number;
  codeLength(): number;
  codeBlank(from: number, to: number): void;
  codeOp(first: number): void;
  codeOp2(first: number, second: number): void;
  codeOp3(first: number, second: number, third: number): void;
  codeOp4(first: number, second: number, third: number, fourth: number): void;
  codeUnsigned(value: number): void;
  codeWithUnsigned(opcode: number, value: number): void;
  codeGet(local: number): void;
  codeSet(local: number): void;
  codeTee(local: number): void;
  codeI32(value: number): void;
  codeI64(value: number): void;
  codeI64Wide(low: number, high: number): void;
  codeMemory(opcode: number, offset: number): void;
  codeStep(local: number, opcode: number, value: number): void;
  codeLoadField(opcode: number, offset: number, local: number): void;
  codeStoreField(opcode: number, offset: number, local: number): void;
  codeBinary(left: number, right: number, opcode: number): void;
  codeBinaryConstant(left: number, value: number, opcode: number): void;
  codeExtend(size: number): void;
  codeReadRegister(local: number, size: number, high: number, signed: number): void;
  codeWriteRegister(local: number, size: number, high: number): void;
  codeAddress(base: number, index: number, scale: number, displacement: number, narrow: number, segment: number): void;
  codeLookUp(tlb: number, bytes: number, exit: number, depth: number): void;
  codeLoad(size: number, signed: number): void;
  codeStore(size: number): void;
  codeSetFlags(kind: number, result: number, a: number, b: number): void;
}

/** A function's code while it is written, by the core. Its parameters (i32) are the first locals. */
export class FunctionWriter {
  readonly #core: CodeWriterExports;
  readonly #bytes: Uint8Array;
  readonly #address: number;
  readonly #end: number;
  readonly #locals: number[] = [];
  #parameters = 1;

  // The core's functions themselves: a method around each would cost several times what they do.
  readonly op: CodeWriterExports['codeOp'];
  readonly op2: CodeWriterExports['codeOp2'];
  readonly op3: CodeWriterExports['codeOp3'];
  readonly op4: CodeWriterExports['codeOp4'];
  readonly byte: CodeWriterExports['codeOp'];
  readonly unsigned: CodeWriterExports['codeUnsigned'];
  readonly get: CodeWriterExports['codeGet'];
  readonly set: CodeWriterExports['codeSet'];
  readonly tee: CodeWriterExports['codeTee'];
  readonly i32: CodeWriterExports['codeI32'];
  /** An i64 constant that is a signed number of 32 bits. */
  readonly small: CodeWriterExports['codeI64'];
  /** A load or store; alignment is only a hint, so none is claimed. */
  readonly memory: CodeWriterExports['codeMemory'];
  /** br, br_if. */
  readonly branch: CodeWriterExports['codeWithUnsigned'];
  readonly reserve: CodeWriterExports['codeReserve'];
  /** Makes nothing of what was written from one place to another; it must be whole instructions. */
  readonly blank: CodeWriterExports['codeBlank'];
  readonly step: CodeWriterExports['codeStep'];
  readonly loadField: CodeWriterExports['codeLoadField'];
  readonly storeField: CodeWriterExports['codeStoreField'];
  readonly binary: CodeWriterExports['codeBinary'];
  readonly binaryConstant: CodeWriterExports['codeBinaryConstant'];
  readonly extend: CodeWriterExports['codeExtend'];
  readonly readRegister: CodeWriterExports['codeReadRegister'];
  readonly writeRegister: CodeWriterExports['codeWriteRegister'];
  readonly addressOf: CodeWriterExports['codeAddress'];
  readonly lookUp: CodeWriterExports['codeLookUp'];
  readonly load: CodeWriterExports['codeLoad'];
  readonly store: CodeWriterExports['codeStore'];
  readonly setFlags: CodeWriterExports['codeSetFlags'];

  /** @param area from `address` to `end`, where the core writes one function at a time */
  constructor(core: CodeWriterExports, memory: WebAssembly.Memory, address: number, end: number) {
    this.#core = core;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#address = address;
    this.#end = end;
    this.op = core.codeOp;
    this.op2 = core.codeOp2;
    this.op3 = core.codeOp3;
    this.op4 = core.codeOp4;
    this.byte = core.codeOp;
    this.unsigned = core.codeUnsigned;
    this.get = core.codeGet;
    this.set = core.codeSet;
    this.tee = core.codeTee;
    this.i32 = core.codeI32;
    this.small = core.codeI64;
    this.memory = core.codeMemory;
    this.branch = core.codeWithUnsigned;
    this.reserve = core.codeReserve;
    this.blank = core.codeBlank;
    this.step = core.codeStep;
    this.loadField = core.codeLoadField;
    this.storeField = core.codeStoreField;
    this.binary = core.codeBinary;
    this.binaryConstant = core.codeBinaryConstant;
    this.extend = core.codeExtend;
    this.readRegister = core.codeReadRegister;
    this.writeRegister = core.codeWriteRegister;
    this.addressOf = core.codeAddress;
    this.lookUp = core.codeLookUp;
    this.load = core.codeLoad;
    this.store = core.codeStore;
    this.setFlags = core.codeSetFlags;
  }

  /** Another function begins. */
  begin(parameters = 1): void {
    this.#parameters = parameters;
    this.#locals.length = 0;
    this.#core.codeBegin(this.#address, this.#end);
  }
  /** Bytes that were written. */
  get length(): number {
    return this.#core.codeLength();
  }
  /** There was no room for all of it. */
  get full(): boolean {
    return this.#core.codeFull() !== 0;
  }
  /** @returns the index of a new local of the type */
  local(type: number): number {
    this.#locals.push(type);
    return this.#locals.length + this.#parameters - 1;
  }
  i64(value: number | bigint): void {
    if (typeof value === 'number' && value === (value | 0)) this.small(value);
    else {
      const wide = BigInt(value);
      this.#core.codeI64Wide(Number(wide & 0xffffffffn), Number((wide >> 32n) & 0xffffffffn));
    }
  }
  call(number: number): void {
    this.branch(OP.call, number);
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
  /** What was written, until the next function begins. */
  view(): Uint8Array {
    return this.#bytes.subarray(this.#address, this.#address + this.length);
  }
  /** Writes the function to a code section: size, locals in runs, instructions, end. */
  writeTo(section: ByteWriter): void {
    const code = this.view();
    const types = this.#locals;
    // Types in runs; their numbers come before them, so they are counted first.
    let runs = 0;
    let bytes = 1;
    for (let at = 0; at < types.length; ) {
      const end = endOfRun(types, at);
      runs++;
      bytes += end - at < 0x80 ? 2 : 3;
      at = end;
    }
    if (runs >= 0x80 || types.length >= 0x4000) throw new RangeError(`a function with ${types.length} locals`);
    section.reserve(bytes + code.length + 16);
    section.unsigned(bytes + code.length + 1);
    section.unsigned(runs);
    for (let at = 0; at < types.length; ) {
      const end = endOfRun(types, at);
      section.unsigned(end - at);
      section.byte(types[at] ?? 0);
      at = end;
    }
    section.append(code);
    section.byte(OP.end);
  }
}
function endOfRun(types: readonly number[], from: number): number {
  let at = from + 1;
  while (at < types.length && types[at] === types[from]) at++;
  return at;
}

/** Type of a region's function in a module. */
export const REGION_TYPE = 0;
/** Numbers of the functions that each module has before its regions: the core's, which are imported (wasm-module.ts), and the chain. */
export const EXECUTE = 0;
export const FUSE_DOUBLE = 1;
export const FUSE_SINGLE = 2;
export const CHAIN = 3;
