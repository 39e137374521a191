/**
 * The synthetic model-specific registers, as one table: number, name, the privilege they need, reading and writing.
 *
 * A register that is not here, a missing privilege, and a value that a register does not take are all #GP. Registers of the whole
 * partition are in the partition's state, those of a processor in its own.
 * Answers to: TLFS, the chapters named in each row's code; numbers as in hvdef. Called by: guest-interface.ts.
 */
import { hasPrivilege, type PrivilegeName } from './privileges.ts';
import type { VirtualProcessorState } from './virtual-processor.ts';

/** A register, or `count` of a kind. `number` is 0 for the first. */
export interface SyntheticMsr {
  readonly first: number;
  readonly count: number;
  readonly name: string;
  readonly privilege: PrivilegeName | undefined;
  /** @returns undefined for #GP */
  readonly read: (vp: VirtualProcessorState, number: number) => bigint | undefined;
  /** @returns false for #GP; absent for a register that cannot be written */
  readonly write?: (vp: VirtualProcessorState, value: bigint, number: number) => boolean;
}

const row = (
  first: number,
  count: number,
  name: string,
  privilege: PrivilegeName | undefined,
  read: SyntheticMsr['read'],
  write?: SyntheticMsr['write'],
): SyntheticMsr => ({ first, count, name, privilege, read, ...(write === undefined ? {} : { write }) });

/** A setter that takes any value. */
const always =
  (set: (vp: VirtualProcessorState, value: bigint, number: number) => void): SyntheticMsr['write'] =>
  (vp, value, number) => {
    set(vp, value, number);
    return true;
  };

/** The local APIC's timer counts nanoseconds. */
const APIC_FREQUENCY = 1_000_000_000n;
const SYNIC_VERSION = 1n;
const APIC = { taskPriority: 0x80, endOfInterrupt: 0xb0, commandLow: 0x300, commandHigh: 0x310 } as const;

