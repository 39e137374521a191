/**
 * The processor's side of translation: sends hot blocks to a translator, puts the regions that come back in their place, and gives up
 * modules that are not used when there are too many.
 *
 * The run loop counts transfers to blocks of 64-bit code and of flat 32-bit code; a block that reaches the threshold is queued
 * (assembly/run.ts). The queue goes to the service as a batch; what comes back is one WebAssembly module per batch. A region is installed
 * only if its bytes are still what was translated: a block whose only operation calls the region replaces the hot one (assembly/blocks.ts,
 * which also drops regions whose bytes change).
 *
 * Use is learned without a cost to the code itself: once in a while all regions are put to rest, which sends the next entry through
 * the run loop, and that wakes the region again. What still rests when room is needed has not been used.
 * Called by: software-processor.ts, on the processor's thread.
 */
import { BLOCK, REGION_PAGES, STATE } from '../state-layout.ts';
import { readWindows } from './code-windows.ts';
import {
  type HotBlock,
  KEY_64,
  KEY_FLAT,
  type TranslatedBatch,
  type TranslatedRegion,
  type TranslationService,
} from './translation-messages.ts';
import { droppedText, moduleText, regionText, type TraceListener } from './translation-trace.ts';

/** What the translator needs of the engine core on the processor's thread. */
export interface TranslationExports {
  describeCode(block: number, gpa: number): number;
  /** Whether a block is still the one at its address. */
  isCurrentBlock(block: number, gpa: number): number;
  installRegion(block: number, slot: number, module: number, index: number): number;
  dropRegion(block: number, gpa: number, slot: number): void;
  /** Puts a region to rest. */
  restRegion(block: number, gpa: number, slot: number): void;
  /** Whether a region is alive and was entered since it was put to rest. */
  regionUsed(block: number, gpa: number, slot: number): number;
  rearm(block: number, gpa: number): void;
  arenaFlushCount(): number;
  /** Executes an operation for a region (emit-called.ts). */
  execute(operation: number): number;
}

/** Counts of the translator's work; `evicted` are regions whose place was given back. */
export interface TranslatorStatistics {
  regions: number;
  modules: number;
  bytes: number;
  evicted: number;
  /** Guest instructions in the regions. */
  instructions: number;
  /** The longest time that the processor stood still for its translator. */
  longestPauseMicroseconds: number;
}

interface InstalledRegion {
  readonly block: number;
  readonly gpa: number;
  readonly slot: number;
}
interface InstalledModule {
  readonly id: number;
  readonly bytes: number;
  readonly regions: InstalledRegion[];
  /** Regions that were not dropped. */
  alive: number;
}

/** Slots of the function table, of which each region has one; the engine has nothing else in it. */
export const TABLE_SLOTS = 16384;
/**
 * What modules may cost together, in bytes of memory, and the share that is kept when it was exceeded. Measured with Node 20: a module costs
 * about 24 KiB, and what V8 makes of its functions about three times their WebAssembly, which it keeps too.
 */
const DEFAULT_LIMIT = 64 * 1024 * 1024;
const MODULE_COST = 24 * 1024;
const COST_PER_BYTE = 4;
const KEPT = 0.7;
/** Share of the limit from which use is watched. */
const WATCHED = 0.8;
/** Polls from one batch to the next: the more modules there are, the more patient the processor is. */
const LEAST_POLLS = 256;
const MOST_POLLS = 2048;
const MODULES_PER_POLL = 4;

const costOf = ({ bytes }: { readonly bytes: number }): number => MODULE_COST + bytes * COST_PER_BYTE;

export class Translator {
  readonly statistics: TranslatorStatistics = {
    regions: 0,
    modules: 0,
    bytes: 0,
    evicted: 0,
    instructions: 0,
    longestPauseMicroseconds: 0,
  };
  readonly #memory: WebAssembly.Memory;
  readonly #base: number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #ready: Int32Array;
  readonly #engine: TranslationExports;
  readonly #table: WebAssembly.Table;
  readonly #service: TranslationService;
  readonly #limit: number;
  readonly #tell: TraceListener | undefined;
  readonly #modules = new Map<number, InstalledModule>();
  readonly #moduleOfSlot = new Map<number, InstalledModule>();
  #nextSlot = 0;
  #spare: number[] = [];
  #epoch = -1;
  #costInUse = 0;
  #watching = false;
  /** Regions that are dropped now are given up. */
  #makingRoom = false;
  /** Blocks that came back translated and found no room. */
  readonly #withoutRoom = new Set<number>();

