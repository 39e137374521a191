/**
 * Port 0x61 of a machine without an i8254 (generation 2): what software looks at that waits by it, or wants to know about parity.
 *
 * Bits 0 and 1 (the timer's gate, the speaker) are kept as they are written, bit 4 turns over with what would be the refreshes of DRAM,
 * bit 5 (the timer's output) is low as nothing drives it. Where there is an i8254, the port is part of it (pit-8254.ts).
 * Called by: chipset.ts.
 */
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type PartitionClock,
  type PortRange,
  type SharedState,
} from '@plinth/hypervisor';
import { REFRESH_TOGGLE_NANOSECONDS } from './pit-8254.ts';

const STATE = describeState(1, { kept: 'u8' });

const PORT = 0x61;
const KEPT_BITS = 0x03;
const REFRESH_BIT = 4;

export class SystemControl implements Device {
  readonly name = 'system-control';
  readonly ports: readonly PortRange[] = [{ first: PORT, count: 1 }];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #clock: PartitionClock;

  constructor(area: DeviceArea, clock: PartitionClock) {
    this.#state = area.attach(this.name, STATE);
    this.#clock = clock;
  }

  readPort(_port: number, _size: AccessSize): number {
    const refresh = Math.floor(this.#clock.now() / REFRESH_TOGGLE_NANOSECONDS) & 1;
    return this.#state.values.kept | (refresh << REFRESH_BIT);
  }

  writePort(_port: number, _size: AccessSize, value: number): void {
    this.#state.values.kept = value & KEPT_BITS;
  }

  reset(): void {
    this.#state.clear();
  }

  inspect(): InspectTree {
    return this.#state.inspect();
  }

  save(): unknown {
    return this.#state.save();
  }

  /** @throws PlinthError PL-4103, PL-4104 for what `save` did not give */
  restore(saved: unknown): void {
    this.#state.restore(saved);
  }
}
