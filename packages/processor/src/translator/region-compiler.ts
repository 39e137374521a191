/**
 * Turns hot blocks into a module of regions: decodes the code around each, builds the region, emits it, and has V8 take the module.
 *
 * Works on a copy of the code, on whatever thread: the processor compares the copy with the code before it uses the result. The operations
 * by which regions leave lie in a part of the processor's block that is the compiler's alone (REGION_EXITS), a run of them per module.
 * Called by: translator.ts (in place) and the translator's thread (vmwp).
 */
import { PlinthError } from '@plinth/errors';
import { LEAVE_OPERATIONS as LEAVES, type LeaveName } from '../build/leave-operations.ts';
import type { OperationNames } from '../build/operation-names.ts';
import { BLOCK, BRANCH, CODE_WINDOW, STATE } from '../state-layout.ts';
import { chainedLink, writeChain } from './chain.ts';
import { WINDOWS_BYTES, WindowMap } from './code-windows.ts';
import { translatable, untranslatedReason } from './emit-instructions.ts';
import { ExitArea } from './exit-area.ts';
import { formatInstruction } from './format-instruction.ts';
import type { Instruction } from './instruction.ts';
import { InstructionReader } from './instruction-reader.ts';
import { buildRegion, type Region, type RegionSource } from './region.ts';
import { RegionEmitter } from './region-emitter.ts';
import type { ExaminedRegion, RegionMark } from './region-listing.ts';
import {
  type HotBlock,
  KEY_64,
  type TranslatedBatch,
  type TranslatedRegion,
  type TranslatorCore,
  type TranslatorMessage,
} from './translation-messages.ts';
import { endsOf } from './translation-trace.ts';
import { FunctionWriter } from './wasm-encoder.ts';
import { ModuleWriter } from './wasm-module.ts';

const PAGE = 4096;
const PAGES_OF_WINDOW = CODE_WINDOW.BYTES / PAGE;
const MAXIMUM_PAGES = 65536;
/** An operation's length when it is a block's first (assembly/decoder.ts). */
const OPERATION_LENGTH = 7;
/** Address of a LEAVE operation relative to the processor's block (assembly/blocks.ts, leaveOperation). */
function leaveOffset(name: LeaveName): number {
  return STATE.LEAVE_OPERATIONS + LEAVES.indexOf(name) * 16;
}
const LEAVES_OF_REGIONS = {
  leaveInterpret: leaveOffset('INTERPRET'),
  leaveInterpretOne: leaveOffset('INTERPRET_ONE'),
  leaveComputed: leaveOffset('COMPUTED'),
} as const;

export class RegionCompiler {
  readonly #base: number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #core: TranslatorCore;
  readonly #reader: InstructionReader;
  readonly #operation: number;
  /** Numbers of the operation that calls a region, and of a region's linked exit. */
  readonly #leaveTranslated: number;
  readonly #leaveLink: number;
  readonly #leaveNext: number;
  readonly #always: boolean;
  readonly #exits: ExitArea;
  readonly #code: FunctionWriter;
  readonly #emitter: RegionEmitter;
  readonly #module = new ModuleWriter(MAXIMUM_PAGES);
  /** The windows of the block that is being translated. */
  readonly #windows = new WindowMap();
  #epoch = -1;
  #nextModule = 1;
  /** The module that is being made: its exits name it. */
  #current = 0;
  /** The last region had no room for its exits. */
  #full = false;

