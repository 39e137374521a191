/**
 * From the options of `plinth run` to a virtual machine's configuration. Everything that can be said about the options alone is
 * said here, before a file is opened or an image is built.
 */
import { PlinthError } from '@plinth/errors';
import {
  CPU_FEATURES,
  CPU_LEVELS,
  type CpuFeature,
  parseCpuFeatures,
  TRACE_TOPICS,
  type TraceTopic,
  type VirtualMachineConfiguration,
} from '@plinth/vmwp';
import type { OptionValues } from './command-line.ts';
import { defaultImage } from './command-table.ts';
import { parseConsole, parseCount, parseMachineName, parsePort, parseSeconds, parseSize } from './values.ts';
import { plinthVersion } from './version.ts';

/** What boots: an image by its name, or the user's own files. */
export type BootSource =
  | { readonly kind: 'image'; readonly name: string }
  | {
      readonly kind: 'kernel';
      readonly kernel: string;
      readonly initrds: readonly string[];
      readonly commandLine: string;
    }
  | {
      readonly kind: 'saved';
      readonly path: string;
      /** Whether the user has said where the console goes. */
      readonly consoleGiven: boolean;
    };

/** A machine's configuration but for what boots and where things are kept. */
export type MachineOptions = Omit<
  VirtualMachineConfiguration,
  'name' | 'kernel' | 'initrds' | 'commandLine' | 'image' | 'home'
> & { readonly name?: string };

export interface RunRequest {
  readonly boot: BootSource;
  readonly machine: MachineOptions;
}

/** The most processors that Hyper-V gives a machine of generation 1; more is a slip of the keyboard. */
const mostProcessors = 64;

/**
 * Checks the options of `plinth run`.
 * @throws PlinthError PL-1004, PL-1009 to PL-1014, PL-1020, PL-1022: all wrong usage, status 64
 */
export function parseRunOptions(names: readonly string[], options: OptionValues): RunRequest {
  const boot = parseBootSource(names[0], options);
  refuseWhatIsNotBuilt(options);
  const name = text(options, '--name');
  const exec = parseExec(options, boot);
  const timeout = text(options, '--timeout');
  const statisticsFile = text(options, '--stats');
  const debugExit = text(options, '--debug-exit');
  const gdb = text(options, '--gdb');
  const marks = texts(options, '--mark').map((mark) => notEmpty(mark, '--mark'));
  const trace = texts(options, '--trace').flatMap(parseTraceTopics);
  const saveTo = text(options, '--save-to');
  const disabledCpuFeatures = disabledFeatures(text(options, '--cpu-features'));
  return {
    boot,
    machine: {
      ...(name === undefined ? {} : { name: parseMachineName(name) }),
      memoryBytes: parseSize(text(options, '--memory') ?? '512M', '--memory'),
      processors: 1,
      ...(options['--generation'] === '2' ? { generation: 2 as const } : {}),
      // A command's output is alone on standard output, so the console is elsewhere unless it was asked for.
      console: parseConsole(text(options, '--console') ?? (exec === undefined ? 'stdio' : 'none')),
      ...(exec === undefined ? {} : { exec }),
      ...(saveTo === undefined ? {} : { saveTo: notEmpty(saveTo, '--save-to') }),
      ...(timeout === undefined ? {} : { timeoutSeconds: parseSeconds(timeout, '--timeout', 'run') }),
      ...(disabledCpuFeatures === undefined ? {} : { disabledCpuFeatures }),
      ...(marks.length === 0 ? {} : { marks }),
      ...(statisticsFile === undefined ? {} : { statisticsFile: notEmpty(statisticsFile, '--stats') }),
      ...(trace.length === 0 ? {} : { trace }),
      ...(debugExit === undefined ? {} : { debugExitPort: parsePort(debugExit, '--debug-exit', 'run') }),
      ...(gdb === undefined ? {} : { gdbPort: parsePort(gdb, '--gdb', 'run') }),
    },
  };
}

/** What a saved machine brings with it. */
const hardwareOptions = [
  '--kernel',
  '--initrd',
  '--append',
  '--memory',
  '--cpus',
  '--generation',
  '--cpu-features',
  '--debug-exit',
  '--disk',
  '--dvd',
  '--net',
  '--forward',
] as const;

function parseBootSource(image: string | undefined, options: OptionValues): BootSource {
  const saved = text(options, '--restore');
  if (saved !== undefined) {
    const refused = hardwareOptions.find((option) => options[option] !== undefined);
    if (refused !== undefined) throw new PlinthError('PL-1025', { option: refused });
    if (image !== undefined) throw new PlinthError('PL-1025', { option: `the image ${image}` });
    return { kind: 'saved', path: notEmpty(saved, '--restore'), consoleGiven: options['--console'] !== undefined };
  }
  const kernel = text(options, '--kernel');
  if (kernel === undefined) {
    for (const option of ['--initrd', '--append']) {
      if (options[option] !== undefined) throw new PlinthError('PL-1013', { option });
    }
    return { kind: 'image', name: image ?? defaultImage };
  }
  if (image !== undefined) throw new PlinthError('PL-1014', { image });
  return {
    kind: 'kernel',
    kernel: notEmpty(kernel, '--kernel'),
    initrds: texts(options, '--initrd').map((initrd) => notEmpty(initrd, '--initrd')),
    commandLine: text(options, '--append') ?? '',
  };
}

/** What the machine's options may promise, but this version cannot give. */
function refuseWhatIsNotBuilt(options: OptionValues): void {
  const version = plinthVersion();
  if (options['--engine'] === 'kvm') throw new PlinthError('PL-1011', { version });
  const count = parseCount(text(options, '--cpus') ?? '1', '--cpus', 'run', 1, mostProcessors);
  if (count > 1) throw new PlinthError('PL-1022', { count, version });
}

function parseExec(options: OptionValues, boot: BootSource): string | undefined {
  const exec = text(options, '--exec');
  if (exec === undefined) return undefined;
  if (boot.kind === 'kernel') throw new PlinthError('PL-1012');
  return notEmpty(exec, '--exec');
}

function parseTraceTopics(list: string): TraceTopic[] {
  return list.split(',').map((word) => {
    const topic = TRACE_TOPICS.find((known) => known === word);
    if (topic !== undefined) return topic;
    throw new PlinthError('PL-1004', {
      value: word,
      option: '--trace',
      expected: `topics of these, separated by commas: ${TRACE_TOPICS.join(', ')}`,
      command: 'run',
    });
  });
}

/** `v3`, `-nx,+avx`: the features that are taken away. */
function disabledFeatures(list: string | undefined): readonly CpuFeature[] | undefined {
  if (list === undefined) return undefined;
  const parsed = parseCpuFeatures(list.split(','));
  if ('disabled' in parsed) return parsed.disabled;
  const expected = `levels (${CPU_LEVELS.join(', ')}) and features of these, each behind a + or a -, separated by commas: ${CPU_FEATURES.join(', ')}`;
  throw new PlinthError('PL-1004', { value: parsed.word, option: '--cpu-features', expected, command: 'run' });
}

function notEmpty(value: string, option: string): string {
  if (value.trim() !== '') return value;
  throw new PlinthError('PL-1004', { value, option, expected: 'a text that is not empty', command: 'run' });
}

function text(options: OptionValues, flag: string): string | undefined {
  const value = options[flag];
  return typeof value === 'string' ? value : undefined;
}

function texts(options: OptionValues, flag: string): readonly string[] {
  const value = options[flag];
  return typeof value === 'object' ? value : [];
}
