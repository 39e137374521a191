import { PlinthError } from '@plinth/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { AgentSessions } from './agent-sessions.ts';
import type { ControlConnection } from './control-socket.ts';

let toGuest: string;
let agent: AgentSessions;
beforeEach(() => {
  toGuest = '';
  const push = (bytes: Uint8Array): number => {
    toGuest += Buffer.from(bytes).toString('latin1');
    return bytes.length;
  };
  agent = new AgentSessions({ push }, 'vm');
});

class Asker implements ControlConnection {
  readonly events: Readonly<Record<string, unknown>>[] = [];
  say: (message: Readonly<Record<string, unknown>>) => void = () => {};
  hangUp: () => void = () => {};
  async send(event: Readonly<Record<string, unknown>>): Promise<void> {
    this.events.push(event);
  }
  onMessage(received: (message: Readonly<Record<string, unknown>>) => void): void {
    this.say = received;
  }
  onClose(closed: () => void): void {
    this.hangUp = closed;
  }
}

const fromGuest = (text: string): Promise<void> => agent.write(Buffer.from(text));
const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('commands in the guest', () => {
  it('run side by side, each with its own streams and status', async () => {
    await fromGuest('@ready 1\n');
    const [first, second] = [new Asker(), new Asker()];
    const runs = [agent.run('one', first), agent.run('two', second)];
    expect(toGuest).toBe('\n@run-with-input 1 3\none\n@run-with-input 2 3\ntwo');
    toGuest = '';
    first.say({ for: 1, input: base64('hello') });
    first.say({ for: 1, endOfInput: true });
    first.say({ for: 1, input: 5 });
    expect(toGuest).toBe('@in 1 5\nhello@end-of-input 1\n');
    await fromGuest(
      `@ack 1\n@out 2 ${base64('zwei')}\n@err 1 ${base64('eins')}\n@exit 2 0\n@exit 1 7\n@out 1 ${base64('late')}\n`,
    );
    expect(first.events).toEqual([{ inputTaken: true }, { stderr: base64('eins') }]);
    expect(second.events).toEqual([{ stdout: base64('zwei') }]);
    expect(await Promise.all(runs)).toEqual([{ status: 7 }, { status: 0 }]);
  });

  it('are refused while there is no agent', async () => {
    await expect(agent.run('x', new Asker())).rejects.toThrow('PL-3012');
    await fromGuest('@ready 1\n');
    agent.reset();
    await expect(agent.run('x', new Asker())).rejects.toThrow('PL-3012');
  });

  it('end with the guest, and are hung up on when their asker goes', async () => {
    await fromGuest('@ready 1\n');
    const asker = new Asker();
    void agent.run('sleep 100', asker);
    toGuest = '';
    asker.hangUp();
    asker.hangUp();
    expect(toGuest).toBe('@signal 1 1\n');
    const replaced = agent.run('sleep 100', new Asker());
    replaced.catch(() => {});
    await fromGuest('@ready 1\n');
    await expect(replaced).rejects.toMatchObject({ code: 'PL-3009' });
    const lost = agent.run('sleep 100', new Asker());
    agent.close();
    await expect(lost).rejects.toBeInstanceOf(PlinthError);
    await expect(lost).rejects.toMatchObject({ code: 'PL-3009' });
  });
});
