/**
 * Where ACPI's tables and fixed registers are: one place for the tables, the devices and the loader.
 * Called by: tables.ts, acpi-pm.ts, loaders (which report the area as reserved).
 */

/** Tables lie here: the area that operating systems search for the RSDP, reserved in the guest's memory map. */
export const ACPI_AREA_START = 0xe0000;
export const ACPI_AREA_END = 0x100000;
/** The RSDP is the first thing in it. */
export const RSDP_ADDRESS = ACPI_AREA_START;

/**
 * Address space for VMBus devices' memory (video RAM, vPCI configuration), as Hyper-V has it: below 4 GiB above the largest RAM and
 * below the IOAPIC, and high up. Nothing answers there until a device claims it.
 */
export const VMBUS_WINDOWS = [
  { start: 0xf8000000, end: 0xfec00000 },
  { start: 0xfe0000000, end: 0x1000000000 },
] as const;

/** PM1a event block: status, enable, 16 bits each. */
export const PM1_EVENT_PORT = 0x600;
export const PM1_CONTROL_PORT = 0x604;
export const PM_TIMER_PORT = 0x608;
/** System control interrupt: IRQ and GSI. */
export const SCI_INTERRUPT = 9;
export const RESET_PORT = 0xcf9;
export const RESET_VALUE = 0x06;
/** SLP_TYP of S5 in the PM1 control register, and in \_S5. */
export const S5_SLEEP_TYPE = 5;
