/**
 * Operations that the run loop handles inline, by operation, form and size: what boots and programs execute most.
 * Everything else goes through the general handlers. The generator numbers them from 1 in this order.
 */
import type { FormName } from './decoder-tables.ts';

export interface HotOperation {
  readonly name: string;
  readonly operation: string;
  readonly form: FormName;
  /** log2 of the operand size in bytes. */
  readonly size: number;
}

const BITS = [8, 16, 32, 64];

function expand(operations: readonly string[], forms: readonly FormName[], sizes: readonly number[]): HotOperation[] {
  return operations.flatMap((operation) =>
    forms.flatMap((form) => sizes.map((size) => ({ name: `${operation}${BITS[size]}_${form}`, operation, form, size }))),
  );
}

export const HOT_OPERATIONS: readonly HotOperation[] = [...expand([], [], [])];
