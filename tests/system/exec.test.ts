/**
 * `plinth run --exec`: a command in the guest is as exact as one that runs here. The first and the last are booted for their command; the others
 * are of a guest that was saved.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage } from '../support/images.ts';
import { isLong } from '../support/long.ts';
import { endAll, launcher, plinth, quote, start } from '../support/plinth.ts';
import { noise } from '../support/programs.ts';
import { savedGuest } from '../support/saved-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
beforeAll(() => ensureImage(cloud));
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const exec = (command: string, input?: Uint8Array | string, words: readonly string[] = []): ReturnType<typeof plinth> =>
  plinth(['run', ...words, '--exec', command], input === undefined ? {} : { input });
const restored = async (
  command: string,
  input?: Uint8Array | string,
  words: readonly string[] = [],
): ReturnType<typeof plinth> => exec(command, input, [...(await savedGuest()), ...words]);

describe('bytes', () => {
  it('go in and out as they are: 1 MiB of noise through the guest', async () => {
    const input = noise(2 ** 20, 7);
    const { status, bytes, stderr } = await exec('cat; echo "to standard error" >&2; exit 42', input);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(createHash('sha256').update(input).digest('hex'));
    expect({ status, stderr }).toEqual({ status: 42, stderr: 'to standard error\n' });
  });

  it('of both outputs stay apart, without a line end too many, whatever the command is made of', async () => {
    const text = `a'b"c\\d $HOME \`x\` * ü 漢 \n\ttwo lines`;
    const { status, bytes, stderr } = await restored(
      `printf %s ${quote(text)}; printf '\\000\\377\\r\\n\\004' >&2; printf '\\000\\001\\377'`,
    );
    expect(bytes).toEqual(Buffer.concat([Buffer.from(text), Buffer.from([0, 1, 0xff])]));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '\0\ufffd\r\n\u0004' });
  });
});

describe('the status', () => {
  const always: [string, string, number][] = [
    ['of a program that is not there', 'no-such-program', 127],
    ['of a command that a signal ended', 'kill -TERM $$', 143],
  ];
  const more: [string, string, number][] = [
    ['of success', 'true', 0],
    ['of failure', 'false', 1],
    ['of the largest', 'exit 255', 255],
    ['of a file that is no program', 'touch x; ./x', 126],
    ['of a command that was killed', 'kill -KILL $$', 137],
    ['of a syntax error', 'if', 2],
  ];
  it.each(isLong ? [...always, ...more] : always)('is that %s: %s', async (_, command, status) => {
    expect((await restored(command)).status).toBe(status);
  });

  it('comes though nobody reads the input, and though something of the command lives on', async () => {
    const result = await restored('sleep 1000 & echo started; exit 5', noise(3_000_000));
    expect(result).toMatchObject({ status: 5, stdout: 'started\n' });
  });
});

describe('the end from outside', () => {
  it('by --timeout is 124, and what was printed until then is there', async () => {
    // Long enough for the guest to get as far as the command, whatever else the host has to do.
    const limit = 5 + Math.ceil(3 * (await restored('true')).seconds);
    const command = 'echo before; sleep 100000';
    const { status, stdout, stderr, seconds } = await restored(command, '', ['--timeout', `${limit}`]);
    expect({ status, stdout }).toEqual({ status: 124, stdout: 'before\n' });
    expect(stderr).toMatch(new RegExp(`^PL-3002: .+ ${limit} seconds.+ Try: `));
    expect(seconds).toBeLessThan(2 * limit);
  });

  it('by a signal is 128 + n', async () => {
    const running = start(launcher, ['run', ...(await savedGuest()), '--exec', 'echo started; sleep 1000']);
    await running.see('started\n');
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ status: 143, stdout: 'started\n', stderr: '' });
  });
});

describe('a guest that ends under its command', () => {
  it('is an error that says so', async () => {
    const { status, stderr } = await restored('poweroff -f');
    expect(stderr).toMatch(/^PL-3009: .+ Try: .+\n$/);
    expect(status).toBe(75);
  });
});

describe('a command beside the console', () => {
  it('leaves the console to a file', async () => {
    const file = join(folder, 'console.log');
    const { status, stdout, stderr } = await exec('echo out; echo to the console >/dev/console', '', [
      '--console',
      `file:${file}`,
    ]);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'out\n', stderr: '' });
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('Linux version 6.1');
    expect(text).toContain('to the console\r\n');
    expect(text).not.toContain('out\r\n');
  });
});

describe('a command that cannot be', () => {
  it.each([
    ['empty', '  ', 'PL-1004'],
    ['too long', 'x'.repeat(200_000), 'PL-2112'],
  ])('is refused: %s', async (_, command, code) => {
    // A command line has a limit of its own on the host, so the long one stays below it: 128 KiB for one word.
    const { status, stdout, stderr } = await restored(command.slice(0, 130_000));
    expect(stderr).toMatch(new RegExp(`^${code}: `));
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
  });
});

// Not even registered otherwise: a test that does not belong to a run is no skip of it.
if (isLong) {
  describe('large amounts', { timeout: 3_600_000 }, () => {
    it('come out whole: 24 MiB', async () => {
      const { status, bytes } = await exec('seq 1 3400000');
      const sum = createHash('sha256');
      for (let first = 1; first <= 3_400_000; first += 100_000) {
        sum.update(Array.from({ length: 100_000 }, (_, index) => `${first + index}\n`).join(''));
      }
      expect(status).toBe(0);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sum.digest('hex'));
    });

    it('go in whole: 16 MiB, from a file', async () => {
      const file = join(folder, 'input');
      const input = noise(2 ** 24, 3);
      writeFileSync(file, input);
      const run = start('bash', ['-c', `${quote(launcher)} run --exec 'sha256sum; echo done >&2' <${quote(file)}`]);
      const { status, stdout, stderr } = await run.ended;
      expect(stdout).toBe(`${createHash('sha256').update(input).digest('hex')}  -\n`);
      expect({ status, stderr }).toEqual({ status: 0, stderr: 'done\n' });
    });
  });
}
