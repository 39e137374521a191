/**
 * The layer rule: which package may import which, and who may use Node at all. The table is the one of docs/architecture.md.
 * `node scripts/layers.mjs` prints each breach and ends with status 1 when there is one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { packageDescription, packageFolders, root } from './steps.mjs';

const layers = {
  errors: [],
  hypervisor: ['errors'],
  processor: ['errors', 'hypervisor'],
  chipset: ['errors', 'hypervisor'],
  vmbus: ['errors', 'hypervisor'],
  'vsp-integration': ['errors', 'hypervisor', 'vmbus'],
  images: ['errors'],
  vmwp: ['errors', 'hypervisor', 'processor', 'chipset', 'vmbus', 'vsp-integration', 'images'],
  cli: ['errors', 'vmwp', 'images'],
};

/** Packages that are to run in a browser's worker, too: their sources use no `node:` module (their tests may). */
const withoutNode = ['errors', 'hypervisor', 'processor', 'chipset', 'vmbus', 'vsp-integration'];

/** Of the hypervisor, the processor takes types, and values only from these modules: layouts, names and the saved state's form. */
const valuesForProcessor = ['memory-layout.ts', 'registers.ts', 'saved-processor.ts'];

/** What the worker does not take from the hypervisor: it makes and fills its partition by the root's calls (root-partition.ts) alone. */
const notForWorker = ['Partition', 'GpaSpace', 'GuestInterface', 'mapPcMemory'];

/** The imports of a source: `{specifier, typeOnly, names}`. */
export function importsOf(text) {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '');
  const found = [];
  for (const match of code.matchAll(/^(?:import|export)\s+(type\s+)?([\w\s{},*$]*?)\s*from\s+['"]([^'"]+)['"]/gm)) {
    const [, typeOnly, clause, specifier] = match;
    const names = (/\{([^}]*)\}/.exec(clause)?.[1] ?? '').split(',').map((name) => name.trim());
    found.push({
      specifier,
      typeOnly: typeOnly !== undefined,
      names: names.filter((name) => name !== '' && !name.startsWith('type ')).map((name) => name.split(/\s+as\s+/)[0]),
    });
  }
  for (const [, specifier] of code.matchAll(/^import\s+['"]([^'"]+)['"]/gm))
    found.push({ specifier, typeOnly: false, names: [] });
  for (const match of code.matchAll(/(?<![.\w])import\(\s*['"]([^'"]+)['"]/g)) {
    // `import('x').T` in a type is no import at run time, but a breach all the same.
    found.push({ specifier: match[1], typeOnly: false, names: ['*'] });
  }
  return found;
}

/** All TypeScript files under a folder. */
export function sourcesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.m?tsx?$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function exportedNames(file) {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/^export (?:const|function|class|type|interface) (\w+)/gm)].map((match) => match[1]);
}

function breachesOf(name) {
  const allowed = layers[name];
  if (allowed === undefined)
    return [`packages/${name} is in no layer: give it a place in scripts/layers.mjs and docs/architecture.md`];
  const breaches = [];
  const declared = Object.keys(packageDescription(name)?.dependencies ?? {});
  const layoutNames = new Set();
  if (name === 'processor') {
    for (const module of valuesForProcessor) {
      for (const exported of exportedNames(join(root, 'packages', 'hypervisor', 'src', module)))
        layoutNames.add(exported);
    }
  }
  for (const file of sourcesUnder(join(root, 'packages', name, 'src'))) {
    const isTest = /\.test\.tsx?$/.test(file) || /[/\\]testing[/\\]/.test(file);
    const at = relative(root, file);
    for (const { specifier, typeOnly, names } of importsOf(readFileSync(file, 'utf8'))) {
      const plinth = /^@plinth\/([^/]+)/.exec(specifier)?.[1];
      if (specifier.startsWith('node:')) {
        if (withoutNode.includes(name) && !isTest)
          breaches.push(`${at} imports ${specifier}, and ${name} must run without Node`);
      } else if (specifier.startsWith('.')) {
        if (relative(join(root, 'packages', name), join(file, '..', specifier)).startsWith('..')) {
          breaches.push(`${at} reaches into another package by path: ${specifier}`);
        }
      } else if (plinth !== undefined) {
        if (!allowed.includes(plinth) && !isTest)
          breaches.push(`${at} imports ${specifier}; ${name} may import ${allowed.join(', ') || 'nothing'}`);
        else if (!declared.includes(`@plinth/${plinth}`) && !isTest)
          breaches.push(`${at} imports ${specifier}, which its package.json does not list`);
        if (name === 'processor' && plinth === 'hypervisor' && !typeOnly && !isTest) {
          for (const value of names.filter((candidate) => !layoutNames.has(candidate))) {
            breaches.push(
              `${at} imports ${value} from the hypervisor; only types and layouts (${valuesForProcessor.join(', ')}) are the processor's`,
            );
          }
        }
        if (name === 'vmwp' && plinth === 'hypervisor' && !typeOnly && !isTest) {
          for (const value of names.filter((candidate) => notForWorker.includes(candidate))) {
            breaches.push(`${at} imports ${value}; the worker drives its partition by the calls of RootPartition`);
          }
        }
      } else if (
        !isTest &&
        !declared.includes(
          specifier
            .split('/')
            .slice(0, specifier.startsWith('@') ? 2 : 1)
            .join('/'),
        )
      ) {
        breaches.push(`${at} imports ${specifier}, which its package.json does not list`);
      }
    }
  }
  return breaches;
}

if (process.argv[1] === import.meta.filename) {
  const breaches = packageFolders().flatMap(breachesOf);
  for (const breach of breaches) console.log(breach);
  process.exitCode = breaches.length > 0 ? 1 : 0;
}
