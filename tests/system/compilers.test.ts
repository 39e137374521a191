/**
 * What gcc makes of the same sources for each level of the x86-64 psABI, in 64 and 32 bits, with -O2 and -O3, answers in a guest what the same
 * binary answers on the host's own processor. The C library takes the routines of the guest's level, on the host by a tunable; with level
 * v3 it is also told to do without some of what there is.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  COMPILATIONS,
  type Compilation,
  compile,
  type Kind,
  LEVELS,
  type Level,
  nameOf,
  printedHere,
  tunablesOf,
  whyNot,
} from '../support/compiled-programs.ts';
import { GuestConsole } from '../support/guest-shell.ts';
import { isLong } from '../support/long.ts';
import { packageGuest } from '../support/package-guest.ts';
import { endAll } from '../support/plinth.ts';

/** The short run has a binary of each level and both sizes, and the programs of bench/guest in one way; a whole one has all. */
const SHORT = ['m32-v1-O2', 'm64-v2-O3', 'm64-v3-O3', 'm32-v3-O3'];
const SHORT_PROGRAMS = ['m64-v3-O3'];
const compilationsOf = (kind: Kind): Compilation[] =>
  COMPILATIONS.filter((one) => isLong || (kind === 'programs' ? SHORT_PROGRAMS : SHORT).includes(nameOf(one)));
/** The programs of bench/guest print how long they took, which is cut off. */
const PARAMETERS: Readonly<Record<Kind, readonly string[]>> = { programs: ['all', 'scale=1'], computations: [] };
const kinds = Object.keys(PARAMETERS) as Kind[];
const withoutTimes = (text: string): string[] =>
  text
    .split('\n')
    .flatMap((line) => (line === '' || line.startsWith('@begin') ? [] : [line.replace(/^(@end .*) \d+$/, '$1')]));

/** How the C library is told not to use what the processor has: names of its tunable glibc.cpu.hwcaps. */
const WITHOUT = [
  '-AVX2',
  '-FMA',
  '-AVX2,-SSE4_2,-SSE4_1',
  '-AVX2,-SSE4_2,-SSE4_1,-SSSE3',
  '-ERMS,-FSRM',
  '-BMI2,-BMI1,-LZCNT',
];

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const binaries = new Map<string, string>();
let machine: string[];
let reason: string | undefined;
beforeAll(async () => {
  reason = await whyNot();
  if (reason !== undefined) return;
  for (const kind of kinds)
    for (const compilation of compilationsOf(kind))
      binaries.set(`${kind}-${nameOf(compilation)}`, await compile(folder, kind, compilation));
  machine = await packageGuest(
    folder,
    'compiled',
    ['libc-bin'],
    [...binaries].map(([name, path]) => ({ path: `programs/${name}`, contents: readFileSync(path), mode: 0o755 })),
  );
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a binary in the guest and here, and compares. */
async function compare(
  guest: GuestConsole,
  kind: Kind,
  compilation: Compilation,
  tunables: { readonly there: string; readonly here: string },
): Promise<void> {
  const name = `${kind}-${nameOf(compilation)}`;
  const parameters = PARAMETERS[kind];
  const expected = withoutTimes(await printedHere(binaries.get(name) ?? '', parameters, tunables.here));
  const variable = tunables.there === '' ? '' : `GLIBC_TUNABLES=${tunables.there} `;
  const { output, status } = await guest.run(`${variable}/programs/${name} ${parameters.join(' ')}`, 600);
  expect({ name, tunables, status, lines: withoutTimes(output) }).toEqual({
    name,
    tunables,
    status: 0,
    lines: expected,
  });
  expect(expected.length).toBeGreaterThanOrEqual(kind === 'computations' ? 26 : 50);
}

/** The same binary with each of the C library's selections. */
async function compareSelections(guest: GuestConsole): Promise<void> {
  for (const compilation of compilationsOf('computations').filter(
    ({ words, level }) => level === 'v3' && (isLong || words === 64),
  ))
    for (const without of WITHOUT.slice(0, isLong ? WITHOUT.length : 3)) {
      const tunables = `glibc.cpu.hwcaps=${without}`;
      await compare(guest, 'computations', compilation, { there: tunables, here: tunables });
    }
}

const boot = (level: Level, translator: string): Promise<GuestConsole> =>
  GuestConsole.boot([...machine, '--cpu-features', level], { environment: { PLINTH_TRANSLATOR: translator } });

describe.each(isLong ? ['on', 'off', 'force'] : ['on'])('compiled programs, PLINTH_TRANSLATOR=%s', (translator) => {
  it.for(LEVELS.filter((level) => isLong || level === 'v3'))(
    'answer on a processor of level %s what they answer here',
    async (level, context) => {
      if (reason !== undefined) return context.skip(reason);
      const guest = await boot(level, translator);
      // glibc's own view of the processor: which folders for levels it looks into.
      const { output } = await guest.run('/lib64/ld-linux-x86-64.so.2 --help | grep x86-64-v');
      const supported = output
        .split('\n')
        .flatMap((line) => /x86-64-(v\d) \(supported, searched\)/.exec(line)?.[1] ?? []);
      expect(supported).toEqual([...LEVELS].reverse().filter((one) => one !== 'v1' && one <= level));
      for (const kind of kinds)
        for (const compilation of compilationsOf(kind).filter((one) => one.level <= level))
          await compare(guest, kind, compilation, { there: '', here: tunablesOf(level) });
      if (level === 'v3') await compareSelections(guest);
      guest.type('poweroff -f\n');
      expect((await guest.process.ended).status).toBe(0);
    },
  );
});
