import { describe, expect, it } from 'vitest';
import {
  buffer,
  constantMethod,
  device,
  eisaId,
  integer,
  name,
  named,
  packageOf,
  resource,
  resources,
  scope,
  type Term,
  text,
} from './aml.ts';

const bytes = (hexadecimal: string): number[] => hexadecimal.split(' ').map((digits) => Number.parseInt(digits, 16));
const filler = (length: number): Term => Array.from({ length }, () => 0);

describe('terms', () => {
  it.each<[string, Term, string]>([
    ['a padded segment', name('PCI'), '50 43 49 5f'],
    ['the root', name('\\'), '5c 00'],
    ['a rooted segment', name('\\_SB'), '5c 5f 53 42 5f'],
    ['two segments', name('\\_SB.COM1'), '5c 2e 5f 53 42 5f 43 4f 4d 31'],
    ['three segments', name('A.B.C'), '2f 03 41 5f 5f 5f 42 5f 5f 5f 43 5f 5f 5f'],
    ['zero', integer(0), '00'],
    ['one', integer(1), '01'],
    ['a byte', integer(2), '0a 02'],
    ['a word', integer(0x1234), '0b 34 12'],
    ['a double word', integer(0xfee00000), '0c 00 00 e0 fe'],
    ['a quad word', integer(2 ** 40 + 1), '0e 01 00 00 00 00 01 00 00'],
    ['a string', text('AB'), '0d 41 42 00'],
    ['an EISA identifier', eisaId('PNP0501'), '0c 41 d0 05 01'],
    ['a named object', named('_UID', integer(1)), '08 5f 55 49 44 01'],
    ['a package', packageOf([integer(5), integer(0)]), '12 05 02 0a 05 00'],
    ['a buffer', buffer([7]), '11 03 01 07'],
    ['a scope', scope('\\_SB', []), '10 06 5c 5f 53 42 5f'],
    ['a device', device('COM1', []), '5b 82 05 43 4f 4d 31'],
    ['a constant method', constantMethod('_STA', integer(15)), '14 09 5f 53 54 41 00 a4 0a 0f'],
    ['an I/O port range', resource.ports(0x3f8, 8), '47 01 f8 03 f8 03 01 08'],
    [
      'a window',
      resource.window(0xf8000000, 0xfec00000),
      '8a 2b 00 00 0c 03 00 00 00 00 00 00 00 00 00 00 00 f8 00 00 00 00 ff ff bf fe 00 00 00 00 00 00 00 00 00 00 00 00 00 00 c0 06 00 00 00 00',
    ],
    ['an interrupt', resource.interrupt(4), '22 10 00'],
    ['a resource template', resources([resource.interrupt(8)]), '11 08 0a 05 22 00 01 79 00'],
  ])('%s', (_, term, expected) => {
    expect(term).toEqual(bytes(expected));
  });

  it.each([
    [62, '3f'],
    [63, '41 04'],
    [4093, '4f ff'],
    [4094, '81 00 01'],
    [0xfffff - 3, '8f ff ff'],
    [0xfffff - 2, 'c1 00 00 01'],
  ])('a package length counts itself and takes the bytes it needs: %i bytes behind it', (content, expected) => {
    const term = scope('ABCD', [filler(content - 4)]);
    expect(term.slice(1, term.length - content)).toEqual(bytes(expected));
  });

  it('that cannot be encoded are refused', () => {
    expect(() => name('TOOLONG')).toThrow(RangeError);
    expect(() => name('1AB')).toThrow(RangeError);
    expect(() => eisaId('PNP05')).toThrow(RangeError);
  });
});
