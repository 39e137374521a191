/**
 * An unmodified Debian guest finds the hypervisor: its clock is the reference TSC page, its timer the synthetic one, VMBus connects, and its
 * kernel has nothing to complain about. The same guest works when it is not told.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestShell } from '../support/guest-shell.ts';
import { cloud, ensureImage } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';

let shell: GuestShell;

beforeAll(async () => {
  await ensureImage(cloud);
  shell = new GuestShell([cloud]);
  await shell.output('true');
});
afterAll(() => shell.end());

/** Interrupts of a line of /proc/interrupts. */
const interrupts = async (name: string): Promise<number> =>
  Number(await shell.output(`awk '$1 == "${name}:" { print $2 }' /proc/interrupts`));

describe('a Debian guest', () => {
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
});

describe('a guest that is not told of the hypervisor', () => {
  it('boots and works on the emulated devices', async () => {
    const plain = new GuestShell([cloud, '--cpu-features', '-hypervisor']);
    try {
      const log = await plain.output('dmesg -r');
      expect(log).not.toMatch(/Hyper-V|VMBus/i);
      // Linux wants five ticks of the 8254 in 40 ms here, which a host with other work may not give it; an enlightened guest does not ask.
      const complaints = kernelComplaints(log).filter((line) => !line.includes('8254 timer not connected to IO-APIC'));
      expect(complaints).toEqual([]);
      expect(await plain.output('grep -c hypervisor /proc/cpuinfo || true')).toBe('0\n');
      expect(await plain.output('ls -d /sys/bus/vmbus 2>/dev/null || true')).toBe('');
    } finally {
      await plain.end();
    }
  });
});
