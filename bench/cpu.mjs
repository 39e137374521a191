/**
 * The guest programs of bench/guest, each with its host CPU seconds in Plinth and in QEMU's software engine: geometric mean of the ratios.
 *
 *     gcc -static -> one program -> its own values on this machine, and an initrd that runs it -> both guests, alternating
 *
 * The guest prints `@begin NAME` and `@end NAME VALUE NANOSECONDS`; the host's CPU time is read when the lines arrive. A wrong value
 * fails the bench. `--programs=a,b` runs some of them, `--scale=0.1` a tenth of the iterations.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import {
  benchImage,
  median,
  memoryBeyondGuest,
  plinthCommand,
  qemuCommand,
  readStatistics,
  requireQemu,
  watch,
  withTemporaryFolder,
} from './support.mjs';

const memory = '512M';
const guestFolder = join(root, 'bench', 'guest');
const compilerOptions = ['-O2', '-static', '-pthread', '-Wall', '-Wextra'];
/** The most that one program may take beside the peer; code that generates code may take more. */
const most = (name) => (name.startsWith('code-') ? 5 : 3);

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

export default {
  name: 'cpu',
  title: 'guest programs, host CPU seconds beside the peer: geometric mean of the ratios',
  unit: 'ratio',
  peerName: 'QEMU TCG',
  target: { of: 'ratio', most: 1 },
  async run({ runs, say, option }) {
    const peerVersion = requireQemu();
    const image = await benchImage();
    const scale = Math.round(1000 * Number(option('scale') ?? 1));
    if (!(scale >= 1)) throw new StepFailure('--scale takes a number from 0.001', 64);
    return withTemporaryFolder(async (folder) => {
      const program = await compile(folder);
      const names = option('programs') ?? 'all';
      const expected = await nativeResults(program, names.split(','), scale);
      const guest = {
        kernel: image.kernel,
        initrds: [await buildInitrd(folder, program)],
        // What the kernel does not know becomes init's environment.
        commandLine: `${image.commandLine} quiet GUEST_PROGRAMS=${names} GUEST_SCALE=${scale}`,
      };
      const statistics = join(folder, 'stats.json');
      const [plinth, qemu] = [plinthCommand(guest, memory, '--stats', statistics), qemuCommand(guest, memory)];
      const measured = { plinth: [], peer: [] };
      for (let index = 0; index < runs; index += 1) {
        for (const [who, command] of [
          ['peer', qemu],
          ['plinth', plinth],
        ]) {
          const result = await runGuest(command, expected);
          measured[who].push(result);
          say(`${who === 'peer' ? 'QEMU' : 'Plinth'} ${result.whole.cpuSeconds.toFixed(1)} s CPU, boot included`);
        }
      }
      const { rows, mean, worst } = summary(measured, expected, say);
      const after = readStatistics(statistics);
      const { instructions, translator } = after;
      return {
        ...{ plinth: mean, peer: 1, ratio: mean },
        runs: measured,
        more: [
          { unit: 's CPU', ...worst },
          {
            name: 'cpu, memory beyond the guest',
            unit: 'MiB',
            plinth: memoryBeyondGuest(after),
            target: { of: 'plinth', most: 200 },
          },
        ],
        notes: {
          scale: scale / 1000,
          programs: rows,
          instructions,
          translator,
          command: plinth,
          peerCommand: qemu,
          peerVersion,
        },
      };
    });
  },
};

async function compile(folder) {
  const program = join(folder, 'guest-programs');
  const command = `gcc ${compilerOptions.join(' ')} -o '${program}' *.c`;
  const { status, output } = await run(command, [], { capture: true, cwd: guestFolder, shell: true });
  if (status !== 0)
    throw new StepFailure(`${output}the guest programs were not compiled; they need: apt-get install gcc libc6-dev`);
  return program;
}

const endLine = /^@end (\S+) ([0-9a-f]{16}) (\d+)$/;

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
 * @returns the whole run's measurement, and for each program its CPU and wall seconds outside, and its seconds by the guest's clock
 */
function runGuest(command, expected) {
  const programs = {};
  let pending = '';
  let began;
  return watch(command, {
    awaited: 'running the guest programs',
    timeoutSeconds: 3600,
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

/** Medians of each program, a table of them, and the geometric mean of the ratios. */
function summary(measured, expected, say) {
  const seconds = (who, name) => median(measured[who].map(({ programs }) => programs[name].cpuSeconds));
  const rows = [...expected].map(([name, native]) => {
    const [plinth, peer] = [seconds('plinth', name), seconds('peer', name)];
    // One clock tick is the least that can be told apart.
    return { name, plinth, peer, ratio: Math.max(plinth, 0.01) / Math.max(peer, 0.01), native: native.seconds };
  });
  const width = Math.max(...rows.map(({ name }) => name.length));
  say(`${'program'.padEnd(width)}   Plinth     QEMU    ratio   native (s)`);
  for (const { name, plinth, peer, ratio, native } of rows) {
    const cells = [plinth.toFixed(2), peer.toFixed(2), ratio.toFixed(2), native.toFixed(3)].map((cell) =>
      cell.padStart(7),
    );
    say(`${name.padEnd(width)}  ${cells.join('  ')}${ratio > most(name) ? `  more than ${most(name)}` : ''}`);
  }
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  const mean = Math.exp(rows.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / rows.length);
  say(
    `all: Plinth ${total('plinth').toFixed(1)} s CPU, QEMU ${total('peer').toFixed(1)} s; geometric mean ${mean.toFixed(2)}`,
  );
  const relative = ({ name, ratio }) => ratio / most(name);
  const worst = rows.reduce((one, other) => (relative(other) > relative(one) ? other : one));
  return {
    rows,
    mean,
    worst: { ...worst, name: `cpu, worst program (${worst.name})`, target: { of: 'ratio', most: most(worst.name) } },
  };
}
