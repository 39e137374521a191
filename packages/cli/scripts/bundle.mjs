/**
 * Puts the built modules of the command line, and those of the threads of a machine, into few files: Node takes a third of a second to
 * find and link a hundred and fifty small ones, on each thread anew, and a machine's first instruction waits for it. Commands stay apart,
 * so that each loads what it needs and no more. They are CommonJS: Node reads such a module at once, where each module of the other kind goes
 * through its pool of threads, and V8 can be given their compiled code (load.cjs).
 *
 * What modules find by their own address: `../package.json` is this package's, other packages' files are asked of Node's resolution, and
 * the threads' modules lie beside each other. Called by: the package's build, after the compiler.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { compileBundle, STAMP } from './compile-bundle.mjs';

const packages = fileURLToPath(new URL('../../', import.meta.url));
const target = join(packages, 'cli', 'bundle');

const built = (name, module) => join(packages, name, 'dist', `${module}.js`);
/** What a process or a thread begins with. Each has all that it needs for itself: what modules of several files share is reached more slowly. */
const entries = {
  main: built('cli', 'main'),
  'software-worker': built('vmwp', 'software-worker'),
  'translating-worker': built('vmwp', 'translating-worker'),
  'translation-worker': built('vmwp', 'translation-worker'),
};
const wanted = new Map([['package.json', '{ "type": "commonjs" }\n']]);
const modules = [];
/**
 * What Node puts around a CommonJS module, and what ES modules are without saying it, on the first line, so that lines keep their numbers; and ASCII, which needs no decoding: outside
 * of comments, other characters stand in texts only, where their escapes mean the same.
 */
const wrapped = (code) =>
  `(function (exports, require, module, __filename, __dirname) { 'use strict'; ${code.replaceAll(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )}\n})`;
for (const [entry, input] of Object.entries(entries)) {
  const bundle = await rolldown({ input: { [entry]: input }, platform: 'node', logLevel: 'warn' });
  const { output } = await bundle.generate({
    format: 'cjs',
    // Names tell contents: compiled code belongs to one text.
    entryFileNames: '[name]-[hash].js',
    chunkFileNames: `${entry}.[name]-[hash].js`,
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await bundle.close();
  for (const { fileName, code, isEntry } of output) {
    // Loaded as load.cjs does, a module cannot import: what it names so is another chunk, by require.
    if (/\bimport\s*\(/.test(code)) throw new Error(`${fileName} imports something that the bundle cannot load`);
    wanted.set(fileName, wrapped(code));
    modules.push(fileName);
    if (isEntry) wanted.set(`${entry}.js`, `#!/usr/bin/env node\nrequire('./load.cjs').load('${fileName}');\n`);
  }
}
wanted.set('load.cjs', readFileSync(new URL('load.cjs', import.meta.url), 'utf8'));

// A machine that runs meanwhile may still load a part: what has not changed is left alone.
mkdirSync(target, { recursive: true });
for (const [name, text] of wanted) {
  const path = join(target, name);
  if (readIfThere(path) !== text) writeFileSync(path, text);
}
for (const name of readdirSync(target)) {
  const text = name.endsWith('.code') ? name.slice(0, -'.code'.length) : name;
  if (name !== STAMP && !wanted.has(text)) rmSync(join(target, name), { recursive: true });
}
await compileBundle(target, modules);

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
