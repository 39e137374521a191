/** Boot to init: host CPU seconds from the start of the process until the first line of init, beside QEMU's software engine. */
import { benchImage, median, plinthCommand, qemuCommand, requireQemu, timeToText } from './support.mjs';

const firstLineOfInit = 'init started after';
const memory = '512M';

export default {
  name: 'boot',
  title: 'boot of the default guest to init, host CPU seconds of all threads',
  unit: 's CPU',
  peerName: 'QEMU TCG',
  target: { of: 'ratio', most: 8 },
  async run({ runs, say }) {
    requireQemu();
    const image = await benchImage();
    const [plinth, qemu] = [plinthCommand(image, memory), qemuCommand(image, memory)];
    const measured = { plinth: [], peer: [] };
    for (let index = 0; index < runs; index += 1) {
      measured.plinth.push(await timeToText(plinth, firstLineOfInit));
      measured.peer.push(await timeToText(qemu, firstLineOfInit));
      const [ours, theirs] = [measured.plinth.at(-1), measured.peer.at(-1)];
      say(
        `Plinth ${ours.cpuSeconds} s CPU in ${ours.wallSeconds.toFixed(2)} s; QEMU ${theirs.cpuSeconds} s CPU in ${theirs.wallSeconds.toFixed(2)} s`,
      );
    }
    const [ours, theirs] = [measured.plinth, measured.peer].map((list) =>
      median(list.map((result) => result.cpuSeconds)),
    );
    return {
      plinth: ours,
      peer: theirs,
      ratio: ours / theirs,
      runs: measured,
      notes: { command: plinth, peerCommand: qemu },
    };
  },
};
