/**
 * Shutdown messages: Linux's shutdown_msg_data, OpenVMM's hyperv_ic_protocol/shutdown.rs.
 * Called by: device.ts.
 */
import { Layout } from '@plinth/vmbus';

export const SHUTDOWN_VERSIONS = [
  { major: 1, minor: 0 },
  { major: 3, minor: 0 },
  { major: 3, minor: 1 },
  { major: 3, minor: 2 },
] as const;

export const TEXT_BYTES = 2048;
export const SHUTDOWN_MESSAGE = new Layout({ reason: 'u32', timeoutSeconds: 'u32', flags: 'u32', text: TEXT_BYTES });

/** SHTDN_REASON_FLAG_PLANNED: somebody wanted it. */
export const REASON_PLANNED = 0x80000000;
export const FLAG_FORCE = 1;
/** What the guest is to do, as flags. */
export const SHUTDOWN_FLAGS = { 'power-off': 0, reboot: 2, hibernate: 4 } as const;
