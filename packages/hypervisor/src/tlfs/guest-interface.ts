/**
 * The hypervisor's interface to the guests of one partition (TLFS), on one thread: synthetic MSRs, hypercalls, SynIC, timers, pages.
 *
 *     RDMSR, WRMSR 0x4000xxxx ──> synthetic-msrs.ts ──┬─> partition-state.ts  (identity, hypercall page, reference time, crash)
 *     VMMCALL ──> hypercall-interface.ts ──> hypercalls.ts ─┤
 *                                                     └─> virtual-processor.ts (assist page) ──> synic.ts, synthetic-timers.ts
 *                                                     └─> ports.ts ──> the root
 *
 * It is a device of the partition: it has deadlines (timers), a reset, a saved state and an `inspect` tree. Each thread that has the
 * partition has one over the same shared state; processors are attached on the threads that run them.
 *
 * Invariant: without it (`--cpu-features -hypervisor`) none of the registers and calls exist. Called by: vmwp, on every thread.
 */
import { PlinthError } from '@plinth/errors';
import type { Device, InspectTree } from '../device.ts';
import type { EnlightenedProcessor } from '../engine.ts';
import type { Partition } from '../partition.ts';
import { HypercallInterface } from './hypercall-interface.ts';
import { HYPERCALLS } from './hypercalls.ts';
import { OverlayPages } from './overlay-pages.ts';
import { PartitionState } from './partition-state.ts';
import { Ports } from './ports.ts';
import { readSyntheticMsr, SYNTHETIC_MSRS, writeSyntheticMsr } from './synthetic-msrs.ts';
import { type GuestInterfaceHost, VirtualProcessorState } from './virtual-processor.ts';

const SAVED_VERSION = 1;
const PAGE_BYTES = 4096;
const TSC_ADJUST = 0x3b;

export class GuestInterface implements Device {
  readonly name = 'hypervisor';
  readonly ports = [];
  readonly mmio = [];
  readonly shared: PartitionState;
  readonly connections: Ports;
  readonly processors: readonly VirtualProcessorState[];
  readonly #hypercalls: HypercallInterface;

  constructor(partition: Partition, host: GuestInterfaceHost) {
    this.shared = new PartitionState(partition, new OverlayPages(partition));
    this.connections = new Ports(partition);
    this.processors = Array.from(
      { length: partition.layout.processors },
      (_, index) =>
        new VirtualProcessorState(this.shared, index, host, () => this.connections.wakeRoot(() => host.wakeRoot())),
    );
    this.#hypercalls = new HypercallInterface(partition.deviceArea, HYPERCALLS, this.processors, this.connections);
  }

  /**
   * Has the partition's intercepts of a processor answered here.
   * @param processor the one that this thread runs
   */
  attach(partition: Partition, processor: EnlightenedProcessor): void {
    const vp = this.processors[processor.index];
    if (vp === undefined) throw new RangeError(`processor ${processor.index} of ${this.processors.length}`);
    vp.attachProcessor(processor);
    const handler = {
      read: (index: number) => readSyntheticMsr(vp, index),
      write: (index: number, value: bigint) => writeSyntheticMsr(vp, index, value),
    };
    for (const { first, count } of SYNTHETIC_MSRS) partition.addMsrs(first, count, handler);
    partition.addMsrs(TSC_ADJUST, 1, {
      read: () => undefined,
      write: (_, value) => {
        // The page is the whole partition's: its TSCs run alike, and the first processor's counts.
        if (vp.index === 0) this.shared.setTscAdjust(value);
        return true;
      },
    });
    partition.hypercallHandler = () => this.#hypercalls.execute(vp);
    partition.onEndOfInterrupt = (vector) => vp.synic.endOfInterrupt(vector);
    partition.addDevice(this);
  }

  deadline(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { timers } of this.processors) earliest = Math.min(earliest, timers.deadline());
    return earliest;
  }

  onDeadline(): void {
    for (const { timers } of this.processors) timers.onDeadline();
  }

  reset(): void {
    this.shared.reset();
    for (const vp of this.processors) vp.reset();
    this.connections.forgetReceived();
  }

  inspect(): InspectTree {
    return {
      ...this.shared.inspect(),
      processors: Object.fromEntries(this.processors.map((vp) => [vp.index, vp.inspect()])),
      ports: this.connections.inspect(),
      hypercalls: this.#hypercalls.counts,
    };
  }

  save(): unknown {
    return {
      version: SAVED_VERSION,
      partition: this.shared.save(),
      ports: this.connections.save(),
      processors: this.processors.map((vp) => vp.save()),
    };
  }

  /** @throws PlinthError PL-4103 for a newer version, PL-4104 for anything that `save` did not give */
  restore(saved: unknown): void {
    const malformed = (problem: string): PlinthError => new PlinthError('PL-4104', { device: this.name, problem });
    const record = (value: unknown, what: string): Readonly<Record<string, unknown>> => {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
      throw malformed(`${what} is no object`);
    };
    const page = (value: unknown, what: string): Uint8Array => {
      const isPage =
        Array.isArray(value) &&
        value.length === PAGE_BYTES &&
        value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 0xff);
      if (!isPage) throw malformed(`${what} is no page`);
      return Uint8Array.from(value);
    };
    const { version, partition, ports, processors } = record(saved, 'it');
    if (typeof version !== 'number') throw malformed('it has no version');
    if (version > SAVED_VERSION) {
      throw new PlinthError('PL-4103', { device: this.name, version, newest: SAVED_VERSION });
    }
    if (version !== SAVED_VERSION) throw malformed(`version ${version} was never written`);
    if (!Array.isArray(processors) || processors.length !== this.processors.length) {
      throw malformed('it is of a partition with another number of processors');
    }
    const parts = processors.map((processor) => {
      const { synic, timers, registers, assistPage } = record(processor, 'a processor');
      const { state, messagePage, eventFlagsPage } = record(synic, 'a SynIC');
      return {
        processor: { timers, registers, assistPage: page(assistPage, 'an assist page') },
        synic: {
          state,
          messagePage: page(messagePage, 'a message page'),
          eventFlagsPage: page(eventFlagsPage, 'an event flags page'),
        },
      };
    });
    this.shared.restore(partition);
    this.connections.restore(ports);
    parts.forEach(({ processor, synic }, index) => {
      this.processors[index]?.restore(processor);
      this.processors[index]?.synic.restore(synic);
    });
  }
}
