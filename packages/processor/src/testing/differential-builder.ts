/**
 * The differential harness: the state of one case while it is made up.
 *
 * Registers get their values as late as possible: an operand of an address that must hit a target is solved for, what
 * nobody cares about becomes random at the end. In a block some registers are frozen: no instruction may write them, so their
 * values are known wherever an address is made.
 *
 * Called by: the encoder, the single-instruction and the block generators.
 */
import type { InstructionRow } from '../table/index.ts';
import {
  BATCH_CASES,
  CODE_BASE,
  DATA_BASE,
  FXSAVE,
  HIGH_BASE,
  LOCAL_SEGMENTS,
  type LocalSegment,
  type MachineState,
  type Mode,
  PAGE,
  type Patch,
  SLOT_STRIDE,
  STACK_BASE,
  slotAddress,
  TEMPLATE_PAGES,
  WRITABLE_PAGE_COUNT,
} from './differential-layout.ts';
import { mixSeed, Random, VectorPool } from './differential-random.ts';

export const MASK64 = (1n << 64n) - 1n;
export const RSP = 4;
export const ARITHMETIC_FLAGS = 0x8d5;
const DIRECTION_FLAG = 0x400n;

export type Form = 'register' | 'memory' | 'none';

/** One instruction of a case. Bytes are final but for a RIP-relative displacement, which layout fills in. */
export interface Item {
  /** Undefined for the few instructions that a block needs around those under test. */
  readonly row: InstructionRow | undefined;
  readonly bytes: readonly number[];
  /** Offset of a RIP-relative 32-bit displacement and the address that it is to reach. */
  readonly relative?: { readonly at: number; readonly target: bigint };
  readonly size: number;
  readonly form: Form;
  /** RFLAGS bits. `writes` holds only those that are defined afterwards whatever the operands were. */
  readonly flagsRead: number;
  readonly flagsDefined: number;
  readonly flagsUndefined: number;
}

/** A complete case: what runs, and what to make of the outcome. */
export interface DifferentialCase {
  readonly index: number;
  readonly kind: 'single' | 'block';
  readonly state: MachineState;
  readonly items: readonly Item[];
  /** Address of each item. */
  readonly addresses: readonly bigint[];
  /** Flags that the manual leaves undefined before each item, and at the end. */
  readonly undefinedBefore: readonly number[];
  readonly undefinedAtEnd: number;
  /** Ranges of memory whose contents are not compared, with the reason in the generator. */
  readonly ignoredMemory: readonly { readonly address: bigint; readonly bytes: number }[];
  /** Bytes by which CR2 may differ: processors go through operands of several words in orders of their own. */
  readonly addressTolerance: bigint;
  /** A fault in the middle may leave general registers loaded or not. */
  readonly partialOnFault: boolean;
  /** Compare vector registers by relative error (approximating instructions). */
  readonly approximate: boolean;
}

export interface Region {
  readonly base: bigint;
  readonly pages: number;
}
export const DATA: Region = { base: DATA_BASE, pages: 2 };
export const STACK: Region = { base: STACK_BASE, pages: 2 };
export const HIGH: Region = { base: HIGH_BASE, pages: 2 };
export const READ_ONLY_BASE = DATA_BASE + 0x2000n;

interface VectorPools {
  readonly mixed: VectorPool;
  /** Numbers of ordinary size, as programs have them. */
  readonly singles: VectorPool;
  readonly doubles: VectorPool;
}

let pools: (VectorPools & { readonly seed: number; readonly batch: number }) | undefined;
/** The vectors of a batch; they follow from seed and batch alone, the last ones are kept. */
function poolsOf(seed: number, batch: number): VectorPools {
  if (pools === undefined || pools.seed !== seed || pools.batch !== batch) {
    const own = mixSeed(seed, 0x40000000 + batch);
    pools = {
      seed,
      batch,
      mixed: new VectorPool(own),
      singles: new VectorPool(own + 1, 8),
      doubles: new VectorPool(own + 2, 9),
    };
  }
  return pools;
}

/**
 * Masked moves of elements. With an address of 32 bits (67h in 64-bit code) the manual (AMD64, volume 1, section 2.2, on the address-size
 * prefix) cuts off the effective address of the operand, and is silent about elements behind its end: some AMD processors cut off
 * each element's address, Zen 5 goes on beyond 4 GiB. CR2 then is another by exactly that.
 */
