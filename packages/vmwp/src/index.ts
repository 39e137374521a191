/** The virtual machine worker: one VM from its configuration to its end. */

export { CPU_FEATURES, CPU_LEVELS, type CpuFeature, parseCpuFeatures } from '@plinth/processor/host';
export { findServiceName, SERVICE_NAMES } from '@plinth/vsp-integration';
export * from './configuration.ts';
export {
  CONTROL_COMMANDS,
  type ControlCommand,
  type ControlRequest,
  controlFolder,
  generatedName,
  type RunningMachine,
  requestCommand,
  requestControl,
  runningMachines,
  treeAt,
} from './control-socket.ts';
export { checkHost } from './host-requirements.ts';
export { openSavedMachine, type SavedMachine } from './saved-state/saved-machine.ts';
export { runVirtualMachine } from './software-engine.ts';
export type { MarkRecord, RunStatistics } from './statistics.ts';
