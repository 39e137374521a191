/**
 * What a PC does with the processor's FERR#, the x87 exception of software that clears CR0.NE: IRQ 13, and port 0xF0.
 *
 * FERR# sets a latch that drives IRQ 13. A write to port 0xF0, of whatever, clears the latch and asserts IGNNE#, with which the processor goes
 * on in spite of the exception, until FERR# ends. Nobody asks for IGNNE# without FERR#, so that it may stay until FERR# begins anew.
 * Answers to: Intel 82371 (PIIX) data sheet, coprocessor error register; Intel SDM volume 1, appendix D. Called by: chipset.ts, by which the partition.
 */
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type InterruptLine,
  type PortRange,
  type SharedState,
} from '@plinth/hypervisor';

const STATE = describeState(1, { latch: 'u8', ignored: 'u8' });

const PORT = 0xf0;
const FLOATING_BUS = 0xff;

export class CoprocessorError implements Device {
  readonly name = 'coprocessor-error';
  readonly ports: readonly PortRange[] = [{ first: PORT, count: 1 }];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #line: InterruptLine;

  /** @param line IRQ 13 */
  constructor(area: DeviceArea, line: InterruptLine) {
    this.#state = area.attach(this.name, STATE);
    this.#line = line;
  }

  /** FERR# is asserted; `isNew`: it was not before. @returns whether IGNNE# is */
  signal(isNew: boolean): boolean {
    const { values } = this.#state;
    if (isNew) {
      values.ignored = 0;
      values.latch = 1;
      this.#line.set(1);
    }
    return values.ignored !== 0;
  }

  readPort(_port: number, _size: AccessSize): number {
    return FLOATING_BUS;
  }

  writePort(_port: number, _size: AccessSize, _value: number): void {
    const { values } = this.#state;
    values.latch = 0;
    values.ignored = 1;
    this.#line.set(0);
  }

  reset(): void {
    this.#state.clear();
    this.#line.set(0);
  }

  inspect(): InspectTree {
    return this.#state.inspect();
  }

  save(): unknown {
    return this.#state.save();
  }

  /** @throws PlinthError PL-4103, PL-4104 for what `save` did not give */
  restore(saved: unknown): void {
    this.#state.restore(saved);
  }
}
