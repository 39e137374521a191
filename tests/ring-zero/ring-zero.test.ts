/**
 * A multiboot kernel that tries from ring 0 what the manuals promise, on Plinth and, as a second oracle, on QEMU's TCG. Where the two
 * differ the manual decides; `qemuDiffers` says what it says.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endAll, plinth } from '../support/plinth.ts';
import { buildRingZeroKernel, compilerMissing } from '../support/ring-zero-kernel.ts';
import { qemuDiffers } from './qemu-differs.ts';

const missing = compilerMissing();
const qemuThere = spawnSync('qemu-system-x86_64', ['--version']).status === 0;
const folder = mkdtempSync(join(tmpdir(), 'plinth-ring-zero-'));
const partsFile = new URL('kernel/parts.h', import.meta.url);
const parts = [...readFileSync(partsFile, 'utf8').matchAll(/\{"([a-z-]+)"/g)].map(([, name]) => name ?? '');
let kernel = '';
beforeAll(() => {
  if (missing === undefined) kernel = buildRingZeroKernel(folder);
});
afterAll(() => {
  endAll();
  rmSync(folder, { recursive: true, force: true });
});

const failuresOf = (output: string): string[] => [...output.matchAll(/^FAIL (.*?):/gm)].map(([, name]) => name ?? '');

describe('the ring 0 kernel on Plinth', () => {
  for (const translator of ['on', 'force'] as const) {
    it.each(parts)(`finds nothing wrong with %s (translator ${translator})`, async (part) => {
      if (missing !== undefined) return expect.fail(missing);
      const words = ['run', '--kernel', kernel, '--append', part, '--memory', '64M', '--debug-exit', '0xf4'];
      const ended = await plinth(words, { environment: { PLINTH_TRANSLATOR: translator } });
      expect(ended.stdout).not.toMatch(/FAIL|skipped/);
      expect(ended).toMatchObject({ status: 1, stderr: '' });
      expect(ended.stdout).toMatch(new RegExp(`^ok ${part}: 0x[1-9a-f]`, 'm'));
    });
  }

  it('gives it command line, modules and memory map', async () => {
    if (missing !== undefined) return expect.fail(missing);
    const module = join(folder, 'first.module');
    writeFileSync(module, 'A'.repeat(5000));
    const words = ['run', '--kernel', kernel, '--append', 'exceptions', '--initrd', module, '--debug-exit', '0xf4'];
    const { stdout, status } = await plinth(words);
    expect(stdout).toContain('module first.module of 0x1388 bytes begins with 0x41');
    expect(stdout).toContain('ok exceptions');
    expect(status).toBe(1);
  });
});

describe.runIf(qemuThere && missing === undefined)('the ring 0 kernel on QEMU', () => {
  it.each(parts)('agrees on %s, but for what QEMU leaves out', (part) => {
    const words = [
      '-accel',
      'tcg',
      '-cpu',
      'max,-la57',
      '-m',
      '64',
      '-display',
      'none',
      '-serial',
      'stdio',
      '-no-reboot',
    ];
    const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=1', '-kernel', kernel, '-append', part];
    const { stdout } = spawnSync('qemu-system-x86_64', [...words, ...exit], { encoding: 'utf8', timeout: 120_000 });
    expect(failuresOf(stdout).filter((name) => !(name in qemuDiffers))).toEqual([]);
    expect(stdout).toMatch(/0x[0-9a-f]+ checks, /);
  });
});
