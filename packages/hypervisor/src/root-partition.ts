/**
 * The root partition's calls: the one way in which a worker makes, fills, runs and ends its child partition.
 *
 *     created ──HvInitializePartition──> active ──HvFinalizePartition──> finalized ──HvDeletePartition──> gone
 *        │ properties                      │ map GPA pages, create processors, install intercepts, create and connect ports
 *
 * Named and shaped as the TLFS's hypercalls; each answers a status, and one whose privilege the root lacks answers ACCESS_DENIED. The
 * privileges stand in the partition's shared header, so they hold on every thread. What is no hypercall in Hyper-V either is marked so: the
 * worker's view of a partition's memory and processors (VID), and the root's own SynIC.
 *
 * Invariant: nobody else hands out a partition: its own methods that intercept ask for the same privileges. Called by: vmwp, on every
 * thread of a VM.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree, PartitionClock } from './device.ts';
import type { EnlightenedProcessor } from './engine.ts';
import { PAGE_BYTES, type SlotKind } from './gpa-space.ts';
import { SHARED, SHARED_OFFSET } from './memory-layout.ts';
import { type CpuidEntry, Partition } from './partition.ts';
import { GuestInterface } from './tlfs/guest-interface.ts';
import type { PortInfo, ReceivedMessage } from './tlfs/ports.ts';
import { hasPrivilege, type PrivilegeName, privilegeNames, ROOT_PRIVILEGES } from './tlfs/privileges.ts';
import { HV_STATUS, type HvStatus, statusName } from './tlfs/status.ts';
import { FLAG_COUNT, PAYLOAD_LIMIT, SINT_COUNT } from './tlfs/synic.ts';
import type { GuestInterfaceHost } from './tlfs/virtual-processor.ts';

/** The root's own id. */
export const ROOT_PARTITION_ID = 1n;

/** States of a child, by their numbers in the shared header. */
const STATES = ['absent', 'created', 'active', 'finalized'] as const;
type PartitionStateName = (typeof STATES)[number];
const LEAF_FEATURES = 0x80000001;
const FEATURE_NX = 1 << 20;

export interface CreatePartitionRequest {
  /** Id for the new partition; unique on the host, and not the root's. */
  readonly partitionId: bigint;
  /** Memory of the partition's pool, and of RAM in it: a multiple of 1 MiB. */
  readonly ramBytes: number;
  readonly processors: number;
  readonly clock: PartitionClock;
  readonly tscPerNanosecond?: number;
}

export type CreatedPartition =
  | { readonly status: typeof HV_STATUS.SUCCESS; readonly partitionId: bigint }
  | { readonly status: Exclude<HvStatus, typeof HV_STATUS.SUCCESS> };

const SILENT_HOST: GuestInterfaceHost = {
  deliver() {},
  reset() {},
  guestCrashed() {},
  wakeRoot() {},
  idle() {},
  runTime: () => 0,
};

interface Child {
  readonly partition: Partition;
  /** On this thread; made when it is first needed, as a partition without the interface has none. */
  guestInterface: GuestInterface | undefined;
  readonly processors: Set<number>;
}

export class RootPartition {
  readonly #privileges: bigint;
  readonly #children = new Map<bigint, Child>();

  /** @param privileges of the root: all that it has unless a test takes one away */
  constructor(privileges: bigint = ROOT_PRIVILEGES) {
    this.#privileges = privileges;
  }

  /**
   * The root on another thread over a partition's memory; the partition is its child there too.
   * @returns the root, and the child's id
   */
  static attach(memory: WebAssembly.Memory, clock: PartitionClock): { root: RootPartition; partitionId: bigint } {
    const header = new DataView(memory.buffer, SHARED_OFFSET, SHARED.slots);
    const root = new RootPartition(header.getBigUint64(SHARED.rootPrivileges, true));
    const partition = Partition.attach(memory, clock);
    root.#adopt(partition);
    return { root, partitionId: partition.partitionId };
  }

  // ---- partitions --------------------------------------------------------------------------------------------------

