/**
 * Device state in shared memory: typed fields at fixed offsets, a lock, and plain data for saving and inspection.
 *
 * A device describes its state once, as a table of fields; the table gives the memory layout, the accessors, the saved
 * state and the `inspect` tree. Any thread that attaches to the same area by the same name sees the same state, in
 * whatever order the threads attach.
 *
 *     area + 0     lock, bytes used, count, directory of up to DIRECTORY_LIMIT {name hash, layout hash, offset, bytes}
 *     area + used  the next state, 64-byte aligned: {u32 lock, fields in order of their size}
 *
 * Invariants: a field never changes its offset while the memory lives; storing to a field truncates as typed arrays
 * do, so a guest's value never leaves its width. Called by: every device, with the area that the partition owns.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree } from './device.ts';

const ELEMENT_BYTES = { u8: 1, u16: 2, u32: 4, i32: 4, f64: 8 } as const;

export type ElementType = keyof typeof ELEMENT_BYTES;

/** One field: a number, or an array of `length` numbers. Transient fields are neither saved nor shown. */
export type FieldDescription =
  | ElementType
  | { readonly type: ElementType; readonly transient?: boolean }
  | { readonly type: ElementType; readonly length: number; readonly transient?: boolean };

export type FieldTable = Readonly<Record<string, FieldDescription>>;

interface ElementArrays {
  u8: Uint8Array;
  u16: Uint16Array;
  u32: Uint32Array;
  i32: Int32Array;
  f64: Float64Array;
}

/** The names of a table's arrays. Strings have a length too, hence the order of the tests. */
type ArrayNames<Table extends FieldTable> = {
  [Name in keyof Table]: Table[Name] extends ElementType
    ? never
    : Table[Name] extends { readonly length: number }
      ? Name
      : never;
}[keyof Table];

/** The accessors of a field table: numbers can be assigned, arrays are views of the shared memory. */
export type FieldValues<Table extends FieldTable> = {
  -readonly [Name in Exclude<keyof Table, ArrayNames<Table>>]: number;
} & {
  readonly [Name in ArrayNames<Table>]: Table[Name] extends { readonly type: infer Type extends ElementType }
    ? ElementArrays[Type]
    : never;
};

/** A state as plain data: numbers, and arrays of numbers; `null` stands for positive infinity (no deadline). */
export interface SavedFields {
  readonly version: number;
  readonly fields: Readonly<Record<string, number | null | readonly (number | null)[]>>;
}

interface FieldPlacement {
  readonly name: string;
  readonly type: ElementType;
  /** 0 for a single number. */
  readonly length: number;
  readonly transient: boolean;
  /** Index of the first element in units of its own size, from the start of the state. */
  readonly index: number;
}

/** A state's fields with their places. One per kind of device, made once when its module is loaded. */
export interface StateDescription<Table extends FieldTable> {
  readonly version: number;
  readonly table: Table;
  readonly placements: readonly FieldPlacement[];
  readonly bytes: number;
  readonly layoutHash: number;
  /** Creates the accessor object over the memory. */
  readonly accessors: (buffer: ArrayBufferLike, offset: number) => FieldValues<Table>;
}

const STATE_ALIGNMENT = 64;
const LOCK_BYTES = 8;

const fnv1a = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
};

/**
 * Lays out a table of fields.
 * @param version of the saved state: to be raised when the meaning of the fields changes
 */
