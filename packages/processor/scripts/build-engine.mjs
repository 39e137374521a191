/**
 * Builds the software engine: generates assembly/generated from the instruction table, then compiles assembly/ to dist/engine.wasm.
 * Incremental: does nothing when the inputs' digest is that of the last build. Needs `tsc -b` to have run.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import { generateAssembly } from '../dist/build/generate.js';
import { operationNames } from '../dist/build/operation-names.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const assembly = join(root, 'assembly');
const generated = join(assembly, 'generated');
const output = join(root, 'dist', 'engine.wasm');
const stamp = join(root, 'dist', 'engine.digest');

const files = generateAssembly();
const digest = createHash('sha256');
digest.update(await readFile(fileURLToPath(import.meta.url)));
for (const [name, text] of files) digest.update(name).update(text);
for (const name of (await readdir(assembly)).filter((file) => file.endsWith('.ts')).sort()) {
  digest.update(name).update(await readFile(join(assembly, name)));
}
const names = JSON.stringify(operationNames());
digest.update(names);
const wanted = digest.digest('hex');
const have = await readFile(stamp, 'utf8').catch((error) => {
  if (error.code === 'ENOENT') return '';
  throw error;
});
if (have === wanted && !process.argv.includes('--force')) process.exit(0);

await mkdir(generated, { recursive: true });
for (const [name, text] of files) await writeFile(join(generated, name), text);
const textFile = process.argv.includes('--text') ? ['--textFile', join('dist', 'engine.wat')] : [];
const { error, stderr } = await asc.main([
  'assembly/engine.ts',
  '--baseDir',
  root,
  '--outFile',
  join('dist', 'engine.wasm'),
  ...textFile,
  '-O3',
  '--noAssert',
  '--runtime',
  'stub',
  '--enable',
  'simd,threads,bulk-memory',
  '--importMemory',
  '--importTable',
  '--sharedMemory',
  '--initialMemory',
  '256',
  '--maximumMemory',
  '65536',
]);
if (error !== null) {
  process.stderr.write(`${stderr.toString()}\n${error.message}\n`);
  process.exit(1);
}
await writeFile(join(root, 'dist', 'operations.json'), names);
await writeFile(stamp, wanted);
process.stdout.write(`engine: ${(await readFile(output)).length} bytes\n`);
