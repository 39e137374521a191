/**
 * The soak: one guest under mixed load for half an hour. It computes the same in each round, and the process's memory stays flat.
 *
 * A round compiles, starts many processes, packs and unpacks, generates code, runs the programs of the bench, and fills the memory.
 * Runs with `npm run test:long`; PLINTH_SOAK_MINUTES sets another length.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compileGuestPrograms } from '../../bench/support-guest-programs.mjs';
import { GuestConsole } from '../support/guest-shell.ts';
import { isLong } from '../support/long.ts';
import { describeGrowth, type MemorySample, memoryGrowth, residentBytes } from '../support/memory-growth.ts';
import { endAll, plinth } from '../support/plinth.ts';
import { stressGuest } from '../support/stress-guest.ts';

const asked = process.env.PLINTH_SOAK_MINUTES;
const MINUTES = Number(asked ?? 30);
const SAMPLE_SECONDS = 1;
const SCALE = 1;
const MEBIBYTE = 2 ** 20;

describe('the judgement of memory', () => {
  const grown = (bytesAt: (seconds: number) => number): boolean =>
    memoryGrowth(Array.from({ length: 900 }, (_, index) => ({ seconds: 2 * index, residentBytes: bytesAt(2 * index) })))
      .flat;
  it('takes a warm-up and noise for flat', () => {
    expect(grown((seconds) => (400 + Math.min(seconds / 6, 90) + (seconds % 7) * 3) * MEBIBYTE)).toBe(true);
  });
  it('sees a leak of 1.2 MiB a minute, and a peak at the end', () => {
    expect(grown((seconds) => (400 + (1.2 * seconds) / 60 + (seconds % 7) * 3) * MEBIBYTE)).toBe(false);
    expect(grown((seconds) => (seconds === 1780 ? 440 : 400) * MEBIBYTE)).toBe(false);
  });
});

/** C for a compiler that has much to do and no header to read. */
function source(): string {
  const functions = Array.from({ length: 600 }, (_, number) => {
    const lines = Array.from(
      { length: 12 },
      (_line, step) =>
        `  if (a > ${step * 7 + number}) a = a * ${number + 3} + (b >> ${step + 1}); else b ^= a + ${step}; t[b & 15] += a;`,
    );
    return `static unsigned f${number}(unsigned a, unsigned b) {\n  unsigned t[16] = {0};\n${lines.join('\n')}\n  return a ^ b ^ t[3];\n}`;
  });
  const calls = functions.map((_, number) => `  s = s * 31 + f${number}(s, ${number});`);
  return `${functions.join('\n')}\nunsigned all(unsigned s) {\n${calls.join('\n')}\n  return s;\n}\n`;
}

const round = `#!/bin/sh
# One round; prints what must be the same each time.
set -e
cd /tmp
tcc -nostdinc -c /soak/source.c -o object
echo "compiled $(sha256sum <object)"
count=0
while [ $count -lt 100 ]; do /bin/busybox true; count=$((count + 1)); done
seq 1 20000 >text
echo "gzip $(gzip -c text | gunzip -c | sha256sum)"
# Not the applets of that name.
echo "xz $(/bin/xz -1 -c text | /bin/xz -dc | sha256sum)"
/bin/guest-programs code-patch code-write ring fork scale=10 >/dev/null
echo "programs $(/bin/guest-programs all scale=${SCALE} | sed -n 's/^@end \\([^ ]* [^ ]*\\) .*/\\1/p' | sha256sum)"
stress-ng --vm 1 --vm-bytes 120M --vm-ops 2000 --vm-method write64 --verify --timeout 60 >said 2>&1 || cat said
# All memory but a little: from the first round on the guest's own growth is over.
dd if=/dev/zero of=/dev/shm/fill bs=1M "count=$(awk '/MemAvailable/ { print int($2 / 1024) - 40 }' /proc/meminfo)" 2>/dev/null
rm /dev/shm/fill object text
`;

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

if (isLong || asked !== undefined) {
  describe('a guest under mixed load', () => {
    let machine: string[];
    let programs: string;
    beforeAll(async () => {
      const program = await compileGuestPrograms(folder);
      machine = await stressGuest(folder, [
        { path: 'bin/guest-programs', contents: readFileSync(program), mode: 0o755 },
        { path: 'bin/round', contents: round, mode: 0o755 },
        { path: 'soak/source.c', contents: source() },
      ]);
      const lines = execFileSync(program, ['all', `scale=${SCALE}`], { encoding: 'utf8' })
        .split('\n')
        .filter((line) => line.startsWith('@end '))
        .map((line) => line.split(' ').slice(1, 3).join(' '));
      programs = createHash('sha256')
        .update(`${lines.join('\n')}\n`)
        .digest('hex');
    });

    const title = `computes the same for ${MINUTES} minutes, and the memory of its process stays flat`;
    it(title, { timeout: (MINUTES + 20) * 60_000 }, async () => {
      const name = `soak-${process.pid}`;
      const guest = await GuestConsole.boot([...machine, '--name', name]);
      const pid = guest.process.child.pid ?? 0;
      const began = performance.now();
      const seconds = (): number => (performance.now() - began) / 1000;
      const samples: MemorySample[] = [];
      const timer = setInterval(() => {
        samples.push({ seconds: seconds(), residentBytes: residentBytes(pid) });
      }, SAMPLE_SECONDS * 1000);
      let first = '';
      let rounds = 0;
      try {
        while (seconds() < MINUTES * 60) {
          const { status, output } = await guest.run('round', 900);
          rounds++;
          if (first === '') first = output;
          expect({ status, output }).toEqual({ status: 0, output: first });
          expect(output).toContain(`programs ${programs}`);
          const last = samples.at(-1);
          const size = ((last?.residentBytes ?? 0) / MEBIBYTE).toFixed(0);
          // Where growth would come from: regions and modules that were made, and given up.
          const { stdout } = await plinth(['inspect', `vms/${name}/translator`, '-o', 'json']);
          const translator = JSON.stringify(JSON.parse(stdout));
          process.stdout.write(`soak: round ${rounds}, ${seconds().toFixed(0)} s, ${size} MiB, ${translator}\n`);
        }
      } finally {
        clearInterval(timer);
      }
      const growth = memoryGrowth(samples);
      process.stdout.write(`soak: ${rounds} rounds, ${samples.length} samples; ${describeGrowth(growth)}\n`);
      expect(growth.flat, describeGrowth(growth)).toBe(true);
      guest.type('poweroff -f\n');
      expect((await guest.process.ended).status).toBe(0);
    });
  });
}
