import { PassThrough, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { AgentEvent } from '@plinth/images';
import { describe, expect, it } from 'vitest';
import { type CommandProtocol, ExecSession } from './exec-session.ts';

class Collector extends Writable {
  text = '';
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString();
    setTimeout(done, 1);
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** A protocol whose bytes are plain words, and whose events are given with `receive`. */
function scriptedProtocol(events: AgentEvent[]): CommandProtocol {
  return {
    run: (command, { input }) => ({ id: 1, send: Buffer.from(`run ${command} ${input};`) }),
    input: (_, data) => Buffer.from(`input ${text(data)};`),
    endInput: () => Buffer.from('end;'),
    receive: (bytes) => ({ events: events.splice(0), send: Buffer.from(`received ${text(bytes)};`) }),
  };
}

function session(options: { isTTY?: boolean } = {}) {
  const events: AgentEvent[] = [];
  let sent = '';
  const stdin = Object.assign(new PassThrough(), options);
  const stdout = new Collector();
  const stderr = new Collector();
  const statuses: number[] = [];
  const port = {
    push(bytes: Uint8Array): number {
      sent += text(bytes);
      return bytes.length;
    },
  };
  const exec = new ExecSession(
    'cat',
    port,
    { stdin, stdout, stderr },
    (status) => statuses.push(status),
    scriptedProtocol(events),
  );
  return {
    exec,
    stdin,
    stdout,
    stderr,
    statuses,
    sent: () => sent,
    async tell(...told: AgentEvent[]): Promise<void> {
      events.push(...told);
      await exec.write(Buffer.from('x'));
    },
  };
}

describe('a command in the guest', () => {
  it('is started once the agent is ready, and gives back output and status', async () => {
    const { exec, sent, stdout, stderr, statuses, tell } = session({ isTTY: true });
    await tell();
    expect(sent()).toBe('received x;');
    expect(exec.readySeconds).toBeNull();
    await tell({ kind: 'ready', version: 1 });
    expect(sent()).toContain('run cat false;');
    expect(exec.readySeconds).toBeGreaterThan(0);
    await tell(
      { kind: 'stdout', id: 1, data: Buffer.from('out') },
      { kind: 'stderr', id: 1, data: Buffer.from('err') },
      { kind: 'stdout', id: 1, data: Buffer.from('put') },
    );
    expect(statuses).toEqual([]);
    await tell({ kind: 'exit', id: 1, status: 42 });
    expect([stdout.text, stderr.text, statuses]).toEqual(['output', 'err', [42]]);
    await tell({ kind: 'ready', version: 1 });
    expect(sent().split('run cat').length).toBe(2);
  });

  it('reads standard input that is no terminal, no faster than the guest takes it', async () => {
    const { sent, stdin, tell } = session();
    stdin.write('early ');
    await delay(10);
    expect(sent()).toBe('');
    await tell({ kind: 'ready', version: 1 });
    await delay(10);
    expect(sent()).toContain('run cat true;');
    expect(sent()).toContain('input early ;');
    expect(stdin.isPaused()).toBe(true);
    stdin.end('late');
    await delay(10);
    expect(sent()).not.toContain('late');
    await tell({ kind: 'input-taken', id: 1 });
    await delay(10);
    expect(sent()).toContain('input late;end;');
  });

  it('fails with the stream that nobody reads any more', async () => {
    const { stdout, tell } = session({ isTTY: true });
    await tell({ kind: 'ready', version: 1 });
    stdout._write = (_chunk, _encoding, done: (error?: Error) => void) => done(new Error('EPIPE'));
    await expect(tell({ kind: 'stdout', id: 1, data: Buffer.from('x') })).rejects.toThrow('EPIPE');
  });
});
