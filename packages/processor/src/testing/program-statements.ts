/**
 * Whole random programs: the statements that functions are made of.
 *
 * Between plain instructions of the table (differential-blocks.ts) stand branches, loops, switches, calls of every kind, faults, stores
 * into code (program-stores.ts), and changes of page tables. Every course through the program is one that the generator has thought of:
 * loops are counted by registers that nothing writes.
 * Called by: program-generator.ts.
 */
import { emitDivision, emitString, moveImmediate } from './differential-blocks.ts';
import { ARITHMETIC_FLAGS, type CaseBuilder } from './differential-builder.ts';
import { CODE_BASE, DATA_BASE } from './differential-layout.ts';
import { Assembler, type Label, little32, little64, newLabel, sizeOf } from './program-assembler.ts';
import { ADDRESS_TABLE, LOOP_COUNTER, type PagingChange } from './program-layout.ts';
import { CodeStores, type Patchable } from './program-stores.ts';

export interface Callee {
  readonly entry: Label;
  /** No loops of its own: may be called in a loop. */
  readonly leaf: boolean;
  /** Bytes of arguments that it takes off the stack. */
  readonly popBytes: number;
}

/** What a statement may do in its place. */
export interface Context {
  readonly callees: readonly Callee[];
  readonly counters: readonly number[];
  readonly depth: number;
}

/** Interrupt vectors by which a program asks for changes of its page tables (program-machine.ts). */
export interface Services {
  readonly vectors: readonly number[];
  /** Instructions of the supervisor that do the same in place. */
  readonly inline: readonly (readonly (readonly number[])[])[];
}

const ALL = ARITHMETIC_FLAGS;
const AF = 0x10;
const PF = 4;
/** In a context's counters: one in memory instead of a register. */
export const MEMORY_COUNTER = -1;
const MEMORY_COUNTERS = 100;
/** Entries of the address table. */
const TABLE_ENTRIES = 60;

export class Statements {
  readonly assembler: Assembler;
  readonly builder: CaseBuilder;
  /** Contents of the address table. */
  readonly table: Label[] = [];
  readonly #user: boolean;
  readonly #paging: PagingChange;
  readonly #services: Services;
  readonly #selfModifying: boolean;
  readonly #faulting: boolean;
  readonly #stores: CodeStores;
  #memoryCounters = 0;

  constructor(
    assembler: Assembler,
    options: {
      readonly user: boolean;
      readonly paging: PagingChange;
      readonly services: Services;
      readonly selfModifying: boolean;
      readonly faulting: boolean;
    },
  ) {
    this.assembler = assembler;
    this.builder = assembler.builder;
    this.#stores = new CodeStores(assembler);
    this.#user = options.user;
    this.#paging = options.paging;
    this.#services = options.services;
    this.#selfModifying = options.selfModifying;
    this.#faulting = options.faulting;
  }

  /** Instructions that stores into code may change. */
  get patchables(): readonly Patchable[] {
    return this.#stores.patchables;
  }

  /** Some statements in a row. */
  sequence(count: number, context: Context): void {
    for (let step = 0; step < count; step++) this.#statement(context);
  }

