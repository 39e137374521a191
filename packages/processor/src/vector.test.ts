/**
 * Every SSE and SSE2 row of the table, form by form, against the host's own processor: results, MXCSR, flags and #XM agree bit for
 * bit; reciprocal approximations within their architectural bound. The oracle (native-tests/vector-oracle.c) needs gcc and an
 * x86-64 Linux host with an AMD processor, whose results are the ones at issue; without it the tests are skipped.
 *
 * The extensions beyond SSE2 are compared as whole instructions only (tests/differential).
 *
 * PLINTH_VECTOR_CASES sets the number of cases per form.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { operationNames } from './build/operation-names.ts';
import { STATE } from './state-layout.ts';
import { INSTRUCTIONS } from './table/index.ts';
import { buildTestCore, missingOracle, Oracle, type TestCore } from './testing/native-oracle.ts';
import {
  elementKinds,
  encode,
  type Form,
  fillOperand,
  hasImmediate,
  operandBytes,
  Random,
  randomMxcsr,
  vectorForms,
} from './testing/vector-cases.ts';

const { general: operationNumbers, firstExtension } = operationNames();

const CASES = Number(process.env.PLINTH_VECTOR_CASES ?? 1500);
const RECORD = 64;
const MEMORY = 0x80000000;
const WIDE = 0x40000000;
const hex = (view: DataView, offset: number, size: number): string =>
  Array.from({ length: size }, (_, index) =>
    view
      .getUint8(offset + size - 1 - index)
      .toString(16)
      .padStart(2, '0'),
  ).join('');

/** Runs the form on the core with a record's input; describes the first difference from the oracle's record. */
class Comparison {
  readonly core: TestCore;
  readonly form: Form;
  readonly immediate: number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #operation: number;

  constructor(core: TestCore, form: Form, immediate: number) {
    this.core = core;
    this.form = form;
    this.immediate = immediate;
    this.#view = new DataView(core.memory.buffer);
    this.#bytes = new Uint8Array(core.memory.buffer);
    this.#operation = operationNumbers.indexOf(form.row.operation);
  }

