/**
 * Register names of the TLFS (HV_REGISTER_NAME, "hv_register_name" of the data types) for x64, without their prefix,
 * as plain strings. Engines read and write registers by these names only.
 */

export const GENERAL_REGISTERS = [
  'Rax',
  'Rcx',
  'Rdx',
  'Rbx',
  'Rsp',
  'Rbp',
  'Rsi',
  'Rdi',
  'R8',
  'R9',
  'R10',
  'R11',
  'R12',
  'R13',
  'R14',
  'R15',
] as const;
export const SEGMENT_REGISTERS = ['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs', 'Ldtr', 'Tr'] as const;
export const TABLE_REGISTERS = ['Idtr', 'Gdtr'] as const;
export const CONTROL_REGISTERS = ['Cr0', 'Cr2', 'Cr3', 'Cr4', 'Cr8', 'XCr0'] as const;
export const DEBUG_REGISTERS = ['Dr0', 'Dr1', 'Dr2', 'Dr3', 'Dr6', 'Dr7'] as const;
export const MSR_REGISTERS = [
  'Tsc',
  'Efer',
  'KernelGsBase',
  'ApicBase',
  'Pat',
  'SysenterCs',
  'SysenterRip',
  'SysenterRsp',
  'Star',
  'Lstar',
  'Cstar',
  'Sfmask',
  // No register of the TLFS; what stands before it has numbers in this order.
  'TscAux',
] as const;
export const VECTOR_REGISTERS = [
  'Xmm0',
  'Xmm1',
  'Xmm2',
  'Xmm3',
  'Xmm4',
  'Xmm5',
  'Xmm6',
  'Xmm7',
  'Xmm8',
  'Xmm9',
  'Xmm10',
  'Xmm11',
  'Xmm12',
  'Xmm13',
  'Xmm14',
  'Xmm15',
] as const;

/** In the order of their numbers. */
export const FPU_REGISTERS = [
  'FpMmx0',
  'FpMmx1',
  'FpMmx2',
  'FpMmx3',
  'FpMmx4',
  'FpMmx5',
  'FpMmx6',
  'FpMmx7',
  'FpControlStatus',
  'XmmControlStatus',
] as const;

export type GeneralRegister = (typeof GENERAL_REGISTERS)[number];
export type SegmentRegister = (typeof SEGMENT_REGISTERS)[number];
export type TableRegister = (typeof TABLE_REGISTERS)[number];
export type ScalarRegister =
  | GeneralRegister
  | 'Rip'
  | 'Rflags'
  | 'Mxcsr'
  // No register of the TLFS.
  | 'Pkru'
  | (typeof CONTROL_REGISTERS)[number]
  | (typeof DEBUG_REGISTERS)[number]
  | (typeof MSR_REGISTERS)[number];
export type VectorRegister = (typeof VECTOR_REGISTERS)[number];
export type FpuRegister = (typeof FPU_REGISTERS)[number];

/** HV_X64_SEGMENT_REGISTER: attributes as in the descriptor (type, S, DPL, P, AVL, L, D, G in bits 0-7 and 12-15). */
export interface SegmentValue {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}
/** HV_X64_TABLE_REGISTER. */
export interface TableValue {
  readonly base: bigint;
  readonly limit: number;
}

export type RegisterName = ScalarRegister | SegmentRegister | TableRegister | VectorRegister | FpuRegister;
/** Scalars are bigints of 64 bits, vectors and the x87 unit’s of 128; segments and tables are records. */
export type RegisterValue = bigint | SegmentValue | TableValue;
