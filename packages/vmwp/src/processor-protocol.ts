/**
 * What passes between the main thread of a VM and the thread of a virtual processor: plain data only.
 *
 * The processor's thread runs one synchronous loop and has no event loop turns: commands wait in a message port, and a kick makes
 * the processor look. Events are posted to the main thread. Called by: run-virtual-machine.ts, processor-thread.ts.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Generation } from '@plinth/chipset';
import type { GuestCrash, InspectTree, MemoryLayout, RegisterName, RegisterValue } from '@plinth/hypervisor';
import type { TraceTopic } from './configuration.ts';
import type { DebugAnswer, DebugRequest, StopReason } from './debug-protocol.ts';
import type { ProcessorSnapshot } from './processor-snapshot.ts';
import type { SavedPages } from './saved-state/page-loader.ts';

/** The first message to a processor's thread. */
export interface ProcessorSetup {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemoryLayout;
  readonly index: number;
  readonly generation: Generation;
  readonly counters: SharedArrayBuffer;
  readonly commands: MessagePort;
  /** Value of the monotonic clock (ns) at partition time 0. */
  readonly epoch: number;
  readonly trace: readonly TraceTopic[];
  readonly debugExitPort: number | undefined;
  /** Where memory comes from that is not there yet: of a machine that is restored. */
  readonly savedPages?: SavedPages | undefined;
  /** To the thread that translates for this processor; absent when there is none. */
  readonly translation?: MessagePort;
}

/** `workerData` of a processor's translator. */
export interface TranslationSetup {
  readonly memory: WebAssembly.Memory;
  /** Given, so that this thread need not load the hypervisor to find it. */
  readonly layout: MemoryLayout;
  readonly index: number;
  /** Hot blocks come, translated batches go. */
  readonly messages: MessagePort;
}

/** Registers that a boot sets, over the power-on state. */
export type BootRegisters = readonly (readonly [RegisterName, RegisterValue])[];

export type ProcessorCommand =
  /** Memory is loaded: start from these registers. `again`: after a reset, so the processor is reset first. */
  | { readonly kind: 'boot'; readonly registers: BootRegisters; readonly again: boolean }
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  /** The host pushes the reset button. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'inspect'; readonly id: number }
  | { readonly kind: 'debug'; readonly id: number; readonly request: DebugRequest }
  /** Stop between two instructions as soon as the guest runs or is paused, and answer `held`. */
  | { readonly kind: 'hold' }
  /** Go on as before `hold`, or with what was restored. */
  | { readonly kind: 'release' }
  /** While held: answer `saved`. */
  | { readonly kind: 'save' }
  /** Instead of `boot`: memory is loaded; answer `restored` and be held. `epoch`: the monotonic clock (ns) at partition time 0. */
  | { readonly kind: 'restore'; readonly state: SavedThreadState; readonly epoch: number }
  /** Answer with `ended` and leave the loop. */
  | { readonly kind: 'end' };

/** Why a processor's thread ended by itself, or was told to. */
export type Outcome =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'power-off' }
  | { readonly kind: 'debug-exit'; readonly status: number }
  | { readonly kind: 'triple-fault'; readonly exceptions: readonly number[] }
  | { readonly kind: 'halted-forever' }
  | { readonly kind: 'unsupported'; readonly what: string };

/** What a processor's thread saves: its processor, and the devices that run on it. */
export interface SavedThreadState {
  /** Partition time in nanoseconds. */
  readonly time: number;
  readonly processor: unknown;
  readonly devices: unknown;
}

export type ProcessorEvent =
  /** There is output in a serial port's ring. Sent once until the main thread has cleared the flag. */
  | { readonly kind: 'output' }
  /** The guest, or the host's reset button, wants a reset, and the devices had theirs: load memory again and send `boot`. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'inspected'; readonly id: number; readonly tree: InspectTree }
  | { readonly kind: 'debug-answer'; readonly id: number; readonly answer: DebugAnswer }
  /** It stopped for the debugger. */
  | { readonly kind: 'debug-stopped'; readonly reason: StopReason }
  | { readonly kind: 'held' }
  | { readonly kind: 'saved'; readonly state: SavedThreadState }
  /** `problem`: the error, as plain data, of a state that was not taken. */
  | { readonly kind: 'restored'; readonly problem?: unknown }
  | { readonly kind: 'error-record'; readonly record: Uint8Array }
  /** The guest told of its own crash, by the hypervisor's crash registers. */
  | { readonly kind: 'guest-crash'; readonly crash: GuestCrash }
  /** The root partition has messages or event flags to take, or room to post messages again. Sent once until it acknowledges. */
  | { readonly kind: 'synic' }
  | { readonly kind: 'ended'; readonly outcome: Outcome; readonly snapshot: ProcessorSnapshot }
  /** The machine cannot go on, by an error of the catalogue, as plain data: its memory cannot be brought in. */
  | { readonly kind: 'failed'; readonly problem: unknown }
  /** A fault of Plinth on the processor's thread. */
  | { readonly kind: 'fault'; readonly message: string; readonly stack: string; readonly snapshot?: ProcessorSnapshot };
