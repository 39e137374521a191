/**
 * The hypercalls, as one table: code, name, shape of the parameters, the privilege they need, and what they do.
 *
 * Calls that manage partitions are the root's; they stand here with their codes and privileges, so that a child is told ACCESS_DENIED and
 * not that there is no such call. The root makes them through root-calls.ts, where the same rows say which privilege is asked for.
 * Answers to: TLFS, "Hypercall reference". Called by: guest-interface.ts.
 */
import type { Hypercall, HypercallCall, RepHypercall, SimpleHypercall } from './hypercall-interface.ts';
import type { PrivilegeName } from './privileges.ts';
import { HV_STATUS, type HvStatus } from './status.ts';
import { PAYLOAD_LIMIT } from './synic.ts';
import type { VirtualProcessorState } from './virtual-processor.ts';
import { REGISTER_VALUE_BYTES, readVpRegister, writeVpRegister } from './vp-registers.ts';

const PARTITION_SELF = 0xffff_ffff_ffff_ffffn;
const VP_SELF = 0xfffffffe;
/** HV_FLUSH_FLAGS. */
const FLUSH = { allProcessors: 1n, allSpaces: 2n, nonGlobalOnly: 4n, extendedRanges: 8n } as const;
const VECTOR = { lowest: 0x10, highest: 0xff } as const;
const SET_FORMAT = { sparse: 0n, all: 1n } as const;

const simple = (
  code: number,
  name: string,
  headerBytes: number,
  outputBytes: number,
  call: SimpleHypercall['call'],
  more: { readonly privilege?: PrivilegeName; readonly variableHeader?: boolean } = {},
): SimpleHypercall => ({ code, name, headerBytes, outputBytes, call, ...more });

/** A call of the root alone: nobody else has the privilege, and if one had it, it would have no partitions of its own. */
const ofRoot = (code: number, name: string, privilege: PrivilegeName): SimpleHypercall =>
  simple(code, name, 0, 0, () => HV_STATUS.OPERATION_DENIED, { privilege });

const u32 = (view: DataView, at: number): number => view.getUint32(at, true);
const u64 = (view: DataView, at: number): bigint => view.getBigUint64(at, true);

// ---- processors by mask and by set -----------------------------------------------------------------------------------

type Processors = readonly VirtualProcessorState[];

const byMask = (call: HypercallCall, mask: bigint): Processors =>
  call.processors.filter((vp) => ((mask >> BigInt(vp.index)) & 1n) === 1n);

/** A HV_VP_SET at an offset of the header. @returns undefined for a malformed one */
function bySet(call: HypercallCall, at: number): Processors | undefined {
  const { header } = call;
  const format = u64(header, at);
  if (format === SET_FORMAT.all) return call.processors;
  if (format !== SET_FORMAT.sparse) return undefined;
  const banks = u64(header, at + 8);
  const contents = new Map<number, bigint>();
  let position = at + 16;
  for (let bank = 0; bank < 64; bank++) {
    if (((banks >> BigInt(bank)) & 1n) === 0n) continue;
    if (position + 8 > header.byteLength) return undefined;
    contents.set(bank, u64(header, position));
    position += 8;
  }
  if (position !== header.byteLength) return undefined;
  return call.processors.filter(({ index }) => (((contents.get(index >>> 6) ?? 0n) >> BigInt(index & 63)) & 1n) === 1n);
}

// ---- flushes ---------------------------------------------------------------------------------------------------------

/**
 * Forgets translations on processors. More than asked for is allowed, so all of them go. A processor on another thread takes it up
 * at its next poll, before it executes anything behind it: the slot table's generation tells it.
 */
function flush(call: HypercallCall, processors: Processors): HvStatus {
  for (const vp of processors) {
    if (vp.isHere) vp.processor.flushTlb();
    else call.vp.shared.partition.space.flushTranslations();
  }
  return HV_STATUS.SUCCESS;
}

/** Processors of a flush by mask; undefined for flags that are none. */
function flushTargets(call: HypercallCall, allowed: bigint): Processors | undefined {
  const flags = u64(call.header, 8);
  if ((flags & ~allowed) !== 0n) return undefined;
  return (flags & FLUSH.allProcessors) !== 0n ? call.processors : byMask(call, u64(call.header, 16));
}

function flushTargetsOfSet(call: HypercallCall, allowed: bigint): Processors | undefined {
  const flags = u64(call.header, 8);
  if ((flags & ~allowed) !== 0n) return undefined;
  return (flags & FLUSH.allProcessors) !== 0n ? call.processors : bySet(call, 16);
}

