/** Guests that go wrong: each ends with the contract's status, an error that teaches, and a report of what the processor did. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage, generic, imageFiles } from '../support/images.ts';
import { type Ended, endAll, launcher, plinth, start } from '../support/plinth.ts';
import { savedGuest } from '../support/saved-guest.ts';
import { code, entryPoint, writeTinyKernel } from '../support/tiny-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
beforeAll(async () => {
  await ensureImage(cloud);
  await ensureImage(generic);
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The report that an error names. */
function reportOf({ stderr }: Ended): string {
  const path = /the report is (\S+\.txt)/.exec(stderr)?.[1];
  if (path === undefined) throw new Error(`no report is named in: ${stderr}`);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  return readFileSync(path, 'utf8');
}

/** What every report of a crash has, whatever the crash was. */
function expectComplete(report: string): void {
  for (const register of [
    'Rip',
    'Rflags',
    'Rax',
    'R15',
    'Rsp',
    'Cr0',
    'Cr2',
    'Cr3',
    'Cr4',
    'Efer',
    'Cs',
    'Ss',
    'Gdtr',
    'Idtr',
  ]) {
    expect(report).toMatch(new RegExp(`^${register} +\\S`, 'm'));
  }
  expect(report).toMatch(/^(64-bit|32-bit \w+|real|16-bit \w+) mode, ring \d, paging (on|off), interrupts (on|off)$/m);
  expect(report).toMatch(/^Code at RIP\n(0x[0-9a-f]+: ([0-9a-f]{2} )*<([0-9a-f]{2} ?)+>|not mapped to memory)$/m);
  expect(report).toMatch(/^Last exceptions, the newest last\n\S/m);
  expect(report).toMatch(/^Last branches, the newest first .+\n\S/m);
  expect(report).toMatch(/^[1-9]\d* instructions executed$/m);
}

/** The lines of the last branches in a report, the newest first. */
function branchesOf(report: string): string[] {
  const lines = report.split('\n');
  const first = lines.findIndex((line) => line.startsWith('Last branches')) + 1;
  return lines.slice(first, lines.indexOf('', first));
}

/** How guest code is executed, by PLINTH_TRANSLATOR. */
const TRANSLATORS = ['off', 'on', 'force'];