  /**
   * HvCallCreatePartition.
   * @returns INVALID_PARTITION_ID for an id that is taken, ACCESS_DENIED, INSUFFICIENT_MEMORY when the host has not that much
   */
  createPartition(request: CreatePartitionRequest): CreatedPartition {
    if (!this.#may('CreatePartitions')) return { status: HV_STATUS.ACCESS_DENIED };
    const { partitionId, ...options } = request;
    if (partitionId <= ROOT_PARTITION_ID || this.#children.has(partitionId)) {
      return { status: HV_STATUS.INVALID_PARTITION_ID };
    }
    try {
      const partition = Partition.create({ ...options, isMapped: false });
      partition.introduce(partitionId, this.#privileges);
      this.#adopt(partition);
      this.#setState(partition, 'created');
      return { status: HV_STATUS.SUCCESS, partitionId };
    } catch (error) {
      // The host's own word for memory that it has not got, or that nobody could address.
      if (error instanceof RangeError) return { status: HV_STATUS.INSUFFICIENT_MEMORY };
      throw error;
    }
  }

  /** HvCallSetPartitionProperty of the privileges. What the root lacks it cannot give on. */
  setPartitionProperty(partitionId: bigint, _property: 'PrivilegeFlags', value: bigint): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['created'], ({ partition }) => {
      if ((value & ~this.#privileges) !== 0n) return HV_STATUS.ACCESS_DENIED;
      partition.privileges = value;
      return HV_STATUS.SUCCESS;
    });
  }

  /** HvCallRegisterInterceptResult for CPUID: what the partition's processors tell. */
  registerInterceptResult(partitionId: bigint, cpuid: readonly CpuidEntry[]): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['created'], ({ partition }) => {
      partition.writeCpuid(cpuid);
      return HV_STATUS.SUCCESS;
    });
  }

