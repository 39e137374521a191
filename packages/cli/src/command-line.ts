/**
 * From words to an invocation: builds commander's parser from the command table and turns its refusals into errors of the
 * catalogue. It reads nothing and prints nothing; `main.ts` does.
 */
import { PlinthError } from '@plinth/errors';
import { Command, CommanderError, Option } from 'commander';
import { type CommandDefinition, commands, isHyperVVerb, type OptionDefinition } from './command-table.ts';
import { translateHyperVVerb } from './hyper-v-verbs.ts';
import { plinthVersion } from './version.ts';

/** Options as they were typed: a text, several texts for a repeatable option, or true for a switch. By flag, `--` included. */
export type OptionValues = Readonly<Record<string, string | readonly string[] | true | undefined>>;

/** What the words ask for. */
export type Invocation =
  | {
      readonly kind: 'command';
      readonly command: CommandDefinition;
      readonly arguments: readonly string[];
      readonly options: OptionValues;
    }
  /** Help or the version: to be printed, status 0. */
  | { readonly kind: 'text'; readonly text: string };

/**
 * Parses the words after `plinth`.
 * @throws PlinthError PL-1001 to PL-1008 (all with status 64) for what is not a command line of Plinth.
 */
export function parseCommandLine(given: readonly string[]): Invocation {
  const words = translateHyperVVerb(given) ?? given;
  refuseWhatIsNotBuilt(words);
  let invocation: Invocation | undefined;
  let text = '';
  const program = buildProgram(
    (result) => {
      invocation = result;
    },
    (chunk) => {
      text += chunk;
    },
  );
  if (words.length === 0) return { kind: 'text', text: program.helpInformation() };
  try {
    program.parse([...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageErrorOf(error, 'plinth', words);
  }
  return invocation ?? { kind: 'text', text };
}

/** Refuses a promised command before its options are looked at: those are not known yet. */
function refuseWhatIsNotBuilt(words: readonly string[]): void {
  const named = words.filter((word) => !word.startsWith('-'));
  for (const count of [1, 2]) {
    const name = named.slice(0, count).join(' ');
    if (commands.some((command) => !command.built && command.name === name) || isHyperVVerb(name)) {
      // `plinth run Get-VM` names an image, however odd: only the first word can be a verb of Hyper-V.
      throw new PlinthError('PL-1006', { command: `plinth ${name}`, version: plinthVersion() });
    }
  }
}

function buildProgram(done: (invocation: Invocation) => void, print: (text: string) => void): Command {
  const program = configure(new Command('plinth'), 'plinth', print)
    .description(
      "Runs virtual machines as Hyper-V does, wherever Node.js runs.\nAn error's code is explained by plinth explain CODE.",
    )
    .usage('COMMAND [OPTIONS]')
    .version(plinthVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help');
  const groups = new Map<string, Command>();
  for (const definition of commands.filter(({ built }) => built)) {
    const words = definition.name.split(' ');
    const last = words.at(-1) ?? definition.name;
    const parent = words.length === 1 ? program : groupOf(words[0] ?? '', program, groups, print);
    parent.addCommand(buildCommand(last, definition, done, print));
  }
  return program;
}

function groupOf(name: string, program: Command, groups: Map<string, Command>, print: (text: string) => void): Command {
  const existing = groups.get(name);
  if (existing !== undefined) return existing;
  const group = configure(new Command(name), `plinth ${name}`, print)
    .description(`${name}s: ${verbsOf(name).join(', ')}`)
    .usage('COMMAND');
  program.addCommand(group);
  groups.set(name, group);
  return group;
}

/** The second words of a group of commands: `ls`, `build` and `rm` of `image`. */
function verbsOf(group: string): string[] {
  const members = commands.filter((command) => command.built && command.name.startsWith(`${group} `));
  return members.map((command) => command.name.slice(group.length + 1));
}

function buildCommand(
  word: string,
  definition: CommandDefinition,
  done: (invocation: Invocation) => void,
  print: (text: string) => void,
): Command {
  const command = configure(new Command(word), `plinth ${definition.name}`, print).description(definition.summary);
  const usage = definition.arguments.map(({ name, required }) => (required ? name : `[${name}]`));
  command.usage(['[OPTIONS]', ...usage].join(' '));
  for (const argument of definition.arguments) {
    const name = argument.variadic === true ? `${argument.name}...` : argument.name;
    command.argument(argument.required ? `<${name}>` : `[${name}]`, argument.description);
  }
  for (const option of definition.options) command.addOption(buildOption(option));
  command.addHelpText('after', `\n${helpAfter(definition)}`);
  command.action(() => {
    const options: Record<string, string | string[] | true | undefined> = {};
    for (const option of command.options) {
      const value: unknown = command.getOptionValue(option.attributeName());
      if (isOptionValue(value)) options[option.long ?? option.flags] = value;
    }
    refuseOptionsNotBuilt(definition, options);
    done({ kind: 'command', command: definition, arguments: command.args, options });
  });
  return command;
}

function configure(command: Command, name: string, print: (text: string) => void): Command {
  return (
    command
      .exitOverride((error) => {
        throw error.exitCode === 0 ? error : usageErrorOf(error, name);
      })
      .configureOutput({ writeOut: print, writeErr: () => {} })
      .helpOption('-h, --help', 'print this help')
      // A command's help names its other words itself, and an option value may look like anything.
      .configureHelp({ sortOptions: false, showGlobalOptions: false })
  );
}

function buildOption(definition: OptionDefinition): Option {
  const flags = [definition.short, definition.flag].filter((flag) => flag !== undefined).join(', ');
  const option = new Option(
    definition.value === undefined ? flags : `${flags} <${definition.value}>`,
    describe(definition),
  );
  if (!definition.built) option.hideHelp();
  if (definition.repeatable) {
    option.argParser((value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value]);
  }
  return option;
}

function describe(definition: OptionDefinition): string {
  const notes = [];
  if (definition.choices !== undefined) notes.push(definition.choices.join(', '));
  if (definition.default !== undefined) notes.push(`default: ${definition.default}`);
  if (definition.repeatable) notes.push('may be repeated');
  return notes.length === 0 ? definition.description : `${definition.description} (${notes.join('; ')})`;
}

function helpAfter(definition: CommandDefinition): string {
  const parts = [];
  if (definition.exitStatuses !== undefined) {
    const rows = Object.entries(definition.exitStatuses).map(([status, meaning]) => `  ${status.padEnd(14)}${meaning}`);
    parts.push(`Exit status:\n${rows.join('\n')}`);
  }
  const examples = definition.examples.map(({ command, description }) => `  # ${description}\n  ${command}`);
  parts.push(`Examples:\n${examples.join('\n')}`);
  return parts.join('\n\n');
}

function refuseOptionsNotBuilt(definition: CommandDefinition, options: OptionValues): void {
  const refused = definition.options.find(({ flag, built }) => !built && options[flag] !== undefined);
  if (refused !== undefined) throw new PlinthError('PL-1005', { option: refused.flag, version: plinthVersion() });
  for (const { flag, choices } of definition.options) {
    const value = options[flag];
    if (choices !== undefined && typeof value === 'string' && !choices.includes(value)) {
      throw new PlinthError('PL-1004', {
        value,
        option: flag,
        expected: `one of ${choices.join(', ')}`,
        command: definition.name,
      });
    }
  }
}

function isOptionValue(value: unknown): value is string | string[] | true {
  return value === true || typeof value === 'string' || Array.isArray(value);
}

/** A refusal of commander's as an error of the catalogue. `name` is the refusing command's, such as `plinth image ls`. */
function usageErrorOf(error: CommanderError, name: string, words: readonly string[] = []): PlinthError {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? '';
  switch (error.code) {
    case 'commander.unknownOption': {
      const similar = /Did you mean (?:one of )?([^?]*)\?/.exec(error.message)?.[1];
      const suggestion = similar === undefined ? '' : `; did you mean ${similar}?`;
      return new PlinthError('PL-1002', { command: name, option: quoted, suggestion });
    }
    case 'commander.optionMissingArgument':
      return new PlinthError('PL-1003', { command: name, option: /--[a-z-]+/.exec(quoted)?.[0] ?? quoted });
    case 'commander.missingArgument':
      return new PlinthError('PL-1007', { command: name, argument: quoted });
    case 'commander.excessArguments': {
      const [, expected = '0', count = 'more'] = /Expected (\d+) arguments? but got (\d+)/.exec(error.message) ?? [];
      return new PlinthError('PL-1008', {
        command: name,
        expected: expected === '0' ? 'no argument' : `at most ${expected} argument${expected === '1' ? '' : 's'}`,
        count,
      });
    }
    case 'commander.help':
      return new PlinthError('PL-1007', { command: name, argument: verbsOf(name.replace(/^plinth /, '')).join(', ') });
    default:
      return new PlinthError('PL-1001', {
        command: [name.replace(/^plinth ?/, ''), quoted || words.join(' ')].join(' ').trim(),
      });
  }
}
