/** The version of Plinth, from the package's own description. */
import { readFileSync } from 'node:fs';

let version: string | undefined;

/** The version, such as `0.1.0`. */
export function plinthVersion(): string {
  if (version === undefined) {
    const data: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    const found = typeof data === 'object' && data !== null && 'version' in data ? data.version : undefined;
    version = typeof found === 'string' ? found : 'unknown';
  }
  return version;
}
