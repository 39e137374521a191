/**
 * Writes what the assembly core takes from TypeScript: operation numbers, decoder tables, state offsets.
 * Called by scripts/build-engine.mjs before the AssemblyScript compiler; its output (assembly/generated) is not committed.
 */

import {
  CPUID_ENTRY_BYTES,
  HOST_WRITE_RING,
  PAGE_FLAG,
  PAGE_RECORD_BYTES,
  SHARED,
  SHARED_OFFSET,
  SLOT_BYTES,
} from '@plinth/hypervisor';
import {
  BLOCK,
  BRANCH,
  CODE_WINDOW,
  JUMP_ENTRIES,
  PAGE_BLOCKS_OFFSET,
  REGION_CACHE_ENTRIES,
  REGION_PAGES,
  SEGMENT,
  SEGMENT_BYTES,
  STATE,
} from '../state-layout.ts';
import { LOCAL } from '../translator/region-locals.ts';
import { XSAVE_COMPONENTS } from '../xsave-components.ts';
import { decoderTables } from './decoder-tables.ts';
import { LEAVE_OPERATIONS } from './leave-operations.ts';
import { operationNames } from './operation-names.ts';
import { FIRST_LEAVE, runLoopSource, transfersSource } from './run-loop.ts';

const OPERATIONS = operationNames().general;

function constants(prefix: string, values: Readonly<Record<string, number>>, skip: readonly string[] = []): string {
  return Object.entries(values)
    .filter(([name]) => !skip.includes(name))
    .map(([name, value]) => `export const ${prefix}${name}: u32 = ${value};`)
    .join('\n');
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
const snakeKeys = (values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [snake(name), value]));

/** @returns the generated AssemblyScript files by name. */
export function generateAssembly(): ReadonlyMap<string, string> {
  const header = '// Generated from the instruction table and state-layout.ts by src/build/generate.ts.\n';
  const layout = [
    header,
    constants('', STATE),
    constants('SEGMENT_', { ...SEGMENT, BYTES: SEGMENT_BYTES }),
    constants('BLOCK_', BLOCK),
    constants('BRANCH_', BRANCH),
    constants('CODE_WINDOW_', CODE_WINDOW),
    constants('REGION_PAGES_', REGION_PAGES),
    constants('SHARED_', snakeKeys(SHARED)),
    constants('', {
      SHARED: SHARED_OFFSET,
      PAGE_RECORD_BYTES,
      PAGE_FLAG_DIRTY: PAGE_FLAG.dirty,
      PAGE_FLAG_TOUCHED: PAGE_FLAG.touched,
      PAGE_FLAG_ABSENT: PAGE_FLAG.absent,
      SLOT_BYTES,
      CPUID_ENTRY_BYTES,
      HOST_WRITE_RING,
      PAGE_BLOCKS_OFFSET,
      JUMP_ENTRIES,
      REGION_CACHE_ENTRIES,
    }),
    constants('LOCAL_', snakeKeys(LOCAL)),
    constants('XSAVE_', {
      AVX: XSAVE_COMPONENTS.avx.offset,
      AVX_BYTES: XSAVE_COMPONENTS.avx.bytes,
      PKRU: XSAVE_COMPONENTS.pku.offset,
      PKRU_BYTES: XSAVE_COMPONENTS.pku.bytes,
    }),
    constants('LEAVE_', Object.fromEntries(LEAVE_OPERATIONS.map((name, index) => [name, FIRST_LEAVE + index]))),
  ].join('\n');
  const operations = `${header}export const enum Operation {\n${OPERATIONS.map((name, index) => `  ${name} = ${index},`).join('\n')}\n}\n`;
  return new Map([
    ['layout.ts', `${layout}\n`],
    ['operations.ts', operations],
    ['tables.ts', header + decoderTables(OPERATIONS)],
    ['loop.ts', header + runLoopSource()],
    ['transfers.ts', header + transfersSource()],
  ]);
}
