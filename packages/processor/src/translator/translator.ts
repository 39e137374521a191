/**
 * Takes hot blocks from the processor's queue and puts translated regions in their place.
 *
 * The run loop counts transfers to blocks of 64-bit code; a block that reaches the threshold is queued (assembly/run.ts). Here the
 * queue becomes one WebAssembly module per batch, its functions go into the engine's table, and each entry block is replaced by one
 * whose only operation calls its region (assembly/blocks.ts, which also drops regions whose bytes change).
 *
 * Called by: software-processor.ts, on the processor's thread.
 */
import { FIRST_LEAVE, LEAVE_OPERATIONS as LEAVES } from '../build/run-loop.ts';
import { STATE } from '../state-layout.ts';
import { chainBody } from './chain.ts';
import { translatable } from './emit-instructions.ts';
import { type Instruction, readInstruction } from './instruction.ts';
import { buildRegion, type Region } from './region.ts';
import { RegionEmitter } from './region-emitter.ts';
import { encodeModule } from './wasm-encoder.ts';

/** What the translator needs of the engine core. */
export interface TranslationExports {
  decodeForTranslation(gpa: number): number;
  findBlock(gpa: number): number;
  installRegion(block: number, slot: number, from: number, to: number, module: number, index: number): number;
  allocateExits(count: number): number;
  arenaFlushCount(): number;
}

/** Counts of the translator's work; `evicted` are regions whose place was given back. */
export interface TranslatorStatistics {
  regions: number;
  modules: number;
  bytes: number;
  evicted: number;
}

const BLOCK = { gpa: 16, key: 36, operations: 64 } as const;
/** Mode key of ordinary 64-bit code (assembly/blocks.ts). */
const KEY_64 = 1;
/** Slots of the function table; the engine has nothing else in it. */
export const TABLE_SLOTS = 16384;
const MAXIMUM_PAGES = 65536;

interface Prepared {
  readonly block: number;
  readonly body: Uint8Array;
  readonly from: number;
  readonly to: number;
}

export class Translator {
  readonly statistics: TranslatorStatistics = { regions: 0, modules: 0, bytes: 0, evicted: 0 };
  readonly #memory: WebAssembly.Memory;
  readonly #base: number;
  readonly #view: DataView;
  readonly #engine: TranslationExports;
  readonly #table: WebAssembly.Table;
  readonly #always: boolean;
  #nextSlot = 0;
  #nextModule = 1;
  #spare: number[] = [];
  #flushes = -1;

  /** @param always blocks are translated before they were executed, so execution tells nothing of what is worth it */
  constructor(
    memory: WebAssembly.Memory,
    base: number,
    engine: TranslationExports,
    table: WebAssembly.Table,
    always: boolean,
  ) {
    this.#always = always;
    this.#memory = memory;
    this.#base = base;
    this.#view = new DataView(memory.buffer);
    this.#engine = engine;
    this.#table = table;
  }

