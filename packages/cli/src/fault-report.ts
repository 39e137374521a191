/** Faults of Plinth itself: whatever is no `PlinthError`. The stack goes into a report file, the user gets PL-3001. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, platform, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PlinthError } from '@plinth/errors';
import { plinthVersion } from './version.ts';

/** Writes the report (to Plinth's folder, or to the folder for temporary files when that fails) and gives the error to print. */
export async function reportFault(error: unknown): Promise<PlinthError> {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const message = error instanceof Error ? error.message : String(error);
  const text = [
    `Plinth ${plinthVersion()}, Node.js ${process.version}, ${platform()} ${release()} ${arch()}`,
    `at ${new Date().toISOString()}: plinth ${process.argv
      .slice(2)
      .map((word) => JSON.stringify(word))
      .join(' ')}`,
    '',
    stack,
    '',
  ].join('\n');
  const name = `fault-${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${process.pid}.txt`;
  const folders = [tmpdir()];
  try {
    // Loaded here and not above, as the fault may be that a module cannot be loaded.
    const { homeFolder } = await import('./home.ts');
    folders.unshift(join(homeFolder(), 'crash'));
  } catch {
    // The folder for temporary files will do.
  }
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(path, text, { mode: 0o600 });
      return new PlinthError('PL-3001', { message, report: path }, { cause: error });
    } catch {
      // The next folder, then; a full disk must not hide the fault.
    }
  }
  process.stderr.write(text);
  return new PlinthError('PL-3001', { message, report: 'above, as no folder could take it' }, { cause: error });
}
