/**
 * MC146818 real-time clock with 128 bytes of CMOS RAM (Motorola MC146818A data sheet; driver: Linux drivers/rtc/rtc-cmos.c and
 * rtc-mc146818-lib.c): the time of day in UTC, alarm, periodic and update interrupts on IRQ 8, the century in 0x32.
 *
 * The time is the host's plus what the guest has set it off by, in whole seconds: seconds change when the host's do, and
 * update-in-progress is up in the last 2 ms before. Event flags are computed when somebody looks or a deadline passes; a
 * flag that is already up asks for no further deadline, so an unread clock costs nothing.
 *
 * Invariants: the offset is finite; register values a guest writes are taken as they are and normalized by the calendar.
 * Called by: the partition.
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

const CMOS_BYTES = 128;

const STATE = describeState(1, {
  index: 'u8',
  controlA: 'u8',
  controlB: 'u8',
  /** Periodic, alarm and update flags of register C. */
  flags: 'u8',
  /** RAM; time and control registers in it are unused, the alarm's are not. */
  cmos: { type: 'u8', length: CMOS_BYTES },
  /** While the clock is stopped (SET): its time registers, by number, the century last. */
  stopped: { type: 'u8', length: 11 },
  /** Guest time minus host time, in whole seconds. */
  offset: 'f64',
  /** Guest second up to which update and alarm have been looked at. */
  seenSecond: 'f64',
  /** Partition time (ns) up to which the periodic flag has been looked at. */
  seenPeriod: 'f64',
  deadline: 'f64',
  line: 'u8',
});

const SECONDS = 0;
const SECONDS_ALARM = 1;
const MINUTES_ALARM = 3;
const HOURS_ALARM = 5;
const YEAR = 9;
const CONTROL_A = 0x0a;
const CONTROL_B = 0x0b;
const FLAGS_C = 0x0c;
const VALID_D = 0x0d;
const CENTURY = 0x32;
/** Registers of the time in the order of `stopped`. */
const TIME_REGISTERS = [SECONDS, 2, 4, 6, 7, 8, YEAR, CENTURY] as const;

const A_UPDATE_IN_PROGRESS = 0x80;
/** 32768 Hz time base, 1024 Hz rate: as firmware leaves it. */
const A_POWER_ON = 0x26;
const B_SET = 0x80;
const B_BINARY = 0x04;
const B_24_HOURS = 0x02;
const D_VALID = 0x80;
const PERIODIC = 0x40;
const ALARM = 0x20;
const UPDATE = 0x10;
const INTERRUPT = 0x80;
const PM = 0x80;
/** Alarm values from here on match anything. */
const ALARM_ANY = 0xc0;

const UPDATE_BEGINS_MILLISECONDS = 997.7;
const MILLISECOND = 1e6;
const DAY_SECONDS = 86400;
/** Guest times stay within what a Date can be. */
const OFFSET_LIMIT = 8e12;

export interface RtcOptions {
  readonly clock: PartitionClock;
  /** Milliseconds since 1970 UTC. */
  readonly wallClock: () => number;
  /** IRQ 8. */
  readonly line: InterruptLine;
  /** For the sizes that firmware leaves in CMOS RAM. */
  readonly ramBytes: number;
}

export class RtcCmos implements Device {
  readonly name = 'rtc';
  readonly ports: readonly PortRange[] = [{ first: 0x70, count: 2 }];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #options: RtcOptions;

