/**
 * 16550A UART (National PC16550D data sheet; driver: Linux drivers/tty/serial/8250): COM1 and COM2 of a PC.
 *
 * Both directions end in rings in the shared memory. The processor's side is the `Device`; the host's side is `drain` and
 * `push`, which any other thread may call on an instance of its own over the same state:
 *
 *     guest THR ──> transmit ring ──> drain()      (consoleReady tells once per batch that there is something)
 *     guest RBR <── 16-byte FIFO <── receive ring <── push()   (wake() kicks processor 0, which polls)
 *
 * There is no baud rate: a byte is sent when it is written, and IIR says so at once. Only the interrupt for it comes a little
 * later, as from a real transmitter: a driver that is interrupted for every few bytes would do little else. When the host does
 * not drain, THRE goes down and the guest waits, so output is bounded. OUT2 gates the interrupt, as on a PC.
 *
 * Invariants: indices are masked at use; one writer and one reader per ring. Called by: chipset/index.ts, the partition.
 */
import {
  type AccessSize,
  ByteRing,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type InterruptLine,
  type PartitionClock,
  type PortRange,
  type SharedState,
} from '@plinth/hypervisor';
import { restoreWithBytes, saveBytes } from './saved-bytes.ts';

const TRANSMIT_RING_BYTES = 65536;
const RECEIVE_RING_BYTES = 16384;
const FIFO_BYTES = 16;

const STATE = describeState(1, {
  interruptEnable: 'u8',
  fifoControl: 'u8',
  lineControl: 'u8',
  modemControl: 'u8',
  scratch: 'u8',
  divisor: 'u16',
  /** Overrun flag of the LSR, kept until it is read. */
  lineErrors: 'u8',
  /** Delta bits of the MSR, kept until it is read. */
  modemDeltas: 'u8',
  /** The transmitter became empty and nobody has been told. */
  transmitEmptyPending: 'u8',
  fifo: { type: 'u8', length: FIFO_BYTES },
  fifoRead: 'u8',
  fifoCount: 'u8',
  line: 'u8',
  /** When the interrupt for an empty transmitter is due (partition time, ns). */
  deadline: 'f64',
  bytesSent: 'f64',
  bytesReceived: 'f64',
  /** The guest has seen THRE down: draining must wake it. */
  stalled: { type: 'u32', length: 1, transient: true },
  /** consoleReady has been called for what is in the transmit ring. */
  notified: { type: 'u32', length: 1, transient: true },
  transmitIndices: { type: 'u32', length: 2, transient: true },
  transmitBytes: { type: 'u8', length: TRANSMIT_RING_BYTES, transient: true },
  receiveIndices: { type: 'u32', length: 2, transient: true },
  receiveBytes: { type: 'u8', length: RECEIVE_RING_BYTES, transient: true },
});

/** From an empty transmitter to its interrupt: the time of some bytes at 115200 baud. */
const TRANSMIT_INTERRUPT_NANOSECONDS = 300_000;

/** Register offsets. */
const DATA = 0;
const INTERRUPT_ENABLE = 1;
const INTERRUPT_IDENTIFICATION = 2;
const LINE_CONTROL = 3;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;
const MODEM_STATUS = 6;

const LCR_DLAB = 0x80;
const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVE = 0x02;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_TRANSMITTER_EMPTY = 0x60;
/** Carrier, data set ready, clear to send: somebody listens. */
const MSR_CONNECTED = 0xb0;

const IER_RECEIVED = 0x01;
const IER_TRANSMIT_EMPTY = 0x02;
const IER_LINE_STATUS = 0x04;
const IER_MODEM_STATUS = 0x08;

const IIR_NONE = 0x01;
const IIR_MODEM_STATUS = 0x00;
const IIR_TRANSMIT_EMPTY = 0x02;
const IIR_RECEIVED = 0x04;
const IIR_LINE_STATUS = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFO_ENABLED = 0xc0;

const RECEIVE_TRIGGERS = [1, 4, 8, 14] as const;

export interface UartOptions {
  readonly name: string;
  /** First of its eight ports. */
  readonly port: number;
  readonly line: InterruptLine;
  readonly clock: PartitionClock;
  /** The transmit ring has bytes again; called at most once until the next `drain`. */
  readonly transmitReady: () => void;
  /** Makes processor 0's thread call `poll` soon. */
  readonly wake: () => void;
}

