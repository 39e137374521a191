/**
 * IOAPIC (Intel 82093AA data sheet, version 0x20 with an EOI register as in the ICH; driver: Linux arch/x86/kernel/apic/io_apic.c):
 * 24 inputs, each with a redirection entry that makes an interrupt message of it.
 *
 * Inputs are logical levels: 1 asserts, whatever polarity the guest programs. Edges on a masked input are lost (82093AA,
 * "Interrupt Mask"); levels wait. A level that was delivered sets remote IRR and is looked at again at EOI.
 *
 * Invariant: `deliver` gets a message only for an unmasked input, and for a level only while remote IRR was clear.
 * Called by: the chipset's interrupt lines, the partition (registers, EOI broadcast).
 */
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type InterruptMessage,
  type MmioRange,
  type SharedState,
} from '@plinth/hypervisor';

export const IOAPIC_ADDRESS = 0xfec00000;
const IOAPIC_INPUTS = 24;
const VERSION = 0x20 | ((IOAPIC_INPUTS - 1) << 16);

const STATE = describeState(1, {
  select: 'u8',
  id: 'u8',
  /** Levels of the inputs, a bit each. */
  lines: 'u32',
  redirectionLow: { type: 'u32', length: IOAPIC_INPUTS },
  redirectionHigh: { type: 'u32', length: IOAPIC_INPUTS },
});

const REGISTER_SELECT = 0x00;
const REGISTER_WINDOW = 0x10;
const REGISTER_EOI = 0x40;
const FIRST_REDIRECTION = 0x10;

const LOGICAL_DESTINATION = 0x800;
const REMOTE_IRR = 0x4000;
const LEVEL = 0x8000;
const MASKED = 0x10000;
/** Everything but delivery status and remote IRR. */
const WRITABLE_LOW = 0x1afff;

export interface IoapicOptions {
  readonly deliver: (message: InterruptMessage) => void;
}

export class Ioapic implements Device {
  readonly name = 'ioapic';
  readonly ports = [];
  readonly mmio: readonly MmioRange[] = [{ start: IOAPIC_ADDRESS, bytes: 4096 }];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #deliver: (message: InterruptMessage) => void;

  constructor(area: DeviceArea, options: IoapicOptions) {
    this.#deliver = options.deliver;
    this.#state = area.attach(this.name, STATE);
    if (this.#state.fresh) this.reset();
  }

  /** Sets an input. `input` is 0-23. */
  setLine(input: number, level: 0 | 1): void {
    this.#state.lock();
    try {
      const { values } = this.#state;
      const bit = 1 << input;
      const before = values.lines & bit;
      if (level === 0) {
        values.lines &= ~bit;
      } else {
        values.lines |= bit;
        if (before === 0) this.#service(input, true);
      }
    } finally {
      this.#state.unlock();
    }
  }

  /** EOI broadcast of a processor: level-triggered inputs of that vector may interrupt again. */
  endOfInterrupt(vector: number): void {
    this.#state.lock();
    try {
      const { redirectionLow } = this.#state.values;
      for (let input = 0; input < IOAPIC_INPUTS; input++) {
        const entry = word(redirectionLow, input);
        if ((entry & (REMOTE_IRR | LEVEL | 0xff)) >>> 0 !== (REMOTE_IRR | LEVEL | vector)) continue;
        redirectionLow[input] = entry & ~REMOTE_IRR;
        this.#service(input, false);
      }
    } finally {
      this.#state.unlock();
    }
  }

  /** Registers are 32 bits wide; narrower and misplaced accesses read as zero, as reserved ones do. */
  readMmio(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    const { values } = this.#state;
    if (offset === REGISTER_SELECT) return values.select;
    return offset === REGISTER_WINDOW ? this.#readRegister(values.select) : 0;
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset === REGISTER_SELECT) this.#state.values.select = value;
    else if (offset === REGISTER_EOI) this.endOfInterrupt(value & 0xff);
    else if (offset === REGISTER_WINDOW && size === 4) this.#writeRegister(this.#state.values.select, value);
  }

  reset(): void {
    const { values } = this.#state;
    const { lines } = values;
    this.#state.clear();
    // The wires belong to the devices: they are reset by themselves.
    values.lines = lines;
    values.redirectionLow.fill(MASKED);
  }

  inspect(): InspectTree {
    const { values } = this.#state;
    return {
      id: values.id,
      lines: `0x${values.lines.toString(16)}`,
      inputs: Array.from({ length: IOAPIC_INPUTS }, (_, input) => {
        const low = word(values.redirectionLow, input);
        return {
          vector: low & 0xff,
          deliveryMode: (low >> 8) & 7,
          destination: word(values.redirectionHigh, input) >>> 24,
          logical: (low & LOGICAL_DESTINATION) !== 0,
          trigger: (low & LEVEL) !== 0 ? 'level' : 'edge',
          masked: (low & MASKED) !== 0,
          remoteIrr: (low & REMOTE_IRR) !== 0,
        };
      }),
    };
  }

  save(): unknown {
    return this.#state.save();
  }

  restore(saved: unknown): void {
    this.#state.restore(saved);
  }

  #readRegister(register: number): number {
    const { values } = this.#state;
    switch (register) {
      case 0:
      case 2:
        return values.id << 24;
      case 1:
        return VERSION;
      default: {
        const input = (register - FIRST_REDIRECTION) >> 1;
        if (input < 0 || input >= IOAPIC_INPUTS) return 0;
        return word((register & 1) === 0 ? values.redirectionLow : values.redirectionHigh, input);
      }
    }
  }

  #writeRegister(register: number, value: number): void {
    this.#state.lock();
    try {
      const { values } = this.#state;
      if (register === 0) {
        values.id = (value >>> 24) & 0x0f;
        return;
      }
      const input = (register - FIRST_REDIRECTION) >> 1;
      if (input < 0 || input >= IOAPIC_INPUTS) return;
      if ((register & 1) !== 0) {
        values.redirectionHigh[input] = value & 0xff000000;
        return;
      }
      const kept = word(values.redirectionLow, input) & REMOTE_IRR;
      // An edge-triggered input has no remote IRR: drivers switch to edge and back to clear a stuck one.
      values.redirectionLow[input] = (value & WRITABLE_LOW) | ((value & LEVEL) !== 0 ? kept : 0);
      this.#service(input, false);
    } finally {
      this.#state.unlock();
    }
  }

  /** Sends the message of an asserted input when it may. `rising` tells whether the level has just risen. */
  #service(input: number, rising: boolean): void {
    const { values } = this.#state;
    const entry = word(values.redirectionLow, input);
    if ((entry & MASKED) !== 0 || (values.lines & (1 << input)) === 0) return;
    const level = (entry & LEVEL) !== 0;
    if (level ? (entry & REMOTE_IRR) !== 0 : !rising) return;
    if (level) values.redirectionLow[input] = entry | REMOTE_IRR;
    this.#deliver({
      vector: entry & 0xff,
      deliveryMode: (entry >> 8) & 7,
      destination: word(values.redirectionHigh, input) >>> 24,
      logicalDestination: (entry & LOGICAL_DESTINATION) !== 0,
      levelTriggered: level,
    });
  }
}

const word = (words: Uint32Array, index: number): number => words[index] ?? 0;
