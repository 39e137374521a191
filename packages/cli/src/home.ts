/** Plinth's folder as the commands use it: an absolute path, whatever folder the user stands in. */
import { resolve } from 'node:path';
import { plinthHome } from '@plinth/images';

/** The absolute path of `$PLINTH_HOME` or its default; it need not exist. */
export function homeFolder(): string {
  return resolve(plinthHome());
}
