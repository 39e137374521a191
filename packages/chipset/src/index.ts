/** The emulated PC: devices, ACPI tables and the loaders that start a guest on it. */

export { ACPI_AREA_END, ACPI_AREA_START, RSDP_ADDRESS, VMBUS_WINDOWS } from './acpi/placement.ts';
export { type AcpiOptions, type AcpiTables, buildAcpiTables } from './acpi/tables.ts';
export { AcpiPm, type AcpiPmOptions, PM_TIMER_FREQUENCY } from './acpi-pm.ts';
export { type Chipset, type ChipsetHost, createChipset, type Generation } from './chipset.ts';
export { DebugExit } from './debug-exit.ts';
export { Ioapic, type IoapicOptions } from './ioapic.ts';
export * from './loader/index.ts';
export { PciConfiguration } from './pci-configuration.ts';
export { Pic8259, type PicOptions } from './pic-8259.ts';
export { PIT_FREQUENCY, Pit8254, type PitOptions } from './pit-8254.ts';
export { RtcCmos, type RtcOptions } from './rtc-cmos.ts';
export { SystemPorts } from './system-ports.ts';
export { Uart16550, type UartOptions } from './uart-16550.ts';
