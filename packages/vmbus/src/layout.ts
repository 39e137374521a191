/**
 * Layouts of messages as data: the fields of a packed little-endian structure in their order, from which reading and writing
 * follow. A protocol is then a table, and its parser cannot read past what it measured.
 *
 *     const openResult = new Layout({ channelId: 'u32', openId: 'u32', status: 'u32' });
 *     openResult.read(bytes, 8)?.status
 *
 * Invariant: `read` never throws and never reads outside `bytes`; what is too short is undefined. Called by: VMBus's own
 * messages and packets, and by the devices on it.
 */
import { GUID_BYTES, type Guid, guidFromBytes, guidToBytes } from './guid.ts';

/** A field: a number of that many bits, a GUID, or so many plain bytes. */
export type FieldKind = 'u8' | 'u16' | 'u32' | 'u64' | 'guid' | number;

export type FieldValue<Kind extends FieldKind> = Kind extends 'u64'
  ? bigint
  : Kind extends 'guid'
    ? Guid
    : Kind extends number
      ? Uint8Array
      : number;

export type LayoutValues<Fields extends Readonly<Record<string, FieldKind>>> = {
  -readonly [Name in keyof Fields]: FieldValue<Fields[Name]>;
};

interface Placed {
  readonly name: string;
  readonly kind: FieldKind;
  readonly offset: number;
}

const sizeOf = (kind: FieldKind): number =>
  typeof kind === 'number' ? kind : kind === 'guid' ? GUID_BYTES : { u8: 1, u16: 2, u32: 4, u64: 8 }[kind];

export class Layout<const Fields extends Readonly<Record<string, FieldKind>>> {
  /** Size in bytes. */
  readonly bytes: number;
  readonly #fields: readonly Placed[];

  constructor(fields: Fields) {
    let offset = 0;
    this.#fields = Object.entries(fields).map(([name, kind]) => {
      const placed = { name, kind, offset };
      offset += sizeOf(kind);
      return placed;
    });
    this.bytes = offset;
  }

  /** The fields at `at`; undefined where `bytes` ends before they do. Plain bytes are copied. */
  read(bytes: Uint8Array, at = 0): LayoutValues<Fields> | undefined {
    if (at < 0 || at + this.bytes > bytes.length) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, this.bytes);
    const values: Record<string, number | bigint | Guid | Uint8Array> = {};
    for (const { name, kind, offset } of this.#fields) values[name] = readField(view, offset, kind);
    // The table of fields is the type: each of its names was just read by its kind.
    return values as LayoutValues<Fields>;
  }

  /** The structure's bytes; fields that are not given are zero. */
  build(values: Partial<LayoutValues<Fields>>): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.bytes);
    this.write(bytes, 0, values);
    return bytes;
  }

  /** Writes the fields that are given to `bytes` at `at`, which must have room. */
  write(bytes: Uint8Array, at: number, values: Partial<LayoutValues<Fields>>): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, this.bytes);
    const given: Readonly<Record<string, unknown>> = values;
    for (const { name, kind, offset } of this.#fields) {
      const value = given[name];
      if (value !== undefined) writeField(view, offset, kind, value as number | bigint | Guid | Uint8Array);
    }
  }

  /** Offset of a field in bytes. */
  offsetOf(name: keyof Fields & string): number {
    return this.#fields.find((field) => field.name === name)?.offset ?? 0;
  }
}

function readField(view: DataView, offset: number, kind: FieldKind): number | bigint | Guid | Uint8Array {
  switch (kind) {
    case 'u8':
      return view.getUint8(offset);
    case 'u16':
      return view.getUint16(offset, true);
    case 'u32':
      return view.getUint32(offset, true);
    case 'u64':
      return view.getBigUint64(offset, true);
    case 'guid':
      return guidFromBytes(new Uint8Array(view.buffer, view.byteOffset + offset, GUID_BYTES));
    default:
      return new Uint8Array(view.buffer, view.byteOffset + offset, kind).slice();
  }
}

function writeField(view: DataView, offset: number, kind: FieldKind, value: number | bigint | Guid | Uint8Array): void {
  if (kind === 'u64') view.setBigUint64(offset, BigInt(value as bigint), true);
  else if (value instanceof Uint8Array || typeof value === 'string') {
    const bytes = typeof value === 'string' ? guidToBytes(value) : value.subarray(0, sizeOf(kind));
    new Uint8Array(view.buffer, view.byteOffset + offset, sizeOf(kind)).set(bytes);
  } else if (kind === 'u8') view.setUint8(offset, Number(value));
  else if (kind === 'u16') view.setUint16(offset, Number(value), true);
  else view.setUint32(offset, Number(value), true);
}
