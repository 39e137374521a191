/**
 * Running the machine's own programs (apt-get, apt-cache, dpkg-deb, xz), and telling their failures and those of the file
 * system by name. Called by `apt.ts`, `initramfs.ts` and `image-store.ts`.
 *
 * Invariant: a program never gets a terminal or this process's standard input, and is ended when the caller's signal aborts.
 */
import { spawn } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { PlinthError } from '@plinth/errors';

/** What lists, downloads, unpacked packages and images take together, for the largest image. */
const neededMebibytes = 900;
/** A disk with less room than this is full. */
const fullBelow = 128 * 1024;

/** What a program did. */
export interface ToolResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a program is run. */
export interface ToolOptions {
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
  /** Each line that the program writes to its descriptor 3 (apt's `APT::Status-Fd`). */
  readonly onStatusLine?: (line: string) => void;
  /** The image and the folder that an error is to name. */
  readonly context: ToolContext;
  /** What the program is run for; when given, it is ended as soon as the folder's disk is full, where apt would wait for ever. */
  readonly diskPurpose?: string;
}

/** What the messages of this module name. */
export interface ToolContext {
  readonly image: string;
  readonly folder: string;
}

/**
 * Runs a program to its end and gives its output; a status other than 0 is for the caller to judge.
 *
 * @throws PL-2103 when the program is not there, PL-2107 when the disk is watched and full; the abort reason when `signal` aborts
 */
export async function runTool(program: string, args: readonly string[], options: ToolOptions): Promise<ToolResult> {
  options.signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    });
    const output = collect(child.stdout);
    const errors = collect(child.stderr);
    const statusStream = child.stdio[3];
    let rest = '';
    if (statusStream !== null && statusStream !== undefined && 'on' in statusStream) {
      statusStream.on('data', (data: Buffer) => {
        const lines = (rest + data.toString('utf8')).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) options.onStatusLine?.(line);
      });
    }
    const abort = (): void => {
      child.kill('SIGTERM');
    };
    options.signal?.addEventListener('abort', abort, { once: true });
    const { diskPurpose } = options;
    let isFull = false;
    const look = async (): Promise<void> => {
      if ((await freeBytes(options.context.folder)) >= fullBelow) return;
      isFull = true;
      abort();
    };
    const watch = diskPurpose === undefined ? undefined : setInterval(() => void look(), 500);
    const finish = (): void => {
      clearInterval(watch);
      options.signal?.removeEventListener('abort', abort);
    };
    child.on('error', (error: NodeJS.ErrnoException) => {
      finish();
      if (error.code === 'ENOENT' || error.code === 'EACCES') {
        const { image, folder } = options.context;
        reject(new PlinthError('PL-2103', { name: image, program, folder }, { cause: error }));
      } else {
        reject(new PlinthError('PL-2109', { program, status: 'no start', reason: error.message }, { cause: error }));
      }
    });
    child.on('close', (status, endedBy) => {
      finish();
      if (options.signal?.aborted) reject(options.signal.reason);
      else if (isFull && diskPurpose !== undefined) reject(fullDisk(options.context.folder, diskPurpose));
      else resolve({ status, signal: endedBy, stdout: output(), stderr: errors() });
    });
  });
}

/**
 * As `runTool`, but the program must end with 0; gives its standard output.
 *
 * @throws PL-2107 when the disk was full, PL-2109 on any other failure
 */
export async function runToolStrictly(program: string, args: readonly string[], options: ToolOptions): Promise<string> {
  const result = await runTool(program, args, options);
  if (result.status === 0) return result.stdout;
  if (tellsOfFullDisk(result.stderr)) throw fullDisk(options.context.folder, `the work of ${program}`);
  throw new PlinthError('PL-2109', {
    program,
    status: result.status === null ? `signal ${result.signal}` : `status ${result.status}`,
    reason: lastLines(result.stderr),
  });
}

/** Whether a program's messages say that the disk is full. */
export function tellsOfFullDisk(messages: string): boolean {
  return /No space left on device|Disk quota exceeded|enough free space/i.test(messages);
}

/** PL-2107 for `path`. */
export function fullDisk(path: string, purpose: string, cause?: unknown): PlinthError<'PL-2107'> {
  return new PlinthError('PL-2107', { path, purpose, needed: neededMebibytes }, { cause });
}

/** Bytes that may still be written to the disk of `folder`; Infinity when that cannot be told. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** The last lines of a program's messages, in one line of text. */
export function lastLines(messages: string, count = 3): string {
  const lines = messages.split('\n').map((line) => line.trim());
  const kept = lines.filter((line) => line !== '' && !line.startsWith('W: Some index files'));
  return (
    kept
      .slice(-count)
      .join(' | ')
      .replace(/[.|\s]+$/, '') || 'nothing'
  );
}

/**
 * Runs file system work, and turns its failures into errors of the catalogue.
 *
 * @throws PL-2107 when the disk is full, PL-2111 when `folder` may not be used; anything else as it is
 */
export async function withNamedFileErrors<Result>(folder: string, purpose: string, work: () => Promise<Result>) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    if (error.code === 'ENOSPC' || error.code === 'EDQUOT') throw fullDisk(folder, purpose, error);
    if (error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EROFS' || error.code === 'ENOTDIR') {
      throw new PlinthError('PL-2111', { path: folder, reason: error.message }, { cause: error });
    }
    throw error;
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  stream?.on('data', (data: Buffer) => chunks.push(data));
  return () => Buffer.concat(chunks).toString('utf8');
}
