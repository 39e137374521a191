/**
 * A virtual processor's registers by their numbers in HV_REGISTER_NAME, as 16-byte values: HvCallGetVpRegisters and HvCallSetVpRegisters.
 *
 * Architectural registers are the engine's, by the names of registers.ts; synthetic ones are those of the table of MSRs.
 * Answers to: TLFS, HV_REGISTER_NAME, HV_REGISTER_VALUE. Called by: hypercalls.ts.
 */
import type { CpuidEntry } from '../partition.ts';
import {
  CONTROL_REGISTERS,
  DEBUG_REGISTERS,
  FPU_REGISTERS,
  GENERAL_REGISTERS,
  MSR_REGISTERS,
  type RegisterName,
  type RegisterValue,
  SEGMENT_REGISTERS,
  TABLE_REGISTERS,
  VECTOR_REGISTERS,
} from '../registers.ts';
import { HV_STATUS, type HvStatus } from './status.ts';
import { readSyntheticMsr, writeSyntheticMsr } from './synthetic-msrs.ts';
import type { VirtualProcessorState } from './virtual-processor.ts';

/** Bytes of a HV_REGISTER_VALUE. */
export const REGISTER_VALUE_BYTES = 16;

const MSR_NAMES = MSR_REGISTERS.filter((name) => name !== 'TscAux');

const numbered = (first: number, names: readonly RegisterName[]): [number, RegisterName][] =>
  names.map((name, index) => [first + index, name]);

const ARCHITECTURAL = new Map<number, RegisterName>([
  ...numbered(0x00020000, GENERAL_REGISTERS),
  [0x00020010, 'Rip'],
  [0x00020011, 'Rflags'],
  ...numbered(0x00030000, VECTOR_REGISTERS),
  ...numbered(0x00030010, FPU_REGISTERS),
  ...numbered(0x00040000, CONTROL_REGISTERS),
  ...numbered(0x00050000, DEBUG_REGISTERS),
  ...numbered(0x00060000, SEGMENT_REGISTERS),
  ...numbered(0x00070000, TABLE_REGISTERS),
  ...numbered(0x00080000, MSR_NAMES),
  [0x0008007b, 'TscAux'],
]);

const range = (register: number, msr: number, count = 1): [number, number][] =>
  Array.from({ length: count }, (_, index) => [register + index, msr + index]);

/** Synthetic registers and the MSRs that they also are. */
const SYNTHETIC = new Map<number, number>([
  ...range(0x00000210, 0x40000100, 6),
  ...range(0x00090000, 0x40000010),
  ...range(0x00090002, 0x40000000),
  ...range(0x00090003, 0x40000002),
  ...range(0x00090004, 0x40000020),
  ...range(0x00090013, 0x40000073),
  ...range(0x00090017, 0x40000021),
  ...range(0x000a0000, 0x40000090, 16),
  ...range(0x000a0010, 0x40000080, 5),
  ...range(0x000b0000, 0x400000b0, 8),
]);

/** Registers of 128 bits that repeat a CPUID leaf. */
const LEAVES = new Map<number, number>([
  [0x00000100, 0x40000002],
  [0x00000200, 0x40000003],
  [0x00000201, 0x40000004],
  [0x00000202, 0x40000005],
]);

/** Control registers whose upper bits select nothing. */
const UPPER_ZERO = new Set<RegisterName>(['Cr0', 'Cr4', 'Cr8', 'Efer', 'Dr6', 'Dr7']);
/** What the engine takes as it is, but a guest could break the engine's own idea of with: refused. */
const READ_ONLY = new Set<RegisterName>(['ApicBase']);

/** Reads a register of the processor that calls. @returns the status; `output` is filled where it succeeds */
export function readVpRegister(vp: VirtualProcessorState, number: number, output: DataView): HvStatus {
  const name = ARCHITECTURAL.get(number);
  if (name !== undefined) {
    writeValue(output, vp.processor.readRegister(name));
    return HV_STATUS.SUCCESS;
  }
  const leaf = LEAVES.get(number);
  if (leaf !== undefined) {
    const entry: CpuidEntry | undefined = vp.shared.partition.readCpuid().find((row) => row.leaf === leaf);
    if (entry === undefined) return HV_STATUS.INVALID_PARAMETER;
    [entry.eax, entry.ebx, entry.ecx, entry.edx].forEach((value, index) => {
      output.setUint32(index * 4, value, true);
    });
    return HV_STATUS.SUCCESS;
  }
  const msr = SYNTHETIC.get(number);
  const value = msr === undefined ? undefined : readSyntheticMsr(vp, msr);
  if (value === undefined) return HV_STATUS.INVALID_PARAMETER;
  writeValue(output, value);
  return HV_STATUS.SUCCESS;
}

/** Writes a register of the processor that calls. @param input a HV_REGISTER_VALUE */
export function writeVpRegister(vp: VirtualProcessorState, number: number, input: DataView): HvStatus {
  const name = ARCHITECTURAL.get(number);
  if (name === undefined) {
    const msr = SYNTHETIC.get(number);
    const done = msr !== undefined && writeSyntheticMsr(vp, msr, input.getBigUint64(0, true));
    return done ? HV_STATUS.SUCCESS : HV_STATUS.INVALID_PARAMETER;
  }
  const value = readValue(name, input);
  if (READ_ONLY.has(name)) return HV_STATUS.INVALID_PARAMETER;
  if (UPPER_ZERO.has(name) && typeof value === 'bigint' && value >> 32n !== 0n) return HV_STATUS.INVALID_REGISTER_VALUE;
  vp.processor.writeRegister(name, value);
  return HV_STATUS.SUCCESS;
}

function writeValue(output: DataView, value: RegisterValue): void {
  if (typeof value === 'bigint') {
    output.setBigUint64(0, BigInt.asUintN(64, value), true);
    output.setBigUint64(8, BigInt.asUintN(64, value >> 64n), true);
  } else if ('selector' in value) {
    output.setBigUint64(0, value.base, true);
    output.setUint32(8, value.limit, true);
    output.setUint16(12, value.selector, true);
    output.setUint16(14, value.attributes, true);
  } else {
    output.setUint16(6, value.limit, true);
    output.setBigUint64(8, value.base, true);
  }
}

function readValue(name: RegisterName, input: DataView): RegisterValue {
  if ((SEGMENT_REGISTERS as readonly string[]).includes(name)) {
    return {
      base: input.getBigUint64(0, true),
      limit: input.getUint32(8, true),
      selector: input.getUint16(12, true),
      attributes: input.getUint16(14, true),
    };
  }
  if ((TABLE_REGISTERS as readonly string[]).includes(name)) {
    return { limit: input.getUint16(6, true), base: input.getBigUint64(8, true) };
  }
  const low = input.getBigUint64(0, true);
  if (![...VECTOR_REGISTERS, ...FPU_REGISTERS].some((wide) => wide === name)) return low;
  return (input.getBigUint64(8, true) << 64n) | low;
}
