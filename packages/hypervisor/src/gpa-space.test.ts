import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GPA_LIMIT, GpaSpace, mapPcMemory, type SlotKind } from './gpa-space.ts';
import { layoutMemory, SHARED, SHARED_OFFSET, SLOT_BYTES, SLOT_LIMIT } from './memory-layout.ts';

const MIB = 2 ** 20;
const layout = layoutMemory(16 * MIB, 1);
const createSpace = (buffer = new SharedArrayBuffer(4 * MIB)): { space: GpaSpace; buffer: SharedArrayBuffer } => ({
  space: new GpaSpace(buffer, layout),
  buffer,
});
const header = (buffer: SharedArrayBuffer): DataView => new DataView(buffer, SHARED_OFFSET, SHARED.devices);

describe('the PC map', () => {
  it('has RAM, the VGA hole, shadow RAM and RAM from 1 MiB on, and nothing else', () => {
    const { space } = createSpace();
    mapPcMemory(space, layout);
    const kindAt = (gpa: number): string => space.find(gpa)?.kind ?? 'none';
    expect([0, 0x9ffff, 0xa0000, 0xbffff, 0xc0000, 0xfffff, 0x100000, 16 * MIB - 1, 16 * MIB].map(kindAt)).toEqual([
      'ram',
      'ram',
      'hole',
      'hole',
      'ram',
      'ram',
      'ram',
      'ram',
      'none',
    ]);
    expect(space.find(0x200000)?.hostOffset).toBe(layout.ramOffset + 0x100000);
  });

  it('is written into the shared table as engines read it', () => {
    const { space, buffer } = createSpace();
    mapPcMemory(space, layout);
    const view = header(buffer);
    expect(view.getUint32(SHARED.slotCount, true)).toBe(4);
    const rows = Array.from({ length: 4 }, (_, index) => {
      const at = SHARED.slots + index * SLOT_BYTES;
      return [
        view.getBigUint64(at, true),
        view.getBigUint64(at + 8, true),
        view.getUint32(at + 16, true),
        view.getUint32(at + 20, true),
      ];
    });
    expect(rows).toEqual([
      [0x100000n, BigInt(16 * MIB), 1, layout.ramOffset + 0x100000],
      [0n, 0xa0000n, 1, layout.ramOffset],
      [0xc0000n, 0x100000n, 1, layout.ramOffset + 0xc0000],
      [0xa0000n, 0xc0000n, 4, 0],
    ]);
  });
});

describe('slots', () => {
  it('hide those of a lower priority, and show them again when they go', () => {
    const { space } = createSpace();
    mapPcMemory(space, layout);
    const overlay = space.map({ kind: 'overlay', start: 0x3000, end: 0x4000, hostOffset: 0x180000 });
    expect(space.find(0x3fff)).toEqual(overlay);
    expect(space.extentEnd(0x1000)).toBe(0x3000);
    expect(space.extentEnd(0x3000)).toBe(0x4000);
    expect(space.extentEnd(0x4000)).toBe(0xa0000);
    expect(space.extentEnd(16 * MIB)).toBe(GPA_LIMIT);
    space.unmap(overlay.identifier);
    expect(space.find(0x3fff)?.kind).toBe('ram');
  });

  it('can turn from RAM to ROM and back', () => {
    const { space } = createSpace();
    const shadow = space.map({ kind: 'ram', start: 0xf0000, end: 0x100000, hostOffset: layout.ramOffset });
    space.setKind(shadow.identifier, 'rom');
    expect(space.find(0xf0000)?.kind).toBe('rom');
    space.setKind(shadow.identifier, 'ram');
    expect(space.find(0xf0000)?.kind).toBe('ram');
  });

  it('lie above 4 GiB too', () => {
    const { space, buffer } = createSpace();
    space.map({ kind: 'mmio', start: 0x12_3456_7000, end: 0x12_3456_8000 });
    expect(header(buffer).getBigUint64(SHARED.slots, true)).toBe(0x12_3456_7000n);
    expect(new GpaSpace(buffer, layout).find(0x12_3456_7fff)?.kind).toBe('mmio');
  });

  it('show to every thread, with an even and new generation after each change', () => {
    const { space, buffer } = createSpace();
    const other = new GpaSpace(buffer, layout);
    const generations = [header(buffer).getUint32(SHARED.slotGeneration, true)];
    const slot = space.map({ kind: 'hole', start: 0, end: 0x1000 });
    expect(other.slots).toEqual([slot]);
    generations.push(header(buffer).getUint32(SHARED.slotGeneration, true));
    const second = other.map({ kind: 'mmio', start: 0x1000, end: 0x2000 });
    expect(second.identifier).not.toBe(slot.identifier);
    expect(space.find(0x1000)).toEqual(second);
    generations.push(header(buffer).getUint32(SHARED.slotGeneration, true));
    expect(generations.every((generation) => generation % 2 === 0)).toBe(true);
    expect(new Set(generations).size).toBe(3);
  });

  it.each<[string, { kind: SlotKind; start: number; end: number; hostOffset?: number }]>([
    ['no page', { kind: 'ram', start: 1, end: 0x1000 }],
    ['no whole page', { kind: 'ram', start: 0, end: 0x1001 }],
    ['nothing', { kind: 'ram', start: 0x1000, end: 0x1000 }],
    ['a negative address', { kind: 'ram', start: -4096, end: 0 }],
    ['no number', { kind: 'ram', start: Number.NaN, end: 0x1000 }],
    ['what is past the GPA space', { kind: 'hole', start: GPA_LIMIT, end: GPA_LIMIT + 4096 }],
    ['memory outside the partition', { kind: 'ram', start: 0, end: 0x2000, hostOffset: layout.totalBytes - 0x1000 }],
    ['memory at no page', { kind: 'overlay', start: 0, end: 0x1000, hostOffset: 12 }],
    ['MMIO with memory', { kind: 'mmio', start: 0, end: 0x1000, hostOffset: 0x1000 }],
  ])('are refused for %s', (_, request) => {
    expect(() => createSpace().space.map(request)).toThrow('PL-4105');
  });

  it('are at most as many as the table holds', () => {
    const { space } = createSpace();
    for (let page = 0; page < SLOT_LIMIT; page++)
      space.map({ kind: 'hole', start: page * 4096, end: (page + 1) * 4096 });
    expect(() => space.map({ kind: 'hole', start: 0x100000, end: 0x101000 })).toThrow('PL-4108');
    expect(space.slots).toHaveLength(SLOT_LIMIT);
  });

  it('answer as a search of all slots by priority does', () => {
    const kind = fc.constantFrom<SlotKind>('ram', 'rom', 'mmio', 'hole', 'overlay');
    const request = fc.record({ kind, first: fc.nat(30), pages: fc.integer({ min: 1, max: 10 }), priority: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), (requests) => {
        const { space } = createSpace();
        const model = requests.map(({ kind, first, pages, priority }) => {
          const start = first * 4096;
          return space.map({ kind, start, end: start + pages * 4096, priority });
        });
        for (let page = 0; page < 42; page++) {
          const gpa = page * 4096 + 5;
          const covering = model.filter(({ start, end }) => gpa >= start && gpa < end);
          const best = Math.max(...covering.map(({ priority }) => priority));
          // Of equals the newest wins.
          const expected = covering.filter(({ priority }) => priority === best).at(-1);
          expect(space.find(gpa)).toEqual(expected);
          const end = space.extentEnd(gpa);
          expect(end).toBeGreaterThan(gpa);
          expect(space.find(Math.min(end, GPA_LIMIT) - 1)).toEqual(expected);
        }
      }),
    );
  });
});