const SPACE_FLAGS = FLUSH.allProcessors | FLUSH.allSpaces | FLUSH.nonGlobalOnly;
const LIST_FLAGS = FLUSH.allProcessors | FLUSH.allSpaces;

const flushSpace =
  (targets: typeof flushTargets) =>
  (call: HypercallCall): HvStatus => {
    const processors = targets(call, SPACE_FLAGS);
    return processors === undefined ? HV_STATUS.INVALID_PARAMETER : flush(call, processors);
  };

const flushList = (code: number, name: string, targets: typeof flushTargets, isSet: boolean): RepHypercall => ({
  code,
  name,
  headerBytes: isSet ? 32 : 24,
  ...(isSet ? { variableHeader: true } : {}),
  elementBytes: 8,
  outputElementBytes: 0,
  // Once for the whole list: any address's flush forgets all of them.
  begin: (call) => {
    const processors = targets(call, LIST_FLAGS);
    return processors === undefined ? HV_STATUS.INVALID_PARAMETER : flush(call, processors);
  },
  element: () => HV_STATUS.SUCCESS,
});

// ---- interprocessor interrupts ---------------------------------------------------------------------------------------

function sendInterrupt(call: HypercallCall, processors: Processors | undefined): HvStatus {
  const vector = u32(call.header, 0);
  const targetVtl = u32(call.header, 4);
  if (processors === undefined || targetVtl !== 0) return HV_STATUS.INVALID_PARAMETER;
  if (vector < VECTOR.lowest || vector > VECTOR.highest) return HV_STATUS.INVALID_PARAMETER;
  for (const { index } of processors) {
    call.vp.host.deliver({
      vector,
      deliveryMode: 0,
      destination: index,
      logicalDestination: false,
      levelTriggered: false,
    });
  }
  return HV_STATUS.SUCCESS;
}

// ---- registers -------------------------------------------------------------------------------------------------------

/** Partition, processor and VTL at the head of the register calls: only the caller's own. */
function checkTarget(call: HypercallCall): HvStatus {
  const { header, vp } = call;
  const partition = u64(header, 0);
  if (partition !== PARTITION_SELF && partition !== vp.shared.partition.partitionId) return HV_STATUS.ACCESS_DENIED;
  const index = u32(header, 8);
  const isSelf = index === VP_SELF || index === vp.index;
  if (!isSelf) {
    const exists = call.processors.some((other) => other.index === index);
    // Another processor runs: its registers can be had only while it does not.
    return exists ? HV_STATUS.INVALID_PARAMETER : HV_STATUS.INVALID_VP_INDEX;
  }
  // Input VTL: 0, or 'the current one' with bit 4 clear; bytes behind it are reserved.
  return u32(header, 12) === 0 ? HV_STATUS.SUCCESS : HV_STATUS.INVALID_PARAMETER;
}

// ----------------------------------------------------------------------------------------------------------------------

