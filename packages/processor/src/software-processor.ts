/**
 * The software engine's virtual processor: one WebAssembly instance of the assembly core over the partition's shared memory.
 *
 * Implements `VirtualProcessor` of the engine interface: registers by their TLFS names (read and written in the processor's block,
 * see state-layout.ts), `run` until an exit, intercepts answered through the handlers on the caller's thread.
 * Called by: the worker of each virtual processor (vmwp) and the tests.
 */
import {
  type DebuggedProcessor,
  type Exit,
  GENERAL_REGISTERS,
  type GuestBranch,
  type GuestFault,
  type InterceptHandlers,
  type InterruptMessage,
  type MemoryLayout,
  type RegisterName,
  type RegisterValue,
  restoreProcessorFields,
  type SaveableProcessor,
  type SavedProcessor,
  SEGMENT_REGISTERS,
  type SegmentValue,
  type StopPoint,
  saveProcessorFields,
  type TableValue,
  type TranslatorCounts,
  VECTOR_REGISTERS,
} from '@plinth/hypervisor';
import { tellAbsentFeatures } from './absent-features.ts';
import type { OperationNames } from './build/operation-names.ts';
import { isFpuRegister, readFpuRegister, writeFpuRegister } from './fpu-registers.ts';
import { kickProcessor, requestInterrupt } from './interrupt-request.ts';
import { PROCESSOR_FIELD_PLACES } from './saved-processor.ts';
import { BRANCH, SEGMENT, SEGMENT_BYTES, STATE } from './state-layout.ts';
import { DEFAULT_TRANSLATE_AFTER, TRANSLATE_AT_ONCE } from './translate-after.ts';
import type { TranslationFactory, TranslatorCore } from './translator/translation-messages.ts';
import { type LeaveCounts, leaveCountsText, type TraceListener } from './translator/translation-trace.ts';
import { TABLE_SLOTS, type TranslationExports, Translator } from './translator/translator.ts';

export interface SoftwareProcessorOptions {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemoryLayout;
  /** Number of the processor in its partition, and its APIC id. */
  readonly index: number;
  readonly handlers: InterceptHandlers;
  /** Transfers to a block after which it is translated; 0: never. */
  readonly translateAfter?: number;
  /** Where hot code is translated; needed when anything is. */
  readonly translation?: TranslationFactory;
  /** Takes a line for each thing that happens to regions. */
  readonly trace?: TraceListener;
  /** Brings in a page of RAM whose content is not there yet; what it throws ends the run. Needed when there are such pages. */
  readonly loadPage?: (page: number) => void;
}

interface EngineExports extends TranslationExports, TranslatorCore {
  attach(address: number): void;
  reset(index: number): void;
  run(instructions: number): number;
  stepOnce(): number;
  changeStopPoints(): void;
  stateChanged(): void;
  readFlags(): bigint;
  writeFlags(value: bigint): void;
  readTaskPriority(): bigint;
  writeTaskPriority(value: bigint): void;
  readTsc(): bigint;
  readApic(offset: number): number;
  writeApic(offset: number, value: number): void;
  flushTlb(): void;
  translateLinear(address: bigint): bigint;
  settleBranches(): void;
}

const EXIT = { halt: 1, shutdown: 2, kicked: 3, budget: 4, unsupported: 5, stopPoint: 6 } as const;
/** What EXIT_UNSUPPORTED names (assembly/system.ts). */
const UNSUPPORTED: Readonly<Record<number, string>> = { 1: 'a hardware task switch', 2: 'virtual-8086 mode' };
const CODE_ATTRIBUTES = STATE.SEGMENTS + SEGMENT_REGISTERS.indexOf('Cs') * SEGMENT_BYTES + SEGMENT.ATTRIBUTES;
/** CS.L, EFER.LMA. */
const LONG_CODE = 0x2000;
const LONG_MODE_ACTIVE = 0x400;
/** Answers to a hypercall (assembly/system.ts). */
const HYPERCALL = { absent: 0, completed: 1, again: 2 } as const;
/** Operation numbers are below this. */
const LEAVE_COUNTERS = 8192;
const EXCEPTION_BYTES = 48;
const EXCEPTION_RING = 16;
/** Addresses that the list of stop points has room for. */
const STOP_POINTS = (STATE.STOP_OFFSETS - STATE.STOP_ADDRESSES) / 8;
/** Watched ranges that there is room for, and their accesses (assembly/stop-points.ts). */
const WATCHED_RANGES = 64;
const WATCHED_RANGE_BYTES = 24;
const ACCESSES = { read: 1, write: 2, access: 3 } as const;
const PAGE_BYTES = 4096;

