/**
 * Puts the built modules of the command line, and those of the threads of a machine, into few files: Node takes a third of a second to
 * find and link a hundred and fifty small ones, on each thread anew, and a machine's first instruction waits for it. Commands stay apart,
 * so that each loads what it needs and no more.
 *
 * What modules find by their own address: `../package.json` is this package's, other packages' files are asked of Node's resolution, and
 * the threads' modules lie beside each other. Called by: the package's build, after the compiler.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const packages = fileURLToPath(new URL('../../', import.meta.url));
const target = join(packages, 'cli', 'bundle');

const bundle = await rolldown({
  input: {
    main: join(packages, 'cli', 'dist', 'main.js'),
    'software-worker': join(packages, 'vmwp', 'dist', 'software-worker.js'),
    'translation-worker': join(packages, 'vmwp', 'dist', 'translation-worker.js'),
  },
  platform: 'node',
  logLevel: 'warn',
});
const { output } = await bundle.generate({
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
});
await bundle.close();

// A machine that runs meanwhile may still load a part: what has not changed is left alone.
mkdirSync(target, { recursive: true });
const wanted = new Map(output.map((file) => [file.fileName, file.type === 'chunk' ? file.code : file.source]));
for (const [name, code] of wanted) {
  const path = join(target, name);
  if (readIfThere(path) !== code) writeFileSync(path, code);
}
for (const name of readdirSync(target)) if (!wanted.has(name)) rmSync(join(target, name), { recursive: true });

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