  #statement(context: Context): void {
    const { random } = this.builder;
    const inner: Context = { ...context, depth: context.depth + 1 };
    const roll = random.below(100);
    if (roll < 34) this.assembler.plain(random.between(1, 4));
    else if (roll < 44) this.#branch(inner);
    else if (roll < 52) this.#loop(inner);
    else if (roll < 55) this.#jumpTable(inner);
    else if (roll < 64) this.#call(context);
    else if (roll < 67) this.#stack(inner);
    else if (roll < 69) this.#returnToPushed();
    else if (roll < 72) this.#stores.patchable();
    else if (roll < 84) this.#selfModifying ? this.#stores.store() : this.assembler.plain(1);
    else if (roll < 87) this.#stores.dataAmongCode();
    else if (roll < 90) this.#faulting ? this.#fault() : this.assembler.plain(1);
    else if (roll < 94) this.#changePaging();
    else if (roll < 96) this.#string(context);
    else if (roll < 98) this.#flags();
    else {
      emitDivision(this.builder);
      this.assembler.drain();
    }
  }

  #string(context: Context): void {
    // A counter in RCX is the loop's.
    if (this.builder.frozen.has(1) || context.depth > 3) {
      this.assembler.plain(1);
      return;
    }
    emitString(this.builder);
    this.assembler.drain();
  }

  /** jcc over statements, or between two sequences; sometimes short. */
  #branch(context: Context): void {
    const { assembler, builder } = this;
    const { random } = builder;
    const [otherwise, end] = [newLabel(), newLabel()];
    const jump = assembler.branch(random.below(16), otherwise);
    const first = assembler.drafts.length;
    const before = builder.undefinedFlags;
    this.sequence(random.between(1, context.depth > 2 ? 1 : 3), context);
    const both = random.chance(0.4);
    const over = both ? assembler.jump(end) : undefined;
    if (sizeOf(assembler.drafts.slice(first)) < 120 && random.chance(0.7)) Assembler.shorten(jump);
    assembler.label(otherwise);
    const middle = assembler.drafts.length;
    const taken = builder.undefinedFlags;
    builder.undefinedFlags = before;
    if (both) this.sequence(random.between(1, 2), context);
    builder.undefinedFlags |= taken;
    if (over !== undefined && sizeOf(assembler.drafts.slice(middle)) < 120 && random.chance(0.7))
      Assembler.shorten(over);
    assembler.label(end);
    assembler.emit([0x90], { text: 'nop' });
  }

  /** mov counter, n; statements; dec counter; jnz. Or with LOOP. Sometimes entered in the middle. */
  #loop(context: Context): void {
    const { assembler, builder } = this;
    const { random } = builder;
    const [counter, ...counters] = context.counters;
    if (counter === undefined || context.depth > 3) {
      assembler.plain(2);
      return;
    }
    const byLoop = random.chance(0.2) && !builder.frozen.has(1);
    if (!byLoop && counter === MEMORY_COUNTER) {
      this.#loopInMemory(context);
      return;
    }
    const register = byLoop ? 1 : counter;
    const inner: Context = {
      ...context,
      counters: byLoop ? context.counters : counters,
      callees: context.callees.filter(({ leaf }) => leaf),
    };
    builder.append(moveImmediate(register, random.between(1, random.chance(0.1) ? 40 : 6)));
    assembler.drain();
    const wasFrozen = builder.frozen.has(register);
    builder.frozen.add(register);
    const middle = newLabel();
    const irreducible = random.chance(0.15);
    if (irreducible) assembler.branch(random.below(16), middle);
    const head = assembler.label();
    assembler.defineFlags();
    const first = assembler.drafts.length;
    this.sequence(random.between(1, 2), inner);
    if (irreducible) {
      assembler.label(middle);
      builder.undefinedFlags = ALL;
    }
    this.sequence(random.between(0, 2), inner);
    if (byLoop) {
      if (sizeOf(assembler.drafts.slice(first)) < 100) {
        assembler.emit([0xe2, 0], { fixups: [{ at: 1, kind: 'rel8', label: head }], text: 'loop' });
      } else {
        assembler.emit([...assembler.rex(0x48), 0xff, 0xc9], { defines: ALL & ~1, text: 'dec rcx' });
        assembler.branch(5, head);
      }
    } else {
      const rex = register >= 8 ? 0x41 : 0x40;
      const [bytes, defines] = random.pick([
        [[rex, 0xff, 0xc8 | (register & 7)], ALL & ~1],
        [[rex, 0x83, 0xe8 | (register & 7), 1], ALL],
      ] as const);
      assembler.emit(bytes, { defines, text: 'count' });
      assembler.branch(random.pick([5, 5, 15]), head);
    }
    if (!wasFrozen) builder.frozen.delete(register);
  }

  /** mov dword counter, n; statements; dec or sub dword counter; jnz. Each loop has a counter of its own, as functions do not call themselves. */
  #loopInMemory(context: Context): void {
    const { assembler, builder } = this;
    const { random } = builder;
    if (this.#memoryCounters >= MEMORY_COUNTERS) {
      assembler.plain(2);
      return;
    }
    const counter = little32(Number(LOOP_COUNTER) + 8 + 4 * this.#memoryCounters++);
    const times = random.between(1, random.chance(0.1) ? 40 : 6);
    assembler.emit([0xc7, 0x04, 0x25, ...counter, ...little32(times)], { text: 'mov counter' });
    const head = assembler.label();
    assembler.defineFlags();
    const leaves = context.callees.filter(({ leaf }) => leaf);
    this.sequence(random.between(1, 4), { ...context, counters: context.counters.slice(1), callees: leaves });
    const [bytes, defines] = random.pick([
      [[0xff, 0x0c, 0x25, ...counter], ALL & ~1],
      [[0x83, 0x2c, 0x25, ...counter, 1], ALL],
    ] as const);
    assembler.emit(bytes, { defines, text: 'count' });
    assembler.branch(random.pick([5, 5, 15]), head);
  }

  /** A jump by a table, over some sequences. */
  #jumpTable(context: Context): void {
    const { assembler, builder } = this;
    const { random } = builder;
    if (this.table.length + 4 > TABLE_ENTRIES || context.depth > 3) {
      assembler.plain(2);
      return;
    }
    const first = this.table.length;
    const register = assembler.pickRegister(false);
    assembler.emit([0x89, 0xc0 | (random.below(8) << 3) | register], { text: 'mov' });
    assembler.emit([0x83, 0xe0 | register, 3], { defines: ALL & ~AF, leavesUndefined: AF, text: 'and' });
    const address = Number(CODE_BASE) + ADDRESS_TABLE + 8 * first;
    assembler.emit([0xff, 0x24, 0xc5 | (register << 3), ...little32(address)], { text: 'jmp by table' });
    const end = newLabel();
    const before = builder.undefinedFlags;
    let after = before;
    const ways = Array.from({ length: 4 }, newLabel);
    this.table.push(...ways);
    for (const way of ways) {
      builder.undefinedFlags = before;
      assembler.label(way);
      this.sequence(1, context);
      assembler.jump(end);
      after |= builder.undefinedFlags;
    }
    builder.undefinedFlags = after;
    assembler.label(end);
    assembler.emit([0x90], { text: 'nop' });
  }

  #call(context: Context): void {
    const { assembler, builder } = this;
    const { random } = builder;
    if (context.callees.length === 0) {
      assembler.plain(2);
      return;
    }
    const { entry, popBytes } = random.pick(context.callees);
    for (let pushed = 0; pushed < popBytes; pushed += builder.mode / 8)
      assembler.emit([0x6a, random.below(128)], { text: 'push' });
    const register = assembler.pickRegister();
    const rex = register >= 8 ? [0x41] : [];
    switch (random.below(popBytes === 0 ? 5 : 3)) {
      case 0:
        if (assembler.is64) {
          assembler.emit([register >= 8 ? 0x49 : 0x48, 0xb8 | (register & 7), ...little64(0n)], {
            fixups: [{ at: 2, kind: 'abs64', label: entry }],
            text: 'mov',
          });
        } else {
          assembler.emit([0xb8 | register, 0, 0, 0, 0], {
            fixups: [{ at: 1, kind: 'abs32', label: entry }],
            text: 'mov',
          });
        }
        assembler.emit([...rex, 0xff, 0xd0 | (register & 7)], { text: 'call register' });
        break;
      case 3: {
        // By an entry of the table, which may change between two functions.
        const others = context.callees.filter((other) => other.popBytes === 0);
        if (this.table.length + 1 > TABLE_ENTRIES) {
          assembler.plain(1);
          return;
        }
        const at = Number(CODE_BASE) + ADDRESS_TABLE + 8 * this.table.length;
        this.table.push(entry);
        if (random.chance(0.6)) {
          assembler.emit([0x81, 0x34, 0x25, ...little32(at), 0, 0, 0, 0], {
            fixups: [{ at: 7, kind: 'toggle-address', label: entry, other: random.pick(others).entry }],
            defines: ALL & ~AF,
            leavesUndefined: AF,
            text: 'xor table',
          });
        }
        assembler.emit([0xff, 0x14, 0x25, ...little32(at)], { text: 'call by table' });
        break;
      }
      default:
        assembler.emit([0xe8, 0, 0, 0, 0], { fixups: [{ at: 1, kind: 'rel32', label: entry }], text: 'call' });
    }
    builder.undefinedFlags = ALL;
  }

  /** push; statements; pop. Or pusha and popa, which only 32-bit code has. */
  #stack(context: Context): void {
    const { assembler } = this;
    if (!assembler.is64 && this.builder.random.chance(0.3)) {
      const narrow = this.builder.random.chance(0.2) ? [0x66] : [];
      assembler.emit([...narrow, 0x60], { text: 'pusha' });
      this.sequence(1, { ...context, counters: [] });
      assembler.emit([...narrow, 0x61], { text: 'popa' });
      return;
    }
    const [from, to] = [assembler.pickRegister(), assembler.pickRegister()];
    assembler.emit([...(from >= 8 ? [0x41] : []), 0x50 | (from & 7)], { text: 'push' });
    this.sequence(1, { ...context, counters: [] });
    assembler.emit([...(to >= 8 ? [0x41] : []), 0x58 | (to & 7)], { text: 'pop' });
  }

  /** push label; ret: a return that no call goes with. Or call; pop, the other way round. */
  #returnToPushed(): void {
    const { assembler } = this;
    const next = newLabel();
    if (this.builder.random.chance(0.5)) {
      assembler.emit([0x68, 0, 0, 0, 0], { fixups: [{ at: 1, kind: 'abs32', label: next }], text: 'push' });
      assembler.emit([0xc3], { text: 'ret' });
      assembler.label(next);
      assembler.emit([0x90], { text: 'nop' });
    } else {
      const register = assembler.pickRegister(false);
      assembler.emit([0xe8, 0, 0, 0, 0], { fixups: [{ at: 1, kind: 'rel32', label: next }], text: 'call next' });
      assembler.label(next);
      assembler.emit([0x58 | register], { text: 'pop' });
    }
  }

  /** An instruction that cannot succeed, or only with some values. */
  #fault(): void {
    const { assembler, builder } = this;
    const { random } = builder;
    const register = assembler.pickRegister();
    const low = (register & 7) << 3;
    const rex = assembler.rex(register >= 8 ? 0x4c : 0x48);
    const at = (address: number): number[] => [0x04 | low, 0x25, ...little32(address)];
    const data = Number(DATA_BASE);
    switch (random.below(7)) {
      case 0:
        assembler.emit([0x0f, 0x0b], { text: 'ud2' });
        break;
      case 1:
        // Into the read-only page, and across its beginning.
        assembler.emit([...rex, 0x01, ...at(data + 0x2000 - random.below(9))], { defines: ALL, text: 'add read-only' });
        break;
      case 2:
        assembler.emit([...rex, 0x8b, ...at(data + 0x3000 - random.below(9))], { text: 'mov unmapped' });
        break;
      case 3:
        assembler.emit([...rex, 0x87, ...at(data - random.below(9))], { text: 'xchg unmapped' });
        break;
      case 4:
        // By a register that is anything, where nothing of the supervisor's can be reached.
        if (this.#user)
          assembler.emit([...assembler.rex(0x41), 0x8b, 0x40 | (assembler.pickRegister(false) & 3), 0x7f], {
            text: 'mov by register',
          });
        break;
      case 5:
        assembler.emit([0x31, 0xd2], { defines: ALL & ~AF, leavesUndefined: AF, text: 'xor edx, edx' });
        assembler.emit([0xf7, 0xf0 | assembler.pickRegister(false)], { leavesUndefined: ALL, text: 'div' });
        break;
      default:
        if (this.#user) assembler.emit([0xfa], { text: 'cli in user mode' });
        else assembler.emit([0x0f, 0x01, 0xcf], { text: 'undefined 0f 01 cf' });
    }
  }

  #changePaging(): void {
    const { assembler, builder } = this;
    const { random } = builder;
    const { vectors, inline } = this.#services;
    if (this.#paging === 'none' || vectors.length === 0 || random.chance(0.1)) {
      this.#interruptFlag();
      return;
    }
    if (!this.#user && inline.length > 0 && random.chance(0.4)) {
      for (const bytes of random.pick(inline)) {
        // PF is the parity of an entry with its accessed bit, which a processor may set before it is needed: a region over two pages does
        // when it is entered (AMD64 manual volume 2, section 5.4.2).
        assembler.emit(bytes, { defines: ALL & ~(AF | PF), leavesUndefined: AF | PF, text: 'change page entry' });
      }
      return;
    }
    assembler.emit([0xcd, random.pick(vectors)], { text: 'change paging' });
  }

  /** cli; statements; sti. In user mode a system call. */
  #interruptFlag(): void {
    if (this.#user) {
      // RCX and R11 become where it came from and its flags.
      if (this.builder.frozen.has(1)) this.assembler.plain(1);
      else this.assembler.emit([0x0f, 0x05], { reads: ALL, text: 'syscall' });
      return;
    }
    this.assembler.emit([0xfa], { text: 'cli' });
    this.assembler.plain(this.builder.random.between(1, 3));
    this.assembler.emit([0xfb], { text: 'sti' });
  }

  /** pushf; pop, or pushf; popf. */
  #flags(): void {
    const { assembler } = this;
    assembler.emit([0x9c], { reads: ALL, text: 'pushf' });
    if (this.builder.random.chance(0.5)) assembler.emit([0x58 | assembler.pickRegister(false)], { text: 'pop' });
    else assembler.emit([0x9d], { defines: ALL, text: 'popf' });
  }
}
