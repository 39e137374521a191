/** The cpio archives that Linux unpacks: to the byte, back again, and never an exception of another kind. */
import { PlinthError } from '@plinth/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CpioEntry, readCpio, writeCpio } from './cpio.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('writing', () => {
  it('makes a header of 13 numbers of 8 digits, a name and a content, each padded to 4', () => {
    const archive = writeCpio([{ kind: 'file', path: 'a/b', mode: 0o755, contents: Buffer.from('hello') }]);
    const header =
      '070701 00000001 000081ED 00000000 00000000 00000001 00000000 00000005 00000000 00000000 00000000 00000000 00000004 00000000';
    expect(text(archive.subarray(0, 110))).toBe(header.replaceAll(' ', ''));
    expect(text(archive.subarray(110, 124))).toBe('a/b\0\0\0hello\0\0\0');
    expect(text(archive.subarray(124, 130))).toBe('070701');
    expect(text(archive.subarray(124 + 110, 124 + 121))).toBe('TRAILER!!!\0');
    expect(archive.length % 512).toBe(0);
  });

  it('puts the numbers of a device into the last two fields before the name', () => {
    const archive = writeCpio([{ kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 }]);
    expect(text(archive.subarray(14, 22))).toBe('00002180');
    expect(text(archive.subarray(78, 94))).toBe('0000000500000001');
  });
});

describe('reading', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.', 'ä'), minLength: 1, maxLength: 9 });
  const entry: fc.Arbitrary<CpioEntry> = fc.oneof(
    fc.record({
      kind: fc.constant('file' as const),
      path: name,
      mode: fc.integer({ min: 0, max: 0o7777 }),
      contents: fc.uint8Array({ maxLength: 50 }),
    }),
    fc.record({ kind: fc.constant('directory' as const), path: name, mode: fc.constant(0o755) }),
    fc.record({ kind: fc.constant('symlink' as const), path: name, mode: fc.constant(0o777), target: name }),
    fc.record({
      kind: fc.constantFrom('character-device' as const, 'block-device' as const),
      path: name,
      mode: fc.constant(0o600),
      major: fc.integer({ min: 0, max: 4095 }),
      minor: fc.integer({ min: 0, max: 0xfffff }),
    }),
  );

  it('gives what was written', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
        expect(readCpio(writeCpio(entries))).toEqual(entries);
      }),
    );
  });

  it('refuses what is broken by name', () => {
    const archive = writeCpio([{ kind: 'file', path: 'x', mode: 0o644, contents: new Uint8Array(100) }]);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: archive.length - 1 }),
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        (at, byte, isCut) => {
          const copy = archive.slice();
          copy[at] = byte;
          try {
            readCpio(isCut ? copy.subarray(0, at) : copy);
          } catch (error) {
            expect(error).toBeInstanceOf(PlinthError);
          }
        },
      ),
      { numRuns: 1000 },
    );
    expect(() => readCpio(archive.subarray(0, 300))).toThrow('PL-2108');
    expect(() => readCpio(new Uint8Array(0))).toThrow('PL-2108');
  });
});
