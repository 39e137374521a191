/**
 * VMBus: the server of the channels between a guest's drivers and the host's devices, as pure state machines.
 *
 * What the worker does with it (all on one thread):
 *
 *     const bus = new VmBus({ memory: partition.guestMemory, processors, host: {
 *       postMessage: (processor, sint, message) => ...,    // SynIC message slot: 'delivered' | 'pending'
 *       signalEvent: (processor, sint, flag) => ...,       // SynIC event flag
 *       signalPort: (channelId, present) => ...,           // a port for the guest's signals of an open channel
 *       defer: setImmediate, report: (event) => log(event.text),
 *     } });
 *     bus.offer(new HeartbeatDevice(...));                 // any time; a running guest learns of it
 *     bus.onGuestMessage(connectionId, type, payload)      // HvCallPostMessage: 'accepted' | a status
 *     bus.onGuestSignal(connectionId, flag)                // HvCallSignalEvent: false for no such port
 *     bus.onMessageSlotFree()                              // EOM written, or SIMP, SINT, SCONTROL enabled
 *     if (bus.usesMonitors) bus.pollMonitors()             // about every millisecond, only then
 *     bus.reset(); bus.save(); bus.restore(state); bus.status(); bus.inspect()
 *
 * What a device is: `VmbusDevice` in device.ts. What it gets: `Channel` (send, gpadl, buffer, fail, resume) in channel.ts and
 * `Packet` in packet.ts. Connection ids that a guest posts to are 1 and 4; a channel is signalled at id 0x2000 | channel id with
 * flag 0, and signals the guest with its channel id as flag of SINT 2.
 */
export { Channel } from './channel.ts';
export type { DeviceOffer, VmbusDevice } from './device.ts';
export { type Extent, GuestBuffer } from './gpa-ranges.ts';
export { GUID_BYTES, type Guid, guidFromBytes, guidToBytes } from './guid.ts';
export { type FieldKind, Layout, type LayoutValues } from './layout.ts';
export type { OutgoingPacket, Packet, TransferRange } from './packet.ts';
export { unwrapPipeMessage, wrapPipeMessage } from './pipe.ts';
export {
  CHANNEL_LIMIT,
  MESSAGE_CONNECTION_ID,
  MESSAGE_CONNECTION_ID_5_0,
  NEWEST_VERSION,
  OFFER_FLAG,
  signalConnectionId,
  VERSION,
  VMBUS_MESSAGE_TYPE,
  VMBUS_SINT,
  versionText,
} from './protocol.ts';
export { SavedValue, saveBytes } from './saved-value.ts';
export type { VmbusEvent } from './server-types.ts';
export type { SavedVmbus } from './state.ts';
export { type HostPort, type PostStatus, VmBus, type VmBusOptions, type VmbusStatus } from './vmbus.ts';
