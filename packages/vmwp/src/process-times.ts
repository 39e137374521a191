/** The process's own times, from its start (not from when a module was loaded), all threads counted. */
import type { ProcessTimes } from './marks.ts';

export const processTimes: ProcessTimes = {
  // performance.now() of the main thread counts from the start of the process; a worker's would count from its own.
  wallSeconds: () => performance.now() / 1000,
  hostCpuSeconds: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
};

/** Largest resident set so far, in bytes; getrusage gives KiB. */
export const peakResidentBytes = (): number => process.resourceUsage().maxRSS * 1024;

/** A monotonic clock that all threads of the process share, in nanoseconds. */
export const monotonicNanoseconds = (): number => Number(process.hrtime.bigint());
