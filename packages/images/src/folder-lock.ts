/**
 * One process at a time in a folder: a lock file that names its process, so that one left by a process that was killed is known for
 * what it is. Called by `image-store.ts` (the images) and `initramfs.ts` (apt's lists and downloads).
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withNamedFileErrors } from './tools.ts';

/**
 * Waits until nobody else uses `folder`, which is made if it is missing; gives the way to let the next one in.
 *
 * @param home Plinth's folder, which errors name
 * @param onWait told the process that is waited for, each time that it is looked for
 * @throws PL-2107, PL-2111 when the lock cannot be written; the abort reason when `signal` aborts
 */
export async function lockFolder(
  folder: string,
  home: string,
  signal: AbortSignal | undefined,
  onWait: (owner: string) => void,
): Promise<() => Promise<void>> {
  const path = join(folder, '.lock');
  await withNamedFileErrors(home, 'images', () => mkdir(folder, { recursive: true, mode: 0o700 }));
  for (;;) {
    signal?.throwIfAborted();
    try {
      await withNamedFileErrors(home, 'images', () => writeFile(path, `${process.pid}\n`, { flag: 'wx' }));
      return () => rm(path, { force: true });
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error;
    }
    const owner = Number((await readFile(path, 'utf8').catch(() => '')).trim());
    if (owner > 0 && !isAlive(owner)) {
      await rm(path, { force: true });
      continue;
    }
    onWait(owner > 0 ? String(owner) : 'unknown');
    await delay(300, undefined, { signal }).catch((error: unknown) => {
      // The caller's own reason, not the timer's.
      signal?.throwIfAborted();
      throw error;
    });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
