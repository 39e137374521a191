/**
 * The partition's reference time: units of 100 nanoseconds since its creation, from the same clock as the TSC.
 *
 * The counter register, the reference TSC page and the synthetic timers all read it here, so they agree. The page lets a guest compute
 * the time without an intercept: time = ((TSC * scale) >> 64) + offset. Its sequence number changes whenever scale or offset do,
 * and is never 0, which means 'not valid'.
 * Answers to: TLFS, "Partition reference counter" and "Partition reference time enlightenment". Called by: synthetic-msrs.ts,
 * synthetic-timers.ts.
 */
import { SHARED, SHARED_OFFSET } from '../memory-layout.ts';
import type { Partition } from '../partition.ts';

const NANOSECONDS_PER_UNIT = 100;
const MASK_64 = 0xffff_ffff_ffff_ffffn;
const PAGE = { sequence: 0, scale: 8, offset: 16 } as const;

export class ReferenceTime {
  readonly #partition: Partition;
  /** TSC ticks per nanosecond. */
  readonly #rate: number;
  readonly tscFrequency: bigint;
  /** Units per TSC tick, times 2^64; rounded up, so that no time is early by a unit. */
  readonly scale: bigint;

  constructor(partition: Partition) {
    this.#partition = partition;
    const header = new DataView(partition.memory.buffer, SHARED_OFFSET, SHARED.slots);
    this.#rate = header.getFloat64(SHARED.tscPerNanosecond, true);
    this.tscFrequency = BigInt(Math.round(this.#rate * 1e9));
    this.scale = ((10_000_000n << 64n) + this.tscFrequency - 1n) / this.tscFrequency;
  }

  /** Now, in units of 100 ns. */
  now(): number {
    return Math.floor(this.#partition.clock.now() / NANOSECONDS_PER_UNIT);
  }

  /** Partition time in nanoseconds at which the reference time reaches a value. */
  nanosecondsOf(units: number): number {
    return units * NANOSECONDS_PER_UNIT;
  }

  /**
   * Fills the reference TSC page.
   * @param adjust what the guest has added to its TSC since power-on (IA32_TSC_ADJUST)
   * @param sequence not 0
   */
  writePage(page: Uint8Array, sequence: number, adjust: bigint): void {
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const plain = BigInt(Math.floor(this.#partition.clock.now() * this.#rate));
    const guest = (plain + adjust) & MASK_64;
    const offset = ((plain * this.scale) >> 64n) - ((guest * this.scale) >> 64n);
    // A processor that reads meanwhile sees 'not valid'.
    view.setUint32(PAGE.sequence, 0, true);
    view.setBigUint64(PAGE.scale, this.scale, true);
    view.setBigInt64(PAGE.offset, offset, true);
    view.setUint32(PAGE.sequence, sequence, true);
  }
}
