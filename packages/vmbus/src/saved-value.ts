/**
 * Reading saved states: plain data of unknown shape becomes values that were checked, or an error that names what is wrong.
 * Called by: restore() of the bus and of the devices on it.
 */
import { PlinthError } from '@plinth/errors';

export class SavedValue {
  readonly #device: string;
  readonly #path: string;
  readonly #value: unknown;

  /** @param device the saved unit, for errors */
  constructor(device: string, value: unknown, path = '') {
    this.#device = device;
    this.#value = value;
    this.#path = path;
  }

  /**
   * Checks the version of a unit.
   * @throws PlinthError PL-4103 for a newer one, PL-4104 for none
   */
  version(newest: number): number {
    const version = this.at('version').integer(0, 2 ** 31);
    if (version > newest) throw new PlinthError('PL-4103', { device: this.#device, version, newest });
    return version;
  }

  at(name: string): SavedValue {
    if (typeof this.#value !== 'object' || this.#value === null) this.#fail('an object');
    return new SavedValue(this.#device, Reflect.get(this.#value as object, name), `${this.#path}.${name}`);
  }

  integer(minimum: number, maximum: number): number {
    const value = this.#value;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum && value <= maximum) return value;
    return this.#fail(`a whole number from ${minimum} to ${maximum}`);
  }

  boolean(): boolean {
    return typeof this.#value === 'boolean' ? this.#value : this.#fail('true or false');
  }

  text(limit = 4096): string {
    return typeof this.#value === 'string' && this.#value.length <= limit ? this.#value : this.#fail('a text');
  }

  /** One of some words. */
  word<const Word extends string>(...words: readonly Word[]): Word {
    return words.find((word) => word === this.#value) ?? this.#fail(`one of ${words.join(', ')}`);
  }

  list(limit: number): SavedValue[] {
    const value: unknown = this.#value;
    if (!Array.isArray(value) || value.length > limit) return this.#fail(`a list of at most ${limit}`);
    return value.map((item: unknown, index) => new SavedValue(this.#device, item, `${this.#path}[${index}]`));
  }

  /** Bytes as hexadecimal digits. */
  bytes(limit: number): Uint8Array<ArrayBuffer> {
    const value = this.#value;
    if (typeof value !== 'string' || !/^([0-9a-f]{2})*$/.test(value) || value.length > limit * 2) {
      return this.#fail(`at most ${limit} bytes in hexadecimal`);
    }
    return Uint8Array.from({ length: value.length / 2 }, (_, at) =>
      Number.parseInt(value.slice(at * 2, at * 2 + 2), 16),
    );
  }

  optional<T>(read: (value: SavedValue) => T): T | undefined {
    return this.#value === null || this.#value === undefined ? undefined : read(this);
  }

  /** As it is, for the device that it belongs to. */
  raw(): unknown {
    return this.#value;
  }

  #fail(expected: string): never {
    const problem = `${this.#path.replace(/^\./, '') || 'the whole'} is not ${expected}`;
    throw new PlinthError('PL-4104', { device: this.#device, problem });
  }
}

/** The form that SavedValue.bytes reads. */
export const saveBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
