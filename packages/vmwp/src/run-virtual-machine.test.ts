import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunHooks, RunResult, VirtualMachineConfiguration } from './configuration.ts';
import { requestControl, runningMachines } from './control-socket.ts';
import { ERROR_RECORD_BASE } from './error-record-device.ts';
import { runMachine } from './run-virtual-machine.ts';
import { softwareEngine } from './software-engine.ts';
import * as guest from './testing/tiny-kernel.ts';

const MIB = 1024 * 1024;
/** Node runs no TypeScript, so the processor's thread runs the built module. */
const engine = {
  ...softwareEngine,
  processorModule: new URL('../dist/software-worker.js', import.meta.url),
  translationModule: () => new URL('../dist/translation-worker.js', import.meta.url),
};
let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'plinth-vmwp-'));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

/** A stream that keeps what is written, as slowly as told. */
class Collector extends Writable {
  bytes = Buffer.alloc(0);
  /** @param first called once something has been written */
  constructor(milliseconds = 0, first: () => void = () => {}) {
    let told = false;
    super({
      write: (chunk: Buffer, _, done) => {
        this.bytes = Buffer.concat([this.bytes, chunk]);
        if (!told) first();
        told = true;
        if (milliseconds === 0) done();
        else setTimeout(done, milliseconds);
      },
    });
  }
  get text(): string {
    return this.bytes.toString();
  }
}

interface Run extends RunResult {
  readonly output: string;
}

async function run(
  code: readonly number[],
  options: Partial<VirtualMachineConfiguration> = {},
  hooks: RunHooks = {},
  processorModule = engine.processorModule,
  translationModule: () => URL | undefined = engine.translationModule,
): Promise<Run> {
  const kernel = join(home, 'kernel');
  writeFileSync(kernel, guest.tinyKernel(code));
  const stdout = new Collector();
  const result = await runMachine(
    {
      name: 'test',
      memoryBytes: 64 * MIB,
      processors: 1,
      kernel,
      initrds: [],
      commandLine: 'quiet',
      console: { kind: 'stdio' },
      home,
      ...options,
    },
    { stdin: new PassThrough(), stdout, stderr: new Collector(), ...hooks },
    { ...engine, processorModule, translationModule },
  );
  if (options.name === undefined) expect(readdirSync(join(home, 'run'))).toEqual([]);
  return { ...result, output: stdout.text };
}

