/**
 * The host's side of Plinth's agent (`guest/agent`), which runs commands in a guest over its second serial port: a state machine
 * without I/O. Called by the worker, which moves the bytes between here and the port.
 *
 * Both ways go lines of ASCII that begin with `@`. Ids are decimal and belong to one command each. To the guest, content follows
 * its line as so many plain bytes; from the guest it is base64 in the line.
 *
 *     to the guest                               from the guest
 *     @ping 0                                    @ready VERSION
 *     @run ID LENGTH <command>                   @out ID DATA      standard output, as soon as there is some
 *     @run-with-input ID LENGTH <command>        @err ID DATA      standard error
 *     @in ID LENGTH <input>                      @ack ID           the command's pipe has taken one @in
 *     @end-of-input ID                           @exit ID STATUS   0..255, 128 + n after signal n; nothing follows it
 *     @signal ID NUMBER                          (to all that the command started in its session)
 *
 * Invariants: what is not such a line is passed over, however long; at most `inputWindow` pieces of input wait in the guest, so
 * nothing is lost in its terminal's buffer; events of unknown or ended commands are dropped. Whatever the guest sends, nothing is
 * thrown and memory stays bounded.
 */
import { PlinthError } from '@plinth/errors';
import { readSavedProtocol, SAVED_AGENT_VERSION, type SavedAgentProtocol } from './agent-protocol-state.ts';

/** What the guest has told. */
export type AgentEvent =
  | { readonly kind: 'ready'; readonly version: number }
  | { readonly kind: 'stdout'; readonly id: number; readonly data: Uint8Array }
  | { readonly kind: 'stderr'; readonly id: number; readonly data: Uint8Array }
  | { readonly kind: 'exit'; readonly id: number; readonly status: number }
  /** All input given so far was taken by the command's pipe. */
  | { readonly kind: 'input-taken'; readonly id: number };

/** What follows from bytes of the guest. */
export interface AgentActions {
  readonly events: readonly AgentEvent[];
  /** To be sent to the guest. */
  readonly send: Uint8Array;
}

/** Longest command in bytes; its length has at most five digits, and a shell's argument may have 128 KiB in Linux. */
export const commandLimit = 64 * 1024;
/** Bytes of input in one piece. */
export const inputPiece = 8 * 1024;
/** Pieces of input that may wait in the guest, in a pipe of 64 KiB. */
export const inputWindow = 4;
/** Longest line that is kept while it is incomplete; the agent's own are shorter than 33 KiB. */
const lineLimit = 256 * 1024;
/** Ids stay below this, for the agent's sake (11 digits). */
const idLimit = 10 ** 11;

interface RunningCommand {
  /** Pieces not yet sent. */
  readonly queue: Uint8Array[];
  /** Pieces sent and not acknowledged. */
  inFlight: number;
  endOfInput: 'open' | 'wanted' | 'sent';
}

export class AgentProtocol {
  readonly #commands = new Map<number, RunningCommand>();
  #nextId: number;
  #line: Uint8Array[] = [];
  #lineLength = 0;
  #isSkipping = false;

  /** @param firstId where ids begin */
  constructor(firstId = 1) {
    this.#nextId = firstId;
  }

  /**
   * The protocol of a machine that was saved.
   * @throws PlinthError PL-4103 for a newer version, PL-4104 for what `save` did not give
   */
  static restore(saved: unknown): AgentProtocol {
    const { nextId, line: bytes, isSkipping, commands } = readSavedProtocol(saved);
    const protocol = new AgentProtocol(nextId);
    protocol.#keep(bytes);
    protocol.#isSkipping = isSkipping;
    for (const { id, queue, inFlight, endOfInput } of commands) {
      protocol.#commands.set(id, { queue: [...queue], inFlight, endOfInput });
    }
    return protocol;
  }

  /** Commands that run with the input that waits for them, and the half line that the agent has sent. */
  save(): SavedAgentProtocol {
    return {
      version: SAVED_AGENT_VERSION,
      nextId: this.#nextId,
      line: toBase64(concat(this.#line)),
      isSkipping: this.#isSkipping,
      commands: [...this.#commands].map(([id, { queue, inFlight, endOfInput }]) => ({
        id,
        queue: queue.map(toBase64),
        inFlight,
        endOfInput,
      })),
    };
  }

