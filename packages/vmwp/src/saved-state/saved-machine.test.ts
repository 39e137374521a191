/**
 * A machine that is saved and runs again, with guests of a few instructions: what they count, read and print goes on where it was.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunResult, VirtualMachineConfiguration } from '../configuration.ts';
import { requestControl, runningMachines } from '../control-socket.ts';
import { runMachine } from '../run-virtual-machine.ts';
import { softwareEngine } from '../software-engine.ts';
import * as guest from '../testing/tiny-kernel.ts';
import { missingFeature } from './saved-configuration.ts';
import { openSavedMachine } from './saved-machine.ts';

const MIB = 1024 * 1024;
const engine = {
  ...softwareEngine,
  processorModule: new URL('../../dist/software-worker.js', import.meta.url),
  translationModule: () => new URL('../../dist/translation-worker.js', import.meta.url),
};
/** Machines of HALFWAY that waited for their input, as earlier versions saved them. */
const GOLDEN = [
  { name: 'golden-machine-1.gz', of: 'the first version' },
  {
    name: 'golden-machine-2.gz',
    of: 'the last version whose memory was read before it ran: processor state 2, memory map 1',
  },
];

let home: string;
let file: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'plinth-saved-'));
  file = join(home, 'saved');
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

interface Run {
  readonly result: Promise<RunResult>;
  readonly stdin: PassThrough;
  readonly messages: string[];
  output(): string;
  see(text: string): Promise<void>;
}

function started(options: Partial<VirtualMachineConfiguration>, from?: string): Run {
  const saved = from === undefined ? undefined : openSavedMachine(from);
  let output = '';
  const stdout = new Writable({
    write(chunk: Buffer, _, done) {
      output += chunk.toString('latin1');
      done();
    },
  });
  const stdin = new PassThrough();
  const messages: string[] = [];
  const result = runMachine(
    {
      name: 'test',
      memoryBytes: 64 * MIB,
      processors: 1,
      kernel: join(home, 'kernel'),
      initrds: [],
      commandLine: 'quiet',
      console: { kind: 'stdio' },
      home,
      ...options,
      ...saved?.hardware,
    },
    { stdin, stdout, stderr: new PassThrough().resume(), message: (text) => messages.push(text) },
    engine,
    saved,
  );
  // Awaited by each test; a run that a failed test leaves behind ends with its process.
  result.catch(() => {});
  return {
    result,
    stdin,
    messages,
    output: () => output,
    async see(text) {
      while (!output.includes(text)) await delay(5);
    },
  };
}

function boot(code: readonly number[], options: Partial<VirtualMachineConfiguration> = {}): Run {
  writeFileSync(join(home, 'kernel'), guest.tinyKernel(code));
  return started({ saveTo: file, ...options });
}

async function ask(command: 'save' | 'turn-off' | 'inspect', parameters = {}): Promise<unknown> {
  const [machine] = await runningMachines(home);
  return requestControl(machine?.socket ?? '', { command, parameters }, 20_000);
}

/** Prints a character, waits for a byte of COM1 and prints it, prints the next character and powers off. */
const HALFWAY = [...guest.print('A'), ...guest.echoUntilQ, ...guest.print('Z'), ...guest.powerOff];

