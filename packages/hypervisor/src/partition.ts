/**
 * A partition: its memory, its guest-physical address space, its devices and what answers the intercepts of its
 * virtual processors.
 *
 *     engine ── port/MMIO/MSR intercept ──> Partition ── table look-up ──> Device
 *            <── deadline word ──────────            <── deadline() ────
 *
 * Several threads may have a Partition over one memory: the one that creates it, and one per virtual processor's worker
 * (`Partition.attach`). Devices then are objects of each thread over one shared state.
 *
 * Invariants: a port, an MMIO page, an MSR and a name belong to one device; nothing a guest passes to an intercept makes it
 * throw; unassigned ports and addresses read as ones and drop writes. Called by: vmwp, which gives it to an engine as its
 * intercept handlers.
 */
import { PlinthError } from '@plinth/errors';
import type { AccessSize, Device, InspectTree, PartitionClock } from './device.ts';
import type { InterceptHandlers } from './engine.ts';
import { GpaSpace, mapPcMemory } from './gpa-space.ts';
import { GuestMemory } from './guest-memory.ts';
import {
  CPUID_ENTRY_BYTES,
  CPUID_LIMIT,
  DEVICE_STATE_BYTES,
  layoutMemory,
  type MemoryLayout,
  SHARED,
  SHARED_OFFSET,
} from './memory-layout.ts';
import { DeviceArea } from './shared-state.ts';

/** One row of the CPUID table. Without a subleaf it answers for all of them. */
export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf?: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** Answers a range of MSRs that the engine itself does not know. */
export interface MsrHandler {
  /** @returns the value, or undefined for #GP */
  read(index: number): bigint | undefined;
  /** @returns false for #GP */
  write(index: number, value: bigint): boolean;
}

/** The emulated interrupt controllers' side of the processor's interrupt cycles. */
export interface InterruptControllers {
  /** INTA cycle of the i8259 pair. @returns the vector */
  acknowledge(): number;
  /** EOI broadcast of a level-triggered vector. */
  endOfInterrupt(vector: number): void;
}

export interface PartitionOptions {
  /** A multiple of 1 MiB, at most RAM_LIMIT_BYTES. */
  readonly ramBytes: number;
  readonly processors: number;
  readonly clock: PartitionClock;
  /** TSC ticks per nanosecond (its rate in GHz). */
  readonly tscPerNanosecond?: number;
  /** Width of guest-physical addresses that CPUID tells. */
  readonly physicalAddressBits?: number;
  /** False when the root maps RAM itself; otherwise it is mapped as a PC has it. */
  readonly isMapped?: boolean;
}

/** The saved state of the devices, by name. Each device's own state carries its own version. */
export interface SavedDevices {
  readonly version: 1;
  readonly devices: Readonly<Record<string, unknown>>;
}

const SAVED_VERSION = 1;
const PORTS = 0x10000;
const ANY_SUBLEAF = 0xffffffff;
const WASM_PAGE_BYTES = 65536;
const ALL_ONES = { 1: 0xff, 2: 0xffff, 4: 0xffffffff } as const satisfies Record<AccessSize, number>;

interface MmioClaim {
  readonly start: number;
  readonly end: number;
  readonly device: Device;
}

export class Partition implements InterceptHandlers {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemoryLayout;
  readonly clock: PartitionClock;
  readonly space: GpaSpace;
  readonly guestMemory: GuestMemory;
  /** Where devices keep their state. */
  readonly deviceArea: DeviceArea;
  /** Told whenever the earliest device deadline changes (partition time in ns, Infinity: none). */
  onDeadlineChange: (deadline: number) => void = () => {};
  /** What answers INTA and EOI; an absent pair answers with vector 0xff, as a floating bus does. */
  interruptControllers: InterruptControllers = { acknowledge: () => 0xff, endOfInterrupt: () => {} };
  /** Whether the root may intercept here (HvCallInstallIntercept): asked before ports, memory or registers are claimed. Throws if not. */
  authorizeIntercepts: () => void = () => {};
  /** What answers hypercalls; without it there are none. */
  hypercallHandler: InterceptHandlers['hypercall'] = () => 'absent';
  /** What takes FERR# and answers with IGNNE#; without it the processor waits. */
  floatingPointErrorHandler: InterceptHandlers['floatingPointError'] = () => false;
  /** Told of an EOI for a vector that somebody wanted to hear of; it may be a level-triggered one too. */
  onEndOfInterrupt: (vector: number) => void = () => {};

