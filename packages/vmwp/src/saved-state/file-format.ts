/**
 * The file of a saved machine: its header and the table of its sections, as bytes.
 *
 *     0    magic "PLINTHVM", u32 format, u32 number of sections, u64 bytes of the whole file, u32 CRC of the table, u32 CRC of this header
 *     64   table: for each section {name, 32 bytes of ASCII; u32 version; u32 CRC; u64 offset; u64 bytes; 8 zeros}
 *     ...  the sections' contents, in the table's order; the memory's pages begin at a page
 *
 * All numbers are little-endian, all checksums CRC-32. The header's is over its first 28 bytes. A section's CRC is over its content; that of
 * the memory's pages is 0, as they have checksums of their own, a MiB each (memory-image.ts).
 *
 * Invariant: what `parseFileHeader` returns lies within the file, in order and without overlap. Called by: saved-file.ts.
 */
import { crc32 } from 'node:zlib';
import { PlinthError } from '@plinth/errors';

const MAGIC = new TextEncoder().encode('PLINTHVM');
/** The newest format, and the only one so far. */
const FORMAT_VERSION = 1;
export const HEADER_BYTES = 64;
const ENTRY_BYTES = 64;
const NAME_BYTES = 32;
/** More sections than any machine has. */
const SECTION_LIMIT = 256;

const HEADER = { format: 8, sections: 12, fileBytes: 16, tableCrc: 24, headerCrc: 28 } as const;
const ENTRY = { version: 32, crc: 36, offset: 40, bytes: 48 } as const;

export interface SectionEntry {
  readonly name: string;
  readonly version: number;
  readonly crc: number;
  readonly offset: number;
  readonly bytes: number;
}

/** What the first bytes of a file say. */
export interface FileHeader {
  readonly sections: number;
  readonly fileBytes: number;
  readonly tableCrc: number;
}

export const tableBytes = (sections: number): number => sections * ENTRY_BYTES;

/** Header and table of a file with these sections. */
export function buildFileHead(sections: readonly SectionEntry[], fileBytes: number): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(HEADER_BYTES + tableBytes(sections.length));
  const view = new DataView(head.buffer);
  sections.forEach(({ name, version, crc, offset, bytes }, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    head.set(new TextEncoder().encode(name).subarray(0, NAME_BYTES), at);
    view.setUint32(at + ENTRY.version, version, true);
    view.setUint32(at + ENTRY.crc, crc, true);
    view.setBigUint64(at + ENTRY.offset, BigInt(offset), true);
    view.setBigUint64(at + ENTRY.bytes, BigInt(bytes), true);
  });
  head.set(MAGIC);
  view.setUint32(HEADER.format, FORMAT_VERSION, true);
  view.setUint32(HEADER.sections, sections.length, true);
  view.setBigUint64(HEADER.fileBytes, BigInt(fileBytes), true);
  view.setUint32(HEADER.tableCrc, crc32(head.subarray(HEADER_BYTES)), true);
  view.setUint32(HEADER.headerCrc, crc32(head.subarray(0, HEADER.headerCrc)), true);
  return head;
}

/**
 * Reads a header.
 * @param bytes the first HEADER_BYTES of the file, or all of it when it is shorter
 * @param actualBytes of the file
 * @throws PlinthError PL-2201 for another kind of file, PL-2202 for a newer format, PL-2203, PL-2204, PL-2206
 */
export function parseFileHeader(path: string, bytes: Uint8Array, actualBytes: number): FileHeader {
  if (bytes.length < MAGIC.length || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw new PlinthError('PL-2201', { path });
  }
  if (bytes.length < HEADER_BYTES) {
    throw new PlinthError('PL-2203', { path, bytes: actualBytes, expected: `a header of ${HEADER_BYTES}` });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  // The format comes before the checksum: only this version's is known to be where it is.
  const version = view.getUint32(HEADER.format, true);
  if (version > FORMAT_VERSION) throw new PlinthError('PL-2202', { path, version, newest: FORMAT_VERSION });
  if (view.getUint32(HEADER.headerCrc, true) !== crc32(bytes.subarray(0, HEADER.headerCrc))) {
    throw new PlinthError('PL-2204', { path, part: 'its header' });
  }
  const fileBytes = Number(view.getBigUint64(HEADER.fileBytes, true));
  if (fileBytes > actualBytes) throw new PlinthError('PL-2203', { path, bytes: actualBytes, expected: fileBytes });
  const sections = view.getUint32(HEADER.sections, true);
  const isSound = version >= 1 && sections <= SECTION_LIMIT && fileBytes === actualBytes;
  if (!isSound || HEADER_BYTES + tableBytes(sections) > fileBytes) {
    throw new PlinthError('PL-2206', { path, problem: 'its header does not fit the file' });
  }
  return { sections, fileBytes, tableCrc: view.getUint32(HEADER.tableCrc, true) };
}

/**
 * Reads the table behind a header.
 * @throws PlinthError PL-2204, PL-2206
 */
export function parseSectionTable(path: string, header: FileHeader, table: Uint8Array): SectionEntry[] {
  const malformed = (problem: string): PlinthError => new PlinthError('PL-2206', { path, problem });
  if (crc32(table) !== header.tableCrc) throw new PlinthError('PL-2204', { path, part: 'its table of sections' });
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  let end = HEADER_BYTES + table.length;
  const names = new Set<string>();
  return Array.from({ length: header.sections }, (_, index) => {
    const at = index * ENTRY_BYTES;
    const raw = table.subarray(at, at + NAME_BYTES);
    const length = raw.indexOf(0);
    const name = new TextDecoder('latin1').decode(length < 0 ? raw : raw.subarray(0, length));
    const offset = Number(view.getBigUint64(at + ENTRY.offset, true));
    const bytes = Number(view.getBigUint64(at + ENTRY.bytes, true));
    if (!/^[a-z][a-z0-9-]*$/.test(name) || names.has(name)) throw malformed(`section ${index} has no name of its own`);
    if (offset < end || offset + bytes > header.fileBytes)
      throw malformed(`the section ${name} lies outside of the file`);
    names.add(name);
    end = offset + bytes;
    return {
      name,
      version: view.getUint32(at + ENTRY.version, true),
      crc: view.getUint32(at + ENTRY.crc, true),
      offset,
      bytes,
    };
  });
}
