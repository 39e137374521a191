/** Reading a saved state: what is right comes out, what is not is an error that names its place. */
import { describe, expect, it } from 'vitest';
import { SavedValue, saveBytes } from './saved-value.ts';

const value = (given: unknown): SavedValue => new SavedValue('disk', given);

describe('a saved value', () => {
  it('is read by its kind', () => {
    const saved = value({ number: 5, yes: true, word: 'b', name: 'x', list: [1, 2], bytes: '00ff', none: null });
    expect(saved.at('number').integer(5, 5)).toBe(5);
    expect(saved.at('yes').boolean()).toBe(true);
    expect(saved.at('word').word('a', 'b')).toBe('b');
    expect(saved.at('name').text()).toBe('x');
    expect(
      saved
        .at('list')
        .list(2)
        .map((one) => one.raw()),
    ).toEqual([1, 2]);
    expect(saved.at('bytes').bytes(2)).toEqual(Uint8Array.of(0, 255));
    expect(saved.at('none').optional((one) => one.text())).toBeUndefined();
    expect(saved.at('missing').optional((one) => one.text())).toBeUndefined();
    expect(saved.at('name').optional((one) => one.text())).toBe('x');
    expect(value({ version: 1 }).version(1)).toBe(1);
    expect(saveBytes(Uint8Array.of(1, 0xab))).toBe('01ab');
  });

  it.each<[string, () => unknown, string]>([
    ['a number as text', () => value({ a: '5' }).at('a').integer(0, 9), 'a is not a whole number from 0 to 9'],
    ['a number too small', () => value({ a: -1 }).at('a').integer(0, 9), 'a is not a whole number'],
    ['a number too great', () => value({ a: 10 }).at('a').integer(0, 9), 'a is not a whole number'],
    ['half a number', () => value({ a: 0.5 }).at('a').integer(0, 9), 'a is not a whole number'],
    ['a number for a truth', () => value(1).boolean(), 'the whole is not true or false'],
    ['a number for a text', () => value(1).text(), 'the whole is not a text'],
    ['a text too long', () => value('xx').text(1), 'the whole is not a text'],
    ['an unknown word', () => value('c').word('a', 'b'), 'the whole is not one of a, b'],
    ['no list', () => value({}).list(5), 'the whole is not a list of at most 5'],
    ['a list too long', () => value([1, 2]).list(1), 'the whole is not a list of at most 1'],
    ['bytes that are none', () => value('0').bytes(5), 'the whole is not at most 5 bytes'],
    ['bytes of a number', () => value(0).bytes(5), 'the whole is not at most 5 bytes'],
    ['too many bytes', () => value('0000').bytes(1), 'the whole is not at most 1 bytes'],
    ['something inside nothing', () => value({ a: null }).at('a').at('b'), 'a is not an object'],
    [
      'something inside a number',
      () =>
        value([{ a: 5 }])
          .list(1)[0]
          ?.at('a')
          .at('b'),
      '[0].a is not an object',
    ],
    ['no version', () => value({}).version(1), 'version is not a whole number'],
  ])('refuses %s', (_, read, problem) => {
    expect(read).toThrow(expect.objectContaining({ code: 'PL-4104', message: expect.stringContaining(problem) }));
  });

  it('refuses a newer version by its number', () => {
    expect(() => value({ version: 3 }).version(2)).toThrow(
      expect.objectContaining({ code: 'PL-4103', parameters: { device: 'disk', version: 3, newest: 2 } }),
    );
  });
});
