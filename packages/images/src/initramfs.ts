/**
 * Initial file systems (initramfs) made from Debian's packages: the general builder that the images and the system tests
 * share. Called by `image-store.ts` and by tests.
 *
 *     apt (lists, .deb files) -> dpkg-deb -> folders of files -> tree (programs, libraries, modules) -> cpio
 *
 * Invariants: the result depends on the packages and the options alone; unpacked packages live in a temporary folder, which is
 * gone afterwards, also after a failure.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { PlinthError } from '@plinth/errors';
import { Apt, type Architecture, aptFolder, type DebianPackage } from './apt.ts';
import { busyboxApplets } from './busybox.ts';
import { lockFolder } from './folder-lock.ts';
import { type GuestFile, GuestTree } from './guest-tree.ts';
import { plinthHome } from './home.ts';
import {
  builtInModules,
  type KernelModule,
  moduleClosure,
  moduleName,
  modulesAlias,
  modulesDep,
  parseModule,
} from './kernel-modules.ts';
import { addSharedLibraries, addWholePackage, unpackPackage, walk } from './package-files.ts';
import { runTool, type ToolContext, withNamedFileErrors } from './tools.ts';

/** A stage of a build, for a progress line. */
export interface BuildProgress {
  readonly stage: 'package lists' | 'download' | 'unpack' | 'assemble' | 'store';
  /** The package or file at hand. */
  readonly detail: string;
  /** 0 to 100 of this stage, where it is known. */
  readonly percent?: number;
}

export interface InitramfsOptions {
  /** Packages whose programs go in whole (less their documentation); their libraries come along. */
  readonly packages: readonly string[];
  /** Files to put there afterwards, replacing those of packages. */
  readonly files?: readonly GuestFile[];
  /** The guest's architecture, amd64 unless told. The programs of packages for i386 have to be static. */
  readonly architecture?: Architecture;
  /** The text of `/init`. */
  readonly init: string;
  /** Kernel modules by name; what they need comes along, and what is built in is left out. Needs `kernelPackage`. */
  readonly modules?: readonly string[];
  /** Modules that are taken when this kernel has them. */
  readonly optionalModules?: readonly string[];
  /** The kernel's package, or a metapackage such as `linux-image-cloud-amd64`. */
  readonly kernelPackage?: string;
  /**
   * Uncompressed unless told: the guest would pay for unpacking with its own processor, which is the slower one. `gzip` where
   * the size of the file matters more.
   */
  readonly compression?: 'none' | 'gzip';
  readonly home?: string;
  /** What is being built, for messages. */
  readonly name?: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BuildProgress) => void) | undefined;
}

export interface Initramfs {
  readonly initrd: Uint8Array;
  /** The kernel's bzImage and its release, when a kernel package was asked for. */
  readonly kernel: { readonly bytes: Uint8Array; readonly release: string } | undefined;
  /** All packages that something was taken from. */
  readonly packages: readonly DebianPackage[];
}

/**
 * Builds an initramfs.
 *
 * @throws PL-2103 without apt, PL-2104 without network, PL-2105 unknown package, PL-2107 full disk, PL-2108, PL-2109, PL-2110,
 *   PL-2113; the abort reason when `signal` aborts
 */
