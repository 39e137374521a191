/** From the start of the process to the first instruction of a machine that goes on from a file: one of 512 MiB, at its prompt. */
import { join } from 'node:path';
import { benchImage, runPlinth, timeToFirstInstruction, withTemporaryFolder } from './support.mjs';

export default {
  name: 'restore',
  title: 'time from process start to the first instruction of a restored machine',
  unit: 's',
  target: { of: 'plinth', most: 0.3 },
  async run({ runs, say }) {
    await benchImage();
    return withTemporaryFolder(async (folder) => {
      const saved = join(folder, 'saved');
      await runPlinth(['run', '--memory', '512M', '--exec', 'true', '--save-to', saved]);
      // Its first pages come from the file before the first instruction is done; the file is in the host's cache, as it was just written.
      return timeToFirstInstruction(folder, { runs, say, command: ['run', '--restore', saved, '--exec', 'true'] });
    });
  },
};
