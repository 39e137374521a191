/**
 * The differential harness: batches of cases on a processor engine.
 *
 * The guest kernel (differential-guest.ts) asks for the next case by writing a port; the handler takes the outcome of the last
 * case out of guest memory and lays the next one in. A processor lives for one batch, so that the code of another batch
 * at the same addresses cannot be confused with its own.
 */
import {
  GpaSpace,
  type InterceptHandlers,
  layoutMemory,
  type MemoryLayout,
  mapPcMemory,
  SHARED,
  SHARED_OFFSET,
  type VirtualProcessor,
} from '@plinth/hypervisor';
import { buildGuest, CASE_PORT, EXCHANGE, GUEST_RAM_BYTES, PHYSICAL, physicalOf, START } from './differential-guest.ts';
import { LACKING_NOTHING, type Lacking } from './differential-host.ts';
import {
  encodeCase,
  HANG_VECTOR,
  LOST_VECTOR,
  type MachineState,
  type Outcome,
  PAGE,
  RESULT,
  RESULT_BYTES,
  SLOT_STRIDE,
  WRITABLE_PAGE_COUNT,
} from './differential-layout.ts';

/** Makes the processor under test over a memory whose partition header and slots are in place. */
export type ProcessorFactory = (options: {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemoryLayout;
  readonly handlers: InterceptHandlers;
}) => VirtualProcessor;

/** Instructions after which a case counts as one that does not end. */
const CASE_BUDGET = 200_000;

const WRITABLE_WORDS = (WRITABLE_PAGE_COUNT * PAGE) / 4;
/** Words that are looked at together. */
const RUN = 32;

function writeHeader(memory: WebAssembly.Memory, layout: MemoryLayout): void {
  const header = new DataView(memory.buffer, SHARED_OFFSET);
  const fields: readonly (readonly [number, number])[] = [
    [SHARED.processorCount, layout.processors],
    [SHARED.pagesOffset, layout.pagesOffset],
    [SHARED.ramOffset, layout.ramOffset],
    [SHARED.ramBytes, layout.ramBytes],
    [SHARED.processorsOffset, layout.processorsOffset],
    [SHARED.processorStride, layout.processorStride],
    [SHARED.physicalAddressBits, 40],
  ];
  for (const [offset, value] of fields) header.setUint32(offset, value, true);
  header.setFloat64(SHARED.tscPerNanosecond, 1, true);
  mapPcMemory(new GpaSpace(memory.buffer, layout), layout);
}

export class DifferentialMachine {
  readonly #create: ProcessorFactory;
  readonly #template: Uint8Array;
  readonly #templateWords: Int32Array;
  readonly #lacking: Lacking;
  /** Instructions executed in all batches, the kernel's included. */
  interpreted = 0;
  translated = 0;

  constructor(create: ProcessorFactory, template: Uint8Array, lacking: Lacking = LACKING_NOTHING) {
    this.#create = create;
    this.#template = template;
    this.#lacking = lacking;
    this.#templateWords = new Int32Array(template.slice().buffer);
  }

