/**
 * File copy ("guest services") messages: Linux's hv_start_fcopy and hv_do_fcopy. Called by: device.ts.
 */
import { Layout } from '@plinth/vmbus';

export const FILE_COPY_VERSIONS = [{ major: 1, minor: 1 }] as const;

export const FILE_COPY_OPERATION = { start: 0, write: 1, complete: 2, cancel: 3 } as const;
export const FILE_COPY_FLAG = { overwrite: 1, createPath: 2 } as const;

/** Of file name and folder name, each: 260 UTF-16 units with the end. */
export const NAME_BYTES = 520;
/** Data of one message. */
export const FRAGMENT_BYTES = 6 * 1024;

export const FILE_COPY_HEADER = new Layout({ operation: 'u32', serviceId0: 16, serviceId1: 16 });
export const START_MESSAGE = new Layout({
  operation: 'u32',
  serviceIds: 32,
  fileName: NAME_BYTES,
  pathName: NAME_BYTES,
  flags: 'u32',
  size: 'u64',
});
export const WRITE_MESSAGE = new Layout({
  operation: 'u32',
  serviceIds: 32,
  padding: 'u32',
  offset: 'u64',
  size: 'u32',
  data: FRAGMENT_BYTES,
});
