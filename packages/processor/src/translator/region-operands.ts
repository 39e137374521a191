/**
 * What the translations of instructions stand on: a region's locals, its guest registers, its memory operands, and leaving it at an instruction.
 *
 * A memory operand's TLB look-up is inline; a miss (fault, MMIO, page crossing, code page) leaves at that very instruction, and the
 * interpreter executes it. Called by: region-emitter.ts, which extends it by control flow; the emit-*.ts files.
 */
import { STATE } from '../state-layout.ts';
import { ALL_FLAGS } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import { RegionVectors } from './region-vectors.ts';
import { FunctionWriter, OP, VOID } from './wasm-encoder.ts';

/** What stands for an open block, loop or condition: that no node branches to, or those of the node with that order. */
export const PLAIN_LABEL = 0;
export const LOOP_LABEL = 1;
export const BLOCK_LABEL = -1;

const TLB_INDEX_MASK = 0x3ff0;

/** Locals that every region has, so that what is emitted most is the same everywhere; general registers follow, then vectors. */
export const LOCAL = {
  ccResult: 1,
  ccA: 2,
  ccB: 3,
  address: 4,
  wide: [5, 6, 7, 8] as readonly [number, number, number, number],
  ripBase: 9,
  wideCount: 9,
  ccKind: 10,
  entry: 11,
  pointer: 12,
  narrow: [13, 14, 15] as readonly [number, number, number],
  budget: 16,
  /** Where a side exit is: offset from the entry times 1024, plus the charged instructions that did not run. */
  exit: 17,
  result: 18,
  tlbRead: 19,
  tlbWrite: 20,
  narrowCount: 11,
} as const;

/** Code of a TLB look-up in two parts: before the exit of a miss, and behind it. By access and number of bytes. */
const lookups = new Map<number, Uint8Array>();
function lookupBefore(access: 'read' | 'write', bytes: number): Uint8Array {
  const key = bytes * 2 + (access === 'read' ? 0 : 1);
  let code = lookups.get(key);
  if (code === undefined) {
    const writer = new FunctionWriter(1, 64);
    writer.tee(LOCAL.address);
    writer.i64(8);
    writer.op(OP.i64_shr_u, OP.i32_wrap);
    writer.i32(TLB_INDEX_MASK);
    writer.op(OP.i32_and);
    writer.get(access === 'read' ? LOCAL.tlbRead : LOCAL.tlbWrite);
    writer.op(OP.i32_add);
    writer.tee(LOCAL.entry);
    writer.memory(OP.i64_load, 0);
    writer.get(LOCAL.address);
    if (bytes > 1) {
      writer.i64(bytes - 1);
      writer.op(OP.i64_add);
    }
    writer.i64(-4096);
    writer.op(OP.i64_and, OP.i64_ne, OP.if, VOID);
    code = writer.view().slice();
    lookups.set(key, code);
  }
  return code;
}
let lookupEnd: Uint8Array | undefined;
function lookupBehind(): Uint8Array {
  if (lookupEnd === undefined) {
    const writer = new FunctionWriter(1, 64);
    writer.op(OP.end);
    writer.get(LOCAL.address);
    writer.op(OP.i32_wrap);
    writer.get(LOCAL.entry);
    writer.memory(OP.i32_load, 8);
    writer.op(OP.i32_add);
    lookupEnd = writer.view().slice();
  }
  return lookupEnd;
}

export class RegionOperands {
  readonly code = new FunctionWriter();
  readonly vectors = new RegionVectors(this.code);
  readonly ccKind = LOCAL.ccKind;
  readonly ccResult = LOCAL.ccResult;
  readonly ccA = LOCAL.ccA;
  readonly ccB = LOCAL.ccB;
  readonly address = LOCAL.address;
  readonly entry = LOCAL.entry;
  readonly pointer = LOCAL.pointer;
  /** Scratch locals for instructions. */
  readonly wide = LOCAL.wide;
  readonly narrow = LOCAL.narrow;

  /** Static flags kind at the current point; undefined when it is only known at run time. */
  kind: number | undefined;
  /** Flags that can be seen behind the current instruction. */
  live: number = ALL_FLAGS;
  /** Whether flags set by the current instruction can be seen by anything. */
  flagsNeeded = true;

