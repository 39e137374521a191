/**
 * The VMBus of a running VM, on the main thread: a VmBus (package vmbus) over the hypervisor's calls and the root's SynIC.
 *
 *     guest's PostMessage ──> message port ──> wake ──> drain ──> bus.onGuestMessage
 *     guest's SignalEvent ──> event port of the channel ──> wake ──> drain ──> bus.onGuestSignal
 *     bus ──> HvCallPostMessageDirect, HvCallSignalEventDirect ──> guest
 *
 * Messages come in on connections 1 and 4, as guests expect them; each open channel has an event port of its own, its channel id as flag.
 * A message that the bus cannot take waits here and holds up those behind it, so the port's ring fills, and the guest is told
 * INSUFFICIENT_BUFFERS. Invariant: what was sent before a wake is taken in the drain that follows it.
 * Called by: run-virtual-machine.ts.
 */
import { HV_STATUS, type InspectTree, mustSucceed, type ReceivedMessage } from '@plinth/hypervisor';
import {
  type HostPort,
  MESSAGE_CONNECTION_ID,
  MESSAGE_CONNECTION_ID_5_0,
  SavedValue,
  saveBytes,
  signalConnectionId,
  VMBUS_MESSAGE_TYPE,
  VMBUS_SINT,
  VmBus,
  type VmbusEvent,
  type VmbusStatus,
} from '@plinth/vmbus';
import type { ChildPartition } from './child-partition.ts';

/** Ports of the root: one for messages, then one for each channel that is open. */
const MESSAGE_PORT = 1;
const FIRST_CHANNEL_PORT = 0x1000;
/** How often the page is looked at by which guests without dedicated interrupts signal: milliseconds. */
const MONITOR_MILLISECONDS = 1;
const SAVED_VERSION = 1;
const U32 = 0xffffffff;
/** Bytes of a message of the hypervisor. */
const MESSAGE_LIMIT = 240;

export class VmbusHost implements HostPort {
  readonly #child: ChildPartition;
  /** For devices to be offered on. */
  readonly bus: VmBus;
  readonly #log: (text: string) => void;
  /** Taken from the ring, and not taken by the bus yet. */
  #held: ReceivedMessage | undefined;
  #monitor: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** The VM is being saved. */
  #isFrozen = false;
  #isRestoring = false;

  /** @param log takes one line for what went wrong on a channel */
  constructor(child: ChildPartition, processors: number, log: (text: string) => void) {
    this.#child = child;
    this.#log = log;
    const { root, partitionId } = child;
    const port = { type: 'message', sint: VMBUS_SINT } as const;
    mustSucceed('HvCallCreatePort', root.createPort(partitionId, MESSAGE_PORT, port));
    for (const connection of [MESSAGE_CONNECTION_ID, MESSAGE_CONNECTION_ID_5_0]) {
      mustSucceed('HvCallConnectPort', root.connectPort(partitionId, connection, MESSAGE_PORT));
    }
    this.bus = new VmBus({ memory: child.partition.guestMemory, processors, host: this });
  }

  /** The root was woken: takes all that the guest has sent, and posts what has waited. */
  drain(): void {
    if (this.#isClosed || this.#isFrozen) return;
    const { root, partitionId } = this.#child;
    root.acknowledgeWake(partitionId);
    this.bus.onMessageSlotFree();
    for (;;) {
      const message = this.#held ?? root.takeMessage(partitionId);
      if (message === undefined) break;
      const { connectionId, messageType, payload } = message;
      const status = this.bus.onGuestMessage(connectionId, messageType, payload);
      this.#held = status === 'insufficient-buffers' ? message : undefined;
      if (this.#held !== undefined) break;
    }
    for (const channelId of root.takeEvents(partitionId, VMBUS_SINT)) {
      this.bus.onGuestSignal(signalConnectionId(channelId), 0);
    }
    this.#watchMonitors();
  }

  /** Nothing of the bus moves from here on, nothing of the guest's memory is written, until `thaw`. The processors do not run. */
  freeze(): void {
    this.#isFrozen = true;
    this.bus.freeze();
    clearInterval(this.#monitor);
    this.#monitor = undefined;
  }

  thaw(): void {
    this.#isFrozen = false;
    this.bus.thaw();
    this.drain();
  }

  /** The state of a bus that is frozen. @throws PlinthError PL-3101 while a device has not let go of a channel */
  save(): unknown {
    const held = this.#held;
    return {
      version: SAVED_VERSION,
      bus: this.bus.save(),
      held: held === undefined ? null : { ...held, payload: saveBytes(held.payload) },
    };
  }

  /**
   * Takes a saved state, when that of the hypervisor was taken already: the ports are there then.
   * @throws PlinthError PL-4103, PL-4104
   */
  restore(saved: unknown): void {
    const state = new SavedValue('vmbus', saved);
    state.version(SAVED_VERSION);
    this.#held = state.at('held').optional((held) => ({
      connectionId: held.at('connectionId').integer(0, U32),
      portId: held.at('portId').integer(0, U32),
      messageType: held.at('messageType').integer(0, U32),
      payload: held.at('payload').bytes(MESSAGE_LIMIT),
    }));
    this.#isRestoring = true;
    this.bus.restore(state.at('bus').raw());
    this.#isRestoring = false;
    // Whether the root was told is no part of what was saved.
    this.drain();
  }