export function describeState<const Table extends FieldTable>(version: number, table: Table): StateDescription<Table> {
  const names = Object.keys(table);
  const described = names.map((name) => {
    const field: FieldDescription = table[name] as FieldDescription;
    if (typeof field === 'string') return { name, type: field, length: 0, transient: false };
    return {
      name,
      type: field.type,
      length: 'length' in field ? field.length : 0,
      transient: field.transient ?? false,
    };
  });
  // Largest elements first: every field is aligned without padding.
  described.sort((a, b) => ELEMENT_BYTES[b.type] - ELEMENT_BYTES[a.type]);
  let end = LOCK_BYTES;
  const placements = described.map((field): FieldPlacement => {
    const index = end / ELEMENT_BYTES[field.type];
    end += ELEMENT_BYTES[field.type] * Math.max(field.length, 1);
    return { ...field, index };
  });
  const bytes = Math.ceil(end / STATE_ALIGNMENT) * STATE_ALIGNMENT;
  const layoutHash = fnv1a(JSON.stringify([version, placements]));

  // One class per description: its accessors are shared by all instances, so engines can inline them.
  class Accessors {
    readonly arrays: ElementArrays;
    constructor(buffer: ArrayBufferLike, offset: number) {
      this.arrays = {
        u8: new Uint8Array(buffer, offset, bytes),
        u16: new Uint16Array(buffer, offset, bytes >> 1),
        u32: new Uint32Array(buffer, offset, bytes >> 2),
        i32: new Int32Array(buffer, offset, bytes >> 2),
        f64: new Float64Array(buffer, offset, bytes >> 3),
      };
      for (const { name, type, length, index } of placements) {
        if (length > 0) Object.defineProperty(this, name, { value: this.arrays[type].subarray(index, index + length) });
      }
    }
  }
  for (const { name, type, length, index } of placements) {
    if (length === 0) Object.defineProperty(Accessors.prototype, name, scalarAccessor(type, index));
  }
  return {
    version,
    table,
    placements,
    bytes,
    layoutHash,
    // The properties defined above are those of the table; the compiler cannot see that.
    accessors: (buffer, offset) => new Accessors(buffer, offset) as unknown as FieldValues<Table>,
  };
}

/** Getter and setter of one number. Written out per type so that each function only ever sees one kind of array. */
function scalarAccessor(type: ElementType, index: number): PropertyDescriptor & ThisType<{ arrays: ElementArrays }> {
  switch (type) {
    case 'u8':
      return {
        get(): number {
          return this.arrays.u8[index] as number;
        },
        set(value: number) {
          this.arrays.u8[index] = value;
        },
      };
    case 'u16':
      return {
        get(): number {
          return this.arrays.u16[index] as number;
        },
        set(value: number) {
          this.arrays.u16[index] = value;
        },
      };
    case 'u32':
      return {
        get(): number {
          return this.arrays.u32[index] as number;
        },
        set(value: number) {
          this.arrays.u32[index] = value;
        },
      };
    case 'i32':
      return {
        get(): number {
          return this.arrays.i32[index] as number;
        },
        set(value: number) {
          this.arrays.i32[index] = value;
        },
      };
    case 'f64':
      return {
        get(): number {
          return this.arrays.f64[index] as number;
        },
        set(value: number) {
          this.arrays.f64[index] = value;
        },
      };
  }
}

const FREE = 0;
const TAKEN = 1;
const WAITED_FOR = 2;
const SPINS = 200;
const WAIT_MILLISECONDS = 10;
/** How long a waiter waits before it takes the holder for dead. */
const PATIENCE_MILLISECONDS = 5000;

/**
 * A lock in one word of shared memory (0 free, 1 taken, 2 taken and waited for). Not recursive. Held for microseconds;
 * a waiter spins shortly and then sleeps.
 */
export class SharedLock {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #name: string;
  readonly #patience: number;

  /**
   * @param index of the lock word in `words`
   * @param patience milliseconds after which a lock that stays taken is an error
   */
  constructor(words: Int32Array, index: number, name: string, patience = PATIENCE_MILLISECONDS) {
    this.#words = words;
    this.#index = index;
    this.#name = name;
    this.#patience = patience;
  }

