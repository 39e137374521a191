/**
 * Cases for comparing single SSE operations with the host's processor: encodings of table rows over fixed registers, and operand
 * values chosen where floating point is difficult (NaNs, denormals, both ends of the range, halfway cases, exact results).
 * Used by vector.test.ts; formats of batches and records: native-tests/vector-oracle.c.
 */
import type { InstructionRow, Operand } from '../table/parse.ts';

/** Where the operand that ModRM names is: xmm1 or rcx, the memory at [rdx], or the same register as the other operand. */
export type OperandPlace = 'register' | 'memory' | 'same';

export interface Form {
  readonly row: InstructionRow;
  readonly place: OperandPlace;
  /** The general-purpose operand is 64 bits wide. */
  readonly wide: boolean;
}

/** Xorshift generator: the same cases for the same seed. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 1;
  }
  /** @returns an unsigned 32-bit number. */
  next(): number {
    let value = this.#state;
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    this.#state = value;
    return Math.imul(value, 0x2c9277b5) >>> 0;
  }
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit);
  }
  next64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }
  pick<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new RangeError('pick from nothing');
    return value;
  }
}

const vectorKinds = new Set(['V', 'W', 'U']);

/** @returns every form of the rows that vectorOperation executes. */
export function vectorForms(rows: readonly InstructionRow[]): readonly Form[] {
  const forms: Form[] = [];
  for (const row of rows) {
    if (!row.operands.some((operand) => vectorKinds.has(operand.kind)) || row.operation === 'MASKMOVDQU') continue;
    const sizes = row.operands.some((operand) => operand.width === 'y') ? [false, true] : [false];
    for (const wide of sizes) {
      if (row.mod !== 'mem') forms.push({ row, place: 'register', wide });
      if (row.mod !== 'reg') forms.push({ row, place: 'memory', wide });
      if (row.mod !== 'mem' && row.operands.filter((operand) => vectorKinds.has(operand.kind)).length > 1) {
        forms.push({ row, place: 'same', wide });
      }
    }
  }
  return forms;
}

export const hasImmediate = (row: InstructionRow): boolean => row.operands.some((operand) => operand.kind === 'I');

/** @returns the bytes of the form with xmm0 or eax in ModRM.reg and xmm1, ecx, [rdx] or xmm0 in ModRM.rm. */
export function encode(form: Form, immediate: number): Uint8Array {
  const { row } = form;
  const bytes: number[] = [];
  if (row.prefix === '66' || row.prefix === 'F3' || row.prefix === 'F2') bytes.push(Number.parseInt(row.prefix, 16));
  if (form.wide) bytes.push(0x48);
  if (row.map !== 0) bytes.push(0x0f);
  bytes.push(row.opcode);
  const rm = form.place === 'memory' ? 0x02 : form.place === 'same' ? 0xc0 : 0xc1;
  bytes.push(rm | ((row.digit ?? 0) << 3));
  if (hasImmediate(row)) bytes.push(immediate);
  return Uint8Array.from(bytes);
}

/** @returns the size in bytes of an operand of the form. */
export function operandBytes(operand: Operand, wide: boolean): number {
  const sizes: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8, x: 16, y: wide ? 8 : 4 };
  return sizes[operand.width] ?? 16;
}

/** What the elements of the operands are; decides which values are worth trying. */
export type ElementKind = 'integer' | 'single' | 'double';

/** @returns the element kinds of first and second operand, taken from the instruction's name. */
export function elementKinds(row: InstructionRow): readonly [ElementKind, ElementKind] {
  const conversion = /^cvtt?(..)2(..)$/.exec(row.name);
  const kindOf = (letters: string): ElementKind =>
    letters === 'ss' || letters === 'ps' ? 'single' : letters === 'sd' || letters === 'pd' ? 'double' : 'integer';
  if (conversion !== null) return [kindOf(conversion[2] ?? ''), kindOf(conversion[1] ?? '')];
  if (row.name.startsWith('p') || !(row.attributes.has('mxcsr') || row.attributes.has('approximate'))) {
    return ['integer', 'integer'];
  }
  const kind = kindOf(row.name.slice(-2));
  return [kind, kind];
}

interface Format {
  readonly fraction: bigint;
  readonly exponentLimit: number;
  readonly bytes: number;
}
const SINGLE: Format = { fraction: 23n, exponentLimit: 0xff, bytes: 4 };
const DOUBLE: Format = { fraction: 52n, exponentLimit: 0x7ff, bytes: 8 };

