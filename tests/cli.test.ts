/**
 * The command line as its users meet it: the launcher `./plinth` in processes of its own. These need no guest but one that halts; runs of guests
 * are in the other files.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Ended, launcher, plinth as plinthIn, type RunOptions, start } from './support/plinth.ts';
import { writeTinyKernel } from './support/tiny-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const home = join(folder, 'home');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Plinth with a folder of its own, so that what stands in the user's cannot matter. */
const plinth = (words: readonly string[], options: RunOptions = {}): Promise<Ended> =>
  plinthIn(words, { ...options, environment: { PLINTH_HOME: home, ...options.environment } });

const missing = join(folder, 'missing');
const text = join(folder, 'notes.txt');
writeFileSync(text, 'This is no kernel.\n'.repeat(100));
const empty = join(folder, 'empty');
writeFileSync(empty, '');

describe('wrong usage ends with 64 and says what to do', () => {
  it.each([
    [['fly'], 'PL-1001'],
    [['run', '--memroy', '1G'], 'PL-1002'],
    [['run', '--kernel'], 'PL-1003'],
    [['run', '--engine', 'tcg'], 'PL-1004'],
    [['run', '--timeout', 'soon'], 'PL-1004'],
    [['run', '--disk', 'disk.vhdx'], 'PL-1005'],
    [['run', '--net', 'default'], 'PL-1005'],
    [['run', '--pcap', 'x'], 'PL-1005'],
    [['vm', 'create', 'x', '--memory', '1G'], 'PL-1006'],
    [['Get-VM'], 'PL-1006'],
    [['image', 'rm'], 'PL-1007'],
    [['run', 'a', 'b'], 'PL-1008'],
    [['run', '--memory', '12 parsecs'], 'PL-1009'],
    [['run', '--engine', 'kvm'], 'PL-1011'],
    [['run', '--kernel', text, '--exec', 'true'], 'PL-1012'],
    [['run', '--append', 'quiet'], 'PL-1013'],
    [['run', 'debian-tiny', '--kernel', text], 'PL-1014'],
    [['explain', 'PL-9999'], 'PL-1015'],
    [['completion', 'tcsh'], 'PL-1016'],
    [['run', '--name', '../x'], 'PL-1020'],
    [['run', '--cpus', '4'], 'PL-1022'],
    [['run', '--kernel', text, '--memory', '1M'], 'PL-2008'],
    [['run', '--kernel', text, '--memory', '1T'], 'PL-2008'],
  ])('plinth %j: %s', async (words, code) => {
    const { status, stdout, stderr } = await plinth(words);
    expect(stderr).toMatch(new RegExp(`^${code}: .+[.?] Try: .+\\.\n$`));
    expect(stdout).toBe('');
    expect(status).toBe(64);
  });

  it('is JSON for programs', async () => {
    const { status, stderr } = await plinth(['image', 'ls', '--all', '-o', 'json']);
    expect(status).toBe(64);
    expect(JSON.parse(stderr)).toMatchObject({ code: 'PL-1002', exitStatus: 64 });
  });
});

describe('unusable input files', () => {
  it.each([
    [['--kernel', missing], 66],
    [['--kernel', folder], 66],
    [['--kernel', text], 65],
    [['--kernel', empty], 65],
    [['no-such-image'], 66],
  ])('plinth run %j ends with %i', async (words, expected) => {
    const { status, stdout, stderr } = await plinth(['run', ...words]);
    expect(stderr).toMatch(/^PL-\d{4}: .+\. Try: .+\.\n$/);
    expect(stdout).toBe('');
    expect(status).toBe(expected);
  });

  it('leaves no socket and no report behind', async () => {
    await plinth(['run', '--kernel', text, '--name', 'gone']);
    const left = existsSync(home) ? readdirSync(home, { recursive: true }).map(String) : [];
    expect(left.filter((name) => name.includes('.sock') || name.includes('fault'))).toEqual([]);
  });

  it('names the folder that cannot be used', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    for (const words of [['run'], ['image', 'build']]) {
      const { status, stderr } = await plinth(words, { environment: { PLINTH_HOME: join(file, 'home') } });
      expect(stderr).toContain(join(file, 'home'));
      expect(stderr).toMatch(/^PL-\d{4}: /);
      expect([1, 66]).toContain(status);
    }
  });
});

