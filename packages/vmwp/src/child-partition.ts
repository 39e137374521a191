/**
 * A VM's partition, made by the root partition's calls: created, given its privileges and its processors' CPUID, initialized, its memory mapped
 * as a PC has it, its processors created.
 *
 * Called by: run-virtual-machine.ts (the whole), processor-worker-main.ts (the same partition on another thread).
 */
import { PlinthError } from '@plinth/errors';
import {
  CHILD_PRIVILEGES,
  type CpuidEntry,
  HV_STATUS,
  hypervisorLeaves,
  LOW_HOLE,
  mustSucceed,
  PAGE_BYTES,
  type Partition,
  type PartitionClock,
  RootPartition,
} from '@plinth/hypervisor';

const MIB = 1024 * 1024;
/** Leaf 1 ECX: a hypervisor is present. */
const HYPERVISOR_PRESENT = 2 ** 31;
const FIRST_MEBIBYTE = 0x100000;

export interface ChildPartition {
  readonly root: RootPartition;
  readonly partitionId: bigint;
  /** The worker's view of it. */
  readonly partition: Partition;
}

export interface ChildOptions {
  readonly memoryBytes: number;
  readonly processors: number;
  readonly clock: PartitionClock;
  readonly tscPerNanosecond: number;
  /** What the processors themselves tell; with the hypervisor's bit, its leaves follow. */
  readonly cpuid: readonly CpuidEntry[];
}

/**
 * @throws PlinthError PL-3007 when the host has not that much memory, PL-4111 for a processor without NX, PL-4110 for a call that the
 * root may not make
 */
export function createChildPartition(options: ChildOptions, root = new RootPartition()): ChildPartition {
  const { memoryBytes, processors, clock, tscPerNanosecond, cpuid } = options;
  const created = root.createPartition({
    // The root has 1; a process of the host has a number that no other has while it runs.
    partitionId: BigInt(process.pid) + 1n,
    ramBytes: memoryBytes,
    processors,
    clock,
    tscPerNanosecond,
  });
  if (created.status === HV_STATUS.INSUFFICIENT_MEMORY) throw new PlinthError('PL-3007', { memory: memoryBytes / MIB });
  mustSucceed('HvCallCreatePartition', created.status);
  if (created.status !== HV_STATUS.SUCCESS) throw new RangeError('a partition without an id');
  const { partitionId } = created;
  const isEnlightened = cpuid.some(({ leaf, ecx }) => leaf === 1 && ecx >= HYPERVISOR_PRESENT);
  const leaves = isEnlightened ? hypervisorLeaves({ privileges: CHILD_PRIVILEGES }) : [];
  mustSucceed('HvCallSetPartitionProperty', root.setPartitionProperty(partitionId, 'PrivilegeFlags', CHILD_PRIVILEGES));
  mustSucceed('HvCallRegisterInterceptResult', root.registerInterceptResult(partitionId, [...cpuid, ...leaves]));
  mustSucceed('HvCallInitializePartition', root.initializePartition(partitionId));
  mapMemory(root, partitionId, memoryBytes);
  for (let index = 0; index < processors; index++) {
    mustSucceed('HvCallCreateVp', root.createVp(partitionId, index));
  }
  return { root, partitionId, partition: root.partition(partitionId) };
}

/** RAM at its own addresses, but for the hole below 1 MiB that video memory had on a PC. What is looked up most comes last. */
function mapMemory(root: RootPartition, partitionId: bigint, memoryBytes: number): void {
  const map = (start: number, end: number, kind: 'ram' | 'hole'): void => {
    if (start >= end) return;
    const [page, pages] = [start / PAGE_BYTES, (end - start) / PAGE_BYTES];
    mustSucceed('HvCallMapGpaPages', root.mapGpaPages(partitionId, page, pages, kind, page));
  };
  map(LOW_HOLE.start, LOW_HOLE.end, 'hole');
  map(LOW_HOLE.end, FIRST_MEBIBYTE, 'ram');
  map(0, LOW_HOLE.start, 'ram');
  map(FIRST_MEBIBYTE, memoryBytes, 'ram');
}

/** The partition is over: nothing of it runs any more. A second time does nothing. */
export function deleteChildPartition({ root, partitionId }: ChildPartition): void {
  root.finalizePartition(partitionId);
  root.deletePartition(partitionId);
}