function assemble(format: Format, sign: number, exponent: number, fraction: bigint): bigint {
  const clamped = BigInt(Math.max(0, Math.min(format.exponentLimit, exponent)));
  const exponentBits = format.bytes === 8 ? 11n : 8n;
  return (
    (BigInt(sign) << (format.fraction + exponentBits)) |
    (clamped << format.fraction) |
    (fraction & ((1n << format.fraction) - 1n))
  );
}

const scratch = new DataView(new ArrayBuffer(8));
function bitsOf(format: Format, value: number): bigint {
  if (format.bytes === 4) {
    scratch.setFloat32(0, value);
    return BigInt(scratch.getUint32(0));
  }
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
}

const BOUNDARIES = [
  0,
  1,
  2,
  0.5,
  1.5,
  2.5,
  3,
  0.25,
  0.75,
  2 ** 31,
  2 ** 31 - 0.5,
  2 ** 31 - 1,
  2 ** 31 - 0.25,
  2 ** 31 + 0.5,
  2 ** 31 + 1,
  2 ** 32,
  2 ** 63,
  2 ** 63 - 1024,
  2 ** 63 - 2 ** 39,
  2 ** 63 + 2048,
  2 ** 52,
  2 ** 52 - 0.5,
  2 ** 53,
  2 ** 53 + 2,
  2 ** 24,
  2 ** 24 + 2,
  2 ** 23 - 0.5,
  2 ** -126,
  2 ** -149,
  2 ** -150,
  2 ** -1022,
  2 ** -1074,
  2 ** 127,
  3.4028234663852886e38,
  3.4028235677973366e38,
  Number.MAX_VALUE,
  Infinity,
  2 ** -127,
  2 ** -126 - 2 ** -150,
  2 ** -126 - 2 ** -151,
  2 ** -126 - 2 ** -152,
  2 ** -126 * (1 - 2 ** -25),
  2 ** -126 * (1 + 2 ** -25),
  1 + 2 ** -24,
  1 + 2 ** -23,
  1 + 2 ** -52,
];

function randomFloat(random: Random, format: Format): bigint {
  const sign = random.below(2);
  const bits = random.next64();
  const limit = format.exponentLimit;
  const bias = limit >> 1;
  switch (random.below(11)) {
    case 0:
      return format.bytes === 4 ? bits & 0xffffffffn : bits;
    case 1:
      return bitsOf(format, random.pick(BOUNDARIES) * (sign === 0 ? 1 : -1));
    case 2: {
      // A NaN, quiet or signalling, now and then with a single bit of payload.
      const payload = random.below(3) === 0 ? 1n << BigInt(random.below(Number(format.fraction))) : bits;
      return assemble(format, sign, limit, payload === 0n ? 1n : payload);
    }
    case 3: {
      const payload = random.below(2) === 0 ? bits : bits & 15n;
      return assemble(format, sign, 0, payload);
    }
    case 4:
      return assemble(format, sign, bias - 4 + random.below(8), bits);
    case 5:
      return bitsOf(format, (random.below(2000) - 1000) / random.pick([1, 1, 2, 4]));
    case 6: {
      const kept = BigInt(random.below(Number(format.fraction)));
      return assemble(format, sign, bias - 40 + random.below(80), (bits >> kept) << kept);
    }
    case 7:
      return assemble(format, sign, random.pick([1, 1, 2, 3, 24, 54]), random.below(2) === 0 ? bits : bits & 3n);
    case 8:
      return assemble(
        format,
        sign,
        limit - 1 - random.pick([0, 0, 1, 24, 53]),
        random.below(2) === 0 ? bits : -(bits & 3n),
      );
    case 9:
      // Magnitudes of the integers that conversions produce.
      return assemble(format, sign, bias + random.below(66), bits);
    default:
      return assemble(format, sign, random.below(limit), random.below(2) === 0 ? bits : 0n);
  }
}

