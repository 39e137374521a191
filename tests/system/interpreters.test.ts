/**
 * Python's own tests of its arithmetic, and a computation in Perl, in a guest with Debian's interpreters. Python's tests come with Debian's
 * package of them and know what is right; Perl's are in no package, so its results are compared with this machine's Perl.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestConsole } from '../support/guest-shell.ts';
import { isLong } from '../support/long.ts';
import { packageGuest } from '../support/package-guest.ts';
import { endAll } from '../support/plinth.ts';

/** Python's tests: the short run has one. */
const SHORT = ['test_cmath'];
const LONG = [
  ...['test_complex', 'test_float', 'test_int'],
  ...[
    'test_math',
    'test_long',
    'test_struct',
    'test_decimal',
    'test_random',
    'test_zlib',
    'test_hashlib',
    'test_array',
  ],
  ...[
    'test_binascii',
    'test_fractions',
    'test_statistics',
    'test_strtod',
    'test_pow',
    'test_numeric_tower',
    'test_hmac',
    'test_audioop',
  ],
];
/** Seconds that a guest has for one of them, and milliseconds for the test around it. */
const PATIENCE = 5000;
const LONGEST = 5_100_000;
const PYTHON = ['python3.11-minimal', 'libpython3.11-minimal', 'libpython3.11-stdlib', 'libpython3.11-testsuite'];
const PERL = ['perl-base', 'perl-modules-5.36'];
const program = fileURLToPath(new URL('../guest-programs/arithmetic.pl', import.meta.url));
/** The same routines of the C library here and there. */
const tunables = 'glibc.cpu.hwcaps=-AVX2,-FMA';

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
let machine: string[];
beforeAll(async () => {
  machine = await packageGuest(
    folder,
    'interpreters',
    [...PYTHON, ...PERL],
    [{ path: 'arithmetic.pl', contents: readFileSync(program) }],
  );
});
afterAll(async () => {
  await endAll();
  rmSync(folder, { recursive: true, force: true });
});

/** What this machine's Perl prints; undefined when it is another version than the guest's. */
function printedHere(scale: number): string | undefined {
  try {
    if (execFileSync('perl', ['-e', 'print $]'], { encoding: 'utf8' }) !== '5.036000') return undefined;
    return execFileSync('perl', [program, `${scale}`], {
      encoding: 'utf8',
      env: { ...process.env, GLIBC_TUNABLES: tunables },
    });
  } catch {
    return undefined;
  }
}

describe.each(isLong ? ['v3', 'v2', 'v1'] : ['v2'])('on a processor %s', (features) => {
  let guest: GuestConsole;
  let ran = 0;
  beforeAll(async () => {
    guest = await GuestConsole.boot([...machine, '--cpu-features', features]);
  });

  it('Perl computes what it computes here', { timeout: LONGEST }, async (context) => {
    const scale = isLong ? 30 : 1;
    const expected = printedHere(scale);
    if (expected === undefined) return context.skip('Perl 5.36 with its modules is not installed');
    const { status, output } = await guest.run(`GLIBC_TUNABLES=${tunables} perl /arithmetic.pl ${scale}`, PATIENCE);
    expect({ status, lines: output.split('\n') }).toEqual({ status: 0, lines: expected.split('\n') });
  });

  it.each(isLong ? [...SHORT, ...LONG] : SHORT)(
    "Python's %s finds nothing wrong",
    { timeout: LONGEST },
    async (name) => {
      // Of a test that prints much, what says why it failed is at the end.
      const { output, status } = await guest.run(
        `python3.11 -m unittest test.${name} >/tmp/said 2>&1; s=$?; tail -n 40 /tmp/said; (exit $s)`,
        PATIENCE,
      );
      expect({ status }, output).toEqual({ status: 0 });
      ran += Number(/Ran (\d+) tests? in/.exec(output)?.[1]);
    },
  );

  it('all of them ran, and the guest ends in order', async () => {
    expect(ran).toBeGreaterThan(isLong ? 1000 : 30);
    guest.type('poweroff -f\n');
    expect((await guest.process.ended).status).toBe(0);
  });
});
