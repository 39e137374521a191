/**
 * The text of a function's code as wasm-encoder.ts writes it: one line per statement, that is up to the next instruction that leaves nothing
 * on the stack or opens a block; indented by blocks. For people who look at what a region became.
 *
 * Answers to: WebAssembly core specification 2.0, sections 5.4 and 6.5; threads proposal. Called by: region-listing.ts.
 */
import { V } from './vector-opcodes.ts';
import { ATOMIC, ATOMIC_WIDTH, OP } from './wasm-encoder.ts';

const byNumber = (names: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(names).map(([name, opcode]) => [opcode, name]));
const OPCODES = byNumber(OP);
const VECTORS = byNumber(V);
const ATOMICS = new Map(
  Object.entries(ATOMIC).flatMap(([name, first]) =>
    ATOMIC_WIDTH.map((width, size) => [
      first + width,
      size === 3 ? `i64.atomic.rmw.${name}` : `i64.atomic.rmw${8 << size}.${name}_u`,
    ]),
  ),
);

const OPENS = new Set(['block', 'loop', 'if', 'else']);
const CLOSES = new Set(['end', 'else']);
/** Instructions behind which the stack is usually empty. */
const ENDS = new Set([
  'local.set',
  'br',
  'br_if',
  'return',
  'return_call',
  'return_call_indirect',
  'drop',
  'memory.copy',
  'memory.fill',
  ...OPENS,
  'end',
]);

/** `i64_extend8` as the text format has it: `i64.extend8`. */
const dotted = (name: string): string => name.replace(/^(local|[if](?:32|64)|[if]\d+x\d+)_/, '$1.');

/** Reads a function's code from a place on; each read moves on. */
class CodeReader {
  readonly #code: DataView;
  at: number;

  constructor(code: Uint8Array, at: number) {
    this.#code = new DataView(code.buffer, code.byteOffset, code.byteLength);
    this.at = at;
  }
  byte(): number {
    return this.#code.getUint8(this.at++);
  }
  unsigned(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }
  signed(): bigint {
    let value = 0n;
    for (let shift = 7n; ; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << (shift - 7n);
      if (byte < 0x80) return BigInt.asIntN(Number(shift), value);
    }
  }
  bytes(count: number): string {
    return Array.from({ length: count }, () => this.byte().toString(16).padStart(2, '0')).join(' ');
  }
  float(size: 4 | 8): number {
    const value = size === 4 ? this.#code.getFloat32(this.at, true) : this.#code.getFloat64(this.at, true);
    this.at += size;
    return value;
  }
}

function constant(value: bigint): string {
  return value > -1024n && value < 1024n
    ? value.toString()
    : `${value < 0n ? '-' : ''}0x${(value < 0n ? -value : value).toString(16)}`;
}
function memory(reader: CodeReader): string {
  reader.unsigned();
  const offset = reader.unsigned();
  return offset === 0 ? '' : ` offset=0x${offset.toString(16)}`;
}

function vectorText(reader: CodeReader): string {
  const opcode = reader.unsigned();
  const name = dotted(VECTORS.get(opcode) ?? `vector ${opcode}`);
  if (opcode === V.const || opcode === V.shuffle) return `${name} ${reader.bytes(16)}`;
  if (opcode <= V.store || opcode === V.load32_zero || opcode === V.load64_zero) return `${name}${memory(reader)}`;
  if (opcode >= V.load64_lane - 3 && opcode <= V.store64_lane) return `${name}${memory(reader)} ${reader.byte()}`;
  if (opcode >= V.i16x8_extract_u - 4 && opcode <= V.f64x2_replace) return `${name} ${reader.byte()}`;
  return name;
}

/** One instruction: its name, and its text. */
function instructionText(reader: CodeReader, localName: (local: number) => string): { name: string; text: string } {
  const opcode = reader.byte();
  if (opcode === 0xfd) return { name: '', text: vectorText(reader) };
  if (opcode === 0xfe) {
    const name = ATOMICS.get(reader.byte()) ?? 'atomic';
    return { name, text: `${name}${memory(reader)}` };
  }
  if (opcode === 0xfc) {
    const name = reader.byte() === 0x0a ? 'memory.copy' : 'memory.fill';
    reader.bytes(name === 'memory.copy' ? 2 : 1);
    return { name, text: name };
  }
  const name = dotted(OPCODES.get(opcode) ?? `opcode 0x${opcode.toString(16)}`);
  switch (opcode) {
    case OP.block:
    case OP.loop:
    case OP.if:
      reader.byte();
      return { name, text: name };
    case OP.br:
    case OP.br_if:
    case OP.call:
    case OP.return_call:
      return { name, text: `${name} ${reader.unsigned()}` };
    case OP.return_call_indirect:
      return { name, text: `${name} type ${reader.unsigned()} table ${reader.unsigned()}` };
    case OP.local_get:
      return { name, text: localName(reader.unsigned()) };
    case OP.local_set:
    case OP.local_tee:
      return { name, text: `${name.slice(6)} ${localName(reader.unsigned())}` };
    case OP.i32_const:
    case OP.i64_const:
      return { name, text: constant(reader.signed()) };
    case OP.f32_const:
      return { name, text: String(reader.float(4)) };
    case OP.f64_const:
      return { name, text: String(reader.float(8)) };
  }
  if (opcode >= OP.i32_load && opcode <= OP.i64_store32) return { name, text: `${name}${memory(reader)}` };
  return { name, text: name };
}

/**
 * Text of the code in [from, to), which must be whole instructions.
 * @param depth how many blocks are open at `from`
 * @returns lines, and the depth at `to`. Reading a local is its name alone, constants are their value alone
 */
export function listCode(
  code: Uint8Array,
  from: number,
  to: number,
  depth: number,
  localName: (local: number) => string,
): { readonly lines: readonly string[]; readonly depth: number } {
  const reader = new CodeReader(code, from);
  const lines: string[] = [];
  let level = depth;
  let words: string[] = [];
  const flush = (): void => {
    if (words.length > 0) lines.push(`${'  '.repeat(Math.max(0, level))}${words.join('  ')}`);
    words = [];
  };
  while (reader.at < to) {
    const { name, text } = instructionText(reader, localName);
    if (CLOSES.has(name)) {
      flush();
      level--;
    }
    words.push(text);
    const opens = OPENS.has(name);
    if (ENDS.has(name) || name.includes('.store') || text.startsWith('store')) flush();
    if (opens) level++;
  }
  flush();
  return { lines, depth: level };
}
