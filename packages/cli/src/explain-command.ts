/** `plinth explain CODE`: the catalogue's entry of a code, in full sentences. */
import { type Explanation, explain } from '@plinth/errors';
import type { OutputFormat } from './command-table.ts';
import { formatTree } from './output.ts';

/**
 * The text of an explanation.
 * @throws PlinthError PL-1015 when there is no such code.
 */
export function explainCommand(code: string, format: OutputFormat): string {
  const explanation = explain(code);
  if (format === 'name') return `${explanation.code}\n`;
  return format === 'table' ? explanationText(explanation) : formatTree({ ...explanation }, format);
}

function explanationText({ code, what, why, tryNext, exitStatus, exitStatusMeaning }: Explanation): string {
  return [
    `${code}  ${what}.`,
    '',
    `Why:          ${why}.`,
    `Try:          ${tryNext}`,
    `Exit status:  ${exitStatus} (${exitStatusMeaning})`,
    '',
  ].join('\n');
}
