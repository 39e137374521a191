import { PassThrough, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { CommandObserver, GuestCommand } from './agent-sessions.ts';
import { ExecSession } from './exec-session.ts';

class Collector extends Writable {
  text = '';
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString();
    setTimeout(done, 1);
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function session(options: { isTTY?: boolean } = {}) {
  let sent = '';
  const observers: CommandObserver[] = [];
  const agent = {
    start(command: string, input: boolean, told: CommandObserver): GuestCommand {
      sent += `run ${command} ${input};`;
      observers.push(told);
      return {
        id: 1,
        input: (bytes) => {
          sent += `input ${text(bytes)};`;
        },
        endInput: () => {
          sent += 'end;';
        },
        signal: () => {},
      };
    },
  };
  const stdin = Object.assign(new PassThrough(), options);
  const stdout = new Collector();
  const stderr = new Collector();
  const statuses: (number | 'lost')[] = [];
  const exec = new ExecSession(
    'cat',
    { stdin, stdout, stderr },
    { exited: (status) => statuses.push(status), lost: () => statuses.push('lost') },
  );
  return {
    exec,
    stdin,
    stdout,
    stderr,
    statuses,
    sent: () => sent,
    ready: () => exec.start(agent),
    /** Whom the agent tells. */
    told(): CommandObserver {
      const [observer] = observers;
      if (observer === undefined) throw new Error('nothing runs');
      return observer;
    },
  };
}

describe('a command in the guest', () => {
  it('is started once the agent is ready, and gives back output and status', async () => {
    const { exec, sent, stdout, stderr, statuses, ready, told } = session({ isTTY: true });
    expect(exec.readySeconds).toBeNull();
    ready();
    expect(sent()).toBe('run cat false;');
    expect(exec.readySeconds).toBeGreaterThan(0);
    await told().output('stdout', Buffer.from('out'));
    await told().output('stderr', Buffer.from('err'));
    await told().output('stdout', Buffer.from('put'));
    expect(statuses).toEqual([]);
    told().exited(42);
    expect([stdout.text, stderr.text, statuses]).toEqual(['output', 'err', [42]]);
    ready();
    expect(sent()).toBe('run cat false;');
  });

  it('reads standard input that is no terminal, no faster than the guest takes it', async () => {
    const { sent, stdin, ready, told } = session();
    stdin.write('early ');
    await delay(10);
    expect(sent()).toBe('');
    ready();
    await delay(10);
    expect(sent()).toBe('run cat true;input early ;');
    expect(stdin.isPaused()).toBe(true);
    stdin.end('late');
    await delay(10);
    expect(sent()).not.toContain('late');
    await told().inputTaken();
    await delay(10);
    expect(sent()).toContain('input late;end;');
  });

  it('fails with the stream that nobody reads any more', async () => {
    const { stdout, ready, told } = session({ isTTY: true });
    ready();
    stdout._write = (_chunk, _encoding, done: (error?: Error) => void) => done(new Error('EPIPE'));
    await expect(told().output('stdout', Buffer.from('x'))).rejects.toThrow('EPIPE');
  });

  it('is lost with its guest', () => {
    const { statuses, ready, told } = session();
    ready();
    told().lost();
    expect(statuses).toEqual(['lost']);
  });
});
