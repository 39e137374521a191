/**
 * The program `plinth`, and all that must come first: V8's settings, before anything is compiled under others, and a machine's thread, which
 * is set up while this one parses the command line and loads what it needs.
 *
 * Called by: the clone's `plinth` and npm's link to it, as a bundle (scripts/bundle.mjs).
 */
import { setCompilerFlags } from '@plinth/vmwp/compiler-settings';
import { startProcessorEarly } from '@plinth/vmwp/processor-worker';

setCompilerFlags();
const words = process.argv.slice(2);
// Words that turn out to be wrong have a thread for nothing; nobody waits for it.
if (words[0] === 'run') startProcessorEarly();

import('./program.ts')
  .then(({ runProgram }) => runProgram(words))
  // The status is given to process.exit: a handle that a library forgot must not keep a finished command alive.
  .then((status) => process.exit(status));