  /** Locals of general registers by number; 0: it has none. */
  protected readonly registers = new Int32Array(16);
  /** Bits of the general registers that are written. */
  protected written = 0;
  /** Blocks, loops and conditions that are open, the innermost last. */
  protected readonly labels: number[] = [];
  /** Offset of the region's entry; addresses in the code are relative to it. */
  protected start = 0;
  /** Offset of the current instruction, and how many are charged from it on that did not run. */
  protected at = 0;
  protected left = 0;
  /** Whether anything is looked up in the TLBs. */
  protected reads = false;
  protected writes = false;

  // ---- leaving the region ----

  /** Depth of the label behind all blocks (0), or of that of side exits (1). */
  protected depthOf(outermost: number): number {
    return this.labels.length - 1 - outermost;
  }

  /** Has the interpreter go on at the current instruction; `pending` further block levels were opened by the caller. */
  sideExit(): void {
    this.sideExitAt(this.at);
  }
  sideExitAt(offset: number): void {
    const { code } = this;
    code.i32((offset - this.start) * 1024 + this.left);
    code.set(LOCAL.exit);
    code.branch(OP.br, this.depthOf(1));
  }
  /** Emits code within a block or a loop of its own, in which it may leave the region. */
  nest(opcode: number, emit: () => void): void {
    this.code.op(opcode, VOID);
    this.labels.push(PLAIN_LABEL);
    emit();
    this.labels.pop();
    this.code.op(OP.end);
  }
  /** Takes the i32 on the stack: when it is not zero, leaves at the current instruction. */
  sideExitIf(): void {
    this.when(() => this.sideExit());
  }
  /** Takes the i32 on the stack: when it is not zero, what `body` emits runs. */
  when(body: () => void): void {
    this.code.op(OP.if, VOID);
    this.labels.push(PLAIN_LABEL);
    body();
    this.labels.pop();
    this.code.op(OP.end);
  }
  /** What `body` emits has one side exit for all its conditions: `leaveIf` takes an i32 and leaves when it is not zero. */
  withSideExit(body: (leaveIf: () => void) => void): void {
    const { code } = this;
    code.op(OP.block, VOID);
    this.labels.push(PLAIN_LABEL);
    code.op(OP.block, VOID);
    this.labels.push(PLAIN_LABEL);
    const depth = this.labels.length;
    body(() => code.branch(OP.br_if, this.labels.length - depth));
    code.branch(OP.br, 1);
    this.labels.pop();
    code.op(OP.end);
    this.sideExit();
    this.labels.pop();
    code.op(OP.end);
  }

  // ---- operands ----

  /** Pushes the RIP of an offset in the page (i64). */
  pushRip(offset: number): void {
    this.code.get(LOCAL.ripBase);
    this.code.i64(offset - this.start);
    this.code.op(OP.i64_add);
  }

  local(offset: number): number {
    const local = this.registers[offset >> 3] ?? 0;
    if (local === 0) throw new RangeError(`region: register ${offset} has no local`);
    return local;
  }

  /** Pushes a register's value, sign-extended (or zero-extended) to i64. */
  readRegister(offset: number, size: number, signed = true): void {
    const { code } = this;
    code.get(this.local(offset));
    if (size === 0 && (offset & 7) !== 0) {
      code.i64(8);
      code.op(OP.i64_shr_u);
    }
    if (size === 3) return;
    if (signed) code.op([OP.i64_extend8, OP.i64_extend16, OP.i64_extend32][size] ?? 0);
    else if (size === 2) code.op(OP.i32_wrap, OP.i64_extend_u);
    else {
      code.i64(size === 0 ? 0xff : 0xffff);
      code.op(OP.i64_and);
    }
  }

  /** Takes an i64 and writes the register as the architecture does: 32 bits clear the upper half, 8 and 16 keep the rest. */
  writeRegister(offset: number, size: number): void {
    const { code } = this;
    const local = this.local(offset);
    this.written |= 1 << (offset >> 3);
    if (size === 3) {
      code.set(local);
      return;
    }
    if (size === 2) {
      code.op(OP.i32_wrap, OP.i64_extend_u);
      code.set(local);
      return;
    }
    const high = size === 0 && (offset & 7) !== 0;
    const mask = size === 1 ? 0xffff : high ? 0xff00 : 0xff;
    if (high) {
      code.i64(8);
      code.op(OP.i64_shl);
    }
    code.i64(mask);
    code.op(OP.i64_and);
    code.get(local);
    code.i64(~mask);
    code.op(OP.i64_and, OP.i64_or);
    code.set(local);
  }

