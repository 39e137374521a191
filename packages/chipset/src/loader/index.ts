/** Loaders: what is to be in guest memory, and how the boot processor begins. */
export { bootArea, type LinuxBootOptions, memoryLimits, planLinuxBoot } from './linux.ts';
export { memoryMap } from './memory-map.ts';
export { type MultibootOptions, multibootHeader, planMultibootBoot } from './multiboot.ts';
export { panicWords, warmStartFlag } from './panic-agreement.ts';
export type {
  BootPlan,
  BootWrite,
  GpaRange,
  InitialProcessorState,
  InitialSegment,
  InitialTable,
  MemoryMapEntry,
  ReservedRange,
} from './types.ts';