  /** Ids of the commands that run. */
  get running(): number[] {
    return [...this.#commands.keys()];
  }

  /** Asks the agent whether it is there; the answer is `ready`. */
  ping(): Uint8Array {
    return line('@ping', 0);
  }

  /**
   * Starts a command.
   *
   * @param command text for the image's shell
   * @param options `input`: whether `input()` will follow; without it the command reads from an empty file
   * @throws PL-2112 when the command is too long
   */
  run(command: string, options: { input: boolean }): { id: number; send: Uint8Array } {
    const bytes = new TextEncoder().encode(command);
    if (bytes.length > commandLimit) throw new PlinthError('PL-2112', { length: bytes.length, limit: commandLimit });
    const id = this.#nextId;
    this.#nextId = id + 1 < idLimit ? id + 1 : 1;
    this.#commands.set(id, { queue: [], inFlight: 0, endOfInput: options.input ? 'open' : 'sent' });
    const verb = options.input ? '@run-with-input' : '@run';
    // The leading newline ends whatever half a line stands before it.
    return { id, send: concat([ascii('\n'), line(verb, id, String(bytes.length)), bytes]) };
  }

  /** Gives a command input; what is sent now is returned, and the rest follows as the guest takes it. */
  input(id: number, data: Uint8Array): Uint8Array {
    const command = this.#commands.get(id);
    if (command === undefined || command.endOfInput !== 'open') return new Uint8Array(0);
    for (let at = 0; at < data.length; at += inputPiece) command.queue.push(data.slice(at, at + inputPiece));
    return this.#flush(id, command);
  }

  /** Ends a command's input, after what was given so far. */
  endInput(id: number): Uint8Array {
    const command = this.#commands.get(id);
    if (command === undefined || command.endOfInput !== 'open') return new Uint8Array(0);
    command.endOfInput = 'wanted';
    return this.#flush(id, command);
  }

  /** Sends a signal, by its Linux number, to a command and all that it started in its session. */
  signal(id: number, number: number): Uint8Array {
    return this.#commands.has(id) ? line('@signal', id, String(number)) : new Uint8Array(0);
  }

  /** Takes bytes from the guest. */
  receive(bytes: Uint8Array): AgentActions {
    const events: AgentEvent[] = [];
    const send: Uint8Array[] = [];
    for (let start = 0; start < bytes.length; ) {
      const newline = bytes.indexOf(0x0a, start);
      const end = newline < 0 ? bytes.length : newline;
      this.#keep(bytes.subarray(start, end));
      if (newline < 0) break;
      const text = this.#takeLine();
      if (text !== undefined) this.#handleLine(text, events, send);
      start = newline + 1;
    }
    return { events, send: concat(send) };
  }

  #keep(piece: Uint8Array): void {
    if (this.#isSkipping || piece.length === 0) return;
    this.#lineLength += piece.length;
    if (this.#lineLength > lineLimit) {
      this.#isSkipping = true;
      this.#line = [];
    } else {
      this.#line.push(piece.slice());
    }
  }

  #takeLine(): string | undefined {
    const text = this.#isSkipping ? undefined : new TextDecoder('latin1').decode(concat(this.#line));
    this.#line = [];
    this.#lineLength = 0;
    this.#isSkipping = false;
    return text;
  }

  #handleLine(text: string, events: AgentEvent[], send: Uint8Array[]): void {
    const match = /^@([a-z]+) (\d{1,11})(?: ([A-Za-z0-9+/=]+))?\r?$/.exec(text);
    if (match === null) return;
    const [, verb, number, argument] = match;
    const id = Number(number);
    if (verb === 'ready' && argument === undefined) {
      events.push({ kind: 'ready', version: id });
      return;
    }
    const command = this.#commands.get(id);
    if (command === undefined) return;
    if (verb === 'out' || verb === 'err') {
      const data = argument === undefined ? undefined : fromBase64(argument);
      if (data !== undefined) events.push({ kind: verb === 'out' ? 'stdout' : 'stderr', id, data });
    } else if (verb === 'exit' && argument !== undefined && /^\d{1,3}$/.test(argument) && Number(argument) <= 255) {
      this.#commands.delete(id);
      events.push({ kind: 'exit', id, status: Number(argument) });
    } else if (verb === 'ack' && argument === undefined && command.inFlight > 0) {
      command.inFlight--;
      send.push(this.#flush(id, command));
      if (command.inFlight === 0) events.push({ kind: 'input-taken', id });
    }
  }

  /** Sends as many pieces of input as the window allows, and the end of input after the last. */
  #flush(id: number, command: RunningCommand): Uint8Array {
    const lines: Uint8Array[] = [];
    while (command.inFlight < inputWindow) {
      const piece = command.queue.shift();
      if (piece === undefined) break;
      command.inFlight++;
      lines.push(line('@in', id, String(piece.length)), piece);
    }
    if (command.endOfInput === 'wanted' && command.queue.length === 0) {
      command.endOfInput = 'sent';
      lines.push(line('@end-of-input', id));
    }
    return concat(lines);
  }
}

function line(verb: string, id: number, argument?: string): Uint8Array {
  return ascii(argument === undefined ? `${verb} ${id}\n` : `${verb} ${id} ${argument}\n`);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const [first, ...others] = pieces;
  if (first !== undefined && others.length === 0) return first;
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** undefined when the text is not whole base64. */
function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return new Uint8Array(Buffer.from(text, 'base64'));
}
