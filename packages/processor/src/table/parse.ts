/**
 * The one instruction table: its notation, parsed into rows.
 *
 * A line is `name encoding operands attributes`. The encoding is a list of
 * - an optional prefix rule: NP (none of 66, F3, F2), NP66 (neither F3 nor F2), 66, F3, F2 (mandatory);
 * - the opcode map (nothing, 0F, 0F 38, 0F 3A) and the opcode, `+r` with a register and `+c` with a condition in its low bits;
 * - `/digit` (the ModRM reg field), `mem` or `reg` (ModRM mod), `rm=n` (a register form whose rm field is fixed).
 * A leading VEX makes the row one of the VEX encodings; its prefix rule is then the field pp.
 * Operands are those of the AMD64 manual (E, G, I, J, O, V, W, U, M, S, C, D, R and fixed registers) with a width letter;
 * sIb is a sign-extended byte, Z a register in the opcode, B and H the general and the vector register of VEX.vvvv, L a vector register in
 * the upper half of an immediate byte. Attributes:
 *   lock (takes a LOCK prefix when its destination is memory), rep, d64 and f64 (64-bit operands by default / always in 64-bit mode),
 *   not64, only64, end (ends a block of straight-line code), mem/fault (can raise an exception besides those of memory operands),
 *   system (privileged or about system state: not for user-mode comparison), io, time, random, memory (touches implicit memory),
 *   aligned (16-byte operand must be aligned), mxcsr, x87, approximate, feature=NAME, sz=b|v|y (operand size without an operand that says it),
 *   op=OPERATION (semantic operation; default: the name in capitals), w= r= u= (flags written, read, left undefined), m=b|w|d (width of
 *   the operand in memory where it is not that of the register); with VEX: l0 l1 lig (VEX.L must be clear, set, means nothing), w0 w1
 *   (VEX.W), wide=NAME (feature that the 256-bit form needs instead), vsib (index registers of a gather).
 *
 * The decoder, the interpreter's dispatch, the disassembler, the generated tests and, later, the translator read these rows.
 */
import { AVX_ROWS, deriveVexRows } from './avx.ts';
import { CONDITIONS } from './conditions.ts';
import { EXTENSION_ROWS } from './extensions.ts';
import { GENERAL_ROWS } from './general.ts';
import { MMX_ROWS } from './mmx.ts';
import { VECTOR_ROWS } from './vector.ts';
import { X87_ROWS } from './x87.ts';

export type PrefixRule = 'any' | 'NP' | 'NP66' | '66' | 'F3' | 'F2';
export type OpcodeMap = 0 | 1 | 2 | 3;
/** Letter of the manual's operand notation; `fixed` names a register, `one` is the constant 1. */
export type OperandKind =
  | 'E'
  | 'G'
  | 'Z'
  | 'I'
  | 's'
  | 'J'
  | 'O'
  | 'A'
  | 'M'
  | 'V'
  | 'W'
  | 'U'
  | 'P'
  | 'Q'
  | 'N'
  | 'S'
  | 'C'
  | 'D'
  | 'R'
  | 'F'
  | 'B'
  | 'H'
  | 'L'
  | 'fixed'
  | 'one';
export { CONDITIONS };

export interface Operand {
  readonly kind: OperandKind;
  /**
   * b, w, d, q, v (16/32/64), y (32/64), z (16/32 immediate), x (128, or the vector's length), h f e (half, a quarter, an eighth of it), o (128
   * always), p (far pointer), t (80), i (x87 stack); a name when fixed.
   */
  readonly width: string;
}

export interface VexEncoding {
  readonly length: 'any' | '128' | '256' | 'ignored';
  readonly w: 0 | 1 | undefined;
  /** VEX.vvvv names an operand; else it must be 1111b. */
  readonly register: boolean;
  /** Feature that the 256-bit form needs. */
  readonly wideFeature: string | undefined;
}

const FLAG_LETTERS = { c: 0x001, p: 0x004, a: 0x010, z: 0x040, s: 0x080, o: 0x800 } as const;

