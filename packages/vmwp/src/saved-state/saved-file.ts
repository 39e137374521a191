/**
 * The file of a saved machine, written and read: sections of JSON, and the guest's memory without its zero pages.
 *
 * It is written under another name beside its own and takes its name when all of it is on the disk, so that what has the name is whole,
 * and a file that is replaced stays as it was until then. Of a file that is opened, all is read and checked but the memory's pages, which come in
 * when they are touched (page-loader.ts).
 *
 * Invariants: nothing of a file is used before its checksum was found right; a part that this version does not know is refused, never
 * passed over. Called by: machine-saver.ts, run-virtual-machine.ts.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { PlinthError } from '@plinth/errors';
import { type GuestMemory, PAGE_BYTES } from '@plinth/hypervisor';
import { fileReason } from '../file-reason.ts';
import {
  buildFileHead,
  HEADER_BYTES,
  parseFileHeader,
  parseSectionTable,
  type SectionEntry,
  tableBytes,
} from './file-format.ts';
import {
  addChecksums,
  buildMemoryMap,
  findRuns,
  type MemoryMap,
  PIECE_BYTES,
  pagesOf,
  parseMemoryMap,
} from './memory-image.ts';
import { readFully, type SavedPages, unreadable } from './page-loader.ts';

/** Sections of JSON, each a saved state with a version of its own. */
const STATE_SECTIONS = ['configuration', 'processor', 'devices', 'vmbus', 'agent'] as const;
export type StateSection = (typeof STATE_SECTIONS)[number];
const MEMORY_MAP = 'memory-map';
const MEMORY_PAGES = 'memory-pages';
/** Pages that are written at once. */
const WRITE_PAGES = 256;
/** The newest form of each section. */
const SECTION_VERSIONS: ReadonlyMap<string, number> = new Map([
  ...STATE_SECTIONS.map((name) => [name, 1] as const),
  [MEMORY_MAP, 2],
  [MEMORY_PAGES, 1],
]);

export type SavedStates = Readonly<Record<StateSection, unknown>>;

export interface WrittenFile {
  readonly fileBytes: number;
  /** Bytes of the guest's pages that are not zero. */
  readonly memoryBytes: number;
}

/**
 * Writes a file; on return it is on the disk under its name.
 * @throws PlinthError PL-3005 with the reason (a full disk, a folder that is not there); then what had the name still has it
 */
export async function writeSavedFile(
  path: string,
  states: SavedStates,
  memory: GuestMemory,
  poolPages: number,
): Promise<WrittenFile> {
  const temporary = `${path}.${process.pid}.saving`;
  let file: FileHandle | undefined;
  try {
    file = await open(temporary, 'w', 0o600);
    const written = await writeSections(file, states, memory, poolPages);
    await file.sync();
    await file.close();
    file = undefined;
    await rename(temporary, path);
    return written;
  } catch (error) {
    // What could not be finished is of no use to anybody; that it cannot be closed or removed says nothing new.
    await file?.close().catch(() => undefined);
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new PlinthError('PL-3005', { path, option: '--save-to', reason: fileReason(error) }, { cause: error });
  }
}