  run(input: Uint8Array, expected: Uint8Array, at: number): string | undefined {
    const { core, form } = this;
    const { row } = form;
    const view = this.#view;
    const bytes = this.#bytes;
    const source = new DataView(input.buffer, input.byteOffset + at, RECORD);
    const wanted = new DataView(expected.buffer, expected.byteOffset + at, RECORD);
    const slots = core.processor + STATE.XMM;
    bytes.set(input.subarray(at, at + 16), slots);
    bytes.set(input.subarray(at + 16, at + 32), slots + 32);
    bytes.set(input.subarray(at + 32, at + 48), core.processor + STATE.REGISTERS);
    view.setUint32(core.processor + STATE.MXCSR, source.getUint32(48, true), true);
    view.setBigUint64(core.processor + STATE.VECTOR_RESULT, 0x5a5a5a5a5a5a5a5an, true);

    // Memory operands end where the core's memory ends: reading beyond them would trap.
    const modrm = row.operands.find((operand) => 'WUEM'.includes(operand.kind));
    const size = modrm === undefined ? 16 : operandBytes(modrm, form.wide);
    const memory = bytes.length - size;
    if (form.place === 'memory') bytes.set(input.subarray(at + 16, at + 16 + size), memory);
    const address = (index: number): number => {
      const operand = row.operands[index];
      if (operand === undefined || operand.kind === 'I' || operand.kind === 'G') return 0;
      if (operand.kind === 'V' || form.place === 'same') return slots;
      if (form.place === 'memory') return memory;
      return operand.kind === 'E' ? core.processor + STATE.REGISTERS + 8 : slots + 32;
    };
    const immediate = (this.immediate | (form.place === 'memory' ? MEMORY : 0) | (form.wide ? WIDE : 0)) >>> 0;
    const fault = core.vectorOperation(this.#operation, address(0), address(1), immediate);

    const mxcsr = view.getUint32(core.processor + STATE.MXCSR, true);
    const wantedFault = wanted.getUint32(52, true);
    const wantedMxcsr = wantedFault === 0 ? wanted.getUint32(48, true) : wantedFault & 0xffff;
    const problems: string[] = [];
    if ((wantedFault !== 0) !== (fault === 1)) problems.push(`#XM ${fault === 1}, expected ${wantedFault !== 0}`);
    if (mxcsr !== wantedMxcsr) problems.push(`mxcsr ${mxcsr.toString(16)}, expected ${wantedMxcsr.toString(16)}`);
    const compare = (name: string, offset: number, wantedOffset: number, count: number): void => {
      for (let index = 0; index < count; index++) {
        if (view.getUint8(offset + index) !== wanted.getUint8(wantedOffset + index)) {
          problems.push(`${name} ${hex(view, offset, count)}, expected ${hex(wanted, wantedOffset, count)}`);
          return;
        }
      }
    };
    const first = row.operands[0];
    if (row.attributes.has('approximate')) {
      problems.push(...this.#approximation(source, wanted, slots));
    } else {
      compare('xmm0', slots, 0, 16);
      const generalStore = row.operation === 'MOVD_FROM_X';
      const result = core.processor + STATE.VECTOR_RESULT;
      if (form.place !== 'memory') compare('xmm1', slots + 32, 16, 16);
      else compare('memory', generalStore ? result : memory, 16, size);
      if (fault === 0 && first?.kind === 'G') compare('result', result, 32, 8);
      if (fault === 0 && generalStore && form.place === 'register') compare('result', result, 40, 8);
      if (fault === 0 && row.flagsWritten !== 0) {
        const flags = view.getUint32(result, true);
        const wantedFlags = wanted.getUint32(56, true) & row.flagsWritten;
        if (flags !== wantedFlags) problems.push(`flags ${flags.toString(16)}, expected ${wantedFlags.toString(16)}`);
      }
    }
    if (problems.length === 0) return undefined;
    const text = `${row.name} ${row.text} ${form.place}${form.wide ? ' wide' : ''} imm ${this.immediate.toString(16)}`;
    const operands = `xmm0 ${hex(source, 0, 16)} other ${hex(source, 16, 16)} rcx ${hex(source, 40, 8)}`;
    return `${text}: ${problems.join('; ')}\n  ${operands} mxcsr ${source.getUint32(48, true).toString(16)}`;
  }

  /** Exact where the result is not finite or is zero, as native otherwise within 1.5 * 2^-12 of the true value. */
  #approximation(source: DataView, wanted: DataView, slots: number): readonly string[] {
    const { row, place } = this.form;
    const problems: string[] = [];
    const scalar = row.name.endsWith('ss');
    for (let at = 0; at < 16; at += 4) {
      const bits = this.#view.getUint32(slots + at, true);
      const wantedBits = wanted.getUint32(at, true);
      if (bits === wantedBits) continue;
      const value = this.#view.getFloat32(slots + at, true);
      const wantedValue = wanted.getFloat32(at, true);
      const argument = source.getFloat32((place === 'same' ? 0 : 16) + at, true);
      const exact = row.name.startsWith('rsqrt') ? 1 / Math.sqrt(argument) : 1 / argument;
      const fine =
        !(scalar && at > 0) &&
        Number.isFinite(wantedValue) &&
        wantedValue !== 0 &&
        Math.abs(value / exact - 1) <= 1.5 * 2 ** -12;
      if (!fine) problems.push(`element ${at / 4} ${bits.toString(16)}, expected ${wantedBits.toString(16)}`);
    }
    return problems;
  }
}

const missing = missingOracle();

const title = `SSE and SSE2 against the host's processor${missing === undefined ? '' : ` (skipped: ${missing})`}`;

describe.skipIf(missing !== undefined)(title, () => {
  let core: TestCore;
  let oracle: Oracle;
  beforeAll(async () => {
    core = await buildTestCore();
    oracle = await Oracle.compile();
  }, 120_000);

  // MMX is compared by whole instructions (tests/differential): its state is the x87's.
  const forms = vectorForms(
    INSTRUCTIONS.filter(
      ({ operation }) => !operation.startsWith('MMX_') && operationNumbers.indexOf(operation) < firstExtension,
    ),
  );
  const names = [...new Set(forms.map((form) => form.row.operation))];
  it.each(names)('%s', (name) => {
    const random = new Random(0x9e3779b9 ^ names.indexOf(name));
    const differences: string[] = [];
    for (const form of forms.filter((candidate) => candidate.row.operation === name)) {
      const immediates = hasImmediate(form.row)
        ? Array.from({ length: 24 }, (_, index) => (index < 20 ? index : random.below(256)))
        : [0];
      const [firstKind, secondKind] = elementKinds(form.row);
      const size = Math.ceil(CASES / immediates.length) * RECORD;
      const input = new Uint8Array(size * immediates.length);
      const view = new DataView(input.buffer);
      for (let at = 0; at < input.length; at += RECORD) {
        fillOperand(random, firstKind, view, at);
        fillOperand(random, secondKind, view, at + 16, firstKind === secondKind ? at : undefined);
        fillOperand(random, 'integer', view, at + 32);
        view.setUint32(at + 48, randomMxcsr(random), true);
      }
      const expected = oracle.run(
        ...immediates.map((immediate, index) => ({
          kind: 0 as const,
          code: encode(form, immediate),
          memoryForm: form.place === 'memory',
          recordBytes: RECORD,
          records: input.subarray(index * size, (index + 1) * size),
        })),
      );
      immediates.forEach((immediate, index) => {
        const comparison = new Comparison(core, form, immediate);
        for (let at = index * size; at < (index + 1) * size && differences.length < 12; at += RECORD) {
          const difference = comparison.run(input, expected, at);
          if (difference !== undefined) differences.push(difference);
        }
      });
    }
    expect(differences.join('\n')).toBe('');
  });
});
