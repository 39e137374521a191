/**
 * The differential harness: ModRM, SIB and displacement for an address that hits a target.
 *
 * In a single-instruction case the registers of the address are solved for, so that every displacement size, scale and wrap-around
 * occurs; in a block the address is made of frozen registers. Address sizes of 64, 32 and 16 bits.
 */
import { type CaseBuilder, MASK64, RSP } from './differential-builder.ts';

export interface AddressEncoding {
  readonly rexX: boolean;
  readonly rexB: boolean;
  /** mod and rm of the ModRM byte. */
  readonly mod: number;
  readonly rm: number;
  /** SIB and displacement bytes. */
  readonly tail: readonly number[];
  /** Offset in `tail` of a RIP-relative displacement. */
  readonly ripAt?: number;
}

/** The low bytes of a number, lowest first: at most 8. */
export function littleEndian(value: bigint, bytes: number): number[] {
  const low = Number(BigInt.asUintN(32, value));
  const high = bytes <= 4 ? 0 : Number(BigInt.asUintN(32, value >> 32n));
  const result: number[] = [];
  for (let index = 0; index < bytes; index++) result.push(((index < 4 ? low : high) >>> (8 * (index & 3))) & 0xff);
  return result;
}

const fitsIn = (value: bigint, bits: number): boolean => BigInt.asIntN(bits, value) === value;

interface Parts {
  base?: number;
  index?: number;
  scale: number;
  displacement: bigint;
  displacementBytes: 0 | 1 | 4;
}

function encodeParts(parts: Parts, mode: 32 | 64, forceSib: boolean): AddressEncoding {
  const { base, index, scale, displacement, displacementBytes } = parts;
  const scaleBits = Math.log2(scale) << 6;
  if (base === undefined) {
    // No base: 32-bit displacement; in 64-bit mode always through SIB, as mod 0 rm 5 is RIP-relative there.
    const tail = littleEndian(displacement, 4);
    if (index === undefined && mode === 32 && !forceSib) return { rexX: false, rexB: false, mod: 0, rm: 5, tail };
    const indexBits = ((index ?? 4) & 7) << 3;
    return { rexX: (index ?? 0) >= 8, rexB: false, mod: 0, rm: 4, tail: [scaleBits | indexBits | 5, ...tail] };
  }
  const mod = displacementBytes === 0 ? 0 : displacementBytes === 1 ? 1 : 2;
  const displaced = littleEndian(displacement, displacementBytes);
  if (index === undefined && (base & 7) !== 4 && !forceSib) {
    return { rexX: false, rexB: base >= 8, mod, rm: base & 7, tail: displaced };
  }
  const sib = scaleBits | (((index ?? 4) & 7) << 3) | (base & 7);
  return { rexX: (index ?? 0) >= 8, rexB: base >= 8, mod, rm: 4, tail: [sib, ...displaced] };
}

/** A displacement of a size, favouring its boundaries. */
function pickDisplacement(builder: CaseBuilder, bytes: 0 | 1 | 4): bigint {
  const { random } = builder;
  if (bytes === 0) return 0n;
  if (bytes === 1) return BigInt(random.pick([-128, 127, -1, 0, random.between(-128, 127)]));
  return BigInt(random.pick([-0x80000000, 0x7fffffff, random.word() | 0, random.between(-70000, 70000), -8]));
}

/** Solves `base + index * scale + displacement = offset` in an address size by choosing registers' values. */
function solveSingle(builder: CaseBuilder, offset: bigint, bits: bigint): Parts | undefined {
  const { random } = builder;
  const width = Number(bits);
  const truncate = (value: bigint): bigint => BigInt.asUintN(width, value);
  /** Gives a register a value whose low bits count; what lies above is noise. */
  const assign = (register: number, value: bigint): void => {
    const noise = width < builder.mode ? random.bits64() << bits : 0n;
    builder.fix(register, (truncate(value) | noise) & MASK64);
  };
  const value = (register: number): bigint | undefined => {
    const known = builder.values[register];
    return known === undefined ? undefined : truncate(known);
  };
  const anyRegister = (): number => random.below(builder.registerCount);
  const base: number | undefined = random.chance(0.9) ? anyRegister() : undefined;
  let index: number | undefined =
    base === undefined
      ? random.chance(0.6)
        ? anyRegister()
        : undefined
      : random.chance(0.5)
        ? anyRegister()
        : undefined;
  if (index === RSP) index = undefined;
  const scale = random.pick([1, 2, 4, 8]);
  const factor = BigInt(scale);
  let displacementBytes: 0 | 1 | 4 = random.pick([0, 1, 4]);
  if (base === undefined) displacementBytes = 4;
  else if (displacementBytes === 0 && (base & 7) === 5) displacementBytes = 1;
  let displacement = pickDisplacement(builder, displacementBytes);

  // Registers that are decided already keep their values; what is left over must come from the rest.
  if (index !== undefined && index !== base && value(index) === undefined) {
    if (base !== undefined && value(base) === undefined)
      assign(index, random.chance(0.5) ? BigInt(random.between(-300, 300)) : random.integer());
    else if (base === undefined) {
      // index * scale + displacement = offset: the low bits come from the displacement.
      const quotient = (offset - displacement) / factor;
      displacement = BigInt.asIntN(width, offset - quotient * factor);
      if (!fitsIn(displacement, 32)) return undefined;
      const wrapped = random.chance(0.3) ? random.bits64() << (bits - BigInt(Math.log2(scale))) : 0n;
      assign(index, quotient + wrapped);
    } else {
      const left = BigInt.asIntN(width, offset - (value(base) ?? 0n) - displacement);
      const quotient = left / factor;
      displacement += left - quotient * factor;
      assign(index, quotient);
    }
  }
  if (base !== undefined && base === index && value(base) === undefined) {
    const quotient = truncate(offset - displacement) / (factor + 1n);
    displacement = BigInt.asIntN(width, offset - quotient * (factor + 1n));
    assign(base, quotient);
  }
  if (base !== undefined && value(base) === undefined) {
    const indexed = index === undefined ? 0n : (value(index) ?? 0n) * factor;
    assign(base, offset - indexed - displacement);
  }
  const sum =
    (base === undefined ? 0n : (value(base) ?? 0n)) + (index === undefined ? 0n : (value(index) ?? 0n) * factor);
  displacement = BigInt.asIntN(width, offset - sum);
  if (base === undefined) displacementBytes = 4;
  else if (
    !fitsIn(displacement, displacementBytes === 0 ? 1 : displacementBytes * 8) ||
    (displacementBytes === 0 && displacement !== 0n)
  ) {
    displacementBytes = fitsIn(displacement, 8) ? 1 : 4;
  }
  if (!fitsIn(displacement, 32)) return undefined;
  return index === undefined
    ? { ...(base === undefined ? {} : { base }), scale: 1, displacement, displacementBytes }
    : { ...(base === undefined ? {} : { base }), index, scale, displacement, displacementBytes };
}

