/**
 * What a saved machine is made of, as its file has it: the hardware that its guest has found, and what it is loaded from when it resets.
 *
 * A restored machine is built from this alone, so nothing about its hardware can be given again. What CPUID tells is kept as it was told: a
 * later version may have more features, and the guest goes on with those that it has seen. Called by: machine-saver.ts, restore.ts.
 */
import type { Generation } from '@plinth/chipset';
import { PlinthError } from '@plinth/errors';
import type { CpuidEntry } from '@plinth/hypervisor';
import { SavedValue } from '@plinth/vmbus';

export const SAVED_CONFIGURATION_VERSION = 1;
const U32 = 0xffffffff;
const PATH_LIMIT = 65536;
/** More than a kernel's command line has. */
const COMMAND_LINE_LIMIT = 65536;

export interface SavedConfiguration {
  readonly version: typeof SAVED_CONFIGURATION_VERSION;
  readonly generation: Generation;
  readonly memoryBytes: number;
  readonly processors: number;
  readonly tscPerNanosecond: number;
  /** What the processors themselves tell, without the hypervisor's leaves. */
  readonly cpuid: readonly CpuidEntry[];
  readonly debugExitPort: number | null;
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly commandLine: string;
  readonly image: string | null;
  /** Whether its image has an agent, so that commands can be run in it. */
  readonly hasAgent: boolean;
  /** Partition time at which it was saved, in nanoseconds: it goes on from there. */
  readonly time: number;
  /** What the loader had found out, until the next reset. */
  readonly kernelVersion: string;
  readonly loadedCommandLine: string;
  readonly warmStartIsPanic: boolean;
}

/** @throws PlinthError PL-4103 for a newer version, PL-4104 for what is malformed */
export function parseSavedConfiguration(saved: unknown): SavedConfiguration {
  const root = new SavedValue('configuration', saved);
  root.version(SAVED_CONFIGURATION_VERSION);
  const rate = root.at('tscPerNanosecond').raw();
  const time = root.at('time').raw();
  if (typeof rate !== 'number' || !(rate > 0 && rate < 1000)) throw malformed('its TSC has no rate');
  if (typeof time !== 'number' || !(time >= 0 && time < 2 ** 63)) throw malformed('it has no time');
  return {
    version: SAVED_CONFIGURATION_VERSION,
    generation: root.at('generation').integer(1, 2) === 2 ? 2 : 1,
    memoryBytes: root.at('memoryBytes').integer(0, 2 ** 40),
    processors: root.at('processors').integer(1, 64),
    tscPerNanosecond: rate,
    cpuid: root.at('cpuid').list(1024).map(parseCpuid),
    debugExitPort: root.at('debugExitPort').optional((port) => port.integer(0, 0xffff)) ?? null,
    kernel: root.at('kernel').text(PATH_LIMIT),
    initrds: root
      .at('initrds')
      .list(1024)
      .map((initrd) => initrd.text(PATH_LIMIT)),
    commandLine: root.at('commandLine').text(COMMAND_LINE_LIMIT),
    image: root.at('image').optional((image) => image.text()) ?? null,
    hasAgent: root.at('hasAgent').boolean(),
    time,
    kernelVersion: root.at('kernelVersion').text(),
    loadedCommandLine: root.at('loadedCommandLine').text(COMMAND_LINE_LIMIT),
    warmStartIsPanic: root.at('warmStartIsPanic').boolean(),
  };
}

function parseCpuid(entry: SavedValue): CpuidEntry {
  const register = (name: string): number => entry.at(name).integer(0, U32);
  const row = {
    leaf: register('leaf'),
    eax: register('eax'),
    ebx: register('ebx'),
    ecx: register('ecx'),
    edx: register('edx'),
  };
  const subleaf = entry.at('subleaf').optional((value) => value.integer(0, U32));
  return subleaf === undefined ? row : { ...row, subleaf };
}

const malformed = (problem: string): PlinthError => new PlinthError('PL-4104', { device: 'configuration', problem });

/** Places of CPUID whose bits are features that a guest may use. */
const FEATURE_PLACES = [
  { leaf: 1, subleaf: 0, registers: ['ecx', 'edx'] },
  { leaf: 7, subleaf: 0, registers: ['ebx', 'ecx', 'edx'] },
  { leaf: 7, subleaf: 1, registers: ['eax'] },
  { leaf: 0xd, subleaf: 0, registers: ['eax'] },
  { leaf: 0xd, subleaf: 1, registers: ['eax'] },
  { leaf: 0x80000001, subleaf: 0, registers: ['ecx', 'edx'] },
  { leaf: 0x80000008, subleaf: 0, registers: ['ebx'] },
] as const;

/**
 * A feature that a saved machine's guest was told of and that these processors have not.
 * @returns its place, such as `CPUID 0x7 EBX bit 5`; undefined when they have all
 */
export function missingFeature(saved: readonly CpuidEntry[], available: readonly CpuidEntry[]): string | undefined {
  for (const { leaf, subleaf, registers } of FEATURE_PLACES) {
    const wanted = entryAt(saved, leaf, subleaf);
    const given = entryAt(available, leaf, subleaf);
    for (const register of registers) {
      const missing = ((wanted?.[register] ?? 0) & ~(given?.[register] ?? 0)) >>> 0;
      if (missing === 0) continue;
      const bit = 31 - Math.clz32(missing);
      return `the processor feature at CPUID 0x${leaf.toString(16)}.${subleaf} ${register.toUpperCase()} bit ${bit}`;
    }
  }
  return undefined;
}

const entryAt = (entries: readonly CpuidEntry[], leaf: number, subleaf: number): CpuidEntry | undefined =>
  entries.find((entry) => entry.leaf === leaf && (entry.subleaf === undefined || entry.subleaf === subleaf));