const MASKED_ELEMENTS = /^vp?maskmov(ps|pd|d|q)$/;

export class CaseBuilder {
  readonly random: Random;
  readonly mode: Mode;
  readonly kind: 'single' | 'block';
  readonly slot: number;
  readonly index: number;
  readonly values: (bigint | undefined)[] = new Array<bigint | undefined>(16).fill(undefined);
  /** Registers that must not be written; their values are known. */
  readonly frozen = new Set<number>();
  /** How many of a block's plain instructions are vector instructions. */
  vectorShare = 0.32;
  readonly patches: Patch[] = [];
  readonly ignoredMemory: { address: bigint; bytes: number }[] = [];
  readonly items: Item[] = [];
  readonly undefinedBefore: number[] = [];
  readonly vectorState = new Uint8Array(512);
  readonly upper = new Uint8Array(256);
  flags: bigint;
  fsBase: bigint;
  gsBase: bigint;
  /** What FS and GS hold in 32-bit code. */
  readonly fs: LocalSegment | undefined;
  readonly gs: LocalSegment | undefined;
  undefinedFlags = 0;
  codeOffset = 0;
  codeBytes = 0;
  approximate = false;
  addressTolerance = 0n;
  partialOnFault = false;
  readonly #template: Uint8Array;

  constructor(options: {
    seed: number;
    index: number;
    slot: number;
    mode: Mode;
    kind: 'single' | 'block';
    template: Uint8Array;
  }) {
    this.random = new Random(mixSeed(options.seed, options.index));
    this.mode = options.mode;
    this.kind = options.kind;
    this.slot = options.slot;
    this.index = options.index;
    this.#template = options.template;
    const { random } = this;
    this.flags = 0x202n | BigInt(random.word() & ARITHMETIC_FLAGS) | (random.chance(0.2) ? DIRECTION_FLAG : 0n);
    if (options.mode === 64) {
      this.fsBase = DATA_BASE + BigInt(random.below(64) * 8);
      this.gsBase = HIGH_BASE + BigInt(random.below(64) * 8);
    } else {
      // Null selectors now and then.
      if (random.chance(0.8)) this.fs = random.pick(LOCAL_SEGMENTS);
      if (random.chance(0.8)) this.gs = random.pick(LOCAL_SEGMENTS);
      this.fsBase = this.fs?.base ?? 0n;
      this.gsBase = this.gs?.base ?? 0n;
    }
    this.#fillVectorState(options.seed);
  }

  get registerCount(): number {
    return this.mode === 64 ? 16 : 8;
  }

  /** Number of bits of an address by default. */
  get addressBits(): bigint {
    return this.mode === 64 ? 64n : 32n;
  }

  /** Gives a register its value if it has none yet. @returns its value */
  fix(register: number, value: bigint): bigint {
    const known = this.values[register];
    if (known !== undefined) return known;
    const truncated = BigInt.asUintN(this.mode, value);
    this.values[register] = truncated;
    return truncated;
  }

  /** Sets a register, whatever it had. */
  set(register: number, value: bigint): void {
    this.values[register] = BigInt.asUintN(this.mode, value);
  }

  /** True when the bytes lie in pages that a patch may change. */
  isPatchable(address: bigint, bytes: number): boolean {
    return this.#templateOffset(address) >= 0 && this.#templateOffset(address + BigInt(bytes) - 1n) >= 0;
  }

  /** Lays bytes over memory, as many of the first ones as there is writable memory for. @returns whether it took all */
  patch(address: bigint, bytes: Uint8Array): boolean {
    let fitting = bytes.length;
    while (fitting > 0 && !this.isPatchable(address, fitting)) fitting--;
    if (fitting > 0) this.patches.push({ address, bytes: bytes.subarray(0, fitting) });
    return fitting === bytes.length;
  }