export async function buildInitramfs(options: InitramfsOptions): Promise<Initramfs> {
  const home = options.home ?? plinthHome();
  const name = options.name ?? 'initramfs';
  const context: ToolContext = { image: name, folder: home };
  const progress = options.onProgress ?? (() => {});
  const architecture = options.architecture ?? 'amd64';
  const apt = new Apt(home, name, options.signal, architecture);

  progress({ stage: 'package lists', detail: "Debian's package lists" });
  const unlock = await lockFolder(aptFolder(home, architecture), home, options.signal, (owner) =>
    progress({ stage: 'package lists', detail: `waiting for the downloads of process ${owner}` }),
  );
  let resolved: ResolvedPackage[];
  try {
    await apt.prepare();
    resolved = await resolvePackages(apt, options, progress).catch(async (error: unknown) => {
      // The lists may be older than what the servers still have: once more with new ones.
      if (!(error instanceof PlinthError) || (error.code !== 'PL-2104' && error.code !== 'PL-2105')) throw error;
      options.signal?.throwIfAborted();
      await apt.prepare({ forceUpdate: true });
      return resolvePackages(apt, options, progress);
    });
  } finally {
    await unlock();
  }

  const workFolder = await withNamedFileErrors(home, 'unpacked packages', async () => {
    await mkdir(join(home, 'work'), { recursive: true });
    return mkdtemp(join(home, 'work', 'build-'));
  });
  try {
    const folders = new Map<string, string>();
    for (const [index, entry] of resolved.entries()) {
      progress({ stage: 'unpack', detail: entry.package.name, percent: (100 * index) / resolved.length });
      const folder = join(workFolder, entry.package.name);
      await unpackPackage(entry.archive, folder, context, options.signal);
      folders.set(entry.package.name, folder);
    }
    progress({ stage: 'assemble', detail: 'initrd' });
    const folderOf = (role: PackageRole): string[] =>
      resolved.flatMap((entry) => (entry.role === role ? [folders.get(entry.package.name) ?? ''] : []));
    const tree = new GuestTree();
    for (const path of ['proc', 'sys', 'dev', 'run', 'root', 'etc', 'mnt', 'var/tmp'])
      tree.add({ path, directory: true });
    tree.add({ path: 'tmp', directory: true, mode: 0o1777 });
    // The kernel opens the console for init before anything is mounted.
    tree.add({ path: 'dev/console', device: 'character', major: 5, minor: 1 });
    tree.add({ path: 'dev/null', device: 'character', major: 1, minor: 3, mode: 0o666 });
    for (const folder of folderOf('whole')) await addWholePackage(tree, folder);
    addBusyboxLinks(tree);
    for (const file of options.files ?? []) tree.add(file);
    tree.add({ path: 'init', contents: options.init, mode: 0o755 });
    await addSharedLibraries(tree, [...folderOf('whole'), ...folderOf('library')]);
    const kernelFolder = folderOf('kernel')[0];
    const kernel = kernelFolder === undefined ? undefined : await addKernel(tree, kernelFolder, options, context);
    const cpio = tree.toCpio();
    return {
      initrd: options.compression === 'gzip' ? gzipSync(cpio, { level: 9 }) : cpio,
      kernel,
      packages: resolved.map((entry) => entry.package),
    };
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

/** What is taken of a package: all of it, the libraries that are needed, or kernel and modules. */
type PackageRole = 'whole' | 'library' | 'kernel';

interface ResolvedPackage {
  readonly role: PackageRole;
  readonly package: DebianPackage;
  /** Path of the `.deb`. */
  readonly archive: string;
}

async function resolvePackages(
  apt: Apt,
  options: InitramfsOptions,
  progress: (progress: BuildProgress) => void,
): Promise<ResolvedPackage[]> {
  const named = await apt.describe(options.packages);
  const resolved: { role: PackageRole; package: DebianPackage }[] = [
    ...named.map((entry) => ({ role: 'whole' as const, package: entry })),
    ...(await libraryPackages(apt, named)).map((entry) => ({ role: 'library' as const, package: entry })),
  ];
  if (options.kernelPackage !== undefined) {
    resolved.push({ role: 'kernel', package: await kernelPackage(apt, options.kernelPackage) });
  }
  const described = resolved.map((entry) => entry.package);
  const archives = await apt.download(described, ({ packageName, percent }) =>
    progress({ stage: 'download', detail: packageName, percent }),
  );
  return resolved.map((entry, index) => ({ ...entry, archive: archives[index] ?? '' }));
}

/** The packages with shared libraries that `named` depend on, and that those depend on in turn, nearest first. */
async function libraryPackages(apt: Apt, named: readonly DebianPackage[]): Promise<DebianPackage[]> {
  const seen = new Set(named.map((entry) => entry.name));
  const found: DebianPackage[] = [];
  for (let level: readonly DebianPackage[] = named; level.length > 0; ) {
    const names = [...new Set(level.flatMap((entry) => entry.depends))].filter(
      (name) => isLibraryPackage(name) && !seen.has(name),
    );
    if (names.length === 0) break;
    for (const name of names) seen.add(name);
    // A name that no source has is a virtual package: the library that is missed then is told by name.
    const known = await apt.lookUp(names);
    level = names.flatMap((name) => known.get(name) ?? []);
    found.push(...level);
  }
  return found;
}

/** Debian's policy: a package with a shared library is called lib..., and zlib's is the exception. */
function isLibraryPackage(name: string): boolean {
  return (name.startsWith('lib') && !name.endsWith('-perl')) || name === 'zlib1g';
}

/** The package that has the kernel: itself, or what a metapackage such as `linux-image-cloud-amd64` depends on. */
async function kernelPackage(apt: Apt, name: string): Promise<DebianPackage> {
  const [description] = await apt.describe([name]);
  const real = description?.depends.find((dependency) => /^linux-image-\d/.test(dependency));
  const [kernel] = real === undefined ? [description] : await apt.describe([real]);
  if (kernel === undefined) throw new PlinthError('PL-2105', { package: name });
  return kernel;
}

/** A link for each applet, so that programs find them too; a program of a package goes before. */
function addBusyboxLinks(tree: GuestTree): void {
  const busybox = tree.files().find((file) => file.path === 'bin/busybox');
  if (busybox === undefined) return;
  for (const applet of busyboxApplets(busybox.contents)) {
    if (!tree.has(`bin/${applet}`)) tree.add({ path: `bin/${applet}`, symlink: 'busybox' });
  }
}

/** Puts the wanted modules of an unpacked kernel package into the tree, and gives its bzImage. */
async function addKernel(
  tree: GuestTree,
  folder: string,
  options: InitramfsOptions,
  context: ToolContext,
): Promise<{ bytes: Uint8Array; release: string }> {
  const paths = await walk(folder);
  const kernelPath = paths.find((path) => path.startsWith('boot/vmlinuz-'));
  if (kernelPath === undefined) {
    throw new PlinthError('PL-2108', { package: options.kernelPackage ?? '', reason: 'It has no /boot/vmlinuz-...' });
  }
  const release = kernelPath.slice('boot/vmlinuz-'.length);
  const prefix = paths.find((path) => path.endsWith(`lib/modules/${release}/modules.builtin`))?.replace(/[^/]*$/, '');
  const wanted = options.modules ?? [];
  if (prefix !== undefined && (wanted.length > 0 || options.optionalModules !== undefined)) {
    const files = new Map<string, string>();
    for (const path of paths) {
      if (path.startsWith(`${prefix}kernel/`)) files.set(moduleName(path), path.slice(prefix.length));
    }
    const builtInText = await readFile(join(folder, prefix, 'modules.builtin'), 'utf8');
    const builtIn = builtInModules(builtInText);
    const optional = (options.optionalModules ?? []).filter((module) => files.has(module) && !wanted.includes(module));
    const { modules, contents } = await readModules([...wanted, ...optional], files, {
      builtIn,
      release,
      read: (path) => readModuleFile(join(folder, prefix, path), context, options.signal),
    });
    const target = `lib/modules/${release}`;
    for (const module of modules) {
      tree.add({ path: `${target}/${module.path}`, contents: contents.get(module.name) ?? new Uint8Array(0) });
    }
    tree.add({ path: `${target}/modules.dep`, contents: modulesDep(modules) });
    tree.add({ path: `${target}/modules.alias`, contents: modulesAlias(modules) });
    tree.add({ path: `${target}/modules.builtin`, contents: builtInText });
    for (const table of ['modules.symbols', 'modules.order']) tree.add({ path: `${target}/${table}`, contents: '' });
  }
  return { bytes: await readFile(join(folder, kernelPath)), release };
}

/** Reads the modules named and all that they need; compressed ones are stored uncompressed under a plain `.ko` name. */
async function readModules(
  names: readonly string[],
  files: ReadonlyMap<string, string>,
  kernel: { builtIn: ReadonlySet<string>; release: string; read: (path: string) => Promise<Uint8Array> },
): Promise<{ modules: KernelModule[]; contents: Map<string, Uint8Array> }> {
  const known = new Map<string, KernelModule>();
  const contents = new Map<string, Uint8Array>();
  const waiting = names.map((name) => name.replaceAll('-', '_'));
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const path = files.get(name);
    if (path === undefined || known.has(name)) continue;
    const bytes = await kernel.read(path);
    const module = parseModule(path.replace(/\.(xz|zst|gz)$/, ''), bytes);
    known.set(name, module);
    contents.set(name, bytes);
    waiting.push(...module.depends, ...module.softDepends);
  }
  return { modules: moduleClosure(names, (name) => known.get(name), kernel.builtIn, kernel.release), contents };
}

async function readModuleFile(
  path: string,
  context: ToolContext,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (path.endsWith('.ko')) return readFile(path);
  const decompressor = path.endsWith('.xz') ? 'xz' : path.endsWith('.zst') ? 'zstd' : 'gzip';
  const result = await runTool(decompressor, ['-d', '-q', path], { context, signal });
  if (result.status !== 0) {
    throw new PlinthError('PL-2109', {
      program: decompressor,
      status: `status ${result.status}`,
      reason: result.stderr.trim() || 'nothing',
    });
  }
  return readFile(path.replace(/\.(xz|zst|gz)$/, ''));
}
