/**
 * The machine's description for operating systems, in AML: processors, serial ports, clock and soft-off.
 *
 * There is no PCI root and no keyboard controller, because the machine has none. VMBus stands below a module device (ACPI0004) whose
 * resources are the windows for its devices' memory; Linux's driver takes them from its parent, and wants a `_CRS` of its own.
 * Called by: tables.ts.
 */
import {
  constantMethod,
  device,
  eisaId,
  integer,
  named,
  packageOf,
  resource,
  resources,
  scope,
  type Term,
  text,
} from './aml.ts';
import { S5_SLEEP_TYPE, VMBUS_WINDOWS } from './placement.ts';

/** Present, enabled, shown, functioning. */
const PRESENT = integer(0x0f);

/** The name of a processor's object: C000 for the first. */
const processorName = (index: number): string => `C${index.toString(16).toUpperCase().padStart(3, '0')}`;

const serialPort = (path: string, unit: number, port: number, irq: number): Term =>
  device(path, [
    named('_HID', eisaId('PNP0501')),
    named('_UID', integer(unit)),
    constantMethod('_STA', PRESENT),
    named('_CRS', resources([resource.ports(port, 8), resource.interrupt(irq)])),
  ]);

const vmbus = device('VMOD', [
  named('_HID', text('ACPI0004')),
  named('_UID', integer(0)),
  constantMethod('_STA', PRESENT),
  named('_CRS', resources(VMBUS_WINDOWS.map(({ start, end }) => resource.window(start, end)))),
  device('VMBS', [
    named('_HID', text('VMBus')),
    named('_UID', integer(0)),
    named('_DDN', text('VMBUS')),
    constantMethod('_STA', PRESENT),
    named('_CRS', resources([])),
  ]),
]);

/** The DSDT's definition block, without its table header. @param hasVmbus whether guests find a VMBus */
export function describeMachine(processors: number, hasVmbus: boolean): Term {
  const units = Array.from({ length: processors }, (_, index) =>
    device(processorName(index), [
      named('_HID', text('ACPI0007')),
      named('_UID', integer(index)),
      constantMethod('_STA', PRESENT),
    ]),
  );
  return [
    ...scope('\\_SB', [
      ...units,
      serialPort('COM1', 1, 0x3f8, 4),
      serialPort('COM2', 2, 0x2f8, 3),
      device('RTC', [
        named('_HID', eisaId('PNP0B00')),
        constantMethod('_STA', PRESENT),
        named('_CRS', resources([resource.ports(0x70, 2), resource.interrupt(8)])),
      ]),
      ...(hasVmbus ? [vmbus] : []),
    ]),
    ...named('\\_S5', packageOf([integer(S5_SLEEP_TYPE), integer(S5_SLEEP_TYPE), integer(0), integer(0)])),
  ];
}
