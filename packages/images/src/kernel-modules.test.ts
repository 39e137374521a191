/** Modules and programs: what they need, read from the files themselves; arbitrary files harm nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { busyboxApplets } from './busybox.ts';
import { dynamicNeeds, elfSection } from './elf.ts';
import { builtInModules, moduleClosure, moduleName, modulesAlias, modulesDep, parseModule } from './kernel-modules.ts';
import { syntheticModule, syntheticProgram } from './testing/synthetic-elf.ts';

const modules = new Map(
  [
    parseModule('kernel/a.ko', syntheticModule({ depends: 'b,c-d', alias: 'pci:v1' })),
    parseModule('kernel/b.ko', syntheticModule({ depends: 'c_d', softdep: 'pre: soft gone post: late' })),
    parseModule('kernel/x/c-d.ko', syntheticModule({ depends: '', alias: 'fs-c' })),
    parseModule('kernel/soft.ko', syntheticModule({ depends: 'built_in' })),
    parseModule('kernel/late.ko', syntheticModule({ depends: '' })),
  ].map((entry) => [entry.name, entry]),
);
const builtIn = builtInModules('kernel/lib/built-in.ko\nkernel/fs/ext4/ext4.ko\n');
const closure = (...names: string[]) =>
  moduleClosure(names, (name) => modules.get(name), builtIn, '6.1').map((entry) => entry.path);

describe('module dependencies', () => {
  it('come before what needs them, each once, the built-in ones left out', () => {
    expect(closure('a', 'ext4')).toEqual(['kernel/x/c-d.ko', 'kernel/soft.ko', 'kernel/b.ko', 'kernel/a.ko']);
    expect(closure('c-d')).toEqual(['kernel/x/c-d.ko']);
  });

  it('of a module that is nowhere are refused by name', () => {
    expect(() => closure('nowhere')).toThrow('PL-2113');
  });

  it('are written as modprobe reads them', () => {
    const all = moduleClosure(['a'], (name) => modules.get(name), builtIn, '6.1');
    expect(modulesDep(all)).toBe(
      'kernel/x/c-d.ko:\nkernel/soft.ko:\nkernel/b.ko: kernel/x/c-d.ko\nkernel/a.ko: kernel/b.ko kernel/x/c-d.ko\n',
    );
    expect(modulesAlias(all)).toBe('alias fs-c c_d\nalias pci:v1 a\n');
  });

  it('are found under the kernel’s own names', () => {
    expect(moduleName('kernel/drivers/pci/pci-hyperv-intf.ko.xz')).toBe('pci_hyperv_intf');
  });
});

describe('what a program needs', () => {
  it('is read from its dynamic section', () => {
    const program = syntheticProgram(['libc.so.6', 'libm.so.6'], '/lib64/ld-linux-x86-64.so.2');
    expect(dynamicNeeds(program)).toEqual({
      libraries: ['libc.so.6', 'libm.so.6'],
      interpreter: '/lib64/ld-linux-x86-64.so.2',
    });
  });

  it('of arbitrary and damaged files is some answer', () => {
    const program = syntheticProgram(['libc.so.6'], '/lib64/ld.so');
    const change = fc.tuple(fc.integer({ min: 0, max: program.length - 1 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 8 }),
        fc.integer({ min: 0, max: program.length }),
        (changes, length) => {
          const copy = program.slice();
          for (const [at, byte] of changes) copy[at] = byte;
          dynamicNeeds(copy);
          dynamicNeeds(copy.subarray(0, length));
          elfSection(copy, '.modinfo');
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('the applets of busybox', () => {
  const program = (list: string): Uint8Array => Buffer.from(`\x7fELF code ${list}`, 'latin1');

  it('are read from the program', () => {
    expect(busyboxApplets(program('[\0[[\0ash\0mount\0sh\0\0more'))).toEqual(['[', '[[', 'ash', 'mount', 'sh']);
  });

  it.each(['', '[\0[[\0', '[\0[[\0ash\0', '[\0[[\0sh\0mo unt\0mount\0'])('%j is no list', (list) => {
    expect(() => busyboxApplets(program(list))).toThrow('PL-2108');
  });
});
