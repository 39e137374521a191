/**
 * The differential harness from the command line, over the built tree.
 *
 *     node tests/differential/run.mjs [--seed S] [--cases N] [--first N] [--only NAME,..] [--block-every N] [--table]
 *     node tests/differential/run.mjs --seed S --case N        one case, minimised, with everything about it
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildRunner, disassemble, missingOracle, runNative } from './oracle.mjs';

const dist = new URL('../../packages/processor/dist/', import.meta.url);
const { createSoftwareProcessor, TRANSLATE_AT_ONCE } = await import(new URL('index.js', dist).href);
const { translateLocally } = await import(new URL('translator/local-translation.js', dist).href);
const { DifferentialPair, generatorOptions, runDifferential, unfitHost } = await import(
  new URL('testing/differential-run.js', dist).href
);
const { formatCoverage } = await import(new URL('testing/differential-coverage.js', dist).href);
const { describeCase, minimise } = await import(new URL('testing/differential-minimise.js', dist).href);
const { generateCase } = await import(new URL('testing/differential-generator.js', dist).href);

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    cases: { type: 'string', default: '100000' },
    first: { type: 'string', default: '0' },
    case: { type: 'string' },
    only: { type: 'string' },
    // One case in so many is a block of instructions.
    'block-every': { type: 'string' },
    show: { type: 'string', default: '10' },
    table: { type: 'boolean', default: false },
    // Translate before execution (`--translate`), or never.
    translate: { type: 'boolean', default: false },
  },
});

const missing = await missingOracle();
if (missing !== undefined) {
  process.stderr.write(`${missing}\n`);
  process.exit(69);
}
await buildRunner();
const unfit = await unfitHost(runNative);
if (unfit !== undefined) process.stderr.write(`warning: ${unfit}; some differences are theirs\n`);
const module = new WebAssembly.Module(readFileSync(new URL('engine.wasm', dist)));
const processor = ({ memory, layout, handlers }) =>
  createSoftwareProcessor(module, {
    memory,
    layout,
    index: 0,
    handlers,
    translation: translateLocally,
    translateAfter: values.translate ? TRANSLATE_AT_ONCE : 0,
  });
const seed = Number(values.seed);
const blockEvery = values['block-every'] === undefined ? undefined : Number(values['block-every']);
const only = values.only === undefined ? undefined : new Set(values.only.split(','));

async function tell(subject) {
  const generator = generatorOptions({ seed, only, blockEvery });
  const smallest = await minimise(new DifferentialPair(runNative, processor, generator.template), subject);
  const { state, addresses, items } = smallest.subject;
  const bytes = Uint8Array.from(items.flatMap((item) => item.bytes));
  process.stdout.write(
    `${describeCase(smallest)}\n${(await disassemble(bytes, addresses[0], state.mode)) ?? '(no objdump)'}\n\n`,
  );
  return smallest.differences.length;
}

if (values.case !== undefined) {
  const differences = await tell(generateCase(generatorOptions({ seed, only, blockEvery }), Number(values.case)));
  process.exit(differences === 0 ? 0 : 1);
}
const result = await runDifferential({
  seed,
  first: Number(values.first),
  count: Number(values.cases),
  only,
  blockEvery,
  native: runNative,
  processor,
});
for (const { subject } of result.findings.slice(0, Number(values.show))) await tell(subject);
const report = result.coverage.report(0);
if (values.table) process.stdout.write(`${formatCoverage(report)}\n`);
const seconds = Object.entries(result.times).map(([name, time]) => `${name} ${(time / 1000).toFixed(1)} s`);
process.stdout.write(
  `seed ${seed}: ${report.cases} cases, ${report.instructions} instructions, ${result.findingCount} differ, ` +
    `${result.endless.length} without end; ${seconds.join(', ')}\n`,
);
process.exit(result.findingCount === 0 && result.endless.length === 0 ? 0 : 1);
