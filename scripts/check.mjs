/** `npm run check`: types, lint and format, the layer rule, dead exports, generated docs, and a look at long files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { endOnFailure, root, run, say, setUp, step } from './steps.mjs';

const node =
  (script, ...parameters) =>
  () =>
    run(process.execPath, [join(root, 'scripts', script), ...parameters], { capture: true });
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');

const checks = [
  [
    'Lint and format',
    () => run(process.execPath, [biome, 'ci', '--colors=off', '--error-on-warnings', '.'], { capture: true }),
  ],
  ['Types of the tests', () => run(process.execPath, [compiler, '-p', 'tests'], { capture: true })],
  ['Layer rule', node('layers.mjs')],
  ['Dead exports', node('dead-exports.mjs')],
  ['Project references', async () => missingReferences()],
  ['Registry hosts in package-lock.json', async () => foreignHosts()],
  ['Generated docs are fresh', node('docs.mjs', '--check')],
];

/** Every package with a tsconfig is referenced by the root's, so that an editor sees all of them. */
async function missingReferences() {
  const { packageFolders } = await import('./steps.mjs');
  const { references } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
  const missing = packageFolders().filter((name) => !references.some(({ path }) => path === `packages/${name}`));
  const output = missing.map((name) => `tsconfig.json lacks a reference to packages/${name}\n`).join('');
  return { status: missing.length > 0 ? 1 : 0, output };
}

/** A lock file that was written behind a mirror must not lead others there. */
function foreignHosts() {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const foreign = [...lock.matchAll(/"resolved": "(https?:\/\/[^"]+)"/g)].filter(
    ([, url]) => !url.startsWith('https://registry.npmjs.org/'),
  );
  return { status: foreign.length > 0 ? 1 : 0, output: foreign.map(([, url]) => `${url}\n`).join('') };
}

async function warnOfLongFiles() {
  const { status, output } = await run('git', ['ls-files', '-z', '--', '*.ts', '*.mjs', '*.sh'], { capture: true });
  if (status !== 0) return;
  for (const name of output.split('\0').filter((file) => file !== '')) {
    let lines = 0;
    try {
      lines = readFileSync(join(root, name), 'utf8').split('\n').length - 1;
    } catch (error) {
      // Deleted, but not committed yet.
      if (error.code !== 'ENOENT') throw error;
    }
    if (lines > 600) say(`warning: ${name} has ${lines} lines; is it one thing?`);
  }
}

let failed = 0;
try {
  await step('Types', setUp);
  for (const [name, check] of checks) {
    const { status, output } = await step(name, check);
    if (status !== 0) {
      failed += 1;
      console.log(`${output.trimEnd()}\nfailed: ${name}`);
    }
  }
  await warnOfLongFiles();
} catch (error) {
  endOnFailure(error);
}
console.log(failed === 0 ? 'All checks passed.' : `${failed} of ${checks.length + 1} checks failed.`);
process.exitCode = failed === 0 ? 0 : 1;
