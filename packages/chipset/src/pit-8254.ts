/**
 * 8254 interval timer (Intel 8254 data sheet) with the PC's port 61h: channel 0 is IRQ 0, channel 2 the speaker's tone
 * that operating systems measure their clocks with. Channel 1 (memory refresh) counts, and drives nothing.
 *
 * Nothing ticks: a counter is computed from the partition clock and the time it was loaded at, so counters neither drift
 * nor cost anything. Only channel 0 has deadlines, on the grid of its period; periods that passed unseen are one interrupt.
 *
 * Invariants: a count is 1-65536 (1-10000 in BCD); gates of channels 0 and 1 are always high. Called by: the partition.
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

/** Input clock in Hz. */
export const PIT_FREQUENCY = 1193182;
const NANOSECONDS = 1e9;
/** Half a period of the refresh request that port 61h bit 4 shows: 18 ticks. */
export const REFRESH_TOGGLE_NANOSECONDS = 15085;

const CHANNELS = 3;
const three = (type: 'u8' | 'u16' | 'u32' | 'f64') => ({ type, length: CHANNELS }) as const;
const STATE = describeState(1, {
  mode: three('u8'),
  bcd: three('u8'),
  /** 1 low byte, 2 high byte, 3 low then high. */
  access: three('u8'),
  /** Count that was last loaded; 0 until the first. */
  count: three('u32'),
  loaded: three('u8'),
  /** Partition time (ns) that tick 0 of the counter stands for. */
  start: three('f64'),
  /** Ticks counted when the gate went low. */
  frozen: three('f64'),
  gate: three('u8'),
  readHigh: three('u8'),
  writeHigh: three('u8'),
  writeLow: three('u8'),
  latched: three('u8'),
  latch: three('u16'),
  statusLatched: three('u8'),
  status: three('u8'),
  speakerEnable: 'u8',
  deadline: 'f64',
});

export interface PitOptions {
  readonly clock: PartitionClock;
  /** IRQ 0. */
  readonly line: InterruptLine;
}

export class Pit8254 implements Device {
  readonly name = 'pit';
  readonly ports: readonly PortRange[] = [
    { first: 0x40, count: 4 },
    { first: 0x61, count: 1 },
  ];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #clock: PartitionClock;
  readonly #line: InterruptLine;

