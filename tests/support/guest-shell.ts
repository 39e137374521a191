/**
 * A guest that is booted once and asked many things: a shell in it, over `--exec` or over the console. Called by the system
 * tests, because a boot costs seconds and a command only milliseconds.
 */
import { type Ended, launcher, quote, type Running, type RunOptions, start } from './plinth.ts';

/** What a command in the guest did. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How long a guest may take to boot or to run a command on a machine that has other work, in seconds. */
const patience = 300;

/** A shell as the command of `--exec`: it reads scripts from its standard input, so output and errors are exact. */
export class GuestShell {
  readonly #running: Running;
  #count = 0;

  /** @param words of `plinth run`, without --exec */
  constructor(words: readonly string[] = [], options: RunOptions = {}) {
    this.#running = start(launcher, ['run', ...words, '--exec', 'exec sh'], options);
  }

  /** The process `plinth run`. */
  get process(): Running {
    return this.#running;
  }

  /** Runs a script in a subshell without input. */
  run(script: string, seconds = patience): Promise<CommandResult> {
    return this.#command(`( ${script}\n) </dev/null`, seconds);
  }

  /** Runs a script, and expects it to succeed without a word on standard error. @returns its output */
  async output(script: string, seconds = patience): Promise<string> {
    const { status, stdout, stderr } = await this.run(script, seconds);
    if (status !== 0 || stderr !== '') throw new Error(`${script}\nended with ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Writes a file in the guest. */
  async write(path: string, content: Uint8Array): Promise<void> {
    const lines =
      Buffer.from(content)
        .toString('base64')
        .match(/.{1,76}/g) ?? [];
    const { status, stderr } = await this.#command(
      `base64 -d >${quote(path)} <<'end of file'\n${lines.join('\n')}\nend of file\n`,
      patience,
    );
    if (status !== 0) throw new Error(stderr);
  }

  /** Ends the shell, and with it the run. */
  end(): Promise<Ended> {
    this.#running.child.stdin?.end();
    return this.#running.ended;
  }

  async #command(script: string, seconds: number): Promise<CommandResult> {
    const marker = `@@command ${++this.#count} ended`;
    const from = { stdout: this.#running.stdout().length, stderr: this.#running.stderr().length };
    this.#running.type(`${script}\nstatus=$?; echo "${marker}" >&2; echo "${marker}: $status@@"\n`);
    await this.#running.see(`${marker}:`, seconds, from.stdout);
    await this.#running.see(/@@\n$/, seconds, from.stdout);
    const stdout = this.#running.stdout().slice(from.stdout);
    const deadline = performance.now() + 10_000;
    while (!this.#running.stderr().slice(from.stderr).includes(marker)) {
      if (performance.now() > deadline) throw new Error(`standard error lacks ${marker}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const at = stdout.lastIndexOf(marker);
    return {
      status: Number(/: (\d+)@@\n$/.exec(stdout)?.[1]),
      stdout: stdout.slice(0, at),
      stderr: this.#running.stderr().slice(from.stderr).replace(`${marker}\n`, ''),
    };
  }
}

/**
 * Shells that are booted in the order in which they are asked for, each while the tests of the one before it run: a boot keeps one
 * of the host's processors busy, and there are two.
 */
export class GuestQueue {
  readonly #machines: readonly (readonly string[])[];
  readonly #shells = new Map<number, GuestShell>();

  /** @param machines words of `plinth run` for each */
  constructor(machines: readonly (readonly string[])[]) {
    this.#machines = machines;
  }

  /** The shell of machine `index`, ready; the next one begins to boot. */
  async take(index: number): Promise<GuestShell> {
    const shell = this.#start(index);
    await shell.output('true');
    if (index + 1 < this.#machines.length) this.#start(index + 1);
    return shell;
  }

  #start(index: number): GuestShell {
    const shell = this.#shells.get(index) ?? new GuestShell(this.#machines[index]);
    this.#shells.set(index, shell);
    return shell;
  }
}

/** The shell on the guest's console, over pipes: what is typed is a line, what comes back has the terminal's line ends. */
export class GuestConsole {
  readonly #running: Running;
  #count = 0;

  private constructor(running: Running) {
    this.#running = running;
  }

  /** Boots, waits for the prompt and makes the terminal quiet. @param words of `plinth run` */
  static async boot(words: readonly string[] = [], options: RunOptions = {}): Promise<GuestConsole> {
    const running = start(launcher, ['run', ...words], options);
    const guest = new GuestConsole(running);
    await running.see(/:~# /, patience);
    await guest.run('stty -echo; PS1=');
    return guest;
  }

  /** The process `plinth run`. */
  get process(): Running {
    return this.#running;
  }

  /** All that the console has printed. */
  get text(): string {
    return this.#running.stdout();
  }

  type(text: string): void {
    this.#running.type(text);
  }

  /** Runs one line of at most about 900 characters, which is what the guest's line editor takes. */
  async run(line: string, seconds = patience): Promise<{ readonly status: number; readonly output: string }> {
    const from = this.#running.stdout().length;
    const number = ++this.#count;
    // The quotes keep the echo of the line from looking like its answer.
    this.#running.type(`${line}; echo "@@"${number} $?"@@"\n`);
    await this.#running.see(new RegExp(`@@${number} \\d+@@\r\n`), seconds, from);
    const text = this.#running.stdout().slice(from);
    const match = new RegExp(`@@${number} (\\d+)@@\r\n`).exec(text);
    return { status: Number(match?.[1]), output: text.slice(0, match?.index).replaceAll('\r\n', '\n') };
  }
}
