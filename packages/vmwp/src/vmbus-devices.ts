/**
 * The synthetic devices of a VM, as its VMBus offers them. A new device is one folder of its own package, and one row here.
 * Called by: run-virtual-machine.ts.
 */
import type { VmbusDevice } from '@plinth/vmbus';

export function vmbusDevices(): VmbusDevice[] {
  return [];
}