  constructor(area: DeviceArea, options: PitOptions) {
    this.#clock = options.clock;
    this.#line = options.line;
    this.#state = area.attach(this.name, STATE);
    if (this.#state.fresh) this.reset();
  }

  readPort(port: number, _size: AccessSize): number {
    this.#state.lock();
    try {
      if (port === 0x61) return this.#readSystemControl();
      const channel = port & 3;
      // The control word cannot be read.
      return channel === CHANNELS ? 0 : this.#readCounter(channel);
    } finally {
      this.#state.unlock();
    }
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    this.#state.lock();
    try {
      if (port === 0x61) this.#writeSystemControl(value);
      else if ((port & 3) === CHANNELS) this.#writeControl(value & 0xff);
      else this.#writeCounter(port & 3, value & 0xff);
    } finally {
      this.#state.unlock();
    }
  }

  deadline(): number {
    return this.#state.values.deadline;
  }

  onDeadline(now: number): void {
    this.#state.lock();
    try {
      const { values } = this.#state;
      if (now < values.deadline) return;
      // A rising edge, whatever the line was: in modes 2-4 the output dips for it.
      this.#line.set(0);
      this.#line.set(1);
      values.deadline = this.#isPeriodic(0) ? this.#nextPeriod(now) : Number.POSITIVE_INFINITY;
    } finally {
      this.#state.unlock();
    }
  }

  reset(): void {
    const { values } = this.#state;
    this.#state.clear();
    values.mode.fill(3);
    values.access.fill(3);
    values.gate.set([1, 1, 0]);
    values.deadline = Number.POSITIVE_INFINITY;
    this.#line.set(0);
  }

  inspect(): InspectTree {
    const now = this.#clock.now();
    const { values } = this.#state;
    return {
      channels: [0, 1, 2].map((channel) => ({
        mode: at(values.mode, channel),
        count: at(values.count, channel),
        current: this.#current(channel, now),
        output: this.#output(channel, now),
        gate: at(values.gate, channel),
      })),
      deadline: Number.isFinite(values.deadline) ? values.deadline : null,
    };
  }

  save(): unknown {
    return this.#state.save();
  }

  restore(saved: unknown): void {
    this.#state.restore(saved);
    this.#line.set(this.#output(0, this.#clock.now()));
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  /** Ticks since the counter was loaded or triggered, while its gate let it count. */
  #elapsed(channel: number, now: number): number {
    const { values } = this.#state;
    if (at(values.gate, channel) === 0 && !this.#isTriggered(channel)) return at(values.frozen, channel);
    return Math.max(0, Math.floor(((now - at(values.start, channel)) * PIT_FREQUENCY) / NANOSECONDS));
  }

  #period(channel: number): number {
    return at(this.#state.values.count, channel) || 1;
  }

  #isPeriodic(channel: number): boolean {
    const mode = at(this.#state.values.mode, channel);
    return mode === 2 || mode === 3;
  }

  /** Modes 1 and 5 wait for a rising gate and then do not mind its level. */
  #isTriggered(channel: number): boolean {
    const mode = at(this.#state.values.mode, channel);
    return mode === 1 || mode === 5;
  }

  /** The time at which the period that is running at `now` ends. */
  #nextPeriod(now: number): number {
    const start = at(this.#state.values.start, 0);
    const period = this.#period(0);
    const number = Math.floor(this.#elapsed(0, now) / period) + 1;
    const next = start + Math.ceil((number * period * NANOSECONDS) / PIT_FREQUENCY);
    // Rounding must not give back the deadline that has just passed.
    return next > now ? next : start + Math.ceil(((number + 1) * period * NANOSECONDS) / PIT_FREQUENCY);
  }

  /** The counting element, binary. */
  #counter(channel: number, now: number): number {
    const { values } = this.#state;
    const elapsed = this.#elapsed(channel, now);
    const period = this.#period(channel);
    const modulus = at(values.bcd, channel) !== 0 ? 10000 : 65536;
    switch (at(values.mode, channel)) {
      case 2:
        return period - (elapsed % period);
      case 3: {
        // By two per tick, over both halves of the square.
        const even = period & ~1 || 2;
        return even - ((2 * elapsed) % even);
      }
      default:
        // One-shots go on through zero.
        return (((period - elapsed) % modulus) + modulus) % modulus;
    }
  }

  /** What reading the counter gives: 16 bits, BCD where that was asked for; 65536 and 10000 read as 0. */
  #current(channel: number, now: number): number {
    const counter = this.#counter(channel, now);
    return at(this.#state.values.bcd, channel) !== 0 ? toBcd(counter % 10000) : counter & 0xffff;
  }

  #output(channel: number, now: number): 0 | 1 {
    const { values } = this.#state;
    const mode = at(values.mode, channel);
    if (at(values.loaded, channel) === 0) return mode === 0 ? 0 : 1;
    const elapsed = this.#elapsed(channel, now);
    const period = this.#period(channel);
    switch (mode) {
      case 0:
      case 1:
        return elapsed >= period ? 1 : 0;
      case 2:
        return at(values.gate, channel) === 0 || elapsed % period !== period - 1 ? 1 : 0;
      case 3:
        return at(values.gate, channel) === 0 || elapsed % period < Math.ceil(period / 2) ? 1 : 0;
      default:
        return elapsed === period ? 0 : 1;
    }
  }

  // ---- registers ---------------------------------------------------------------------------------------------------

  #writeControl(value: number): void {
    const select = value >> 6;
    if (select === 3) {
      this.#readBack(value);
      return;
    }
    const access = (value >> 4) & 3;
    if (access === 0) {
      this.#latchCounter(select);
      return;
    }
    const { values } = this.#state;
    const mode = (value >> 1) & 7;
    values.mode[select] = mode > 5 ? mode - 4 : mode;
    values.bcd[select] = value & 1;
    values.access[select] = access;
    values.loaded[select] = 0;
    values.count[select] = 0;
    values.frozen[select] = 0;
    values.start[select] = this.#clock.now();
    values.readHigh[select] = 0;
    values.writeHigh[select] = 0;
    values.latched[select] = 0;
    values.statusLatched[select] = 0;
    if (select === 0) {
      values.deadline = Number.POSITIVE_INFINITY;
      this.#line.set(mode === 0 ? 0 : 1);
    }
  }

