/**
 * What benches share: a program is started, and timed from outside. Wall time counts from the start of the process, CPU seconds are those
 * of all its threads and of its children, running or ended, read from /proc at the moment when a text appears on its standard
 * output. Plinth and its peer are measured by the same code. Linux only.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';

/** Clock ticks a second in /proc; Linux has had 100 on every architecture for two decades. */
const ticks = 100;

/** CPU seconds of a process: its threads, its children that have ended, and those that run, with theirs. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  // utime, stime, cutime and cstime are fields 14 to 17 of the line; the third is the first after the name.
  const own = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticks;
  return children(pid).reduce((sum, child) => {
    try {
      return sum + cpuSeconds(child);
    } catch {
      // It has ended meanwhile; the next reading has it among the ended ones.
      return sum;
    }
  }, own);
}

function children(pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** The largest resident set of a process so far, in bytes. */
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
 * A pipe of the kernel's. Node's own pipes are sockets: one counts messages, and some 280 of one byte, as QEMU's serial port writes them,
 * fill it. Linux waits 10 ms for a port that takes nothing, and goes on without the character. This one holds 64 KiB of any size.
 * @returns {{reader: number, writer: number}} file descriptors
 */
function kernelPipe() {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-pipe-'));
  try {
    const path = join(folder, 'pipe');
    if (spawnSync('mkfifo', [path]).status !== 0) throw new StepFailure(`no pipe could be made with: mkfifo ${path}`);
    // Without O_NONBLOCK this would wait for a writer; the writer finds a reader.
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return { reader, writer: openSync(path, constants.O_WRONLY) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @typedef {{wallSeconds: number, cpuSeconds: number, peakResidentBytes: number}} Measurement since the start of the process
 * @typedef {object} Watched
 * @property {import('node:child_process').ChildProcess} child
 * @property {() => Measurement} measure a measurement of this moment
 */

/**
 * Starts a program and hands over its standard output as it comes, until `onOutput` answers a result other than undefined or the program
 * ends; then the program is ended.
 * @template Result
 * @param {readonly string[]} command
 * @param {object} options
 * @param {(chunk: string, watched: Watched) => Result | Promise<Result> | undefined} options.onOutput
 * @param {(line: string, watched: Watched) => void} [options.onComplaint] each line of standard error
 * @param {string} options.awaited what the program is expected to do, for messages
 * @param {number} [options.timeoutSeconds]
 * @param {boolean} [options.group] whether the program is the first of a process group, which is ended as one
 * @param {import('node:child_process').SpawnOptions} [options.spawnOptions]
 * @returns {Promise<Result>}
 * @throws StepFailure when the program ends or the time passes before there is a result
 */
export function watch(command, options) {
  const { onOutput, onComplaint, awaited, timeoutSeconds = 600, group = false, spawnOptions = {} } = options;
  const [program = '', ...parameters] = command;
  const { reader, writer } = kernelPipe();
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(program, parameters, {
      cwd: root,
      stdio: ['pipe', writer, 'pipe'],
      detached: group,
      ...spawnOptions,
    });
    // The program has its own by now; with this one open there would be no end.
    closeSync(writer);
    const standardOutput = new Socket({ fd: reader, readable: true, writable: false });
    const watched = {
      child,
      measure: () => ({
        wallSeconds: (performance.now() - began) / 1000,
        cpuSeconds: cpuSeconds(child.pid),
        peakResidentBytes: peakResidentBytes(child.pid),
      }),
    };
    let output = '';
    let complaints = '';
    let pendingLine = '';
    let result;
    let failure;
    const end = (signal) => {
      try {
        if (group) process.kill(-child.pid, signal);
        else child.kill(signal);
      } catch {
        // It has ended by itself.
      }
    };
    const fail = (why) => {
      failure ??= `${why}: ${command.join(' ')}\n${complaints}${output}`;
      end('SIGKILL');
    };
    const timer = setTimeout(() => fail(`${awaited}: not within ${timeoutSeconds} s`), timeoutSeconds * 1000);
    child.on('error', (error) => reject(new StepFailure(`${error.message}: ${command.join(' ')}`)));
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      complaints = (complaints + chunk).slice(-2000);
      const lines = (pendingLine + chunk).split('\n');
      pendingLine = lines.pop() ?? '';
      if (onComplaint !== undefined && result === undefined) for (const line of lines) onComplaint(line, watched);
    });
    standardOutput.setEncoding('utf8').on('data', (chunk) => {
      output = (output + chunk).slice(-2000);
      if (result !== undefined || failure !== undefined) return;
      try {
        const answer = onOutput(chunk, watched);
        if (answer === undefined) return;
        result = Promise.resolve(answer);
        result.then(
          () => end('SIGTERM'),
          (error) => fail(error.message),
        );
      } catch (error) {
        fail(error.message);
      }
    });
    const closed = [child, standardOutput].map((one) => new Promise((done) => one.on('close', done)));
    Promise.all(closed).then(() => {
      clearTimeout(timer);
      if (failure === undefined && result === undefined)
        failure = `${awaited}: the program ended before\n${complaints}${output}`;
      if (failure === undefined) resolve(result);
      else reject(new StepFailure(failure));
    });
  });
}

