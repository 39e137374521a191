/** From the start of the process to the guest's first instruction, with everything built. */
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { benchImage, median, readStatistics, withTemporaryFolder } from './support.mjs';

export default {
  name: 'start',
  title: "time from process start to the guest's first instruction",
  unit: 's',
  target: { of: 'plinth', most: 0.5 },
  async run({ runs, say }) {
    await benchImage();
    return withTemporaryFolder(async (folder) => {
      const statistics = join(folder, 'stats.json');
      const command = ['run', '--console', 'none', '--timeout', '2', '--stats', statistics];
      const measured = [];
      // The first run may read the files from a disk; the median tells what Plinth itself takes.
      for (let index = 0; index < Math.max(5, runs); index += 1) {
        const { status, output } = await run(join(root, 'plinth'), command, { capture: true });
        if (status !== 124) throw new StepFailure(`ended with status ${status} instead of 124\n${output}`);
        measured.push(readStatistics(statistics).milestones.firstInstruction);
      }
      say(measured.map((seconds) => `${seconds.toFixed(3)} s`).join(', '));
      return { plinth: median(measured), runs: measured, notes: { command } };
    });
  },
};