  patchNumber(address: bigint, value: bigint, bytes: number): boolean {
    const buffer = new Uint8Array(8);
    new DataView(buffer.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    return this.patch(address, buffer.subarray(0, bytes));
  }

  /** Up to 8 bytes of the template; undefined outside of it. Patches are not looked at. */
  peek(address: bigint, bytes: number): bigint | undefined {
    let value = 0n;
    for (let index = bytes - 1; index >= 0; index--) {
      const at = this.#templateOffset(address + BigInt(index));
      if (at < 0) return undefined;
      value = (value << 8n) | BigInt(this.#template[at] ?? 0);
    }
    return value;
  }

  #templateOffset(address: bigint): number {
    for (let page = 0; page < WRITABLE_PAGE_COUNT; page++) {
      const offset = address - (TEMPLATE_PAGES[page] ?? 0n);
      if (offset >= 0n && offset < BigInt(PAGE)) return page * PAGE + Number(offset);
    }
    return -1;
  }

  /** Appends an instruction and carries the knowledge about undefined flags past it. */
  append(item: Item): void {
    if (item.row !== undefined && MASKED_ELEMENTS.test(item.row.name) && this.addressTolerance === 0n)
      this.addressTolerance = 1n;
    this.items.push(item);
    this.undefinedBefore.push(this.undefinedFlags);
    this.undefinedFlags = (this.undefinedFlags & ~item.flagsDefined) | item.flagsUndefined;
    this.codeBytes += item.bytes.length;
  }

  /** Address of the next instruction to be appended. */
  get position(): bigint {
    return slotAddress(this.slot) + BigInt(this.codeOffset + this.codeBytes);
  }

  finish(): DifferentialCase {
    const { random } = this;
    for (let register = 0; register < 16; register++) {
      // A copy of another register now and then: equal operands matter to compares and subtractions.
      const other = this.values[random.below(register + 1)];
      this.fix(register, other !== undefined && random.chance(0.08) ? other : random.integer());
    }
    const code = new Uint8Array(SLOT_STRIDE).fill(0xcc);
    const addresses: bigint[] = [];
    let at = this.codeOffset;
    for (const item of this.items) {
      const address = slotAddress(this.slot) + BigInt(at);
      addresses.push(address);
      code.set(item.bytes, at);
      if (item.relative !== undefined) {
        const displacement = item.relative.target - (address + BigInt(item.bytes.length));
        new DataView(code.buffer).setInt32(at + item.relative.at, Number(BigInt.asIntN(32, displacement)), true);
      }
      at += item.bytes.length;
    }
    if (at > SLOT_STRIDE) throw new RangeError(`case ${this.index}: ${at} bytes do not fit into a slot`);
    return {
      index: this.index,
      kind: this.kind,
      items: this.items,
      addresses,
      undefinedBefore: this.undefinedBefore,
      undefinedAtEnd: this.undefinedFlags,
      ignoredMemory: this.ignoredMemory,
      approximate: this.approximate,
      addressTolerance: this.addressTolerance,
      partialOnFault: this.partialOnFault,
      state: {
        mode: this.mode,
        registers: this.values.map((value) => value ?? 0n),
        flags: this.flags,
        fsBase: this.fsBase,
        gsBase: this.gsBase,
        fsSelector: this.fs?.selector ?? 0,
        gsSelector: this.gs?.selector ?? 0,
        vectorState: this.vectorState,
        upper: this.upper,
        patches: this.patches,
        rip: slotAddress(this.slot) + BigInt(this.codeOffset),
        code,
        slot: this.slot,
      },
    };
  }

  #fillVectorState(seed: number): void {
    const { random } = this;
    const view = new DataView(this.vectorState.buffer);
    view.setUint16(FXSAVE.control, 0x37f, true);
    view.setUint32(FXSAVE.mxcsr, this.randomMxcsr(), true);
    for (let register = 0; register < 8; register++) {
      view.setBigUint64(FXSAVE.stack + 16 * register, random.bits64(), true);
      view.setUint16(FXSAVE.stack + 16 * register + 8, random.word(), true);
    }
    const vectors = this.mode === 64 ? 16 : 8;
    const { mixed, singles, doubles } = poolsOf(seed, Math.floor(this.index / BATCH_CASES));
    // Often all numbers are ordinary, so that several instructions in a row are native in translated code.
    const preferred = random.chance(0.3) ? random.pick([singles, doubles]) : mixed;
    const lower = new Int32Array(this.vectorState.buffer);
    const upper = new Int32Array(this.upper.buffer);
    for (let register = 0; register < vectors; register++) {
      (random.chance(0.9) ? preferred : mixed).take(random, lower, FXSAVE.xmm / 4 + 4 * register);
      (random.chance(0.9) ? preferred : mixed).take(random, upper, 4 * register);
    }
    // Equal vectors now and then.
    if (random.chance(0.1))
      this.vectorState.copyWithin(FXSAVE.xmm + 16 * random.below(vectors), FXSAVE.xmm + 16, FXSAVE.xmm + 32);
  }

