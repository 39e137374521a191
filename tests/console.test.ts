/** The console of a guest as its user meets it: the terminal, the way out, signals, time limits, one command, inspection. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { endAll, launcher, plinth, quote, start, startOnTerminal } from './support/plinth.ts';
import { savedGuest } from './support/saved-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const prompt = /init started after[\s\S]*# /;

beforeAll(async () => {
  const { status, stderr } = await plinth(['image', 'build', '--if-missing']);
  if (status !== 0) throw new Error(stderr);
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('on a terminal', () => {
  it('gives the guest the keys, leaves with Ctrl+] q and restores the terminal', async () => {
    const [before, after] = [join(folder, 'before'), join(folder, 'after')];
    const command = `stty -g > ${before}; ${quote(launcher)} run; echo "status $?"; stty -g > ${after}`;
    const terminal = startOnTerminal(`sh -c ${quote(command)}`);
    await terminal.see(prompt);
    terminal.type('echo $((6 * 7)) answers\r');
    await terminal.see('42 answers');
    // Ctrl+C is the guest's: it ends a program there, and nothing here.
    // (The program itself says that it runs: while the shell edits a line, its terminal is raw and the key is the shell's, and between
    // fork and exec the shell's child still has the shell's handlers, so that an interrupt that comes then is lost.)
    terminal.type('sh -c \'echo sl""eeping; exec sleep 1000\'\r');
    await terminal.see('sleeping');
    terminal.type('\u0003');
    terminal.type('echo $((5 + 5)) more\r');
    await terminal.see('10 more');
    terminal.type('\u001dq');
    await terminal.see('status 0', 10);
    terminal.child.stdin?.end();
    await terminal.ended;
    expect(readFileSync(after, 'utf8')).toBe(readFileSync(before, 'utf8'));
  });

  it('restores the terminal after SIGTERM', async () => {
    const [before, after] = [join(folder, 'before'), join(folder, 'after')];
    const run = `${quote(launcher)} run & pid=$!; (sleep 3; kill $pid) & wait $pid; echo "status $?"`;
    // The run must be in the foreground of the terminal to read it, and a shell's background job is not: no job control then.
    const terminal = startOnTerminal(`sh -c ${quote(`stty -g > ${before}; ${run} <&0; stty -g > ${after}`)}`);
    await terminal.see('status 143', 30);
    terminal.child.stdin?.end();
    await terminal.ended;
    expect(readFileSync(after, 'utf8')).toBe(readFileSync(before, 'utf8'));
  });
});

describe('signals and time limits', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends a run with %i, whenever it comes', async (signal, status) => {
    for (const seconds of [0.15, 2]) {
      const running = start(launcher, ['run']);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      running.child.kill(signal);
      const ended = await running.ended;
      expect(ended.status).toBe(status);
      expect(ended.stderr).not.toContain('PL-3001');
    }
  });

  it('--timeout turns the machine off with 124 and says so', async () => {
    const { status, stderr, seconds } = await plinth(['run', '--timeout', '1.5']);
    expect(stderr).toMatch(/^PL-3002: /m);
    expect(status).toBe(124);
    expect(seconds).toBeLessThan(6);
  });

  it('ends when nobody reads the console any more', async () => {
    const running = start('bash', [
      '-c',
      `${quote(launcher)} run --timeout 60 | head -c 1000 > /dev/null; echo "\${PIPESTATUS[0]}"`,
    ]);
    const { stdout, seconds } = await running.ended;
    expect(stdout).toBe('141\n');
    expect(seconds).toBeLessThan(30);
  });
});

describe('--exec', () => {
  it('gives the output alone, and the status', async () => {
    const { status, stdout, stderr } = await plinth(['run', '--exec', 'echo out; echo err >&2; exit 3']);
    expect({ status, stdout, stderr }).toEqual({ status: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  it('gives the command its standard input, every byte as it is', async () => {
    const input = Array.from({ length: 3000 }, (_, index) => `line ${index} \u0000\u0001\u001d\u007f`).join('\n');
    const { status, stdout } = await plinth(['run', ...(await savedGuest()), '--exec', 'cat'], { input });
    expect(status).toBe(0);
    expect(stdout).toBe(input);
  });
});

describe('inspection', () => {
  it('shows a running machine by its name or the beginning of it', async () => {
    const running = start(launcher, ['run', ...(await savedGuest()), '--name', 'inspected-guest', '--console', 'none']);
    try {
      await expect
        .poll(async () => (await plinth(['inspect', 'vms', '-o', 'name'])).stdout, { timeout: 10_000 })
        .toContain('inspected-guest\n');
      const { status, stdout } = await plinth(['inspect', 'vms/inspected', '-o', 'json']);
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        name: 'inspected-guest',
        state: 'running',
        configuration: { memoryBytes: 2 ** 29 },
      });
      const part = await plinth(['inspect', 'vms/inspected-guest/configuration/memoryBytes']);
      expect(part.stdout).toBe(`${2 ** 29}\n`);
      const nothing = await plinth(['inspect', 'vms/inspected-guest/nothing']);
      expect(nothing.status).toBe(1);
      expect(nothing.stderr).toMatch(/^PL-1018: /);
      const twin = await plinth(['run', '--name', 'inspected-guest', '--console', 'none', '--timeout', '20']);
      expect(twin.status).toBe(1);
      expect(twin.stderr).toMatch(/^PL-1019: /);
    } finally {
      running.child.kill('SIGTERM');
    }
    expect((await running.ended).status).toBe(143);
    expect((await plinth(['inspect', 'vms', '-o', 'name'])).stdout).not.toContain('inspected-guest');
  });
});
