/**
 * A machine of generation 2: no i8254, no i8259 pair. An unmodified Debian guest takes its time from the hypervisor, and one that is not told
 * of it from the local APIC, whose clock it measures by the ACPI PM timer.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestShell } from '../support/guest-shell.ts';
import { cloud, ensureImage } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { launcher, plinth, start } from '../support/plinth.ts';
import { RunningGuest } from '../support/running-guest.ts';

let guest: RunningGuest;

beforeAll(async () => {
  await ensureImage(cloud);
  const name = `generation-2-${process.pid}`;
  const words = ['run', cloud, '--generation', '2', '--name', name, '--console', 'none'];
  guest = new RunningGuest(name, start(launcher, words));
  await until(answers);
});
afterAll(() => {
  guest.process.child.kill();
});

async function until(isSo: () => Promise<boolean>, seconds = 180): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${seconds} s: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
const answers = async (): Promise<boolean> => (await guest.run('true')).status === 0;
const servicesWork = async (): Promise<boolean> =>
  (await guest.services()).every(({ condition }) => condition === 'working');

describe('a Debian guest in a machine of generation 2', () => {
  it('finds neither controller nor timer of old, and complains of nothing', async () => {
    const log = await guest.output('dmesg -r');
    expect(log).toMatch(/Using NULL legacy PIC\n/);
    expect(log).toMatch(/tsc: Detected 2000\.000 MHz processor\n/);
    expect(kernelComplaints(log)).toEqual([]);
    const interrupts = await guest.output('cat /proc/interrupts');
    expect(interrupts).not.toMatch(/^ *0:|XT-PIC|timer$/m);
    for (const device of ['ttyS0', 'ttyS1', 'rtc0', 'acpi']) {
      expect(interrupts).toMatch(new RegExp(`IO-APIC.*${device}$`, 'm'));
    }
    expect(await guest.inspect('configuration/generation')).toBe(2);
  });

  it("has the hypervisor's clock and timers, and its services", async () => {
    const current = 'clocksource/clocksource0/current_clocksource clockevents/clockevent0/current_device';
    expect(await guest.output(`cd /sys/devices/system; cat ${current}`)).toBe(
      'hyperv_clocksource_tsc_page\nHyper-V clockevent',
    );
    await until(servicesWork);
  });

  it('restarts, and is stopped by its host', async () => {
    expect((await plinth(['vm', 'stop', guest.name, '--reboot'])).status).toBe(0);
    await until(async () => (await guest.inspect('resets')) === 1);
    await until(answers);
    await until(servicesWork);
    expect((await plinth(['vm', 'stop', guest.name])).status).toBe(0);
    expect(await guest.process.ended).toMatchObject({ status: 0 });
  });

  it('needs no hypervisor to boot: it measures its clock by the PM timer', async () => {
    const plain = new GuestShell([cloud, '--generation', '2', '--cpu-features', '-hypervisor']);
    try {
      const log = await plain.output('dmesg -r');
      expect(log).toMatch(/tsc: using PMTIMER reference calibration\n/);
      expect(kernelComplaints(log)).toEqual([]);
      const seconds = await plain.output('cut -d" " -f1 /proc/uptime; sleep 1; cut -d" " -f1 /proc/uptime');
      const [first = 0, second = 0] = seconds.trim().split('\n').map(Number);
      expect(second - first).toBeGreaterThanOrEqual(1);
    } finally {
      await plain.end();
    }
  });
});
