/**
 * The unenlightened guest: an unmodified Debian that is not told of the hypervisor, and one whose Hyper-V modules are kept away. It
 * works on the emulated devices, and each command that needs a synthetic one says what is missing and what to do.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage, imageFiles } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { endAll, launcher, plinth } from '../support/plinth.ts';
import { type RunningGuest, startGuest } from '../support/running-guest.ts';

beforeAll(() => ensureImage(cloud));

/** Commands that need a synthetic device, and the service that their refusal names. */
const commands = (name: string): readonly (readonly [string, readonly string[]])[] => [
  ['(data exchange|Data exchange)', ['kvp', name, 'set', 'a', 'b']],
  ['(data exchange|Data exchange)', ['kvp', name, 'list', '--pool', 'auto']],
  ['(file copy|Guest services \\(file copy\\))', ['cp', launcher, `${name}:/tmp/`]],
  ['(backup|Backup \\(volume shadow copy\\))', ['freeze', name]],
  ['(shutdown|Operating system shutdown)', ['stop', name, '--reboot']],
];

/** What works in any guest. */
async function works(guest: RunningGuest): Promise<void> {
  expect(await guest.output('echo $((6 * 7)); ls /dev/ttyS0 /dev/rtc0')).toBe('42\n/dev/rtc0\n/dev/ttyS0');
  const [from = 0, to = 0] = (await guest.output('date +%s; sleep 2; date +%s')).split('\n').map(Number);
  expect([2, 3]).toContain(to - from);
  expect(Math.abs(to - Date.now() / 1000)).toBeLessThan(60);
  for (const verb of ['pause', 'resume']) expect((await plinth(['vm', verb, guest.name])).status).toBe(0);
  expect(await guest.output('lsvmbus 2>&1 || true')).toMatch(/there is no VMBus: .*modprobe hv_vmbus/);
}

describe('a guest that is not told of the hypervisor', () => {
  let guest: RunningGuest;
  beforeAll(async () => {
    guest = await startGuest([cloud, '--cpu-features=-hypervisor']);
  });
  afterAll(endAll);

  it('boots and works on the emulated devices', async () => {
    const log = await guest.output('dmesg -r');
    expect(log).not.toMatch(/Hyper-V|VMBus/i);
    // Linux wants five ticks of the 8254 in 40 ms here, which a host with other work may not give it; an enlightened guest does not ask.
    const complaints = kernelComplaints(log).filter((line) => !line.includes('8254 timer not connected to IO-APIC'));
    expect(complaints).toEqual([]);
    expect(await guest.output('grep -c hypervisor /proc/cpuinfo || true')).toBe('0');
    expect(await guest.output('ls -d /sys/bus/vmbus 2>/dev/null || true')).toBe('');
    await works(guest);
  });

  it('has none of the services, and each command says why and what to do', async () => {
    for (const [service, words] of [...commands(guest.name), ['integration', ['enable', guest.name, 'kvp']] as const]) {
      const { status, stderr } = await plinth(['vm', ...words]);
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`PL-3201: The guest's ${service} service cannot be used now`));
      expect(stderr).toMatch(/is not told of the hypervisor.*Try: plinth run without that option/);
    }
    expect((await plinth(['vm', 'show', guest.name])).stderr).toMatch(/PL-3201: .*not told of the hypervisor/);
    expect((await plinth(['vm', 'ls'])).stdout).toMatch(new RegExp(`${guest.name} +running +1 .* -`));
    expect(await guest.inspect('vmbus')).toBeNull();
  });

  it('hears its power button', async () => {
    await guest.stop();
  });
});

describe('a guest whose VMBus driver is kept away', () => {
  let guest: RunningGuest;
  beforeAll(async () => {
    const { kernel, initrd } = imageFiles(cloud);
    const append = 'console=ttyS0 quiet module_blacklist=hv_vmbus';
    guest = await startGuest(['--kernel', kernel, '--initrd', initrd, '--append', append]);
  });
  afterAll(endAll);

  it('boots and works: it knows the hypervisor, and none of its devices', async () => {
    const log = await guest.output('dmesg -r');
    expect(log).toMatch(/Hypervisor detected: Microsoft Hyper-V\n/);
    expect(kernelComplaints(log).filter((line) => !/Module hv_vmbus is blacklisted/.test(line))).toEqual([]);
    await works(guest);
  });

  it('shows each service with what to install, and each command says it, too', async () => {
    const rows = await guest.services();
    expect(rows).toHaveLength(6);
    for (const { condition, text, remedy } of rows) {
      expect([condition, text]).toEqual(['no-contact', expect.stringMatching(/^The guest has no driver that uses /)]);
      expect(remedy).toMatch(/hv_utils|hyperv-daemons/);
    }
    for (const [service, words] of commands(guest.name)) {
      const { status, stderr } = await plinth(['vm', ...words]);
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`PL-3201: The guest's ${service} service cannot be used now`));
      expect(stderr).toMatch(/The guest has no driver.*Try: the .*(hv_utils|hyperv-daemons)/);
    }
    expect((await plinth(['vm', 'ls'])).stdout).toMatch(new RegExp(`${guest.name} .* no-contact`));
    expect(await guest.inspect('vmbus/connection')).toEqual({ state: 'disconnected' });
  });

  it('hears its power button', async () => {
    await guest.stop();
  });
});
