/**
 * The software engine in a VM: which module runs on its processors' threads, and how they are kicked.
 * Called by: cli, through index.ts.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import {
  defaultCpuid,
  kickProcessor,
  parseCpuFeatures,
  requestInterrupt,
  withoutFeatures,
} from '@plinth/processor/host';
import { setCompilerFlags } from './compiler-settings.ts';
import type { RunHooks, RunResult, VirtualMachineConfiguration } from './configuration.ts';
import type { EngineParts } from './engine-parts.ts';
import { softwareProcessorModule } from './processor-worker.ts';
import { runMachine } from './run-virtual-machine.ts';
import type { SavedMachine } from './saved-state/saved-machine.ts';
import { translateAfter } from './translator-setting.ts';

/** What a machine is without that says nothing of its processor's features. */
const unspecified = parseCpuFeatures([]);
const defaultDisabled = 'disabled' in unspecified ? unspecified.disabled : [];

export const softwareEngine: EngineParts = {
  processorModule: softwareProcessorModule,
  // Off: nothing is translated; forced: each block before it is executed, on its processor's thread.
  translationModule: () =>
    translateAfter() === undefined ? new URL('./translation-worker.js', import.meta.url) : undefined,
  cpuid: ({ processors, disabledCpuFeatures = defaultDisabled }) =>
    withoutFeatures(defaultCpuid({ processors }), disabledCpuFeatures),
  kick: (partition, index) => kickProcessor(partition.memory, partition.layout, index),
  deliver: (partition, message) => requestInterrupt(partition.memory, partition.layout, message),
  // Loaded for a report only.
  disassemble: async (partition, code) => {
    const { disassemble } = await import('@plinth/processor/disassembler');
    const { resolve } = createRequire(import.meta.url);
    const built = (name: string): Promise<Buffer> => readFile(resolve(`@plinth/processor/${name}`));
    const module = new WebAssembly.Module((await built('engine.wasm')) as BufferSource);
    return disassemble(module, JSON.parse((await built('operations.json')).toString()), partition, code);
  },
};

/**
 * Runs a VM in this process until it ends.
 * @param saved goes on with it instead of booting: see openSavedMachine, whose `hardware` belongs into the configuration
 * @throws PlinthError for what is wrong before the guest starts; see `runMachine`
 */
export async function runVirtualMachine(
  configuration: VirtualMachineConfiguration,
  hooks: RunHooks = {},
  saved?: SavedMachine,
): Promise<RunResult> {
  translateAfter();
  setCompilerFlags();
  return runMachine(configuration, hooks, softwareEngine, saved);
}