  readonly #devices: Device[] = [];
  readonly #timed: Device[] = [];
  /** Per port: 1 + index of its device (0: unassigned), and the widest access that goes to it whole. */
  readonly #portDevice = new Uint8Array(PORTS);
  readonly #portWidest = new Uint8Array(PORTS);
  readonly #mmio: MmioClaim[] = [];
  readonly #msrs = new Map<number, MsrHandler>();
  readonly #header: DataView;
  #deadline = Number.POSITIVE_INFINITY;

  private constructor(memory: WebAssembly.Memory, layout: MemoryLayout, clock: PartitionClock) {
    const { buffer } = memory;
    this.memory = memory;
    this.layout = layout;
    this.clock = clock;
    this.space = new GpaSpace(buffer, layout);
    this.guestMemory = new GuestMemory(buffer, layout, this.space);
    this.deviceArea = new DeviceArea(buffer, SHARED_OFFSET + SHARED.devices, DEVICE_STATE_BYTES);
    this.#header = new DataView(buffer, SHARED_OFFSET, SHARED.devices);
  }

  /**
   * Creates a partition: a shared memory of exactly the layout's size, the header, RAM as a PC has it.
   * @throws RangeError from the layout or the host when there is not that much memory
   */
  static create(options: PartitionOptions): Partition {
    const { ramBytes, processors, clock, tscPerNanosecond = 2, physicalAddressBits = 40, isMapped = true } = options;
    const layout = layoutMemory(ramBytes, processors);
    const pages = layout.totalBytes / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const partition = new Partition(memory, layout, clock);
    const header = partition.#header;
    header.setUint32(SHARED.processorCount, processors, true);
    header.setUint32(SHARED.pagesOffset, layout.pagesOffset, true);
    header.setUint32(SHARED.ramOffset, layout.ramOffset, true);
    header.setUint32(SHARED.ramBytes, layout.ramBytes, true);
    header.setUint32(SHARED.overlayPages, layout.overlayPages, true);
    header.setUint32(SHARED.processorsOffset, layout.processorsOffset, true);
    header.setUint32(SHARED.processorStride, layout.processorStride, true);
    header.setUint32(SHARED.physicalAddressBits, physicalAddressBits, true);
    header.setFloat64(SHARED.tscPerNanosecond, tscPerNanosecond, true);
    if (isMapped) mapPcMemory(partition.space, layout);
    return partition;
  }

  /** The partition that another thread created over this memory. */
  static attach(memory: WebAssembly.Memory, clock: PartitionClock): Partition {
    const header = new DataView(memory.buffer, SHARED_OFFSET, SHARED.slots);
    const ramBytes = header.getUint32(SHARED.ramBytes, true);
    const processors = header.getUint32(SHARED.processorCount, true);
    return new Partition(memory, layoutMemory(ramBytes, processors), clock);
  }

  /** Writes down who the partition is and what its root may do; once, by the root that creates it. */
  introduce(partitionId: bigint, rootPrivileges: bigint): void {
    this.#header.setBigUint64(SHARED.partitionId, partitionId, true);
    this.#header.setBigUint64(SHARED.rootPrivileges, rootPrivileges, true);
  }

  /** Number of the partition's state, as the root counts them. */
  get stateNumber(): number {
    return this.#header.getUint32(SHARED.partitionState, true);
  }

  set stateNumber(state: number) {
    this.#header.setUint32(SHARED.partitionState, state, true);
  }