export class Uart16550 implements Device {
  readonly name: string;
  readonly ports: readonly PortRange[];
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #options: UartOptions;
  readonly #transmit: ByteRing;
  readonly #receive: ByteRing;

  constructor(area: DeviceArea, options: UartOptions) {
    this.name = options.name;
    this.ports = [{ first: options.port, count: 8 }];
    this.#options = options;
    this.#state = area.attach(options.name, STATE);
    const { values } = this.#state;
    this.#transmit = new ByteRing(values.transmitIndices, values.transmitBytes);
    this.#receive = new ByteRing(values.receiveIndices, values.receiveBytes);
    if (this.#state.fresh) this.reset();
  }

  // ---- the host's side, on any thread ------------------------------------------------------------------------------

  /** Takes everything that the guest has sent. */
  drain(): Uint8Array<ArrayBuffer> {
    const { notified, stalled } = this.#state.values;
    // Taken back before reading: a byte that comes in between is told again rather than forgotten.
    Atomics.store(notified, 0, 0);
    const bytes = this.#transmit.readAll();
    if (Atomics.exchange(stalled, 0, 0) !== 0) this.#options.wake();
    return bytes;
  }

  /** Gives bytes to the guest. @returns how many were taken; the rest is to be pushed again later */
  push(bytes: Uint8Array): number {
    const count = this.#receive.write(bytes);
    if (count > 0) this.#options.wake();
    return count;
  }

  /** Bytes that `push` would take now. */
  get receiveSpace(): number {
    return this.#receive.space;
  }

  // ---- the processor's side ----------------------------------------------------------------------------------------

  readPort(port: number, _size: AccessSize): number {
    this.#state.lock();
    try {
      return this.#read(port & 7);
    } finally {
      this.#state.unlock();
    }
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    let sent = false;
    this.#state.lock();
    try {
      sent = this.#write(port & 7, value & 0xff);
    } finally {
      this.#state.unlock();
    }
    if (sent && Atomics.exchange(this.#state.values.notified, 0, 1) === 0) this.#options.transmitReady();
  }

  poll(): void {
    this.#state.lock();
    try {
      const { values } = this.#state;
      this.#refill();
      if (values.transmitEmptyPending === 2 && this.#canTransmit()) values.transmitEmptyPending = 1;
      this.#updateLine();
    } finally {
      this.#state.unlock();
    }
  }

  deadline(): number {
    return this.#state.values.deadline;
  }

  onDeadline(now: number): void {
    this.#state.lock();
    try {
      const { values } = this.#state;
      if (now < values.deadline) return;
      values.deadline = Number.POSITIVE_INFINITY;
      this.#setLine(this.#isGated() || this.#source() === IIR_NONE ? 0 : 1);
    } finally {
      this.#state.unlock();
    }
  }

  reset(): void {
    const { values } = this.#state;
    values.interruptEnable = 0;
    values.fifoControl = 0;
    values.lineControl = 0;
    values.modemControl = 0;
    values.scratch = 0;
    values.divisor = 12;
    values.lineErrors = 0;
    values.modemDeltas = 0;
    values.transmitEmptyPending = 0;
    values.fifoRead = 0;
    values.fifoCount = 0;
    values.line = 0;
    values.deadline = Number.POSITIVE_INFINITY;
    this.#options.line.set(0);
  }

  inspect(): InspectTree {
    return {
      ...this.#state.inspect(),
      lineStatus: this.#lineStatus(),
      transmitWaiting: this.#transmit.length,
      receiveWaiting: this.#receive.length,
    };
  }

  /** What the guest has sent is the host's already and not saved; what it has not read yet is. */
  save(): unknown {
    return { ...this.#state.save(), received: saveBytes(this.#receive.peek()) };
  }

  restore(saved: unknown): void {
    const received = restoreWithBytes(this.#state, saved, 'received', RECEIVE_RING_BYTES);
    this.#receive.clear();
    this.#receive.write(received);
    this.#options.line.set(this.#state.values.line === 0 ? 0 : 1);
  }

  #read(register: number): number {
    const { values } = this.#state;
    const divisorLatch = (values.lineControl & LCR_DLAB) !== 0;
    switch (register) {
      case DATA:
        return divisorLatch ? values.divisor & 0xff : this.#receiveByte();
      case INTERRUPT_ENABLE:
        return divisorLatch ? values.divisor >> 8 : values.interruptEnable;
      case INTERRUPT_IDENTIFICATION: {
        this.#refill();
        const source = this.#source();
        if (source === IIR_TRANSMIT_EMPTY) {
          values.transmitEmptyPending = 0;
          this.#updateLine();
        }
        return source | ((values.fifoControl & FCR_ENABLE) !== 0 ? IIR_FIFO_ENABLED : 0);
      }
      case LINE_CONTROL:
        return values.lineControl;
      case MODEM_CONTROL:
        return values.modemControl;
      case LINE_STATUS: {
        this.#refill();
        this.#canTransmitOrStalls();
        const status = this.#lineStatus();
        if (values.lineErrors !== 0) {
          values.lineErrors = 0;
          this.#updateLine();
        }
        return status;
      }
      case MODEM_STATUS: {
        const status = this.#modemStatus() | values.modemDeltas;
        if (values.modemDeltas !== 0) {
          values.modemDeltas = 0;
          this.#updateLine();
        }
        return status;
      }
      default:
        return values.scratch;
    }
  }

  /** @returns whether a byte went to the host */
  #write(register: number, value: number): boolean {
    const { values } = this.#state;
    const divisorLatch = (values.lineControl & LCR_DLAB) !== 0;
    switch (register) {
      case DATA:
        if (divisorLatch) {
          values.divisor = (values.divisor & 0xff00) | value;
          return false;
        }
        return this.#transmitByte(value);
      case INTERRUPT_ENABLE:
        if (divisorLatch) values.divisor = (values.divisor & 0xff) | (value << 8);
        else this.#writeInterruptEnable(value & 0x0f);
        return false;
      case INTERRUPT_IDENTIFICATION:
        this.#writeFifoControl(value);
        return false;
      case LINE_CONTROL:
        values.lineControl = value;
        return false;
      case MODEM_CONTROL:
        this.#writeModemControl(value & 0x1f);
        return false;
      case LINE_STATUS:
      case MODEM_STATUS:
        return false;
      default:
        values.scratch = value;
        return false;
    }
  }

  #receiveByte(): number {
    const { values } = this.#state;
    if (values.fifoCount === 0) this.#refill();
    if (values.fifoCount === 0) return 0;
    const byte = values.fifo[values.fifoRead & (FIFO_BYTES - 1)] as number;
    values.fifoRead = (values.fifoRead + 1) & (FIFO_BYTES - 1);
    values.fifoCount--;
    this.#refill();
    this.#updateLine();
    return byte;
  }

  #transmitByte(value: number): boolean {
    const { values } = this.#state;
    if ((values.modemControl & MCR_LOOP) !== 0) {
      if (values.fifoCount >= this.#fifoCapacity()) values.lineErrors |= LSR_OVERRUN;
      else this.#enqueue(value);
      values.transmitEmptyPending = 1;
      this.#updateLine();
      return false;
    }
    const sent = this.#transmit.put(value);
    if (sent) values.bytesSent++;
    values.transmitEmptyPending = this.#canTransmitOrStalls() ? 1 : 2;
    this.#updateLine();
    return sent;
  }

  #writeInterruptEnable(value: number): void {
    const { values } = this.#state;
    const raised = value & ~values.interruptEnable;
    values.interruptEnable = value;
    // Enabling the interrupt with an empty transmitter raises it; drivers start sending that way.
    if ((raised & IER_TRANSMIT_EMPTY) !== 0) {
      values.transmitEmptyPending = this.#canTransmitOrStalls() ? 1 : 2;
    }
    this.#updateLine();
  }

  #writeFifoControl(value: number): void {
    const { values } = this.#state;
    const toggled = ((value ^ values.fifoControl) & FCR_ENABLE) !== 0;
    // The other bits count only together with the enable bit.
    values.fifoControl = (value & FCR_ENABLE) !== 0 ? value & 0xc9 : 0;
    if (toggled || (value & (FCR_ENABLE | FCR_CLEAR_RECEIVE)) === (FCR_ENABLE | FCR_CLEAR_RECEIVE)) {
      values.fifoCount = 0;
      values.fifoRead = 0;
    }
    this.#updateLine();
  }

  #writeModemControl(value: number): void {
    const { values } = this.#state;
    const before = this.#modemStatus();
    values.modemControl = value;
    const after = this.#modemStatus();
    // Ring indicator reports its trailing edge only, the others any change.
    const changed = ((before ^ after) & 0xb0) | (before & ~after & 0x40);
    values.modemDeltas |= changed >> 4;
    this.#updateLine();
  }

