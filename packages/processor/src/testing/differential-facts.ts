/**
 * The differential harness: what the encoder asks of a table row each time. It follows from the row alone, and is found once.
 * Called by: differential-encoder.ts, differential-memory.ts, and those who tell string instructions from others.
 */
import { INSTRUCTIONS, type InstructionRow, type Operand } from '../table/index.ts';

const BRANCH_OPERATIONS = /^(J|CALL|RET|LOOP|INT|IRET|SYS)/;
const STRING_OPERATIONS = new Set(['MOVS', 'CMPS', 'STOS', 'LODS', 'SCAS', 'INS', 'OUTS']);
export const isString = (row: InstructionRow): boolean => STRING_OPERATIONS.has(row.operation);
const isBranch = (row: InstructionRow): boolean => BRANCH_OPERATIONS.test(row.operation);

/** Opcodes of which some row has a mandatory prefix: a redundant one would make another instruction of them. */
const PREFIXED = new Set(
  INSTRUCTIONS.filter((row) => row.prefix !== 'any' && row.vex === undefined).map((row) => row.map * 256 + row.opcode),
);
/** Opcodes that processors newer than the table read differently under F2, F3 or 66. */
const LATER_EXTENSIONS = new Set([0x100, 0x101, 0x1bc, 0x1bd, 0x1c7, 0x1ae, 0x10d, 0x11e, 0x109, 0x90]);

/** What the encoder asks of a row each time. */
interface RowFacts {
  /** First letters of the operands' widths. */
  readonly letters: ReadonlySet<string>;
  readonly fixedAccumulator: boolean;
  readonly d64: boolean;
  readonly f64: boolean;
  /** Takes 16, 32 and 64 bits; 32 and 64. */
  readonly sized: boolean;
  readonly wide: boolean;
  readonly string: boolean;
  readonly branch: boolean;
  /** Operands in memory that no ModRM byte tells of, so an address-size prefix counts. */
  readonly implicitAddress: boolean;
  readonly redundant: boolean;
  readonly countsShift: boolean;
  /** Letter of the memory operand's size, when the row gives it. */
  readonly memoryLetter: string | undefined;
  readonly memoryOperand: Operand | undefined;
}

function findFacts(row: InstructionRow): RowFacts {
  const letters = new Set(row.operands.map((operand) => operand.width.charAt(0)));
  const fixedAccumulator = row.operands.some((operand) => operand.width === 'rAX');
  const d64 = row.attributes.has('d64');
  const key = row.map * 256 + row.opcode;
  const last = row.operands.at(-1);
  return {
    letters,
    fixedAccumulator,
    d64,
    f64: row.attributes.has('f64'),
    sized: letters.has('v') || letters.has('z') || fixedAccumulator || row.size === 'v' || d64,
    wide: letters.has('y') || row.size === 'y',
    string: isString(row),
    branch: isBranch(row),
    implicitAddress: isString(row) || /^(LOOP|JCXZ|XLAT|(VEX_)?MASKMOVDQU)/.test(row.operation),
    redundant:
      row.vex === undefined &&
      row.prefix === 'any' &&
      !PREFIXED.has(key) &&
      !LATER_EXTENSIONS.has(key) &&
      !isBranch(row) &&
      !row.attributes.has('system'),
    countsShift:
      (last?.kind === 'I' || last?.width === 'CL') && /^(RO[LR]|RC[LR]|SH[LR]|SAR|SH[LR]D(_CL)?)$/.test(row.operation),
    memoryLetter: [...row.attributes].find((word) => word.startsWith('m='))?.slice(2),
    memoryOperand: row.operands.find((operand) => 'EWM'.includes(operand.kind)),
  };
}

const FACTS: (RowFacts | undefined)[] = [];
export function factsOf(row: InstructionRow): RowFacts {
  let facts = FACTS[row.id];
  if (facts === undefined) FACTS[row.id] = facts = findFacts(row);
  return facts;
}