  /**
   * HvCallInitializePartition: from then on it has memory, processors and ports.
   * @returns NX_NOT_DETECTED when its processors cannot protect pages from execution
   */
  initializePartition(partitionId: bigint): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['created'], ({ partition }) => {
      const features = partition.readCpuid().find(({ leaf }) => leaf === LEAF_FEATURES);
      if (((features?.edx ?? 0) & FEATURE_NX) === 0) return HV_STATUS.NX_NOT_DETECTED;
      this.#setState(partition, 'active');
      return HV_STATUS.SUCCESS;
    });
  }

  /** HvCallFinalizePartition: nothing of it runs any more. */
  finalizePartition(partitionId: bigint): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['created', 'active'], (child) => {
      child.processors.clear();
      this.#setState(child.partition, 'finalized');
      return HV_STATUS.SUCCESS;
    });
  }

  /** HvCallDeletePartition. */
  deletePartition(partitionId: bigint): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['finalized'], ({ partition }) => {
      this.#setState(partition, 'absent');
      this.#children.delete(partitionId);
      return HV_STATUS.SUCCESS;
    });
  }

  /** HvCallGetNextChildPartition. @returns the id behind `previous` (0: the first), 0 at the end */
  getNextChildPartition(previous: bigint): { readonly status: HvStatus; readonly next: bigint } {
    if (!this.#may('CreatePartitions')) return { status: HV_STATUS.ACCESS_DENIED, next: 0n };
    const ids = [...this.#children.keys()].sort((a, b) => (a < b ? -1 : 1));
    return { status: HV_STATUS.SUCCESS, next: ids.find((id) => id > previous) ?? 0n };
  }

  // ---- memory and processors ---------------------------------------------------------------------------------------

  /**
   * HvCallMapGpaPages: shows pages of the partition's pool at guest-physical pages.
   * @param source first page of the pool; ignored for a hole
   */
  mapGpaPages(partitionId: bigint, gpaPage: number, pages: number, kind: SlotKind, source: number): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['active'], ({ partition }) => {
      const { ramOffset, ramBytes } = partition.layout;
      const bytes = pages * PAGE_BYTES;
      const start = gpaPage * PAGE_BYTES;
      if (kind !== 'ram' && kind !== 'rom' && kind !== 'hole') return HV_STATUS.INVALID_PARAMETER;
      const isSound = [gpaPage, pages, source].every((value) => Number.isSafeInteger(value) && value >= 0);
      if (!isSound || pages === 0) return HV_STATUS.INVALID_PARAMETER;
      if (kind !== 'hole' && source * PAGE_BYTES + bytes > ramBytes) return HV_STATUS.INVALID_PARAMETER;
      const hostOffset = kind === 'hole' ? 0 : ramOffset + source * PAGE_BYTES;
      partition.space.map({ kind, start, end: start + bytes, hostOffset });
      return HV_STATUS.SUCCESS;
    });
  }

  /** HvCallCreateVp. @returns INVALID_VP_INDEX for a processor that exists, or that the partition was not made for */
  createVp(partitionId: bigint, index: number): HvStatus {
    return this.#of(partitionId, 'CreatePartitions', ['active'], (child) => {
      const isFree = Number.isInteger(index) && index >= 0 && index < child.partition.layout.processors;
      if (!isFree || child.processors.has(index)) return HV_STATUS.INVALID_VP_INDEX;
      child.processors.add(index);
      return HV_STATUS.SUCCESS;
    });
  }

  /**
   * The partition as its worker sees it (VID; no hypercall): memory, slots, devices. Its own calls that intercept ports, memory and
   * registers are HvCallInstallIntercept and ask for the root's privilege.
   * @throws PlinthError PL-4110 for a partition that is none of the root's
   */
  partition(partitionId: bigint): Partition {
    const child = this.#children.get(partitionId);
    if (child === undefined) throw callFailed('the view of a partition', HV_STATUS.INVALID_PARTITION_ID);
    return child.partition;
  }

  /**
   * Connects a processor's engine, on its thread, with the hypervisor (no hypercall): synthetic registers and hypercalls are answered
   * from then on, where CPUID tells of them.
   */
  connectProcessor(partitionId: bigint, processor: EnlightenedProcessor, host: GuestInterfaceHost): void {
    const child = this.#children.get(partitionId);
    if (child === undefined) throw callFailed('a processor', HV_STATUS.INVALID_PARTITION_ID);
    if (!child.partition.isEnlightened) return;
    child.guestInterface = new GuestInterface(child.partition, host);
    child.guestInterface.attach(child.partition, processor);
  }

  /** What this thread can do for the hypervisor (no hypercall); on a thread without a processor: interrupts and the root's wake. */
  connectHost(partitionId: bigint, host: Partial<GuestInterfaceHost>): void {
    const child = this.#children.get(partitionId);
    if (child === undefined) throw callFailed('a host', HV_STATUS.INVALID_PARTITION_ID);
    if (!child.partition.isEnlightened) return;
    child.guestInterface = new GuestInterface(child.partition, { ...SILENT_HOST, ...host });
  }

  // ---- messages and events -----------------------------------------------------------------------------------------

  /** HvCallCreatePort, a port of the root. */
  createPort(partitionId: bigint, portId: number, info: PortInfo): HvStatus {
    return this.#ofInterface(partitionId, 'CreatePort', (guest) => guest.connections.createPort(portId, info));
  }

  /** HvCallDeletePort. */
  deletePort(partitionId: bigint, portId: number): HvStatus {
    return this.#ofInterface(partitionId, 'CreatePort', (guest) => guest.connections.deletePort(portId));
  }

  /** HvCallConnectPort: the child's connection to a port of the root. */
  connectPort(partitionId: bigint, connectionId: number, portId: number): HvStatus {
    return this.#ofInterface(partitionId, 'ConnectPort', (guest) =>
      guest.connections.connectPort(connectionId, portId),
    );
  }

  /** HvCallDisconnectPort. */
  disconnectPort(partitionId: bigint, connectionId: number): HvStatus {
    return this.#ofInterface(partitionId, 'ConnectPort', (guest) => guest.connections.disconnectPort(connectionId));
  }

  /**
   * HvCallPostMessageDirect.
   * @returns INSUFFICIENT_BUFFERS when too many wait, INVALID_SYNIC_STATE while the guest takes none: the root is woken when that may
   * have changed; INVALID_VP_INDEX, INVALID_PARAMETER, ACCESS_DENIED
   */
  postMessageDirect(partitionId: bigint, vp: number, sint: number, type: number, payload: Uint8Array): HvStatus {
    return this.#ofInterface(partitionId, 'CreatePartitions', (guest) => {
      const processor = guest.processors[vp];
      if (processor === undefined) return HV_STATUS.INVALID_VP_INDEX;
      const isSound = isSource(sint) && type > 0 && type <= 0xffffffff && payload.length <= PAYLOAD_LIMIT;
      return isSound
        ? processor.synic.postMessage(sint, type, ROOT_PARTITION_ID, payload)
        : HV_STATUS.INVALID_PARAMETER;
    });
  }

  /** HvCallSignalEventDirect. */
  signalEventDirect(
    partitionId: bigint,
    vp: number,
    sint: number,
    flag: number,
  ): { readonly status: HvStatus; readonly newlySignaled: boolean } {
    let newlySignaled = false;
    const status = this.#ofInterface(partitionId, 'CreatePartitions', (guest) => {
      const processor = guest.processors[vp];
      if (processor === undefined) return HV_STATUS.INVALID_VP_INDEX;
      if (!isSource(sint) || !Number.isInteger(flag) || flag < 0 || flag >= FLAG_COUNT)
        return HV_STATUS.INVALID_PARAMETER;
      const result = processor.synic.signalEvent(sint, flag);
      newlySignaled = result.newly;
      return result.status;
    });
    return { status, newlySignaled };
  }

  /** The root's SynIC (no hypercalls): to be called before what has arrived from a child is taken; then the root is woken again. */
  acknowledgeWake(partitionId: bigint): void {
    this.#children.get(partitionId)?.guestInterface?.connections.acknowledgeWake();
  }

  /** The oldest message of a child that waits; undefined when there is none. */
  takeMessage(partitionId: bigint): ReceivedMessage | undefined {
    return this.#children.get(partitionId)?.guestInterface?.connections.takeMessage();
  }

  /** The event flags of one of the root's sources that a child has set since the last look. */
  takeEvents(partitionId: bigint, sint: number): readonly number[] {
    return this.#children.get(partitionId)?.guestInterface?.connections.takeEvents(sint) ?? [];
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** The partition table: the root and its children. */
  inspect(): InspectTree {
    return {
      [`0x${ROOT_PARTITION_ID.toString(16)}`]: {
        kind: 'root',
        state: 'active',
        privileges: privilegeNames(this.#privileges),
      },
      ...Object.fromEntries(
        [...this.#children].map(([id, { partition, processors }]) => [
          `0x${id.toString(16)}`,
          {
            kind: 'child',
            parent: `0x${ROOT_PARTITION_ID.toString(16)}`,
            state: STATES[partition.stateNumber] ?? 'absent',
            privileges: privilegeNames(partition.privileges),
            ramBytes: partition.layout.ramBytes,
            processors: [...processors],
          },
        ]),
      ),
    };
  }

  /** The interface of a child to its guest: registers, pages, SynICs, timers, connections; null for one that is not told of it. */
  inspectInterface(partitionId: bigint): InspectTree | null {
    return this.#children.get(partitionId)?.guestInterface?.inspect() ?? null;
  }

  #may(privilege: PrivilegeName): boolean {
    return hasPrivilege(this.#privileges, privilege);
  }

  #adopt(partition: Partition): void {
    partition.authorizeIntercepts = () => {
      if (!this.#may('CreatePartitions')) throw callFailed('HvCallInstallIntercept', HV_STATUS.ACCESS_DENIED);
    };
    this.#children.set(partition.partitionId, { partition, guestInterface: undefined, processors: new Set() });
  }

  #setState(partition: Partition, state: PartitionStateName): void {
    partition.stateNumber = STATES.indexOf(state);
  }

  #of(
    partitionId: bigint,
    privilege: PrivilegeName,
    states: readonly PartitionStateName[],
    action: (child: Child) => HvStatus,
  ): HvStatus {
    if (!this.#may(privilege)) return HV_STATUS.ACCESS_DENIED;
    const child = this.#children.get(partitionId);
    if (child === undefined) return HV_STATUS.INVALID_PARTITION_ID;
    const state = STATES[child.partition.stateNumber] ?? 'absent';
    return states.includes(state) ? action(child) : HV_STATUS.INVALID_PARTITION_STATE;
  }

  #ofInterface(partitionId: bigint, privilege: PrivilegeName, action: (guest: GuestInterface) => HvStatus): HvStatus {
    return this.#of(partitionId, privilege, ['active'], ({ guestInterface }) =>
      // A guest that is not told of the hypervisor has no SynIC either.
      guestInterface === undefined ? HV_STATUS.INVALID_SYNIC_STATE : action(guestInterface),
    );
  }
}

const isSource = (sint: number): boolean => Number.isInteger(sint) && sint >= 0 && sint < SINT_COUNT;

const callFailed = (call: string, status: HvStatus): PlinthError =>
  new PlinthError('PL-4110', { call, status: statusName(status) });

/** For callers that cannot go on without a call. @throws PlinthError PL-4111 without NX, else PL-4110, for every status but SUCCESS */
export function mustSucceed(call: string, status: HvStatus): void {
  if (status === HV_STATUS.SUCCESS) return;
  if (status === HV_STATUS.NX_NOT_DETECTED) throw new PlinthError('PL-4111');
  throw callFailed(call, status);
}
