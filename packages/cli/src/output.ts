/** Printing of results: one set of plain data, four formats (`-o table|json|yaml|name`). Pure functions from data to text. */
import type { OutputFormat } from './command-table.ts';

/** Plain data, as `inspect()` answers it and JSON can carry it. */
export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };

/** A list with the columns that a table shows; JSON and YAML have all keys of the rows. */
export interface Listing {
  readonly rows: readonly { readonly [key: string]: Plain }[];
  /** Heading and key of each column, in order. The first is the name. */
  readonly columns: readonly (readonly [heading: string, key: string, show?: (value: Plain) => string])[];
}

/** A listing in a format, with its last newline. */
export function formatListing({ rows, columns }: Listing, format: OutputFormat): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(rows, undefined, 2)}\n`;
    case 'yaml':
      return toYaml(rows);
    case 'name':
      return rows.map((row) => `${showScalar(row[columns[0]?.[1] ?? 'name'] ?? '')}\n`).join('');
    case 'table': {
      const cells = rows.map((row) =>
        columns.map(([, key, show = showScalar]) => {
          const value = row[key];
          return value === undefined || value === null ? '-' : show(value);
        }),
      );
      return formatTable([columns.map(([heading]) => heading), ...cells]);
    }
  }
}

/** Columns aligned to the left, two spaces apart. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, index) => cell.padEnd(widths[index] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** A tree of plain data in a format: `table` is read by people, `name` lists the keys of the top. */
export function formatTree(tree: Plain, format: OutputFormat): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(tree, undefined, 2)}\n`;
    case 'name':
      return childNames(tree)
        .map((name) => `${name}\n`)
        .join('');
    case 'yaml':
    case 'table':
      return toYaml(tree);
  }
}

/** The names under a node of a tree: keys of an object, indices of an array, nothing else. */
export function childNames(tree: Plain): string[] {
  return typeof tree === 'object' && tree !== null ? Object.keys(tree) : [];
}

/** YAML 1.2, block style. Strings are quoted wherever a reader could take them for something else. */
export function toYaml(value: Plain): string {
  if (typeof value !== 'object' || value === null) return `${yamlScalar(value)}\n`;
  const lines = yamlLines(value);
  return lines.map((line) => `${line}\n`).join('');
}

/** Longest list that stands on one line. */
const flowLength = 72;

/** A short list of scalars on one line: `[0, 1]`. Undefined when it is not one. */
function yamlFlow(value: readonly Plain[]): string | undefined {
  const scalars = value.flatMap((item) => (isBranch(item) ? [] : [yamlScalar(item)]));
  const text = `[${scalars.join(', ')}]`;
  return scalars.length === value.length && text.length <= flowLength ? text : undefined;
}

function yamlLines(value: readonly Plain[] | { readonly [key: string]: Plain }): string[] {
  if (isList(value)) {
    const flow = yamlFlow(value);
    if (flow !== undefined) return [flow];
    return value.flatMap((item) => {
      const [first = '', ...rest] = isBranch(item) ? yamlLines(item) : [yamlScalar(item)];
      return [`- ${first}`, ...rest.map((line) => `  ${line}`)];
    });
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return ['{}'];
  return entries.flatMap(([key, item]) => {
    const name = yamlScalar(key);
    if (!isBranch(item)) return [`${name}: ${yamlScalar(item)}`];
    const lines = yamlLines(item);
    const isOneLine = isList(item) ? yamlFlow(item) !== undefined : childNames(item).length === 0;
    return isOneLine ? [`${name}: ${lines.join('')}`] : [`${name}:`, ...lines.map((line) => `  ${line}`)];
  });
}

function yamlScalar(value: string | number | boolean | null): string {
  if (typeof value !== 'string') return String(value);
  const plain = /^[A-Za-z_/][A-Za-z0-9_ ./()+-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value);
  return plain && value.trim() === value ? value : JSON.stringify(value);
}

function isList(value: Plain): value is readonly Plain[] {
  return Array.isArray(value);
}

function isBranch(value: Plain): value is readonly Plain[] | { readonly [key: string]: Plain } {
  return typeof value === 'object' && value !== null;
}

function showScalar(value: Plain): string {
  return isBranch(value) ? JSON.stringify(value) : String(value);
}

/** Bytes for people: `39.4 MiB`. */
export function showBytes(value: Plain): string {
  if (typeof value !== 'number') return '-';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const exponent = value < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** exponent;
  return `${exponent === 0 ? scaled : scaled.toFixed(1)} ${units[exponent]}`;
}

/** A time span for people: `4.2 s`, `3 min 20 s`. */
export function showSeconds(seconds: number): string {
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}
