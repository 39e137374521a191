/**
 * The integration services with an unmodified Debian guest: its hv_utils driver and its own daemons on the one side, `plinth vm` on the
 * other.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestShell } from '../support/guest-shell.ts';
import { cloud, ensureImage } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { isLong } from '../support/long.ts';
import { type Ended, launcher, plinth, start } from '../support/plinth.ts';
import { RunningGuest, type ServiceRow, startGuest } from '../support/running-guest.ts';
import { savedGuest } from '../support/saved-guest.ts';

const MIB = 2 ** 20;
const name = `integration-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'plinth-integration-'));
let shell: GuestShell;

beforeAll(async () => {
  await ensureImage(cloud);
  // The file lies in the guest's memory, half of which its /tmp may have.
  shell = new GuestShell([cloud, '--name', name, '--memory', isLong ? '1G' : '512M']);
  await shell.output('true');
  await until(async () => (await services()).every(({ condition }) => condition === 'working'));
});
afterAll(async () => {
  await shell.end();
  rmSync(folder, { recursive: true });
});

async function vm(...words: string[]): Promise<Ended> {
  const [verb = '', ...rest] = words;
  return plinth(['vm', verb, ...rest]);
}
const services = (): Promise<ServiceRow[]> => new RunningGuest(name, shell.process).services();
/** Waits for what the guest does in its own time. */
async function until(isSo: () => Promise<boolean>, seconds = 120): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${seconds} s: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
const inGuest = async (script: string): Promise<string> => (await shell.output(script)).trim();

describe('plinth vm exec', () => {
  it('runs commands in a guest that has its console, before and after it restarts', async () => {
    const guest = await startGuest(await savedGuest());
    const other = guest.name;
    const exec = (...words: string[]) => plinth(['vm', 'exec', other, '--', ...words]);
    expect(await exec('echo out; echo err >&2; exit 7')).toMatchObject({ status: 7, stdout: 'out\n', stderr: 'err\n' });
    expect((await exec('printf', '%s|', 'two words', "it's", '$HOME')).stdout).toBe("two words|it's|$HOME|");
    const both = await Promise.all([exec('sleep 0.5; echo first'), exec('echo second')]);
    expect(both.map(({ stdout }) => stdout)).toEqual(['first\n', 'second\n']);
    const copy = start(launcher, ['vm', 'exec', other, '--', 'sha256sum']);
    const bytes = randomBytes(200_000);
    copy.type(bytes);
    copy.child.stdin?.end();
    expect((await copy.ended).stdout).toMatch(createHash('sha256').update(bytes).digest('hex'));
    // One that was started with --exec has its own command under way, and runs others beside it.
    expect((await plinth(['vm', 'exec', name, '--', 'echo beside'])).stdout).toBe('beside\n');
    const listed = JSON.parse((await vm('ls', '-o', 'json')).stdout) as { name: string; id: string }[];
    const { id = '' } = listed.find((machine) => machine.name === other) ?? {};
    expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect((await plinth(['vm', 'exec', id.toUpperCase(), 'echo by its id'])).stdout).toBe('by its id\n');
    // A restart ends one connection to VMBus and begins another, and so does a reset.
    const boots = async (): Promise<number> => {
      const resets = await guest.inspect('resets');
      const works = (await guest.services()).every(({ condition }) => condition === 'working');
      return works && (await guest.run('true')).status === 0 ? Number(resets) : -1;
    };
    expect((await vm('stop', other, '--reboot')).status).toBe(0);
    await until(async () => (await boots()) === 1);
    expect((await vm('reset', other)).status).toBe(0);
    await until(async () => (await boots()) === 2);
    expect((await exec('echo once more')).stdout).toBe('once more\n');
    await guest.stop();
  });
});

