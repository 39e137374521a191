/**
 * What one VM is made of, and what a run of it answers: the types between `plinth run` and the worker.
 *
 * Invariant: a configuration is plain data (it crosses to the processors' threads as it is). Called by: cli, and later vmms.
 */
import type { Generation } from '@plinth/chipset';
import type { PlinthError } from '@plinth/errors';
import type { CpuFeature } from '@plinth/processor/host';
import type { RunStatistics } from './statistics.ts';

/** What can be traced on standard error with `--trace`. */
export const TRACE_TOPICS = [
  'ports',
  'mmio',
  'msr',
  'interrupts',
  'exceptions',
  'exits',
  'power',
  'translator',
] as const;
export type TraceTopic = (typeof TRACE_TOPICS)[number];

/** Where the first serial port's output goes. `stdio` also takes its input from the run's standard input. */
export type ConsoleTarget =
  | { readonly kind: 'stdio' }
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly path: string };

export interface VirtualMachineConfiguration {
  /** Letters, digits, dots, hyphens, underscores; see `generatedName`. Names the control socket. */
  readonly name: string;
  /** RAM in bytes: whole pages, 16 MiB to 3 GiB. */
  readonly memoryBytes: number;
  /** Virtual processors; 1 for now. */
  readonly processors: number;
  /** 1 unless told: a PC with an i8254 and an i8259 pair. 2 is without them. */
  readonly generation?: Generation;
  /** Features that CPUID does not tell of. */
  readonly disabledCpuFeatures?: readonly CpuFeature[];
  /** A Linux bzImage, as a path. */
  readonly kernel: string;
  /** Paths; loaded one after the other into one initial RAM disk. */
  readonly initrds: readonly string[];
  /** The kernel's command line as the user wants it; the loader puts words of its own before it. */
  readonly commandLine: string;
  /** Name of the image that kernel and initrds come from, for people; undefined with a kernel of the user's own. */
  readonly image?: string;
  /** Whether the image has an agent, so that commands can be run in it. */
  readonly hasAgent?: boolean;
  readonly console: ConsoleTarget;
  /** Command for the image's agent; its exit status ends the run. Only for images that have the agent. */
  readonly exec?: string;
  /** Wall seconds after which the VM is turned off with status 124. */
  readonly timeoutSeconds?: number;
  /** Texts whose first appearance in the first serial port's output is recorded in the statistics. */
  readonly marks?: readonly string[];
  /** File for the statistics' JSON. */
  readonly statisticsFile?: string;
  readonly trace?: readonly TraceTopic[];
  /** File that the machine is saved to where the run would end: COMMAND done, a signal, `plinth vm save`. */
  readonly saveTo?: string;
  /** I/O port at which a guest's write of v ends the run with status (v << 1) | 1. */
  readonly debugExitPort?: number;
  /** TCP port of this machine on which a debugger is waited for; 0 takes a free one. */
  readonly gdbPort?: number;
  /** $PLINTH_HOME: control sockets and crash reports live below it. */
  readonly home: string;
}

/** Standard streams of the run; the process's own unless a test gives others. */
export interface RunHooks {
  readonly stdin?: NodeJS.ReadStream | NodeJS.ReadableStream;
  readonly stdout?: NodeJS.WritableStream;
  readonly stderr?: NodeJS.WritableStream;
  /** Host messages (one line each, no newline), for standard error. */
  readonly message?: (text: string) => void;
  /** Aborting it turns the VM off with status 0: somebody left the console with Ctrl+] q. */
  readonly leave?: AbortSignal;
}

/** Why a run ended, as written into the statistics. */
export type EndReason =
  | 'power-off'
  | 'command'
  | 'debug-exit'
  | 'crash'
  | 'timeout'
  | 'signal'
  | 'turned-off'
  | 'fault'
  | 'console-closed'
  | 'saved';

export interface RunResult {
  readonly reason: EndReason;
  /** The status that the process should end with, per the contract. */
  readonly exitStatus: number;
  /** What to print on standard error; undefined when there is nothing to say. */
  readonly error?: PlinthError;
  /** Path of the crash or fault report, when one was written. */
  readonly report?: string;
  /** The last lines of the console, where they alone tell why the guest crashed and nobody has seen them. */
  readonly lastWords?: readonly string[];
  readonly statistics: RunStatistics;
}