  constructor(area: DeviceArea, options: RtcOptions) {
    this.#options = options;
    this.#state = area.attach(this.name, STATE);
    if (this.#state.fresh) this.#powerOn();
  }

  readPort(port: number, _size: AccessSize): number {
    if (port === 0x70) return 0xff;
    this.#state.lock();
    try {
      return this.#read(this.#state.values.index);
    } finally {
      this.#state.unlock();
    }
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    this.#state.lock();
    try {
      // Bit 7 masks the NMI on a PC; it is no part of the index.
      if (port === 0x70) this.#state.values.index = value & 0x7f;
      else this.#write(this.#state.values.index & 0x7f, value & 0xff);
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
      this.#lookAtTime(now);
    } finally {
      this.#state.unlock();
    }
  }

  /** A guest's reset clears what RESET clears on the chip; the clock and the RAM are battery-backed. */
  reset(): void {
    const { values } = this.#state;
    values.index = 0;
    values.controlB &= ~(PERIODIC | ALARM | UPDATE);
    values.flags = 0;
    this.#lookAtTime(this.#options.clock.now());
  }

  inspect(): InspectTree {
    const { values } = this.#state;
    return {
      time: new Date(this.#milliseconds()).toISOString(),
      offsetSeconds: values.offset,
      controlA: values.controlA,
      controlB: values.controlB,
      flags: values.flags,
      alarm: [values.cmos[HOURS_ALARM] ?? 0, values.cmos[MINUTES_ALARM] ?? 0, values.cmos[SECONDS_ALARM] ?? 0],
      line: values.line,
    };
  }

  save(): unknown {
    return this.#state.save();
  }

  restore(saved: unknown): void {
    this.#state.restore(saved);
    const { values } = this.#state;
    values.offset = Math.round(clamp(values.offset, OFFSET_LIMIT));
    this.#options.line.set(values.line === 0 ? 0 : 1);
    this.#lookAtTime(this.#options.clock.now());
  }

  #powerOn(): void {
    const { values } = this.#state;
    const { cmos } = values;
    this.#state.clear();
    values.controlA = A_POWER_ON;
    values.controlB = B_24_HOURS;
    values.deadline = Number.POSITIVE_INFINITY;
    values.seenSecond = this.#second();
    values.seenPeriod = this.#options.clock.now();
    const word = (low: number, high: number, value: number): void => {
      cmos[low] = value & 0xff;
      cmos[high] = value >> 8;
    };
    const kibibytes = this.#options.ramBytes / 1024;
    word(0x15, 0x16, 640);
    const extended = Math.min(Math.max(kibibytes - 1024, 0), 0xffff);
    word(0x17, 0x18, extended);
    word(0x30, 0x31, extended);
    word(0x34, 0x35, Math.min(Math.max((kibibytes - 16384) / 64, 0), 0xffff));
  }

  // ---- registers ---------------------------------------------------------------------------------------------------

  #read(index: number): number {
    const { values } = this.#state;
    switch (index) {
      case CONTROL_A:
        return values.controlA | (this.#updateInProgress() ? A_UPDATE_IN_PROGRESS : 0);
      case CONTROL_B:
        return values.controlB;
      case FLAGS_C: {
        this.#lookAtTime(this.#options.clock.now());
        const flags = values.flags | (values.line !== 0 ? INTERRUPT : 0);
        values.flags = 0;
        this.#update(this.#options.clock.now());
        return flags;
      }
      case VALID_D:
        return D_VALID;
      default: {
        const position = TIME_REGISTERS.indexOf(index as 0);
        if (position < 0) return values.cmos[index & (CMOS_BYTES - 1)] ?? 0;
        return this.#isStopped() ? (values.stopped[position] ?? 0) : (this.#timeRegisters()[position] ?? 0);
      }
    }
  }

  #write(index: number, value: number): void {
    const { values } = this.#state;
    const now = this.#options.clock.now();
    switch (index) {
      case CONTROL_A:
        // What the old rate has raised stays raised.
        this.#lookAtTime(now);
        values.controlA = value & 0x7f;
        values.seenPeriod = now;
        break;
      case CONTROL_B:
        this.#lookAtTime(now);
        this.#writeControlB(value);
        break;
      case FLAGS_C:
      case VALID_D:
        return;
      default: {
        const position = TIME_REGISTERS.indexOf(index as 0);
        if (position < 0) {
          this.#lookAtTime(now);
          values.cmos[index] = value;
        } else if (this.#isStopped()) {
          values.stopped[position] = value;
          return;
        } else {
          const registers = this.#timeRegisters();
          registers[position] = value;
          this.#setTime(registers);
        }
      }
    }
    this.#update(now);
  }

  #writeControlB(value: number): void {
    const { values } = this.#state;
    const stopping = (value & B_SET) !== 0;
    if (stopping && !this.#isStopped()) values.stopped.set(this.#timeRegisters());
    const starting = !stopping && this.#isStopped();
    values.controlB = stopping ? value & ~UPDATE : value;
    // Read as the new mode says: drivers change the mode and the time together.
    if (starting) this.#setTime(Array.from(values.stopped));
  }

  #isStopped(): boolean {
    return (this.#state.values.controlB & B_SET) !== 0;
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  /** Guest time in ms since 1970. */
  #milliseconds(): number {
    return this.#options.wallClock() + this.#state.values.offset * 1000;
  }

  #second(): number {
    return Math.floor(this.#milliseconds() / 1000);
  }

  #updateInProgress(): boolean {
    if (this.#isStopped()) return false;
    const milliseconds = this.#milliseconds();
    return milliseconds - Math.floor(milliseconds / 1000) * 1000 >= UPDATE_BEGINS_MILLISECONDS;
  }

  /** The time as the guest's registers show it, in the order of TIME_REGISTERS. */
  #timeRegisters(): number[] {
    const time = new Date(this.#second() * 1000);
    const year = time.getUTCFullYear();
    const encode = (value: number): number => this.#encode(value);
    return [
      encode(time.getUTCSeconds()),
      encode(time.getUTCMinutes()),
      this.#encodeHours(time.getUTCHours()),
      encode(time.getUTCDay() + 1),
      encode(time.getUTCDate()),
      encode(time.getUTCMonth() + 1),
      encode(year % 100),
      encode(Math.floor(year / 100)),
    ];
  }

