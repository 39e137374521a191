/**
 * The differential harness: blocks of 2 to 20 mixed instructions with branches, bounded loops, calls and string instructions.
 *
 * Some registers are frozen as pointers, so that addresses stay good while everything else becomes anything. A flag that
 * the manual leaves undefined is never read: a compare is put in front of whoever would. Loops are counted by a register that
 * nothing in them writes.
 */
import { INSTRUCTIONS, type InstructionRow } from '../table/index.ts';
import {
  ARITHMETIC_FLAGS,
  type CaseBuilder,
  type DifferentialCase,
  type Item,
  MASK64,
  RSP,
} from './differential-builder.ts';
import { type EncodingWishes, encodeInstruction } from './differential-encoder.ts';
import { LACKING_NOTHING, type Lacking, rowObstacle } from './differential-host.ts';
import { DATA_BASE, HIGH_BASE, SLOT_STRIDE, STACK_BASE } from './differential-layout.ts';

const UNFIT_ATTRIBUTES = ['end', 'system', 'io', 'time', 'random', 'x87', 'approximate', 'rep', 'memory', 'system-ok'];
const UNFIT_OPERATIONS =
  /^(POP_SEG|PUSHA|POPA|ENTER|LEAVE|POPF|PUSHF|LAR|LSL|VERR|VERW|WRFSBASE|WRGSBASE|JCC|LOAD_FAR|BOUND|(VEX_)?LDMXCSR|AAM|XGETBV|X87|LOOP|DIV|IDIV|(VEX_)?PCMP[EI]STRI)/;

const POOL = INSTRUCTIONS.filter(
  (row) =>
    !UNFIT_ATTRIBUTES.some((attribute) => row.attributes.has(attribute)) && !UNFIT_OPERATIONS.test(row.operation),
);
const poolOf = (mode: 32 | 64): readonly InstructionRow[] =>
  POOL.filter((row) => row.mode === 'any' || row.mode === (mode === 64 ? 'only64' : 'not64'));
const isVector = (row: InstructionRow): boolean => row.operands.some((operand) => 'VWU'.includes(operand.kind));
interface Pools {
  readonly general: readonly InstructionRow[];
  readonly vector: readonly InstructionRow[];
}
const knownPools = new Map<Lacking, Readonly<Record<32 | 64, Pools>>>();
/** The rows that blocks have, without those that the host cannot be asked about. */
function poolsOf(lacking: Lacking): Readonly<Record<32 | 64, Pools>> {
  const known = knownPools.get(lacking);
  if (known !== undefined) return known;
  const poolsIn = (mode: 32 | 64): Pools => {
    const pool = poolOf(mode).filter((row) => rowObstacle(row, lacking) === undefined);
    return { general: pool.filter((row) => !isVector(row)), vector: pool.filter(isVector) };
  };
  const pools = { 64: poolsIn(64), 32: poolsIn(32) };
  knownPools.set(lacking, pools);
  return pools;
}
const rowsOf = (pattern: RegExp): readonly InstructionRow[] =>
  INSTRUCTIONS.filter((row) => pattern.test(row.operation));
const CONDITIONAL = rowsOf(/^JCC_/).filter((row) => row.operands[0]?.width === 'b');
const STRINGS = rowsOf(/^(MOVS|CMPS|STOS|LODS|SCAS)$/);
const DIVISIONS = rowsOf(/^I?DIV$/);
const rowOf = (operation: string): InstructionRow => {
  const row = INSTRUCTIONS.find((candidate) => candidate.operation === operation);
  if (row === undefined) throw new RangeError(`the table has no ${operation}`);
  return row;
};
const PUSHF = rowOf('PUSHF');
const POPF = rowOf('POPF');
const CALL = rowOf('CALL');
const RET = INSTRUCTIONS.find((row) => row.operation === 'RET' && row.operands.length === 0);
const LOOP = rowOf('LOOP');
const SHORT_JUMP = INSTRUCTIONS.find((row) => row.operation === 'JMP' && row.operands[0]?.width === 'b');

/** Bytes that are kept for what closes a construct. */
const RESERVE = 40;
const LIMIT = SLOT_STRIDE - 40;

