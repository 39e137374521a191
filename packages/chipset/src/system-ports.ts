/**
 * The ports of a PC that are no device of their own: the keyboard controller's reset line, the fast reset and A20 port, and
 * the POST code.
 *
 * There is no keyboard controller (the FADT says so, and Linux then does not look for one). Its status port answers 0xfd: as
 * a floating bus does, but 'input buffer empty', so that code which only waits to send the reset command comes through.
 * Pulsing the reset line (commands 0xf0-0xff with bit 0 clear) resets. Called by: the partition.
 */
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type PortRange,
  type SharedState,
} from '@plinth/hypervisor';

const STATE = describeState(1, { postCode: 'u8' });

const KEYBOARD_DATA = 0x60;
const KEYBOARD_COMMAND = 0x64;
const POST_CODE = 0x80;
const FAST_CONTROL = 0x92;
const ABSENT_STATUS = 0xfd;
const PULSE_COMMANDS = 0xf0;
const FAST_RESET = 0x01;
const A20_ENABLED = 0x02;

export class SystemPorts implements Device {
  readonly name = 'system-ports';
  readonly ports: readonly PortRange[] = [KEYBOARD_DATA, KEYBOARD_COMMAND, POST_CODE, FAST_CONTROL].map((first) => ({
    first,
    count: 1,
  }));
  readonly mmio = [];
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #reset: () => void;

  /** @param reset resets the partition */
  constructor(area: DeviceArea, reset: () => void) {
    this.#state = area.attach(this.name, STATE);
    this.#reset = reset;
  }

  readPort(port: number, _size: AccessSize): number {
    switch (port) {
      case KEYBOARD_COMMAND:
        return ABSENT_STATUS;
      case POST_CODE:
        return this.#state.values.postCode;
      case FAST_CONTROL:
        return A20_ENABLED;
      default:
        return 0xff;
    }
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    if (port === POST_CODE) this.#state.values.postCode = value;
    else if (port === FAST_CONTROL && (value & FAST_RESET) !== 0) this.#reset();
    else if (port === KEYBOARD_COMMAND && (value & 0xf1) === PULSE_COMMANDS) this.#reset();
  }

  reset(): void {
    this.#state.clear();
  }

  inspect(): InspectTree {
    return this.#state.inspect();
  }

  save(): unknown {
    return this.#state.save();
  }

  restore(saved: unknown): void {
    this.#state.restore(saved);
  }
}
