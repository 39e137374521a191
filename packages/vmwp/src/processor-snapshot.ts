/**
 * A virtual processor at one moment, as plain data: for crash reports and `inspect`. Taken on the processor's own thread
 * between two runs. Nothing here has side effects on the guest.
 */
import {
  CONTROL_REGISTERS,
  GENERAL_REGISTERS,
  type GuestBranch,
  type GuestFault,
  type GuestMemory,
  type InspectTree,
  MSR_REGISTERS,
  type RegisterName,
  SEGMENT_REGISTERS,
  TABLE_REGISTERS,
  type VirtualProcessor,
} from '@plinth/hypervisor';
import { walkPages } from './page-walk.ts';

/** What a processor has been through. */
export interface ProcessorHistory {
  /** The last exceptions, the newest last. */
  readonly exceptions: readonly GuestFault[];
  /** The last branches, the newest first. */
  readonly branches: readonly GuestBranch[];
}

export interface ProcessorSnapshot extends ProcessorHistory {
  readonly index: number;
  /** Such as `64-bit, ring 0, paging on`. */
  readonly mode: string;
  readonly registers: Readonly<Record<string, string>>;
  /** Bytes around RIP; undefined where nothing is mapped. */
  readonly code: { readonly address: string; readonly before: string; readonly after: string } | undefined;
  /** What the bytes of code are: 16-, 32- or 64-bit code. */
  readonly codeBits: 16 | 32 | 64;
  /** 16 words from SS:RSP up, as wide as the code's, as far as they are mapped. */
  readonly stack: readonly string[];
  /** The way of RIP and of the last page fault's address through the page tables. */
  readonly walks: readonly PageWalk[];
  readonly instructions: number;
}

/** An address's entries from the topmost table on, as lines. */
export interface PageWalk {
  readonly what: string;
  readonly lines: readonly string[];
}

const CODE_BEFORE = 16;
const CODE_AFTER = 32;
const STACK_WORDS = 16;
const PAGE = 4096n;
const PAGE_FAULT = 14;

export function takeSnapshot(
  processor: VirtualProcessor,
  memory: GuestMemory,
  { exceptions, branches }: ProcessorHistory,
): ProcessorSnapshot {
  const scalar = (name: RegisterName): bigint => {
    const value = processor.readRegister(name);
    return typeof value === 'bigint' ? value : 0n;
  };
  const codeSegment = processor.readRegister('Cs');
  const base = typeof codeSegment === 'object' ? codeSegment.base : 0n;
  const address = (scalar('Rip') + base) & 0xffff_ffff_ffff_ffffn;
  const counts = processor.instructionCounts();
  const codeBits = codeBitsOf(processor);
  return {
    index: processor.index,
    mode: describeMode(processor),
    registers: registersOf(processor),
    exceptions,
    branches,
    code: codeAround(address, processor, memory),
    codeBits,
    stack: stackAt(processor, memory, codeBits),
    walks: walksOf(address, exceptions, processor, memory),
    instructions: counts.interpreted + counts.translated,
  };
}

/** The snapshot's registers as a tree, with the processor's state, for `inspect`. */
export function inspectProcessor(
  processor: VirtualProcessor,
  memory: GuestMemory,
  history: ProcessorHistory,
  state: string,
): InspectTree {
  const { mode, registers, exceptions, branches, code, instructions } = takeSnapshot(processor, memory, history);
  return {
    state,
    mode,
    instructions,
    registers,
    code: code ?? null,
    exceptions: exceptions.map(({ vector, errorCode, rip, address }) => ({
      vector,
      name: exceptionName(vector),
      errorCode: hexadecimal(errorCode),
      rip: hexadecimal(rip),
      address: hexadecimal(address),
    })),
    branches: branches.map(({ from, to, vector, translated }) => ({
      from: hexadecimal(from),
      to: hexadecimal(to),
      event: vector === undefined ? null : exceptionName(vector),
      translated,
    })),
  };
}

const EXCEPTION_NAMES =
  '#DE #DB NMI #BP #OF #BR #UD #NM #DF vector-9 #TS #NP #SS #GP #PF vector-15 #MF #AC #MC #XM #VE #CP'.split(' ');
export const exceptionName = (vector: number): string => EXCEPTION_NAMES[vector] ?? `vector ${vector}`;

/** One line: which exception, its error code, where, and for a page fault the address. */
export function describeException({ vector, errorCode, rip, address }: GuestFault): string {
  const where = `${exceptionName(vector).padEnd(4)} error ${hexadecimal(errorCode)} at RIP ${hexadecimal(rip)}`;
  return vector === PAGE_FAULT ? `${where} address ${hexadecimal(address)}` : where;
}

/** One line for each branch, and one for all that are the same in a row: from where to where, by what, how often. */
export function describeBranches(branches: readonly GuestBranch[]): string[] {
  const lines: { readonly text: string; times: number }[] = [];
  for (const { from, to, vector, translated } of branches) {
    const event = vector === undefined ? '' : `, ${exceptionName(vector)}`;
    const text = `${hexadecimal(from)} -> ${hexadecimal(to)}${event}${translated ? ' (translated)' : ''}`;
    const last = lines.at(-1);
    if (last?.text === text) last.times++;
    else lines.push({ text, times: 1 });
  }
  return lines.map(({ text, times }) => (times === 1 ? text : `${text}, ${times} times`));
}

export const hexadecimal = (value: number | bigint): string => `0x${value.toString(16)}`;

