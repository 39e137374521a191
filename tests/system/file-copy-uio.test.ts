/**
 * File copy with Linux 6.12, whose hv_utils has none: the kernel's own hv_fcopy_uio_daemon has the channel by uio. Debian has the program only
 * as source (150 MB), so the long tests alone compile it from there, and put it into an initrd behind the image's.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Apt } from '../../packages/images/src/apt.ts';
import { GuestTree } from '../../packages/images/src/guest-tree.ts';
import { ensureImage, home, imageFiles, newer } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { isLong } from '../support/long.ts';
import { plinth, quote } from '../support/plinth.ts';
import { startGuest } from '../support/running-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-uio-'));
beforeAll(() => ensureImage(newer));
afterAll(() => rmSync(folder, { recursive: true }));

function shell(command: string): void {
  const { status, stderr } = spawnSync('sh', ['-e', '-c', command], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command}\n${stderr}`);
}

/** An initrd with the program of the kernel's own source. */
async function buildInitrd(): Promise<string> {
  const apt = new Apt(home, 'the file copy test');
  await apt.prepare();
  const [archive = ''] = await apt.download(await apt.describe(['linux-source-6.12']));
  const tarball = './usr/src/linux-source-6.12.tar.xz';
  shell(
    `dpkg-deb --fsys-tarfile ${quote(archive)} | tar -xO ${tarball} | xz -dc | tar -x --wildcards '*/tools/hv/*' '*/include/uapi/linux/hyperv.h'`,
  );
  const sources = 'linux-source-6.12/tools/hv/hv_fcopy_uio_daemon.c linux-source-6.12/tools/hv/vmbus_bufring.c';
  shell(`gcc -O2 -static -w -I linux-source-6.12/include/uapi -o daemon ${sources}`);
  const tree = new GuestTree();
  tree.add({ path: 'bin/hv_fcopy_uio_daemon', contents: readFileSync(join(folder, 'daemon')), mode: 0o755 });
  const path = join(folder, 'initrd');
  writeFileSync(path, tree.toCpio());
  return path;
}

describe("file copy with Linux 6.12's driver", () => {
  it('says what is missing while no program has the channel', async () => {
    const guest = await startGuest([newer]);
    await guest.until(async () => (await guest.condition('kvp')) === 'working');
    const service = (await guest.services()).find(({ name }) => name === 'file-copy');
    expect(service).toMatchObject({ condition: 'no-contact', remedy: expect.stringContaining('hv_fcopy_uio_daemon') });
    await guest.stop();
  });

  if (isLong) {
    it('copies files with its program', async () => {
      const initrd = await buildInitrd();
      const { kernel, initrd: image } = imageFiles(newer);
      const words = ['--kernel', kernel, '--initrd', image, '--initrd', initrd, '--append', 'console=ttyS0'];
      const guest = await startGuest([...words, '--memory', '1G']);
      await guest.allServicesWork();
      const source = join(folder, 'file.bin');
      writeFileSync(source, randomBytes(32 * 2 ** 20 + 12345));
      expect(await plinth(['vm', 'cp', source, `${guest.name}:/tmp/new/`, '--parents'])).toMatchObject({ status: 0 });
      expect(await guest.output('sha256sum </tmp/new/file.bin')).toBe(await guest.digest(source));
      expect(kernelComplaints(await guest.output('dmesg -r'))).toEqual([]);
      await guest.stop();
    });
  }
});
