/**
 * A WebAssembly module of regions over one imported shared memory, put together function by function.
 *
 * It has the shared memory `env.memory`; first are the functions of FUNCTIONS, then `chain` (i32, i32) -> i32, then regions (i32) -> i32, which are exported by their number from 0 on and stand in the module's own table at that number.
 * Answers to: WebAssembly core specification 2.0, section 5.5. Called by: region-compiler.ts.
 */
import { ByteWriter, CHAIN, F32, F64, type FunctionWriter, I32, OP, REGION_TYPE } from './wasm-encoder.ts';

const CHAIN_TYPE = 1;
const FIRST_REGION = CHAIN + 1;
const FUNCREF = 0x70;

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const TYPES: readonly (readonly [parameters: readonly number[], result: number])[] = [
  [[I32], I32],
  [[I32, I32], I32],
  [[F64, F64, F64], F64],
  [[F32, F32, F32], F32],
];
/** What a module imports of the core: names in `env`, and their types, in the order of their numbers (wasm-encoder.ts). */
const FUNCTIONS = [
  ['execute', REGION_TYPE],
  ['fuseDouble', 2],
  ['fuseSingle', 3],
] as const;
const SECTION = { types: 1, imports: 2, functions: 3, table: 4, exports: 7, elements: 9, code: 10 } as const;

export class ModuleWriter {
  readonly #maximumPages: number;
  readonly #code = new ByteWriter(64 * 1024);
  readonly #section = new ByteWriter(4096);
  readonly #module = new ByteWriter(64 * 1024);
  #regions = 0;

  /** @param maximumPages that the shared memory was made with */
  constructor(maximumPages: number) {
    this.#maximumPages = maximumPages;
  }

  /** Another module begins, with its chain function. */
  begin(chain: FunctionWriter): void {
    this.#regions = 0;
    this.#code.length = 0;
    chain.writeTo(this.#code);
  }
  /** How many regions were added; the next one's number. */
  get regions(): number {
    return this.#regions;
  }
  /** @returns bytes that the region takes */
  add(region: FunctionWriter): number {
    const before = this.#code.length;
    region.writeTo(this.#code);
    this.#regions++;
    return this.#code.length - before;
  }

  /** @returns the module; its bytes are there until the next one begins */
  finish(): Uint8Array {
    const regions = this.#regions;
    const out = this.#module;
    out.length = 0;
    out.reserve(this.#code.length + regions * 16 + 1024);
    for (const byte of HEADER) out.byte(byte);
    this.#add(SECTION.types, (section) => {
      section.unsigned(TYPES.length);
      for (const [parameters, result] of TYPES)
        for (const byte of [0x60, parameters.length, ...parameters, 1, result]) section.byte(byte);
    });
    this.#add(SECTION.imports, (section) => {
      section.unsigned(1 + FUNCTIONS.length);
      section.text('env');
      section.text('memory');
      section.byte(2);
      section.byte(3);
      section.unsigned(1);
      section.unsigned(this.#maximumPages);
      for (const [name, type] of FUNCTIONS) {
        section.text('env');
        section.text(name);
        section.byte(0);
        section.unsigned(type);
      }
    });
    this.#add(SECTION.functions, (section) => {
      section.unsigned(regions + 1);
      section.unsigned(CHAIN_TYPE);
      for (let number = 0; number < regions; number++) section.unsigned(REGION_TYPE);
    });
    this.#add(SECTION.table, (section) => {
      for (const byte of [1, FUNCREF, 1]) section.byte(byte);
      section.unsigned(regions);
      section.unsigned(regions);
    });
    this.#add(SECTION.exports, (section) => {
      section.unsigned(regions);
      for (let number = 0; number < regions; number++) {
        section.text(String(number));
        section.byte(0);
        section.unsigned(FIRST_REGION + number);
      }
    });
    this.#add(SECTION.elements, (section) => {
      for (const byte of [1, 0, OP.i32_const, 0, OP.end]) section.byte(byte);
      section.unsigned(regions);
      for (let number = 0; number < regions; number++) section.unsigned(FIRST_REGION + number);
    });
    const count = this.#section;
    count.length = 0;
    count.unsigned(regions + 1);
    out.byte(SECTION.code);
    out.unsigned(count.length + this.#code.length);
    out.append(count.view());
    out.append(this.#code.view());
    out.check();
    return out.view();
  }

  #add(id: number, write: (section: ByteWriter) => void): void {
    const section = this.#section;
    section.length = 0;
    section.reserve(this.#regions * 16 + 256);
    write(section);
    const out = this.#module;
    out.byte(id);
    out.unsigned(section.length);
    out.append(section.view());
  }
}
