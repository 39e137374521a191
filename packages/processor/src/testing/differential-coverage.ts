/**
 * The differential harness: what was run, per table row, mode, operand size and form, and whether rows that can fault did.
 */
import { INSTRUCTIONS, type InstructionRow } from '../table/index.ts';
import type { DifferentialCase, Form } from './differential-builder.ts';
import { ranToEnd } from './differential-compare.ts';
import { canFault, comparedModesOf, exclusionReason, modesOf } from './differential-generator.ts';
import { LACKING_NOTHING, type Lacking, modeObstacle, rowObstacle } from './differential-host.ts';
import { type Mode, type Outcome, RESULT } from './differential-layout.ts';

/** Cases of one kind, and how many of them ended in an exception. */
export interface CaseCount {
  cases: number;
  faults: number;
}

export interface RowCoverage extends CaseCount {
  readonly row: string;
  readonly encoding: string;
  /** Times that the row stood in a block. */
  inBlocks: number;
  /** Keys such as `long mode, 64 bits, memory`. */
  readonly forms: Record<string, CaseCount>;
  readonly vectors: Record<string, number>;
}

export interface CoverageReport {
  readonly cases: number;
  readonly instructions: number;
  readonly rows: readonly RowCoverage[];
  readonly excluded: readonly { readonly row: string; readonly encoding: string; readonly reason: string }[];
  /** What this host could not be asked about: rows, or a row in a mode. */
  readonly incomparable: readonly { readonly what: string; readonly reason: string }[];
  /** What makes the report a failure. */
  readonly shortcomings: readonly string[];
}

/** What was counted, as data that goes from thread to thread. */
export interface CoverageCounts {
  readonly cases: number;
  readonly instructions: number;
  readonly rows: readonly (readonly [id: number, RowCoverage])[];
}

const modeName = (mode: Mode): string => (mode === 64 ? 'long mode' : 'compatibility mode');

const FORM_KEYS = new Map<number, string>();
/** The key of mode, size and form. */
function formKey(mode: Mode, size: number, form: Form): string {
  const number = (size * 128 + mode) * 4 + (form === 'none' ? 0 : form === 'register' ? 1 : 2);
  let key = FORM_KEYS.get(number);
  if (key === undefined) {
    key = `${modeName(mode)}, ${size} bits, ${form}`;
    FORM_KEYS.set(number, key);
  }
  return key;
}

function addTo(counts: Record<string, CaseCount>, key: string, cases: number, faults: number): void {
  counts[key] ??= { cases: 0, faults: 0 };
  const count = counts[key];
  count.cases += cases;
  count.faults += faults;
}

/** The cases of a row of the forms that are wanted. */
function sumOf({ forms }: RowCoverage, wanted: (key: string) => boolean): CaseCount {
  const sum: CaseCount = { cases: 0, faults: 0 };
  for (const [key, { cases, faults }] of Object.entries(forms)) {
    if (!wanted(key)) continue;
    sum.cases += cases;
    sum.faults += faults;
  }
  return sum;
}

/** Forms that a row's ModRM operand has. */
function formsOf(row: InstructionRow): readonly Form[] {
  if (row.mod !== 'any' || !row.operands.some(({ kind }) => 'EWQ'.includes(kind))) return [];
  return ['register', 'memory'];
}

export class Coverage {
  readonly #rows = new Map<number, RowCoverage>();
  #cases = 0;
  #instructions = 0;

