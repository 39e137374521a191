/**
 * What the kernel of the cases (tests/ring-zero/cases) writes: a line `@ GROUP` for each group, then a line for each of its cases, `KEY=OUTCOME`,
 * or `KEY` alone when the outcome is that of the line before, or, in the first
 * line, none. Read by recorded-cases.test.ts.
 *
 * A key is one hexadecimal number or two with a dot. An outcome names, separated by commas, what is not as expected: `vN` the vector, with `:N`
 * an error code; `l16` or `l32` that a landing place was reached; registers, selectors, flags and words of memory that changed; `gN` the access
 * byte of a descriptor that did.
 */

export interface CaseOutcome {
  /** The words of the group's line. */
  readonly group: readonly string[];
  readonly key: readonly number[];
  /** Its parts, in the order in which they were written. */
  readonly outcome: readonly string[];
}

/** @returns cases by group and key */
export function parseOutcomes(output: string): Map<string, CaseOutcome> {
  const cases = new Map<string, CaseOutcome>();
  let group = '';
  let outcome: readonly string[] = [];
  for (const line of output.split(/\r?\n/)) {
    if (line.startsWith('@ ')) {
      group = line.slice(2);
      outcome = [];
    } else if (group !== '' && /^[0-9a-f]+(\.[0-9a-f]+)?(=|$)/.test(line)) {
      const [key = '', written] = splitOnce(line);
      if (written !== undefined) outcome = written.split(',').slice(1);
      const name = `${group} / ${key}`;
      if (cases.has(name)) throw new RangeError(`two cases are called ${name}`);
      const numbers = key.split('.').map((part) => Number.parseInt(part, 16));
      cases.set(name, { group: group.split(' '), key: numbers, outcome });
    }
  }
  return cases;
}

function splitOnce(line: string): [string, string | undefined] {
  const at = line.indexOf('=');
  return at < 0 ? [line, undefined] : [line.slice(0, at), line.slice(at + 1)];
}

/** Whether two outcomes name the same parts. */
export function sameOutcome(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && [...a].sort().join() === [...b].sort().join();
}
