/**
 * What the translations of instructions stand on: a region's locals, its guest registers, its memory operands, and leaving it at an instruction.
 *
 * A memory operand's TLB look-up is inline; a miss (fault, MMIO, page crossing, code page) leaves at that very instruction, and the
 * interpreter executes it. Called by: region-emitter.ts, which extends it by control flow; the emit-*.ts files.
 */
import { SEGMENT, SEGMENT_BYTES, STATE } from '../state-layout.ts';
import { ALL_FLAGS } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import { LOCAL } from './region-locals.ts';
import { RegionVectors } from './region-vectors.ts';
import { type FunctionWriter, OP, VOID } from './wasm-encoder.ts';

/** What stands for an open block, loop or condition: that no node branches to, or those of the node with that order. */
export const PLAIN_LABEL = 0;
export const LOOP_LABEL = 1;
export const BLOCK_LABEL = -1;
/** Number from the outside of the first window's label of side exits. */
export const SIDE_EXITS = 2;

const RSP = 32;
/** Where a field of a segment lies that an instruction names: 1 to 6 ES CS SS DS FS GS. */
function segmentField(segment: number, field: number): number {
  return STATE.SEGMENTS + (segment - 1) * SEGMENT_BYTES + field;
}
/** Whether a segment covers all 4 GiB from 0 wherever 32-bit code is translated: ES, SS and DS. */
function isFlat(segment: number): boolean {
  return segment === 1 || segment === 3 || segment === 4;
}

export class RegionOperands {
  readonly code: FunctionWriter;
  readonly vectors: RegionVectors;
  readonly ccKind = LOCAL.ccKind;
  readonly ccResult = LOCAL.ccResult;
  readonly ccA = LOCAL.ccA;
  readonly ccB = LOCAL.ccB;
  readonly address = LOCAL.address;
  readonly entry = LOCAL.entry;
  readonly pointer = LOCAL.pointer;
  /** Scratch locals for instructions. */
  readonly wide: readonly [number, number, number, number] = [
    LOCAL.wide,
    LOCAL.wide + 1,
    LOCAL.wide + 2,
    LOCAL.wide + 3,
  ];
  readonly narrow: readonly [number, number, number] = [LOCAL.narrow, LOCAL.narrow + 1, LOCAL.narrow + 2];

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
  /** The region is 32-bit code: addresses and the stack pointer are cut off at 32 bits, and the stack's operands are of 32 bits. */
  protected code32 = false;
  /** Offset of the region's entry; addresses in the code are relative to it. */
  protected start = 0;
  /** Number of the window that the current block lies in, and the offset that its side exits are relative to. */
  protected window = 0;
  protected windowStart = 0;
  /** Offset of the current instruction, and how many are charged from it on that did not run. */
  protected at = 0;
  protected left = 0;
  /** Whether anything is looked up in the TLBs. */
  protected reads = false;
  protected writes = false;

  constructor(code: FunctionWriter) {
    this.code = code;
    this.vectors = new RegionVectors(code);
  }

  // ---- leaving the region ----

