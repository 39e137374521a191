/** What a code means, for `plinth explain` and the generated reference (`docs/reference/errors.md`). */
import { type CatalogueEntry, catalogue, type ErrorCode } from './catalogue.ts';
import { isErrorCode, PlinthError } from './plinth-error.ts';

/** What each exit status means to a caller of the command line. */
export const exitStatusMeanings: Readonly<Record<number, string>> = {
  0: 'the machine powered off, or the command succeeded',
  1: 'refused or failed',
  64: 'wrong usage',
  65: 'an input file is not what it should be',
  66: 'an input file is missing or unreadable, or an output cannot be written',
  69: 'a service cannot be reached',
  70: 'a fault of Plinth',
  75: 'the guest crashed',
  124: 'a time limit passed',
};

/** An explained code. Placeholders are shown in capitals, as in a command's help. */
export interface Explanation extends CatalogueEntry {
  readonly code: ErrorCode;
  readonly exitStatusMeaning: string;
}

/**
 * The entry of a code. `PL-1001`, `pl-1001` and `1001` are the same.
 * @throws PlinthError PL-1015 when there is no such code.
 */
export function explain(code: string): Explanation {
  const digits = /^(?:pl-?)?(\d{1,4})$/i.exec(code.trim())?.[1];
  const normalized = digits === undefined ? code : `PL-${digits.padStart(4, '0')}`;
  if (!isErrorCode(normalized)) throw new PlinthError('PL-1015', { code });
  return explanationOf(normalized);
}

/** All explanations, by ascending code. */
export function explainAll(): Explanation[] {
  return Object.keys(catalogue).filter(isErrorCode).sort().map(explanationOf);
}

function explanationOf(code: ErrorCode): Explanation {
  const { what, why, tryNext, exitStatus } = catalogue[code];
  const readable = (text: string): string => text.replaceAll(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase());
  return {
    code,
    what: readable(what),
    why: readable(why),
    tryNext: readable(tryNext),
    exitStatus,
    exitStatusMeaning: exitStatusMeanings[exitStatus] ?? 'see the command',
  };
}
