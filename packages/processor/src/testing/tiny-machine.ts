/**
 * A machine for unit tests of the engine: one virtual processor in a chosen mode over 16 MiB of RAM, without devices.
 *
 * Every vector has a handler that only halts with interrupts off, so that a run ends with the first exception or interrupt, and what was
 * pushed tells the rest. The code under test is followed by UD2: a run that ends there has gone through. The clock is the test's own.
 *
 * The first 512 KiB are mapped where they lie, for the supervisor alone; user-mode code and stack have pages of their own.
 * Called by: unit tests of the engine. Needs the built engine (`npm run build`).
 */
import { readFileSync } from 'node:fs';
import { type Exit, Partition, type RegisterValue } from '@plinth/hypervisor';
import { type CpuFeature, withoutFeatures } from '../cpu-features.ts';
import { defaultCpuid } from '../cpuid.ts';
import { createSoftwareProcessor, type SoftwareProcessor } from '../software-processor.ts';
import { STATE } from '../state-layout.ts';
import { translateLocally } from '../translator/local-translation.ts';
import type { TranslationFactory } from '../translator/translation-messages.ts';
import { descriptorsOf, flatSegment, GDT_BYTES, gateOf, SELECTOR } from './tiny-descriptors.ts';
import { type MapOptions, PageTables, type PagingKind } from './tiny-page-tables.ts';

const RAM_BYTES = 16 * 1024 * 1024;
/** Guest-physical addresses, and below `user` linear ones too. */
export const PLACE = {
  idt: 0x1000,
  gdt: 0x2000,
  tss: 0x2800,
  stubs: 0x3000,
  /** Ends of the supervisor's stack, of interrupt stack 1, and of user mode's. */
  stack: 0x6000,
  interruptStack: 0x7000,
  code: 0x10000,
  tables: 0x20000,
  identityEnd: 0x80000,
  userCode: 0x90000,
  userStack: 0x92000,
} as const;
/** Where user mode finds its code and the end of its stack. */
export const USER = { code: 0x400000n, stack: 0x411000n } as const;
const IDENTITY_PAGE = 0x1000;

const CR0 = 0x8001_0033n;
const CR4 = { long: 0x0005_06a0n, pae: 0x0000_0620n, legacy: 0x0000_0610n } as const;
const EFER = { long: 0xd01n, pae: 0x801n, legacy: 0n } as const;
const CR0_PAGING = 0x8000_0000n;
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);
const NAMES = [
  'DE',
  'DB',
  'NMI',
  'BP',
  'OF',
  'BR',
  'UD',
  'NM',
  'DF',
  '9',
  'TS',
  'NP',
  'SS',
  'GP',
  'PF',
  '15',
  'MF',
  'AC',
];

/** `flat` is 32-bit protected mode without paging; `compatibility` is 32-bit code of long mode. */
export type TinyMode = 'long' | 'compatibility' | 'pae' | 'legacy' | 'flat';

export interface Delivery {
  readonly vector: number;
  readonly error: number | undefined;
  readonly rip: bigint;
  readonly cs: number;
  readonly flags: bigint;
  /** Stack pointer as it was pushed; undefined where nothing pushes it. */
  readonly rsp: bigint | undefined;
  /** Stack pointer in the handler. */
  readonly handlerStack: bigint;
}

export interface Ended {
  readonly exit: Exit;
  /** What the handler was entered with; undefined when the run ended otherwise. */
  readonly delivery: Delivery | undefined;
  /** `done` (went through to the end), `#PF(0x5) 0x80000000`, `#GP(0x0)`, `vector 0x40`, or the kind of exit. */
  readonly what: string;
}

export interface RunOptions {
  readonly user?: boolean;
  readonly registers?: Readonly<Record<string, RegisterValue>>;
  readonly flags?: bigint;
  readonly budget?: number;
}

let module: WebAssembly.Module | undefined;
function engine(): WebAssembly.Module {
  module ??= new WebAssembly.Module(readFileSync(new URL('../../dist/engine.wasm', import.meta.url)));
  return module;
}

const isLong = (mode: TinyMode): boolean => mode === 'long' || mode === 'compatibility';

export class TinyMachine {
  readonly mode: TinyMode;
  readonly partition: Partition;
  readonly processor: SoftwareProcessor;
  readonly ram: DataView;
  /** Partition time in nanoseconds; the TSC counts the same. */
  now = 0;
  readonly #tables: PageTables;
  #end = 0n;

