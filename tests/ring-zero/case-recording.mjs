/**
 * The recording of the cases of system instructions (tests/ring-zero/cases): the kernel as it was built, what it wrote on QEMU, and what says
 * whether both are still those of the sources. Written by record-cases.mjs, read by recorded-cases.test.ts.
 *
 * The file is compressed with brotli. Its content: the length of a JSON text (32 bits, little-endian), the text, the kernel, the output.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { sharedSources } from '../support/multiboot-kernel.mjs';

export const sources = fileURLToPath(new URL('cases', import.meta.url));
export const recordingFile = fileURLToPath(new URL('recorded-cases.br', import.meta.url));

/**
 * @typedef {object} Recording
 * @property {string} emulator first line of `qemu-system-x86_64 --version`
 * @property {string} processor QEMU's -cpu
 * @property {string} sources digest of the kernel's sources
 * @property {Uint8Array} kernel an ELF file
 * @property {string} output
 */

/**
 * A digest of names and contents of the kernel's sources.
 * @returns {string} hexadecimal
 */
export function sourcesDigest() {
  const hash = createHash('sha256');
  for (const folder of [sharedSources, sources]) {
    for (const name of readdirSync(folder).sort()) hash.update(`${name}\0`).update(readFileSync(join(folder, name)));
  }
  return hash.digest('hex');
}

/**
 * @param {Recording} recording
 * @returns {Uint8Array}
 */
export function encodeRecording({ kernel, output, ...rest }) {
  const text = Buffer.from(JSON.stringify({ ...rest, kernelBytes: kernel.length }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return brotliCompressSync(Buffer.concat([length, text, kernel, Buffer.from(output)]), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
  });
}

/**
 * @param {Uint8Array} file
 * @returns {Recording}
 */
export function decodeRecording(file) {
  const content = brotliDecompressSync(file);
  const begin = 4 + content.readUInt32LE(0);
  const { kernelBytes, ...rest } = JSON.parse(content.toString('utf8', 4, begin));
  const kernel = content.subarray(begin, begin + kernelBytes);
  return { ...rest, kernel, output: content.toString('utf8', begin + kernelBytes) };
}
