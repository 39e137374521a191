/**
 * The control socket of a running VM: JSON lines over a local socket that only its owner can open.
 *
 *     $PLINTH_HOME/run/NAME.sock
 *     -> {"id": 1, "command": "inspect", "path": "processors/0"}
 *     <- {"id": 1, "result": {...}}            or {"id": 1, "error": {"code": "PL-1018", ...}}
 *
 * Commands: CONTROL_COMMANDS; some take `parameters` (guest-services.ts). A socket file without a process behind it (after a kill)
 * is removed by the next one that comes across it. Called by: run-virtual-machine.ts (server), cli (client).
 */
import { chmodSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { PlinthError } from '@plinth/errors';
import { fileReason } from './file-reason.ts';

/** Longest line of either side. An inspect tree is far below it. */
const LINE_LIMIT = 4 * 1024 * 1024;
const REQUEST_LIMIT = 64 * 1024;
const ANSWER_MILLISECONDS = 5000;
/** The most that a timer of Node takes, in milliseconds: 24 days. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Bytes of a socket's path without its closing zero (sockaddr_un). A longer one would be cut short without a word. */
const PATH_LIMIT = process.platform === 'linux' ? 107 : 103;
/** Why a VM is unreachable that is there, but busy or stuck. */
const NO_ANSWER = 'its process does not answer';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const CONTROL_COMMANDS = [
  'identify',
  'inspect',
  'pause',
  'resume',
  'reset',
  'stop',
  'turn-off',
  'services',
  'set-service',
  'kvp',
  'adapter',
  'copy-file',
  'freeze',
  'thaw',
  'exec',
  'save',
] as const;
export type ControlCommand = (typeof CONTROL_COMMANDS)[number];

export interface ControlRequest {
  readonly command: ControlCommand;
  /** For `inspect`: names separated by slashes; absent or empty for the whole tree. */
  readonly path?: string;
  /** What the command needs besides: texts and switches. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** The asker of a request that takes a while: what happens meanwhile, both ways. */
export interface ControlConnection {
  /** Sends `{"id": .., "event": event}`. @returns when the asker can take more */
  send(event: Readonly<Record<string, unknown>>): Promise<void>;
  /** Takes what the asker sends with `{"for": id, ..}`. */
  onMessage(received: (message: Readonly<Record<string, unknown>>) => void): void;
  /** Told when the asker hangs up before the answer. */
  onClose(closed: () => void): void;
}

/** Answers a request; what it throws goes to the asker. */
export type ControlHandler = (request: ControlRequest, connection: ControlConnection) => Promise<unknown>;

export interface ControlServer {
  readonly path: string;
  close(): void;
}

/** A VM that runs now. */
export interface RunningMachine {
  readonly name: string;
  /** A GUID, null like the next. */
  readonly id: string | null;
  /** null for one that did not answer in time: its name is that of its socket then. */
  readonly pid: number | null;
  readonly socket: string;
}

export const controlFolder = (home: string): string => join(home, 'run');
const controlPath = (home: string, name: string): string => join(controlFolder(home), `${name}.sock`);

/**
 * Opens the control socket of a VM.
 * @throws PlinthError PL-1020 for a name that cannot be one, PL-1019 when another VM has it, PL-3003 and PL-3004 when folder or
 * socket cannot be made
 */
export async function serveControl(home: string, name: string, handler: ControlHandler): Promise<ControlServer> {
  if (!NAME.test(name)) throw new PlinthError('PL-1020', { name });
  const folder = controlFolder(home);
  const path = controlPath(home, name);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new PlinthError('PL-3003', { path: folder, reason: fileReason(error) }, { cause: error });
  }
  const length = Buffer.byteLength(path);
  if (length > PATH_LIMIT && process.platform !== 'win32') {
    throw new PlinthError('PL-3004', { path, reason: `Its path has ${length} bytes, and ${PATH_LIMIT} are possible` });
  }
  const owner = await identify(path).catch(() => undefined);
  if (owner !== undefined) throw new PlinthError('PL-1019', { name, pid: owner.pid });
  removeStale(path);
  const server = createServer((socket) => serveConnection(socket, handler));
  await listen(server, path);
  server.unref();
  return {
    path,
    close() {
      // Closing also removes the socket's file.
      server.close();
      for (const socket of connections.get(server) ?? []) socket.destroy();
    },
  };
}

const connections = new WeakMap<Server, Set<Socket>>();

function listen(server: Server, path: string): Promise<void> {
  const open = new Set<Socket>();
  connections.set(server, open);
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void =>
      reject(new PlinthError('PL-3004', { path, reason: fileReason(error) }, { cause: error }));
    // A local socket is bound within listen(), so the mask holds for its file and nothing else.
    const mask = process.umask(0o177);
    try {
      server.once('error', failed);
      server.listen(path, () => {
        server.removeListener('error', failed);
        server.on('error', () => {});
        try {
          chmodSync(path, 0o600);
        } catch {
          // The mask has done it already where the file system knows modes.
        }
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Nothing was there, or it cannot be removed: then listening says so, with its reason.
  }
}

function serveConnection(socket: Socket, handler: ControlHandler): void {
  /** By id: who takes messages for a request that is being answered. */
  const receivers = new Map<unknown, (message: Readonly<Record<string, unknown>>) => void>();
  socket.on('error', () => socket.destroy());
  socket.unref();
  readLines(socket, REQUEST_LIMIT, (line) => {
    const message = parseRecord(line);
    if (message !== undefined && 'for' in message) {
      receivers.get(message.for)?.(message);
      return;
    }
    const id = message?.id ?? null;
    const connection: ControlConnection = {
      send: (event) => writeLine(socket, JSON.stringify({ id, event })),
      onMessage: (received) => receivers.set(id, received),
      onClose: (closed) => socket.once('close', closed),
    };
    void answer(line, message, handler, connection).then((text) => {
      receivers.delete(id);
      if (!socket.destroyed) socket.write(text);
    });
  });
}

/** @returns when the peer has room for more, or is gone */
function writeLine(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed || socket.write(`${text}\n`)) return resolve();
    const done = (): void => {
      socket.removeListener('drain', done);
      socket.removeListener('close', done);
      resolve();
    };
    socket.once('drain', done);
    socket.once('close', done);
  });
}

