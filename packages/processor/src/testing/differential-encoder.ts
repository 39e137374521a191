/**
 * The differential harness: an instruction of a table row, with every choice that the encoding leaves open.
 *
 * Operand and address size, REX and redundant prefixes, registers, memory operands (differential-memory.ts), LOCK where it is allowed and
 * where it is not, immediates. The encoder knows the notation of the table only; what an operation needs so that it is worth running
 * (divisors that do not overflow, return addresses on the stack) is differential-operations.ts.
 */
import type { InstructionRow, Operand } from '../table/index.ts';
import { littleEndian } from './differential-address.ts';
import { ARITHMETIC_FLAGS, type CaseBuilder, type Form, type Item, RSP } from './differential-builder.ts';
import { factsOf } from './differential-facts.ts';
import { chooseGather, chooseMemory, type MemoryChoice, memoryBytes, pickSegment } from './differential-memory.ts';

/** What a caller decides itself; the rest is random. */
export interface EncodingWishes {
  readonly form?: 'register' | 'memory';
  readonly size?: number;
  readonly immediate?: bigint;
  /** Displacement of a branch, from the end of the instruction. */
  readonly branch?: (end: bigint, bits: number) => bigint;
  readonly target?: (bytes: number) => bigint;
  readonly repeat?: 0 | 0xf2 | 0xf3;
  /** No prefixes that only make it longer or fault. */
  readonly plain?: boolean;
  readonly noLock?: boolean;
  readonly rm?: number;
  readonly reg?: number;
  readonly defaultAddressSize?: boolean;
  /** Immediate far pointer. */
  readonly far?: { readonly offset: bigint; readonly selector: bigint };
}

/** The instruction and what was chosen, for those who prepare its operands. */
export interface Encoded {
  readonly item: Item;
  readonly size: number;
  readonly addressBits: bigint;
  readonly form: Form;
  readonly reg: number;
  readonly rm: number;
  /** Register of a byte operand is AH..BH when its number is 4..7 and there is no REX. */
  readonly rex: boolean;
  /** Linear address of the memory operand, as far as it was decided here. */
  readonly target: bigint | undefined;
  readonly immediate: bigint;
  readonly repeat: number;
}

function pickSize(builder: CaseBuilder, row: InstructionRow, wishes: EncodingWishes): number {
  if (wishes.size !== undefined) return wishes.size;
  const { random, mode } = builder;
  const { letters, fixedAccumulator, d64, f64 } = factsOf(row);
  if (f64) return mode;
  if (letters.has('v') || letters.has('z') || fixedAccumulator || row.size === 'v' || d64) {
    if (mode === 32) return random.pick([16, 32, 32]);
    if (d64) return random.pick([16, 64, 64, 64]);
    return random.pick([16, 32, 32, 64, 64]);
  }
  if (letters.has('y') || row.size === 'y') return mode === 32 ? 32 : random.pick([32, 64]);
  if (letters.has('b') || row.size === 'b') return 8;
  return letters.has('x') ? 128 : mode === 32 ? 32 : letters.has('w') ? 16 : letters.has('q') ? 64 : 32;
}

/** A register number; the stack pointer and, in blocks, frozen registers are left alone when it may be written. */
function pickRegister(builder: CaseBuilder, written: boolean, byte: boolean, wide: boolean): number {
  const { random } = builder;
  const count = builder.mode === 64 && wide ? 16 : 8;
  for (;;) {
    const register = random.below(count);
    // Without REX, 4..7 are AH..BH; with it SPL..DIL. Either way nothing frozen may be touched.
    const touched = byte && register >= 4 && register < 8 ? [register, register - 4] : [register];
    if (builder.kind === 'block') {
      if (written && touched.some((number) => builder.frozen.has(number))) continue;
      return register;
    }
    if (written && touched.includes(RSP) && random.chance(0.85)) continue;
    return register;
  }
}

const VECTOR_KINDS = new Set(['V', 'W', 'U', 'H', 'L']);
/** MMX registers, which no prefix extends. */
const MMX_KINDS = new Set(['P', 'Q', 'N']);
const OTHER_KINDS = new Set(['S', 'C', 'D', 'F']);

