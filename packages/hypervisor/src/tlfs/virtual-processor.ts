/**
 * What the interface keeps for one virtual processor, and what it needs of the thread that runs it.
 * Called by: guest-interface.ts, which makes one for each; the tables of MSRs and hypercalls work on it.
 */
import type { InspectTree } from '../device.ts';
import type { EnlightenedProcessor, InterruptMessage } from '../engine.ts';
import { describeState, type SharedState } from '../shared-state.ts';
import type { GuestCrash } from './guest-crash.ts';
import { OVERLAY } from './overlay-pages.ts';
import type { PartitionState } from './partition-state.ts';
import { Synic, type SynicHost } from './synic.ts';
import { SyntheticTimers } from './synthetic-timers.ts';
import { Words64 } from './words.ts';

/** What the interface asks of the machine around it. On the main thread, which runs no processor, most of it does nothing. */
export interface GuestInterfaceHost {
  /** Takes an interrupt message to the local APICs; from any thread. */
  deliver(message: InterruptMessage): void;
  /** The guest asked for a reset. */
  reset(): void;
  /** The guest reported its own crash. */
  guestCrashed(crash: GuestCrash): void;
  /** Something new for the root: messages, event flags, or room to post again. */
  wakeRoot(): void;
  /** Sleeps until an interrupt or a deadline, or for a while; returning early is allowed. */
  idle(): void;
  /** Nanoseconds that this thread's processor has run. */
  runTime(): number;
}

const STATE = describeState(1, { assistPage: { type: 'u32', length: 2 } });

export class VirtualProcessorState {
  readonly index: number;
  readonly shared: PartitionState;
  readonly host: GuestInterfaceHost;
  readonly synic: Synic;
  readonly timers: SyntheticTimers;
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #assistPage: Words64;
  #processor: EnlightenedProcessor | undefined;

  constructor(shared: PartitionState, index: number, host: GuestInterfaceHost, roomAgain: () => void) {
    this.index = index;
    this.shared = shared;
    this.host = host;
    const { partition, overlays } = shared;
    const synicHost: SynicHost = {
      deliver: (message) => host.deliver(message),
      assistVector: (_, vector, assist) => this.#processor?.setVectorAssist(vector, assist),
      roomAgain,
    };
    this.synic = new Synic(partition, overlays, index, synicHost);
    this.timers = new SyntheticTimers(partition, this.synic, shared.time, (message) => host.deliver(message));
    this.#state = partition.deviceArea.attach(`virtual-processor-${index}`, STATE);
    this.#assistPage = new Words64(this.#state.values.assistPage);
  }

  /** The processor, on its own thread. */
  get processor(): EnlightenedProcessor {
    if (this.#processor === undefined) throw new RangeError(`processor ${this.index} runs on another thread`);
    return this.#processor;
  }

  attachProcessor(processor: EnlightenedProcessor): void {
    this.#processor = processor;
    this.synic.assistVectors();
  }

  get isHere(): boolean {
    return this.#processor !== undefined;
  }

  get assistPage(): bigint {
    return this.#assistPage.get();
  }

  setAssistPage(value: bigint): void {
    const { overlays } = this.shared;
    const page = OVERLAY.assist(this.index);
    if (this.#assistPage.low() % 2 === 0 && value % 2n === 1n) overlays.page(page, 'write').fill(0);
    this.#assistPage.set(value);
    overlays.place(page, value, 'overlay');
  }

  reset(): void {
    this.synic.reset();
    this.timers.reset();
    this.setAssistPage(0n);
  }

  inspect(): InspectTree {
    return {
      assistPage: `0x${this.assistPage.toString(16)}`,
      synic: this.synic.inspect(),
      timers: this.timers.inspect(),
    };
  }

  save(): {
    readonly synic: unknown;
    readonly timers: unknown;
    readonly registers: unknown;
    readonly assistPage: readonly number[];
  } {
    return {
      synic: this.synic.save(),
      timers: this.timers.save(),
      registers: this.#state.save(),
      assistPage: Array.from(this.shared.overlays.page(OVERLAY.assist(this.index), 'read')),
    };
  }

  /** @throws PlinthError PL-4103, PL-4104 for what `save` did not give */
  restore(saved: { readonly registers: unknown; readonly timers: unknown; readonly assistPage: Uint8Array }): void {
    this.#state.restore(saved.registers);
    this.timers.restore(saved.timers);
    this.shared.overlays.page(OVERLAY.assist(this.index), 'write').set(saved.assistPage);
    this.shared.overlays.place(OVERLAY.assist(this.index), this.assistPage, 'overlay');
  }
}
