/**
 * Heartbeat messages: Linux's heartbeat_msg_data, OpenVMM's hyperv_ic_protocol/heartbeat.rs. Called by: device.ts.
 */
import { Layout } from '@plinth/vmbus';

export const HEARTBEAT_VERSIONS = [
  { major: 1, minor: 0 },
  { major: 3, minor: 0 },
] as const;

/** The guest counts `sequence` up by one and may say how its applications are. */
export const HEARTBEAT_MESSAGE = new Layout({ sequence: 'u64', applications: 'u32', reserved: 28 });

/** `applications`: Linux leaves it at 0. */
export const APPLICATION_STATE = ['unknown', 'healthy', 'critical', 'stopped'] as const;