describe('a run', () => {
  it('prints what the guest prints and ends with 0 when it powers off', async () => {
    const result = await run([...guest.print('Hello, world\n'), ...guest.powerOff]);
    expect(result).toMatchObject({ reason: 'power-off', exitStatus: 0, output: 'Hello, world\n' });
    expect(result.error).toBeUndefined();
  });

  it('writes statistics of the contract', async () => {
    const file = join(home, 'stats.json');
    const result = await run([...guest.print('one two three'), ...guest.powerOff], {
      statisticsFile: file,
      marks: ['two', 'never'],
    });
    const statistics = JSON.parse(readFileSync(file, 'utf8'));
    expect(statistics).toEqual(result.statistics);
    // A guest without drivers learns of no channel.
    const { channels } = statistics.vmbus as { channels: { state: string }[] };
    expect(new Set(channels.map(({ state }) => state))).toEqual(new Set(['unoffered']));
    expect(statistics).toMatchObject({
      engine: 'software',
      cpus: 1,
      memoryBytes: 64 * MIB,
      marks: [{ text: 'two' }, { text: 'never', wallSeconds: null, hostCpuSeconds: null }],
      instructions: { translated: 0 },
      translator: { regions: 0, modules: 0, bytes: 0, evicted: 0, longestPauseSeconds: 0 },
      vmbus: { version: null },
      exit: { reason: 'power-off', code: 0 },
    });
    expect(statistics.milestones.firstInstruction).toBeGreaterThan(0);
    expect(statistics.milestones.firstInstruction).toBeLessThan(statistics.marks[0].wallSeconds);
    expect(statistics.marks[0].wallSeconds).toBeLessThan(statistics.wallSeconds);
    expect(statistics.milestones.agentReady).toBeNull();
    expect(statistics.hostCpuSeconds).toBeGreaterThan(0);
    expect(statistics.peakRssBytes).toBeGreaterThan(20 * MIB);
    expect(statistics.guestTouchedBytes).toBeGreaterThan(0);
    // Each byte is 7 instructions (once THRE was seen), two of them port accesses.
    expect(statistics.exits['port-read']).toBe(13);
    expect(statistics.exits['port-write']).toBe(14);
    expect(statistics.instructions.interpreted).toBeGreaterThanOrEqual(13 * 7);
  });

  it('loses nothing when the reader is slower than the guest', async () => {
    const line = `${'0123456789abcdef'.repeat(7)}\n`;
    const slow = new Collector(20);
    // The print code repeats: jump back to its start 3000 times is not in the tiny set, so print a long text.
    const text = line.repeat(20);
    const result = await run([...guest.print(text), ...guest.powerOff], {}, { stdout: slow });
    expect(result.exitStatus).toBe(0);
    expect(slow.text).toBe(text);
  });

  it('gives standard input to the first serial port', async () => {
    const stdin = new PassThrough();
    stdin.write('abc');
    setTimeout(() => stdin.write('d'.repeat(40_000)), 50);
    setTimeout(() => stdin.write('q'), 100);
    const result = await run([...guest.echoUntilQ, ...guest.powerOff], {}, { stdin });
    expect(result.output).toBe(`abc${'d'.repeat(40_000)}q`);
  });

  it('writes the console to a file, and refuses one that cannot be made', async () => {
    const path = join(home, 'console.log');
    const result = await run([...guest.print('to the file'), ...guest.powerOff], { console: { kind: 'file', path } });
    expect(result.output).toBe('');
    expect(readFileSync(path, 'utf8')).toBe('to the file');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const bad = { kind: 'file', path: join(home, 'none', 'console.log') } as const;
    await expect(run(guest.powerOff, { console: bad })).rejects.toThrow(/PL-3005/);
  });

  it('says that the disk is full instead of losing output', async () => {
    const result = await run([...guest.print('x'), ...guest.sleepForever], {
      console: { kind: 'file', path: '/dev/full' },
    });
    expect(result.exitStatus).toBe(66);
    expect(result.error?.message).toMatch(/PL-3005.*The disk is full/);
    const over = await run([...guest.print('x'), ...guest.powerOff], { console: { kind: 'file', path: '/dev/full' } });
    expect(over.exitStatus).toBe(66);
  });

  it('ends as SIGPIPE does when nobody reads the console any more', async () => {
    const stdout = new Writable({
      write: (_, __, done) => done(Object.assign(new Error('broken'), { code: 'EPIPE' })),
    });
    const result = await run([...guest.print('x'), ...guest.sleepForever], {}, { stdout });
    expect(result).toMatchObject({ reason: 'console-closed', exitStatus: 141 });
  });

  it('ends with the status of a debug exit', async () => {
    const result = await run([...guest.out8(0xf4, 0x15), ...guest.spin], { debugExitPort: 0xf4 });
    expect(result).toMatchObject({ reason: 'debug-exit', exitStatus: 43 });
  });

  it('resets in place: memory is loaded again and nothing else is left', async () => {
    // Prints a dword's low byte from nowhere but code: the reset count is kept in the RTC's CMOS, which a reset leaves alone.
    const cmos = 0x70;
    const code = [
      ...guest.print('boot '),
      ...guest.out8(cmos, 0x40),
      // mov $0x71,%edx; in (%dx),%al; test $1,%al; jz over the power-off
      0xba,
      0x71,
      0,
      0,
      0,
      0xec,
      0xa8,
      0x01,
      0x74,
      guest.powerOff.length,
      ...guest.powerOff,
      ...guest.out8(cmos, 0x40),
      ...guest.out8(cmos + 1, 1),
      ...guest.resetMachine,
    ];
    const result = await run(code);
    expect(result).toMatchObject({ exitStatus: 0, output: 'boot boot ' });
  });

  it('resets in place though the hypercall page covers what is to be loaded again', async () => {
    const cmos = 0x70;
    // mov $msr,%ecx; mov $low,%eax; mov $high,%edx; wrmsr
    const word = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
    const writeMsr = (msr: number, low: number, high: number): number[] => [
      ...[0xb9, ...word(msr), 0xb8, ...word(low), 0xba, ...word(high), 0x0f, 0x30],
    ];
    const commandLine = 0x9000;
    const code = [
      ...guest.out8(cmos, 0x40),
      // The command line's first byte, to the console: mov $commandLine,%esi; mov (%rsi),%al; mov $0x3f8,%edx; out
      ...[0xbe, ...word(commandLine), 0x8a, 0x06, 0xba, ...word(0x3f8), 0xee],
      ...[0xba, ...word(cmos + 1), 0xec, 0xa8, 0x01, 0x74, guest.powerOff.length, ...guest.powerOff],
      ...guest.out8(cmos, 0x40),
      ...guest.out8(cmos + 1, 1),
      ...writeMsr(0x40000000, 0, 0x8100_0000),
      ...writeMsr(0x40000001, commandLine | 1, 0),
      ...guest.resetMachine,
    ];
    // The same byte twice, and the end that was meant.
    expect(await run(code)).toMatchObject({ exitStatus: 0, output: expect.stringMatching(/^([a-z])\1$/) });
  });

  it('runs again and again without leaving threads or sockets behind', async () => {
    const handles = (): number =>
      process.getActiveResourcesInfo().filter((kind) => /Message|Worker|Pipe/.test(kind)).length;
    await run(guest.powerOff);
    const before = handles();
    for (let round = 0; round < 5; round++) await run(guest.powerOff);
    expect(handles()).toBeLessThanOrEqual(before);
  });
});