  /** Sets the guest's time from register values; the calendar carries what does not fit (a 31st of February). */
  #setTime(registers: readonly number[]): void {
    const { values } = this.#state;
    const [seconds = 0, minutes = 0, hours = 0, , day = 1, month = 1, year = 0, century = 20] = registers;
    const decode = (value: number): number => this.#decode(value);
    const time = new Date(0);
    time.setUTCFullYear(decode(century) * 100 + decode(year), decode(month) - 1, decode(day));
    time.setUTCHours(this.#decodeHours(hours), decode(minutes), decode(seconds));
    const wallSecond = Math.floor(this.#options.wallClock() / 1000);
    values.offset = clamp(Math.floor(time.getTime() / 1000) - wallSecond, OFFSET_LIMIT);
    values.seenSecond = this.#second();
  }

  /** As a register of one byte: of a century beyond 255 (the guest may set any) the lower bits. */
  #encode(value: number): number {
    const encoded =
      (this.#state.values.controlB & B_BINARY) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
    return encoded & 0xff;
  }

  #decode(value: number): number {
    return (this.#state.values.controlB & B_BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 15);
  }

  #encodeHours(hours: number): number {
    if ((this.#state.values.controlB & B_24_HOURS) !== 0) return this.#encode(hours);
    return this.#encode(hours % 12 || 12) | (hours >= 12 ? PM : 0);
  }

  #decodeHours(value: number): number {
    if ((this.#state.values.controlB & B_24_HOURS) !== 0) return this.#decode(value);
    return (this.#decode(value & ~PM) % 12) + ((value & PM) !== 0 ? 12 : 0);
  }

  // ---- events ------------------------------------------------------------------------------------------------------

  /** Raises the flags of what has happened since the last look, and sets line and deadline. */
  #lookAtTime(now: number): void {
    const { values } = this.#state;
    const period = this.#periodNanoseconds();
    if (Math.floor(now / period) !== Math.floor(values.seenPeriod / period)) values.flags |= PERIODIC;
    values.seenPeriod = now;
    const second = this.#second();
    if (!this.#isStopped() && second > values.seenSecond) {
      values.flags |= UPDATE;
      if (this.#nextAlarm(values.seenSecond) <= second) values.flags |= ALARM;
    }
    values.seenSecond = second;
    this.#update(now);
  }

  /** Line and deadline from flags and registers. */
  #update(now: number): void {
    const { values } = this.#state;
    const level = (values.flags & values.controlB & (PERIODIC | ALARM | UPDATE)) !== 0 ? 1 : 0;
    if (level !== values.line) {
      values.line = level;
      this.#options.line.set(level);
    }
    // Only what is enabled and not already up can bring news.
    const awaited = values.controlB & ~values.flags;
    let deadline = Number.POSITIVE_INFINITY;
    if ((awaited & PERIODIC) !== 0) {
      const period = this.#periodNanoseconds();
      deadline = (Math.floor(now / period) + 1) * period;
    }
    if (!this.#isStopped() && (awaited & (ALARM | UPDATE)) !== 0) {
      const second = this.#second();
      const target = (awaited & UPDATE) !== 0 ? second + 1 : this.#nextAlarm(second);
      deadline = Math.min(deadline, now + (target * 1000 - this.#milliseconds()) * MILLISECOND);
    }
    values.deadline = deadline;
  }

  /** Period of the periodic interrupt; Infinity when it is off. */
  #periodNanoseconds(): number {
    const rate = this.#state.values.controlA & 0x0f;
    if (rate === 0) return Number.POSITIVE_INFINITY;
    // Rates 1 and 2 stand for 8 and 9 with the 32768 Hz base.
    return (2 ** ((rate <= 2 ? rate + 7 : rate) - 1) * 1e9) / 32768;
  }

  /** The first second after `from` that the alarm registers match; Infinity when none ever does. */
  #nextAlarm(from: number): number {
    const { cmos } = this.#state.values;
    const [second, minute, hour] = [cmos[SECONDS_ALARM] ?? 0, cmos[MINUTES_ALARM] ?? 0, cmos[HOURS_ALARM] ?? 0];
    const wanted = (value: number, decoded: number): number => (value >= ALARM_ANY ? -1 : decoded);
    const seconds = wanted(second, this.#decode(second));
    const minutes = wanted(minute, this.#decode(minute));
    const hours = wanted(hour, this.#decodeHours(hour));
    if (seconds > 59 || minutes > 59 || hours > 23) return Number.POSITIVE_INFINITY;
    const dayStart = Math.floor((from + 1) / DAY_SECONDS) * DAY_SECONDS;
    let at = from + 1 - dayStart;
    // Hour by hour, then minute by minute, then second by second: at most a day and an hour and a minute of steps.
    for (;;) {
      const [atHour, atMinute, atSecond] = [Math.floor(at / 3600) % 24, Math.floor(at / 60) % 60, at % 60];
      if (hours >= 0 && atHour !== hours) at = (Math.floor(at / 3600) + 1) * 3600;
      else if (minutes >= 0 && atMinute !== minutes) at = (Math.floor(at / 60) + 1) * 60;
      else if (seconds >= 0 && atSecond !== seconds) at++;
      else return dayStart + at;
    }
  }
}

const clamp = (value: number, limit: number): number =>
  Number.isFinite(value) ? Math.min(Math.max(value, -limit), limit) : 0;
