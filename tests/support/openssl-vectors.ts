/**
 * What `openssl` computes from the same inputs on every processor: a script for its command line, with its keys and texts. It prints a line
 * for each result, so two runs are compared by their lines. Digests, ciphers and message codes of every routine that libcrypto has written by
 * hand for a set of instructions; keys agreed on, deterministic signatures, and others' signatures verified. Called by the system tests.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestFile } from '@plinth/images';
import { noise } from './programs.ts';

const DIGESTS =
  'sha256 sha1 sha512 md5 sha3-256 blake2b512 blake2s256 sha224 sha384 sha3-512 shake256 sm3 ripemd160 sha512-256';
const CIPHERS = `aes-128-cbc aes-256-ctr aes-192-ecb chacha20 aes-256-cfb aes-128-ofb aes-256-cbc aes-128-ctr aes-256-ecb
  aes-192-ctr aes-192-cbc aes-128-cfb8 aes-128-cfb1 camellia-256-cbc aria-128-ctr sm4-cbc des-ede3-cbc`;
/** Message authentication codes: GMAC is what AES-GCM authenticates with, POLY1305 what ChaCha20-Poly1305 does. */
const CODES = [
  '-cipher AES-128-GCM -macopt hexiv:IV GMAC',
  'POLY1305',
  '-cipher AES-256-CBC CMAC',
  '-digest SHA256 HMAC',
  '-cipher AES-256-GCM -macopt hexiv:IV GMAC',
  '-digest SHA512 HMAC',
  '-cipher AES-128-CBC CMAC',
  'SIPHASH',
  'KMAC256',
];
/** Bytes of the key of each of these codes. */
const CODE_KEYS = [16, 32, 32, 20, 32, 64, 16, 16, 32];

const words = (text: string): string[] => text.trim().split(/\s+/);
const hexadecimal = (length: number, seed: number): string => Buffer.from(noise(length, seed)).toString('hex');

/** Lengths about the sizes of blocks, of which a message has some, and one that takes every unrolled loop. */
const LENGTHS = [0, 1, 15, 16, 17, 63, 64, 65, 111, 119, 128, 1000, 4096, 70001];

/** One of each kind, or all. */
export interface VectorOptions {
  readonly all: boolean;
}

/** The lines of the script; each prints what it found. */
function script({ all }: VectorOptions): string {
  const some = <T>(list: readonly T[], count: number): readonly T[] => (all ? list : list.slice(0, count));
  const lines: string[] = [];
  const texts = LENGTHS.map((length) => `text-${length}`).join(' ');
  for (const digest of some(words(DIGESTS), 5)) lines.push(`openssl dgst -${digest} ${texts}`);
  for (const cipher of some(words(CIPHERS), 6)) {
    const [bits] = /\d{3}/.exec(cipher) ?? ['256'];
    const bytes = { des: 24, sm4: 16 }[cipher.slice(0, 3)] ?? Number(bits) / 8;
    const key = `-K ${hexadecimal(bytes, 7)}${cipher.includes('ecb') ? '' : ` -iv ${hexadecimal(cipher.startsWith('des') ? 8 : 16, 9)}`}`;
    lines.push(`openssl enc -${cipher} ${key} -in text-70001 -out coded && show ${cipher} coded`);
    lines.push(`openssl enc -d -${cipher} ${key} -in coded -out back && cmp back text-70001 && echo ${cipher} back`);
  }
  for (const [index, code] of some(CODES, 3).entries()) {
    const key = hexadecimal(CODE_KEYS[index] ?? 32, 11 + index);
    for (const text of ['text-65', 'text-4096', 'text-70001'])
      lines.push(
        `echo "${code} ${text} $(openssl mac -macopt hexkey:${key} -in ${text} ${code.replace('IV', hexadecimal(12, 3))})"`,
      );
  }
  // RSA with 2048 bits has a routine of its own with AVX2; the others are general ones, with and without MULX and ADX.
  for (const key of some(['rsa-2048', 'ed25519', 'rsa-1024', 'rsa-3072', 'ed448'], 2)) {
    const how = key.startsWith('ed') ? '-rawin' : '-rawin -digest sha256';
    lines.push(`openssl pkeyutl -sign -inkey ${key}.pem ${how} -in text-1000 -out signature && show ${key} signature`);
  }
  for (const key of some(['p256', 'rsa-2048', 'p384', 'p521', 'secp256k1', 'rsa-3072'], 2)) {
    const pss = key.startsWith('rsa') ? ' -pkeyopt rsa_padding_mode:pss' : '';
    const verify = `openssl pkeyutl -verify -inkey ${key}.pem -rawin -digest sha256${pss} -in text-1000 -sigfile`;
    lines.push(`echo ${key} "$(${verify} ${key}.signature)"`);
    lines.push(
      `openssl pkeyutl -sign -inkey ${key}.pem -rawin -digest sha256${pss} -in text-1000 -out own && ${verify} own`,
    );
    // A wrong one is seen to be wrong.
    lines.push(
      `cp ${key}.signature bad; printf z | dd of=bad bs=1 seek=40 conv=notrunc 2>/dev/null; ${verify} bad >/dev/null 2>&1 || echo ${key} refused`,
    );
  }
  for (const key of some(['p256', 'x25519', 'p384', 'p521', 'x448', 'dh'], 2))
    lines.push(
      `openssl pkeyutl -derive -inkey ${key}.pem -peerkey ${key}-peer.public -out secret && show ${key} secret`,
    );
  // Authenticated encryption by one, decryption by the other; a message that was changed is refused.
  for (const cipher of some(['aes-256-gcm', 'aes-128-gcm'], 1)) {
    const how = `-binary -inform DER -secretkey ${hexadecimal(cipher === 'aes-256-gcm' ? 32 : 16, 5)} -secretkeyid 01`;
    lines.push(
      `openssl cms -decrypt ${how} -in ${cipher}.cms -out back && cmp back text-70001 && echo ${cipher} opened`,
    );
    lines.push(`openssl cms -decrypt ${how} -in ${cipher}-changed.cms -out back 2>/dev/null || echo ${cipher} refused`);
  }
  return `#!/bin/sh
cd "$1" || exit 1
show() { echo "$1 $(openssl dgst -sha512 <"$2")"; }
${lines.join('\n')}
`;
}

