/** xz there and back in the guest: Debian's own xz-utils from a second initrd, and busybox's decoder. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildInitramfs, readCpio, writeCpio } from '@plinth/images';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GuestConsole } from '../support/guest-shell.ts';
import { cloud, ensureImage, home, imageFiles } from '../support/images.ts';
import { endAll } from '../support/plinth.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
let guest: GuestConsole;
beforeAll(async () => {
  await ensureImage(cloud);
  const { initrd } = await buildInitramfs({ packages: ['xz-utils'], init: '', home, name: 'xz' });
  // Of its archive, the program and its libraries, under a name that busybox's links do not have.
  const entries = readCpio(initrd)
    .filter(({ path }) => path !== 'init')
    .map((entry) => (entry.path === 'bin/xz' ? { ...entry, path: 'bin/debian-xz' } : entry));
  expect(entries.some(({ path }) => path === 'bin/debian-xz')).toBe(true);
  const extra = join(folder, 'xz.cpio');
  writeFileSync(extra, writeCpio(entries));
  const { kernel, initrd: image } = imageFiles(cloud);
  guest = await GuestConsole.boot([
    ...['--kernel', kernel, '--initrd', extra, '--initrd', image, '--append', 'console=ttyS0 quiet'],
  ]);
});
afterEach((context) => {
  if (context.task.result?.state === 'fail') endAll();
});
afterAll(async () => {
  guest?.type('poweroff -f\n');
  await guest?.process.ended;
  rmSync(folder, { recursive: true, force: true });
});

describe("Debian's xz", () => {
  const text = Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join('');
  const sum = createHash('sha256').update(text).digest('hex');

  it.each(['-0', '-6 --check=crc32', '-6 --check=sha256', '--x86 --lzma2=preset=3'])(
    'goes there and back: %s',
    async (options) => {
      const lines = [
        'seq 1 100000 >/tmp/text',
        `debian-xz ${options} -c /tmp/text >/tmp/text.xz`,
        'debian-xz -dc /tmp/text.xz | sha256sum',
        'debian-xz -t /tmp/text.xz && echo whole',
      ];
      const { output } = await guest.run(lines.join('; '));
      expect(output).toContain(`${sum}  -`);
      expect(output).toContain('whole');
    },
  );

  it('is read by busybox', async () => {
    const { output } = await guest.run(
      'debian-xz -6 --check=crc32 -c /tmp/text >/tmp/text.xz; busybox xz -dc /tmp/text.xz | sha256sum',
    );
    expect(output).toContain(`${sum}  -`);
  });
});
