/**
 * ACPI fixed hardware (ACPI 6.5, 4.8.3): PM1a event and control registers, the PM timer, and the soft-off they lead to.
 *
 * The machine is always in ACPI mode (there is no SMI command port), has a fixed power button, no sleep button, no general
 * purpose events, and one sleep state, S5. Its interrupt is the SCI, level-triggered on IRQ 9.
 *
 * Invariant: SCI is up exactly while an enabled status bit is. Called by: the partition; `pressPowerButton` by any thread.
 */
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type InterruptLine,
  type PartitionClock,
  type PortRange,
  type SharedState,
} from '@plinth/hypervisor';
import { PM_TIMER_PORT, PM1_CONTROL_PORT, PM1_EVENT_PORT, S5_SLEEP_TYPE } from './acpi/placement.ts';

export const PM_TIMER_FREQUENCY = 3579545;

const STATE = describeState(1, {
  status: 'u16',
  enable: 'u16',
  control: 'u16',
  /** Number of the timer's half turn (of 2^31 ticks) that the guest knows of. */
  seenHalfTurn: 'f64',
  line: 'u8',
  deadline: 'f64',
  /** Somebody pressed the power button; taken by `poll`. */
  pressed: { type: 'u32', length: 1, transient: true },
});

const TIMER_STATUS = 0x0001;
const POWER_BUTTON_STATUS = 0x0100;
/** Status bits that exist: timer, bus master, global lock, power button, sleep button, RTC, wake. */
const STATUS_BITS = 0x8731;
const ENABLE_BITS = 0x0721;
const SCI_ENABLE = 0x0001;
const SLEEP_TYPE_SHIFT = 10;
const SLEEP_ENABLE = 0x2000;
/** Bus master reload, sleep type: what a read gives back of a write. */
const CONTROL_BITS = 0x1c02;
const HALF_TURN_TICKS = 2 ** 31;

export interface AcpiPmOptions {
  readonly clock: PartitionClock;
  /** IRQ 9, level-triggered. */
  readonly line: InterruptLine;
  readonly powerOff: () => void;
  readonly wake: () => void;
}

export class AcpiPm implements Device {
  readonly name = 'acpi-pm';
  readonly ports: readonly PortRange[] = [
    { first: PM1_EVENT_PORT, count: 4, widest: 2 },
    { first: PM1_CONTROL_PORT, count: 2, widest: 2 },
    { first: PM_TIMER_PORT, count: 4, widest: 4 },
  ];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #options: AcpiPmOptions;

  constructor(area: DeviceArea, options: AcpiPmOptions) {
    this.#options = options;
    this.#state = area.attach(this.name, STATE);
    if (this.#state.fresh) this.reset();
  }

  /** The power button, from any thread: the guest's operating system decides what comes of it. */
  pressPowerButton(): void {
    Atomics.store(this.#state.values.pressed, 0, 1);
    this.#options.wake();
  }

  readPort(port: number, size: AccessSize): number {
    if (port >= PM_TIMER_PORT && port < PM_TIMER_PORT + 4) {
      return part(Math.floor(this.#ticks()) >>> 0, (port - PM_TIMER_PORT) * 8, size);
    }
    const { values } = this.#state;
    const shift = (port & 1) * 8;
    if (port >= PM1_CONTROL_PORT) return part(values.control | SCI_ENABLE, shift, size);
    if (port >= PM1_EVENT_PORT + 2) return part(values.enable, shift, size);
    this.#lookAtTimer();
    return part(values.status, shift, size);
  }

  writePort(port: number, size: AccessSize, value: number): void {
    // The timer cannot be written.
    if (port >= PM_TIMER_PORT) return;
    const shift = (port & 1) * 8;
    const mask = ((size === 1 ? 0xff : 0xffff) << shift) & 0xffff;
    const written = (value << shift) & mask;
    if (port >= PM1_CONTROL_PORT) {
      this.#writeControl(written, mask);
      return;
    }
    this.#state.lock();
    try {
      const { values } = this.#state;
      this.#lookAtTimer();
      if (port >= PM1_EVENT_PORT + 2) values.enable = ((values.enable & ~mask) | written) & ENABLE_BITS;
      else values.status &= ~(written & STATUS_BITS);
      this.#update();
    } finally {
      this.#state.unlock();
    }
  }

  deadline(): number {
    return this.#state.values.deadline;
  }

  onDeadline(_now: number): void {
    this.#state.lock();
    try {
      this.#lookAtTimer();
      this.#update();
    } finally {
      this.#state.unlock();
    }
  }

  poll(): void {
    if (Atomics.exchange(this.#state.values.pressed, 0, 0) === 0) return;
    this.#state.lock();
    try {
      this.#state.values.status |= POWER_BUTTON_STATUS;
      this.#update();
    } finally {
      this.#state.unlock();
    }
  }

  reset(): void {
    this.#state.clear();
    this.#state.values.seenHalfTurn = this.#halfTurn();
    this.#state.values.deadline = Number.POSITIVE_INFINITY;
    this.#options.line.set(0);
  }

  inspect(): InspectTree {
    return { ...this.#state.inspect(), timer: Math.floor(this.#ticks()) >>> 0 };
  }

  save(): unknown {
    return this.#state.save();
  }

  restore(saved: unknown): void {
    this.#state.restore(saved);
    this.#options.line.set(this.#state.values.line === 0 ? 0 : 1);
    this.#update();
  }

  #writeControl(written: number, mask: number): void {
    const { values } = this.#state;
    const control = (values.control & ~mask) | written;
    values.control = control & CONTROL_BITS;
    if ((written & SLEEP_ENABLE) !== 0 && ((control >> SLEEP_TYPE_SHIFT) & 7) === S5_SLEEP_TYPE)
      this.#options.powerOff();
  }

  /** Ticks since the partition's clock began, not wrapped. */
  #ticks(): number {
    return (this.#options.clock.now() * PM_TIMER_FREQUENCY) / 1e9;
  }

  #halfTurn(): number {
    return Math.floor(this.#ticks() / HALF_TURN_TICKS);
  }

  /** The timer's status bit is set whenever its highest bit has changed. */
  #lookAtTimer(): void {
    const { values } = this.#state;
    const halfTurn = this.#halfTurn();
    if (halfTurn === values.seenHalfTurn) return;
    values.seenHalfTurn = halfTurn;
    values.status |= TIMER_STATUS;
  }

  #update(): void {
    const { values } = this.#state;
    const level = (values.status & values.enable) !== 0 ? 1 : 0;
    if (level !== values.line) {
      values.line = level;
      this.#options.line.set(level);
    }
    values.deadline =
      (values.enable & ~values.status & TIMER_STATUS) !== 0
        ? ((values.seenHalfTurn + 1) * HALF_TURN_TICKS * 1e9) / PM_TIMER_FREQUENCY
        : Number.POSITIVE_INFINITY;
  }
}

/** The bytes of a register that an access of `size` at a bit offset reads. */
const part = (value: number, shift: number, size: AccessSize): number =>
  size === 4 ? (value >>> shift) >>> 0 : (value >>> shift) & (size === 1 ? 0xff : 0xffff);