  /**
   * The state that most programs have after their first inexact result, every third time; otherwise exceptions masked four times out of
   * five; every rounding mode, flush-to-zero and denormals-are-zero.
   */
  randomMxcsr(): number {
    const { random } = this;
    // Now and then denormals have been seen as well.
    if (random.chance(0.35)) return 0x1fa0 | random.pick([0, 0, 0, 0x12, random.below(32)]);
    const masks = random.chance(0.8) ? 0x1f80 : random.word() & 0x1f80;
    const control = random.chance(0.4) ? 0 : random.word() & 0x6000;
    const daz = random.chance(0.2) ? 0x40 : 0;
    const ftz = random.chance(0.2) ? 0x8000 : 0;
    const sticky = random.chance(0.7) ? 0 : random.word() & 0x3f;
    return masks | control | daz | ftz | sticky;
  }

  /**
   * An address for a memory operand of `bytes` bytes: mostly in writable pages; across page boundaries; in or into the read-only
   * page and unmapped pages; non-canonical. `faults` scales the part that cannot succeed.
   */
  pickTarget(bytes: number, alignment: number, faults: number, high: boolean): bigint {
    const { random } = this;
    const span = Math.max(1, bytes);
    const straddle = (boundary: bigint): bigint =>
      boundary - BigInt(bytes > 1 ? random.between(1, bytes - 1) : random.below(2));
    if (random.chance(0.28 * faults)) {
      switch (random.below(9)) {
        case 0:
        case 1:
          return READ_ONLY_BASE + BigInt(random.below((PAGE - span) / alignment) * alignment);
        case 2:
          return READ_ONLY_BASE + BigInt(random.below(PAGE - span));
        case 3:
          return straddle(READ_ONLY_BASE);
        case 4:
          return straddle(READ_ONLY_BASE + 0x1000n);
        case 5:
          return READ_ONLY_BASE + 0x1000n + BigInt(random.below(64) * alignment);
        case 6:
          if (high)
            return random.chance(0.5) ? straddle(HIGH_BASE + 0x2000n) : HIGH_BASE - BigInt(random.below(2 * span) + 1);
          return DATA_BASE - BigInt(random.below(2 * span) + 1);
        case 7:
          // Code can be read, not written; the far end of the region is not in any slot.
          return CODE_BASE + BigInt(2 * 1024 * 1024 - 4096 + random.below((PAGE - span) / alignment) * alignment);
        default:
          return this.mode === 64
            ? random.pick([
                0x0000_8000_0000_0000n,
                0xffff_7fff_ffff_fff0n,
                0x8000_0000_0000_0000n,
                (random.bits64() >> 17n) | (1n << 60n),
              ])
            : BigInt(random.word() | 0x8000_0000);
      }
    }
    const base = high && random.chance(0.4) ? HIGH_BASE : DATA_BASE;
    if (random.chance(0.15)) return straddle(base + 0x1000n);
    const slots = Math.floor((2 * PAGE - span) / alignment);
    if (random.chance(0.7)) return base + BigInt(random.below(slots) * alignment);
    return base + BigInt(random.below(2 * PAGE - span));
  }

  /** A stack pointer with room on both sides; rarely at an edge or where nothing is. */
  pickStack(faults: number): bigint {
    const { random } = this;
    if (random.chance(0.15 * faults)) {
      switch (random.below(5)) {
        case 0:
          return STACK_BASE + BigInt(random.below(20));
        case 1:
          return STACK_BASE + 0x2000n - BigInt(random.below(20));
        case 2:
          return READ_ONLY_BASE + 0x100n;
        case 3:
          return this.mode === 64 ? 0x0000_8000_0000_0000n + BigInt(random.below(8)) : 0x7000_0000n;
        default:
          return 0x1000_8000_0000n;
      }
    }
    if (random.chance(0.15)) return STACK_BASE + 0x1000n + BigInt(random.between(-24, 24));
    return STACK_BASE + BigInt(random.between(0x700, 0x1900) & (random.chance(0.8) ? ~7 : ~0));
  }
}