export const SYNTHETIC_MSRS: readonly SyntheticMsr[] = [
  row(
    0x40000000,
    1,
    'GUEST_OS_ID',
    'AccessHypercallMsrs',
    (vp) => vp.shared.guestOsId,
    always((vp, value) => vp.shared.setGuestOsId(value)),
  ),
  row(
    0x40000001,
    1,
    'HYPERCALL',
    'AccessHypercallMsrs',
    (vp) => vp.shared.hypercallPage,
    always((vp, value) => vp.shared.setHypercallPage(value)),
  ),
  row(0x40000002, 1, 'VP_INDEX', 'AccessVpIndex', (vp) => BigInt(vp.index)),
  row(
    0x40000003,
    1,
    'RESET',
    'AccessResetReg',
    () => 0n,
    always((vp, value) => {
      if ((value & 1n) === 1n) vp.host.reset();
    }),
  ),
  row(0x40000010, 1, 'VP_RUNTIME', 'AccessVpRunTimeReg', (vp) => BigInt(Math.floor(vp.host.runTime() / 100))),
  row(0x40000020, 1, 'TIME_REF_COUNT', 'AccessPartitionReferenceCounter', (vp) => BigInt(vp.shared.time.now())),
  row(
    0x40000021,
    1,
    'REFERENCE_TSC',
    'AccessPartitionReferenceTsc',
    (vp) => vp.shared.referenceTscPage,
    always((vp, value) => vp.shared.setReferenceTscPage(value)),
  ),
  row(0x40000022, 1, 'TSC_FREQUENCY', 'AccessFrequencyRegs', (vp) => vp.shared.time.tscFrequency),
  row(0x40000023, 1, 'APIC_FREQUENCY', 'AccessFrequencyRegs', () => APIC_FREQUENCY),
  row(
    0x40000070,
    1,
    'EOI',
    'AccessIntrCtrlRegs',
    () => undefined,
    always((vp) => vp.processor.writeApicRegister(APIC.endOfInterrupt, 0)),
  ),
  row(
    0x40000071,
    1,
    'ICR',
    'AccessIntrCtrlRegs',
    (vp) =>
      (BigInt(vp.processor.readApicRegister(APIC.commandHigh)) << 32n) |
      BigInt(vp.processor.readApicRegister(APIC.commandLow)),
    always((vp, value) => {
      vp.processor.writeApicRegister(APIC.commandHigh, Number(value >> 32n));
      vp.processor.writeApicRegister(APIC.commandLow, Number(value & 0xffffffffn));
    }),
  ),
  row(
    0x40000072,
    1,
    'TPR',
    'AccessIntrCtrlRegs',
    (vp) => BigInt(vp.processor.readApicRegister(APIC.taskPriority)),
    (vp, value) => {
      if (value > 0xffn) return false;
      vp.processor.writeApicRegister(APIC.taskPriority, Number(value));
      return true;
    },
  ),
  // Linux writes it whatever its privileges, so there are none to be had.
  row(
    0x40000073,
    1,
    'VP_ASSIST_PAGE',
    undefined,
    (vp) => vp.assistPage,
    always((vp, value) => vp.setAssistPage(value)),
  ),
  row(
    0x40000080,
    1,
    'SCONTROL',
    'AccessSynicRegs',
    (vp) => vp.synic.control,
    always((vp, value) => {
      vp.synic.control = value;
    }),
  ),
  row(0x40000081, 1, 'SVERSION', 'AccessSynicRegs', () => SYNIC_VERSION),
  row(
    0x40000082,
    1,
    'SIEFP',
    'AccessSynicRegs',
    (vp) => vp.synic.eventFlagsPage,
    always((vp, value) => {
      vp.synic.eventFlagsPage = value;
    }),
  ),
  row(
    0x40000083,
    1,
    'SIMP',
    'AccessSynicRegs',
    (vp) => vp.synic.messagePage,
    always((vp, value) => {
      vp.synic.messagePage = value;
    }),
  ),
  row(
    0x40000084,
    1,
    'EOM',
    'AccessSynicRegs',
    () => 0n,
    always((vp) => vp.synic.deliverQueued()),
  ),
  row(
    0x40000090,
    16,
    'SINT',
    'AccessSynicRegs',
    (vp, sint) => vp.synic.readSource(sint),
    (vp, value, sint) => vp.synic.writeSource(sint, value),
  ),
  row(
    0x400000b0,
    8,
    'STIMER',
    'AccessSyntheticTimerRegs',
    (vp, number) => (number % 2 === 0 ? vp.timers.readConfig(number >> 1) : vp.timers.readCount(number >> 1)),
    (vp, value, number) => {
      if (number % 2 === 0) return vp.timers.writeConfig(number >> 1, value);
      vp.timers.writeCount(number >> 1, value);
      return true;
    },
  ),
  row(0x400000f0, 1, 'GUEST_IDLE', 'AccessGuestIdleReg', (vp) => {
    vp.host.idle();
    return 0n;
  }),
  row(
    0x40000100,
    5,
    'CRASH_P',
    undefined,
    (vp, number) => vp.shared.crashParameter(number),
    always((vp, value, number) => vp.shared.setCrashParameter(number, value)),
  ),
  row(
    0x40000105,
    1,
    'CRASH_CTL',
    undefined,
    (vp) => vp.shared.crashCapabilities,
    always((vp, value) => vp.shared.writeCrashControl(value, vp.host)),
  ),
];

const BY_NUMBER = new Map<number, { readonly row: SyntheticMsr; readonly number: number }>(
  SYNTHETIC_MSRS.flatMap((msr) =>
    Array.from({ length: msr.count }, (_, number) => [msr.first + number, { row: msr, number }] as const),
  ),
);

/** @returns the value, or undefined for #GP */
export function readSyntheticMsr(vp: VirtualProcessorState, index: number): bigint | undefined {
  const found = BY_NUMBER.get(index);
  if (found === undefined || !allowed(vp, found.row)) return undefined;
  return found.row.read(vp, found.number);
}

/** @returns false for #GP */
export function writeSyntheticMsr(vp: VirtualProcessorState, index: number, value: bigint): boolean {
  const found = BY_NUMBER.get(index);
  if (found?.row.write === undefined || !allowed(vp, found.row)) return false;
  return found.row.write(vp, value, found.number);
}

const allowed = (vp: VirtualProcessorState, msr: SyntheticMsr): boolean =>
  msr.privilege === undefined || hasPrivilege(vp.shared.privileges, msr.privilege);
