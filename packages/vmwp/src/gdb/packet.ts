/**
 * Packets of the GNU debugger's remote serial protocol: `$payload#checksum`, acknowledged by `+` or `-`, and the byte 3 that interrupts
 * (GDB manual, appendix E.1 Overview). A reader without I/O for what a debugger sends, and the encoder for what it is sent.
 *
 * Invariant: whatever comes in, the reader holds at most `PACKET_BYTES` and throws nothing. Called by: session.ts.
 */

/** The longest payload that is taken, in bytes as they come. */
export const PACKET_BYTES = 16_384;

export type GdbInput =
  /** Bytes as characters 0 to 255, escapes undone. */
  | { readonly kind: 'packet'; readonly payload: string }
  /** A packet whose checksum does not fit, or that is too long. */
  | { readonly kind: 'damaged' }
  | { readonly kind: 'acknowledged' }
  /** The last packet is to be sent again. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'interrupt' };

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const ESCAPE_MASK = 0x20;
const INTERRUPT = 3;

type State =
  | { readonly kind: 'between' }
  | { readonly kind: 'payload'; escaped: boolean }
  | { readonly kind: 'checksum'; digits: string };

export class PacketReader {
  #state: State = { kind: 'between' };
  #payload: number[] = [];
  /** Of the bytes as they came. */
  #sum = 0;
  #length = 0;

  push(bytes: Uint8Array): GdbInput[] {
    const inputs: GdbInput[] = [];
    for (const byte of bytes) {
      const input = this.#take(byte);
      if (input !== undefined) inputs.push(input);
    }
    return inputs;
  }

  #take(byte: number): GdbInput | undefined {
    const state = this.#state;
    switch (state.kind) {
      case 'between':
        return this.#takeBetween(byte);
      case 'payload':
        this.#takePayload(state, byte);
        return undefined;
      case 'checksum': {
        state.digits += String.fromCharCode(byte);
        if (state.digits.length < 2) return undefined;
        this.#state = { kind: 'between' };
        const isWhole = this.#length <= PACKET_BYTES && /^[0-9a-f]{2}$/i.test(state.digits);
        if (!isWhole || Number.parseInt(state.digits, 16) !== (this.#sum & 0xff)) return { kind: 'damaged' };
        return { kind: 'packet', payload: text(this.#payload) };
      }
    }
  }

  #takeBetween(byte: number): GdbInput | undefined {
    switch (byte) {
      case DOLLAR:
        this.#begin();
        return undefined;
      case INTERRUPT:
        return { kind: 'interrupt' };
      case 0x2b:
        return { kind: 'acknowledged' };
      case 0x2d:
        return { kind: 'refused' };
      default:
        // What stands between packets is noise.
        return undefined;
    }
  }

  #begin(): void {
    this.#state = { kind: 'payload', escaped: false };
    this.#payload = [];
    this.#sum = 0;
    this.#length = 0;
  }

  #takePayload(state: { escaped: boolean }, byte: number): void {
    if (byte === HASH) {
      this.#state = { kind: 'checksum', digits: '' };
      return;
    }
    // A new packet begins: the other side has given the last one up.
    if (byte === DOLLAR) {
      this.#begin();
      return;
    }
    this.#sum += byte;
    this.#length += 1;
    if (this.#length > PACKET_BYTES) return;
    if (byte === ESCAPE && !state.escaped) {
      state.escaped = true;
      return;
    }
    this.#payload.push(state.escaped ? byte ^ ESCAPE_MASK : byte);
    state.escaped = false;
  }
}

/** A packet around a payload of characters 0 to 255; what has a meaning of its own is escaped. */
export function encodePacket(payload: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < payload.length; at++) {
    const byte = payload.charCodeAt(at) & 0xff;
    if (byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === 0x2a) bytes.push(ESCAPE, byte ^ ESCAPE_MASK);
    else bytes.push(byte);
  }
  const sum = bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
  const digits = sum.toString(16).padStart(2, '0');
  return Uint8Array.from([DOLLAR, ...bytes, HASH, digits.charCodeAt(0), digits.charCodeAt(1)]);
}

/** Bytes as characters; in pieces, as a call takes only so many arguments. */
function text(bytes: readonly number[]): string {
  let characters = '';
  for (let at = 0; at < bytes.length; at += 4096) characters += String.fromCharCode(...bytes.slice(at, at + 4096));
  return characters;
}

export const hexOfBytes = (bytes: Iterable<number>): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** @returns undefined where the text is no even number of hexadecimal digits */
export function bytesOfHex(digits: string): Uint8Array | undefined {
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) return undefined;
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
}
