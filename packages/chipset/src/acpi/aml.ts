/**
 * A small builder of AML, ACPI's byte code (ACPI 6.5, chapter 20): enough to declare devices, not to compute.
 *
 * Each function gives the bytes of one term; terms nest by being passed on. Names are whole paths as in ASL ('\\_SB', '_HID').
 * Called by: dsdt.ts.
 */

/** The bytes of an AML term. */
export type Term = readonly number[];

const littleEndian = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, index) => Math.floor(value / 256 ** index) % 256);

/** PkgLength (20.2.4): the length of the rest, itself included, in as few bytes as hold it. */
function withLength(content: Term): number[] {
  const short = content.length + 1;
  if (short < 64) return [short, ...content];
  for (const extra of [1, 2, 3]) {
    const length = content.length + 1 + extra;
    if (length < 2 ** (4 + 8 * extra)) {
      return [(extra << 6) | (length & 15), ...littleEndian(Math.floor(length / 16), extra), ...content];
    }
  }
  throw new RangeError(`an AML term of ${content.length} bytes is too long`);
}

/** A NameString (20.2.2): segments of up to four characters, separated by dots, perhaps from the root. */
export function name(path: string): Term {
  const rooted = path.startsWith('\\');
  const segments = (rooted ? path.slice(1) : path).split('.').filter((segment) => segment !== '');
  const bytes = segments.flatMap((segment) => {
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new RangeError(`'${segment}' is no AML name segment`);
    return Array.from(segment.padEnd(4, '_'), (character) => character.charCodeAt(0));
  });
  const prefix = segments.length === 0 ? [0] : segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f];
  if (segments.length > 2) prefix.push(segments.length);
  return [...(rooted ? [0x5c] : []), ...prefix, ...bytes];
}

/** An integer constant in its shortest form. */
export function integer(value: number): Term {
  if (value === 0 || value === 1) return [value];
  if (value < 0x100) return [0x0a, value];
  if (value < 0x10000) return [0x0b, ...littleEndian(value, 2)];
  if (value < 2 ** 32) return [0x0c, ...littleEndian(value, 4)];
  return [0x0e, ...littleEndian(value, 8)];
}

export function text(value: string): Term {
  return [0x0d, ...Array.from(value, (character) => character.charCodeAt(0) & 0x7f), 0];
}

/** A compressed EISA identifier such as 'PNP0501' (19.3.4). */
export function eisaId(identifier: string): Term {
  const match = /^([A-Z]{3})([0-9A-F]{4})$/.exec(identifier);
  if (match === null) throw new RangeError(`'${identifier}' is no EISA identifier`);
  const [, letters = '', product = ''] = match;
  const vendor = Array.from(letters).reduce((bits, letter) => (bits << 5) | (letter.charCodeAt(0) - 0x40), 0);
  const digits = Number.parseInt(product, 16);
  // Stored big-endian.
  return [0x0c, vendor >> 8, vendor & 0xff, digits >> 8, digits & 0xff];
}

/** Name (path, value). */
export const named = (path: string, value: Term): Term => [0x08, ...name(path), ...value];

export const packageOf = (elements: readonly Term[]): Term => [
  0x12,
  ...withLength([elements.length, ...elements.flat()]),
];

export const buffer = (bytes: readonly number[]): Term => [0x11, ...withLength([...integer(bytes.length), ...bytes])];

export const scope = (path: string, terms: readonly Term[]): Term => [
  0x10,
  ...withLength([...name(path), ...terms.flat()]),
];

export const device = (path: string, terms: readonly Term[]): Term => [
  0x5b,
  0x82,
  ...withLength([...name(path), ...terms.flat()]),
];

/** A method without arguments that returns a constant. */
export const constantMethod = (path: string, value: Term): Term => [
  0x14,
  ...withLength([...name(path), 0x00, 0xa4, ...value]),
];

/** Resource descriptors (6.4), for `resources`. */
export const resource = {
  /** Fixed I/O ports, 16-bit decoded. */
  ports: (first: number, count: number): Term => [
    0x47,
    0x01,
    ...littleEndian(first, 2),
    ...littleEndian(first, 2),
    0x01,
    count,
  ],
  /** Address space that devices below this one take memory from: fixed, readable and writable, cacheable (QWord, 6.4.3.5.1). */
  window: (start: number, end: number): Term => [
    0x8a,
    ...littleEndian(43, 2),
    0x00,
    0x0c,
    0x03,
    ...littleEndian(0, 8),
    ...littleEndian(start, 8),
    ...littleEndian(end - 1, 8),
    ...littleEndian(0, 8),
    ...littleEndian(end - start, 8),
  ],
  /** An ISA interrupt: edge-triggered, active high. */
  interrupt: (irq: number): Term => [0x22, ...littleEndian(1 << irq, 2)],
};

/** A resource template: descriptors and the end tag, whose checksum 0 means 'none'. */
export const resources = (descriptors: readonly Term[]): Term => buffer([...descriptors.flat(), 0x79, 0x00]);
