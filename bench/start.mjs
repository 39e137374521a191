/** From the start of the process to the guest's first instruction, with everything built. */
import { benchImage, timeToFirstInstruction, withTemporaryFolder } from './support.mjs';

export default {
  name: 'start',
  title: "time from process start to the guest's first instruction",
  unit: 's',
  target: { of: 'plinth', most: 0.5 },
  async run({ runs, say }) {
    await benchImage();
    // The first run may read the files from a disk; the median tells what Plinth itself takes.
    const command = ['run', '--console', 'none', '--timeout', '2'];
    return withTemporaryFolder((folder) => timeToFirstInstruction(folder, { runs, say, command, status: 124 }));
  },
};
