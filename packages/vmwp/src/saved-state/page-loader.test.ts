/**
 * Memory that comes in when it is touched: which pages do, what several threads make of it, what an altered file does then, and what is
 * saved while not all is there.
 */
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { PlinthError } from '@plinth/errors';
import { type GuestMemory, PAGE_BYTES, Partition } from '@plinth/hypervisor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HEADER_BYTES } from './file-format.ts';
import { PIECE_BYTES } from './memory-image.ts';
import { RestoredMemory } from './restored-memory.ts';
import { SavedFile, writeSavedFile } from './saved-file.ts';

const MIB = 1024 * 1024;
const RAM = 16 * MIB;
const PAGES = RAM / PAGE_BYTES;
const STATES = { configuration: {}, processor: {}, devices: {}, vmbus: null, agent: {} };
const PER_PIECE = PIECE_BYTES / PAGE_BYTES;
/** Every third page of the first MiB behind the hole, so that pieces consist of many runs; then a run of 200. */
const SCATTERED = Array.from({ length: 80 }, (_, index) => 256 + index * 3);
const RUN = Array.from({ length: 200 }, (_, index) => 1000 + index);
const USED = [...SCATTERED, ...RUN];

let folder: string;
let path: string;
let file: SavedFile;
let failures: unknown[];

const partition = (): Partition => Partition.create({ ramBytes: RAM, processors: 1, clock: { now: () => 0 } });
const contentOf = (page: number): number => (page * 0x01000193) >>> 0;

function restored(): { memory: GuestMemory; whole: RestoredMemory; partition: Partition } {
  const child = partition();
  const whole = new RestoredMemory(file, child.guestMemory, (error) => failures.push(error));
  return { memory: child.guestMemory, whole, partition: child };
}

