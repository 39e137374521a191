/**
 * `npm run coverage`: which branches the unit tests take of the code that reads what guests give it, the hostile guests' runs among
 * them. Prints a table and fails where a file has less than 90 % of its branches, or a package has a file that no test loads.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { root, run } from './steps.mjs';

/** Packages whose every file is held to the limit. */
const PACKAGES = ['vmbus', 'vsp-integration'];
const LIMIT = 90;

const folder = mkdtempSync(join(tmpdir(), 'plinth-coverage-'));
try {
  const { status } = await run(process.execPath, [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--project=unit',
    '--silent=true',
    ...PACKAGES.map((name) => `packages/${name}`),
    '--coverage',
    ...PACKAGES.map((name) => `--coverage.include=packages/${name}/src/**`),
    '--coverage.exclude=**/testing/**',
    '--coverage.exclude=**/*.test.ts',
    '--coverage.reporter=json',
    `--coverage.reportsDirectory=${folder}`,
  ]);
  if (status !== 0) process.exit(status);
  const files = JSON.parse(readFileSync(join(folder, 'coverage-final.json'), 'utf8'));
  const short = [];
  for (const [path, { b: branches }] of Object.entries(files)) {
    const counts = Object.values(branches).flat();
    if (counts.length === 0) continue;
    const taken = counts.filter((count) => count > 0).length;
    const percent = (100 * taken) / counts.length;
    const name = relative(root, path);
    console.log(
      `${percent.toFixed(1).padStart(6)} %  ${String(taken).padStart(4)} of ${counts.length} branches  ${name}`,
    );
    if (percent < LIMIT) short.push(name);
  }
  if (short.length > 0) {
    console.log(`less than ${LIMIT} % of the branches of ${short.join(', ')}`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