export interface InstructionRow {
  readonly id: number;
  readonly name: string;
  readonly operation: string;
  /** Encoding and operands as written in the table, for reports. */
  readonly text: string;
  readonly prefix: PrefixRule;
  readonly map: OpcodeMap;
  /** Opcode; for `+r` rows the first of eight, for `+c` rows already expanded. */
  readonly opcode: number;
  readonly registerInOpcode: boolean;
  /** Condition code 0..15 of jcc, setcc, cmovcc. */
  readonly condition: number | undefined;
  readonly modrm: boolean;
  readonly digit: number | undefined;
  readonly mod: 'any' | 'reg' | 'mem';
  readonly rm: number | undefined;
  readonly mode: 'any' | 'not64' | 'only64';
  readonly operands: readonly Operand[];
  /** Masks in RFLAGS bits. */
  readonly flagsWritten: number;
  readonly flagsRead: number;
  readonly flagsUndefined: number;
  readonly size: string | undefined;
  readonly feature: string | undefined;
  /** What the encoding says besides, for VEX rows. */
  readonly vex: VexEncoding | undefined;
  readonly attributes: ReadonlySet<string>;
}

const FIXED = new Set(['AL', 'AX', 'CL', 'DX', 'rAX', 'ES', 'CS', 'SS', 'DS', 'FS', 'GS']);

function parseOperand(text: string): Operand {
  if (FIXED.has(text)) return { kind: 'fixed', width: text };
  if (text === '1') return { kind: 'one', width: 'b' };
  if (text === 'sIb') return { kind: 's', width: 'b' };
  return { kind: text.charAt(0) as OperandKind, width: text.slice(1) };
}

function flagMask(letters: string): number {
  let mask = 0;
  for (const letter of letters) mask |= FLAG_LETTERS[letter as keyof typeof FLAG_LETTERS] ?? 0;
  return mask;
}

const MODRM_KINDS = new Set<OperandKind>(['E', 'G', 'M', 'V', 'W', 'U', 'S', 'C', 'D', 'R', 'F', 'P', 'Q', 'N']);

interface Encoding {
  vex: boolean;
  prefix: PrefixRule;
  map: OpcodeMap;
  opcode: number;
  plus: '' | 'r' | 'c';
  digit?: number;
  mod: 'any' | 'reg' | 'mem';
  rm?: number;
}

function parseEncoding(tokens: readonly string[], line: string): Encoding {
  const encoding: Encoding = { vex: false, prefix: 'any', map: 0, opcode: -1, plus: '', mod: 'any' };
  const bytes: string[] = [];
  for (const token of tokens) {
    if (token === 'VEX') encoding.vex = true;
    else if (token === 'NP' || token === 'NP66') encoding.prefix = token;
    else if (token === 'mem' || token === 'reg') encoding.mod = token;
    else if (token.startsWith('/')) encoding.digit = Number(token.slice(1));
    else if (token.startsWith('rm=')) {
      encoding.rm = Number(token.slice(3));
      encoding.mod = 'reg';
    } else bytes.push(token);
  }
  const first = bytes[0];
  if (bytes.length > 1 && (first === '66' || first === 'F3' || first === 'F2')) {
    encoding.prefix = first;
    bytes.shift();
  }
  if (bytes.length > 1 && bytes.at(0) === '0F') {
    bytes.shift();
    const second = bytes.length > 1 ? bytes.at(0) : undefined;
    encoding.map = second === '38' ? 2 : second === '3A' ? 3 : 1;
    if (encoding.map !== 1) bytes.shift();
  }
  const opcode = /^([0-9A-F]{2})(?:\+([rc]))?$/.exec(bytes[0] ?? '');
  if (bytes.length !== 1 || opcode === null) throw new SyntaxError(`instruction table: bad encoding in '${line}'`);
  encoding.opcode = Number.parseInt(opcode[1] ?? '', 16);
  encoding.plus = (opcode[2] ?? '') as '' | 'r' | 'c';
  return encoding;
}