  /** Translates what is queued. */
  translateQueue(): void {
    const queue = this.#base + STATE.HOT_QUEUE;
    const count = this.#view.getUint32(queue, true);
    this.#view.setUint32(queue, 0, true);
    const flushes = this.#engine.arenaFlushCount();
    if (flushes !== this.#flushes) {
      this.#flushes = flushes;
      this.#nextSlot = 0;
      this.#spare = [];
    }
    const slots = this.#freeSlots();
    const prepared: Prepared[] = [];
    const blocks = new Set<number>();
    for (let index = 0; index < count; index++) blocks.add(this.#view.getUint32(queue + 4 + index * 4, true));
    for (const block of blocks) {
      const region = this.#prepare(block);
      if (region !== undefined) prepared.push(region);
    }
    if (prepared.length === 0 || slots.length + TABLE_SLOTS - this.#nextSlot < prepared.length) return;
    const id = this.#nextModule++;
    const bytes = encodeModule(
      chainBody({ translated: LEAVE_TRANSLATED, leaveJump: leaveOffset('JUMP'), module: id }),
      prepared.map(({ body }) => body),
      MAXIMUM_PAGES,
    );
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes as BufferSource), {
      env: { memory: this.#memory },
    });
    this.statistics.modules++;
    this.statistics.bytes += bytes.length;
    prepared.forEach(({ block, from, to }, index) => {
      const slot = slots.pop() ?? this.#nextSlot++;
      this.#table.set(slot, instance.exports[String(index)]);
      if (this.#engine.installRegion(block, slot, from, to, id, index) !== 0) this.statistics.regions++;
    });
  }

  /** Slots of regions that were dropped since the last call. */
  #freeSlots(): number[] {
    const freed = this.#base + STATE.FREED_SLOTS;
    const count = this.#view.getUint32(freed, true);
    this.#view.setUint32(freed, 0, true);
    this.statistics.evicted += count;
    for (let index = 0; index < count; index++) this.#spare.push(this.#view.getUint32(freed + 4 + index * 4, true));
    return this.#spare;
  }

  #prepare(block: number): Prepared | undefined {
    if (this.#view.getUint32(block + BLOCK.key, true) !== KEY_64) return undefined;
    const gpa = Number(this.#view.getBigUint64(block + BLOCK.gpa, true));
    // Meanwhile dropped, or replaced by a region.
    if (this.#engine.findBlock(gpa) !== block) return undefined;
    const page = gpa - (gpa & 0xfff);
    const operation = this.#base + STATE.LEAVE_OPERATIONS + 0x200;
    const region = buildRegion(gpa & 0xfff, {
      decode: (offset): Instruction | undefined => {
        const length = this.#engine.decodeForTranslation(page + offset);
        return length === 0 ? undefined : readInstruction(this.#view, operation, offset, length);
      },
      executed: (offset) => this.#always || this.#engine.findBlock(page + offset) !== 0,
      region: (offset) => {
        const other = this.#engine.findBlock(page + offset);
        return other !== 0 && this.#view.getUint16(other + BLOCK.operations, true) === LEAVE_TRANSLATED;
      },
      translatable,
    });
    return this.#emit(block, region);
  }

  #emit(block: number, region: Region): Prepared | undefined {
    const deltas = new Map<number, number>();
    const room = region.nodes.reduce(
      (sum, { block: { terminator } }) => sum + (terminator.kind === 'branch' ? 3 : 2),
      0,
    );
    const exits = this.#engine.allocateExits(room);
    if (exits === 0) return undefined;
    const emitter = new RegionEmitter(region, {
      leaveInterpret: leaveOffset('INTERPRET'),
      leaveInterpretOne: leaveOffset('INTERPRET_ONE'),
      leaveJump: leaveOffset('JUMP'),
      directExit: (delta) => {
        let at = deltas.get(delta);
        if (at === undefined) {
          at = exits + deltas.size * 16;
          if (deltas.size >= room) throw new RangeError('region: more exits than counted');
          this.#view.setInt32(at + 8, delta, true);
          deltas.set(delta, at);
        }
        return at - this.#base;
      },
    });
    const body = emitter.emit();
    let from = 4096;
    let to = 0;
    for (const node of region.nodes) {
      from = Math.min(from, node.block.start);
      to = Math.max(to, node.block.instructions.at(-1)?.next ?? node.block.start + 1);
    }
    return { block, body, from, to };
  }
}

/** Number of the operation that calls a region. */
const LEAVE_TRANSLATED = FIRST_LEAVE + LEAVES.indexOf('TRANSLATED');
/** Address of a LEAVE operation relative to the processor's block (assembly/blocks.ts, leaveOperation). */
function leaveOffset(name: (typeof LEAVES)[number]): number {
  return STATE.LEAVE_OPERATIONS + LEAVES.indexOf(name) * 16;
}
