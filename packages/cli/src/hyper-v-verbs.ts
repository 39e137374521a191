/**
 * Verbs of Hyper-V's PowerShell module that Plinth has a command for, in any letter case: their words become those of that command.
 *
 *     Disable-VMIntegrationService -VMName web -Name Heartbeat   ->   vm disable web Heartbeat
 *
 * The other verbs of that module are refused by name (`isHyperVVerb`). Called by: command-line.ts.
 */
import { PlinthError } from '@plinth/errors';

interface Verb {
  readonly name: string;
  /** The words of Plinth's command. */
  readonly command: readonly string[];
  /** Parameters in the order in which Plinth's command takes them. */
  readonly parameters: readonly string[];
  /** The order in which PowerShell takes them without their names. */
  readonly positions: readonly string[];
}

const VERBS: readonly Verb[] = [
  {
    name: 'Enable-VMIntegrationService',
    command: ['vm', 'enable'],
    parameters: ['VMName', 'Name'],
    positions: ['Name', 'VMName'],
  },
  {
    name: 'Disable-VMIntegrationService',
    command: ['vm', 'disable'],
    parameters: ['VMName', 'Name'],
    positions: ['Name', 'VMName'],
  },
  { name: 'Get-VMIntegrationService', command: ['vm', 'show'], parameters: ['VMName'], positions: ['VMName'] },
];

/**
 * @returns words of Plinth's own, or undefined when the first word is no such verb
 * @throws PlinthError PL-1002 for a parameter that it does not take, PL-1003 for one without a value, PL-1007 for one that is missing,
 *   PL-1008 for too many
 */
export function translateHyperVVerb(words: readonly string[]): string[] | undefined {
  const verb = VERBS.find(({ name }) => name.toLowerCase() === words[0]?.toLowerCase());
  if (verb === undefined) return undefined;
  const command = `plinth ${verb.name}`;
  const given = new Map<string, string>();
  const unnamed: string[] = [];
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? '';
    if (/^(-h|--help)$/.test(word)) return [...verb.command, '--help'];
    // What all of Plinth's commands take is theirs here, too.
    if (/^(-o|--output)$/.test(word)) {
      given.set('output', words[++at] ?? '');
      continue;
    }
    const [, name, joined] = /^-([A-Za-z]+)(?::(.*))?$/.exec(word) ?? [];
    if (name === undefined) {
      unnamed.push(word);
      continue;
    }
    const parameter = verb.parameters.find((known) => known.toLowerCase() === name.toLowerCase());
    if (parameter === undefined) {
      const suggestion = `; it takes ${verb.parameters.map((known) => `-${known}`).join(', ')}`;
      throw new PlinthError('PL-1002', { command, option: word, suggestion });
    }
    const value = joined ?? words[++at];
    if (value === undefined) throw new PlinthError('PL-1003', { command, option: `-${parameter}` });
    given.set(parameter, value);
  }
  for (const value of unnamed) {
    const parameter = verb.positions.find((name) => !given.has(name));
    if (parameter === undefined) {
      const count = unnamed.length;
      throw new PlinthError('PL-1008', { command, expected: `at most ${verb.parameters.length} values`, count });
    }
    given.set(parameter, value);
  }
  const missing = verb.parameters.find((name) => !given.has(name));
  if (missing !== undefined) throw new PlinthError('PL-1007', { command, argument: `-${missing}` });
  const output = given.get('output');
  return [
    ...verb.command,
    ...(output === undefined ? [] : ['--output', output]),
    '--',
    ...verb.parameters.map((name) => given.get(name) ?? ''),
  ];
}
