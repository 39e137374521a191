/**
 * `npm run bench [-- NAME..] [--check [--slack=F]] [--runs=N]`: runs the benches of bench/, each with its peer in the same run, prints a
 * table and writes bench/results/NAME.json. With --check the last line is `N passed, N failed`, and a missed target is a failure; with
 * --slack, for machines of unknown speed and load, only one that is missed by more than F times. The table says MISSED all the same.
 *
 * A bench is a module bench/NAME.mjs with a default export `{name, title, unit, target, peerName, run(context)}`; `run` answers
 * `{plinth, peer, ratio, runs, notes, more}`, without `peer` and `ratio` where it has no peer; `more` are further numbers of the same
 * runs, `{name, unit, plinth, peer, ratio, target}` each. The context is `{runs, say, option}`; `option`
 * answers a bench's own `--NAME=VALUE`. `target` is `{of: 'plinth' | 'ratio', most}`.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endOnFailure, root, StepFailure, say, setUp, showSeconds } from './steps.mjs';

const folder = join(root, 'bench');
const words = process.argv.slice(2);
const check = words.includes('--check');
const option = (name) => words.find((word) => word.startsWith(`--${name}=`))?.slice(`--${name}=`.length);
const slack = Number(option('slack') ?? 1);
const runs = Number(option('runs') ?? (check ? 1 : 3));
const wanted = words.filter((word) => !word.startsWith('--'));
const known = existsSync(folder)
  ? readdirSync(folder)
      .filter((name) => name.endsWith('.mjs') && !name.startsWith('support'))
      .map((name) => name.slice(0, -'.mjs'.length))
  : [];

const show = (value) => (value === null || value === undefined ? '-' : Number(value.toPrecision(3)).toString());

/** A number of a bench as it is shown and written: with what is asked of it, and whether that is met. */
function judged({ name, unit, plinth, peer = null, peerName = null, ratio = null, target = null }) {
  const value = { plinth, ratio }[target?.of];
  return {
    ...{ name, unit, plinth, peer, peerName, ratio, target },
    met: target === null ? null : typeof value === 'number' && value <= target.most,
  };
}

const rows = [];
let failed = 0;
try {
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new StepFailure(`There is no bench ${unknown.join(', ')}; there are: ${known.join(', ')}`, 64);
  if (!(slack >= 1)) throw new StepFailure('--slack takes a factor from 1', 64);
  if (!Number.isInteger(runs) || runs < 1) throw new StepFailure('--runs takes a whole number from 1', 64);
  await setUp();
  mkdirSync(join(folder, 'results'), { recursive: true });
  for (const name of wanted.length > 0 ? wanted : known) {
    const { default: bench } = await import(pathToFileURL(join(folder, `${name}.mjs`)).href);
    const { unit, peerName, target } = bench;
    const began = performance.now();
    say(`${name}: ${bench.title}`);
    try {
      const result = await bench.run({ runs, say: (text) => say(`  ${text}`), option });
      const first = judged({ name, unit, peerName, target, ...result });
      const more = (result.more ?? []).map(judged);
      const about = { node: process.version, processor: cpus()[0]?.model ?? 'unknown', at: new Date().toISOString() };
      const record = { ...first, runs: result.runs, more, ...about, notes: result.notes ?? {} };
      writeFileSync(join(folder, 'results', `${name}.json`), `${JSON.stringify(record, undefined, 2)}\n`);
      for (const number of [first, ...more]) {
        const { target: bound, met } = number;
        if (met === false && !(number[bound.of] <= bound.most * slack)) failed += 1;
        rows.push([
          ...[number.name, number.unit, show(number.plinth), show(number.peer), show(number.ratio)],
          bound === null ? '-' : `${bound.of} <= ${bound.most}`,
          met === null ? '-' : met ? 'met' : 'MISSED',
        ]);
      }
    } catch (error) {
      failed += 1;
      say(`  failed: ${error instanceof StepFailure ? error.message : (error.stack ?? error)}`);
      rows.push([name, bench.unit, '-', '-', '-', '-', 'FAILED']);
    }
    say(`  ${showSeconds((performance.now() - began) / 1000)}`);
  }
} catch (error) {
  if (check) console.log('0 passed, 1 failed');
  endOnFailure(error);
}

const table = [['bench', 'unit', 'plinth', 'peer', 'ratio', 'target', ''], ...rows];
const widths = table[0].map((_, index) => Math.max(...table.map((row) => row[index].length)));
for (const row of table)
  console.log(
    row
      .map((cell, index) => cell.padEnd(widths[index]))
      .join('  ')
      .trimEnd(),
  );
if (check) console.log(`${rows.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
