/**
 * The images that are built, and building them. One folder per image below `$PLINTH_HOME/images`:
 *
 *     debian-tiny/ manifest.json | vmlinuz-RELEASE-XXXXXXXX | initrd-XXXXXXXX      (X: the start of the file's SHA-256)
 *                  checked.json: of which files the checksums are known to be right (checked-files.ts)
 *
 * Called by the command line (`plinth image`, `plinth run`) through `index.ts`.
 *
 * Invariants: `manifest.json` is the one word on what an image is, and it is renamed into place last, so an image is either whole
 * or not there, and a build that is interrupted leaves the former image; files named by a manifest never change.
 * One build at a time uses the store of a home folder (a lock file that names its process).
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PlinthError } from '@plinth/errors';
import { areChecked, beforeCheck } from './checked-files.ts';
import { lockFolder } from './folder-lock.ts';
import { plinthHome } from './home.ts';
import { type BuildProgress, buildInitramfs } from './initramfs.ts';
import { findRecipe, guestText, type ImageRecipe, recipeChecksum, recipeFiles, recipes } from './recipes.ts';
import { withNamedFileErrors } from './tools.ts';

/** Files of a former image are kept for so long. */
const recentMilliseconds = 3_600_000;

/** How much of a file is held while its checksum is computed. */
const checksumPieceBytes = 262_144;

/** One image of `plinth image ls`. */
export interface ImageInfo {
  readonly name: string;
  readonly description: string;
  /** `outdated`: built by a version of Plinth with another recipe; it still boots. */
  readonly state: 'missing' | 'built' | 'outdated' | 'damaged';
  readonly kernelRelease: string | undefined;
  /** Bytes of kernel and initrd. */
  readonly size: number | undefined;
  /** ISO 8601. */
  readonly builtAt: string | undefined;
  readonly folder: string;
}

/** What a machine needs to boot an image. */
export interface ResolvedImage {
  readonly name: string;
  /** Path of the bzImage. */
  readonly kernel: string;
  /** Paths, in the order in which they are concatenated. */
  readonly initrds: readonly string[];
  readonly commandLine: string;
  /** Whether Plinth's agent answers on the second serial port. */
  readonly hasAgent: boolean;
  readonly kernelRelease: string;
  /** Whether Plinth would build it differently now. */
  readonly outdated: boolean;
}

export type BuiltImage = ResolvedImage & { readonly manifest: ImageManifest };

/** `manifest.json`. */
export interface ImageManifest {
  readonly format: 1;
  readonly name: string;
  readonly builtAt: string;
  readonly recipe: string;
  readonly kernelRelease: string;
  readonly commandLine: string;
  readonly hasAgent: boolean;
  readonly kernel: ManifestFile;
  readonly initrds: readonly ManifestFile[];
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly architecture: string;
    readonly sha256: string;
  }[];
}