  /** The VM was reset; its processors do not run. */
  reset(): void {
    this.#held = undefined;
    this.bus.reset();
    this.#watchMonitors();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#monitor);
  }

  status(): VmbusStatus {
    return this.bus.status();
  }

  inspect(): InspectTree {
    return this.bus.inspect();
  }

  // ---- what the bus asks for (HostPort) ----------------------------------------------------------------------------

  postMessage(processor: number, sint: number, message: Uint8Array): 'delivered' | 'pending' {
    if (this.#isFrozen) return 'pending';
    const { root, partitionId } = this.#child;
    const status = root.postMessageDirect(partitionId, processor, sint, VMBUS_MESSAGE_TYPE, message);
    if (status === HV_STATUS.SUCCESS) return 'delivered';
    // Both pass: the root is woken when they may have.
    if (status === HV_STATUS.INSUFFICIENT_BUFFERS || status === HV_STATUS.INVALID_SYNIC_STATE) return 'pending';
    mustSucceed('HvCallPostMessageDirect', status);
    return 'pending';
  }

  signalEvent(processor: number, sint: number, flag: number): void {
    const { root, partitionId } = this.#child;
    const { status } = root.signalEventDirect(partitionId, processor, sint, flag);
    // A guest that has masked its source, or turned its SynIC off, looks at its rings by itself.
    if (status !== HV_STATUS.INVALID_SYNIC_STATE) mustSucceed('HvCallSignalEventDirect', status);
  }

  /** A port for the guest's signals of a channel: from when it is open until it is closed. */
  signalPort(channelId: number, present: boolean): void {
    const { root, partitionId } = this.#child;
    const port = FIRST_CHANNEL_PORT + channelId;
    const connection = signalConnectionId(channelId);
    if (present) {
      const info = { type: 'event', sint: VMBUS_SINT, baseFlagNumber: channelId, flagCount: 1 } as const;
      const created = root.createPort(partitionId, port, info);
      if (this.#isRestoring && created === HV_STATUS.INVALID_PORT_ID) return;
      mustSucceed('HvCallCreatePort', created);
      mustSucceed('HvCallConnectPort', root.connectPort(partitionId, connection, port));
    } else {
      mustSucceed('HvCallDisconnectPort', root.disconnectPort(partitionId, connection));
      mustSucceed('HvCallDeletePort', root.deletePort(partitionId, port));
    }
  }

  defer(run: () => void): void {
    setImmediate(() => {
      if (!this.#isClosed) run();
    });
  }

  report({ level, device, text }: VmbusEvent): void {
    if (level === 'warning') this.#log(device === null ? `VMBus: ${text}` : `VMBus, ${device}: ${text}`);
  }

  /** A timer runs exactly while a guest signals by monitor pages. */
  #watchMonitors(): void {
    if (this.bus.usesMonitors) {
      this.#monitor ??= setInterval(() => this.bus.pollMonitors(), MONITOR_MILLISECONDS).unref();
    } else {
      clearInterval(this.#monitor);
      this.#monitor = undefined;
    }
  }
}
