/**
 * Whole random programs: instructions with labels, put in their places.
 *
 * A draft is one instruction whose operand may name a label; places are given out when the whole program is known. The flags that
 * the manual leaves undefined are tracked along the text, by the builder of the differential harness.
 * Called by: program-generator.ts.
 */

import { defineFlags, emitPlain } from './differential-blocks.ts';
import { ARITHMETIC_FLAGS, type CaseBuilder } from './differential-builder.ts';
import { CODE_BASE } from './differential-layout.ts';
import { ALIAS_BASE, type Piece } from './program-layout.ts';

/** A place in the program, known when it has been laid out. */
export interface Label {
  address: bigint | undefined;
}
export const newLabel = (): Label => ({ address: undefined });

export interface Fixup {
  readonly at: number;
  /** `toggle`: what turns the relative displacement of a jump that ends at `end` from `label` to `other` and back (by exclusive or). */
  readonly kind: 'rel8' | 'rel32' | 'abs32' | 'abs64' | 'toggle' | 'toggle-address';
  readonly label: Label;
  readonly other?: Label;
  readonly end?: Label;
  readonly plus?: number;
  /** By the alias of the code pages. */
  readonly alias?: boolean;
}

export interface Draft {
  bytes: number[];
  fixups: Fixup[];
  readonly labels: Label[];
  /** Labels of places within the instruction. */
  readonly inner: readonly { readonly label: Label; readonly at: number }[];
  readonly undefinedFlags: number;
  readonly plain: boolean;
  readonly text: string;
}

export interface DraftOptions {
  readonly fixups?: readonly Fixup[];
  readonly inner?: readonly { readonly label: Label; readonly at: number }[];
  readonly reads?: number;
  readonly defines?: number;
  readonly leavesUndefined?: number;
  readonly text?: string;
}

/** Flags that a condition code reads. */
const CONDITION_FLAGS = [0x800, 0x001, 0x040, 0x041, 0x080, 0x004, 0x880, 0x8c0] as const;
const conditionFlags = (condition: number): number => CONDITION_FLAGS[condition >> 1] ?? ARITHMETIC_FLAGS;

export const little32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
export const little64 = (value: bigint): number[] =>
  Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));

export class Assembler {
  readonly builder: CaseBuilder;
  drafts: Draft[] = [];
  #waiting: Label[] = [];

  constructor(builder: CaseBuilder) {
    this.builder = builder;
  }

  /** The next instruction's place. */
  label(label: Label = newLabel()): Label {
    this.#waiting.push(label);
    return label;
  }

