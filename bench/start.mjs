/** From the start of the process to the guest's first instruction, with everything built. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { benchImage, median } from './support.mjs';

export default {
  name: 'start',
  title: "time from process start to the guest's first instruction",
  unit: 's',
  target: { of: 'plinth', most: 0.5 },
  async run({ runs, say }) {
    await benchImage();
    const folder = mkdtempSync(join(tmpdir(), 'plinth-bench-'));
    const statistics = join(folder, 'stats.json');
    const command = [join(root, 'plinth'), 'run', '--console', 'none', '--timeout', '2', '--stats', statistics];
    const measured = [];
    try {
      // The first run may read the files from a disk; the others tell what Plinth itself takes.
      for (let index = 0; index < Math.max(3, runs); index += 1) {
        const { status, output } = await run(process.execPath, command, { capture: true });
        if (status !== 124) throw new StepFailure(`ended with status ${status} instead of 124\n${output}`);
        measured.push(JSON.parse(readFileSync(statistics, 'utf8')).milestones.firstInstruction);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    say(measured.map((seconds) => `${seconds.toFixed(3)} s`).join(', '));
    return { plinth: median(measured), runs: measured, notes: { command } };
  },
};
