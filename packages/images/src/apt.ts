/**
 * Debian's packages, fetched by the machine's own apt with its sources and keyrings, but with state, lists and cache in
 * folders of Plinth's own: no root rights are needed, fresh package lists are not needed, and nothing of the machine's own
 * package management changes. Facts: apt.conf(5), apt-get(8), apt-cache(8). Called by `initramfs.ts`.
 *
 * Invariants: dpkg's status is an empty file of ours, so apt sees a machine without packages and names every dependency;
 * the architecture is the guest's whatever the machine is; a package in `packages/` has the SHA-256 that apt's signed lists name.
 *
 *     $PLINTH_HOME/apt/ apt.conf | state/ (lists) | cache/ | packages/ (what was downloaded)
 *     $PLINTH_HOME/apt-i386/ the same for guests with 32 bits
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PlinthError } from '@plinth/errors';
import {
  fullDisk,
  lastLines,
  runTool,
  type ToolContext,
  type ToolOptions,
  tellsOfFullDisk,
  withNamedFileErrors,
} from './tools.ts';

/** Debian's names of the architectures that guests can have. */
export type Architecture = 'amd64' | 'i386';

/** A package as apt's lists describe it. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Names of the packages that it depends on; of alternatives the first. */
  readonly depends: readonly string[];
}

/** How far a download has come. */
export interface DownloadProgress {
  readonly packageName: string;
  /** 0 to 100 of this package. */
  readonly percent: number;
}

/** Where all of it stands for one architecture; whoever uses it holds a lock of this folder. */
export const aptFolder = (home: string, architecture: Architecture): string =>
  join(home, architecture === 'amd64' ? 'apt' : `apt-${architecture}`);

/** Lists younger than this are not asked for again. */
const listsMaximumAge = 7 * 24 * 3600 * 1000;

export class Apt {
  readonly #root: string;
  readonly #architecture: Architecture;
  readonly #context: ToolContext;
  readonly #signal: AbortSignal | undefined;
  /** Why the last update of the lists did not fully succeed; empty otherwise. */
  #updateComplaint = '';

  /**
   * @param home Plinth's folder
   * @param image what is being built, for messages
   */
  constructor(home: string, image: string, signal?: AbortSignal, architecture: Architecture = 'amd64') {
    this.#root = aptFolder(home, architecture);
    this.#architecture = architecture;
    this.#context = { image, folder: home };
    this.#signal = signal;
  }

