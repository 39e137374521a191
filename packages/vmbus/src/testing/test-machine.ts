/**
 * A partition's memory and a SynIC made of arrays: one message slot for each processor, event flags, things to be run later.
 * Called by: tests.
 */
import { type GuestMemory, Partition } from '@plinth/hypervisor';
import type { VmbusEvent } from '../server-types.ts';
import { type HostPort, VmBus } from '../vmbus.ts';

const SINT = 2;
const PAGE_BYTES = 4096;

export class TestHost implements HostPort {
  readonly events: VmbusEvent[] = [];
  /** By processor: the message in its slot. */
  readonly slots = new Map<number, Uint8Array>();
  /** By processor: flags that are set. */
  readonly flags = new Map<number, Set<number>>();
  /** Channels that the guest may signal. */
  readonly ports = new Set<number>();
  readonly deferred: (() => void)[] = [];
  /** While false, no message can be delivered, as before the guest enabled its SynIC. */
  enabled = true;
  signals = 0;

  postMessage(processor: number, sint: number, message: Uint8Array): 'delivered' | 'pending' {
    if (!this.enabled || sint !== SINT || this.slots.has(processor)) return 'pending';
    this.slots.set(processor, message);
    return 'delivered';
  }

  signalEvent(processor: number, sint: number, flag: number): void {
    if (sint !== SINT) throw new Error(`event on SINT ${sint}`);
    this.signals++;
    const set = this.flags.get(processor) ?? new Set();
    this.flags.set(processor, set.add(flag));
  }

  signalPort(channelId: number, present: boolean): void {
    if (present) this.ports.add(channelId);
    else this.ports.delete(channelId);
  }

  defer(run: () => void): void {
    this.deferred.push(run);
  }

  report(event: VmbusEvent): void {
    this.events.push(event);
  }

  /** Runs what was deferred, and what that defers, at most `limit` of them. */
  settle(limit = 10_000): void {
    for (let count = 0; count < limit; count++) {
      const run = this.deferred.shift();
      if (run === undefined) return;
      run();
    }
  }

  warnings(): string[] {
    return this.events.filter(({ level }) => level === 'warning').map(({ text }) => text);
  }
}

export interface TestMachineOptions {
  readonly ramBytes?: number;
  readonly processors?: number;
  readonly maximumVersion?: number;
}

/** One VM: memory, SynIC and bus. */
export class TestMachine {
  readonly host = new TestHost();
  readonly memory: GuestMemory;
  readonly processors: number;
  /** The one that the guest talks to. */
  bus: VmBus;
  readonly #view: DataView;
  readonly ramBytes: number;
  #nextPage: number;

  constructor(options: TestMachineOptions = {}) {
    const { ramBytes = 8 * 2 ** 20, processors = 2, maximumVersion } = options;
    const partition = Partition.create({ ramBytes, processors, clock: { now: () => 0 } });
    this.ramBytes = ramBytes;
    this.memory = partition.guestMemory;
    this.processors = processors;
    this.#view = new DataView(partition.memory.buffer, partition.layout.ramOffset, ramBytes);
    this.#nextPage = 0x100000 / PAGE_BYTES;
    this.bus = this.newBus(maximumVersion);
  }

  /** Another bus over the same memory: what a restored VM has. */
  newBus(maximumVersion?: number): VmBus {
    const { memory, host, processors } = this;
    return new VmBus({ memory, host, processors, ...(maximumVersion === undefined ? {} : { maximumVersion }) });
  }

  /**
   * Saves the bus and goes on with a restored one, as a VM does that is saved and started again: whoever talks to the old one is
   * told that it was reset.
   * @param offer gives the new bus its devices
   */
  saveAndRestore(offer: (bus: VmBus) => void): VmBus {
    // Through text, as a file would have it.
    const saved: unknown = JSON.parse(JSON.stringify(this.bus.save()));
    this.bus.reset();
    this.host.deferred.length = 0;
    this.bus = this.newBus();
    offer(this.bus);
    this.bus.restore(saved);
    return this.bus;
  }

  /** RAM as the guest sees it. */
  get view(): DataView {
    return this.#view;
  }

  /** Addresses of fresh zero pages of the guest; `scattered` for ones that do not lie side by side. */
  allocate(pages: number, scattered = false): number[] {
    const step = scattered ? 2 : 1;
    return Array.from({ length: pages }, () => {
      if ((this.#nextPage + step) * PAGE_BYTES > this.ramBytes) this.#nextPage = 0x100000 / PAGE_BYTES;
      const gpa = this.#nextPage * PAGE_BYTES;
      this.#nextPage += step;
      new Uint8Array(this.#view.buffer, this.#view.byteOffset + gpa, PAGE_BYTES).fill(0);
      return gpa;
    });
  }
}