describe('integration services', () => {
  it('agree on the versions that Linux has', async () => {
    const shown = JSON.parse((await vm('show', name, '-o', 'json')).stdout) as { services: ServiceRow[] };
    expect(Object.fromEntries(shown.services.map((service) => [service.name, service.version]))).toEqual({
      shutdown: '3.2',
      'time-sync': '4.0',
      heartbeat: '3.0',
      kvp: '4.0',
      vss: '5.0',
      'file-copy': '1.1',
    });
    const log = await inGuest('dmesg');
    for (const line of ['Heartbeat IC version 3.0', 'Shutdown IC version 3.2', 'TimeSync IC version 4.0']) {
      expect(log).toContain(line);
    }
    const [row] = (JSON.parse((await vm('ls', '-o', 'json')).stdout) as { name: string; heartbeat: string }[]).filter(
      (machine) => machine.name === name,
    );
    expect(row?.heartbeat).toBe('ok');
  });

  it('exchange key-value pairs both ways', async () => {
    expect((await vm('kvp', name, 'set', 'Farbe', 'grün')).status).toBe(0);
    expect(await inGuest("tr -d '\\000' </var/lib/hyperv/.kvp_pool_0")).toBe('Farbegrün');
    expect((await vm('kvp', name, 'get', 'Farbe')).stdout).toBe('grün\n');
    expect(await inGuest("tr -d '\\000' </var/lib/hyperv/.kvp_pool_3")).toContain(`VirtualMachineName${name}`);
    // The guest's own pool: records of 512 and 2048 bytes, as its daemon keeps them.
    await shell.output(
      '{ printf city; dd if=/dev/zero bs=1 count=508; printf Paris; dd if=/dev/zero bs=1 count=2043; } 2>/dev/null >/var/lib/hyperv/.kvp_pool_1',
    );
    await until(async () => (await vm('kvp', name, 'get', 'city', '--pool', 'guest')).stdout === 'Paris\n');
    const auto = await vm('kvp', name, '--pool', 'auto', '-o', 'json');
    expect(JSON.parse(auto.stdout)).toContainEqual({ key: 'OSName', value: 'Linux' });
    expect((await vm('kvp', name, 'rm', 'Farbe')).status).toBe(0);
    expect(await vm('kvp', name, 'get', 'Farbe')).toMatchObject({ status: 1, stdout: '' });
  });

  it("read and set an adapter's addresses through Debian's daemon", async () => {
    const device = 'f8615163-df3e-46c5-913f-f2d2f965ed0e';
    const mac = '00155D010203';
    const set = [device, '--address', '192.0.2.9/24', '--address', 'fd00::9/64', '--gateway', '192.0.2.1'];
    expect((await vm('ip', name, mac)).stderr).toMatch(/PL-3202: .*It has no such adapter/);
    expect((await vm('ip', name, ...set)).stderr).toMatch(/PL-3202: .*It has no such adapter/);
    // No synthetic adapter is there yet, so the daemon is shown the sysfs of one; the interface is the loopback's.
    await shell.output(
      `mkdir -p /tmp/net/lo/device; echo 00:15:5d:01:02:03 >/tmp/net/lo/address; echo '{${device}}' >/tmp/net/lo/device/device_id; mount --bind /tmp/net /sys/class/net`,
    );
    expect(JSON.parse((await vm('ip', name, mac, '-o', 'json')).stdout)).toMatchObject({ addresses: [], dhcp: false });
    // Debian leaves it to the administrator what sets the addresses.
    expect((await vm('ip', name, ...set)).stderr).toMatch(/PL-3202: .*hv_set_ifconfig/);
    const script = '/usr/libexec/hypervkvpd/hv_set_ifconfig';
    await shell.output(`printf '#!/bin/sh\\ncat "$1" >/tmp/ifcfg' >${script}; chmod +x ${script}`);
    expect(await vm('ip', name, ...set, '--dns', '192.0.2.53')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const written = await inGuest('cat /tmp/ifcfg');
    for (const line of ['DEVICE=lo', 'HWADDR=00:15:5D:01:02:03', 'IPADDR0=192.0.2.9', 'NETMASK0=255.255.255.0']) {
      expect(written.split(/\s+/)).toContain(line);
    }
    await shell.output(`umount /sys/class/net; rm -r /tmp/net ${script}`);
  });

  it('copy a file, byte for byte', async () => {
    const bytes = randomBytes((isLong ? 256 : 8) * MIB + 12345);
    const source = join(folder, 'file.bin');
    writeFileSync(source, bytes);
    expect(await vm('cp', source, `${name}:/tmp/new/folder/`, '--parents')).toMatchObject({ status: 0 });
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect(await inGuest('sha256sum </tmp/new/folder/file.bin')).toMatch(digest);
    const again = await vm('cp', source, `${name}:/tmp/new/folder/file.bin`);
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toMatch(/PL-3202.*There is a file of that name.*--force/);
    expect((await vm('cp', source, `${name}:/nowhere/file.bin`)).stderr).toMatch(/--parents/);
    expect((await vm('cp', join(folder, 'missing'), `${name}:/tmp/`)).status).toBe(66);
    expect((await vm('cp', source, '/tmp/')).status).toBe(64);
    await shell.output('rm -r /tmp/new');
  });

  it('set the clock again when the guest goes on after a pause', async () => {
    await shell.output('date -s "2001-02-03 04:05:06" >/dev/null');
    expect((await vm('pause', name)).status).toBe(0);
    expect((await vm('resume', name)).status).toBe(0);
    await until(async () => Math.abs(Number(await inGuest('date +%s')) - Date.now() / 1000) < 5);
  });

  it('freeze file systems, and let them go', async () => {
    await shell.output(
      'modprobe brd rd_nr=1 rd_size=16384; mke2fs -I 256 /dev/ram0 >/dev/null 2>&1; mkdir -p /mnt/disk; mount -t ext4 /dev/ram0 /mnt/disk',
    );
    expect((await vm('freeze', name)).status).toBe(0);
    // What writes now waits until the thaw.
    await shell.output('echo written >/mnt/disk/file & echo $! >/tmp/writer; sleep 0.5');
    expect(await inGuest('test -d /proc/$(cat /tmp/writer) && echo waits')).toBe('waits');
    expect((await vm('freeze', name)).stderr).toMatch(/They are frozen/);
    expect((await vm('thaw', name)).status).toBe(0);
    await until(async () => (await inGuest('cat /mnt/disk/file')) === 'written');
    await shell.output('umount /mnt/disk');
  });

  it('are switched off and on while the guest runs', async () => {
    const devices = async (): Promise<number> => Number(await inGuest('ls /sys/bus/vmbus/devices | wc -l'));
    const of = async (wanted: string): Promise<ServiceRow | undefined> =>
      (await services()).find((service) => service.name === wanted);
    expect((await vm('disable', name, 'Guest Service Interface')).status).toBe(0);
    expect(await of('file-copy')).toMatchObject({
      condition: 'disabled',
      text: 'It is switched off for this VM',
      remedy: `plinth vm enable ${name} file-copy`,
    });
    await until(async () => (await devices()) === 5);
    const refused = await vm('cp', launcher, `${name}:/tmp/`);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/PL-3201: .*It is switched off for this VM\. Try: plinth vm enable \S+ file-copy/);
    expect(await plinth(['Disable-VMIntegrationService', '-VMName', name, '-Name', 'Heartbeat'])).toMatchObject({
      status: 0,
    });
    expect((await vm('ls')).stdout).toMatch(new RegExp(`${name} .* disabled`));
    for (const service of ['shutdown', 'time-sync', 'kvp', 'vss']) await vm('disable', name, service);
    await until(async () => (await devices()) === 0);
    expect((await services()).every(({ condition, version }) => condition === 'disabled' && version === null)).toBe(
      true,
    );
    expect((await vm('freeze', name)).stderr).toMatch(/PL-3201: .*switched off/);
    expect((await vm('enable', name, 'telepathy')).stderr).toMatch(/PL-1004: .*shutdown, time-sync/);
    for (const { name: service } of await services()) expect((await vm('enable', name, service)).status).toBe(0);
    // Debian's daemons end with their devices; its systemd starts them again, here the test does.
    await until(async () => (await inGuest('ls /dev/vmbus 2>/dev/null | wc -l')) === '3');
    await until(async () => (await inGuest('pidof hv_kvp_daemon hv_vss_daemon hv_fcopy_daemon || true')) === '');
    await shell.output('hv_kvp_daemon; hv_vss_daemon; hv_fcopy_daemon');
    await until(async () => (await services()).every(({ condition }) => condition === 'working'));
    expect(await devices()).toBe(6);
    await until(async () => (await vm('ls')).stdout.match(new RegExp(`${name} .* ok`)) !== null);
    expect((await vm('cp', launcher, `${name}:/tmp/launcher`)).status).toBe(0);
    expect((await vm('kvp', name, 'set', 'after', 'all')).status).toBe(0);
  });

  it('say what is missing while a daemon does not run, and come back with it', async () => {
    await shell.output('kill $(pidof hv_kvp_daemon hv_vss_daemon hv_fcopy_daemon); sleep 0.5; rmmod hv_utils');
    await until(async () => (await services()).every(({ condition }) => condition === 'no-contact'));
    const refused = await vm('kvp', name, 'list');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/PL-3201.*no driver.*hyperv-daemons/);
    const rounds = isLong ? 50 : 5;
    await shell.output(`for i in $(seq ${rounds}); do modprobe hv_utils; rmmod hv_utils; done; modprobe hv_utils`);
    await until(
      async () => (await services()).find((service) => service.name === 'heartbeat')?.condition === 'working',
    );
    expect((await services()).find((service) => service.name === 'kvp')).toMatchObject({ condition: 'negotiating' });
    await shell.output('hv_kvp_daemon; hv_vss_daemon; hv_fcopy_daemon');
    await until(async () => (await services()).every(({ condition }) => condition === 'working'));
    expect((await vm('kvp', name, 'set', 'again', 'yes')).status).toBe(0);
  });

  it('leave the kernel without a complaint, and stop it from the host', async () => {
    expect(kernelComplaints(await shell.output('dmesg -r'))).toEqual([]);
    const stopped = await vm('stop', name);
    expect(stopped).toMatchObject({ status: 0 });
    // A shell that ran under --exec ended with the guest, and that is what its run says.
    expect(await shell.process.ended).toMatchObject({ status: 75 });
  });
});
