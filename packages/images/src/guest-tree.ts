/**
 * The file tree of a guest while it is put together. Called by `initramfs.ts`.
 *
 * Invariants: `/sbin`, `/usr/bin` and `/usr/sbin` are links to `/bin`, and `/usr/lib` is one to `/lib`, so that a program is found
 * by every path that packages use; each path stands in the tree once, under its real folder; parents exist. The archive is
 * sorted by path, so the same content gives the same bytes.
 */
import { posix } from 'node:path';
import { type CpioEntry, writeCpio } from './cpio.ts';

/** What is put at a path; a directory is made by naming it. */
export type GuestFile = { readonly path: string } & (
  | { readonly contents: Uint8Array | string; readonly mode?: number }
  | { readonly symlink: string }
  | { readonly directory: true; readonly mode?: number }
  | { readonly device: 'character' | 'block'; readonly major: number; readonly minor: number; readonly mode?: number }
);

/** Folders that are links, longest first, and the real folder of each. */
const mergedFolders: readonly (readonly [string, string])[] = [
  ['usr/sbin', 'bin'],
  ['usr/bin', 'bin'],
  ['usr/lib', 'lib'],
  ['usr/lib64', 'lib64'],
  ['sbin', 'bin'],
];

export class GuestTree {
  readonly #entries = new Map<string, CpioEntry>();

  constructor() {
    for (const [link, real] of mergedFolders) {
      this.add({ path: real, directory: true });
      const target = posix.relative(posix.dirname(`/${link}`), `/${real}`);
      this.#put({ kind: 'symlink', path: link, mode: 0o777, target });
    }
  }

  /** Puts a file there; a later one replaces an earlier one, except that an existing directory stays. */
  add(file: GuestFile): void {
    const path = realPath(file.path);
    if (path === '') return;
    if ('contents' in file) {
      const contents = typeof file.contents === 'string' ? new TextEncoder().encode(file.contents) : file.contents;
      this.#put({ kind: 'file', path, mode: file.mode ?? 0o644, contents });
    } else if ('symlink' in file) {
      this.#put({ kind: 'symlink', path, mode: 0o777, target: file.symlink });
    } else if ('device' in file) {
      const kind = file.device === 'character' ? 'character-device' : 'block-device';
      this.#put({ kind, path, mode: file.mode ?? 0o600, major: file.major, minor: file.minor });
    } else if (this.#entries.get(path)?.kind !== 'symlink') {
      this.#put({ kind: 'directory', path, mode: file.mode ?? 0o755 });
    }
  }

  /** Whether something stands at `path`. */
  has(path: string): boolean {
    return this.#entries.has(realPath(path));
  }

  /** All regular files. */
  files(): { path: string; contents: Uint8Array }[] {
    return [...this.#entries.values()].flatMap((entry) =>
      entry.kind === 'file' ? [{ path: entry.path, contents: entry.contents }] : [],
    );
  }

  /** The tree as a cpio archive. */
  toCpio(): Uint8Array {
    return writeCpio([...this.#entries.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)));
  }

  #put(entry: CpioEntry): void {
    const parent = posix.dirname(entry.path);
    if (parent !== '.' && !this.#entries.has(parent)) this.add({ path: parent, directory: true });
    this.#entries.set(entry.path, entry);
  }
}

/** The path below the root under its real folder: `/usr/sbin/x` is `bin/x`. */
function realPath(path: string): string {
  const relative = posix.normalize(`/${path}`).slice(1).replace(/\/$/, '');
  for (const [link, real] of mergedFolders) {
    if (relative === link) return real;
    if (relative.startsWith(`${link}/`)) return `${real}${relative.slice(link.length)}`;
  }
  return relative;
}
