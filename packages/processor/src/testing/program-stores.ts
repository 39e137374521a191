/**
 * Whole random programs: stores into code, and what they may change.
 *
 * A store leaves an instruction of the same length, so that every course through the program stays one that the generator has thought of:
 * it changes an immediate, which of eight operations it is, or to which of two places a jump goes.
 * Called by: program-statements.ts.
 */
import { ARITHMETIC_FLAGS, type CaseBuilder } from './differential-builder.ts';
import { Assembler, type Label, little32, little64, newLabel } from './program-assembler.ts';

/** An instruction that stores into code may change: its immediate, or which operation it is. */
export interface Patchable {
  readonly kind: 'arithmetic' | 'move32' | 'move64' | 'jump';
  /** Of the immediate or displacement. */
  readonly immediate: Label;
  /** Of the ModRM byte whose middle bits say which operation it is. */
  readonly operation?: Label;
  /** Of a jump: where it goes, where else it may go, and its end. */
  readonly targets?: readonly [Label, Label];
  readonly end?: Label;
}

const ALL = ARITHMETIC_FLAGS;
const AF = 0x10;

export class CodeStores {
  readonly assembler: Assembler;
  readonly builder: CaseBuilder;
  /** In the order of their places in the text. */
  readonly patchables: Patchable[] = [];

  constructor(assembler: Assembler) {
    this.assembler = assembler;
    this.builder = assembler.builder;
  }

