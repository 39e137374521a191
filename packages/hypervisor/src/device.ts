/**
 * What an emulated device is to the rest of the host: ports or guest-physical ranges it answers, a deadline, a state.
 *
 * Devices are state machines without I/O of their own. They run on whichever virtual processor's thread touches them
 * (or, for deadlines, on the thread of processor 0), and keep what changes in the partition's shared memory
 * (see shared-state.ts), so any thread can look at it. Called by: the intercept dispatch in partition.ts.
 */

/** Width of one access in bytes. */
export type AccessSize = 1 | 2 | 4;

/** Plain data for people and scripts; bigint values are written as hexadecimal strings. */
export type InspectTree = { readonly [name: string]: InspectValue };
export type InspectValue = string | number | boolean | null | InspectTree | readonly InspectValue[];

export interface PortRange {
  readonly first: number;
  readonly count: number;
  /** Widest access that the device takes here (1 when not given); wider ones reach it in pieces, low bytes first. */
  readonly widest?: AccessSize;
}

export interface MmioRange {
  /** Guest-physical address, page-aligned. */
  readonly start: number;
  readonly bytes: number;
}

/** Monotonic time of the partition: nanoseconds since it was created, as a double (exact to 2^53). */
export interface PartitionClock {
  now(): number;
}

/** An interrupt wire: level-triggered inputs stay at the level they are set to; an edge is a 1 after a 0. */
export interface InterruptLine {
  set(level: 0 | 1): void;
}

export interface Device {
  /** Stable name, unique in the partition: the key in `inspect` and in the saved state. */
  readonly name: string;
  readonly ports: readonly PortRange[];
  readonly mmio: readonly MmioRange[];
  /** @returns the value read; unassigned bits read as ones. `port` is absolute. */
  readPort?(port: number, size: AccessSize): number;
  writePort?(port: number, size: AccessSize, value: number): void;
  /** `offset` is relative to the range's start. 8-byte accesses arrive as two of 4 bytes, low half first. */
  readMmio?(offset: number, size: AccessSize): number;
  writeMmio?(offset: number, size: AccessSize, value: number): void;
  /** Next partition time (ns) at which onDeadline wants to be called; Infinity when there is none. */
  deadline?(): number;
  /** Called on processor 0's thread once the clock has passed deadline(). */
  onDeadline?(now: number): void;
  /** Called on processor 0's thread after a kick: takes what other threads left in the shared state. */
  poll?(): void;
  /** Back to power-on state (guest reset). */
  reset(): void;
  inspect(): InspectTree;
  /** The device's saved state: plain JSON-like data with a version of its own. */
  save(): unknown;
  /** Takes a saved state. @throws PlinthError when its version or shape is not known. */
  restore(state: unknown): void;
}
