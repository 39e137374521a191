/**
 * What the numbers of operations mean, as data that is written beside the engine (dist/operations.json): whoever reads decoded operations
 * at run time takes it from there and does not load the instruction table and the run loop's text.
 * Called by: scripts/build-engine.mjs, generate.ts, and what translates in place (tests).
 */
import { FIRST_EXTENSION_OPERATION, INSTRUCTIONS } from '../table/index.ts';
import type { FormName } from './forms.ts';
import { HOT_OPERATIONS } from './hot-operations.ts';

export interface OperationNames {
  /** Operations of the run loop itself, from number 1 on; the LEAVE operations follow them. */
  readonly hot: readonly (readonly [operation: string, form: FormName])[];
  /** Semantic operations in the order of their first row in the table; their numbers are the same everywhere. */
  readonly general: readonly string[];
  /** From this one of `general` on they are those of extensions, which have an executor of their own (assembly/extended.ts). */
  readonly firstExtension: number;
}

export function operationNames(): OperationNames {
  const general = [...new Set(INSTRUCTIONS.map((row) => row.operation))];
  return {
    hot: HOT_OPERATIONS.map(({ operation, form }) => [operation, form] as const),
    general,
    firstExtension: general.indexOf(FIRST_EXTENSION_OPERATION),
  };
}
