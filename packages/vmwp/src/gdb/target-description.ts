/**
 * The registers that a debugger sees, in its order and sizes, and the XML that tells it of them (GDB manual, appendix G.5.12 i386
 * Features). A debugger of the x86-64 architecture expects the first three features as they are; the last one is Plinth's own and shows
 * what a kernel's programmer asks for. Called by: session.ts.
 */
import { GENERAL_REGISTERS, type RegisterName, type RegisterValue, VECTOR_REGISTERS } from '@plinth/hypervisor';

/** How a debugger's register stands in a processor's. */
type Part =
  | { readonly of: 'scalar' }
  | { readonly of: 'selector' | 'base' | 'limit' }
  /** Not told: the engine interface has no name for it. */
  | { readonly of: 'nothing' };

export interface DebuggerRegister {
  readonly name: string;
  readonly bits: number;
  readonly type: string;
  readonly feature: string;
  readonly register: RegisterName | undefined;
  readonly part: Part['of'];
}

const CORE = 'org.gnu.gdb.i386.core';
const SSE = 'org.gnu.gdb.i386.sse';
const SEGMENTS = 'org.gnu.gdb.i386.segments';
const SYSTEM = 'org.plinth.x86-64.system';

/** Names of the general registers in the debugger's order; the engine's are in the order of their encoding. */
const GENERAL = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'];
const FPU_CONTROL = ['fctrl', 'fstat', 'ftag', 'fiseg', 'fioff', 'foseg', 'fooff', 'fop'];

const capital = (name: string): RegisterName => {
  const found = GENERAL_REGISTERS.find((register) => register.toLowerCase() === name);
  if (found === undefined) throw new RangeError(`no general register is called ${name}`);
  return found;
};

function row(
  feature: string,
  name: string,
  bits: number,
  type: string,
  register: RegisterName | undefined,
  part: Part['of'] = 'scalar',
): DebuggerRegister {
  return { name, bits, type, feature, register, part: register === undefined ? 'nothing' : part };
}

const scalar64 = (name: string, register: RegisterName): DebuggerRegister => row(SYSTEM, name, 64, 'int64', register);

export const DEBUGGER_REGISTERS: readonly DebuggerRegister[] = [
  ...GENERAL.map((name) => row(CORE, name, 64, name === 'rbp' || name === 'rsp' ? 'data_ptr' : 'int64', capital(name))),
  ...Array.from({ length: 8 }, (_, index) => row(CORE, `r${index + 8}`, 64, 'int64', capital(`r${index + 8}`))),
  row(CORE, 'rip', 64, 'code_ptr', 'Rip'),
  row(CORE, 'eflags', 32, 'eflags', 'Rflags'),
  ...(['Cs', 'Ss', 'Ds', 'Es', 'Fs', 'Gs'] as const).map((name) =>
    row(CORE, name.toLowerCase(), 32, 'int32', name, 'selector'),
  ),
  ...Array.from({ length: 8 }, (_, index) => row(CORE, `st${index}`, 80, 'i387_ext', undefined)),
  ...FPU_CONTROL.map((name) => row(CORE, name, 32, 'int', undefined)),
  ...VECTOR_REGISTERS.map((name) => row(SSE, name.toLowerCase(), 128, 'vec128', name)),
  row(SSE, 'mxcsr', 32, 'mxcsr', 'Mxcsr'),
  row(SEGMENTS, 'fs_base', 64, 'int', 'Fs', 'base'),
  row(SEGMENTS, 'gs_base', 64, 'int', 'Gs', 'base'),
  scalar64('k_gs_base', 'KernelGsBase'),
  ...(['Cr0', 'Cr2', 'Cr3', 'Cr4', 'Cr8', 'Efer'] as const).map((name) => scalar64(name.toLowerCase(), name)),
  ...(['Dr0', 'Dr1', 'Dr2', 'Dr3', 'Dr6', 'Dr7'] as const).map((name) => scalar64(name.toLowerCase(), name)),
  ...(['Star', 'Lstar', 'Cstar', 'Sfmask'] as const).map((name) => scalar64(name.toLowerCase(), name)),
  row(SYSTEM, 'gdtr_base', 64, 'int64', 'Gdtr', 'base'),
  row(SYSTEM, 'gdtr_limit', 32, 'int32', 'Gdtr', 'limit'),
  row(SYSTEM, 'idtr_base', 64, 'int64', 'Idtr', 'base'),
  row(SYSTEM, 'idtr_limit', 32, 'int32', 'Idtr', 'limit'),
  row(SYSTEM, 'tr_base', 64, 'int64', 'Tr', 'base'),
  row(SYSTEM, 'tr', 32, 'int32', 'Tr', 'selector'),
];

