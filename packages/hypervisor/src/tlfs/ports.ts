/**
 * Ports of the root partition, the child's connections to them, and what arrives there: the child's way to its virtualization stack.
 *
 *     child: HvCallPostMessage(connection) ──> connection ──> message port ──> ring of messages ──┐ wake
 *            HvCallSignalEvent(connection) ──> connection ──> event port ──> flags of the root ───┴──> root: takeMessage, takeEvents
 *
 * Tables, ring and flags are shared state, so the hypercall is answered on the processor's own thread and the root reads on its own. The
 * root is woken once until it acknowledges, however much arrives. Connection ids belong to this partition alone.
 *
 * Invariants: messages keep their order; a full ring refuses with INSUFFICIENT_BUFFERS; flags never get lost; ids are checked before use.
 * Answers to: TLFS, "Ports and connections", HvCallCreatePort, HvCallConnectPort. Called by: hypercalls.ts, root-calls.ts.
 */
import type { InspectTree } from '../device.ts';
import type { Partition } from '../partition.ts';
import { describeState, type SharedState } from '../shared-state.ts';
import { HV_STATUS, type HvStatus } from './status.ts';
import { FLAG_COUNT, PAYLOAD_LIMIT, SINT_COUNT } from './synic.ts';

const PORTS = 1024;
const CONNECTIONS = 2048;
/** Messages that may wait for the root: a power of two. */
const MESSAGES = 256;
const MESSAGE_BYTES = 256;
const FLAG_WORDS = (SINT_COUNT * FLAG_COUNT) / 32;

const KIND = { none: 0, message: 1, event: 2 } as const;
/** u32s of a port's row: kind, id, source and base flag, number of flags. */
const PORT_WORDS = 4;
/** u32s of a connection's row: 1 + its id (0: free), port id. */
const CONNECTION_WORDS = 2;

const STATE = describeState(1, {
  ports: { type: 'u32', length: PORTS * PORT_WORDS },
  connections: { type: 'u32', length: CONNECTIONS * CONNECTION_WORDS },
  /** Changes with the tables. */
  generation: { type: 'u32', length: 1, transient: true },
  messageRead: 'u32',
  messageWrite: 'u32',
  messages: { type: 'u8', length: MESSAGES * MESSAGE_BYTES },
  flags: { type: 'i32', length: FLAG_WORDS },
  /** The root has been told and has not acknowledged yet. */
  awake: { type: 'i32', length: 1, transient: true },
});

/** HV_PORT_INFO. A message port's source and processor are the root's; an event port's flags are of the root's source. */
export type PortInfo =
  | { readonly type: 'message'; readonly sint: number }
  | { readonly type: 'event'; readonly sint: number; readonly baseFlagNumber: number; readonly flagCount: number };

interface Port {
  readonly kind: number;
  readonly id: number;
  readonly sint: number;
  readonly baseFlag: number;
  readonly flagCount: number;
}

/** A message as the root receives it. */
export interface ReceivedMessage {
  readonly connectionId: number;
  readonly portId: number;
  readonly messageType: number;
  readonly payload: Uint8Array;
}

export class Ports {
  readonly #state: SharedState<(typeof STATE)['table']>;
  #seen = -1;
  #connections = new Map<number, Port | undefined>();

  constructor(partition: Partition) {
    this.#state = partition.deviceArea.attach('ports', STATE);
  }

  // ---- the root's side ---------------------------------------------------------------------------------------------

