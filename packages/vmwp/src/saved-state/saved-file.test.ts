/**
 * The file of a saved machine: what is written comes back page by page, and whatever is wrong with a file is refused by name. Files
 * of the first format, as it was written first (golden-1.hex), are read by this version.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { PlinthError } from '@plinth/errors';
import { PAGE_BYTES, Partition } from '@plinth/hypervisor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HEADER_BYTES } from './file-format.ts';
import { addChecksums, buildMemoryMap, findRuns, PIECE_BYTES, parseMemoryMap } from './memory-image.ts';
import { RestoredMemory } from './restored-memory.ts';
import { SavedFile, writeSavedFile } from './saved-file.ts';

const MIB = 1024 * 1024;
const RAM = 32 * MIB;
const PAGES = RAM / PAGE_BYTES;
const STATES = {
  configuration: { version: 1, name: 'configuration' },
  processor: { version: 1, fields: { Rax: '00' } },
  devices: { version: 1, devices: {} },
  vmbus: null,
  agent: { version: 1, typed: 'ä' },
};
const GOLDEN = new URL('./testing/golden-1.hex', import.meta.url);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plinth-saved-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const partition = (): Partition => Partition.create({ ramBytes: RAM, processors: 1, clock: { now: () => 0 } });

/** Memory with pages here and there, one of them used and zero again, and a run longer than a piece. */
function fill(memory: Partition['guestMemory']): void {
  memory.write(0x1234, Uint8Array.of(1, 2, 3));
  memory.write(0x5000, Uint8Array.of(7));
  memory.write(0x5000, Uint8Array.of(0));
  for (let page = 300; page < 300 + 700; page++) memory.writeU32(page * PAGE_BYTES + (page % 1000) * 4, page);
  memory.writeU8(RAM - 1, 0xff);
}

async function written(path = join(folder, 'saved')): Promise<{ path: string; bytes: Buffer }> {
  const { guestMemory } = partition();
  fill(guestMemory);
  await writeSavedFile(path, STATES, guestMemory, PAGES);
  return { path, bytes: readFileSync(path) };
}

/** All pages of a file, into memory that nobody has used. */
function loadMemory(file: SavedFile, memory: Partition['guestMemory']): void {
  new RestoredMemory(file, memory, (error) => {
    throw error;
  }).loadAll();
}

/** What opening and loading a file ends with: `read`, or the error's code. */
function outcome(bytes: Uint8Array): string {
  const path = join(folder, 'other');
  writeFileSync(path, bytes);
  let file: SavedFile | undefined;
  try {
    file = SavedFile.open(path);
    // Of memory as large as the file says, as the machine's would be; what is larger than a machine's is none of the file's matter.
    if (file.map.poolPages !== PAGES) return 'other memory';
    loadMemory(file, partition().guestMemory);
    return 'read';
  } catch (error) {
    if (error instanceof PlinthError) return error.code;
    throw error;
  } finally {
    file?.close();
  }
}

