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
const rows64 = INSTRUCTIONS.filter((row) => row.mode !== 'not64');

function instruction(row: InstructionRow, form: FormName, size: number, locked = false): Instruction {
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
    segment: 0,
    narrowAddress: false,
    displacement: 16,
    immediate: 1,
    wide: 0n,
  };
}

function sizesOf(row: InstructionRow): readonly number[] {
  if (row.size === 'b' || row.operands.some(({ width }) => width === 'b' || width === 'AL')) return [0, 1, 2, 3];
  return [1, 2, 3];
}

/** Forms of a row in 64-bit code. */
function formsOfRow(row: InstructionRow): readonly Instruction[] {
  const forms = formsOf(row);
  const list: Instruction[] = [];
  for (const size of sizesOf(row)) {
    if (row.mod !== 'mem') list.push(instruction(row, forms.register, size));
    if (row.modrm && row.mod !== 'reg') {
      list.push(instruction(row, forms.memory, size));
      if (row.attributes.has('lock')) list.push(instruction(row, forms.memory, size, true));
    }
  }
  return list;
}

describe('the instruction table in 64-bit code', () => {
  it('has a translation, or a reason to have none, for every row and form', () => {
    const missing = rows64.flatMap((row) =>
      formsOfRow(row)
        .filter((form) => !translatable(form) && untranslatedReason(form) === undefined)
        .map(({ form, size, destination }) => `${row.name} ${row.text} ${form} size ${size} lock ${destination}`),
    );
    expect(missing).toEqual([]);
  });

  it('has an operation for each reason', () => {
    const operations = new Set(rows64.map((row) => row.operation));
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

  it('translates most of its rows', () => {
    const left = rows64.filter((row) => UNTRANSLATED.has(row.operation) && !row.operation.startsWith('MMX_'));
    expect(left.length).toBeLessThan(rows64.length / 4);
  });
});
