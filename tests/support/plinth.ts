/** Runs the launcher `./plinth` as its users do: in processes of its own. Called by the tests of whole runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { fileURLToPath } from 'node:url';

/** The clone's top folder. */
export const root = fileURLToPath(new URL('../..', import.meta.url));
/** The launcher. */
export const launcher = join(root, 'plinth');

export interface Ended {
  /** The exit status; 128 + n when signal n ended the process itself. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it came, for what is no text. */
  readonly bytes: Buffer;
  readonly seconds: number;
}

/** A process that runs: what it has printed so far, and its end. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /**
   * Settles when the text is on standard output, from position `from` on; rejects when the process ends first, or after
   * `seconds`.
   */
  see(text: string | RegExp, seconds?: number, from?: number): Promise<void>;
  /** What is on standard output now. */
  stdout(): string;
  /** What is on standard error now. */
  stderr(): string;
  type(text: string | Uint8Array): void;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly environment?: NodeJS.ProcessEnv;
}

const children = new Set<ChildProcess>();

/** Ends what a failed test has left running; for afterEach. (A terminal that is closed hangs up on the programs on it.) */
export function endAll(): void {
  for (const child of children) child.kill('SIGTERM');
}

/** Starts a program with pipes for its standard streams. */
export function start(
  program: string,
  words: readonly string[],
  { cwd = root, environment = {} }: RunOptions = {},
): Running {
  const began = performance.now();
  const child = spawn(program, words, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.add(child);
  let [stdout, stderr] = ['', ''];
  const pieces: Buffer[] = [];
  const decoder = new StringDecoder('utf8');
  let watcher: (() => void) | undefined;
  child.stdout.on('data', (piece: Buffer) => {
    pieces.push(piece);
    stdout += decoder.write(piece);
    watcher?.();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    watcher?.();
  });
  // A process that has ended takes no more input; its end tells what matters.
  child.stdin.on('error', () => {});
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      children.delete(child);
      resolve({
        status: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
        stdout: stdout + decoder.end(),
        stderr,
        bytes: Buffer.concat(pieces),
        seconds: (performance.now() - began) / 1000,
      });
    });
  });
  return {
    child,
    ended,
    stdout: () => stdout,
    stderr: () => stderr,
    type: (text) => {
      child.stdin.write(text);
    },
    see: (text, seconds = 300, from = 0) =>
      new Promise((resolve, reject) => {
        const found = (): boolean =>
          typeof text === 'string' ? stdout.includes(text, from) : text.test(stdout.slice(from));
        const settle = (why?: string): void => {
          clearTimeout(timer);
          watcher = undefined;
          if (why === undefined) resolve();
          else
            reject(
              new Error(
                `${text} ${why}\nstandard output: ${stdout.slice(-3000)}\nstandard error: ${stderr.slice(-3000)}`,
              ),
            );
        };
        const timer = setTimeout(() => settle(`did not appear within ${seconds} s`), seconds * 1000);
        watcher = () => {
          if (found()) settle();
        };
        void ended.then(
          () => settle(found() ? undefined : 'had not appeared when the process ended'),
          (error: unknown) => settle(String(error)),
        );
        watcher();
      }),
  };
}

/** Runs plinth to its end, with `input` on standard input. */
export function plinth(
  words: readonly string[],
  options: RunOptions & { readonly input?: string | Uint8Array } = {},
): Promise<Ended> {
  const running = start(launcher, words, options);
  running.child.stdin?.end(options.input ?? '');
  return running.ended;
}

/** Quotes a word for a POSIX shell. */
export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Starts a shell command on a terminal of its own (util-linux's `script`); what is typed arrives there as from a keyboard. */
export function startOnTerminal(command: string, options: RunOptions = {}): Running {
  return start('script', ['-qefc', command, '/dev/null'], options);
}