describe('machine code that goes nowhere', () => {
  /** Runs a guest of a few bytes; its folder is its own. */
  const run = (name: string, bytes: readonly number[], words: readonly string[] = []): Promise<Ended> =>
    plinth(['run', '--kernel', writeTinyKernel(folder, name, bytes), '--memory', '64M', ...words], {
      environment: { PLINTH_HOME: join(folder, 'home') },
    });

  it('a triple fault', async () => {
    const words = code.print('last words\n');
    const result = await run('triple-fault', [...words, ...code.tripleFault]);
    expect(result).toMatchObject({ status: 75, stdout: 'last words\n' });
    const address = `0x${(entryPoint + words.length).toString(16)}`;
    expect(result.stderr).toMatch(
      new RegExp(`^PL-4002: The guest crashed: triple fault at ${address}\\. .+#UD.+ Try: .+\\.\n$`),
    );
    const report = reportOf(result);
    expectComplete(report);
    expect(report).toContain('64-bit mode, ring 0, paging on, interrupts off');
    expect(report).toMatch(new RegExp(`^Rip +0x0*${(entryPoint + words.length).toString(16)}$`, 'm'));
    expect(report).toMatch(new RegExp(`${address}: .* <0f 0b `));
    expect(report).toMatch(new RegExp(`#UD +error 0x0 at RIP ${address}`));
    expect(report).toContain('last words');
    expect(report).toMatch(/^[1-9]\d* instructions executed$/m);
  });

  it('garbage: bytes of text', async () => {
    const result = await run('garbage', [...Buffer.from('This is no machine code at all, dear processor.')]);
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-400[24]: .+ Try: /);
    expectComplete(reportOf(result));
  });

  it('a jump to where nothing is', async () => {
    // mov $0x7f0000000000,%rax; jmp *%rax
    const result = await run('nowhere', [0x48, 0xb8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0xff, 0xe0]);
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-4002: .+triple fault at 0x0*7f0000000000.+#PF/);
    const report = reportOf(result);
    expectComplete(report);
    expect(report).toContain('Code at RIP\nnot mapped to memory');
    expect(report).toMatch(/#PF +error 0x0 at RIP 0x7f0000000000 address 0x7f0000000000/);
  });

  describe.each(TRANSLATORS)('who led to it is told with PLINTH_TRANSLATOR=%s:', (translator) => {
    const environment = { PLINTH_HOME: join(folder, 'home'), PLINTH_TRANSLATOR: translator };
    const runWith = (name: string, bytes: readonly number[]): Promise<Ended> =>
      plinth(['run', '--kernel', writeTinyKernel(folder, `${name}-${translator}`, bytes), '--memory', '64M'], {
        environment,
      });
    const wild = [0x48, 0xb8, 0, 0, 0, 0, 0, 0x7f, 0, 0];
    const at = (offset: number): string => `0x${(entryPoint + offset).toString(16)}`;

    it.each([
      ['a jump', [...wild, 0xff, 0xe0], 10],
      ['a call', [...wild, 0xff, 0xd0], 10],
      // push %rax; ret
      ['a return to a smashed stack', [...wild, 0x50, 0xc3], 11],
    ])('%s to where nothing is', async (what, bytes, offset) => {
      // The stack of a kernel that has just been entered is its own to make: lea 0x2000(%rip),%rsp
      const stack = [0x48, 0x8d, 0x25, 0, 0x20, 0, 0];
      const result = await runWith(what.replaceAll(' ', '-'), [...stack, ...bytes]);
      expect(result.status).toBe(75);
      expect(branchesOf(reportOf(result))).toEqual([`${at(stack.length + offset)} -> 0x7f0000000000`]);
    });

    it('such a jump out of code that ran often, and the loop before it', async () => {
      // mov $500000,%ecx; dec %ecx; jnz; then the jump
      const result = await runWith('hot', [0xb9, 0x20, 0xa1, 7, 0, 0xff, 0xc9, 0x75, 0xfc, ...wild, 0xff, 0xe0]);
      expect(result.status).toBe(75);
      const [jump, ...before] = branchesOf(reportOf(result));
      expect(jump).toBe(`${at(19)} -> 0x7f0000000000`);
      // Translated, the loop's rounds are recorded only where they leave it.
      if (translator !== 'force') expect(before.length).toBeGreaterThan(0);
      for (const line of before)
        expect(line).toMatch(new RegExp(`^${at(7)} -> ${at(5)}( \\(translated\\))?(, \\d+ times)?$`));
    });
  });

  it('halting with interrupts off', async () => {
    const result = await run('halt', code.haltForever);
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-4003: .+ Try: /);
    expectComplete(reportOf(result));
  });

  it('spinning with interrupts off ends by --timeout', async () => {
    const result = await run('spin', code.spin, ['--timeout', '1']);
    expect(result).toMatchObject({ status: 124, stdout: '' });
    expect(result.stderr).toMatch(/^PL-3002: .+ Try: /);
    expect(result.seconds).toBeLessThan(4);
  });

  it('spinning with interrupts off ends by a signal, and can be looked into before', async () => {
    const environment = { PLINTH_HOME: join(folder, 'home') };
    const kernel = writeTinyKernel(folder, 'spin', code.spin);
    const running = start(launcher, ['run', '--kernel', kernel, '--name', 'spinning'], { environment });
    await expect
      .poll(
        async () => (await plinth(['inspect', 'vms/spinning/processors/0/registers/Rip'], { environment })).stdout,
        {
          timeout: 20_000,
        },
      )
      .toMatch(new RegExp(`0x0*${(entryPoint + 1).toString(16)}`));
    const code8 = await plinth(['inspect', 'vms/spinning/processors/0/code/after'], { environment });
    expect(code8.stdout).toMatch(/^"?eb fe /);
    const branches = await plinth(['inspect', 'vms/spinning/processors/0/branches', '-o', 'json'], { environment });
    const place = `0x${(entryPoint + 1).toString(16)}`;
    expect(JSON.parse(branches.stdout)[0]).toMatchObject({ from: place, to: place, event: null });
    running.child.kill('SIGINT');
    expect((await running.ended).status).toBe(130);
  });
});

