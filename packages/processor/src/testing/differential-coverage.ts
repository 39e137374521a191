/**
 * The differential harness: what was run, per table row, operand size and form, and whether rows that can fault did.
 */
import { INSTRUCTIONS, type InstructionRow } from '../table/index.ts';
import type { DifferentialCase } from './differential-builder.ts';
import { ranToEnd } from './differential-compare.ts';
import { canFault, exclusionReason } from './differential-generator.ts';
import { type Outcome, RESULT } from './differential-layout.ts';

export interface RowCoverage {
  readonly row: string;
  readonly encoding: string;
  /** Cases of their own. */
  cases: number;
  /** Times that the row stood in a block. */
  inBlocks: number;
  faults: number;
  /** Keys such as `64-bit memory`. */
  readonly forms: Record<string, number>;
  readonly vectors: Record<string, number>;
}

export interface CoverageReport {
  readonly cases: number;
  readonly instructions: number;
  readonly rows: readonly RowCoverage[];
  readonly excluded: readonly { readonly row: string; readonly encoding: string; readonly reason: string }[];
  /** What makes the report a failure. */
  readonly shortcomings: readonly string[];
}

export class Coverage {
  readonly #rows = new Map<number, RowCoverage>();
  #cases = 0;
  #instructions = 0;

  #of(row: InstructionRow): RowCoverage {
    let entry = this.#rows.get(row.id);
    if (entry === undefined) {
      entry = { row: row.name, encoding: row.text, cases: 0, inBlocks: 0, faults: 0, forms: {}, vectors: {} };
      this.#rows.set(row.id, entry);
    }
    return entry;
  }

  /** Counts a case by what the host's processor did with it. */
  add(subject: DifferentialCase, outcome: Outcome): void {
    this.#cases++;
    this.#instructions += subject.items.length;
    for (const { row, size, form } of subject.items) {
      if (row === undefined) continue;
      const entry = this.#of(row);
      if (subject.kind === 'block') {
        entry.inBlocks++;
        continue;
      }
      entry.cases++;
      const key = `${subject.state.mode === 64 ? 'long' : 'compatibility'} mode, ${size} bits, ${form}`;
      entry.forms[key] = (entry.forms[key] ?? 0) + 1;
      if (ranToEnd(subject, outcome)) continue;
      entry.faults++;
      const vector = String(outcome.view.getUint32(RESULT.vector, true));
      entry.vectors[vector] = (entry.vectors[vector] ?? 0) + 1;
    }
  }

  /** @param minimum cases of its own that each row must have had */
  report(minimum: number): CoverageReport {
    const shortcomings: string[] = [];
    const excluded: { row: string; encoding: string; reason: string }[] = [];
    for (const row of INSTRUCTIONS) {
      const reason = exclusionReason(row);
      if (reason !== undefined) {
        excluded.push({ row: row.name, encoding: row.text, reason });
        continue;
      }
      const { cases, faults } = this.#of(row);
      const name = `${row.name} (${row.text})`;
      if (cases < minimum) shortcomings.push(`${name}: ${cases} cases, fewer than ${minimum}`);
      if (canFault(row) && faults === 0) shortcomings.push(`${name}: can fault and never did`);
    }
    const rows = [...this.#rows.entries()].sort(([left], [right]) => left - right).map(([, entry]) => entry);
    return { cases: this.#cases, instructions: this.#instructions, rows, excluded, shortcomings };
  }
}

/** The report as a table for people. */
export function formatCoverage(report: CoverageReport): string {
  const lines = [
    `${'row'.padEnd(13)}${'encoding'.padEnd(38)}${'cases'.padStart(7)}${'blocks'.padStart(8)}${'faults'.padStart(8)}  sizes and forms`,
  ];
  for (const { row, encoding, cases, inBlocks, faults, forms } of report.rows) {
    const shapes = Object.entries(forms).map(([name, count]) => `${name}: ${count}`);
    lines.push(
      `${row.padEnd(13)}${encoding.padEnd(38)}${String(cases).padStart(7)}${String(inBlocks).padStart(8)}${String(faults).padStart(8)}  ${shapes.join('; ')}`,
    );
  }
  for (const { row, encoding, reason } of report.excluded)
    lines.push(`${row.padEnd(13)}${encoding.padEnd(38)} not run: ${reason}`);
  lines.push(
    `${report.cases} cases, ${report.instructions} instructions, ${report.rows.length} rows, ${report.excluded.length} excluded`,
  );
  return lines.join('\n');
}
