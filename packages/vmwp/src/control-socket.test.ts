import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { PlinthError } from '@plinth/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type ControlServer,
  requestCommand,
  requestControl,
  runningMachines,
  serveControl,
  treeAt,
} from './control-socket.ts';

let home: string;
let server: ControlServer | undefined;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'plinth-control-'));
});
afterEach(() => {
  server?.close();
  rmSync(home, { recursive: true });
});

const serve = async (): Promise<string> => {
  server = await serveControl(home, 'vm', async ({ command, path }) => {
    if (command === 'identify') return { name: 'vm', pid: 1 };
    if (command === 'pause') throw new PlinthError('PL-1020', { name: 'x' });
    if (command === 'reset') throw new Error('a fault');
    return { path: path ?? null, number: 5n };
  });
  return server.path;
};

/** Sends raw text and gives what comes back until the other side hangs up or has answered so many lines. */
function exchange(path: string, text: string, lines: number): Promise<string[]> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(path, () => socket.write(text));
    const finish = (): void => {
      socket.destroy();
      resolve(received.split('\n').slice(0, -1));
    };
    socket.on('data', (chunk) => {
      received += chunk;
      if (received.split('\n').length > lines) finish();
    });
    socket.on('close', finish);
    socket.on('error', finish);
  });
}

it('lists a machine that does not answer in time, because it runs all the same', async () => {
  let asked = 0;
  server = await serveControl(home, 'busy', () => {
    asked++;
    return new Promise(() => {});
  });
  expect(await runningMachines(home)).toEqual([{ name: 'busy', id: null, pid: null, socket: server.path }]);
  expect(asked).toBe(1);
});

describe('a command over the control socket', () => {
  /** Answers what it is given, upper case, and ends with its length; `fail` is refused and `leave` hangs up. */
  const shout = async (): Promise<string> => {
    server = await serveControl(home, 'vm', ({ command, parameters }, connection) => {
      if (command === 'identify') return Promise.resolve({ name: 'vm', pid: 1 });
      if (parameters?.command === 'fail') throw new PlinthError('PL-3012', { name: 'vm' });
      return new Promise((resolve) => {
        let length = 0;
        if (parameters?.command === 'leave') server?.close();
        connection.onMessage(async (message) => {
          if (message.endOfInput === true) return resolve({ status: length });
          const text = Buffer.from(String(message.input), 'base64').toString();
          length += text.length;
          await connection.send({ stdout: Buffer.from(text.toUpperCase()).toString('base64') });
          await connection.send({ stderr: Buffer.from('!').toString('base64') });
          return connection.send({ inputTaken: true });
        });
      });
    });
    return server.path;
  };
  const streams = () => ({ stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() });

  it('has its streams and its status', async () => {
    const path = await shout();
    const { stdin, stdout, stderr } = streams();
    const ended = requestCommand(path, 'shout', { stdin, stdout, stderr });
    stdin.write('hello ');
    stdin.end('x'.repeat(100));
    expect(await ended).toBe(106);
    expect(String(stdout.read())).toBe(`HELLO ${'X'.repeat(100)}`);
    expect(String(stderr.read())).toMatch(/^!+$/);
  });

  it('is refused, or lost, with an error that says so', async () => {
    const path = await shout();
    await expect(requestCommand(path, 'fail', streams())).rejects.toMatchObject({ code: 'PL-3012' });
    await expect(requestCommand(path, 'leave', streams())).rejects.toMatchObject({ code: 'PL-1021' });
    await expect(requestCommand(join(home, 'none.sock'), 'x', streams())).rejects.toMatchObject({ code: 'PL-1021' });
  });
});

describe('the control socket', () => {
  it('answers requests and passes refusals on', async () => {
    const path = await serve();
    expect(await requestControl(path, { command: 'inspect', path: 'a/b' })).toEqual({ path: 'a/b', number: '0x5' });
    await expect(requestControl(path, { command: 'pause' })).rejects.toThrow(/PL-1020/);
    await expect(requestControl(path, { command: 'reset' })).rejects.toThrow(/PL-3008/);
    expect(await runningMachines(home)).toEqual([{ name: 'vm', id: null, pid: 1, socket: path }]);
  });

  it('answers several requests on one connection, in pieces of any size', async () => {
    const path = await serve();
    const replies = await exchange(path, '{"id":7,"command":"identify"}\n\n{"id":8,"command":"inspect"}\n', 2);
    expect(replies.map((line) => JSON.parse(line).id).sort()).toEqual([7, 8]);
  });

  it('refuses what it does not understand and cuts off what does not end', async () => {
    const path = await serve();
    for (const line of ['nonsense', '42', 'null', '{}', '{"command":"explode"}', '{"command":["identify"]}']) {
      const [reply] = await exchange(path, `${line}\n`, 1);
      expect(JSON.parse(reply ?? '').error.code).toBe('PL-3008');
    }
    expect(await exchange(path, 'x'.repeat(100_000), 1)).toEqual([]);
    expect(await requestControl(path, { command: 'identify' })).toEqual({ name: 'vm', pid: 1 });
  });

  it('belongs to one machine, and leaves nothing behind', async () => {
    const path = await serve();
    await expect(serveControl(home, 'vm', async () => null)).rejects.toThrow(/PL-1019/);
    server?.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(existsSync(path)).toBe(false);
    await expect(requestControl(path, { command: 'identify' })).rejects.toThrow(/PL-1021/);
  });

  it('takes the place of a file that nobody is behind', async () => {
    const path = await serve();
    server?.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(path, '');
    expect(await runningMachines(home)).toEqual([]);
    expect(await requestControl(await serve(), { command: 'identify' })).toEqual({ name: 'vm', pid: 1 });
  });

  it('refuses names that would lead elsewhere', async () => {
    for (const name of ['', '../x', 'a/b', '.hidden', 'x'.repeat(65), 'a b']) {
      await expect(serveControl(home, name, async () => null)).rejects.toThrow(/PL-1020/);
    }
  });
});

describe('paths in a tree', () => {
  it('lead to a node or to an error that names the neighbours', () => {
    const tree = { a: { b: [{ c: 1 }] }, d: null };
    expect(treeAt(tree, '')).toBe(tree);
    expect(treeAt(tree, '/a/b/0/c')).toBe(1);
    expect(treeAt(tree, 'd')).toBeNull();
    expect(() => treeAt(tree, 'a/x')).toThrow(/PL-1018.*'a' has: b/);
    expect(() => treeAt(tree, 'd/x')).toThrow(/nothing below it/);
    expect(() => treeAt(tree, 'constructor')).toThrow(/PL-1018/);
  });
});
