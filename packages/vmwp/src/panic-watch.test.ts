import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PanicWatch } from './panic-watch.ts';

const line = '[    0.9] ---[ end Kernel panic - not syncing: System is deadlocked on memory ]---\r\n';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a panic on the console', () => {
  let halts = 0;
  let found: string[] = [];
  let watch = new PanicWatch(
    () => halts,
    (reason) => found.push(reason),
  );
  beforeEach(() => {
    vi.useFakeTimers();
    halts = 7;
    found = [];
    watch = new PanicWatch(
      () => halts,
      (reason) => found.push(reason),
    );
  });
  afterEach(() => {
    watch.close();
    vi.useRealTimers();
  });

  it('is one when nothing follows it and the processor never halts', () => {
    watch.observe(bytes(`before\r\n${line}`));
    vi.advanceTimersByTime(4900);
    expect(found).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(found).toEqual(['Kernel panic - not syncing: System is deadlocked on memory']);
  });

  it('is found in whatever pieces it arrives', () => {
    for (const byte of bytes(`${'x'.repeat(3000)}\n${line}`)) watch.observe(Uint8Array.of(byte));
    vi.advanceTimersByTime(5000);
    expect(found).toHaveLength(1);
  });

  it('is none when a prompt follows, whenever it comes', () => {
    watch.observe(bytes(`${line}# `));
    vi.advanceTimersByTime(10_000);
    watch.observe(bytes(`\n${line}`));
    vi.advanceTimersByTime(4000);
    watch.observe(bytes('# '));
    vi.advanceTimersByTime(10_000);
    expect(found).toEqual([]);
  });

  it('is none when the processor halts', () => {
    watch.observe(bytes(line));
    vi.advanceTimersByTime(1000);
    halts++;
    vi.advanceTimersByTime(10_000);
    expect(found).toEqual([]);
  });

  it('is forgotten when the run ends', () => {
    watch.observe(bytes(line));
    watch.close();
    vi.advanceTimersByTime(10_000);
    expect(found).toEqual([]);
  });
});
