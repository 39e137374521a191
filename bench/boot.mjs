/**
 * Boot to init: host CPU seconds of all threads from the start of the process until the first line of init, beside QEMU's software
 * engine with the same kernel, initrd, command line and memory. Wall time and peak resident memory are told, too.
 */
import { benchImage, compared, median, plinthCommand, qemuCommand, requireQemu, timeToText } from './support.mjs';

const firstLineOfInit = 'init started after';
const memory = '512M';

const show = (name, { cpuSeconds, wallSeconds, peakResidentBytes }) =>
  `${name} ${cpuSeconds.toFixed(2)} s CPU, ${wallSeconds.toFixed(2)} s wall, ${(peakResidentBytes / 2 ** 20).toFixed(0)} MiB`;

export default {
  name: 'boot',
  title: 'boot of the default guest to init, host CPU seconds of all threads',
  unit: 's CPU',
  peerName: 'QEMU TCG',
  target: { of: 'ratio', most: 8 },
  async run({ runs, say }) {
    requireQemu();
    const image = await benchImage();
    const [plinth, qemu] = [plinthCommand(image, memory, '--mark', firstLineOfInit), qemuCommand(image, memory)];
    const measured = { plinth: [], peer: [] };
    for (let index = 0; index < runs; index += 1) {
      const ours = await timeToText(plinth, firstLineOfInit);
      const theirs = await timeToText(qemu, firstLineOfInit);
      measured.plinth.push(ours);
      measured.peer.push(theirs);
      say(`${show('Plinth', ours)}; ${show('QEMU', theirs)}`);
    }
    const medians = Object.fromEntries(
      Object.entries(measured).map(([who, list]) => [
        who,
        Object.fromEntries(Object.keys(list[0]).map((key) => [key, median(list.map((result) => result[key]))])),
      ]),
    );
    say(`medians: ${show('Plinth', medians.plinth)}; ${show('QEMU', medians.peer)}`);
    return {
      ...compared(medians.plinth.cpuSeconds, medians.peer.cpuSeconds),
      runs: measured,
      notes: {
        medians,
        wallRatio: medians.plinth.wallSeconds / medians.peer.wallSeconds,
        command: plinth,
        peerCommand: qemu,
      },
    };
  },
};
