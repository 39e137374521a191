/** The instruction table: every line is a row, every row says something that can be decoded, and no encoding means two things. */
import { describe, expect, it } from 'vitest';
import { AVX_ROWS, deriveVexRows } from './avx.ts';
import { EXTENSION_ROWS } from './extensions.ts';
import { GENERAL_ROWS } from './general.ts';
import { MMX_ROWS } from './mmx.ts';
import { CONDITIONS, INSTRUCTIONS, type InstructionRow } from './parse.ts';
import { VECTOR_ROWS } from './vector.ts';
import { X87_ROWS } from './x87.ts';

const lines = [
  GENERAL_ROWS,
  VECTOR_ROWS,
  MMX_ROWS,
  X87_ROWS,
  EXTENSION_ROWS,
  AVX_ROWS,
  deriveVexRows(VECTOR_ROWS, EXTENSION_ROWS),
]
  .flatMap((text) => text.split('\n'))
  .filter((line) => line.trim() !== '' && !line.startsWith('#'));
const named = (name: string): InstructionRow[] => INSTRUCTIONS.filter((row) => row.name === name);
const LEGACY = ['none', '66', 'F3', 'F2'] as const;

/** The prefixes with which a row is meant; F2 and F3 rule before 66. */
function prefixes(row: InstructionRow): readonly string[] {
  switch (row.prefix) {
    case 'any':
      return LEGACY;
    case 'NP':
      return ['none'];
    case 'NP66':
      return ['none', '66'];
    default:
      return [row.prefix];
  }
}

/** Lengths and W of a VEX row's encodings; one empty text without VEX. */
function vexForms({ vex }: InstructionRow): readonly string[] {
  if (vex === undefined) return [''];
  const lengths = vex.length === '128' || vex.length === '256' ? [vex.length] : ['128', '256'];
  const widths = vex.w === undefined ? [0, 1] : [vex.w];
  return lengths.flatMap((length) => widths.map((w) => `VEX.${length}.W${w}`));
}

/** Every encoding a row stands for: mode, prefix, map, opcode, and ModRM where it decides. */
function encodings(row: InstructionRow): string[] {
  const modes = row.mode === 'any' ? ['32', '64'] : [row.mode === 'not64' ? '32' : '64'];
  const opcodes = Array.from({ length: row.registerInOpcode ? 8 : 1 }, (_, index) => row.opcode + index);
  const digits = row.digit === undefined ? [0, 1, 2, 3, 4, 5, 6, 7] : [row.digit];
  const mods = row.mod === 'any' ? ['mem', 'reg'] : [row.mod];
  const numbers = row.rm === undefined ? [0, 1, 2, 3, 4, 5, 6, 7] : [row.rm];
  const forms = row.modrm
    ? digits.flatMap((digit) =>
        mods.flatMap((mod) => numbers.map((rm) => `${mod} /${digit} ${mod === 'reg' ? rm : 0}`)),
      )
    : [''];
  return [
    ...new Set(
      modes.flatMap((mode) =>
        prefixes(row).flatMap((prefix) =>
          opcodes.flatMap((opcode) =>
            forms.flatMap((form) =>
              vexForms(row).map((vex) => `${mode} ${vex} ${prefix} ${row.map} ${opcode.toString(16)} ${form}`),
            ),
          ),
        ),
      ),
    ),
  ];
}

describe('the instruction table', () => {
  it('has a row for each line, and one for each condition of a line with +c', () => {
    const conditional = lines.filter((line) => /^\S+\s+.*\+c/.test(line)).length;
    expect(conditional).toBeGreaterThan(0);
    expect(INSTRUCTIONS).toHaveLength(lines.length + conditional * (CONDITIONS.length - 1));
  });
  it('numbers rows by their place', () => {
    expect(INSTRUCTIONS.map((row) => row.id)).toEqual(INSTRUCTIONS.map((_, index) => index));
  });
  it('has opcodes of a byte, digits of three bits and a ModRM byte wherever one is spoken of', () => {
    for (const row of INSTRUCTIONS) {
      const where = `${row.name} ${row.text}`;
      expect(row.opcode, where).toBeGreaterThanOrEqual(0);
      expect(row.opcode + (row.registerInOpcode ? 7 : 0), where).toBeLessThan(256);
      if (row.digit !== undefined) expect(row.digit, where).toBeLessThan(8);
      if (row.digit !== undefined || row.mod !== 'any' || row.rm !== undefined) expect(row.modrm, where).toBe(true);
      if (row.registerInOpcode) expect(row.opcode & 7, where).toBe(0);
    }
  });
  it('never says that a flag is both written and undefined', () => {
    const both = INSTRUCTIONS.filter((row) => (row.flagsWritten & row.flagsUndefined) !== 0);
    expect(both.map((row) => row.name)).toEqual([]);
  });
  it('is without ambiguity: of two rows for one encoding the earlier is the narrower', () => {
    const first = new Map<string, InstructionRow>();
    const shadowed: string[] = [];
    // The decoder tries rows with a prefix of their own before those that take any.
    const tried = INSTRUCTIONS.toSorted(
      (left, right) => Number(left.prefix === 'any') - Number(right.prefix === 'any'),
    );
    for (const row of tried) {
      const all = encodings(row);
      const taken = all.filter((encoding) => first.has(encoding));
      // A general row behind special ones keeps what they leave; one that keeps nothing could never be decoded.
      if (taken.length === all.length) shadowed.push(`${row.name} ${row.text}`);
      for (const encoding of taken) {
        const other = first.get(encoding);
        if (other !== undefined && encodings(other).length >= all.length) {
          shadowed.push(`${row.name} ${row.text} behind ${other.name} ${other.text}: ${encoding}`);
        }
      }
      for (const encoding of all) if (!first.has(encoding)) first.set(encoding, row);
    }
    expect([...new Set(shadowed)]).toEqual([]);
  });
  it.each([
    ['add', '00', { map: 0, opcode: 0x00, modrm: true, flagsWritten: 0x8d5 }],
    ['bswap', '0F C8+r', { map: 1, opcode: 0xc8, registerInOpcode: true }],
    ['popcnt', 'F3 0F B8', { prefix: 'F3', map: 1, opcode: 0xb8, feature: 'popcnt' }],
    ['pshufd', '66 0F 70', { prefix: '66', map: 1, opcode: 0x70 }],
    ['cmpxchg8b', '0F C7 /1 mem', { digit: 1, mod: 'mem', operation: 'CMPXCHG8B' }],
    ['nop', '90', { operation: 'NOP', modrm: false }],
  ] as const)('reads %s %s', (name, encoding, expected) => {
    const row = named(name).find(({ text }) => text.startsWith(encoding));
    expect(row).toMatchObject(expected);
  });
  it('expands conditions', () => {
    const rows = INSTRUCTIONS.filter((row) => row.operation.startsWith('SETCC_'));
    expect(rows.map((row) => row.condition)).toEqual(CONDITIONS.map((_, index) => index));
    expect(rows.map((row) => row.opcode)).toEqual(CONDITIONS.map((_, index) => 0x90 + index));
    expect(named('setnbe')).toHaveLength(1);
  });
});
