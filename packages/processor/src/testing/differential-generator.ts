/**
 * The differential harness: which instruction runs next, and the case around it.
 *
 * A case follows from (seed, index) alone. Single cases go round the table, row by row and mode by mode; block cases are
 * mixtures (differential-blocks.ts). Called by: tests/differential.
 */
import { INSTRUCTIONS, type InstructionRow } from '../table/index.ts';
import { generateBlock } from './differential-blocks.ts';
import { CaseBuilder, type DifferentialCase } from './differential-builder.ts';
import { encodeInstruction, itemFlags } from './differential-encoder.ts';
import { isString } from './differential-facts.ts';
import { LACKING_NOTHING, type Lacking, modeObstacle, rowObstacle } from './differential-host.ts';
import { BATCH_CASES, type Mode } from './differential-layout.ts';
import { prepare } from './differential-operations.ts';
import { direct, patchable } from './differential-preparations.ts';

const EXCLUDED_OPERATIONS: Readonly<Record<string, string>> = {
  CPUID: 'tells the features of the processor itself',
  XSAVEOPT: 'leaves out what the processor knows to be in memory already',
  SYSCALL: 'enters the kernel',
  SYSENTER: 'enters the kernel',
  SYSEXIT: 'leaves a kernel that was entered by SYSENTER',
  SLDT: 'Linux emulates it where UMIP forbids it',
  STR: 'Linux emulates it where UMIP forbids it',
  SGDT: 'Linux emulates it where UMIP forbids it',
  SIDT: 'Linux emulates it where UMIP forbids it',
  SMSW: 'Linux emulates it where UMIP forbids it',
  INT1: 'hypervisors disagree on the address that it reports',
  VMMCALL: "calls the hypervisor of the host's own machine",
  RDPMC: "whether a user may is the kernel's choice",
  RDPKRU: "whether there are protection keys is the kernel's choice",
  WRPKRU: "whether there are protection keys is the kernel's choice",
};

/** Why a row is not run on the host; undefined for a row that is. */
export function exclusionReason(row: InstructionRow): string | undefined {
  if (row.attributes.has('time')) return 'reads the clock';
  if (row.attributes.has('random')) return 'gives random numbers';
  return EXCLUDED_OPERATIONS[row.operation];
}

/** Operands of several words, which no manual says in which order they are accessed. */
const SEVERAL_WORDS =
  /^(FX|XSAVE|XRSTOR|FLDENV|FNSTENV|FNSAVE|FRSTOR|(VEX_)?MASKMOVDQU|RETF|IRET|LOAD_FAR|(CALL|JMP)_FAR|PUSHA|POPA|BOUND|ENTER|LEAVE|CMPXCHG8B)/;
/** They fault where CR4.FSGSBASE is clear, which no user program can arrange. */
const OTHER_MODES = new Set(['RDFSBASE', 'RDGSBASE']);
const NO_MEMORY_ACCESS = new Set(['LEA', 'NOP_MODRM']);
const STACK_OPERATIONS = /^(PUSH|POP|CALL|RET|ENTER|LEAVE|IRET|INT$|INT3|INTO)/;

/** True for a row that can raise an exception in user mode, so that some case has to show it. */
export function canFault(row: InstructionRow): boolean {
  const { attributes, operation } = row;
  if (OTHER_MODES.has(operation)) return false;
  if (attributes.has('fault') || attributes.has('io') || attributes.has('system')) return true;
  if (STACK_OPERATIONS.test(operation) || isString(row) || attributes.has('memory')) return true;
  if (NO_MEMORY_ACCESS.has(operation)) return false;
  return row.mod !== 'reg' && row.operands.some((operand) => 'EWMO'.includes(operand.kind));
}

/** Modes of 32- and 64-bit code that a row exists in. */
export const modesOf = (row: InstructionRow): readonly Mode[] =>
  row.mode === 'only64' ? [64] : row.mode === 'not64' ? [32] : [64, 32];

/** Modes in which a row can be compared on a host that lacks something. */
export const comparedModesOf = (row: InstructionRow, lacking: Lacking): readonly Mode[] =>
  exclusionReason(row) !== undefined || rowObstacle(row, lacking) !== undefined
    ? []
    : modesOf(row).filter((mode) => modeObstacle(mode, lacking) === undefined);