  /** Takes over what the builder has been given. */
  drain(): void {
    const { items, undefinedBefore } = this.builder;
    items.forEach((item, index) => {
      const fixups: Fixup[] =
        item.relative === undefined
          ? []
          : [{ at: item.relative.at, kind: 'rel32', label: { address: item.relative.target } }];
      this.#push(
        [...item.bytes],
        fixups,
        [],
        undefinedBefore[index] ?? 0,
        item.row !== undefined,
        item.row?.name ?? '',
      );
    });
    items.length = 0;
    undefinedBefore.length = 0;
  }

  #push(
    bytes: number[],
    fixups: Fixup[],
    inner: Draft['inner'],
    undefinedFlags: number,
    plain: boolean,
    text: string,
  ): Draft {
    const draft: Draft = { bytes, fixups, labels: this.#waiting, inner, undefinedFlags, plain, text };
    this.#waiting = [];
    this.drafts.push(draft);
    return draft;
  }

  /** One instruction. Flags that it reads are defined before it. */
  emit(bytes: readonly number[], options: DraftOptions = {}): Draft {
    const { builder } = this;
    const { fixups = [], inner = [], reads = 0, defines = 0, leavesUndefined = 0, text = '' } = options;
    if ((reads & builder.undefinedFlags) !== 0) this.defineFlags();
    const draft = this.#push([...bytes], [...fixups], inner, builder.undefinedFlags, false, text);
    builder.undefinedFlags = (builder.undefinedFlags & ~defines) | leavesUndefined;
    return draft;
  }

  /** Plain instructions of the table. */
  plain(count: number): void {
    for (let step = 0; step < count; step++) emitPlain(this.builder, false);
    this.drain();
  }

  get is64(): boolean {
    return this.builder.mode === 64;
  }
  /** A REX prefix: there is none in 32-bit code. */
  rex(prefix: number): number[] {
    return this.is64 ? [prefix] : [];
  }
  /** A register that a program may write. @param wide whether R8 to R15 are among them */
  pickRegister(wide = true): number {
    const { random, frozen } = this.builder;
    for (;;) {
      const register = random.below(wide && this.is64 ? 16 : 8);
      if (!frozen.has(register) && register !== 4) return register;
    }
  }

  defineFlags(): void {
    defineFlags(this.builder);
    this.drain();
  }

  /** jcc to a label. */
  branch(condition: number, label: Label): Draft {
    return this.emit([0x0f, 0x80 | condition, 0, 0, 0, 0], {
      fixups: [{ at: 2, kind: 'rel32', label }],
      reads: conditionFlags(condition),
      text: 'jcc',
    });
  }
  jump(label: Label): Draft {
    return this.emit([0xe9, 0, 0, 0, 0], { fixups: [{ at: 1, kind: 'rel32', label }], text: 'jmp' });
  }

  /** Makes a near jump to a label short. Only for a label that is near enough. */
  static shorten(draft: Draft): void {
    const [fixup] = draft.fixups;
    if (fixup === undefined) return;
    const opcode = draft.bytes[0] === 0xe9 ? 0xeb : 0x70 | ((draft.bytes[1] ?? 0) & 15);
    draft.bytes = [opcode, 0];
    draft.fixups = [{ ...fixup, at: 1, kind: 'rel8' }];
  }
}

export const sizeOf = (drafts: readonly Draft[]): number => drafts.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** Gives the drafts their places from `start` on. @returns the first address behind them */
export function place(drafts: readonly Draft[], start: bigint): bigint {
  let at = start;
  for (const draft of drafts) {
    for (const label of draft.labels) label.address = at;
    for (const { label, at: offset } of draft.inner) label.address = at + BigInt(offset);
    at += BigInt(draft.bytes.length);
  }
  return at;
}

/** The bytes of placed drafts, with all labels resolved. @throws RangeError when one cannot be reached */
export function resolve(drafts: readonly Draft[], start: bigint): Piece[] {
  const pieces: Piece[] = [];
  let at = start;
  for (const { bytes, fixups, undefinedFlags, plain, text } of drafts) {
    const end = at + BigInt(bytes.length);
    for (const fixup of fixups) put(bytes, fixup, end);
    pieces.push({ address: at, bytes, undefinedFlags, plain, text });
    at = end;
  }
  return pieces;
}

function addressOf(label: Label): bigint {
  if (label.address === undefined) throw new RangeError('a label has no place');
  return label.address;
}

function put(bytes: number[], fixup: Fixup, end: bigint): void {
  const { at, kind, label, other, plus = 0, alias = false } = fixup;
  const target = addressOf(label) + BigInt(plus) + (alias ? ALIAS_BASE - CODE_BASE : 0n);
  const set32 = (value: bigint): void => {
    bytes.splice(at, 4, ...little32(Number(BigInt.asIntN(32, value))));
  };
  switch (kind) {
    case 'rel8': {
      const distance = Number(target - end);
      if (distance < -128 || distance > 127) throw new RangeError(`a short jump over ${distance} bytes`);
      bytes[at] = distance & 0xff;
      break;
    }
    case 'rel32':
      set32(target - end);
      break;
    case 'abs32':
      set32(target);
      break;
    case 'abs64':
      bytes.splice(at, 8, ...little64(target));
      break;
    case 'toggle': {
      const from = addressOf(fixup.end ?? label);
      set32((addressOf(label) - from) ^ (addressOf(other ?? label) - from));
      break;
    }
    case 'toggle-address':
      set32(addressOf(label) ^ addressOf(other ?? label));
      break;
  }
}
