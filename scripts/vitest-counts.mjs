/**
 * A vitest reporter that writes what `scripts/test.mjs` adds up: counts, each failure with its message, each skip with its reason.
 *
 * A test skips itself with `context.skip('reason')` when an oracle is missing, and with `context.skip('not applicable: reason')`
 * when the machine lacks hardware that the test is about; the latter is named and not counted.
 */
import { writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** An error as a few lines, with where it was thrown. */
function shortened(error) {
  if (error === undefined) return 'no error given';
  const message = stripVTControlCharacters(String(error.message ?? error)).slice(0, 1000);
  const place = error.stacks?.[0];
  return place === undefined ? message : `${message} (${place.file}:${place.line})`;
}

export default class CountsReporter {
  constructor({ file = process.env.PLINTH_TEST_COUNTS } = {}) {
    this.file = file;
  }

  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, failures: [], skipped: [], notApplicable: [] };
    for (const error of unhandledErrors) counts.failures.push(`an error outside of any test: ${shortened(error)}`);
    for (const module of modules) {
      // A file that cannot be loaded has no tests, and is no success.
      if (module.state() === 'failed' && [...module.children.allTests('failed')].length === 0) {
        counts.failed += 1;
        counts.failures.push(`${module.relativeModuleId}: ${shortened(module.errors()[0])}`);
      }
      for (const test of module.children.allTests()) {
        const name = `${module.relativeModuleId} > ${test.fullName}`;
        const result = test.result();
        if (result.state === 'passed') counts.passed += 1;
        else if (result.state === 'failed') {
          counts.failed += 1;
          counts.failures.push(`${name}: ${shortened(result.errors[0])}`);
        } else {
          const reason = result.state === 'skipped' ? result.note : 'it never ran';
          if (reason?.startsWith('not applicable')) counts.notApplicable.push(`${name}: ${reason}`);
          else counts.skipped.push(`${name}: ${reason ?? 'no reason given'}`);
        }
      }
    }
    if (this.file !== undefined) writeFileSync(this.file, JSON.stringify(counts));
  }
}