/** The address out of frozen registers, or absolute. */
function solveBlock(builder: CaseBuilder, offset: bigint, bits: bigint): Parts | undefined {
  const { random } = builder;
  const width = Number(bits);
  // A loop's counter is frozen too, but nobody knows its value.
  const frozen = [...builder.frozen].filter((register) => register !== RSP && builder.values[register] !== undefined);
  for (let attempt = 0; attempt < 4; attempt++) {
    const base = random.chance(0.9) && frozen.length > 0 ? random.pick(frozen) : undefined;
    const index = random.chance(0.4) && frozen.length > 0 ? random.pick(frozen) : undefined;
    const scale = random.pick([1, 2, 4, 8]);
    const of = (register: number | undefined): bigint =>
      register === undefined ? 0n : (builder.values[register] ?? 0n);
    const displacement = BigInt.asIntN(width, offset - of(base) - of(index) * BigInt(scale));
    if (!fitsIn(displacement, 32)) continue;
    const short = fitsIn(displacement, 8) && base !== undefined;
    return {
      ...(base === undefined ? {} : { base }),
      ...(index === undefined ? {} : { index }),
      scale: index === undefined ? 1 : scale,
      displacement,
      displacementBytes: short ? 1 : 4,
    };
  }
  return undefined;
}

/**
 * Encodes an operand that addresses `target`.
 * @param addressBits the effective address size of the instruction
 * @param segmentBase base of the segment that the operand uses
 */
export function encodeAddress(
  builder: CaseBuilder,
  target: bigint,
  addressBits: bigint,
  segmentBase: bigint,
): AddressEncoding {
  const { random, mode } = builder;
  const offset = BigInt.asUintN(Number(addressBits), target - segmentBase);
  const near = fitsIn(BigInt.asIntN(64, target - builder.position), 31);
  const ripRelative = mode === 64 && segmentBase === 0n && near;
  if (ripRelative && random.chance(0.12))
    return { rexX: false, rexB: false, mod: 0, rm: 5, tail: [0, 0, 0, 0], ripAt: 0 };
  for (let attempt = 0; attempt < 6; attempt++) {
    const parts =
      builder.kind === 'single' ? solveSingle(builder, offset, addressBits) : solveBlock(builder, offset, addressBits);
    if (parts !== undefined) return encodeParts(parts, mode, random.chance(0.1));
  }
  if (ripRelative) return { rexX: false, rexB: false, mod: 0, rm: 5, tail: [0, 0, 0, 0], ripAt: 0 };
  // Whatever the registers are: an absolute address, cut to what a displacement can hold.
  return encodeParts({ scale: 1, displacement: BigInt.asIntN(32, offset), displacementBytes: 4 }, mode, false);
}

const SIXTEEN_BIT_FORMS: readonly (readonly number[])[] = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]];

/** A 16-bit address (32-bit mode with the address-size prefix): of an offset, or any. */
export function encodeAddress16(builder: CaseBuilder, offset?: number): AddressEncoding {
  const { random } = builder;
  const rm = random.below(8);
  const absolute = rm === 6 && (offset === undefined || random.chance(0.3));
  let sum = 0;
  for (const register of absolute ? [] : (SIXTEEN_BIT_FORMS[rm] ?? []))
    sum += Number(builder.fix(register, random.integer()) & 0xffffn);
  if (offset === undefined) {
    const mod = random.below(3);
    const bytes = mod === 0 ? (rm === 6 ? 2 : 0) : mod;
    return { rexX: false, rexB: false, mod, rm, tail: littleEndian(BigInt(random.word()), bytes) };
  }
  // The displacement makes up for what the registers happen to be; the sum wraps at 64 KiB.
  const displacement = ((offset - sum) << 16) >> 16;
  const short = !absolute && displacement >= -128 && displacement < 128;
  const mod = absolute || (short && displacement === 0 && rm !== 6) ? 0 : short ? 1 : 2;
  const bytes = absolute ? 2 : mod;
  return { rexX: false, rexB: false, mod, rm, tail: littleEndian(BigInt(displacement), bytes) };
}
