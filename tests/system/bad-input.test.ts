/** Files and hosts that are not as they should be: each is refused with the contract's status and an error that teaches. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage, home, imageFiles } from '../support/images.ts';
import { type Ended, endAll, launcher, plinth, quote, start } from '../support/plinth.ts';
import { noise } from '../support/programs.ts';
import { code, writeTinyKernel } from '../support/tiny-guest.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const environment = { PLINTH_HOME: join(folder, 'home') };
let kernel: string;
let initrd: string;
beforeAll(async () => {
  await ensureImage(cloud);
  ({ kernel, initrd } = imageFiles(cloud));
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a file into the tests' folder. @returns its path */
function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** One line: code, what, why, what to do. */
function expectError({ status, stdout, stderr }: Ended, code_: string, expected: number): void {
  expect(stderr).toMatch(new RegExp(`^${code_}: .+[.?] Try: .+\\.\n$`));
  expect(stderr).not.toMatch(/undefined|NaN|\{\w+\}/);
  expect({ status, stdout }).toEqual({ status: expected, stdout: '' });
}

/** The beginning of an ARM64 kernel: `MZ`, then the magic at 56 (Linux Documentation/arm64/booting.rst). */
function armKernel(): Uint8Array {
  const bytes = new Uint8Array(2 * MIB);
  bytes.set([0x4d, 0x5a]);
  bytes.set([0x41, 0x52, 0x4d, 0x64], 56);
  return bytes;
}

/** What the header promises (boot.rst: setup_sects, syssize), less one unit; a signature may follow in the file. */
function withoutLastBytes(bytes: Buffer): Uint8Array {
  return bytes.subarray(0, (bytes.readUInt8(0x1f1) + 1) * 512 + bytes.readUInt32LE(0x1f4) * 16 - 16);
}

describe('a kernel', () => {
  it.each<[string, () => string, string, number, RegExp]>([
    ['is missing', () => join(folder, 'none'), 'PL-3006', 66, /does not exist/],
    ['is a folder', () => folder, 'PL-3006', 66, /folder/],
    ['is empty', () => file('empty', ''), 'PL-2001', 65, /empty/],
    ['is text', () => file('text', 'no kernel\n'.repeat(500)), 'PL-2001', 65, /boot signature/],
    ['is for ARM', () => file('Image', armKernel()), 'PL-2001', 65, /ARM/],
    ['is an ELF file', () => '/proc/self/exe', 'PL-2001', 65, /ELF/],
    ['is an initrd', () => initrd, 'PL-2001', 65, /cpio/],
    ['is noise', () => file('noise', noise(4 * MIB)), 'PL-2001', 65, /boot signature/],
    ['is cut short in its header', () => file('k1', readFileSync(kernel).subarray(0, 0x240)), 'PL-2001', 65, /bytes/],
    [
      'is cut short in its setup',
      () => file('k2', readFileSync(kernel).subarray(0, 2048)),
      'PL-2003',
      65,
      /interrupted/,
    ],
    [
      'is cut short in the middle',
      () => file('k3', readFileSync(kernel).subarray(0, 5 * MIB)),
      'PL-2003',
      65,
      /interrupted/,
    ],
    ['lacks its last bytes', () => file('k4', withoutLastBytes(readFileSync(kernel))), 'PL-2003', 65, /interrupted/],
  ])('that %s', async (_, path, code_, status, why) => {
    const result = await plinth(['run', '--kernel', path()], { environment });
    expectError(result, code_, status);
    expect(result.stderr).toMatch(why);
  });

  it('that is damaged inside says so itself, and the run ends', async () => {
    const bytes = readFileSync(kernel);
    bytes.fill(0x5a, 6 * MIB, 6 * MIB + 4096);
    const damaged = file('damaged', bytes);
    const words = ['--kernel', damaged, '--append', 'console=ttyS0 earlyprintk=ttyS0', '--timeout', '60'];
    const { status, stdout, stderr } = await plinth(['run', ...words], { environment });
    // The decompressor prints its reason and halts with interrupts off, or what it has made does not run.
    expect(status).toBe(75);
    expect(stderr).toMatch(/^PL-40\d\d: .+ Try: /m);
    expect(stdout + stderr).toMatch(/System halted|triple fault|halted|crashed/);
  });
});

describe('an initrd', () => {
  it.each<[string, () => string, string, number]>([
    ['is missing', () => join(folder, 'none'), 'PL-3006', 66],
    ['is a folder', () => folder, 'PL-3006', 66],
    ['is a device', () => '/dev/zero', 'PL-3006', 66],
    [
      'is larger than memory',
      () => {
        const path = file('huge', '');
        truncateSync(path, 600 * MIB);
        return path;
      },
      'PL-2005',
      65,
    ],
  ])('that %s', async (_, path, code_, status) => {
    expectError(await plinth(['run', '--kernel', kernel, '--initrd', path()], { environment }), code_, status);
  });

  it('that is larger than memory together with others', async () => {
    const path = file('half', '');
    truncateSync(path, 250 * MIB);
    const result = await plinth(['run', '--kernel', kernel, '--initrd', path, '--initrd', path], { environment });
    expectError(result, 'PL-2005', 65);
    expect(result.stderr).toContain('500 MiB in all');
  });

  it('that is noise: the guest says so and panics', async () => {
    const words = ['--kernel', kernel, '--initrd', file('noise', noise(MIB)), '--append', 'console=ttyS0'];
    const { status, stdout, stderr } = await plinth(['run', ...words, '--timeout', '120'], { environment });
    expect(stdout).toMatch(/Initramfs unpacking failed|junk|invalid magic/);
    expect(stderr).toMatch(/^PL-4001: .+VFS: Unable to mount root fs/m);
    expect(status).toBe(75);
  });
});

