/**
 * Two cascaded 8259A interrupt controllers (Intel 8259A data sheet; edge/level registers as in the PIIX): the PC's IRQ 0-15.
 *
 * The level of the master's INT output is mirrored into the partition header (SHARED.externalInterrupt), where processors
 * see it without a call; `acknowledge` is the INTA cycle. Special mask mode is stored but has no effect; polling works.
 *
 * Invariants: input 2 is the cascade and has no line of its own; the state is the same whichever thread changes it.
 * Called by: the partition (ports, INTA), the chipset's interrupt lines.
 */
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type InterruptControllers,
  type PortRange,
  type SharedState,
} from '@plinth/hypervisor';

/** Two of each: master, slave. */
const both = { type: 'u8', length: 2 } as const;
const STATE = describeState(1, {
  request: both,
  service: both,
  mask: both,
  /** Levels of the input lines. */
  lines: both,
  /** ELCR: inputs that are level-triggered. */
  levelTriggered: both,
  vectorBase: both,
  /** ICW that the next write to the odd port is (2, 3, 4), 0 when initialized. */
  initStep: both,
  needsIcw4: both,
  automaticEnd: both,
  rotateOnAutomaticEnd: both,
  specialFullyNested: both,
  specialMask: both,
  /** Input of the highest priority. */
  firstPriority: both,
  readService: both,
  poll: both,
  /** Level of the INT output. */
  output: 'u8',
});

const MASTER = 0;
const SLAVE = 1;
type Half = typeof MASTER | typeof SLAVE;
const CASCADE = 2;
/** ELCR bits that exist: IRQ 0, 1, 2, 8 and 13 are always edges. */
const ELCR_WRITABLE = [0xf8, 0xde] as const;

export interface PicOptions {
  /** Takes the level of the INT output. */
  readonly output: (level: 0 | 1) => void;
  /** Makes a processor look at the output soon; called when it rises. */
  readonly wake: () => void;
}

export class Pic8259 implements Device, Pick<InterruptControllers, 'acknowledge'> {
  readonly name = 'pic';
  readonly ports: readonly PortRange[] = [
    { first: 0x20, count: 2 },
    { first: 0xa0, count: 2 },
    { first: 0x4d0, count: 2 },
  ];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #options: PicOptions;

  constructor(area: DeviceArea, options: PicOptions) {
    this.#options = options;
    this.#state = area.attach(this.name, STATE);
    if (this.#state.fresh) this.reset();
  }

  /** Sets an input. `irq` is 0-15. */
  setLine(irq: number, level: 0 | 1): void {
    this.#state.lock();
    try {
      if (irq === CASCADE) return;
      const half: Half = irq < 8 ? MASTER : SLAVE;
      this.#setInput(half, irq & 7, level);
      this.#update();
    } finally {
      this.#state.unlock();
    }
  }

  acknowledge(): number {
    this.#state.lock();
    try {
      const { vectorBase } = this.#state.values;
      const input = this.#pending(MASTER);
      // Nothing there any more: the spurious vector is that of input 7, and nothing goes into service.
      let vector = byte(vectorBase, MASTER) + 7;
      if (input === CASCADE) {
        this.#take(MASTER, CASCADE);
        const slaveInput = this.#pending(SLAVE);
        vector = byte(vectorBase, SLAVE) + (slaveInput < 0 ? 7 : slaveInput);
        if (slaveInput >= 0) this.#take(SLAVE, slaveInput);
      } else if (input >= 0) {
        this.#take(MASTER, input);
        vector = byte(vectorBase, MASTER) + input;
      }
      this.#update();
      return vector;
    } finally {
      this.#state.unlock();
    }
  }

  readPort(port: number, _size: AccessSize): number {
    const { values } = this.#state;
    if (port >= 0x4d0) return byte(values.levelTriggered, port & 1);
    const half: Half = port < 0xa0 ? MASTER : SLAVE;
    if (byte(values.poll, half) !== 0) return this.#pollCommand(half);
    if ((port & 1) !== 0) return byte(values.mask, half);
    return byte(byte(values.readService, half) !== 0 ? values.service : values.request, half);
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    this.#state.lock();
    try {
      const { values } = this.#state;
      if (port >= 0x4d0) {
        values.levelTriggered[port & 1] = value & (ELCR_WRITABLE[port & 1] ?? 0);
      } else {
        const half: Half = port < 0xa0 ? MASTER : SLAVE;
        if ((port & 1) !== 0) this.#writeData(half, value & 0xff);
        else if ((value & 0x10) !== 0) this.#initialize(half, value);
        else if ((value & 0x08) !== 0) this.#writeOcw3(half, value);
        else this.#writeOcw2(half, value);
      }
      this.#update();
    } finally {
      this.#state.unlock();
    }
  }

  reset(): void {
    const { lines } = this.#state.values;
    const [master, slave] = [byte(lines, MASTER), byte(lines, SLAVE)];
    this.#state.clear();
    // The wires belong to the devices: they are reset by themselves.
    lines.set([master, slave]);
    this.#update();
  }

  inspect(): InspectTree {
    return this.#state.inspect();
  }

  save(): unknown {
    return this.#state.save();
  }

  restore(saved: unknown): void {
    this.#state.restore(saved);
    this.#update();
  }

  #setInput(half: Half, input: number, level: 0 | 1): void {
    const { lines, request, levelTriggered } = this.#state.values;
    const bit = 1 << input;
    if (level === 0) {
      lines[half] = byte(lines, half) & ~bit;
      // An edge that goes away before INTA is no request either.
      request[half] = byte(request, half) & ~bit;
    } else {
      if ((byte(levelTriggered, half) & bit) !== 0 || (byte(lines, half) & bit) === 0) {
        request[half] = byte(request, half) | bit;
      }
      lines[half] = byte(lines, half) | bit;
    }
  }