  constructor(
    mode: TinyMode = 'long',
    options: {
      readonly translateAfter?: number;
      readonly processors?: number;
      readonly translation?: TranslationFactory;
      /** Features that the processor does not have. */
      readonly absent?: readonly CpuFeature[];
    } = {},
  ) {
    const { translateAfter = 0, processors = 1, translation = translateLocally, absent = [] } = options;
    this.mode = mode;
    this.partition = Partition.create({
      ramBytes: RAM_BYTES,
      processors,
      clock: { now: () => this.now },
      tscPerNanosecond: 1,
    });
    this.partition.writeCpuid(withoutFeatures(defaultCpuid({ processors }), absent));
    const { memory, layout } = this.partition;
    this.ram = new DataView(memory.buffer, layout.ramOffset, RAM_BYTES);
    this.processor = createSoftwareProcessor(engine(), {
      memory,
      layout,
      index: 0,
      handlers: this.partition,
      translateAfter,
      translation,
      loadPage: (page) => this.partition.guestMemory.absent.bringIn(page, page + 1),
    });
    const kind: PagingKind = isLong(mode) ? 'long' : mode === 'pae' ? 'pae' : 'legacy';
    this.#tables = new PageTables(this.ram, kind, PLACE.tables, PLACE.identityEnd);
    this.#lay();
    this.#enterMode(kind);
  }

  get tables(): PageTables {
    return this.#tables;
  }

  map(linear: bigint, physical: number, flags: bigint, options: MapOptions = {}): void {
    this.#tables.map(linear, physical, flags, options);
  }

  /** Writes bytes as a host thread does, so that code decoded from the page is forgotten. */
  put(physical: number, bytes: readonly number[]): void {
    this.partition.guestMemory.write(physical, Uint8Array.from(bytes));
  }

