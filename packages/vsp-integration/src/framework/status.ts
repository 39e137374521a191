/**
 * How a service is doing, in words that need no knowledge of its protocol: what is the matter, and what to do about it.
 * Numbers are the OperationalStatus values of Hyper-V's WMI classes (Msvm_ShutdownComponent and its kin).
 * Called by: service.ts.
 */

export type ServiceCondition = 'working' | 'older-version' | 'negotiating' | 'no-contact' | 'incompatible' | 'disabled';

export interface ServiceStatus {
  /** `shutdown`, `time-sync`. */
  readonly name: string;
  /** As Hyper-V's tools call it. */
  readonly title: string;
  readonly condition: ServiceCondition;
  /** The version that both use, `3.2`; null while there is none. */
  readonly version: string | null;
  readonly text: string;
  /** What to do; null when nothing is to be done. */
  readonly remedy: string | null;
  readonly operationalStatus: readonly number[];
}

/** OperationalStatus: the main value, and where Hyper-V gives one, a second that says why. */
export const OPERATIONAL_STATUS: Readonly<Record<ServiceCondition, readonly number[]>> = {
  working: [2],
  'older-version': [3, 32775],
  negotiating: [12],
  'no-contact': [12],
  incompatible: [7, 32775],
  disabled: [10],
};