  /** The input that may interrupt now, or -1: the first unmasked request above all that are in service. */
  #pending(half: Half): number {
    const { request, mask, service, firstPriority, specialFullyNested } = this.#state.values;
    const requests = byte(request, half) & ~byte(mask, half);
    if (requests === 0) return -1;
    let inService = byte(service, half);
    // Special fully nested: the slave in service does not block its own higher requests.
    if (half === MASTER && byte(specialFullyNested, MASTER) !== 0) inService &= ~(1 << CASCADE);
    for (let rank = 0; rank < 8; rank++) {
      const input = (byte(firstPriority, half) + rank) & 7;
      if ((inService & (1 << input)) !== 0) return -1;
      if ((requests & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  /** The acknowledged input goes into service (unless it ends by itself), and an edge is used up. */
  #take(half: Half, input: number): void {
    const { values } = this.#state;
    const bit = 1 << input;
    if (byte(values.automaticEnd, half) === 0) values.service[half] = byte(values.service, half) | bit;
    else if (byte(values.rotateOnAutomaticEnd, half) !== 0) values.firstPriority[half] = (input + 1) & 7;
    if ((byte(values.levelTriggered, half) & bit) === 0) values.request[half] = byte(values.request, half) & ~bit;
  }

  #writeData(half: Half, value: number): void {
    const { values } = this.#state;
    switch (byte(values.initStep, half)) {
      case 2:
        values.vectorBase[half] = value & 0xf8;
        values.initStep[half] = 3;
        break;
      case 3:
        // The cascade's place is wired, whatever the guest says.
        values.initStep[half] = byte(values.needsIcw4, half) !== 0 ? 4 : 0;
        break;
      case 4:
        values.specialFullyNested[half] = (value >> 4) & 1;
        values.automaticEnd[half] = (value >> 1) & 1;
        values.initStep[half] = 0;
        break;
      default:
        values.mask[half] = value;
    }
  }

  #initialize(half: Half, value: number): void {
    const { values } = this.#state;
    for (const field of [
      values.service,
      values.mask,
      values.automaticEnd,
      values.rotateOnAutomaticEnd,
      values.specialFullyNested,
      values.specialMask,
      values.firstPriority,
      values.readService,
      values.poll,
    ]) {
      field[half] = 0;
    }
    // Edge detection starts anew; level inputs go on asking.
    values.request[half] = byte(values.lines, half) & byte(values.levelTriggered, half);
    values.needsIcw4[half] = value & 1;
    values.initStep[half] = 2;
  }

  #writeOcw2(half: Half, value: number): void {
    const { values } = this.#state;
    const input = value & 7;
    const end = (ended: number, rotate: boolean): void => {
      if (ended < 0) return;
      values.service[half] = byte(values.service, half) & ~(1 << ended);
      if (rotate) values.firstPriority[half] = (ended + 1) & 7;
    };
    switch (value >> 5) {
      case 0:
      case 4:
        values.rotateOnAutomaticEnd[half] = value >> 7;
        break;
      case 1:
        end(this.#highestInService(half), false);
        break;
      case 3:
        end(input, false);
        break;
      case 5:
        end(this.#highestInService(half), true);
        break;
      case 6:
        values.firstPriority[half] = (input + 1) & 7;
        break;
      case 7:
        end(input, true);
        break;
      default:
    }
  }

  #writeOcw3(half: Half, value: number): void {
    const { values } = this.#state;
    if ((value & 0x04) !== 0) values.poll[half] = 1;
    if ((value & 0x02) !== 0) values.readService[half] = value & 1;
    if ((value & 0x40) !== 0) values.specialMask[half] = (value >> 5) & 1;
  }

  #highestInService(half: Half): number {
    const { service, firstPriority } = this.#state.values;
    for (let rank = 0; rank < 8; rank++) {
      const input = (byte(firstPriority, half) + rank) & 7;
      if ((byte(service, half) & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  #pollCommand(half: Half): number {
    this.#state.lock();
    try {
      this.#state.values.poll[half] = 0;
      const input = this.#pending(half);
      if (input < 0) return 0;
      this.#take(half, input);
      this.#update();
      return 0x80 | input;
    } finally {
      this.#state.unlock();
    }
  }

  /** The slave's output is the master's input 2; the master's output is the processor's. */
  #update(): void {
    const { values } = this.#state;
    const bit = 1 << CASCADE;
    // Followed as a level: a slave that still asks after INTA needs no falling edge first.
    if (this.#pending(SLAVE) >= 0) values.request[MASTER] = byte(values.request, MASTER) | bit;
    else values.request[MASTER] = byte(values.request, MASTER) & ~bit;
    const level = this.#pending(MASTER) >= 0 ? 1 : 0;
    this.#options.output(level);
    if (level === 1 && values.output === 0) this.#options.wake();
    values.output = level;
  }
}

const byte = (pair: Uint8Array, half: number): number => pair[half] ?? 0;
