/**
 * A pre-decoded operation as the translator sees it: what assembly/decoder.ts wrote, with names instead of numbers, and what is known of its
 * operation. Made by: instruction-reader.ts; read by all of the translator.
 */
import type { FormName } from '../build/forms.ts';
import type { OperationFacts } from './operation-facts.ts';

/** What an instruction does to the flow of control. */
export const FLOW = { plain: 0, branch: 1, jump: 2, call: 3, return: 4, computed: 5, system: 6 } as const;

export interface Instruction {
  /** Offset of its first byte within the page. */
  readonly offset: number;
  /** Offset of the next instruction. */
  readonly next: number;
  /** What it does; VEX instructions that do it on vectors of any length have the name of the SSE operation (facts.operation has their own). */
  readonly operation: string;
  readonly form: FormName;
  /** What its operation and form say, found once for all instructions like it. */
  readonly facts: OperationFacts;
  /** One of FLOW. */
  readonly flow: number;
  /** It is one of the vector unit's, and has a translation. */
  readonly vector: boolean;
  /** log2 of the operand size in bytes. */
  readonly size: number;
  /** Byte offsets of registers in the processor's block. */
  readonly destination: number;
  readonly source: number;
  /** The first operand of operations that have two: the destination, or what VEX.vvvv names. */
  readonly first: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  /** General registers that it reads or writes: bits by number. */
  readonly registers: number;
  /** 0 none, 1..6 ES CS SS DS FS GS. */
  readonly segment: number;
  /** It is 32-bit code; else 64-bit code. */
  readonly code32: boolean;
  /** Its address is cut off at 32 bits: always in 32-bit code, by a prefix in 64-bit code. */
  readonly narrowAddress: boolean;
  /** Its address is one of 16 bits, by a prefix in 32-bit code. */
  readonly address16: boolean;
  readonly displacement: number;
  readonly immediate: number;
  /** The 64-bit immediate or address of the operations that have such (WIDE); 0 elsewhere. */
  readonly wide: bigint;
}
