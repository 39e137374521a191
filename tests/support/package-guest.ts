/**
 * A guest made from Debian's packages on this machine, with files of a test's own: Debian's cloud kernel with an initrd, and a shell on the
 * console. Called by the system tests whose programs check themselves, and by those that compare with the host's processor.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildInitramfs, type GuestFile } from '@plinth/images';
import { cloud, ensureImage, home, imageFiles } from './images.ts';

const init = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o size=100% shm /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
cd /tmp
export HOME=/root PS1=':~# '
exec setsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'
`;

/**
 * Builds the guest's initrd.
 * @param name of the guest, and of the file in `folder`
 * @param packages that go in whole, beside a shell
 * @param files more of them
 * @returns words of `plinth run` that boot it
 */
export async function packageGuest(
  folder: string,
  name: string,
  packages: readonly string[],
  files: readonly GuestFile[] = [],
): Promise<string[]> {
  await ensureImage(cloud);
  const { initrd } = await buildInitramfs({ name, packages: ['busybox-static', ...packages], files, init, home });
  const path = join(folder, `${name}.cpio`);
  writeFileSync(path, initrd);
  const { kernel } = imageFiles(cloud);
  return ['--kernel', kernel, '--initrd', path, '--append', 'console=ttyS0 quiet', '--memory', '512M'];
}
