/**
 * A multiboot kernel that tries from ring 0 what the manuals promise, on Plinth and, as a second oracle, on QEMU's TCG. Where the two
 * differ the manual decides; `qemuDiffers` says what it says.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ended, endAll, plinth } from '../support/plinth.ts';
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

/** What a run of all parts says of each: from the end of the part before it to its own. */
function partsOf(output: string): ReadonlyMap<string, string> {
  const ends = [...output.matchAll(/^(?:not )?ok ([a-z-]+): .*$/gm)];
  return new Map(
    ends.map(({ 0: line, 1: name = '', index }, nth) => {
      const before = ends[nth - 1];
      const from = before === undefined ? 0 : before.index + before[0].length;
      return [name, output.slice(from, index + line.length)];
    }),
  );
}

describe('the ring 0 kernel on Plinth', () => {
  describe.each(['on', 'force'])('with PLINTH_TRANSLATOR=%s', (translator) => {
    let ended: Ended;
    beforeAll(async () => {
      if (missing !== undefined) return expect.fail(missing);
      const words = ['run', '--kernel', kernel, '--memory', '64M', '--debug-exit', '0xf4'];
      ended = await plinth(words, { environment: { PLINTH_TRANSLATOR: translator } });
    });

    it.each(parts)('finds nothing wrong with %s', (part) => {
      const said = partsOf(ended.stdout).get(part);
      expect(said).toMatch(new RegExp(`^ok ${part}: 0x[1-9a-f]`, 'm'));
      expect(said).not.toMatch(/FAIL|skipped/);
    });

    it('comes to its end', () => {
      expect(ended).toMatchObject({ status: 1, stderr: '' });
      expect(ended.stdout).toMatch(/^0x[1-9a-f][0-9a-f]* checks, 0x0 failures$/m);
    });
  });

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
  let said: ReadonlyMap<string, string>;
  beforeAll(() => {
    const machine = ['-accel', 'tcg', '-cpu', 'max,-la57', '-m', '64', '-display', 'none', '-serial', 'stdio'];
    const exit = ['-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=1'];
    // QEMU's command line is never empty, so that it names all parts.
    const words = [...machine, ...exit, '-kernel', kernel, '-append', parts.join(' ')];
    const { stdout } = spawnSync('qemu-system-x86_64', words, { encoding: 'utf8', timeout: 120_000 });
    said = partsOf(stdout);
  });

  it.each(parts)('agrees on %s, but for what QEMU leaves out', (part) => {
    const output = said.get(part) ?? '';
    expect(failuresOf(output).filter((name) => !(name in qemuDiffers))).toEqual([]);
    expect(output).toMatch(/0x[0-9a-f]+ checks/);
  });
});
