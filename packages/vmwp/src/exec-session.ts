/**
 * `--exec COMMAND`: one command run by the image's agent over the second serial port, as if it had been run here: standard input
 * goes to it (unless it is a terminal), its output comes back byte for byte, its exit status ends the run.
 *
 * The protocol is AgentProtocol's; here are only its streams. Called by: run-virtual-machine.ts.
 */
import { AgentProtocol } from '@plinth/images';
import { type ConsoleSink, streamSink } from './console-pump.ts';
import { processTimes } from './process-times.ts';
import { type InputPort, PortWriter } from './serial-input.ts';

export interface ExecStreams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** What a session uses of the protocol. */
export type CommandProtocol = Pick<AgentProtocol, 'run' | 'input' | 'endInput' | 'receive'>;

/** A sink for the port's output: it takes more when the command's output has reached its streams. */
export class ExecSession implements ConsoleSink {
  readonly #command: string;
  readonly #streams: ExecStreams;
  readonly #stdout: ConsoleSink;
  readonly #stderr: ConsoleSink;
  readonly #port: PortWriter;
  readonly #exited: (status: number) => void;
  readonly #protocol: CommandProtocol;
  readonly #typed = (chunk: Uint8Array | string): void => {
    this.#streams.stdin.pause();
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    this.#port.write(this.#protocol.input(this.#id, bytes));
  };
  readonly #inputEnded = (): void => this.#port.write(this.#protocol.endInput(this.#id));
  #id = 0;
  /** Seconds since the process started; null until the agent has reported. */
  readySeconds: number | null = null;

  /** @param exited told once, when all output has been written */
  constructor(
    command: string,
    port: InputPort,
    streams: ExecStreams,
    exited: (status: number) => void,
    protocol: CommandProtocol = new AgentProtocol(),
  ) {
    this.#protocol = protocol;
    this.#command = command;
    this.#streams = streams;
    this.#stdout = streamSink(streams.stdout);
    this.#stderr = streamSink(streams.stderr);
    this.#port = new PortWriter(port);
    this.#exited = exited;
  }

  /** Whether the command was given to the agent. */
  get started(): boolean {
    return this.#id !== 0;
  }

  /** Bytes from the port. @throws what a stream of the host fails with */
  async write(bytes: Uint8Array): Promise<void> {
    const { events, send } = this.#protocol.receive(bytes);
    this.#port.write(send);
    for (const event of events) {
      switch (event.kind) {
        case 'ready':
          this.#start();
          break;
        case 'stdout':
          await this.#stdout.write(event.data);
          break;
        case 'stderr':
          await this.#stderr.write(event.data);
          break;
        case 'input-taken':
          this.#streams.stdin.resume();
          break;
        case 'exit':
          this.close();
          this.#exited(event.status);
          break;
      }
    }
  }

  close(): void {
    this.#port.close();
    this.#streams.stdin.removeListener('data', this.#typed);
    this.#streams.stdin.removeListener('end', this.#inputEnded);
    this.#streams.stdin.removeListener('error', this.#inputEnded);
    if (this.started) this.#streams.stdin.pause();
  }

  #start(): void {
    if (this.started) return;
    this.readySeconds = processTimes.wallSeconds();
    const { stdin } = this.#streams;
    const input = stdin.isTTY !== true;
    const { id, send } = this.#protocol.run(this.#command, { input });
    this.#id = id;
    this.#port.write(send);
    if (!input) return;
    stdin.on('data', this.#typed);
    stdin.on('end', this.#inputEnded);
    stdin.on('error', this.#inputEnded);
  }
}
