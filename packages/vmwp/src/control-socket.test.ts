import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PlinthError } from '@plinth/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlServer, requestControl, runningMachines, serveControl, treeAt } from './control-socket.ts';

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

describe('the control socket', () => {
  it('answers requests and passes refusals on', async () => {
    const path = await serve();
    expect(await requestControl(path, { command: 'inspect', path: 'a/b' })).toEqual({ path: 'a/b', number: '0x5' });
    await expect(requestControl(path, { command: 'pause' })).rejects.toThrow(/PL-1020/);
    await expect(requestControl(path, { command: 'reset' })).rejects.toThrow(/PL-3008/);
    expect(await runningMachines(home)).toEqual([{ name: 'vm', pid: 1, socket: path }]);
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