  /** @throws PlinthError PL-4106 when the lock stays taken for seconds: its holder died with it. */
  lock(): void {
    if (Atomics.compareExchange(this.#words, this.#index, FREE, TAKEN) !== FREE) this.#lockContended();
  }

  unlock(): void {
    if (Atomics.exchange(this.#words, this.#index, FREE) === WAITED_FOR) Atomics.notify(this.#words, this.#index, 1);
  }

  #lockContended(): void {
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.compareExchange(this.#words, this.#index, FREE, TAKEN) === FREE) return;
    }
    for (let waited = 0; waited < this.#patience; waited += WAIT_MILLISECONDS) {
      if (Atomics.exchange(this.#words, this.#index, WAITED_FOR) === FREE) return;
      Atomics.wait(this.#words, this.#index, WAITED_FOR, WAIT_MILLISECONDS);
    }
    throw new PlinthError('PL-4106', { state: this.#name, seconds: this.#patience / 1000 });
  }
}

/** A device's state: its fields, its lock, and its plain data. */
export class SharedState<Table extends FieldTable> {
  readonly name: string;
  readonly description: StateDescription<Table>;
  /** The fields. */
  readonly values: FieldValues<Table>;
  /** True for the thread that created the state: it puts the power-on values there. */
  readonly fresh: boolean;
  readonly #lock: SharedLock;

  constructor(
    name: string,
    description: StateDescription<Table>,
    buffer: ArrayBufferLike,
    offset: number,
    fresh: boolean,
  ) {
    this.name = name;
    this.description = description;
    this.values = description.accessors(buffer, offset);
    this.fresh = fresh;
    this.#lock = new SharedLock(new Int32Array(buffer, offset, 1), 0, name);
  }

  lock(): void {
    this.#lock.lock();
  }

  unlock(): void {
    this.#lock.unlock();
  }

  /** Does something while no other thread does; not for ports and intercepts that a guest uses all the time, since it costs a closure. */
  locked<Result>(action: () => Result): Result {
    this.lock();
    try {
      return action();
    } finally {
      this.unlock();
    }
  }

  /** Sets every field to zero. */
  clear(): void {
    const values = this.values as Record<string, number | ElementArrays[ElementType]>;
    for (const { name, length } of this.description.placements) {
      if (length === 0) values[name] = 0;
      else (values[name] as Uint8Array).fill(0);
    }
  }

  /** The fields that are not transient, as plain data. */
  save(): SavedFields {
    const fields: Record<string, number | null | readonly (number | null)[]> = {};
    for (const { name, length, transient } of this.description.placements) {
      if (transient) continue;
      const value = (this.values as Record<string, number | ArrayLike<number>>)[name];
      fields[name] = length === 0 ? finite(value as number) : Array.from(value as ArrayLike<number>, finite);
    }
    return { version: this.description.version, fields };
  }

  /**
   * Takes what `save` gave. Nothing is changed unless all of it is good.
   * @throws PlinthError PL-4103 for a newer version, PL-4104 for anything that is not a saved state of this table
   */
  restore(saved: unknown): void {
    const malformed = (problem: string): PlinthError => new PlinthError('PL-4104', { device: this.name, problem });
    if (!isRecord(saved) || typeof saved.version !== 'number') throw malformed('it has no version');
    const { version, fields } = saved;
    if (version > this.description.version) {
      throw new PlinthError('PL-4103', { device: this.name, version, newest: this.description.version });
    }
    if (version !== this.description.version) throw malformed(`version ${version} was never written`);
    if (!isRecord(fields)) throw malformed('it has no fields');
    const wanted = this.description.placements.filter(({ transient }) => !transient);
    for (const name of Object.keys(fields)) {
      if (!wanted.some((field) => field.name === name)) throw malformed(`the field ${name} is not known`);
    }
    for (const { name, type, length } of wanted) {
      const value = fields[name];
      const good =
        length === 0
          ? fits(type, value)
          : Array.isArray(value) && value.length === length && value.every((element) => fits(type, element));
      if (!good) throw malformed(`the field ${name} is missing or out of range`);
    }
    const values = this.values as Record<string, number | Float64Array>;
    for (const { name, length } of wanted) {
      const value = fields[name] as number | null | (number | null)[];
      if (length === 0) values[name] = value === null ? Number.POSITIVE_INFINITY : (value as number);
      else
        (values[name] as Float64Array).set(
          (value as (number | null)[]).map((element) => element ?? Number.POSITIVE_INFINITY),
        );
    }
  }

  /** The saved fields for people: arrays of more than 32 elements as their length only. */
  inspect(): InspectTree {
    const { fields } = this.save();
    return Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [
        name,
        Array.isArray(value) && value.length > 32 ? `${value.length} elements` : (value as number | null),
      ]),
    );
  }
}

const finite = (value: number): number | null => (value === Number.POSITIVE_INFINITY ? null : value);

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fits(type: ElementType, value: unknown): boolean {
  if (type === 'f64') return value === null || (typeof value === 'number' && Number.isFinite(value));
  if (typeof value !== 'number' || !Number.isInteger(value)) return false;
  if (type === 'i32') return value === (value | 0);
  return value >= 0 && value < 2 ** (8 * ELEMENT_BYTES[type]);
}

const DIRECTORY_LIMIT = 128;
const DIRECTORY_ENTRY_WORDS = 4;
/** Words of the area's own header, before its directory: lock, bytes used, number of entries, reserved. */
const AREA_WORDS = 4;
const AREA_HEADER_BYTES = (AREA_WORDS + DIRECTORY_LIMIT * DIRECTORY_ENTRY_WORDS) * 4;

/** The part of a shared memory that device states are allocated from, by name. Fresh memory (zeros) is an empty area. */
export class DeviceArea {
  readonly #buffer: ArrayBufferLike;
  readonly #offset: number;
  readonly #bytes: number;
  readonly #words: Int32Array;
  readonly #lock: SharedLock;

  /** @param offset of the area in the buffer, a multiple of 64 */
  constructor(buffer: ArrayBufferLike, offset: number, bytes: number) {
    this.#buffer = buffer;
    this.#offset = offset;
    this.#bytes = bytes;
    this.#words = new Int32Array(buffer, offset, AREA_HEADER_BYTES >> 2);
    this.#lock = new SharedLock(this.#words, 0, 'device area');
  }

  /** An area of its own, for devices that stand outside a partition (tests). */
  static standalone(bytes = 1 << 20): DeviceArea {
    return new DeviceArea(new SharedArrayBuffer(bytes), 0, bytes);
  }

  /**
   * The state called `name`: created (all zeros, `fresh`) when there is none yet.
   * @throws PlinthError PL-4101 when the area is full, or another layout exists under the name
   */
  attach<Table extends FieldTable>(name: string, description: StateDescription<Table>): SharedState<Table> {
    const { offset, fresh } = this.#find(name, description.layoutHash, description.bytes);
    return new SharedState(name, description, this.#buffer, this.#offset + offset, fresh);
  }

  #find(name: string, layoutHash: number, bytes: number): { offset: number; fresh: boolean } {
    const words = this.#words;
    const nameHash = fnv1a(name) | 0;
    this.#lock.lock();
    try {
      const count = words[2] as number;
      for (let entry = 0; entry < count; entry++) {
        const at = AREA_WORDS + entry * DIRECTORY_ENTRY_WORDS;
        if (words[at] !== nameHash) continue;
        if (words[at + 1] !== (layoutHash | 0) || words[at + 3] !== bytes) {
          throw new PlinthError('PL-4101', { state: name, problem: 'another layout exists under this name' });
        }
        return { offset: words[at + 2] as number, fresh: false };
      }
      const offset = alignState(Math.max(words[1] as number, AREA_HEADER_BYTES));
      if (count >= DIRECTORY_LIMIT || offset + bytes > this.#bytes) {
        throw new PlinthError('PL-4101', { state: name, problem: 'the area for device state is full' });
      }
      words.set([nameHash, layoutHash | 0, offset, bytes], AREA_WORDS + count * DIRECTORY_ENTRY_WORDS);
      words[1] = offset + bytes;
      words[2] = count + 1;
      return { offset, fresh: true };
    } finally {
      this.#lock.unlock();
    }
  }
}

const alignState = (offset: number): number => Math.ceil(offset / STATE_ALIGNMENT) * STATE_ALIGNMENT;
