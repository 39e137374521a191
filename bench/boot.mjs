/**
 * Boot to init: host CPU seconds of all threads from the start of the process until the first line of init, beside QEMU's software
 * engine with the same kernel, initrd, command line and memory. Wall time and peak resident memory are numbers of the same runs.
 *
 * `boot, all modules`: boots to the console's prompt, with the modules and daemons of all the devices on VMBus, beside Plinth itself with
 * the same kernel and initrd, which keeps them away.
 */
import { join } from 'node:path';
import {
  benchImage,
  compared,
  median,
  plinthCommand,
  qemuCommand,
  readStatistics,
  requireQemu,
  timeToText,
  withTemporaryFolder,
} from './support.mjs';

const firstLineOfInit = 'init started after';
const prompt = ':~# ';
const memory = '512M';
/** Keeps VMBus away, and with it the drivers and daemons of all that is on it; and what init loads in its place, for the power button. */
const withoutModules = 'modprobe.blacklist=hv_vmbus,button,evdev';

const show = (name, { cpuSeconds, wallSeconds, peakResidentBytes }) =>
  `${name} ${cpuSeconds.toFixed(2)} s CPU, ${wallSeconds.toFixed(2)} s wall, ${(peakResidentBytes / 2 ** 20).toFixed(0)} MiB`;

export default {
  name: 'boot',
  title: 'boot of the default guest to init, host CPU seconds of all threads',
  unit: 's CPU',
  peerName: 'QEMU TCG',
  target: { of: 'ratio', most: 8 },
  run: ({ runs, say }) =>
    withTemporaryFolder(async (folder) => {
      const peerVersion = requireQemu();
      const image = await benchImage();
      const statistics = join(folder, 'stats.json');
      const plinth = plinthCommand(image, memory, '--mark', firstLineOfInit, '--stats', statistics);
      const qemu = qemuCommand(image, memory);
      const without = plinthCommand({ ...image, commandLine: `${image.commandLine} ${withoutModules}` }, memory);
      const measured = { plinth: [], peer: [], modules: [], withoutModules: [] };
      for (let index = 0; index < runs; index += 1) {
        const ours = await timeToText(plinth, firstLineOfInit);
        const theirs = await timeToText(qemu, firstLineOfInit);
        measured.plinth.push(ours);
        measured.peer.push(theirs);
        say(`${show('Plinth', ours)}; ${show('QEMU', theirs)}`);
        const all = await timeToText(plinth, prompt);
        const none = await timeToText(without, prompt);
        measured.modules.push(all);
        measured.withoutModules.push(none);
        say(`to the prompt: ${show('all modules', all)}; ${show('without', none)}`);
      }
      const middle = (who, key) => median(measured[who].map((result) => result[key]));
      const both = (key) => compared(middle('plinth', key), middle('peer', key));
      const cost = compared(middle('modules', 'cpuSeconds'), middle('withoutModules', 'cpuSeconds'));
      const { instructions } = readStatistics(statistics);
      return {
        ...both('cpuSeconds'),
        runs: measured,
        more: [
          { name: 'boot, wall time', unit: 's', ...both('wallSeconds') },
          { name: 'boot, peak memory', unit: 'bytes', ...both('peakResidentBytes') },
          {
            ...{ name: 'boot, all modules', unit: 's CPU', peerName: 'without modules' },
            ...{ ...cost, target: { of: 'ratio', most: 1.15 } },
          },
        ],
        notes: { instructions, command: plinth, peerCommand: qemu, peerVersion },
      };
    }),
};
