/**
 * What the translator leaves to the interpreter on purpose, each with its reason. A region ends before such an instruction and the next one
 * begins behind it; a unit test checks that every row of the instruction table has a translation or stands here.
 *
 * Called by: emit-instructions.ts, operation-facts.ts.
 */
import type { Instruction } from './instruction.ts';

const REASONS: readonly (readonly [reason: string, ...operations: string[]])[] = [
  ['only raises an exception', 'RDPMC'],
  ['reads the host’s random numbers', 'RDRAND'],
  ['calls the hypervisor', 'VMMCALL'],
  ['calls a device, for each of its pieces', 'INS', 'OUTS'],
  [
    'changes the mode, the privilege level or the address space that the region was made for',
    ...['RETF', 'INT', 'INT1', 'INT3', 'INTO', 'JMP_FAR_IMM', 'CALL_FAR_IMM', 'LOAD_FAR_ES', 'LOAD_FAR_DS'],
    ...[
      'JMP_FAR_MEM',
      'CALL_FAR_MEM',
      'MOV_TO_CR',
      'LMSW',
      'INVLPG',
      'INVPCID',
      'WRMSR',
      'LLDT',
      'LTR',
      'LGDT',
      'LIDT',
    ],
    ...['MOV_TO_SEG', 'POP_SEG', 'LOAD_FAR_SS', 'LOAD_FAR_FS', 'LOAD_FAR_GS', 'MOV_TO_DR', 'XSETBV', 'CLTS'],
  ],
  ['stops the processor', 'HLT'],
  ['only raises an exception', 'UD2'],
  [
    'is rare beside what it would take',
    ...['CPUID', 'RDMSR', 'MOV_FROM_DR', 'SMSW', 'SLDT', 'STR', 'SGDT', 'SIDT', 'VERR', 'VERW', 'LAR', 'LSL'],
    ...['XGETBV', 'WBINVD', 'CLFLUSH', 'ENTER', 'PUSH_SEG', 'LOOP', 'LOOPE', 'LOOPNE', 'JCXZ', 'BOUND', 'ARPL'],
  ],
  ['moves the state of the x87 unit, in pieces each of which may fault', 'FLDENV', 'FNSTENV', 'FRSTOR', 'FNSAVE'],
  [
    'moves the whole vector state at once',
    'FXSAVE',
    'FXRSTOR',
    'XSAVE',
    'XSAVEOPT',
    'XSAVEC',
    'XSAVES',
    'XRSTOR',
    'XRSTORS',
  ],
  ['stores up to sixteen pieces, each of which may fault', 'MASKMOVDQU'],
  ['compares or loads element by element, and compilers do not use it', 'LODS', 'SCAS', 'CMPS'],
];

/** Operations that are always interpreted, with the reason. */
export const UNTRANSLATED: ReadonlyMap<string, string> = new Map(
  REASONS.flatMap(([reason, ...operations]) => operations.map((operation) => [operation, reason] as const)),
);

/** Why no instruction of 32-bit code with an address of 16 bits is translated. */
export const ADDRESS_OF_16_BITS = 'no compiler gives 32-bit code an address of 16 bits';

export interface UntranslatedForm {
  /** The operations, by name or by what their names have in common. */
  readonly operations: readonly string[] | RegExp;
  when(instruction: Instruction): boolean;
  readonly reason: string;
}

/** Whether the operand size is not the mode's own: in 64-bit code of these instructions 64 bits, in 32-bit code 32. */
function isNarrow({ code32, size }: Instruction): boolean {
  return size !== (code32 ? 2 : 3);
}

/** Kinds of operations, and forms of translated ones, that are interpreted. */
export const UNTRANSLATED_FORMS: readonly UntranslatedForm[] = [
  {
    operations: /^(MMX_|EMMS$)/,
    when: () => true,
    reason: 'programs use SSE2 instead of MMX',
  },
  {
    operations: ['JMP', 'CALL', 'RET', 'JMP_INDIRECT', 'CALL_INDIRECT'],
    when: isNarrow,
    reason: 'cuts the target off at 16 bits',
  },
  {
    operations: /^JCC_/,
    when: isNarrow,
    reason: 'cuts the target off at 16 bits',
  },
  {
    operations: ['LEAVE'],
    when: isNarrow,
    reason: 'no compiler makes a 16-bit frame',
  },
  {
    operations: ['BT', 'BTS', 'BTR', 'BTC'],
    when: ({ code32, form, narrowAddress }) => form === 'MR' && narrowAddress && !code32,
    reason: 'the bit index would wrap at 32 bits',
  },
  {
    operations: ['ADC', 'SBB', 'NEG'],
    when: ({ form, destination }) => (form === 'M' || form === 'MR' || form === 'MI') && destination !== 0,
    reason: 'LOCK with it has no single atomic operation, and nobody uses it',
  },
  {
    operations: ['MOVS', 'STOS'],
    when: ({ code32, narrowAddress, segment }) =>
      code32 ? segment === 2 || segment > 4 : narrowAddress || segment !== 0,
    reason: 'no compiler gives a string a narrower address or a segment',
  },
  {
    operations: ['MOV_FROM_SEG'],
    when: ({ source }) => source > 5,
    reason: 'there is no such segment register: it only raises an exception',
  },
];
