/**
 * Whole random programs on the software engine: one machine for one program, and the trace of what it did.
 *
 * Each exception stops the machine; its state becomes an event of the trace, then the program goes on: behind the instruction, or with it
 * once more after its page has been made accessible again. Which of the two follows from the course so far, so that two engines that
 * agree take the same one. The handlers are the machine's (tiny-machine.ts) with an IRETQ, on an interrupt stack of their own.
 *
 * With interrupts, the machine runs in slices of random length and finds an interrupt requested at the beginning of each. Its handler
 * notes where it came from and changes nothing else, so the trace must be the same as without.
 */
import { translationReadyWord } from '../host.ts';
import { kickWord, requestInterrupt } from '../interrupt-request.ts';
import { SEGMENT_BYTES, STATE } from '../state-layout.ts';
import type { TranslationFactory } from '../translator/translation-messages.ts';
import { CODE_BASE, DATA_BASE, FXSAVE, PAGE, TEMPLATE_PAGES } from './differential-layout.ts';
import type { Random } from './differential-random.ts';
import { little32 } from './program-assembler.ts';
import {
  bitsOf,
  CODE_PAGES,
  FRAME_RUNS,
  FRAMES,
  type Mapping,
  mappingsOf,
  type PagingChange,
  type Program,
  type ProgramMode,
} from './program-layout.ts';
import type { Services } from './program-statements.ts';
import { flatSegment, SELECTOR } from './tiny-descriptors.ts';
import { PLACE, TinyMachine } from './tiny-machine.ts';

const HANDLERS = 0x8000;
const HANDLER_STRIDE = 64;
const SYSTEM_CALL_HANDLER = 0xb000;
const INTERRUPT_HANDLER = 0xb100;
/** u64 count of interrupts, and from 0x100 on a ring of the addresses that they came from. */
const INTERRUPT_LOG = 0x9000;
const LOG_ENTRIES = 256;
const INTERRUPT_VECTOR = 0x40;
const FIRST_SERVICE = 0x50;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;
const ACCESSED = 0x20;
const CR4_PCIDE = 0x2_0000n;
const ARITHMETIC = 0x8d5n;
const FAULT_LIMIT = 300;
/** Instructions after which a program counts as endless; engines other than the first one of a comparison get more. */
export const INSTRUCTION_LIMIT = 400_000;
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);

/** What was seen at an exception, or at the end. */
export interface ProgramEvent {
  readonly vector: number;
  readonly error: number;
  readonly rip: bigint;
  readonly address: bigint;
  readonly flags: bigint;
  readonly registers: readonly bigint[];
  /** Of vector and x87 registers, of the page table entries of its pages, and of all memory of the program. */
  /** A bit for each executable page and root: whether it has been accessed. A processor may access code that it does not execute. */
  readonly accessedCode: number;
  readonly hashes: { readonly vectors: number; readonly tables: number; readonly memory: number };
}

export interface Trace {
  readonly events: readonly ProgramEvent[];
  /** How it ended: `end`, or why it was given up. */
  readonly ended: string;
  readonly interrupts: number;
  /** Addresses that interrupts came from. */
  readonly interruptedAt: readonly bigint[];
  readonly interpreted: number;
  readonly translated: number;
}

/** These mean the same in 32-bit and 64-bit code. */
const xorEntry = (entry: number, mask: number): number[] => [0x81, 0x34, 0x25, ...little32(entry), ...little32(mask)];
const toggleNoExecute = (entry: number): number[] => [0x0f, 0xba, 0x3c, 0x25, ...little32(entry + 4), 31];
const invalidate = (linear: bigint): number[] => [0x0f, 0x01, 0x3c, 0x25, ...little32(Number(linear))];

const DATA_1 = DATA_BASE + 0x1000n;

/** Maps a program's pages. @returns the second root */
function mapPrograms(machine: TinyMachine, mappings: readonly Mapping[]): number {
  const other = machine.tables.allocate();
  const flagsOf = (writable: boolean, executable: boolean): bigint =>
    PRESENT | USER | (writable ? WRITABLE : 0n) | (executable ? 0n : NO_EXECUTE);
  for (const { linear, frame, writable, executable } of mappings) {
    const flags = flagsOf(writable, executable);
    machine.map(linear, frame, flags);
    const page = (linear - CODE_BASE) / BigInt(PAGE);
    const changed =
      linear === DATA_1
        ? FRAMES.otherData
        : page > 0n && page < CODE_PAGES && page % 2n === 1n
          ? frame - FRAMES.code + FRAMES.otherCode
          : frame;
    machine.tables.map(linear, changed, flags, { root: other });
  }
  for (let at = 0; at < PLACE.identityEnd; at += PAGE) machine.tables.map(BigInt(at), at, 3n, { root: other });
  return other;
}

