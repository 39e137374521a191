/**
 * `plinth inspect PATH`: looks into running machines over their control sockets. The tree has two branches: `vms`, with a node for each
 * running machine, below which stands what the machine's objects answer to `inspect()`; and `hypervisor`, the partition table of the
 * host, put together from all of them.
 */
import { PlinthError } from '@plinth/errors';
import { type RunningMachine, requestControl, runningMachines, treeAt } from '@plinth/vmwp';
import type { OutputFormat } from './command-table.ts';
import { formatListing, formatTree, type Plain } from './output.ts';

/**
 * The text of what stands at a path.
 * @throws PlinthError PL-1017 for a machine that does not run, PL-1018 for a path that leads nowhere, PL-1021 for a machine that
 * does not answer
 */
export async function inspectCommand(home: string, path: string, format: OutputFormat): Promise<string> {
  const [branch, name, ...rest] = path.split('/').filter((part) => part !== '');
  if (branch === undefined)
    return formatTree({ vms: await summaries(home), hypervisor: await partitions(home) }, format);
  if (branch === 'hypervisor') {
    return formatTree(toPlain(treeAt({ hypervisor: await partitions(home) }, path)), format);
  }
  if (branch !== 'vms') throw new PlinthError('PL-1018', { path, parent: '/', children: 'vms, hypervisor' });
  if (name === undefined) return listMachines(home, format);
  const machine = findMachine(await runningMachines(home), name);
  return formatTree(
    toPlain(await requestControl(machine.socket, { command: 'inspect', path: rest.join('/') })),
    format,
  );
}

async function summaries(home: string): Promise<Plain> {
  const machines = await runningMachines(home);
  return Object.fromEntries(machines.map(({ name, pid, socket }) => [name, { pid, socket }]));
}

/** The partitions by their ids: the root that all workers speak for, and each one's child with its interface to the guest. */
async function partitions(home: string): Promise<Plain> {
  const tables = await Promise.all(
    (await runningMachines(home)).map(async ({ name, socket }): Promise<[string, Plain][]> => {
      let answer: unknown;
      try {
        answer = await requestControl(socket, { command: 'inspect', path: 'hypervisor' });
      } catch (error) {
        // One that ends now, or is of another version, does not hide the others.
        if (!(error instanceof PlinthError)) throw error;
        return [[`of ${name}`, error.message]];
      }
      const { partitions: own, guestInterface } = asRecord(answer);
      return Object.entries(asRecord(own)).map(([id, partition]): [string, Plain] => {
        const plain = asRecord(partition);
        return [id, plain.kind === 'root' ? plain : { vm: name, ...plain, guestInterface: guestInterface ?? null }];
      });
    }),
  );
  return { partitions: Object.fromEntries(tables.flat()) };
}

/** A machine answers with objects; of another version's answer, what is no object counts as empty. */
const asRecord = (value: unknown): Readonly<Record<string, Plain>> =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, Plain>>) : {};

async function listMachines(home: string, format: OutputFormat): Promise<string> {
  const rows = (await runningMachines(home)).map(({ name, pid, socket }) => ({ name, pid, socket }));
  const columns = [
    ['NAME', 'name'],
    ['PID', 'pid'],
    ['SOCKET', 'socket'],
  ] as const;
  return formatListing({ rows, columns }, format);
}

/** A machine by its name, a prefix that only one has, or its GUID. */
export function findMachine(machines: readonly RunningMachine[], name: string): RunningMachine {
  const candidates = machines.filter((machine) => machine.name.startsWith(name) || machine.id === name.toLowerCase());
  const found =
    candidates.find((machine) => machine.name === name) ?? (candidates.length === 1 ? candidates[0] : undefined);
  if (found !== undefined) return found;
  const others = candidates.length > 0 ? candidates : machines;
  throw new PlinthError('PL-1017', { name, running: others.map((machine) => machine.name).join(', ') || 'none' });
}

/** What came over the socket is JSON, so it is plain; anything else would have failed to parse. */
function toPlain(data: unknown): Plain {
  return data as Plain;
}
