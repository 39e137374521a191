/** GPADLs by themselves: what is kept for a guest, and where it ends. The messages around them are in server.test.ts. */
import { beforeEach, describe, expect, it } from 'vitest';
import { GpadlTable, PAGE_LIMIT } from './gpadl-table.ts';

let table: GpadlTable;
beforeEach(() => {
  table = new GpadlTable((extents) => extents.every(({ gpa }) => gpa < 2 ** 40));
});

/** A range of whole pages from page `first` on. */
function range(pages: number, first = 0x100): Uint8Array {
  const bytes = new Uint8Array(8 + pages * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, pages * 4096, true);
  for (let page = 0; page < pages; page++) view.setBigUint64(8 + page * 8, BigInt(first + page), true);
  return bytes;
}
const lend = (channelId: number, gpadlId: number, pages = 1) => {
  const bytes = range(pages);
  return table.header(channelId, gpadlId, bytes.length, 1, bytes);
};

describe('a list', () => {
  it('comes whole or in parts, and is then there for its channel alone', () => {
    const bytes = range(3);
    expect(table.header(1, 7, bytes.length, 1, bytes.subarray(0, 16))).toEqual({ kind: 'receiving' });
    expect(table.ready(1, 7)).toBeUndefined();
    expect(table.body(7, bytes.subarray(16, 24))).toEqual({ kind: 'receiving' });
    expect(table.body(7, bytes.subarray(24))?.kind).toBe('ready');
    expect(table.ready(1, 7)).toEqual([[{ start: 0, gpa: 0x100000, bytes: 12288 }]]);
    expect([table.ready(2, 7), table.find(2, 7), table.body(7, bytes)]).toEqual([undefined, undefined, undefined]);
    expect([table.size, table.pages, table.of(1).length, table.of(2).length]).toEqual([1, 3, 1, 0]);
  });

  it.each([
    ['a number in use', () => lend(1, 1), () => lend(1, 1), 'its number is in use'],
    [
      'a number that another channel has not finished',
      () => table.header(1, 1, 800, 1, range(1)),
      () => lend(2, 1),
      'its number is in use by a list that is not complete',
    ],
    ['pages that are no memory', () => undefined, () => table.header(1, 1, 16, 1, range(1, 2 ** 30)), 'not memory'],
    ['an empty list', () => undefined, () => table.header(1, 1, 0, 0, new Uint8Array(0)), 'it has no range'],
    [
      'an empty part',
      () => table.header(1, 1, 800, 1, range(1)),
      () => table.body(1, new Uint8Array(7)),
      'a part of it is empty',
    ],
  ])('with %s is refused, and nothing of it is kept', (_, before, act, problem) => {
    before();
    const size = table.size;
    expect(act()).toMatchObject({ kind: 'refused', problem: expect.stringContaining(problem) });
    expect(table.size).toBeLessThanOrEqual(size);
  });

  it('can be lent once its number is free again', () => {
    lend(1, 1);
    const [gpadl] = table.of(1);
    if (gpadl === undefined) throw new Error('it is there');
    table.remove(gpadl);
    // A second time is nothing.
    table.remove(gpadl);
    expect([table.size, table.pages]).toEqual([0, 0]);
    expect(lend(1, 1).kind).toBe('ready');
    table.header(1, 2, 800, 1, range(1));
    table.clear();
    expect([table.size, table.pages, table.body(2, range(1))]).toEqual([0, 0, undefined]);
  });
});

describe('what a guest can take', () => {
  it('ends at 256 lists under way', () => {
    for (let id = 0; id < 256; id++) expect(table.header(1, id, 800, 1, range(1)).kind).toBe('receiving');
    expect(table.header(1, 999, 800, 1, range(1))).toMatchObject({ problem: '256 lists are not complete yet' });
  });

  it('ends at 16384 lists', () => {
    for (let id = 0; id < 16_384; id++) expect(lend(1, id).kind).toBe('ready');
    expect(lend(2, 0)).toMatchObject({ problem: 'the guest has 16384 lists already' });
  });

  it('ends at 1 GiB', () => {
    // Each list has 0xffff bytes of descriptions at most.
    const pages = 8190;
    for (let id = 0; id < 32; id++) expect(lend(1, id, pages).kind).toBe('ready');
    expect(table.pages).toBe(32 * pages);
    expect(lend(1, 99, PAGE_LIMIT - 32 * pages).kind).toBe('ready');
    expect(lend(1, 100)).toMatchObject({ problem: `the guest would have lent more than ${PAGE_LIMIT} pages` });
    expect(table.pages).toBe(PAGE_LIMIT);
  });
});

describe('lists of a saved state', () => {
  it('go on where they were', () => {
    const bytes = new Uint8Array(24);
    bytes.set(range(2).subarray(0, 16));
    table.restore({ channelId: 1, gpadlId: 1, state: { kind: 'receiving', bytes, filled: 16, rangeCount: 1 } });
    table.restore({ channelId: 1, gpadlId: 2, state: { kind: 'tearing-down', pages: 5 } });
    expect([table.size, table.pages]).toEqual([2, 5]);
    expect(table.body(1, range(2).subarray(16))?.kind).toBe('ready');
    expect(table.pages).toBe(7);
    for (const gpadl of table.all()) table.remove(gpadl);
    expect(table.pages).toBe(0);
  });
});
