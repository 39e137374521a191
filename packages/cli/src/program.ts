/**
 * What `plinth` does: parses the command line, loads the command's module (and no other: a machine's first instruction must
 * not wait for modules that it does not need), prints errors of the catalogue and answers their status. Called by: main.ts.
 */
import { PlinthError } from '@plinth/errors';
import { type Invocation, parseCommandLine } from './command-line.ts';
import { defaultImage, type OutputFormat, outputFormats } from './command-table.ts';
import { reportFault } from './fault-report.ts';

type CommandInvocation = Extract<Invocation, { kind: 'command' }>;

/** A command's work; its result is the process's exit status. */
type CommandHandler = (invocation: CommandInvocation) => Promise<number>;

const handlers: Readonly<Record<string, CommandHandler>> = {
  run: async (invocation) => {
    const { runCommand } = await import('./run-command.ts');
    return runCommand(invocation.arguments, invocation.options);
  },
  'image ls': async (invocation) => {
    const [{ imageListCommand }, { homeFolder }] = await Promise.all([
      import('./image-command.ts'),
      import('./home.ts'),
    ]);
    return print(await imageListCommand(homeFolder(), outputFormat(invocation)));
  },
  'image build': async (invocation) => {
    const [{ ensureImage, imageBuildCommand }, { homeFolder }] = await Promise.all([
      import('./image-command.ts'),
      import('./home.ts'),
    ]);
    const name = invocation.arguments[0] ?? defaultImage;
    await (invocation.options['--if-missing'] === true ? ensureImage : imageBuildCommand)(homeFolder(), name);
    return 0;
  },
  'image rm': async (invocation) => {
    const [{ imageRemoveCommand }, { homeFolder }] = await Promise.all([
      import('./image-command.ts'),
      import('./home.ts'),
    ]);
    await imageRemoveCommand(homeFolder(), invocation.arguments[0] ?? '');
    return 0;
  },
  inspect: async (invocation) => {
    const [{ inspectCommand }, { homeFolder }] = await Promise.all([
      import('./inspect-command.ts'),
      import('./home.ts'),
    ]);
    return print(await inspectCommand(homeFolder(), invocation.arguments[0] ?? '', outputFormat(invocation)));
  },
  'vm ls': async (invocation) => {
    const [vm, { homeFolder }] = await vmModules();
    return print(await vm.vmListCommand(homeFolder(), outputFormat(invocation)));
  },
  'vm show': async (invocation) => {
    const [vm, { homeFolder }] = await vmModules();
    return print(await vm.vmShowCommand(homeFolder(), invocation.arguments[0] ?? '', outputFormat(invocation)));
  },
  'vm stop': async ({ arguments: [name = ''], options }) => {
    const [[vm, { homeFolder }], { parseSeconds }] = await Promise.all([vmModules(), import('./values.ts')]);
    const timeout = options['--timeout'];
    await vm.vmStopCommand(homeFolder(), name, {
      force: options['--force'] === true,
      reboot: options['--reboot'] === true,
      timeoutSeconds: typeof timeout === 'string' ? parseSeconds(timeout, '--timeout', 'vm stop') : 120,
    });
    return 0;
  },
  ...Object.fromEntries(
    (['turn-off', 'reset', 'pause', 'resume', 'freeze', 'thaw'] as const).map((verb): [string, CommandHandler] => [
      `vm ${verb}`,
      async (invocation) => {
        const [vm, { homeFolder }] = await vmModules();
        await vm.vmSimpleCommand(homeFolder(), verb, invocation.arguments[0] ?? '');
        return 0;
      },
    ]),
  ),
  ...Object.fromEntries(
    (['enable', 'disable'] as const).map((verb): [string, CommandHandler] => [
      `vm ${verb}`,
      async ({ arguments: [name = '', service = ''] }) => {
        const [vm, { homeFolder }] = await vmModules();
        await vm.vmServiceCommand(homeFolder(), name, service, verb === 'enable');
        return 0;
      },
    ]),
  ),
  'vm save': async ({ arguments: [name = ''], options }) => {
    const [vm, { homeFolder }] = await vmModules();
    const to = options['--to'];
    await vm.vmSaveCommand(homeFolder(), name, typeof to === 'string' ? to : undefined);
    return 0;
  },
  'vm exec': async ({ arguments: [name = '', ...words] }) => {
    const [vm, { homeFolder }] = await vmModules();
    return vm.vmExecCommand(homeFolder(), name, words);
  },
  'vm cp': async ({ arguments: [source = '', target = ''], options }) => {
    const [vm, { homeFolder }] = await vmModules();
    const flags = { force: options['--force'] === true, parents: options['--parents'] === true };
    await vm.vmCopyCommand(homeFolder(), source, target, flags);
    return 0;
  },
  'vm kvp': async (invocation) => {
    const [vm, { homeFolder }] = await vmModules();
    const given = invocation.options['--pool'];
    const pool = typeof given === 'string' ? given : 'external';
    const { text, exitStatus } = await vm.vmKvpCommand(
      homeFolder(),
      invocation.arguments,
      pool,
      outputFormat(invocation),
    );
    await print(text);
    return exitStatus;
  },
  'vm ip': async (invocation) => {
    const [vm, { homeFolder }] = await vmModules();
    const [name = '', adapter = ''] = invocation.arguments;
    return print(await vm.vmIpCommand(homeFolder(), name, adapter, invocation.options, outputFormat(invocation)));
  },
  'host check': async (invocation) => {
    const { hostCheckCommand } = await import('./host-command.ts');
    const { text, exitStatus } = hostCheckCommand(outputFormat(invocation));
    await print(text);
    return exitStatus;
  },
  explain: async (invocation) => {
    const { explainCommand } = await import('./explain-command.ts');
    return print(explainCommand(invocation.arguments[0] ?? '', outputFormat(invocation)));
  },
  completion: async (invocation) => {
    const { completionScript } = await import('./completion.ts');
    return print(completionScript(invocation.arguments[0] ?? ''));
  },
};

