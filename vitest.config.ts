/**
 * Unit tests stand beside the code; tests of the whole system stand in tests/. Packages are resolved to their sources, so
 * that a unit test needs no build.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import LongestFirst from './scripts/vitest-sequencer.mjs';

const packages = fileURLToPath(new URL('./packages/', import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: '@plinth/processor/translator', replacement: `${packages}processor/src/translator-thread.ts` },
      {
        find: '@plinth/processor/local-translation',
        replacement: `${packages}processor/src/translator/local-translation.ts`,
      },
      { find: /^@plinth\/([a-z-]+)$/, replacement: `${packages}$1/src/index.ts` },
      { find: /^@plinth\/([a-z-]+)\/([a-z-]+)$/, replacement: `${packages}$1/src/$2.ts` },
    ],
  },
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts'],
          // To load the modules anew for each file takes a third of the time.
          isolate: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['tests/**/*.test.ts'],
          globalSetup: ['tests/support/run-folder.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          // Each test boots machines, and most machines keep one core busy.
          maxWorkers: 2,
        },
      },
    ],
    coverage: { provider: 'v8', include: ['packages/*/src/**'], exclude: ['**/*.test.ts'] },
  },
});
