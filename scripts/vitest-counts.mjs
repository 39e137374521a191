/**
 * A vitest reporter that writes what `scripts/test.mjs` adds up: counts, and each skip with its reason.
 *
 * A test skips itself with `context.skip('reason')` when an oracle is missing, and with `context.skip('not applicable: reason')`
 * when the machine lacks hardware that the test is about; the latter is named and not counted.
 */
import { writeFileSync } from 'node:fs';

export default class CountsReporter {
  constructor({ file = process.env.PLINTH_TEST_COUNTS } = {}) {
    this.file = file;
  }

  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: [], notApplicable: [] };
    for (const module of modules) {
      // A file that cannot be loaded has no tests, and is no success.
      if (module.state() === 'failed' && [...module.children.allTests('failed')].length === 0) counts.failed += 1;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') counts.passed += 1;
        else if (result.state === 'failed') counts.failed += 1;
        else {
          const reason = result.state === 'skipped' ? result.note : 'it never ran';
          const name = `${module.relativeModuleId} > ${test.fullName}`;
          if (reason?.startsWith('not applicable')) counts.notApplicable.push(`${name}: ${reason}`);
          else counts.skipped.push(`${name}: ${reason ?? 'no reason given'}`);
        }
      }
    }
    if (this.file !== undefined) writeFileSync(this.file, JSON.stringify(counts));
  }
}
