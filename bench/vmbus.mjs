/**
 * What the hypervisor's interface and VMBus cost a guest, by the guest's own clock, and how late its timers are.
 *
 *   - hypercall, signal, message, GPADL: measured by a kernel of the bench's own (vmbus-guest/), which speaks the TLFS's interface and
 *     VMBus as Linux does. QEMU's software engine has no such interface, so there is no peer.
 *   - timers: a program that sleeps (timer-guest/) in the default guest, whose clock and timers are the hypervisor's, beside the very
 *     same guest in QEMU.
 *
 * A signal's answer is the next request of the key-value service, which asks as soon as it is answered: the guest signals that there is an
 * answer in the ring, and sees the request behind it. `asleep`: it waits halted, as a driver does; `awake`: it looks all the time.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import {
  benchImage,
  compared,
  median,
  plinthCommand,
  qemuCommand,
  requireQemu,
  watch,
  withTemporaryFolder,
} from './support.mjs';

const memory = '512M';
const kernelOptions = [
  ...['-O2', '-Wall', '-Wextra', '-ffreestanding', '-fno-pic', '-fno-pie', '-mno-red-zone', '-mgeneral-regs-only'],
  ...['-mcmodel=large', '-fno-stack-protector', '-fcf-protection=none', '-nostdlib', '-static', '-Wl,--build-id=none'],
];
/** The boot protocol's init_size: memory for what is in no file, the kernel's `large_buffer` most of all. */
const initSize = { offset: 0x260, bytes: 32 * 2 ** 20 };

const timerInit = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
/bin/lateness || echo "@failed $?"
poweroff -f
`;

/** The value below which so many of a hundred are. */
function percentile(numbers, percent) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))];
}

async function compile(what, parameters) {
  const { status, output } = await run('gcc', parameters, { capture: true });
  if (status !== 0) throw new StepFailure(`${output}${what} was not compiled; it needs: apt-get install gcc libc6-dev`);
}

/** The measuring kernel as a bzImage. @returns its path */
async function buildKernel(folder) {
  const { tinyKernel } = await import('../packages/vmwp/dist/testing/tiny-kernel.js');
  const source = join(root, 'bench', 'vmbus-guest');
  const code = join(folder, 'kernel.bin');
  const script = `-Wl,-T,${join(source, 'link.ld')}`;
  await compile('the measuring kernel', [...kernelOptions, script, '-o', code, join(source, 'kernel.c')]);
  const kernel = tinyKernel([...readFileSync(code)]);
  new DataView(kernel.buffer).setUint32(initSize.offset, initSize.bytes, true);
  const path = join(folder, 'kernel');
  writeFileSync(path, kernel);
  return path;
}

/** The default guest's kernel with the sleeping program. */
async function buildTimerGuest(folder, image) {
  const { buildInitramfs } = await import('../packages/images/dist/index.js');
  const program = join(folder, 'lateness');
  const source = join(root, 'bench', 'timer-guest', 'lateness.c');
  await compile('the sleeping program', ['-O2', '-static', '-Wall', '-Wextra', '-o', program, source]);
  const { initrd } = await buildInitramfs({
    name: 'timer-guest',
    packages: ['busybox-static'],
    files: [{ path: 'bin/lateness', contents: readFileSync(program), mode: 0o755 }],
    init: timerInit,
  });
  const path = join(folder, 'timer-initrd');
  writeFileSync(path, initrd);
  return { kernel: image.kernel, initrds: [path], commandLine: `${image.commandLine} quiet` };
}

/** Runs a guest that prints lists. @returns {Promise<Record<string, number[]>>} nanoseconds by list */
function lists(command, awaited) {
  const found = {};
  let pending = '';
  return watch(command, {
    awaited,
    timeoutSeconds: 300,
    onOutput: (chunk) => {
      const lines = (pending + chunk).split(/\r*\n/);
      pending = lines.pop() ?? '';
      for (const line of lines) {
        const [word, name, ...values] = line.trim().split(' ');
        if (word === '@list') found[name] = [...(found[name] ?? []), ...values.map(Number)];
        else if (word === '@done') return found;
        else if (word === '@failed') throw new StepFailure(line);
      }
      return undefined;
    },
  });
}

const microseconds = (nanoseconds) => nanoseconds / 1000;
const show = (name, values) =>
  `${name} ${microseconds(percentile(values, 50)).toFixed(1)} us (99 %: ${microseconds(percentile(values, 99)).toFixed(0)})`;

/** Numbers of the measuring kernel: its list, and what is asked of its median. */
const numbers = [
  { list: 'hypercall', name: 'hypercall', most: 3 },
  { list: 'signal-awake', name: "signal to a VSP's answer, guest awake" },
  { list: 'post', name: 'message, posting' },
  { list: 'message', name: 'message to its answer' },
  { list: 'gpadl-16m', name: 'GPADL of 16 MiB', most: 20_000 },
];

export default {
  name: 'vmbus',
  title: "signal to a VSP's answer, the guest asleep meanwhile, median",
  unit: 'us',
  peerName: null,
  target: { of: 'plinth', most: 80 },
  run: ({ runs, say }) =>
    withTemporaryFolder(async (folder) => {
      const peerVersion = requireQemu();
      const image = await benchImage();
      const kernel = await buildKernel(folder);
      const command = [join(root, 'plinth'), 'run', '--kernel', kernel, '--memory', memory];
      const timers = await buildTimerGuest(folder, image);
      const [plinth, qemu] = [plinthCommand(timers, memory), qemuCommand(timers, memory)];
      const measured = { vmbus: [], plinth: [], peer: [] };
      for (let index = 0; index < runs; index += 1) {
        const found = await lists(command, 'measuring VMBus');
        measured.vmbus.push(found);
        const ours = (await lists(plinth, 'measuring timers')).lateness;
        const theirs = (await lists(qemu, 'measuring timers')).lateness;
        measured.plinth.push(ours);
        measured.peer.push(theirs);
        say(
          Object.keys(found)
            .map((name) => show(name, found[name]))
            .join(', '),
        );
        say(`${show('timers late by', ours)}; ${show('QEMU', theirs)}`);
      }
      /** A percentile of each run, and of the runs the middle one. */
      const middle = (samples, percent) => microseconds(median(samples.map((values) => percentile(values, percent))));
      const of = (list, percent) =>
        middle(
          measured.vmbus.map((found) => found[list]),
          percent,
        );
      const late = (name, percent) => ({
        name,
        unit: 'us',
        peerName: 'QEMU TCG',
        ...compared(middle(measured.plinth, percent), middle(measured.peer, percent)),
      });
      const all = (samples) => ({ median: middle(samples, 50), percentile99: middle(samples, 99) });
      return {
        plinth: of('signal-asleep', 50),
        runs: measured.vmbus.map((found, index) => ({
          ...Object.fromEntries(Object.entries(found).map(([name, values]) => [name, all([values])])),
          timers: all([measured.plinth[index]]),
          peerTimers: all([measured.peer[index]]),
        })),
        more: [
          { name: "signal to a VSP's answer, 99 %", unit: 'us', plinth: of('signal-asleep', 99) },
          ...numbers.map(({ list, name, most }) => ({
            name,
            unit: 'us',
            plinth: of(list, 50),
            ...(most === undefined ? {} : { target: { of: 'plinth', most } }),
          })),
          late('timers late by, median', 50),
          late('timers late by, 99 %', 99),
        ],
        notes: { command, timerCommand: plinth, peerCommand: qemu, peerVersion },
      };
    }),
};