  /**
   * Makes the folders, and brings the package lists unless there are some that are not old.
   *
   * A source that cannot be reached is not an error as long as the packages are found in what there is (`describe` tells).
   */
  async prepare(options: { forceUpdate?: boolean } = {}): Promise<void> {
    await withNamedFileErrors(this.#root, 'package lists', async () => {
      await mkdir(join(this.#root, 'state', 'lists', 'partial'), { recursive: true });
      await mkdir(join(this.#root, 'cache', 'archives', 'partial'), { recursive: true });
      await mkdir(join(this.#root, 'packages'), { recursive: true });
      await writeFile(join(this.#root, 'state', 'status'), '');
      await writeFile(this.#configuration, aptConfiguration(this.#root, this.#architecture));
    });
    if (!options.forceUpdate && (await this.#listsAge()) < listsMaximumAge) return;
    const update = await this.#run('apt-get', ['-q', 'update'], { diskPurpose: 'package lists' });
    if (tellsOfFullDisk(update.stderr)) throw fullDisk(this.#root, 'package lists');
    // apt ends with 0 and warnings when an index could not be had, and with 100 when one of several sources is wrong.
    const complaints = update.stderr.split('\n').filter((line) => /^[EW]: /.test(line));
    this.#updateComplaint = complaints.length > 0 ? lastLines(complaints.join('\n')) : '';
    if (this.#updateComplaint === '') {
      await writeFile(join(this.#root, 'state', 'updated'), `${new Date().toISOString()}\n`);
    }
  }

  /**
   * What the lists say of packages, in the order asked for.
   *
   * @throws PL-2105 for a package that no source has, PL-2104 when the lists could not be downloaded
   */
  async describe(names: readonly string[]): Promise<DebianPackage[]> {
    const found = await this.lookUp(names);
    return names.map((name) => {
      const description = found.get(name);
      if (description !== undefined) return description;
      if (this.#updateComplaint !== '') throw new PlinthError('PL-2104', { reason: this.#updateComplaint });
      throw new PlinthError('PL-2105', { package: name });
    });
  }

  /** What the lists say of packages, by name; those that no source has are left out. */
  async lookUp(names: readonly string[]): Promise<Map<string, DebianPackage>> {
    const result = await this.#run('apt-cache', ['show', '--no-all-versions', '--', ...names]);
    const found = new Map<string, DebianPackage>();
    for (const record of parseControlRecords(result.stdout)) {
      const name = record.get('package');
      const sha256 = record.get('sha256');
      const version = record.get('version');
      if (name === undefined || sha256 === undefined || version === undefined || found.has(name)) continue;
      found.set(name, {
        name,
        version,
        architecture: record.get('architecture') ?? this.#architecture,
        sha256,
        size: Number(record.get('size') ?? 0),
        depends: dependencyNames([record.get('pre-depends'), record.get('depends')].join(',')),
      });
    }
    return found;
  }

  /**
   * Downloads packages that are not there yet, and gives the path of each `.deb`.
   *
   * @throws PL-2104 when the network ends, PL-2107 when the disk is full
   */
  async download(
    packages: readonly DebianPackage[],
    onProgress: (progress: DownloadProgress) => void = () => {},
  ): Promise<string[]> {
    const paths: string[] = [];
    for (const description of packages) {
      const path = join(this.#root, 'packages', `${description.name}_${description.sha256.slice(0, 16)}.deb`);
      if ((await sha256OfFile(path)) !== description.sha256) {
        onProgress({ packageName: description.name, percent: 0 });
        await this.#downloadOne(description, path, onProgress);
      }
      paths.push(path);
    }
    return paths;
  }

  async #downloadOne(
    description: DebianPackage,
    path: string,
    onProgress: (progress: DownloadProgress) => void,
  ): Promise<void> {
    const { name, version, sha256 } = description;
    // apt-get download writes into the working folder under a name of its own; ours appears only when it is whole.
    const folder = await withNamedFileErrors(this.#root, `the package ${name}`, () =>
      mkdtemp(join(this.#root, 'packages', '.download-')),
    );
    let told = 0;
    try {
      const result = await this.#run('apt-get', ['-q', '-o', 'APT::Status-Fd=3', 'download', `${name}=${version}`], {
        cwd: folder,
        diskPurpose: `the package ${name}`,
        onStatusLine: (line) => {
          const percent = /^dlstatus:[^:]*:([0-9.]+):/.exec(line)?.[1];
          if (percent === undefined || Number(percent) === told) return;
          told = Number(percent);
          onProgress({ packageName: name, percent: told });
        },
      });
      if (tellsOfFullDisk(result.stderr)) throw fullDisk(this.#root, `the package ${name}`);
      const file = (await readdir(folder)).find((entry) => entry.endsWith('.deb'));
      if (result.status !== 0 || file === undefined) {
        throw new PlinthError('PL-2104', { reason: lastLines(result.stderr) });
      }
      const actual = await sha256OfFile(join(folder, file));
      if (actual !== sha256) {
        throw new PlinthError('PL-2104', { reason: `${name} ${version} arrived with the wrong checksum ${actual}` });
      }
      await withNamedFileErrors(this.#root, `the package ${name}`, () => rename(join(folder, file), path));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  get #configuration(): string {
    return join(this.#root, 'apt.conf');
  }

  #run(program: string, args: readonly string[], options: Omit<ToolOptions, 'context' | 'signal'> = {}) {
    return runTool(program, ['-c', this.#configuration, ...args], {
      ...options,
      context: this.#context,
      signal: this.#signal,
    });
  }

  /** Milliseconds since the last update of the lists that succeeded; Infinity when there was none. */
  async #listsAge(): Promise<number> {
    try {
      return Date.now() - (await stat(join(this.#root, 'state', 'updated'))).mtimeMs;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }
}

/** Hexadecimal SHA-256 of a file; undefined when it cannot be read. */
async function sha256OfFile(path: string): Promise<string | undefined> {
  try {
    return createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  } catch {
    return undefined;
  }
}

/** The records of deb822 text as maps from lower-case field name to text; continued lines are joined. */
function parseControlRecords(text: string): Map<string, string>[] {
  const records: Map<string, string>[] = [];
  for (const block of text.split(/\n\s*\n/)) {
    const record = new Map<string, string>();
    let field = '';
    for (const line of block.split('\n')) {
      if (/^\s/.test(line)) {
        record.set(field, `${record.get(field) ?? ''}\n${line.trim()}`);
        continue;
      }
      const colon = line.indexOf(':');
      if (colon <= 0) continue;
      field = line.slice(0, colon).toLowerCase();
      record.set(field, line.slice(colon + 1).trim());
    }
    if (record.size > 0) records.push(record);
  }
  return records;
}

/** `libc6 (>= 2.34), a | b, c:any` names libc6, a and c. */
function dependencyNames(text: string): string[] {
  return text.split(',').flatMap((entry) => /^\s*([a-z0-9][a-z0-9+.-]+)/.exec(entry)?.[1] ?? []);
}

/**
 * The configuration given with `-c`, which apt reads after the machine's own. The machine's hooks would touch the machine's
 * caches, and its extra index targets are of no use here: both are cleared.
 */
function aptConfiguration(root: string, architecture: Architecture): string {
  const quoted = (path: string): string => `"${path.replaceAll('"', '')}"`;
  return [
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Pre-Invoke;',
    '#clear DPkg::Post-Invoke;',
    '#clear APT::Architectures;',
    `Dir::State ${quoted(join(root, 'state'))};`,
    `Dir::State::lists "lists";`,
    `Dir::State::status ${quoted(join(root, 'state', 'status'))};`,
    `Dir::Cache ${quoted(join(root, 'cache'))};`,
    `Dir::Cache::archives "archives";`,
    // Some machines do without these files, which make each call of apt-cache several times faster.
    `Dir::Cache::pkgcache "pkgcache.bin";`,
    `Dir::Cache::srcpkgcache "srcpkgcache.bin";`,
    `Dir::Log ${quoted(join(root, 'cache'))};`,
    `APT::Architecture "${architecture}";`,
    `APT::Architectures { "${architecture}"; };`,
    // As root, apt would hand downloads to a user of its own, who may not write here.
    'APT::Sandbox::User "";',
    'Acquire::Languages "none";',
    'Acquire::Retries "3";',
    'Acquire::http::Timeout "30";',
    'Acquire::https::Timeout "30";',
    ...['DEP-11', 'DEP-11-icons', 'DEP-11-icons-small', 'DEP-11-icons-large', 'DEP-11-icons-hidpi', 'CNF'].map(
      (target) => `Acquire::IndexTargets::deb::${target}::DefaultEnabled "false";`,
    ),
    ...['Contents-deb', 'Contents-deb-legacy'].map((target) => `#clear Acquire::IndexTargets::deb::${target};`),
    '',
  ].join('\n');
}
