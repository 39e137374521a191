/**
 * What a device on VMBus is: an offer, and answers to what happens on its channels. A new device is a folder with a class of
 * this shape; it sees packets and guest memory that the guest lent it, never messages, GPADL numbers of others or ring indexes.
 *
 *     class Echo implements VmbusDevice {
 *       readonly name = 'echo';
 *       readonly offer = { interfaceId: '...', instanceId: '...' };
 *       open() { return 'accepted'; }
 *       packet(channel, packet) { channel.send({ kind: 'completion', transactionId: packet.transactionId }, packet.data); return 'done'; }
 *       close() { return 'closed'; }
 *       save() { return {}; }
 *       restore() {}
 *       inspect() { return {}; }
 *     }
 *
 * Everything is called on the host's device thread, one call at a time. A guest's fault is never an exception: the device calls
 * `channel.fail(what)`, and the channel is closed with an event that says so. Called by: vmbus.ts and channel.ts.
 */
import type { InspectTree } from '@plinth/hypervisor';
import type { Channel } from './channel.ts';
import type { Guid } from './guid.ts';
import type { Packet } from './packet.ts';

export interface DeviceOffer {
  /** What kind of device it is: drivers bind to this. */
  readonly interfaceId: Guid;
  /** Which one it is: stable over the life of the VM. */
  readonly instanceId: Guid;
  /** Packets carry a pipe header (see pipe.ts), and the guest may open the channel from user space. */
  readonly pipe?: 'message' | 'byte';
  /** Further offer flags, OFFER_FLAG bits. */
  readonly flags?: number;
  /** Address space that the guest's driver is to set aside below 4 GiB or above. */
  readonly mmioMegabytes?: number;
  /** At most USER_DATA_BYTES; for pipes at most 116. */
  readonly userData?: Uint8Array;
  /** Lets the guest signal through the monitor page, with this latency in units of 100 ns. */
  readonly monitorLatency?: number;
}

export interface VmbusDevice {
  /** Unique in the VM: the key in `inspect` and in the saved state. */
  readonly name: string;
  readonly offer: DeviceOffer;
  /** The guest's driver opened a channel (with subchannels, more than one is open at a time). */
  open(channel: Channel): 'accepted' | { readonly refused: string };
  /**
   * A packet of the guest.
   * @returns 'busy' to leave it in the ring; the device then calls `channel.resume()` when it can take it
   */
  packet(channel: Channel, packet: Packet): 'done' | 'busy';
  /** There is room in the ring again, after `send` had answered 'full'. */
  writable?(channel: Channel): void;
  /**
   * The channel is closed: no packet can be sent any more, and guest memory of the channel must not be touched after the device
   * has answered 'closed', or called `channel.closed()` after having answered 'closing'.
   */
  close(channel: Channel): 'closed' | 'closing';
  /** The guest takes back memory of a channel that stays open; 'pending' until `channel.gpadlReleased(gpadlId)`. */
  gpadlTeardown?(channel: Channel, gpadlId: number): 'released' | 'pending';
  /** Plain data with a version of its own. */
  save(): unknown;
  /**
   * Takes what `save` gave, in place of `open`.
   * @param channels those that were open
   * @throws PlinthError when it is of an unknown version or shape
   */
  restore(state: unknown, channels: readonly Channel[]): void;
  inspect(): InspectTree;
}
