/**
 * What Plinth's own images are made of, as data. Called by `image-store.ts`.
 *
 * The files under `guest/` (init, the console's shell and the agent) are part of a recipe: a change of them makes a built image outdated.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { GuestFile } from './guest-tree.ts';

/** One image that Plinth can build. */
export interface ImageRecipe {
  readonly name: string;
  /** One line for `plinth image ls`. */
  readonly description: string;
  readonly kernelPackage: string;
  readonly packages: readonly string[];
  /** Drivers of the synthetic devices, which init loads where there are such devices. */
  readonly hypervModules: readonly string[];
  /** Modules that are there to be loaded by name or on the kernel's request. */
  readonly otherModules: readonly string[];
  readonly commandLine: string;
  readonly hasAgent: boolean;
}

/** Drivers of the synthetic devices, and what their disks and sockets are used with. */
const hypervModules = [
  'hv_vmbus',
  'hv_utils',
  'hv_storvsc',
  'hv_netvsc',
  'hv_balloon',
  'hv_sock',
  'hyperv_keyboard',
  'hid_hyperv',
  'pci_hyperv',
  'hyperv_fb',
  'hyperv_drm',
  'sd_mod',
  'sr_mod',
];

const otherModules = [
  'brd',
  'loop',
  'ext4',
  // ext4 asks for its checksum by the name of the algorithm.
  'crc32c_generic',
  'crc32c_intel',
  'vfat',
  'nls_ascii',
  'nls_cp437',
  'nls_iso8859_1',
  'nls_utf8',
  'isofs',
  'udf',
  'af_packet',
  'ata_piix',
  // The power button, where no shutdown service can be asked.
  'button',
  'evdev',
  'uio_hv_generic',
];

const tinyPackages = ['busybox-static', 'hyperv-daemons'];

/** Kernel messages stay visible: a boot that goes astray is then seen, and they cost the serial console little. */
const commandLine = 'console=ttyS0';

export const recipes: readonly ImageRecipe[] = [
  {
    name: 'debian-tiny',
    description: "Debian's cloud kernel, its Hyper-V drivers and daemons, and a busybox shell",
    kernelPackage: 'linux-image-cloud-amd64',
    packages: tinyPackages,
    hypervModules,
    otherModules,
    commandLine,
    hasAgent: true,
  },
  {
    name: 'debian-tiny-generic',
    description: "The same with Debian's generic kernel, which has every driver",
    kernelPackage: 'linux-image-amd64',
    packages: tinyPackages,
    hypervModules,
    otherModules,
    commandLine,
    hasAgent: true,
  },
  {
    name: 'debian-tiny-6.12',
    description: 'The same with the newer kernel that Debian 12 has besides, 6.12',
    kernelPackage: 'linux-image-6.12-cloud-amd64',
    packages: tinyPackages,
    hypervModules,
    otherModules,
    commandLine,
    hasAgent: true,
  },
];

/** The recipe called `name`. */
export function findRecipe(name: string): ImageRecipe | undefined {
  return recipes.find((recipe) => recipe.name === name);
}

/** The text of a file of the folder `guest`. */
export function guestText(name: 'init' | 'console' | 'agent' | 'keep' | 'lsvmbus'): string {
  // Found by the package's name: this module may be in a bundle, wherever that lies.
  const description = createRequire(import.meta.url).resolve('@plinth/images/package.json');
  return readFileSync(join(dirname(description), 'guest', name), 'utf8');
}

/** The files that an image has beside those of its packages. */
export function recipeFiles(recipe: ImageRecipe): GuestFile[] {
  const files: GuestFile[] = [
    { path: 'etc/hostname', contents: `${recipe.name}\n` },
    { path: 'etc/hosts', contents: `127.0.0.1 localhost ${recipe.name}\n::1 localhost\n` },
    { path: 'etc/passwd', contents: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' },
    { path: 'etc/group', contents: 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' },
    { path: 'etc/profile', contents: "export PS1='\\u@\\h:\\w\\$ '\n" },
    {
      path: 'etc/fstab',
      contents: [
        'proc /proc proc defaults 0 0',
        'sysfs /sys sysfs defaults 0 0',
        'devpts /dev/pts devpts gid=5,mode=620,ptmxmode=666 0 0',
        'tmpfs /tmp tmpfs mode=1777 0 0',
        'tmpfs /run tmpfs mode=0755 0 0',
        'tmpfs /dev/shm tmpfs mode=1777 0 0',
        '',
      ].join('\n'),
    },
    // Where hv_kvp_daemon keeps its pools.
    { path: 'var/lib/hyperv', directory: true },
    { path: 'sbin/lsvmbus', contents: guestText('lsvmbus'), mode: 0o755 },
    // What busybox's acpid runs when the power button is pressed.
    { path: 'etc/acpi/PWRF/00000080', contents: '#!/bin/sh\nexec /sbin/poweroff\n', mode: 0o755 },
  ];
  const programs = recipe.hasAgent ? (['console', 'agent', 'keep'] as const) : (['console'] as const);
  for (const name of programs) files.push({ path: `lib/plinth/${name}`, contents: guestText(name), mode: 0o755 });
  return files;
}

/** A checksum over all that Plinth itself puts into an image: it changes when a built image is to be made anew. */
export function recipeChecksum(recipe: ImageRecipe): string {
  return createHash('sha256')
    .update(JSON.stringify([recipe, recipeFiles(recipe), guestText('init')]))
    .digest('hex');
}
