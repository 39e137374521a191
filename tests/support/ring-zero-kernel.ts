/** The multiboot kernel of the ring 0 tests (tests/ring-zero/kernel). Called by tests/ring-zero. */
import { join } from 'node:path';
import { buildMultibootKernel } from './multiboot-kernel.mjs';
import { root } from './plinth.ts';

export { compilerMissing } from './multiboot-kernel.mjs';

/** @returns path of the kernel, made in `folder` */
export function buildRingZeroKernel(folder: string): string {
  return buildMultibootKernel(join(root, 'tests', 'ring-zero', 'kernel'), folder);
}
