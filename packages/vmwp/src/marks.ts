/**
 * `--mark TEXT`: when a text first appears in the first serial port's output, whatever chunks it arrives in.
 *
 * Each text has its own search state (Knuth, Morris and Pratt), so nothing is buffered and a byte is looked at once per text.
 * Called by: the console pump, with every byte of the port.
 */
import type { MarkRecord } from './statistics.ts';

interface Mark {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** For each prefix length, the length of the longest proper prefix that is also its suffix. */
  readonly fallback: Uint32Array;
  matched: number;
  found: { readonly wallSeconds: number; readonly hostCpuSeconds: number } | undefined;
}

/** Seconds since the process started. */
export interface ProcessTimes {
  wallSeconds(): number;
  hostCpuSeconds(): number;
}

export class MarkWatcher {
  private readonly marks: Mark[];
  private readonly times: ProcessTimes;
  private remaining: number;

  /** @param texts matched as UTF-8; an empty text is found at once */
  constructor(texts: readonly string[], times: ProcessTimes) {
    this.times = times;
    this.marks = texts.map((text) => {
      const bytes = new TextEncoder().encode(text);
      return { text, bytes, fallback: fallbackTable(bytes), matched: 0, found: undefined };
    });
    this.remaining = this.marks.length;
    for (const mark of this.marks) if (mark.bytes.length === 0) this.record(mark);
  }

  observe(chunk: Uint8Array): void {
    if (this.remaining === 0) return;
    for (const mark of this.marks) {
      if (mark.found === undefined && this.search(mark, chunk)) this.record(mark);
    }
  }

  records(): MarkRecord[] {
    return this.marks.map(({ text, found }) => ({
      text,
      wallSeconds: found?.wallSeconds ?? null,
      hostCpuSeconds: found?.hostCpuSeconds ?? null,
    }));
  }

  private record(mark: Mark): void {
    mark.found = { wallSeconds: this.times.wallSeconds(), hostCpuSeconds: this.times.hostCpuSeconds() };
    this.remaining--;
  }

  private search(mark: Mark, chunk: Uint8Array): boolean {
    let matched = mark.matched;
    for (const byte of chunk) {
      while (matched > 0 && mark.bytes[matched] !== byte) matched = mark.fallback[matched] ?? 0;
      if (mark.bytes[matched] === byte) matched++;
      if (matched === mark.bytes.length) return true;
    }
    mark.matched = matched;
    return false;
  }
}

function fallbackTable(bytes: Uint8Array): Uint32Array {
  const table = new Uint32Array(bytes.length + 1);
  let length = 0;
  for (let index = 1; index < bytes.length; index++) {
    while (length > 0 && bytes[index] !== bytes[length]) length = table[length] ?? 0;
    if (bytes[index] === bytes[length]) length++;
    table[index + 1] = length;
  }
  return table;
}
