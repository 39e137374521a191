/**
 * Gives the bundle's modules their compiled code: starts a machine with a kernel of a few instructions, saves it, and lets it go on, so that what
 * these need is compiled and kept (record-compiled.cjs). Modules that this does not load are compiled whole.
 *
 * Called by: bundle.mjs.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachedDataVersionTag, setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { setCompilerFlags } from '../../vmwp/dist/compiler-settings.js';
import { print, tinyKernel } from '../../vmwp/dist/testing/tiny-kernel.js';

const recorder = fileURLToPath(new URL('record-compiled.cjs', import.meta.url));
/** Beside the modules: what their compiled code was made with. */
export const STAMP = 'compiled.json';
/** Milliseconds for a machine from its start to its end. */
const LONGEST_RUN = 120_000;
/** How long a machine runs on when it has said something: long enough for its loop to be translated, in milliseconds. */
const RUN_MILLISECONDS = 700;
/** mov $0x100000,%ecx; 1: dec %ecx; jnz 1b; then a point for the console. */
const round = [0xb9, 0, 0, 0x10, 0, 0xff, 0xc9, 0x75, 0xfc, ...print('.')];
/** Rounds without end; jmp to the first. */
const rounds = [...round, 0xeb, 0x100 - (round.length + 2)];

/** @param modules of the bundle in `folder`, by their names */
export async function compileBundle(folder, modules) {
  setCompilerFlags();
  const stamp = join(folder, STAMP);
  const texts = modules.map((name) => [
    name,
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex'),
  ]);
  const wanted = JSON.stringify({ v8: cachedDataVersionTag(), modules: Object.fromEntries(texts) });
  const code = modules.map((name) => join(folder, `${name}.code`));
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && code.every(existsSync)) return;
  for (const path of [stamp, ...code]) rmSync(path, { force: true });
  await recordRuns(join(folder, 'main.js'));
  for (const [index, name] of modules.entries()) {
    if (existsSync(code[index])) continue;
    setFlagsFromString('--no-lazy');
    const script = new Script(readFileSync(join(folder, name), 'latin1'), { filename: join(folder, name) });
    setFlagsFromString('--lazy');
    // A start meanwhile sees all of it or nothing.
    const fresh = `${code[index]}.fresh`;
    writeFileSync(fresh, script.createCachedData());
    renameSync(fresh, code[index]);
  }
  writeFileSync(stamp, wanted);
}

/** A machine from its start until it is saved, and one that goes on from there. */
async function recordRuns(program) {
  const home = mkdtempSync(join(tmpdir(), 'plinth-build-'));
  try {
    const kernel = join(home, 'kernel');
    writeFileSync(kernel, tinyKernel(rounds));
    const saved = join(home, 'saved');
    // The settings of whoever builds are not those that it is built for.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PLINTH_'));
    const environment = { ...Object.fromEntries(inherited), PLINTH_HOME: home };
    const plinth = (status, ...words) => runPlinth(program, words, environment, status);
    await plinth(0, 'run', '--memory', '64M', '--kernel', kernel, '--save-to', saved);
    await plinth(143, 'run', '--restore', saved);
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Runs `plinth` for a while and ends it in order. */
function runPlinth(program, words, env, expected) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--require', recorder, program, ...words], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let timer;
    const longest = setTimeout(() => {
      output += `It had not ended after ${LONGEST_RUN / 1000} s.`;
      child.kill('SIGKILL');
    }, LONGEST_RUN);
    const take = (chunk) => {
      output += chunk;
      timer ??= setTimeout(() => child.kill('SIGTERM'), RUN_MILLISECONDS);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      clearTimeout(longest);
      if (status === expected) resolve();
      else reject(new Error(`plinth ${words.join(' ')} ended with ${status}:\n${output}`));
    });
  });
}