describe('a guest that crashes', () => {
  it('by a triple fault gives 75 and a report with what is needed', async () => {
    const result = await run([...guest.print('last words\n'), ...guest.tripleFault]);
    expect(result).toMatchObject({ reason: 'crash', exitStatus: 75 });
    expect(result.error?.code).toBe('PL-4002');
    const report = readFileSync(result.report ?? '', 'utf8');
    expect(result.report).toContain(join(home, 'crash'));
    expect(statSync(result.report ?? '').mode & 0o777).toBe(0o600);
    for (const part of [
      'triple fault',
      '#UD',
      'Rip',
      'Cr3',
      '<0f 0b',
      'last words',
      'command line  panic=-1 reboot=panic_warm quiet',
    ]) {
      expect(report).toContain(part);
    }
  });

  it('by halting with interrupts off gives 75', async () => {
    const result = await run(guest.haltForever);
    expect(result.exitStatus).toBe(75);
    expect(result.error?.code).toBe('PL-4003');
  });

  it('by its own fatal error record gives 75, though it goes on', async () => {
    const buffer = ERROR_RECORD_BASE + 0x1000;
    const store = (offset: number, value: number): number[] => guest.store32(ERROR_RECORD_BASE + offset, value);
    const record = [
      ...guest.store32(buffer, 0x52455043),
      ...guest.store32(buffer + 12, 1),
      ...guest.store32(buffer + 20, 128),
      ...guest.store32(buffer + 96, 7),
    ];
    const serialize = [...store(0, 0), ...store(8, 0), ...store(12, 0), ...store(0, 4), ...store(0, 5)];
    const started = performance.now();
    const result = await run([...record, ...serialize, ...guest.print('afterwards'), ...guest.spin]);
    expect(result).toMatchObject({ reason: 'crash', exitStatus: 75, output: 'afterwards' });
    expect(result.error?.code).toBe('PL-4001');
    expect(performance.now() - started).toBeGreaterThan(900);
    const reset = await run([...record, ...serialize, ...guest.resetMachine]);
    expect(reset.error?.code).toBe('PL-4001');
  });

  it('by a reset with a warm start, as it was told to do in a panic, gives 75 and the registers at the reset', async () => {
    const code = [...guest.print('one\ntwo\n'), ...guest.store32(0x472, 0x1234), ...guest.resetMachine];
    const result = await run(code);
    expect(result).toMatchObject({ reason: 'crash', exitStatus: 75, output: 'one\ntwo\n' });
    expect(result.error?.code).toBe('PL-4005');
    expect(result.lastWords).toBeUndefined();
    const report = readFileSync(result.report ?? '', 'utf8');
    expect(report).toMatch(new RegExp(`^Rip +0x0*${(0x1000200 + code.length - 2).toString(16)}$`, 'm'));
    const unseen = await run(code, { console: { kind: 'none' } });
    expect(unseen).toMatchObject({ exitStatus: 75, lastWords: ['one', 'two'] });
  });

  it('is none that restarts with a cold start, or warm by the will of its user', async () => {
    // The second boot finds the mark that the first one left in the RTC's memory, and powers off.
    const second = [0xba, 0x71, 0, 0, 0, 0xec, 0xa8, 0x01, 0x74, guest.powerOff.length, ...guest.powerOff];
    const once = (flag: number): number[] => [
      ...[...guest.out8(0x70, 0x40), ...second, ...guest.out8(0x70, 0x40), ...guest.out8(0x71, 1)],
      ...[...guest.store32(0x472, flag), ...guest.resetMachine],
    ];
    expect((await run(once(0))).exitStatus).toBe(0);
    expect((await run(once(0x1234))).exitStatus).toBe(75);
    expect((await run(once(0x1234), { commandLine: 'reboot=warm' })).exitStatus).toBe(0);
  });
});

