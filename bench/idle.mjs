/** What a guest costs that waits at its prompt: host CPU time of all threads, in per cent of one core. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  benchImage,
  compared,
  cpuSeconds,
  median,
  plinthCommand,
  qemuCommand,
  requireQemu,
  timeToText,
} from './support.mjs';

const prompt = ':~# ';
const settleSeconds = 5;
const watchSeconds = 20;

async function idlePercent(command) {
  let percent = 0;
  await timeToText(command, prompt, async (child) => {
    await delay(settleSeconds * 1000);
    const [before, began] = [cpuSeconds(child.pid), performance.now()];
    await delay(watchSeconds * 1000);
    percent = (100 * (cpuSeconds(child.pid) - before)) / ((performance.now() - began) / 1000);
  });
  return percent;
}

export default {
  name: 'idle',
  title: `an idle guest's share of one core, over ${watchSeconds} s`,
  unit: '%',
  peerName: 'QEMU TCG',
  target: { of: 'plinth', most: 1.5 },
  async run({ runs, say }) {
    const peerVersion = requireQemu();
    const image = await benchImage();
    const [plinth, qemu] = [plinthCommand(image, '512M'), qemuCommand(image, '512M')];
    const measured = { plinth: [], peer: [] };
    for (let index = 0; index < runs; index += 1) {
      measured.plinth.push(await idlePercent(plinth));
      measured.peer.push(await idlePercent(qemu));
      say(`Plinth ${measured.plinth.at(-1).toFixed(2)} %, QEMU ${measured.peer.at(-1).toFixed(2)} %`);
    }
    return {
      ...compared(median(measured.plinth), median(measured.peer)),
      runs: measured,
      notes: { command: plinth, peerCommand: qemu, peerVersion },
    };
  },
};
