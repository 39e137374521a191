/**
 * The processor's side of translation: sends hot blocks to a translator, puts the regions that come back in their place, and gives up
 * modules that are not used when there are too many.
 *
 * The run loop counts transfers to blocks of 64-bit code and of flat 32-bit code; a block that reaches the threshold is queued
 * (assembly/run.ts). The queue goes to the service as a batch; what comes back is one WebAssembly module per batch. A region is installed
 * only if its bytes are still what was translated: a block whose only operation calls the region replaces the hot one
 * (assembly/region-blocks.ts; blocks.ts drops regions whose bytes change).
 *
 * The processor stands still while this works, so it works in steps: a call does so much and goes on at the next poll. In between the guest
 * runs, so each region is compared with its code at the very step that puts it in its place.
 *
 * Use is learned without a cost to the code itself: once in a while all regions are put to rest, which sends the next entry through
 * the run loop, and that wakes the region again. What still rests when room is needed has not been used.
 * Called by: software-processor.ts, on the processor's thread.
 */
import { BLOCK, REGION_PAGES, STATE } from '../state-layout.ts';
import { copyDescription } from './code-windows.ts';
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
  /** Makes what is recorded of branches independent of regions' exits, which may then be given back. */
  settleBranches(): void;
  /** Executes an operation for a region (emit-called.ts). */
  execute(operation: number): number;
  /** A product and a sum of ordinary numbers, rounded once (emit-fused.ts). */
  fuseDouble(a: number, b: number, c: number): number;
  fuseSingle(a: number, b: number, c: number): number;
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
  longestPauseSeconds: number;
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

/**
 * What one call does, and what its parts cost, in regions that are put in their place: about 15 us of the thread each where a boot takes 8
 * seconds of CPU time, so that a call takes about 2 ms there. A hot block that is described costs one, too.
 */
const WORK_OF_A_CALL = 64;
const WORK = { module: 16, drop: 1 / 4, look: 1 / 16, clear: 1 / 8 } as const;
/** Hot blocks that become one module, at most. */
const MOST_BLOCKS = 128;
/** Slots that are kept free, and how many there are again when room was made. */
const LEAST_SLOTS = 256;
const SLOTS_KEPT = 1000;

const costOf = ({ bytes }: { readonly bytes: number }): number => MODULE_COST + bytes * COST_PER_BYTE;

