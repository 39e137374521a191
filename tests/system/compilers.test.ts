/**
 * What gcc makes of the same sources for each level of the x86-64 psABI, in 64 and 32 bits, with -O2 and -O3, answers in a guest what the same
 * binary answers on the host's own processor; where that lacks instructions of a level, what a binary of the same sources without them
 * answers. Where the host's kernel runs no 32-bit programs, 64-bit ones tell what a 32-bit binary answers of all that does not depend on the
 * size of words, and the rest is not applicable. The C library takes the routines of the guest's level, on the host by a tunable; with level v3 it is also told to do without
 * some of what there is.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  COMPILATIONS,
  type Compilation,
  compileForBoth,
  type Host,
  hostHere,
  type Kind,
  LEVELS,
  nameOf,
  OF_A_SIZE,
  OF_ANY_SIZE,
  printedHere,
  tunablesFrom,
  whyNot,
  withoutOf,
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
const kinds: readonly Kind[] = ['programs', 'computations'];

/** A part of what is compared. */
interface Part {
  readonly title: string;
  readonly words: 32 | 64;
  /** Only these computations, and whether the host must run 32-bit programs. */
  readonly only?: readonly string[];
  readonly needs32?: true;
}
const PARTS: readonly Part[] = [
  { title: '64-bit programs', words: 64 },
  { title: '32-bit computations that answer the same with words of any size', words: 32, only: OF_ANY_SIZE },
  { title: '32-bit floating point, wide numbers and whole programs', words: 32, only: OF_A_SIZE, needs32: true },
];

/** What a kind is run with. The programs of bench/guest print how long they took, which is cut off. */
const parametersOf = (kind: Kind, { only = [] }: Part): readonly string[] =>
  kind === 'programs' ? ['all', 'scale=1'] : only;
/** What a part compares at a level: whole programs only where the host's binary is as the guest's. */
const kindsOf = ({ words, needs32 }: Part): readonly Kind[] =>
  words === 64 || needs32 === true ? kinds : ['computations'];
const withoutTimes = (text: string): string[] =>
  text
    .split('\n')
    .flatMap((line) => (line === '' || line.startsWith('@begin') ? [] : [line.replace(/^(@end .*) \d+$/, '$1')]));

/** How the C library is told not to use what the processor has: names of its tunable glibc.cpu.hwcaps. */
const WITHOUT = [
  ['AVX2'],
  ['FMA'],
  ['AVX2', 'SSE4_2', 'SSE4_1'],
  ['AVX2', 'SSE4_2', 'SSE4_1', 'SSSE3'],
  ['ERMS', 'FSRM'],
  ['BMI2', 'BMI1', 'LZCNT'],
];

/** Seconds that a guest has for one program, and milliseconds for all of a part: a whole run has dozens, and interprets some. */
const PATIENCE = 1800;
const LONGEST = isLong ? 7_200_000 : 600_000;

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
const binaries = new Map<string, { readonly there: string; readonly here: string }>();
let host: Host;
let machine: string[];
let reason: string | undefined;
beforeAll(async () => {
  reason = await whyNot();
  if (reason !== undefined) return;
  host = await hostHere(folder);
  if (host.lacking.length > 0) process.stdout.write(`compiled for the host without ${host.lacking.join(', ')}\n`);
  for (const kind of kinds)
    for (const compilation of compilationsOf(kind))
      binaries.set(`${kind}-${nameOf(compilation)}`, await compileForBoth(folder, kind, compilation, host));
  machine = await packageGuest(
    folder,
    'compiled',
    ['libc-bin'],
    [...binaries].map(([name, { there }]) => ({
      path: `programs/${name}`,
      contents: readFileSync(there),
      mode: 0o755,
    })),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a binary in the guest and here, with the C library doing without some of what the processor has, and compares. */
async function compare(
  guest: GuestConsole,
  part: Part,
  kind: Kind,
  compilation: Compilation,
  without: { readonly there: readonly string[]; readonly here: readonly string[] },
): Promise<void> {
  const name = `${kind}-${nameOf(compilation)}`;
  const parameters = parametersOf(kind, part);
  const tunables = { there: tunablesFrom(without.there), here: tunablesFrom(without.here) };
  const expected = withoutTimes(await printedHere(binaries.get(name)?.here ?? '', parameters, tunables.here));
  const variable = tunables.there === '' ? '' : `GLIBC_TUNABLES=${tunables.there} `;
  const { output, status } = await guest.run(`${variable}/programs/${name} ${parameters.join(' ')}`, PATIENCE);
  expect({ name, tunables, status, lines: withoutTimes(output) }).toEqual({
    name,
    tunables,
    status: 0,
    lines: expected,
  });
  const least = OF_A_SIZE.length + OF_ANY_SIZE.length;
  expect(expected.length).toBeGreaterThanOrEqual(kind === 'programs' ? 50 : (part.only?.length ?? least));
}

/** The same binary with each of the C library's selections. */
async function compareSelections(guest: GuestConsole, part: Part): Promise<void> {
  if (!isLong && part.words === 32) return;
  for (const compilation of compilationsOf('computations').filter(
    ({ words, level }) => level === 'v3' && words === part.words,
  ))
    for (const without of WITHOUT.slice(0, isLong ? WITHOUT.length : 3)) {
      const there = [...new Set([...without, ...withoutOf('v3', host.lacking).there])];
      await compare(guest, part, 'computations', compilation, { there, here: without });
    }
}

describe.each(isLong ? ['on', 'off', 'force'] : ['on'])('compiled programs, PLINTH_TRANSLATOR=%s,', (translator) => {
  describe.each(LEVELS.filter((level) => isLong || level === 'v3'))('on a processor of level %s', (level) => {
    let guest: GuestConsole | undefined;
    /** The guest of all parts: what the first boots. */
    async function booted(): Promise<GuestConsole> {
      if (guest !== undefined) return guest;
      const environment = { PLINTH_TRANSLATOR: translator };
      guest = await GuestConsole.boot([...machine, '--cpu-features', level], { environment });
      // glibc's own view of the processor: which folders for levels it looks into.
      const { output } = await guest.run('/lib64/ld-linux-x86-64.so.2 --help | grep x86-64-v');
      const supported = output
        .split('\n')
        .flatMap((line) => /x86-64-(v\d) \(supported, searched\)/.exec(line)?.[1] ?? []);
      expect(supported).toEqual([...LEVELS].reverse().filter((one) => one !== 'v1' && one <= level));
      return guest;
    }
    afterEach((context) => {
      // A guest that is left in the middle of something is no place for the next part.
      if (context.task.result?.state !== 'fail') return;
      endAll();
      guest = undefined;
    });
    afterAll(async () => {
      guest?.type('poweroff -f\n');
      expect((await guest?.process.ended)?.status ?? 0).toBe(0);
    });

    for (const part of PARTS)
      it(`answer what they answer here: ${part.title}`, { timeout: LONGEST }, async (context) => {
        if (reason !== undefined) return context.skip(reason);
        if (part.needs32 === true && !host.runs32)
          return context.skip("not applicable: the host's kernel runs no 32-bit programs");
        const there = await booted();
        for (const kind of kindsOf(part))
          for (const compilation of compilationsOf(kind))
            if (compilation.level <= level && compilation.words === part.words)
              await compare(there, part, kind, compilation, withoutOf(level, host.lacking));
        if (level === 'v3') await compareSelections(there, part);
      });
  });
});
