/**
 * Configuration ports of a machine without a PCI bus, and the reset control register that lies among them.
 *
 * 0xcf8 and 0xcfc take and answer whole accesses, all ones: nothing is latched, so a probe of configuration mechanism 1
 * ends after its first read. Byte writes to 0xcf9 reset the machine when bit 2 rises (PIIX "reset control register"; the
 * FADT names it). A 32-bit write to 0xcf8 must never reach it, which is why the range is claimed as one.
 * Called by: the partition.
 */
import { PlinthError } from '@plinth/errors';
import type { AccessSize, Device, InspectTree, PortRange } from '@plinth/hypervisor';
import { RESET_PORT } from './acpi/placement.ts';

const ALL_ONES = { 1: 0xff, 2: 0xffff, 4: 0xffffffff } as const;
const RESET_PROCESSOR = 0x04;
const SAVED_VERSION = 1;

export class PciConfiguration implements Device {
  readonly name = 'pci-configuration';
  readonly ports: readonly PortRange[] = [{ first: 0xcf8, count: 8, widest: 4 }];
  readonly mmio = [];
  readonly #reset: () => void;

  /** @param reset resets the partition */
  constructor(reset: () => void) {
    this.#reset = reset;
  }

  readPort(port: number, size: AccessSize): number {
    return port === RESET_PORT && size === 1 ? 0 : ALL_ONES[size];
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (port === RESET_PORT && size === 1 && (value & RESET_PROCESSOR) !== 0) this.#reset();
  }

  reset(): void {}

  inspect(): InspectTree {
    return { devices: [] };
  }

  save(): unknown {
    return { version: SAVED_VERSION };
  }

  restore(saved: unknown): void {
    checkVersion(this.name, saved);
  }
}

/** For devices without state: their saved state is a version alone. */
export function checkVersion(device: string, saved: unknown): void {
  const version = typeof saved === 'object' && saved !== null ? Reflect.get(saved, 'version') : undefined;
  if (typeof version === 'number' && version > SAVED_VERSION) {
    throw new PlinthError('PL-4103', { device, version, newest: SAVED_VERSION });
  }
  if (version !== SAVED_VERSION) throw new PlinthError('PL-4104', { device, problem: 'it has no known version' });
}
