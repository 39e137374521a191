/**
 * The XMM registers of a region, and the upper halves of its YMM registers: v128 locals from entry to exit, and scratch locals for vector and floating-point instructions.
 *
 * Loaded once at the entry, stored once at the exit where the region writes them. `mode` is a local that tells whether arithmetic may be
 * native: rounding to nearest, exceptions masked, no FTZ or DAZ (else 2), and PE set already, so that an ordinary result changes no flag
 * (0), or clear, so that an exact one does (1). `relaxed` is 1 when denormals raise nothing either. LDMXCSR makes both anew.
 * Answers to: AMD64 manual volume 1, section 4.2.2 (MXCSR). Called by: region-emitter.ts and the emitters of vector instructions.
 */
import { STATE } from '../state-layout.ts';
import { KIND } from './flag-analysis.ts';
import { applyFacts, FACTS, type Facts, factsAtEntry, isAllowed, needsOfMxcsr } from './float-analysis.ts';
import type { Instruction } from './instruction.ts';
import { TRAIT } from './operation-facts.ts';
import type { Region } from './region.ts';
import { vectorPlaces } from './region-registers.ts';
import { V } from './vector-opcodes.ts';
import { SCRATCH, UPPER } from './vex.ts';
import { F32, F64, type FunctionWriter, I32, OP, V128 } from './wasm-encoder.ts';

/** MXCSR without the sticky flags below PE, what it must be, and PE. */
const MXCSR_MASK = 0xffe0;
const MXCSR_NATIVE = 0x1fa0;
const PRECISION = 0x20;
/** DE and UE. */
const DENORMAL_FLAGS = 0x12;

/** Offset in the processor's block of the register, or upper half of one, at a place (vex.ts). */
const slot = (place: number): number => STATE.XMM + (place & 0xf0) * 2 + (place < UPPER ? 0 : 16);
/** Number of the first scratch local of those that have places. */
const PLACED_SCRATCH = 8;

const NONE: readonly number[] = [];

export class RegionVectors {
  readonly #code: FunctionWriter;
  /** Locals of XMM registers by number, behind them those of the upper halves of YMM registers; 0: it has none. */
  readonly #locals = new Int32Array(32);
  /** Bits of the registers that are written. */
  #written = 0;
  /** Scratch locals by type and number. */
  readonly #vectors: number[] = [];
  readonly #singles: number[] = [];
  readonly #doubles: number[] = [];
  /** Places of the registers that have locals, in the order of these. */
  readonly #places: number[] = [];
  #mode = 0;
  #relaxed = 0;
  /** Kinds of flags that the region's comparisons make. */
  comparisons: readonly number[] = NONE;
  #atEntry: readonly Facts[] | undefined;
  /** What is known of the registers at the current point. */
  #facts: Facts = new Uint8Array(FACTS);

  constructor(code: FunctionWriter) {
    this.#code = code;
  }