const helper = (bytes: number[], flagsDefined = 0): Item => ({
  row: undefined,
  bytes,
  size: 32,
  form: 'none',
  flagsRead: 0,
  flagsDefined,
  flagsUndefined: 0,
});

/** cmp register,register: defines all flags. */
export function defineFlags(builder: CaseBuilder): void {
  builder.append(helper([0x39, 0xc0 | builder.random.below(64)], ARITHMETIC_FLAGS));
}

/** Puts an item behind what it needs: defined flags, where it reads them. */
function emit(builder: CaseBuilder, item: Item): void {
  if ((item.flagsRead & builder.undefinedFlags) !== 0) defineFlags(builder);
  builder.append(item);
}

export const moveImmediate = (register: number, value: number): Item =>
  helper([
    ...(register >= 8 ? [0x41] : []),
    0xb8 + (register & 7),
    value & 0xff,
    (value >> 8) & 0xff,
    (value >> 16) & 0xff,
    (value >>> 24) & 0xff,
  ]);

const full = (builder: CaseBuilder): boolean => builder.codeOffset + builder.codeBytes > LIMIT - RESERVE;

/** An immediate or displacement byte, put in when the length of a construct is known. */
function setLastByte(item: Item, value: number): void {
  (item.bytes as number[])[item.bytes.length - 1] = value & 0xff;
}

export function emitPlain(builder: CaseBuilder, stack: boolean, lacking: Lacking = LACKING_NOTHING): void {
  const { random, mode } = builder;
  const pools = poolsOf(lacking)[mode];
  const pool = random.chance(builder.vectorShare) ? pools.vector : pools.general;
  let row = random.pick(pool);
  while (!stack && /^(PUSH|POP)/.test(row.operation)) row = random.pick(pool);
  let wishes: EncodingWishes = {};
  if (/^BT[SRC]?$/.test(row.operation) && row.operands[1]?.kind === 'G') {
    const form = random.pick(['register', 'memory'] as const);
    wishes = { form, ...(form === 'memory' ? { reg: mode === 64 ? indexRegister(builder) : 5 } : {}) };
  } else if (/^SH[LR]D/.test(row.operation)) {
    wishes = { size: mode === 64 ? random.pick([32, 64]) : 32 };
  } else if (row.operation === 'BSWAP') {
    wishes = { size: mode === 64 ? random.pick([32, 64]) : 32 };
  }
  emit(builder, encodeInstruction(builder, row, wishes).item);
}

/** The frozen register with a small value. */
function indexRegister(builder: CaseBuilder): number {
  for (const register of builder.frozen) {
    const value = BigInt.asIntN(64, builder.values[register] ?? MASK64 >> 1n);
    if (value > -100n && value < 100n) return register;
  }
  throw new RangeError('a block has an index register');
}

export function emitString(builder: CaseBuilder): void {
  const { random } = builder;
  const row = random.pick(STRINGS);
  const repeat = random.pick([0, 0xf3, 0xf3, 0xf2] as const);
  const place = (): number => Number(DATA_BASE) + 0x400 + random.below(0x1800);
  if (random.chance(0.2)) builder.append(helper([random.chance(0.3) ? 0xfd : 0xfc]));
  if (repeat !== 0 || random.chance(0.3))
    builder.append(moveImmediate(1, random.chance(0.1) ? random.below(200) : random.below(12)));
  builder.append(moveImmediate(6, place()));
  builder.append(moveImmediate(7, place()));
  emit(builder, encodeInstruction(builder, row, { repeat, plain: true }).item);
}

export function emitDivision(builder: CaseBuilder): void {
  const { random } = builder;
  if (random.chance(0.8)) builder.append(helper([0x31, 0xd2], ARITHMETIC_FLAGS));
  emit(builder, encodeInstruction(builder, random.pick(DIVISIONS)).item);
}

/** jcc over a few instructions. */
function emitBranch(builder: CaseBuilder, stack: boolean, lacking: Lacking): void {
  const { random } = builder;
  const jump = encodeInstruction(builder, random.pick(CONDITIONAL)).item;
  emit(builder, jump);
  const before = builder.undefinedFlags;
  const start = builder.codeBytes;
  // Either all or none of the skipped instructions run, so they must leave the stack as deep as it was or nobody returns.
  const count = random.between(1, 4);
  for (let step = 0; step < count && !full(builder); step++) emitPlain(builder, stack, lacking);
  setLastByte(jump, builder.codeBytes - start);
  builder.undefinedFlags |= before;
}

