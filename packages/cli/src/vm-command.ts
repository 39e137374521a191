/**
 * `plinth vm ...` for machines that run in the foreground: each is asked over its control socket.
 */
import { basename, posix, resolve } from 'node:path';
import { PlinthError } from '@plinth/errors';
import {
  type ControlCommand,
  findServiceName,
  type RunningMachine,
  requestCommand,
  requestControl,
  runningMachines,
  SERVICE_NAMES,
} from '@plinth/vmwp';
import { parseAdapterSettings } from './adapter-settings.ts';
import type { OptionValues } from './command-line.ts';
import type { OutputFormat } from './command-table.ts';
import { findMachine } from './inspect-command.ts';
import { formatListing, formatTree, type Plain, showSeconds } from './output.ts';
import { startProgress } from './progress.ts';

/** The guest's daemons may take half a minute for an answer. */
const GUEST_PATIENCE = 60_000;
/** Freezing waits until all that the guest holds is written. */
const FREEZE_PATIENCE = 16 * 60_000;
const POLL_MILLISECONDS = 100;

/** The machines that run, with how their guests are. */
export async function vmListCommand(home: string, format: OutputFormat): Promise<string> {
  const rows = await Promise.all(
    (await runningMachines(home)).map(async (machine) => {
      const [tree, services] = await Promise.all([
        // One that does not answer, or ends now, does not hide the others.
        ask(machine, 'inspect').then(asRecord, (error: unknown) => {
          if (error instanceof PlinthError && error.code === 'PL-1021') return asRecord({ state: 'no-answer' });
          throw error;
        }),
        ask(machine, 'services').then(asRecord, () => asRecord({})),
      ]);
      const configuration = asRecord(tree.configuration);
      return {
        name: machine.name,
        id: machine.id,
        state: tree.state ?? null,
        cpus: configuration.processors ?? null,
        memoryBytes: configuration.memoryBytes ?? null,
        uptimeSeconds: tree.uptimeSeconds ?? null,
        heartbeat: services.heartbeat ?? null,
        addresses: services.addresses ?? [],
      };
    }),
  );
  const columns = [
    ['NAME', 'name'],
    ['STATE', 'state'],
    ['CPUS', 'cpus'],
    ['UPTIME', 'uptimeSeconds', (value: Plain) => showSeconds(Number(value))],
    ['HEARTBEAT', 'heartbeat'],
    ['ADDRESSES', 'addresses', (value: Plain) => (Array.isArray(value) ? value.join(' ') : '')],
  ] as const;
  return formatListing({ rows, columns }, format);
}

/** One machine: its integration services, and what is to be done about those that do not work. */
export async function vmShowCommand(home: string, name: string, format: OutputFormat): Promise<string> {
  const machine = await find(home, name);
  const services = asRecord(await ask(machine, 'services'));
  return formatTree({ name: machine.name, id: machine.id, ...services }, format);
}

/**
 * Switches an integration service on or off.
 * @param service its name here or in Hyper-V's tools
 */
export async function vmServiceCommand(home: string, name: string, service: string, enabled: boolean): Promise<void> {
  const found = findServiceName(service);
  if (found === undefined) {
    throw new PlinthError('PL-1004', {
      value: service,
      option: 'SERVICE',
      expected: `one of ${SERVICE_NAMES.join(', ')}`,
      command: `vm ${enabled ? 'enable' : 'disable'}`,
    });
  }
  await ask(await find(home, name), 'set-service', { service: found, enabled });
}

/**
 * Saves a machine, which ends its run.
 * @param to another file than that of its --save-to
 */
export async function vmSaveCommand(home: string, name: string, to: string | undefined): Promise<void> {
  const machine = await find(home, name);
  const progress = startProgress();
  try {
    progress.stage(`saving ${machine.name}`);
    // However large its memory and slow the disk.
    await ask(machine, 'save', to === undefined ? {} : { to: resolve(to) }, Number.POSITIVE_INFINITY);
  } finally {
    progress.stop();
  }
}

/** `pause`, `resume`, `reset`, `turn-off`, `freeze`, `thaw`: done when the machine has answered. */
export async function vmSimpleCommand(home: string, command: ControlCommand, name: string): Promise<void> {
  await ask(await find(home, name), command, {}, command === 'freeze' ? FREEZE_PATIENCE : GUEST_PATIENCE);
}

export interface StopOptions {
  readonly force: boolean;
  readonly reboot: boolean;
  /** Seconds to wait until the machine is off. */
  readonly timeoutSeconds: number;
}

/**
 * Asks the guest to stop, and waits until it has.
 * @throws PlinthError PL-1023 when it has not in time
 */
