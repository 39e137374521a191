/**
 * A Debian guest that has booted and is saved: a test that is about a guest and not about its boot restores it, which takes a quarter of the
 * processor time. The first test that asks makes it, for all files of a run of the tests. Called by the system tests.
 */
import { existsSync, mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { cloud, ensureImage } from './images.ts';
import { plinth } from './plinth.ts';

/** How long another file's tests may take to make it, in seconds. */
const PATIENCE = 300;

/**
 * Words of `plinth run` that restore it: Debian's cloud kernel with 512 MiB, its agent ready, its shell at the prompt of the console, where
 * nothing is shown before a line is entered. Each restore is a machine of its own.
 */
export async function savedGuest(): Promise<readonly string[]> {
  const file = join(inject('runFolder'), 'guest.saved');
  const lock = `${file}.lock`;
  const deadline = performance.now() + PATIENCE * 1000;
  while (!existsSync(file)) {
    if (performance.now() > deadline) throw new Error(`no saved guest after ${PATIENCE} s`);
    if (take(lock)) {
      try {
        if (!existsSync(file)) await make(file);
      } finally {
        rmdirSync(lock);
      }
    } else await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return ['--restore', file];
}

/** Whether the lock is ours now. */
function take(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

async function make(file: string): Promise<void> {
  await ensureImage(cloud);
  const { status, stderr } = await plinth(['run', cloud, '--exec', 'true', '--save-to', `${file}.new`]);
  if (status !== 0) throw new Error(stderr);
  renameSync(`${file}.new`, file);
}
