/**
 * Time synchronization messages: Linux's ictimesync_data and ictimesync_ref_data, OpenVMM's hyperv_ic_protocol/timesync.rs.
 * Called by: device.ts.
 */
import { Layout } from '@plinth/vmbus';

export const TIME_SYNC_VERSIONS = [
  { major: 1, minor: 0 },
  { major: 3, minor: 0 },
  { major: 4, minor: 0 },
] as const;

/** Below 4.0: the time alone, which is old by as much as it took to arrive. */
export const TIME_MESSAGE = new Layout({
  hostTime: 'u64',
  guestTime: 'u64',
  roundTrip: 'u64',
  flags: 'u8',
  reserved: 3,
});

/** From 4.0 on: the time together with the reference time at which it was read. */
export const REFERENCE_TIME_MESSAGE = new Layout({
  hostTime: 'u64',
  referenceTime: 'u64',
  flags: 'u8',
  leap: 'u8',
  stratum: 'u8',
  reserved: 5,
});

/** Set the clock, or take note of a sample. */
export const TIME_FLAG = { sync: 1, sample: 2 } as const;
