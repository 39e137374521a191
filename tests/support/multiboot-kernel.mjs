/**
 * Builds the multiboot kernels of the tests with the machine's gcc, as and ld; they need no C library. Called by tests/ring-zero and its
 * recorder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

/** What both kernels are made of: entry, ways between modes, text, link.ld. */
export const sharedSources = fileURLToPath(new URL('../ring-zero/shared', import.meta.url));

/**
 * Builds what lies in `sources` (C and assembler) with what the kernels share; the objects go to `folder`.
 * @param {string} sources
 * @param {string} folder
 * @returns {string} path of the kernel
 */
export function buildMultibootKernel(sources, folder) {
  const objects = [sharedSources, sources].flatMap((from) =>
    readdirSync(from)
      .filter((name) => name.endsWith('.c') || name.endsWith('.S'))
      .sort()
      .map((name) => {
        const object = join(folder, `${name}.o`);
        execFileSync('gcc', [...cFlags, '-c', '-o', object, join(from, name)], { stdio: 'pipe' });
        return object;
      }),
  );
  const kernel = join(folder, 'kernel.elf');
  const flags = ['-m', 'elf_i386', '--build-id=none', '-z', 'noexecstack', '--no-warn-rwx-segments'];
  execFileSync('ld', [...flags, '-T', join(sharedSources, 'link.ld'), '-o', kernel, ...objects], { stdio: 'pipe' });
  return kernel;
}