  /** @returns INVALID_PARAMETER, INVALID_PORT_ID when it exists, INSUFFICIENT_MEMORY with a full table */
  createPort(portId: number, info: PortInfo): HvStatus {
    const isMessage = info.type === 'message';
    const baseFlag = isMessage ? 0 : info.baseFlagNumber;
    const flagCount = isMessage ? 0 : info.flagCount;
    const sound =
      isId(portId) &&
      isBelow(info.sint, SINT_COUNT) &&
      isBelow(baseFlag, FLAG_COUNT) &&
      (isMessage || flagCount > 0) &&
      isBelow(flagCount, FLAG_COUNT + 1) &&
      baseFlag + flagCount <= FLAG_COUNT;
    if (!sound) return HV_STATUS.INVALID_PARAMETER;
    return this.#edit(() => {
      const { ports } = this.#state.values;
      if (this.#portRow(portId) >= 0) return HV_STATUS.INVALID_PORT_ID;
      for (let row = 0; row < ports.length; row += PORT_WORDS) {
        if (ports[row] !== KIND.none) continue;
        ports.set([KIND[info.type], portId, (info.sint << 16) | baseFlag, flagCount], row);
        return HV_STATUS.SUCCESS;
      }
      return HV_STATUS.INSUFFICIENT_MEMORY;
    });
  }

  /** Connections to it stay and become useless. */
  deletePort(portId: number): HvStatus {
    return this.#edit(() => {
      const row = this.#portRow(portId);
      if (row < 0) return HV_STATUS.INVALID_PORT_ID;
      this.#state.values.ports.fill(0, row, row + PORT_WORDS);
      return HV_STATUS.SUCCESS;
    });
  }

  /** @returns INVALID_CONNECTION_ID when the child has it already, INVALID_PORT_ID, INSUFFICIENT_MEMORY */
  connectPort(connectionId: number, portId: number): HvStatus {
    if (!isId(connectionId)) return HV_STATUS.INVALID_CONNECTION_ID;
    return this.#edit(() => {
      const { connections } = this.#state.values;
      if (this.#portRow(portId) < 0) return HV_STATUS.INVALID_PORT_ID;
      if (this.#connectionRow(connectionId) >= 0) return HV_STATUS.INVALID_CONNECTION_ID;
      for (let row = 0; row < connections.length; row += CONNECTION_WORDS) {
        if (connections[row] !== 0) continue;
        connections.set([connectionId + 1, portId], row);
        return HV_STATUS.SUCCESS;
      }
      return HV_STATUS.INSUFFICIENT_MEMORY;
    });
  }

  disconnectPort(connectionId: number): HvStatus {
    return this.#edit(() => {
      const row = this.#connectionRow(connectionId);
      if (row < 0) return HV_STATUS.INVALID_CONNECTION_ID;
      this.#state.values.connections.fill(0, row, row + CONNECTION_WORDS);
      return HV_STATUS.SUCCESS;
    });
  }

  /** To be called before what has arrived is taken: from then on the root is woken again. */
  acknowledgeWake(): void {
    Atomics.store(this.#state.values.awake, 0, 0);
  }

  takeMessage(): ReceivedMessage | undefined {
    return this.#state.locked(() => {
      const { values } = this.#state;
      if (values.messageRead === values.messageWrite) return undefined;
      const start = (values.messageRead % MESSAGES) * MESSAGE_BYTES;
      // A copy: the buffer is used again at once.
      const bytes = values.messages.slice(start, start + MESSAGE_BYTES);
      const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_BYTES);
      values.messageRead = values.messageRead + 1;
      const size = Math.min(view.getUint32(12, true), PAYLOAD_LIMIT);
      return {
        connectionId: view.getUint32(0, true),
        portId: view.getUint32(4, true),
        messageType: view.getUint32(8, true),
        payload: new Uint8Array(bytes.subarray(16, 16 + size)),
      };
    });
  }

  /** The flags of a source that were set since the last look, in rising order; they are cleared. */
  takeEvents(sint: number): number[] {
    const { flags } = this.#state.values;
    const found: number[] = [];
    const first = sint * (FLAG_COUNT / 32);
    for (let word = 0; word < FLAG_COUNT / 32; word++) {
      if (flags[first + word] === 0) continue;
      const bits = Atomics.exchange(flags, first + word, 0);
      for (let bit = 0; bit < 32; bit++) if ((bits & (1 << bit)) !== 0) found.push(word * 32 + bit);
    }
    return found;
  }

  // ---- the child's side --------------------------------------------------------------------------------------------

  /** HvCallPostMessage. @param wake called when the root has to be told */
  postMessage(connectionId: number, type: number, payload: Uint8Array, wake: () => void): HvStatus {
    const port = this.#portOf(connectionId);
    if (port === 'unconnected') return HV_STATUS.INVALID_CONNECTION_ID;
    if (port?.kind !== KIND.message) return HV_STATUS.INVALID_PORT_ID;
    const status = this.#state.locked(() => {
      const { values } = this.#state;
      if ((values.messageWrite - values.messageRead) >>> 0 >= MESSAGES) return HV_STATUS.INSUFFICIENT_BUFFERS;
      const start = (values.messageWrite % MESSAGES) * MESSAGE_BYTES;
      const bytes = values.messages.subarray(start, start + MESSAGE_BYTES);
      const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_BYTES);
      view.setUint32(0, connectionId, true);
      view.setUint32(4, port.id, true);
      view.setUint32(8, type, true);
      view.setUint32(12, payload.length, true);
      bytes.set(payload, 16);
      values.messageWrite = values.messageWrite + 1;
      return HV_STATUS.SUCCESS;
    });
    if (status === HV_STATUS.SUCCESS) this.wakeRoot(wake);
    return status;
  }

  /** HvCallSignalEvent. */
  signalEvent(connectionId: number, flag: number, wake: () => void): HvStatus {
    const port = this.#portOf(connectionId);
    if (port === 'unconnected') return HV_STATUS.INVALID_CONNECTION_ID;
    if (port?.kind !== KIND.event) return HV_STATUS.INVALID_PORT_ID;
    if (flag >= port.flagCount) return HV_STATUS.INVALID_PARAMETER;
    const number = port.sint * FLAG_COUNT + port.baseFlag + flag;
    const bit = 1 << (number & 31);
    const before = Atomics.or(this.#state.values.flags, number >>> 5, bit);
    if ((before & bit) === 0) this.wakeRoot(wake);
    return HV_STATUS.SUCCESS;
  }

  /** Tells the root, unless it knows already. */
  wakeRoot(wake: () => void): void {
    if (Atomics.exchange(this.#state.values.awake, 0, 1) === 0) wake();
  }

  /** Nothing that the guest had sent is left; ports and connections stay. */
  forgetReceived(): void {
    this.#state.locked(() => {
      const { values } = this.#state;
      values.messageRead = values.messageWrite;
      values.flags.fill(0);
    });
  }

  #portOf(connectionId: number): Port | undefined | 'unconnected' {
    if (Atomics.load(this.#state.values.generation, 0) !== this.#seen) this.#reload();
    return this.#connections.has(connectionId) ? this.#connections.get(connectionId) : 'unconnected';
  }

  #reload(): void {
    this.#state.locked(() => {
      const { ports, connections, generation } = this.#state.values;
      const byId = new Map<number, Port>();
      for (let row = 0; row < ports.length; row += PORT_WORDS) {
        const [kind = 0, id = 0, place = 0, flagCount = 0] = ports.subarray(row, row + PORT_WORDS);
        if (kind !== KIND.none) byId.set(id, { kind, id, sint: place >>> 16, baseFlag: place & 0xffff, flagCount });
      }
      this.#connections = new Map();
      for (let row = 0; row < connections.length; row += CONNECTION_WORDS) {
        const [marked = 0, portId = 0] = connections.subarray(row, row + CONNECTION_WORDS);
        if (marked !== 0) this.#connections.set(marked - 1, byId.get(portId));
      }
      this.#seen = Atomics.load(generation, 0);
    });
  }

  #portRow(portId: number): number {
    const { ports } = this.#state.values;
    for (let row = 0; row < ports.length; row += PORT_WORDS) {
      if (ports[row] !== KIND.none && ports[row + 1] === portId) return row;
    }
    return -1;
  }

  #connectionRow(connectionId: number): number {
    const { connections } = this.#state.values;
    for (let row = 0; row < connections.length; row += CONNECTION_WORDS) {
      if (connections[row] === connectionId + 1) return row;
    }
    return -1;
  }

  #edit(action: () => HvStatus): HvStatus {
    return this.#state.locked(() => {
      const status = action();
      Atomics.add(this.#state.values.generation, 0, 1);
      return status;
    });
  }

  inspect(): InspectTree {
    const { values } = this.#state;
    this.#reload();
    return {
      connections: Object.fromEntries(
        [...this.#connections].map(([id, port]) => [
          `0x${id.toString(16)}`,
          port === undefined
            ? 'its port is gone'
            : port.kind === KIND.message
              ? `message port 0x${port.id.toString(16)}`
              : `event port 0x${port.id.toString(16)}, flags ${port.baseFlag}-${port.baseFlag + port.flagCount - 1}`,
        ]),
      ),
      waitingMessages: (values.messageWrite - values.messageRead) >>> 0,
    };
  }

  save(): unknown {
    return this.#state.save();
  }

  /** @throws PlinthError PL-4103, PL-4104 for what `save` did not give */
  restore(saved: unknown): void {
    this.#state.restore(saved);
    Atomics.add(this.#state.values.generation, 0, 1);
  }
}

/** Port and connection ids are 24 bits wide (HV_PORT_ID, HV_CONNECTION_ID); the rest of the word is reserved. */
const isId = (value: number): boolean => isBelow(value, 0x1000000);
const isBelow = (value: number, limit: number): boolean => Number.isInteger(value) && value >= 0 && value < limit;
