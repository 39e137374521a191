/**
 * An unmodified Debian guest finds the hypervisor: its clock is the reference TSC page, its timer the synthetic one, and its kernel has
 * nothing to complain about.
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
});
