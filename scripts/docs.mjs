/**
 * The reference docs that are made from data: docs/reference/errors.md from the error catalogue, docs/reference/cli.md from the
 * command table. `npm run docs` writes them, `--check` compares and ends with status 1 when one is stale. Needs a build.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './steps.mjs';

const { commandReference, errorReference } = await import('../packages/cli/dist/reference.js');
const documents = {
  'docs/reference/errors.md': errorReference(),
  'docs/reference/cli.md': commandReference(),
};

let stale = 0;
for (const [name, text] of Object.entries(documents)) {
  const path = join(root, name);
  const current = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  if (current === text) continue;
  if (process.argv.includes('--check')) {
    console.log(`${name} is not what the code says. Try: npm run docs`);
    stale += 1;
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(`wrote ${name}`);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