interface Change {
  readonly linear: bigint;
  readonly bytes: (entry: number) => readonly number[];
  /** May stand in the program itself: it does not change what the program executes. */
  readonly inline: boolean;
}
const CHANGES: readonly Change[] = [
  { linear: DATA_1, bytes: (entry) => xorEntry(entry, (FRAMES.data + PAGE) ^ FRAMES.otherData), inline: true },
  { linear: DATA_1, bytes: (entry) => xorEntry(entry, 1), inline: true },
  { linear: DATA_BASE, bytes: (entry) => xorEntry(entry, 2), inline: true },
  { linear: DATA_BASE + 0x2000n, bytes: (entry) => xorEntry(entry, 2), inline: true },
  ...Array.from({ length: CODE_PAGES - 1 }, (_, index): Change[] => {
    const linear = CODE_BASE + BigInt((index + 1) * PAGE);
    const frames = FRAMES.code ^ FRAMES.otherCode;
    return [
      { linear, bytes: (entry) => xorEntry(entry, frames), inline: false },
      { linear, bytes: (entry) => xorEntry(entry, 1), inline: false },
      { linear, bytes: (entry) => xorEntry(entry, 2), inline: true },
      { linear, bytes: toggleNoExecute, inline: false },
    ];
  }).flat(),
];

/** A machine for one program. */
export class ProgramMachine {
  readonly #mode: ProgramMode;
  readonly #mappings: readonly Mapping[];
  readonly #machine: TinyMachine;
  readonly #otherRoot: number;
  /** Addresses of the entries of the program's pages, under both roots. */
  readonly #entries: readonly { readonly at: number; readonly executable: boolean }[];

