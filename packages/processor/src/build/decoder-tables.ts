/**
 * Turns the instruction table into the byte tables of the assembly decoder (assembly/decoder.ts reads them).
 *
 * A row record has ROW_BYTES bytes; see the writes below for its fields. An operation number in a record is
 * `operation * 8 + form`; the form says where destination and source are.
 */
import { CPU_FEATURES } from '../cpu-features.ts';
import {
  FIRST_EXTENSION_OPERATION,
  INSTRUCTIONS,
  type InstructionRow,
  type Operand,
  operandsOfModrm,
} from '../table/index.ts';
import { aesBoxes } from './aes-boxes.ts';
import { FORM, type FormName } from './forms.ts';
import { HOT_OPERATIONS } from './hot-operations.ts';

const ROW_BYTES = 24;
/** Four maps of opcodes, and three of VEX. */
const OPCODES = 7 * 256;

const PREFIX = { any: 0, NP: 1, '66': 2, F3: 3, F2: 4, NP66: 5 } as const;
const SIZE: Readonly<Record<string, number>> = { b: 0, w: 1, d: 2, q: 3, v: 4, y: 5 };
/** How the decoder finds an operand's place. */
const PLACE = {
  none: 0,
  G: 1,
  G8: 2,
  E: 3,
  E8: 4,
  Z: 5,
  Z8: 6,
  RAX: 7,
  CL: 8,
  DX: 9,
  V: 10,
  W: 11,
  S: 12,
  C: 13,
  D: 14,
  RM: 15,
  SEGMENT: 16,
  P: 22,
  N: 23,
} as const;
const IMMEDIATE = {
  none: 0,
  Ib: 1,
  sIb: 2,
  Iw: 3,
  Iz: 4,
  Iv: 5,
  IwIb: 6,
  Ap: 7,
  Jb: 8,
  Jz: 9,
  O: 10,
  one: 11,
} as const;
const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];
const ATTRIBUTE = { lock: 1, end: 2, rep: 4, registerForm: 8, vector: 16, x87: 32 } as const;

const isImmediate = (operand: Operand): boolean => 'IsJOAL'.includes(operand.kind) || operand.kind === 'one';
const canBeMemory = (operand: Operand): boolean => 'EMWQ'.includes(operand.kind);

function placeOf(operand: Operand | undefined): number {
  if (operand === undefined) return PLACE.none;
  const byte = operand.width === 'b';
  switch (operand.kind) {
    case 'G':
      return byte ? PLACE.G8 : PLACE.G;
    case 'E':
    case 'R':
      return byte ? PLACE.E8 : PLACE.E;
    case 'Z':
      return byte ? PLACE.Z8 : PLACE.Z;
    case 'V':
      return PLACE.V;
    case 'W':
    case 'U':
      return PLACE.W;
    case 'P':
      return PLACE.P;
    case 'Q':
    case 'N':
      return PLACE.N;
    case 'S':
      return PLACE.S;
    case 'C':
      return PLACE.C;
    case 'D':
      return PLACE.D;
    case 'F':
      return PLACE.RM;
    case 'fixed': {
      const segment = SEGMENTS.indexOf(operand.width);
      if (segment >= 0) return PLACE.SEGMENT + segment;
      return operand.width === 'CL' ? PLACE.CL : operand.width === 'DX' ? PLACE.DX : PLACE.RAX;
    }
    default:
      return PLACE.none;
  }
}

/** The form of a row when its ModRM operand is a register, and when it is memory. */
export function formsOf(row: InstructionRow): { readonly register: FormName; readonly memory: FormName } {
  const [first, second] = operandsOfModrm(row);
  if (first === undefined || (isImmediate(first) && second === undefined)) return { register: 'N', memory: 'N' };
  if (first.kind === 'O' || second?.kind === 'O' || first.kind === 'I') return { register: 'N', memory: 'N' };
  const letter = (operand: Operand, memory: boolean): string =>
    isImmediate(operand) ? 'I' : memory && canBeMemory(operand) ? 'M' : 'R';
  const name = (memory: boolean): FormName =>
    (letter(first, memory) + (second === undefined ? '' : letter(second, memory))) as FormName;
  return { register: name(false), memory: name(true) };
}

/** Size code of a row: from its `sz` attribute, else from its first general-purpose operand that has a width. */
function sizeOf(row: InstructionRow): number {
  if (row.size !== undefined) return SIZE[row.size] ?? 4;
  for (const operand of row.operands) {
    if (operand.kind === 'fixed') {
      if (operand.width === 'AL') return 0;
      if (operand.width === 'rAX') return 4;
    } else if ('EGZMRCDB'.includes(operand.kind)) {
      const size = SIZE[operand.width];
      if (size !== undefined) return size;
    }
  }
  return 4;
}

