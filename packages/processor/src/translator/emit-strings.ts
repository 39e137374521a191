/**
 * MOVS and STOS as WebAssembly: a page at a time with the memory's own copy and fill.
 *
 * Each piece lies in one page of the source and one of the destination; between pieces the registers are as the architecture has them, so what
 * leaves the region in the middle (a TLB miss, an overlap that repeats a pattern, an element across two pages) is gone on with by the
 * interpreter. It also takes counts that would keep interrupts waiting, and the downward direction.
 * Answers to: AMD64 manual volume 3; assembly/strings.ts. The conventions of locals are those of emit-operands.ts. Called by:
 * emit-instructions.ts.
 */
import { STATE } from '../state-layout.ts';
import type { Emit } from './emit-operands.ts';
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP } from './wasm-encoder.ts';

const RAX = 0;
const RCX = 8;
const RSI = 48;
const RDI = 56;
const DIRECTION_FLAG = 0x400;
/** Most bytes that one instruction handles here: some microseconds. */
const MOST_BYTES = 0x10000;
const PAGE = 4096;

/** Pushes an index or the count, in the address size. */
function readIndex(emitter: RegionEmitter, register: number): void {
  emitter.readRegister(register, emitter.stackSize, false);
}
function writeIndex(emitter: RegionEmitter, register: number): void {
  emitter.writeRegister(register, emitter.stackSize);
}

/** Leaves the region when strings go downwards. */
function upwards(emitter: RegionEmitter): void {
  const { code } = emitter;
  code.get(0);
  code.memory(OP.i64_load, STATE.FLAGS);
  code.op(OP.i32_wrap);
  code.i32(DIRECTION_FLAG);
  code.op(OP.i32_and);
  emitter.sideExitIf();
}

/** Adds what a local holds to a register. */
function advance(emitter: RegionEmitter, register: number, local: number): void {
  const { code } = emitter;
  readIndex(emitter, register);
  code.get(local);
  code.op(OP.i64_add);
  writeIndex(emitter, register);
}

/** Makes a local the smaller one of itself and the elements that are left in the page of a register's address. */
function limitToPage(emitter: RegionEmitter, register: number, size: number, elements: number, room: number): void {
  const { code } = emitter;
  code.i64(PAGE);
  readIndex(emitter, register);
  code.i64(PAGE - 1);
  code.op2(OP.i64_and, OP.i64_sub);
  if (size > 0) {
    code.i64(size);
    code.op(OP.i64_shr_u);
  }
  code.tee(room);
  code.get(elements);
  code.get(room);
  code.get(elements);
  code.op2(OP.i64_lt_u, OP.select);
  code.set(elements);
}

/** Emits a repeated operation: `piece` handles the bytes of wide[1] at the addresses of the index registers. */
function repeated(
  emitter: RegionEmitter,
  size: number,
  indexes: readonly number[],
  piece: (bytes: number) => void,
): void {
  const { code, wide } = emitter;
  const [elements, bytes, room] = wide;
  readIndex(emitter, RCX);
  code.i64(MOST_BYTES >> size);
  code.op(OP.i64_gt_u);
  emitter.sideExitIf();
  emitter.nest(OP.block, () =>
    emitter.nest(OP.loop, () => {
      readIndex(emitter, RCX);
      code.tee(elements);
      code.op(OP.i64_eqz);
      code.branch(OP.br_if, 1);
      for (const register of indexes) limitToPage(emitter, register, size, elements, room);
      code.get(elements);
      code.op(OP.i64_eqz);
      emitter.sideExitIf();
      code.get(elements);
      code.i64(size);
      code.op(OP.i64_shl);
      code.set(bytes);
      piece(bytes);
      for (const register of indexes) advance(emitter, register, bytes);
      readIndex(emitter, RCX);
      code.get(elements);
      code.op(OP.i64_sub);
      writeIndex(emitter, RCX);
      code.branch(OP.br, 0);
    }),
  );
}

/** The repeat prefix; with these operations REPNE is REP. */
const isRepeated = ({ source }: Instruction): boolean => source !== 0;

export const moveString: Emit = (emitter, instruction) => {
  const { code, wide, pointer, narrow } = emitter;
  const { size } = instruction;
  const [from] = narrow;
  upwards(emitter);
  const operands = (bytes: number): void => {
    // The load comes first, also when both fault.
    readIndex(emitter, RSI);
    emitter.operandPointer('read', bytes);
    code.set(from);
    readIndex(emitter, RDI);
    emitter.operandPointer('write', bytes);
    code.set(pointer);
  };
  if (!isRepeated(instruction)) {
    operands(1 << size);
    code.get(pointer);
    code.get(from);
    emitter.loadSized(size, false);
    emitter.storeSized(size);
    code.i64(1 << size);
    code.set(wide[1]);
    for (const register of [RSI, RDI]) advance(emitter, register, wide[1]);
    return;
  }
  repeated(emitter, size, [RSI, RDI], (bytes) => {
    operands(1);
    // A destination behind the source and within it repeats what lies between.
    code.get(pointer);
    code.get(from);
    code.op(OP.i32_sub);
    code.get(bytes);
    code.op2(OP.i32_wrap, OP.i32_lt_u);
    emitter.sideExitIf();
    code.get(pointer);
    code.get(from);
    code.get(bytes);
    code.op(OP.i32_wrap);
    code.memoryCopy();
  });
};

export const storeString: Emit = (emitter, instruction) => {
  const { code, wide, pointer } = emitter;
  const { size } = instruction;
  upwards(emitter);
  if (!isRepeated(instruction)) {
    readIndex(emitter, RDI);
    emitter.operandPointer('write', 1 << size);
    emitter.readRegister(RAX, size, false);
    emitter.storeSized(size);
    code.i64(1 << size);
    code.set(wide[1]);
    advance(emitter, RDI, wide[1]);
    return;
  }
  if (size > 0) {
    // A value whose bytes are not all the same is the interpreter's.
    emitter.readRegister(RAX, size, false);
    emitter.readRegister(RAX, 0, false);
    code.i64(0x0101010101010101n & ((1n << BigInt(8 << size)) - 1n));
    code.op2(OP.i64_mul, OP.i64_ne);
    emitter.sideExitIf();
  }
  repeated(emitter, size, [RDI], (bytes) => {
    readIndex(emitter, RDI);
    emitter.operandPointer('write', 1);
    code.set(pointer);
    code.get(pointer);
    emitter.readRegister(RAX, 0, false);
    code.op(OP.i32_wrap);
    code.get(bytes);
    code.op(OP.i32_wrap);
    code.memoryFill();
  });
};
