/**
 * The names under which busybox answers. The program carries the list of its applets as zero-ended names in sorted order,
 * which begins with `[` and `[[`; reading it there needs no processor that can run the program. Called by `initramfs.ts`.
 */
import { PlinthError } from '@plinth/errors';

const firstNames = '[\0[[\0';

/**
 * Names of all applets of a busybox program.
 *
 * @throws PL-2108 when the list is not found
 */
export function busyboxApplets(program: Uint8Array): string[] {
  const bytes = Buffer.from(program.buffer, program.byteOffset, program.byteLength);
  const start = bytes.indexOf(firstNames, 0, 'latin1');
  const names: string[] = [];
  for (let at = start; at >= 0 && at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const name = bytes.toString('latin1', at, end < 0 ? at : end);
    if (!/^[a-z0-9_.[-]+$/i.test(name)) break;
    names.push(name);
    at = end + 1;
  }
  if (!names.includes('sh') || !names.includes('mount')) {
    throw new PlinthError('PL-2108', { package: 'busybox-static', reason: 'The list of its applets was not found' });
  }
  return names;
}
