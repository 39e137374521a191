/**
 * The guest's side of VMBus goes and comes back, as it does with an unmodified Debian guest: the driver unloaded and loaded again at
 * every version of the protocol, single devices unbound and bound, and another kernel started by kexec.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildInitramfs } from '@plinth/images';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage, home, imageFiles } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { isLong } from '../support/long.ts';
import { endAll, plinth } from '../support/plinth.ts';
import { type RunningGuest, startGuest } from '../support/running-guest.ts';
import { savedGuest } from '../support/saved-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-restarts-'));
beforeAll(() => ensureImage(cloud));
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true }));

/** Warnings that VMBus has about its guest. */
async function warnings(guest: RunningGuest): Promise<string[]> {
  const events = (await guest.inspect('vmbus/events')) as { last: string[] };
  return events.last.filter((line) => line.startsWith('warning'));
}

describe('the VMBus driver of a guest', () => {
  // In direct mode the driver stops its timer when it goes, and leaves it as the one that the kernel waits for (hv_stimer_cleanup):
  // Linux lets its users take another one before. (hv_balloon, which the image does not load, has no exit: with it hv_vmbus stays.)
  const otherTimer =
    'cd /sys/devices/system/clockevents/clockevent0; echo "Hyper-V clockevent" >unbind_device; cat current_device';
  const letGo = 'kill $(pidof hv_kvp_daemon hv_vss_daemon hv_fcopy_daemon); sleep 0.5; rmmod hv_utils hv_vmbus';
  const versions = ['5.3', '5.2', '5.1', '5.0', '4.1', '4.0', '3.0', '2.4'];
  const rounds = isLong ? 50 : 8;

  it('is unloaded and loaded again, with every version of the protocol', async () => {
    const guest = await startGuest(await savedGuest());
    await guest.allServicesWork();
    expect(await guest.output(otherTimer)).not.toContain('Hyper-V');
    await guest.output(letGo);
    expect(await guest.inspect('vmbus/connection')).toEqual({ state: 'disconnected' });
    for (let round = 0; round < rounds; round++) {
      const version = versions[round % versions.length] ?? '';
      const [major = 0, minor = 0] = version.split('.').map(Number);
      await guest.output(`modprobe hv_vmbus max_version=${(major << 16) | minor}; modprobe hv_utils`);
      expect(await guest.inspect('vmbus/connection')).toMatchObject({ version });
      await guest.until(async () => (await guest.condition('heartbeat')) === 'working');
      // Linux offers backups from 3.0 on.
      expect(await guest.output('ls /sys/bus/vmbus/drivers/hv_utils | grep -c -- -')).toBe(
        version === '2.4' ? '5' : '6',
      );
      await guest.output('rmmod hv_utils hv_vmbus');
      // At 2.4 there is no way back after an Unload, so Linux sends none: the next load connects over what stands.
      const state = version === '2.4' ? 'connected' : 'disconnected';
      expect(await guest.inspect('vmbus/connection')).toMatchObject({ state });
    }
    await guest.output('modprobe hv_utils; hv_kvp_daemon; hv_vss_daemon; hv_fcopy_daemon');
    await guest.allServicesWork();
    const log = (await guest.output('dmesg -r')).split('\n');
    const expected = [
      // At 2.4 alone, and said so by Linux itself.
      /hv_utils: Integration service 'Backup \(volume snapshot\)' not supported on this host version\./,
      /hv_vmbus: probe failed for device 2450ee40-33bf-4fbd-892e-9fb06e9214cf/,
    ];
    const complaints = kernelComplaints(log.join('\n')).filter((line) => !expected.some((text) => text.test(line)));
    expect(complaints).toEqual([]);
    expect(await warnings(guest)).toEqual([]);
    await guest.stop();
  });

  it('lets go of single devices and takes them again', async () => {
    const guest = await startGuest(await savedGuest());
    await guest.allServicesWork();
    // Heartbeat, shutdown, time: those without a daemon.
    for (const id of [
      'fd149e91-82e0-4a7d-afa6-2a4166cbd7c0',
      'b6650ff7-33bc-4840-8048-e0676786f393',
      '2dd1ce17-079e-403c-b352-a1921ee207ee',
    ]) {
      const service = Object.entries({ heartbeat: 'fd14', shutdown: 'b665', 'time-sync': '2dd1' }).find(([, start]) =>
        id.startsWith(start),
      )?.[0];
      for (let round = 0; round < 5; round++) {
        await guest.output(`echo ${id} >/sys/bus/vmbus/drivers/hv_utils/unbind`);
        expect(await guest.condition(service ?? '')).toBe('no-contact');
        await guest.output(`echo ${id} >/sys/bus/vmbus/drivers/hv_utils/bind`);
        await guest.until(async () => (await guest.condition(service ?? '')) === 'working');
      }
    }
    expect(kernelComplaints(await guest.output('dmesg -r'))).toEqual([]);
    expect(await warnings(guest)).toEqual([]);
    await guest.stop();
  });
});