describe('commands that answer', () => {
  it('tells its version quickly, from any folder', async () => {
    const { status, stdout, seconds } = await plinth(['--version'], { cwd: folder });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(seconds).toBeLessThan(2);
  });

  it('helps on standard output', async () => {
    for (const words of [[], ['--help'], ['run', '--help'], ['image', '--help'], ['help', 'inspect']]) {
      const { status, stdout, stderr } = await plinth(words);
      expect(status).toBe(0);
      expect(stdout).toContain('plinth');
      expect(stderr).toBe('');
    }
  });

  it('explains every code that it prints', async () => {
    const { status, stdout } = await plinth(['explain', '2008']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^PL-2008 {2}/);
  });

  it('lists images and machines in all formats', async () => {
    for (const format of ['table', 'json', 'yaml', 'name']) {
      const images = await plinth(['image', 'ls', '-o', format]);
      expect(images).toMatchObject({ status: 0, stderr: '' });
      expect(images.stdout).toContain('debian-tiny');
      expect(await plinth(['inspect', 'vms', '-o', format])).toMatchObject({ status: 0, stderr: '' });
    }
  });

  it('ends with 1 for a machine that does not run', async () => {
    const { status, stderr } = await plinth(['inspect', 'vms/nobody']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^PL-1017: /);
  });

  it('takes a socket that nobody is behind for no machine, and keeps its folder to its owner', async () => {
    mkdirSync(join(home, 'run'), { recursive: true, mode: 0o700 });
    const socket = join(home, 'run', 'stale.sock');
    writeFileSync(socket, '');
    expect(await plinth(['inspect', 'vms', '-o', 'name'])).toMatchObject({ status: 0, stdout: '' });
    expect(statSync(join(home, 'run')).mode & 0o077).toBe(0);
  });

  it('ends as programs do when its reader has gone', async () => {
    const piped = start('bash', ['-o', 'pipefail', '-c', `'${launcher}' run --help | true`]);
    const { status } = await piped.ended;
    expect([0, 141]).toContain(status);
  });
});

describe('plinth vm ls', () => {
  it('lists a machine that does not answer, and the others', async () => {
    // sti; hlt; jmp back
    const kernel = writeTinyKernel(folder, 'halts', [0xfb, 0xf4, 0xeb, 0xfd]);
    const machines = ['well', 'stuck'].map((name) => {
      const words = ['run', '--name', name, '--memory', '64M', '--kernel', kernel, '--console', 'none'];
      return start(launcher, words, { environment: { PLINTH_HOME: home } });
    });
    const states = async (): Promise<unknown> => {
      const { status, stdout, stderr } = await plinth(['vm', 'ls', '-o', 'json']);
      if (status !== 0) return stderr;
      const rows = JSON.parse(stdout) as readonly { readonly name: string; readonly state: string }[];
      return Object.fromEntries(rows.map(({ name, state }) => [name, state]));
    };
    try {
      await expect.poll(states, { timeout: 60_000 }).toEqual({ well: 'running', stuck: 'running' });
      machines[1]?.child.kill('SIGSTOP');
      expect(await states()).toEqual({ well: 'running', stuck: 'no-answer' });
    } finally {
      for (const { child } of machines) {
        child.kill('SIGCONT');
        child.kill('SIGTERM');
      }
    }
    expect((await Promise.all(machines.map(({ ended }) => ended))).map(({ status }) => status)).toEqual([143, 143]);
  });
});
