/**
 * What the scripts share: running programs, telling what is done and how long it took, and the clone's set-up (packages,
 * build). Everything is told on standard error.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone's top folder. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '');

/** Tells something. */
export const say = (text) => process.stderr.write(`${text}\n`);

/** `4.2 s` or `3 min 20 s`. */
export const showSeconds = (seconds) =>
  seconds < 100 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;

/**
 * Runs a program to its end.
 * @param {string} command
 * @param {readonly string[]} parameters
 * @param {import('node:child_process').SpawnOptions & {capture?: boolean}} options with `capture`, output is kept, not shown
 * @returns {Promise<{status: number, output: string}>} 128 + n when signal n ended it, 127 when it could not be started
 */
export function run(command, parameters, { capture = false, ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, parameters, {
      cwd: root,
      stdio: capture ? ['ignore', 'pipe', 'pipe'] : ['inherit', 'inherit', 'inherit'],
      ...options,
    });
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.on('error', (error) => resolve({ status: 127, output: `${output}${error.message}\n` }));
    child.on('close', (code, signal) => resolve({ status: code ?? 128 + signalNumber(signal), output }));
  });
}

const signalNumber = (signal) => ({ SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 })[signal] ?? 1;

/**
 * Does one step: tells its name when it begins and its time when it ends. On a terminal the line counts the seconds meanwhile.
 * @template Result
 * @param {string} name such as `building`
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
export async function step(name, work) {
  const began = performance.now();
  const elapsed = () => showSeconds((performance.now() - began) / 1000);
  const live = process.stderr.isTTY === true;
  const timer = live ? setInterval(() => process.stderr.write(`\r${name} ... ${elapsed()}\u001b[K`), 500) : undefined;
  process.stderr.write(live ? `${name} ...` : `${name}\n`);
  try {
    const result = await work();
    clearInterval(timer);
    process.stderr.write(live ? `\r${name}: ${elapsed()}\u001b[K\n` : `${name}: ${elapsed()}\n`);
    return result;
  } catch (error) {
    clearInterval(timer);
    if (live) process.stderr.write('\n');
    throw error;
  }
}

/** A failed step: what was tried, and what to do about it. */
export class StepFailure extends Error {
  constructor(message, status = 1) {
    super(message);
    this.status = status;
  }
}

/** Runs a program whose output matters only when it fails. */
export async function runQuietly(what, command, parameters, hint) {
  const { status, output } = await run(command, parameters, { capture: true });
  if (status !== 0)
    throw new StepFailure(`${output.trimEnd()}\n${what} failed with status ${status}.${hint ? ` ${hint}` : ''}`);
}

/** Ends the process as a failure asks; anything else is a fault of the script and keeps its stack. */
export function endOnFailure(error) {
  if (!(error instanceof StepFailure)) throw error;
  say(error.message);
  process.exit(error.status);
}

const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Installs the packages of package-lock.json when they are missing or older than it. */
export async function installPackages() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  // npm writes this file at the end of an installation, so an interrupted one is done again. Links are listed in it, too.
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  if (existsSync(installed) && sameVersions(lock, installed)) return;
  await step('Installing npm packages', () =>
    runQuietly('npm ci', npm, ['ci', '--no-audit', '--no-fund'], 'Is the npm registry reachable? Then try: npm ci'),
  );
}

/** Whether everything that the lock file wants here is installed; packages for other platforms are not in the second file. */
function sameVersions(lock, installed) {
  const [wanted, found] = [lock, installed].map((path) => JSON.parse(readFileSync(path, 'utf8')).packages);
  return Object.entries(wanted).every(
    ([path, entry]) =>
      !path.startsWith('node_modules/') ||
      (found[path] === undefined ? entry.optional === true : found[path].version === entry.version),
  );
}

/** Folders of packages that can be built. */
export function packageFolders() {
  return readdirSync(join(root, 'packages')).filter((name) =>
    existsSync(join(root, 'packages', name, 'tsconfig.json')),
  );
}

/** A package's description, or undefined while it has none. */
export function packageDescription(name) {
  const path = join(root, 'packages', name, 'package.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/**
 * Builds what changed: TypeScript by project references, then each package's own build (the processor's makes AssemblyScript
 * from its instruction table, and WebAssembly from that; the command line's puts all into few files, and runs a machine).
 * @throws StepFailure with the compiler's messages
 */
export async function build() {
  const projects = packageFolders().map((name) => join('packages', name));
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, output } = await run(process.execPath, [compiler, '-b', ...projects], { capture: true });
  if (status !== 0) throw new StepFailure(`${output.trimEnd()}\nThe build failed.`);
  for (const name of packagesInOrder()) {
    const script = packageDescription(name)?.scripts?.build;
    if (script === undefined) continue;
    const own = await run(script, [], {
      capture: true,
      cwd: join(root, 'packages', name),
      shell: true,
      env: withBinaries(),
    });
    if (own.status !== 0)
      throw new StepFailure(`${own.output.trimEnd()}\nThe build of packages/${name} failed (${script}).`);
  }
}

/** The packages' folders, each behind those that it depends on: its build may run them. */
function packagesInOrder() {
  const folders = packageFolders();
  const ordered = new Set();
  const add = (name) => {
    for (const dependency of Object.keys(packageDescription(name)?.dependencies ?? {})) {
      const folder = dependency.replace('@plinth/', '');
      if (dependency !== folder && folders.includes(folder) && !ordered.has(folder)) add(folder);
    }
    ordered.add(name);
  };
  for (const name of folders) add(name);
  return ordered;
}

function withBinaries() {
  const binaries = join(root, 'node_modules', '.bin');
  return { ...process.env, PATH: `${binaries}${process.platform === 'win32' ? ';' : ':'}${process.env.PATH ?? ''}` };
}

/** Refuses a Node that is too old, before it fails in a way that nobody understands. */
export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new StepFailure(
      `Plinth needs Node.js 20.19 or newer, and this is ${process.versions.node}. Try: https://nodejs.org`,
      64,
    );
  }
}

/** Packages and build: what every script needs first. */
export async function setUp() {
  requireNode();
  await installPackages();
  const fresh = !existsSync(join(root, 'packages', 'cli', 'bundle', 'main.js'));
  // An up-to-date build takes a moment only, so it is not worth a line.
  if (fresh) await step('Building', build);
  else await build();
}
