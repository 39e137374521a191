/**
 * The differential harness: where an instruction's memory operand lies and how much it spans.
 *
 * Most addresses lead to memory that is there, aligned where the instruction wants it; some cross into a page that is not, or the limit of a
 * segment. How an address is written with registers, scale and displacement is differential-address.ts.
 * Called by: differential-encoder.ts.
 */
import type { InstructionRow, Operand } from '../table/index.ts';
import { type AddressEncoding, encodeAddress, encodeAddress16, littleEndian } from './differential-address.ts';
import type { CaseBuilder } from './differential-builder.ts';
import type { EncodingWishes } from './differential-encoder.ts';
import { factsOf } from './differential-facts.ts';
import { FXSAVE } from './differential-layout.ts';

/** Bytes that the memory operand of a row spans. `wide`: the vectors have 256 bits. */
export function memoryBytes(row: InstructionRow, operand: Operand, size: number, wide: boolean): number {
  const length = wide ? 32 : 16;
  switch (factsOf(row).memoryLetter ?? operand.width.charAt(0)) {
    case 'o':
      return 16;
    case 'h':
      return length / 2;
    case 'f':
      return length / 4;
    case 'e':
      return length / 8;
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    case 'x':
      return length;
    case 't':
      return 10;
    case 'v':
    case 'y':
      return size / 8;
    default:
      break;
  }
  switch (row.operation) {
    case 'CMPXCHG8B':
      return size === 64 ? 16 : 8;
    case 'BOUND':
      return size / 4;
    case 'FXSAVE':
    case 'FXRSTOR':
      return 512;
    case 'XSAVE':
    case 'XSAVEC':
    case 'XRSTOR':
      return 832;
    case 'FLDENV':
    case 'FNSTENV':
      return size === 16 ? 14 : 28;
    case 'FRSTOR':
    case 'FNSAVE':
      return size === 16 ? 94 : 108;
    default:
      return size / 8 + 2;
  }
}

function memoryAlignment(row: InstructionRow, bytes: number): number {
  if (/^(FXSAVE|FXRSTOR)$/.test(row.operation)) return 16;
  if (/^(XSAVEC?|XRSTOR)$/.test(row.operation)) return 64;
  return Math.min(bytes, 32) & -Math.min(bytes, 32);
}

export interface MemoryChoice {
  readonly encoding: AddressEncoding;
  readonly target: bigint | undefined;
  readonly segment: number;
  readonly addressBits: bigint;
}

const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

export function pickSegment(builder: CaseBuilder, plain: boolean): { prefix: number; base: bigint } {
  const { random, mode } = builder;
  const roll = random.below(100);
  const local = mode === 32 && builder.kind === 'single';
  if (plain || roll >= (local ? 14 : 10)) return { prefix: 0, base: 0n };
  // Whole programs have flat segments with bases of their own in FS and GS; blocks beside the host's processor have none.
  const based = builder.fsBase === (builder.fs?.base ?? 0n) ? [] : [0x64, 0x65];
  // CS is left out of 32-bit code: it may not be written.
  const prefix = random.pick(
    mode === 64
      ? SEGMENT_PREFIXES
      : local
        ? [0x26, 0x36, 0x3e, 0x64, 0x64, 0x65, 0x65]
        : [0x26, 0x36, 0x3e, 0x36, 0x3e, ...based],
  );
  return { prefix, base: prefix === 0x64 ? builder.fsBase : prefix === 0x65 ? builder.gsBase : 0n };
}

export function chooseMemory(
  builder: CaseBuilder,
  row: InstructionRow,
  bytes: number,
  wishes: EncodingWishes,
): MemoryChoice {
  const { random, mode } = builder;
  const single = builder.kind === 'single';
  const short = wishes.defaultAddressSize !== true && random.chance(0.08);
  // Which comes first for an operand of many words, the segment's limit or a page that is not there, is each processor's affair.
  const long = mode === 32 && bytes > 32;
  const segment = pickSegment(builder, wishes.plain === true || long);
  if (short && mode === 32) {
    if (single) return chooseMemory16(builder, bytes, wishes, segment.prefix, !long);
  }
  const addressBits = short && mode === 64 ? 32n : builder.addressBits;
  const alignment = memoryAlignment(row, bytes);
  const faults = single ? 1 : 0.15;
  // An address below 4 GiB when only 32 bits of it count, and in blocks of 32-bit code.
  const high =
    addressBits === 64n &&
    (single || [...builder.frozen].some((register) => (builder.values[register] ?? 0n) >> 40n === 0x23n));
  let target = wishes.target?.(bytes) ?? builder.pickTarget(bytes, alignment, faults, high);
  if (row.attributes.has('aligned') && bytes >= 16 && wishes.target === undefined && random.chance(single ? 0.6 : 0.95))
    target &= -BigInt(bytes);
  if (mode === 64 && segment.base !== 0n && addressBits === 32n) target = segment.base + BigInt(random.below(256));
  return {
    encoding: encodeAddress(builder, target, addressBits, segment.base),
    target,
    segment: segment.prefix,
    addressBits,
  };
}

/** An address of 16 bits: through FS or GS it reaches memory, otherwise nothing is mapped that low. */
function chooseMemory16(
  builder: CaseBuilder,
  bytes: number,
  wishes: EncodingWishes,
  prefix: number,
  local: boolean,
): MemoryChoice {
  const { random } = builder;
  const [place, segment] = random.chance(0.5) ? [0x64, builder.fs] : [0x65, builder.gs];
  if (local && segment !== undefined && random.chance(0.85)) {
    // Now and then in front of the segment's first byte, or behind its last.
    const within = random.chance(0.85) ? random.below(0x2000 - bytes) : random.between(-bytes, 0x2000 + bytes);
    const offset = (wishes.target?.(bytes) ?? segment.base + segment.first + BigInt(within)) - segment.base;
    if (offset >= 0n && offset < 0x10000n)
      return {
        encoding: encodeAddress16(builder, Number(offset)),
        target: segment.base + offset,
        segment: place,
        addressBits: 16n,
      };
  }
  return { encoding: encodeAddress16(builder), target: undefined, segment: prefix, addressBits: 16n };
}

/** The address of a gather: a base and a vector of indices, most of which lead to memory that is there. */
export function chooseGather(builder: CaseBuilder, row: InstructionRow, bytes: number): MemoryChoice {
  const { random, mode } = builder;
  const registers = mode === 64 ? 16 : 8;
  const base = random.below(registers);
  const index = random.below(registers);
  const scale = random.below(4);
  const displacement = random.pick([0, 1, -8, 127, 4096]);
  const target = builder.pickTarget(bytes, bytes, 0.3, mode === 64) & ~7n;
  builder.fix(base, target - BigInt(displacement));
  const low = new DataView(builder.vectorState.buffer, FXSAVE.xmm + 16 * index, 16);
  const high = new DataView(builder.upper.buffer, 16 * index, 16);
  const wide = /_Q.$/.test(row.operation);
  for (const half of [low, high]) {
    for (let at = 0; at < 16; at += wide ? 8 : 4) {
      const value = random.chance(0.06) ? random.word() | 0 : random.between(-20, 60);
      if (wide) half.setBigInt64(at, BigInt(value), true);
      else half.setInt32(at, value, true);
    }
  }
  const tail = [(scale << 6) | ((index & 7) << 3) | (base & 7), ...littleEndian(BigInt(displacement), 4)];
  return {
    encoding: { mod: 2, rm: 4, tail, rexX: index >= 8, rexB: base >= 8 },
    target: undefined,
    segment: 0,
    addressBits: builder.addressBits,
  };
}
