/**
 * The order of the files of tests: those that take longest begin first, so that none is left alone at the end while another processor waits.
 * Vitest itself knows only how large a file is, and how long it took where it ran before.
 */
import { BaseSequencer } from 'vitest/node';

/** Half a minute and more of processor time (`npm test` on two slow cores), the longest first. */
const LONGEST = [
  'tests/differential/instructions.test.ts',
  'packages/processor/src/translator/floats.test.ts',
  'tests/system/save-restore.test.ts',
  'tests/system/guest-programs.test.ts',
  'tests/system/crash.test.ts',
  'packages/processor/src/vector.test.ts',
  'packages/images/src/image-store.test.ts',
  'tests/image-agent.test.ts',
  'tests/system/boot.test.ts',
  'tests/system/guest-restarts.test.ts',
  'tests/differential/recorded.test.ts',
  'tests/system/guest.test.ts',
  'tests/system/integration.test.ts',
  'tests/system/run.test.ts',
];

export default class LongestFirst extends BaseSequencer {
  async sort(files) {
    const rank = ({ moduleId }) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
