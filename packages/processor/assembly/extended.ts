/**
 * Instructions of extensions beyond SSE2: the way from an operation to its handler. Rows: src/table/extensions.ts and avx.ts.
 * Called by run.ts for the operations from FIRST_EXTENSION on.
 */
import { executeExtendedInteger } from './extended-integer';

/** Executes an operation of an extension. @returns the next operation */
export function executeExtension(u: usize, number: u32): usize {
  const operation = number >> 3;
  const form = number & 7;
  const next = executeExtendedInteger(u, operation, form);
  if (next != 0) return next;
  return unreachable();
}
