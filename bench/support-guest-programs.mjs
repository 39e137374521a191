/**
 * The programs of bench/guest as a guest: the bench `cpu` measures them, and a system test checks their values.
 *
 *     gcc -static -> one program -> its own values on this machine, and an initrd that runs it -> guests
 *
 * A host whose kernel runs no 32-bit programs leaves their values to QEMU's software engine, which boots the very same guest.
 *
 * The guest prints `@ready`, then `@begin NAME` and `@end NAME VALUE NANOSECONDS`; the host's CPU time is read when the lines arrive.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { qemuCommand, requireQemu, watch } from './support.mjs';

const guestFolder = join(root, 'bench', 'guest');
const compilerOptions = ['-O2', '-static', '-pthread', '-Wall', '-Wextra'];
/** What bash ends with when the kernel does not take a program. */
const notExecutable = 126;
/** Of the guest whose values are taken from QEMU. */
const peerMemory = '256M';
const endLine = /^@end (\S+) ([0-9a-f]{16}) (\d+)$/;

const init = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
echo @ready
IFS=,
/bin/guest-programs $GUEST_PROGRAMS "scale=$GUEST_SCALE"
echo "@done $?"
poweroff -f
`;

/**
 * Compiles the programs, computes their values, and makes a guest that runs them.
 * @param {string} folder for the files
 * @param {{kernel?: string, commandLine: string}} image whose kernel is taken; with 32 bits it is Debian's for the i686
 * @param {{names?: string, scale: number, words?: 32 | 64, compiler?: readonly string[]}} options `names` with commas between
 *   them; `scale` in thousandths; `compiler` further options of the compiler
 * @returns {Promise<{guest: {kernel: string, initrds: string[], commandLine: string}, expected: Map<string, {value: string, seconds: number}>, source: string}>}
 *   `expected` by the program's name, with the seconds that it took there; `source` is where: `host`, or QEMU's name and version
 */
export async function prepareGuestPrograms(folder, image, { names = 'all', scale, words = 64, compiler = [] }) {
  const program = await compileGuestPrograms(folder, words, compiler);
  const native = await nativeResults(program, names.split(','), scale);
  const { initrd, kernel } = await buildInitrd(folder, program, words);
  const guest = {
    kernel: kernel ?? image.kernel,
    initrds: [initrd],
    // What the kernel does not know becomes init's environment.
    commandLine: `${image.commandLine} quiet GUEST_PROGRAMS=${names} GUEST_SCALE=${scale}`,
  };
  if (native !== undefined) return { guest, expected: native, source: 'host' };
  const source = requireQemu().replace('emulator version ', '');
  return { guest, expected: await emulatedResults(guest), source };
}

/** Compiles the guest programs into one static program, with further options. @returns its path */
export async function compileGuestPrograms(folder, words = 64, more = []) {
  const program = join(folder, 'guest-programs');
  const options = words === 32 ? [...compilerOptions, '-m32', '-march=pentium4'] : compilerOptions;
  const command = `gcc ${[...options, ...more].join(' ')} -o '${program}' *.c`;
  const { status, output } = await run(command, [], { capture: true, cwd: guestFolder, shell: true });
  if (status !== 0)
    throw new StepFailure(`${output}the guest programs were not compiled; they need: apt-get install gcc gcc-multilib`);
  return program;
}

/** Each program's value on the host's own processor; undefined when the host runs no such programs. */
async function nativeResults(program, names, scale) {
  // Node would start what the kernel refuses as a script, and leave no trace of the refusal.
  const command = ['-c', 'exec "$0" "$@"', program, ...names, `scale=${scale}`];
  const { status, output } = await run('bash', command, { capture: true });
  if (status === notExecutable) return undefined;
  if (status !== 0) throw new StepFailure(`the guest programs failed on the host (status ${status})\n${output}`);
  const results = new Map();
  for (const line of output.split('\n')) {
    const [, name, value, nanoseconds] = endLine.exec(line) ?? [];
    if (name !== undefined) results.set(name, { value, seconds: Number(nanoseconds) / 1e9 });
  }
  return results;
}

/** Each program's value on QEMU's software engine, and its seconds by the guest's clock. */
async function emulatedResults(guest) {
  const { programs } = await runPrograms(qemuCommand(guest, peerMemory), undefined);
  return new Map(
    Object.entries(programs).map(([name, { value, guestSeconds: seconds }]) => [name, { value, seconds }]),
  );
}

async function buildInitrd(folder, program, words) {
  const { buildInitramfs } = await import('../packages/images/dist/index.js');
  const { initrd, kernel } = await buildInitramfs({
    name: 'guest-programs',
    packages: ['busybox-static'],
    ...(words === 32 ? { architecture: 'i386', kernelPackage: 'linux-image-686' } : {}),
    files: [{ path: 'bin/guest-programs', contents: readFileSync(program), mode: 0o755 }],
    init,
  });
  const put = (name, bytes) => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  return { initrd: put('initrd', initrd), kernel: kernel === undefined ? undefined : put('kernel', kernel.bytes) };
}

/**
 * Boots a guest and lets it run all programs.
 * @param {readonly string[]} command
 * @param {Map<string, {value: string}>} expected
 * @param {{environment?: NodeJS.ProcessEnv, timeoutSeconds?: number}} [options] `environment` beside the process's own
 * @returns the whole run's measurement, that of the boot, and for each program its value, its CPU and wall seconds outside, and its seconds
 *   by the guest's clock
 */
export const runGuestPrograms = (command, expected, options = {}) => runPrograms(command, expected, options);

/** The same; without `expected`, what the programs answer is taken as it is. */
function runPrograms(command, expected, { environment = {}, timeoutSeconds = 3600 } = {}) {
  const programs = {};
  let pending = '';
  let began;
  let ready;
  return watch(command, {
    awaited: 'running the guest programs',
    timeoutSeconds,
    spawnOptions: { env: { ...process.env, ...environment } },
    onOutput: (chunk, { measure }) => {
      const lines = (pending + chunk).split(/\r*\n/);
      pending = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '@ready') ready = measure();
        else if (line.startsWith('@begin ')) began = measure();
        else if (line.startsWith('@failed ')) throw new StepFailure(line);
        else if (line.startsWith('@done ')) return { ...finish(line, programs, expected, measure()), ready };
        const [, name, value, nanoseconds] = endLine.exec(line) ?? [];
        if (name === undefined) continue;
        const right = expected === undefined ? value : expected.get(name)?.value;
        if (value !== right) throw new StepFailure(`${name} answered ${value} instead of ${right}`);
        const ended = measure();
        programs[name] = {
          value,
          cpuSeconds: ended.cpuSeconds - began.cpuSeconds,
          wallSeconds: ended.wallSeconds - began.wallSeconds,
          guestSeconds: Number(nanoseconds) / 1e9,
        };
      }
      return undefined;
    },
  });
}

function finish(line, programs, expected, whole) {
  const missing = [...(expected?.keys() ?? [])].filter((name) => programs[name] === undefined);
  if (line !== '@done 0' || missing.length > 0)
    throw new StepFailure(`${line}; not run: ${missing.join(', ') || 'none'}`);
  return { programs, whole };
}