  /**
   * @param base address of the processor's block
   * @param core an instance of the engine core, which decodes and writes WebAssembly
   * @param coreBase address of the block that it is attached to
   * @param names what the decoder's operation numbers mean
   * @param always blocks are translated before they were executed, so execution tells nothing of what is worth it
   */
  constructor(
    memory: WebAssembly.Memory,
    base: number,
    core: TranslatorCore,
    coreBase: number,
    names: OperationNames,
    always: boolean,
  ) {
    this.#reader = new InstructionReader(memory, names);
    const firstLeave = names.hot.length + 1;
    this.#leaveTranslated = firstLeave + LEAVES.indexOf('TRANSLATED');
    this.#leaveLink = firstLeave + LEAVES.indexOf('LINK');
    this.#leaveNext = firstLeave + LEAVES.indexOf('NEXT');
    this.#base = base;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#core = core;
    this.#operation = coreBase + STATE.LEAVE_OPERATIONS + 0x200;
    this.#always = always;
    this.#source = this.#makeSource();
    this.#exits = new ExitArea(base + STATE.REGION_EXITS, base + STATE.REGION_EXITS_END);
    this.#words = new Int32Array(memory.buffer);
    this.#code = new FunctionWriter(core, memory, base + STATE.REGION_CODE, base + STATE.REGION_CODE_END);
    this.#emitter = new RegionEmitter(this.#code, {
      ...LEAVES_OF_REGIONS,
      chainedLink: chainedLink(this.#leaveLink),
      operation: (instruction) => this.#operationFor(instruction),
      directExit: (delta, source) => this.#directExit(delta, source),
    });
  }

  /** @returns the batch; undefined when nothing was asked for, or nothing came of it */
  handle(message: TranslatorMessage): TranslatedBatch | undefined {
    if (message.epoch !== this.#epoch) {
      this.#epoch = message.epoch;
      this.#exits.clear();
    }
    if (message.kind === 'free') {
      for (const module of message.modules) this.#exits.free(module);
      return undefined;
    }
    return this.#translate(message.blocks, message.traced ?? false);
  }

  #translate(blocks: readonly HotBlock[], traced: boolean): TranslatedBatch | undefined {
    const id = this.#nextModule++;
    this.#current = id;
    const writer = this.#module;
    const regions: TranslatedRegion[] = [];
    const left: { block: number; gpa: number }[] = [];
    // Host addresses of blocks that are part of a region of this batch, for each of the modes that the code may be of.
    const coveredBy = [new Set<number>(), new Set<number>()];
    this.#exits.open(id);
    writeChain(this.#code, { translated: this.#leaveTranslated, module: id });
    writer.begin(this.#code);
    for (const hot of blocks) {
      const covered = coveredBy[Number(hot.code32)] ?? new Set<number>();
      this.#windows.set(hot.description);
      this.#code32 = hot.code32;
      // What a region of this batch passes through is entered from elsewhere only if it gets hot once more.
      if (covered.has(this.#windows.page(0) + (hot.gpa & (PAGE - 1)))) {
        left.push({ block: hot.block, gpa: hot.gpa });
        continue;
      }
      this.#copyCode();
      const region = this.#build(hot);
      const emitted = this.#emit(region);
      if (emitted === undefined) {
        left.push({ block: hot.block, gpa: hot.gpa });
        continue;
      }
      const description = this.#describe(hot, region, writer.regions);
      const size = writer.add(emitted);
      regions.push(traced ? { ...description, about: this.#about(region, size) } : description);
      for (const { block } of region.nodes) {
        const place = this.#windows.place(block.start);
        covered.add(this.#windows.page(place) + (place & (PAGE - 1)));
      }
    }
    this.#exits.close();
    if (regions.length === 0) return undefined;
    const bytes = writer.finish();
    const module = new WebAssembly.Module(bytes as BufferSource);
    return { epoch: this.#epoch, id, module, bytes: bytes.length, regions, left };
  }

  /**
   * A block is about to be interpreted where everything should be translated.
   * @throws PlinthError PL-4006 unless its first instruction is untranslated on purpose, crosses its page's end, or found no room
   */
  checkInterpreted(block: number): void {
    const offset = Number(this.#view.getBigUint64(block + BLOCK.GPA, true) & 0xfffn);
    const operation = block + BLOCK.FIRST_OPERATION;
    const length = this.#view.getUint8(operation + OPERATION_LENGTH);
    if (this.#full || offset + length > PAGE) return;
    const code32 = this.#view.getUint32(block + BLOCK.MODE_KEY, true) !== KEY_64;
    const instruction = this.#reader.read(operation, offset, length, code32);
    if (untranslatedReason(instruction) !== undefined) return;
    const address = `0x${this.#view.getBigUint64(block + BLOCK.RIP, true).toString(16)}`;
    throw new PlinthError('PL-4006', { instruction: formatInstruction(instruction), address });
  }

  /** The region that a block would become, for region-listing.ts. */
  examine(hot: HotBlock): ExaminedRegion {
    this.#windows.set(hot.description);
    this.#code32 = hot.code32;
    this.#copyCode();
    const region = this.#build(hot);
    const marks: RegionMark[] = [];
    const emitter = new RegionEmitter(this.#code, {
      ...LEAVES_OF_REGIONS,
      chainedLink: chainedLink(this.#leaveLink),
      // Nobody leaves: any place will do.
      directExit: () => 0,
      operation: () => 0,
      mark: (at, what) => marks.push({ at, what }),
    });
    const code = emitter.emit(region);
    const at = this.#base + STATE.TRANSLATOR_CODE;
    return {
      code: code.view(),
      marks,
      locals: emitter.localNames(),
      bytes: this.#bytes.subarray(at, at + WINDOWS_BYTES),
    };
  }

  /** Copies the pages of the windows to where the decoder reads them. */
  #copyCode(): void {
    const windows = this.#windows;
    const pages = windows.starts.length * PAGES_OF_WINDOW;
    for (let number = 0, code = this.#base + STATE.TRANSLATOR_CODE; number < pages; number++, code += PAGE) {
      const page = windows.page(number * PAGE);
      if (page !== 0) this.#bytes.copyWithin(code, page, page + PAGE);
    }
  }

  #build(hot: HotBlock): Region {
    return buildRegion(hot.gpa & (PAGE - 1), this.#source);
  }

  /** The code that was copied. */
  readonly #source: RegionSource;
  /** Whether it is 32-bit code. */
  #code32 = false;
  #makeSource(): RegionSource {
    const code = this.#base + STATE.TRANSLATOR_CODE;
    const windows = this.#windows;
    return {
      code32: () => this.#code32,
      windows: windows.starts,
      place: (offset) => windows.place(offset),
      decode: (offset, place) => {
        const room = windows.room(place);
        const length = this.#core.decodeAt(code + place, room < 15 ? room : 15, this.#code32 ? 1 : 0);
        return length === 0 ? undefined : this.#reader.read(this.#operation, offset, length, this.#code32);
      },
      executed: (place) => this.#always || windows.executed(place),
      region: (place) => windows.region(place),
      translatable,
    };
  }

  #emit(region: Region): FunctionWriter | undefined {
    this.#full = false;
    const emitted = this.#emitter.emit(region);
    return this.#full || emitted.full ? undefined : emitted;
  }

  /** Makes an operation for the core to execute; see RegionHost. */
  #operationFor(instruction: Instruction): number {
    // A header of nothing, the operation, and what a block ends with: the core looks at all three.
    const at = this.#exits.takeRun(3);
    if (at === 0) {
      this.#full = true;
      return 0;
    }
    this.#bytes.fill(0, at, at + 48);
    const place = this.#windows.place(instruction.offset);
    this.#core.decodeAt(this.#base + STATE.TRANSLATOR_CODE + place, 15, Number(instruction.code32));
    this.#bytes.copyWithin(at + 16, this.#operation, this.#operation + 16);
    this.#view.setUint16(at + 32, this.#leaveNext, true);
    return at + 16 - this.#base;
  }

  /** Makes a linked exit, one for each branch; see RegionHost. */
  #directExit(delta: number, source: number | undefined): number {
    const at = this.#exits.take();
    if (at === 0) {
      this.#full = true;
      return 0;
    }
    const word = at >> 2;
    this.#words[word] = this.#leaveLink;
    this.#words[word + 1] = this.#current;
    this.#words[word + 2] = delta;
    this.#words[word + 3] = 0;
    const area = this.#base + STATE.REGION_EXITS;
    this.#words[(this.#base + STATE.REGION_EXIT_SOURCES + ((at - area) >> 2)) >> 2] = source ?? BRANCH.NONE;
    return at - this.#base;
  }

  /** What a trace tells of a region. */
  #about(region: Region, bytes: number): NonNullable<TranslatedRegion['about']> {
    const source = this.#source;
    const ends = endsOf(
      region,
      (offset) => {
        const place = source.place(offset);
        if (place < 0) return 'other page';
        if (source.region(place)) return 'other region';
        return source.executed(place) ? 'size or structure' : 'not executed';
      },
      (offset) => {
        const place = source.place(offset);
        const instruction = place < 0 ? undefined : source.decode(offset, place);
        return instruction === undefined ? 'undecoded' : formatInstruction(instruction);
      },
    );
    return { blocks: region.nodes.length, bytes, ends };
  }

  #describe({ block, gpa }: HotBlock, region: Region, index: number): TranslatedRegion {
    const hulls = new Map<number, { from: number; to: number }>([[0, { from: PAGE, to: 0 }]]);
    for (const { block: part } of region.nodes) {
      // The first byte of what has no translation belongs to the region: when it changes, there may be one.
      const { terminator } = part;
      const beyond = terminator.kind === 'interpret' && this.#windows.place(terminator.at) >= 0;
      const end = beyond ? terminator.at + 1 : (part.instructions.at(-1)?.next ?? part.start + 1);
      for (let at = part.start; at < end; ) {
        const delta = Math.floor(at / PAGE);
        const to = Math.min(end, (delta + 1) * PAGE);
        const hull = hulls.get(delta) ?? { from: PAGE, to: 0 };
        hulls.set(delta, hull);
        hull.from = Math.min(hull.from, at - delta * PAGE);
        hull.to = Math.max(hull.to, to - delta * PAGE);
        at = to;
      }
    }
    const code = this.#base + STATE.TRANSLATOR_CODE;
    const pages = [...hulls].map(([delta, { from, to }]) => {
      const place = this.#windows.place(delta * PAGE);
      return {
        host: this.#windows.page(place),
        delta,
        from,
        to,
        code: this.#bytes.slice(code + place + from, code + place + to),
      };
    });
    return { block, gpa, index, instructions: region.instructions, pages };
  }
}
