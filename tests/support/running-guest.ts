/**
 * A guest that runs in the foreground under a name, and is asked over its control socket, with the requests of `plinth vm exec`, `plinth vm show`
 * and `plinth inspect`, but without a process for each: a test that waits for its guest asks ten times a second, and there are two processors.
 * Other than a GuestShell it may restart, and boot a kernel and initrds of the test's own, if they have the image's agent.
 * Called by the system tests.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { PlinthError } from '@plinth/errors';
import { findMachine } from '../../packages/cli/src/inspect-command.ts';
import { requestCommand, requestControl, runningMachines } from '../../packages/vmwp/src/control-socket.ts';
import type { CommandResult } from './guest-shell.ts';
import { home } from './images.ts';
import { launcher, plinth, type Running, start } from './plinth.ts';

export interface ServiceRow {
  readonly name: string;
  readonly condition: string;
  readonly version: string | null;
  readonly text: string;
  readonly remedy: string | null;
}

let count = 0;

/** How long a guest may take on a machine that has other work, in seconds. */
const PATIENCE = 180;

export class RunningGuest {
  readonly name: string;
  readonly process: Running;

  constructor(name: string, process: Running) {
    this.name = name;
    this.process = process;
  }

  /** Runs a script in the guest, without input; a refusal, of a guest that is not ready above all, has its own status. */
  async run(script: string): Promise<CommandResult> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const printed = Promise.all([text(stdout), text(stderr)]);
    let status: number;
    try {
      status = await requestCommand(await this.#socket(), script, { stdin: Readable.from([]), stdout, stderr });
    } catch (error) {
      if (!(error instanceof PlinthError)) throw error;
      status = error.exitStatus;
      stderr.write(error.message);
    }
    stdout.end();
    stderr.end();
    const [output, errors] = await printed;
    return { status, stdout: output, stderr: errors };
  }

  /** Runs a script, and expects it to succeed without a word on standard error. @returns its output, trimmed */
  async output(script: string): Promise<string> {
    const { status, stdout, stderr } = await this.run(script);
    if (status !== 0 || stderr !== '') throw new Error(`${script}\nended with ${status}\n${stdout}${stderr}`);
    return stdout.trim();
  }

  /** What `plinth inspect vms/NAME/PATH` shows. */
  async inspect(path: string): Promise<unknown> {
    return requestControl(await this.#socket(), { command: 'inspect', path });
  }

  /** What `plinth vm show NAME` shows of its services. */
  async services(): Promise<ServiceRow[]> {
    const answer = await requestControl(await this.#socket(), { command: 'services' });
    return (answer as { services: ServiceRow[] }).services;
  }

  /** Its control socket. @throws PlinthError PL-1017 when it does not run */
  async #socket(): Promise<string> {
    return findMachine(await runningMachines(home), this.name).socket;
  }

  /** How a service is. */
  async condition(service: string): Promise<string | undefined> {
    return (await this.services()).find(({ name }) => name === service)?.condition;
  }

  /** Waits until each service works. */
  allServicesWork(): Promise<void> {
    return this.until(async () => (await this.services()).every(({ condition }) => condition === 'working'));
  }

  /** Waits for what the guest does in its own time. */
  async until(isSo: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE * 1000;
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error(`still not so after ${PATIENCE} s: ${isSo}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** A file of the host as the guest's `sha256sum` prints it. */
  async digest(path: string): Promise<string> {
    return `${createHash('sha256').update(readFileSync(path)).digest('hex')}  -`;
  }

  /** Stops it from the host, and expects a clean power-off. */
  async stop(): Promise<void> {
    const { status, stderr } = await plinth(['vm', 'stop', this.name]);
    if (status !== 0) throw new Error(stderr);
    const ended = await this.process.ended;
    if (ended.status !== 0) throw new Error(`ended with ${ended.status}: ${ended.stderr}`);
  }
}

/** Starts a guest and waits for its agent. @param words of `plinth run` */
export async function startGuest(words: readonly string[]): Promise<RunningGuest> {
  const name = `guest-${process.pid}-${++count}`;
  const guest = new RunningGuest(name, start(launcher, ['run', ...words, '--name', name, '--console', 'none']));
  let ended = false;
  void guest.process.ended.then(() => {
    ended = true;
  });
  await guest.until(async () => {
    if (ended) throw new Error(guest.process.stderr());
    return (await guest.run('true')).status === 0;
  });
  return guest;
}