/** Scalars that are a u64 in the block. */
const SCALARS: Readonly<Record<string, number>> = {
  Rip: STATE.RIP,
  Cr0: STATE.CR0,
  Cr2: STATE.CR2,
  Cr3: STATE.CR3,
  Cr4: STATE.CR4,
  XCr0: STATE.XCR0,
  Efer: STATE.EFER,
  Dr0: STATE.DR0,
  Dr1: STATE.DR0 + 8,
  Dr2: STATE.DR0 + 16,
  Dr3: STATE.DR0 + 24,
  Dr6: STATE.DR6,
  Dr7: STATE.DR7,
  KernelGsBase: STATE.KERNEL_GS_BASE,
  ApicBase: STATE.APIC_BASE,
  Pat: STATE.PAT,
  SysenterCs: STATE.SYSENTER_CS,
  SysenterRip: STATE.SYSENTER_EIP,
  SysenterRsp: STATE.SYSENTER_ESP,
  Star: STATE.STAR,
  Lstar: STATE.LSTAR,
  Cstar: STATE.CSTAR,
  Sfmask: STATE.SFMASK,
  TscAux: STATE.TSC_AUX,
  Pkru: STATE.PKRU,
  ...Object.fromEntries(GENERAL_REGISTERS.map((name, index) => [name, index * 8])),
};
/** Registers whose change alters translation or mode. */
const MODE_REGISTERS = new Set<RegisterName>(['Cr0', 'Cr3', 'Cr4', 'Efer', 'Cs', 'Ss', 'Pkru']);

/**
 * What modules may cost, in bytes, where each block is translated before it is executed. A module for each region, they are some 18,000 then, with
 * 1.6 mappings each (Node 20): Linux lets a process have 65,530, and V8 ends it when there are no more. Those that are given up keep theirs for a while.
 */
const FORCED_LIMIT = 2 ** 29;
const FORCED_SLOTS = 262144;

const NOT_TRANSLATING: TranslatorCounts = { regions: 0, modules: 0, bytes: 0, evicted: 0, longestPauseSeconds: 0 };

class SoftwareProcessor implements DebuggedProcessor, SaveableProcessor {
  readonly index: number;
  readonly #memory: WebAssembly.Memory;
  readonly #layout: MemoryLayout;
  readonly #base: number;
  readonly #view: DataView;
  readonly #engine: EngineExports;
  readonly #translator: Translator | undefined;
  readonly #translateAfter: number;
  #stale = false;
  #stopPoints: readonly StopPoint[] = [];