  /** Pushes the linear address of the memory operand. */
  effectiveAddress(instruction: Instruction, withSegment = true): void {
    const { code } = this;
    const { base, index, scale, displacement } = instruction;
    let pushed = false;
    if (base === STATE.RIP_BASE) {
      // Relative to the instruction's start.
      code.get(LOCAL.ripBase);
      code.i64(instruction.offset - this.start + displacement);
      code.op(OP.i64_add);
      pushed = true;
    } else {
      if (base !== STATE.ZERO_SLOT) {
        code.get(this.local(base));
        pushed = true;
      }
      if (index !== STATE.ZERO_SLOT) {
        code.get(this.local(index));
        if (scale !== 0) {
          code.i64(scale);
          code.op(OP.i64_shl);
        }
        if (pushed) code.op(OP.i64_add);
        pushed = true;
      }
      if (displacement !== 0 || !pushed) {
        code.i64(displacement);
        if (pushed) code.op(OP.i64_add);
      }
    }
    if (instruction.narrowAddress) code.op(OP.i32_wrap, OP.i64_extend_u);
    if (withSegment && instruction.segment !== 0) {
      code.get(0);
      code.memory(OP.i64_load, STATE.SEGMENTS + (instruction.segment - 1) * 32);
      code.op(OP.i64_add);
    }
  }

  /** Takes a linear address (i64), pushes the host pointer (i32) of `bytes` bytes, or leaves at the current instruction. */
  operandPointer(access: 'read' | 'write', bytes: number): void {
    const { code } = this;
    if (access === 'read') this.reads = true;
    else this.writes = true;
    code.append(lookupBefore(access, bytes));
    this.labels.push(PLAIN_LABEL);
    this.sideExit();
    this.labels.pop();
    code.append(lookupBehind());
  }

  /** Goes over to the TLB of another context, `delta` bytes behind the current one's. */
  switchTlb(delta: number): void {
    const { code } = this;
    this.reads = true;
    this.writes = true;
    for (const [local, offset] of [
      [LOCAL.tlbRead, STATE.TLB_READ],
      [LOCAL.tlbWrite, STATE.TLB_WRITE],
    ] as const) {
      code.get(local);
      code.i32(delta);
      code.op(OP.i32_add);
      code.set(local);
      code.get(0);
      code.get(local);
      code.memory(OP.i32_store, offset);
    }
  }

  /** Pushes the memory operand's value, extended to i64. */
  loadOperand(instruction: Instruction, size: number, signed: boolean): void {
    this.effectiveAddress(instruction);
    this.operandPointer('read', 1 << size);
    this.loadSized(size, signed);
  }
  loadSized(size: number, signed: boolean): void {
    const opcodes = signed
      ? [OP.i64_load8_s, OP.i64_load16_s, OP.i64_load32_s, OP.i64_load]
      : [OP.i64_load8_u, OP.i64_load16_u, OP.i64_load32_u, OP.i64_load];
    this.code.memory(opcodes[size] ?? OP.i64_load, 0);
  }
  /** Takes pointer and i64. */
  storeSized(size: number): void {
    this.code.memory([OP.i64_store8, OP.i64_store16, OP.i64_store32, OP.i64_store][size] ?? OP.i64_store, 0);
  }

  /** Pushes what `value` pushes onto the guest's stack, 64 bits. */
  push(value: () => void): void {
    const { code } = this;
    this.readRegister(32, 3);
    code.i64(8);
    code.op(OP.i64_sub);
    this.operandPointer('write', 8);
    value();
    code.memory(OP.i64_store, 0);
    code.get(this.address);
    this.writeRegister(32, 3);
  }

  /** Sets the lazy flags from locals; `b` may be left out for logic results. */
  setFlags(kind: number, result: number, a: number, b: number | undefined): void {
    if (!this.flagsNeeded) return;
    const { code } = this;
    const copy = (from: number, to: number): void => {
      if (from === to) return;
      code.get(from);
      code.set(to);
    };
    code.i32(kind);
    code.set(this.ccKind);
    copy(result, this.ccResult);
    copy(a, this.ccA);
    if (b === undefined) {
      code.i64(0);
      code.set(this.ccB);
    } else copy(b, this.ccB);
  }
}
