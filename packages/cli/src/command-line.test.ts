import { describe, expect, it } from 'vitest';
import { type Invocation, parseCommandLine } from './command-line.ts';
import { commands } from './command-table.ts';
import { plinthVersion } from './version.ts';

const parsed = (...words: string[]): Extract<Invocation, { kind: 'command' }> => {
  const invocation = parseCommandLine(words);
  if (invocation.kind !== 'command') throw new Error(`text: ${invocation.text}`);
  return invocation;
};

const textOf = (...words: string[]): string => {
  const invocation = parseCommandLine(words);
  if (invocation.kind !== 'text') throw new Error(`command: ${invocation.command.name}`);
  return invocation.text;
};

const refusal = (...words: string[]): { code: string; message: string; exitStatus: number } => {
  try {
    parseCommandLine(words);
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'exitStatus' in error) {
      return { code: String(error.code), message: error.message, exitStatus: Number(error.exitStatus) };
    }
    throw error;
  }
  throw new Error(`not refused: ${words.join(' ')}`);
};

describe('plinth run', () => {
  it('needs nothing', () => {
    const { command, arguments: names, options } = parsed('run');
    expect(command.name).toBe('run');
    expect(names).toEqual([]);
    expect(options).toEqual({});
  });

  it('takes image and options in any order', () => {
    const { arguments: names, options } = parsed('run', '--memory', '1G', 'debian-tiny', '--timeout=5');
    expect(names).toEqual(['debian-tiny']);
    expect(options).toEqual({ '--memory': '1G', '--timeout': '5' });
  });

  it('keeps repeated values in their order', () => {
    const { options } = parsed('run', '--initrd', 'a', '--mark', 'x', '--initrd', 'b', '--mark', 'y');
    expect(options['--initrd']).toEqual(['a', 'b']);
    expect(options['--mark']).toEqual(['x', 'y']);
  });

  it('takes the last of an option that is not repeatable', () => {
    expect(parsed('run', '--memory', '1G', '--memory', '2G').options['--memory']).toBe('2G');
  });

  it('takes a value that looks like an option', () => {
    expect(parsed('run', '--append', '--x').options['--append']).toBe('--x');
    expect(parsed('run', '--exec', 'ls --help').options['--exec']).toBe('ls --help');
    expect(parsed('run', '--append=').options['--append']).toBe('');
  });

  it('refuses an unknown option and suggests the one that was meant', () => {
    expect(refusal('run', '--memroy', '1G')).toMatchObject({ code: 'PL-1002', exitStatus: 64 });
    expect(refusal('run', '--memroy', '1G').message).toContain("'plinth run' has no option '--memroy'");
    expect(refusal('run', '--memroy', '1G').message).toContain('did you mean --memory?');
    expect(refusal('run', '-x').message).toContain("'-x'");
  });

  it('refuses an option without its value, and names it', () => {
    expect(refusal('run', '--kernel')).toMatchObject({ code: 'PL-1003', exitStatus: 64 });
    expect(refusal('run', '--kernel').message).toContain("'--kernel'");
  });

  it('refuses two images', () => {
    expect(refusal('run', 'one', 'two')).toMatchObject({ code: 'PL-1008', exitStatus: 64 });
    expect(refusal('run', 'one', 'two').message).toContain('at most 1 argument but got 2');
  });

  it.each([
    ['--generation', '3', '1, 2'],
    ['--engine', 'tcg', 'auto, software, kvm'],
  ])('refuses %s %s', (option, value, choices) => {
    expect(refusal('run', option, value)).toMatchObject({ code: 'PL-1004', exitStatus: 64 });
    expect(refusal('run', option, value).message).toContain(choices);
  });

  const promised = commands.find(({ name }) => name === 'run')?.options.filter(({ built }) => !built) ?? [];
  it('still has promised options that are not built', () => {
    expect(promised.map(({ flag }) => flag)).toContain('--disk');
  });

  it.each(promised.map(({ flag }) => flag))('refuses %s by name', (flag) => {
    const error = refusal('run', flag, 'x');
    expect(error).toMatchObject({ code: 'PL-1005', exitStatus: 64 });
    expect(error.message).toContain(`The option ${flag} is not built yet`);
  });
});

