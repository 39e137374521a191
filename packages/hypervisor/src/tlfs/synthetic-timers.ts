/**
 * The four synthetic timers of one virtual processor: one-shot or periodic, by a message or by an interrupt of their own.
 *
 *     off ──config or count with 'enable'──> armed ──reference time reaches due──> fires ──┬─ one-shot: off
 *      ^        count 0, 'enable' cleared      │ ^                                        │
 *      └───────────────────────────────────────┘ └────────────── periodic ────────────────┘
 *
 * A periodic timer that is late shortens its next periods until it has caught up; when it is too late for that, or lazy, it leaves
 * expirations out. Times are in units of 100 ns of reference time. Never early.
 * Answers to: TLFS, "Synthetic timers". Called by: synthetic-msrs.ts; the partition's deadline, on processor 0's thread.
 */
import type { InspectTree } from '../device.ts';
import type { InterruptMessage } from '../engine.ts';
import type { Partition } from '../partition.ts';
import { describeState, type SharedState } from '../shared-state.ts';
import type { ReferenceTime } from './reference-time.ts';
import { type Synic, TIMER_COUNT } from './synic.ts';
import { Words64 } from './words.ts';

const CONFIG = {
  enable: 1,
  periodic: 2,
  lazy: 4,
  automatic: 8,
  vectorShift: 4,
  direct: 0x1000,
  sintShift: 16,
} as const;
/** Bits of the configuration register that must be zero. */
const CONFIG_RESERVED = ~0xf1fffn & 0xffff_ffff_ffff_ffffn;
const LOWEST_VECTOR = 16;
const TIMER_EXPIRED = 0x80000010;
/** Expirations that a timer catches up with; when more were missed they are left out. */
const CATCH_UP_LIMIT = 16;
/** Reference times beyond this are never reached (28 years), and exact below. */
const FAR_FUTURE = 2 ** 53;

const STATE = describeState(1, {
  config: { type: 'u32', length: 2 * TIMER_COUNT },
  count: { type: 'u32', length: 2 * TIMER_COUNT },
  /** Reference times: when the timer expires by its schedule, and when it is to fire; Infinity while it is off. */
  expiry: { type: 'f64', length: TIMER_COUNT },
  due: { type: 'f64', length: TIMER_COUNT },
  fired: { type: 'u32', length: TIMER_COUNT, transient: true },
});

export class SyntheticTimers {
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #config: Words64;
  readonly #count: Words64;
  readonly #synic: Synic;
  readonly #time: ReferenceTime;
  readonly #deliver: (message: InterruptMessage) => void;

