/**
 * The interface of a processor engine: the software engine (`processor`) and, later, KVM (`kvm`) stand behind it.
 *
 * Everything above is the same for both. Intercepts are answered synchronously on the virtual processor's own thread,
 * through the handlers given at creation; `run` returns only for what ends or pauses execution.
 */

import type { AccessSize } from './device.ts';
import type { RegisterName, RegisterValue } from './registers.ts';
import type { SavedProcessor } from './saved-processor.ts';

/** What the partition answers on behalf of a virtual processor, synchronously, on that processor's thread. */
export interface InterceptHandlers {
  /** Monotonic partition time in nanoseconds. */
  now(): number;
  portRead(port: number, size: AccessSize): number;
  portWrite(port: number, size: AccessSize, value: number): void;
  /** `gpa` is a guest-physical address below 2^53 in an MMIO slot; 8-byte accesses come as two halves. */
  mmioRead(gpa: number, size: AccessSize): number;
  mmioWrite(gpa: number, size: AccessSize, value: number): void;
  /** @returns the value, or undefined for #GP. Asked for MSRs that the engine itself does not know. */
  msrRead(index: number): bigint | undefined;
  /** @returns false for #GP. Also told of the TSC's new offset, as a write of IA32_TSC_ADJUST, whichever way it was set. */
  msrWrite(index: number, value: bigint): boolean;
  /**
   * The processor's instruction for hypercalls at privilege level 0, its parameters in the registers, RIP behind it.
   * `absent`: there is no such interface, #UD; `again`: not finished, RIP goes back to the instruction.
   */
  hypercall(): 'absent' | 'completed' | 'again';
  /** FERR#: an x87 exception waits while CR0.NE is clear; `isNew`: since now. @returns whether IGNNE# is asserted, so that it is ignored. */
  floatingPointError(isNew: boolean): boolean;
  /** The processor passed its deadline word; devices with due deadlines run now. */
  deadline(): void;
  /** INTA cycle: the vector from the i8259 pair. */
  acknowledgeExternalInterrupt(): number;
  /** EOI of a level-triggered vector, broadcast to the IOAPIC. */
  endOfInterrupt(vector: number): void;
}

/** A description of the exception that could not be delivered, or of what the engine has not got. */
export interface GuestFault {
  readonly vector: number;
  readonly errorCode: number;
  readonly address: bigint;
  readonly rip: bigint;
}

/** A branch that was taken, or the entry of an exception's or interrupt's handler; addresses as RIP has them. */
export interface GuestBranch {
  /** Of the branch, or where the exception or interrupt came. */
  readonly from: bigint;
  readonly to: bigint;
  /** Of the exception or interrupt. */
  readonly vector?: number;
  /** Of the code that was executed from there on, only the branch that left it is known. */
  readonly translated: boolean;
}

/** Why `run` returned. */
export type Exit =
  | { readonly kind: 'halt' }
  /** HLT, or a shutdown, with nothing that could ever wake the processor: interrupts off. */
  | { readonly kind: 'halt-forever' }
  /** Triple fault. */
  | { readonly kind: 'shutdown'; readonly faults: readonly GuestFault[] }
  /** The kick word was set: somebody wants the processor's thread. */
  | { readonly kind: 'kicked' }
  /** The budget given to `run` is used up. */
  | { readonly kind: 'budget' }
  /** A debugger's stop point: before the instruction there, or behind the access. */
  | { readonly kind: 'stop-point'; readonly point: StopPoint }
  /** An instruction or mode that this build names as absent. */
  | { readonly kind: 'unsupported'; readonly what: string; readonly rip: bigint };

/** A place at which a debugger wants the processor to stop: linear addresses. */
export type StopPoint =
  | { readonly kind: 'execute'; readonly address: bigint }
  | { readonly kind: 'write' | 'read' | 'access'; readonly address: bigint; readonly bytes: number };

/**
 * Work of a translator: regions in use or once made, modules they came in, bytes of those, regions dropped again, and the longest time that
 * the processor's thread stood still for it.
 */
export interface TranslatorCounts {
  readonly regions: number;
  readonly modules: number;
  readonly bytes: number;
  readonly evicted: number;
  readonly longestPauseSeconds: number;
}

export interface VirtualProcessor {
  readonly index: number;
  /**
   * Runs until an exit. `instructions` bounds the run (about; Infinity: until something happens).
   */
  run(instructions: number): Exit;
  readRegister(name: RegisterName): RegisterValue;
  writeRegister(name: RegisterName, value: RegisterValue): void;
  /** Makes `run` return soon with `kicked`; may be called from any thread over the same memory. */
  kick(): void;
  /** Architectural state after INIT/power-on. */
  reset(): void;
  /** Partition time (ns) of the next event that must wake a halted processor (timers); Infinity when none. */
  nextDeadline(): number;
  /** Sets the partition time at which `deadline` of the handlers is wanted. */
  setDeviceDeadline(nanoseconds: number): void;
  /** Instructions executed, by way of execution. */
  instructionCounts(): { readonly interpreted: number; readonly translated: number };
  /** What a translating engine has done so far; absent where nothing is translated. */
  translatorCounts?(): TranslatorCounts;
  /** Linear (virtual) to guest-physical without side effects; undefined when not mapped. */
  translate(address: bigint): number | undefined;
}

/** What a debugger needs of a processor beyond running it. On the processor's own thread only, between runs. */
export interface DebuggedProcessor extends VirtualProcessor {
  /** One instruction, or the delivery of its exception, without interrupts. @returns `budget` when that is done */
  step(): Exit;
  /** The whole set of stop points, in place of the former one. @returns false, with nothing changed, when there are too many */
  setStopPoints(points: readonly StopPoint[]): boolean;
}

/** What the hypervisor's interface to guests needs of a processor beyond running it. On the processor's own thread only. */
export interface EnlightenedProcessor extends VirtualProcessor {
  /** Whether it executes 64-bit code: EFER.LMA and CS.L are set. */
  executesLongCode(): boolean;
  /** A register of the local APIC by its offset in the xAPIC page, in either of the APIC's modes. */
  readApicRegister(offset: number): number;
  writeApicRegister(offset: number, value: number): void;
  /** Forgets every translation of linear addresses. */
  flushTlb(): void;
  /** Whether a vector needs no EOI, and whether `endOfInterrupt` of the handlers is wanted for it though it is edge-triggered. */
  setVectorAssist(vector: number, assist: { readonly automaticEoi: boolean; readonly eoiNotice: boolean }): void;
}

/** A processor whose state can leave it, and come from another engine. On the processor's own thread, between two runs. */
export interface SaveableProcessor extends EnlightenedProcessor {
  save(): SavedProcessor;
  /**
   * Takes a saved state over the power-on state; counters and what was translated are not part of it.
   * @throws PlinthError PL-4103 for a newer version, PL-4104 for what is malformed; then nothing has changed
   */
  restore(saved: unknown): void;
}

/** An interrupt message as the IOAPIC, MSI or SynIC send it: destination and delivery as in the APIC's registers. */
export interface InterruptMessage {
  readonly vector: number;
  /** 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT. */
  readonly deliveryMode: number;
  readonly destination: number;
  readonly logicalDestination: boolean;
  readonly levelTriggered: boolean;
}
