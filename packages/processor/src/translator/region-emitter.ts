/**
 * One region to one WebAssembly function (processor block address) -> operation to go on with; it ends in the chain function (chain.ts).
 *
 * Registers and lazy flags live in locals: loaded once at the entry, stored once at the exit. Control flow is structured by dominators
 * (Ramsey, "Beyond Relooper"): forward merges are blocks, back edges loops. A memory operand's TLB look-up is inline; a miss (fault, MMIO,
 * page crossing, code page) leaves at that very instruction, and the interpreter executes it. There are no calls.
 *
 * Exits: `side` (L.RIP is the instruction; LEAVE_INTERPRET), direct (a linked operation of the arena), computed (L.RIP; LEAVE_JUMP).
 * The budget is charged per block and looked at on back edges.
 *
 * Invariant: at every exit all six lazy-flag fields and all registers of the block equal what the interpreter would have left.
 * Called by: translator.ts. The instructions themselves stand in emit-*.ts.
 */
import { STATE } from '../state-layout.ts';
import { emitCondition, makeFloatsExplicit } from './emit-conditions.ts';
import { emitInstruction, usesVectors } from './emit-instructions.ts';
import { ALL_FLAGS, flagNeeds, flagsWritten, kindAfter, kindsAtEntry, touchesFlags } from './flag-analysis.ts';
import { registerName } from './format-instruction.ts';
import type { Instruction } from './instruction.ts';
import type { Region, RegionNode, Terminator } from './region.ts';
import { registersOf } from './region-registers.ts';
import { RegionVectors } from './region-vectors.ts';
import { CHAIN, EXECUTE, FunctionWriter, I32, I64, OP, VOID } from './wasm-encoder.ts';

/** What a region's code needs of the run loop: addresses relative to the processor's block, and exits to direct targets. */
export interface RegionHost {
  readonly leaveInterpret: number;
  readonly leaveInterpretOne: number;
  readonly leaveJump: number;
  /** @returns address (relative to the processor's block) of an operation that jumps by `delta` from the entry's RIP */
  directExit(delta: number): number;
  /** @returns address (relative to the processor's block) of the instruction's operation, for the core to execute */
  operation(instruction: Instruction): number;
  /** Told of each instruction, and of each part of the frame around them, at the place where its code begins. */
  mark?(at: number, what: Instruction | string): void;
}

interface Label {
  readonly kind: 'loop' | 'block' | 'plain';
  /** Order of the node that a branch to this label reaches. */
  readonly target: number;
}

const PLAIN: Label = { kind: 'plain', target: -3 };

const TLB_INDEX_MASK = 0x3ff0;