  constructor(partition: Partition, synic: Synic, time: ReferenceTime, deliver: (message: InterruptMessage) => void) {
    this.#synic = synic;
    this.#time = time;
    this.#deliver = deliver;
    this.#state = partition.deviceArea.attach(`synthetic-timers-${synic.processor}`, STATE);
    this.#config = new Words64(this.#state.values.config);
    this.#count = new Words64(this.#state.values.count);
    if (this.#state.fresh) this.reset();
  }

  reset(): void {
    this.#state.clear();
    this.#state.values.expiry.fill(Number.POSITIVE_INFINITY);
    this.#state.values.due.fill(Number.POSITIVE_INFINITY);
  }

  readConfig(timer: number): bigint {
    return this.#config.get(timer);
  }

  /** @returns false for #GP: reserved bits, or direct mode with a vector that cannot be one */
  writeConfig(timer: number, value: bigint): boolean {
    if ((value & CONFIG_RESERVED) !== 0n) return false;
    let config = Number(value);
    const isDirect = (config & CONFIG.direct) !== 0;
    if (isDirect && (config & CONFIG.enable) !== 0 && vectorOf(config) < LOWEST_VECTOR) return false;
    // A source is needed where there is no vector; source 0 is none.
    if (!isDirect && sintOf(config) === 0) config &= ~CONFIG.enable;
    this.#config.set(BigInt(config), timer);
    this.#arm(timer);
    return true;
  }

  readCount(timer: number): bigint {
    return this.#count.get(timer);
  }

  writeCount(timer: number, value: bigint): void {
    this.#count.set(value, timer);
    const config = this.#config.low(timer);
    if (value === 0n) this.#config.set(BigInt(config & ~CONFIG.enable), timer);
    else if ((config & CONFIG.automatic) !== 0) this.#config.set(BigInt(config | CONFIG.enable), timer);
    this.#arm(timer);
  }

  /** Partition time (ns) at which the next timer is due. */
  deadline(): number {
    const { due } = this.#state.values;
    let earliest = Number.POSITIVE_INFINITY;
    for (let timer = 0; timer < TIMER_COUNT; timer++) earliest = Math.min(earliest, due[timer] as number);
    return this.#time.nanosecondsOf(earliest);
  }

  /** Fires what is due. */
  onDeadline(): void {
    const now = this.#time.now();
    for (let timer = 0; timer < TIMER_COUNT; timer++) {
      if ((this.#state.values.due[timer] as number) <= now) this.#fire(timer, now);
    }
  }

  #arm(timer: number): void {
    const { expiry, due } = this.#state.values;
    const config = this.#config.low(timer);
    const count = Number(this.#count.get(timer));
    let at = Number.POSITIVE_INFINITY;
    if ((config & CONFIG.enable) !== 0 && count !== 0) {
      at = (config & CONFIG.periodic) !== 0 ? this.#time.now() + count : count;
      if (at >= FAR_FUTURE) at = Number.POSITIVE_INFINITY;
    }
    expiry[timer] = at;
    due[timer] = at;
  }

  #fire(timer: number, now: number): void {
    const { expiry, due, fired } = this.#state.values;
    const config = this.#config.low(timer);
    const expired = expiry[timer] as number;
    if ((config & CONFIG.periodic) !== 0) {
      const period = Number(this.#count.get(timer));
      let next = expired + period;
      if (next <= now) {
        const missed = Math.floor((now - next) / period) + 1;
        if ((config & CONFIG.lazy) !== 0 || missed > CATCH_UP_LIMIT) next += missed * period;
      }
      expiry[timer] = next;
      // Late: half a period until it has caught up. A period is at least one unit.
      due[timer] = next > now ? next : now + Math.max(1, Math.floor(period / 2));
    } else {
      this.#config.set(BigInt(config & ~CONFIG.enable), timer);
      expiry[timer] = Number.POSITIVE_INFINITY;
      due[timer] = Number.POSITIVE_INFINITY;
    }
    fired[timer] = (fired[timer] as number) + 1;
    if ((config & CONFIG.direct) !== 0) {
      this.#deliver({
        vector: vectorOf(config),
        deliveryMode: 0,
        destination: this.#synic.processor,
        logicalDestination: false,
        levelTriggered: false,
      });
      return;
    }
    const payload = new Uint8Array(24);
    const view = new DataView(payload.buffer);
    view.setUint32(0, timer, true);
    view.setBigUint64(8, BigInt(Math.floor(expired)), true);
    view.setBigUint64(16, BigInt(now), true);
    // While the last message still waits in the timer's buffer, expirations go by unsaid.
    this.#synic.postTimerMessage(timer, sintOf(config), TIMER_EXPIRED, payload);
  }

  inspect(): InspectTree {
    const { expiry, fired } = this.#state.values;
    return Object.fromEntries(
      Array.from({ length: TIMER_COUNT }, (_, timer) => {
        const config = this.#config.low(timer);
        const at = expiry[timer] as number;
        return [
          `timer${timer}`,
          {
            enabled: (config & CONFIG.enable) !== 0,
            periodic: (config & CONFIG.periodic) !== 0,
            lazy: (config & CONFIG.lazy) !== 0,
            automaticEnable: (config & CONFIG.automatic) !== 0,
            target: (config & CONFIG.direct) !== 0 ? `vector ${vectorOf(config)}` : `source ${sintOf(config)}`,
            count: this.#count.get(timer).toString(),
            expiry: at === Number.POSITIVE_INFINITY ? null : at,
            fired: fired[timer] as number,
          },
        ];
      }),
    );
  }

  save(): unknown {
    return this.#state.save();
  }

  /** @throws PlinthError PL-4103, PL-4104 for what `save` did not give */
  restore(saved: unknown): void {
    this.#state.restore(saved);
  }
}

const vectorOf = (config: number): number => (config >>> CONFIG.vectorShift) & 0xff;
const sintOf = (config: number): number => (config >>> CONFIG.sintShift) & 0xf;
