/** The process's peak memory beyond what the guest touched of its own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { benchImage } from './support.mjs';

const mebibyte = 2 ** 20;

export default {
  name: 'memory',
  title: 'peak resident memory less what the guest touched, boot and one command',
  unit: 'MiB',
  target: { of: 'plinth', most: 150 },
  async run({ say }) {
    await benchImage();
    const folder = mkdtempSync(join(tmpdir(), 'plinth-bench-'));
    const statistics = join(folder, 'stats.json');
    const command = [join(root, 'plinth'), 'run', '--exec', 'true', '--timeout', '600', '--stats', statistics];
    try {
      const { status, output } = await run(process.execPath, command, { capture: true });
      if (status !== 0) throw new StepFailure(`ended with status ${status}\n${output}`);
      const { peakRssBytes, guestTouchedBytes } = JSON.parse(readFileSync(statistics, 'utf8'));
      const [peak, touched] = [peakRssBytes / mebibyte, guestTouchedBytes / mebibyte];
      say(`peak ${peak.toFixed(1)} MiB, touched by the guest ${touched.toFixed(1)} MiB`);
      return { plinth: peak - touched, runs: [{ peakRssBytes, guestTouchedBytes }], notes: { command } };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
