/**
 * The differential harness from the command line, over the built tree.
 *
 *     node tests/differential/run.mjs [--seed S] [--cases N] [--first N] [--only NAME,..] [--block-every N] [--table] [--threads N]
 *     node tests/differential/run.mjs --seed S --case N        one case, minimised, with everything about it
 */
import { parseArgs } from 'node:util';
import { buildRunner, missingOracle, runNative } from './oracle.mjs';
import { runInPool } from './pool.mjs';

const dist = new URL('../../packages/processor/dist/testing/', import.meta.url);
const { formatObstacles, lackingOf, unfitness } = await import(new URL('differential-host.js', dist).href);
const { formatCoverage } = await import(new URL('differential-coverage.js', dist).href);

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    cases: { type: 'string', default: '100000' },
    first: { type: 'string', default: '0' },
    case: { type: 'string' },
    only: { type: 'string' },
    // One case in so many is a block of instructions.
    'block-every': { type: 'string' },
    table: { type: 'boolean', default: false },
    // Translate before execution (`--translate`), or never.
    translate: { type: 'boolean', default: false },
    threads: { type: 'string' },
  },
});

const missing = await missingOracle();
if (missing !== undefined) {
  process.stderr.write(`${missing}\n`);
  process.exit(69);
}
await buildRunner();
const lacking = await lackingOf(runNative);
const unfit = unfitness(lacking);
if (unfit !== undefined) process.stderr.write(`warning: ${unfit}; some differences are theirs\n`);
const one = values.case !== undefined;
const began = performance.now();
const result = await runInPool({
  seed: Number(values.seed),
  first: Number(one ? values.case : values.first),
  count: one ? 1 : Number(values.cases),
  translate: values.translate,
  lacking,
  ...(values.only === undefined ? {} : { only: new Set(values.only.split(',')) }),
  ...(values['block-every'] === undefined ? {} : { blockEvery: Number(values['block-every']) }),
  ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
});
for (const story of result.stories) process.stdout.write(`${story}\n\n`);
const report = result.coverage.report(0, lacking);
process.stdout.write(formatObstacles(report.incomparable));
if (values.table) process.stdout.write(`${formatCoverage(report)}\n`);
const parts = Object.entries(result.times).map(([name, time]) => `${name} ${(time / 1000).toFixed(1)} s`);
process.stdout.write(
  `seed ${values.seed}: ${report.cases} cases, ${report.instructions} instructions, ${result.findingCount} differ, ` +
    `${result.endless.length} without end; ${((performance.now() - began) / 1000).toFixed(1)} s (${parts.join(', ')})\n`,
);
process.exit(result.findingCount === 0 && result.endless.length === 0 ? 0 : 1);