  #writeCounter(channel: number, value: number): void {
    const { values } = this.#state;
    switch (at(values.access, channel)) {
      case 1:
        this.#load(channel, value);
        break;
      case 2:
        this.#load(channel, value << 8);
        break;
      default:
        if (at(values.writeHigh, channel) === 0) {
          values.writeLow[channel] = value;
          values.writeHigh[channel] = 1;
        } else {
          values.writeHigh[channel] = 0;
          this.#load(channel, (value << 8) | at(values.writeLow, channel));
        }
    }
  }

  #load(channel: number, written: number): void {
    const { values } = this.#state;
    const now = this.#clock.now();
    const bcd = at(values.bcd, channel) !== 0;
    values.count[channel] = bcd ? fromBcd(written) || 10000 : written || 65536;
    // Triggered modes wait for the gate; the others start with the count.
    if (!this.#isTriggered(channel)) {
      values.loaded[channel] = 1;
      values.start[channel] = now;
      values.frozen[channel] = 0;
    }
    if (channel !== 0 || this.#isTriggered(0)) return;
    this.#line.set(this.#output(0, now));
    const ticks = this.#period(0) + (at(values.mode, 0) === 4 ? 1 : 0);
    values.deadline = now + Math.ceil((ticks * NANOSECONDS) / PIT_FREQUENCY);
  }

  #readCounter(channel: number): number {
    const { values } = this.#state;
    if (at(values.statusLatched, channel) !== 0) {
      values.statusLatched[channel] = 0;
      return at(values.status, channel);
    }
    const access = at(values.access, channel);
    const value =
      at(values.latched, channel) !== 0 ? at(values.latch, channel) : this.#current(channel, this.#clock.now());
    if (access !== 3) {
      values.latched[channel] = 0;
      return access === 1 ? value & 0xff : value >> 8;
    }
    const high = at(values.readHigh, channel);
    values.readHigh[channel] = high ^ 1;
    if (high !== 0) values.latched[channel] = 0;
    return high !== 0 ? value >> 8 : value & 0xff;
  }

  #latchCounter(channel: number): void {
    const { values } = this.#state;
    if (at(values.latched, channel) !== 0) return;
    values.latched[channel] = 1;
    values.latch[channel] = this.#current(channel, this.#clock.now());
  }

  #readBack(value: number): void {
    const { values } = this.#state;
    const now = this.#clock.now();
    for (let channel = 0; channel < CHANNELS; channel++) {
      if ((value & (2 << channel)) === 0) continue;
      if ((value & 0x20) === 0) this.#latchCounter(channel);
      if ((value & 0x10) === 0 && at(values.statusLatched, channel) === 0) {
        values.statusLatched[channel] = 1;
        values.status[channel] =
          (this.#output(channel, now) << 7) |
          ((at(values.loaded, channel) ^ 1) << 6) |
          (at(values.access, channel) << 4) |
          (at(values.mode, channel) << 1) |
          at(values.bcd, channel);
      }
    }
  }

  #readSystemControl(): number {
    const { values } = this.#state;
    const now = this.#clock.now();
    const refresh = Math.floor(now / REFRESH_TOGGLE_NANOSECONDS) & 1;
    return at(values.gate, 2) | (values.speakerEnable << 1) | (refresh << 4) | (this.#output(2, now) << 5);
  }

  #writeSystemControl(value: number): void {
    const { values } = this.#state;
    values.speakerEnable = (value >> 1) & 1;
    const gate = value & 1;
    const before = at(values.gate, 2);
    if (gate === before) return;
    const now = this.#clock.now();
    if (gate === 0) {
      values.frozen[2] = this.#elapsed(2, now);
      values.gate[2] = 0;
      return;
    }
    values.gate[2] = 1;
    const mode = at(values.mode, 2);
    // One-shots go on where the gate stopped them; all other modes start again with a rising gate.
    const resumed = mode === 0 || mode === 4 ? at(values.frozen, 2) : 0;
    values.start[2] = now - (resumed * NANOSECONDS) / PIT_FREQUENCY;
    if (this.#isTriggered(2) && at(values.count, 2) !== 0) values.loaded[2] = 1;
  }
}

const at = (values: ArrayLike<number>, channel: number): number => values[channel] ?? 0;

const toBcd = (value: number): number => {
  let digits = 0;
  for (let place = 0, rest = value; place < 16; place += 4, rest = Math.floor(rest / 10))
    digits |= (rest % 10) << place;
  return digits;
};

const fromBcd = (digits: number): number => {
  let value = 0;
  for (let place = 12; place >= 0; place -= 4) value = value * 10 + ((digits >> place) & 15);
  return value;
};
