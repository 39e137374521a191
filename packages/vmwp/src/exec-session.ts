/**
 * `--exec COMMAND`: one command run by the image's agent, as if it had been run here: standard input goes to it (unless it is a
 * terminal), its output comes back byte for byte, its exit status ends the run.
 *
 * The agent is AgentSessions'; here are only the command's streams. Called by: run-virtual-machine.ts.
 */
import type { AgentSessions, CommandObserver, GuestCommand } from './agent-sessions.ts';
import { streamSink } from './console-pump.ts';
import { processTimes } from './process-times.ts';

export interface ExecStreams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

export interface ExecOutcome {
  /** Told once, when all output has been written. */
  exited(status: number): void;
  /** The guest ended first. */
  lost(): void;
}

export class ExecSession {
  readonly #command: string;
  readonly #streams: ExecStreams;
  readonly #outcome: ExecOutcome;
  #running: GuestCommand | undefined;
  #isOver = false;
  readonly #typed = (chunk: Uint8Array | string): void => {
    this.#streams.stdin.pause();
    this.#running?.input(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  };
  readonly #inputEnded = (): void => this.#running?.endInput();
  /** Seconds since the process started; null until the agent has reported. */
  readySeconds: number | null = null;

  constructor(command: string, streams: ExecStreams, outcome: ExecOutcome) {
    this.#command = command;
    this.#streams = streams;
    this.#outcome = outcome;
  }

  /** The command until it has ended, and its number with the agent once that has it, for whoever saves the machine. */
  save(): { readonly command: string; readonly id: number | null } | null {
    return this.#isOver ? null : { command: this.#command, id: this.#running?.id ?? null };
  }

  /** Whether the command was given to the agent. */
  get started(): boolean {
    return this.#running !== undefined;
  }

  /** The agent is there: the command is given to it, once. */
  start(agent: Pick<AgentSessions, 'start'>): void {
    if (this.started) return;
    const input = this.#streams.stdin.isTTY !== true;
    this.#begin(agent.start(this.#command, input, this.observer()), input);
  }

  /** The command was given to the agent before the machine was saved, and goes on here. */
  resume(running: GuestCommand): void {
    this.#begin(running, this.#streams.stdin.isTTY !== true);
  }

  /** What is told of the command. */
  observer(): CommandObserver {
    const [stdout, stderr] = [streamSink(this.#streams.stdout), streamSink(this.#streams.stderr)];
    return {
      output: (stream, data) => (stream === 'stdout' ? stdout : stderr).write(data),
      inputTaken: () => void this.#streams.stdin.resume(),
      exited: (status) => {
        this.#isOver = true;
        this.close();
        this.#outcome.exited(status);
      },
      lost: () => this.#outcome.lost(),
    };
  }

  #begin(running: GuestCommand, input: boolean): void {
    this.#running = running;
    this.readySeconds = processTimes.wallSeconds();
    if (!input) return;
    const { stdin } = this.#streams;
    stdin.on('data', this.#typed);
    stdin.on('end', this.#inputEnded);
    stdin.on('error', this.#inputEnded);
  }

  close(): void {
    this.#streams.stdin.removeListener('data', this.#typed);
    this.#streams.stdin.removeListener('end', this.#inputEnded);
    this.#streams.stdin.removeListener('error', this.#inputEnded);
    if (this.started) this.#streams.stdin.pause();
  }
}
