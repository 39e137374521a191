/**
 * `plinth run`: one virtual machine in the foreground. Checks the options, finds what boots, gives the console to the guest and hands
 * over to the worker; what the worker answers becomes the exit status.
 */
import { constants } from 'node:os';
import { PlinthError } from '@plinth/errors';
import { generatedName, openSavedMachine, runVirtualMachine, type SavedMachine } from '@plinth/vmwp';
import type { OptionValues } from './command-line.ts';
import { consoleKeys, openConsoleTerminal } from './console-terminal.ts';
import { homeFolder } from './home.ts';
import { hostMessage } from './host-message.ts';
import { type BootSource, parseRunOptions } from './run-options.ts';

/**
 * Runs a machine to its end.
 * @returns the process's exit status, as docs/reference/cli.md lists them
 * @throws PlinthError for wrong usage, unusable input files and a folder or socket that cannot be made
 */
export async function runCommand(names: readonly string[], options: OptionValues): Promise<number> {
  const { boot, machine: given } = parseRunOptions(names, options);
  const home = homeFolder();
  const { source, saved }: { source: BootFiles | SavedMachine['hardware']; saved?: SavedMachine } =
    boot.kind === 'saved'
      ? savedFiles(boot.path, given.exec !== undefined)
      : { source: await bootFiles(boot, home, given.exec !== undefined) };
  const runsCommand = given.exec !== undefined || saved?.agent.command !== undefined;
  // A command that goes on has standard output for itself, as a new one has.
  const machine =
    boot.kind === 'saved' && runsCommand && !boot.consoleGiven
      ? { ...given, console: { kind: 'none' } as const }
      : given;
  const name = machine.name ?? generatedName();
  const endGuard = guardSignals();
  // With --exec, standard input is the command's, as it is; the console takes no input then.
  const terminal = machine.console.kind === 'stdio' && !runsCommand ? openConsoleTerminal() : undefined;
  if (terminal !== undefined && process.stdin.isTTY) hostMessage(`Machine ${name}. ${consoleKeys}.`);
  try {
    const result = await runVirtualMachine(
      { ...machine, ...source, name, home },
      {
        message: hostMessage,
        ...(terminal === undefined ? {} : { stdin: terminal.input, leave: terminal.leave }),
      },
      saved,
    );
    terminal?.restore();
    if (result.error !== undefined) hostMessage(result.error.message);
    for (const line of result.lastWords ?? []) hostMessage(`guest: ${line}`);
    return result.exitStatus;
  } finally {
    terminal?.restore();
    endGuard();
  }
}

/**
 * Sees to it that a signal ends the process in order (a terminal restored, status 128 + n) while the worker does not listen for signals
 * yet, and that a second one, a while after the first, ends it if the machine's end hangs.
 * @returns ends the guard
 */
function guardSignals(): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let first = Number.POSITIVE_INFINITY;
  const signalled = (signal: NodeJS.Signals): void => {
    const workerListens = process.listenerCount(signal) > 1;
    // One Ctrl+C may arrive twice: from the terminal, and passed on by npm.
    if (!workerListens || performance.now() > first + 1000) process.exit(128 + (constants.signals[signal] ?? 0));
    first = Math.min(first, performance.now());
  };
  for (const signal of signals) process.on(signal, signalled);
  return () => {
    for (const signal of signals) process.off(signal, signalled);
  };
}

interface BootFiles {
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly commandLine: string;
  readonly image?: string;
  readonly hasAgent?: boolean;
}

/** A saved machine, and what it brings with it. */
function savedFiles(path: string, needsAgent: boolean): { source: SavedMachine['hardware']; saved: SavedMachine } {
  const saved = openSavedMachine(path);
  const source = saved.hardware;
  if (needsAgent && source.hasAgent !== true) {
    saved.close();
    throw new PlinthError('PL-1012');
  }
  return { source, saved };
}

async function bootFiles(
  boot: Exclude<BootSource, { kind: 'saved' }>,
  home: string,
  needsAgent: boolean,
): Promise<BootFiles> {
  if (boot.kind === 'kernel') return boot;
  const { ensureImage } = await import('./image-command.ts');
  const { kernel, initrds, commandLine, hasAgent } = await ensureImage(home, boot.name);
  if (needsAgent && !hasAgent) throw new PlinthError('PL-1012');
  return { kernel, initrds, commandLine, image: boot.name, hasAgent };
}