  #fifoCapacity(): number {
    return (this.#state.values.fifoControl & FCR_ENABLE) !== 0 ? FIFO_BYTES : 1;
  }

  #enqueue(byte: number): void {
    const { values } = this.#state;
    values.fifo[(values.fifoRead + values.fifoCount) & (FIFO_BYTES - 1)] = byte;
    values.fifoCount++;
  }

  /** Moves bytes that the host pushed into the FIFO. In loopback the receiver is cut off from the line. */
  #refill(): void {
    const { values } = this.#state;
    if ((values.modemControl & MCR_LOOP) !== 0 || this.#receive.length === 0) return;
    const capacity = this.#fifoCapacity();
    const before = values.fifoCount;
    while (values.fifoCount < capacity) {
      const byte = this.#receive.take();
      if (byte < 0) break;
      this.#enqueue(byte);
      values.bytesReceived++;
    }
    if (values.fifoCount !== before) this.#updateLine();
  }

  /** A whole FIFO must fit: a driver sends that much each time it sees THRE. */
  #canTransmit(): boolean {
    return (this.#state.values.modemControl & MCR_LOOP) !== 0 || this.#transmit.space >= FIFO_BYTES;
  }

  /**
   * Whether the guest may send; when not, `drain` will wake it. Announced before the last look: a drain between a look and the
   * announcement would wake nobody, and nothing else would either.
   */
  #canTransmitOrStalls(): boolean {
    if (this.#canTransmit()) return true;
    Atomics.store(this.#state.values.stalled, 0, 1);
    return this.#canTransmit();
  }

  #lineStatus(): number {
    const { values } = this.#state;
    return (
      values.lineErrors |
      (values.fifoCount > 0 ? LSR_DATA_READY : 0) |
      (this.#canTransmit() ? LSR_TRANSMITTER_EMPTY : 0)
    );
  }

  /** Upper half of the MSR: in loopback the modem control outputs, else a connected line. */
  #modemStatus(): number {
    const { modemControl } = this.#state.values;
    if ((modemControl & MCR_LOOP) === 0) return MSR_CONNECTED;
    return (
      ((modemControl & 0x02) << 3) |
      ((modemControl & 0x01) << 5) |
      ((modemControl & 0x04) << 4) |
      ((modemControl & 0x08) << 4)
    );
  }

  /** The IIR's identification of the most urgent enabled source. */
  #source(): number {
    const { values } = this.#state;
    const enabled = values.interruptEnable;
    if ((enabled & IER_LINE_STATUS) !== 0 && values.lineErrors !== 0) return IIR_LINE_STATUS;
    if ((enabled & IER_RECEIVED) !== 0 && values.fifoCount > 0) {
      if ((values.fifoControl & FCR_ENABLE) === 0) return IIR_RECEIVED;
      const trigger = RECEIVE_TRIGGERS[(values.fifoControl >> 6) & 3] ?? 1;
      return values.fifoCount >= trigger ? IIR_RECEIVED : IIR_TIMEOUT;
    }
    if ((enabled & IER_TRANSMIT_EMPTY) !== 0 && values.transmitEmptyPending === 1) return IIR_TRANSMIT_EMPTY;
    if ((enabled & IER_MODEM_STATUS) !== 0 && values.modemDeltas !== 0) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  #isGated(): boolean {
    return (this.#state.values.modemControl & (MCR_OUT2 | MCR_LOOP)) !== MCR_OUT2;
  }

  #updateLine(): void {
    const { values } = this.#state;
    const source = this.#isGated() ? IIR_NONE : this.#source();
    if (source === IIR_TRANSMIT_EMPTY && values.line === 0) {
      if (values.deadline === Number.POSITIVE_INFINITY) {
        values.deadline = this.#options.clock.now() + TRANSMIT_INTERRUPT_NANOSECONDS;
      }
      return;
    }
    values.deadline = Number.POSITIVE_INFINITY;
    this.#setLine(source === IIR_NONE ? 0 : 1);
  }

  #setLine(level: 0 | 1): void {
    const { values } = this.#state;
    if (level === values.line) return;
    values.line = level;
    this.#options.line.set(level);
  }
}
