/**
 * From hot code to the first run of its translation: CPU time of the translator and of V8, all threads, over the guest instructions
 * translated, in batches of 64 as a processor sends them, in a process whose V8 is set as in a VM's. The code is that of the guest programs and Debian's C library.
 */
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { median, withTemporaryFolder } from './support.mjs';
import { compileGuestPrograms } from './support-guest-programs.mjs';

const batch = 64;

export default {
  name: 'translation',
  title: 'translation to first run, CPU time over guest instructions',
  unit: 'us',
  target: { of: 'plinth', most: 4 },
  run: ({ runs, say }) =>
    withTemporaryFolder(async (folder) => {
      const program = await compileGuestPrograms(folder);
      const command = [join(root, 'bench', 'support-translation.mjs'), program, String(batch)];
      const measured = [];
      for (let index = 0; index < runs; index += 1) {
        const { status, output } = await run(process.execPath, command, { capture: true });
        if (status !== 0) throw new StepFailure(output);
        const result = JSON.parse(output);
        measured.push(result);
        const { instructions, regions, cpuSeconds, wallSeconds, bytes } = result;
        say(
          `${((cpuSeconds * 1e6) / instructions).toFixed(2)} us CPU, ${((wallSeconds * 1e6) / instructions).toFixed(2)} us wall; ` +
            `${instructions} instructions in ${regions} regions, ${(bytes / instructions).toFixed(1)} bytes of WebAssembly for each`,
        );
      }
      const each = (key) => median(measured.map((result) => (result[key] * 1e6) / result.instructions));
      return {
        plinth: each('cpuSeconds'),
        runs: measured,
        more: [{ name: 'translation, wall time', unit: 'us', plinth: each('wallSeconds') }],
        notes: { batch, command },
      };
    }),
};