/** mov counter, n; body; loop, or dec and jnz. */
function emitLoop(builder: CaseBuilder, lacking: Lacking): void {
  const { random, mode } = builder;
  const byLoop = mode === 32 || random.chance(0.4);
  const free = [8, 9, 10, 11, 12, 13, 14, 15].filter((register) => !builder.frozen.has(register));
  const counter = byLoop ? 1 : random.pick(free);
  builder.append(moveImmediate(counter, random.between(1, 6)));
  builder.frozen.add(counter);
  const start = builder.codeBytes;
  defineFlags(builder);
  const count = random.between(1, 4);
  for (let step = 0; step < count && !full(builder); step++) emitPlain(builder, false, lacking);
  if (byLoop) {
    const loop = encodeInstruction(builder, LOOP, { plain: true, defaultAddressSize: true }).item;
    builder.append(loop);
    setLastByte(loop, start - builder.codeBytes);
  } else {
    builder.append(helper([0x41, 0xff, 0xc8 | (counter & 7)], ARITHMETIC_FLAGS & ~1));
    const jump = helper([0x75, 0]);
    builder.append(jump);
    setLastByte(jump, start - builder.codeBytes);
  }
  builder.frozen.delete(counter);
}

/** call f; jmp over; f: body; ret; over. */
function emitCall(builder: CaseBuilder, lacking: Lacking): void {
  const { random } = builder;
  if (SHORT_JUMP === undefined || RET === undefined) return;
  const call = encodeInstruction(builder, CALL, { branch: () => 2n, plain: true }).item;
  builder.append(call);
  const jump = helper([0xeb, 0]);
  builder.append(jump);
  const start = builder.codeBytes;
  const count = random.between(1, 3);
  for (let step = 0; step < count && !full(builder); step++) emitPlain(builder, false, lacking);
  emit(builder, encodeInstruction(builder, RET, { plain: true }).item);
  setLastByte(jump, builder.codeBytes - start);
}

/** A block of instructions as the module's header describes it. */
export function generateBlock(builder: CaseBuilder, lacking: Lacking): DifferentialCase {
  const { random, mode } = builder;
  builder.codeOffset = random.below(32);
  // Every fifth block is one of vectors, whose results are each other's operands.
  if (random.chance(0.2)) builder.vectorShare = 0.9;
  const freeze = (register: number, value: bigint): void => {
    builder.fix(register, value);
    builder.frozen.add(register);
  };
  const inPages = (base: bigint): bigint => base + BigInt(random.below(0x2000)) - (random.chance(0.2) ? 0x8000n : 0n);
  freeze(RSP, STACK_BASE + 0x1000n + BigInt(random.between(-64, 64) * 8 + (random.chance(0.1) ? random.below(8) : 0)));
  if (mode === 64) {
    const candidates = [3, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    const take = (): number => candidates.splice(random.below(candidates.length), 1)[0] ?? 15;
    freeze(take(), inPages(DATA_BASE));
    freeze(take(), inPages(HIGH_BASE));
    freeze(take(), BigInt(random.between(-64, 64)));
  } else {
    freeze(3, inPages(DATA_BASE));
    freeze(5, BigInt.asUintN(32, BigInt(random.between(-64, 64))));
  }
  const count = random.between(2, 20);
  for (let step = 0; step < count && !full(builder); step++) {
    const roll = random.below(100);
    if (roll < 76) emitPlain(builder, true, lacking);
    else if (roll < 84) emitBranch(builder, true, lacking);
    else if (roll < 88) emitString(builder);
    else if (roll < 91) emitLoop(builder, lacking);
    else if (roll < 94) emitCall(builder, lacking);
    else if (roll < 96) emitDivision(builder);
    else if (roll < 98) emit(builder, encodeInstruction(builder, PUSHF).item);
    else {
      const flags = encodeInstruction(builder, PUSHF, { size: mode });
      emit(builder, flags.item);
      emit(builder, encodeInstruction(builder, POPF, { size: mode }).item);
    }
  }
  return builder.finish();
}
