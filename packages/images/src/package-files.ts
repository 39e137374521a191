/**
 * Packages as folders of files: unpacking `.deb` files with the machine's dpkg-deb (no root rights, nothing is installed, no
 * maintainer script runs), walking them, and finding shared libraries in them. Called by `initramfs.ts`.
 *
 * Invariant: symbolic links are read, never followed out of the folder.
 */
import { lstat, mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { PlinthError } from '@plinth/errors';
import { dynamicNeeds, isElf64 } from './elf.ts';
import type { GuestFile, GuestTree } from './guest-tree.ts';
import { runToolStrictly, type ToolContext, withNamedFileErrors } from './tools.ts';

/** Folders of packages that a small guest has no use for. */
const documentation = /^usr\/share\/(doc|man|info|lintian|locale|bug|doc-base|initramfs-tools)(\/|$)/;

/** Where the dynamic linker looks, in the order that it looks; relative to the root. */
const libraryFolders = [
  'lib/x86_64-linux-gnu',
  'usr/lib/x86_64-linux-gnu',
  'lib64',
  'usr/lib64',
  'lib',
  'usr/lib',
  'usr/lib/x86_64-linux-gnu/systemd',
];

/** Unpacks a package into the new folder `target`. */
export async function unpackPackage(
  archive: string,
  target: string,
  context: ToolContext,
  signal: AbortSignal | undefined,
): Promise<void> {
  await withNamedFileErrors(context.folder, 'unpacked packages', () => mkdir(target, { recursive: true }));
  await runToolStrictly('dpkg-deb', ['--extract', archive, target], { context, signal });
}

/** Paths of all regular files and symbolic links below `folder`, relative and sorted. */
export async function walk(folder: string, below = ''): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(join(folder, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await walk(folder, path)));
    else if (entry.isFile() || entry.isSymbolicLink()) found.push(path);
  }
  return found;
}

/** One file of an unpacked package, ready to be put into a guest's tree. */
async function guestFile(folder: string, path: string): Promise<GuestFile> {
  const status = await lstat(join(folder, path));
  if (status.isSymbolicLink()) return { path, symlink: await readlink(join(folder, path)) };
  return { path, mode: status.mode & 0o7777, contents: await readFile(join(folder, path)) };
}

/** Puts everything of an unpacked package into the tree, except its documentation and boot files. */
export async function addWholePackage(tree: GuestTree, folder: string): Promise<void> {
  for (const path of await walk(folder)) {
    if (!documentation.test(path) && !path.startsWith('boot/')) tree.add(await guestFile(folder, path));
  }
}

/**
 * Puts the shared libraries into the tree that its programs need, from unpacked packages.
 *
 * @param folders the unpacked packages to look in, in this order
 * @throws PL-2110 for a library that is nowhere
 */
export async function addSharedLibraries(tree: GuestTree, folders: readonly string[]): Promise<void> {
  const waiting = tree.files().filter((file) => isElf64(file.contents) && !file.path.endsWith('.ko'));
  const done = new Set<string>();
  for (let program = waiting.pop(); program !== undefined; program = waiting.pop()) {
    const needs = dynamicNeeds(program.contents);
    const wanted = needs.libraries.map((name) => ({ name, paths: libraryFolders.map((place) => `${place}/${name}`) }));
    if (needs.interpreter !== undefined) {
      wanted.push({ name: needs.interpreter, paths: [needs.interpreter.replace(/^\//, '')] });
    }
    for (const { name, paths } of wanted) {
      if (done.has(name)) continue;
      done.add(name);
      const contents = await addFirstFound(tree, folders, paths);
      if (contents !== undefined) waiting.push({ path: name, contents });
      else if (!paths.some((path) => tree.has(path))) {
        throw new PlinthError('PL-2110', { library: name, program: `/${program.path}` });
      }
    }
  }
}

/** Puts the first of `paths` that a package has into the tree, with the files that it links to; gives its contents. */
async function addFirstFound(
  tree: GuestTree,
  folders: readonly string[],
  paths: readonly string[],
): Promise<Uint8Array | undefined> {
  for (const path of paths) {
    for (const folder of folders) {
      const file = await guestFile(folder, path).catch(() => undefined);
      if (file === undefined) continue;
      if (!tree.has(path)) tree.add(file);
      if ('contents' in file && typeof file.contents !== 'string') return file.contents;
      if ('symlink' in file) {
        const target = posix.resolve(`/${posix.dirname(path)}`, file.symlink).slice(1);
        return addFirstFound(tree, folders, [target, target.replace(/^usr\//, ''), `usr/${target}`]);
      }
    }
  }
  return undefined;
}
