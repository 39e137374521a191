import { describe, expect, it } from 'vitest';
import { parseCommandLine } from './command-line.ts';
import { parseRunOptions, type RunRequest } from './run-options.ts';

const request = (...words: string[]): RunRequest => {
  const invocation = parseCommandLine(['run', ...words]);
  if (invocation.kind !== 'command') throw new Error('help');
  return parseRunOptions(invocation.arguments, invocation.options);
};

const codeOf = (...words: string[]): string => {
  try {
    request(...words);
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'exitStatus' in error) return `${error.code} ${error.exitStatus}`;
    throw error;
  }
  return 'accepted';
};

describe('parseRunOptions', () => {
  it('boots the default image with 512 MiB and a console', () => {
    expect(request()).toEqual({
      boot: { kind: 'image', name: 'debian-tiny' },
      machine: { memoryBytes: 2 ** 29, processors: 1, console: { kind: 'stdio' } },
    });
  });

  it('boots files, initrds in their order', () => {
    expect(request('--kernel', 'k', '--initrd', 'a', '--initrd', 'b', '--append', 'quiet').boot).toEqual({
      kind: 'kernel',
      kernel: 'k',
      initrds: ['a', 'b'],
      commandLine: 'quiet',
    });
    expect(request('--kernel', 'k').boot).toEqual({ kind: 'kernel', kernel: 'k', initrds: [], commandLine: '' });
  });

  it('makes a machine of generation 2 when it is asked for', () => {
    expect(request('--generation', '2').machine.generation).toBe(2);
    expect(request().machine.generation).toBeUndefined();
  });

  it('takes every option', () => {
    const words = [
      [
        '--memory',
        '1G',
        '--cpus',
        '1',
        '--generation',
        '1',
        '--engine',
        'software',
        '--exec',
        'true',
        '--timeout',
        '1.5',
      ],
      [
        '--console',
        'file:log',
        '--name',
        'x',
        '--mark',
        'a',
        '--mark',
        'b',
        '--stats',
        's',
        '--trace',
        'ports,msr',
        '--debug-exit',
        '0xf4',
      ],
    ].flat();
    expect(request(...words).machine).toEqual({
      name: 'x',
      memoryBytes: 2 ** 30,
      processors: 1,
      console: { kind: 'file', path: 'log' },
      exec: 'true',
      timeoutSeconds: 1.5,
      marks: ['a', 'b'],
      statisticsFile: 's',
      trace: ['ports', 'msr'],
      debugExitPort: 0xf4,
    });
  });

  it('keeps the console away from standard output with --exec, unless it was asked for', () => {
    expect(request('--exec', 'ls').machine.console).toEqual({ kind: 'none' });
    expect(request('--exec', 'ls', '--console', 'stdio').machine.console).toEqual({ kind: 'stdio' });
  });

  it.each([
    [['--engine', 'kvm'], 'PL-1011 64'],
    [['--kernel', 'k', '--exec', 'ls'], 'PL-1012 64'],
    [['--initrd', 'i'], 'PL-1013 64'],
    [['--append', 'quiet'], 'PL-1013 64'],
    [['image', '--kernel', 'k'], 'PL-1014 64'],
    [['--cpus', '2'], 'PL-1022 64'],
    [['--cpus', '0'], 'PL-1004 64'],
    [['--memory', 'lots'], 'PL-1009 64'],
    [['--timeout', 'never'], 'PL-1004 64'],
    [['--console', 'vga'], 'PL-1004 64'],
    [['--name', '../x'], 'PL-1020 64'],
    [['--trace', 'ports,everything'], 'PL-1004 64'],
    [['--trace', ''], 'PL-1004 64'],
    [['--mark', ''], 'PL-1004 64'],
    [['--exec', ' '], 'PL-1004 64'],
    [['--kernel', ''], 'PL-1004 64'],
    [['--debug-exit', '70000'], 'PL-1004 64'],
    [['--engine', 'auto'], 'accepted'],
  ])('%j: %s', (words, outcome) => {
    expect(codeOf(...words)).toBe(outcome);
  });
});