export class Translator {
  readonly statistics: TranslatorStatistics = {
    regions: 0,
    modules: 0,
    bytes: 0,
    evicted: 0,
    instructions: 0,
    longestPauseSeconds: 0,
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
  /** Slots of regions that are gone, still to be cleared. */
  #stale: number[] = [];
  #epoch = -1;
  #costInUse = 0;
  #watching = false;
  /** Regions that are dropped now are given up. */
  #makingRoom = false;
  /** Blocks that came back translated and found no room. */
  readonly #withoutRoom = new Set<number>();
  /** What this call may still do. */
  #work = 0;
  /** What was begun and waits to go on. */
  #task: Iterator<void> | undefined;
  /** Hot blocks that are described and not yet sent. */
  #gathered: HotBlock[] = [];
  /** Some of what was to be sent is still queued. */
  #queueLeft = false;
  /** Modules of which the translator is to hear that they are gone. */
  #freed: number[] = [];

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

  /**
   * Goes on with what was begun, takes what is translated, and sends what is queued.
   * @param queueDue whether what is queued is to be sent
   */
  run(queueDue: boolean): void {
    const start = performance.now();
    Atomics.store(this.#ready, 0, 0);
    this.#noteEpoch();
    this.#takeDropped();
    this.#work = this.#service.atOnce ? Number.POSITIVE_INFINITY : WORK_OF_A_CALL;
    this.#goOn();
    if (queueDue) {
      this.#takeQueue();
      if (this.#service.atOnce) this.#goOn();
    }
    if (this.#freed.length > 0) {
      this.#engine.settleBranches();
      this.#service.send({ kind: 'free', epoch: this.#epoch, modules: this.#freed });
    }
    this.#freed = [];
    this.#setPatience();
    const pause = (performance.now() - start) / 1000;
    if (pause > this.statistics.longestPauseSeconds) this.statistics.longestPauseSeconds = pause;
  }

  /** What was begun, and then one thing after the other, until this call has done enough. */
  #goOn(): void {
    while (this.#work > 0) {
      this.#task ??= this.#nextTask();
      if (this.#task === undefined) return;
      if (this.#task.next().done) this.#task = undefined;
    }
    // Called again at the next poll.
    Atomics.store(this.#ready, 0, 1);
  }
  #nextTask(): Iterator<void> | undefined {
    if (this.#stale.length > 0) return this.#clearSlots();
    const full = this.#costInUse > this.#limit || this.#freeSlots() < LEAST_SLOTS;
    if (full && this.#modules.size > 0) return this.#makeRoom();
    if (!this.#watching && this.#costInUse > this.#limit * WATCHED) return this.#watch();
    const batch = this.#service.receive();
    return batch && this.#install(batch);
  }
  /** @returns whether this call has done enough */
  #spend(work: number): boolean {
    this.#work -= work;
    return this.#work <= 0;
  }

  #setPatience(): void {
    const patient = Math.min(LEAST_POLLS + Math.floor(this.#modules.size / MODULES_PER_POLL), MOST_POLLS);
    this.#view.setUint32(this.#base + STATE.BATCH_POLLS, this.#queueLeft ? 0 : patient, true);
  }

  /** A block is about to be interpreted where everything should be translated. */
  interpreted(block: number): void {
    if (this.#withoutRoom.delete(block)) return;
    this.#service.interpreted?.(block);
  }

  /** After the arena was emptied nothing of what was translated is left. */
  #noteEpoch(): void {
    const epoch = this.#engine.arenaFlushCount();
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    const dropped = this.#moduleOfSlot.size;
    this.#stale.push(...this.#moduleOfSlot.keys());
    this.statistics.evicted += dropped;
    if (dropped > 0) this.#tell?.(`all ${dropped} regions dropped: the room for decoded code was used up`);
    this.#modules.clear();
    this.#moduleOfSlot.clear();
    this.#costInUse = 0;
    this.#watching = false;
    this.#withoutRoom.clear();
    this.#task = undefined;
    this.#gathered = [];
    this.#queueLeft = false;
    this.#freed = [];
  }

  /** Nothing leads to these slots any more; what they hold would only be kept alive. */
  *#clearSlots(): Generator<void> {
    for (let slot = this.#stale.pop(); slot !== undefined; slot = this.#stale.pop()) {
      this.#table.set(slot, null);
      this.#spare.push(slot);
      if (this.#spend(WORK.clear)) yield;
    }
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
    this.#freed.push(module.id);
  }

  /** Describes what is queued and sends it; what this call cannot do stays in the queue. */
  #takeQueue(): void {
    const queue = this.#base + STATE.HOT_QUEUE;
    const count = this.#view.getUint32(queue, true);
    const addresses = new Set<number>();
    let taken = 0;
    while (taken < count && this.#gathered.length < MOST_BLOCKS && this.#work > 0) {
      taken++;
      const block = this.#view.getUint32(queue + taken * 4, true);
      if (addresses.has(block)) continue;
      addresses.add(block);
      this.#spend(1);
      const hot = this.#describe(block);
      if (hot !== undefined) this.#gathered.push(hot);
    }
    this.#bytes.copyWithin(queue + 4, queue + 4 + taken * 4, queue + 4 + count * 4);
    this.#view.setUint32(queue, count - taken, true);
    this.#queueLeft = taken < count;
    if (this.#gathered.length === 0 || (this.#queueLeft && this.#gathered.length < MOST_BLOCKS)) return;
    const blocks = this.#gathered;
    this.#gathered = [];
    this.#service.send({ kind: 'translate', epoch: this.#epoch, blocks, ...(this.#tell && { traced: true }) });
  }
  #describe(block: number): HotBlock | undefined {
    const key = this.#view.getUint32(block + BLOCK.MODE_KEY, true);
    if (key !== KEY_64 && key !== KEY_FLAT) return undefined;
    const gpa = Number(this.#view.getBigUint64(block + BLOCK.GPA, true));
    // Meanwhile dropped, or replaced by a region.
    if (this.#engine.describeCode(block, gpa) === 0) return undefined;
    return { block, gpa, code32: key === KEY_FLAT, description: copyDescription(this.#view, this.#bytes, this.#base) };
  }

  *#install(batch: TranslatedBatch): Generator<void> {
    // Of a time before the arena was emptied: the translator clears what it kept for it when it hears of the new one.
    if (batch.epoch !== this.#epoch) return;
    for (const { block, gpa } of batch.left) this.#engine.rearm(block, gpa);
    if (batch.regions.length > this.#freeSlots()) {
      this.#freed.push(batch.id);
      for (const { block } of batch.regions) this.#withoutRoom.add(block);
      return;
    }
    let instance: WebAssembly.Instance | undefined;
    // Counted as one more until all is in its place, so that a write to its first regions does not end it before.
    const module: InstalledModule = { id: batch.id, bytes: batch.bytes, regions: [], alive: 1 };
    this.#spend(WORK.module);
    for (const region of batch.regions) {
      if (this.#unchanged(region)) {
        instance ??= this.#instantiate(batch.module);
        this.#place(region, module, instance);
      }
      if (this.#spend(1)) yield;
    }
    module.alive--;
    if (instance === undefined) {
      this.#freed.push(batch.id);
      return;
    }
    this.#modules.set(module.id, module);
    this.#costInUse += costOf(module);
    this.statistics.modules++;
    this.statistics.bytes += batch.bytes;
    this.#tell?.(moduleText(module.id, module.alive, module.bytes));
    if (module.alive === 0) this.#forget(module);
  }

  #instantiate(module: WebAssembly.Module): WebAssembly.Instance {
    const { execute, fuseDouble, fuseSingle } = this.#engine;
    const imports = { env: { memory: this.#memory, execute, fuseDouble, fuseSingle } };
    return this.#service.instantiate?.(module, imports) ?? new WebAssembly.Instance(module, imports);
  }

  /** Puts a region in the place of its hot block. */
  #place(region: TranslatedRegion, module: InstalledModule, instance: WebAssembly.Instance): void {
    const slot = this.#spare.pop() ?? this.#nextSlot++;
    const { gpa, index } = region;
    this.#describePages(region);
    const block = this.#engine.installRegion(region.block, slot, module.id, index);
    if (block === 0) {
      this.#spare.push(slot);
      this.#withoutRoom.add(region.block);
      return;
    }
    this.#table.set(slot, instance.exports[String(index)]);
    this.#moduleOfSlot.set(slot, module);
    module.regions.push({ block, gpa, slot });
    module.alive++;
    this.statistics.regions++;
    this.statistics.instructions += region.instructions;
    this.#tell?.(regionText(this.#view.getBigUint64(region.block + BLOCK.RIP, true), region));
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
  *#watch(): Generator<void> {
    this.#watching = true;
    for (const { regions } of [...this.#modules.values()]) {
      for (const { block, gpa, slot } of regions) this.#engine.restRegion(block, gpa, slot);
      if (this.#spend(regions.length * WORK.look)) yield;
    }
  }

  /** Gives up the modules of which the smallest share was used since all were put to rest. */
  *#makeRoom(): Generator<void> {
    const ranked: { readonly module: InstalledModule; readonly share: number }[] = [];
    for (const module of [...this.#modules.values()]) {
      let used = 0;
      for (const { block, gpa, slot } of module.regions) used += this.#engine.regionUsed(block, gpa, slot);
      ranked.push({ module, share: used / costOf(module) });
      if (this.#spend(module.regions.length * WORK.look)) yield;
    }
    ranked.sort((a, b) => a.share - b.share);
    for (const { module } of ranked) {
      if (this.#costInUse <= this.#limit * KEPT && this.#freeSlots() > SLOTS_KEPT) break;
      // Its last region may have been dropped between two steps.
      if (!this.#modules.has(module.id)) continue;
      this.#makingRoom = true;
      for (const { block, gpa, slot } of module.regions) this.#engine.dropRegion(block, gpa, slot);
      this.#takeDropped();
      this.#makingRoom = false;
      // Where the list of dropped regions ran over, the module is still known.
      if (this.#modules.has(module.id)) this.#forget(module);
      if (this.#spend(module.regions.length * WORK.drop)) yield;
    }
    this.#watching = false;
  }
}
