/**
 * A pre-decoded operation as the translator sees it: what assembly/decoder.ts wrote, with names instead of numbers.
 * Called by: region.ts.
 */
import { FORM, type FormName } from '../build/forms.ts';
import type { OperationNames } from '../build/operation-names.ts';
import { isVectorOperation } from './emit-vector.ts';

const GENERAL_BASE = 1024;
const FORM_NAMES = Object.keys(FORM) as FormName[];

/** What an instruction does to the flow of control. */
export const FLOW = { plain: 0, branch: 1, jump: 2, call: 3, return: 4, computed: 5, system: 6 } as const;
const FLOWS: Readonly<Record<string, number>> = {
  JMP: FLOW.jump,
  CALL: FLOW.call,
  RET: FLOW.return,
  JMP_INDIRECT: FLOW.computed,
  CALL_INDIRECT: FLOW.computed,
  SYSCALL: FLOW.system,
  SYSRET: FLOW.system,
  IRET: FLOW.system,
};

/** What an operation's number says, found once. */
interface Shape {
  readonly operation: string;
  readonly form: FormName;
  readonly flow: number;
  readonly wide: boolean;
  readonly vector: boolean;
}
export interface Instruction {
  /** Offset of its first byte within the page. */
  readonly offset: number;
  /** Offset of the next instruction. */
  readonly next: number;
  readonly operation: string;
  readonly form: FormName;
  /** One of FLOW. */
  readonly flow: number;
  /** It is one of the vector unit's. */
  readonly vector: boolean;
  /** log2 of the operand size in bytes. */
  readonly size: number;
  /** Byte offsets of registers in the processor's block. */
  readonly destination: number;
  readonly source: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  /** 0 none, 1..6 ES CS SS DS FS GS. */
  readonly segment: number;
  readonly narrowAddress: boolean;
  readonly displacement: number;
  readonly immediate: number;
  /** The 64-bit immediate or address of the operations that have such (WIDE); 0 elsewhere. */
  readonly wide: bigint;
}

/** Operations whose last eight bytes are one number. */
const WIDE = new Set(['MOV_IMM64', 'MOV_LOAD_OFFSET', 'MOV_STORE_OFFSET']);

/** Reads decoded operations. */
export class InstructionReader {
  readonly #names: OperationNames;
  readonly #shapes: (Shape | undefined)[] = [];

  constructor(names: OperationNames) {
    this.#names = names;
  }

  /** The operation at `at`. `offset` is where the instruction starts in its window, `length` its bytes. */
  read(view: DataView, at: number, offset: number, length: number): Instruction {
    const number = view.getUint16(at, true);
    const { operation, form, flow, wide, vector } = this.#shapes[number] ?? this.#learn(number);
    const flags = view.getUint8(at + 6);
    return {
      offset,
      next: offset + length,
      operation,
      form,
      flow,
      vector,
      size: (flags >> 2) & 3,
      destination: view.getUint8(at + 2),
      source: view.getUint8(at + 3),
      base: view.getUint8(at + 4),
      index: view.getUint8(at + 5),
      scale: flags & 3,
      segment: (flags >> 4) & 7,
      narrowAddress: (flags & 0x80) !== 0,
      displacement: view.getInt32(at + 8, true),
      immediate: view.getInt32(at + 12, true),
      wide: wide ? view.getBigInt64(at + 8, true) : 0n,
    };
  }

  #learn(number: number): Shape {
    const hot = this.#names.hot[number - 1];
    const general = number - GENERAL_BASE;
    const operation = hot?.[0] ?? this.#names.general[general >> 3] ?? '';
    const flow = operation.startsWith('JCC_') ? FLOW.branch : (FLOWS[operation] ?? FLOW.plain);
    const shape = {
      operation,
      form: hot?.[1] ?? FORM_NAMES[general & 7] ?? 'N',
      flow,
      wide: WIDE.has(operation),
      vector: isVectorOperation(operation),
    };
    this.#shapes[number] = shape;
    return shape;
  }
}