/** Puts right the checksums of header and table, for files that are wrong in another way. */
function seal(bytes: Buffer): Buffer {
  const sections = bytes.readUInt32LE(12);
  const table = bytes.subarray(HEADER_BYTES, HEADER_BYTES + sections * 64);
  bytes.writeUInt32LE(crc32(table), 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

describe('a written file', () => {
  it('has all states and all pages, and no zero pages', async () => {
    const { path, bytes } = await written();
    const file = SavedFile.open(path);
    expect(file.states).toEqual(STATES);
    expect(file.map.runs).toEqual([
      { first: 1, pages: 1 },
      { first: 300, pages: 700 },
      { first: PAGES - 1, pages: 1 },
    ]);
    const [from, to] = [partition(), partition()];
    fill(from.guestMemory);
    loadMemory(file, to.guestMemory);
    file.close();
    const all = ({ guestMemory }: Partition): Buffer => Buffer.from(guestMemory.poolPages(0, PAGES, 'read'));
    expect(Buffer.compare(all(from), all(to))).toBe(0);
    expect(bytes.length).toBeLessThan(702 * PAGE_BYTES * 1.1);
    // What was never used takes no memory of the host at restore either.
    expect(to.guestMemory.guestTouchedBytes()).toBe(702 * PAGE_BYTES);
  });

  it('can have no page at all', async () => {
    const path = join(folder, 'empty');
    await writeSavedFile(path, STATES, partition().guestMemory, PAGES);
    expect(outcome(readFileSync(path))).toBe('read');
  });

  it('takes its name when it is whole: a folder that is not there, a full disk and a file in the way leave nothing', async () => {
    const { guestMemory } = partition();
    fill(guestMemory);
    const to = (path: string): Promise<unknown> => writeSavedFile(path, STATES, guestMemory, PAGES);
    await expect(to(join(folder, 'none', 'saved'))).rejects.toThrow(/PL-3005.*does not exist/);
    const { path } = await written();
    const before = readFileSync(path);
    await expect(to(join(path, 'within'))).rejects.toThrow(/PL-3005/);
    expect(readFileSync(path).equals(before)).toBe(true);
    await to(path);
    expect(readdirSync(folder)).toEqual(['saved']);
    expect(existsSync(path)).toBe(true);
  });
});

describe('a file that is not what it should be', () => {
  it('is refused by name', async () => {
    const { bytes } = await written();
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy.writeUInt32LE(value, at);
      return copy;
    };
    expect(outcome(bytes)).toBe('read');
    expect(outcome(Buffer.from('#!/bin/sh'))).toBe('PL-2201');
    expect(outcome(Buffer.alloc(0))).toBe('PL-2201');
    expect(outcome(changed(8, 2))).toBe('PL-2202');
    expect(outcome(bytes.subarray(0, 40))).toBe('PL-2203');
    expect(outcome(bytes.subarray(0, bytes.length - 1))).toBe('PL-2203');
    expect(outcome(changed(12, 3))).toBe('PL-2204');
    expect(outcome(changed(HEADER_BYTES + 40, 4711))).toBe('PL-2204');
    expect(outcome(Buffer.concat([bytes, Buffer.from('x')]))).toBe('PL-2206');
    // A section's name and version, with the checksums right.
    expect(outcome(seal(changed(HEADER_BYTES + 32, 2)))).toBe('PL-2205');
    expect(outcome(seal(changed(HEADER_BYTES, 0x78787878)))).toBe('PL-2205');
    expect(outcome(seal(changed(HEADER_BYTES, 0x41414141)))).toBe('PL-2206');
    expect(outcome(seal(changed(HEADER_BYTES + 40, 0)))).toBe('PL-2206');
    expect(() => SavedFile.open(join(folder, 'nothing'))).toThrow(/PL-3006/);
    expect(() => SavedFile.open(folder)).toThrow(/PL-3006/);
  });

  it('is found out wherever a byte of it is another', async () => {
    const { bytes } = await written();
    const unused = (at: number): boolean => {
      // The header's rest, each entry's last bytes, and what fills up to the first page, are nothing's.
      if (at >= 32 && at < HEADER_BYTES) return true;
      const table = HEADER_BYTES + 7 * 64;
      return at < table && at >= HEADER_BYTES && (at - HEADER_BYTES) % 64 >= 56;
    };
    const contents = bytes.indexOf('{"version"');
    const pages = bytes.length - 702 * PAGE_BYTES;
    for (const at of [
      8,
      13,
      20,
      30,
      HEADER_BYTES + 2,
      HEADER_BYTES + 100,
      contents,
      contents + 20,
      pages,
      pages + MIB,
      bytes.length - 1,
    ]) {
      if (unused(at)) continue;
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 0x10;
      expect([at, outcome(copy)]).toEqual([at, expect.stringMatching(/^PL-220/)]);
    }
  });

  it('never does anything but to be read or refused: 1000 files that differ from a valid one', async () => {
    const { bytes } = await written();
    const pages = bytes.length - 702 * PAGE_BYTES;
    let state = 0x5eed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const seen = new Set<string>();
    for (let round = 0; round < 1000; round++) {
      // Without most of the pages: their bytes are all alike.
      let copy = Buffer.from(bytes.subarray(0, pages));
      for (let change = random(4); change >= 0; change--) {
        const area = random(3) === 0 ? copy.length : HEADER_BYTES + 7 * 64;
        copy[random(area)] = random(4) === 0 ? 0xff : random(256);
      }
      if (random(8) === 0) copy = Buffer.from(copy.subarray(0, random(copy.length)));
      if (copy.length >= HEADER_BYTES && random(2) === 0) {
        copy.writeBigUInt64LE(BigInt(copy.length), 16);
        if (copy.readUInt32LE(12) <= 256 && HEADER_BYTES + copy.readUInt32LE(12) * 64 <= copy.length) seal(copy);
      }
      seen.add(outcome(copy));
    }
    for (const code of seen) expect(code).toMatch(/^(read|other memory|PL-220[1-6])$/);
    expect(seen.size).toBeGreaterThan(4);
  });
});

describe('the map of a memory', () => {
  it('is refused when its runs do not fit', () => {
    const map = (
      runs: readonly { first: number; pages: number }[],
      checksums: readonly number[],
      bytes: number,
      pieceBytes = PIECE_BYTES,
      version = 2,
    ) => parseMemoryMap(version, buildMemoryMap({ poolPages: 100, pieceBytes, runs, checksums }), bytes);
    const sound = [{ first: 3, pages: 2 }];
    const read = { poolPages: 100, pieceBytes: PIECE_BYTES, runs: sound, checksums: [9] };
    expect(map(sound, [9], 2 * PAGE_BYTES)).toEqual(read);
    // Its first version had pieces of a MiB, and said nothing of it.
    expect(map(sound, [9], 2 * PAGE_BYTES, 0, 1)).toEqual({ ...read, pieceBytes: MIB });
    expect(map([{ first: 99, pages: 2 }], [9], 2 * PAGE_BYTES)).toMatch(/out of place/);
    expect(map([{ first: 3, pages: 0 }], [], 0)).toMatch(/out of place/);
    const twice = [
      { first: 3, pages: 2 },
      { first: 4, pages: 1 },
    ];
    expect(map(twice, [9], 3 * PAGE_BYTES)).toMatch(/out of place/);
    expect(map(sound, [9], PAGE_BYTES)).toMatch(/as many pages/);
    expect(map(sound, [], 2 * PAGE_BYTES)).toMatch(/checksums/);
    for (const bytes of [0, 100, 2 * MIB]) expect(map(sound, [9], 2 * PAGE_BYTES, bytes)).toMatch(/pieces of/);
    expect(parseMemoryMap(2, new Uint8Array(5), 0)).toMatch(/too short/);
    expect(parseMemoryMap(1, new Uint8Array(17), 0)).toMatch(/length/);
  });

  it('has checksums of pieces as they lie in the file, however their bytes came', () => {
    const bytes = Uint8Array.from({ length: 3 * PIECE_BYTES - 100 }, (_, index) => index ^ (index >> 8));
    const expected = [0, 1, 2].map((piece) => crc32(bytes.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES)));
    for (const step of [PAGE_BYTES, PIECE_BYTES, 3 * PIECE_BYTES, 5 * PAGE_BYTES]) {
      const checksums = [0, 0, 0];
      for (let at = 0; at < bytes.length; at += step) addChecksums(checksums, bytes.subarray(at, at + step), at);
      expect(checksums).toEqual(expected);
    }
  });

  it('finds what is under an overlay, and not the overlay', () => {
    const one = partition();
    one.guestMemory.writeU8(0x7000, 5);
    const { layout, space } = one;
    const hostOffset = layout.ramOffset + layout.ramBytes;
    space.map({ kind: 'overlay', start: 0x7000, end: 0x8000, hostOffset, priority: 100 });
    space.map({ kind: 'overlay', start: 0x9000, end: 0xa000, hostOffset, priority: 100 });
    one.guestMemory.overlayPage(0, 'write').fill(0xcc);
    expect(findRuns(one.guestMemory)).toEqual([{ first: 7, pages: 1 }]);
  });
});

describe('earlier formats', () => {
  it('the first one, as it was written first, is read', () => {
    const golden = Buffer.from(readFileSync(GOLDEN, 'latin1').replaceAll(/\s/g, ''), 'hex');
    const path = join(folder, 'golden');
    writeFileSync(path, golden);
    const file = SavedFile.open(path);
    expect(file.states).toEqual(STATES);
    const { guestMemory } = partition();
    loadMemory(file, guestMemory);
    file.close();
    expect(guestMemory.readU32(0x1234)).toBe(0x30201);
    expect(guestMemory.readU8(RAM - 1)).toBe(0xff);
    expect(guestMemory.guestTouchedBytes()).toBe(2 * PAGE_BYTES);
  });
});