export const HYPERCALLS: readonly Hypercall[] = [
  simple(0x0002, 'HvCallFlushVirtualAddressSpace', 24, 0, flushSpace(flushTargets)),
  flushList(0x0003, 'HvCallFlushVirtualAddressList', flushTargets, false),
  simple(0x0008, 'HvCallNotifyLongSpinWait', 8, 0, () => HV_STATUS.SUCCESS),
  simple(0x000b, 'HvCallSendSyntheticClusterIpi', 16, 0, (call) =>
    sendInterrupt(call, byMask(call, u64(call.header, 8))),
  ),
  simple(0x0013, 'HvCallFlushVirtualAddressSpaceEx', 32, 0, flushSpace(flushTargetsOfSet), { variableHeader: true }),
  flushList(0x0014, 'HvCallFlushVirtualAddressListEx', flushTargetsOfSet, true),
  simple(0x0015, 'HvCallSendSyntheticClusterIpiEx', 24, 0, (call) => sendInterrupt(call, bySet(call, 8)), {
    variableHeader: true,
  }),
  ofRoot(0x0040, 'HvCallCreatePartition', 'CreatePartitions'),
  ofRoot(0x0041, 'HvCallInitializePartition', 'CreatePartitions'),
  ofRoot(0x0042, 'HvCallFinalizePartition', 'CreatePartitions'),
  ofRoot(0x0043, 'HvCallDeletePartition', 'CreatePartitions'),
  ofRoot(0x0044, 'HvCallGetPartitionProperty', 'CreatePartitions'),
  ofRoot(0x0045, 'HvCallSetPartitionProperty', 'CreatePartitions'),
  simple(
    0x0046,
    'HvCallGetPartitionId',
    0,
    8,
    (call, output) => {
      output.setBigUint64(0, call.vp.shared.partition.partitionId, true);
      return HV_STATUS.SUCCESS;
    },
    { privilege: 'AccessPartitionId' },
  ),
  ofRoot(0x0047, 'HvCallGetNextChildPartition', 'CreatePartitions'),
  ofRoot(0x0048, 'HvCallDepositMemory', 'AccessMemoryPool'),
  ofRoot(0x0049, 'HvCallWithdrawMemory', 'AccessMemoryPool'),
  ofRoot(0x004a, 'HvCallGetMemoryBalance', 'AccessMemoryPool'),
  ofRoot(0x004b, 'HvCallMapGpaPages', 'CreatePartitions'),
  ofRoot(0x004c, 'HvCallUnmapGpaPages', 'CreatePartitions'),
  ofRoot(0x004d, 'HvCallInstallIntercept', 'CreatePartitions'),
  ofRoot(0x004e, 'HvCallCreateVp', 'CreatePartitions'),
  ofRoot(0x004f, 'HvCallDeleteVp', 'CreatePartitions'),
  {
    code: 0x0050,
    name: 'HvCallGetVpRegisters',
    headerBytes: 16,
    elementBytes: 4,
    outputElementBytes: REGISTER_VALUE_BYTES,
    privilege: 'AccessVpRegisters',
    begin: checkTarget,
    element: (call, input, output) => readVpRegister(call.vp, u32(input, 0), output),
  },
  {
    code: 0x0051,
    name: 'HvCallSetVpRegisters',
    headerBytes: 16,
    elementBytes: 32,
    outputElementBytes: 0,
    privilege: 'AccessVpRegisters',
    begin: checkTarget,
    element: (call, input) => {
      const reserved = u32(input, 4) | u32(input, 8) | u32(input, 12);
      if (reserved !== 0) return HV_STATUS.INVALID_PARAMETER;
      return writeVpRegister(
        call.vp,
        u32(input, 0),
        new DataView(input.buffer, input.byteOffset + 16, REGISTER_VALUE_BYTES),
      );
    },
  },
  ofRoot(0x0058, 'HvCallDeletePort', 'CreatePort'),
  ofRoot(0x005b, 'HvCallDisconnectPort', 'ConnectPort'),
  simple(
    0x005c,
    'HvCallPostMessage',
    256,
    0,
    (call) => {
      const { header } = call;
      const type = u32(header, 8);
      const size = u32(header, 12);
      if (type === 0 || type >= 0x80000000 || size > PAYLOAD_LIMIT) return HV_STATUS.INVALID_PARAMETER;
      const payload = new Uint8Array(header.buffer, header.byteOffset + 16, size);
      return call.ports.postMessage(u32(header, 0), type, payload, () => call.vp.host.wakeRoot());
    },
    { privilege: 'PostMessages' },
  ),
  simple(
    0x005d,
    'HvCallSignalEvent',
    8,
    0,
    (call) => {
      const { header } = call;
      return call.ports.signalEvent(u32(header, 0), header.getUint16(4, true), () => call.vp.host.wakeRoot());
    },
    { privilege: 'SignalEvents' },
  ),
  ofRoot(0x0094, 'HvCallAssertVirtualInterrupt', 'CreatePartitions'),
  ofRoot(0x0095, 'HvCallCreatePort', 'CreatePort'),
  ofRoot(0x0096, 'HvCallConnectPort', 'ConnectPort'),
  {
    code: 0x009a,
    name: 'HvCallGetVpIndexFromApicId',
    headerBytes: 16,
    elementBytes: 8,
    outputElementBytes: 8,
    begin: ({ header, vp }) => {
      const partition = u64(header, 0);
      const isSelf = partition === PARTITION_SELF || partition === vp.shared.partition.partitionId;
      if (!isSelf) return HV_STATUS.ACCESS_DENIED;
      return header.getUint8(8) === 0 ? HV_STATUS.SUCCESS : HV_STATUS.INVALID_PARAMETER;
    },
    // A processor's APIC id is its index.
    element: (call, input, output) => {
      const found = call.processors.find(({ index }) => index === u32(input, 0));
      if (found === undefined) return HV_STATUS.INVALID_PARAMETER;
      output.setUint32(0, found.index, true);
      return HV_STATUS.SUCCESS;
    },
  },
  ofRoot(0x00c0, 'HvCallSignalEventDirect', 'CreatePartitions'),
  ofRoot(0x00c1, 'HvCallPostMessageDirect', 'CreatePartitions'),
  simple(
    0x8001,
    'HvExtCallQueryCapabilities',
    0,
    8,
    (_, output) => {
      // None of the extended calls behind it is there.
      output.setBigUint64(0, 0n, true);
      return HV_STATUS.SUCCESS;
    },
    { privilege: 'EnableExtendedHypercalls' },
  ),
];
