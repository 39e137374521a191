/**
 * The whole PC: devices, and the wires between them.
 *
 *     PIT ─ irq 0 ─┐      ┌─> i8259 pair ──> SHARED.externalInterrupt (LINT0)
 *     COM2 ─ 3 ────┤      │
 *     COM1 ─ 4 ────┼─ ISA ┤
 *     RTC ── 8 ────┤      │
 *     PM ─── 9 ────┤
 *     FERR# 13 ────┘      └─> IOAPIC ──> deliver(message)   (irq 0 at input 2)
 *
 * A machine of generation 2 has neither PIT nor i8259 pair: interrupts go to the IOAPIC alone, and its guests' timers are the local APIC's
 * and the hypervisor's.
 *
 * Every thread that runs the partition's devices makes its own Chipset over the same shared state; the wires' levels are in
 * the controllers' state. Called by: vmwp, for each virtual processor's thread and for the host's end of the consoles.
 */
import {
  DeviceArea,
  type InterruptLine,
  type InterruptMessage,
  type Partition,
  SHARED,
  SHARED_OFFSET,
} from '@plinth/hypervisor';
import { SCI_INTERRUPT } from './acpi/placement.ts';
import { AcpiPm } from './acpi-pm.ts';
import { CoprocessorError } from './coprocessor-error.ts';
import { Ioapic } from './ioapic.ts';
import { PciConfiguration } from './pci-configuration.ts';
import { Pic8259 } from './pic-8259.ts';
import { Pit8254 } from './pit-8254.ts';
import { RtcCmos } from './rtc-cmos.ts';
import { SystemControl } from './system-control.ts';
import { SystemPorts } from './system-ports.ts';
import { Uart16550 } from './uart-16550.ts';

/** What the host does for the machine. All are called on the thread that runs the device. */
export interface ChipsetHost {
  /** Takes an interrupt message to the local APICs it is meant for. */
  deliver(message: InterruptMessage): void;
  /** Makes a virtual processor's thread look around soon: `Partition.poll` runs on processor 0's. */
  kick(processorIndex: number): void;
  /** Milliseconds since 1970 UTC. */
  wallClock(): number;
  /** The guest turned itself off. */
  powerOff(): void;
  /** The guest asked for a reset. */
  reset(): void;
  /** A serial port (0: COM1, 1: COM2) has bytes to drain again. */
  consoleReady(port: number): void;
}

/** Hyper-V's generations of virtual machines: 1 is a PC with its old timer and interrupt controllers, 2 is without them. */
export type Generation = 1 | 2;

export interface Chipset {
  readonly ioapic: Ioapic;
  readonly rtc: RtcCmos;
  readonly pm: AcpiPm;
  /** COM1 and COM2. */
  readonly uarts: readonly [Uart16550, Uart16550];
  /** An ISA interrupt's wire, for devices that are added later. */
  line(irq: number): InterruptLine;
}

/** Inputs of the IOAPIC by ISA interrupt, as the MADT tells: only the timer's is another. */
const ioapicInput = (irq: number): number => (irq === 0 ? 2 : irq);

const WARM_UP_READS = 300;
/** No PC has anything there. */
const UNCLAIMED_PORT = 0xe0;

/**
 * Guests find out how fast their clocks are by reading the timer, within microseconds and the first time they touch it. Code
 * that the host has yet to compile answers a hundred times later than it will ever after, and the guest then measures that; so
 * the timer's code runs some hundred times before, on a timer of its own.
 */
function warmUpTimer(partition: Partition): void {
  const timer = new Pit8254(DeviceArea.standalone(16384), { clock: partition.clock, line: { set() {} } });
  timer.writePort(0x61, 1, 0x01);
  timer.writePort(0x43, 1, 0xb0);
  timer.writePort(0x42, 1, 0xff);
  timer.writePort(0x42, 1, 0xff);
  for (let read = 0; read < WARM_UP_READS; read++) {
    timer.readPort(0x42, 1);
    timer.readPort(0x61, 1);
    // The way there: ports that belong to nobody have no effect.
    partition.portRead(UNCLAIMED_PORT, 1);
  }
}

/** Builds the devices, adds them to the partition and connects the partition's interrupt cycles. */
export function createChipset(partition: Partition, host: ChipsetHost, generation: Generation = 1): Chipset {
  const { clock, deviceArea } = partition;
  const header = new Uint32Array(partition.memory.buffer, SHARED_OFFSET, SHARED.slots >> 2);
  const wake = (): void => host.kick(0);

  const pic =
    generation === 1
      ? new Pic8259(deviceArea, {
          output: (level) => Atomics.store(header, SHARED.externalInterrupt >> 2, level),
          wake,
        })
      : undefined;
  const ioapic = new Ioapic(deviceArea, { deliver: (message) => host.deliver(message) });
  const line = (irq: number): InterruptLine => {
    const input = ioapicInput(irq);
    return {
      set(level) {
        pic?.setLine(irq, level);
        ioapic.setLine(input, level);
      },
    };
  };

  const timer =
    generation === 1 ? new Pit8254(deviceArea, { clock, line: line(0) }) : new SystemControl(deviceArea, clock);
  const rtc = new RtcCmos(deviceArea, {
    clock,
    wallClock: () => host.wallClock(),
    line: line(8),
    ramBytes: partition.layout.ramBytes,
  });
  const coprocessorError = generation === 1 ? new CoprocessorError(deviceArea, line(13)) : undefined;
  const pm = new AcpiPm(deviceArea, { clock, line: line(SCI_INTERRUPT), powerOff: () => host.powerOff(), wake });
  const uart = (index: number, name: string, port: number, irq: number): Uart16550 =>
    new Uart16550(deviceArea, {
      name,
      port,
      line: line(irq),
      clock,
      transmitReady: () => host.consoleReady(index),
      wake,
    });
  const uarts = [uart(0, 'com1', 0x3f8, 4), uart(1, 'com2', 0x2f8, 3)] as const;
  const reset = (): void => host.reset();

  for (const device of [
    ...(pic === undefined ? [] : [pic]),
    ...(coprocessorError === undefined ? [] : [coprocessorError]),
    ioapic,
    timer,
    rtc,
    pm,
    ...uarts,
    new PciConfiguration(reset),
    new SystemPorts(deviceArea, reset),
  ]) {
    partition.addDevice(device);
  }
  partition.interruptControllers = {
    // Nobody answers where there is no pair: a floating bus.
    acknowledge: () => pic?.acknowledge() ?? 0xff,
    endOfInterrupt: (vector) => ioapic.endOfInterrupt(vector),
  };
  if (coprocessorError !== undefined) {
    partition.floatingPointErrorHandler = (isNew) => coprocessorError.signal(isNew);
  }
  if (generation === 1) warmUpTimer(partition);
  return { ioapic, rtc, pm, uarts, line };
}
