import { describe, expect, it } from 'vitest';
import { Partition } from './partition.ts';

const PAGE_BYTES = 4096;
const create = (): Partition => Partition.create({ ramBytes: 4 * 2 ** 20, processors: 1, clock: { now: () => 0 } });

describe('absent pages', () => {
  it('come in before anybody gets hold of their bytes, and only those', () => {
    const { guestMemory } = create();
    const asked: number[] = [];
    guestMemory.absent.mark(0x300, 4);
    guestMemory.absent.source = {
      load(page) {
        asked.push(page);
        guestMemory.absent.settle(page, new Uint8Array(PAGE_BYTES).fill(page & 0xff));
      },
    };
    expect([guestMemory.absent.count, guestMemory.guestTouchedBytes()]).toEqual([4, 4 * PAGE_BYTES]);
    expect([...guestMemory.usedPages()]).toEqual([0x300, 0x301, 0x302, 0x303]);
    expect(guestMemory.readU16(0x301fff)).toBe(0x0201);
    expect(asked).toEqual([0x301, 0x302]);
    expect(guestMemory.writeU8(0x303001, 9)).toBe(true);
    expect(guestMemory.readU32(0x303000)).toBe(0x03030903);
    expect(guestMemory.absent.isAbsent(0x300)).toBe(true);
    expect(guestMemory.poolPages(0x300, 1, 'read')[5]).toBe(0);
    expect([asked, guestMemory.absent.count]).toEqual([[0x301, 0x302, 0x303, 0x300], 0]);
  });

  it('are seen by other threads over the same memory, which need a source of their own', () => {
    const partition = create();
    partition.guestMemory.absent.mark(0x300, 1);
    const other = Partition.attach(partition.memory, { now: () => 0 }).guestMemory;
    expect(() => other.readU8(0x300000)).toThrow(/page 768 is absent/);
    partition.guestMemory.absent.settle(0x300, new Uint8Array(PAGE_BYTES).fill(7));
    expect(other.readU8(0x300000)).toBe(7);
  });

  it('are pages that there are, and that nobody has used', () => {
    const { guestMemory } = create();
    guestMemory.writeU8(0x305000, 1);
    expect(() => guestMemory.absent.mark(0x304, 2)).toThrow(/page 773 is in use/);
    for (const [first, pages] of [
      [0x400, 1],
      [0x3ff, 2],
      [-1, 1],
      [0.5, 1],
    ] as const) {
      expect(() => guestMemory.absent.mark(first, pages)).toThrow(RangeError);
    }
  });
});
