/**
 * Saving and restoring whole machines with an unmodified Debian guest: at random moments of its boot, of programs that check themselves, and
 * of VMBus traffic; each time the machine goes on in a fresh process, and ends as one that was never stopped. The seed of the moments is
 * printed; PLINTH_TEST_SEED repeats them (as far as a host's load lets them be the same). With PLINTH_TEST_LONG=1 they are 200 moments,
 * of which PLINTH_TEST_PART=N/M does a part.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cloud, ensureImage } from '../support/images.ts';
import { kernelComplaints } from '../support/kernel-log.ts';
import { isLong, shareOf } from '../support/long.ts';
import { type Ended, endAll, launcher, plinth, type Running, start } from '../support/plinth.ts';
import { type RunningGuest, startGuest } from '../support/running-guest.ts';
import { savedGuest } from '../support/saved-guest.ts';
import { stressGuest } from '../support/stress-guest.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'plinth-saved-'));
const seed = Number(process.env.PLINTH_TEST_SEED ?? Date.now() % 1_000_000);
let state = seed >>> 0;
/** A number from 0 to 1. */
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

beforeAll(async () => {
  console.log(`seed of the moments at which machines are saved: ${seed}`);
  await ensureImage('debian-tiny');
  await ensureImage(cloud);
});
afterEach(() => endAll());
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
const newFile = (): string => join(folder, `${files++}.saved`);
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Programs whose results are the same each time, the kernel's log, and a status of their own. */
const PROGRAM = [
  'i=0',
  'while [ $i -lt 40 ]; do seq $i 3000 | gzip | gunzip | sha256sum; i=$((i + 1)); done >/tmp/sums',
  'awk "BEGIN { for (i = 1; i < 30000; i++) s += 1 / (i * i + 0.5); printf \\"%.17g\\\\n\\", s }" >>/tmp/sums',
  'echo "sum $(sha256sum </tmp/sums)"',
  'dmesg -r',
  'exit 7',
].join('; ');

const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');
/** What `seq` prints. */
const numbers = (first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, index) => `${first + index}\n`).join('');

/** The checksum that PROGRAM prints, computed here: a double is one there, too. */
function expectedSum(): string {
  let sum = 0;
  for (let i = 1; i < 30_000; i++) sum += 1 / (i * i + 0.5);
  const lines = Array.from({ length: 40 }, (_, first) => `${sha256(numbers(first, 3000))}  -\n`);
  return sha256(`${lines.join('')}${sum.toPrecision(17)}\n`);
}

/** At how many moments of each kind machines are saved. */
const MOMENTS = isLong
  ? { boot: shareOf(80), stress: shareOf(70), vmbus: shareOf(50) }
  : { boot: 4, stress: 0, vmbus: 2 };
/** The most of one machine. */
const OF_ONE_MACHINE = 10;

/** Words of stress-ng: computing, memory, processes, signals. */
const STRESSORS = [
  '--matrix 1 --matrix-method prod --matrix-size 64 --matrix-ops 40',
  '--vm 1 --vm-bytes 4M --vm-method walk-1a --vm-ops 1',
  '--fork 1 --fork-ops 40',
  '--cpu 1 --cpu-method longdouble --cpu-ops 4',
  '--pipe 1 --pipe-ops 2000',
  '--qsort 1 --qsort-size 16384 --qsort-ops 2',
  '--vm 1 --vm-bytes 4M --vm-method rand-sum --vm-ops 2',
  '--vecmath 1 --vecmath-ops 16',
  '--hash 1 --hash-ops 10',
  '--sigsegv 1 --sigsegv-ops 1000',
  '--zlib 1 --zlib-ops 6',
  '--mmap 1 --mmap-bytes 4M --mmap-ops 4',
  '--context 1 --context-ops 50',
  '--cpu 1 --cpu-method crc16 --cpu-ops 10',
  '--str 1 --str-method strcmp --str-ops 60',
  '--switch 1 --switch-ops 1000',
];

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly saves: number;
}

/**
 * Runs a guest that is saved and restored at up to `moments` moments meanwhile, until it ends with the status of its command.
 * @param prepare of the first process, before anything is saved
 */
async function interrupted(
  words: readonly string[],
  moments: number,
  longestGap: number,
  prepare: (running: Running) => Promise<void> = async ({ child }) => {
    child.stdin?.end();
  },
): Promise<Outcome> {
  let from: string | undefined;
  let stdout = '';
  for (let saves = 0; ; ) {
    const to = newFile();
    const source = from === undefined ? ['run', ...words] : ['run', '--restore', from];
    const running = start(launcher, [...source, '--save-to', to]);
    if (from === undefined) await prepare(running);
    else running.child.stdin?.end();
    const timer =
      saves < moments ? setTimeout(() => running.child.kill('SIGTERM'), 300 + random() * longestGap) : undefined;
    const ended = await running.ended;
    clearTimeout(timer);
    // Before the machine is there a signal ends the process, and there is nothing to save.
    if (ended.status === 143 && !existsSync(to)) continue;
    stdout += ended.stdout;
    if (from !== undefined) rmSync(from);
    if (!existsSync(to)) {
      return { status: ended.status, stdout: ended.status === 7 ? stdout : stdout + ended.stderr, saves };
    }
    expect([ended.status, ended.stderr]).toEqual([expect.anything(), expect.stringContaining('was saved')]);
    // It was saved where its command had ended: there is nothing of it that goes on.
    if (ended.status !== 0) {
      rmSync(to);
      return { status: ended.status, stdout, saves };
    }
    from = to;
    saves++;
  }
}

