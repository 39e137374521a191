/**
 * The VMBus of one partition: carries out what the channel protocol (server.ts) decides, between the hypervisor's SynIC on one
 * side and devices on the other.
 *
 *     guest ── PostMessage ──> onGuestMessage ─┐                      ┌─> device.open/packet/close
 *           ── SignalEvent ──> onGuestSignal ──┤ ChannelServer, rings ├─
 *           <── message slot ── postMessage ───┘                      └── channel.send
 *           <── event flag ──── signalEvent
 *
 * Everything of it, ids included, belongs to this object, and there is one per partition: what another VM's guest guesses finds
 * nothing here. All calls come from one thread.
 *
 * Invariants: nothing a guest does makes a method throw; messages that wait for a guest who takes none are bounded, and then the
 * guest's own are refused with 'insufficient-buffers', as the TLFS's HvCallPostMessage has it. Called by: vmwp.
 */
import { PlinthError } from '@plinth/errors';
import { type GuestMemory, type InspectTree, isGpaFault } from '@plinth/hypervisor';
import { Channel, type ChannelHost } from './channel.ts';
import type { VmbusDevice } from './device.ts';
import {
  channelOfConnectionId,
  MESSAGE,
  MESSAGE_CONNECTION_ID,
  MESSAGE_CONNECTION_ID_5_0,
  MESSAGE_LIMIT,
  OFFER_FLAG,
  type OpenRequest,
  PIPE_MODE,
  STATUS,
  USER_DATA_BYTES,
  VERSION,
  VMBUS_MESSAGE_TYPE,
  VMBUS_SINT,
  versionText,
} from './protocol.ts';
import { SavedValue, saveBytes } from './saved-value.ts';
import { ChannelServer } from './server.ts';
import type { ChannelOffer, ServerAction, VmbusEvent } from './server-types.ts';
import { parseSavedVmbus, SAVED_VMBUS_VERSION, type SavedVmbus } from './state.ts';

/** What VMBus needs of the hypervisor and of the process around it. */
export interface HostPort {
  /**
   * Puts a message of type VMBUS_MESSAGE_TYPE into a processor's message slot of `sint` and interrupts it.
   * @returns 'pending' when the slot is taken (its message-pending flag is set then) or not enabled: nothing was written, and
   *   `onMessageSlotFree` is to be called when that may have changed (EOM, or SCONTROL, SIMP or SINT written)
   */
  postMessage(processor: number, sint: number, message: Uint8Array): 'delivered' | 'pending';
  /** Sets an event flag of `sint` on a processor, and interrupts it if the flag was clear. */
  signalEvent(processor: number, sint: number, flag: number): void;
  /**
   * The guest may signal a channel from now on, or may no more: connection `signalConnectionId(channelId)`, flag 0. Called
   * before the guest learns that the channel is open.
   */
  signalPort(channelId: number, present: boolean): void;
  /** Runs something later on the same thread, after what else waits. */
  defer(run: () => void): void;
  /** For the log. At most EVENTS_REPORTED of a flood come here; `inspect` has the number of all. */
  report(event: VmbusEvent): void;
}

export interface VmBusOptions {
  readonly memory: GuestMemory;
  readonly host: HostPort;
  readonly processors: number;
  /** Newest protocol version to offer, NEWEST_VERSION when not given. */
  readonly maximumVersion?: number;
}

export type PostStatus = 'accepted' | 'invalid-connection-id' | 'insufficient-buffers';

/** Messages that may wait for the guest before its own are refused: more than all channels' offers at once. */
const WAITING_LIMIT = 4096;
const EVENTS_REPORTED = 256;
const EVENTS_KEPT = 32;
/** In the monitor page: four groups of 32 trigger bits, each followed by a word that is not ours. */
const TRIGGER_GROUPS_OFFSET = 8;
const TRIGGER_GROUP_BYTES = 8;

interface WaitingMessage {
  readonly processor: number;
  readonly sint: number;
  readonly message: Uint8Array;
}

