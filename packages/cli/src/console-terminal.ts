/**
 * The user's terminal as the guest's console: raw while the guest has it, and restored however the process ends. Where standard
 * input is no terminal, its bytes go to the guest as they are, and nothing here changes anything.
 *
 * Invariant: after `restore()` the terminal is as it was found; it is called on the process's exit, too.
 */
import { PassThrough } from 'node:stream';
import { EscapeFilter } from './escape-filter.ts';
import { hostMessage, setTerminalRaw } from './host-message.ts';

/** The parts of `process.stdin` and `process.stdout` that are used; a test gives its own. */
export interface TerminalInput extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}
export interface TerminalOutput extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
}

/** The console's side of a run. */
export interface ConsoleTerminal {
  /** What the guest's console reads. */
  readonly input: NodeJS.ReadableStream;
  /** Aborted when the user leaves with Ctrl+] q. */
  readonly leave: AbortSignal;
  restore(): void;
}

/**
 * What guests switch on and forget: colours off, cursor visible, lines wrap, keys and pasting plain. Nothing here moves the cursor
 * or clears anything.
 */
const plainModes = '\u001b[0m\u001b[?25h\u001b[?7h\u001b[?1l\u001b>\u001b[?2004l';

export const consoleKeys = 'Ctrl+] then q turns the machine off and leaves; Ctrl+] twice sends one Ctrl+] to the guest';

/** Gives the terminal to the guest. */
export function openConsoleTerminal(
  stdin: TerminalInput = process.stdin,
  stdout: TerminalOutput = process.stdout,
  message: (text: string) => void = hostMessage,
): ConsoleTerminal {
  const abort = new AbortController();
  const setRawMode = stdin.isTTY === true ? stdin.setRawMode?.bind(stdin) : undefined;
  if (setRawMode === undefined) return { input: stdin, leave: abort.signal, restore: () => {} };

  const input = new PassThrough();
  const filter = new EscapeFilter();
  const typed = (chunk: Buffer | string): void => {
    const { forGuest, actions } = filter.take(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    if (forGuest.length > 0) input.write(forGuest);
    if (actions.includes('help')) message(consoleKeys);
    if (actions.includes('leave')) abort.abort();
  };
  // A shell gives a terminal back in the mode that it likes, so after a stop (kill -STOP, then fg) it is made raw again.
  const makeRaw = (): void => {
    setRawMode(false);
    setRawMode(true);
  };
  let raw = true;
  const restore = (): void => {
    if (!raw) return;
    raw = false;
    process.off('exit', restore).off('SIGCONT', makeRaw);
    stdin.off('data', typed);
    stdin.pause();
    setTerminalRaw(false);
    try {
      setRawMode(false);
      if (stdout.isTTY === true) stdout.write(plainModes);
    } catch {
      // The terminal is gone (its window was closed): there is nothing to restore.
    }
  };
  process.on('exit', restore).on('SIGCONT', makeRaw);
  makeRaw();
  setTerminalRaw(true);
  stdin.on('data', typed);
  stdin.on('end', () => input.end());
  return { input, leave: abort.signal, restore };
}
