/**
 * The registers that a debugger sees, in its order and sizes, and the XML that tells it of them (GDB manual, appendix G.5.12 i386
 * Features). A debugger of the x86-64 architecture expects the first three features as they are; the last one is Plinth's own and shows
 * what a kernel's programmer asks for. Called by: session.ts.
 */
import {
  FPU_REGISTERS,
  type FpuRegister,
  GENERAL_REGISTERS,
  type RegisterName,
  type RegisterValue,
  VECTOR_REGISTERS,
} from '@plinth/hypervisor';

export type RegisterValues = ReadonlyMap<RegisterName, RegisterValue>;
/** A register of the engine with the value that it is to have. */
export type RegisterChange = readonly [RegisterName, RegisterValue];

export interface DebuggerRegister {
  readonly name: string;
  readonly bits: number;
  readonly type: string;
  readonly feature: string;
  /** Undefined where the engine's registers do not tell. */
  read(values: RegisterValues): bigint | undefined;
  /** Undefined where it cannot be changed by itself. */
  write(values: RegisterValues, value: bigint): RegisterChange | undefined;
}

const CORE = 'org.gnu.gdb.i386.core';
const SSE = 'org.gnu.gdb.i386.sse';
const SEGMENTS = 'org.gnu.gdb.i386.segments';
const SYSTEM = 'org.plinth.x86-64.system';

/** Names of the general registers in the debugger's order; the engine's are in the order of their encoding. */
const GENERAL = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'];

const generalOf = (name: string): RegisterName => {
  const found = GENERAL_REGISTERS.find((register) => register.toLowerCase() === name);
  if (found === undefined) throw new RangeError(`no general register is called ${name}`);
  return found;
};

type Form = Pick<DebuggerRegister, 'name' | 'bits' | 'type' | 'feature'>;
const form = (feature: string, name: string, bits: number, type: string): Form => ({ feature, name, bits, type });

const numberOf = (values: RegisterValues, name: RegisterName): bigint | undefined => {
  const value = values.get(name);
  return typeof value === 'bigint' ? value : undefined;
};

function scalar(row: Form, register: RegisterName): DebuggerRegister {
  return {
    ...row,
    read: (values) => numberOf(values, register),
    write: (_values, value) => [register, value],
  };
}

/** Bits of a wider register. */
function bitsOf(row: Form, register: RegisterName, from: bigint): DebuggerRegister {
  const mask = (1n << BigInt(row.bits)) - 1n;
  return {
    ...row,
    read: (values) => {
      const whole = numberOf(values, register);
      return whole === undefined ? undefined : (whole >> from) & mask;
    },
    write: (values, value) => {
      const whole = numberOf(values, register);
      return whole === undefined ? undefined : [register, (whole & ~(mask << from)) | (value << from)];
    },
  };
}

/** A part of a segment or of a table's place. A selector alone loads no descriptor: base, limit and rights stay. */
function partOf(row: Form, register: RegisterName, part: 'selector' | 'base' | 'limit'): DebuggerRegister {
  return {
    ...row,
    read: (values) => {
      const value = values.get(register);
      if (typeof value !== 'object') return undefined;
      if (part === 'base') return value.base;
      if (part === 'limit') return BigInt(value.limit);
      return 'selector' in value ? BigInt(value.selector) : undefined;
    },
    write: (values, number) => {
      const value = values.get(register);
      if (typeof value !== 'object') return undefined;
      if (part === 'base') return [register, { ...value, base: number }];
      if (part === 'limit') return [register, { ...value, limit: Number(number) }];
      return 'selector' in value ? [register, { ...value, selector: Number(number & 0xffffn) }] : undefined;
    },
  };
}

/** The register `distance` below the top of the x87 unit's stack. */
function stackRegister(distance: number): DebuggerRegister {
  const nameIn = (values: RegisterValues): FpuRegister | undefined => {
    const words = numberOf(values, 'FpControlStatus');
    return words === undefined ? undefined : FPU_REGISTERS[(topOf(words) + distance) & 7];
  };
  return {
    ...form(CORE, `st${distance}`, 80, 'i387_ext'),
    read: (values) => {
      const name = nameIn(values);
      return name === undefined ? undefined : numberOf(values, name);
    },
    write: (values, value) => {
      const name = nameIn(values);
      return name === undefined ? undefined : [name, value];
    },
  };
}

const topOf = (words: bigint): number => Number((words >> 27n) & 7n);

/** The whole tag word, two bits for each register, from the abridged one and what the registers hold (AMD64 manual vol. 1, 6.2.4). */
function tagWord(values: RegisterValues): bigint | undefined {
  const words = numberOf(values, 'FpControlStatus');
  if (words === undefined) return undefined;
  let tags = 0n;
  for (const [index, name] of FPU_REGISTERS.slice(0, 8).entries()) {
    const value = numberOf(values, name);
    if (value === undefined) return undefined;
    const isFull = ((words >> BigInt(32 + index)) & 1n) !== 0n;
    tags |= (isFull ? tagOf(value) : 3n) << BigInt(index * 2);
  }
  return tags;
}

function tagOf(value: bigint): bigint {
  const exponent = (value >> 64n) & 0x7fffn;
  const fraction = BigInt.asUintN(64, value);
  if (exponent === 0n && fraction === 0n) return 1n;
  return exponent === 0n || exponent === 0x7fffn || fraction >> 63n === 0n ? 2n : 0n;
}

