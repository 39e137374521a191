import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteRing } from './byte-ring.ts';

const ring = (bytes: number, at = 0): ByteRing => {
  const words = new Uint32Array(new SharedArrayBuffer(8));
  words.fill(at);
  return new ByteRing(words, new Uint8Array(new SharedArrayBuffer(bytes)));
};

describe('ByteRing', () => {
  it('gives back what was put in, in order, whatever the mix and across the wrap of the indices', () => {
    const operation = fc.oneof(
      fc.record({ put: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ write: fc.uint8Array({ maxLength: 40 }) }),
      fc.record({ take: fc.constant(true) }),
      fc.record({ readAll: fc.constant(true) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), fc.integer({ min: 0, max: 64 }), (operations, beforeWrap) => {
        const tested = ring(32, 0xffffffff - beforeWrap);
        const model: number[] = [];
        for (const step of operations) {
          if ('put' in step) {
            expect(tested.put(step.put)).toBe(model.length < 32);
            if (model.length < 32) model.push(step.put);
          } else if ('write' in step) {
            const count = tested.write(step.write);
            expect(count).toBe(Math.min(32 - model.length, step.write.length));
            model.push(...step.write.subarray(0, count));
          } else if ('take' in step) {
            expect(tested.take()).toBe(model.shift() ?? -1);
          } else {
            expect([...tested.peek()]).toEqual(model);
            expect([...tested.readAll()]).toEqual(model.splice(0));
          }
          expect(tested.length).toBe(model.length);
          expect(tested.space).toBe(32 - model.length);
        }
      }),
    );
  });

  it('stays inside its bytes with corrupt indices', () => {
    const words = Uint32Array.of(5, 0x9000_0000);
    const tested = new ByteRing(words, new Uint8Array(16));
    expect(tested.readAll().length).toBe(16);
  });
});
