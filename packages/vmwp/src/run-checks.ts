/**
 * What is looked at before a machine is made, so that it does not fail after hours. Called by: run-virtual-machine.ts.
 */
import { accessSync, constants as fileModes, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { memoryLimits } from '@plinth/chipset';
import { PlinthError } from '@plinth/errors';
import type { RunHooks, VirtualMachineConfiguration } from './configuration.ts';
import { type ConsoleSink, fileSink, nullSink, streamSink } from './console-pump.ts';
import type { EngineParts } from './engine-parts.ts';
import { fileReason } from './file-reason.ts';
import { missingFeature } from './saved-state/saved-configuration.ts';
import type { SavedMachine } from './saved-state/saved-machine.ts';

const MIB = 1024 * 1024;

/** @throws PlinthError PL-2008 */
export function checkMemory(memoryBytes: number): void {
  const { minimum, maximum } = memoryLimits;
  if (memoryBytes >= minimum && memoryBytes <= maximum && memoryBytes % 4096 === 0) return;
  throw new PlinthError('PL-2008', { memory: memoryBytes, minimum: minimum / MIB, maximum: maximum / MIB });
}

/** What the guest of a saved machine was told of must be here. */
export function checkFeatures(
  configuration: VirtualMachineConfiguration,
  engine: Pick<EngineParts, 'cpuid'>,
  saved?: SavedMachine,
): void {
  if (saved === undefined) return;
  const all = { ...configuration, disabledCpuFeatures: [] };
  const feature = missingFeature(saved.configuration.cpuid, engine.cpuid(all));
  if (feature !== undefined) throw new PlinthError('PL-2207', { path: saved.file.path, feature });
}

/** Said before the machine has run for hours. @throws PlinthError PL-3005 for a path that no file can be written to */
export function checkSaveFile(path: string, option: string): void {
  const refused = (reason: string, cause?: unknown): PlinthError =>
    new PlinthError('PL-3005', { path, option, reason }, { cause });
  try {
    accessSync(dirname(resolve(path)), fileModes.W_OK | fileModes.X_OK);
  } catch (error) {
    throw refused(fileReason(error), error);
  }
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.isFile()) return;
  throw refused(status.isDirectory() ? 'It is a folder, not a file' : 'It is not a regular file');
}

/** Where the first serial port's output goes. @throws PlinthError PL-3005 */
export function consoleSink(
  { console }: VirtualMachineConfiguration,
  hooks: RunHooks,
  hasCommand: boolean,
): ConsoleSink {
  switch (console.kind) {
    case 'none':
      return nullSink;
    case 'file':
      return fileSink(console.path, '--console');
    case 'stdio':
      // A command's output is alone on standard output.
      return streamSink(!hasCommand ? (hooks.stdout ?? process.stdout) : (hooks.stderr ?? process.stderr));
  }
}
