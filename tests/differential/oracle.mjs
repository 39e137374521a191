/**
 * The host's own processor as an oracle: builds the native runner and runs case files in it.
 *
 * Called by: instructions.test.ts and run.mjs.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { arch, platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const processorPackage = fileURLToPath(new URL('../../packages/processor/', import.meta.url));
const source = join(processorPackage, 'native', 'differential-runner.c');
const runner = join(processorPackage, 'dist', 'differential-runner');

/**
 * Why there is no oracle on this machine.
 * @returns {Promise<string | undefined>} undefined when there is one
 */
export async function missingOracle() {
  if (arch() !== 'x64' || platform() !== 'linux')
    return `not applicable: needs Linux on x86-64, this is ${platform()} on ${arch()}; recorded.test.ts compares here`;
  try {
    await execute('gcc', ['--version']);
    return undefined;
  } catch {
    return 'missing oracle: needs gcc (Debian: apt-get install gcc libc6-dev)';
  }
}

/** Compiles the runner when its source is newer. */
export async function buildRunner() {
  if (existsSync(runner) && statSync(runner).mtimeMs > statSync(source).mtimeMs) return;
  mkdirSync(join(processorPackage, 'dist'), { recursive: true });
  // No stack protector: its canary is found through FS, which a case may have changed.
  await execute('gcc', ['-O1', '-fno-stack-protector', '-fcf-protection=none', '-o', runner, source]);
}

/**
 * How often a case file is tried: on a loaded host under a hypervisor a signal ended the runner once in eight minutes of cases. Presumably an
 * interrupt came in a state that cannot be returned to, such as a stack pointer that is not canonical. What a case does itself it does
 * each time.
 */
const RUNS = 3;

/**
 * Runs a case file on the host's processor.
 * @param {Uint8Array} file
 * @returns {Promise<Uint8Array>} the result file
 */
export async function runNative(file) {
  const folder = await mkdtemp(join(tmpdir(), 'plinth-differential-'));
  try {
    const cases = join(folder, 'cases');
    const results = join(folder, 'results');
    await writeFile(cases, file);
    for (let again = RUNS - 1; ; again--) {
      try {
        await execute(runner, [cases, results]);
        break;
      } catch (error) {
        if (error.signal === null || error.signal === undefined || again === 0) throw error;
        process.stderr.write(`differential: the runner ended by ${error.signal}, once more\n`);
      }
    }
    return await readFile(results);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Disassembles bytes with objdump.
 * @param {Uint8Array} bytes
 * @param {bigint} address
 * @param {32 | 64} mode
 * @returns {Promise<string | undefined>} undefined when there is no objdump
 */
export async function disassemble(bytes, address, mode) {
  const folder = await mkdtemp(join(tmpdir(), 'plinth-differential-'));
  try {
    const file = join(folder, 'code');
    await writeFile(file, bytes);
    const machine = mode === 64 ? 'i386:x86-64' : 'i386';
    const { stdout } = await execute('objdump', [
      '-D',
      '-b',
      'binary',
      '-m',
      machine,
      '-M',
      'intel',
      `--adjust-vma=0x${address.toString(16)}`,
      file,
    ]);
    return stdout.split('\n').slice(7).join('\n').trimEnd();
  } catch {
    return undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
