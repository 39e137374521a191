import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { isGpaFault } from './guest-memory.ts';
import { HOST_WRITE_RING, PAGE_FLAG, PAGE_RECORD, PAGE_RECORD_BYTES, SHARED, SHARED_OFFSET } from './memory-layout.ts';
import { Partition } from './partition.ts';

const MIB = 2 ** 20;
const RAM = 4 * MIB;

let partition: Partition;
beforeEach(() => {
  partition = Partition.create({ ramBytes: RAM, processors: 1, clock: { now: () => 0 } });
});

const bytesOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, piece) => sum + piece.length, 0);
const records = (): DataView => new DataView(partition.memory.buffer, partition.layout.pagesOffset, (RAM / 4096) * 16);
const header = (): DataView => new DataView(partition.memory.buffer, SHARED_OFFSET, SHARED.devices);

describe('range', () => {
  it('opens RAM in place, in one piece', () => {
    const pieces = partition.guestMemory.range(0x200ff0, 0x2020, 'write');
    if (isGpaFault(pieces)) throw new Error('it is RAM');
    expect(pieces.map(({ byteOffset, length }) => [byteOffset, length])).toEqual([
      [partition.layout.ramOffset + 0x200ff0, 0x2020],
    ]);
  });

  it('joins slots that lie side by side, and splits around an overlay page', () => {
    const { guestMemory, space, layout } = partition;
    expect(guestMemory.range(0xff000, 0x2000, 'read')).toHaveLength(1);
    space.map({ kind: 'overlay', start: 0x300000, end: 0x301000, hostOffset: layout.ramOffset + 0x100000 });
    const pieces = guestMemory.range(0x2ff000, 0x3000, 'read');
    if (isGpaFault(pieces)) throw new Error('it is memory');
    expect(pieces.map(({ byteOffset, length }) => [byteOffset - layout.ramOffset, length])).toEqual([
      [0x2ff000, 0x1000],
      [0x100000, 0x1000],
      [0x301000, 0x1000],
    ]);
  });

  it.each([
    ['the VGA hole', 0x9fff0, 0x20, 'read', 'not-memory', 0xa0000],
    ['what is past RAM', RAM - 4, 8, 'read', 'not-memory', RAM],
    ['unmapped space', 2 ** 40, 1, 'write', 'not-memory', 2 ** 40],
    ['a negative address', -1, 2, 'read', 'bad-range', -1],
    ['a negative length', 0, -1, 'read', 'bad-range', 0],
    ['no integer', 0.5, 4, 'read', 'bad-range', 0.5],
    ['a range that wraps', Number.MAX_SAFE_INTEGER, 16, 'read', 'bad-range', Number.MAX_SAFE_INTEGER],
    ['infinity', 0, Number.POSITIVE_INFINITY, 'read', 'bad-range', 0],
  ] as const)('answers %s with a fault', (_, gpa, length, access, fault, at) => {
    expect(partition.guestMemory.range(gpa, length, access)).toEqual({ fault, gpa: at });
  });

  it('opens ROM for reading only', () => {
    partition.space.map({ kind: 'rom', start: 0xf0000, end: 0x100000, hostOffset: partition.layout.ramOffset });
    expect(isGpaFault(partition.guestMemory.range(0xf0000, 16, 'read'))).toBe(false);
    expect(partition.guestMemory.range(0xefff8, 16, 'write')).toEqual({ fault: 'read-only', gpa: 0xf0000 });
  });

  it('never leaves RAM, whatever it is asked for', () => {
    const near = (value: number) => fc.integer({ min: -5000, max: 5000 }).map((delta) => value + delta);
    const address = fc.oneof(
      near(0),
      near(0xa0000),
      near(0xc0000),
      near(RAM),
      near(2 ** 32),
      near(2 ** 52),
      fc.maxSafeInteger(),
      fc.double(),
    );
    const { ramOffset, ramBytes } = partition.layout;
    fc.assert(
      fc.property(
        address,
        fc.oneof(address, fc.nat(70000)),
        fc.constantFrom('read', 'write'),
        (gpa, length, access) => {
          const pieces = partition.guestMemory.range(gpa, length, access);
          if (isGpaFault(pieces)) return;
          expect(bytesOf(pieces) === length).toBe(true);
          for (const { byteOffset, byteLength } of pieces) {
            expect(byteOffset).toBeGreaterThanOrEqual(ramOffset);
            expect(byteOffset + byteLength).toBeLessThanOrEqual(ramOffset + ramBytes);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('numbers and bytes', () => {
  it('are little-endian and read back, across pieces too', () => {
    const { guestMemory, space, layout } = partition;
    space.map({ kind: 'overlay', start: 0x300000, end: 0x301000, hostOffset: layout.ramOffset + 0x100000 });
    for (const gpa of [0x1000, 0x2fffff, 0x2ffffd, 0x300ffb]) {
      expect(guestMemory.writeU64(gpa, 0x1122334455667788n)).toBe(true);
      expect(guestMemory.readU64(gpa)).toBe(0x1122334455667788n);
      expect(guestMemory.readU32(gpa)).toBe(0x55667788);
      expect(guestMemory.readU16(gpa + 6)).toBe(0x1122);
      expect(guestMemory.readU8(gpa)).toBe(0x88);
      expect(guestMemory.writeU32(gpa, 0xaabbccdd) && guestMemory.writeU16(gpa + 2, 0xffff)).toBe(true);
      expect(guestMemory.writeU8(gpa + 3, 0x01)).toBe(true);
      expect([...(guestMemory.read(gpa, 5) ?? [])]).toEqual([0xdd, 0xcc, 0xff, 0x01, 0x44]);
      expect(guestMemory.write(gpa, Uint8Array.of(9, 8, 7))).toBe(true);
      expect(guestMemory.readU32(gpa)).toBe(0x01070809);
    }
  });

  it('are refused as a whole where memory ends', () => {
    const { guestMemory } = partition;
    for (const gpa of [RAM - 1, 0x9ffff, -1, Number.NaN, 2 ** 60]) {
      expect(guestMemory.readU16(gpa) ?? guestMemory.readU32(gpa) ?? guestMemory.readU64(gpa)).toBeUndefined();
      expect(guestMemory.writeU16(gpa, 1) || guestMemory.writeU32(gpa, 1) || guestMemory.writeU64(gpa, 1n)).toBe(false);
      expect(guestMemory.write(gpa, new Uint8Array(2))).toBe(false);
      expect(guestMemory.read(gpa, 2)).toBeUndefined();
    }
    expect(guestMemory.readU8(RAM)).toBeUndefined();
    expect(guestMemory.writeU8(0xa0000, 1)).toBe(false);
    expect(guestMemory.readU8(RAM - 1)).toBe(0);
  });

  it('are copies that the guest cannot change under the reader', () => {
    const { guestMemory } = partition;
    const copy = guestMemory.read(0x5000, 4);
    guestMemory.writeU32(0x5000, 0xffffffff);
    expect([...(copy ?? [])]).toEqual([0, 0, 0, 0]);
  });
});

describe('what processors are told', () => {
  it('marks the pages of a written range dirty and touched, once per log', () => {
    const { guestMemory } = partition;
    guestMemory.range(0x200fff, 2, 'write');
    guestMemory.range(0x3000, 0x1000, 'read');
    guestMemory.writeU8(0x4000, 1);
    expect(guestMemory.guestTouchedBytes()).toBe(3 * 4096);
    const generation = header().getUint32(SHARED.slotGeneration, true);
    expect([...guestMemory.takeDirtyPages()]).toEqual([4, 0x200, 0x201]);
    expect(header().getUint32(SHARED.slotGeneration, true)).toBe(generation + 2);
    expect([...guestMemory.takeDirtyPages()]).toEqual([]);
    expect(header().getUint32(SHARED.slotGeneration, true)).toBe(generation + 2);
    expect(guestMemory.guestTouchedBytes()).toBe(3 * 4096);
  });

  it('takes pages that the engine marked into the log', () => {
    records().setUint32(7 * PAGE_RECORD_BYTES + PAGE_RECORD.flags, PAGE_FLAG.dirty | PAGE_FLAG.touched, true);
    expect([...partition.guestMemory.takeDirtyPages()]).toEqual([7]);
    expect(partition.guestMemory.guestTouchedBytes()).toBe(4096);
  });

  it('announces written pages that hold decoded code, and no others', () => {
    const { guestMemory } = partition;
    records().setBigUint64(5 * PAGE_RECORD_BYTES + PAGE_RECORD.codeLines, 1n << 63n, true);
    records().setBigUint64(6 * PAGE_RECORD_BYTES + PAGE_RECORD.codeLines, 1n, true);
    guestMemory.range(0x5000, 0x1000, 'read');
    expect(header().getUint32(SHARED.hostWriteCount, true)).toBe(0);
    guestMemory.range(0x4000, 0x4000, 'write');
    expect(header().getUint32(SHARED.hostWriteCount, true)).toBe(2);
    expect([0, 1].map((index) => header().getUint32(SHARED.hostWrites + index * 4, true))).toEqual([5, 6]);
  });

  it('counts on when the ring is full, so that a slow reader knows', () => {
    records().setUint32(5 * PAGE_RECORD_BYTES + PAGE_RECORD.codeLines, 1, true);
    for (let write = 0; write < HOST_WRITE_RING + 3; write++) partition.guestMemory.writeU8(0x5000, write);
    expect(header().getUint32(SHARED.hostWriteCount, true)).toBe(HOST_WRITE_RING + 3);
  });

  it('keeps no record of overlay pages outside RAM', () => {
    partition.space.map({ kind: 'overlay', start: 0x5000, end: 0x6000, hostOffset: SHARED_OFFSET + 0x100000 });
    expect(partition.guestMemory.writeU8(0x5000, 7)).toBe(true);
    expect([...partition.guestMemory.takeDirtyPages()]).toEqual([]);
  });
});
