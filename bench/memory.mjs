/** The process's peak memory beyond what the guest touched of its own. */
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { benchImage, memoryBeyondGuest, readStatistics, withTemporaryFolder } from './support.mjs';

const mebibyte = 2 ** 20;

export default {
  name: 'memory',
  title: 'peak resident memory less what the guest touched, boot and one command: the largest of the runs',
  unit: 'MiB',
  target: { of: 'plinth', most: 150 },
  async run({ runs: asked, say }) {
    // V8 compiles beside the guest, so single peaks stray. The bound is on each run.
    const runs = Math.max(asked, 5);
    await benchImage();
    return withTemporaryFolder(async (folder) => {
      const statistics = join(folder, 'stats.json');
      const command = ['run', '--exec', 'true', '--timeout', '600', '--stats', statistics];
      const measured = [];
      for (let index = 0; index < runs; index += 1) {
        const { status, output } = await run(join(root, 'plinth'), command, { capture: true });
        if (status !== 0) throw new StepFailure(`ended with status ${status}\n${output}`);
        const { peakRssBytes, guestTouchedBytes } = readStatistics(statistics);
        measured.push({ peakRssBytes, guestTouchedBytes });
        const [peak, touched] = [peakRssBytes / mebibyte, guestTouchedBytes / mebibyte];
        say(`peak ${peak.toFixed(1)} MiB, touched by the guest ${touched.toFixed(1)} MiB`);
      }
      return { plinth: Math.max(...measured.map(memoryBeyondGuest)), runs: measured, notes: { command } };
    });
  },
};
