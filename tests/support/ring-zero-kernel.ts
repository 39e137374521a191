/**
 * Builds the multiboot kernel of the ring 0 tests (tests/ring-zero/kernel) with the machine's gcc, as and ld; it needs no C library.
 * Called by tests/ring-zero.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from './plinth.ts';

const sources = join(root, 'tests', 'ring-zero', 'kernel');
const cFlags = [
  ...['-m32', '-march=i686', '-O1', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-fno-toplevel-reorder'],
  ...['-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-mno-sse', '-mno-mmx', '-Wall', '-Wextra', '-Werror'],
];

/** Why the kernel cannot be built here; undefined when it can. */
export function compilerMissing(): string | undefined {
  const missing = ['gcc', 'as', 'ld'].filter((tool) => spawnSync(tool, ['--version']).status !== 0);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

/** @returns path of the kernel, made in `folder` */
export function buildRingZeroKernel(folder: string): string {
  const objects = readdirSync(sources)
    .filter((name) => name.endsWith('.c') || name.endsWith('.S'))
    .map((name) => {
      const object = join(folder, `${basename(name)}.o`);
      execFileSync('gcc', [...cFlags, '-c', '-o', object, join(sources, name)], { stdio: 'pipe' });
      return object;
    });
  const kernel = join(folder, 'ring-zero.elf');
  const flags = ['-m', 'elf_i386', '--build-id=none', '-z', 'noexecstack', '--no-warn-rwx-segments'];
  execFileSync('ld', [...flags, '-T', join(sources, 'link.ld'), '-o', kernel, ...objects], { stdio: 'pipe' });
  return kernel;
}