  /** Depth of the label behind all blocks (0), of that of what side exits have in common (1), or of those of a window (2 and more). */
  protected depthOf(outermost: number): number {
    return this.labels.length - 1 - outermost;
  }
  /** Depth of the label of the current window's side exits. */
  #sideExitDepth(): number {
    return this.depthOf(SIDE_EXITS + this.window);
  }

  /** Has the interpreter go on at the current instruction; `pending` further block levels were opened by the caller. */
  sideExit(): void {
    this.sideExitAt(this.at);
  }
  sideExitAt(offset: number): void {
    const { code } = this;
    code.i32((offset - this.windowStart) * 1024 + this.left);
    code.set(LOCAL.exit);
    code.branch(OP.br, this.#sideExitDepth());
  }
  /** Emits code within a block or a loop of its own, in which it may leave the region. */
  nest(opcode: number, emit: () => void): void {
    this.code.op2(opcode, VOID);
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
    this.code.op2(OP.if, VOID);
    this.labels.push(PLAIN_LABEL);
    body();
    this.labels.pop();
    this.code.op(OP.end);
  }
  /** Takes the i32 on the stack: what `body` emits runs when it is not zero, else what `otherwise` emits. */
  either(body: () => void, otherwise: () => void): void {
    this.code.op2(OP.if, VOID);
    this.labels.push(PLAIN_LABEL);
    body();
    this.code.op(OP.else);
    otherwise();
    this.labels.pop();
    this.code.op(OP.end);
  }
  /** What `body` emits has one side exit for all its conditions: `leaveIf` takes an i32 and leaves when it is not zero. */
  withSideExit(body: (leaveIf: () => void) => void): void {
    const { code } = this;
    code.op2(OP.block, VOID);
    this.labels.push(PLAIN_LABEL);
    code.op2(OP.block, VOID);
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
    this.code.binaryConstant(LOCAL.ripBase, offset - this.start, OP.i64_add);
  }

  local(offset: number): number {
    const local = this.registers[offset >> 3] ?? 0;
    if (local === 0) throw new RangeError(`region: register ${offset} has no local`);
    return local;
  }

  /** Pushes a register's value, sign-extended (or zero-extended) to i64. */
  readRegister(offset: number, size: number, signed = true): void {
    const high = size === 0 ? offset & 7 : 0;
    this.code.readRegister(this.local(offset), size, high, signed ? 1 : 0);
  }

  /** Takes an i64 and writes the register as the architecture does: 32 bits clear the upper half, 8 and 16 keep the rest. */
  writeRegister(offset: number, size: number): void {
    const local = this.local(offset);
    this.written |= 1 << (offset >> 3);
    if (size === 3) this.code.set(local);
    else this.code.writeRegister(local, size, offset & 7);
  }

  /** log2 of the bytes that calls, returns and pushes of the mode's own size move. */
  get stackSize(): number {
    return this.code32 ? 2 : 3;
  }
  /** Takes an address (i64), and pushes what the mode makes of it: 32-bit addresses begin anew behind 4 GiB. */
  cutAddress(): void {
    if (this.code32) this.code.op2(OP.i32_wrap, OP.i64_extend_u);
  }
  /** Pushes the linear address of the place so many bytes from the top of the stack. */
  stackAddress(distance: number): void {
    this.readRegister(RSP, 3);
    if (distance !== 0) {
      this.code.i64(distance);
      this.code.op(OP.i64_add);
    }
    this.cutAddress();
  }
  /** Takes an address (i64) that is the stack pointer from now on. */
  setStackPointer(): void {
    this.writeRegister(RSP, this.stackSize);
  }

  /**
   * Leaves at the current instruction when the segment of its memory operand is not flat, so that its limit or type has to be looked at. In
   * 32-bit code that can only be FS, GS or CS (MODE_FLAT of assembly/state.ts).
   */
  checkSegment({ segment, code32 }: Instruction): void {
    if (!code32 || isFlat(segment)) return;
    const { code } = this;
    code.get(0);
    code.memory(OP.i64_load, segmentField(segment, SEGMENT.LIMIT));
    code.i64(0x8effffffffn);
    code.op(OP.i64_and);
    code.i64(0x82ffffffffn);
    code.op(OP.i64_ne);
    this.sideExitIf();
  }
  /** Takes an offset in a segment, not yet cut off; pushes the linear address. */
  addSegment({ segment, code32 }: Instruction): void {
    const { code } = this;
    if (segment !== 0 && !(code32 && isFlat(segment))) {
      code.get(0);
      code.memory(OP.i64_load, segmentField(segment, SEGMENT.BASE));
      code.op(OP.i64_add);
    }
    this.cutAddress();
  }

  /** Pushes the linear address of the memory operand. `checked`: its segment has been looked at. */
  effectiveAddress(instruction: Instruction, withSegment = true, checked = false): void {
    const { base, displacement, segment } = instruction;
    if (withSegment && instruction.code32 && !isFlat(segment)) {
      if (!checked) this.checkSegment(instruction);
      this.#addressOf(instruction, 0, segmentField(segment, SEGMENT.BASE));
      this.cutAddress();
      return;
    }
    const narrow = instruction.narrowAddress ? 1 : 0;
    const segmentBase = withSegment && segment !== 0 && !instruction.code32 ? segmentField(segment, SEGMENT.BASE) : 0;
    if (base === STATE.RIP_BASE) {
      // Relative to the instruction's start.
      const distance = instruction.offset - this.start + displacement;
      if (distance === (distance | 0)) this.code.addressOf(LOCAL.ripBase, 0, 0, distance, narrow, segmentBase);
      else this.#distantAddress(distance, narrow, segmentBase);
      return;
    }
    this.#addressOf(instruction, narrow, segmentBase);
  }
  #addressOf({ base, index, scale, displacement }: Instruction, narrow: number, segmentBase: number): void {
    this.code.addressOf(
      base === STATE.ZERO_SLOT ? 0 : this.local(base),
      index === STATE.ZERO_SLOT ? 0 : this.local(index),
      scale,
      displacement,
      narrow,
      segmentBase,
    );
  }
  /** A displacement that has become one of more than 32 bits. */
  #distantAddress(distance: number, narrow: number, segmentBase: number): void {
    const { code } = this;
    code.get(LOCAL.ripBase);
    code.i64(distance);
    code.op(OP.i64_add);
    code.set(this.address);
    code.addressOf(this.address, 0, 0, 0, narrow, segmentBase);
  }

  /** Takes a linear address (i64), pushes the host pointer (i32) of `bytes` bytes, or leaves at the current instruction. */
  operandPointer(access: 'read' | 'write', bytes: number): void {
    const reads = access === 'read';
    if (reads) this.reads = true;
    else this.writes = true;
    const exit = (this.at - this.windowStart) * 1024 + this.left;
    this.code.lookUp(reads ? LOCAL.tlbRead : LOCAL.tlbWrite, bytes, exit, this.#sideExitDepth());
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
    this.code.load(size, signed ? 1 : 0);
  }
  /** Takes pointer and i64. */
  storeSized(size: number): void {
    this.code.store(size);
  }

  /** Pushes what `value` pushes onto the guest's stack: 2^size bytes, those of the mode's own size when none is given. */
  push(value: () => void, size = this.stackSize): void {
    this.stackAddress(-(1 << size));
    this.operandPointer('write', 1 << size);
    value();
    this.storeSized(size);
    this.code.get(this.address);
    this.writeRegister(RSP, 3);
  }

  /** Sets the lazy flags from locals; `b` may be left out for logic results. */
  setFlags(kind: number, result: number, a: number, b: number | undefined): void {
    if (this.flagsNeeded) this.code.setFlags(kind, result, a, b ?? 0);
  }
}
