/**
 * Commands that run in the guest by the image's agent, on the second serial port: that of `plinth run --exec` (ExecSession) and those
 * that others run while the machine does (`plinth vm exec`). Each is a session of its own; the streams of the latter go over the
 * asker's control connection.
 *
 *     <- {"id": 1, "event": {"stdout": "base64"}}      -> {"for": 1, "input": "base64"}, {"for": 1, "endOfInput": true}
 *     <- {"id": 1, "result": {"status": 0}}
 *
 * Invariants: a command whose asker hangs up is sent SIGHUP; output waits for an asker who does not read, and as the port is one for
 * all sessions, the output of the others waits behind it. Called by: run-virtual-machine.ts, exec-session.ts.
 */
import { constants } from 'node:os';
import { PlinthError } from '@plinth/errors';
import { AgentProtocol } from '@plinth/images';
import { SavedValue, saveBytes } from '@plinth/vmbus';
import type { ConsoleSink } from './console-pump.ts';
import type { ControlConnection } from './control-socket.ts';
import { type InputPort, PortWriter } from './serial-input.ts';

const SAVED_VERSION = 1;
/** Input that may wait for the agent: the pieces of many commands. */
const PENDING_LIMIT = 64 * 1024 * 1024;

/** Who is told of a command. What `output` rejects with is a fault of the run: nobody reads there any more. */
export interface CommandObserver {
  output(stream: 'stdout' | 'stderr', data: Uint8Array): Promise<void>;
  /** All input given so far was taken. */
  inputTaken(): void | Promise<void>;
  exited(status: number): void;
  /** The guest, or its agent, is gone, and the command with it. */
  lost(): void;
}

/** A command that runs. */
export interface GuestCommand {
  readonly id: number;
  input(bytes: Uint8Array): void;
  endInput(): void;
  /** Sends a signal by its name to it and all that it started. */
  signal(name: keyof typeof constants.signals): void;
}

export class AgentSessions implements ConsoleSink {
  readonly #port: PortWriter;
  readonly #name: string;
  readonly #ready: () => void;
  #protocol = new AgentProtocol();
  readonly #observers = new Map<number, CommandObserver>();
  #isReady = false;

  /**
   * @param name the VM's, for errors
   * @param ready told each time that an agent reports: the first one, and one after a restart or a kexec
   */
  constructor(port: InputPort, name: string, ready: () => void = () => {}) {
    this.#port = new PortWriter(port);
    this.#name = name;
    this.#ready = ready;
  }

  /** Bytes of the agent. @throws what an observer's `output` rejects with */
  async write(bytes: Uint8Array): Promise<void> {
    const { events, send } = this.#protocol.receive(bytes);
    this.#port.write(send);
    for (const event of events) {
      if (event.kind === 'ready') {
        // A new agent, after a kexec for instance: what the old one ran is gone.
        this.#end();
        this.#isReady = true;
        this.#ready();
        continue;
      }
      const observer = this.#observers.get(event.id);
      if (observer === undefined) continue;
      if (event.kind === 'exit') {
        this.#observers.delete(event.id);
        observer.exited(event.status);
      } else if (event.kind === 'input-taken') await observer.inputTaken();
      else await observer.output(event.kind, event.data);
    }
  }

  /**
   * Starts a command.
   * @param input whether there will be some
   * @throws PlinthError PL-3012 when there is no agent, PL-2112 for a command that is too long
   */
  start(command: string, input: boolean, observer: CommandObserver): GuestCommand {
    if (!this.#isReady) throw new PlinthError('PL-3012', { name: this.#name });
    const { id, send } = this.#protocol.run(command, { input });
    this.#port.write(send);
    return this.#observe(id, observer);
  }

  #observe(id: number, observer: CommandObserver): GuestCommand {
    const protocol = this.#protocol;
    this.#observers.set(id, observer);
    return {
      id,
      input: (bytes) => this.#port.write(protocol.input(id, bytes)),
      endInput: () => this.#port.write(protocol.endInput(id)),
      signal: (name) => {
        if (this.#observers.delete(id)) this.#port.write(protocol.signal(id, constants.signals[name]));
      },
    };
  }

  /**
   * Runs a command for an asker.
   * @returns its exit status
   * @throws PlinthError those of `start`, PL-3009 when the guest ends first
   */
  run(command: string, connection: ControlConnection): Promise<{ readonly status: number }> {
    return new Promise((resolve, reject) => {
      const running = this.start(command, true, {
        output: (stream, data) => connection.send({ [stream]: Buffer.from(data).toString('base64') }),
        inputTaken: () => connection.send({ inputTaken: true }),
        exited: (status) => resolve({ status }),
        lost: () => reject(new PlinthError('PL-3009')),
      });
      connection.onMessage((message) => {
        if (typeof message.input === 'string') running.input(Buffer.from(message.input, 'base64'));
        if (message.endOfInput === true) running.endInput();
      });
      connection.onClose(() => running.signal('SIGHUP'));
    });
  }

  /** While held, nothing goes to the guest. */
  set isHeld(held: boolean) {
    this.#port.isHeld = held;
  }

  /** The agent's protocol, and what the port has not taken yet. While held. */
  save(): unknown {
    return {
      version: SAVED_VERSION,
      isReady: this.#isReady,
      pending: saveBytes(this.#port.pending),
      protocol: this.#protocol.save(),
    };
  }

  /**
   * Takes a saved state, before any command is started.
   * @param kept the command that goes on, if one does; all others lost their askers with the process that saved them, and are sent SIGHUP
   * @returns the command that goes on; undefined when it does not run
   * @throws PlinthError PL-4103, PL-4104
   */
  restore(
    saved: unknown,
    kept?: { readonly id: number; readonly observer: CommandObserver },
  ): GuestCommand | undefined {
    const state = new SavedValue('agent', saved);
    state.version(SAVED_VERSION);
    this.#isReady = state.at('isReady').boolean();
    this.#protocol = AgentProtocol.restore(state.at('protocol').raw());
    this.#port.write(state.at('pending').bytes(PENDING_LIMIT));
    let found: GuestCommand | undefined;
    for (const id of this.#protocol.running) {
      if (id === kept?.id) found = this.#observe(id, kept.observer);
      else this.#port.write(this.#protocol.signal(id, constants.signals.SIGHUP));
    }
    return found;
  }

  /** Whether an agent has reported. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** The guest was reset: its agent and all that it ran are gone. */
  reset(): void {
    this.#isReady = false;
    this.#protocol = new AgentProtocol();
    this.#end();
  }

  close(): void {
    this.#port.close();
    this.#end();
  }

  #end(): void {
    const observers = [...this.#observers.values()];
    this.#observers.clear();
    for (const observer of observers) observer.lost();
  }
}
