/**
 * HV_STATUS: what a hypercall answers, as a 16-bit code. Answers to: TLFS, appendix "Hypercall status codes"; numbers as in hvdef.
 * Called by: every hypercall, and the root's calls on its children.
 */

export const HV_STATUS = {
  SUCCESS: 0x0000,
  INVALID_HYPERCALL_CODE: 0x0002,
  INVALID_HYPERCALL_INPUT: 0x0003,
  INVALID_ALIGNMENT: 0x0004,
  INVALID_PARAMETER: 0x0005,
  ACCESS_DENIED: 0x0006,
  INVALID_PARTITION_STATE: 0x0007,
  OPERATION_DENIED: 0x0008,
  INSUFFICIENT_MEMORY: 0x000b,
  INVALID_PARTITION_ID: 0x000d,
  INVALID_VP_INDEX: 0x000e,
  INVALID_PORT_ID: 0x0011,
  INVALID_CONNECTION_ID: 0x0012,
  INSUFFICIENT_BUFFERS: 0x0013,
  INVALID_SYNIC_STATE: 0x0018,
  OBJECT_IN_USE: 0x0019,
  NO_RESOURCES: 0x001d,
  INVALID_REGISTER_VALUE: 0x0050,
  INVALID_VTL_STATE: 0x0051,
  NX_NOT_DETECTED: 0x0055,
  UNKNOWN_REGISTER_NAME: 0x0087,
} as const;

export type HvStatusName = keyof typeof HV_STATUS;
export type HvStatus = (typeof HV_STATUS)[HvStatusName];

const NAMES = new Map<number, HvStatusName>(
  (Object.keys(HV_STATUS) as HvStatusName[]).map((name) => [HV_STATUS[name], name]),
);

/** The specification's name of a code, such as `HV_STATUS_ACCESS_DENIED`. */
export const statusName = (status: HvStatus): string => `HV_STATUS_${NAMES.get(status) ?? status}`;
