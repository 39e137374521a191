/**
 * Builds the multiboot kernels of the tests with the machine's gcc, as and ld; they need no C library. Called by tests/ring-zero and its
 * recorder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const cFlags = [
  ...['-m32', '-march=i686', '-O1', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-fno-toplevel-reorder'],
  ...['-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-mno-sse', '-mno-mmx', '-Wall', '-Wextra', '-Werror'],
];

/**
 * Why kernels cannot be built here; undefined when they can.
 * @returns {string | undefined}
 */
export function compilerMissing() {
  const missing = ['gcc', 'as', 'ld'].filter((tool) => spawnSync(tool, ['--version']).status !== 0);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

/**
 * Builds what lies in `sources` (C, assembler, and link.ld); the objects go to `folder`.
 * @param {string} sources
 * @param {string} folder
 * @returns {string} path of the kernel
 */
export function buildMultibootKernel(sources, folder) {
  const objects = readdirSync(sources)
    .filter((name) => name.endsWith('.c') || name.endsWith('.S'))
    .sort()
    .map((name) => {
      const object = join(folder, `${name}.o`);
      execFileSync('gcc', [...cFlags, '-c', '-o', object, join(sources, name)], { stdio: 'pipe' });
      return object;
    });
  const kernel = join(folder, 'kernel.elf');
  const flags = ['-m', 'elf_i386', '--build-id=none', '-z', 'noexecstack', '--no-warn-rwx-segments'];
  execFileSync('ld', [...flags, '-T', join(sources, 'link.ld'), '-o', kernel, ...objects], { stdio: 'pipe' });
  return kernel;
}
