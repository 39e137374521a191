/**
 * Kernel modules: which files a set of modules needs, and the tables by which `modprobe` finds them. Debian's packages carry
 * no `modules.dep` (depmod makes it at installation), so the dependencies are read from the modules themselves.
 * Facts: modinfo(8), modules.dep(5); the `.modinfo` section holds `key=value` strings, each ended by a zero.
 * Called by `initramfs.ts`.
 *
 * Invariant: a module's name has underscores wherever its file name has a hyphen, as in the kernel itself.
 */
import { PlinthError } from '@plinth/errors';
import { elfSection } from './elf.ts';

/** What one module file says of itself. */
export interface KernelModule {
  readonly name: string;
  /** Relative to `/lib/modules/RELEASE`, such as `kernel/drivers/hv/hv_vmbus.ko`. */
  readonly path: string;
  readonly depends: readonly string[];
  /** Modules to be loaded before it when they are there (`softdep: pre`). */
  readonly softDepends: readonly string[];
  readonly aliases: readonly string[];
}

/** `pci-hyperv-intf.ko.xz` is the module `pci_hyperv_intf`. */
export function moduleName(fileName: string): string {
  return (fileName.split('/').pop() ?? '').replace(/\.ko(\.(xz|zst|gz))?$/, '').replaceAll('-', '_');
}

/** Reads a module's own description. */
export function parseModule(path: string, file: Uint8Array): KernelModule {
  const section = elfSection(file, '.modinfo') ?? new Uint8Array(0);
  const lines = new TextDecoder('utf8').decode(section).split('\0');
  const values = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  return {
    name: moduleName(path),
    path,
    depends: values('depends').flatMap(splitList),
    softDepends: values('softdep').flatMap(preDependencies),
    aliases: values('alias'),
  };
}

/** Names of the modules that are built into the kernel, from the text of its `modules.builtin`. */
export function builtInModules(text: string): Set<string> {
  return new Set(
    text
      .split('\n')
      .filter((line) => line !== '')
      .map(moduleName),
  );
}

/**
 * The modules named and all that they need, each after what it depends on. `lookUp` gives a module by name, or undefined.
 * What is built into the kernel needs no file.
 *
 * @throws PL-2113 when a module, or one that it depends on, is neither there nor built in
 */
export function moduleClosure(
  names: readonly string[],
  lookUp: (name: string) => KernelModule | undefined,
  builtIn: ReadonlySet<string>,
  release: string,
): KernelModule[] {
  const ordered: KernelModule[] = [];
  const seen = new Set<string>();
  const visit = (name: string, required: boolean): void => {
    if (seen.has(name) || builtIn.has(name)) return;
    seen.add(name);
    const found = lookUp(name);
    if (found === undefined) {
      if (required) throw new PlinthError('PL-2113', { module: name, release });
      return;
    }
    for (const dependency of found.depends) visit(dependency, true);
    for (const dependency of found.softDepends) visit(dependency, false);
    ordered.push(found);
  };
  for (const name of names) visit(name.replaceAll('-', '_'), true);
  return ordered;
}

/** The text of `modules.dep`: for each file all files that must be loaded before it, the last one first. */
export function modulesDep(modules: readonly KernelModule[]): string {
  const byName = new Map(modules.map((entry) => [entry.name, entry]));
  const lines = modules.map((entry) => {
    const needed: string[] = [];
    const visit = (name: string): void => {
      const found = byName.get(name);
      if (found === undefined || needed.includes(found.path)) return;
      for (const dependency of found.depends) visit(dependency);
      needed.push(found.path);
    };
    for (const dependency of entry.depends) visit(dependency);
    return `${entry.path}:${needed
      .reverse()
      .map((path) => ` ${path}`)
      .join('')}`;
  });
  return `${lines.join('\n')}\n`;
}

/** The text of `modules.alias`, by which the kernel's own requests (a file system, a device) find their module. */
export function modulesAlias(modules: readonly KernelModule[]): string {
  return modules.flatMap((entry) => entry.aliases.map((alias) => `alias ${alias} ${entry.name}\n`)).join('');
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim().replaceAll('-', '_'))
    .filter((name) => name !== '');
}

/** `pre: a b post: c` names a and b. */
function preDependencies(text: string): string[] {
  const pre = /pre:(.*?)(?:post:|$)/.exec(text)?.[1] ?? '';
  return pre
    .split(/\s+/)
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'));
}