  /** Decides on an instruction that stores may change, before it has its place. */
  #plan(): Patchable {
    const kind = this.builder.random.pick([
      'move32',
      this.assembler.is64 ? 'move64' : 'move32',
      'jump',
      'arithmetic',
      'arithmetic',
    ] as const);
    const immediate = newLabel();
    if (kind === 'jump') return { kind, immediate, targets: [newLabel(), newLabel()], end: newLabel() };
    return kind === 'arithmetic' ? { kind, immediate, operation: newLabel() } : { kind, immediate };
  }

  patchable(plan: Patchable = this.#plan()): void {
    const { assembler, builder } = this;
    const { random } = builder;
    const register = assembler.pickRegister();
    const { kind, immediate, operation, targets, end } = plan;
    this.patchables.push(plan);
    if (kind === 'move32') {
      assembler.emit([...(register >= 8 ? [0x41] : []), 0xb8 | (register & 7), ...little32(random.word())], {
        inner: [{ label: immediate, at: register >= 8 ? 2 : 1 }],
        text: 'mov imm32',
      });
    } else if (kind === 'move64') {
      assembler.emit([register >= 8 ? 0x49 : 0x48, 0xb8 | (register & 7), ...little64(random.bits64())], {
        inner: [{ label: immediate, at: 2 }],
        text: 'mov imm64',
      });
    } else if (targets !== undefined) {
      const [here, there] = targets;
      assembler.emit([0xe9, 0, 0, 0, 0], {
        fixups: [{ at: 1, kind: 'rel32', label: here }],
        inner: [{ label: immediate, at: 1 }],
        text: 'jmp changeable',
      });
      assembler.label(end);
      const before = builder.undefinedFlags;
      assembler.label(here);
      assembler.plain(1);
      assembler.label(there);
      assembler.emit([0x90], { text: 'nop' });
      builder.undefinedFlags |= before;
    } else if (operation !== undefined) {
      // add, or, adc, sbb, and, sub, xor or cmp with an immediate; adc and sbb read the carry.
      const rex = assembler.rex((register >= 8 ? 0x41 : 0x40) | (random.chance(0.5) ? 8 : 0));
      const modrm = 0xc0 | (random.below(8) << 3) | (register & 7);
      assembler.emit([...rex, 0x81, modrm, ...little32(random.word())], {
        inner: [
          { label: operation, at: rex.length + 1 },
          { label: immediate, at: rex.length + 2 },
        ],
        reads: 1,
        defines: ALL & ~AF,
        leavesUndefined: AF,
        text: 'arithmetic imm32',
      });
    }
  }

  /** A store into code: into something ahead, behind, in this loop, in another function; by the alias now and then. */
  store(): void {
    const { random } = this.builder;
    if (this.patchables.length > 0 && random.chance(0.7)) {
      this.#storeInto(random.pick(this.patchables));
      return;
    }
    // Directly before, or a little before, what it changes.
    const plan = this.#plan();
    this.#storeInto(plan);
    if (random.chance(0.4)) this.assembler.plain(1);
    this.patchable(plan);
  }

  #storeInto({ kind, immediate, operation, targets, end }: Patchable): void {
    const { assembler, builder } = this;
    const { random } = builder;
    const alias = random.chance(0.2);
    const logic = { defines: ALL & ~AF, leavesUndefined: AF };
    if (kind === 'jump' && targets !== undefined && end !== undefined) {
      assembler.emit([0x81, 0x34, 0x25, 0, 0, 0, 0, 0, 0, 0, 0], {
        fixups: [
          { at: 3, kind: 'abs32', label: immediate, alias },
          { at: 7, kind: 'toggle', label: targets[0], other: targets[1], end },
        ],
        ...logic,
        text: 'xor displacement of jmp',
      });
      return;
    }
    if (operation !== undefined && random.chance(0.4)) {
      assembler.emit([0x80, 0x34, 0x25, 0, 0, 0, 0, random.below(8) << 3], {
        fixups: [{ at: 3, kind: 'abs32', label: operation, alias }],
        ...logic,
        text: 'xor operation',
      });
      return;
    }
    const bytes = kind === 'move64' ? 8 : 4;
    const register = assembler.pickRegister();
    const low = (register & 7) << 3;
    const rex = assembler.rex(register >= 8 ? 0x44 : 0x40);
    const absolute = (at: number, plus = 0) => ({
      fixups: [{ at, kind: 'abs32' as const, label: immediate, plus, alias }],
    });
    /** An instruction that stores a register into the code; `plus`: so many bytes behind its first. */
    const store = (
      prefixes: readonly number[],
      opcode: readonly number[],
      facts: { readonly defines?: number; readonly text: string },
      plus = 0,
    ): void => {
      assembler.emit([...prefixes, ...rex, ...opcode, 0x04 | low, 0x25, 0, 0, 0, 0], {
        ...absolute(prefixes.length + rex.length + opcode.length + 2, plus),
        ...facts,
      });
    };
    switch (random.below(bytes === 8 ? 9 : 8)) {
      case 0:
        assembler.emit([0xc7, 0x04, 0x25, 0, 0, 0, 0, ...little32(random.word())], {
          ...absolute(3),
          text: 'mov code, imm',
        });
        break;
      case 1:
        assembler.emit([0xfe, 0x04, 0x25, 0, 0, 0, 0], {
          ...absolute(3, random.below(bytes)),
          defines: ALL & ~1,
          text: 'inc code',
        });
        break;
      case 2:
        store([], [0x89], { text: 'mov code, register' });
        break;
      case 3:
        store([0x66], [0x01], { defines: ALL, text: 'add code, register' }, random.below(bytes - 1));
        break;
      case 4:
        store([0xf0], [0x0f, 0xc1], { defines: ALL, text: 'lock xadd code, register' });
        break;
      case 5:
        store([0x66], [0x0f, 0x7e], { text: 'movd code, xmm' });
        break;
      case 6:
        // A relative operand; in 32-bit code an absolute one.
        assembler.emit([...rex, 0x31, 0x05 | low, 0, 0, 0, 0], {
          fixups: [{ at: rex.length + 2, kind: assembler.is64 ? 'rel32' : 'abs32', label: immediate, alias }],
          ...logic,
          text: 'xor code, register',
        });
        break;
      case 7:
        if (builder.frozen.has(1)) {
          assembler.plain(1);
          return;
        }
        assembler.emit([0xbf, 0, 0, 0, 0], { ...absolute(1), text: 'mov edi' });
        assembler.emit([0xb9, bytes, 0, 0, 0], { text: 'mov ecx' });
        assembler.emit([0xfc], { text: 'cld' });
        assembler.emit([0xf3, 0xaa], { text: 'rep stosb code' });
        break;
      default:
        assembler.emit([register >= 8 ? 0x4c : 0x48, 0x89, 0x04 | low, 0x25, 0, 0, 0, 0], {
          ...absolute(4),
          text: 'mov code, register64',
        });
    }
  }

  /** A counter between two instructions, changed in passing: the page is written though no instruction is. */
  dataAmongCode(): void {
    const { assembler } = this;
    const [data, over] = [newLabel(), newLabel()];
    const jump = assembler.jump(over);
    Assembler.shorten(jump);
    // Never executed: an instruction only so that it takes its place in the text.
    assembler.emit(little32(this.builder.random.word()), { inner: [{ label: data, at: 0 }], text: 'data' });
    assembler.label(over);
    assembler.emit([0xff, 0x04, 0x25, 0, 0, 0, 0], {
      fixups: [{ at: 3, kind: 'abs32', label: data }],
      defines: ALL & ~1,
      text: 'inc data in code',
    });
  }
}