  #lay(): void {
    const long = isLong(this.mode);
    descriptorsOf(BigInt(PLACE.tss), long).forEach((descriptor, index) => {
      this.ram.setBigUint64(PLACE.gdt + 8 * index, descriptor, true);
    });
    this.ram.setUint16(PLACE.tss + 0x66, 0x68, true);
    if (long) {
      this.ram.setBigUint64(PLACE.tss + 4, BigInt(PLACE.stack), true);
      this.ram.setBigUint64(PLACE.tss + 0x24, BigInt(PLACE.interruptStack), true);
    } else {
      this.ram.setUint32(PLACE.tss + 4, PLACE.stack, true);
      this.ram.setUint32(PLACE.tss + 8, SELECTOR.data, true);
    }
    for (let vector = 0; vector < 256; vector++) {
      this.put(PLACE.stubs + 16 * vector, [0xf4, 0xeb, 0xfd]);
      this.setGate(vector, {});
    }
    for (let at = 0; at < PLACE.identityEnd; at += IDENTITY_PAGE) this.map(BigInt(at), at, 3n);
    this.map(USER.code, PLACE.userCode, 5n);
    this.map(USER.stack - 0x1000n, PLACE.userStack, 7n);
  }

  /** Writes the interrupt gate of a vector. */
  setGate(
    vector: number,
    options: { readonly stack?: number; readonly present?: boolean; readonly level?: number },
  ): void {
    const long = isLong(this.mode);
    const [low, high] = gateOf(BigInt(PLACE.stubs + 16 * vector), long, options);
    const at = PLACE.idt + (long ? 16 : 8) * vector;
    this.ram.setBigUint64(at, low, true);
    if (long) this.ram.setBigUint64(at + 8, high, true);
  }

  #enterMode(kind: PagingKind): void {
    const { processor } = this;
    processor.writeRegister('Gdtr', { base: BigInt(PLACE.gdt), limit: GDT_BYTES - 1 });
    processor.writeRegister('Idtr', { base: BigInt(PLACE.idt), limit: 0xfff });
    processor.writeRegister('Cr3', BigInt(PLACE.tables));
    processor.writeRegister('Cr4', CR4[kind]);
    processor.writeRegister('Efer', EFER[kind]);
    processor.writeRegister('Cr0', this.mode === 'flat' ? CR0 & ~CR0_PAGING : CR0);
    processor.writeRegister('XCr0', 3n);
    processor.writeRegister('Tr', { selector: SELECTOR.tss, base: BigInt(PLACE.tss), limit: 0x67, attributes: 0x8b });
    processor.writeRegister('Ldtr', { selector: 0, base: 0n, limit: 0, attributes: 0 });
  }

  /** Sets bits of a control register or EFER. */
  set(register: 'Cr0' | 'Cr4' | 'Efer' | 'XCr0', mask: bigint, on = true): void {
    const value = this.processor.readRegister(register) as bigint;
    this.processor.writeRegister(register, on ? value | mask : value & ~mask);
  }

  /** Runs code from the start of the supervisor's or user mode's code page. */
  run(code: readonly number[], options: RunOptions = {}): Ended {
    const { user = false, registers = {}, flags = 2n, budget = 100_000 } = options;
    const start = user ? USER.code : BigInt(PLACE.code);
    this.put(user ? PLACE.userCode : PLACE.code, [...code, 0x0f, 0x0b]);
    this.#end = start + BigInt(code.length);
    const { processor } = this;
    // The last run's handler halted.
    const { memory, layout } = this.partition;
    new DataView(memory.buffer, layout.processorsOffset).setUint32(STATE.HALTED, 0, true);
    const wide = this.mode === 'long';
    const codeSelector = wide
      ? user
        ? SELECTOR.userCode64
        : SELECTOR.code64
      : user
        ? SELECTOR.userCode32
        : SELECTOR.code32;
    processor.writeRegister('Cs', flatSegment(codeSelector, user, true, wide));
    const data = user ? SELECTOR.userData : SELECTOR.data;
    for (const name of ['Ss', 'Ds', 'Es', 'Fs', 'Gs'] as const) {
      processor.writeRegister(name, flatSegment(data, user, false, false));
    }
    processor.writeRegister('Rip', start);
    processor.writeRegister('Rsp', user ? USER.stack : BigInt(PLACE.stack));
    processor.writeRegister('Rflags', flags);
    for (const [name, value] of Object.entries(registers)) processor.writeRegister(name as 'Rax', value);
    return this.resume(budget);
  }

  /** Goes on from where the processor stands. */
  resume(budget = 100_000): Ended {
    const exit = this.processor.run(budget);
    const rip = this.processor.readRegister('Rip') as bigint;
    const offset = Number(rip) - 1 - PLACE.stubs;
    const inStub = offset >= 0 && offset < 4096 && offset % 16 === 0;
    if (exit.kind !== 'halt-forever' || !inStub) return { exit, delivery: undefined, what: exit.kind };
    const delivery = this.#delivered(offset / 16);
    return { exit, delivery, what: this.#describe(delivery) };
  }

  #delivered(vector: number): Delivery {
    const handlerStack = this.processor.readRegister('Rsp') as bigint;
    const long = isLong(this.mode);
    const word = (index: number): bigint => {
      const at = Number(handlerStack) + index * (long ? 8 : 4);
      return long ? this.ram.getBigUint64(at, true) : BigInt(this.ram.getUint32(at, true));
    };
    const first = WITH_ERROR.has(vector) ? 1 : 0;
    const cs = Number(word(first + 1) & 0xffffn);
    return {
      vector,
      error: first === 1 ? Number(word(0)) : undefined,
      rip: word(first),
      cs,
      flags: word(first + 2),
      rsp: long || (cs & 3) === 3 ? word(first + 3) : undefined,
      handlerStack,
    };
  }

  #describe({ vector, error, rip }: Delivery): string {
    if (vector === 6 && rip === this.#end) return 'done';
    if (vector >= 32) return `vector 0x${vector.toString(16)}`;
    const name = `#${NAMES[vector] ?? vector}`;
    if (error === undefined) return name;
    const fault = `${name}(0x${error.toString(16)})`;
    return vector === 14 ? `${fault} 0x${(this.processor.readRegister('Cr2') as bigint).toString(16)}` : fault;
  }

  /** A 64-bit register. */
  register(name: 'Rax' | 'Rcx' | 'Rdx' | 'Rbx' | 'Rsp' | 'Rsi' | 'Rdi' | 'Rip' | 'Rflags' | 'Cr2' | 'R8'): bigint {
    return this.processor.readRegister(name) as bigint;
  }
}
