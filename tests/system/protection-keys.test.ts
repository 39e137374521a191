/**
 * Protection keys in a Linux guest: Debian's kernel finds them, and a program of C gets what pkeys(7) promises.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCpio } from '@plinth/images';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestConsole } from '../support/guest-shell.ts';
import { cloud, ensureImage, imageFiles } from '../support/images.ts';
import { endAll } from '../support/plinth.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const source = new URL('guest/protection-keys.c', import.meta.url).pathname;
const extra = join(folder, 'keys.cpio');
const compilerThere = spawnSync('gcc', ['--version']).status === 0;
beforeAll(async () => {
  await ensureImage(cloud);
  if (!compilerThere) return;
  const program = join(folder, 'protection-keys');
  const compiled = spawnSync('gcc', ['-O2', '-static', '-pthread', '-Wall', '-Werror', '-o', program, source], {
    encoding: 'utf8',
  });
  expect(compiled.stderr).toBe('');
  writeFileSync(
    extra,
    writeCpio([{ kind: 'file', path: 'protection-keys', mode: 0o755, contents: readFileSync(program) }]),
  );
});
afterAll(() => {
  endAll();
  rmSync(folder, { recursive: true, force: true });
});

async function boot(words: readonly string[]): Promise<GuestConsole> {
  const { kernel, initrd } = imageFiles(cloud);
  const files = ['--kernel', kernel, '--initrd', initrd, '--initrd', extra];
  return GuestConsole.boot([...files, '--append', 'console=ttyS0', ...words]);
}

describe('protection keys in a Linux guest', () => {
  it('do what pkeys(7) says; the kernel keeps them by XSAVES, in its compacted form', async (context) => {
    if (!compilerThere) return context.skip('gcc is not installed');
    const guest = await boot([]);
    const told = await guest.run('grep -m1 -ow ospke /proc/cpuinfo; grep -m1 -ow xsaves /proc/cpuinfo');
    expect(told.output).toBe('ospke\nxsaves\n');
    expect((await guest.run('dmesg')).output).toMatch(
      /xstate features 0x207, context size is 840 bytes, using 'compacted'/,
    );
    const { status, output } = await guest.run('/protection-keys');
    expect(output).toBe('24 checks, 0 failures\n');
    expect(status).toBe(0);
    guest.type('poweroff -f\n');
    await guest.process.ended;
  });

  it('are not there when CPUID does not tell of them', async (context) => {
    if (!compilerThere) return context.skip('gcc is not installed');
    const guest = await boot(['--cpu-features', 'v2,-pku']);
    const { status, output } = await guest.run('/protection-keys');
    expect(output).toContain('no keys');
    expect(status).toBe(1);
    guest.type('poweroff -f\n');
    await guest.process.ended;
  });
});
