/**
 * The file of `--stats`. Apart from statistics.ts, which the processors' threads load. Called by: run-virtual-machine.ts.
 */
import { writeFileSync } from 'node:fs';
import { PlinthError } from '@plinth/errors';
import type { RunResult } from './configuration.ts';
import { fileReason } from './file-reason.ts';

/** Writes the statistics of a run, if they are wanted. @returns the result, which a file that cannot be written turns into a failure */
export function writeStatistics(path: string | undefined, result: RunResult): RunResult {
  if (path === undefined) return result;
  try {
    writeFileSync(path, `${JSON.stringify(result.statistics, undefined, 2)}\n`);
    return result;
  } catch (cause) {
    const error = new PlinthError('PL-3005', { path, option: '--stats', reason: fileReason(cause) }, { cause });
    // What happened to the guest is worth more than what happened to its figures.
    return result.exitStatus === 0 ? { ...result, exitStatus: error.exitStatus, error } : result;
  }
}
