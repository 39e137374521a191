/**
 * Debian's openssl in a guest computes what this machine's computes from the same inputs, with each set of instructions there and not there: for
 * the whole guest (`--cpu-features`) and for libcrypto alone (OPENSSL_ia32cap), which has other routines for AES-NI, PCLMULQDQ, SHA, SSSE3,
 * AVX, AVX2, BMI, ADX and MOVBE. Facts: OPENSSL_ia32cap(3).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GuestConsole } from '../support/guest-shell.ts';
import { isLong } from '../support/long.ts';
import { opensslHere, writeVectors } from '../support/openssl-vectors.ts';
import { packageGuest } from '../support/package-guest.ts';
import { endAll } from '../support/plinth.ts';

/** Processors; the short run has the one with all. */
const PROCESSORS = isLong
  ? [
      'v1',
      'v2',
      'v3',
      'v3,-aes',
      'v3,-pclmulqdq',
      'v3,-sha_ni',
      'v3,-aes,-avx',
      'v3,-avx2',
      'v3,-bmi2,-bmi1',
      'v3,-adx',
      'v3,-ssse3',
      'v3,-movbe',
    ]
  : ['v3'];
/** What libcrypto is told to do without on the processor that has all. */
const WITHOUT: readonly (readonly [string, string])[] = [
  ['any of them', '0x7fffffff:0'],
  ['AES', '~0x200000000000000'],
  ['PCLMULQDQ', '~0x200000000'],
  ['AES and AVX', '~0x1200000000000000:~0x20'],
  ['AVX2', ':~0x20'],
  ['SHA', ':~0x20000000'],
  ['SHA and AVX2', ':~0x20000020'],
  ['SHA and AVX', '~0x1000000000000000:~0x20000020'],
  ['SHA, AVX and SSSE3', '~0x1000020000000000:~0x20000020'],
  ['BMI2 and ADX', ':~0x80100'],
  ['MOVBE', '~0x40000000000000'],
];
/** Ciphers of TLS 1.3, each with one routine on the server's side and a plain one on the client's. */
const SUITES = ['TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'];
const SPEEDS = isLong
  ? [
      '-evp aes-128-gcm',
      '-evp chacha20-poly1305',
      '-evp sha256',
      '-evp sha1',
      '-evp aes-256-xts',
      'rsa2048 ecdsap256',
      'ed25519',
      'ecdhx25519',
    ]
  : ['-evp aes-128-gcm', 'ecdsap256'];

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const version = opensslHere();
let machine: string[];
let expected: string[];
beforeAll(async () => {
  if (version === undefined) return;
  const inputs = join(folder, 'inputs');
  mkdirSync(inputs);
  const files = writeVectors(inputs, { all: isLong });
  expected = execFileSync('sh', [join(inputs, 'vectors'), inputs], { encoding: 'utf8' })
    .trim()
    .split('\n');
  machine = await packageGuest(folder, 'openssl', ['openssl'], files);
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const vectors = async (guest: GuestConsole, mask: string): Promise<string[]> => {
  const { output } = await guest.run(
    `${mask === '' ? '' : `OPENSSL_ia32cap=${mask} `}sh /vectors/vectors /vectors`,
    600,
  );
  return output.trim().split('\n');
};

/** `+F:..` and its like: operations or bytes a second, and the seconds of one. */
function speedsAreSane(output: string): void {
  const lines = output.split('\n').filter((line) => /^\+F\d*:/.test(line));
  expect(lines.length, output).toBeGreaterThan(0);
  for (const line of lines) {
    // Edwards curves have a name before their speeds.
    const numbers = line.split(':').slice(line.startsWith('+F6:') ? 4 : 3);
    expect(numbers.length, line).toBeGreaterThan(0);
    for (const number of numbers) expect(Number(number), line).toBeGreaterThan(0);
  }
  expect(output).not.toMatch(/fail|error|-nan|inf/i);
}

describe('openssl', () => {
  it.for(PROCESSORS)('computes on a processor %s what it computes here', async (features, context) => {
    if (version === undefined) return context.skip('openssl 3 is not installed');
    expect(expected.length).toBeGreaterThan(100);
    const guest = await GuestConsole.boot([...machine, '--cpu-features', features]);
    expect(await vectors(guest, '')).toEqual(expected);
    if (features !== 'v3') return;
    for (const [what, mask] of WITHOUT.slice(0, isLong ? WITHOUT.length : 1))
      expect({ what, lines: await vectors(guest, mask) }).toEqual({ what, lines: expected });
    // It listens on port 4433, which is 0x1151.
    const serve = 'openssl s_server -WWW -quiet -cert certificate.pem -key p256.pem >/dev/null 2>&1 &';
    await guest.run(
      `ip link set lo up; cd /vectors; ( ${serve} ); until grep -q ':1151 ' /proc/net/tcp*; do sleep 0.1; done`,
    );
    for (const suite of SUITES.slice(0, isLong ? SUITES.length : 1)) {
      const client = `OPENSSL_ia32cap=0x7fffffff:0 openssl s_client -quiet -ign_eof -ciphersuites ${suite} 2>/dev/null`;
      const fetch = `printf 'GET /text-70001 HTTP/1.0\\r\\n\\r\\n' | ${client} | tail -c 70001 | cmp - /vectors/text-70001`;
      const { output, status } = await guest.run(fetch);
      expect({ suite, status, output }).toEqual({ suite, status: 0, output: '' });
    }
    for (const what of SPEEDS)
      speedsAreSane((await guest.run(`openssl speed -mr -seconds 1 -bytes 1024 ${what} 2>&1`)).output);
  });
});