async function writeSections(
  file: FileHandle,
  states: SavedStates,
  memory: GuestMemory,
  poolPages: number,
): Promise<WrittenFile> {
  const runs = findRuns(memory);
  const pageBytes = pagesOf(runs) * PAGE_BYTES;
  const checksums = new Array<number>(Math.ceil(pageBytes / PIECE_BYTES)).fill(0);
  const encoder = new TextEncoder();
  const contents: { name: string; content: Uint8Array }[] = STATE_SECTIONS.map((name) => ({
    name,
    content: encoder.encode(JSON.stringify(states[name])),
  }));
  // Its checksums are filled in when the pages have been read.
  contents.push({ name: MEMORY_MAP, content: buildMemoryMap({ poolPages, pieceBytes: PIECE_BYTES, runs, checksums }) });
  let position = HEADER_BYTES + tableBytes(contents.length + 1);
  const places = contents.map(({ content }) => {
    const offset = position;
    position += content.length;
    return offset;
  });
  const pagesOffset = Math.ceil(position / PAGE_BYTES) * PAGE_BYTES;
  position = pagesOffset;
  for (const { first, pages } of runs) {
    for (let done = 0; done < pages; done += WRITE_PAGES) {
      const bytes = memory.poolPages(first + done, Math.min(pages - done, WRITE_PAGES), 'read');
      addChecksums(checksums, bytes, position - pagesOffset);
      await writeAll(file, bytes, position);
      position += bytes.length;
    }
  }
  contents.splice(-1, 1, {
    name: MEMORY_MAP,
    content: buildMemoryMap({ poolPages, pieceBytes: PIECE_BYTES, runs, checksums }),
  });
  const entries: SectionEntry[] = contents.map(({ name, content }, index) => ({
    name,
    version: SECTION_VERSIONS.get(name) ?? 1,
    crc: crc32(content),
    offset: places[index] ?? 0,
    bytes: content.length,
  }));
  entries.push({ name: MEMORY_PAGES, version: 1, crc: 0, offset: pagesOffset, bytes: pageBytes });
  for (const [index, { content }] of contents.entries()) await writeAll(file, content, places[index] ?? 0);
  // An empty memory's pages end where they begin.
  await file.truncate(position);
  await writeAll(file, buildFileHead(entries, position), 0);
  return { fileBytes: position, memoryBytes: pageBytes };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** A file that was opened: its states are read and checked, its memory's pages are not. */
export class SavedFile {
  readonly path: string;
  readonly states: SavedStates;
  readonly map: MemoryMap;
  readonly #descriptor: number;
  readonly #pagesOffset: number;
  #isClosed = false;

  private constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
    const status = fstatSync(descriptor);
    const start = this.#read(0, Math.min(HEADER_BYTES, status.size));
    const header = parseFileHeader(path, start, status.size);
    const sections = parseSectionTable(path, header, this.#read(HEADER_BYTES, tableBytes(header.sections)));
    for (const { name: part, version } of sections) {
      const newest = SECTION_VERSIONS.get(part);
      if (newest !== undefined && version >= 1 && version <= newest) continue;
      const known = newest === undefined ? 'no such part' : `up to ${newest}`;
      throw new PlinthError('PL-2205', { path, part, version, known });
    }
    const section = (name: string): SectionEntry => {
      const found = sections.find((one) => one.name === name);
      if (found === undefined) throw new PlinthError('PL-2206', { path, problem: `the section ${name} is missing` });
      return found;
    };
    const content = (name: string): Uint8Array => {
      const { offset, bytes, crc } = section(name);
      const read = this.#read(offset, bytes);
      if (crc32(read) !== crc) throw new PlinthError('PL-2204', { path, part: `its section ${name}` });
      return read;
    };
    const json = (name: string): unknown => {
      try {
        return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content(name)));
      } catch (error) {
        if (error instanceof PlinthError) throw error;
        throw new PlinthError('PL-2206', { path, problem: `its section ${name} is no JSON` }, { cause: error });
      }
    };
    this.states = {
      configuration: json('configuration'),
      processor: json('processor'),
      devices: json('devices'),
      vmbus: json('vmbus'),
      agent: json('agent'),
    };
    const pages = section(MEMORY_PAGES);
    const map = parseMemoryMap(section(MEMORY_MAP).version, content(MEMORY_MAP), pages.bytes);
    if (typeof map === 'string') throw new PlinthError('PL-2206', { path, problem: map });
    this.map = map;
    this.#pagesOffset = pages.offset;
  }

  /**
   * Opens a file.
   * @throws PlinthError PL-3006 when it cannot be read, PL-2201 to PL-2206 when it is not what it should be
   */
  static open(path: string): SavedFile {
    let descriptor: number;
    try {
      descriptor = openSync(path, 'r');
    } catch (error) {
      throw unreadable(path, error);
    }
    try {
      if (!fstatSync(descriptor).isFile()) {
        throw new PlinthError('PL-3006', { path, option: '--restore', reason: 'It is not a regular file' });
      }
      return new SavedFile(path, descriptor);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  /** What is needed to bring in the memory's pages, on any thread, while the file is open. Each call tells of a memory of its own. */
  pages(): SavedPages {
    const { runs, checksums, pieceBytes } = this.map;
    const shared = (values: readonly number[]): Uint32Array<SharedArrayBuffer> => {
      const table = new Uint32Array(new SharedArrayBuffer(values.length * 4));
      table.set(values);
      return table;
    };
    const starts = [0];
    for (const { pages } of runs) starts.push((starts.at(-1) ?? 0) + pages);
    return {
      path: this.path,
      descriptor: this.#descriptor,
      offset: this.#pagesOffset,
      pieceBytes,
      firsts: shared(runs.map(({ first }) => first)),
      starts: shared(starts),
      checksums: shared(checksums),
      states: new Int32Array(new SharedArrayBuffer(checksums.length * 4)),
    };
  }

  close(): void {
    if (!this.#isClosed) closeSync(this.#descriptor);
    this.#isClosed = true;
  }

  #read(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    const content = new Uint8Array(bytes);
    readFully(this.path, this.#descriptor, content, offset);
    return content;
  }
}
