/** Unmodified kernels of Debian boot to the shell on machines of several kinds, and find nothing wrong with them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestConsole, GuestQueue, type GuestShell } from '../support/guest-shell.ts';
import { cloud, ensureImage, generic, imageFiles } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { plinth } from '../support/plinth.ts';

const MIB = 2 ** 20;
/** Where the kernel is linked to run, and does with `nokaslr`. */
const linkedAddress = 0xffffffff81000000n;
const kernelAddress = 'awk \'$3 == "_text" {print $1; exit}\' /proc/kallsyms';

beforeAll(async () => {
  await ensureImage(cloud);
  await ensureImage(generic);
});

const machines = [
  { image: cloud, memory: '512M', release: /^6\.1\.\d+-\d+-cloud-amd64$/ },
  { image: generic, memory: '512M', release: /^6\.1\.\d+-\d+-amd64$/ },
  { image: cloud, memory: '256M', release: /cloud/ },
  { image: cloud, memory: '3G', release: /cloud/ },
];
const queue = new GuestQueue(machines.map(({ image, memory }) => [image, '--memory', memory]));

describe.each(machines)('$image with $memory', (machine) => {
  const { memory, release } = machine;
  let shell: GuestShell;
  beforeAll(async () => {
    shell = await queue.take(machines.indexOf(machine));
  });
  afterAll(() => shell.end());

  it('boots to a shell of root', async () => {
    expect((await shell.output('uname -r')).trim()).toMatch(release);
    expect(await shell.output('uname -s; uname -m; id -u; echo $HOME; pwd; tty || true')).toBe(
      'Linux\nx86_64\n0\n/root\n/root\nnot a tty\n',
    );
  });

  it('has all of its memory', async () => {
    const total = Number((await shell.output("awk '/^MemTotal/ {print $2}' /proc/meminfo")).trim()) * 1024;
    const size = memory === '3G' ? 3072 * MIB : Number.parseInt(memory, 10) * MIB;
    // The kernel keeps its own text, its page structures (16 bytes of 4096) and some tables out of the sum.
    expect(total).toBeLessThan(size);
    expect(total).toBeGreaterThan(size - size / 64 - 64 * MIB);
  });

  it('runs at an address of its own (KASLR)', async () => {
    const address = BigInt(`0x${(await shell.output(kernelAddress)).trim()}`);
    expect(address % 0x200000n).toBe(0n);
    expect(address).toBeGreaterThanOrEqual(linkedAddress);
    expect(address).toBeLessThan(0xffffffffc0000000n);
    addresses.push(address);
  });

  it('has a kernel that complains of nothing', async () => {
    expect(kernelComplaints(await shell.output('dmesg -r'))).toEqual([]);
  });

  it('keeps time by a processor of the promised frequency', async () => {
    expect(await shell.output('cat /sys/devices/system/clocksource/clocksource0/current_clocksource')).toBe(
      'hyperv_clocksource_tsc_page\n',
    );
    const megahertz = Number(/tsc: Detected ([\d.]+) MHz/.exec(await shell.output('dmesg'))?.[1]);
    expect(megahertz).toBeGreaterThan(1990);
    expect(megahertz).toBeLessThan(2010);
  });
});

/** Where the kernels of the runs above stood. */
const addresses: bigint[] = [];

describe('address space layout', () => {
  it('is another one at each boot', () => {
    expect(addresses).toHaveLength(4);
    expect(new Set(addresses).size).toBeGreaterThan(1);
  });

  it('is the linked one with nokaslr on a kernel line of the user', async () => {
    const { kernel, initrd } = imageFiles(cloud);
    const guest = await GuestConsole.boot([
      ...['--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS0 nokaslr quiet'],
    ]);
    expect((await guest.run(kernelAddress)).output).toBe(`${linkedAddress.toString(16)}\n`);
    expect((await guest.run('cat /proc/cmdline')).output).toBe(
      'panic=-1 reboot=panic_warm console=ttyS0 nokaslr quiet\n',
    );
    guest.type('exit\n');
    expect((await guest.process.ended).status).toBe(0);
  });
});

describe('the smallest machine', () => {
  it('boots with 96 MiB', async () => {
    const { status, stdout, stderr } = await plinth(['run', '--memory', '96M', '--exec', 'echo up; dmesg -r']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^up\n/);
    expect(kernelComplaints(stdout.replace('up\n', ''))).toEqual([]);
  });

  it.each([
    ['64M', 'PL-2004', 65],
    ['72M', 'PL-2005', 65],
  ])('is refused with %s, because the kernel or its initrd cannot be there', async (memory, code, expected) => {
    const { status, stdout, stderr } = await plinth(['run', '--memory', memory, '--exec', 'true']);
    expect(stderr).toMatch(new RegExp(`^${code}: .+ Try: --memory 128M or more`));
    expect({ status, stdout }).toEqual({ status: expected, stdout: '' });
  });
});
