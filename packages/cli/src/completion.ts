/** `plinth completion SHELL`: scripts made from the command table, so that they never lag behind the commands. */
import { PlinthError } from '@plinth/errors';
import {
  type CommandDefinition,
  commands,
  completionShells,
  defaultImage,
  type OptionDefinition,
} from './command-table.ts';

/**
 * The completion script for a shell.
 * @throws PlinthError PL-1016 for a shell that is not known.
 */
export function completionScript(shell: string): string {
  switch (shell) {
    case 'bash':
      return bashScript();
    case 'zsh':
      // zsh runs bash's completion functions.
      return `autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${bashScript()}`;
    case 'fish':
      return fishScript();
    default:
      throw new PlinthError('PL-1016', { shell, shells: completionShells.join(', ') });
  }
}

const built = commands.filter((command) => command.built);
const firstWords = [...new Set(built.map(({ name }) => name.split(' ')[0] ?? ''))];

function wordsOf(command: CommandDefinition): string[] {
  const options = command.options.filter((option) => option.built).map(({ flag }) => flag);
  return [...options, '--help'];
}

/** Words that a command's positional arguments can be, as a shell expression's text. */
function argumentWords(command: CommandDefinition): string {
  return command.arguments
    .map(({ completes }) => {
      switch (completes) {
        case 'shell':
          return completionShells.join(' ');
        case 'image':
          return `$(plinth image ls -o name 2>/dev/null || echo ${defaultImage})`;
        case 'inspect-path':
          return '$(_plinth_inspect_paths)';
        default:
          return '';
      }
    })
    .filter((words) => words !== '')
    .join(' ');
}

function optionValueCase({ flag, completes, choices }: OptionDefinition): string | undefined {
  if (choices !== undefined)
    return `    ${flag}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$current")); return ;;`;
  if (completes === 'file') return `    ${flag}) COMPREPLY=($(compgen -f -- "$current")); return ;;`;
  return undefined;
}

function bashScript(): string {
  const valueCases = new Set(
    built
      .flatMap((command) => command.options.filter((option) => option.built).map(optionValueCase))
      .filter((line) => line !== undefined),
  );
  const groups = firstWords.filter((word) => built.some(({ name }) => name.startsWith(`${word} `)));
  const groupCases = groups.map((group) => {
    const verbs = built
      .filter(({ name }) => name.startsWith(`${group} `))
      .map(({ name }) => name.slice(group.length + 1));
    return `    ${group}) if [ "$COMP_CWORD" -eq 2 ]; then COMPREPLY=($(compgen -W '${verbs.join(' ')}' -- "$current")); return; fi
      command="${group} \${COMP_WORDS[2]}" ;;`;
  });
  const commandCases = built.map(
    (command) =>
      `    '${command.name}') COMPREPLY=($(compgen -W "${[argumentWords(command), ...wordsOf(command)].join(' ').trim()}" -- "$current")) ;;`,
  );
  return `# Completion of plinth's commands. Made by: plinth completion bash
_plinth_inspect_paths() {
  local parent="\${current%/*}"
  [ "$parent" = "$current" ] && { plinth inspect -o name 2>/dev/null; return; }
  plinth inspect "$parent" -o name 2>/dev/null | while read -r name; do echo "$parent/$name"; done
}
_plinth() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${firstWords.join(' ')} --help --version' -- "$current"))
    return
  fi
  case "$previous" in
${[...valueCases, `    -o) COMPREPLY=($(compgen -W 'table json yaml name' -- "$current")); return ;;`].join('\n')}
  esac
  case "$command" in
${groupCases.join('\n')}
  esac
  case "$command" in
${commandCases.join('\n')}
  esac
}
complete -F _plinth plinth ./plinth
`;
}

function fishScript(): string {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = ['# Completion of plinth. Made by: plinth completion fish', 'complete -c plinth -f'];
  for (const word of firstWords) {
    const summary = built.find(({ name }) => name === word)?.summary ?? `${word}s`;
    lines.push(`complete -c plinth -n __fish_use_subcommand -a ${word} -d ${quote(summary)}`);
  }
  for (const command of built) {
    const [group = '', verb] = command.name.split(' ');
    const seen = `__fish_seen_subcommand_from ${group}`;
    const condition = verb === undefined ? seen : `${seen}; and __fish_seen_subcommand_from ${verb}`;
    if (verb !== undefined) {
      const siblings = built
        .filter(({ name }) => name.startsWith(`${group} `))
        .map(({ name }) => name.slice(group.length + 1));
      const unseen = `${seen}; and not __fish_seen_subcommand_from ${siblings.join(' ')}`;
      lines.push(`complete -c plinth -n ${quote(unseen)} -a ${verb} -d ${quote(command.summary)}`);
    }
    for (const { completes } of command.arguments) {
      const words = {
        shell: completionShells.join(' '),
        image: '(plinth image ls -o name)',
        'inspect-path': '(plinth inspect vms -o name | string replace -r "^" vms/)',
        code: '',
      }[completes ?? 'code'];
      if (words !== '') lines.push(`complete -c plinth -n ${quote(condition)} -a ${quote(words)}`);
    }
    for (const option of command.options.filter((candidate) => candidate.built)) {
      const value = option.value === undefined ? '' : option.completes === 'file' ? ' -r -F' : ' -x';
      const choices = option.choices === undefined ? '' : ` -a ${quote(option.choices.join(' '))}`;
      const short = option.short === undefined ? '' : ` -s ${option.short.slice(1)}`;
      lines.push(
        `complete -c plinth -n ${quote(condition)} -l ${option.flag.slice(2)}${short}${value}${choices} -d ${quote(option.description)}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