/** An object of a line of JSON; undefined when it is none. */
function parseRecord(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    // The asker is told what it sent by PL-3008.
    return undefined;
  }
}

async function answer(
  line: string,
  request: Readonly<Record<string, unknown>> | undefined,
  handler: ControlHandler,
  connection: ControlConnection,
): Promise<string> {
  const id = request?.id ?? null;
  try {
    if (request === undefined) throw new PlinthError('PL-3008', { command: line.slice(0, 80) });
    const command = CONTROL_COMMANDS.find((known) => known === request.command);
    if (command === undefined) throw new PlinthError('PL-3008', { command: String(request.command ?? '') });
    const { path, parameters } = request;
    const result = await handler(
      {
        command,
        ...(typeof path === 'string' ? { path } : {}),
        ...(typeof parameters === 'object' && parameters !== null ? { parameters: { ...parameters } } : {}),
      },
      connection,
    );
    return `${JSON.stringify({ id, result: result ?? null }, writeBigint)}\n`;
  } catch (error) {
    const known = error instanceof PlinthError ? error : new PlinthError('PL-3008', { command: line.slice(0, 80) });
    return `${JSON.stringify({ id, error: known.toJSON() })}\n`;
  }
}

const writeBigint = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `0x${value.toString(16)}` : value;

/** Calls `received` for each line; a peer that sends a longer one than `limit` is cut off. */
function readLines(socket: Socket, limit: number, received: (line: string) => void): void {
  let pending = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    pending += chunk;
    for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 1);
      if (line.trim() !== '') received(line);
    }
    if (pending.length > limit) socket.destroy();
  });
}

/**
 * Sends one request to a running VM and gives its result.
 * @param patience milliseconds that it may take: more than usual where the guest has to do something
 * @throws PlinthError the VM's own refusal; PL-1021 when nobody answers
 */
export function requestControl(
  socketPath: string,
  request: ControlRequest,
  patience: number = ANSWER_MILLISECONDS,
): Promise<unknown> {
  const name = socketPath.replace(/^.*[\\/]/, '').replace(/\.sock$/, '');
  const unreachable = (reason: string): PlinthError => new PlinthError('PL-1021', { name, socket: socketPath, reason });
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(unreachable(NO_ANSWER))), Math.min(patience, LONGEST_TIMER));
    socket.on('connect', () => socket.write(`${JSON.stringify({ id: 1, ...request })}\n`));
    socket.on('error', (error) => finish(() => reject(unreachable(`it cannot be reached (${fileReason(error)})`))));
    socket.on('close', () => finish(() => reject(unreachable('its process ended or hung up'))));
    readLines(socket, LINE_LIMIT, (line) => {
      finish(() => {
        try {
          const reply: unknown = JSON.parse(line);
          if (typeof reply === 'object' && reply !== null && 'result' in reply) return resolve(reply.result);
          const error = typeof reply === 'object' && reply !== null && 'error' in reply ? reply.error : undefined;
          reject(PlinthError.from(error) ?? unreachable('its answer makes no sense'));
        } catch {
          reject(unreachable('its answer makes no sense'));
        }
      });
    });
  });
}

/** What a command that runs in a guest reads and writes here. */
export interface CommandStreams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** Bytes of input in one message: as base64 it stays below REQUEST_LIMIT. */
const INPUT_BYTES = 32 * 1024;

/**
 * Runs a command in the guest of a running VM.
 * @returns its exit status
 * @throws PlinthError the VM's own refusal; PL-1021 when the VM goes while it runs
 */
