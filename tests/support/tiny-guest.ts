/** Guests of a few bytes of machine code, run through the launcher. Called by the system tests. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tinyKernel } from '../../packages/vmwp/src/testing/tiny-kernel.ts';

export * as code from '../../packages/vmwp/src/testing/tiny-kernel.ts';

/** Entered here: the 64-bit entry point of a kernel that prefers 16 MiB. */
export const entryPoint = 0x1000200;

/**
 * Writes a kernel that consists of `code`.
 * @param address where it is loaded, for machines with less than 17 MiB
 * @returns its path
 */
export function writeTinyKernel(folder: string, name: string, code: readonly number[], address = 0x1000000): string {
  const path = join(folder, name);
  const bytes = tinyKernel(code);
  new DataView(bytes.buffer).setBigUint64(0x258, BigInt(address), true);
  writeFileSync(path, bytes);
  return path;
}