describe('a run from outside', () => {
  it('ends with 124 when its time is over, even when the guest spins with interrupts off', async () => {
    const result = await run(guest.spin, { timeoutSeconds: 0.3 });
    expect(result).toMatchObject({ reason: 'timeout', exitStatus: 124 });
    expect(result.error?.code).toBe('PL-3002');
    expect(result.statistics.wallSeconds).toBeGreaterThan(0.3);
  });

  /** Says that it is up and sleeps. */
  const sleeper = [...guest.print('up'), ...guest.sleepForever];

  it('ends with 128 + n by a signal', async () => {
    for (const [signal, status] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
      ['SIGHUP', 129],
    ] as const) {
      const stdout = new Collector(0, () => process.emit(signal, signal));
      expect(await run(sleeper, {}, { stdout })).toMatchObject({ reason: 'signal', exitStatus: status });
      expect(stdout.text).toBe('up');
    }
  });

  it('ends by a signal though nobody reads the console', async () => {
    const stdout = new Writable({ write: () => setTimeout(() => process.emit('SIGTERM', 'SIGTERM'), 10) });
    expect((await run(sleeper, {}, { stdout })).exitStatus).toBe(143);
  });

  it('ends with 0 when the console is left', async () => {
    const abort = new AbortController();
    const stdout = new Collector(0, () => abort.abort());
    const result = await run([...guest.print('up'), ...guest.spin], {}, { stdout, leave: abort.signal });
    expect(result).toMatchObject({ reason: 'turned-off', exitStatus: 0 });
  });

  function withResolvers(): { promise: Promise<void>; resolve: () => void } {
    let resolve = (): void => {};
    const promise = new Promise<void>((settle) => {
      resolve = settle;
    });
    return { promise, resolve };
  }

  /** Starts a sleeper and waits until it is up. */
  async function startSleeper(name: string): Promise<{ running: Promise<Run>; stdout: Collector; socket: string }> {
    const up = withResolvers();
    const stdout = new Collector(0, up.resolve);
    const running = run(sleeper, { name }, { stdout });
    await up.promise;
    const [machine] = await runningMachines(home);
    expect(machine).toMatchObject({ name, pid: process.pid });
    return { running, stdout, socket: machine?.socket ?? '' };
  }

  it('answers on its control socket', async () => {
    const { running, socket } = await startSleeper('inspected');
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const inspect = (path: string): Promise<unknown> => requestControl(socket, { command: 'inspect', path });
    expect(await inspect('')).toMatchObject({
      name: 'inspected',
      state: 'running',
      configuration: { memoryBytes: 64 * MIB },
    });
    expect(await inspect('processors/0/mode')).toBe('64-bit mode, ring 0, paging on, interrupts on');
    expect(await inspect('partition/devices/com1/bytesSent')).toBe(2);
    await expect(inspect('processors/7')).rejects.toThrow(/PL-1018/);
    expect(await requestControl(socket, { command: 'pause' })).toEqual({ state: 'paused' });
    expect(await inspect('processors/0/state')).toBe('paused');
    expect(await requestControl(socket, { command: 'resume' })).toEqual({ state: 'running' });
    expect(await inspect('processors/0/state')).toBe('running');
    await expect(run(guest.powerOff, { name: 'inspected' })).rejects.toThrow(/PL-1019/);
    await requestControl(socket, { command: 'turn-off' });
    expect(await running).toMatchObject({ reason: 'turned-off', exitStatus: 0 });
  });

  it('resets the machine when the control socket asks for it', async () => {
    const { running, stdout, socket } = await startSleeper('resetting');
    await requestControl(socket, { command: 'reset' });
    while (stdout.text !== 'upup') await delay(10);
    await requestControl(socket, { command: 'turn-off' });
    expect((await running).exitStatus).toBe(0);
  });

  it('takes the place of a machine that was killed', async () => {
    const { serveControl } = await import('./control-socket.ts');
    const stale = await serveControl(home, 'test', async () => undefined);
    writeFileSync(join(home, 'keep'), '');
    stale.close();
    writeFileSync(stale.path, '');
    expect(existsSync(stale.path)).toBe(true);
    expect((await run(guest.powerOff)).exitStatus).toBe(0);
  });
});