  /**
   * @param tell takes the lines of a trace
   * @param limit what modules in use may cost, in bytes of memory
   */
  constructor(
    memory: WebAssembly.Memory,
    base: number,
    engine: TranslationExports,
    table: WebAssembly.Table,
    service: TranslationService,
    tell: TraceListener | undefined,
    limit: number = DEFAULT_LIMIT,
  ) {
    this.#tell = tell;
    this.#memory = memory;
    this.#base = base;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#ready = new Int32Array(memory.buffer, base + STATE.TRANSLATION_READY, 1);
    this.#engine = engine;
    this.#table = table;
    this.#service = service;
    this.#limit = limit;
  }

  /** Takes what is translated, and sends what is queued. */
  run(): void {
    const start = performance.now();
    this.#run();
    this.#setPatience();
    const pause = Math.round((performance.now() - start) * 1000);
    if (pause > this.statistics.longestPauseMicroseconds) this.statistics.longestPauseMicroseconds = pause;
  }

  #setPatience(): void {
    const polls = Math.min(LEAST_POLLS + Math.floor(this.#modules.size / MODULES_PER_POLL), MOST_POLLS);
    this.#view.setUint32(this.#base + STATE.BATCH_POLLS, polls, true);
  }

  #run(): void {
    const ready = Atomics.exchange(this.#ready, 0, 0) !== 0;
    this.#noteEpoch();
    this.#takeDropped();
    this.#takeBatches();
    // Called to take a batch: what is queued waits for its own time.
    if (ready) return;
    const blocks = this.#takeQueue();
    if (blocks.length === 0) return;
    this.#service.send({ kind: 'translate', epoch: this.#epoch, blocks, ...(this.#tell && { traced: true }) });
    this.#takeBatches();
  }

  /** A block is about to be interpreted where everything should be translated. */
  interpreted(block: number): void {
    if (this.#withoutRoom.delete(block)) return;
    this.#service.interpreted?.(block);
  }

  #takeBatches(): void {
    for (let batch = this.#service.receive(); batch !== undefined; batch = this.#service.receive()) {
      this.#install(batch);
    }
  }

  /** After the arena was emptied nothing of what was translated is left. */
  #noteEpoch(): void {
    const epoch = this.#engine.arenaFlushCount();
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    for (const slot of this.#moduleOfSlot.keys()) this.#table.set(slot, null);
    this.statistics.evicted += this.#moduleOfSlot.size;
    const dropped = this.#moduleOfSlot.size;
    if (dropped > 0) this.#tell?.(`all ${dropped} regions dropped: the room for decoded code was used up`);
    this.#modules.clear();
    this.#moduleOfSlot.clear();
    this.#nextSlot = 0;
    this.#spare = [];
    this.#costInUse = 0;
    this.#watching = false;
    this.#withoutRoom.clear();
  }

  /** Regions that were dropped since the last call: their bytes changed, or they were given up. */
  #takeDropped(): void {
    const freed = this.#base + STATE.FREED_SLOTS;
    const count = this.#view.getUint32(freed, true);
    this.#view.setUint32(freed, 0, true);
    for (let index = 0; index < count; index++) {
      const slot = this.#view.getUint32(freed + 4 + index * 4, true);
      const module = this.#moduleOfSlot.get(slot);
      if (module === undefined) continue;
      this.#moduleOfSlot.delete(slot);
      this.#table.set(slot, null);
      this.#spare.push(slot);
      this.statistics.evicted++;
      module.alive--;
      if (this.#tell !== undefined) {
        const gpa = module.regions.find((region) => region.slot === slot)?.gpa ?? 0;
        this.#tell(
          droppedText(
            gpa,
            this.#makingRoom ? 'its module was given up, as little of it was used' : 'its bytes changed',
          ),
        );
      }
      if (module.alive === 0) this.#forget(module);
    }
  }

  #freeSlots(): number {
    return this.#spare.length + this.#table.length - this.#nextSlot;
  }

  #forget(module: InstalledModule): void {
    this.#modules.delete(module.id);
    this.#costInUse -= costOf(module);
    this.#service.send({ kind: 'free', epoch: this.#epoch, module: module.id });
  }

  #takeQueue(): HotBlock[] {
    const queue = this.#base + STATE.HOT_QUEUE;
    const count = this.#view.getUint32(queue, true);
    this.#view.setUint32(queue, 0, true);
    const addresses = new Set<number>();
    for (let index = 0; index < count; index++) addresses.add(this.#view.getUint32(queue + 4 + index * 4, true));
    const blocks: HotBlock[] = [];
    for (const block of addresses) {
      const key = this.#view.getUint32(block + BLOCK.MODE_KEY, true);
      if (key !== KEY_64 && key !== KEY_FLAT) continue;
      const gpa = Number(this.#view.getBigUint64(block + BLOCK.GPA, true));
      // Meanwhile dropped, or replaced by a region.
      if (this.#engine.describeCode(block, gpa) === 0) continue;
      blocks.push({ block, gpa, code32: key === KEY_FLAT, windows: readWindows(this.#view, this.#bytes, this.#base) });
    }
    return blocks;
  }

  #install(batch: TranslatedBatch): void {
    // Of a time before the arena was emptied: the translator clears what it kept for it when it hears of the new one.
    if (batch.epoch !== this.#epoch) return;
    for (const { block, gpa } of batch.left) this.#engine.rearm(block, gpa);
    const valid = batch.regions.filter((region) => this.#unchanged(region));
    if (valid.length > this.#freeSlots()) this.#makeRoom();
    if (valid.length === 0 || valid.length > this.#freeSlots()) {
      this.#service.send({ kind: 'free', epoch: this.#epoch, module: batch.id });
      for (const { block } of valid) this.#withoutRoom.add(block);
      return;
    }
    const instance = new WebAssembly.Instance(batch.module, {
      env: { memory: this.#memory, execute: this.#engine.execute },
    });
    const module: InstalledModule = { id: batch.id, bytes: batch.bytes, regions: [], alive: 0 };
    for (const region of valid) {
      const slot = this.#spare.pop() ?? this.#nextSlot++;
      const { gpa, index } = region;
      this.#describePages(region);
      const block = this.#engine.installRegion(region.block, slot, batch.id, index);
      if (block === 0) {
        this.#spare.push(slot);
        this.#withoutRoom.add(region.block);
        continue;
      }
      this.#table.set(slot, instance.exports[String(index)]);
      this.#moduleOfSlot.set(slot, module);
      module.regions.push({ block, gpa, slot });
      module.alive++;
      this.statistics.regions++;
      this.statistics.instructions += region.instructions;
      this.#tell?.(regionText(this.#view.getBigUint64(region.block + BLOCK.RIP, true), region));
    }
    this.#modules.set(module.id, module);
    this.#costInUse += costOf(module);
    this.statistics.modules++;
    this.statistics.bytes += batch.bytes;
    this.#tell?.(moduleText(module.id, module.alive, module.bytes));
    if (module.alive === 0) this.#forget(module);
    if (this.#costInUse > this.#limit) this.#makeRoom();
    else if (!this.#watching && this.#costInUse > this.#limit * WATCHED) this.#watch();
  }

  /** Whether the block is still the hot one and its code what was translated. */
  #unchanged({ block, gpa, pages }: TranslatedRegion): boolean {
    if (this.#engine.isCurrentBlock(block, gpa) === 0) return false;
    for (const { host, from, code } of pages) {
      for (let at = 0; at < code.length; at++) if (code[at] !== this.#bytes[host + from + at]) return false;
    }
    return true;
  }

  /** Tells the core of a region's pages. */
  #describePages({ pages }: TranslatedRegion): void {
    const at = this.#base + STATE.CODE_DESCRIPTION;
    this.#view.setUint32(at, pages.length, true);
    pages.forEach(({ host, delta, from, to }, number) => {
      const entry = at + REGION_PAGES.LIST + number * REGION_PAGES.ENTRY_BYTES;
      this.#view.setUint32(entry + REGION_PAGES.HOST, host, true);
      this.#view.setInt32(entry + REGION_PAGES.DELTA, delta, true);
      this.#view.setUint16(entry + REGION_PAGES.FROM, from, true);
      this.#view.setUint16(entry + REGION_PAGES.TO, to, true);
    });
  }

  /** Puts all regions to rest. */
  #watch(): void {
    this.#watching = true;
    for (const { regions } of this.#modules.values()) {
      for (const { block, gpa, slot } of regions) this.#engine.restRegion(block, gpa, slot);
    }
  }

  /** Gives up the modules of which the smallest share was used since all were put to rest. */
  #makeRoom(): void {
    const ranked = [...this.#modules.values()].map((module) => ({
      module,
      used: module.regions.reduce((sum, { block, gpa, slot }) => sum + this.#engine.regionUsed(block, gpa, slot), 0),
    }));
    this.#makingRoom = true;
    ranked.sort((a, b) => a.used / costOf(a.module) - b.used / costOf(b.module));
    for (const { module } of ranked) {
      if (this.#costInUse <= this.#limit * KEPT && this.#freeSlots() > 1000) break;
      for (const { block, gpa, slot } of module.regions) this.#engine.dropRegion(block, gpa, slot);
      this.#takeDropped();
      // Where the list of dropped regions ran over, the module is still known.
      if (this.#modules.has(module.id)) this.#forget(module);
    }
    this.#makingRoom = false;
    this.#watching = false;
  }
}