const vmModules = () => Promise.all([import('./vm-command.ts'), import('./home.ts')]);

/** @returns the process's exit status */
export async function runProgram(words: readonly string[]): Promise<number> {
  // A reader that has seen enough (plinth ... | head) is no fault: end as programs do on SIGPIPE.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(128 + 13);
  });
  try {
    const invocation = parseCommandLine(words);
    if (invocation.kind === 'text') return await print(invocation.text);
    const handler = handlers[invocation.command.name];
    if (handler === undefined) throw new Error(`the command ${invocation.command.name} has no handler`);
    return await handler(invocation);
  } catch (error) {
    return printError(error, wantsJson(words));
  }
}

function outputFormat({ options }: CommandInvocation): OutputFormat {
  // The parser has refused every other value.
  return outputFormats.find((format) => format === options['--output']) ?? 'table';
}

/** Whether errors are to be JSON: looked for in the words, because the error may be that they cannot be parsed. */
function wantsJson(words: readonly string[]): boolean {
  return (
    words.some((word, index) => /^(-o|--output)$/.test(words[index - 1] ?? '') && word === 'json') ||
    words.includes('--output=json') ||
    words.includes('-ojson')
  );
}

/** Prints a result and waits until the reader has it. */
function print(text: string): Promise<number> {
  return new Promise((resolve) => {
    process.stdout.write(text, () => resolve(0));
  });
}

async function printError(error: unknown, json: boolean): Promise<number> {
  const signal = typeof error === 'object' && error !== null && 'signal' in error ? error.signal : undefined;
  if (signal === 'SIGINT') return 130;
  if (signal === 'SIGTERM') return 143;
  const known = error instanceof PlinthError ? error : await reportFault(error);
  await new Promise((resolve) => {
    process.stderr.write(`${json ? JSON.stringify(known.toJSON(), undefined, 2) : known.message}\n`, resolve);
  });
  return known.exitStatus;
}
