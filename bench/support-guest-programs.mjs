/**
 * The programs of bench/guest as a guest: the bench `cpu` measures them, and a system test checks their values.
 *
 *     gcc -static -> one program -> its own values on this machine, and an initrd that runs it -> guests
 *
 * The guest prints `@begin NAME` and `@end NAME VALUE NANOSECONDS`; the host's CPU time is read when the lines arrive.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { watch } from './support.mjs';

const guestFolder = join(root, 'bench', 'guest');
const compilerOptions = ['-O2', '-static', '-pthread', '-Wall', '-Wextra'];
const endLine = /^@end (\S+) ([0-9a-f]{16}) (\d+)$/;

const init = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
IFS=,
/bin/guest-programs $GUEST_PROGRAMS "scale=$GUEST_SCALE"
echo "@done $?"
poweroff -f
`;

/**
 * Compiles the programs, computes their values here, and makes a guest that runs them.
 * @param {string} folder for the files
 * @param {{kernel: string, commandLine: string}} image whose kernel is taken
 * @param {{names?: string, scale: number}} options `names` with commas between them; `scale` in thousandths
 * @returns {Promise<{guest: {kernel: string, initrds: string[], commandLine: string}, expected: Map<string, {value: string, seconds: number}>}>}
 */
export async function prepareGuestPrograms(folder, image, { names = 'all', scale }) {
  const program = await compileGuestPrograms(folder);
  const expected = await nativeResults(program, names.split(','), scale);
  const guest = {
    kernel: image.kernel,
    initrds: [await buildInitrd(folder, program)],
    // What the kernel does not know becomes init's environment.
    commandLine: `${image.commandLine} quiet GUEST_PROGRAMS=${names} GUEST_SCALE=${scale}`,
  };
  return { guest, expected };
}

/** Compiles the guest programs into one static program. @returns its path */
export async function compileGuestPrograms(folder) {
  const program = join(folder, 'guest-programs');
  const command = `gcc ${compilerOptions.join(' ')} -o '${program}' *.c`;
  const { status, output } = await run(command, [], { capture: true, cwd: guestFolder, shell: true });
  if (status !== 0)
    throw new StepFailure(`${output}the guest programs were not compiled; they need: apt-get install gcc libc6-dev`);
  return program;
}

/** Each program's value on the host's own processor. */
async function nativeResults(program, names, scale) {
  const { status, output } = await run(program, [...names, `scale=${scale}`], { capture: true });
  if (status !== 0) throw new StepFailure(`the guest programs failed on the host (status ${status})\n${output}`);
  const results = new Map();
  for (const line of output.split('\n')) {
    const [, name, value, nanoseconds] = endLine.exec(line) ?? [];
    if (name !== undefined) results.set(name, { value, seconds: Number(nanoseconds) / 1e9 });
  }
  return results;
}

async function buildInitrd(folder, program) {
  const { buildInitramfs } = await import('../packages/images/dist/index.js');
  const { initrd } = await buildInitramfs({
    name: 'guest-programs',
    packages: ['busybox-static'],
    files: [{ path: 'bin/guest-programs', contents: readFileSync(program), mode: 0o755 }],
    init,
  });
  const path = join(folder, 'initrd');
  writeFileSync(path, initrd);
  return path;
}

/**
 * Boots a guest and lets it run all programs.
 * @param {readonly string[]} command
 * @param {Map<string, {value: string}>} expected
 * @param {{environment?: NodeJS.ProcessEnv, timeoutSeconds?: number}} [options] `environment` beside the process's own
 * @returns the whole run's measurement, and for each program its CPU and wall seconds outside, and its seconds by the guest's clock
 */
export function runGuestPrograms(command, expected, { environment = {}, timeoutSeconds = 3600 } = {}) {
  const programs = {};
  let pending = '';
  let began;
  return watch(command, {
    awaited: 'running the guest programs',
    timeoutSeconds,
    spawnOptions: { env: { ...process.env, ...environment } },
    onOutput: (chunk, { measure }) => {
      const lines = (pending + chunk).split(/\r*\n/);
      pending = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('@begin ')) began = measure();
        else if (line.startsWith('@failed ')) throw new StepFailure(line);
        else if (line.startsWith('@done ')) return finish(line, programs, expected, measure());
        const [, name, value, nanoseconds] = endLine.exec(line) ?? [];
        if (name === undefined) continue;
        const right = expected.get(name)?.value;
        if (value !== right) throw new StepFailure(`${name} answered ${value} instead of ${right}`);
        const ended = measure();
        programs[name] = {
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
  const missing = [...expected.keys()].filter((name) => programs[name] === undefined);
  if (line !== '@done 0' || missing.length > 0)
    throw new StepFailure(`${line}; not run: ${missing.join(', ') || 'none'}`);
  return { programs, whole };
}
