import { describe, expect, it } from 'vitest';
import { MarkWatcher } from './marks.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function watcher(...texts: string[]): { watch: MarkWatcher; tick: () => void } {
  let now = 0;
  const watch = new MarkWatcher(texts, { wallSeconds: () => now, hostCpuSeconds: () => now * 2 });
  return { watch, tick: () => now++ };
}

describe('marks', () => {
  it('finds a text across any division into chunks, at its first appearance', () => {
    const output = bytes('[ 0.0] aab aaab login: login:');
    for (const text of ['aaab', 'login:', 'ab a', '[ 0']) {
      const expected = Buffer.from(output).indexOf(text) + text.length;
      for (const size of [1, 2, 3, 7, 100]) {
        const { watch } = watcher(text);
        let found = -1;
        for (let offset = 0; offset < output.length; offset += size) {
          watch.observe(output.subarray(offset, offset + size));
          if (found < 0 && watch.records()[0]?.wallSeconds !== null) found = Math.min(offset + size, output.length);
        }
        expect(found).toBe(Math.min(Math.ceil(expected / size) * size, output.length));
      }
    }
  });

  it('records the time once and gives null for what never came', () => {
    const { watch, tick } = watcher('one', 'two', '');
    tick();
    watch.observe(bytes('one'));
    tick();
    watch.observe(bytes('one'));
    expect(watch.records()).toEqual([
      { text: 'one', wallSeconds: 1, hostCpuSeconds: 2 },
      { text: 'two', wallSeconds: null, hostCpuSeconds: null },
      { text: '', wallSeconds: 0, hostCpuSeconds: 0 },
    ]);
  });

  it('matches texts outside ASCII by their UTF-8 bytes', () => {
    const { watch } = watcher('grüße');
    for (const byte of bytes('Viele grüße!')) watch.observe(Uint8Array.of(byte));
    expect(watch.records()[0]?.wallSeconds).toBe(0);
  });
});
