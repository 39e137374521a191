/** `plinth run --gdb`: the GNU debugger itself against a Debian guest. */
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { cloud, ensureImage } from '../support/images.ts';
import { endAll, launcher, plinth, type Running, start } from '../support/plinth.ts';

afterEach(endAll);

const hasDebugger = (() => {
  try {
    execFileSync('gdb', ['--version']);
    return true;
  } catch {
    return false;
  }
})();

async function waiting(name: string): Promise<{ machine: Running; port: string }> {
  await ensureImage(cloud);
  const machine = start(launcher, [
    'run',
    cloud,
    '--gdb',
    '0',
    '--name',
    name,
    '--console',
    'none',
    '--timeout',
    '280',
  ]);
  const deadline = performance.now() + 60_000;
  for (;;) {
    const port = /target remote :(\d+)/.exec(machine.stderr())?.[1];
    if (port !== undefined) return { machine, port };
    if (performance.now() > deadline) throw new Error(`no port: ${machine.stderr()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs gdb with commands; its own chatter is on standard error. */
const debug = (port: string, commands: readonly string[]): Running =>
  start('gdb', [
    ...['-q', '-nx', '-batch', '-ex', 'set pagination off', '-ex', 'set architecture i386:x86-64'],
    ...['-ex', 'set remotetimeout 60', '-ex', `target remote :${port}`],
    ...commands.flatMap((command) => ['-ex', command]),
  ]);
const valuesOf = (text: string): string[] => [...text.matchAll(/^\$\d+ = (.*)$/gm)].map((match) => match[1] ?? '');

describe.skipIf(!hasDebugger)('gdb', () => {
  it('finds the guest before its first instruction, steps, reads and writes, and lets it go', async () => {
    const { machine, port } = await waiting(`gdb-${process.pid}`);
    const first = await debug(port, [
      'p/x $cr0 & 0x80000001',
      'p/x $efer & 0x500',
      'x/i $rip',
      'stepi',
      'stepi',
      'p $rip',
      'set $rbx = 0x1234567890',
      'p/x $rbx',
      'set {int} 0x8000 = 77',
      'p {int} 0x8000',
      'detach',
    ]).ended;
    expect(first.stderr).not.toMatch(/Remote (failure|'.*' error)|Cannot access/);
    const values = valuesOf(first.stdout);
    expect(values.slice(0, 2)).toEqual(['0x80000001', '0x500']);
    expect(first.stdout).toMatch(/=> 0x[0-9a-f]+:\s+cl[di]/);
    expect(values.slice(3, 5)).toEqual(['0x1234567890', '77']);

    // It runs on without its debugger, to its agent.
    const guest = `gdb-${process.pid}`;
    const inGuest = async (command: string): Promise<string> => {
      const deadline = performance.now() + 200_000;
      for (;;) {
        const { status, stdout } = await plinth(['vm', 'exec', guest, command]);
        if (status === 0) return stdout;
        if (performance.now() > deadline) throw new Error(`${command} in ${guest} ended with ${status}`);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    };
    const symbols = await inGuest('grep -E " (__x64_sys_getcwd|jiffies)$" /proc/kallsyms');
    const addressOf = (name: string): string => {
      const line = symbols.split('\n').find((each) => each.endsWith(` ${name}`));
      return `0x${line?.split(' ')[0] ?? ''}`;
    };

    // A kernel function is reached by a program's system call.
    const call = addressOf('__x64_sys_getcwd');
    const stops = debug(port, [
      `break *${call}`,
      'continue',
      `p $rip == ${call}`,
      // pt_regs are its parameter: user code's RAX at 0x78 is the number of the call.
      'p *(long *)($rdi + 0x78)',
      'finish',
      'delete',
      'detach',
    ]);
    await stops.see(/Breakpoint 1 at/, 60);
    const command = plinth(['vm', 'exec', guest, 'cd /proc && pwd -P && /bin/busybox pwd']);
    const stopped = await stops.ended;
    expect(stopped.stdout + stopped.stderr).toMatch(/Breakpoint 1, 0x/);
    expect(valuesOf(stopped.stdout).slice(0, 2)).toEqual(['1', '79']);
    expect(await command).toMatchObject({ status: 0, stdout: '/proc\n/proc\n', stderr: '' });

    // The kernel's clock counts in memory: its writer is found by what it writes.
    const watched = await debug(port, [
      `watch *(unsigned long *) ${addressOf('jiffies')}`,
      'continue',
      'continue',
      'delete',
      'detach',
    ]).ended;
    expect(watched.stdout).toMatch(
      /Hardware watchpoint 1: [\s\S]*Old value = \d+\nNew value = \d+[\s\S]*Old value = \d+\nNew value = \d+/,
    );
    const [first0 = 0, first1 = 0, second0 = 0, second1 = 0] = [
      ...watched.stdout.matchAll(/(?:Old|New) value = (\d+)/g),
    ].map((match) => Number(match[1]));
    // The kernel makes up for ticks that it has missed.
    expect(first1).toBeGreaterThan(first0);
    expect(second0).toBe(first1);
    expect(second1).toBeGreaterThan(second0);

    // Another debugger finds no stop point of the last one; one that is lost lets the guest run on.
    const lost = connect(Number(port), '127.0.0.1');
    await new Promise((resolve) => lost.once('connect', resolve));
    lost.destroy();
    expect(await inGuest('/bin/busybox pwd')).toMatch(/^\//);
    const last = await debug(port, ['monitor quit']).ended;
    expect(last.status).toBe(0);
    expect((await machine.ended).status).toBe(0);
  });

  it('stops a processor that spins with interrupts off', async () => {
    const { machine, port } = await waiting(`gdb-spin-${process.pid}`);
    // jmp to itself, at the first instruction, with interrupts off.
    const spin = await debug(port, ['set {short} $rip = 0xfeeb', 'set $start = $rip', 'detach']).ended;
    expect(spin.status).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const found = await debug(port, ['p/x *(unsigned short *) $rip', 'monitor quit']).ended;
    expect(valuesOf(found.stdout)).toContain('0xfeeb');
    expect((await machine.ended).status).toBe(0);
  });
});

describe('--gdb', () => {
  it('says what is wrong with a port', async () => {
    const taken = await waiting(`gdb-port-${process.pid}`);
    const second = await plinth(['run', cloud, '--gdb', taken.port, '--console', 'none']);
    expect(second.status).toBe(69);
    expect(second.stderr).toContain(`PL-3014: The debugger cannot be waited for on port ${taken.port} (EADDRINUSE)`);
    expect((await plinth(['run', cloud, '--gdb', 'no'])).status).toBe(64);
    taken.machine.child.kill('SIGTERM');
    expect((await taken.machine.ended).status).toBe(143);
  });
});
