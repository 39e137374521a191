/**
 * Exact ends of sleeps for the calling thread. Linux lets a sleep end up to 50 microseconds late, so that it can wake threads together
 * (prctl(2), PR_SET_TIMERSLACK); a processor's sleeps end when its guest's timers do. Called by: processor-worker-main.ts.
 */
import { readlinkSync, writeFileSync } from 'node:fs';

export function sleepExactly(): void {
  if (process.platform !== 'linux') return;
  try {
    const thread = readlinkSync('/proc/thread-self').split('/').pop();
    writeFileSync(`/proc/${thread}/timerslack_ns`, '1');
  } catch {
    // A host that shows no /proc, or lets nobody write there: timers come a little later, and nothing else changes.
  }
}
