/**
 * What benches share: a guest is started, and timed from outside. Wall time counts from the start of the process, CPU seconds are those
 * of all its threads and its ended children, read from /proc at the moment when a text appears on its standard output. Plinth
 * and its peer are measured by the same function.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, StepFailure } from '../scripts/steps.mjs';

/** Clock ticks a second in /proc; Linux has had 100 on every architecture for two decades. */
const ticks = 100;

/** CPU seconds of a process: its threads, and its children that it has waited for. Linux only. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  // utime, stime, cutime and cstime are fields 14 to 17 of the line; the third is the first after the name.
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticks;
}

/** The largest resident set of a process so far, in bytes. Linux only. */
export function peakResidentBytes(pid) {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** The middle one of several numbers. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Starts a program and waits for a text on its standard output, then does `afterwards` with the process still running, and ends it.
 * @param {string[]} command
 * @param {string} text
 * @param {{timeoutSeconds?: number, input?: string, afterwards?: (child: import('node:child_process').ChildProcess) => Promise<void>}} options
 * @returns {Promise<{wallSeconds: number, cpuSeconds: number, peakResidentBytes: number}>} at the moment of the text
 */
export function timeToText(command, text, { timeoutSeconds = 600, afterwards = async () => {} } = {}) {
  const [program = '', ...parameters] = command;
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(program, parameters, { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] });
    let seen = '';
    let result;
    let complaints = '';
    const timer = setTimeout(() => fail(`'${text}' did not appear within ${timeoutSeconds} s`), timeoutSeconds * 1000);
    const fail = (why) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new StepFailure(`${why}: ${command.join(' ')}\n${complaints}${seen.slice(-2000)}`));
    };
    child.on('error', (error) => fail(error.message));
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      complaints = (complaints + chunk).slice(-2000);
    });
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      if (result !== undefined) return;
      seen += chunk;
      if (!seen.includes(text)) return;
      result = {
        wallSeconds: (performance.now() - began) / 1000,
        cpuSeconds: cpuSeconds(child.pid),
        peakResidentBytes: peakResidentBytes(child.pid),
      };
      afterwards(child).then(
        () => child.kill('SIGTERM'),
        (error) => fail(error.message),
      );
    });
    child.on('close', () => {
      clearTimeout(timer);
      if (result === undefined) fail(`the program ended before '${text}' appeared`);
      else resolve(result);
    });
  });
}

/** The guest of the benches: the default image's files. Built first when it is missing. */
export async function benchImage() {
  const { resolveImage } = await import('../packages/images/dist/index.js');
  const built = spawnSync(process.execPath, [join(root, 'plinth'), 'image', 'build', '--if-missing'], {
    stdio: ['ignore', 2, 2],
  });
  if (built.status !== 0) throw new StepFailure('the default image could not be built');
  return resolveImage('debian-tiny');
}

/** The command that boots kernel and initrd in Plinth. */
export function plinthCommand({ kernel, initrds, commandLine }, memory, ...more) {
  const files = initrds.flatMap((initrd) => ['--initrd', initrd]);
  return [
    process.execPath,
    join(root, 'plinth'),
    'run',
    '--kernel',
    kernel,
    ...files,
    '--append',
    commandLine,
    '--memory',
    memory,
    ...more,
  ];
}

/** The peer's command for the same guest: QEMU's software engine, one processor, no devices that the guest does not need. */
export function qemuCommand({ kernel, initrds, commandLine }, memory) {
  if (initrds.length !== 1) throw new StepFailure('QEMU takes one initrd');
  const machine = [
    '-machine',
    'pc,accel=tcg',
    '-cpu',
    'qemu64',
    '-smp',
    '1',
    '-m',
    memory,
    '-nodefaults',
    '-no-user-config',
  ];
  const console = ['-display', 'none', '-serial', 'stdio', '-no-reboot'];
  return [
    'qemu-system-x86_64',
    ...machine,
    ...console,
    '-kernel',
    kernel,
    '-initrd',
    initrds[0],
    '-append',
    commandLine,
  ];
}

/** Refuses a bench whose peer is not installed. */
export function requireQemu() {
  const { status } = spawnSync('qemu-system-x86_64', ['--version']);
  if (status !== 0) throw new StepFailure('the peer is missing: apt-get install qemu-system-x86');
}
