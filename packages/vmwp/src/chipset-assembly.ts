/**
 * The PC of a VM on one thread: the chipset over the partition's shared state, the error record store, and what
 * the firmware would have left in memory for them.
 *
 * Every thread of a VM assembles the same devices over the same state: the processor's thread runs them, the main thread has the
 * host's ends of the serial ports. Called by: run-virtual-machine.ts, processor-worker-main.ts.
 */
import {
  ACPI_AREA_END,
  ACPI_AREA_START,
  buildAcpiTables,
  type Chipset,
  createChipset,
  type Generation,
} from '@plinth/chipset';
import type { InterruptMessage, Partition } from '@plinth/hypervisor';
import type { FirmwareTables } from './boot-loader.ts';
import { ErrorRecordDevice, errorRecordTableBody } from './error-record-device.ts';

/** What the machine asks of the thread that it runs on. */
export interface AssemblyHost {
  deliver(message: InterruptMessage): void;
  kick(processorIndex: number): void;
  powerOff(): void;
  reset(): void;
  /** A serial port has output again. */
  outputReady(): void;
  errorRecord(record: Uint8Array): void;
}

export function assembleChipset(partition: Partition, generation: Generation, host: AssemblyHost): Chipset {
  const chipset = createChipset(
    partition,
    {
      deliver: (message) => host.deliver(message),
      kick: (index) => host.kick(index),
      wallClock: () => Date.now(),
      powerOff: () => host.powerOff(),
      reset: () => host.reset(),
      consoleReady: () => host.outputReady(),
    },
    generation,
  );
  partition.addDevice(new ErrorRecordDevice(partition.deviceArea, (record) => host.errorRecord(record)));
  return chipset;
}

/** ACPI's tables for a machine of so many processors. @param hasVmbus whether the guest is to find a VMBus */
export function firmwareTables(processors: number, generation: Generation, hasVmbus: boolean): FirmwareTables {
  const { rsdpAddress, writes } = buildAcpiTables({
    processors,
    hasLegacyControllers: generation === 1,
    hasVmbus,
    additional: [{ signature: 'ERST', revision: 1, body: errorRecordTableBody() }],
  });
  return { rsdpAddress, writes, reserved: [{ start: ACPI_AREA_START, end: ACPI_AREA_END, type: 'reserved' }] };
}