/** A second operand whose result with the first lies at the range's ends, halfway, or is exact. */
function relatedFloat(random: Random, format: Format, first: bigint): bigint {
  const limit = format.exponentLimit;
  const bias = limit >> 1;
  const exponent = Number((first >> format.fraction) & BigInt(limit));
  const fraction = first & ((1n << format.fraction) - 1n);
  const sign = random.below(2);
  const width = Number(format.fraction);
  // All ones, and nearly so, round up to the next power of two.
  const bits = random.next64();
  const other = random.pick([bits, bits, 0n, -1n, bits & 3n, -1n - (bits & 3n), -fraction]);
  switch (random.below(11)) {
    case 9: {
      // The reciprocal, so that the product is the smallest normal number or its neighbour.
      const scaled = Number((fraction << (52n - format.fraction)) | (1n << 52n)) / 2 ** 52;
      const reciprocal = fraction === 0n ? -1n : bitsOf(DOUBLE, 2 / scaled) >> (52n - format.fraction);
      return assemble(format, sign, bias - exponent, reciprocal + BigInt(random.below(3) - 1));
    }
    case 10:
      // The quotient is the smallest normal number or its neighbour.
      return assemble(format, sign, exponent + bias - random.below(2), fraction + BigInt(random.below(3)));
    case 0:
      return first;
    case 1:
      return assemble(format, sign, exponent, fraction + BigInt(random.below(5) - 2));
    case 2:
      return assemble(format, sign, exponent - width - 4 + random.below(8), random.below(2) === 0 ? 0n : other & 1n);
    case 3:
      return assemble(format, sign, exponent - random.below(width + 4), other);
    case 4:
      // Product at the lower end: the exponents' sum is that of the smallest numbers.
      return assemble(
        format,
        sign,
        bias + 1 - exponent + random.below(6) - 3 - (random.below(2) === 0 ? 0 : random.below(width + 3)),
        other,
      );
    case 5:
      return assemble(format, sign, bias + limit - exponent + random.below(6) - 4, other);
    case 6:
      // Quotient at either end.
      return assemble(
        format,
        sign,
        exponent + bias + random.below(6) - 3 + (random.below(2) === 0 ? 0 : random.below(width + 3)),
        other,
      );
    case 7:
      return assemble(format, sign, exponent - bias + random.below(6) - 3, other);
    default: {
      // Few bits: products and quotients are often exact.
      const kept = BigInt(width >> 1);
      return assemble(format, sign, bias - 8 + random.below(16), (other >> kept) << kept);
    }
  }
}

const INTEGERS = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
  0x20000000000001n,
  0x1000001n,
  0xfffffe7fffffffn,
];

function randomInteger(random: Random): bigint {
  switch (random.below(5)) {
    case 0:
      return random.pick(INTEGERS);
    case 1:
      return (random.pick(INTEGERS) << 32n) | (random.pick(INTEGERS) & 0xffffffffn);
    case 2:
      return BigInt.asUintN(64, BigInt.asIntN(64, random.next64()) >> BigInt(random.below(64)));
    case 3:
      return BigInt(random.below(70));
    default:
      return random.next64();
  }
}

/** Fills 16 bytes with elements of a kind; `other` holds the operand they shall be related to. */
export function fillOperand(random: Random, kind: ElementKind, view: DataView, offset: number, other?: number): void {
  if (kind === 'integer') {
    for (let at = 0; at < 16; at += 8) view.setBigUint64(offset + at, BigInt.asUintN(64, randomInteger(random)), true);
    return;
  }
  const format = kind === 'single' ? SINGLE : DOUBLE;
  for (let at = 0; at < 16; at += format.bytes) {
    let value: bigint;
    if (other !== undefined && random.below(2) === 0) {
      const first = format.bytes === 4 ? BigInt(view.getUint32(other + at, true)) : view.getBigUint64(other + at, true);
      value = relatedFloat(random, format, first);
    } else {
      value = randomFloat(random, format);
    }
    if (format.bytes === 4) view.setUint32(offset + at, Number(value & 0xffffffffn), true);
    else view.setBigUint64(offset + at, BigInt.asUintN(64, value), true);
  }
}

/** @returns an MXCSR: often the default with or without a sticky PE, otherwise any flags, masks, rounding, DAZ and FTZ. */
export function randomMxcsr(random: Random): number {
  switch (random.below(6)) {
    case 0:
      return 0x1f80;
    case 1:
      return 0x1fa0;
    case 2:
      return 0x1f80 | (random.below(4) << 13) | random.below(64);
    case 3:
      return 0x1f80 | (random.next() & 0xe07f);
    case 4:
      // One kind of exception unmasked.
      return (0x1f80 | (random.next() & 0xe07f)) & ~(0x80 << random.below(6));
    default:
      return random.next() & 0xffff;
  }
}
