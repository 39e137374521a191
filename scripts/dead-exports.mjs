/**
 * Exports that nothing imports: dead code that looks alive. A package's `index.ts` is its public surface and needs no importer;
 * every other module's export does (a test counts: what a test uses is not dead). A type that its own module uses is taken for a
 * part of what the module exports with it.
 * `node scripts/dead-exports.mjs` prints each and ends with status 1 when there is one.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { sourcesUnder } from './layers.mjs';
import { packageDescription, packageFolders, root } from './steps.mjs';

/** Modules that are entered from outside: a package's exports and its programs. */
function entryModules(name) {
  const description = packageDescription(name) ?? {};
  const targets = [
    ...Object.values(description.exports ?? {}).map((entry) => entry.default ?? entry),
    ...Object.values(description.bin ?? {}),
  ];
  return targets.map((target) =>
    join(root, 'packages', name, target.replace(/dist|bundle/, 'src').replace(/\.js$/, '.ts')),
  );
}

const folders = [
  ...packageFolders().map((name) => join(root, 'packages', name, 'src')),
  join(root, 'tests'),
  join(root, 'bench'),
];
const files = folders.filter((folder) => existsSync(folder)).flatMap(sourcesUnder);
// The engine's assembly is no module of the TypeScript program, but imports what its generator writes.
const scripts = packageFolders()
  .flatMap((name) => ['scripts', 'assembly'].map((folder) => join(root, 'packages', name, folder)))
  .concat(join(root, 'scripts'), join(root, 'bench'), join(root, 'tests', 'differential'))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
  .filter((path) => /\.m?[jt]s$/.test(path));
const texts = new Map([...files, ...scripts].map((file) => [file, readFileSync(file, 'utf8')]));
const entries = new Set(packageFolders().flatMap(entryModules));

let dead = 0;
for (const file of files) {
  if (entries.has(file) || /\.test\.ts$/.test(file)) continue;
  const text = texts.get(file) ?? '';
  for (const [, kind, name] of text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:async )?(const|let|function\*?|class|type|interface) (\w+)/gm,
  )) {
    const word = new RegExp(`\\b${name}\\b`);
    const uses = text.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0;
    if (['type', 'interface'].includes(kind) && uses > 1) continue;
    const importer = [...texts].some(([other, otherText]) => other !== file && word.test(otherText));
    if (!importer) {
      console.log(`${relative(root, file)} exports ${name}, which nothing imports`);
      dead += 1;
    }
  }
}
process.exitCode = dead > 0 ? 1 : 0;
