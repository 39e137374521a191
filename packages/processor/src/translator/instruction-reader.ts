/** Reads the operations that assembly/decoder.ts writes. Called by: region-compiler.ts. */
import { FORM, type FormName } from '../build/forms.ts';
import type { OperationNames } from '../build/operation-names.ts';
import { STATE } from '../state-layout.ts';
import { extensionRegisters } from './emit-called.ts';
import { shiftCountOf } from './flag-analysis.ts';
import type { Instruction } from './instruction.ts';
import { factsOf, type OperationFacts } from './operation-facts.ts';
import { namesFirst, vexRegister } from './vex.ts';

const GENERAL_BASE = 1024;
const { ZERO_SLOT } = STATE;
const FORM_NAMES = Object.keys(FORM) as FormName[];

export class InstructionReader {
  readonly #names: OperationNames;
  readonly #facts: (OperationFacts | undefined)[] = [];
  readonly #words: Int32Array;
  readonly #wide: BigInt64Array;

  /** @param memory where the operations are; each is 16 bytes at an address that 16 divides */
  constructor(memory: WebAssembly.Memory, names: OperationNames) {
    this.#names = names;
    this.#words = new Int32Array(memory.buffer);
    this.#wide = new BigInt64Array(memory.buffer);
  }

  /** The operation at `at`. `offset` is where the instruction starts in its window, `length` its bytes; `code32`: it is 32-bit code. */
  read(at: number, offset: number, length: number, code32: boolean): Instruction {
    const words = this.#words;
    const word = at >> 2;
    const first = words[word] ?? 0;
    const second = words[word + 1] ?? 0;
    const number = first & 0xffff;
    let facts = this.#facts[number] ?? this.#learn(number);
    const flags = (second >> 16) & 0xff;
    const size = (flags >> 2) & 3;
    const immediate = words[word + 3] ?? 0;
    if (facts.withoutCount !== undefined && shiftCountOf(immediate, size) === 0) facts = facts.withoutCount;
    let destination = (first >> 16) & 0xff;
    let source = first >>> 24;
    const base = second & 0xff;
    const index = (second >> 8) & 0xff;
    let registers = facts.registers;
    if (base < ZERO_SLOT) registers |= 1 << (base >> 3);
    if (index < ZERO_SLOT) registers |= 1 << (index >> 3);
    if (facts.generalDestination && destination < ZERO_SLOT) registers |= 1 << (destination >> 3);
    if (facts.generalSource && source < ZERO_SLOT) registers |= 1 << (source >> 3);
    let { form } = facts;
    let firstOperand = destination;
    if (facts.vexVector) {
      if (form === 'RI') destination = vexRegister(immediate) << 4;
      else if (namesFirst(facts.namesake, form)) firstOperand = vexRegister(immediate) << 4;
    } else if (facts.vexGeneral) {
      firstOperand = vexRegister(immediate) << 3;
      registers |= 1 << (firstOperand >> 3);
      if (form === 'R' || form === 'M') {
        // VEX.vvvv names the destination.
        form = form === 'R' ? 'RR' : 'RM';
        source = destination;
        destination = firstOperand;
      }
    }
    const instruction: Instruction = {
      offset,
      next: offset + length,
      operation: facts.namesake,
      form,
      facts,
      flow: facts.flow,
      vector: facts.vector,
      size,
      destination,
      source,
      first: firstOperand,
      base,
      index,
      scale: flags & 3,
      registers,
      segment: (flags >> 4) & 7,
      code32,
      narrowAddress: code32 || (flags & 0x80) !== 0,
      address16: code32 && (flags & 0x80) !== 0,
      displacement: words[word + 2] ?? 0,
      immediate,
      wide: facts.wide ? (this.#wide[(at >> 3) + 1] ?? 0n) : 0n,
    };
    if (!facts.calledExtension) return instruction;
    return { ...instruction, registers: registers | extensionRegisters(instruction) };
  }

  #learn(number: number): OperationFacts {
    const hot = this.#names.hot[number - 1];
    const general = number - GENERAL_BASE;
    const operation = hot?.[0] ?? this.#names.general[general >> 3] ?? '';
    const extension = hot === undefined && general >> 3 >= this.#names.firstExtension;
    const facts = factsOf(operation, hot?.[1] ?? FORM_NAMES[general & 7] ?? 'N', extension);
    this.#facts[number] = facts;
    return facts;
  }
}
