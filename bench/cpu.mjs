/**
 * The guest programs of bench/guest, each with its host CPU seconds in Plinth and in QEMU's software engine: geometric mean of the ratios.
 * A wrong value fails the bench. `--programs=a,b` runs some of them, `--scale=0.1` a tenth of the iterations.
 */
import { join } from 'node:path';
import { StepFailure } from '../scripts/steps.mjs';
import {
  benchImage,
  median,
  memoryBeyondGuest,
  plinthCommand,
  qemuCommand,
  readStatistics,
  requireQemu,
  withTemporaryFolder,
} from './support.mjs';
import { prepareGuestPrograms, runGuestPrograms } from './support-guest-programs.mjs';

const memory = '512M';
/** The most that one program may take beside the peer; code that generates code may take more. */
const most = (name) => (name.startsWith('code-') ? 5 : 3);

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
      const { guest, expected } = await prepareGuestPrograms(folder, image, { names: option('programs'), scale });
      const statistics = join(folder, 'stats.json');
      const [plinth, qemu] = [plinthCommand(guest, memory, '--stats', statistics), qemuCommand(guest, memory)];
      const measured = { plinth: [], peer: [] };
      for (let index = 0; index < runs; index += 1) {
        for (const [who, command] of [
          ['peer', qemu],
          ['plinth', plinth],
        ]) {
          const result = await runGuestPrograms(command, expected);
          measured[who].push(result);
          say(`${who === 'peer' ? 'QEMU' : 'Plinth'} ${result.whole.cpuSeconds.toFixed(1)} s CPU, boot included`);
        }
      }
      const { rows, mean, wallMean, worst } = summary(measured, expected, say);
      const after = readStatistics(statistics);
      const { instructions, translator } = after;
      return {
        ...{ plinth: mean, peer: 1, ratio: mean },
        runs: measured,
        more: [
          { unit: 's CPU', ...worst },
          { name: 'cpu, wall time', unit: 'ratio', plinth: wallMean, peer: 1, ratio: wallMean },
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

/** One clock tick is the least that can be told apart. */
const ratioOf = (plinth, peer) => Math.max(plinth, 0.01) / Math.max(peer, 0.01);
const geometricMean = (ratios) => Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);

/** Medians of each program, a table of them, and the geometric means of the ratios. */
function summary(measured, expected, say) {
  const seconds = (who, name, key) => median(measured[who].map(({ programs }) => programs[name][key]));
  const rows = [...expected].map(([name, native]) => {
    const [plinth, peer] = [seconds('plinth', name, 'cpuSeconds'), seconds('peer', name, 'cpuSeconds')];
    const wall = { plinth: seconds('plinth', name, 'wallSeconds'), peer: seconds('peer', name, 'wallSeconds') };
    const ratio = ratioOf(plinth, peer);
    return {
      name,
      plinth,
      peer,
      ratio,
      wall: { ...wall, ratio: ratioOf(wall.plinth, wall.peer) },
      native: native.seconds,
    };
  });
  const width = Math.max(...rows.map(({ name }) => name.length));
  say(`${'program'.padEnd(width)}   Plinth     QEMU    ratio   wall ratio   native (s)`);
  for (const { name, plinth, peer, ratio, wall, native } of rows) {
    const cells = [plinth.toFixed(2), peer.toFixed(2), ratio.toFixed(2), wall.ratio.toFixed(2), native.toFixed(3)];
    const padded = cells.map((cell) => cell.padStart(7)).join('  ');
    say(`${name.padEnd(width)}  ${padded}${ratio > most(name) ? `  more than ${most(name)}` : ''}`);
  }
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  const mean = geometricMean(rows.map(({ ratio }) => ratio));
  const wallMean = geometricMean(rows.map(({ wall }) => wall.ratio));
  say(
    `all: Plinth ${total('plinth').toFixed(1)} s CPU, QEMU ${total('peer').toFixed(1)} s; ` +
      `geometric mean ${mean.toFixed(2)} (CPU), ${wallMean.toFixed(2)} (wall)`,
  );
  const relative = ({ name, ratio }) => ratio / most(name);
  const worst = rows.reduce((one, other) => (relative(other) > relative(one) ? other : one));
  const { name, plinth, peer, ratio } = worst;
  return {
    rows,
    mean,
    wallMean,
    worst: { name: `cpu, worst program (${name})`, plinth, peer, ratio, target: { of: 'ratio', most: most(name) } },
  };
}
