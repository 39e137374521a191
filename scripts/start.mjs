/**
 * `npm start [-- ARGS]`: from a fresh clone to a running guest. Installs the packages, builds, builds the default guest image
 * when it is missing, tells what it does meanwhile, then is `plinth run ARGS`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { endOnFailure, root, run, StepFailure, setUp } from './steps.mjs';

const parameters = process.argv.slice(2);
const plinth = join(root, 'plinth');

/** The image that the run will need: none with --kernel, help or an image that the user names (plinth run sees to that one). */
const needsDefaultImage = !parameters.some((word) => /^(--kernel|--help|-h)(=|$)/.test(word));

async function buildDefaultImage() {
  const { status } = await run(process.execPath, [plinth, 'image', 'build', '--if-missing'], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new StepFailure('The guest image could not be built.', status);
}

try {
  await setUp();
  if (needsDefaultImage) await buildDefaultImage();
} catch (error) {
  endOnFailure(error);
}

const child = spawn(process.execPath, [plinth, 'run', ...parameters], {
  stdio: 'inherit',
  cwd: process.env.INIT_CWD ?? process.cwd(),
  // As the launcher does it.
  env: {
    MALLOC_ARENA_MAX: '1',
    MALLOC_MMAP_THRESHOLD_: '131072',
    ...process.env,
    NODE_EXTRA_CA_CERTS: undefined,
  },
});
// The terminal sends Ctrl+C to both processes, and kill may send its signal to this one only: the run decides what it means.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('close', (code, signal) => {
  if (signal !== null) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  process.exitCode = code ?? 1;
});