describe('Linux that panics', () => {
  it.each(TRANSLATORS.slice(0, 2))('tells its last branches with PLINTH_TRANSLATOR=%s', async (translator) => {
    const words = ['run', ...(await savedGuest()), '--exec', 'echo c >/proc/sysrq-trigger; sleep 1000'];
    const result = await plinth(words, { environment: { PLINTH_TRANSLATOR: translator } });
    expect(result.status).toBe(75);
    const lines = branchesOf(reportOf(result));
    expect(lines.length).toBeGreaterThanOrEqual(16);
    for (const line of lines) {
      expect(line).toMatch(/^0x[0-9a-f]+ -> 0x[0-9a-f]+(, (#[A-Z]+|vector \d+))?( \(translated\))?(, \d+ times)?$/);
      if (translator === 'off') expect(line).not.toContain('translated');
    }
  });

  it('by the SysRq key: 75, its reason, and its log in the report', async () => {
    const result = await plinth(['run', '--exec', 'echo going; sleep 1; echo c >/proc/sysrq-trigger; sleep 1000']);
    expect(result).toMatchObject({ status: 75, stdout: 'going\n' });
    expect(result.stderr).toMatch(/^PL-4001: The guest crashed: .*sysrq triggered crash.* Try: .+\n$/);
    const report = reportOf(result);
    expectComplete(report);
    expect(report).toMatch(/The guest's own log\n[\s\S]*Kernel panic - not syncing: sysrq triggered crash/);
    expect(report).toMatch(/End of the console\n[\s\S]*Kernel panic - not syncing/);
    expect(report).toMatch(/^command line {2}.*console=ttyS0$/m);
  });

  it('because it has no root: 75 and its reason', async () => {
    const result = await plinth([
      'run',
      '--kernel',
      imageFiles(cloud).kernel,
      '--append',
      'console=ttyS0',
      '--timeout',
      '120',
    ]);
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-4001: The guest crashed: .*VFS: Unable to mount root fs.* Try: /m);
    expect(result.stdout).toContain('Kernel panic - not syncing: VFS: Unable to mount root fs');
    expectComplete(reportOf(result));
  });

  it('because its first program ends: 75 and its reason', async () => {
    const words = ['--kernel', imageFiles(cloud).kernel, '--initrd', imageFiles(cloud).initrd];
    const result = await plinth(['run', ...words, '--append', 'console=ttyS0 rdinit=/bin/false', '--timeout', '120']);
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-4001: The guest crashed: .*Attempted to kill init!.* Try: /m);
  });

  it('and is told to restart after it: still 75', async () => {
    const command = 'echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger';
    const result = await plinth(['run', ...(await savedGuest()), '--exec', command]);
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-4001: /);
  });
});

describe('Linux that panics early, as memory is too small', () => {
  it.each([
    [cloud, '80M'],
    [generic, '100M'],
  ])('%s with %s: 75 and its reason', async (image, memory) => {
    const result = await plinth(['run', image, '--memory', memory, '--exec', 'echo never', '--timeout', '120']);
    expect(result).toMatchObject({ status: 75, stdout: '' });
    expect(result.stderr).toMatch(/^PL-4001: The guest crashed: .*System is deadlocked on memory.* Try: .+\n$/);
    expectComplete(reportOf(result));
  });
});

/** A kernel that is to take no notice of Hyper-V, and so does not use its crash registers. */
describe('Linux that panics and cannot say why', () => {
  /** The end of a panic in the report, with the processor as it was when the kernel reset the machine. */
  const expectPanic = (result: Ended, reason: string): void => {
    expect(result.stderr).toMatch(/^PL-4005: The guest panicked and reset the machine\. .+ Try: .+\.$/m);
    expect(result.status).toBe(75);
    const report = reportOf(result);
    expectComplete(report);
    expect(report).toMatch(new RegExp(`End of the console\n[\\s\\S]*Kernel panic - not syncing: ${reason}`));
    expect(report).toMatch(/^64-bit mode, ring 0, paging on/m);
  };

  it.each([
    [cloud, '80M', 'nopv'],
    [cloud, '80M', 'nopv nokaslr'],
    [generic, '100M', 'nopv'],
  ])('because memory is too small for %s: %s %s', async (image, memory, more) => {
    const { kernel, initrd } = imageFiles(image);
    const words = ['--kernel', kernel, '--initrd', initrd, '--append', `console=ttyS0 ${more}`, '--memory', memory];
    const result = await plinth(['run', ...words, '--timeout', '120']);
    expectPanic(result, 'System is deadlocked on memory');
    expect(result.stdout).toContain('Kernel panic - not syncing: System is deadlocked on memory');
    // Once, not in a loop of resets.
    expect(result.stdout.match(/Linux version/g)).toHaveLength(1);
    expect(result.stderr).not.toContain('guest: ');
  });

  it('with its console unseen: its end is shown', async () => {
    const { kernel, initrd } = imageFiles(cloud);
    const words = ['--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS0 nopv', '--memory', '80M'];
    const result = await plinth(['run', ...words, '--console', 'none', '--timeout', '120']);
    expectPanic(result, 'System is deadlocked on memory');
    expect(result.stdout).toBe('');
    expect(result.stderr).toMatch(/^guest: .*Kernel panic - not syncing: System is deadlocked on memory$/m);
  });

  it('because it has no store: the same, whenever it panics', async () => {
    const { kernel, initrd } = imageFiles(cloud);
    const line = 'console=ttyS0 nopv erst_disable rdinit=/bin/false';
    const result = await plinth(['run', '--kernel', kernel, '--initrd', initrd, '--append', line, '--timeout', '120']);
    expectPanic(result, 'Attempted to kill init!');
  });

  it('and is told by its user how to end: as the user says', async () => {
    const { kernel, initrd } = imageFiles(cloud);
    const line = 'console=ttyS0 panic=0 erst_disable rdinit=/bin/false';
    const words = ['--kernel', kernel, '--initrd', initrd, '--append', line];
    const running = start(launcher, ['run', ...words]);
    await running.see(/---\[ end Kernel panic/, 120);
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ status: 143, stderr: '' });
  });
});

describe('Linux that halts', () => {
  it('for good: 75, and what to do instead', async () => {
    const running = start(launcher, ['run', ...(await savedGuest())]);
    running.type('halt -f\n');
    const result = await running.ended;
    expect(result.status).toBe(75);
    expect(result.stderr).toMatch(/^PL-4003: .+ Try: poweroff/m);
  });
});