function immediateOf(row: InstructionRow): number {
  const operands = row.operands.filter(isImmediate);
  const [first] = operands;
  if (first === undefined) return IMMEDIATE.none;
  if (operands.length === 2) return IMMEDIATE.IwIb;
  if (first.kind === 'one') return IMMEDIATE.one;
  if (first.kind === 's') return IMMEDIATE.sIb;
  if (first.kind === 'A') return IMMEDIATE.Ap;
  if (first.kind === 'O') return IMMEDIATE.O;
  if (first.kind === 'J') return first.width === 'b' ? IMMEDIATE.Jb : IMMEDIATE.Jz;
  return { b: IMMEDIATE.Ib, w: IMMEDIATE.Iw, z: IMMEDIATE.Iz, v: IMMEDIATE.Iv }[first.width] ?? IMMEDIATE.Ib;
}

/** Bytes of a vector row's operand in memory; SCALED: twice as many with a 256-bit vector. */
const SCALED = 0x40;
const VECTOR_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  w: 2,
  d: 4,
  q: 8,
  o: 16,
  x: 16 | SCALED,
  h: 8 | SCALED,
  f: 4 | SCALED,
  e: 2 | SCALED,
};
const VEX_LENGTH = { any: 0, '128': 1, '256': 2, ignored: 3 } as const;
/** Of the extensions' vector rows: the destination is a general register, the source is, RFLAGS are written. */
const GENERAL = { destination: 1, source: 2, flags: 4 } as const;

const firstExtension = INSTRUCTIONS.findIndex((row) => row.operation === FIRST_EXTENSION_OPERATION);
const featureOf = (name: string | undefined): number =>
  (CPU_FEATURES as readonly (string | undefined)[]).indexOf(name) + 1;

/** What only extensions have: VEX fields, features, and what vector rows do with general registers. */
function extensionFields(row: InstructionRow, bytes: Uint8Array): void {
  const { vex, attributes } = row;
  bytes[21] = featureOf(row.feature);
  bytes[22] = featureOf(vex?.wideFeature ?? row.feature);
  if (row.id < firstExtension) return;
  const [first, second] = operandsOfModrm(row);
  bytes[23] =
    ('GE'.includes(first?.kind ?? '-') ? GENERAL.destination : 0) |
    (second?.kind === 'E' ? GENERAL.source : 0) |
    (row.flagsWritten !== 0 ? GENERAL.flags : 0) |
    // Marks the row as an extension's.
    0x80;
  if (vex === undefined) return;
  bytes[20] =
    VEX_LENGTH[vex.length] |
    (vex.w === undefined ? 0 : 4 << vex.w) |
    (vex.register ? 0x10 : 0) |
    (attributes.has('vsib') ? 0x20 : 0);
}

function record(row: InstructionRow, operations: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(ROW_BYTES);
  const view = new DataView(bytes.buffer);
  const forms = formsOf(row);
  const operation = operations.indexOf(row.operation);
  const vector = row.operands.some((operand) => 'VWUHPQN'.includes(operand.kind));
  const memoryOperand =
    row.operands.find((operand) => 'WMUQ'.includes(operand.kind)) ?? row.operands.find(({ kind }) => kind === 'E');
  const memoryWidth = [...row.attributes].find((word) => word.startsWith('m='))?.slice(2) ?? memoryOperand?.width ?? '';
  bytes[0] = PREFIX[row.prefix];
  bytes[1] = row.digit ?? 0xff;
  bytes[2] = row.mod === 'reg' ? 1 : row.mod === 'mem' ? 2 : 0;
  bytes[3] = row.rm ?? 0xff;
  bytes[4] = row.mode === 'not64' ? 1 : row.mode === 'only64' ? 2 : 0;
  bytes[5] = row.modrm ? 1 : 0;
  bytes[6] = sizeOf(row);
  bytes[7] = row.attributes.has('d64') ? 1 : row.attributes.has('f64') ? 2 : 0;
  const [first, second] = operandsOfModrm(row);
  bytes[8] = placeOf(first);
  bytes[9] = placeOf(second);
  bytes[10] = immediateOf(row);
  bytes[11] =
    (row.attributes.has('lock') ? ATTRIBUTE.lock : 0) |
    (row.attributes.has('end') ? ATTRIBUTE.end : 0) |
    (row.attributes.has('rep') ? ATTRIBUTE.rep : 0) |
    (row.operands.some((operand) => operand.kind === 'R') ? ATTRIBUTE.registerForm : 0) |
    (vector ? ATTRIBUTE.vector : 0) |
    (row.attributes.has('x87') && row.modrm ? ATTRIBUTE.x87 : 0);
  view.setUint16(12, operation * 8 + FORM[forms.register], true);
  view.setUint16(14, operation * 8 + FORM[forms.memory], true);
  view.setUint16(16, row.id, true);
  bytes[18] = VECTOR_BYTES[memoryWidth] ?? 0;
  bytes[19] = row.attributes.has('aligned') ? 1 : 0;
  extensionFields(row, bytes);
  return bytes;
}

