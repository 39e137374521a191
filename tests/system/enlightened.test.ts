/**
 * Unmodified Debian guests of three kernels find the hypervisor: their clock is the reference TSC page, their timer the synthetic one, VMBus
 * connects, and their kernels have nothing to complain about.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestQueue, type GuestShell } from '../support/guest-shell.ts';
import { cloud, ensureImage, generic, imageFiles, newer } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { launcher, plinth, start } from '../support/plinth.ts';

const name = `enlightened-${process.pid}`;
const guests = [cloud, generic, newer];
const queue = new GuestQueue(guests.map((image) => [image, '--name', `${name}-${image}`]));

beforeAll(async () => {
  for (const image of guests) await ensureImage(image);
});
describe.each(guests)('a Debian guest, %s', (image) => {
  let shell: GuestShell;
  /** Interrupts of a line of /proc/interrupts. */
  const interrupts = async (line: string): Promise<number> =>
    Number(await shell.output(`awk '$1 == "${line}:" { print $2 }' /proc/interrupts`));

  beforeAll(async () => {
    shell = await queue.take(guests.indexOf(image));
  });
  afterAll(() => shell.end());

  it('detects the hypervisor, with no word of complaint', async () => {
    const log = await shell.output('dmesg -r');
    expect(log).toMatch(/Hypervisor detected: Microsoft Hyper-V\n/);
    expect(log).toMatch(/Hyper-V: privilege flags low 0xeff, high 0x120030, hints 0xa20, misc 0xe8530\n/);
    expect(log).toMatch(/tsc: Detected 2000\.000 MHz processor\n/);
    expect(kernelComplaints(log)).toEqual([]);
  });

  it('takes its time from the reference TSC page', async () => {
    const current = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
    expect(await shell.output(`cat ${current}`)).toBe('hyperv_clocksource_tsc_page\n');
    // Time passes as it does here, and never goes back.
    const before = performance.now();
    const seconds = await shell.output('cut -d" " -f1 /proc/uptime; sleep 1; cut -d" " -f1 /proc/uptime');
    const passed = (performance.now() - before) / 1000;
    const [first = 0, second = 0] = seconds.trim().split('\n').map(Number);
    expect(second - first).toBeGreaterThanOrEqual(1);
    expect(second - first).toBeLessThanOrEqual(passed);
  });

  it('is woken by synthetic timers, not by the local APIC', async () => {
    expect(await shell.output('cat /sys/devices/system/clockevents/clockevent0/current_device')).toBe(
      'Hyper-V clockevent\n',
    );
    const before = await interrupts('HVS');
    await shell.output('sleep 0.2');
    expect(await interrupts('HVS')).toBeGreaterThan(before);
    expect(await interrupts('LOC')).toBe(0);
  });

  it('connects to VMBus, and finds its devices by their classes', async () => {
    expect(await shell.output('dmesg')).toMatch(/hv_vmbus: Vmbus version:5\.3\n/);
    const classes = await shell.output('cat /sys/bus/vmbus/devices/*/class_id | sort');
    expect(classes.trim().split('\n')).toEqual([
      '{0e0b6031-5213-4934-818b-38d90ced39db}',
      '{34d14be3-dee4-41c8-9ae7-6b174977c192}',
      '{35fa2e29-ea23-4236-96ae-3a6ebacba440}',
      '{57164f39-9115-4e78-ab55-382f3bd5422d}',
      '{9527e630-d0ae-497b-adce-e80ab0175caf}',
      '{a9a0f4e7-5a45-4d96-b827-8a841e8c03e6}',
    ]);
    expect(await interrupts('HYP')).toBeGreaterThan(0);
  });

  it('loads the drivers of those devices, and no others', async () => {
    const [, ...modules] = (await shell.output('lsmod')).trim().split('\n');
    expect(modules.map((line) => line.split(' ')[0]).sort()).toEqual(
      // 6.12 leaves file copy to a program, which gets at the channel by uio.
      image === newer ? ['hv_utils', 'hv_vmbus', 'uio', 'uio_hv_generic'] : ['hv_utils', 'hv_vmbus'],
    );
    // Others come when they are asked for, by name or by a device's alias (here the network adapter's class).
    await shell.output('modprobe vmbus:635161f83edfc546913ff2d2f965ed0e; lsmod | grep -q ^hv_netvsc; rmmod hv_netvsc');
  });

  it('lists them with lsvmbus, each with its driver and its channel', async () => {
    const listed = (await shell.output('lsvmbus')).trim().split('\n');
    expect(
      listed.map((line) => /^VMBUS ID +\d+: (.*), driver (?:hv_utils|uio_hv_generic)$/.exec(line)?.[1]).sort(),
    ).toEqual([
      'Backup (volume snapshot)',
      'Data Exchange',
      'Guest services (file copy)',
      'Heartbeat',
      'Operating system shutdown',
      'Time Synchronization',
    ]);
    const details = await shell.output('lsvmbus -v');
    expect(details.match(/Rel_ID = \d+, target_cpu = 0\n/g)).toHaveLength(6);
    expect(details).toMatch(/Device_ID = \{fd149e91-82e0-4a7d-afa6-2a4166cbd7c0\}\n +Class_ID = \{57164f39-/);
  });

  it('is shown by plinth inspect hypervisor, beside the root', async () => {
    const { stdout, status } = await plinth(['inspect', 'hypervisor/partitions', '-o', 'json']);
    expect(status).toBe(0);
    const partitions = Object.values(JSON.parse(stdout) as Record<string, { kind: string; vm?: string }>);
    expect(partitions.filter(({ kind }) => kind === 'root')).toHaveLength(1);
    expect(partitions.find(({ vm }) => vm === `${name}-${image}`)).toMatchObject({
      kind: 'child',
      state: 'active',
      processors: [0],
      guestInterface: {
        guestSystem: expect.stringMatching(/^Linux \d+\.\d+\.\d+$/),
        processors: { 0: { synic: { enabled: true, sources: { 2: { vector: 0xf3, masked: false } } } } },
        ports: { connections: { '0x4': 'message port 0x1', '0x2001': 'event port 0x1001, flags 1-1' } },
        hypercalls: { HvCallPostMessage: expect.any(Number), HvCallSignalEvent: expect.any(Number) },
      },
    });
  });
});

describe('a processor without NX', () => {
  it('is refused by the hypervisor, which says why', async () => {
    const { status, stderr } = await plinth(['run', cloud, '--cpu-features', '-nx']);
    expect(status).toBe(64);
    expect(stderr).toMatch(/^PL-4111: The hypervisor does not launch: .*HV_STATUS_NX_NOT_DETECTED/m);
  });
});

describe('a guest whose modules are kept away', () => {
  it("has the hypervisor's clock and timers, and no VMBus", async () => {
    const { kernel, initrd } = imageFiles(cloud);
    const append = 'console=ttyS0 modprobe.blacklist=hv_vmbus,hv_balloon quiet';
    const bare = start(launcher, ['run', '--kernel', kernel, '--initrd', initrd, '--append', append]);
    await bare.see(':~# ', 300);
    bare.type(
      'lsmod | grep -c hv_; cat /sys/devices/system/clocksource/clocksource0/current_clocksource; ls -d /sys/bus/vm*; poweroff -f\n',
    );
    const { status, stdout } = await bare.ended;
    expect(status).toBe(0);
    expect(stdout).toMatch(/\n0\r?\nhyperv_clocksource_tsc_page\r?\nls: \/sys\/bus\/vm\*: No such file/);
  });
});
