/** `plinth run` around the guest: power, statistics, marks, files, traces, the debug exit. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage, imageFiles } from '../support/images.ts';
import { type Ended, endAll, launcher, plinth, quote, root, start } from '../support/plinth.ts';
import { savedGuest } from '../support/saved-guest.ts';
import { code, writeTinyKernel } from '../support/tiny-guest.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
beforeAll(() => ensureImage(cloud));
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const environment = { PLINTH_HOME: join(folder, 'home') };

describe('a guest that restarts and powers off', () => {
  it('resets in place, keeps its console, and ends with 0', async () => {
    const file = join(folder, 'restart.json');
    const running = start(launcher, ['run', '--name', 'restarting', '--stats', file]);
    await running.see(/:~# /);
    running.type('echo first boot; reboot -f\n');
    await running.see(/first boot\r\n[\s\S]*Linux version[\s\S]*:~# /);
    const inspected = await plinth(['inspect', 'vms/restarting', '-o', 'json']);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ name: 'restarting', resets: 1, state: 'running' });
    running.type('ls /tmp; cat /proc/uptime; poweroff -f\n');
    const { status, stdout, stderr } = await running.ended;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.match(/Linux version/g)).toHaveLength(2);
    expect(JSON.parse(readFileSync(file, 'utf8')).exit).toEqual({ reason: 'power-off', code: 0 });
  });

  it('resets in place when it is told to without a shutdown (SysRq b)', async () => {
    const running = start(launcher, ['run', ...(await savedGuest())]);
    running.type('echo b >/proc/sysrq-trigger\n');
    await running.see(/sysrq-trigger\r\n[\s\S]*Linux version[\s\S]*:~# /);
    running.type('poweroff -f\n');
    expect(await running.ended).toMatchObject({ status: 0, stderr: '' });
  });

  it.each(['poweroff', 'exit'])('ends with 0 after `%s` at the prompt, in order', async (command) => {
    const running = start(launcher, ['run', ...(await savedGuest())]);
    running.type(`${command}\n`);
    expect(await running.ended).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('--stats', () => {
  let result: Ended;
  let statistics: Record<string, unknown> & {
    hostCpuSeconds: number;
    wallSeconds: number;
    peakRssBytes: number;
    guestTouchedBytes: number;
    milestones: Record<string, number>;
    marks: { text: string; wallSeconds: number | null; hostCpuSeconds: number | null }[];
    instructions: { interpreted: number; translated: number };
    exits: Record<string, number>;
  };
  beforeAll(async () => {
    const file = join(folder, 'stats.json');
    const words = `run --stats ${quote(file)} --mark 'Linux version' --mark 'Run /init' --mark 'never printed'`;
    const guest = 'head -c 40000000 /dev/zero >/dev/shm/zeros; exit 9';
    const timed = `TIMEFORMAT='%R %U %S'; time ${quote(launcher)} ${words} --exec ${quote(guest)}`;
    result = await start('bash', ['-c', timed]).ended;
    statistics = JSON.parse(readFileSync(file, 'utf8'));
  });

  it('has every field of the contract, and no other', () => {
    expect(statistics).toEqual({
      engine: 'software',
      cpus: 1,
      memoryBytes: 512 * MIB,
      hostCpuSeconds: expect.any(Number),
      wallSeconds: expect.any(Number),
      peakRssBytes: expect.any(Number),
      guestTouchedBytes: expect.any(Number),
      milestones: {
        firstInstruction: expect.any(Number),
        kernelEntry: expect.any(Number),
        agentReady: expect.any(Number),
      },
      marks: [
        { text: 'Linux version', wallSeconds: expect.any(Number), hostCpuSeconds: expect.any(Number) },
        { text: 'Run /init', wallSeconds: expect.any(Number), hostCpuSeconds: expect.any(Number) },
        { text: 'never printed', wallSeconds: null, hostCpuSeconds: null },
      ],
      instructions: { interpreted: expect.any(Number), translated: expect.any(Number) },
      translator: {
        regions: expect.any(Number),
        modules: expect.any(Number),
        bytes: expect.any(Number),
        evicted: expect.any(Number),
        longestPauseSeconds: expect.any(Number),
      },
      exits: expect.any(Object),
      vmbus: {
        version: '5.3',
        channels: ['shutdown', 'time-sync', 'heartbeat', 'kvp', 'vss', 'file-copy'].map((name, index) => ({
          name,
          channelId: index + 1,
          state: 'open',
        })),
      },
      exit: { reason: 'command', code: 9 },
    });
    expect(result.status).toBe(9);
  });

  it('tells the time and the processor time that are measured from outside', () => {
    const [wall = 0, user = 0, system = 0] = result.stderr.trim().split(' ').map(Number);
    expect(Math.abs(statistics.wallSeconds - wall)).toBeLessThan(0.5);
    expect(Math.abs(statistics.hostCpuSeconds - user - system)).toBeLessThan(0.4);
  });

  it('tells events in their order', () => {
    const { firstInstruction = 0, kernelEntry = 0, agentReady = 0 } = statistics.milestones;
    const [begin, init] = statistics.marks.map(({ wallSeconds }) => wallSeconds ?? 0);
    const order = [0.01, firstInstruction, kernelEntry, begin, init, agentReady, statistics.wallSeconds];
    expect([...order].sort((a = 0, b = 0) => a - b)).toEqual(order);
    const cpu = statistics.marks.map(({ hostCpuSeconds }) => hostCpuSeconds ?? 0);
    expect(cpu[0]).toBeGreaterThan(0);
    expect(cpu[1]).toBeGreaterThan(cpu[0] ?? 0);
    expect(cpu[1]).toBeLessThan(statistics.hostCpuSeconds);
  });

  it('tells memory: what the guest touched, and the peak beside it', () => {
    expect(statistics.guestTouchedBytes).toBeGreaterThan(60 * MIB);
    expect(statistics.guestTouchedBytes).toBeLessThan(300 * MIB);
    expect(statistics.peakRssBytes).toBeGreaterThan(statistics.guestTouchedBytes);
    expect(statistics.peakRssBytes).toBeLessThan(statistics.guestTouchedBytes + 150 * MIB);
  });

  it('counts instructions and exits', () => {
    const { interpreted, translated } = statistics.instructions;
    expect(interpreted + translated).toBeGreaterThan(200e6);
    expect(interpreted + translated).toBeLessThan(20e9);
    for (const [reason, count] of Object.entries(statistics.exits)) {
      expect(reason).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(count).toBeGreaterThan(0);
    }
    // The boot's messages alone are more than ten thousand bytes, each written to a port.
    expect(statistics.exits['port-write']).toBeGreaterThan(10_000);
  });
});

describe('options with a guest of a few bytes', () => {
  const hello = [...code.print('Hello, world\n'), ...code.powerOff];
  const run = (bytes: readonly number[], words: readonly string[]): Promise<Ended> =>
    plinth(['run', '--kernel', writeTinyKernel(folder, 'kernel', bytes, 0x200000), '--memory', '16M', ...words], {
      environment,
    });

  it('--debug-exit ends with (v << 1) | 1', async () => {
    for (const [value, status] of [
      [0, 1],
      [0x15, 43],
      [0x7f, 255],
    ] as const) {
      expect((await run([...code.out8(0xf4, value), ...code.spin], ['--debug-exit', '0xf4'])).status).toBe(status);
    }
  });

  it('--console none and file:', async () => {
    expect(await run(hello, ['--console', 'none'])).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const file = join(folder, 'hello.log');
    expect(await run(hello, ['--console', `file:${file}`])).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(file, 'utf8')).toBe('Hello, world\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('--mark is found on the console wherever that goes', async () => {
    const file = join(folder, 'marks.json');
    await run(hello, ['--console', 'none', '--mark', 'lo, wor', '--mark', 'hello', '--stats', file]);
    const { marks, exit } = JSON.parse(readFileSync(file, 'utf8'));
    expect(marks).toMatchObject([
      { text: 'lo, wor', wallSeconds: expect.any(Number) },
      { text: 'hello', wallSeconds: null },
    ]);
    expect(exit).toEqual({ reason: 'power-off', code: 0 });
  });

  it.each([
    ['ports', /^\d+\.\d{6} ports: out 0x03f8 1 <- 0x48$/m],
    ['power', /^\d+\.\d{6} power: the guest turned itself off$/m],
    ['exits', /^\d+\.\d{6} exits: /m],
    ['exceptions', /^\d+\.\d{6} exceptions: #UD/m],
  ])('--trace %s tells on standard error', async (topic, line) => {
    const bytes = topic === 'exceptions' ? code.tripleFault : hello;
    const { stdout, stderr } = await run(bytes, ['--trace', topic]);
    expect(stderr).toMatch(line);
    expect(stdout).toBe(topic === 'exceptions' ? '' : 'Hello, world\n');
  });

  /** A Linux boot with topics of a trace: without a root it panics after most of it. */
  let traced: Promise<Ended> | undefined;
  const tracedBoot = (): Promise<Ended> => {
    const words = ['--append', 'console=ttyS0', '--trace', 'msr,interrupts,mmio,translator'];
    traced ??= plinth(['run', '--kernel', imageFiles(cloud).kernel, ...words], { environment });
    return traced;
  };

  it('--trace with topics of a Linux boot', async () => {
    const { status, stderr } = await tracedBoot();
    expect(status).toBe(75);
    expect(stderr).toMatch(/interrupts: vector 0x/);
    expect(stderr).toMatch(/msr: (rdmsr|wrmsr) 0x/);
    expect(stderr).toMatch(/mmio: (read|write) /);
  });

  it('--trace translator tells of regions, and of what was left to the interpreter', async () => {
    const { stderr } = await tracedBoot();
    const address =
      /translator: region 0x[0-9a-f]+ rip (0xffffffff[0-9a-f]+) \d+ instructions \d+ blocks \d+ bytes ends \S/.exec(
        stderr,
      )?.[1];
    expect(stderr).toMatch(/translator: module \d+ built: \d+ regions, \d+ bytes of WebAssembly/);
    expect(stderr).toMatch(/translator: region 0x[0-9a-f]+ dropped: its bytes changed/);
    expect(stderr).toMatch(/translator: the processor stood still for it for at most \d+ µs at a time/);
    expect(stderr).toMatch(/translator: left by side exits at: .*MOV\.RM \d+/);
    expect(stderr).toMatch(/translator: left for want of a translation at: .*MOV_TO_CR\.RR \d+/);
    // What a region became, from the trace.
    const file = join(folder, 'translator.trace');
    writeFileSync(file, stderr);
    const script = join(root, 'packages/processor/scripts/show-region.mjs');
    const listing = execFileSync(process.execPath, [script, '--trace', file, String(address)], { encoding: 'utf8' });
    expect(listing).toMatch(/^0x[0-9a-f]{3} {2}([0-9a-f]{2} )+ +[A-Z0-9]+( |$)/m);
    expect(listing).toMatch(/^ +\$processor {2}i64\.load offset=0x/m);
  });

  it('the smallest machine has 16 MiB, the largest 3 GiB', async () => {
    expect(await run(hello, [])).toMatchObject({ status: 0, stdout: 'Hello, world\n' });
    expect(await run(hello, ['--memory', '3G'])).toMatchObject({ status: 0, stdout: 'Hello, world\n' });
    for (const size of ['15M', '3073M', '4G', '0', '1K']) {
      const { status, stderr } = await run(hello, ['--memory', size]);
      expect(stderr).toMatch(/^PL-(2008|1009): .+ Try: --memory 512M/);
      expect(status).toBe(64);
    }
  });

  it('leaves nothing behind', async () => {
    await run(hello, ['--name', 'gone']);
    expect(existsSync(join(folder, 'home', 'run', 'gone.sock'))).toBe(false);
  });
});
