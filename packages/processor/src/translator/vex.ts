/**
 * What VEX instructions are made of: the SSE operation that one does on each 128 bits, its operands, and its halves.
 *
 * Places of vector registers are 16 times their number; upper halves of YMM registers lie UPPER above, scratch vectors from SCRATCH on. An
 * instruction's `first` is the register in VEX.vvvv where the encoding has one, else its destination (instruction-reader.ts).
 * Answers to: AMD64 manual volume 4, section 1.3; fields of the immediate: assembly/decoder.ts. Called by: instruction-reader.ts,
 * operation-facts.ts, region-registers.ts, float-analysis.ts, emit-vex.ts.
 */
import type { FormName } from '../build/forms.ts';
import type { Instruction } from './instruction.ts';

export const UPPER = 0x100;
export const SCRATCH = 0x210;
/** Scratch vectors: an operand's halves, and results that are not written yet. */
export const LOW_OPERAND = SCRATCH;
export const HIGH_OPERAND = SCRATCH + 0x10;
export const LOW_RESULT = SCRATCH + 0x20;
export const HIGH_RESULT = SCRATCH + 0x30;

const REGISTER_SHIFT = 20;
const IS_256 = 0x1000000;

export const isWide = ({ immediate }: Instruction): boolean => (immediate & IS_256) !== 0;
/** Number of the register in VEX.vvvv. */
export const vexRegister = (immediate: number): number => (immediate >> REGISTER_SHIFT) & 15;
/** Place of the register in the immediate byte's upper half. */
export const fourthPlace = ({ immediate }: Instruction): number => immediate & 0xf0;

/** SSE operations by those that do the same and have other names. */
const NAMESAKES: Readonly<Record<string, string>> = {
  // Predicates beyond the eighth differ from their namesakes in what NaN gives and raises, and NaN is never native.
  VCMPPS: 'CMPPS',
  VCMPSS: 'CMPSS',
  VCMPPD: 'CMPPD',
  VCMPSD: 'CMPSD_X',
  VPBLENDD: 'BLENDPS',
  VPERMILPS_IMM: 'PSHUFD',
};
/** The operation that a VEX operation does on each 128 bits; for those that do something else, their own name. */
export function namesakeOf(operation: string): string {
  return NAMESAKES[operation] ?? (operation.startsWith('VEX_') ? operation.slice(4) : operation);
}

/** Operations, by their SSE names, that have no operand in VEX.vvvv. */
const WITHOUT_FIRST =
  /^(MOV(_X|Q_|D_|NT|MSK|S[HL]DUP|DDUP|[LH]PS_STORE)|LDDQU|U?COMIS|(R?SQRT|RCP)P[SD]$|CVT(T?P[SD]|DQ|T?S[SD]2SI)|PSHUF(D|LW|HW)$|PABS|PTEST|PMOV|PEXTR|EXTRACTPS|ROUNDP|VBROADCAST|VEXTRACT|VPERMQ|VPERMILP[SD]_IMM|VZERO|LDMXCSR|STMXCSR)/;
/** Whether an operation, by its SSE name, has an operand in VEX.vvvv. */
export function namesFirst(operation: string, form: FormName): boolean {
  if (form === 'MR' || form === 'M' || form === 'N') return false;
  return form === 'RI' || !((form === 'RM' && /^MOVS[SD]_LOAD$/.test(operation)) || WITHOUT_FIRST.test(operation));
}
/** Operations with a fourth operand, in the immediate byte. */
export const namesFourth = (operation: string): boolean => /^P?BLENDV/.test(operation);

/** Shifts by a count in the lower half of the source, whatever the length. */
export const shiftsByVector = ({ operation, form }: Instruction): boolean =>
  form !== 'RI' && /^P(SLL|SRL|SRA)[WDQ]$/.test(operation);
/** Operations whose source is half, a quarter or an eighth as long as the destination, and whose destination is half as long as the source. */
export const widens = (operation: string): boolean => /^(PMOV[SZ]X|CVTPS2PD|CVTDQ2PD)/.test(operation);
export const narrows = (operation: string): boolean => /^(CVTPD2PS|CVTT?PD2DQ)/.test(operation);

/** By how much the immediate byte is shifted for the upper half. */
const IMMEDIATE_SHIFTS: Readonly<Record<string, number>> = { BLENDPS: 4, BLENDPD: 2, SHUFPD: 2, VPERMILPD_IMM: 2 };
function upperImmediate({ operation, immediate }: Instruction): number {
  const shift = IMMEDIATE_SHIFTS[operation] ?? 0;
  return (immediate & ~0xff) | ((immediate & 0xff) >> shift);
}

/**
 * The two halves of a 256-bit instruction that does the same on each 128 bits, as instructions on registers. `low` and `high` are the
 * places of the source's halves.
 */
export function halvesOf(
  instruction: Instruction,
  low: number,
  high: number,
  result = instruction.destination,
): readonly [Instruction, Instruction] {
  const { form, destination, first } = instruction;
  const onRegisters = form === 'RM' ? 'RR' : form;
  return [
    { ...instruction, form: onRegisters, source: low, destination: result },
    {
      ...instruction,
      form: onRegisters,
      source: high,
      destination: destination + UPPER,
      first: first + UPPER,
      immediate: upperImmediate(instruction),
    },
  ];
}