  /**
   * Runs cases whose slots differ.
   * @throws Error when the engine stops in the kernel itself: then the processor cannot run anything
   */
  runBatch(cases: readonly MachineState[]): Outcome[] {
    const layout = layoutMemory(GUEST_RAM_BYTES, 1);
    const pages = layout.totalBytes / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    writeHeader(memory, layout);
    const ram = new DataView(memory.buffer, layout.ramOffset, GUEST_RAM_BYTES);
    const bytes = new Uint8Array(memory.buffer, layout.ramOffset, GUEST_RAM_BYTES);
    buildGuest(ram, this.#lacking);
    bytes.fill(0xcc, PHYSICAL.code, PHYSICAL.code + 2 * 1024 * 1024);
    for (const { code, slot } of cases) bytes.set(code, PHYSICAL.code + slot * SLOT_STRIDE);
    bytes.set(this.#template, PHYSICAL.template);

    const outcomes: Outcome[] = [];
    let running = false;
    const handlers: InterceptHandlers = {
      now: () => performance.now() * 1e6,
      portRead: () => 0xffffffff,
      portWrite: (port) => {
        if (port !== CASE_PORT) return;
        if (running) outcomes.push(this.#collect(ram, bytes));
        const state = cases[outcomes.length];
        running = state !== undefined;
        ram.setBigUint64(EXCHANGE.more, running ? 1n : 0n, true);
        if (state !== undefined) this.#load(ram, bytes, state);
      },
      mmioRead: () => 0xffffffff,
      mmioWrite: () => undefined,
      msrRead: () => undefined,
      msrWrite: () => false,
      hypercall: () => 'absent',
      floatingPointError: () => false,
      deadline: () => undefined,
      acknowledgeExternalInterrupt: () => 0xff,
      endOfInterrupt: () => undefined,
    };
    const processor = this.#create({ memory, layout, handlers });
    while (outcomes.length < cases.length) {
      processor.reset();
      this.#start(processor);
      let exit = processor.run(CASE_BUDGET);
      for (let ended = -1; exit.kind === 'budget' && outcomes.length > ended; exit = processor.run(CASE_BUDGET))
        ended = outcomes.length;
      if (outcomes.length === cases.length) break;
      // The case ended in no exception: that is its outcome, and the next one begins from the kernel's entry.
      if (!running) throw new Error(`the engine stops in the kernel before case ${outcomes.length}: ${describe(exit)}`);
      running = false;
      outcomes.push(this.#abandon(bytes, exit.kind === 'budget' ? HANG_VECTOR : LOST_VECTOR, describe(exit)));
    }
    const counts = processor.instructionCounts();
    this.interpreted += counts.interpreted;
    this.translated += counts.translated;
    return outcomes;
  }

  #start(processor: VirtualProcessor): void {
    processor.writeRegister('Gdtr', START.gdt);
    processor.writeRegister('Idtr', START.idt);
    processor.writeRegister('Cr3', START.cr3);
    processor.writeRegister('Cr4', START.cr4);
    processor.writeRegister('Efer', START.efer);
    processor.writeRegister('Cr0', START.cr0);
    processor.writeRegister('XCr0', START.xcr0);
    processor.writeRegister('Cs', START.code);
    for (const name of ['Ss', 'Ds', 'Es', 'Fs', 'Gs'] as const) processor.writeRegister(name, START.data);
    processor.writeRegister('Tr', START.tss);
    processor.writeRegister('Ldtr', START.ldt);
    processor.writeRegister('Rsp', START.rsp);
    processor.writeRegister('Rflags', 2n);
    processor.writeRegister('Rip', START.rip);
  }

  /** Lays a case and its memory into the guest. */
  #load(ram: DataView, bytes: Uint8Array, state: MachineState): void {
    for (const { address, bytes: patch } of state.patches) {
      // A patch may lie across two pages that are no neighbours in guest-physical memory.
      patch.forEach((byte, index) => {
        const at = physicalOf(address + BigInt(index));
        if (at !== undefined) bytes[at] = byte;
      });
    }
    encodeCase(ram, EXCHANGE.load, state, 0);
    const frame = EXCHANGE.loadFrame;
    ram.setBigUint64(frame, state.rip, true);
    ram.setBigUint64(frame + 8, state.mode === 32 ? 0x23n : 0x33n, true);
    ram.setBigUint64(frame + 16, state.flags, true);
    ram.setBigUint64(frame + 24, state.registers[4] ?? 0n, true);
    ram.setBigUint64(frame + 32, 0x2bn, true);
  }

  /** The outcome of the case that just ended, in the layout RESULT; memory is put back. */
  #collect(ram: DataView, bytes: Uint8Array): Outcome {
    // Word by word: to copy shared memory by `slice` takes ten times as long.
    const saved = new Int32Array(bytes.buffer, bytes.byteOffset + EXCHANGE.save, RESULT_BYTES / 4);
    const record = new Int32Array(RESULT_BYTES / 4);
    for (let word = 0; word < record.length; word++) record[word] = saved[word] as number;
    const view = new DataView(record.buffer);
    const pushed = (index: number): bigint => ram.getBigUint64(EXCHANGE.frame + 8 * index, true);
    const vector = Number(pushed(0));
    view.setUint32(RESULT.vector, vector, true);
    view.setUint32(RESULT.error, Number(pushed(1) & 0xffff_ffffn), true);
    view.setBigUint64(RESULT.rip, pushed(2), true);
    view.setUint16(RESULT.cs, Number(pushed(3) & 0xffffn), true);
    view.setBigUint64(RESULT.flags, pushed(4), true);
    view.setBigUint64(RESULT.registers + 32, pushed(5), true);
    view.setUint16(RESULT.ss, Number(pushed(6) & 0xffffn), true);
    if (vector !== 14) view.setBigUint64(RESULT.cr2, 0n, true);
    return { view, changes: this.#takeChanges(bytes) };
  }

  /** A case that ended in no exception. */
  #abandon(bytes: Uint8Array, vector: number, note: string): Outcome {
    const view = new DataView(new ArrayBuffer(RESULT_BYTES));
    view.setUint32(RESULT.vector, vector, true);
    return { view, changes: this.#takeChanges(bytes), note };
  }

  /** The words that differ from the template, which is put back. */
  #takeChanges(bytes: Uint8Array): Uint32Array {
    const pairs: number[] = [];
    const template = this.#templateWords;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + PHYSICAL.template, WRITABLE_WORDS);
    for (let first = 0; first < WRITABLE_WORDS; first += RUN) {
      // Most runs are as they were: one branch for all of a run's words.
      let differs = 0;
      for (let index = first; index < first + RUN; index++)
        differs |= (words[index] as number) ^ (template[index] as number);
      if (differs === 0) continue;
      for (let index = first; index < first + RUN; index++) {
        const value = words[index] as number;
        if (value === template[index]) continue;
        pairs.push(index, value);
        words[index] = template[index] as number;
      }
    }
    return Uint32Array.from(pairs);
  }
}

const describe = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? `0x${field.toString(16)}` : field));
