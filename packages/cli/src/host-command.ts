/** `plinth host check`: what this machine has of what Plinth needs, and what to do about the rest. */
import { checkHost } from '@plinth/vmwp';
import type { OutputFormat } from './command-table.ts';
import { formatListing } from './output.ts';

/** @returns the text, and the exit status: 1 when something is missing without which no virtual machine runs */
export function hostCheckCommand(format: OutputFormat): { readonly text: string; readonly exitStatus: number } {
  const results = checkHost();
  const columns = [
    ['REQUIREMENT', 'name'],
    ['STATE', 'state'],
    ['FOUND', 'found'],
    ['NEEDED FOR', 'neededFor'],
  ] as const;
  const rows = results.map((result) => ({ ...result }));
  const remedies = results
    .filter(({ remedy }) => remedy !== '')
    .map(({ name, remedy }) => `${name}: ${remedy}\n`)
    .join('');
  const text =
    formatListing({ rows, columns }, format) + (format === 'table' && remedies !== '' ? `\n${remedies}` : '');
  return { text, exitStatus: results.some(({ state }) => state === 'missing') ? 1 : 0 };
}
