/**
 * A decoded instruction as text: operation, operand size in bits, operands with the destination first. It is made from what the decoder
 * left, so that people who work on the translator see what it sees; it is no assembler's notation.
 * Called by: region-compiler.ts (PL-4006), region-listing.ts.
 */
import { STATE } from '../state-layout.ts';
import { FLOW, type Instruction } from './instruction.ts';
import { vectorPlaces } from './region-registers.ts';

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const SEGMENTS = ['', 'es:', 'cs:', 'ss:', 'ds:', 'fs:', 'gs:'];
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'];

/** Name of the general register at an offset of the processor's block. */
export function registerName(offset: number): string {
  if ((offset & 7) !== 0) return HIGH_BYTES[offset >> 3] ?? '?';
  return NAMES[offset >> 3] ?? `r${offset >> 3}`;
}

const signed = (value: number): string => (value < 0 ? `-0x${(-value).toString(16)}` : `+0x${value.toString(16)}`);

const absolute = (address: number): string => `0x${BigInt.asUintN(64, BigInt(address)).toString(16)}`;

function formatAddress(instruction: Instruction, origin: number | undefined): string {
  const { base, index, scale, displacement, segment, code32, narrowAddress, address16, offset } = instruction;
  const parts: string[] = [];
  if (base === STATE.RIP_BASE) {
    const place =
      origin === undefined
        ? `${signed(offset + displacement)} from the page`
        : absolute(origin + offset + displacement);
    return `[${SEGMENTS[segment] ?? ''}${place}]`;
  }
  if (base !== STATE.ZERO_SLOT) parts.push(registerName(base));
  if (index !== STATE.ZERO_SLOT) parts.push(`${registerName(index)}*${1 << scale}`);
  const address = parts.join('+');
  const tail = displacement === 0 && address !== '' ? '' : signed(displacement);
  return `[${SEGMENTS[segment] ?? ''}${address16 ? 'addr16 ' : narrowAddress && !code32 ? 'addr32 ' : ''}${address}${tail}]`;
}

/**
 * @param origin address that offsets count from; without it they count from the page
 * @returns for instance `ADD32 rax, [rbx+rcx*4+0x10]`
 */
export function formatInstruction(instruction: Instruction, origin?: number): string {
  const { form, size, destination, source, immediate, flow } = instruction;
  const vectors = vectorPlaces(instruction);
  const register = (offset: number): string => (vectors.includes(offset) ? `xmm${offset >> 4}` : registerName(offset));
  const operands: string[] = [];
  const place = (letter: string, offset: number): string =>
    letter === 'M'
      ? formatAddress(instruction, origin)
      : letter === 'I'
        ? `0x${(instruction.facts.wide ? BigInt.asUintN(8 << size, instruction.wide) : immediate >>> 0).toString(16)}`
        : register(offset);
  const [first, second] = form;
  if (flow === FLOW.branch || flow === FLOW.jump || flow === FLOW.call) {
    operands.push(absolute((origin ?? 0) + instruction.offset + instruction.displacement));
  } else if (first !== undefined && first !== 'N') {
    operands.push(place(first, destination));
    if (second !== undefined) operands.push(place(second, source));
  }
  // An address that stands in the instruction.
  if (instruction.facts.wide && operands.length === 0)
    operands.push(`[0x${BigInt.asUintN(64, instruction.wide).toString(16)}]`);
  const { operation } = instruction.facts;
  const lock = first === 'M' && destination !== 0 && flow === FLOW.plain ? 'LOCK ' : '';
  return `${lock}${operation}${flow === FLOW.plain ? 8 << size : ''} ${operands.join(', ')}`.trimEnd();
}