/**
 * Starts a program and waits for a text on its standard output, then does `afterwards` with the process still running, and ends it.
 * @param {readonly string[]} command
 * @param {string} text
 * @param {(child: import('node:child_process').ChildProcess) => Promise<void>} afterwards
 * @returns {Promise<Measurement>} at the moment of the text
 */
export function timeToText(command, text, afterwards = async () => {}) {
  let tail = '';
  return watch(command, {
    awaited: `waiting for '${text}'`,
    onOutput: (chunk, { child, measure }) => {
      const seen = tail + chunk;
      tail = seen.slice(-text.length);
      if (!seen.includes(text)) return undefined;
      const measurement = measure();
      return afterwards(child).then(() => measurement);
    },
  });
}

/** Calls `use` with a folder that is gone afterwards. */
export async function withTemporaryFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-bench-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `ours` and `theirs` as a bench answers them, with their ratio, from measurements of each run. */
export const compared = (ours, theirs) => ({ plinth: ours, peer: theirs, ratio: ours / theirs });

/**
 * The guest of the benches: the default image's files. Built first when it is missing. Its command line has the words that Plinth's
 * loader puts before a line without a `reboot=`, so that Plinth and its peer are given the very same one.
 */
export async function benchImage() {
  const { resolveImage } = await import('../packages/images/dist/index.js');
  const { panicWords } = await import('../packages/chipset/dist/index.js');
  const built = spawnSync(join(root, 'plinth'), ['image', 'build', '--if-missing'], {
    stdio: ['ignore', 2, 2],
  });
  if (built.status !== 0) throw new StepFailure('the default image could not be built');
  let image = await resolveImage('debian-tiny');
  if (image.outdated) {
    // Another recipe's image would measure something else.
    if (spawnSync(join(root, 'plinth'), ['image', 'build'], { stdio: ['ignore', 2, 2] }).status !== 0)
      throw new StepFailure('the default image could not be built anew');
    image = await resolveImage('debian-tiny');
  }
  return { ...image, commandLine: `${panicWords} ${image.commandLine}` };
}

/** The command that boots kernel and initrd in Plinth. */
export function plinthCommand({ kernel, initrds, commandLine }, memory, ...more) {
  return [
    join(root, 'plinth'),
    'run',
    ...['--kernel', kernel, ...initrds.flatMap((initrd) => ['--initrd', initrd])],
    ...['--append', commandLine, '--memory', memory, ...more],
  ];
}

/** The peer's command for the same guest: QEMU's software engine, one processor, no devices that the guest does not need. */
export function qemuCommand({ kernel, initrds, commandLine }, memory) {
  if (initrds.length !== 1) throw new StepFailure('QEMU takes one initrd');
  return [
    'qemu-system-x86_64',
    ...['-machine', 'pc,accel=tcg', '-cpu', 'qemu64', '-smp', '1', '-m', memory, '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrds[0], '-append', commandLine],
  ];
}

/**
 * The peer's version, such as `QEMU emulator version 7.2.22`.
 * @throws StepFailure when it is not installed
 */
export function requireQemu() {
  const { status, stdout } = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' });
  if (status !== 0) throw new StepFailure('the peer is missing: apt-get install qemu-system-x86');
  return stdout.split('\n', 1)[0]?.replace(/ \(.*/, '') ?? 'unknown';
}

/** What a run of Plinth with `--stats FILE` left, once it has ended. */
export const readStatistics = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Runs `plinth` with a command line. @throws StepFailure when it ends with another status */
export async function runPlinth(command, expectedStatus = 0) {
  const { status, output } = await run(join(root, 'plinth'), command, { capture: true });
  if (status !== expectedStatus)
    throw new StepFailure(`ended with status ${status} instead of ${expectedStatus}\n${output}`);
}

/**
 * The result of a bench: seconds from the start of the process to the first instruction, the median of at least five runs.
 * @param command of `plinth`, which is to end with `status`; the file for its statistics is added
 */
export async function timeToFirstInstruction(folder, { runs, say, command, status = 0 }) {
  const statistics = join(folder, 'stats.json');
  const whole = [...command, '--stats', statistics];
  const measured = [];
  for (let index = 0; index < Math.max(5, runs); index += 1) {
    await runPlinth(whole, status);
    measured.push(readStatistics(statistics).milestones.firstInstruction);
  }
  say(measured.map((seconds) => `${seconds.toFixed(3)} s`).join(', '));
  return { plinth: median(measured), runs: measured, notes: { command: whole } };
}

/** Memory of Plinth beyond what the guest touched of its own, in MiB. */
export const memoryBeyondGuest = ({ peakRssBytes, guestTouchedBytes }) => (peakRssBytes - guestTouchedBytes) / 2 ** 20;

/** The part of the guest's instructions that ran translated, in per cent. */
export const translatedPercent = ({ instructions: { interpreted, translated } }) =>
  (100 * translated) / Math.max(1, interpreted + translated);