function dataSegment(name: string, bytes: Uint8Array): string {
  return `export const ${name}: usize = memory.data<u8>([${bytes.join(',')}]);\n`;
}

/**
 * Per operation: one more than the vector operation that an MMX or VEX operation of its name does on 64 bits, or on each 128 bits; 0 for
 * others.
 */
function namesakes(operations: readonly string[]): Uint16Array {
  return Uint16Array.from(operations, (name) => (/^(MMX|VEX)_/.test(name) ? operations.indexOf(name.slice(4)) + 1 : 0));
}

/** @returns AssemblyScript source with ROWS, OPCODE_FIRST, OPCODE_COUNT, CANDIDATES and HOT_OPERATION. */
export function decoderTables(operations: readonly string[]): string {
  const rows = new Uint8Array(INSTRUCTIONS.length * ROW_BYTES);
  for (const row of INSTRUCTIONS) rows.set(record(row, operations), row.id * ROW_BYTES);
  const lists: number[][] = Array.from({ length: OPCODES }, () => []);
  for (const row of INSTRUCTIONS) {
    for (let register = 0; register < (row.registerInOpcode ? 8 : 1); register++) {
      lists[(row.map + (row.vex === undefined ? 0 : 3)) * 256 + row.opcode + register]?.push(row.id);
    }
  }
  const first = new Uint16Array(OPCODES);
  const count = new Uint8Array(OPCODES);
  const candidates: number[] = [];
  lists.forEach((list, opcode) => {
    // A row with more conditions is more particular: a fixed rm before a digit, a digit before none.
    const particular = (id: number): number => {
      const row = INSTRUCTIONS[id];
      return row === undefined
        ? 0
        : (row.rm === undefined ? 0 : 4) + (row.digit === undefined ? 0 : 2) + (row.prefix === 'any' ? 0 : 1);
    };
    list.sort((left, right) => particular(right) - particular(left) || left - right);
    first[opcode] = candidates.length;
    count[opcode] = list.length;
    candidates.push(...list);
  });
  // Behind the last operation that the run loop has itself there is nothing to look up.
  const hotForms = 8 * (1 + Math.max(...HOT_OPERATIONS.map(({ operation }) => operations.indexOf(operation))));
  const hot = new Uint16Array(hotForms * 4);
  HOT_OPERATIONS.forEach((entry, index) => {
    const operation = operations.indexOf(entry.operation);
    if (operation < 0) throw new RangeError(`hot operation ${entry.operation} is not in the table`);
    hot[(operation * 8 + FORM[entry.form]) * 4 + entry.size] = index + 1;
  });
  const hotNames = HOT_OPERATIONS.map((entry, index) => `  ${entry.name} = ${index + 1},`).join('\n');
  return [
    `export const ROW_BYTES: u32 = ${ROW_BYTES};\n`,
    dataSegment('ROWS', rows),
    dataSegment('OPCODE_FIRST', new Uint8Array(first.buffer)),
    dataSegment('OPCODE_COUNT', count),
    dataSegment('CANDIDATES', new Uint8Array(Uint16Array.from(candidates).buffer)),
    dataSegment('HOT_OPERATION', new Uint8Array(hot.buffer)),
    dataSegment('NAMESAKE', new Uint8Array(namesakes(operations).buffer)),
    ...['avx', 'pku', 'xsavec', 'xsaves'].map(
      (name) => `export const FEATURE_${name.toUpperCase()}: u64 = ${featureOf(name) - 1};\n`,
    ),
    dataSegment('AES_FORWARD', aesBoxes().forward),
    dataSegment('AES_INVERSE', aesBoxes().inverse),
    `export const HOT_FORMS: u32 = ${hotForms};\n`,
    `export const FIRST_EXTENSION: u32 = ${operations.indexOf(FIRST_EXTENSION_OPERATION)};\n`,
    `export const HOT_COUNT: u32 = ${HOT_OPERATIONS.length};\n`,
    `export const enum Hot {\n${hotNames}\n}\n`,
  ].join('');
}