  /** Another region begins. */
  begin(region: Region): void {
    const { traits } = region;
    this.#places.length = 0;
    this.#relaxed = 0;
    this.#mode = 0;
    this.#atEntry = undefined;
    this.comparisons = NONE;
    if ((traits & TRAIT.vector) === 0) return;
    const code = this.#code;
    this.#locals.fill(0);
    this.#written = 0;
    this.#vectors.length = 0;
    this.#singles.length = 0;
    this.#doubles.length = 0;
    this.#facts.fill(0);
    let native = false;
    for (const { block } of region.nodes) {
      for (const instruction of block.instructions) {
        if (!instruction.vector) continue;
        for (const place of vectorPlaces(instruction)) {
          if (this.#locals[place >> 4] !== 0) continue;
          this.#locals[place >> 4] = code.local(V128);
          this.#places.push(place);
        }
        native ||= needsOfMxcsr(instruction) !== 0;
      }
    }
    const compared = traits & (TRAIT.comparesSingles | TRAIT.comparesDoubles);
    if (compared !== 0) {
      this.comparisons = [
        ...((compared & TRAIT.comparesSingles) === 0 ? NONE : [KIND.single]),
        ...((compared & TRAIT.comparesDoubles) === 0 ? NONE : [KIND.double]),
      ];
    }
    if ((traits & TRAIT.raises) === 0) return;
    this.#relaxed = code.local(I32);
    this.#atEntry = factsAtEntry(region);
    if (native) this.#mode = code.local(I32);
  }

  /** Code of the block with that order follows. */
  enterBlock(order: number): void {
    const facts = this.#atEntry?.[order];
    if (facts !== undefined) this.#facts.set(facts);
  }
  /** The vector instruction has been emitted. */
  after(instruction: Instruction): void {
    if (this.#atEntry !== undefined) applyFacts(this.#facts, instruction);
  }
  /** Whether elements of a register (CLEAN, or'ed) are known to be zero or ordinary. */
  isClean(place: number, elements: number): boolean {
    if (place >= SCRATCH) return false;
    return ((this.#facts[place >> 4] ?? 0) & elements) === elements;
  }
  /** Locals of the region's XMM registers, and upper halves of YMM registers, by their places. */
  get places(): readonly (readonly [place: number, local: number])[] {
    return this.#places.map((place) => [place, this.#local(place)] as const);
  }

  /** Whether MXCSR is known to allow what a bit of ALLOWED says. */
  isAllowed(allowed: number): boolean {
    return isAllowed(this.#facts, allowed);
  }

  /** At the entry. */
  load(): void {
    const code = this.#code;
    for (const place of this.#places) {
      code.get(0);
      code.vectorMemory(V.load, slot(place));
      code.set(this.#local(place));
    }
    this.loadMode();
  }
  /** Makes mode and relaxed from MXCSR in the processor's block. */
  loadMode(): void {
    const code = this.#code;
    if (this.#relaxed === 0) return;
    code.get(0);
    code.memory(OP.i32_load, STATE.MXCSR);
    code.i32(MXCSR_MASK | DENORMAL_FLAGS);
    code.op(OP.i32_and);
    code.i32(MXCSR_NATIVE | DENORMAL_FLAGS);
    code.op(OP.i32_eq);
    code.set(this.#relaxed);
    if (this.#mode === 0) return;
    code.get(0);
    code.memory(OP.i32_load, STATE.MXCSR);
    code.i32(MXCSR_MASK);
    code.op(OP.i32_and);
    code.i32(MXCSR_NATIVE);
    code.op(OP.i32_xor);
    code.tee(this.#mode);
    code.i32(0);
    code.op(OP.i32_ne);
    code.get(this.#mode);
    code.i32(~PRECISION);
    code.op(OP.i32_and);
    code.i32(0);
    code.op2(OP.i32_ne, OP.i32_add);
    code.set(this.#mode);
  }
  /** Before a call of the core: all that the region has. */
  storeAll(): void {
    for (const place of this.#places) {
      this.#code.get(0);
      this.#code.get(this.#local(place));
      this.#code.vectorMemory(V.store, slot(place));
    }
  }
  /** Behind it. @param places 16 times the numbers; undefined: all */
  loadResults(places: readonly number[] | undefined): void {
    for (const place of this.#places) {
      if (places !== undefined && !places.includes(place & 0xf0)) continue;
      this.#code.get(0);
      this.#code.vectorMemory(V.load, slot(place));
      this.set(place);
    }
  }
  /** At the exit. */
  store(): void {
    const code = this.#code;
    for (const place of this.#places) {
      if ((this.#written & (1 << (place >> 4))) === 0) continue;
      code.get(0);
      code.get(this.#local(place));
      code.vectorMemory(V.store, slot(place));
    }
  }

  get relaxed(): number {
    if (this.#relaxed === 0) throw new RangeError('region: no state of denormals');
    return this.#relaxed;
  }
  get mode(): number {
    if (this.#mode === 0) throw new RangeError('region: no mode of floating-point arithmetic');
    return this.#mode;
  }
  #local(place: number): number {
    if (place >= SCRATCH) return this.vector(PLACED_SCRATCH + ((place - SCRATCH) >> 4));
    const local = this.#locals[place >> 4] ?? 0;
    if (local === 0) throw new RangeError(`region: vector register ${place} has no local`);
    return local;
  }
  /** Pushes a register. */
  get(place: number): void {
    this.#code.get(this.#local(place));
  }
  /** Takes a v128 and writes it to a register. */
  set(place: number): void {
    if (place < SCRATCH) this.#written |= 1 << (place >> 4);
    this.#code.set(this.#local(place));
  }
  /** Clears a register, or the upper half of one, that may have no local. */
  clear(place: number): void {
    const code = this.#code;
    if ((this.#locals[place >> 4] ?? 0) === 0) {
      code.get(0);
      code.splat32(0);
      code.vectorMemory(V.store, slot(place));
      return;
    }
    code.splat32(0);
    this.set(place);
  }
  /** Scratch locals by number. */
  vector(number: number): number {
    return this.#temporary(this.#vectors, V128, number);
  }
  single(number: number): number {
    return this.#temporary(this.#singles, F32, number);
  }
  double(number: number): number {
    return this.#temporary(this.#doubles, F64, number);
  }
  /** Locals of the operands that the last comparison for flags had, by their bytes. */
  compared(bytes: 4 | 8): readonly [number, number] {
    return bytes === 4 ? [this.single(3), this.single(4)] : [this.double(3), this.double(4)];
  }
  #temporary(locals: number[], type: number, number: number): number {
    let local = locals[number];
    if (local === undefined) {
      local = this.#code.local(type);
      locals[number] = local;
    }
    return local;
  }
}