  #of(id: number, name: string, encoding: string): RowCoverage {
    let entry = this.#rows.get(id);
    if (entry === undefined) {
      entry = { row: name, encoding, cases: 0, inBlocks: 0, faults: 0, forms: {}, vectors: {} };
      this.#rows.set(id, entry);
    }
    return entry;
  }

  /** Counts a case by what the host's processor did with it. */
  add(subject: DifferentialCase, outcome: Outcome): void {
    this.#cases++;
    this.#instructions += subject.items.length;
    const faulted = ranToEnd(subject, outcome) ? 0 : 1;
    for (const { row, size, form } of subject.items) {
      if (row === undefined) continue;
      const entry = this.#of(row.id, row.name, row.text);
      if (subject.kind === 'block') {
        entry.inBlocks++;
        continue;
      }
      entry.cases++;
      entry.faults += faulted;
      addTo(entry.forms, formKey(subject.state.mode, size, form), 1, faulted);
      if (faulted === 0) continue;
      const vector = String(outcome.view.getUint32(RESULT.vector, true));
      entry.vectors[vector] = (entry.vectors[vector] ?? 0) + 1;
    }
  }

  counts(): CoverageCounts {
    return { cases: this.#cases, instructions: this.#instructions, rows: [...this.#rows] };
  }

  /** Adds what was counted elsewhere. */
  merge({ cases, instructions, rows }: CoverageCounts): void {
    this.#cases += cases;
    this.#instructions += instructions;
    for (const [id, other] of rows) {
      const entry = this.#of(id, other.row, other.encoding);
      entry.cases += other.cases;
      entry.inBlocks += other.inBlocks;
      entry.faults += other.faults;
      for (const [key, count] of Object.entries(other.forms)) addTo(entry.forms, key, count.cases, count.faults);
      for (const [vector, count] of Object.entries(other.vectors))
        entry.vectors[vector] = (entry.vectors[vector] ?? 0) + count;
    }
  }

  /**
   * What was run and what it lacks: a row needs its number of cases, an equal share of them in each mode that it has, both forms of its
   * operand there, and a fault there where it can fault.
   * @param minimum cases of its own that each row must have had
   * @param lacking what the host lacks: what it cannot be asked about needs no cases
   */
  report(minimum: number, lacking: Lacking = LACKING_NOTHING): CoverageReport {
    const shortcomings: string[] = [];
    const excluded: { row: string; encoding: string; reason: string }[] = [];
    const incomparable: { what: string; reason: string }[] = [];
    for (const row of INSTRUCTIONS) {
      const reason = exclusionReason(row);
      if (reason !== undefined) {
        excluded.push({ row: row.name, encoding: row.text, reason });
        continue;
      }
      const whole = rowObstacle(row, lacking);
      if (whole !== undefined) incomparable.push({ what: row.name, reason: whole });
      for (const mode of whole === undefined ? modesOf(row) : []) {
        const part = modeObstacle(mode, lacking);
        if (part !== undefined) incomparable.push({ what: modeName(mode), reason: part });
      }
      const modes = comparedModesOf(row, lacking);
      if (modes.length === 0) continue;
      const entry = this.#of(row.id, row.name, row.text);
      for (const mode of modes) {
        const name = `${row.name} (${row.text}) in ${modeName(mode)}`;
        const { cases, faults } = sumOf(entry, (key) => key.startsWith(modeName(mode)));
        const least = minimum / modes.length;
        if (cases < least) shortcomings.push(`${name}: ${cases} cases, fewer than ${least}`);
        if (canFault(row) && faults === 0) shortcomings.push(`${name}: can fault and never did`);
        for (const form of formsOf(row)) {
          const found = sumOf(entry, (key) => key.startsWith(modeName(mode)) && key.endsWith(form));
          if (found.cases === 0) shortcomings.push(`${name}: never had an operand in ${form}`);
        }
      }
    }
    const rows = [...this.#rows.entries()].sort(([left], [right]) => left - right).map(([, entry]) => entry);
    return { cases: this.#cases, instructions: this.#instructions, rows, excluded, incomparable, shortcomings };
  }
}

/** The report as a table for people. */
export function formatCoverage(report: CoverageReport): string {
  const lines = [
    `${'row'.padEnd(13)}${'encoding'.padEnd(38)}${'cases'.padStart(7)}${'blocks'.padStart(8)}${'faults'.padStart(8)}  sizes and forms`,
  ];
  for (const { row, encoding, cases, inBlocks, faults, forms } of report.rows) {
    const shapes = Object.entries(forms).map(([name, count]) => `${name}: ${count.cases} (${count.faults} faults)`);
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
