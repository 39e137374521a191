/**
 * What a run tells of its machine: the tree of `plinth inspect` and the numbers of `--stats`. Nothing here changes the machine.
 * Called by: run-virtual-machine.ts.
 */
import type { Generation } from '@plinth/chipset';
import type { ChildPartition } from './child-partition.ts';
import type { VirtualMachineConfiguration } from './configuration.ts';
import type { End } from './machine-end.ts';
import { monotonicNanoseconds, peakResidentBytes, processTimes } from './process-times.ts';
import type { ProcessorHost } from './processor-host.ts';
import type { Counters, RunStatistics } from './statistics.ts';
import type { SyntheticDevices } from './synthetic-devices.ts';
import type { VmbusHost } from './vmbus-host.ts';

/** The machine as it is now. */
export interface MachineParts {
  readonly id: string;
  readonly configuration: VirtualMachineConfiguration;
  readonly generation: Generation;
  /** With what the loader added to it. */
  readonly commandLine: string;
  readonly kernelVersion: string;
  readonly isPaused: boolean;
  readonly resets: number;
  readonly child: ChildPartition;
  readonly counters: Counters;
  readonly processor: ProcessorHost;
  /** Absent where the guest is not told of the hypervisor. */
  readonly vmbus: VmbusHost | undefined;
  readonly devices: SyntheticDevices | undefined;
  readonly console: { readonly outputBytes: number; readonly inputBytes: number };
  /** Since the process's start; null before the agent answered, or without a command. */
  readonly agentReadySeconds: number | null;
  readonly marks: RunStatistics['marks'];
}

const instructionsOf = (counters: Counters): RunStatistics['instructions'] => ({
  interpreted: counters.get('interpreted'),
  translated: counters.get('translated'),
});

const translatorOf = (counters: Counters): RunStatistics['translator'] => ({
  regions: counters.get('regions'),
  modules: counters.get('modules'),
  bytes: counters.get('translatorBytes'),
  evicted: counters.get('evicted'),
  longestPauseSeconds: counters.get('longestPause'),
});

/** The whole tree; the processor's own part comes from its thread. */
export async function inspectMachine(parts: MachineParts): Promise<object> {
  const { name, memoryBytes, processors, kernel, initrds, image } = parts.configuration;
  const { child, counters } = parts;
  return {
    name,
    id: parts.id,
    state: parts.isPaused ? 'paused' : 'running',
    configuration: {
      generation: parts.generation,
      memoryBytes,
      processors,
      kernel,
      initrds,
      commandLine: parts.commandLine,
      image: image ?? null,
      engine: 'software',
    },
    uptimeSeconds: child.partition.clock.now() / 1e9,
    kernelVersion: parts.kernelVersion,
    resets: parts.resets,
    console: parts.console,
    exits: counters.exits(),
    instructions: instructionsOf(counters),
    translator: translatorOf(counters),
    hypervisor: {
      partitions: child.root.inspect(),
      guestInterface: child.root.inspectInterface(child.partitionId),
    },
    vmbus: parts.vmbus?.inspect() ?? null,
    ...parts.devices?.inspect(),
    ...((await parts.processor.inspect()) ?? { partition: 'the processor does not answer' }),
  };
}

/** The contract's numbers of a run, at its end. */
export function runStatistics(parts: MachineParts, end: End): RunStatistics {
  const { configuration, counters } = parts;
  // Both clocks are the monotonic one; performance.now() begins with the process.
  const processStart = monotonicNanoseconds() - performance.now() * 1e6;
  const milestone = (nanoseconds: number): number | null =>
    nanoseconds === 0 ? null : (nanoseconds - processStart) / 1e9;
  return {
    engine: 'software',
    cpus: configuration.processors,
    memoryBytes: configuration.memoryBytes,
    hostCpuSeconds: processTimes.hostCpuSeconds(),
    wallSeconds: processTimes.wallSeconds(),
    peakRssBytes: peakResidentBytes(),
    guestTouchedBytes: parts.child.partition.guestMemory.guestTouchedBytes(),
    milestones: {
      firstInstruction: milestone(counters.get('firstInstruction')),
      kernelEntry: milestone(counters.get('kernelEntry')),
      agentReady: parts.agentReadySeconds,
    },
    marks: parts.marks,
    instructions: instructionsOf(counters),
    translator: translatorOf(counters),
    exits: counters.exits(),
    vmbus: parts.vmbus?.status() ?? { version: null, channels: [] },
    exit: { reason: end.reason, code: end.exitStatus },
  };
}