const sumOf = (stdout: string): string | undefined => /^sum ([0-9a-f]{64})/m.exec(stdout)?.[1];
const logOf = (stdout: string): string => stdout.replace(/^sum .*\n/m, '');

describe('a guest that is saved at random moments', () => {
  it(
    'ends as one that was not: same status, same checksums, no complaint of its kernel',
    async () => {
      const expected = expectedSum();
      let saves = 0;
      while (saves < MOMENTS.boot) {
        const moments = Math.min(MOMENTS.boot - saves, OF_ONE_MACHINE);
        const outcome = await interrupted(['--exec', PROGRAM], moments, isLong ? 900 : 2500);
        expect([outcome.status, sumOf(outcome.stdout)]).toEqual([7, expected]);
        expect(kernelComplaints(logOf(outcome.stdout))).toEqual([]);
        saves += outcome.saves;
        if (!isLong) break;
      }
      expect(saves).toBeGreaterThan(isLong ? MOMENTS.boot - 1 : 2);
      console.log(`saved and restored at ${saves} moments of a boot and of programs`);
    },
    isLong ? 7200_000 : 600_000,
  );

  if (isLong) {
    it('ends as one that was not: stress-ng, which compares all that it computes', async () => {
      const list = { path: 'list', contents: `${STRESSORS.join('\n')}\n`, mode: 0o644 };
      const words = await stressGuest(folder, [list]);
      const asked = async (running: Running): Promise<void> => {
        await running.see(/:~# /);
        // By their paths: the shell takes busybox's xz, which only unpacks.
        running.type(
          'stty -echo; run-stress /list; seq 90000 | /usr/bin/xz | /usr/bin/xz -d | sha256sum; dmesg -r; poweroff -f\n',
        );
        await running.see('@run');
      };
      const sum = sha256(numbers(1, 90_000));
      let saves = 0;
      while (saves < MOMENTS.stress) {
        const moments = Math.min(MOMENTS.stress - saves, OF_ONE_MACHINE);
        const outcome = await interrupted(words, moments, 900, asked);
        const lines = outcome.stdout.replaceAll('\r\n', '\n').split('\n');
        expect(outcome.stdout).not.toContain('@failed');
        expect([outcome.status, lines.filter((line) => line.startsWith('@passed'))]).toEqual([
          0,
          [`@passed ${STRESSORS.length}`],
        ]);
        expect(lines).toContain(`${sum}  -`);
        const log = lines.filter((line) => /^<\d+>\[/.test(line));
        expect(log.length).toBeGreaterThan(50);
        expect(kernelComplaints(log.join('\n'))).toEqual([]);
        saves += outcome.saves;
      }
      console.log(`saved and restored at ${saves} moments of stress-ng --verify`);
    }, 3600_000);
  }

  it('has its bytes of input and output once each, wherever the stream was cut', async () => {
    const bytes = randomBytes(isLong ? 3_000_000 : 600_000);
    const text = bytes.toString('base64');
    // The guest sends at its own pace; each process has the piece that came while it ran.
    const rounds = isLong ? 40 : 8;
    const command = `i=0; while [ $i -lt ${rounds} ]; do seq $i 4000; i=$((i + 1)); done; exit 7`;
    const outcome = await interrupted(['--exec', command], isLong ? 20 : 3, 2500);
    expect(outcome.status).toBe(7);
    const whole = Array.from({ length: rounds }, (_, first) => numbers(first, 4000)).join('');
    expect(sha256(outcome.stdout)).toBe(sha256(whole));
    const file = newFile();
    const source = await savedGuest();
    const words = ['run', ...source, '--exec', 'cat >/tmp/in; sha256sum </tmp/in', '--save-to', file];
    const first = await plinth(words, { input: text });
    const sum = sha256(text);
    expect(first.stdout).toBe(`${sum}  -\n`);
    expect((await plinth(['run', '--restore', file, '--exec', 'sha256sum </tmp/in'])).stdout).toBe(`${sum}  -\n`);
  }, 600_000);

  it('has its wall clock put right, and its own clocks go on', async () => {
    const file = newFile();
    const clocks = 'cat /proc/uptime; date +%s';
    const first = await plinth(['run', ...(await savedGuest()), '--exec', clocks, '--save-to', file]);
    const [uptime = 0, date = 0] = first.stdout
      .split(/\s+/)
      .filter((_, index) => index !== 1)
      .map(Number);
    await pause(5000);
    const second = await plinth([
      ...['run', '--restore', file, '--exec'],
      // Time synchronization sets the clock when it has agreed on its version again.
      `i=0; while [ $i -lt 100 ] && [ $(date +%s) -lt ${date + 4} ]; do sleep 0.1; i=$((i + 1)); done; ${clocks}`,
    ]);
    const after = second.stdout
      .split(/\s+/)
      .filter((_, index) => index !== 1)
      .map(Number);
    expect(after[1]).toBeGreaterThanOrEqual(date + 4);
    expect(Math.abs((after[1] ?? 0) - Date.now() / 1000)).toBeLessThan(5 + second.seconds);
    expect(after[0]).toBeGreaterThan(uptime);
    expect(after[0]).toBeLessThan(uptime + second.seconds + first.seconds);
  }, 300_000);
});

describe('a saved file', () => {
  it('is not much larger than what of the guest is not zero, and each restore of it is a machine of its own', async () => {
    const file = newFile();
    const first = await plinth(['run', '--exec', 'echo kept >/tmp/a', '--save-to', file]);
    expect(first.status).toBe(0);
    const before = readFileSync(file);
    const again = (command: string): Promise<Ended> => plinth(['run', '--restore', file, '--exec', command]);
    expect(await again('cat /tmp/a; echo changed >/tmp/a; exit 3')).toMatchObject({ status: 3, stdout: 'kept\n' });
    expect(await again('cat /tmp/a; exit 4')).toMatchObject({ status: 4, stdout: 'kept\n' });
    expect(readFileSync(file).equals(before)).toBe(true);
    let nonZero = 0;
    const zero = Buffer.alloc(4096);
    for (let at = before.length % 4096; at < before.length; at += 4096) {
      if (before.compare(zero, 0, 4096, at, at + 4096) !== 0) nonZero++;
    }
    expect(before.length).toBeLessThan(nonZero * 4096 * 1.1);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }, 300_000);

  it('is refused by name when it is not what it should be, and with options that it answers itself', async () => {
    const file = newFile();
    const bytes = Buffer.from('not a machine');
    writeFileSync(file, bytes);
    const refused = async (...words: string[]): Promise<string> => {
      const { status, stderr } = await plinth(['run', '--restore', ...words]);
      return `${/PL-\d+/.exec(stderr)?.[0]} ${status}`;
    };
    expect(await refused(file)).toBe('PL-2201 65');
    expect(await refused(join(folder, 'nothing'))).toBe('PL-3006 66');
    expect(await refused(file, '--memory', '1G')).toBe('PL-1025 64');
    expect(await refused(file, '--kernel', 'k')).toBe('PL-1025 64');
    expect(await refused(file, 'debian-tiny')).toBe('PL-1025 64');
    const saving = await plinth(['run', '--exec', 'true', '--save-to', join(folder, 'none', 'file')]);
    expect([saving.status, saving.stderr]).toEqual([66, expect.stringContaining('PL-3005')]);
  });
});

describe('VMBus traffic', () => {
  const vm = (...words: string[]): Promise<Ended> => plinth(['vm', ...words]);

  it(
    'is cut anywhere, and all services work again afterwards',
    async () => {
      const source = join(folder, 'source');
      const bytes = randomBytes(8 * MIB);
      writeFileSync(source, bytes);
      const sum = sha256(bytes);
      let from: string | undefined;
      let guest: RunningGuest;
      const rounds = MOMENTS.vmbus;
      for (let round = 0; ; round++) {
        const words = from === undefined ? [cloud] : ['--restore', from];
        guest = await startGuest(words);
        const { name } = guest;
        await guest.allServicesWork();
        if (round === rounds) break;
        // Both are under way when the machine stops: each asker is told that it has ended.
        const traffic = [
          vm('cp', source, `${name}:/tmp/cut`, '--force'),
          (async () => {
            for (
              let number = 0;
              (await vm('kvp', name, 'set', `k${number % 10}`, `v${number}`)).status === 0;
              number++
            );
          })(),
        ];
        await pause(random() * 1500);
        const to = newFile();
        const saved = await vm('save', name, '--to', to);
        expect([saved.status, saved.stderr]).toEqual([0, expect.not.stringContaining('PL-')]);
        expect((await guest.process.ended).status).toBe(0);
        await Promise.all(traffic);
        if (from !== undefined) rmSync(from);
        from = to;
      }
      const done = (outcome: Ended): void =>
        expect([outcome.status, outcome.stderr]).toEqual([0, expect.not.stringContaining('PL-')]);
      const { name } = guest;
      done(await vm('kvp', name, 'set', 'last', 'value'));
      expect((await vm('kvp', name, 'get', 'last')).stdout).toBe('value\n');
      done(await vm('cp', source, `${name}:/tmp/whole`));
      expect((await vm('exec', name, 'sha256sum /tmp/whole')).stdout).toContain(sum);
      expect(kernelComplaints((await vm('exec', name, 'dmesg -r')).stdout)).toEqual([]);
      await guest.stop();
      console.log(`saved and restored at ${rounds} moments of VMBus traffic`);
    },
    isLong ? 3600_000 : 600_000,
  );
});
