/**
 * A guest with programs that check themselves: stress-ng with its `--verify`, a C compiler, xz, made from Debian's packages on this
 * machine. It is Debian's cloud kernel with an initrd of its own, and a shell on the console. Called by the system tests.
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

/** Runs each line of a file as the words of one stress-ng: `@run` before each, `@failed` with what it said, and a count at the end. */
const runner = `#!/bin/sh
count=0
while read -r words; do
  echo "@run $words"
  if stress-ng --verify --timeout 120 $words >/tmp/said 2>&1 </dev/null && grep -q 'successful run completed' /tmp/said &&
    ! grep -qiE 'fail:|skipp|error:' /tmp/said; then
    count=$((count + 1))
  else
    echo "@failed $words"
    tail -n 5 /tmp/said
  fi
done <"$1"
echo "@passed $count"
`;

/**
 * Builds the guest's initrd.
 * @param files more of them
 * @returns words of \`plinth run\` that boot it
 */
export async function stressGuest(folder: string, files: readonly GuestFile[] = []): Promise<string[]> {
  await ensureImage(cloud);
  const { initrd } = await buildInitramfs({
    name: 'stress',
    packages: ['busybox-static', 'stress-ng', 'tcc', 'xz-utils'],
    files: [{ path: 'bin/run-stress', contents: runner, mode: 0o755 }, ...files],
    init,
    home,
  });
  const path = join(folder, 'stress.cpio');
  writeFileSync(path, initrd);
  const { kernel } = imageFiles(cloud);
  return ['--kernel', kernel, '--initrd', path, '--append', 'console=ttyS0 quiet', '--memory', '512M'];
}