export function requestCommand(socketPath: string, command: string, streams: CommandStreams): Promise<number> {
  const name = socketPath.replace(/^.*[\\/]/, '').replace(/\.sock$/, '');
  const unreachable = (reason: string): PlinthError => new PlinthError('PL-1021', { name, socket: socketPath, reason });
  const { stdin, stdout, stderr } = streams;
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const say = (message: object): boolean => socket.write(`${JSON.stringify(message)}\n`);
    const typed = (chunk: Uint8Array | string): void => {
      // Until the guest has taken it; then `inputTaken` comes back.
      stdin.pause();
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk);
      for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
        say({ for: 1, input: bytes.subarray(at, at + INPUT_BYTES).toString('base64') });
      }
    };
    const inputEnded = (): boolean => say({ for: 1, endOfInput: true });
    const finish = (settle: () => void): void => {
      stdin.removeListener('data', typed);
      stdin.removeListener('end', inputEnded);
      stdin.pause();
      socket.destroy();
      settle();
    };
    socket.on('connect', () => {
      say({ id: 1, command: 'exec', parameters: { command } });
      if (stdin.isTTY === true) return inputEnded();
      stdin.on('data', typed);
      stdin.on('end', inputEnded);
      return true;
    });
    socket.on('error', (error) => finish(() => reject(unreachable(`it cannot be reached (${fileReason(error)})`))));
    socket.on('close', () => finish(() => reject(unreachable('its process ended or hung up'))));
    const show = (stream: NodeJS.WritableStream, data: unknown): void => {
      if (typeof data !== 'string' || stream.write(Buffer.from(data, 'base64'))) return;
      socket.pause();
      stream.once('drain', () => socket.resume());
    };
    readLines(socket, LINE_LIMIT, (line) => {
      const message = parseRecord(line);
      const event = asRecord(message?.event);
      show(stdout, event.stdout);
      show(stderr, event.stderr);
      if (event.inputTaken === true) stdin.resume();
      if (message === undefined || 'event' in message) return;
      const { status } = asRecord(message.result);
      if (typeof status === 'number') finish(() => resolve(status));
      else finish(() => reject(PlinthError.from(message.error) ?? unreachable('its answer makes no sense')));
    });
  });
}

const asRecord = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};

async function identify(
  socketPath: string,
): Promise<{ readonly name: string; readonly id: string | null; readonly pid: number }> {
  const result = await requestControl(socketPath, { command: 'identify' });
  if (
    typeof result === 'object' &&
    result !== null &&
    'name' in result &&
    'pid' in result &&
    typeof result.pid === 'number'
  ) {
    // A machine of an older version has none.
    const id = 'id' in result && typeof result.id === 'string' ? result.id : null;
    return { name: String(result.name), id, pid: result.pid };
  }
  throw new PlinthError('PL-1021', { name: '', socket: socketPath, reason: 'its answer makes no sense' });
}

/** The VMs that run now, by name. Sockets that nobody is behind are removed. */
export async function runningMachines(home: string): Promise<RunningMachine[]> {
  const folder = controlFolder(home);
  let files: string[];
  try {
    files = readdirSync(folder).filter((file) => file.endsWith('.sock'));
  } catch {
    return [];
  }
  const found = await Promise.all(
    files.sort().map(async (file) => {
      const socket = join(folder, file);
      const owner = await identify(socket).catch((error: unknown) => {
        if (refused(error)) removeStale(socket);
        // On a host with too much to do an answer takes long, but the machine runs all the same.
        const isSlow = error instanceof PlinthError && error.parameters.reason === NO_ANSWER;
        return isSlow ? { name: file.replace(/\.sock$/, ''), id: null, pid: null } : undefined;
      });
      return owner === undefined ? undefined : { ...owner, socket };
    }),
  );
  return found.filter((machine) => machine !== undefined);
}

/** Whether nobody listens any more (as against: somebody does, but is slow). */
function refused(error: unknown): boolean {
  return error instanceof PlinthError && String(error.parameters.reason).includes('ECONNREFUSED');
}

/** A name for a VM that was given none, such as `plinth-4711`: the process's id keeps it unique among those that run. */
export const generatedName = (): string => `plinth-${process.pid}`;

/**
 * The part of a tree at a path of names separated by slashes.
 * @throws PlinthError PL-1018 when there is nothing
 */
export function treeAt(tree: unknown, path: string): unknown {
  let node = tree;
  let parent = '';
  for (const name of path.split('/').filter((part) => part !== '')) {
    const children = typeof node === 'object' && node !== null ? Object.keys(node) : [];
    if (!children.includes(name)) {
      throw new PlinthError('PL-1018', {
        path,
        parent: parent === '' ? '/' : parent,
        children: children.length === 0 ? 'nothing below it' : children.join(', '),
      });
    }
    node = (node as Record<string, unknown>)[name];
    parent = parent === '' ? name : `${parent}/${name}`;
  }
  return node;
}
