/** Operations on which the run loop leaves a block; their numbers follow the hot ones, so that the switch is dense (assembly/blocks.ts). */
export const LEAVE_OPERATIONS = [
  'DELIVER',
  'RESYNC',
  'EXIT',
  'POLL',
  'NEXT',
  'GO',
  'INTERPRET',
  'INTERPRET_ONE',
  'COMPUTED',
  'JUMP',
  'LINK',
  'RESTING',
  'STOP_POINT',
  'TRANSLATED',
] as const;
export type LeaveName = (typeof LEAVE_OPERATIONS)[number];