describe('a guest that starts another kernel by kexec', () => {
  it('finds everything again', async () => {
    const { kernel, initrd } = imageFiles(cloud);
    // Beside the image's own files: the tool, and the kernel that it is to start.
    const { initrd: more } = await buildInitramfs({
      name: 'kexec',
      packages: ['kexec-tools'],
      files: [
        { path: 'boot/vmlinuz', contents: readFileSync(kernel) },
        { path: 'boot/initrd', contents: readFileSync(initrd) },
      ],
      init: readFileSync(fileURLToPath(new URL('../../packages/images/guest/init', import.meta.url)), 'utf8'),
      home,
    });
    const second = join(folder, 'kexec.cpio');
    writeFileSync(second, more);
    const words = ['--kernel', kernel, '--initrd', initrd, '--initrd', second, '--append', 'console=ttyS0 quiet'];
    const guest = await startGuest([...words, '--memory', '1G']);
    const boot = (): Promise<string> => guest.output('cat /proc/sys/kernel/random/boot_id');
    const first = await boot();
    await guest.allServicesWork();
    // The second kernel has no tool in its initrd, and takes its name from here.
    await guest.output(
      'kexec -s -l /boot/vmlinuz --initrd=/boot/initrd --command-line="console=ttyS0 quiet panic=-1 second=yes"',
    );
    const exec = plinth(['vm', 'exec', guest.name, '--', 'kexec -e']);
    expect((await exec).stderr).toMatch(/PL-3009/);
    await guest.until(async () => {
      const { status, stdout } = await guest.run('cat /proc/cmdline');
      return status === 0 && stdout.includes('second=yes');
    });
    expect(await boot()).not.toBe(first);
    // The machine was not reset: one kernel followed the other.
    expect(await guest.inspect('resets')).toBe(0);
    await guest.allServicesWork();
    const log = await guest.output('dmesg -r');
    expect(log).toMatch(/Hypervisor detected: Microsoft Hyper-V\n/);
    expect(log).toMatch(/hv_vmbus: Vmbus version:5\.3\n/);
    expect(kernelComplaints(log)).toEqual([]);
    expect(await guest.output('cat /sys/devices/system/clocksource/clocksource0/current_clocksource')).toBe(
      'hyperv_clocksource_tsc_page',
    );
    const timers = 'awk \'$1 == "HVS:" || $1 == "HYP:" { print $2 }\' /proc/interrupts';
    const before = (await guest.output(timers)).split('\n').map(Number);
    await guest.output('sleep 2.5');
    const after = (await guest.output(timers)).split('\n').map(Number);
    expect(after.length).toBe(2);
    for (const [index, count] of after.entries()) expect(count).toBeGreaterThan(before[index] ?? Number.NaN);
    expect((await plinth(['vm', 'kvp', guest.name, 'set', 'kernel', 'second'])).status).toBe(0);
    expect(await guest.output("tr -d '\\000' </var/lib/hyperv/.kvp_pool_0")).toBe('kernelsecond');
    expect((await plinth(['vm', 'cp', kernel, `${guest.name}:/tmp/copy`])).status).toBe(0);
    expect(await guest.output('sha256sum </tmp/copy')).toBe(await guest.digest(kernel));
    expect(await warnings(guest)).toEqual([]);
    await guest.stop();
  });
});
