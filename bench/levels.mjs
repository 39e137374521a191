/**
 * Integer and string programs of bench/guest, compiled for two levels of the x86-64 psABI and run in guests of those levels: host CPU
 * seconds of v3 beside those of v2, geometric mean of the ratios. The C library chooses its routines by the level as well.
 *
 * The levels take turns. A wrong value fails the bench. `--programs=a,b` and `--scale=0.1` are those of the bench `cpu`.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { StepFailure } from '../scripts/steps.mjs';
import { benchImage, median, plinthCommand, withTemporaryFolder } from './support.mjs';
import { prepareGuestPrograms, runGuestPrograms } from './support-guest-programs.mjs';

const memory = '512M';
const levels = ['v2', 'v3'];
const programs = [
  ...[
    'integer',
    'narrow',
    'shifts',
    'bits',
    'big-power',
    'carry-chain',
    'chacha20',
    'aes-table',
    'branches',
    'interpreter',
  ],
  ...['sieve', 'sort', 'compress', 'crc32', 'sha256', 'md5-like', 'hash-table', 'memcpy', 'strings', 'words', 'printf'],
  ...['vector-bytes', 'vector-words'],
].join(',');

export default {
  name: 'levels',
  title: 'integer and string programs for v3 beside those for v2, host CPU seconds: geometric mean of the ratios',
  unit: 'ratio',
  peerName: 'Plinth, v2',
  target: { of: 'ratio', most: 1 },
  async run({ runs, say, option }) {
    const image = await benchImage();
    const scale = Math.round(1000 * Number(option('scale') ?? 1));
    if (!(scale >= 1)) throw new StepFailure('--scale takes a number from 0.001', 64);
    const names = option('programs') ?? programs;
    return withTemporaryFolder(async (folder) => {
      const guests = {};
      for (const level of levels) {
        const place = join(folder, level);
        mkdirSync(place);
        const compiler = [`-march=x86-64-${level}`, '-ffp-contract=off'];
        const { guest, expected } = await prepareGuestPrograms(place, image, { names, scale, compiler });
        guests[level] = { command: plinthCommand(guest, memory, '--cpu-features', level), expected, results: [] };
      }
      for (let index = 0; index < runs; index += 1) {
        for (const level of levels) {
          const { command, expected, results } = guests[level];
          const result = await runGuestPrograms(command, expected);
          results.push(result);
          say(`${level} ${result.whole.cpuSeconds.toFixed(1)} s CPU, boot included`);
        }
      }
      const rows = [...guests.v2.expected.keys()].map((name) => compare(name, guests));
      for (const { name, v2, v3, ratio } of rows)
        say(`${name.padEnd(14)} v2 ${v2.toFixed(2)}  v3 ${v3.toFixed(2)}  ${ratio.toFixed(2)}`);
      const ratio = Math.exp(rows.reduce((sum, row) => sum + Math.log(row.ratio), 0) / rows.length);
      return {
        ...{ plinth: ratio, peer: 1, ratio },
        runs: Object.fromEntries(levels.map((level) => [level, guests[level].results])),
        notes: { scale: scale / 1000, programs: rows, command: guests.v3.command, peerCommand: guests.v2.command },
      };
    });
  },
};

/** Medians of a program's CPU seconds on both levels. */
function compare(name, guests) {
  // One clock tick is the least that can be told apart.
  const [v2, v3] = levels.map((level) =>
    Math.max(0.01, median(guests[level].results.map(({ programs: all }) => all[name].cpuSeconds))),
  );
  return { name, v2, v3, ratio: v3 / v2 };
}
