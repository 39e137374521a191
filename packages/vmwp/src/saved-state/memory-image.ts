/**
 * A guest's memory in a saved machine: which of its pages are in the file, as runs, and checksums of what is there.
 *
 *     map:   u32 pages of the pool, u32 runs, u32 pieces, u32 bytes of a piece | runs {u32 first page, u32 pages} | pieces' CRC-32s, u32 each
 *     pages: the runs' pages, one after the other, without a gap
 *
 * Pages that are zero are in no run. A piece is so many bytes of the pages as they lie in the file, whatever pages they are of, so that any
 * part of the file can be read and checked alone. In the map's first version pieces were of a MiB, and a 0 stood for it. Invariant: what `parseMemoryMap` returns has runs in rising order within the pool.
 * Called by: saved-file.ts.
 */
import { crc32 } from 'node:zlib';
import { type GuestMemory, PAGE_BYTES } from '@plinth/hypervisor';

/** Of the files that are written: what is read at once when one page is touched. */
export const PIECE_BYTES = 64 * 1024;
/** Of files with the first version of the map, and the most that any has. */
const FIRST_PIECE_BYTES = 1024 * 1024;
const MAP_HEADER_BYTES = 16;
const RUN_BYTES = 8;

export interface PageRun {
  readonly first: number;
  readonly pages: number;
}

export interface MemoryMap {
  readonly poolPages: number;
  readonly pieceBytes: number;
  readonly runs: readonly PageRun[];
  readonly checksums: readonly number[];
}

export const pagesOf = (runs: readonly PageRun[]): number => runs.reduce((sum, { pages }) => sum + pages, 0);

/** Which pages are not zero. Pages that nobody ever used are not looked at, so that the host gives them no memory. */
export function findRuns(memory: GuestMemory): PageRun[] {
  const runs: { first: number; pages: number }[] = [];
  let last: { first: number; pages: number } | undefined;
  for (const page of memory.usedPages()) {
    const bytes = memory.poolPages(page, 1, 'read');
    if (isZero(new Int32Array(bytes.buffer, bytes.byteOffset, PAGE_BYTES / 4))) continue;
    if (last !== undefined && last.first + last.pages === page) last.pages++;
    else {
      last = { first: page, pages: 1 };
      runs.push(last);
    }
  }
  return runs;
}

function isZero(words: Int32Array): boolean {
  for (let index = 0; index < words.length; index++) if (words[index] !== 0) return false;
  return true;
}

export function buildMemoryMap({ poolPages, pieceBytes, runs, checksums }: MemoryMap): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MAP_HEADER_BYTES + runs.length * RUN_BYTES + checksums.length * 4);
  const view = new DataView(bytes.buffer);
  [poolPages, runs.length, checksums.length, pieceBytes].forEach((value, index) => {
    view.setUint32(index * 4, value, true);
  });
  runs.forEach(({ first, pages }, index) => {
    view.setUint32(MAP_HEADER_BYTES + index * RUN_BYTES, first, true);
    view.setUint32(MAP_HEADER_BYTES + index * RUN_BYTES + 4, pages, true);
  });
  checksums.forEach((checksum, index) => {
    view.setUint32(MAP_HEADER_BYTES + runs.length * RUN_BYTES + index * 4, checksum, true);
  });
  return bytes;
}

/**
 * @param version of the section
 * @returns what is wrong with it, as a text, when it is no map of so many bytes of pages
 */
export function parseMemoryMap(version: number, bytes: Uint8Array, pageBytes: number): MemoryMap | string {
  if (bytes.length < MAP_HEADER_BYTES) return 'the map of its memory is too short';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const poolPages = view.getUint32(0, true);
  const runCount = view.getUint32(4, true);
  const pieceCount = view.getUint32(8, true);
  const pieceBytes = version === 1 ? FIRST_PIECE_BYTES : view.getUint32(12, true);
  if (pieceBytes === 0 || pieceBytes % PAGE_BYTES !== 0 || pieceBytes > FIRST_PIECE_BYTES) {
    return `pieces of its memory have ${pieceBytes} bytes`;
  }
  if (bytes.length !== MAP_HEADER_BYTES + runCount * RUN_BYTES + pieceCount * 4) {
    return 'the map of its memory has another length than it says';
  }
  let end = 0;
  const runs: PageRun[] = [];
  for (let index = 0; index < runCount; index++) {
    const first = view.getUint32(MAP_HEADER_BYTES + index * RUN_BYTES, true);
    const pages = view.getUint32(MAP_HEADER_BYTES + index * RUN_BYTES + 4, true);
    if (first < end || pages === 0 || first + pages > poolPages) return `run ${index} of its memory is out of place`;
    end = first + pages;
    runs.push({ first, pages });
  }
  if (pagesOf(runs) * PAGE_BYTES !== pageBytes) return 'it has not as many pages as the map of its memory says';
  if (pieceCount !== Math.ceil(pageBytes / pieceBytes)) {
    return 'its memory has another number of checksums than pieces';
  }
  const at = MAP_HEADER_BYTES + runCount * RUN_BYTES;
  const checksums = Array.from({ length: pieceCount }, (_, index) => view.getUint32(at + index * 4, true));
  return { poolPages, pieceBytes, runs, checksums };
}

/** Adds bytes of the pages, of which so many lie before them in the file, to the checksums of their pieces. */
export function addChecksums(checksums: number[], bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    const piece = Math.floor((position + done) / PIECE_BYTES);
    const part = bytes.subarray(done, done + PIECE_BYTES - ((position + done) % PIECE_BYTES));
    checksums[piece] = crc32(part, checksums[piece]);
    done += part.length;
  }
}
