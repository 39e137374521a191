/** What device tests share: a clock that is set by hand, a wire that is watched, random accesses. */
import { type AccessSize, type Device, DeviceArea, type InterruptLine, type PartitionClock } from '@plinth/hypervisor';
import fc from 'fast-check';

export class HandClock implements PartitionClock {
  time = 0;
  now(): number {
    return this.time;
  }
}

/** Remembers its level and counts rising edges. */
export class WatchedLine implements InterruptLine {
  level: 0 | 1 = 0;
  edges = 0;
  set(level: 0 | 1): void {
    if (level === 1 && this.level === 0) this.edges++;
    this.level = level;
  }
}

export const area = (): DeviceArea => DeviceArea.standalone();

export interface Access {
  readonly port: number;
  readonly size: AccessSize;
  /** A write of this value, or a read. */
  readonly value: number | undefined;
  /** Nanoseconds that pass before it. */
  readonly pause: number;
}

/** Accesses of a hostile guest to a device's ports: all of them, all sizes, any value, at any time. */
export const hostileAccesses = (device: Device): fc.Arbitrary<Access[]> => {
  const ports = device.ports.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index));
  return fc.array(
    fc.record({
      port: fc.constantFrom(...ports),
      size: fc.constantFrom<AccessSize>(1, 2, 4),
      value: fc.option(fc.oneof(fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 0, max: 0xffffffff })), {
        nil: undefined,
      }),
      pause: fc.oneof(fc.nat(2000), fc.nat(10_000_000), fc.constant(86_400e9)),
    }),
    { maxLength: 120 },
  );
};

/** Carries an access out, with the deadlines that have passed. @returns what was read */
export function access(device: Device, { port, size, value, pause }: Access, clock: HandClock): number | undefined {
  clock.time += pause;
  if ((device.deadline?.() ?? Number.POSITIVE_INFINITY) <= clock.time) device.onDeadline?.(clock.time);
  if (value === undefined) return device.readPort?.(port, size);
  device.writePort?.(port, size, value);
  return undefined;
}
