/** The virtual machine worker: one VM from its configuration to its end. */
export * from './configuration.ts';
export {
  CONTROL_COMMANDS,
  type ControlCommand,
  type ControlRequest,
  controlFolder,
  generatedName,
  type RunningMachine,
  requestControl,
  runningMachines,
} from './control-socket.ts';
export { runVirtualMachine } from './software-engine.ts';
export type { MarkRecord, RunStatistics } from './statistics.ts';