function pickOperandRegister(builder: CaseBuilder, row: InstructionRow, operand: Operand): number {
  const { random, mode } = builder;
  if (MMX_KINDS.has(operand.kind)) return random.below(8);
  if (VECTOR_KINDS.has(operand.kind)) return random.below(mode === 64 ? 16 : 8);
  if (operand.kind === 'S')
    return row.operation === 'MOV_TO_SEG'
      ? random.pick([0, 3, 4, 5, 2, 1, 6, 7])
      : random.pick([0, 1, 2, 3, 4, 5, 0, 3, 6, 7]);
  if (operand.kind === 'C') return random.pick([0, 2, 3, 4, mode === 64 ? 8 : 1, 5]);
  if (OTHER_KINDS.has(operand.kind)) return random.below(8);
  const first = row.operands[0] === operand;
  const written =
    first ||
    (row.operation === 'MULX' && operand.kind === 'B') ||
    row.operation.startsWith('XCHG') ||
    row.operation === 'XADD';
  return pickRegister(builder, written, operand.width === 'b', true);
}

function immediateBytes(operand: Operand, size: number, row: InstructionRow): number {
  if (operand.width === 'b') return 1;
  if (operand.width === 'w') return 2;
  if (operand.width === 'v') return row.operation === 'MOV_IMM64' ? size / 8 : Math.min(size, 32) / 8;
  return Math.min(size, 32) / 8;
}

/** Flags of the manual, made exact where the count of a shift is known. */
export function itemFlags(
  row: InstructionRow,
  size: number,
  count: bigint | undefined,
  prefix: number,
): Pick<Item, 'flagsRead' | 'flagsDefined' | 'flagsUndefined'> {
  let { flagsRead, flagsWritten, flagsUndefined } = row;
  const facts = factsOf(row);
  if (facts.countsShift && count !== undefined) {
    const shift = Number(count) & (size === 64 ? 63 : 31);
    if (shift === 0) flagsRead = flagsWritten = flagsUndefined = 0;
    else if (shift === 1) {
      flagsUndefined &= ~0x800;
      flagsWritten |= 0x800;
    }
  }
  if (row.operation === 'PUSHF') flagsRead = ARITHMETIC_FLAGS;
  // With a repeat count of zero the flags stay; shifts by CL tell so in their row.
  if (facts.string && flagsWritten !== 0 && prefix !== 0) flagsRead = ARITHMETIC_FLAGS;
  return {
    flagsRead,
    flagsDefined: flagsWritten & ~flagsUndefined & ~(facts.string && prefix !== 0 ? flagsRead : 0),
    flagsUndefined,
  };
}