function registersOf(processor: VirtualProcessor): Record<string, string> {
  const names: readonly RegisterName[] = [
    'Rip',
    'Rflags',
    ...GENERAL_REGISTERS,
    ...CONTROL_REGISTERS,
    ...SEGMENT_REGISTERS,
    ...TABLE_REGISTERS,
    'Dr6',
    'Dr7',
    ...MSR_REGISTERS,
    'Mxcsr',
    'Pkru',
  ];
  return Object.fromEntries(names.map((name) => [name, formatRegister(processor, name)]));
}

function formatRegister(processor: VirtualProcessor, name: RegisterName): string {
  const value = processor.readRegister(name);
  if (typeof value === 'bigint') return `0x${value.toString(16).padStart(16, '0')}`;
  const place = `base ${hexadecimal(value.base)} limit ${hexadecimal(value.limit)}`;
  if (!('selector' in value)) return place;
  return `${hexadecimal(value.selector)} ${place} attributes ${hexadecimal(value.attributes)}`;
}

function describeMode(processor: VirtualProcessor): string {
  const bit = (name: RegisterName, mask: bigint): boolean => {
    const value = processor.readRegister(name);
    return typeof value === 'bigint' && (value & mask) !== 0n;
  };
  const code = processor.readRegister('Cs');
  const stack = processor.readRegister('Ss');
  const attributes = typeof code === 'object' && 'attributes' in code ? code.attributes : 0;
  const ring = typeof stack === 'object' && 'attributes' in stack ? (stack.attributes >> 5) & 3 : 0;
  const wide = (attributes & 0x4000) !== 0 ? '32-bit' : '16-bit';
  const long = bit('Efer', 0x400n);
  let mode: string;
  if (long) mode = (attributes & 0x2000) !== 0 ? '64-bit' : `${wide} compatibility`;
  else if (!bit('Cr0', 1n)) mode = 'real';
  else mode = bit('Rflags', 0x20000n) ? 'virtual 8086' : `${wide} protected`;
  return `${mode} mode, ring ${ring}, paging ${bit('Cr0', 0x8000_0000n) ? 'on' : 'off'}, interrupts ${bit('Rflags', 0x200n) ? 'on' : 'off'}`;
}

function codeAround(address: bigint, processor: VirtualProcessor, memory: GuestMemory): ProcessorSnapshot['code'] {
  const after = readLinear(address, CODE_AFTER, processor, memory);
  if (after.length === 0) return undefined;
  // What lies before may be on another page that is not there: read backwards a byte at a time.
  const before: number[] = [];
  for (let distance = 1; distance <= CODE_BEFORE; distance++) {
    const [byte] = readLinear(address - BigInt(distance), 1, processor, memory);
    if (byte === undefined) break;
    before.unshift(byte);
  }
  return { address: hexadecimal(address), before: hexBytes(before), after: hexBytes(after) };
}

function codeBitsOf(processor: VirtualProcessor): ProcessorSnapshot['codeBits'] {
  const code = processor.readRegister('Cs');
  const efer = processor.readRegister('Efer');
  const attributes = typeof code === 'object' && 'attributes' in code ? code.attributes : 0;
  if (typeof efer === 'bigint' && (efer & 0x400n) !== 0n && (attributes & 0x2000) !== 0) return 64;
  return (attributes & 0x4000) !== 0 ? 32 : 16;
}

/** In 64-bit code SS has no base; elsewhere its B bit says how much of RSP counts. */
function stackAt(processor: VirtualProcessor, memory: GuestMemory, codeBits: ProcessorSnapshot['codeBits']): string[] {
  const pointer = processor.readRegister('Rsp');
  const segment = processor.readRegister('Ss');
  if (typeof pointer !== 'bigint' || typeof segment !== 'object' || !('attributes' in segment)) return [];
  const offset = (segment.attributes & 0x4000) !== 0 ? BigInt.asUintN(32, pointer) : BigInt.asUintN(16, pointer);
  const address = codeBits === 64 ? pointer : BigInt.asUintN(32, segment.base + offset);
  const width = codeBits / 8;
  const bytes = readLinear(address, STACK_WORDS * width, processor, memory);
  return Array.from({ length: Math.floor(bytes.length / width) }, (_, word) => {
    const digits = bytes.slice(word * width, (word + 1) * width).reverse();
    return `0x${digits.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  });
}

function walksOf(
  rip: bigint,
  exceptions: readonly GuestFault[],
  processor: VirtualProcessor,
  memory: GuestMemory,
): PageWalk[] {
  const cr0 = processor.readRegister('Cr0');
  if (typeof cr0 !== 'bigint' || (cr0 & 0x8000_0000n) === 0n) return [];
  const walks = [{ what: 'of the code at RIP', address: rip }];
  const fault = exceptions.findLast(({ vector }) => vector === PAGE_FAULT);
  if (fault !== undefined) walks.push({ what: "of the last page fault's address", address: fault.address });
  return walks.map(({ what, address }) => ({
    what: `${what}, ${hexadecimal(address)}`,
    lines: walkPages(address, processor, memory),
  }));
}

/** As many bytes from a linear address as are mapped to memory. */
function readLinear(address: bigint, length: number, processor: VirtualProcessor, memory: GuestMemory): number[] {
  const bytes: number[] = [];
  while (bytes.length < length) {
    const at = BigInt.asUintN(64, address + BigInt(bytes.length));
    const gpa = processor.translate(at);
    if (gpa === undefined) break;
    const piece = memory.read(gpa, Math.min(length - bytes.length, Number(PAGE - (at % PAGE))));
    if (piece === undefined) break;
    bytes.push(...piece);
  }
  return bytes;
}

const hexBytes = (bytes: readonly number[]): string =>
  bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
