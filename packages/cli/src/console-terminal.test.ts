import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openConsoleTerminal, type TerminalInput } from './console-terminal.ts';
import { EscapeFilter } from './escape-filter.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const controlBracket = '\u001d';

describe('EscapeFilter', () => {
  const take = (text: string) => {
    const { forGuest, actions } = new EscapeFilter().take(bytes(text));
    return [new TextDecoder().decode(forGuest), actions];
  };

  it.each([
    ['ls\r', 'ls\r', []],
    [`a${controlBracket}qb`, 'ab', ['leave']],
    [`${controlBracket}Q`, '', ['leave']],
    [`${controlBracket}?`, '', ['help']],
    [`${controlBracket}${controlBracket}q`, `${controlBracket}q`, []],
    [`${controlBracket}${controlBracket}${controlBracket}q`, controlBracket, ['leave']],
    [`${controlBracket}x`, `${controlBracket}x`, []],
    ['\u0003\u001a', '\u0003\u001a', []],
    ['q', 'q', []],
  ])('%j gives the guest %j and Plinth %j', (typed, forGuest, actions) => {
    expect(take(typed)).toEqual([forGuest, actions]);
  });

  it('does not care how the bytes arrive', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0x1d, 0x71, 0x3f, 0x61, 0xff)), fc.nat(20), (typed, cut) => {
        const whole = new EscapeFilter().take(Uint8Array.from(typed));
        const filter = new EscapeFilter();
        const [first, second] = [
          filter.take(Uint8Array.from(typed.slice(0, cut))),
          filter.take(Uint8Array.from(typed.slice(cut))),
        ];
        expect([...first.forGuest, ...second.forGuest]).toEqual([...whole.forGuest]);
        expect([...first.actions, ...second.actions]).toEqual([...whole.actions]);
      }),
    );
  });

  it('loses no byte but those of its own actions', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (typed) => {
        const filter = new EscapeFilter();
        const plain = typed.filter((byte) => byte !== 0x1d);
        expect([...filter.take(plain).forGuest]).toEqual([...plain]);
      }),
    );
  });
});

describe('openConsoleTerminal', () => {
  const open = (isTTY: boolean) => {
    const modes: boolean[] = [];
    let gone = false;
    const setRawMode = (raw: boolean): void => {
      if (gone) throw new Error('EIO');
      modes.push(raw);
    };
    const stdin: TerminalInput = Object.assign(new PassThrough(), { isTTY, setRawMode });
    const fail = (): void => {
      gone = true;
    };
    const stdout = Object.assign(new PassThrough(), { isTTY });
    const messages: string[] = [];
    const listeners = process.listenerCount('exit');
    const terminal = openConsoleTerminal(stdin, stdout, (text) => messages.push(text));
    return { modes, stdin, stdout, messages, terminal, listeners, fail };
  };

  it('is raw until it is restored, and restores once', () => {
    const { modes, stdout, terminal, listeners } = open(true);
    expect(modes.at(-1)).toBe(true);
    expect(process.listenerCount('exit')).toBe(listeners + 1);
    terminal.restore();
    expect(modes.at(-1)).toBe(false);
    expect(process.listenerCount('exit')).toBe(listeners);
    const count = modes.length;
    terminal.restore();
    expect(modes.length).toBe(count);
    expect(String(stdout.read())).toContain('\u001b[?25h');
  });

  it('is raw again after the process was stopped and goes on', () => {
    const { modes, terminal } = open(true);
    modes.length = 0;
    process.emit('SIGCONT');
    expect(modes).toEqual([false, true]);
    terminal.restore();
  });

  it('gives the guest what was typed, and leaves on Ctrl+] q', async () => {
    const { stdin, terminal, messages } = open(true);
    const seen: Buffer[] = [];
    terminal.input.on('data', (chunk: Buffer) => seen.push(chunk));
    stdin.emit('data', Buffer.from('ls\r'));
    stdin.emit('data', Buffer.from(`${controlBracket}?`));
    expect(terminal.leave.aborted).toBe(false);
    stdin.emit('data', Buffer.from(controlBracket));
    stdin.emit('data', Buffer.from('q'));
    expect(terminal.leave.aborted).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.concat(seen).toString()).toBe('ls\r');
    expect(messages).toHaveLength(1);
    terminal.restore();
  });

  it('survives a terminal that is gone', () => {
    const { fail, terminal } = open(true);
    fail();
    expect(() => terminal.restore()).not.toThrow();
  });

  it('leaves plain input alone', () => {
    const { modes, stdin, terminal } = open(false);
    expect(terminal.input).toBe(stdin);
    expect(modes).toEqual([]);
    terminal.restore();
    expect(modes).toEqual([]);
  });
});