export async function vmStopCommand(home: string, name: string, options: StopOptions): Promise<void> {
  const { force, reboot, timeoutSeconds } = options;
  const machine = await find(home, name);
  const progress = startProgress();
  try {
    progress.stage(`asking ${machine.name} to ${reboot ? 'restart' : 'stop'}`);
    const { by } = asRecord(await ask(machine, 'stop', { force, reboot }, GUEST_PATIENCE));
    if (reboot) return;
    progress.stage(`waiting until ${machine.name} is off`);
    const deadline = performance.now() + timeoutSeconds * 1000;
    const isThere = ({ pid, socket }: RunningMachine): boolean =>
      socket === machine.socket && (pid === machine.pid || pid === null || machine.pid === null);
    while ((await runningMachines(home)).some(isThere)) {
      if (performance.now() > deadline)
        throw new PlinthError('PL-1023', { name: machine.name, seconds: timeoutSeconds, by: String(by ?? 'host') });
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  } finally {
    progress.stop();
  }
}

/**
 * Copies a file into a guest.
 * @param target `NAME:PATH`; a path that ends with a slash is a folder
 */
export async function vmCopyCommand(
  home: string,
  source: string,
  target: string,
  options: { readonly force: boolean; readonly parents: boolean },
): Promise<void> {
  const [, name = '', path = ''] = /^([^:]+):(\/.*)$/.exec(target) ?? [];
  if (name === '') throw new PlinthError('PL-1024', { target });
  const machine = await find(home, name);
  const progress = startProgress();
  try {
    progress.stage(`copying ${basename(source)} to ${machine.name}`);
    const isFolder = path.endsWith('/');
    const parameters = {
      source: resolve(source),
      folder: isFolder ? posix.normalize(path).replace(/(.)\/$/, '$1') : posix.dirname(path),
      fileName: isFolder ? basename(source) : posix.basename(path),
      overwrite: options.force,
      createFolder: options.parents,
    };
    await ask(machine, 'copy-file', parameters, Number.POSITIVE_INFINITY);
  } finally {
    progress.stop();
  }
}

/**
 * Runs a command in the guest, with this process's streams.
 * @param words the command for the guest's shell: one word is taken as it is, several as that many words
 * @returns the command's exit status
 */
export async function vmExecCommand(home: string, name: string, words: readonly string[]): Promise<number> {
  const machine = await find(home, name);
  const [only, ...others] = words;
  const command = others.length === 0 ? (only ?? '') : words.map(quoteWord).join(' ');
  const { stdin, stdout, stderr } = process;
  return requestCommand(machine.socket, command, { stdin, stdout, stderr });
}

/** A word that the shell gives on as it is. */
const quoteWord = (word: string): string =>
  /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** `plinth vm kvp NAME [list|get|set|rm] [KEY] [VALUE]`. @returns what is to be printed, and the exit status */
export async function vmKvpCommand(
  home: string,
  words: readonly string[],
  pool: string,
  format: OutputFormat,
): Promise<{ readonly text: string; readonly exitStatus: number }> {
  const [name = '', operation = 'list', key, value] = words;
  const needed = { list: 0, get: 1, rm: 1, set: 2 }[operation];
  if (needed === undefined) {
    const command = 'vm kvp';
    throw new PlinthError('PL-1004', {
      value: operation,
      option: 'OPERATION',
      expected: 'one of list, get, set, rm',
      command,
    });
  }
  const given = [key, value].filter((word) => word !== undefined).length;
  if (given < needed) {
    throw new PlinthError('PL-1007', { command: 'plinth vm kvp', argument: key === undefined ? 'KEY' : 'VALUE' });
  }
  if (given > needed) {
    throw new PlinthError('PL-1008', {
      command: 'plinth vm kvp',
      expected: `${needed + 2} arguments`,
      count: given + 2,
    });
  }
  const machine = await find(home, name);
  const parameters = {
    pool,
    operation,
    ...(key === undefined ? {} : { key }),
    ...(value === undefined ? {} : { value }),
  };
  const answer = await ask(machine, 'kvp', parameters, GUEST_PATIENCE);
  if (operation === 'list') {
    const rows = (Array.isArray(answer) ? answer : []).map(asRecord);
    return {
      text: formatListing(
        {
          rows,
          columns: [
            ['KEY', 'key'],
            ['VALUE', 'value'],
          ],
        },
        format,
      ),
      exitStatus: 0,
    };
  }
  const record = asRecord(answer);
  if (operation === 'get') {
    const found = typeof record.value === 'string';
    return { text: found ? `${record.value}\n` : '', exitStatus: found ? 0 : 1 };
  }
  return { text: '', exitStatus: operation === 'rm' && record.removed !== true ? 1 : 0 };
}

/**
 * `plinth vm ip NAME ADAPTER`: the settings of an adapter; with any of its options they are set, all of them.
 * @returns what is to be printed
 * @throws PlinthError PL-1004 for what is no address
 */
export async function vmIpCommand(
  home: string,
  name: string,
  adapter: string,
  options: OptionValues,
  format: OutputFormat,
): Promise<string> {
  const settings = parseAdapterSettings(adapter, options);
  const machine = await find(home, name);
  const answer = await ask(machine, 'adapter', { adapter, ...settings }, GUEST_PATIENCE);
  return settings === undefined ? formatTree(asRecord(answer), format) : '';
}

const find = async (home: string, name: string): Promise<RunningMachine> =>
  findMachine(await runningMachines(home), name);

const ask = (
  machine: RunningMachine,
  command: ControlCommand,
  parameters: Readonly<Record<string, unknown>> = {},
  patience?: number,
): Promise<unknown> => requestControl(machine.socket, { command, parameters }, patience);

/** A machine answers with objects; of another version's answer, what is no object counts as empty. */
const asRecord = (value: unknown): Readonly<Record<string, Plain>> =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, Plain>>) : {};
