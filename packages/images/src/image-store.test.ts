/**
 * Building images from made-up packages with a made-up apt (shell scripts on the PATH) and the real dpkg-deb: what comes out, what is
 * kept, and each way in which it can fail.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PlinthError } from '@plinth/errors';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CpioEntry, readCpio } from './cpio.ts';
import { buildImage, listImages, removeImage, resolveImage } from './image-store.ts';
import { buildInitramfs } from './initramfs.ts';
import { syntheticModule, syntheticProgram } from './testing/synthetic-elf.ts';

const hasDpkg = spawnSync('dpkg-deb', ['--version']).status === 0;
const base = mkdtempSync(join(tmpdir(), 'plinth-images-'));
const pool = join(base, 'pool');
const programs = join(base, 'bin');
const originalPath = process.env.PATH;
const release = '6.1.0-1-cloud-amd64';
const kernelBytes = 'a kernel';

/** Makes a package, and what apt-cache says of it. */
function makePackage(name: string, files: Record<string, string | Uint8Array>, depends = ''): void {
  const folder = join(base, 'tree', name);
  const control = `Package: ${name}\nVersion: 1:2-3\nArchitecture: amd64\nMaintainer: A <a@example.org>\n${depends && `Depends: ${depends}\n`}`;
  const all = { ...files, 'DEBIAN/control': `${control}Description: made up\n` };
  for (const [path, contents] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), contents);
    chmodSync(join(folder, path), 0o755);
  }
  const archive = join(pool, `${name}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', folder, archive], { stdio: 'ignore' });
  const bytes = readFileSync(archive);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(
    join(pool, `${name}.control`),
    `${control}Size: ${bytes.length}\nSHA256: ${sha256}\nDescription: made up\n\n`,
  );
}

/** apt-get and apt-cache as far as they are used; what they do wrong is told by files in the pool. */
const fakeAptGet = `#!/bin/sh
for word; do last=$word; done
echo "$*" >>"${pool}/calls"
case " $* " in
  *" update "*)
    [ ! -e "${pool}/full" ] || { echo 'E: Write error - write (28: No space left on device)' >&2; exit 100; }
    [ ! -e "${pool}/offline" ] || { echo 'W: Failed to fetch x' >&2; echo 'E: Temporary failure resolving host' >&2; exit 100; } ;;
  *" download "*)
    [ ! -e "${pool}/slow" ] || exec sleep 30
    [ ! -e "${pool}/no-download" ] || { echo "partial" >partial.deb.part; echo 'E: Connection reset by peer' >&2; exit 100; }
    echo 'dlstatus:1:50.0:half' >&3
    cp "${pool}/\${last%%=*}.deb" ./some_name.deb
    [ ! -e "${pool}/corrupt" ] || echo x >>some_name.deb ;;
esac
`;
const fakeAptCache = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
status=0
for name; do
  if [ -e "${pool}/$name.control" ] && [ ! -e "${pool}/no-lists" ]; then cat "${pool}/$name.control"; else echo 'N: Unable to locate' >&2; status=100; fi
done
exit $status
`;

