/** Partitions, guest memory, devices and the engine interface. */
export type { PageSource } from './absent-pages.ts';
export { ByteRing } from './byte-ring.ts';
export type {
  AccessSize,
  Device,
  InspectTree,
  InspectValue,
  InterruptLine,
  MmioRange,
  PartitionClock,
  PortRange,
} from './device.ts';
export type {
  DebuggedProcessor,
  EnlightenedProcessor,
  Exit,
  GuestBranch,
  GuestFault,
  InterceptHandlers,
  InterruptMessage,
  SaveableProcessor,
  StopPoint,
  TranslatorCounts,
  VirtualProcessor,
} from './engine.ts';
export {
  GPA_LIMIT,
  GpaSpace,
  LOW_HOLE,
  mapPcMemory,
  PAGE_BYTES,
  SLOT_KIND_NUMBER,
  SLOT_PRIORITY,
  type Slot,
  type SlotKind,
  type SlotRequest,
} from './gpa-space.ts';
export {
  copyFrom,
  copyInto,
  type GpaFault,
  type GuestAccess,
  GuestMemory,
  type GuestRange,
  isGpaFault,
} from './guest-memory.ts';
export * from './memory-layout.ts';
export {
  type CpuidEntry,
  type InterruptControllers,
  type MsrHandler,
  Partition,
  type PartitionOptions,
  type SavedDevices,
} from './partition.ts';
export * from './registers.ts';
export { mustSucceed, ROOT_PARTITION_ID, RootPartition } from './root-partition.ts';
export {
  PROCESSOR_FIELDS,
  type ProcessorField,
  restoreProcessorFields,
  SAVED_PROCESSOR_VERSION,
  type SavedProcessor,
  saveProcessorFields,
} from './saved-processor.ts';
export {
  DeviceArea,
  describeState,
  type ElementType,
  type FieldDescription,
  type FieldTable,
  type FieldValues,
  type SavedFields,
  SharedLock,
  SharedState,
  type StateDescription,
} from './shared-state.ts';
export { hypervisorLeaves } from './tlfs/cpuid-leaves.ts';
export type { GuestCrash } from './tlfs/guest-crash.ts';
export { GuestInterface } from './tlfs/guest-interface.ts';
export type { PortInfo, ReceivedMessage } from './tlfs/ports.ts';
export {
  CHILD_PRIVILEGES,
  type PrivilegeName,
  privilegeMask,
  privilegeNames,
  ROOT_PRIVILEGES,
} from './tlfs/privileges.ts';
export { HV_STATUS, type HvStatus, statusName } from './tlfs/status.ts';
export type { GuestInterfaceHost } from './tlfs/virtual-processor.ts';
