/**
 * Whole random programs from the command line, over the built tree: interpreted and translated side by side.
 *
 *     node tests/differential/programs.mjs [--seed S] [--count N] [--first N] [--ways A,B] [--mode long|compatibility|pae]
 *     node tests/differential/programs.mjs --seed S --program N        one program, minimised
 */
import { parseArgs } from 'node:util';

const dist = new URL('../../packages/processor/dist/testing/program-run.js', import.meta.url);
const { describeProgram, minimiseProgram, runPrograms, WAYS } = await import(dist.href);

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1000' },
    first: { type: 'string', default: '0' },
    program: { type: 'string' },
    mode: { type: 'string', default: 'long' },
    // Numbers of WAYS; all of them when absent.
    ways: { type: 'string' },
    show: { type: 'string', default: '3' },
  },
});
const ways = values.ways === undefined ? WAYS : values.ways.split(',').map((number) => WAYS[Number(number)]);
const one = values.program !== undefined;
const began = performance.now();
const result = runPrograms({
  seed: Number(values.seed),
  first: Number(one ? values.program : values.first),
  count: one ? 1 : Number(values.count),
  mode: values.mode,
  ways,
  findingLimit: 20,
});
for (const finding of result.findings.slice(0, Number(values.show))) {
  process.stdout.write(`${describeProgram(minimiseProgram(finding))}\n`);
}
for (const { program, way, difference } of result.findings.slice(Number(values.show))) {
  process.stdout.write(`program ${program.index}, ${way.name}: ${difference}\n`);
}
process.stdout.write(
  `seed ${values.seed}, ${values.mode}: ${result.programs} programs in ${ways.length} ways, ${result.events} exceptions, ${result.translated} instructions ` +
    `translated, ${result.interpreted} interpreted, ${result.interrupts} interrupts, ${result.findings.length} differ; ` +
    `${((performance.now() - began) / 1000).toFixed(1)} s\n`,
);
process.exit(result.findings.length === 0 ? 0 : 1);
