/**
 * An open channel as its device sees it: two rings, the memory that the guest lent, and a way to wake the guest.
 *
 * The guest's packets are read when it signals, at most PACKETS_AT_ONCE in one go so that no guest can hold the thread; while the
 * host reads, the ring's interrupt mask tells the guest that it need not signal.
 *
 * Invariant: once `isOpen` is false, nothing of the channel reaches the guest. Called by: vmbus.ts; handed to devices.
 */
import type { GuestMemory, InspectTree } from '@plinth/hypervisor';
import type { VmbusDevice } from './device.ts';
import { type Extent, GuestBuffer } from './gpa-ranges.ts';
import { buildPacket, type OutgoingPacket } from './packet.ts';
import { NO_PROCESSOR } from './protocol.ts';
import { IncomingRing, OutgoingRing, RING_PAGE_BYTES, type RingFault } from './ring.ts';

const PACKETS_AT_ONCE = 256;

/** What a channel needs of the bus. */
export interface ChannelHost {
  readonly memory: GuestMemory;
  signal(processor: number, channelId: number): void;
  defer(run: () => void): void;
  /** The VM is being saved: nothing goes through the rings. */
  readonly isFrozen: boolean;
  /** The lists that the guest lent to this channel. */
  gpadl(offerId: number, gpadlId: number): readonly (readonly Extent[])[] | undefined;
  broken(channel: Channel, problem: string): void;
  closed(channel: Channel): void;
  gpadlReleased(channel: Channel, gpadlId: number): void;
  offerSubchannels(channel: Channel, count: number): void;
}

export interface ChannelParameters {
  readonly offerId: number;
  readonly channelId: number;
  readonly subchannelIndex: number;
  readonly device: VmbusDevice;
  readonly ring: readonly Extent[];
  readonly downstreamPageOffset: number;
  readonly targetProcessor: number;
  /** What the guest's driver said when it opened the channel: USER_DATA_BYTES bytes. */
  readonly userData: Uint8Array;
  readonly monitorId: number | undefined;
  /** Where the rings of a restored channel stand. */
  readonly indexes?: { readonly readIndex: number; readonly writeIndex: number };
}

const isFault = (ring: object): ring is RingFault => 'kind' in ring && ring.kind === 'corrupt';

export class Channel {
  readonly offerId: number;
  readonly channelId: number;
  /** 0 for the device's own channel. */
  readonly subchannelIndex: number;
  readonly userData: Uint8Array;
  readonly device: VmbusDevice;
  readonly monitorId: number | undefined;
  targetProcessor: number;
  readonly #host: ChannelHost;
  readonly #incoming: IncomingRing;
  readonly #outgoing: OutgoingRing;
  #open = true;
  #pumping = false;
  /** The device could not take a packet. */
  #stalled = false;
  #deferred = false;
  #received = 0;
  #sent = 0;
  #signals = 0;