const readOnly = (row: Form, read: DebuggerRegister['read']): DebuggerRegister => ({
  ...row,
  read,
  write: () => undefined,
});
const unit = (name: string): Form => form(CORE, name, 32, 'int');
const words = (name: string, from: bigint, bits: number): DebuggerRegister => {
  const inner = bitsOf({ ...unit(name), bits }, 'FpControlStatus', from);
  return {
    ...unit(name),
    read: inner.read,
    write: (values, value) => inner.write(values, BigInt.asUintN(bits, value)),
  };
};

const system = (name: string): Form => form(SYSTEM, name, 64, 'int64');

export const DEBUGGER_REGISTERS: readonly DebuggerRegister[] = [
  ...GENERAL.map((name) =>
    scalar(form(CORE, name, 64, name === 'rbp' || name === 'rsp' ? 'data_ptr' : 'int64'), generalOf(name)),
  ),
  ...Array.from({ length: 8 }, (_, index) => `r${index + 8}`).map((name) =>
    scalar(form(CORE, name, 64, 'int64'), generalOf(name)),
  ),
  scalar(form(CORE, 'rip', 64, 'code_ptr'), 'Rip'),
  bitsOf(form(CORE, 'eflags', 32, 'eflags'), 'Rflags', 0n),
  ...(['Cs', 'Ss', 'Ds', 'Es', 'Fs', 'Gs'] as const).map((name) =>
    partOf(form(CORE, name.toLowerCase(), 32, 'int32'), name, 'selector'),
  ),
  ...Array.from({ length: 8 }, (_, distance) => stackRegister(distance)),
  words('fctrl', 0n, 16),
  words('fstat', 16n, 16),
  readOnly(unit('ftag'), tagWord),
  readOnly(unit('fiseg'), () => 0n),
  words('fioff', 64n, 32),
  readOnly(unit('foseg'), () => 0n),
  bitsOf(unit('fooff'), 'XmmControlStatus', 0n),
  words('fop', 48n, 16),
  ...VECTOR_REGISTERS.map((name) => scalar(form(SSE, name.toLowerCase(), 128, 'vec128'), name)),
  scalar(form(SSE, 'mxcsr', 32, 'mxcsr'), 'Mxcsr'),
  partOf(form(SEGMENTS, 'fs_base', 64, 'int'), 'Fs', 'base'),
  partOf(form(SEGMENTS, 'gs_base', 64, 'int'), 'Gs', 'base'),
  scalar(system('k_gs_base'), 'KernelGsBase'),
  ...(
    [
      'Cr0',
      'Cr2',
      'Cr3',
      'Cr4',
      'Cr8',
      'Efer',
      'Dr0',
      'Dr1',
      'Dr2',
      'Dr3',
      'Dr6',
      'Dr7',
      'Star',
      'Lstar',
      'Cstar',
      'Sfmask',
    ] as const
  ).map((name) => scalar(system(name.toLowerCase()), name)),
  partOf(system('gdtr_base'), 'Gdtr', 'base'),
  partOf(form(SYSTEM, 'gdtr_limit', 32, 'int32'), 'Gdtr', 'limit'),
  partOf(system('idtr_base'), 'Idtr', 'base'),
  partOf(form(SYSTEM, 'idtr_limit', 32, 'int32'), 'Idtr', 'limit'),
  partOf(system('tr_base'), 'Tr', 'base'),
  partOf(form(SYSTEM, 'tr', 32, 'int32'), 'Tr', 'selector'),
];

/** The registers of the engine that all of these are made of. */
export const NAMES_READ: readonly RegisterName[] = [
  ...GENERAL_REGISTERS,
  ...(['Rip', 'Rflags', 'Cs', 'Ss', 'Ds', 'Es', 'Fs', 'Gs', 'Tr', 'Gdtr', 'Idtr', 'Mxcsr', 'KernelGsBase'] as const),
  ...(['Cr0', 'Cr2', 'Cr3', 'Cr4', 'Cr8', 'Efer', 'Dr0', 'Dr1', 'Dr2', 'Dr3', 'Dr6', 'Dr7'] as const),
  ...(['Star', 'Lstar', 'Cstar', 'Sfmask'] as const),
  ...FPU_REGISTERS,
  ...VECTOR_REGISTERS,
];

/** Bytes in a packet that carries them all. */
export const REGISTER_BYTES = DEBUGGER_REGISTERS.reduce((sum, { bits }) => sum + bits / 8, 0);

/** A register's bytes, little-endian; undefined where it is not told. */
export function registerBytes(register: DebuggerRegister, values: RegisterValues): Uint8Array | undefined {
  const number = register.read(values);
  if (number === undefined) return undefined;
  return Uint8Array.from({ length: register.bits / 8 }, (_, index) =>
    Number(BigInt.asUintN(8, number >> BigInt(index * 8))),
  );
}

/** What the engine is to change for a register to have these bytes; undefined where that cannot be. */
export function registerChange(
  register: DebuggerRegister,
  bytes: Uint8Array,
  values: RegisterValues,
): RegisterChange | undefined {
  if (bytes.length !== register.bits / 8) return undefined;
  const number = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return register.write(values, number);
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