/** Changes a byte of a piece, as it lies in the file. */
function alter(piece: number): void {
  const descriptor = openSync(path, 'r+');
  const pages = readFileSync(path).length - USED.length * PAGE_BYTES;
  writeSync(descriptor, Uint8Array.of(0x5a), 0, 1, pages + piece * PIECE_BYTES + 17);
  closeSync(descriptor);
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plinth-pages-'));
  path = join(folder, 'saved');
  failures = [];
  const { guestMemory } = partition();
  for (const page of USED) guestMemory.writeU32(page * PAGE_BYTES + 8, contentOf(page));
  await writeSavedFile(path, STATES, guestMemory, PAGES);
  file = SavedFile.open(path);
});
afterEach(() => {
  file.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('memory that is not there yet', () => {
  it('comes in with its piece of the file when it is touched, and no other does', () => {
    const { memory } = restored();
    expect(memory.absent.count).toBe(USED.length);
    expect(memory.guestTouchedBytes()).toBe(USED.length * PAGE_BYTES);
    // What was zero never comes from the file.
    expect(memory.readU32(5 * PAGE_BYTES)).toBe(0);
    expect(memory.absent.count).toBe(USED.length);
    const [first = 0, second = 0] = SCATTERED;
    expect(memory.readU32(second * PAGE_BYTES + 8)).toBe(contentOf(second));
    expect(memory.absent.count).toBe(USED.length - PER_PIECE);
    expect(memory.absent.isAbsent(first)).toBe(false);
    expect(memory.absent.isAbsent(SCATTERED[PER_PIECE] ?? 0)).toBe(true);
    // Ranges and single numbers, reads and writes, the guest's addresses and the pool's.
    memory.writeU8(1100 * PAGE_BYTES, 7);
    expect(memory.readU32(1100 * PAGE_BYTES + 8)).toBe(contentOf(1100));
    const all = memory.poolPages(1000, 200, 'read');
    const view = new DataView(all.buffer, all.byteOffset);
    for (const page of RUN) expect(view.getUint32((page - 1000) * PAGE_BYTES + 8, true)).toBe(contentOf(page));
    expect(view.getUint8(100 * PAGE_BYTES)).toBe(7);
    expect(memory.range(0x100000, MIB, 'write')).toHaveLength(1);
    expect([memory.absent.count, failures]).toEqual([0, []]);
  });

  it('keeps what was written since its piece came in, whoever asks for the rest', () => {
    const { memory, whole } = restored();
    memory.writeU32(1000 * PAGE_BYTES + 8, 1);
    whole.loadAll();
    expect(memory.readU32(1000 * PAGE_BYTES + 8)).toBe(1);
    expect(memory.absent.count).toBe(0);
  });

  it('comes in by and by, and the file is closed then', async () => {
    const { memory, whole } = restored();
    rmSync(path);
    whole.fill();
    while (memory.absent.count !== 0) await new Promise((resolve) => setTimeout(resolve, 1));
    for (const page of USED) expect(memory.readU32(page * PAGE_BYTES + 8)).toBe(contentOf(page));
    expect(failures).toEqual([]);
  });

  it('is saved again as it was, though it was not there', async () => {
    const { memory } = restored();
    memory.readU8((SCATTERED[0] ?? 0) * PAGE_BYTES);
    const again = join(folder, 'again');
    await writeSavedFile(again, STATES, memory, PAGES);
    expect(readFileSync(again).equals(readFileSync(path))).toBe(true);
  });

  it('is put in place once, though threads touch the same pages at the same time', async () => {
    const { memory, whole, partition: child } = restored();
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      (async () => {
        const { Partition } = await import(workerData.hypervisor);
        const { PageLoader } = await import(workerData.loader);
        const { guestMemory } = Partition.attach(workerData.memory, { now: () => 0 });
        guestMemory.absent.source = new PageLoader(workerData.pages, guestMemory);
        parentPort.postMessage('ready');
        Atomics.wait(workerData.gate, 0, 0);
        let wrong = 0;
        for (const page of workerData.used) {
          if (guestMemory.readU32(page * ${PAGE_BYTES} + 8) !== (page * 0x01000193) >>> 0) wrong++;
          Atomics.add(new Uint32Array(guestMemory.poolPages(page, 1, 'write').buffer, ${child.layout.ramOffset} + page * ${PAGE_BYTES}, 1), 0, 1);
        }
        parentPort.postMessage(wrong);
      })();`;
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const threads = 4;
    const workers = Array.from(
      { length: threads },
      () =>
        new Worker(code, {
          eval: true,
          workerData: {
            hypervisor: new URL('../../../hypervisor/dist/index.js', import.meta.url).href,
            loader: new URL('../../dist/saved-state/page-loader.js', import.meta.url).href,
            memory: child.memory,
            pages: whole.pages,
            used: USED,
            gate,
          },
        }),
    );
    const answer = (worker: Worker): Promise<unknown> => new Promise((resolve) => worker.once('message', resolve));
    await Promise.all(workers.map(answer));
    const answers = workers.map(answer);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect(await Promise.all(answers)).toEqual(workers.map(() => 0));
    // Each thread counted in each page: had a page come in twice, it would have lost counts.
    for (const page of USED) expect(memory.readU32(page * PAGE_BYTES)).toBe(threads);
    expect(memory.absent.count).toBe(0);
    await Promise.all(workers.map((worker) => worker.terminate()));
  });
});

describe('a file that was altered behind its table', () => {
  it('is found out when the piece comes in, by name, and none of the piece is used', () => {
    alter(1);
    const { memory } = restored();
    const [good = 0, bad = 0] = [SCATTERED[0], SCATTERED[PER_PIECE]];
    expect(memory.readU32(good * PAGE_BYTES + 8)).toBe(contentOf(good));
    expect(failures).toEqual([]);
    expect(memory.readU32(bad * PAGE_BYTES + 8)).toBe(0);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toBeInstanceOf(PlinthError);
    expect(failures[0]).toMatchObject({ code: 'PL-2204', exitStatus: 65 });
    expect(memory.absent.isAbsent(bad)).toBe(true);
  });

  it('is found out by the one who brings in the rest, and is never saved again', async () => {
    alter(3);
    const { whole } = restored();
    expect(() => whole.loadAll()).toThrow(/PL-2204/);
    whole.fill();
    while (failures.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(failures[0]).toMatchObject({ code: 'PL-2204' });
  });

  it('as one that has become shorter meanwhile', () => {
    const { memory } = restored();
    truncateSync(path, readFileSync(path).length - PIECE_BYTES);
    expect(memory.readU32(1199 * PAGE_BYTES + 8)).toBe(0);
    expect(failures[0]).toMatchObject({ code: 'PL-2203', exitStatus: 65 });
    writeFileSync(path, '');
    expect(memory.readU32(1000 * PAGE_BYTES + 8)).toBe(0);
    expect(failures[1]).toMatchObject({ code: 'PL-2203' });
  });

  it('never does anything but to come in or to be refused: 400 files whose map and pages differ from a valid one', () => {
    const valid = readFileSync(path);
    let state = 0x5eed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const entries = Array.from({ length: valid.readUInt32LE(12) }, (_, index) => HEADER_BYTES + index * 64);
    const named = (name: string): number =>
      entries.find((entry) => valid.toString('latin1', entry, entry + name.length) === name) ?? 0;
    const [map, pages] = [named('memory-map'), named('memory-pages')];
    const [mapOffset, mapBytes] = [Number(valid.readBigUInt64LE(map + 40)), Number(valid.readBigUInt64LE(map + 48))];
    const seen = new Map<string, number>();
    const note = (outcome: string): void => void seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    for (let round = 0; round < 400; round++) {
      const copy = Buffer.from(valid);
      const word = (): number => mapOffset + 4 * random(random(2) === 0 ? 8 : mapBytes / 4);
      if (random(2) === 0) copy.writeUInt32LE([random(2 ** 32), random(PAGES), random(4)][random(3)] ?? 0, word());
      if (random(2) === 0)
        copy.writeUInt32LE(
          random(2 ** 32),
          Number(valid.readBigUInt64LE(pages + 40)) + random(USED.length * PAGE_BYTES - 4),
        );
      if (random(8) === 0) copy.writeUInt32LE(1 + random(2), map + 32);
      copy.writeUInt32LE(crc32(copy.subarray(mapOffset, mapOffset + mapBytes)), map + 36);
      copy.writeUInt32LE(crc32(copy.subarray(HEADER_BYTES, HEADER_BYTES + entries.length * 64)), 24);
      copy.writeUInt32LE(crc32(copy.subarray(0, 28)), 28);
      const other = join(folder, 'other');
      writeFileSync(other, copy);
      let hostile: SavedFile;
      try {
        hostile = SavedFile.open(other);
      } catch (error) {
        note(error instanceof PlinthError ? error.code : String(error));
        continue;
      }
      if (hostile.map.poolPages === PAGES) {
        const { guestMemory } = partition();
        const errors: unknown[] = [];
        new RestoredMemory(hostile, guestMemory, (error) => errors.push(error));
        for (let touch = 0; touch < 30; touch++) {
          const page = random(2) === 0 ? random(PAGES) : (USED[random(USED.length)] ?? 0);
          guestMemory.range(page * PAGE_BYTES, 1 + random(4 * PAGE_BYTES), random(2) === 0 ? 'read' : 'write');
        }
        note(errors.length === 0 ? 'read' : 'refused');
        for (const error of errors) note(error instanceof PlinthError ? error.code : String(error));
      }
      hostile.close();
    }
    for (const outcome of seen.keys()) expect(outcome).toMatch(/^(read|refused|PL-220[46])$/);
    expect([...seen.keys()].sort()).toEqual(['PL-2204', 'PL-2206', 'read', 'refused']);
  });
});
