/** Parsers for option values: each turns a text into a checked value or throws a usage error (status 64) that names the option. */
import { PlinthError } from '@plinth/errors';
import type { ConsoleTarget } from '@plinth/vmwp';

const unitExponents: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4 };

/**
 * A size in bytes. Units are binary, as in Hyper-V: `512M`, `512MB` and `512MiB` are the same; without a unit it is bytes.
 * @throws PlinthError PL-1009
 */
export function parseSize(value: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgt])(?:i?b)?|b)?$/i.exec(value.trim());
  const [, digits, unit = ''] = match ?? [];
  const bytes = Number(digits) * 1024 ** (unitExponents[unit.toLowerCase()] ?? Number.NaN);
  // Half a byte, or more bytes than can be counted exactly, is a slip of the keyboard.
  if (!Number.isSafeInteger(bytes) || bytes === 0) throw new PlinthError('PL-1009', { value, option });
  return bytes;
}

/**
 * A whole number in `minimum`..`maximum`, decimal.
 * @throws PlinthError PL-1004
 */
export function parseCount(value: string, option: string, command: string, minimum: number, maximum: number): number {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= minimum && number <= maximum)) {
    throw new PlinthError('PL-1004', {
      value,
      option,
      expected: `a whole number from ${minimum} to ${maximum}`,
      command,
    });
  }
  return number;
}

/**
 * The number of an I/O port, decimal or with `0x` hexadecimal.
 * @throws PlinthError PL-1004
 */
export function parsePort(value: string, option: string, command: string): number {
  const port = /^(\d+|0x[0-9a-f]+)$/i.test(value) ? Number(value) : Number.NaN;
  if (!(port <= 0xffff)) {
    throw new PlinthError('PL-1004', { value, option, expected: 'a port from 0 to 0xFFFF', command });
  }
  return port;
}

/**
 * A time in seconds, fractions allowed.
 * @throws PlinthError PL-1004
 */
export function parseSeconds(value: string, option: string, command: string): number {
  const seconds = /^(\d+\.?\d*|\.\d+)$/.test(value) ? Number(value) : Number.NaN;
  // Timers of the host count milliseconds in 31 bits.
  if (!(seconds >= 0.001 && seconds < 2 ** 31 / 1000)) {
    throw new PlinthError('PL-1004', { value, option, expected: 'a number of seconds from 0.001 to 2147483', command });
  }
  return seconds;
}

/**
 * The name of a virtual machine: it is a file name, too, and a part of an inspection path.
 * @throws PlinthError PL-1020
 */
export function parseMachineName(value: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value)) throw new PlinthError('PL-1020', { name: value });
  return value;
}

/**
 * `stdio`, `none` or `file:PATH`.
 * @throws PlinthError PL-1004
 */
export function parseConsole(value: string): ConsoleTarget {
  if (value === 'stdio' || value === 'none') return { kind: value };
  if (value.startsWith('file:') && value.length > 'file:'.length)
    return { kind: 'file', path: value.slice('file:'.length) };
  throw new PlinthError('PL-1004', {
    value,
    option: '--console',
    expected: 'stdio, none or file:PATH',
    command: 'run',
  });
}
