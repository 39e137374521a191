import { execFileSync } from 'node:child_process';
import { catalogue } from '@plinth/errors';
import { describe, expect, it } from 'vitest';
import { commands } from './command-table.ts';
import { completionScript } from './completion.ts';
import { explainCommand } from './explain-command.ts';
import { startProgress } from './progress.ts';
import { commandReference, errorReference } from './reference.ts';

describe('plinth explain', () => {
  it('tells what, why, what next and the status', () => {
    expect(explainCommand('1001', 'table')).toBe(
      [
        "PL-1001  There is no command 'COMMAND'.",
        '',
        'Why:          The first word after plinth names a command, and this one is not among them.',
        'Try:          plinth --help',
        'Exit status:  64 (wrong usage)',
        '',
      ].join('\n'),
    );
  });

  it('is data for programs', () => {
    expect(JSON.parse(explainCommand('PL-1001', 'json'))).toMatchObject({ code: 'PL-1001', exitStatus: 64 });
    expect(explainCommand('PL-1001', 'yaml')).toContain('exitStatus: 64\n');
    expect(explainCommand('pl1001', 'name')).toBe('PL-1001\n');
  });

  it('refuses what is no code', () => {
    expect(() => explainCommand('PL-0', 'table')).toThrowError(
      expect.objectContaining({ code: 'PL-1015', exitStatus: 64 }),
    );
  });
});

describe('plinth completion', () => {
  it.each(['bash', 'zsh', 'fish'])('the script for %s names every command and no other', (shell) => {
    const script = completionScript(shell);
    for (const { name, built } of commands) {
      if (built) for (const word of name.split(' ')) expect(script).toContain(word);
    }
    expect(script).not.toContain('checkpoint');
    expect(script).not.toContain('pcap');
  });

  it('completes words in bash', () => {
    const complete = (...words: string[]): string[] =>
      execFileSync('bash', [], {
        input: `${completionScript('bash')}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _plinth; printf '%s\\n' "\${COMPREPLY[@]}"\n`,
      })
        .toString()
        .split('\n')
        .filter((word) => word !== '');
    expect(complete('plinth', 'in')).toEqual(['inspect']);
    expect(complete('plinth', 'image', '')).toEqual(['ls', 'build', 'rm']);
    expect(complete('plinth', 'image', 'ls', '--o')).toEqual(['--output']);
    expect(complete('plinth', 'image', 'ls', '-o', 'j')).toEqual(['json']);
    expect(complete('plinth', 'run', '--eng')).toEqual(['--engine']);
    expect(complete('plinth', 'run', '--engine', 's')).toEqual(['software']);
    expect(complete('plinth', 'completion', 'f')).toEqual(['fish']);
  });

  it('refuses other shells by name', () => {
    expect(() => completionScript('tcsh')).toThrowError(expect.objectContaining({ code: 'PL-1016' }));
  });
});

describe('reference docs', () => {
  it('has every code of the catalogue', () => {
    const text = errorReference();
    for (const code of Object.keys(catalogue)) expect(text).toContain(`### ${code}\n`);
    expect(text).not.toMatch(/\{\w+\}/);
  });

  it('has every command and option, the refused ones too', () => {
    const text = commandReference();
    for (const command of commands) {
      expect(text).toContain(`plinth ${command.name}`);
      for (const { flag } of command.options) expect(text).toContain(flag);
    }
  });
});

describe('progress', () => {
  const record = (isTTY: boolean) => {
    const written: string[] = [];
    let time = 0;
    const progress = startProgress({ isTTY, columns: 30, write: (text) => written.push(text) }, () => time);
    return { written, progress, wait: (milliseconds: number) => (time += milliseconds) };
  };

  it('is a line for each stage in a log', () => {
    const { written, progress, wait } = record(false);
    progress.stage('downloading', 'a');
    progress.stage('downloading', 'b');
    wait(4000);
    progress.stage('unpacking');
    progress.done('built');
    expect(written.join('')).toBe('downloading\ndownloading: 4.0 s\nunpacking\nbuilt (4.0 s)\n');
  });

  it('rewrites one line on a terminal, never wider than it', () => {
    const { written, progress, wait } = record(true);
    progress.stage('downloading a very long name of a package', 'detail');
    wait(1500);
    progress.done('built');
    const [first = ''] = written;
    expect(first.startsWith('\r')).toBe(true);
    expect(first.replace('\r', '').replace('\u001b[K', '').length).toBeLessThan(30);
    expect(written.at(-1)).toBe('built (1.5 s)\n');
    expect(written.at(-2)).toBe('downloading a very long name of a package: 1.5 s\n');
    expect(written.at(-3)).toBe('\r\u001b[K');
  });

  it('leaves the line empty when the work fails', () => {
    const { written, progress } = record(true);
    progress.stage('x');
    progress.stop();
    expect(written.at(-1)).toBe('\r\u001b[K');
  });
});