describe('a host without apt', () => {
  it('is told what to do instead of building an image', async () => {
    const programs = join(folder, 'bin');
    mkdirSync(programs);
    for (const name of ['node', 'env', 'sh']) {
      const path =
        name === 'node'
          ? process.execPath
          : execFileSync('sh', ['-c', `command -v ${name}`])
              .toString()
              .trim();
      symlinkSync(path, join(programs, name));
    }
    const bare = { PATH: programs, PLINTH_HOME: join(folder, 'fresh') };
    for (const words of [['image', 'build'], ['run'], ['run', '--exec', 'true']]) {
      const result = await plinth(words, { environment: bare });
      expect(result.stderr).toMatch(/^PL-2103: .+apt-get.+ Try: plinth run --kernel VMLINUZ --initrd INITRD.+\n$/m);
      expect(result).toMatchObject({ status: 66, stdout: '' });
    }
  });
});

describe('a host whose network is down', () => {
  it('is told so, and what was there stays', async () => {
    const offline = {
      PLINTH_HOME: join(folder, 'offline'),
      http_proxy: 'http://127.0.0.1:9',
      https_proxy: 'http://127.0.0.1:9',
    };
    const { status, stdout, stderr } = await plinth(['image', 'build'], { environment: offline });
    expect(stderr).toMatch(/^PL-210[45]: .+ Try: .+\n$/m);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  });

  it('still runs an image that was built before', async () => {
    const unreachable = { http_proxy: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9' };
    const result = await plinth(['run', '--exec', 'echo offline'], { environment: unreachable });
    expect(result).toMatchObject({ status: 0, stdout: 'offline\n', stderr: '' });
  });
});

describe('a full disk', () => {
  const spin = (): string => writeTinyKernel(folder, 'hello', [...code.print('Hello'), ...code.powerOff]);

  it('under the console or the statistics: 66', async () => {
    if (!existsSync('/dev/full')) throw new Error('this machine has no /dev/full');
    const console_ = await plinth(['run', '--kernel', spin(), '--console', 'file:/dev/full'], { environment });
    expectError(console_, 'PL-3005', 66);
    expect(console_.stderr).toContain('The disk is full');
    const statistics = await plinth(['run', '--kernel', spin(), '--stats', '/dev/full'], { environment });
    expect(statistics).toMatchObject({ status: 66, stdout: 'Hello' });
    expect(statistics.stderr).toMatch(/^PL-3005: .+The disk is full.+ Try: .+\n$/);
  });

  it('under the image that is built: 1, nothing half made is left, and it works when there is room', async (context) => {
    const small = join(folder, 'small');
    mkdirSync(small);
    // A user's own name space has its own mounts, where the host lets users have one.
    const mount = process.getuid?.() === 0 ? 'unshare -m' : 'unshare -rm';
    const possible = start('sh', ['-c', `${mount} mount -t tmpfs -o size=1m tmpfs ${quote(small)}`]);
    if ((await possible.ended).status !== 0) {
      context.skip('not applicable: this host lets nobody mount a small file system');
      return;
    }
    const seed = join(home, 'apt');
    const script = [
      `mount -t tmpfs -o size=40m tmpfs ${quote(small)}`,
      `PLINTH_HOME=${quote(small)} ${quote(launcher)} image build; echo "status $?"`,
      `ls ${quote(small)}/images 2>/dev/null; echo listed`,
    ].join('; ');
    if (existsSync(seed)) cpSync(seed, join(folder, 'seed'), { recursive: true });
    const { stdout, stderr } = await start('sh', ['-c', `${mount} sh -c ${quote(script)}`]).ended;
    expect(stderr).toMatch(/^PL-2107: The disk is full\. .+ Try: .+\n$/m);
    expect(stdout).toMatch(/^status 1\n(debian-tiny\n)?listed\n$/);
    expect(stdout).not.toMatch(/vmlinuz|initrd/);
  });
});

describe('a host with little address space', () => {
  it('is told so', async () => {
    const words = `ulimit -v 6000000; exec ${quote(launcher)} run --memory 3G --kernel ${quote(kernel)} --timeout 5`;
    const result = await start('bash', ['-c', words], { environment }).ended;
    expectError(result, 'PL-3007', 70);
    expect(result.stderr).toContain('ulimit -v unlimited');
  });
});
