import { describe, expect, it } from 'vitest';
import { formsOf } from '../build/decoder-tables.ts';
import type { FormName } from '../build/forms.ts';
import { operationNames } from '../build/operation-names.ts';
import { STATE } from '../state-layout.ts';
import { INSTRUCTIONS, type InstructionRow } from '../table/index.ts';
import { translatable, untranslatedReason } from './emit-instructions.ts';
import type { Instruction } from './instruction.ts';
import { factsOf } from './operation-facts.ts';
import { UNTRANSLATED, UNTRANSLATED_FORMS } from './untranslated.ts';

const { general, firstExtension } = operationNames();
type CodeBits = 32 | 64;
const rowsIn = (bits: CodeBits): readonly InstructionRow[] =>
  INSTRUCTIONS.filter((row) => row.mode !== (bits === 64 ? 'not64' : 'only64'));

function instruction(bits: CodeBits, row: InstructionRow, form: FormName, size: number, locked = false): Instruction {
  const memory = form === 'M' || form === 'MR' || form === 'MI';
  const facts = factsOf(row.operation, form, general.indexOf(row.operation) >= firstExtension);
  return {
    offset: 0,
    next: 4,
    operation: facts.namesake,
    form,
    facts,
    flow: facts.flow,
    vector: facts.vector,
    size,
    destination: memory ? Number(locked) : 8,
    source: 0,
    first: 8,
    base: 24,
    index: STATE.ZERO_SLOT,
    scale: 0,
    registers: facts.registers,
    segment: bits === 64 ? 0 : 4,
    code32: bits === 32,
    narrowAddress: bits === 32,
    address16: false,
    displacement: 16,
    immediate: 1,
    wide: 0n,
  };
}

function sizesOf(bits: CodeBits, row: InstructionRow): readonly number[] {
  const sizes = bits === 64 ? [1, 2, 3] : [1, 2];
  if (row.size === 'b' || row.operands.some(({ width }) => width === 'b' || width === 'AL')) return [0, ...sizes];
  return sizes;
}

function formsOfRow(bits: CodeBits, row: InstructionRow): readonly Instruction[] {
  const forms = formsOf(row);
  const list: Instruction[] = [];
  for (const size of sizesOf(bits, row)) {
    if (row.mod !== 'mem') list.push(instruction(bits, row, forms.register, size));
    if (row.modrm && row.mod !== 'reg') {
      list.push(instruction(bits, row, forms.memory, size));
      if (row.attributes.has('lock')) list.push(instruction(bits, row, forms.memory, size, true));
    }
  }
  return list;
}

describe.each([64, 32] as const)('the instruction table in %i-bit code', (bits) => {
  const rows = rowsIn(bits);
  it('has a translation, or a reason to have none, for every row and form', () => {
    const missing = rows.flatMap((row) =>
      formsOfRow(bits, row)
        .filter((form) => !translatable(form) && untranslatedReason(form) === undefined)
        .map(({ form, size, destination }) => `${row.name} ${row.text} ${form} size ${size} lock ${destination}`),
    );
    expect(missing).toEqual([]);
  });

  it('translates most of its rows', () => {
    const left = rows.filter((row) => UNTRANSLATED.has(row.operation) && !row.operation.startsWith('MMX_'));
    expect(left.length).toBeLessThan(rows.length / 4);
  });
});

describe('the list of what is not translated', () => {
  it('has an operation for each reason', () => {
    const operations = new Set(INSTRUCTIONS.map((row) => row.operation));
    const named = [
      ...UNTRANSLATED.keys(),
      ...UNTRANSLATED_FORMS.flatMap(({ operations }) => (operations instanceof RegExp ? [] : operations)),
    ];
    expect(named.filter((operation) => !operations.has(operation))).toEqual([]);
  });

  it('gives no operation two reasons', () => {
    const whole = new Set(UNTRANSLATED.keys());
    const twice = UNTRANSLATED_FORMS.flatMap(({ operations }) =>
      operations instanceof RegExp ? [] : operations,
    ).filter((name) => whole.has(name));
    expect(twice).toEqual([]);
  });
});
