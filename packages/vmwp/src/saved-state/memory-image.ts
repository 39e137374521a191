/**
 * A guest's memory in a saved machine: which of its pages are in the file, as runs, and checksums of what is there.
 *
 *     map:   u32 pages of the pool, u32 runs, u32 pieces, u32 0 | runs {u32 first page, u32 pages} | pieces' CRC-32s, u32 each
 *     pages: the runs' pages, one after the other, without a gap
 *
 * Pages that are zero are in no run. A piece is a MiB of the pages as they lie in the file, whatever pages they are of, so that any part
 * of the file can be read and checked alone. Invariant: what `parseMemoryMap` returns has runs in rising order within the pool.
 * Called by: saved-file.ts.
 */
import { type GuestMemory, PAGE_BYTES } from '@plinth/hypervisor';

export const PIECE_BYTES = 1024 * 1024;
const MAP_HEADER_BYTES = 16;
const RUN_BYTES = 8;

export interface PageRun {
  readonly first: number;
  readonly pages: number;
}

export interface MemoryMap {
  readonly poolPages: number;
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

export function buildMemoryMap({ poolPages, runs, checksums }: MemoryMap): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MAP_HEADER_BYTES + runs.length * RUN_BYTES + checksums.length * 4);
  const view = new DataView(bytes.buffer);
  [poolPages, runs.length, checksums.length].forEach((value, index) => {
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

/** @returns what is wrong with it, as a text, when it is no map of so many bytes of pages */
export function parseMemoryMap(bytes: Uint8Array, pageBytes: number): MemoryMap | string {
  if (bytes.length < MAP_HEADER_BYTES) return 'the map of its memory is too short';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const poolPages = view.getUint32(0, true);
  const runCount = view.getUint32(4, true);
  const pieceCount = view.getUint32(8, true);
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
  if (pieceCount !== Math.ceil(pageBytes / PIECE_BYTES))
    return 'its memory has another number of checksums than pieces';
  const at = MAP_HEADER_BYTES + runCount * RUN_BYTES;
  const checksums = Array.from({ length: pieceCount }, (_, index) => view.getUint32(at + index * 4, true));
  return { poolPages, runs, checksums };
}

/** Where bytes of the file's pages belong: parts of runs, each within one piece, in the file's order. */
export function* partsOf(runs: readonly PageRun[]): Generator<{ piece: number; page: number; pages: number }> {
  const perPiece = PIECE_BYTES / PAGE_BYTES;
  let position = 0;
  for (const { first, pages } of runs) {
    for (let done = 0; done < pages; ) {
      const count = Math.min(pages - done, perPiece - (position % perPiece));
      yield { piece: Math.floor(position / perPiece), page: first + done, pages: count };
      done += count;
      position += count;
    }
  }
}
