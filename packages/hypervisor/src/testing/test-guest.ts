/**
 * A guest for unit tests of the hypervisor's interface: a partition with a clock of the test's own, and a processor that only has registers.
 *
 * MSRs and hypercalls go the way they go from an engine: through the partition's intercepts. Called by: the tests of tlfs/.
 */
import type { EnlightenedProcessor, InterruptMessage } from '../engine.ts';
import { Partition } from '../partition.ts';
import type { RegisterName, RegisterValue } from '../registers.ts';
import type { GuestCrash } from '../tlfs/guest-crash.ts';
import { GuestInterface } from '../tlfs/guest-interface.ts';
import { CHILD_PRIVILEGES } from '../tlfs/privileges.ts';

const LONG_CODE = { selector: 8, base: 0n, limit: 0xffffffff, attributes: 0xa09b };
const LEGACY_CODE = { selector: 8, base: 0n, limit: 0xffffffff, attributes: 0xc09b };

/** A processor without instructions. Registers that nobody wrote are zero. */
export class TestProcessor implements EnlightenedProcessor {
  readonly index: number;
  readonly registers = new Map<RegisterName, RegisterValue>([['Cs', LONG_CODE]]);
  readonly apic = new Map<number, number>();
  readonly assists = new Map<number, { automaticEoi: boolean; eoiNotice: boolean }>();
  flushes = 0;

  constructor(index: number) {
    this.index = index;
  }

  readRegister(name: RegisterName): RegisterValue {
    return this.registers.get(name) ?? 0n;
  }

  writeRegister(name: RegisterName, value: RegisterValue): void {
    this.registers.set(name, value);
  }

  executesLongCode(): boolean {
    return this.registers.get('Cs') === LONG_CODE;
  }

  readApicRegister(offset: number): number {
    return this.apic.get(offset) ?? 0;
  }

  writeApicRegister(offset: number, value: number): void {
    this.apic.set(offset, value);
  }

  flushTlb(): void {
    this.flushes++;
  }

  setVectorAssist(vector: number, assist: { automaticEoi: boolean; eoiNotice: boolean }): void {
    this.assists.set(vector, assist);
  }

  run(): never {
    throw new Error('a test processor executes nothing');
  }

  kick(): void {}
  reset(): void {}
  setDeviceDeadline(): void {}

  nextDeadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  instructionCounts() {
    return { interpreted: 0, translated: 0 };
  }

  translate(): undefined {
    return undefined;
  }
}

export interface TestGuestOptions {
  readonly processors?: number;
  readonly privileges?: bigint;
  /** Partition on another thread's memory. */
  readonly over?: Partition;
}

export class TestGuest {
  readonly partition: Partition;
  readonly guest: GuestInterface;
  readonly processor = new TestProcessor(0);
  /** Partition time in nanoseconds. */
  now: number;
  readonly interrupts: InterruptMessage[] = [];
  readonly crashes: GuestCrash[] = [];
  resets = 0;
  wakes = 0;
  idles = 0;

  constructor({ processors = 1, privileges = CHILD_PRIVILEGES, over }: TestGuestOptions = {}) {
    const clock = { now: () => this.now };
    this.now = 0;
    this.partition =
      over === undefined
        ? Partition.create({ ramBytes: 2 ** 21, processors, clock })
        : Partition.attach(over.memory, clock);
    if (over === undefined) {
      this.partition.introduce(2n, 0n);
      this.partition.privileges = privileges;
    }
    this.guest = new GuestInterface(this.partition, {
      deliver: (message) => this.interrupts.push(message),
      reset: () => {
        this.resets++;
      },
      guestCrashed: (crash) => this.crashes.push(crash),
      wakeRoot: () => {
        this.wakes++;
      },
      idle: () => {
        this.idles++;
      },
      runTime: () => this.now,
    });
    this.guest.attach(this.partition, this.processor);
  }

  /** Vectors of the interrupts since the last look. */
  vectors(): number[] {
    return this.interrupts.splice(0).map(({ vector }) => vector);
  }

  read(msr: number): bigint | undefined {
    return this.partition.msrRead(msr);
  }

  write(msr: number, value: bigint): boolean {
    return this.partition.msrWrite(msr, value);
  }

  /** Says who it is and enables the hypercall page. */
  identify(): void {
    this.write(0x40000000, 0x8100_0006_01c0_0000n);
    this.write(0x40000001, 0x1f_f001n);
  }

  /** SynIC on, its message page at 0x10000 and its event flags at 0x11000, source 2 with a vector. */
  enableSynic(vector = 0xf3): void {
    this.write(0x40000080, 1n);
    this.write(0x40000083, 0x10001n);
    this.write(0x40000082, 0x11001n);
    this.write(0x40000092, BigInt(vector));
  }

  /** Passes time, and runs what is due. */
  pass(nanoseconds: number): void {
    this.now += nanoseconds;
    this.partition.deadline();
  }

  /** A hypercall by a 64-bit caller. @returns what the processor does, and RAX */
  call(
    control: bigint,
    input = 0n,
    output = 0n,
  ): { readonly outcome: 'absent' | 'completed' | 'again'; readonly status: number; readonly reps: number } {
    this.processor.writeRegister('Rcx', control);
    this.processor.writeRegister('Rdx', input);
    this.processor.writeRegister('R8', output);
    const outcome = this.partition.hypercall();
    const result = this.processor.readRegister('Rax') as bigint;
    return { outcome, status: Number(result & 0xffffn), reps: Number((result >> 32n) & 0xfffn) };
  }

  /** Makes the processor one that runs 32-bit code, or 64-bit code again. */
  enterLegacyMode(): void {
    this.processor.writeRegister('Cs', LEGACY_CODE);
  }

  enterLongMode(): void {
    this.processor.writeRegister('Cs', LONG_CODE);
  }

  /** Writes 64-bit words to guest memory. */
  put(gpa: number, ...words: readonly bigint[]): void {
    words.forEach((word, index) => {
      this.partition.guestMemory.writeU64(gpa + index * 8, BigInt.asUintN(64, word));
    });
  }

  /** A 64-bit word of guest memory; -1 where there is none. */
  at(gpa: number): bigint {
    return this.partition.guestMemory.readU64(gpa) ?? -1n;
  }
}
