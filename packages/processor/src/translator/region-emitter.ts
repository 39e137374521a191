/**
 * One region to one WebAssembly function (processor block address) -> operation to go on with; exits that are linked to a region of the same
 * module go through the chain function (chain.ts).
 *
 * Registers and lazy flags live in locals: loaded once at the entry, stored once at the exit. Control flow is structured by dominators
 * (Ramsey, "Beyond Relooper"): forward merges are blocks, back edges loops. A memory operand's TLB look-up is inline; a miss (fault, MMIO,
 * page crossing, code page) leaves at that very instruction, and the interpreter executes it. There are no calls.
 *
 * Exits: `side` (L.RIP is the instruction; LEAVE_INTERPRET), direct (LEAVE_LINK: an operation for each branch that leaves so), computed (from
 * L.BRANCH_SOURCE to L.RIP; LEAVE_COMPUTED).
 * The budget is charged per block and looked at on back edges, with the requests of other threads.
 *
 * Invariant: at every exit all six lazy-flag fields and all registers of the block equal what the interpreter would have left.
 * Called by: translator.ts. The instructions themselves stand in emit-*.ts.
 */
import { STATE } from '../state-layout.ts';
import { emitCondition, makeFloatsExplicit } from './emit-conditions.ts';
import { emitInstruction } from './emit-instructions.ts';
import { ALL_FLAGS, analyseFlags, KEPT, type RegionFlags, UNKNOWN } from './flag-analysis.ts';
import { registerName } from './format-instruction.ts';
import type { Instruction } from './instruction.ts';
import { TRAIT } from './operation-facts.ts';
import { type Region, type RegionNode, successorAt, type Terminator } from './region.ts';
import { LOCAL, NARROW_LOCALS, WIDE_LOCALS } from './region-locals.ts';
import { BLOCK_LABEL, LOOP_LABEL, PLAIN_LABEL, RegionOperands, SIDE_EXITS } from './region-operands.ts';
import { UPPER } from './vex.ts';
import { CHAIN, EXECUTE, type FunctionWriter, I32, I64, OP, VOID } from './wasm-encoder.ts';

/** What a region's code needs of the run loop: addresses relative to the processor's block, and exits to direct targets. */
export interface RegionHost {
  readonly leaveInterpret: number;
  readonly leaveInterpretOne: number;
  readonly leaveComputed: number;
  /** First word of an exit that is linked to a region of its own module (chain.ts). */
  readonly chainedLink: number;
  /**
   * @param source how far from the entry the branch is; undefined when there is none: code goes on there
   * @returns address (relative to the processor's block) of an operation that jumps by `delta` from the entry's RIP
   */
  directExit(delta: number, source: number | undefined): number;
  /** @returns address (relative to the processor's block) of the instruction's operation, for the core to execute */
  operation(instruction: Instruction): number;
  /** Told of each instruction, and of each part of the frame around them, at the place where its code begins. */
  mark?(at: number, what: Instruction | string): void;
}

/** Emits region after region. */
export class RegionEmitter extends RegionOperands {
  readonly #host: RegionHost;
  #region: Region = { entry: 0, windows: [0], code32: false, nodes: [], instructions: 0, registers: 0, traits: 0 };
  #flags: RegionFlags | undefined;
  /** Bits of TRAIT of the region. */
  #traits = 0;
  /** Where the loads of the TLBs' addresses begin and end; what is not looked up in is not loaded. */
  readonly #tlbLoads = [0, 0, 0];

  constructor(code: FunctionWriter, host: RegionHost) {
    super(code);
    this.#host = host;
  }

