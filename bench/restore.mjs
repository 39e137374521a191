/** From the start of the process to the first instruction of a machine that goes on from a file: one of 512 MiB, at its prompt. */
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { benchImage, median, readStatistics, withTemporaryFolder } from './support.mjs';

export default {
  name: 'restore',
  title: 'time from process start to the first instruction of a restored machine',
  unit: 's',
  target: { of: 'plinth', most: 0.3 },
  async run({ runs, say }) {
    await benchImage();
    return withTemporaryFolder(async (folder) => {
      const launcher = join(root, 'plinth');
      const statistics = join(folder, 'stats.json');
      const saved = join(folder, 'saved');
      const plinth = async (command) => {
        const { status, output } = await run(launcher, command, { capture: true });
        if (status !== 0) throw new StepFailure(`ended with status ${status}\n${output}`);
      };
      await plinth(['run', '--memory', '512M', '--exec', 'true', '--save-to', saved]);
      const command = ['run', '--restore', saved, '--exec', 'true', '--stats', statistics];
      const measured = [];
      // Its first pages come from the file before the first instruction is done; the file is in the host's cache, as it was just written.
      for (let index = 0; index < Math.max(5, runs); index += 1) {
        await plinth(command);
        measured.push(readStatistics(statistics).milestones.firstInstruction);
      }
      say(measured.map((seconds) => `${seconds.toFixed(3)} s`).join(', '));
      return { plinth: median(measured), runs: measured, notes: { command } };
    });
  },
};
