/**
 * Instructions that a region has the core execute: it calls `execute` of the engine with the decoded operation and goes on behind it.
 *
 * For what is short beside leaving the region and finding the way back, and needs something that only the core has: the clock, devices,
 * the state of interrupts and privilege, 80-bit arithmetic. Before the call what the operation reads is stored, behind it what it writes is loaded again. An
 * answer other than 0 is the operation to go on with in the run loop: the next instruction is somewhere else, or wants to be looked at.
 * What writes memory (the stores of the x87) is left to the interpreter where the TLB has no write entry for it, as it is with pages that
 * hold code: so the region itself is still what was translated.
 * Answers to: assembly/translation.ts, execute. Called by: emit-instructions.ts, region-emitter.ts.
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
  CPUID: { registers: RAX | RCX | RDX | RBX, flags: false },
  STI: { registers: 0, flags: false },
  POPF: { registers: RSP, flags: true },
  SYSCALL: { registers: RCX | R11, flags: true },
  SYSRET: { registers: RCX | R11, flags: true },
  IRET: { registers: RSP, flags: true },
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

export function emitCalled(emitter: RegionEmitter, instruction: Instruction): void {
  const called = CALLED[instruction.operation];
  if (called === undefined) throw new RangeError(`no call for ${instruction.operation}`);
  emitter.callCore(instruction, called.registers, called.flags);
}