  /** @param translation absent: translations are there at once */
  constructor(mode: ProgramMode, translateAfter: number, translation?: TranslationFactory) {
    this.#mode = mode;
    this.#mappings = mappingsOf(mode);
    this.#machine = new TinyMachine(mode, { translateAfter, ...(translation === undefined ? {} : { translation }) });
    this.#otherRoot = mapPrograms(this.#machine, this.#mappings);
    const { tables } = this.#machine;
    this.#entries = [tables.root, this.#otherRoot].flatMap((root) =>
      this.#mappings.flatMap(({ linear, executable }) =>
        tables
          .entries(linear, root)
          .slice(-1)
          .map((at) => ({ at, executable })),
      ),
    );
  }

  /** Bytes of what the machine's exceptions push. */
  get wordBytes(): number {
    return this.#mode === 'pae' ? 4 : 8;
  }

  /** What programs may ask of this machine, and of every other one. */
  services(paging: PagingChange): Services {
    if (paging === 'none') return { vectors: [], inline: [] };
    if (paging !== 'entries') return { vectors: [FIRST_SERVICE], inline: [] };
    return {
      vectors: CHANGES.map((_, index) => FIRST_SERVICE + index),
      inline: CHANGES.filter(({ inline }) => inline).map(({ linear, bytes }) => [
        bytes(this.#entryOf(linear)),
        invalidate(linear),
      ]),
    };
  }

  #entryOf(linear: bigint): number {
    const [entry] = this.#machine.tables.entries(linear).slice(-1);
    if (entry === undefined) throw new RangeError('a page of the program has no entry');
    return entry;
  }

  /** Runs a program. @param limit of instructions; @param interrupts gives the lengths of slices; absent: no interrupts */
  run(program: Program, limit: number, interrupts?: Random): Trace {
    this.#lay(program);
    this.#start(program);
    const next = new Map(program.pieces.map(({ address, bytes }) => [address, address + BigInt(bytes.length)]));
    const events: ProgramEvent[] = [];
    const { processor } = this.#machine;
    const executed = (): number => {
      const counts = processor.instructionCounts();
      return counts.interpreted + counts.translated;
    };
    let ended = '';
    for (let slices = 0; ended === ''; slices++) {
      if (interrupts !== undefined) this.#request();
      const exit = processor.run(interrupts === undefined ? limit : sliceOf(interrupts));
      if (executed() > limit || slices > limit) {
        ended = 'without end';
        break;
      }
      if (exit.kind === 'budget' || exit.kind === 'kicked') continue;
      if (exit.kind !== 'halt-forever') {
        ended = `${exit.kind} at 0x${(processor.readRegister('Rip') as bigint).toString(16)}`;
        break;
      }
      ended = this.#exception(program, next, events);
    }
    const { interruptCount, interruptedAt } = this.#interruptLog();
    return { events, ended, interrupts: interruptCount, interruptedAt, ...processor.instructionCounts() };
  }

  /** Notes an exception and arranges how to go on. @returns the end's name, or nothing */
  #exception(program: Program, next: ReadonlyMap<bigint, bigint>, events: ProgramEvent[]): string {
    const machine = this.#machine;
    const { processor, ram } = machine;
    const handler = Number(processor.readRegister('Rip') as bigint) - 1 - PLACE.stubs;
    if (handler < 0 || handler >= 4096 || handler % 16 !== 0) return `halted at stub offset ${handler}`;
    const vector = handler / 16;
    const stack = Number(processor.readRegister('Rsp') as bigint);
    const { wordBytes } = this;
    const pushed = (index: number): bigint =>
      wordBytes === 8 ? ram.getBigUint64(frame + 8 * index, true) : BigInt(ram.getUint32(frame + 4 * index, true));
    const change = (index: number, value: bigint): void => {
      if (wordBytes === 8) ram.setBigUint64(frame + 8 * index, value, true);
      else ram.setUint32(frame + 4 * index, Number(value), true);
    };
    const frame = stack + (WITH_ERROR.has(vector) ? wordBytes : 0);
    const rip = pushed(0);
    const error = WITH_ERROR.has(vector) ? ram.getUint32(stack, true) : 0;
    const registers = Array.from({ length: 16 }, (_, register) => this.#state.getBigUint64(8 * register, true));
    registers[4] = pushed(3);
    const flags = pushed(2);
    const address = vector === 14 ? (processor.readRegister('Cr2') as bigint) : 0n;
    events.push({
      vector,
      error,
      rip,
      address,
      flags,
      registers,
      accessedCode: this.#accessedCode(),
      hashes: this.#hashes(),
    });
    if (vector === 6 && rip === program.end) return 'end';
    if (events.length >= FAULT_LIMIT) return 'many faults';
    const again = vector === 14 && ((error & 0x10) !== 0 || events.length % 2 === 0) && this.#makeAccessible(address);
    if (!again) {
      const after = next.get(rip);
      if (after === undefined) return `vector ${vector} at 0x${rip.toString(16)}, which is no instruction`;
      change(0, after);
      // The instruction that is left out may have been about to define flags: they are what the program's text takes them for.
      change(2, (flags & ~ARITHMETIC) | (BigInt(events.length) & ARITHMETIC));
    }
    this.#state.setUint32(STATE.HALTED, 0, true);
    return '';
  }

  /** Gives a page its permissions back. @returns whether that changed anything */
  #makeAccessible(address: bigint): boolean {
    const linear = address & ~0xfffn;
    const mapping = this.#mappings.find((candidate) => candidate.linear === linear);
    if (mapping === undefined) return false;
    const at = this.#entryOf(linear);
    const entry = this.#machine.tables.read(at);
    const missing = PRESENT | (mapping.writable ? WRITABLE : 0n);
    const changed = mapping.executable ? (entry | missing) & ~NO_EXECUTE : entry | missing;
    this.#machine.tables.write(at, changed);
    return changed !== entry;
  }

  #request(): void {
    const { memory, layout } = this.#machine.partition;
    const message = { vector: INTERRUPT_VECTOR, deliveryMode: 0, destination: 0, logicalDestination: false };
    requestInterrupt(memory, layout, { ...message, levelTriggered: false });
    // The kick would end the slice before its first instruction.
    Atomics.store(kickWord(memory, layout, 0), 0, 0);
    // What is hot goes to the translator now: the programs are too short for full batches.
    Atomics.store(translationReadyWord(memory, layout, 0), 0, 1);
  }

  #interruptLog(): { interruptCount: number; interruptedAt: bigint[] } {
    const { ram } = this.#machine;
    const interruptCount = Number(ram.getBigUint64(INTERRUPT_LOG, true));
    const interruptedAt = Array.from({ length: Math.min(interruptCount, LOG_ENTRIES) }, (_, index) =>
      ram.getBigUint64(INTERRUPT_LOG + 0x100 + 8 * index, true),
    );
    return { interruptCount, interruptedAt };
  }

  get #state(): DataView {
    const { memory, layout } = this.#machine.partition;
    return new DataView(memory.buffer, layout.processorsOffset);
  }

  #hashes(): ProgramEvent['hashes'] {
    const { memory, layout } = this.#machine.partition;
    const words = (offset: number, bytes: number): Uint32Array => new Uint32Array(memory.buffer, offset, bytes / 4);
    const { processorsOffset, ramOffset } = layout;
    let vectors = this.#state.getUint32(STATE.MXCSR, true);
    for (let register = 0; register < 16; register++) {
      vectors = hash(words(processorsOffset + STATE.XMM + 32 * register, 16), vectors);
    }
    // x87 control, status and tags, and the registers; the instruction pointers are those of MMX, which leaves them alone.
    vectors = hash(words(processorsOffset + STATE.FPU_CONTROL, 8), vectors);
    vectors = hash(words(processorsOffset + STATE.FPU_REGISTERS, 128), vectors);
    vectors = hash(words(processorsOffset + STATE.SEGMENTS, 6 * SEGMENT_BYTES), vectors);
    return {
      vectors,
      tables: hash(
        Uint32Array.from(
          this.#entries.flatMap(({ at, executable }) => {
            const [low = 0, high = 0] = words(ramOffset + at, 8);
            return [executable ? low & ~ACCESSED : low, high];
          }),
        ),
        1,
      ),
      memory: FRAME_RUNS.reduce((sum, { frame, pages }) => hash(words(ramOffset + frame, pages * PAGE), sum), 1),
    };
  }

  #accessedCode(): number {
    const { ram } = this.#machine;
    return this.#entries
      .filter(({ executable }) => executable)
      .reduce((mask, { at }, bit) => mask | ((ram.getUint32(at, true) & ACCESSED) === 0 ? 0 : 1 << bit), 0);
  }

  #lay(program: Program): void {
    const machine = this.#machine;
    machine.put(FRAMES.code, [...program.code]);
    machine.put(FRAMES.otherCode, [...program.otherCode]);
    TEMPLATE_PAGES.forEach((linear, index) => {
      const mapping = this.#mappings.find((candidate) => candidate.linear === linear);
      if (mapping === undefined) return;
      machine.put(mapping.frame, [...program.template.subarray(index * PAGE, (index + 1) * PAGE)]);
    });
    machine.put(FRAMES.otherData, [...program.otherData]);
    const wide = this.wordBytes === 8;
    const rex = wide ? [0x48] : [];
    const leave = [...rex, 0xcf];
    const stack = wide ? 1 : 0;
    for (let vector = 0; vector < 32; vector++) {
      // hlt; drop the error code; iret
      const drop = WITH_ERROR.has(vector) ? [...rex, 0x83, 0xc4, this.wordBytes] : [];
      machine.put(PLACE.stubs + 16 * vector, [0xf4, ...drop, ...leave]);
      machine.setGate(vector, { stack, level: vector === 3 || vector === 4 ? 3 : 0 });
    }
    const handler = (vector: number, at: number, level: number, bytes: readonly number[]): void => {
      machine.put(at, [...bytes]);
      machine.put(PLACE.stubs + 16 * vector, [0xe9, ...little32(at - (PLACE.stubs + 16 * vector + 5))]);
      machine.setGate(vector, { stack, level });
    };
    handler(INTERRUPT_VECTOR, INTERRUPT_HANDLER, 0, interruptCode(wide));
    const firstEntry = this.#entryOf(DATA_1);
    if (program.paging === 'entries') {
      CHANGES.forEach(({ linear, bytes }, index) => {
        const code = [...bytes(this.#entryOf(linear)), ...invalidate(linear), ...leave];
        handler(FIRST_SERVICE + index, HANDLERS + HANDLER_STRIDE * index, 3, code);
      });
    } else if (program.paging !== 'none') {
      const tagged = program.paging === 'tagged-roots';
      const roots = PLACE.tables ^ this.#otherRoot ^ (tagged ? 1 : 0);
      // push rax; mov rax, cr3; xor rax, roots; (bts rax, 63;) mov cr3, rax; pop rax; iret
      const keep = tagged ? [0x48, 0x0f, 0xba, 0xe8, 63] : [];
      const exchange = [0x50, 0x0f, 0x20, 0xd8, ...rex, 0x35, ...little32(roots), ...keep, 0x0f, 0x22, 0xd8, 0x58];
      handler(FIRST_SERVICE, HANDLERS, 3, [...exchange, ...leave]);
    }
    // A system call changes the frame of a data page, where pages may change; then sysret.
    const flip = [...xorEntry(firstEntry, (FRAMES.data + PAGE) ^ FRAMES.otherData), ...invalidate(DATA_1)];
    const back = bitsOf(this.#mode) === 64 ? [0x48] : [];
    machine.put(SYSTEM_CALL_HANDLER, [...(program.paging === 'entries' ? flip : []), ...back, 0x0f, 0x07]);
  }

  #start(program: Program): void {
    const { processor } = this.#machine;
    const { user } = program;
    const code64 = bitsOf(this.#mode) === 64;
    const selectors = code64 ? [SELECTOR.code64, SELECTOR.userCode64] : [SELECTOR.code32, SELECTOR.userCode32];
    processor.writeRegister('Cs', flatSegment(selectors[Number(user)] ?? 0, user, true, code64));
    const data = user ? SELECTOR.userData : SELECTOR.data;
    for (const name of ['Ss', 'Ds', 'Es'] as const)
      processor.writeRegister(name, flatSegment(data, user, false, false));
    processor.writeRegister('Fs', { ...flatSegment(data, user, false, false), base: program.fsBase });
    processor.writeRegister('Gs', { ...flatSegment(data, user, false, false), base: program.gsBase });
    if (program.paging === 'tagged-roots') this.#machine.set('Cr4', CR4_PCIDE);
    processor.writeRegister('Star', (0x23n << 48n) | (0x08n << 32n) | BigInt(SYSTEM_CALL_HANDLER));
    processor.writeRegister('Lstar', BigInt(SYSTEM_CALL_HANDLER));
    processor.writeRegister('Cstar', BigInt(SYSTEM_CALL_HANDLER));
    processor.writeRegister('Sfmask', 0x700n);
    processor.writeRegister('ApicBase', (processor.readRegister('ApicBase') as bigint) | 0xc00n);
    const state = this.#state;
    // The APIC's spurious vector register with its software enable.
    state.setUint32(STATE.APIC + 4 * 0x0f, 0x1ff, true);
    program.registers.forEach((value, register) => {
      state.setBigUint64(8 * register, value, true);
    });
    const vectors = new DataView(program.vectorState.buffer);
    state.setUint32(STATE.MXCSR, vectors.getUint32(FXSAVE.mxcsr, true), true);
    for (let register = 0; register < 16; register++) {
      for (const half of [0, 8]) {
        const value = vectors.getBigUint64(FXSAVE.xmm + 16 * register + half, true);
        state.setBigUint64(STATE.XMM + 32 * register + half, value, true);
      }
    }
    processor.writeRegister('Rip', program.entry);
    processor.writeRegister('Rflags', program.flags);
  }
}

/** push rax, rcx, rdx; note the address; x2APIC end of interrupt; pop; iret. The log's upper halves stay zero in 32-bit code. */
function interruptCode(wide: boolean): readonly number[] {
  const rex = wide ? [0x48] : [];
  return [
    ...[0x50, 0x51, 0x52],
    ...[...rex, 0x8b, 0x0c, 0x25, ...little32(INTERRUPT_LOG)],
    ...[0x81, 0xe1, ...little32(LOG_ENTRIES - 1)],
    ...[...rex, 0x8b, 0x44, 0x24, wide ? 24 : 12],
    ...[...rex, 0x89, 0x04, 0xcd, ...little32(INTERRUPT_LOG + 0x100)],
    ...[...rex, 0xff, 0x04, 0x25, ...little32(INTERRUPT_LOG)],
    ...[0xb9, ...little32(0x80b), 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30],
    ...[0x5a, 0x59, 0x58, ...rex, 0xcf],
  ];
}

/** Mostly short, so that interrupts come at many places; sometimes long enough for loops to get hot. */
const sliceOf = (random: Random): number => random.between(1, random.pick([40, 300, 300, 4000]));

function hash(words: Uint32Array, start: number): number {
  let sum = start | 0;
  for (let index = 0; index < words.length; index++) {
    sum = Math.imul(sum ^ (words[index] ?? 0), 0x01000193);
    sum ^= sum >>> 15;
  }
  return sum >>> 0;
}