  get physicalAddressBits(): number {
    return this.#header.getUint32(SHARED.physicalAddressBits, true);
  }

  /** Whether CPUID tells the guest of the hypervisor. */
  get isEnlightened(): boolean {
    return this.readCpuid().some(({ leaf }) => leaf === 0x40000000);
  }

  /** The id that the hypervisor gave it; 0 before. */
  get partitionId(): bigint {
    return this.#header.getBigUint64(SHARED.partitionId, true);
  }

  /** HV_PARTITION_PRIVILEGE_MASK: what the guest may use. */
  get privileges(): bigint {
    return this.#header.getBigUint64(SHARED.privileges, true);
  }

  set privileges(mask: bigint) {
    this.#header.setBigUint64(SHARED.privileges, mask, true);
  }

  get devices(): readonly Device[] {
    return this.#devices;
  }

  /**
   * Adds a device and claims its ports and memory ranges.
   * @throws PlinthError PL-4107 when another device has the name, a port or an address; PL-4108 with more than 255 devices
   */
  addDevice(device: Device): void {
    this.authorizeIntercepts();
    const clash = (other: Device | undefined, resource: string): PlinthError =>
      new PlinthError('PL-4107', { device: device.name, other: other?.name ?? 'RAM', resource });
    const namesake = this.#devices.find(({ name }) => name === device.name);
    if (namesake !== undefined) throw clash(namesake, 'the name');
    if (this.#devices.length >= 255) throw new PlinthError('PL-4108', { table: 'the device registry', limit: 255 });
    for (const { first, count } of device.ports) {
      for (let port = first; port < first + count; port++) {
        const owner = this.#portDevice[port];
        if (owner !== 0) throw clash(this.#ownerOf(owner), `port 0x${port.toString(16)}`);
      }
    }
    for (const { start, bytes } of device.mmio) {
      const other = this.#mmio.find((claim) => start < claim.end && claim.start < start + bytes);
      if (other !== undefined) throw clash(other.device, `the address 0x${start.toString(16)}`);
    }

    this.#devices.push(device);
    const number = this.#devices.length;
    for (const { first, count, widest = 1 } of device.ports) {
      for (let port = first; port < first + count; port++) {
        const left = first + count - port;
        this.#portDevice[port] = number;
        this.#portWidest[port] = Math.min(widest, left >= 4 ? 4 : left >= 2 ? 2 : 1);
      }
    }
    for (const { start, bytes } of device.mmio) {
      const end = start + bytes;
      this.#mmio.push({ start, end, device });
      // Another thread over the same memory may have mapped it already.
      const mapped = this.space.slots.some((slot) => slot.kind === 'mmio' && slot.start === start && slot.end === end);
      if (!mapped) this.space.map({ kind: 'mmio', start, end });
    }
    if (device.deadline !== undefined) this.#timed.push(device);
    this.refreshDeadline();
  }

  /** Has `handler` answer `count` MSRs from `first` on. @throws PlinthError PL-4107 when one of them is taken */
  addMsrs(first: number, count: number, handler: MsrHandler): void {
    this.authorizeIntercepts();
    for (let index = first; index < first + count; index++) {
      if (this.#msrs.has(index)) {
        const resource = `MSR 0x${index.toString(16)}`;
        throw new PlinthError('PL-4107', { device: 'a new MSR handler', other: 'another MSR handler', resource });
      }
    }
    for (let index = first; index < first + count; index++) this.#msrs.set(index, handler);
  }

  /**
   * Writes the CPUID table that every processor answers from. Order counts: the first match answers.
   * @throws PlinthError PL-4108 with more entries than the table has
   */
  writeCpuid(entries: readonly CpuidEntry[]): void {
    if (entries.length > CPUID_LIMIT) {
      throw new PlinthError('PL-4108', { table: 'the CPUID table', limit: CPUID_LIMIT });
    }
    entries.forEach(({ leaf, subleaf = ANY_SUBLEAF, eax, ebx, ecx, edx }, position) => {
      [leaf, subleaf, eax, ebx, ecx, edx].forEach((value, field) => {
        this.#header.setUint32(SHARED.cpuid + position * CPUID_ENTRY_BYTES + field * 4, value, true);
      });
    });
    this.#header.setUint32(SHARED.cpuidCount, entries.length, true);
  }

  /** The CPUID table as it stands. */
  readCpuid(): CpuidEntry[] {
    const count = Math.min(this.#header.getUint32(SHARED.cpuidCount, true), CPUID_LIMIT);
    return Array.from({ length: count }, (_, position) => {
      const field = (number: number): number =>
        this.#header.getUint32(SHARED.cpuid + position * CPUID_ENTRY_BYTES + number * 4, true);
      const row = { leaf: field(0), eax: field(2), ebx: field(3), ecx: field(4), edx: field(5) };
      return field(1) === ANY_SUBLEAF ? row : { ...row, subleaf: field(1) };
    });
  }

  // ---- intercepts --------------------------------------------------------------------------------------------------

  now(): number {
    return this.clock.now();
  }

  portRead(port: number, size: AccessSize): number {
    const number = this.#portDevice[port] ?? 0;
    if (number !== 0 && size <= (this.#portWidest[port] as number)) {
      return this.#ownerOf(number)?.readPort?.(port, size) ?? ALL_ONES[size];
    }
    if (size === 1) return 0xff;
    return this.#readSplit(port, size);
  }

  portWrite(port: number, size: AccessSize, value: number): void {
    const number = this.#portDevice[port] ?? 0;
    if (number !== 0 && size <= (this.#portWidest[port] as number)) {
      const device = this.#ownerOf(number);
      device?.writePort?.(port, size, value);
      if (device?.deadline !== undefined) this.refreshDeadline();
    } else if (size !== 1) {
      const half = (size >> 1) as AccessSize;
      this.portWrite(port, half, value & ALL_ONES[half]);
      this.portWrite(port + half, half, (value >>> (8 * half)) & ALL_ONES[half]);
    }
  }

  mmioRead(gpa: number, size: AccessSize): number {
    for (const { start, end, device } of this.#mmio) {
      if (gpa >= start && gpa + size <= end) return device.readMmio?.(gpa - start, size) ?? ALL_ONES[size];
    }
    return ALL_ONES[size];
  }

  mmioWrite(gpa: number, size: AccessSize, value: number): void {
    for (const { start, end, device } of this.#mmio) {
      if (gpa < start || gpa + size > end) continue;
      device.writeMmio?.(gpa - start, size, value);
      if (device.deadline !== undefined) this.refreshDeadline();
      return;
    }
  }

  msrRead(index: number): bigint | undefined {
    return this.#msrs.get(index)?.read(index);
  }

  msrWrite(index: number, value: bigint): boolean {
    const handler = this.#msrs.get(index);
    if (handler === undefined) return false;
    const accepted = handler.write(index, value);
    // It may have been a timer's.
    this.refreshDeadline();
    return accepted;
  }

  hypercall(): 'absent' | 'completed' | 'again' {
    const outcome = this.hypercallHandler();
    this.refreshDeadline();
    return outcome;
  }

  floatingPointError(isNew: boolean): boolean {
    return this.floatingPointErrorHandler(isNew);
  }

  /** Runs the devices whose deadline has passed, each once: one that is far behind catches up or skips by itself. */
  deadline(): void {
    const now = this.clock.now();
    for (const device of this.#timed) {
      if ((device.deadline?.() ?? Number.POSITIVE_INFINITY) <= now) device.onDeadline?.(now);
    }
    // Told even when it is the same: the engine forgets a deadline once it has reported it.
    this.#deadline = this.nextDeadline();
    this.onDeadlineChange(this.#deadline);
  }

  acknowledgeExternalInterrupt(): number {
    return this.interruptControllers.acknowledge();
  }

  endOfInterrupt(vector: number): void {
    this.interruptControllers.endOfInterrupt(vector);
    this.onEndOfInterrupt(vector);
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** After a kick, on processor 0's thread: devices take what other threads left for them. */
  poll(): void {
    for (const device of this.#devices) device.poll?.();
    this.refreshDeadline();
  }

  /** The earliest device deadline, partition time in ns; Infinity when there is none. */
  nextDeadline(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const device of this.#timed) earliest = Math.min(earliest, device.deadline?.() ?? earliest);
    return earliest;
  }

  /** Looks at the devices' deadlines again and tells when the earliest is another one. */
  refreshDeadline(): void {
    const deadline = this.nextDeadline();
    if (deadline === this.#deadline) return;
    this.#deadline = deadline;
    this.onDeadlineChange(deadline);
  }

  /** Puts every device back to its power-on state. */
  resetDevices(): void {
    for (const device of this.#devices) device.reset();
    this.refreshDeadline();
  }

  saveDevices(): SavedDevices {
    return {
      version: SAVED_VERSION,
      devices: Object.fromEntries(this.#devices.map((device) => [device.name, device.save()])),
    };
  }

  /**
   * Restores devices by name; a device that the saved state lacks (it is older than the device) is reset.
   * @throws PlinthError PL-4102 for an unknown device, PL-4103 for a newer version, PL-4104 for malformed data
   */
  restoreDevices(saved: unknown): void {
    const malformed = (problem: string): PlinthError => new PlinthError('PL-4104', { device: 'devices', problem });
    if (typeof saved !== 'object' || saved === null) throw malformed('it is not an object');
    if (!('version' in saved) || typeof saved.version !== 'number') throw malformed('it has no version');
    const { version } = saved;
    if (version > SAVED_VERSION) {
      throw new PlinthError('PL-4103', { device: 'devices', version, newest: SAVED_VERSION });
    }
    if (version !== SAVED_VERSION) throw malformed(`version ${version} was never written`);
    if (!('devices' in saved) || typeof saved.devices !== 'object' || saved.devices === null) {
      throw malformed('it has no devices');
    }
    const states = new Map<string, unknown>(Object.entries(saved.devices));
    for (const name of states.keys()) {
      if (!this.#devices.some((device) => device.name === name)) throw new PlinthError('PL-4102', { device: name });
    }
    for (const device of this.#devices) {
      if (states.has(device.name)) device.restore(states.get(device.name));
      else device.reset();
    }
    this.refreshDeadline();
  }

  inspect(): InspectTree {
    const hexadecimal = (value: number): string => `0x${value.toString(16)}`;
    return {
      processors: this.layout.processors,
      memory: {
        ramBytes: this.layout.ramBytes,
        touchedBytes: this.guestMemory.guestTouchedBytes(),
        totalBytes: this.layout.totalBytes,
      },
      slots: this.space.slots.map(({ kind, start, end, hostOffset, priority, identifier }) => ({
        identifier,
        kind,
        start: hexadecimal(start),
        end: hexadecimal(end),
        hostOffset: hexadecimal(hostOffset),
        priority,
      })),
      ports: this.#devices.flatMap(({ name, ports }) =>
        ports.map(({ first, count }) => `${hexadecimal(first)}-${hexadecimal(first + count - 1)} ${name}`),
      ),
      mmio: this.#mmio.map(({ start, end, device }) => `${hexadecimal(start)}-${hexadecimal(end - 1)} ${device.name}`),
      devices: Object.fromEntries(this.#devices.map((device) => [device.name, device.inspect()])),
    };
  }

  #ownerOf(number: number | undefined): Device | undefined {
    return number === undefined ? undefined : this.#devices[number - 1];
  }

  /** A wide access to narrow ports, or across the end of a device: its halves, low bytes first. */
  #readSplit(port: number, size: 2 | 4): number {
    const half: AccessSize = size === 4 ? 2 : 1;
    const low = this.portRead(port, half);
    const high = this.portRead(port + half, half);
    return ((high << (8 * half)) | low) >>> 0;
  }
}