describe('a fault of Plinth', () => {
  const module = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

  it("on the processor's thread ends with 70 and a report", async () => {
    const result = await run(
      guest.powerOff,
      {},
      {},
      module('function broken() { throw new Error("cracked"); } broken()'),
    );
    expect(result).toMatchObject({ reason: 'fault', exitStatus: 70 });
    expect(result.error?.message).toMatch(/PL-3001.*cracked/);
    expect(readFileSync(result.report ?? '', 'utf8')).toMatch(/at broken/);
  });

  it('is a thread that ends early', async () => {
    const result = await run(guest.powerOff, {}, {}, module('process.exit(3)'));
    expect(result).toMatchObject({ reason: 'fault', exitStatus: 70 });
  });

  it('of the thread that translates ends the run as well', async () => {
    const broken = new URL(`data:text/javascript,throw new Error('no translator')`);
    const result = await run(guest.spin, { timeoutSeconds: 20 }, {}, engine.processorModule, () => broken);
    expect(result).toMatchObject({ reason: 'fault', exitStatus: 70 });
    expect(result.error?.message).toContain('no translator');
  });
  it('that hangs the thread is ended by --timeout', async () => {
    const result = await run(guest.powerOff, { timeoutSeconds: 0.2 }, {}, module('for (;;);'));
    expect(result).toMatchObject({ reason: 'timeout', exitStatus: 124 });
    expect(result.statistics.milestones.firstInstruction).toBeNull();
  });
});

describe('what cannot run', () => {
  it.each([
    ['too little memory', { memoryBytes: MIB }, /PL-2008/],
    ['too much memory', { memoryBytes: 4096 * MIB }, /PL-2008/],
    ['no kernel', { kernel: '/nonexistent/kernel' }, /PL-3006.*--kernel/],
    ['a folder as kernel', { kernel: '/' }, /PL-3006.*It is a folder/],
    ['no initrd', { initrds: ['/nonexistent/initrd'] }, /PL-3006.*--initrd/],
    ['a folder as initrd', { initrds: ['/'] }, /PL-3006.*It is a folder/],
    ['a device as initrd', { initrds: ['/dev/zero'] }, /PL-3006.*not a regular file/],
    ['an empty kernel', { kernel: '/proc/self/attr/current' }, /PL-2001/],
    ['a foreign kernel', { kernel: '/bin/sh' }, /PL-2001/],
    ['an impossible name', { name: '../x' }, /PL-1020/],
    ['an unusable home', { home: '/dev/null/home' }, /PL-3003/],
    ['a home with too long a path', { home: `/tmp/${'x'.repeat(120)}` }, /PL-3004/],
  ] as const)('%s', async (_, options, message) => {
    await expect(run(guest.powerOff, options)).rejects.toThrow(message);
    rmSync(`/tmp/${'x'.repeat(120)}`, { recursive: true, force: true });
  });

  it('an initrd larger than memory', async () => {
    const initrd = join(home, 'initrd');
    writeFileSync(initrd, '');
    const { truncateSync } = await import('node:fs');
    truncateSync(initrd, 100 * MIB);
    await expect(run(guest.powerOff, { initrds: [initrd] })).rejects.toThrow(/PL-2005/);
  });
});