  private constructor(
    host: ChannelHost,
    parameters: ChannelParameters,
    incoming: IncomingRing,
    outgoing: OutgoingRing,
  ) {
    this.offerId = parameters.offerId;
    this.channelId = parameters.channelId;
    this.subchannelIndex = parameters.subchannelIndex;
    this.userData = parameters.userData;
    this.device = parameters.device;
    this.monitorId = parameters.monitorId;
    this.targetProcessor = parameters.targetProcessor;
    this.#host = host;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  /** @returns the channel, or what is wrong with its rings */
  static create(host: ChannelHost, parameters: ChannelParameters): Channel | string {
    const whole = new GuestBuffer(host.memory, parameters.ring);
    const split = parameters.downstreamPageOffset * RING_PAGE_BYTES;
    const upstream = whole.slice(0, split);
    const downstream = whole.slice(split, whole.length - split);
    if (upstream === undefined || downstream === undefined) return 'its ring is shorter than it says';
    const smallest = 2 * RING_PAGE_BYTES;
    if (!whole.isWholePages() || upstream.length < smallest || downstream.length < smallest) {
      return 'its rings are not whole pages, two at least';
    }
    const incoming = IncomingRing.open(upstream, parameters.indexes?.readIndex);
    if (isFault(incoming)) return incoming.problem;
    const outgoing = OutgoingRing.open(downstream, parameters.indexes?.writeIndex);
    if (isFault(outgoing)) return outgoing.problem;
    return new Channel(host, parameters, incoming, outgoing);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Guest memory by which GPA-direct packets and GPADLs are reached. */
  get memory(): GuestMemory {
    return this.#host.memory;
  }

  /** Whether the rings can ever carry a packet with so many bytes of data. */
  fits(dataBytes: number): boolean {
    return dataBytes + 64 < this.#outgoing.inspect().dataBytes;
  }

  /**
   * Sends a packet and wakes the guest if it must be woken.
   * @returns 'full' when the device is to try again in `writable`; 'closed' when there is nobody any more
   */
  send(packet: OutgoingPacket, data: Uint8Array): 'sent' | 'full' | 'closed' {
    if (!this.#open) return 'closed';
    if (this.#host.isFrozen) return 'full';
    const bytes = buildPacket(packet, data);
    const written = bytes === undefined ? { kind: 'too-large' as const } : this.#outgoing.write(bytes);
    switch (written.kind) {
      case 'full':
        return 'full';
      case 'too-large':
        this.fail(`a packet of ${data.length} bytes does not fit into the ring that the guest gave`);
        return 'closed';
      case 'corrupt':
        this.fail(written.problem);
        return 'closed';
      default:
        this.#sent++;
        if (written.signal) this.#signal();
        return 'sent';
    }
  }

  /** A GPADL that the guest lent to this channel, if it is one range. */
  gpadl(gpadlId: number): GuestBuffer | undefined {
    const ranges = this.#open ? this.#host.gpadl(this.offerId, gpadlId) : undefined;
    return ranges?.length === 1 && ranges[0] !== undefined ? new GuestBuffer(this.memory, ranges[0]) : undefined;
  }

  /** A range of a GPA-direct packet. */
  buffer(range: readonly Extent[]): GuestBuffer {
    return new GuestBuffer(this.memory, range);
  }

  /** The device can take packets again, after it had answered 'busy'. */
  resume(): void {
    this.#stalled = false;
    this.pump();
  }

  /** The guest broke the device's protocol: closes the channel, with an event that says why. */
  fail(problem: string): void {
    if (this.#open) this.#host.broken(this, problem);
  }

  /** The device has let go of the channel, after it had answered 'closing'. */
  closed(): void {
    this.#host.closed(this);
  }

  gpadlReleased(gpadlId: number): void {
    this.#host.gpadlReleased(this, gpadlId);
  }

  /** Offers further channels of the device, which go when this one is closed. */
  offerSubchannels(count: number): void {
    this.#host.offerSubchannels(this, count);
  }

  /** The guest signalled: its ring has packets, or it has made room in the other. */
  signalled(): void {
    if (!this.#open || this.#host.isFrozen) return;
    if (this.#outgoing.waiting) this.device.writable?.(this);
    this.pump();
  }

  /** The bus is not frozen any more: what was held back is tried again. */
  thawed(): void {
    if (!this.#open) return;
    this.device.writable?.(this);
    this.pump();
  }

  /** Reads what is in the guest's ring. */
  pump(): void {
    if (this.#pumping || this.#stalled || this.#deferred || this.#host.isFrozen) return;
    this.#pumping = true;
    this.#incoming.setInterruptMask(true);
    for (let count = 0; count < PACKETS_AT_ONCE && this.#open; count++) {
      if (this.#readOne()) continue;
      this.#pumping = false;
      return;
    }
    this.#pumping = false;
    if (!this.#open) return;
    this.#deferred = true;
    this.#host.defer(() => {
      this.#deferred = false;
      if (this.#open) this.pump();
    });
  }

  /** @returns whether to go on */
  #readOne(): boolean {
    let read = this.#incoming.peek();
    if (read.kind === 'empty') {
      this.#incoming.setInterruptMask(false);
      // A packet may have come between the look and the mask, and the guest did not signal for it.
      read = this.#incoming.peek();
      if (read.kind === 'empty') return false;
      this.#incoming.setInterruptMask(true);
    }
    if (read.kind === 'corrupt') {
      this.fail(read.problem);
      return false;
    }
    this.#received++;
    if (this.device.packet(this, read.packet) === 'busy') {
      this.#received--;
      this.#stalled = true;
      return false;
    }
    if (!this.#open) return false;
    const released = this.#incoming.release(read.bytes);
    if (released.kind === 'corrupt') {
      this.fail(released.problem);
      return false;
    }
    if (released.signal) this.#signal();
    return true;
  }

  #signal(): void {
    if (this.targetProcessor === NO_PROCESSOR) return;
    this.#signals++;
    this.#host.signal(this.targetProcessor, this.channelId);
  }

  /** Called by the bus: from here on the guest hears nothing. */
  shut(): void {
    this.#open = false;
  }

  indexes(): { readonly readIndex: number; readonly writeIndex: number } {
    return { readIndex: this.#incoming.readIndex, writeIndex: this.#outgoing.writeIndex };
  }

  inspect(): InspectTree {
    return {
      targetProcessor: this.targetProcessor === NO_PROCESSOR ? 'none' : this.targetProcessor,
      packetsReceived: this.#received,
      packetsSent: this.#sent,
      signalsToGuest: this.#signals,
      stalled: this.#stalled,
      toHost: { ...this.#incoming.inspect() },
      toGuest: { ...this.#outgoing.inspect() },
    };
  }
}