/** Encodes one instruction of the row. Registers of its addresses get their values in the builder. */
export function encodeInstruction(builder: CaseBuilder, row: InstructionRow, wishes: EncodingWishes = {}): Encoded {
  const { random, mode } = builder;
  const plain = wishes.plain === true || builder.kind === 'block';
  const size = pickSize(builder, row, wishes);
  const prefixes: number[] = [];
  let rexBits = 0;
  let wantRex = mode === 64 && random.chance(0.12);
  const facts = factsOf(row);
  const { sized, wide } = facts;
  const operandPrefix = sized && size === 16;
  if (size === 64 && (sized || wide) && !row.attributes.has('d64') && !row.attributes.has('f64')) rexBits |= 8;

  const { vex } = row;
  const longVector =
    vex !== undefined && vex.length !== '128' && (vex.length === '256' || (vex.length === 'any' && random.chance(0.5)));
  // Means nothing with LIG, and nothing else may be clear or set.
  const lengthBit = longVector || (vex?.length === 'ignored' && random.chance(0.3));
  let vexRegister = 0;

  // Operands.
  let reg = wishes.reg ?? row.digit ?? 0;
  let rm = 0;
  let form: Form = 'none';
  let memory: MemoryChoice | undefined;
  let immediate = 0n;
  let opcode = row.opcode;
  let branch: { bytes: number } | undefined;
  const tail: number[] = [];
  let byteRegisterNeedsRex = false;
  for (const operand of row.operands) {
    switch (operand.kind) {
      case 'G':
      case 'V':
      case 'P':
      case 'S':
      case 'C':
      case 'D':
        reg = wishes.reg ?? pickOperandRegister(builder, row, operand);
        form = form === 'none' ? 'register' : form;
        break;
      case 'E':
      case 'W':
      case 'M':
      case 'U':
      case 'Q':
      case 'N':
      case 'R':
      case 'F': {
        const canBeMemory =
          operand.kind !== 'U' &&
          operand.kind !== 'N' &&
          operand.kind !== 'R' &&
          operand.kind !== 'F' &&
          row.mod !== 'reg';
        const canBeRegister = operand.kind !== 'M' && row.mod !== 'mem';
        const wantMemory = wishes.form === undefined ? random.chance(0.5) : wishes.form === 'memory';
        if (canBeMemory && (wantMemory || !canBeRegister)) {
          form = 'memory';
          break;
        }
        form = 'register';
        rm = row.rm ?? wishes.rm ?? pickOperandRegister(builder, row, operand);
        break;
      }
      case 'Z': {
        form = 'register';
        rm = wishes.rm ?? pickOperandRegister(builder, row, operand);
        // 90 is NOP, not XCHG.
        while (row.opcode === 0x90 && rm === 0) rm = pickOperandRegister(builder, row, operand);
        opcode = row.opcode + (rm & 7);
        break;
      }
      case 'B':
      case 'H':
        vexRegister = pickOperandRegister(builder, row, operand);
        break;
      default:
        break;
    }
  }
  // Registers first, then the address: it has to live with the values that are decided.
  const memoryOperand = form === 'memory' ? facts.memoryOperand : undefined;
  if (memoryOperand !== undefined) {
    const bytes = memoryBytes(row, memoryOperand, size, longVector);
    // A gather without a SIB byte is #UD.
    const gathers = row.attributes.has('vsib') && random.chance(0.95);
    memory = gathers ? chooseGather(builder, row, bytes) : chooseMemory(builder, row, bytes, wishes);
  }
  if (row.modrm && form === 'none') {
    form = 'register';
    rm = row.rm ?? 0;
  }
  for (const operand of row.operands) {
    if (operand.kind === 'L') {
      immediate = BigInt((pickOperandRegister(builder, row, operand) << 4) | random.below(16));
      tail.push(Number(immediate));
    } else if (operand.kind === 'I' || operand.kind === 's') {
      const bytes = immediateBytes(operand, size, row);
      const value = wishes.immediate ?? random.integer();
      immediate =
        operand === row.operands.at(-1) || wishes.immediate !== undefined
          ? BigInt.asUintN(8 * bytes, value)
          : immediate;
      tail.push(...littleEndian(value, bytes));
    } else if (operand.kind === 'J') {
      branch = { bytes: operand.width === 'b' ? 1 : 4 };
    } else if (operand.kind === 'O') {
      const bits = mode === 64 ? (random.chance(0.15) ? 32 : 64) : 32;
      const bytes = row.operands.some((other) => other.width === 'AL') ? 1 : size / 8;
      const target =
        wishes.target?.(bytes) ?? builder.pickTarget(bytes, bytes, builder.kind === 'single' ? 1 : 0.15, bits === 64);
      const segment = pickSegment(builder, plain);
      if (segment.prefix !== 0) prefixes.push(segment.prefix);
      if (bits !== mode) prefixes.push(0x67);
      tail.push(...littleEndian(target - segment.base, bits / 8));
      form = 'memory';
    } else if (operand.kind === 'A') {
      tail.push(...littleEndian(wishes.far?.offset ?? 0n, size / 8), ...littleEndian(wishes.far?.selector ?? 0n, 2));
    }
  }

  // Prefixes.
  if (operandPrefix) prefixes.push(0x66);
  if (memory !== undefined) {
    if (memory.segment !== 0) prefixes.push(memory.segment);
    if (memory.addressBits !== builder.addressBits) prefixes.push(0x67);
  }
  let repeat = wishes.repeat ?? 0;
  if (wishes.repeat === undefined && row.attributes.has('rep')) repeat = random.pick([0, 0xf3, 0xf3, 0xf2]);
  if (repeat !== 0) prefixes.push(repeat);
  const { redundant, implicitAddress } = facts;
  if (!plain && redundant && repeat === 0 && row.map === 0 && random.chance(0.03))
    prefixes.push(random.pick([0xf2, 0xf3]));
  if (!plain && redundant && !sized && !wide && size !== 64 && random.chance(0.03)) prefixes.push(0x66);
  if (!plain && memory === undefined && random.chance(0.02) && !facts.string && mode === 64)
    prefixes.push(random.pick([0x26, 0x2e, 0x36, 0x3e]));
  let addressBits = memory?.addressBits ?? builder.addressBits;
  if (implicitAddress && wishes.defaultAddressSize !== true && mode === 64 && random.chance(0.12)) {
    prefixes.push(0x67);
    addressBits = 32n;
  }
  if (row.attributes.has('lock') && form === 'memory' && wishes.noLock !== true && random.chance(0.25))
    prefixes.push(0xf0);
  else if (
    !plain &&
    redundant &&
    wishes.noLock !== true &&
    !(row.attributes.has('lock') && form === 'memory') &&
    random.chance(0.012)
  )
    prefixes.push(0xf0);
  for (let index = prefixes.length - 1; index > 0; index--) {
    const other = random.below(index + 1);
    [prefixes[index], prefixes[other]] = [prefixes[other] ?? 0, prefixes[index] ?? 0];
  }
  const field = row.prefix === '66' ? 1 : row.prefix === 'F3' ? 2 : row.prefix === 'F2' ? 3 : 0;
  // Now and then one of the prefixes that may not stand before VEX.
  if (vex !== undefined && !plain && random.chance(0.01)) prefixes.push(random.pick([0x66, 0xf2, 0xf3, 0xf0]));
  if (vex !== undefined) wantRex = false;
  else if (row.prefix === '66') prefixes.push(0x66);
  else if (row.prefix === 'F3') prefixes.push(0xf3);
  else if (row.prefix === 'F2') prefixes.push(0xf2);

  // REX.
  const zForm = row.registerInOpcode;
  if (row.modrm && reg >= 8) rexBits |= 4;
  if (form === 'register' && (row.modrm || zForm) && rm >= 8) rexBits |= 1;
  if (memory !== undefined) rexBits |= (memory.encoding.rexX ? 2 : 0) | (memory.encoding.rexB ? 1 : 0);
  if (row.opcode === 0x90 && row.map === 0 && !zForm) wantRex = false;
  const immune = row.operands.length === 0 || facts.branch;
  if (!plain && mode === 64 && !sized && !wide && !immune && row.map === 0 && random.chance(0.05)) rexBits |= 8;
  byteRegisterNeedsRex = rexBits !== 0;
  const rex = vex === undefined && mode === 64 && (byteRegisterNeedsRex || wantRex);
  const bytes: number[] = [...prefixes];
  if (rex) bytes.push(0x40 | rexBits);
  if (vex === undefined) {
    if (row.map > 0) bytes.push(0x0f);
    if (row.map === 2) bytes.push(0x38);
    if (row.map === 3) bytes.push(0x3a);
  } else {
    // Without a register operand the field is 1111b; other values are #UD.
    if (!vex.register && !plain && random.chance(0.01)) vexRegister = random.below(8);
    const wBit = vex.w ?? (wide ? (mode === 64 ? rexBits >> 3 : random.below(2)) : random.chance(0.1) ? 1 : 0);
    const last = (wBit << 7) | ((~vexRegister & 15) << 3) | (lengthBit ? 4 : 0) | field;
    if (row.map === 1 && wBit === 0 && (rexBits & 3) === 0 && random.chance(0.8))
      bytes.push(0xc5, (last & 0x7f) | ((rexBits & 4) === 0 ? 0x80 : 0));
    else bytes.push(0xc4, ((~rexBits & 7) << 5) | row.map, last);
  }
  bytes.push(opcode);
  let ripAt: number | undefined;
  if (row.modrm) {
    if (memory === undefined) bytes.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
    else {
      bytes.push((memory.encoding.mod << 6) | ((reg & 7) << 3) | memory.encoding.rm);
      if (memory.encoding.ripAt !== undefined) ripAt = bytes.length + memory.encoding.ripAt;
      bytes.push(...memory.encoding.tail);
    }
  }
  bytes.push(...tail);
  if (branch !== undefined) {
    const end = builder.position + BigInt(bytes.length + branch.bytes);
    bytes.push(...littleEndian(wishes.branch?.(end, branch.bytes * 8) ?? 0n, branch.bytes));
  }
  // Up to the longest legal instruction, and one byte beyond.
  if (
    builder.kind === 'single' &&
    wishes.plain !== true &&
    ripAt === undefined &&
    branch === undefined &&
    row.operation !== 'UD2' &&
    !prefixes.includes(0xf0) &&
    random.chance(0.006)
  ) {
    const room = 15 - bytes.length + random.below(2);
    for (let count = 0; count < room; count++) bytes.unshift(mode === 64 ? random.pick([0x2e, 0x3e]) : 0x3e);
  }
  const item: Item = {
    row,
    bytes,
    size,
    form,
    ...itemFlags(row, size, row.operands.at(-1)?.kind === 'I' ? immediate : undefined, repeat),
    ...(ripAt === undefined || memory?.target === undefined ? {} : { relative: { at: ripAt, target: memory.target } }),
  };
  return { item, size, addressBits, form, reg, rm, rex, target: memory?.target, immediate, repeat };
}
