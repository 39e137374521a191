/** The guest images that the system tests boot: Plinth's own, built when they are missing, and their files. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { plinth } from './plinth.ts';

/** Plinth's folder, as every `plinth` started from here finds it. */
export const home =
  process.env.PLINTH_HOME || join(process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'plinth');

/** Debian's cloud kernel. */
export const cloud = 'debian-tiny';
/** Debian's generic kernel: another configuration, and compressed in another way. */
export const generic = 'debian-tiny-generic';
/** Debian's newer kernel, whose Hyper-V drivers differ: hv_utils has no file copy, which a program in user space does. */
export const newer = 'debian-tiny-6.12';

/** Builds an image unless it is there; takes a minute then, and the network. */
export async function ensureImage(name: string): Promise<void> {
  const { status, stderr } = await plinth(['image', 'build', name, '--if-missing']);
  if (status !== 0) throw new Error(stderr);
}

/** The files of a built image, for `--kernel` and `--initrd`. */
export function imageFiles(name: string): { readonly kernel: string; readonly initrd: string } {
  const folder = join(home, 'images', name);
  // Files of a former build may lie beside them for a while.
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
    readonly kernel: { readonly file: string };
    readonly initrds: readonly { readonly file: string }[];
  };
  const [initrd] = manifest.initrds;
  if (initrd === undefined) throw new Error(`${folder} has no initrd`);
  return { kernel: join(folder, manifest.kernel.file), initrd: join(folder, initrd.file) };
}