const openssl = (folder: string, ...parameters: string[]): Buffer =>
  execFileSync('openssl', parameters, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });

/** The version of this machine's openssl; undefined when there is none that can make the inputs. */
export function opensslHere(): string | undefined {
  try {
    const version = execFileSync('openssl', ['version'], { encoding: 'utf8' });
    return version.startsWith('OpenSSL 3.') ? version.trim() : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Makes texts, keys and signatures with this machine's openssl, and the script that uses them.
 * @param folder where they are written; the script is `vectors` there, and takes the folder as its parameter
 * @returns the same files for a guest, in `/vectors`
 */
export function writeVectors(folder: string, options: VectorOptions): GuestFile[] {
  const names = new Set<string>();
  const put = (name: string, contents: Uint8Array | string): void => {
    writeFileSync(join(folder, name), contents);
    names.add(name);
  };
  const make = (name: string, ...parameters: string[]): void => {
    openssl(folder, ...parameters, '-out', name);
    names.add(name);
  };
  for (const length of LENGTHS) put(`text-${length}`, noise(length, 0x1234567 + length));
  for (const bits of [1024, 2048, 3072])
    make(`rsa-${bits}.pem`, 'genpkey', '-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${bits}`);
  const agreed = { p256: 'P-256', p384: 'P-384', p521: 'P-521', secp256k1: 'secp256k1' };
  for (const suffix of ['', '-peer']) {
    for (const [name, curve] of Object.entries(agreed))
      make(`${name}${suffix}.pem`, 'genpkey', '-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${curve}`);
    for (const name of ['ed25519', 'ed448', 'x25519', 'x448'])
      make(`${name}${suffix}.pem`, 'genpkey', '-algorithm', name);
    make(`dh${suffix}.pem`, 'genpkey', '-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048');
  }
  for (const name of ['p256', 'p384', 'p521', 'x25519', 'x448', 'dh'])
    make(`${name}-peer.public`, 'pkey', '-in', `${name}-peer.pem`, '-pubout');
  for (const key of ['p256', 'p384', 'p521', 'secp256k1', 'rsa-2048', 'rsa-3072'])
    make(
      `${key}.signature`,
      ...['pkeyutl', '-sign', '-inkey', `${key}.pem`, '-rawin', '-digest', 'sha256', '-in', 'text-1000'],
      ...(key.startsWith('rsa') ? ['-pkeyopt', 'rsa_padding_mode:pss'] : []),
    );
  for (const cipher of ['aes-256-gcm', 'aes-128-gcm']) {
    const key = hexadecimal(cipher === 'aes-256-gcm' ? 32 : 16, 5);
    const coded = openssl(
      folder,
      'cms',
      '-encrypt',
      '-binary',
      '-outform',
      'DER',
      `-${cipher}`,
      '-secretkey',
      key,
      '-secretkeyid',
      '01',
      '-in',
      'text-70001',
    );
    put(`${cipher}.cms`, coded);
    const changed = Uint8Array.from(coded);
    changed[35_000] = (changed[35_000] ?? 0) ^ 1;
    put(`${cipher}-changed.cms`, changed);
  }
  make('certificate.pem', 'req', '-x509', '-key', 'p256.pem', '-subj', '/CN=guest', '-days', '3650');
  put('vectors', script(options));
  return [...names].map((name) => ({ path: `vectors/${name}`, contents: readFileSync(join(folder, name)) }));
}