  constructor(module: WebAssembly.Module, options: SoftwareProcessorOptions) {
    const { memory, layout, index } = options;
    this.index = index;
    this.#memory = memory;
    this.#layout = layout;
    this.#base = layout.processorsOffset + index * layout.processorStride;
    this.#view = new DataView(memory.buffer, this.#base, STATE.TLB_SETS);
    const always = options.translateAfter === TRANSLATE_AT_ONCE;
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: always ? FORCED_SLOTS : TABLE_SLOTS });
    const instance = new WebAssembly.Instance(module, this.#imports(memory, table, options));
    this.#engine = instance.exports as unknown as EngineExports;
    this.#translateAfter = options.translateAfter ?? DEFAULT_TRANSLATE_AFTER;
    if (this.#translateAfter !== 0) {
      if (options.translation === undefined) throw new RangeError('a processor that translates needs a translator');
      const service = options.translation({ memory, base: this.#base, decoder: this.#engine, always });
      // A module for each region: room for all of them, or there would be no end of giving up and making again.
      const limit = always ? FORCED_LIMIT : undefined;
      this.#translator = new Translator(memory, this.#base, this.#engine, table, service, options.trace, limit);
    }
    this.#engine.attach(this.#base);
    this.reset();
  }

  #imports(
    memory: WebAssembly.Memory,
    table: WebAssembly.Table,
    { handlers, loadPage }: SoftwareProcessorOptions,
  ): WebAssembly.Imports {
    const buffer = new DataView(memory.buffer);
    return {
      env: {
        memory,
        table,
        abort: () => {
          throw new Error('the engine core aborted');
        },
      },
      host: {
        now: () => handlers.now(),
        portRead: (port: number, size: 1 | 2 | 4) => handlers.portRead(port, size),
        portWrite: (port: number, size: 1 | 2 | 4, value: number) => handlers.portWrite(port, size, value >>> 0),
        mmioRead: (gpa: number, size: 1 | 2 | 4) => handlers.mmioRead(gpa, size),
        mmioWrite: (gpa: number, size: 1 | 2 | 4, value: number) => handlers.mmioWrite(gpa, size, value >>> 0),
        msrRead: (index: number, result: number) => {
          const value = handlers.msrRead(index >>> 0);
          if (value === undefined) return 0;
          buffer.setBigUint64(result, BigInt.asUintN(64, value), true);
          return 1;
        },
        msrWrite: (index: number, low: number, high: number) =>
          handlers.msrWrite(index >>> 0, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)) ? 1 : 0,
        hypercall: () => this.#hypercall(handlers),
        floatingPointError: (isNew: number) => (handlers.floatingPointError(isNew !== 0) ? 1 : 0),
        deadline: () => handlers.deadline(),
        acknowledgeExternalInterrupt: () => handlers.acknowledgeExternalInterrupt(),
        endOfInterrupt: (vector: number) => handlers.endOfInterrupt(vector),
        translate: (queueDue: number) => this.#translator?.run(queueDue !== 0),
        interpreted: (block: number) => this.#translator?.interpreted(block >>> 0),
        sendInterrupt: (icr: number, destination: number) => this.#sendInterrupt(icr >>> 0, destination >>> 0),
        loadPage: (page: number) => {
          if (loadPage === undefined) throw new RangeError(`page ${page} is absent, and nobody has it`);
          loadPage(page >>> 0);
        },
        random: () => globalThis.crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
      },
    };
  }

  #hypercall(handlers: InterceptHandlers): number {
    const outcome = HYPERCALL[handlers.hypercall()];
    this.#settleState();
    return outcome;
  }

  /** After registers were written that alter translation or mode. */
  #settleState(): void {
    if (!this.#stale) return;
    this.#engine.stateChanged();
    this.#stale = false;
  }

  /** An interprocessor interrupt from this processor's ICR. */
  #sendInterrupt(icr: number, destination: number): void {
    const shorthand = (icr >>> 18) & 3;
    const message: InterruptMessage = {
      vector: icr & 0xff,
      deliveryMode: (icr >>> 8) & 7,
      destination: shorthand === 0 ? destination : 0xffffffff,
      logicalDestination: shorthand === 0 && (icr & 0x800) !== 0,
      levelTriggered: false,
    };
    requestInterrupt(this.#memory, this.#layout, message, shorthand === 3 ? this.index : undefined);
  }

  run(instructions: number): Exit {
    this.#settleState();
    return this.#exit(this.#engine.run(instructions));
  }

  step(): Exit {
    this.#settleState();
    return this.#exit(this.#engine.stepOnce());
  }

  setStopPoints(points: readonly StopPoint[]): boolean {
    const executed = points.filter(({ kind }) => kind === 'execute').length;
    if (executed > STOP_POINTS || points.length - executed > WATCHED_RANGES) return false;
    this.#stopPoints = points;
    this.#placeStopPoints();
    this.#engine.changeStopPoints();
    return true;
  }

  /** Into the processor's block, whence a reset takes them. Nothing is translated while there are some: a region knows none. */
  #placeStopPoints(): void {
    const points = this.#stopPoints;
    const offsets = new Uint8Array(this.#memory.buffer, this.#base + STATE.STOP_OFFSETS, PAGE_BYTES / 8).fill(0);
    let [executed, watched] = [0, 0];
    for (const point of points) {
      const { address } = point;
      if (point.kind === 'execute') {
        const offset = Number(address % BigInt(PAGE_BYTES));
        offsets[offset >> 3] = (offsets[offset >> 3] ?? 0) | (1 << (offset & 7));
        this.#view.setBigUint64(STATE.STOP_ADDRESSES + executed * 8, address, true);
        executed += 1;
      } else {
        const at = STATE.WATCH_RANGES + watched * WATCHED_RANGE_BYTES;
        this.#view.setBigUint64(at, address, true);
        this.#view.setBigUint64(at + 8, BigInt.asUintN(64, address + BigInt(Math.max(point.bytes, 1) - 1)), true);
        this.#view.setUint32(at + 16, ACCESSES[point.kind], true);
        watched += 1;
      }
    }
    this.#view.setUint32(STATE.STOP_COUNT, executed, true);
    this.#view.setUint32(STATE.WATCH_COUNT, watched, true);
    this.#view.setUint32(STATE.HOT_THRESHOLD, points.length === 0 ? this.#translateAfter : 0, true);
  }

  #exit(reason: number): Exit {
    switch (reason) {
      case EXIT.halt:
        return this.#engine.readFlags() & 0x200n ? { kind: 'halt' } : { kind: 'halt-forever' };
      case EXIT.shutdown:
        return { kind: 'shutdown', faults: this.recentExceptions(this.#view.getUint32(STATE.EXIT_DETAIL, true)) };
      case EXIT.kicked:
        return { kind: 'kicked' };
      case EXIT.budget:
        return { kind: 'budget' };
      case EXIT.unsupported: {
        const what = UNSUPPORTED[this.#view.getUint32(STATE.EXIT_DETAIL, true)] ?? 'an unnamed feature';
        return { kind: 'unsupported', what, rip: this.#view.getBigUint64(STATE.RIP, true) };
      }
      case EXIT.stopPoint: {
        const number = this.#view.getUint32(STATE.EXIT_DETAIL, true);
        const address = this.#view.getBigUint64(STATE.EXIT_ADDRESS, true);
        const watched = this.#stopPoints.filter(({ kind }) => kind !== 'execute')[number - 1];
        return { kind: 'stop-point', point: watched ?? { kind: 'execute', address } };
      }
      default:
        throw new RangeError(`the engine returned exit reason ${reason}`);
    }
  }

  /** The last `count` exceptions (at most 16), oldest first. */
  recentExceptions(count: number = EXCEPTION_RING): GuestFault[] {
    const total = this.#view.getUint32(STATE.EXCEPTION_COUNT, true);
    const faults: GuestFault[] = [];
    for (let number = Math.max(0, total - Math.min(count, EXCEPTION_RING)); number < total; number++) {
      const at = STATE.EXCEPTIONS + (number % EXCEPTION_RING) * EXCEPTION_BYTES;
      faults.push({
        vector: this.#view.getUint32(at, true),
        errorCode: this.#view.getUint32(at + 4, true),
        rip: this.#view.getBigUint64(at + 8, true),
        address: this.#view.getBigUint64(at + 16, true),
      });
    }
    return faults;
  }

  /** The last branches (at most 64), the newest first; none of a time before the processor was restored or reset. */
  recentBranches(): GuestBranch[] {
    this.#engine.settleBranches();
    const next = this.#view.getUint32(STATE.BRANCH_NEXT, true);
    const ring = BRANCH.BYTES * BRANCH.COUNT;
    const branches: GuestBranch[] = [];
    for (let back = BRANCH.BYTES; back <= ring; back += BRANCH.BYTES) {
      const at = STATE.BRANCHES + ((next + ring - back) % ring);
      const about = this.#view.getUint32(at + BRANCH.ABOUT, true);
      if ((about & BRANCH.TAKEN) === 0) continue;
      branches.push({
        from: this.#view.getBigUint64(at + BRANCH.FROM, true),
        to: this.#view.getBigUint64(at + BRANCH.TO, true),
        translated: (about & BRANCH.TRANSLATED) !== 0,
        ...((about & BRANCH.EVENT) === 0 ? {} : { vector: (about >> BRANCH.VECTOR_SHIFT) & 0xff }),
      });
    }
    return branches;
  }

  readRegister(name: RegisterName): RegisterValue {
    const scalar = SCALARS[name];
    if (scalar !== undefined) return this.#view.getBigUint64(scalar, true);
    const segment = (SEGMENT_REGISTERS as readonly string[]).indexOf(name);
    if (segment >= 0) {
      const at = STATE.SEGMENTS + segment * SEGMENT_BYTES;
      return {
        selector: this.#view.getUint16(at + SEGMENT.SELECTOR, true),
        base: this.#view.getBigUint64(at + SEGMENT.BASE, true),
        limit: this.#view.getUint32(at + SEGMENT.LIMIT, true),
        attributes: this.#view.getUint16(at + SEGMENT.ATTRIBUTES, true),
      };
    }
    if (isFpuRegister(name)) return readFpuRegister(this.#view, name);
    const vector = (VECTOR_REGISTERS as readonly string[]).indexOf(name);
    if (vector >= 0) {
      const at = STATE.XMM + vector * 32;
      return this.#view.getBigUint64(at, true) | (this.#view.getBigUint64(at + 8, true) << 64n);
    }
    switch (name) {
      case 'Rflags':
        return this.#engine.readFlags();
      case 'Mxcsr':
        return BigInt(this.#view.getUint32(STATE.MXCSR, true));
      case 'Cr8':
        return this.#engine.readTaskPriority();
      case 'Tsc':
        return BigInt.asUintN(64, this.#engine.readTsc());
      case 'Gdtr':
        return {
          base: this.#view.getBigUint64(STATE.GDTR_BASE, true),
          limit: this.#view.getUint32(STATE.GDTR_LIMIT, true),
        };
      case 'Idtr':
        return {
          base: this.#view.getBigUint64(STATE.IDTR_BASE, true),
          limit: this.#view.getUint32(STATE.IDTR_LIMIT, true),
        };
      default:
        throw new RangeError(`register ${name} is not one of this engine's`);
    }
  }

  writeRegister(name: RegisterName, value: RegisterValue): void {
    if (typeof value === 'bigint') this.#writeScalar(name, value);
    else if ('selector' in value) this.#writeSegment(name, value);
    else this.#writeTable(name, value);
    if (MODE_REGISTERS.has(name)) this.#stale = true;
  }

  #writeScalar(name: RegisterName, value: bigint): void {
    const scalar = SCALARS[name];
    const vector = (VECTOR_REGISTERS as readonly string[]).indexOf(name);
    if (isFpuRegister(name)) writeFpuRegister(this.#view, name, value);
    else if (scalar !== undefined) {
      this.#view.setBigUint64(scalar, BigInt.asUintN(64, value), true);
    } else if (vector >= 0) {
      const at = STATE.XMM + vector * 32;
      this.#view.setBigUint64(at, BigInt.asUintN(64, value), true);
      this.#view.setBigUint64(at + 8, BigInt.asUintN(64, value >> 64n), true);
    } else if (name === 'Rflags') this.#engine.writeFlags(value);
    else if (name === 'Mxcsr') this.#view.setUint32(STATE.MXCSR, Number(BigInt.asUintN(32, value)), true);
    else if (name === 'Cr8') this.#engine.writeTaskPriority(value);
    else if (name === 'Tsc') {
      const offset =
        this.#view.getBigUint64(STATE.TSC_OFFSET, true) + value - BigInt.asUintN(64, this.#engine.readTsc());
      this.#view.setBigUint64(STATE.TSC_OFFSET, BigInt.asUintN(64, offset), true);
    } else throw new RangeError(`register ${name} does not take a number`);
  }

  #writeSegment(name: RegisterName, value: SegmentValue): void {
    const segment = (SEGMENT_REGISTERS as readonly string[]).indexOf(name);
    if (segment < 0) throw new RangeError(`register ${name} does not take a segment`);
    const at = STATE.SEGMENTS + segment * SEGMENT_BYTES;
    this.#view.setBigUint64(at + SEGMENT.BASE, BigInt.asUintN(64, value.base), true);
    this.#view.setUint32(at + SEGMENT.LIMIT, value.limit, true);
    this.#view.setUint32(at + SEGMENT.ATTRIBUTES, value.attributes, true);
    this.#view.setUint32(at + SEGMENT.SELECTOR, value.selector, true);
  }

  #writeTable(name: RegisterName, value: TableValue): void {
    if (name !== 'Gdtr' && name !== 'Idtr') throw new RangeError(`register ${name} does not take a table`);
    const [base, limit] = name === 'Gdtr' ? [STATE.GDTR_BASE, STATE.GDTR_LIMIT] : [STATE.IDTR_BASE, STATE.IDTR_LIMIT];
    this.#view.setBigUint64(base, BigInt.asUintN(64, value.base), true);
    this.#view.setUint32(limit, value.limit, true);
  }

  kick(): void {
    kickProcessor(this.#memory, this.#layout, this.index);
  }

  reset(): void {
    this.#engine.reset(this.index);
    this.#placeStopPoints();
    if (this.#stopPoints.length > 0) this.#engine.changeStopPoints();
    this.#stale = false;
  }

  save(): SavedProcessor {
    this.#settleState();
    return saveProcessorFields((name, bytes) => this.#field(name, bytes));
  }

  restore(saved: unknown): void {
    let isReset = false;
    restoreProcessorFields(saved, (name, value) => {
      // Once all of the state is known to be good.
      if (!isReset) this.reset();
      isReset = true;
      if (name === 'Rflags') this.#engine.writeFlags(new DataView(value.buffer).getBigUint64(0, true));
      else this.#field(name, value.length).set(value);
    });
    // Interrupts that wait are to be looked at, and everything that follows from mode and address space is to be found anew.
    this.#view.setUint32(STATE.APIC_ATTENTION, 1, true);
    this.#engine.stateChanged();
  }

  #field(name: string, bytes: number): Uint8Array {
    if (name === 'Rflags') return new Uint8Array(BigUint64Array.of(this.#engine.readFlags()).buffer);
    const place = PROCESSOR_FIELD_PLACES.get(name);
    if (place === undefined) throw new RangeError(`the field ${name} has no place in this engine`);
    return new Uint8Array(this.#memory.buffer, this.#base + place, bytes);
  }

  nextDeadline(): number {
    return Math.min(
      this.#view.getFloat64(STATE.APIC_TIMER_DEADLINE, true),
      this.#view.getFloat64(STATE.DEVICE_DEADLINE, true),
    );
  }

  setDeviceDeadline(nanoseconds: number): void {
    this.#view.setFloat64(STATE.DEVICE_DEADLINE, nanoseconds, true);
  }

  instructionCounts(): { readonly interpreted: number; readonly translated: number } {
    const translated = Number(this.#view.getBigUint64(STATE.TRANSLATED, true));
    return { interpreted: Number(this.#view.getBigUint64(STATE.INSTRUCTIONS, true)) - translated, translated };
  }

  executesLongCode(): boolean {
    const attributes = this.#view.getUint16(CODE_ATTRIBUTES, true);
    return (attributes & LONG_CODE) !== 0 && (this.#view.getUint32(STATE.EFER, true) & LONG_MODE_ACTIVE) !== 0;
  }

  readApicRegister(offset: number): number {
    return this.#engine.readApic(offset) >>> 0;
  }

  writeApicRegister(offset: number, value: number): void {
    this.#engine.writeApic(offset, value);
  }

  flushTlb(): void {
    this.#engine.flushTlb();
  }

  setVectorAssist(vector: number, assist: { readonly automaticEoi: boolean; readonly eoiNotice: boolean }): void {
    const set = (bitmap: number, on: boolean): void => {
      const at = bitmap + (vector >>> 5) * 4;
      const bit = 1 << (vector & 31);
      const before = this.#view.getUint32(at, true);
      this.#view.setUint32(at, on ? before | bit : before & ~bit, true);
    };
    set(STATE.APIC_AUTOMATIC_EOI, assist.automaticEoi);
    set(STATE.APIC_EOI_NOTICE, assist.eoiNotice);
  }

  translatorCounts(): TranslatorCounts {
    return this.#translator?.statistics ?? NOT_TRANSLATING;
  }

  /** How often regions were left for the interpreter, as lines. @param names those of the engine's build (operations.json) */
  describeLeaves(names: OperationNames): string[] {
    const counts = (at: number): LeaveCounts => {
      const words = new Uint32Array(this.#memory.buffer, this.#base + at, LEAVE_COUNTERS);
      return new Map([...words].flatMap((times, number) => (times === 0 ? [] : [[number, times] as const])));
    };
    return [
      `the processor stood still for it for at most ${Math.round(this.translatorCounts().longestPauseSeconds * 1e6)} µs at a time`,
      `left by side exits at: ${leaveCountsText(counts(STATE.SIDE_EXIT_COUNTS), names)}`,
      `left for want of a translation at: ${leaveCountsText(counts(STATE.UNTRANSLATED_COUNTS), names)}`,
    ];
  }

  translate(address: bigint): number | undefined {
    this.#settleState();
    const gpa = BigInt.asUintN(64, this.#engine.translateLinear(address));
    return gpa === 0xffff_ffff_ffff_ffffn ? undefined : Number(gpa);
  }
}

/** A virtual processor of the software engine in its power-on state. @param module the compiled engine.wasm */
export function createSoftwareProcessor(
  module: WebAssembly.Module,
  options: SoftwareProcessorOptions,
): SoftwareProcessor {
  tellAbsentFeatures(options.memory.buffer);
  return new SoftwareProcessor(module, options);
}
export type { SoftwareProcessor };
