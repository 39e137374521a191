/**
 * The debug exit port of `plinth run --debug-exit PORT`: a guest write of v ends the run with status (v << 1) | 1.
 * Called by: the worker adds it to the partition when asked to.
 */
import type { AccessSize, Device, InspectTree, PortRange } from '@plinth/hypervisor';
import { checkVersion } from './pci-configuration.ts';

export class DebugExit implements Device {
  readonly name = 'debug-exit';
  readonly ports: readonly PortRange[];
  readonly mmio = [];
  readonly #exit: (status: number) => void;

  /** @param exit takes the exit status, 0-255 */
  constructor(port: number, exit: (status: number) => void) {
    this.ports = [{ first: port, count: 1, widest: 1 }];
    this.#exit = exit;
  }

  readPort(_port: number, _size: AccessSize): number {
    return 0;
  }

  writePort(_port: number, _size: AccessSize, value: number): void {
    this.#exit(((value << 1) | 1) & 0xff);
  }

  reset(): void {}

  inspect(): InspectTree {
    return { port: this.ports[0]?.first ?? 0 };
  }

  save(): unknown {
    return { version: 1 };
  }

  restore(saved: unknown): void {
    checkVersion(this.name, saved);
  }
}
