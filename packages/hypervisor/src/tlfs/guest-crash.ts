/**
 * The crash enlightenment: what a guest says of its own death.
 *
 * Five parameter registers, and a control register whose write, with 'notify', gives them away, with 'message' too the text that
 * parameters 3 and 4 (address and length) name. Answers to: TLFS, "Partition crash enlightenment"; what Linux puts into the registers
 * is in its arch/x86/hyperv/hv_init.c. Called by: synthetic-msrs.ts.
 */
import type { GuestMemory } from '../guest-memory.ts';

export const CRASH_PARAMETERS = 5;
export const CRASH_NOTIFY = 1n << 63n;
const CRASH_MESSAGE = 1n << 62n;
/** What reading the control register tells: both actions are there. */
export const CRASH_CAPABILITIES = CRASH_NOTIFY | CRASH_MESSAGE;
const MESSAGE_LIMIT = 4096n;

/** A guest's report of its crash. */
export interface GuestCrash {
  /** P0 to P4. */
  readonly parameters: readonly bigint[];
  /** Name of the operating system as far as its id tells. */
  readonly system: string;
  /** The text that the guest gave; undefined without one. */
  readonly message: string | undefined;
}

/**
 * Reads what the control register's write announces.
 * @param memory where the message lies; whatever address the guest names
 */
export function readCrash(
  control: bigint,
  parameters: readonly bigint[],
  guestOsId: bigint,
  memory: GuestMemory,
): GuestCrash {
  const [, , , address = 0n, length = 0n] = parameters;
  let message: string | undefined;
  if ((control & CRASH_MESSAGE) !== 0n && address > 0n && length > 0n) {
    const bytes = memory.read(Number(address), Number(length > MESSAGE_LIMIT ? MESSAGE_LIMIT : length));
    if (bytes !== undefined) message = printable(bytes);
  }
  return { parameters, system: operatingSystem(guestOsId), message };
}

/** Bytes as text: what is no printable character becomes a question mark, and a closing zero ends it. */
function printable(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Array.from(end < 0 ? bytes : bytes.subarray(0, end), (byte) =>
    byte === 10 || byte === 9 || (byte >= 32 && byte < 127) ? String.fromCharCode(byte) : '?',
  ).join('');
}

/** The operating system by HV_GUEST_OS_ID: bit 63 is set for open source, bits 62:56 then its type. */
export function operatingSystem(guestOsId: bigint): string {
  if (guestOsId === 0n) return 'none';
  if (guestOsId >> 63n === 0n) {
    const vendor = (guestOsId >> 48n) & 0x7fffn;
    return vendor === 1n ? 'Microsoft' : `vendor 0x${vendor.toString(16)}`;
  }
  const type = Number((guestOsId >> 56n) & 0x7fn);
  const name = OPEN_SOURCE[type] ?? `open source type ${type}`;
  if (type !== 1) return name;
  const version = Number((guestOsId >> 16n) & 0xffffffffn);
  return `${name} ${version >>> 16}.${(version >>> 8) & 0xff}.${version & 0xff}`;
}

const OPEN_SOURCE: Readonly<Record<number, string>> = { 1: 'Linux', 2: 'FreeBSD', 3: 'Xen', 4: 'Illumos' };