describe('a saved machine', () => {
  it('goes on where it was, as often as it is restored', async () => {
    const first = boot(HALFWAY);
    first.stdin.write('123');
    await first.see('A123');
    expect(await ask('save')).toMatchObject({ state: 'saved', path: file });
    expect(await first.result).toMatchObject({ reason: 'saved', exitStatus: 0 });
    expect(first.messages.join()).toMatch(/was saved to .*saved, \d+ MiB/);
    expect(readdirSync(home).sort()).toEqual(['kernel', 'run', 'saved']);
    for (const typed of ['x', 'y']) {
      const again = started({}, file);
      again.stdin.write(`${typed}q`);
      expect(await again.result).toMatchObject({ reason: 'power-off', exitStatus: 0 });
      expect(again.output()).toBe(`${typed}qZ`);
    }
  });

  it('has its time go on: reference time and uptime never jump', async () => {
    const first = boot(HALFWAY);
    await first.see('A');
    await ask('save');
    await first.result;
    const { time } = openSavedMachine(file).configuration;
    await delay(300);
    const before = performance.now();
    const again = started({}, file);
    // Its first byte shows that it runs.
    again.stdin.write('x');
    await again.see('x');
    const { uptimeSeconds } = (await ask('inspect')) as { uptimeSeconds: number };
    const passed = (performance.now() - before) / 1000;
    expect(uptimeSeconds).toBeGreaterThan(time / 1e9);
    expect(uptimeSeconds).toBeLessThan(time / 1e9 + passed);
    again.stdin.write('q');
    await again.result;
  });

  it('is saved by a signal, and what was typed and not read yet is saved with it', async () => {
    // Nothing is read: what is typed fills the port, and the rest waits on the host.
    const typed = 'k'.repeat(20_000);
    const first = boot([...guest.print('A'), ...guest.spin]);
    first.stdin.write(typed);
    await first.see('A');
    await delay(50);
    process.emit('SIGTERM', 'SIGTERM');
    expect(await first.result).toMatchObject({ reason: 'saved', exitStatus: 0 });
    const { typed: rest } = openSavedMachine(file).agent;
    const devices = JSON.stringify(openSavedMachine(file).file.states.devices);
    expect(rest.length).toBeGreaterThan(0);
    expect(devices.split('107').length - 1 + rest.length).toBeGreaterThanOrEqual(typed.length);
  });

  it('is saved to another file by name, and one without a file says so', async () => {
    const first = boot(HALFWAY, { saveTo: undefined as unknown as string });
    await first.see('A');
    await expect(ask('save')).rejects.toThrow(/PL-3015/);
    await expect(ask('save', { to: join(home, 'none', 'saved') })).rejects.toThrow(/PL-3005/);
    const other = join(home, 'other');
    expect(await ask('save', { to: other })).toMatchObject({ path: other });
    await first.result;
    expect(openSavedMachine(other).configuration.memoryBytes).toBe(64 * MIB);
  });

  it('runs on when it could not be saved', async () => {
    const first = boot(HALFWAY);
    await first.see('A');
    await expect(ask('save', { to: '/dev/full' })).rejects.toThrow(/PL-3005/);
    first.stdin.write('wq');
    expect(await first.result).toMatchObject({ reason: 'power-off', exitStatus: 0 });
    expect(first.output()).toBe('AwqZ');
    expect(first.messages.join()).toMatch(/Nothing was saved/);
  });

  it('can be saved again before it has run', async () => {
    const first = boot(HALFWAY);
    await first.see('A');
    await ask('save');
    await first.result;
    const again = started({ saveTo: join(home, 'second') }, file);
    // Its memory is still being read, or its processor being made.
    process.emit('SIGTERM', 'SIGTERM');
    expect(await again.result).toMatchObject({ reason: 'saved', exitStatus: 0 });
    const third = started({}, join(home, 'second'));
    third.stdin.write('q');
    expect(await third.result).toMatchObject({ reason: 'power-off', exitStatus: 0 });
    expect(third.output()).toBe('qZ');
  });

  it('resets by the kernel that it was booted with', async () => {
    const first = boot([...guest.print('A'), ...guest.echoUntilQ, ...guest.resetMachine]);
    await first.see('A');
    await ask('save');
    await first.result;
    const again = started({}, file);
    again.stdin.write('q');
    await again.see('qA');
    await ask('turn-off');
    expect(await again.result).toMatchObject({ reason: 'turned-off' });
  });

  it('is refused when this version has not what its guest was told of', () => {
    const row = { leaf: 7, subleaf: 0, eax: 0, ebx: 0x120, ecx: 0, edx: 0 };
    expect(missingFeature([row], [row])).toBeUndefined();
    expect(missingFeature([row], [{ ...row, ebx: 0xfff }])).toBeUndefined();
    expect(missingFeature([row], [{ ...row, ebx: 0x100 }])).toBe('the processor feature at CPUID 0x7.0 EBX bit 5');
    expect(missingFeature([row], [])).toMatch(/EBX bit 8/);
  });

  it.each(GOLDEN)('of $of still runs, and is saved as one of this version', async ({ name }) => {
    writeFileSync(file, gunzipSync(readFileSync(new URL(`./testing/${name}`, import.meta.url))));
    const second = join(home, 'second');
    const again = started({ saveTo: second }, file);
    again.stdin.write('o');
    await again.see('o');
    await ask('save');
    expect(await again.result).toMatchObject({ reason: 'saved', exitStatus: 0 });
    const third = started({}, second);
    third.stdin.write('pq');
    expect(await third.result).toMatchObject({ reason: 'power-off', exitStatus: 0 });
    expect([again.output(), third.output()]).toEqual(['o', 'pqZ']);
  });

  it('whose memory was altered ends by name when that is touched', async () => {
    const first = boot(HALFWAY);
    await first.see('A');
    await ask('save');
    await first.result;
    const bytes = readFileSync(file);
    // The memory's pages end the file, and are one piece of it.
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const again = started({ saveTo: join(home, 'second') }, file);
    expect(await again.result).toMatchObject({ reason: 'fault', exitStatus: 65, error: { code: 'PL-2204' } });
    expect([again.output(), existsSync(join(home, 'second'))]).toEqual(['', false]);
  });
});