  #begin(region: Region): void {
    const { code, labels, registers } = this;
    this.code32 = region.code32;
    this.start = region.entry;
    this.at = region.entry;
    this.window = 0;
    this.windowStart = region.entry;
    this.written = 0;
    labels.length = 0;
    this.reads = false;
    this.writes = false;
    this.left = 0;
    code.begin();
    for (let index = 0; index < WIDE_LOCALS; index++) code.local(I64);
    for (let index = 0; index < NARROW_LOCALS; index++) code.local(I32);
    this.#region = region;
    this.#traits = region.traits;
    for (let register = 0; register < 16; register++) {
      registers[register] = (region.registers & (1 << register)) === 0 ? 0 : code.local(I64);
    }
    this.vectors.begin(region);
    this.#flags = analyseFlags(region);
  }

  /** Emits a region. @returns its function, good until the next one is emitted */
  emit(region: Region): FunctionWriter {
    this.#begin(region);
    const { code } = this;
    this.#host.mark?.(0, 'entry');
    this.#prologue();
    const { windows } = region;
    // Behind everything; behind what tells the windows' side exits apart; then a label for each window, the first one's outermost.
    for (let label = 0; label < SIDE_EXITS + windows.length; label++) {
      code.op2(OP.block, VOID);
      this.labels.push(PLAIN_LABEL);
    }
    this.#checkVectors();
    const first = region.nodes[0];
    if (first !== undefined) this.#emitTree(first);
    // Side exits: the interpreter executes the instruction at RIP.
    for (let window = windows.length - 1; window >= 0; window--) {
      this.labels.pop();
      code.op(OP.end);
      this.#host.mark?.(code.length, 'exits');
      code.get(0);
      code.get(LOCAL.ripBase);
      if (window > 0) {
        code.i64(this.#windowStart(region, window) - this.start);
        code.op(OP.i64_add);
      }
      code.get(LOCAL.exit);
      code.i32(10);
      code.op3(OP.i32_shr_s, OP.i64_extend_s, OP.i64_add);
      this.cutAddress();
      code.memory(OP.i64_store, STATE.RIP);
      if (window > 0) code.branch(OP.br, this.depthOf(1));
    }
    this.labels.pop();
    code.op(OP.end);
    code.get(LOCAL.exit);
    code.i32(0x3ff);
    code.op(OP.i32_and);
    code.tee(LOCAL.result);
    code.get(LOCAL.budget);
    code.op(OP.i32_add);
    code.set(LOCAL.budget);
    // With nothing charged in vain the instruction is one that has no translation.
    code.get(0);
    code.i32(this.#host.leaveInterpret - this.#host.leaveInterpretOne);
    code.i32(0);
    code.get(LOCAL.result);
    code.op(OP.select);
    code.i32(this.#host.leaveInterpretOne);
    code.op2(OP.i32_add, OP.i32_add);
    code.set(LOCAL.result);
    this.labels.pop();
    code.op(OP.end);
    this.#epilogue();
    const [read = 0, write = 0, end = 0] = this.#tlbLoads;
    if (!this.reads) code.blank(read, write);
    if (!this.writes) code.blank(write, end);
    return code;
  }

  /** What side exits of a window are relative to. */
  #windowStart({ entry, windows }: Region, window: number): number {
    return window === 0 ? entry : (windows[window] ?? 0);
  }

  #loadFlags(): void {
    this.code.loadField(OP.i32_load, STATE.CC_KIND, this.ccKind);
    this.code.loadField(OP.i64_load, STATE.CC_RESULT, this.ccResult);
    this.code.loadField(OP.i64_load, STATE.CC_A, this.ccA);
    this.code.loadField(OP.i64_load, STATE.CC_B, this.ccB);
  }
  #storeFlags(): void {
    this.code.storeField(OP.i32_store, STATE.CC_KIND, this.ccKind);
    this.code.storeField(OP.i64_store, STATE.CC_RESULT, this.ccResult);
    this.code.storeField(OP.i64_store, STATE.CC_A, this.ccA);
    this.code.storeField(OP.i64_store, STATE.CC_B, this.ccB);
  }
  /** Loads or stores the registers of a mask that have locals. */
  #loadRegisters(mask: number): void {
    const { registers } = this;
    for (let register = 0; register < 16; register++) {
      const local = registers[register] ?? 0;
      if (local !== 0 && (mask & (1 << register)) !== 0) this.code.loadField(OP.i64_load, register * 8, local);
    }
  }
  #storeRegisters(mask: number): void {
    const { registers } = this;
    for (let register = 0; register < 16; register++) {
      if ((mask & (1 << register)) !== 0) this.code.storeField(OP.i64_store, register * 8, registers[register] ?? 0);
    }
  }

  #prologue(): void {
    const { code } = this;
    this.#loadRegisters(-1);
    if ((this.#traits & TRAIT.flags) !== 0) this.#loadFlags();
    this.code.loadField(OP.i64_load, STATE.RIP_BASE, LOCAL.ripBase);
    this.code.loadField(OP.i32_load, STATE.BUDGET, LOCAL.budget);
    this.#tlbLoads[0] = code.length;
    this.code.loadField(OP.i32_load, STATE.TLB_READ, LOCAL.tlbRead);
    this.#tlbLoads[1] = code.length;
    this.code.loadField(OP.i32_load, STATE.TLB_WRITE, LOCAL.tlbWrite);
    this.#tlbLoads[2] = code.length;
    this.vectors.load();
  }

  /** A region with vector operations starts only where they are available: CR0.EM and CR0.TS clear, CR4.OSFXSR set. */
  #checkVectors(): void {
    const { code } = this;
    if ((this.#traits & TRAIT.vector) === 0) return;
    code.get(0);
    code.memory(OP.i64_load, STATE.CR0);
    code.i64(0xc);
    code.op(OP.i64_and);
    code.get(0);
    code.memory(OP.i64_load, STATE.CR4);
    code.i64(0x200);
    code.op(OP.i64_and);
    code.i64(0x200);
    code.op2(OP.i64_xor, OP.i64_or);
    code.i64(0);
    code.op(OP.i64_ne);
    this.#leaveAtEntryIf();
    if ((this.#traits & TRAIT.vex) === 0) return;
    // Those that are encoded with VEX need CR4.OSXSAVE and the state of SSE and AVX in XCR0.
    code.get(0);
    code.memory(OP.i64_load, STATE.CR4);
    code.i64(0x40000);
    code.op(OP.i64_and);
    code.get(0);
    code.memory(OP.i64_load, STATE.XCR0);
    code.i64(6);
    code.op2(OP.i64_and, OP.i64_or);
    code.i64(0x40006);
    code.op(OP.i64_ne);
    this.#leaveAtEntryIf();
  }
  /** Leaves before anything was charged: what a side exit gives back as not executed is charged first. */
  #leaveAtEntryIf(): void {
    this.left = 1;
    this.when(() => {
      this.code.step(LOCAL.budget, OP.i32_sub, 1);
      this.sideExit();
    });
  }

  #epilogue(): void {
    const { code } = this;
    code.reserve();
    this.#storeRegisters(this.written);
    makeFloatsExplicit(this);
    this.vectors.store();
    if ((this.#traits & TRAIT.flags) !== 0) this.#storeFlags();
    this.code.storeField(OP.i32_store, STATE.BUDGET, LOCAL.budget);
    // Nine of ten exits lead to another module, or are no direct exits: those are not worth a call.
    code.get(LOCAL.result);
    code.memory(OP.i32_load, 0);
    code.i32(this.#host.chainedLink);
    code.op3(OP.i32_eq, OP.if, VOID);
    code.get(0);
    code.get(LOCAL.result);
    code.tailCall(CHAIN);
    code.op(OP.end);
    code.get(LOCAL.result);
  }

  // ---- control flow ----

  /** Emits a node and everything it dominates. */
  #emitTree(node: RegionNode): void {
    const { code } = this;
    if (node.loopHeader) {
      code.op2(OP.loop, VOID);
      this.labels.push(LOOP_LABEL + node.order);
    }
    this.#emitWithin(node, 0);
    if (node.loopHeader) {
      this.labels.pop();
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
    this.code.op2(OP.block, VOID);
    this.labels.push(BLOCK_LABEL - outer.order);
    this.#emitWithin(node, from + 1);
    this.labels.pop();
    this.code.op(OP.end);
    this.#emitTree(outer);
  }

  #emitBlock(node: RegionNode): void {
    const { code } = this;
    const { instructions, start, terminator } = node.block;
    const flags = this.#flags;
    const host = this.#host;
    const marks = host.mark !== undefined;
    this.window = node.window;
    this.windowStart = this.#windowStart(this.#region, node.window);
    this.#setKind(flags?.atEntry[node.order]);
    this.vectors.enterBlock(node.order);
    const count = instructions.length;
    code.reserve();
    if (marks) host.mark?.(code.length, `block 0x${start.toString(16)}`);
    code.step(LOCAL.budget, OP.i32_sub, count);
    const plain = terminator.kind === 'fall' || terminator.kind === 'interpret' ? count : count - 1;
    for (let at = 0; at < plain; at++) {
      const instruction = instructions[at];
      if (instruction === undefined) continue;
      const { facts } = instruction;
      const live = flags?.live[node.first + at] ?? ALL_FLAGS;
      const seen = (live & facts.written) !== 0;
      this.at = instruction.offset;
      this.left = count - at;
      this.live = live;
      this.flagsNeeded = seen;
      code.reserve();
      if (marks) host.mark?.(code.length, instruction);
      const before = this.kind;
      emitInstruction(this, instruction);
      if (instruction.vector || facts.callsVectors) this.vectors.after(instruction);
      if (!seen) this.kind = facts.forgets ? undefined : before;
      else if (facts.kind === KEPT) this.kind = before;
      else this.#setKind(facts.kind);
    }
    const last = instructions[count - 1];
    this.at = last?.offset ?? this.start;
    this.left = 1;
    code.reserve();
    if (marks) this.#markTerminator(terminator.kind, instructions[plain]);
    switch (terminator.kind) {
      case 'fall':
        this.#goTo(node, terminator.next);
        break;
      case 'jump':
        this.#goTo(node, terminator.target, last?.offset);
        break;
      case 'branch':
        this.#emitBranch(node, terminator.condition, terminator.target, terminator.next, last?.offset);
        break;
      case 'call': {
        const back = last?.next ?? 0;
        this.push(() => this.pushRip(back));
        this.#goTo(node, terminator.target, last?.offset);
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
        this.left = 0;
        this.sideExitAt(terminator.at);
        break;
    }
  }

  #setKind(kind = UNKNOWN): void {
    this.kind = kind === UNKNOWN ? undefined : kind;
  }

  #markTerminator(kind: Terminator['kind'], instruction: Instruction | undefined): void {
    this.#host.mark?.(this.code.length, instruction ?? (kind === 'fall' ? 'goes on' : 'the interpreter goes on'));
  }

  #emitBranch(node: RegionNode, condition: number, target: number, next: number, source: number | undefined): void {
    const { code } = this;
    const kind = this.kind;
    if (target === next) {
      // Both ways are one: code behind it must not come twice, and twice again behind the next such jump.
      this.#goTo(node, next);
      return;
    }
    emitCondition(this, condition);
    code.op2(OP.if, VOID);
    this.labels.push(PLAIN_LABEL);
    this.#goTo(node, target, source);
    this.labels.pop();
    code.op(OP.end);
    this.kind = kind;
    this.#goTo(node, next);
  }

  /**
   * Continues at an offset: by a branch of WebAssembly, inline, or through an exit. `source`: the guest's instruction that branches there;
   * undefined when none does. Code that is emitted inline may change all that the emitter knows of the current instruction.
   */
  #goTo(node: RegionNode, offset: number, source?: number): void {
    const { code } = this;
    const successor = successorAt(node, offset);
    if (successor === undefined) {
      this.#directExit(offset, source);
      return;
    }
    if (successor.order <= node.order) {
      // A back edge: out when the budget is used up, so that timers are seen, or when another thread has posted an interrupt or a stop.
      code.get(LOCAL.budget);
      code.get(0);
      code.memory(OP.i32_load, STATE.REQUEST);
      code.op(OP.i32_or);
      code.i32(0);
      code.op3(OP.i32_lt_s, OP.if, VOID);
      this.labels.push(PLAIN_LABEL);
      this.#directExit(offset, source);
      this.labels.pop();
      code.op(OP.end);
      this.#branchTo(LOOP_LABEL + successor.order);
      return;
    }
    if (successor.merge) this.#branchTo(BLOCK_LABEL - successor.order);
    else this.#emitTree(successor);
  }

  #branchTo(label: number): void {
    const { labels } = this;
    const at = labels.lastIndexOf(label);
    if (at < 0) throw new RangeError(`region: no label ${label}`);
    this.code.branch(OP.br, labels.length - 1 - at);
  }

  // ---- exits ----

  /** Leaves through a linked jump to an offset relative to the page. */
  #directExit(offset: number, source: number | undefined): void {
    const { code } = this;
    code.get(0);
    code.i32(this.#host.directExit(offset - this.start, source === undefined ? undefined : source - this.start));
    code.op(OP.i32_add);
    code.set(LOCAL.result);
    code.branch(OP.br, this.depthOf(0));
  }

  /** Leaves to the target in a local (i64), by the branch at an offset. */
  #computedExit(target: number, source: number): void {
    const { code } = this;
    code.get(0);
    code.get(target);
    code.memory(OP.i64_store, STATE.RIP);
    code.get(0);
    this.pushRip(source);
    this.cutAddress();
    code.memory(OP.i64_store, STATE.BRANCH_SOURCE);
    code.get(0);
    code.i32(this.#host.leaveComputed);
    code.op(OP.i32_add);
    code.set(LOCAL.result);
    code.branch(OP.br, this.depthOf(0));
  }

  /** Leaves for the interpreter when the target is not canonical: it raises what a bad address raises. No 32-bit address is bad. */
  #checkCanonical(target: number): void {
    const { code } = this;
    if (this.code32) return;
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
    if (instruction.form === 'R') this.readRegister(instruction.destination, this.stackSize, false);
    else this.loadOperand(instruction, this.stackSize, false);
    code.set(target);
    this.#checkCanonical(target);
    if (instruction.operation === 'CALL_INDIRECT') this.push(() => this.pushRip(instruction.next));
    this.#computedExit(target, instruction.offset);
  }

  /** A return goes on behind one of the region's calls when it leads there. */
  #emitReturn(node: RegionNode, instruction: Instruction, places: readonly number[]): void {
    const { code, stackSize, wide } = this;
    const target = wide[3];
    this.stackAddress(0);
    this.operandPointer('read', 1 << stackSize);
    this.loadSized(stackSize, false);
    code.set(target);
    this.#checkCanonical(target);
    this.readRegister(32, 3);
    code.i64((1 << stackSize) + instruction.immediate);
    code.op(OP.i64_add);
    this.setStackPointer();
    const kind = this.kind;
    for (const place of places) {
      if (successorAt(node, place) === undefined) continue;
      code.get(target);
      this.pushRip(place);
      code.op3(OP.i64_eq, OP.if, VOID);
      this.labels.push(PLAIN_LABEL);
      this.#goTo(node, place, instruction.offset);
      this.labels.pop();
      code.op(OP.end);
      this.kind = kind;
    }
    this.#computedExit(target, instruction.offset);
  }

  /** Where the core goes on is in RIP, whatever it did. */
  #emitSystem(instruction: Instruction): void {
    emitInstruction(this, instruction);
    // It never goes on behind the instruction without saying so; were it to, the interpreter would have to know.
    this.sideExit();
  }

  /**
   * Has the core execute an instruction, and leaves the region when the core says where to go on. `registers` are those it uses besides
   * its address; `flags`: it reads or writes the arithmetic flags; `reload` emits what else is to be loaded again.
   */
  callCore(instruction: Instruction, registers: number, flags: boolean, reload: () => void = () => {}): void {
    const { code } = this;
    const { base, index } = instruction;
    let used = registers;
    for (const offset of [base, index]) if (offset < STATE.ZERO_SLOT) used |= 1 << (offset >> 3);
    this.#storeRegisters(used);
    if (flags) {
      makeFloatsExplicit(this);
      this.#storeFlags();
    }
    // What is charged for the instructions behind it has not been used up.
    const behind = this.left - 1;
    code.get(0);
    code.get(LOCAL.budget);
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
    code.set(LOCAL.result);
    this.written |= used;
    this.#loadRegisters(used);
    if (flags) this.#loadFlags();
    this.code.loadField(OP.i32_load, STATE.BUDGET, LOCAL.budget);
    reload();
    code.get(LOCAL.result);
    code.branch(OP.br_if, this.depthOf(0));
    if (behind !== 0) {
      code.step(LOCAL.budget, OP.i32_sub, behind);
    }
    code.get(0);
    code.get(LOCAL.ripBase);
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
      [LOCAL.ripBase, '$ripBase'],
      [LOCAL.budget, '$budget'],
      [LOCAL.exit, '$exit'],
      [LOCAL.result, '$result'],
      [LOCAL.tlbRead, '$tlbRead'],
      [LOCAL.tlbWrite, '$tlbWrite'],
    ]);
    this.registers.forEach((local, register) => {
      if (local !== 0) names.set(local, `$${registerName(register * 8)}`);
    });
    for (const [place, local] of this.vectors.places)
      names.set(local, `$${place < UPPER ? 'xmm' : 'ymmUpper'}${(place >> 4) & 15}`);
    for (const local of this.wide) names.set(local, `$wide${this.wide.indexOf(local)}`);
    for (const local of this.narrow) names.set(local, `$narrow${this.narrow.indexOf(local)}`);
    return names;
  }
}