const busybox = Buffer.concat([syntheticProgram([]), Buffer.from('[\0[[\0modprobe\0mount\0sh\0\0', 'latin1')]);
const kernelFiles = {
  [`boot/vmlinuz-${release}`]: kernelBytes,
  [`lib/modules/${release}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
  [`lib/modules/${release}/kernel/drivers/hv/hv_vmbus.ko`]: syntheticModule({ depends: '', alias: 'acpi*:VMBUS:*' }),
  [`lib/modules/${release}/kernel/net/vsock.ko`]: syntheticModule({ depends: '' }),
  [`lib/modules/${release}/kernel/net/hv_sock.ko`]: syntheticModule({ depends: 'hv_vmbus,vsock' }),
  [`lib/modules/${release}/kernel/drivers/other.ko`]: syntheticModule({ depends: '' }),
};

let home = '';
const flag = (name: string): void => writeFileSync(join(pool, name), '');
const build = (signal?: AbortSignal) => buildImage('debian-tiny', { home, signal });
const read = async (): Promise<Map<string, CpioEntry>> => {
  const [initrd] = (await resolveImage('debian-tiny', { home })).initrds;
  return new Map(readCpio(readFileSync(initrd ?? '')).map((entry) => [entry.path, entry]));
};
const contentsOf = (entry: CpioEntry | undefined): string =>
  entry?.kind === 'file' ? Buffer.from(entry.contents).toString('latin1') : `no file: ${entry?.kind}`;
async function failure(promise: Promise<unknown>): Promise<PlinthError> {
  const error = await promise.then(
    () => new Error('It did not fail'),
    (reason: unknown) => reason,
  );
  if (error instanceof PlinthError) return error;
  throw error;
}

beforeAll(() => {
  mkdirSync(pool);
  mkdirSync(programs);
  for (const [name, script] of Object.entries({ 'apt-get': fakeAptGet, 'apt-cache': fakeAptCache })) {
    writeFileSync(join(programs, name), script, { mode: 0o755 });
  }
  if (!hasDpkg) return;
  makePackage('busybox-static', { 'bin/busybox': busybox, 'usr/share/doc/busybox/readme': 'no' });
  makePackage(
    'hyperv-daemons',
    { 'usr/sbin/hv_kvp_daemon': syntheticProgram(['libc.so.6'], '/lib64/ld.so') },
    'libc6 (>= 2.34), lsb-base',
  );
  makePackage(
    'libc6',
    {
      'lib/x86_64-linux-gnu/libc.so.6': syntheticProgram(['libgcc_s.so.1']),
      'lib/x86_64-linux-gnu/libunused.so': 'no',
      'lib64/ld.so': syntheticProgram([]),
    },
    'libgcc-s1',
  );
  makePackage('libgcc-s1', { 'usr/lib/x86_64-linux-gnu/libgcc_s.so.1': syntheticProgram([]) }, 'libc6');
  makePackage('linux-image-cloud-amd64', { 'usr/share/doc/x': 'no' }, `linux-image-${release} (= 1:2-3)`);
  makePackage(`linux-image-${release}`, kernelFiles);
  makePackage('needy', { 'usr/bin/needy': syntheticProgram(['libnowhere.so.1']) });
  makePackage('linux-image-empty', { 'usr/share/doc/y': 'no' });
});
beforeEach(({ skip }) => {
  if (!hasDpkg) skip('dpkg-deb is not installed');
  home = mkdtempSync(join(base, 'home-'));
  process.env.PATH = `${programs}:${originalPath}`;
});
afterEach(() => {
  process.env.PATH = originalPath;
  for (const name of ['full', 'offline', 'slow', 'no-download', 'corrupt', 'no-lists', 'calls']) {
    rmSync(join(pool, name), { force: true });
  }
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

describe('an image that is built', () => {
  it('has kernel, initrd and a manifest with versions and checksums', async () => {
    const stages = new Set<string>();
    const image = await buildImage('debian-tiny', { home, onProgress: ({ stage }) => stages.add(stage) });
    expect([...stages]).toEqual(['package lists', 'download', 'unpack', 'assemble', 'store']);
    expect(readFileSync(image.kernel, 'utf8')).toBe(kernelBytes);
    expect(image).toMatchObject({ name: 'debian-tiny', hasAgent: true, kernelRelease: release, outdated: false });
    const { manifest } = image;
    expect(manifest.packages.map((entry) => entry.name)).toEqual([
      'busybox-static',
      'hyperv-daemons',
      'libc6',
      'libgcc-s1',
      `linux-image-${release}`,
    ]);
    expect(manifest.packages[0]).toMatchObject({ version: '1:2-3', architecture: 'amd64' });
    expect(manifest.kernel.sha256).toBe(createHash('sha256').update(kernelBytes).digest('hex'));
    expect(JSON.parse(readFileSync(join(dirname(image.kernel), 'manifest.json'), 'utf8'))).toEqual(manifest);
    expect(await resolveImage('debian-tiny', { home })).toMatchObject({ kernel: image.kernel, initrds: image.initrds });
  });

  it('has the programs, their libraries, the modules and what they need, and nothing else of the packages', async () => {
    await build();
    const tree = await read();
    const paths = [...tree.keys()];
    for (const path of ['init', 'bin/busybox', 'bin/hv_kvp_daemon', 'lib/plinth/agent', 'dev/console']) {
      expect(paths).toContain(path);
    }
    expect(tree.get('usr/sbin')).toMatchObject({ kind: 'symlink', target: '../bin' });
    expect(tree.get('bin/sh')).toMatchObject({ kind: 'symlink', target: 'busybox' });
    expect(paths.filter((path) => path.startsWith('lib/x86_64-linux-gnu/'))).toEqual([
      'lib/x86_64-linux-gnu/libc.so.6',
      'lib/x86_64-linux-gnu/libgcc_s.so.1',
    ]);
    expect(paths).toContain('lib64/ld.so');
    expect(paths.filter((path) => path.includes('share/doc') || path.includes('other.ko'))).toEqual([]);
    expect(contentsOf(tree.get(`lib/modules/${release}/modules.dep`))).toContain(
      'kernel/net/hv_sock.ko: kernel/net/vsock.ko kernel/drivers/hv/hv_vmbus.ko\n',
    );
    // A directory stands before what is in it.
    for (const path of paths)
      if (path.includes('/')) expect(paths.indexOf(dirname(path))).toBeLessThan(paths.indexOf(path));
  });

  it('is the same when it is built again, in one or another home, and takes nothing from the network then', async () => {
    const first = await build();
    flag('no-download');
    flag('offline');
    const second = await build();
    expect(second.manifest.initrds).toEqual(first.manifest.initrds);
    expect(readFileSync(join(pool, 'calls'), 'utf8').match(/ update/g)).toHaveLength(1);
    expect(readdirSync(dirname(first.kernel)).sort()).toHaveLength(3);
    rmSync(join(pool, 'no-download'));
    rmSync(join(pool, 'offline'));
    home = mkdtempSync(join(base, 'home-'));
    expect((await build()).manifest.initrds).toEqual(first.manifest.initrds);
    expect(readdirSync(join(home, 'work'))).toEqual([]);
  });

  it('is listed, found by name, and removed', async () => {
    expect((await listImages({ home })).map(({ name, state }) => [name, state])).toEqual([
      ['debian-tiny', 'missing'],
      ['debian-tiny-generic', 'missing'],
      ['debian-tiny-6.12', 'missing'],
    ]);
    expect((await failure(resolveImage('debian-tiny', { home }))).code).toBe('PL-2102');
    await build();
    expect((await listImages({ home }))[0]).toMatchObject({ state: 'built', kernelRelease: release });
    await removeImage('debian-tiny', { home });
    expect((await failure(resolveImage('debian-tiny', { home }))).exitStatus).toBe(66);
    expect((await failure(removeImage('debian-tiny', { home }))).code).toBe('PL-2102');
    for (const unknown of [resolveImage('x', { home }), removeImage('x', { home }), buildImage('x', { home })]) {
      expect((await failure(unknown)).code).toBe('PL-2101');
    }
  });

  it('leaves the files of a former one for an hour, for machines that are just starting', async () => {
    const { kernel } = await build();
    const folder = dirname(kernel);
    const [recent, old] = [join(folder, 'initrd-00000000'), join(folder, 'initrd-11111111')];
    for (const path of [recent, old]) writeFileSync(path, '');
    utimesSync(old, new Date(0), new Date(Date.now() - 4_000_000));
    await build();
    expect([existsSync(recent), existsSync(old)]).toEqual([true, false]);
  });

  it('of another recipe still boots, and is said to be outdated', async () => {
    const { kernel } = await build();
    const path = join(dirname(kernel), 'manifest.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"recipe": "\w+"/, '"recipe": "other"'));
    expect((await resolveImage('debian-tiny', { home })).outdated).toBe(true);
    expect((await listImages({ home }))[0]?.state).toBe('outdated');
  });
});

describe('damage', () => {
  const damages: [string, (files: { kernel: string; initrd: string; manifest: string }) => void][] = [
    ['a changed byte', ({ initrd }) => writeFileSync(initrd, readFileSync(initrd).fill(0x55, 700, 701))],
    ['a truncated file', ({ kernel }) => writeFileSync(kernel, 'a ker')],
    ['a missing file', ({ kernel }) => rmSync(kernel)],
    ['no JSON', ({ manifest }) => writeFileSync(manifest, '{"format": 1,')],
    ['a newer format', ({ manifest }) => replace(manifest, '"format": 1', '"format": 2')],
    ['a file outside of the folder', ({ manifest }) => replace(manifest, '"file": "vmlinuz', '"file": "../vmlinuz')],
  ];
  const replace = (path: string, from: string, to: string): void =>
    writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));

  it.each(damages)('%s is told by name, and a build repairs it', async (_, damage) => {
    const { kernel, initrds } = await build();
    damage({ kernel, initrd: initrds[0] ?? '', manifest: join(dirname(kernel), 'manifest.json') });
    const error = await failure(resolveImage('debian-tiny', { home }));
    expect([error.code, error.exitStatus]).toEqual(['PL-2106', 65]);
    expect((await listImages({ home }))[0]?.state).toBe('damaged');
    await build();
    expect((await listImages({ home }))[0]?.state).toBe('built');
  });

  it('of a downloaded package is noticed, and it is downloaded anew', async () => {
    await build();
    const folder = join(home, 'apt', 'packages');
    const file = join(folder, readdirSync(folder).find((name) => name.startsWith('libc6_')) ?? '');
    writeFileSync(file, readFileSync(file).fill(0, 100, 110));
    await build();
    expect(readFileSync(join(pool, 'calls'), 'utf8').match(/download libc6=/g)).toHaveLength(2);
  });
});

describe('failures', () => {
  it('without apt-get say what to give instead', async () => {
    process.env.PATH = join(base, 'empty');
    const error = await failure(build());
    expect([error.code, error.exitStatus]).toEqual(['PL-2103', 66]);
    expect(error.message).toContain('--kernel');
    expect(error.message).toContain('--initrd');
  });

  it('of the network are told with apt’s own words', async () => {
    flag('offline');
    flag('no-lists');
    const error = await failure(build());
    expect(error.code).toBe('PL-2104');
    expect(error.message).toContain('Temporary failure resolving host');
  });

  it('in the middle of a download leave nothing behind, and the next build goes on', async () => {
    flag('no-download');
    const error = await failure(build());
    expect(error.code).toBe('PL-2104');
    expect(error.message).toContain('Connection reset by peer');
    expect(readdirSync(join(home, 'apt', 'packages'))).toEqual([]);
    expect(existsSync(join(home, 'images', '.lock'))).toBe(false);
    rmSync(join(pool, 'no-download'));
    await build();
  });

  it('are told for a package that arrives with other bytes', async () => {
    flag('corrupt');
    const error = await failure(build());
    expect(error.code).toBe('PL-2104');
    expect(error.message).toContain('wrong checksum');
  });

  it('are told for a package that nobody has', async () => {
    const error = await failure(buildInitramfs({ home, packages: ['no-such-package'], init: '' }));
    expect(error.code).toBe('PL-2105');
    expect(error.message).toContain('no-such-package');
  });

  it('are told for a library, a module, a kernel that is nowhere', async () => {
    const options = { home, packages: ['busybox-static'], init: '' };
    expect((await failure(buildInitramfs({ ...options, packages: ['needy'] }))).message).toContain('libnowhere.so.1');
    const withModule = { ...options, kernelPackage: 'linux-image-cloud-amd64', modules: ['hv_nothing'] };
    expect((await failure(buildInitramfs(withModule))).code).toBe('PL-2113');
    expect((await failure(buildInitramfs({ ...options, kernelPackage: 'linux-image-empty' }))).code).toBe('PL-2108');
    expect(readdirSync(join(home, 'work'))).toEqual([]);
  });

  it('on a full disk are told as such', async () => {
    flag('full');
    const error = await failure(build());
    expect(error.code).toBe('PL-2107');
    expect(error.message).toContain(home);
  });

  it('of the folder are told as such', async () => {
    writeFileSync(join(home, 'file'), '');
    expect((await failure(buildImage('debian-tiny', { home: join(home, 'file') }))).code).toBe('PL-2111');
  });

  it('leave the former image as it was', async () => {
    const { kernel } = await build();
    rmSync(join(home, 'apt'), { recursive: true });
    flag('no-download');
    await failure(build());
    expect((await resolveImage('debian-tiny', { home })).kernel).toBe(kernel);
  });
});

describe('builds at the same time', () => {
  it('wait for each other', async () => {
    const waiting: string[] = [];
    const onProgress = ({ detail }: { detail: string }): void => {
      if (detail.startsWith('waiting')) waiting.push(detail);
    };
    const images = await Promise.all([build(), buildImage('debian-tiny', { home, onProgress })]);
    expect(images[0]?.manifest.initrds).toEqual(images[1]?.manifest.initrds);
    expect(waiting[0]).toContain(`process ${process.pid}`);
  });

  it('do not wait for a process that is gone', async () => {
    const { pid } = spawnSync('true');
    mkdirSync(join(home, 'images'));
    writeFileSync(join(home, 'images', '.lock'), `${pid}\n`);
    await build();
  });

  it('can be given up', async () => {
    flag('slow');
    const abort = new AbortController();
    const reason = new Error('enough');
    const began = Date.now();
    const building = build(abort.signal);
    setTimeout(() => abort.abort(reason), 300);
    await expect(building).rejects.toBe(reason);
    expect(Date.now() - began).toBeLessThan(10_000);
    expect(readdirSync(join(home, 'apt', 'packages'))).toEqual([]);
  });
});
