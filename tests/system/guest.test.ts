/**
 * Programs in an unmodified Debian guest compute what they compute elsewhere: busybox's tools, checksums of large files by several
 * tools, compression, processes, pipes, signals, files. The expected values come from the host's own code, never from a guest.
 */
import { createHash } from 'node:crypto';
import { crc32, gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestShell } from '../support/guest-shell.ts';
import { cloud, ensureImage } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { linuxProgram, noise } from '../support/programs.ts';

const MIB = 2 ** 20;
let shell: GuestShell;

beforeAll(async () => {
  await ensureImage(cloud);
  shell = new GuestShell([cloud]);
  await shell.output('true');
});
afterAll(() => shell.end());

describe("busybox's tools", () => {
  it('are there by name', async () => {
    const names =
      'awk base64 bc cpio cut dd diff find grep gzip head ls md5sum mount ps sed sort tar tr uniq vi wc xargs xz';
    const missing = await shell.run(`for name in ${names}; do type $name >/dev/null || echo $name; done`);
    expect(missing).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('work on text', async () => {
    const words = await shell.output(
      'seq 1 3000 | sed "s/7/seven /g" | tr " " "\\n" | grep -v "^$" | cut -c 1-5 | sort | uniq -c | sort -k1,1nr -k2,2 | head -n 5',
    );
    const counts = new Map<string, number>();
    for (let number = 1; number <= 3000; number++) {
      for (const word of String(number).replaceAll('7', 'seven ').split(' ')) {
        if (word !== '') counts.set(word.slice(0, 5), (counts.get(word.slice(0, 5)) ?? 0) + 1);
      }
    }
    const expected = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, 5);
    expect(
      words
        .trim()
        .split('\n')
        .map((line) => line.trim().split(' ')),
    ).toEqual(expected.map(([word, count]) => [String(count), word]));
  });

  it('calculate with integers of any size', async () => {
    const product = 3n ** 1000n * 7n ** 500n;
    expect(await shell.output('echo "3^1000*7^500" | BC_LINE_LENGTH=0 bc')).toBe(`${product}\n`);
    expect(await shell.output('factor 1000036000099')).toBe('1000036000099: 1000003 1000033\n');
    expect(await shell.output('echo $((0x7fffffffffffffff * 3)) $((-7 / 2)) $((-7 % 3)) $((1 << 62))')).toBe(
      `${BigInt.asIntN(64, 0x7fffffffffffffffn * 3n)} -3 -1 ${1n << 62n}\n`,
    );
  });

  it('calculate with fractions to the last bit', async () => {
    const program = `BEGIN { x = 0.1; for (i = 0; i < 2000; i++) { x = (x * 3.7 + i / 7) / (x + 1.3); s += x } printf "%.17g %.17g\\n", x, s }`;
    let [x, s] = [0.1, 0];
    for (let i = 0; i < 2000; i++) {
      x = (x * 3.7 + i / 7) / (x + 1.3);
      s += x;
    }
    expect((await shell.output(`awk '${program}'`)).split(' ').map(Number)).toEqual([x, s]);
  });

  it('keep trees of files in archives', async () => {
    const script = `
      rm -rf /tmp/tree; mkdir -p /tmp/tree/a/b /tmp/tree/copy; cd /tmp/tree
      for i in $(seq 1 200); do echo "file $i" >a/b/$i; done
      ln -s ../b/1 a/b/link; ln a/b/2 a/hard; chmod 640 a/b/3; mknod a/null c 1 3
      tar cf - a | tar xf - -C copy; diff -r a/b copy/a/b && stat -c %a copy/a/b/3 && readlink copy/a/b/link
      [ copy/a/b/2 -ef copy/a/hard ] && stat -c %F,%t,%T copy/a/null
      cd /; rm -rf /tmp/tree`;
    expect(await shell.output(script)).toBe('640\n../b/1\ncharacter special file,1,3\n');
  });
});

describe('large files', () => {
  const piece = noise(MIB);
  const copies = 12;
  const large = Buffer.concat([...Array.from({ length: copies }, () => piece), Buffer.from('an odd end')]);
  beforeAll(async () => {
    await shell.write('/tmp/piece', piece);
    const all = Array.from({ length: copies }, () => '/tmp/piece').join(' ');
    await shell.output(`(cat ${all}; printf 'an odd end') >/tmp/large; rm /tmp/piece`);
  });

  it.each(['md5', 'sha1', 'sha256', 'sha512'])('have the %s that the host computes', async (algorithm) => {
    const sum = createHash(algorithm).update(large).digest('hex');
    expect(await shell.output(`${algorithm}sum /tmp/large`)).toBe(`${sum}  /tmp/large\n`);
  });

  it('have the same SHA-3, CRC and size', async () => {
    const sha3 = createHash('sha3-256').update(large).digest('hex');
    expect(await shell.output('sha3sum -a 256 /tmp/large')).toBe(`${sha3}  /tmp/large\n`);
    expect(await shell.output('crc32 /tmp/large')).toMatch(
      new RegExp(`^${crc32(large).toString(16).padStart(8, '0')}\\b`),
    );
    expect(await shell.output('wc -c </tmp/large')).toBe(`${large.length}\n`);
  });

  it('survive gzip there and back', async () => {
    const text = 'seq 1 150000';
    expect(
      await shell.output(`${text} | gzip >/tmp/text.gz; ${text} >/tmp/text; gunzip -c /tmp/text.gz | cmp - /tmp/text
        gzip -c /tmp/large | zcat | cmp - /tmp/large && echo same`),
    ).toBe('same\n');
    const packed = Buffer.from(await shell.output('base64 /tmp/text.gz'), 'base64');
    const expected = Array.from({ length: 150_000 }, (_, index) => `${index + 1}\n`).join('');
    expect(gunzipSync(packed).toString()).toBe(expected);
  });

  it('arrive unharmed when the host has compressed them', async () => {
    const content = noise(200_000, 99).map((byte) => byte & 0x1f);
    await shell.write('/tmp/host.gz', gzipSync(content));
    const sum = createHash('sha256').update(content).digest('hex');
    expect(await shell.output('gunzip -c /tmp/host.gz | sha256sum')).toBe(`${sum}  -\n`);
  });

  it('survive bzip2 there and back', async () => {
    expect(await shell.output('bzip2 </tmp/text | bunzip2 | cmp - /tmp/text && echo same')).toBe('same\n');
  });
});

describe('processes', () => {
  it('come and go by the hundred', async () => {
    const script = `
      count=0; for i in $(seq 1 300); do (exit $((i % 7))) || count=$((count + 1)); done; echo $count
      pids=; for i in $(seq 1 100); do (sleep 0.3; exit $((i % 5))) & pids="$pids $!"; done
      sum=0; for pid in $pids; do wait $pid; sum=$((sum + $?)); done; echo $sum`;
    expect(await shell.output(script)).toBe('258\n200\n');
  });

  it('hand large amounts through long pipes', async () => {
    const sum = createHash('md5').update('x\n'.repeat(1_000_000)).digest('hex');
    const cats = Array.from({ length: 12 }, () => 'cat').join(' | ');
    expect(await shell.output(`yes x | head -n 1000000 | ${cats} | md5sum`)).toBe(`${sum}  -\n`);
  });

  it('meet at named pipes and locks', async () => {
    const script = `
      cd /tmp; mkfifo pipe; (for i in 1 2 3; do echo line $i; done >pipe) & cat pipe; wait; rm pipe
      echo 0 >counter
      for worker in 1 2 3 4; do
        (for i in $(seq 1 25); do
          until mkdir lock 2>/dev/null; do :; done; read n <counter; echo $((n + 1)) >counter; rmdir lock
        done) &
      done; wait; cat counter; rm counter`;
    expect(await shell.output(script)).toBe('line 1\nline 2\nline 3\n100\n');
  });

  it('share the processor while each computes', async () => {
    const script = `
      for worker in 1 2 3; do
        (i=0; while [ $i -lt 8000 ]; do i=$((i + 1)); done; echo $i) &
      done; wait`;
    expect(await shell.output(script)).toBe('8000\n8000\n8000\n');
  });

  it('have the right number of bytes in memory to themselves', async () => {
    const script = `
      tr '\\0' a </dev/zero | head -c 20000000 >/dev/shm/big; md5sum </dev/shm/big; rm /dev/shm/big
      grep -c . /proc/self/maps >/dev/null && echo maps`;
    const sum = createHash('md5').update(Buffer.alloc(20_000_000, 'a')).digest('hex');
    expect(await shell.output(script)).toBe(`${sum}  -\nmaps\n`);
  });
});

describe('signals', () => {
  it('are trapped, blocked and delivered', async () => {
    const script = `
      trap 'echo usr1' USR1; trap 'echo term' TERM; trap 'echo leaving' EXIT
      kill -USR1 $$; kill -TERM $$; kill -USR1 $$
      sh -c 'trap "" INT; kill -INT $$; echo ignored'
      sleep 60 & pid=$!; kill -STOP $pid; sed -n 's/^State:.\\(.\\).*/\\1/p' /proc/$pid/status; kill -CONT $pid; kill -KILL $pid
      wait $pid; echo $?`;
    const { stdout } = await shell.run(
      `exec sh -c ${JSON.stringify(script).replaceAll('$', '\\$').replaceAll('\\n', '\n')}`,
    );
    expect(stdout).toBe('usr1\nterm\nusr1\nignored\nT\n137\nleaving\n');
  });

  it.each<[string, number]>([
    ['HUP', 1],
    ['INT', 2],
    ['ABRT', 6],
    ['KILL', 9],
    ['SEGV', 11],
    ['PIPE', 13],
    ['ALRM', 14],
    ['TERM', 15],
    ['34', 34],
  ])('kill -%s ends a program with status 128 + %i', async (name, number) => {
    const { status } = await shell.run(`sh -c 'kill -${name} $$; echo survived'; exit $?`);
    expect(status).toBe(128 + number);
  });

  it('end a program that takes too long or too much', async () => {
    expect((await shell.run('timeout 1 sleep 60')).status).toBe(143);
    expect((await shell.run('timeout -s KILL 1 sh -c "while :; do :; done"')).status).toBe(137);
    expect((await shell.run('(ulimit -t 1; while :; do :; done)')).status).toBe(137);
    expect((await shell.run('yes | head -n 1 >/dev/null; yes 2>/dev/null | (exec <&-; sleep 0.2)')).status).toBe(0);
  });
});

describe('time', () => {
  it("is the host's", async () => {
    const before = Date.now() / 1000;
    const now = Number((await shell.output('date +%s')).trim());
    expect(now).toBeGreaterThan(before - 2);
    expect(now).toBeLessThan(Date.now() / 1000 + 2);
    expect(await shell.output('date -u -d @1700000000 "+%F %T %a"')).toBe('2023-11-14 22:13:20 Tue\n');
  });

  it('passes as fast as outside', async () => {
    const began = performance.now();
    const [first = 0, second = 0] = (await shell.output('cat /proc/uptime; sleep 2; cat /proc/uptime'))
      .split('\n')
      .map((line) => Number(line.split(' ')[0]));
    const outside = (performance.now() - began) / 1000;
    expect(second - first).toBeGreaterThanOrEqual(2);
    expect(second - first).toBeLessThanOrEqual(outside + 0.02);
  });
});

describe('devices of the kernel', () => {
  it('load as modules: a file system on a loop device', async () => {
    const script = `
      modprobe loop; cd /tmp; truncate -s 24M disk; mke2fs -F -I 256 disk >/dev/null; mkdir -p mounted
      mount -o loop disk mounted; seq 1 100000 >mounted/numbers; md5sum <mounted/numbers; umount mounted
      mount -o loop,ro disk mounted; md5sum <mounted/numbers; umount mounted; rm disk; lsmod | grep -c '^loop '`;
    const text = Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join('');
    const sum = createHash('md5').update(text).digest('hex');
    expect(await shell.output(script)).toBe(`${sum}  -\n${sum}  -\n1\n`);
  });

  it('give random bytes that are not the same twice', async () => {
    const [first, second] = (await shell.output('for i in 1 2; do head -c 32 /dev/urandom | base64; done')).split('\n');
    expect(first).toMatch(/^.{44}$/);
    expect(first).not.toBe(second);
  });

  it('have raised no complaint of the kernel in all of this', async () => {
    expect(kernelComplaints(await shell.output('dmesg -r'))).toEqual([]);
  });
});

describe("a program's fault", () => {
  // Last, because the kernel logs them.
  it.each<[string, number[], number]>([
    ['an undefined instruction: SIGILL', [0x0f, 0x0b], 132],
    ['a breakpoint: SIGTRAP', [0xcc], 133],
    ['a division by zero: SIGFPE', [0x31, 0xc9, 0xf7, 0xf1], 136],
    ['a read of address 0: SIGSEGV', [0x31, 0xc0, 0x8b, 0x00], 139],
    ['a write to the kernel: SIGSEGV', [0x48, 0xc7, 0xc0, 0, 0, 0, 0x81, 0xc6, 0x00, 0x01], 139],
    ['a non-canonical address: SIGSEGV', [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x00], 139],
    ['cli: SIGSEGV', [0xfa], 139],
    ['out: SIGSEGV', [0xe6, 0x80], 139],
    ['rdmsr: SIGSEGV', [0x0f, 0x32], 139],
    ['movaps at an odd address: SIGSEGV', [0x0f, 0x28, 0x44, 0x24, 0x01], 139],
    // mov $42,%edi; mov $60,%eax; syscall
    ['none: its status', [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05], 42],
  ])('is the signal that it should be: %s', async (_, code, expected) => {
    await shell.write('/tmp/program', linuxProgram(code));
    expect((await shell.run('chmod +x /tmp/program; /tmp/program')).status).toBe(expected);
  });
});