/** The registers of the engine that all of these are made of, each once. */
export const NAMES_READ: readonly RegisterName[] = [
  ...new Set(DEBUGGER_REGISTERS.flatMap(({ register }) => (register === undefined ? [] : [register]))),
];

/** Bytes in a packet that carries them all. */
export const REGISTER_BYTES = DEBUGGER_REGISTERS.reduce((sum, { bits }) => sum + bits / 8, 0);

/** A register's bytes, little-endian; undefined where it is not told. */
export function registerBytes(register: DebuggerRegister, value: RegisterValue): Uint8Array | undefined {
  const number = partOf(register.part, value);
  if (number === undefined) return undefined;
  const bytes = new Uint8Array(register.bits / 8);
  for (let index = 0; index < bytes.length; index++)
    bytes[index] = Number(BigInt.asUintN(8, number >> BigInt(index * 8)));
  return bytes;
}

function partOf(part: Part['of'], value: RegisterValue): bigint | undefined {
  if (typeof value === 'bigint') return part === 'scalar' ? value : undefined;
  if (part === 'base') return value.base;
  if (part === 'limit') return BigInt(value.limit);
  return part === 'selector' && 'selector' in value ? BigInt(value.selector) : undefined;
}

/** What the engine's register is with the debugger's bytes in it; undefined where that cannot be. */
export function registerValue(
  register: DebuggerRegister,
  bytes: Uint8Array,
  before: RegisterValue,
): RegisterValue | undefined {
  if (bytes.length !== register.bits / 8) return undefined;
  const number = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  if (typeof before === 'bigint') {
    if (register.part !== 'scalar') return undefined;
    // The debugger's flags are the lower half.
    return register.register === 'Rflags' ? (before & ~0xffff_ffffn) | number : number;
  }
  if (register.part === 'base') return { ...before, base: number };
  if (register.part === 'limit') return { ...before, limit: Number(number) };
  // A selector alone loads no descriptor: bases, limits and rights stay, as in the hypervisor's own call.
  return register.part === 'selector' && 'selector' in before
    ? { ...before, selector: Number(number & 0xffffn) }
    : undefined;
}

const FLAG_NAMES: readonly (readonly [string, number])[] = [
  ['', 1],
  ['CF', 0],
  ['PF', 2],
  ['AF', 4],
  ['ZF', 6],
  ['SF', 7],
  ['TF', 8],
  ['IF', 9],
  ['DF', 10],
  ['OF', 11],
  ['NT', 14],
  ['RF', 16],
  ['VM', 17],
  ['AC', 18],
  ['VIF', 19],
  ['VIP', 20],
  ['ID', 21],
];
const MXCSR_NAMES = 'IE DE ZE OE UE PE DAZ IM DM ZM OM UM PM'.split(' ');

/** `target.xml`. */
export function targetDescription(): string {
  const features = [...new Set(DEBUGGER_REGISTERS.map(({ feature }) => feature))];
  const flags = FLAG_NAMES.map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`).join('');
  const mxcsr = [...MXCSR_NAMES.map((name, bit) => [name, bit] as const), ['FZ', 15] as const]
    .map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`)
    .join('');
  const types: Readonly<Record<string, string>> = {
    [CORE]: `<flags id="eflags" size="4">${flags}</flags>`,
    [SSE]:
      '<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>' +
      '<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>' +
      '<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>' +
      '<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>' +
      '<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>' +
      `<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union><flags id="mxcsr" size="4">${mxcsr}</flags>`,
  };
  const body = features.map((feature) => {
    const registers = DEBUGGER_REGISTERS.filter((register) => register.feature === feature).map(
      ({ name, bits, type }) =>
        `<reg name="${name}" bitsize="${bits}" type="${type}"${feature === SYSTEM ? ' group="system"' : ''}/>`,
    );
    return `<feature name="${feature}">${types[feature] ?? ''}${registers.join('')}</feature>`;
  });
  return (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">' +
    `<target version="1.0"><architecture>i386:x86-64</architecture>${body.join('')}</target>`
  );
}