interface Subject {
  readonly row: InstructionRow;
  readonly mode: Mode;
}
const knownSubjects = new Map<Lacking, readonly Subject[]>();
/** Every row in every mode that it can be compared in; a row of one mode twice, so that all rows have as many cases. */
function subjectsOf(lacking: Lacking): readonly Subject[] {
  const known = knownSubjects.get(lacking);
  if (known !== undefined) return known;
  const subjects = INSTRUCTIONS.flatMap((row): readonly Subject[] => {
    const modes = comparedModesOf(row, lacking);
    return modes.length === 0 ? [] : [0, 1].map((turn) => ({ row, mode: modes[turn % modes.length] ?? 64 }));
  });
  knownSubjects.set(lacking, subjects);
  return subjects;
}

/** What an x87 instruction, or one that leaves the unit's registers changed, does to its pointers and tags. */
const SHOWS_IN_ENVIRONMENT =
  /^(X87_|MMX_|EMMS|FNOP|FFREE|FINCSTP|FDECSTP|FNSETPM|FNCLEX|FNINIT|FWAIT|FLDCW|FNSTCW|FNSTSW)/;
const FNSTENV = INSTRUCTIONS.find(({ operation }) => operation === 'FNSTENV');

/** One case in this many is a block, if nothing else is asked for. */
const BLOCK_EVERY = 12;

/** How many cases give each row `minimum` cases of its own. */
export const casesForRows = (minimum: number, lacking: Lacking): number =>
  Math.ceil((Math.ceil(minimum / 2) * subjectsOf(lacking).length * BLOCK_EVERY) / (BLOCK_EVERY - 1)) + BLOCK_EVERY;

export interface GeneratorOptions {
  readonly seed: number;
  readonly template: Uint8Array;
  /** One case in this many is a block; BLOCK_EVERY if absent. */
  readonly blockEvery?: number;
  /** Only rows of these names, singles only. */
  readonly only?: ReadonlySet<string>;
  /** What the host lacks; nothing if absent. */
  readonly lacking?: Lacking;
}

function generateSingle(builder: CaseBuilder, row: InstructionRow): DifferentialCase {
  const { random } = builder;
  builder.codeOffset = 160 + random.below(40);
  const preparation = prepare(builder, row);
  const encoded = encodeInstruction(builder, row, preparation.wishes ?? {});
  preparation.after?.(encoded);
  const count = row.operands.at(-1)?.width === 'CL' ? builder.fix(1, random.integer()) & 0xffn : undefined;
  const flags = count === undefined ? {} : itemFlags(row, encoded.size, count, encoded.repeat);
  if (SEVERAL_WORDS.test(row.operation)) builder.addressTolerance = 640n;
  builder.partialOnFault = row.operation === 'POPA';
  builder.approximate = row.attributes.has('approximate');
  builder.append({ ...encoded.item, ...flags });
  if (
    FNSTENV !== undefined &&
    SHOWS_IN_ENVIRONMENT.test(row.operation) &&
    !builder.approximate &&
    // The address of what follows may use any register, so none may have changed.
    !row.operands.some(({ kind }) => kind === 'G' || kind === 'E') &&
    random.chance(0.12)
  ) {
    // What the unit remembers of the last instruction shows in its environment.
    builder.append(encodeInstruction(builder, FNSTENV, { ...direct, target: patchable(builder, 0) }).item);
  }
  return builder.finish();
}

/** A case of a row in a mode; it follows from these and the seed, index and slot alone. */
export const generateSingleOf = (
  row: InstructionRow,
  mode: Mode,
  place: { readonly seed: number; readonly index: number; readonly slot: number; readonly template: Uint8Array },
): DifferentialCase => generateSingle(new CaseBuilder({ ...place, mode, kind: 'single' }), row);

/** The case of an index. */
export function generateCase(options: GeneratorOptions, index: number): DifferentialCase {
  const { seed, template, blockEvery = BLOCK_EVERY, only, lacking = LACKING_NOTHING } = options;
  const slot = index % BATCH_CASES;
  if (only === undefined && index % blockEvery === blockEvery - 1) {
    const mode: Mode = Math.floor(index / blockEvery) % 3 === 0 && modeObstacle(32, lacking) === undefined ? 32 : 64;
    return generateBlock(new CaseBuilder({ seed, index, slot, mode, kind: 'block', template }), lacking);
  }
  const subjects =
    only === undefined ? subjectsOf(lacking) : subjectsOf(lacking).filter(({ row }) => only.has(row.name));
  const ordinal = only === undefined ? index - Math.floor(index / blockEvery) : index;
  const subject = subjects[ordinal % subjects.length];
  if (subject === undefined) throw new RangeError('no row has such a name');
  return generateSingle(
    new CaseBuilder({ seed, index, slot, mode: subject.mode, kind: 'single', template }),
    subject.row,
  );
}
