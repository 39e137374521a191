/**
 * Backup (volume shadow copy) messages: Linux's hv_vss_msg, OpenVMM's hyperv_ic_protocol/vss.rs. Called by: device.ts.
 */
import { Layout } from '@plinth/vmbus';

export const VSS_VERSIONS = [
  { major: 4, minor: 0 },
  { major: 5, minor: 0 },
] as const;

export const VSS_OPERATION = { checkHotBackup: 2, backupComplete: 4, freeze: 5, thaw: 6 } as const;

export const VSS_MESSAGE = new Layout({ operation: 'u8', reserved: 7, flags: 'u32', data: 20 });

const LUN_BYTES = 24;
const LUNS = 260;
/** Freezing names the disks that are saved; a list of none means all of them. Linux keeps 6,260 bytes for it. */
export const FREEZE_MESSAGE = new Layout({
  operation: 'u8',
  reserved: 7,
  backupType: 'u32',
  flags: 'u32',
  lunCount: 'u32',
  luns: LUNS * LUN_BYTES,
});