/** Locals that every region has, so that what is emitted most is the same everywhere; general registers follow, then vectors. */
const LOCAL = {
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
    const writer = new FunctionWriter(1, new Uint8Array(64));
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
    const writer = new FunctionWriter(1, new Uint8Array(64));
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

export class RegionEmitter {
  readonly code = new FunctionWriter();
  readonly region: Region;
  readonly #host: RegionHost;
  /** Locals of general registers by number; 0: it has none. */
  readonly #registers: Int32Array;
  /** Bits of the general registers that are written. */
  #written = 0;
  readonly #labels: Label[] = [];
  readonly #kinds: readonly (number | undefined)[];
  readonly #needs: readonly (readonly number[])[];
  /** Whether anything in the region reads or writes flags; if not they stay where they are. */
  readonly #touchesFlags: boolean;

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
  readonly vectors: RegionVectors;
  readonly #ripBase = LOCAL.ripBase;
  readonly #budget = LOCAL.budget;
  readonly #exit = LOCAL.exit;
  readonly #result = LOCAL.result;
  readonly #tlbRead = LOCAL.tlbRead;
  readonly #tlbWrite = LOCAL.tlbWrite;

  /** Static flags kind at the current point; undefined when it is only known at run time. */
  kind: number | undefined;
  /** Flags that can be seen behind the current instruction. */
  live: number = ALL_FLAGS;
  /** Whether flags set by the current instruction can be seen by anything. */
  flagsNeeded = true;
  #current: Instruction | undefined;
  /** Where the loads of the TLBs' addresses begin and end; what is not looked up in is not loaded. */
  readonly #tlbLoads: number[] = [];
  #reads = false;
  #writes = false;
  #left = 0;

  constructor(region: Region, host: RegionHost) {
    this.region = region;
    this.#host = host;
    for (let index = 0; index < LOCAL.wideCount; index++) this.code.local(I64);
    for (let index = 0; index < LOCAL.narrowCount; index++) this.code.local(I32);
    this.#registers = new Int32Array(16);
    const used = registersOf(region);
    for (let register = 0; register < 16; register++) {
      if ((used & (1 << register)) !== 0) this.#registers[register] = this.code.local(I64);
    }
    this.vectors = new RegionVectors(this.code, region);
    this.#touchesFlags = touchesFlags(region);
    this.#needs = flagNeeds(region);
    this.#kinds = kindsAtEntry(region, this.#needs);
  }

  /** @returns the function's body */
  emit(): Uint8Array {
    const { code } = this;
    this.#host.mark?.(0, 'entry');
    this.#prologue();
    code.op(OP.block, VOID);
    this.#labels.push({ kind: 'plain', target: -1 });
    code.op(OP.block, VOID);
    this.#labels.push({ kind: 'plain', target: -2 });
    this.#checkVectors();
    const first = this.region.nodes[0];
    if (first !== undefined) this.#emitTree(first);
    this.#labels.pop();
    code.op(OP.end);
    // Side exit: the interpreter executes the instruction at RIP.
    this.#host.mark?.(code.length, 'exits');
    code.get(0);
    code.get(this.#ripBase);
    code.get(this.#exit);
    code.i32(10);
    code.op(OP.i32_shr_s, OP.i64_extend_s, OP.i64_add);
    code.memory(OP.i64_store, STATE.RIP);
    code.get(this.#exit);
    code.i32(0x3ff);
    code.op(OP.i32_and);
    code.tee(this.#result);
    code.get(this.#budget);
    code.op(OP.i32_add);
    code.set(this.#budget);
    // With nothing charged in vain the instruction is one that has no translation.
    code.get(0);
    code.i32(this.#host.leaveInterpret - this.#host.leaveInterpretOne);
    code.i32(0);
    code.get(this.#result);
    code.op(OP.select);
    code.i32(this.#host.leaveInterpretOne);
    code.op(OP.i32_add, OP.i32_add);
    code.set(this.#result);
    this.#labels.pop();
    code.op(OP.end);
    this.#epilogue();
    const [read = 0, write = 0, end = 0] = this.#tlbLoads;
    if (!this.#reads) code.blank(read, write);
    if (!this.#writes) code.blank(write, end);
    return code.body();
  }

  #prologue(): void {
    const { code } = this;
    const load = (opcode: number, offset: number, local: number): void => {
      code.get(0);
      code.memory(opcode, offset);
      code.set(local);
    };
    this.#registers.forEach((local, register) => {
      if (local !== 0) load(OP.i64_load, register * 8, local);
    });
    if (this.#touchesFlags) {
      load(OP.i32_load, STATE.CC_KIND, this.ccKind);
      load(OP.i64_load, STATE.CC_RESULT, this.ccResult);
      load(OP.i64_load, STATE.CC_A, this.ccA);
      load(OP.i64_load, STATE.CC_B, this.ccB);
    }
    load(OP.i64_load, STATE.RIP_BASE, this.#ripBase);
    load(OP.i32_load, STATE.BUDGET, this.#budget);
    this.#tlbLoads.push(code.length);
    load(OP.i32_load, STATE.TLB_READ, this.#tlbRead);
    this.#tlbLoads.push(code.length);
    load(OP.i32_load, STATE.TLB_WRITE, this.#tlbWrite);
    this.#tlbLoads.push(code.length);
    this.vectors.load();
  }

  /** A region with vector operations starts only where they are available: CR0.EM and CR0.TS clear, CR4.OSFXSR set. */
  #checkVectors(): void {
    const { code, region } = this;
    if (!region.nodes.some(({ block }) => block.instructions.some(({ operation }) => usesVectors(operation)))) return;
    code.get(0);
    code.memory(OP.i64_load, STATE.CR0);
    code.i64(0xc);
    code.op(OP.i64_and);
    code.get(0);
    code.memory(OP.i64_load, STATE.CR4);
    code.i64(0x200);
    code.op(OP.i64_and);
    code.i64(0x200);
    code.op(OP.i64_xor, OP.i64_or);
    code.i64(0);
    code.op(OP.i64_ne);
    this.#left = 1;
    this.sideExitIf();
  }

  #epilogue(): void {
    const { code } = this;
    const store = (opcode: number, offset: number, local: number): void => {
      code.get(0);
      code.get(local);
      code.memory(opcode, offset);
    };
    this.#registers.forEach((local, register) => {
      if ((this.#written & (1 << register)) !== 0) store(OP.i64_store, register * 8, local);
    });
    makeFloatsExplicit(this);
    this.vectors.store();
    if (this.#touchesFlags) {
      store(OP.i32_store, STATE.CC_KIND, this.ccKind);
      store(OP.i64_store, STATE.CC_RESULT, this.ccResult);
      store(OP.i64_store, STATE.CC_A, this.ccA);
      store(OP.i64_store, STATE.CC_B, this.ccB);
    }
    store(OP.i32_store, STATE.BUDGET, this.#budget);
    code.get(0);
    code.get(this.#result);
    code.tailCall(CHAIN);
  }

  // ---- control flow ----

  /** Emits a node and everything it dominates. */
  #emitTree(node: RegionNode): void {
    const { code } = this;
    if (node.loopHeader) {
      code.op(OP.loop, VOID);
      this.#labels.push({ kind: 'loop', target: node.order });
    }
    this.#emitWithin(node, 0);
    if (node.loopHeader) {
      this.#labels.pop();
      code.op(OP.end);
    }
  }

  /** Blocks for the merge nodes, the last in order outermost; innermost the node's own code. */
  #emitWithin(node: RegionNode, from: number): void {
    const outer = node.merges[from];
    if (outer === undefined) {
      this.#emitBlock(node);
      return;
    }
    this.code.op(OP.block, VOID);
    this.#labels.push({ kind: 'block', target: outer.order });
    this.#emitWithin(node, from + 1);
    this.#labels.pop();
    this.code.op(OP.end);
    this.#emitTree(outer);
  }

  #emitBlock(node: RegionNode): void {
    const { code } = this;
    const { block } = node;
    this.kind = this.#kinds[node.order];
    this.vectors.enterBlock(node.order);
    const needs = this.#needs[node.order] ?? [];
    const count = block.instructions.length;
    this.#host.mark?.(code.length, `block 0x${block.start.toString(16)}`);
    code.get(this.#budget);
    code.i32(count);
    code.op(OP.i32_sub);
    code.set(this.#budget);
    const plain = block.terminator.kind === 'fall' || block.terminator.kind === 'interpret' ? count : count - 1;
    for (let at = 0; at < plain; at++) {
      const instruction = block.instructions[at];
      if (instruction === undefined) continue;
      this.#current = instruction;
      this.#left = count - at;
      this.live = needs[at] ?? ALL_FLAGS;
      this.flagsNeeded = (this.live & flagsWritten(instruction)) !== 0;
      const after = kindAfter(instruction, this.kind, this.live);
      this.#host.mark?.(code.length, instruction);
      emitInstruction(this, instruction);
      this.kind = after;
    }
    this.#current = block.instructions[count - 1];
    this.#left = 1;
    const { terminator } = block;
    this.#markTerminator(terminator.kind, block.instructions[plain]);
    switch (terminator.kind) {
      case 'fall':
        this.#goTo(node, terminator.next);
        break;
      case 'jump':
        this.#goTo(node, terminator.target);
        break;
      case 'branch':
        this.#emitBranch(node, terminator.condition, terminator.target, terminator.next);
        break;
      case 'call': {
        const last = this.#current as Instruction;
        this.push(() => this.pushRip(last.next));
        this.#goTo(node, terminator.target);
        break;
      }
      case 'return':
        this.#emitReturn(node, terminator.instruction, terminator.places);
        break;
      case 'computed':
        this.#emitComputed(terminator.instruction);
        break;
      case 'system':
        this.#emitSystem(terminator.instruction);
        break;
      case 'interpret':
        this.#left = 0;
        this.sideExitAt(terminator.at);
        break;
    }
  }

  #markTerminator(kind: Terminator['kind'], instruction: Instruction | undefined): void {
    this.#host.mark?.(this.code.length, instruction ?? (kind === 'fall' ? 'goes on' : 'the interpreter goes on'));
  }

  #emitBranch(node: RegionNode, condition: string, target: number, next: number): void {
    const { code } = this;
    const kind = this.kind;
    if (target === next) {
      // Both ways are one: code behind it must not come twice, and twice again behind the next such jump.
      this.#goTo(node, next);
      return;
    }
    emitCondition(this, condition);
    code.op(OP.if, VOID);
    this.#labels.push(PLAIN);
    this.#goTo(node, target);
    this.#labels.pop();
    code.op(OP.end);
    this.kind = kind;
    this.#goTo(node, next);
  }

  /** Continues at an offset: by a branch, inline, or through an exit. */
  #goTo(node: RegionNode, offset: number): void {
    const { code } = this;
    const successor = node.successors.includes(offset) ? this.region.byOffset.get(offset) : undefined;
    if (successor === undefined) {
      this.#directExit(offset);
      return;
    }
    if (successor.order <= node.order) {
      // A back edge: out when the budget is used up, so that interrupts, timers and stops are seen.
      code.get(this.#budget);
      code.i32(0);
      code.op(OP.i32_lt_s, OP.if, VOID);
      this.#labels.push(PLAIN);
      this.#directExit(offset);
      this.#labels.pop();
      code.op(OP.end);
      this.#branchTo('loop', successor.order);
      return;
    }
    if (successor.merge) this.#branchTo('block', successor.order);
    else this.#emitTree(successor);
  }

  #branchTo(kind: 'loop' | 'block', target: number): void {
    for (let depth = 0; depth < this.#labels.length; depth++) {
      const label = this.#labels[this.#labels.length - 1 - depth];
      if (label?.kind === kind && label.target === target) {
        this.code.branch(OP.br, depth);
        return;
      }
    }
    throw new RangeError(`region: no label for block ${target}`);
  }

  /** Depth of the label behind all blocks (0), or of that of side exits (1). */
  #depthOf(outermost: number): number {
    return this.#labels.length - 1 - outermost;
  }

  // ---- exits ----

  /** Leaves through a linked jump to an offset relative to the page. */
  #directExit(offset: number): void {
    const { code } = this;
    code.get(0);
    code.i32(this.#host.directExit(offset - this.region.entry));
    code.op(OP.i32_add);
    code.set(this.#result);
    code.branch(OP.br, this.#depthOf(0));
  }

  /** Leaves to the target on top of the stack (i64). */
  #computedExit(target: number): void {
    const { code } = this;
    code.get(0);
    code.get(target);
    code.memory(OP.i64_store, STATE.RIP);
    code.get(0);
    code.i32(this.#host.leaveJump);
    code.op(OP.i32_add);
    code.set(this.#result);
    code.branch(OP.br, this.#depthOf(0));
  }

  /** Has the interpreter go on at the current instruction; `pending` further block levels were opened by the caller. */
  sideExit(): void {
    this.sideExitAt(this.#current?.offset ?? this.region.entry);
  }
  sideExitAt(offset: number): void {
    const { code } = this;
    code.i32((offset - this.region.entry) * 1024 + this.#left);
    code.set(this.#exit);
    code.branch(OP.br, this.#depthOf(1));
  }
  /** Emits code within a block or a loop of its own, in which it may leave the region. */
  nest(opcode: number, emit: () => void): void {
    this.code.op(opcode, VOID);
    this.#labels.push({ kind: 'plain', target: -3 });
    emit();
    this.#labels.pop();
    this.code.op(OP.end);
  }
  /** Takes the i32 on the stack: when it is not zero, leaves at the current instruction. */
  sideExitIf(): void {
    this.when(() => this.sideExit());
  }
  /** Takes the i32 on the stack: when it is not zero, what `body` emits runs. */
  when(body: () => void): void {
    this.code.op(OP.if, VOID);
    this.#labels.push(PLAIN);
    body();
    this.#labels.pop();
    this.code.op(OP.end);
  }
  /** What `body` emits has one side exit for all its conditions: `leaveIf` takes an i32 and leaves when it is not zero. */
  withSideExit(body: (leaveIf: () => void) => void): void {
    const { code } = this;
    code.op(OP.block, VOID);
    this.#labels.push(PLAIN);
    code.op(OP.block, VOID);
    this.#labels.push(PLAIN);
    const depth = this.#labels.length;
    body(() => code.branch(OP.br_if, this.#labels.length - depth));
    code.branch(OP.br, 1);
    this.#labels.pop();
    code.op(OP.end);
    this.sideExit();
    this.#labels.pop();
    code.op(OP.end);
  }

  /** Leaves for the interpreter when the target is not canonical: it raises what a bad address raises. */
  #checkCanonical(target: number): void {
    const { code } = this;
    code.get(target);
    code.i64(16);
    code.op(OP.i64_shl);
    code.i64(16);
    code.op(OP.i64_shr_s);
    code.get(target);
    code.op(OP.i64_ne);
    this.sideExitIf();
  }

  #emitComputed(instruction: Instruction): void {
    const { code, wide } = this;
    const target = wide[3];
    if (instruction.form === 'R') this.readRegister(instruction.destination, 3);
    else this.loadOperand(instruction, 3, false);
    code.set(target);
    this.#checkCanonical(target);
    if (instruction.operation === 'CALL_INDIRECT') this.push(() => this.pushRip(instruction.next));
    this.#computedExit(target);
  }

  /** A return goes on behind one of the region's calls when it leads there. */
  #emitReturn(node: RegionNode, instruction: Instruction, places: readonly number[]): void {
    const { code, wide } = this;
    const target = wide[3];
    this.readRegister(32, 3);
    this.operandPointer('read', 8);
    code.memory(OP.i64_load, 0);
    code.set(target);
    this.#checkCanonical(target);
    this.readRegister(32, 3);
    code.i64(8 + instruction.immediate);
    code.op(OP.i64_add);
    this.writeRegister(32, 3);
    const kind = this.kind;
    for (const place of places) {
      if (!node.successors.includes(place)) continue;
      code.get(target);
      this.pushRip(place);
      code.op(OP.i64_eq, OP.if, VOID);
      this.#labels.push(PLAIN);
      this.#goTo(node, place);
      this.#labels.pop();
      code.op(OP.end);
      this.kind = kind;
    }
    this.#computedExit(target);
  }

  /** Where the core goes on is in RIP, whatever it did. */
  #emitSystem(instruction: Instruction): void {
    emitInstruction(this, instruction);
    // It never goes on behind the instruction without saying so; were it to, the interpreter would have to know.
    this.sideExit();
  }

  /**
   * Has the core execute an instruction, and leaves the region when the core says where to go on. `registers` are those it uses without
   * naming them; `flags`: it reads or writes the arithmetic flags.
   */
  callCore(instruction: Instruction, registers: number, flags: boolean): void {
    const { code } = this;
    const { base, index, form, destination, source } = instruction;
    let used = registers;
    for (const offset of [base, index]) if (offset < STATE.ZERO_SLOT) used |= 1 << (offset >> 3);
    if (form.startsWith('R')) used |= 1 << (destination >> 3);
    if (form === 'RR' || form === 'MR') used |= 1 << (source >> 3);
    const each = (act: (register: number, local: number) => void): void => {
      this.#registers.forEach((local, register) => {
        if ((used & (1 << register)) !== 0) act(register, local);
      });
    };
    const store = (opcode: number, offset: number, local: number): void => {
      code.get(0);
      code.get(local);
      code.memory(opcode, offset);
    };
    const load = (opcode: number, offset: number, local: number): void => {
      code.get(0);
      code.memory(opcode, offset);
      code.set(local);
    };
    each((register, local) => store(OP.i64_store, register * 8, local));
    if (flags) {
      makeFloatsExplicit(this);
      store(OP.i32_store, STATE.CC_KIND, this.ccKind);
      store(OP.i64_store, STATE.CC_RESULT, this.ccResult);
      store(OP.i64_store, STATE.CC_A, this.ccA);
      store(OP.i64_store, STATE.CC_B, this.ccB);
    }
    // What is charged for the instructions behind it has not been used up.
    const behind = this.#left - 1;
    code.get(0);
    code.get(this.#budget);
    if (behind !== 0) {
      code.i32(behind);
      code.op(OP.i32_add);
    }
    code.memory(OP.i32_store, STATE.BUDGET);
    code.get(0);
    this.pushRip(instruction.offset);
    code.memory(OP.i64_store, STATE.RIP_BASE);
    code.get(0);
    code.i32(this.#host.operation(instruction));
    code.op(OP.i32_add);
    code.call(EXECUTE);
    code.set(this.#result);
    each((register, local) => {
      this.#written |= 1 << register;
      load(OP.i64_load, register * 8, local);
    });
    if (flags) {
      load(OP.i32_load, STATE.CC_KIND, this.ccKind);
      load(OP.i64_load, STATE.CC_RESULT, this.ccResult);
      load(OP.i64_load, STATE.CC_A, this.ccA);
      load(OP.i64_load, STATE.CC_B, this.ccB);
    }
    load(OP.i32_load, STATE.BUDGET, this.#budget);
    code.get(this.#result);
    code.branch(OP.br_if, this.#depthOf(0));
    if (behind !== 0) {
      code.get(this.#budget);
      code.i32(behind);
      code.op(OP.i32_sub);
      code.set(this.#budget);
    }
    code.get(0);
    code.get(this.#ripBase);
    code.memory(OP.i64_store, STATE.RIP_BASE);
  }

  /** Names of locals, for listings. */
  localNames(): ReadonlyMap<number, string> {
    const names = new Map<number, string>([
      [0, '$processor'],
      [this.ccKind, '$ccKind'],
      [this.ccResult, '$ccResult'],
      [this.ccA, '$ccA'],
      [this.ccB, '$ccB'],
      [this.address, '$address'],
      [this.entry, '$entry'],
      [this.pointer, '$pointer'],
      [this.#ripBase, '$ripBase'],
      [this.#budget, '$budget'],
      [this.#exit, '$exit'],
      [this.#result, '$result'],
      [this.#tlbRead, '$tlbRead'],
      [this.#tlbWrite, '$tlbWrite'],
    ]);
    this.#registers.forEach((local, register) => {
      if (local !== 0) names.set(local, `$${registerName(register * 8)}`);
    });
    for (const [place, local] of this.vectors.places) names.set(local, `$xmm${place >> 4}`);
    for (const local of this.wide) names.set(local, `$wide${this.wide.indexOf(local)}`);
    for (const local of this.narrow) names.set(local, `$narrow${this.narrow.indexOf(local)}`);
    return names;
  }

  // ---- operands ----

  /** Pushes the RIP of an offset in the page (i64). */
  pushRip(offset: number): void {
    this.code.get(this.#ripBase);
    this.code.i64(offset - this.region.entry);
    this.code.op(OP.i64_add);
  }

  local(offset: number): number {
    const local = this.#registers[offset >> 3] ?? 0;
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
    this.#written |= 1 << (offset >> 3);
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
      code.get(this.#ripBase);
      code.i64(instruction.offset - this.region.entry + displacement);
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
    if (access === 'read') this.#reads = true;
    else this.#writes = true;
    code.append(lookupBefore(access, bytes));
    this.#labels.push(PLAIN);
    this.sideExit();
    this.#labels.pop();
    code.append(lookupBehind());
  }

  /** Goes over to the TLB of another context, `delta` bytes behind the current one's. */
  switchTlb(delta: number): void {
    const { code } = this;
    this.#reads = true;
    this.#writes = true;
    for (const [local, offset] of [
      [this.#tlbRead, STATE.TLB_READ],
      [this.#tlbWrite, STATE.TLB_WRITE],
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
