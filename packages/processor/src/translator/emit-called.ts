/**
 * Instructions that a region has the core execute: it calls `execute` of the engine with the decoded operation and goes on behind it.
 *
 * For what is short beside leaving the region and finding the way back, and needs something that only the core has: the clock, devices,
 * the state of interrupts and privilege, 80-bit arithmetic. Before the call what the operation reads is stored, behind it what it writes is loaded again. An
 * answer other than 0 is the operation to go on with in the run loop: the next instruction is somewhere else, or wants to be looked at.
 * Operations of extensions that have no translation of their own are executed in the same way.
 * What writes memory (the stores of the x87 and of extensions) is left to the interpreter where the TLB has no write entry for it, as it is with pages that
 * hold code: so the region itself is still what was translated.
 * Answers to: assembly/translation.ts, execute. Called by: operation-facts.ts, region-emitter.ts.
 */
import type { Instruction } from './instruction.ts';
import type { RegionEmitter } from './region-emitter.ts';

interface Called {
  /** Bits of the general registers that it reads or writes besides those it names. */
  readonly registers: number;
  /** It reads or writes the arithmetic flags. */
  readonly flags: boolean;
}

const RAX = 1 << 0;
const RCX = 1 << 1;
const RDX = 1 << 2;
const RBX = 1 << 3;
const RSP = 1 << 4;
const R11 = 1 << 11;

const CALLED: Readonly<Record<string, Called>> = {
  RDTSC: { registers: RAX | RDX, flags: false },
  RDTSCP: { registers: RAX | RCX | RDX, flags: false },
  IN_IMM: { registers: RAX, flags: false },
  IN_DX: { registers: RAX | RDX, flags: false },
  OUT_IMM: { registers: RAX, flags: false },
  OUT_DX: { registers: RAX | RDX, flags: false },
  RDPKRU: { registers: RAX | RCX | RDX, flags: false },
  WRPKRU: { registers: RAX | RCX | RDX, flags: false },
  MOV_FROM_CR: { registers: 0, flags: false },
  CPUID: { registers: RAX | RCX | RDX | RBX, flags: false },
  POPF: { registers: RSP, flags: true },
  SYSCALL: { registers: RCX | R11, flags: true },
  SYSRET: { registers: RCX | R11, flags: true },
  IRET: { registers: RSP, flags: true },
  SYSENTER: { registers: RSP, flags: false },
  SYSEXIT: { registers: RCX | RDX | RSP, flags: false },
  DAA: { registers: RAX, flags: true },
  DAS: { registers: RAX, flags: true },
  AAA: { registers: RAX, flags: true },
  AAS: { registers: RAX, flags: true },
  AAM: { registers: RAX, flags: true },
  AAD: { registers: RAX, flags: true },
  FWAIT: { registers: 0, flags: false },
  FLDCW: { registers: 0, flags: false },
  FNSTCW: { registers: 0, flags: false },
  FNSTSW: { registers: 0, flags: false },
  FNSTSW_AX: { registers: RAX, flags: false },
  FNOP: { registers: 0, flags: false },
  FFREE: { registers: 0, flags: false },
  FNCLEX: { registers: 0, flags: false },
  FNINIT: { registers: 0, flags: false },
  FNSETPM: { registers: 0, flags: false },
  FINCSTP: { registers: 0, flags: false },
  FDECSTP: { registers: 0, flags: false },
  X87_ARITHMETIC: { registers: 0, flags: false },
  X87_LOAD: { registers: 0, flags: false },
  X87_STORE: { registers: 0, flags: false },
  X87_MOVE: { registers: 0, flags: false },
  X87_COMPARE: { registers: 0, flags: false },
  X87_FLAGS: { registers: 0, flags: true },
  X87_FUNCTION: { registers: 0, flags: false },
};

