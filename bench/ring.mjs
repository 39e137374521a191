/**
 * From one translated region to the next: a guest's ring of eight pieces of code, each in a page of its own, with one addition to memory
 * each (bench/guest/ring.c). Host CPU time of all threads over the transitions, beside QEMU's software engine.
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
  withTemporaryFolder,
} from './support.mjs';
import { prepareGuestPrograms, runGuestPrograms } from './support-guest-programs.mjs';

/** Iterations by default, and transitions in each; see ring.c. */
const iterations = 25_000;
const transitions = 8000;
const name = 'ring';
const scale = 2000;

export default {
  name,
  title: 'from one region to the next, a ring of eight with one addition to memory each',
  unit: 'ns',
  peerName: 'QEMU TCG',
  target: { of: 'plinth', most: 6 },
  run: ({ runs, say }) =>
    withTemporaryFolder(async (folder) => {
      const peerVersion = requireQemu();
      const { guest, expected } = await prepareGuestPrograms(folder, await benchImage(), { names: name, scale });
      const statistics = join(folder, 'stats.json');
      const [plinth, qemu] = [plinthCommand(guest, '512M', '--stats', statistics), qemuCommand(guest, '512M')];
      const measured = { plinth: [], peer: [] };
      const nanoseconds = ({ programs }) =>
        (programs[name].cpuSeconds * 1e9) / ((iterations * scale * transitions) / 1000);
      for (let index = 0; index < runs; index += 1) {
        measured.plinth.push(nanoseconds(await runGuestPrograms(plinth, expected)));
        measured.peer.push(nanoseconds(await runGuestPrograms(qemu, expected)));
        say(`Plinth ${measured.plinth.at(-1).toFixed(2)} ns, QEMU ${measured.peer.at(-1).toFixed(2)} ns`);
      }
      return {
        ...compared(median(measured.plinth), median(measured.peer)),
        runs: measured,
        notes: {
          native: (expected.get(name).seconds * 1e9) / ((iterations * scale * transitions) / 1000),
          instructions: readStatistics(statistics).instructions,
          command: plinth,
          peerCommand: qemu,
          peerVersion,
        },
      };
    }),
};
