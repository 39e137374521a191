/**
 * Partition privileges: which synthetic registers and hypercalls a partition may use (HV_PARTITION_PRIVILEGE_MASK of the TLFS).
 *
 * A partition reads its own mask in CPUID leaf 0x40000003. A child gets exactly what works; what belongs to the root stands here
 * too, so that a guest that tries it is denied by name. Called by: the tables of MSRs and hypercalls, cpuid-leaves.ts, the root.
 */

/** Bit numbers in the 64-bit mask. */
const PRIVILEGE_BIT = {
  AccessVpRunTimeReg: 0,
  AccessPartitionReferenceCounter: 1,
  AccessSynicRegs: 2,
  AccessSyntheticTimerRegs: 3,
  AccessIntrCtrlRegs: 4,
  AccessHypercallMsrs: 5,
  AccessVpIndex: 6,
  AccessResetReg: 7,
  AccessStatsReg: 8,
  AccessPartitionReferenceTsc: 9,
  AccessGuestIdleReg: 10,
  AccessFrequencyRegs: 11,
  AccessReenlightenmentControls: 13,
  CreatePartitions: 32,
  AccessPartitionId: 33,
  AccessMemoryPool: 34,
  PostMessages: 36,
  SignalEvents: 37,
  CreatePort: 38,
  ConnectPort: 39,
  AccessStats: 40,
  Debugging: 43,
  CpuManagement: 44,
  AccessVSM: 48,
  AccessVpRegisters: 49,
  EnableExtendedHypercalls: 52,
  StartVirtualProcessor: 53,
} as const;

export type PrivilegeName = keyof typeof PRIVILEGE_BIT;

/** The mask with the privileges named. */
export const privilegeMask = (names: readonly PrivilegeName[]): bigint =>
  names.reduce((mask, name) => mask | (1n << BigInt(PRIVILEGE_BIT[name])), 0n);

export const hasPrivilege = (mask: bigint, name: PrivilegeName): boolean =>
  ((mask >> BigInt(PRIVILEGE_BIT[name])) & 1n) === 1n;

/** The names of a mask's privileges, for people. */
export const privilegeNames = (mask: bigint): PrivilegeName[] =>
  (Object.keys(PRIVILEGE_BIT) as PrivilegeName[]).filter((name) => hasPrivilege(mask, name));

/** What a child partition may do: all that works for guests. */
export const CHILD_PRIVILEGES = privilegeMask([
  'AccessVpRunTimeReg',
  'AccessPartitionReferenceCounter',
  'AccessSynicRegs',
  'AccessSyntheticTimerRegs',
  'AccessIntrCtrlRegs',
  'AccessHypercallMsrs',
  'AccessVpIndex',
  'AccessResetReg',
  'AccessPartitionReferenceTsc',
  'AccessGuestIdleReg',
  'AccessFrequencyRegs',
  'PostMessages',
  'SignalEvents',
  'AccessVpRegisters',
  'EnableExtendedHypercalls',
]);

/** What the root partition may do. */
export const ROOT_PRIVILEGES =
  CHILD_PRIVILEGES |
  privilegeMask([
    'CreatePartitions',
    'AccessPartitionId',
    'AccessMemoryPool',
    'CreatePort',
    'ConnectPort',
    'CpuManagement',
    'StartVirtualProcessor',
  ]);