describe('other commands', () => {
  it.each([
    [['image', 'ls'], 'image ls', []],
    [['image', 'build'], 'image build', []],
    [['image', 'build', 'x'], 'image build', ['x']],
    [['image', 'rm', 'x'], 'image rm', ['x']],
    [['inspect'], 'inspect', []],
    [['inspect', 'vms/a/b'], 'inspect', ['vms/a/b']],
    [['explain', '1001'], 'explain', ['1001']],
    [['completion', 'bash'], 'completion', ['bash']],
  ])('%j', (words, name, names) => {
    const invocation = parsed(...words);
    expect(invocation.command.name).toBe(name);
    expect(invocation.arguments).toEqual(names);
  });

  it.each([
    [['-o', 'json'], 'json'],
    [['--output', 'yaml'], 'yaml'],
    [['--output=name'], 'name'],
    [['-otable'], 'table'],
  ])('takes the format %j', (words, format) => {
    expect(parsed('image', 'ls', ...words).options['--output']).toBe(format);
  });

  it('refuses a format that is none', () => {
    expect(refusal('image', 'ls', '-o', 'xml')).toMatchObject({ code: 'PL-1004', exitStatus: 64 });
  });

  it.each([['image', 'rm'], ['explain'], ['completion'], ['image']])('refuses %s without its argument', (...words) => {
    expect(refusal(...words)).toMatchObject({ code: 'PL-1007', exitStatus: 64 });
  });

  it.each([['fly'], ['image', 'fly'], ['runs']])('refuses the unknown %s', (...words) => {
    const error = refusal(...words);
    expect(error).toMatchObject({ code: 'PL-1001', exitStatus: 64 });
    expect(error.message).toContain(`'${words.join(' ')}'`);
  });

  it.each([
    ['vm', 'start', 'x'],
    ['vm', 'create', 'x', '--memory', '1G'],
    ['host', 'start'],
    ['disk', 'create', '--size', '1G'],
    ['checkpoint', 'ls'],
    ['switch', 'ls'],
    ['net', 'add'],
    ['job', 'ls'],
    ['image', 'pull', 'x'],
    ['Get-VM'],
    ['get-vm', '-Name', 'x'],
    ['New-VHD', '-Path', 'x'],
    ['Checkpoint-VM', 'x'],
    ['Get-VMSwitch'],
  ])('refuses the promised %s %s by name', (...words) => {
    const error = refusal(...words);
    expect(error).toMatchObject({ code: 'PL-1006', exitStatus: 64 });
    expect(error.message).toContain(`'plinth ${words[0]}`);
  });

  it('takes a word for a command only where a command stands', () => {
    expect(parsed('run', 'host').arguments).toEqual(['host']);
    expect(parsed('run', '--name', 'vm').options['--name']).toBe('vm');
  });
});

describe('help and version', () => {
  it.each([[[]], [['--help']], [['-h']], [['help']]])('lists the commands that work: plinth %j', (words) => {
    const text = textOf(...words);
    for (const word of ['run', 'image', 'inspect', 'explain', 'completion'])
      expect(text).toMatch(new RegExp(`^  ${word} `, 'm'));
    expect(text).not.toMatch(/^ {2}checkpoint /m);
  });

  it.each(commands.filter(({ built }) => built))('plinth $name --help tells options and examples', (command) => {
    const text = textOf(...command.name.split(' '), '--help');
    expect(text).toContain(`plinth ${command.name}`);
    for (const { flag, built } of command.options)
      expect(text.includes(`${flag}`)).toBe(
        built || command.examples.some((example) => example.command.includes(flag)),
      );
    for (const example of command.examples) expect(text).toContain(example.command);
  });

  it('tells the version', () => {
    expect(textOf('--version').trim()).toBe(plinthVersion());
    expect(plinthVersion()).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