export interface VmbusStatus {
  /** '5.3', or null while no guest is connected. */
  readonly version: string | null;
  readonly channels: readonly { readonly name: string; readonly channelId: number | null; readonly state: string }[];
}

export class VmBus {
  readonly #options: VmBusOptions;
  readonly #server: ChannelServer;
  readonly #devices = new Map<string, VmbusDevice>();
  /** By offer id: whose channel it is. */
  readonly #owners = new Map<number, VmbusDevice>();
  readonly #channels = new Map<number, Channel>();
  #waiting: WaitingMessage[] = [];
  #eventCount = 0;
  readonly #lastEvents: VmbusEvent[] = [];
  readonly #channelHost: ChannelHost & { isFrozen: boolean };

  constructor(options: VmBusOptions) {
    this.#options = options;
    const { memory, processors, maximumVersion, host } = options;
    this.#server = new ChannelServer({
      processors,
      ...(maximumVersion === undefined ? {} : { maximumVersion }),
      isMemory: (extents) => extents.every(({ gpa, bytes }) => !isGpaFault(memory.range(gpa, bytes, 'read'))),
    });
    this.#channelHost = {
      memory,
      signal: (processor, channelId) => host.signalEvent(processor, VMBUS_SINT, channelId),
      defer: (run) => host.defer(run),
      isFrozen: false,
      gpadl: (offerId, gpadlId) => this.#server.gpadl(offerId, gpadlId),
      broken: (channel, problem) => this.#carryOut(this.#server.breakChannel(channel.offerId, problem)),
      closed: (channel) => this.#carryOut(this.#server.closeCompleted(channel.offerId)),
      gpadlReleased: (channel, gpadlId) => this.#carryOut(this.#server.gpadlReleased(channel.offerId, gpadlId)),
      offerSubchannels: (channel, count) => {
        for (let index = 1; index <= count; index++) this.#offer(channel.device, index);
      },
    };
  }

  // ---- devices --------------------------------------------------------------------------------------------------------

  /**
   * Adds a device; a guest that is connected learns of it at once.
   * @throws RangeError when a device of that name is there: a fault of the caller
   */
  offer(device: VmbusDevice): void {
    if (this.#devices.has(device.name)) throw new RangeError(`there is a device ${device.name} on this bus`);
    this.#devices.set(device.name, device);
    this.#offer(device, 0);
  }

  /** Takes a device away; the guest is told, and its driver lets go. */
  rescind(name: string): void {
    const device = this.#devices.get(name);
    if (device === undefined) return;
    this.#devices.delete(name);
    for (const [offerId, owner] of [...this.#owners]) {
      if (owner === device) this.#carryOut(this.#server.rescind(offerId));
    }
  }

  #offer(device: VmbusDevice, subchannelIndex: number): void {
    const added = this.#server.offer(describeOffer(device, subchannelIndex));
    this.#owners.set(added.offerId, device);
    this.#carryOut(added.actions);
  }

  // ---- the guest ------------------------------------------------------------------------------------------------------

  /**
   * HvCallPostMessage of the guest.
   * @param connectionId any number
   * @param type the SynIC message's type
   * @param payload any bytes; may be memory that the guest can change: it is copied first
   */
  onGuestMessage(connectionId: number, type: number, payload: Uint8Array): PostStatus {
    const known =
      connectionId === MESSAGE_CONNECTION_ID ||
      (connectionId === MESSAGE_CONNECTION_ID_5_0 && this.#server.maximumVersion >= VERSION.windows10_5_0);
    if (!known) return 'invalid-connection-id';
    const message = Uint8Array.from(payload);
    if (type !== VMBUS_MESSAGE_TYPE) {
      this.#report({ ...NO_CHANNEL, text: `The guest posted a message of type ${type}, which VMBus does not have` });
      return 'accepted';
    }
    // These two throw away what waits, so they always get through.
    const restarts = message[0] === MESSAGE.initiateContact || message[0] === MESSAGE.unload;
    if (this.#waiting.length >= WAITING_LIMIT && !restarts) return 'insufficient-buffers';
    this.#carryOut(this.#server.handle(message));
    return 'accepted';
  }

  /** HvCallSignalEvent of the guest. @returns false when there is no such port */
  onGuestSignal(connectionId: number, flag: number): boolean {
    const channelId = channelOfConnectionId(connectionId);
    const offerId = channelId === undefined ? undefined : this.#server.offerIdOf(channelId);
    if (offerId === undefined || flag !== 0) return false;
    this.#channels.get(offerId)?.signalled();
    return true;
  }

  /** A message slot may be free again: what waits is posted, in order. */
  onMessageSlotFree(): void {
    let posted = 0;
    for (const { processor, sint, message } of this.#waiting) {
      if (this.#options.host.postMessage(processor, sint, message) === 'pending') break;
      posted++;
    }
    this.#waiting.splice(0, posted);
  }

  /** Whether a channel is open that the guest signals through its monitor page, so that `pollMonitors` is to be called. */
  get usesMonitors(): boolean {
    for (const { monitorId } of this.#channels.values()) if (monitorId !== undefined) return true;
    return false;
  }

  /** Looks at the guest's monitor page for channels that it signalled without a hypercall. */
  pollMonitors(): void {
    const { connection } = this.#server;
    if (connection.kind !== 'connected' || connection.childToParentMonitorPage === 0) return;
    const { memory } = this.#options;
    for (const channel of [...this.#channels.values()]) {
      if (channel.monitorId === undefined) continue;
      const group =
        connection.childToParentMonitorPage + TRIGGER_GROUPS_OFFSET + (channel.monitorId >> 5) * TRIGGER_GROUP_BYTES;
      const pieces = memory.range(group, 4, 'write');
      if (isGpaFault(pieces) || pieces[0] === undefined) return;
      const bit = 1 << (channel.monitorId & 31);
      const before = Atomics.and(new Int32Array(pieces[0].buffer, pieces[0].byteOffset, 1), 0, ~bit);
      if ((before & bit) !== 0) channel.signalled();
    }
  }

  /** The virtual machine was reset. */
  reset(): void {
    this.#carryOut(this.#server.reset());
    this.#waiting = [];
  }

  #carryOut(actions: readonly ServerAction[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'send':
          this.#post(action);
          break;
        case 'drop-messages':
          this.#waiting = [];
          break;
        case 'open':
          this.#carryOut(this.#server.openCompleted(action.offerId, this.#open(action)));
          break;
        case 'close':
          this.#close(action.offerId);
          break;
        case 'retarget': {
          const channel = this.#channels.get(action.offerId);
          if (channel !== undefined) channel.targetProcessor = action.processor;
          break;
        }
        case 'gpadl-teardown': {
          const channel = this.#channels.get(action.offerId);
          const answer = channel?.device.gpadlTeardown?.(channel, action.gpadlId) ?? 'released';
          if (answer === 'released') this.#carryOut(this.#server.gpadlReleased(action.offerId, action.gpadlId));
          break;
        }
        case 'event':
          this.#report(action.event);
          break;
      }
    }
    this.#forgetOwners();
  }

  #post(waiting: WaitingMessage): void {
    const { processor, sint, message } = waiting;
    if (this.#waiting.length === 0 && this.#options.host.postMessage(processor, sint, message) === 'delivered') return;
    this.#waiting.push({ processor, sint, message });
  }

  /** @returns an NTSTATUS for the guest */
  #open(action: Extract<ServerAction, { kind: 'open' }>): number {
    const device = this.#owners.get(action.offerId);
    const channel = this.#createChannel(action);
    const refusal = (text: string): void => {
      this.#report({ level: 'warning', device: device?.name ?? null, channelId: action.channelId, text });
    };
    if (device === undefined || typeof channel === 'string') {
      refusal(`The channel was not opened: ${typeof channel === 'string' ? channel : 'its device is gone'}`);
      return STATUS.invalidParameter;
    }
    const answer = device.open(channel);
    if (answer !== 'accepted') {
      channel.shut();
      refusal(`The device did not open the channel: ${answer.refused}`);
      return STATUS.unsuccessful;
    }
    this.#add(channel);
    // What the guest wrote before it opened was never signalled.
    this.#options.host.defer(() => {
      if (channel.isOpen) channel.pump();
    });
    return STATUS.success;
  }

  #createChannel(
    parameters: Pick<Extract<ServerAction, { kind: 'open' }>, 'offerId' | 'channelId' | 'ring' | 'monitorId'> & {
      readonly request: OpenRequest;
      readonly targetProcessor?: number;
      readonly indexes?: { readonly readIndex: number; readonly writeIndex: number };
    },
  ): Channel | string {
    const { offerId, channelId, ring, monitorId, request, indexes } = parameters;
    const device = this.#owners.get(offerId);
    if (device === undefined) return 'its device is gone';
    return Channel.create(this.#channelHost, {
      offerId,
      channelId,
      subchannelIndex: this.#server.offerOf(offerId)?.subchannelIndex ?? 0,
      device,
      ring,
      downstreamPageOffset: request.downstreamPageOffset,
      targetProcessor: parameters.targetProcessor ?? request.targetProcessor,
      userData: request.userData,
      monitorId,
      ...(indexes === undefined ? {} : { indexes }),
    });
  }

  #add(channel: Channel): void {
    this.#channels.set(channel.offerId, channel);
    this.#options.host.signalPort(channel.channelId, true);
  }

  #close(offerId: number): void {
    const channel = this.#channels.get(offerId);
    this.#channels.delete(offerId);
    if (channel !== undefined) this.#options.host.signalPort(channel.channelId, false);
    channel?.shut();
    if (channel === undefined || channel.device.close(channel) === 'closed') {
      this.#carryOut(this.#server.closeCompleted(offerId));
    }
  }

  /** Forgets whose the offers were that no longer exist. */
  #forgetOwners(): void {
    for (const offerId of this.#owners.keys()) {
      if (this.#server.offerOf(offerId) === undefined) this.#owners.delete(offerId);
    }
  }

  #report(event: VmbusEvent): void {
    this.#eventCount++;
    this.#lastEvents.push(event);
    if (this.#lastEvents.length > EVENTS_KEPT) this.#lastEvents.shift();
    if (this.#eventCount <= EVENTS_REPORTED) this.#options.host.report(event);
  }

  // ---- looking at it, saving it ---------------------------------------------------------------------------------------

  status(): VmbusStatus {
    const { connection } = this.#server;
    return {
      version: connection.kind === 'connected' ? versionText(connection.version) : null,
      channels: [...this.#server.channels()].map(({ offer, state }) => ({
        name: offer.name,
        channelId: state.kind === 'unoffered' ? null : state.channelId,
        state: state.kind,
      })),
    };
  }

  inspect(): InspectTree {
    return {
      connection: this.#server.inspectConnection(),
      waitingMessages: this.#waiting.length,
      channels: Object.fromEntries(
        [...this.#server.channels()].map(({ offerId, offer, state, monitorId }) => [
          offer.name,
          {
            state: state.kind,
            ...(state.kind === 'unoffered' ? {} : { channelId: state.channelId }),
            ...(state.kind === 'broken' ? { problem: state.problem } : {}),
            ...(monitorId === undefined ? {} : { monitorId }),
            interfaceId: offer.interfaceId,
            instanceId: offer.instanceId,
            ...this.#channels.get(offerId)?.inspect(),
          },
        ]),
      ),
      devices: Object.fromEntries([...this.#devices].map(([name, device]) => [name, device.inspect()])),
      events: {
        count: this.#eventCount,
        last: this.#lastEvents.map(({ level, device, text }) => `${level}: ${device ?? 'bus'}: ${text}`),
      },
    };
  }

  /** Whether a device has not let go of a channel yet, so that nothing can be saved. */
  get isClosing(): boolean {
    return this.#server.isClosing;
  }

  /** From here on nothing goes through the channels' rings, until `thaw`: the state stays as it is while it is saved. */
  freeze(): void {
    this.#channelHost.isFrozen = true;
  }

  /** The VM goes on: what was held back is sent and read. */
  thaw(): void {
    this.#channelHost.isFrozen = false;
    for (const channel of [...this.#channels.values()]) channel.thawed();
  }

  /**
   * The whole state, while the processors do not run and the devices have finished their work.
   * @throws PlinthError PL-3101 while a device has not let go of a channel that the guest closed
   */
  save(): SavedVmbus {
    if (this.#server.isClosing) throw new PlinthError('PL-3101');
    return {
      version: SAVED_VMBUS_VERSION,
      ...this.#server.save((offerId) => this.#channels.get(offerId)?.indexes() ?? { readIndex: 0, writeIndex: 0 }),
      messages: this.#waiting.map(({ processor, sint, message }) => ({ processor, sint, message: saveBytes(message) })),
      devices: Object.fromEntries([...this.#devices].map(([name, device]) => [name, device.save()])),
    };
  }

  /**
   * Takes a saved state into a bus that has its devices and no guest. Devices that were not saved are offered to the guest as
   * new; channels whose device is missing are withdrawn from it.
   * @throws PlinthError PL-4103 for a newer version, PL-4104 for what is malformed
   */
  restore(saved: unknown): void {
    const state = parseSavedVmbus(saved);
    for (const { instanceId, subchannelIndex, gone } of state.channels) {
      const device = [...this.#devices.values()].find(({ offer }) => offer.instanceId === instanceId);
      if (device !== undefined && subchannelIndex !== 0 && !gone) this.#offer(device, subchannelIndex);
    }
    const restored = this.#server.restore(state);
    const open = new Map<VmbusDevice, Channel[]>();
    for (const parameters of restored.open) {
      const channel = this.#createChannel(parameters);
      if (typeof channel === 'string') {
        throw new PlinthError('PL-4104', { device: 'vmbus', problem: `channel ${parameters.channelId}: ${channel}` });
      }
      this.#add(channel);
      open.set(channel.device, [...(open.get(channel.device) ?? []), channel]);
    }
    this.#waiting = state.messages.map(({ processor, sint, message }) => ({
      processor,
      sint,
      message: new SavedValue('vmbus', message).bytes(MESSAGE_LIMIT),
    }));
    for (const [name, device] of this.#devices) {
      if (Object.hasOwn(state.devices, name)) device.restore(state.devices[name], open.get(device) ?? []);
    }
    this.#carryOut(restored.actions);
    this.onMessageSlotFree();
    for (const channel of [...this.#channels.values()]) channel.signalled();
  }
}

const NO_CHANNEL = { level: 'warning', device: null, channelId: null } as const;

function describeOffer(device: VmbusDevice, subchannelIndex: number): ChannelOffer {
  const { interfaceId, instanceId, pipe, flags = 0, mmioMegabytes = 0, monitorLatency = 0 } = device.offer;
  const userData = new Uint8Array(USER_DATA_BYTES);
  const own = device.offer.userData ?? new Uint8Array(0);
  if (pipe === undefined) userData.set(own);
  else {
    new DataView(userData.buffer).setUint32(0, PIPE_MODE[pipe], true);
    userData.set(own, 4);
  }
  return {
    name: subchannelIndex === 0 ? device.name : `${device.name}[${subchannelIndex}]`,
    interfaceId,
    instanceId,
    subchannelIndex,
    flags: flags | (pipe === undefined ? 0 : OFFER_FLAG.namedPipeMode),
    mmioMegabytes,
    userData,
    monitorLatency,
  };
}