export interface ManifestFile {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/** Where images are looked for, and how a build is watched and ended. */
export interface ImageOptions {
  readonly home?: string | undefined;
}

export interface BuildOptions extends ImageOptions {
  readonly onProgress?: ((progress: BuildProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** All images that Plinth knows, built or not. */
export async function listImages(options: ImageOptions = {}): Promise<ImageInfo[]> {
  const home = options.home ?? plinthHome();
  return Promise.all(
    recipes.map(async (recipe) => {
      const folder = imageFolder(home, recipe.name);
      const common = { name: recipe.name, description: recipe.description, folder };
      const absent = { kernelRelease: undefined, size: undefined, builtAt: undefined };
      try {
        const manifest = await readManifest(home, recipe.name);
        await Promise.all([manifest.kernel, ...manifest.initrds].map((file) => checkFile(folder, file, recipe.name)));
        return {
          ...common,
          state: manifest.recipe === recipeChecksum(recipe) ? ('built' as const) : ('outdated' as const),
          kernelRelease: manifest.kernelRelease,
          size: [manifest.kernel, ...manifest.initrds].reduce((sum, file) => sum + file.size, 0),
          builtAt: manifest.builtAt,
        };
      } catch (error) {
        if (!(error instanceof PlinthError)) throw error;
        return { ...common, ...absent, state: error.code === 'PL-2102' ? ('missing' as const) : ('damaged' as const) };
      }
    }),
  );
}

/**
 * The files of a built image, each compared with its recorded checksum, unless it was and has not been written since.
 *
 * @throws PL-2101 unknown name, PL-2102 not built, PL-2106 damaged
 */
export async function resolveImage(name: string, options: ImageOptions = {}): Promise<ResolvedImage> {
  const home = options.home ?? plinthHome();
  const recipe = knownRecipe(name);
  const manifest = await readManifest(home, name);
  const folder = imageFolder(home, name);
  const files = [manifest.kernel, ...manifest.initrds];
  if (!areChecked(folder, files)) {
    const noteChecked = beforeCheck(folder, files);
    await Promise.all(files.map((file) => checkFile(folder, file, name)));
    noteChecked();
  }
  return resolved(home, manifest, recipe);
}

/**
 * Builds an image from Debian's packages, in place of a former one.
 *
 * @throws PL-2101 unknown name, and what `buildInitramfs` throws
 */
export async function buildImage(name: string, options: BuildOptions = {}): Promise<BuiltImage> {
  const home = options.home ?? plinthHome();
  const recipe = knownRecipe(name);
  const unlock = await lockFolder(join(home, 'images'), home, options.signal, (owner) =>
    options.onProgress?.({ stage: 'package lists', detail: `waiting for the build of process ${owner}` }),
  );
  try {
    const built = await buildInitramfs({
      name,
      home,
      signal: options.signal,
      onProgress: options.onProgress,
      kernelPackage: recipe.kernelPackage,
      packages: recipe.packages,
      optionalModules: [...recipe.hypervModules, ...recipe.otherModules],
      files: recipeFiles(recipe),
      init: guestText('init'),
    });
    if (built.kernel === undefined) {
      throw new PlinthError('PL-2108', { package: recipe.kernelPackage, reason: 'It has no kernel' });
    }
    options.signal?.throwIfAborted();
    options.onProgress?.({ stage: 'store', detail: name });
    const manifest = describeImage(recipe, built.kernel, built.initrd, built.packages);
    await withNamedFileErrors(home, `the image ${name}`, async () => {
      const folder = imageFolder(home, name);
      await mkdir(folder, { recursive: true });
      await writeWhole(join(folder, manifest.kernel.file), built.kernel?.bytes ?? new Uint8Array(0));
      for (const initrd of manifest.initrds) await writeWhole(join(folder, initrd.file), built.initrd);
      await writeWhole(
        join(folder, 'manifest.json'),
        new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`),
      );
      const kept = new Set(['manifest.json', manifest.kernel.file, ...manifest.initrds.map((initrd) => initrd.file)]);
      for (const file of await readdir(folder)) {
        if (!kept.has(file)) await removeUnlessRecent(join(folder, file));
      }
    });
    return { ...resolved(home, manifest, recipe), manifest };
  } finally {
    await unlock();
  }
}

/**
 * Removes a built image; the downloaded packages stay.
 *
 * @throws PL-2101 unknown name, PL-2102 when it was not built
 */
export async function removeImage(name: string, options: ImageOptions = {}): Promise<void> {
  const home = options.home ?? plinthHome();
  knownRecipe(name);
  const folder = imageFolder(home, name);
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  );
  if (!isThere) throw new PlinthError('PL-2102', { name, folder });
  await withNamedFileErrors(home, 'removal', async () => {
    // The manifest first: without it the rest is no image.
    await rm(join(folder, 'manifest.json'), { force: true });
    await rm(folder, { recursive: true, force: true });
  });
}

/** Removes a file of a former image; not at once, because a machine that is just starting may be about to read it. */
async function removeUnlessRecent(path: string): Promise<void> {
  const status = await stat(path).catch(() => undefined);
  if (status === undefined || Date.now() - status.mtimeMs < recentMilliseconds) return;
  await rm(path, { recursive: true, force: true });
}

function knownRecipe(name: string): ImageRecipe {
  const recipe = findRecipe(name);
  if (recipe === undefined) {
    throw new PlinthError('PL-2101', { name, known: recipes.map((entry) => entry.name).join(', ') });
  }
  return recipe;
}

function imageFolder(home: string, name: string): string {
  return join(home, 'images', name);
}

function resolved(home: string, manifest: ImageManifest, recipe: ImageRecipe): ResolvedImage {
  const folder = imageFolder(home, manifest.name);
  return {
    name: manifest.name,
    kernel: join(folder, manifest.kernel.file),
    initrds: manifest.initrds.map((initrd) => join(folder, initrd.file)),
    commandLine: manifest.commandLine,
    hasAgent: manifest.hasAgent,
    kernelRelease: manifest.kernelRelease,
    outdated: manifest.recipe !== recipeChecksum(recipe),
  };
}

function describeImage(
  recipe: ImageRecipe,
  kernel: { bytes: Uint8Array; release: string },
  initrd: Uint8Array,
  packages: ImageManifest['packages'],
): ImageManifest {
  return {
    format: 1,
    name: recipe.name,
    builtAt: new Date().toISOString(),
    recipe: recipeChecksum(recipe),
    kernelRelease: kernel.release,
    commandLine: recipe.commandLine,
    hasAgent: recipe.hasAgent,
    kernel: manifestFile(`vmlinuz-${kernel.release}`, kernel.bytes),
    initrds: [manifestFile('initrd', initrd)],
    packages: packages.map(({ name, version, architecture, sha256 }) => ({ name, version, architecture, sha256 })),
  };
}

function manifestFile(stem: string, bytes: Uint8Array): ManifestFile {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { file: `${stem}-${sha256.slice(0, 8)}`, size: bytes.length, sha256 };
}

async function readManifest(home: string, name: string): Promise<ImageManifest> {
  const folder = imageFolder(home, name);
  let text: string;
  try {
    text = await readFile(join(folder, 'manifest.json'), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new PlinthError('PL-2102', { name, folder });
    }
    throw damaged(name, 'manifest.json', error instanceof Error ? error.message : 'It cannot be read');
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw damaged(name, 'manifest.json', 'It is no JSON');
  }
  if (!isManifest(data, name))
    throw damaged(name, 'manifest.json', 'It lacks fields, or is of a newer version of Plinth');
  return data;
}

function isManifest(data: unknown, name: string): data is ImageManifest {
  if (!isRecord(data)) return false;
  return (
    data.format === 1 &&
    data.name === name &&
    typeof data.recipe === 'string' &&
    typeof data.builtAt === 'string' &&
    typeof data.kernelRelease === 'string' &&
    typeof data.commandLine === 'string' &&
    typeof data.hasAgent === 'boolean' &&
    isManifestFile(data.kernel) &&
    Array.isArray(data.initrds) &&
    data.initrds.every(isManifestFile) &&
    Array.isArray(data.packages)
  );
}

function isManifestFile(data: unknown): data is ManifestFile {
  return (
    isRecord(data) &&
    typeof data.file === 'string' &&
    // A name in the image's own folder, nothing else.
    /^[\w.+~-]+$/.test(data.file) &&
    typeof data.size === 'number' &&
    typeof data.sha256 === 'string'
  );
}

function isRecord(data: unknown): data is Record<string, unknown> {
  return typeof data === 'object' && data !== null;
}

async function checkFile(folder: string, expected: ManifestFile, name: string): Promise<void> {
  const found = await checksum(join(folder, expected.file)).catch((error: Error) => {
    throw damaged(name, expected.file, error.message);
  });
  if (found.size !== expected.size) {
    throw damaged(name, expected.file, `It has ${found.size} bytes instead of ${expected.size}`);
  }
  if (found.sha256 !== expected.sha256) {
    throw damaged(name, expected.file, 'Its checksum is not the recorded one');
  }
}

/** A file's size and checksum, read piece by piece: a kernel held whole would stay in the VM's memory until V8 next collects. */
async function checksum(path: string): Promise<{ size: number; sha256: string }> {
  const file = await open(path, 'r');
  try {
    const hash = createHash('sha256');
    const piece = new Uint8Array(checksumPieceBytes);
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) return { size, sha256: hash.digest('hex') };
      hash.update(piece.subarray(0, bytesRead));
      size += bytesRead;
    }
  } finally {
    await file.close();
  }
}

function damaged(name: string, file: string, reason: string): PlinthError<'PL-2106'> {
  return new PlinthError('PL-2106', { name, file, reason });
}

/** Writes a file under a temporary name, makes sure that it is on the disk, and renames it into place. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
