/**
 * Commands that others run in the guest while it runs (`plinth vm exec`): each is a session of the image's agent on the second serial
 * port, its streams go over the asker's control connection.
 *
 *     <- {"id": 1, "event": {"stdout": "base64"}}      -> {"for": 1, "input": "base64"}, {"for": 1, "endOfInput": true}
 *     <- {"id": 1, "result": {"status": 0}}
 *
 * The port is either this object's or the ExecSession's of `plinth run --exec`, whose command it belongs to then.
 * Invariants: a command whose asker hangs up is sent SIGHUP; output waits for an asker who does not read. Called by:
 * run-virtual-machine.ts.
 */
import { constants } from 'node:os';
import { PlinthError } from '@plinth/errors';
import { AgentProtocol } from '@plinth/images';
import type { ConsoleSink } from './console-pump.ts';
import type { ControlConnection } from './control-socket.ts';
import { type InputPort, PortWriter } from './serial-input.ts';

interface Session {
  readonly connection: ControlConnection;
  readonly ended: (outcome: { readonly status: number } | PlinthError) => void;
}

export class AgentSessions implements ConsoleSink {
  readonly #port: PortWriter;
  readonly #name: string;
  #protocol = new AgentProtocol();
  readonly #sessions = new Map<number, Session>();
  #isReady = false;

  /** @param name the VM's, for errors */
  constructor(port: InputPort, name: string) {
    this.#port = new PortWriter(port);
    this.#name = name;
  }

  /** Bytes of the agent. */
  async write(bytes: Uint8Array): Promise<void> {
    const { events, send } = this.#protocol.receive(bytes);
    this.#port.write(send);
    for (const event of events) {
      if (event.kind === 'ready') {
        // A new agent, after a kexec for instance: what the old one ran is gone.
        this.#end();
        this.#isReady = true;
        continue;
      }
      const session = this.#sessions.get(event.id);
      if (session === undefined) continue;
      if (event.kind === 'exit') {
        this.#sessions.delete(event.id);
        session.ended({ status: event.status });
      } else if (event.kind === 'input-taken') await session.connection.send({ inputTaken: true });
      else await session.connection.send({ [event.kind]: Buffer.from(event.data).toString('base64') });
    }
  }

  /**
   * Runs a command.
   * @returns its exit status
   * @throws PlinthError PL-3012 when there is no agent, PL-3009 when the guest ends first
   */
  run(command: string, connection: ControlConnection): Promise<{ readonly status: number }> {
    if (!this.#isReady) throw new PlinthError('PL-3012', { name: this.#name });
    const { id, send } = this.#protocol.run(command, { input: true });
    return new Promise((resolve, reject) => {
      const ended: Session['ended'] = (outcome) =>
        outcome instanceof PlinthError ? reject(outcome) : resolve(outcome);
      this.#sessions.set(id, { connection, ended });
      connection.onMessage((message) => {
        if (typeof message.input === 'string')
          this.#port.write(this.#protocol.input(id, Buffer.from(message.input, 'base64')));
        if (message.endOfInput === true) this.#port.write(this.#protocol.endInput(id));
      });
      connection.onClose(() => {
        if (this.#sessions.delete(id)) this.#port.write(this.#protocol.signal(id, constants.signals.SIGHUP));
      });
      this.#port.write(send);
    });
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
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const { ended } of sessions) ended(new PlinthError('PL-3009'));
  }
}
