/**
 * To a serial port of the guest: bytes of the host, as fast as the guest reads them, with nothing lost.
 *
 * `PortWriter` holds what the port did not take yet; `ConsoleInput` reads a stream no faster than that empties.
 * Called by: run-virtual-machine.ts for the console, exec-session.ts for the agent.
 */

/** The host's end of a port's input. */
export interface InputPort {
  /** @returns how many bytes were taken */
  push(bytes: Uint8Array): number;
}

/** How often a full port is tried again, in milliseconds. */
const RETRY_MILLISECONDS = 5;

export class PortWriter {
  readonly #port: InputPort;
  readonly #emptied: () => void;
  #pending: Uint8Array = new Uint8Array(0);
  #timer: NodeJS.Timeout | undefined;
  #isHeld = false;
  /** Bytes that the port has taken. */
  bytes = 0;

  /** @param emptied called whenever nothing is left to be taken */
  constructor(port: InputPort, emptied: () => void = () => {}) {
    this.#port = port;
    this.#emptied = emptied;
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pending = this.isEmpty ? bytes : Buffer.concat([this.#pending, bytes]);
    if (this.#timer === undefined) this.#push();
  }

  /** Bytes that the port has not taken. */
  get pending(): Uint8Array {
    return this.#pending;
  }

  /** While held, nothing goes to the port: what it has and what waits stay as they are. */
  set isHeld(held: boolean) {
    this.#isHeld = held;
    if (!held && !this.isEmpty && this.#timer === undefined) this.#push();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#pending = new Uint8Array(0);
  }

  #push(): void {
    if (this.#isHeld) {
      this.#timer = undefined;
      return;
    }
    const taken = this.#port.push(this.#pending);
    this.bytes += taken;
    this.#pending = this.#pending.subarray(taken);
    this.#timer = undefined;
    if (this.isEmpty) this.#emptied();
    else this.#timer = setTimeout(() => this.#push(), RETRY_MILLISECONDS);
  }
}

export class ConsoleInput {
  readonly #writer: PortWriter;
  readonly #source: NodeJS.ReadableStream;
  readonly #received = (chunk: Uint8Array | string): void => {
    this.#source.pause();
    this.#writer.write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  };
  /** A broken input stream is the end of the input, not of the machine. */
  readonly #failed = (): void => {};

  constructor(port: InputPort, source: NodeJS.ReadableStream) {
    this.#source = source;
    this.#writer = new PortWriter(port, () => source.resume());
    source.on('data', this.#received);
    source.on('error', this.#failed);
  }

  get bytes(): number {
    return this.#writer.bytes;
  }

  /** What was typed and the guest has not got yet. */
  get pending(): Uint8Array {
    return this.#writer.pending;
  }

  set isHeld(held: boolean) {
    this.#writer.isHeld = held;
  }

  /** Bytes that were typed into a machine before it was saved. */
  restore(bytes: Uint8Array): void {
    this.#writer.write(bytes);
  }

  /** Lets go of the stream; it is paused, so that it does not keep the process alive. */
  close(): void {
    this.#writer.close();
    this.#source.removeListener('data', this.#received);
    this.#source.removeListener('error', this.#failed);
    this.#source.pause();
  }
}
