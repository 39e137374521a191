/**
 * Bytes in saved states: the content of a ring beside a device's fields, as an array of numbers.
 * Called by: devices whose state is more than its fields.
 */
import { PlinthError } from '@plinth/errors';

export const saveBytes = (bytes: Uint8Array): number[] => Array.from(bytes);

/**
 * Restores a state that was saved as `{...state.save(), [key]: saveBytes(bytes)}`.
 * @returns the bytes
 * @throws PlinthError as SharedState.restore does, and PL-4104 when the bytes are none or more than `limit`
 */
export function restoreWithBytes(
  state: { readonly name: string; restore(saved: unknown): void },
  saved: unknown,
  key: string,
  limit: number,
): Uint8Array<ArrayBuffer> {
  const bytes: unknown = typeof saved === 'object' && saved !== null ? Reflect.get(saved, key) : undefined;
  const isByte = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xff;
  state.restore(saved);
  if (!Array.isArray(bytes) || bytes.length > limit || !bytes.every(isByte)) {
    throw new PlinthError('PL-4104', { device: state.name, problem: `${key} is not a list of at most ${limit} bytes` });
  }
  return Uint8Array.from(bytes as number[]);
}