export function isCalled(operation: string): boolean {
  return CALLED[operation] !== undefined;
}
/** Whether the operation reads or writes the arithmetic flags as a whole. */
export function callsWithFlags(operation: string): boolean {
  return CALLED[operation]?.flags === true;
}
/** Bits of the general registers that a called operation uses without naming them. */
export function calledRegisters(operation: string): number {
  return CALLED[operation]?.registers ?? 0;
}

/** Operations of extensions on general registers; all others are those of vectors. */
const INTEGER = new Set(['PDEP', 'PEXT', 'CRC32', 'CRC32_8', 'RDSEED', 'RDPID']);
const WITHOUT_FLAGS = new Set(['PDEP', 'PEXT', 'CRC32', 'CRC32_8', 'RDPID']);
/** Vector operations of extensions that make flags. */
const VECTOR_FLAGS = /^(VEX_)?(PTEST|VTEST|U?COMIS|PCMP[EI]STR)/;
/** Fields of the immediate of vector operations (assembly/decoder.ts). */
const TO_GENERAL = 0x20000;
const FROM_GENERAL = 0x40000;
const VEX_REGISTER_SHIFT = 20;

/** Whether an operation of an extension works on vector registers, of which the core then has to see the state. */
export function callsVectors(operation: string): boolean {
  return !INTEGER.has(operation);
}
/** Whether an operation of an extension reads or writes arithmetic flags. */
export function extensionFlags(operation: string): boolean {
  return INTEGER.has(operation) ? !WITHOUT_FLAGS.has(operation) : VECTOR_FLAGS.test(operation);
}
/** General registers that an extension's instruction uses besides those of its address: bits by number. */
export function extensionRegisters({ operation, immediate, form, destination, source }: Instruction): number {
  const integer = INTEGER.has(operation);
  let used = /PCMP[EI]STR/.test(operation) ? RAX | RCX | RDX : 0;
  if (integer) used |= 1 << ((immediate >> VEX_REGISTER_SHIFT) & 15);
  if (form.startsWith('R') && (integer || (immediate & TO_GENERAL) !== 0)) used |= 1 << (destination >> 3);
  if ((form === 'RR' || form === 'MR') && (integer || (immediate & FROM_GENERAL) !== 0)) used |= 1 << (source >> 3);
  return used;
}
/** Places (16 times the number) of the vector registers that an extension's instruction may write; undefined: all. */
export function extensionResults({ operation, destination, immediate }: Instruction): readonly number[] | undefined {
  if (operation.startsWith('VZERO')) return undefined;
  return [destination & 0xf0, ((immediate >> VEX_REGISTER_SHIFT) & 15) << 4, 0];
}
/** Operations that leave MXCSR alone, by how their names begin. */
const WITHOUT_EXCEPTIONS =
  /^(VEX_)?(P|MOV|AES|SHA|UNPCK|SHUF|BLEND|INSERT|EXTRACT|VP|VBROADCAST|VZERO|VMASKMOV|VGATHER|VTEST|VINSERT|VEXTRACT)/;

export function emitCalled(emitter: RegionEmitter, instruction: Instruction): void {
  const called = CALLED[instruction.operation];
  if (called === undefined) throw new RangeError(`no call for ${instruction.operation}`);
  const { form, destination, source } = instruction;
  let used = called.registers;
  if (form.startsWith('R')) used |= 1 << (destination >> 3);
  if (form === 'RR' || form === 'MR') used |= 1 << (source >> 3);
  emitter.callCore(instruction, used, called.flags);
}
export function emitCalledExtension(emitter: RegionEmitter, instruction: Instruction): void {
  const { operation } = instruction;
  const vectors = callsVectors(operation);
  if (vectors) emitter.vectors.storeAll();
  emitter.callCore(instruction, extensionRegisters(instruction), extensionFlags(operation), () => {
    if (!vectors) return;
    emitter.vectors.loadResults(extensionResults(instruction));
    if (!WITHOUT_EXCEPTIONS.test(operation)) emitter.vectors.loadMode();
  });
}