function vexEncoding(
  operands: readonly Operand[],
  attributes: ReadonlySet<string>,
  values: ReadonlyMap<string, string>,
): VexEncoding {
  const length = attributes.has('l0')
    ? '128'
    : attributes.has('l1')
      ? '256'
      : attributes.has('lig')
        ? 'ignored'
        : 'any';
  return {
    length,
    w: attributes.has('w0') ? 0 : attributes.has('w1') ? 1 : undefined,
    register: operands.some(({ kind }) => kind === 'B' || kind === 'H'),
    wideFeature: values.get('wide') ?? values.get('feature'),
  };
}

function parseLine(line: string, rows: InstructionRow[]): void {
  const columns = /^(\S+)\s+(.{19}) ?(\S+)\s*(.*)$/.exec(line);
  if (columns === null) throw new SyntaxError(`instruction table: bad line '${line}'`);
  const [, name = '', encodingText = '', operandText = '', attributeText = ''] = columns;
  const encoding = parseEncoding(encodingText.trim().split(/\s+/), line);
  const operands = operandText === '-' ? [] : operandText.split(',').map(parseOperand);
  const attributes = new Set(attributeText.split(/\s+/).filter((word) => word !== ''));
  const values = new Map<string, string>();
  for (const word of attributes) {
    const equals = word.indexOf('=');
    if (equals > 0) values.set(word.slice(0, equals), word.slice(equals + 1));
  }
  // `mem` among the attributes restricts ModRM just as it does in the encoding column.
  const mod = attributes.has('mem') ? 'mem' : encoding.mod;
  const modrm = encoding.digit !== undefined || operands.some((operand) => MODRM_KINDS.has(operand.kind));
  const operation = values.get('op') ?? name.toUpperCase();
  const base = {
    name,
    text: `${encodingText.trim()} ${operandText}`,
    prefix: encoding.prefix,
    map: encoding.map,
    registerInOpcode: encoding.plus === 'r',
    modrm,
    digit: encoding.digit,
    mod,
    rm: encoding.rm,
    mode: attributes.has('not64') ? 'not64' : attributes.has('only64') ? 'only64' : 'any',
    operands,
    flagsWritten: flagMask(values.get('w') ?? ''),
    flagsRead: flagMask(values.get('r') ?? ''),
    flagsUndefined: flagMask(values.get('u') ?? ''),
    size: values.get('sz'),
    feature: values.get('feature'),
    vex: encoding.vex ? vexEncoding(operands, attributes, values) : undefined,
    attributes,
  } as const;
  if (encoding.plus === 'c') {
    CONDITIONS.forEach((suffix, condition) => {
      rows.push({
        ...base,
        id: rows.length,
        name: name.replace(/cc$/, suffix.toLowerCase()),
        operation: `${operation}_${suffix}`,
        opcode: encoding.opcode + condition,
        condition,
      });
    });
  } else {
    rows.push({ ...base, id: rows.length, operation, opcode: encoding.opcode, condition: undefined });
  }
}

function parseTable(...texts: readonly string[]): readonly InstructionRow[] {
  const rows: InstructionRow[] = [];
  for (const text of texts) {
    for (const line of text.split('\n')) {
      if (line.trim() !== '' && !line.startsWith('#')) parseLine(line, rows);
    }
  }
  return rows;
}

/** Every instruction of the processor, in the order of the table. Rows that match earlier win. */
export const INSTRUCTIONS: readonly InstructionRow[] = parseTable(
  GENERAL_ROWS,
  VECTOR_ROWS,
  MMX_ROWS,
  X87_ROWS,
  EXTENSION_ROWS,
  AVX_ROWS,
  deriveVexRows(VECTOR_ROWS, EXTENSION_ROWS),
);
/** The first operation of the extensions: those of the rows behind it have executors of their own (assembly/extended.ts). */
export const FIRST_EXTENSION_OPERATION = 'TZCNT';
/** Operands that ModRM, the opcode or an immediate names: not those of VEX.vvvv. */
export const operandsOfModrm = (row: InstructionRow): readonly Operand[] =>
  row.operands.filter(({ kind }) => kind !== 'B' && kind !== 'H');
