/**
 * Whether a process's memory stays flat: samples over a run, and what is made of them. Called by the soak.
 *
 * The first third of a run is warming up: the guest touches its memory, code gets hot, V8 sizes its heap. After it, two things must
 * hold: the typical size (median) of the last third is not above that of the second, and no new peak goes far beyond the peaks so far. A leak
 * of 1 MiB a minute moves the median of a run of 30 minutes by 10 MiB, which is what is allowed.
 */
import { readFileSync } from 'node:fs';

export interface MemorySample {
  /** Since the start of the run. */
  readonly seconds: number;
  readonly residentBytes: number;
}

/** Resident set of a process now, from /proc. */
export function residentBytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} tells no resident set`);
  return Number(kilobytes) * 1024;
}

const MEBIBYTE = 2 ** 20;
/** What the median of the last third may be above that of the second, and its peak above the peak before. */
const ALLOWED = { median: 10 * MEBIBYTE, peak: 32 * MEBIBYTE } as const;

export interface Growth {
  readonly medians: readonly [number, number, number];
  readonly peaks: readonly [number, number, number];
  /** Of the last two thirds, bytes a minute (least squares). */
  readonly slope: number;
  readonly flat: boolean;
}

/** @param samples at even intervals, at least 9 */
export function memoryGrowth(samples: readonly MemorySample[]): Growth {
  if (samples.length < 9) throw new RangeError(`${samples.length} samples tell nothing`);
  const third = Math.floor(samples.length / 3);
  const parts = [samples.slice(0, third), samples.slice(third, 2 * third), samples.slice(2 * third)] as const;
  const sizes = parts.map((part) => part.map((sample) => sample.residentBytes).sort((a, b) => a - b));
  const of = (part: number, pick: (sorted: readonly number[]) => number | undefined): number =>
    pick(sizes[part] ?? []) ?? 0;
  const median = (part: number): number => of(part, (sorted) => sorted[sorted.length >> 1]);
  const peak = (part: number): number => of(part, (sorted) => sorted.at(-1));
  const medians = [median(0), median(1), median(2)] as const;
  const peaks = [peak(0), peak(1), peak(2)] as const;
  return {
    medians,
    peaks,
    slope: slopeOf([...parts[1], ...parts[2]]),
    flat: medians[2] <= medians[1] + ALLOWED.median && peaks[2] <= Math.max(peaks[0], peaks[1]) + ALLOWED.peak,
  };
}

function slopeOf(samples: readonly MemorySample[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const minutes = samples.map(({ seconds }) => seconds / 60);
  const sizes = samples.map((sample) => sample.residentBytes);
  const [x, y] = [mean(minutes), mean(sizes)];
  const numerator = minutes.reduce((sum, minute, index) => sum + (minute - x) * ((sizes[index] ?? 0) - y), 0);
  return numerator / minutes.reduce((sum, minute) => sum + (minute - x) ** 2, 0);
}

const megabytes = (bytes: number): string => (bytes / MEBIBYTE).toFixed(1);

export function describeGrowth({ medians, peaks, slope }: Growth): string {
  return (
    `resident set by thirds: median ${medians.map(megabytes).join(', ')} MiB, peak ${peaks.map(megabytes).join(', ')} MiB; ` +
    `${megabytes(slope)} MiB a minute over the last two`
  );
}
