/**
 * What a loader hands to the machine: bytes to write into guest memory, and the state in which the boot processor begins.
 * Plain data, so that a test compares it and a worker receives it as a message. Made by `linux.ts` and `multiboot.ts`, carried out by the worker.
 *
 * Invariants: writes do not overlap and lie in RAM; memory that is not written is zero.
 */

/** Bytes to be placed at a guest-physical address. */
export interface BootWrite {
  readonly gpa: number;
  readonly bytes: Uint8Array;
}

/** A segment register; attributes are those of HV_X64_SEGMENT_REGISTER (TLFS): type, S, DPL, P in bits 0-7, AVL, L, D, G in 12-15. */
export interface InitialSegment {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

/** GDTR or IDTR. */
export interface InitialTable {
  readonly base: bigint;
  readonly limit: number;
}

/** State of the boot processor at its first instruction. Registers not named here are zero; RFLAGS is 2 (interrupts off). */
export interface InitialProcessorState {
  readonly mode: 'long64' | 'protected32';
  readonly rip: bigint;
  readonly rax?: bigint;
  readonly rbx?: bigint;
  readonly rsi: bigint;
  readonly rsp: bigint;
  readonly rflags: bigint;
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  readonly gdt: InitialTable;
  readonly idt: InitialTable;
  readonly segments: {
    readonly cs: InitialSegment;
    readonly ds: InitialSegment;
    readonly es: InitialSegment;
    readonly ss: InitialSegment;
    readonly fs: InitialSegment;
    readonly gs: InitialSegment;
    readonly tr: InitialSegment;
    readonly ldtr: InitialSegment;
  };
}

/** A range of guest-physical addresses, its end not included. */
export interface GpaRange {
  readonly start: number;
  readonly end: number;
}

/** Memory that the guest must not use freely, and what it is: an address range type of ACPI 6.5, table 15.2. */
export interface ReservedRange extends GpaRange {
  readonly type: 'reserved' | 'acpi-reclaimable' | 'acpi-nvs';
}

/** One line of the memory map that the guest is given. */
export interface MemoryMapEntry extends GpaRange {
  readonly type: 'ram' | ReservedRange['type'];
}

export interface BootPlan {
  readonly writes: readonly BootWrite[];
  readonly state: InitialProcessorState;
  /** Where things were put, for `plinth inspect` and messages. */
  readonly layout: {
    readonly kernelVersion: string;
    /** All that the kernel is told. */
    readonly commandLine: string;
    /** From the load address to the end of what the kernel needs to unpack itself. */
    readonly kernel: GpaRange;
    /** Empty when there is no initrd. */
    readonly initrd: GpaRange;
    readonly memoryMap: readonly MemoryMapEntry[];
  };
  /** The guest was told to reset the machine when it panics, with a warm start (`warmStartFlag`), and otherwise with a cold one. */
  readonly warmStartIsPanic: boolean;
}
