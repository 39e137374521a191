/**
 * The cpio 'newc' format (magic 070701), which Linux unpacks as its initramfs. Facts: cpio(5), Linux
 * `Documentation/driver-api/early-userspace/buffer-format.rst`. Called by `guest-tree.ts`; the reader serves tests and tools.
 *
 * Invariants: the same entries give the same bytes (no owner, time or inode number of the host enters); each header and each
 * content begins at a multiple of 4; the archive is padded to a multiple of 512 as cpio itself does.
 */
import { PlinthError } from '@plinth/errors';

/** One file of an archive. Paths are relative, without a leading slash. */
export type CpioEntry = { readonly path: string; readonly mode: number } & (
  | { readonly kind: 'file'; readonly contents: Uint8Array }
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'character-device' | 'block-device'; readonly major: number; readonly minor: number }
);

/** File type bits of st_mode. */
const typeBits = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
} as const satisfies Record<CpioEntry['kind'], number>;

const headerLength = 110;
const trailerName = 'TRAILER!!!';

/** The archive of `entries`, in their order; a directory must stand before what is in it. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const encoder = new TextEncoder();
  const pieces: Uint8Array[] = [];
  let length = 0;
  const append = (bytes: Uint8Array): void => {
    pieces.push(bytes);
    length += bytes.length;
  };
  const align = (boundary: number): void => {
    const missing = (boundary - (length % boundary)) % boundary;
    if (missing > 0) append(new Uint8Array(missing));
  };
  const record = (
    inode: number,
    mode: number,
    links: number,
    path: string,
    contents: Uint8Array,
    major: number,
    minor: number,
  ): void => {
    const name = encoder.encode(`${path}\0`);
    const fields = [inode, mode, 0, 0, links, 0, contents.length, 0, 0, major, minor, name.length, 0];
    append(encoder.encode(`070701${fields.map(hex8).join('')}`));
    append(name);
    align(4);
    append(contents);
    align(4);
  };

  entries.forEach((entry, index) => {
    const mode = typeBits[entry.kind] | (entry.mode & 0o7777);
    const contents =
      entry.kind === 'file'
        ? entry.contents
        : entry.kind === 'symlink'
          ? encoder.encode(entry.target)
          : new Uint8Array(0);
    const device = 'major' in entry ? entry : { major: 0, minor: 0 };
    record(index + 1, mode, entry.kind === 'directory' ? 2 : 1, entry.path, contents, device.major, device.minor);
  });
  record(0, 0, 1, trailerName, new Uint8Array(0), 0, 0);
  align(512);

  const archive = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    archive.set(piece, offset);
    offset += piece.length;
  }
  return archive;
}

/**
 * The entries of one archive, up to its trailer.
 *
 * @throws PL-2108 when the bytes are no such archive
 */
export function readCpio(archive: Uint8Array, name = 'initrd'): CpioEntry[] {
  const decoder = new TextDecoder('latin1');
  const text = new TextDecoder('utf8');
  const entries: CpioEntry[] = [];
  const broken = (reason: string): PlinthError => new PlinthError('PL-2108', { package: name, reason });
  let offset = 0;
  for (;;) {
    const header = decoder.decode(archive.subarray(offset, offset + headerLength));
    if (!/^070701[0-9A-Fa-f]{104}$/.test(header)) throw broken(`There is no cpio header at offset ${offset}`);
    const field = (index: number): number => Number.parseInt(header.slice(6 + index * 8, 14 + index * 8), 16);
    const mode = field(1);
    const size = field(6);
    const nameLength = field(11);
    const contentsAt = alignUp(offset + headerLength + nameLength);
    if (nameLength === 0 || contentsAt + size > archive.length)
      throw broken(`The entry at offset ${offset} is cut short`);
    const path = text.decode(archive.subarray(offset + headerLength, offset + headerLength + nameLength - 1));
    if (path === trailerName) return entries;
    const contents = archive.subarray(contentsAt, contentsAt + size);
    const permissions = mode & 0o7777;
    switch (mode & 0o170000) {
      case typeBits.file:
        entries.push({ kind: 'file', path, mode: permissions, contents });
        break;
      case typeBits.directory:
        entries.push({ kind: 'directory', path, mode: permissions });
        break;
      case typeBits.symlink:
        entries.push({ kind: 'symlink', path, mode: permissions, target: text.decode(contents) });
        break;
      case typeBits['character-device']:
        entries.push({ kind: 'character-device', path, mode: permissions, major: field(9), minor: field(10) });
        break;
      case typeBits['block-device']:
        entries.push({ kind: 'block-device', path, mode: permissions, major: field(9), minor: field(10) });
        break;
      default:
        throw broken(`The entry ${path} has the unknown mode ${mode.toString(8)}`);
    }
    offset = alignUp(contentsAt + size);
  }
}

function alignUp(offset: number): number {
  return (offset + 3) & ~3;
}

function hex8(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
