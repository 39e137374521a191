/**
 * `npm test [-- FILTER..]` and `npm run test:long`: sets up what is missing, then unit tests (beside the code) and system
 * tests (in tests/). The last line is `N passed, N failed`, with `, N skipped` where tests were skipped; each failure is named
 * with its message and each skip with its reason, and with CI=true a skip is a failure.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endOnFailure, root, run, StepFailure, setUp, step } from './steps.mjs';

const parameters = process.argv.slice(2);
const long = parameters.includes('--long');
const filters = parameters.filter((word) => word !== '--long');
const ci = ['true', '1'].includes(process.env.CI ?? '');

/** Projects of vitest.config.ts that have tests. */
function projects() {
  const tests = join(root, 'tests');
  const hasSystemTests =
    existsSync(tests) && readdirSync(tests, { recursive: true }).some((name) => name.endsWith('.test.ts'));
  return hasSystemTests ? ['unit', 'system'] : ['unit'];
}

/** Runs a project's tests; a run that ends without counts has failed as a whole. */
async function runProject(project, folder) {
  const file = join(folder, `${project}.json`);
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const words = [
    'run',
    '--project',
    project,
    '--passWithNoTests',
    '--reporter=default',
    '--reporter=./scripts/vitest-counts.mjs',
  ];
  const { status } = await run(process.execPath, [vitest, ...words, ...filters], {
    env: { ...process.env, PLINTH_TEST_COUNTS: file, ...(long ? { PLINTH_TEST_LONG: '1' } : {}) },
  });
  const counts = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8'))
    : { passed: 0, failed: filters.length > 0 && status === 0 ? 0 : 1, failures: [], skipped: [], notApplicable: [] };
  // vitest may refuse a run for reasons of its own.
  if (status !== 0 && counts.failed === 0) {
    counts.failed = 1;
    counts.failures.push(`the ${project} tests as a whole: vitest ended with status ${status}`);
  }
  return counts;
}

/** The images that tests boot. Unit tests compare with the real kernel too, so they come first. */
async function buildImages() {
  for (const image of ['debian-tiny', 'debian-tiny-generic']) {
    const { status } = await run(process.execPath, [join(root, 'plinth'), 'image', 'build', image, '--if-missing'], {
      stdio: ['ignore', 2, 2],
    });
    if (status !== 0) throw new StepFailure(`The image ${image} could not be built.`, status);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'plinth-test-'));
const sum = { passed: 0, failed: 0, failures: [], skipped: [], notApplicable: [] };
try {
  await step('Setting up', setUp);
  await buildImages();
  for (const project of projects()) {
    const counts = await runProject(project, folder);
    sum.passed += counts.passed;
    sum.failed += counts.failed;
    sum.failures.push(...counts.failures);
    sum.skipped.push(...counts.skipped);
    sum.notApplicable.push(...counts.notApplicable);
  }
} catch (error) {
  console.log('0 passed, 1 failed');
  endOnFailure(error);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

// Repeated here, because what is read of a long run is its end.
for (const name of sum.failures) console.log(`failed: ${name}`);
for (const name of sum.notApplicable) console.log(`not applicable here: ${name}`);
for (const name of sum.skipped) console.log(`skipped: ${name}`);
if (ci && sum.skipped.length > 0) {
  console.log(`CI=true, so each of the ${sum.skipped.length} skipped tests counts as failed`);
  sum.failed += sum.skipped.length;
  sum.skipped = [];
}
console.log(
  `${sum.passed} passed, ${sum.failed} failed${sum.skipped.length > 0 ? `, ${sum.skipped.length} skipped` : ''}`,
);
process.exitCode = sum.failed > 0 ? 1 : 0;
