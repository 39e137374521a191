/**
 * A guest as Linux 6.1's drivers/hv behaves: what it sends, in which order, what it waits for and what it ignores. Written from
 * that behaviour with builders and rings of its own, so that a mistake in the host's is not made twice.
 *
 * It talks to any bus through `post` and `signal`, and everything it posts is recorded in `trace` (the fuzz tests mutate it).
 * Called by: tests.
 */
import type { VmBus } from '../vmbus.ts';
import type { TestHost, TestMachine } from './test-machine.ts';

const PAGE = 4096;
const VERSIONS = [0x50003, 0x50002, 0x50001, 0x50000, 0x40001, 0x40000, 0x30000, 0x20004];
const WIN10_V5 = 0x50000;
const PFNS_IN_HEADER = 26;
const PFNS_IN_BODY = 28;

export interface GuestOffer {
  readonly channelId: number;
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly flags: number;
  readonly subchannelIndex: number;
  readonly connectionId: number;
  readonly monitorId: number | undefined;
  readonly isDedicated: boolean;
  readonly userData: Uint8Array;
}

export interface GuestPacket {
  readonly type: number;
  readonly transactionId: bigint;
  readonly flags: number;
  /** What lies between descriptor and data. */
  readonly headers: Uint8Array;
  readonly data: Uint8Array;
}

interface Words {
  readonly u8?: readonly number[];
  readonly u32?: readonly number[];
}

const message = (type: number, { u32 = [] }: Words = {}, tail: Uint8Array = new Uint8Array(0)): Uint8Array => {
  const bytes = new Uint8Array(8 + u32.length * 4 + tail.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  u32.forEach((value, index) => {
    view.setUint32(8 + index * 4, value, true);
  });
  bytes.set(tail, 8 + u32.length * 4);
  return bytes;
};

const pageNumbers = (gpas: readonly number[]): Uint8Array => {
  const bytes = new Uint8Array(gpas.length * 8);
  const view = new DataView(bytes.buffer);
  gpas.forEach((gpa, index) => {
    view.setBigUint64(index * 8, BigInt(gpa / PAGE), true);
  });
  return bytes;
};

const guidText = (bytes: Uint8Array): string => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const tail = Array.from(bytes.subarray(8, 16), (byte) => hex(byte, 2)).join('');
  const head = `${hex(view.getUint32(0, true), 8)}-${hex(view.getUint16(4, true), 4)}-${hex(view.getUint16(6, true), 4)}`;
  return `${head}-${tail.slice(0, 4)}-${tail.slice(4)}`;
};

/** A guest of this model would wait for ever, or crash: its own doing where it broke rules before, and the host's otherwise. */
export class GuestStuck extends Error {}

export class LinuxGuest {
  readonly machine: TestMachine;
  bus: VmBus;
  readonly #host: TestHost;
  readonly offers = new Map<number, GuestOffer>();
  readonly rescinded: number[] = [];
  /** Everything that was posted. */
  readonly trace: Uint8Array[] = [];
  version: number | undefined;
  #connectionId = 4;
  #nextGpadl = 0xe1e10;
  #targetProcessor = 0;
  /** Messages that were read from the slot and not waited for yet. */
  #inbox: Uint8Array[] = [];
  allOffersDelivered = false;

  constructor(machine: TestMachine, bus: VmBus = machine.bus) {
    this.machine = machine;
    this.bus = bus;
    this.#host = machine.host;
  }

  /** HvCallPostMessage, as vmbus_post_msg repeats it. */
  post(bytes: Uint8Array, connectionId = this.#connectionId): string {
    this.trace.push(bytes);
    let status = this.bus.onGuestMessage(connectionId, 1, bytes);
    for (let tries = 0; status === 'insufficient-buffers' && tries < 100; tries++) {
      this.#read();
      status = this.bus.onGuestMessage(connectionId, 1, bytes);
    }
    this.#read();
    return status;
  }

  /** vmbus_on_msg_dpc until the slot stays empty. */
  #read(): void {
    for (;;) {
      const found = this.#host.slots.get(this.#targetProcessor);
      if (found === undefined) return;
      this.#host.slots.delete(this.#targetProcessor);
      this.bus.onMessageSlotFree();
      this.#dispatch(found);
    }
  }

  #dispatch(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    switch (view.getUint32(0, true)) {
      case 1: {
        const offer = {
          interfaceId: guidText(bytes.subarray(8, 24)),
          instanceId: guidText(bytes.subarray(24, 40)),
          flags: view.getUint16(56, true),
          userData: bytes.slice(60, 180),
          subchannelIndex: view.getUint16(180, true),
          channelId: view.getUint32(184, true),
          monitorId: (view.getUint8(189) & 1) !== 0 ? view.getUint8(188) : undefined,
          isDedicated: (view.getUint16(190, true) & 1) !== 0,
          connectionId: view.getUint32(192, true),
        };
        if (this.offers.has(offer.channelId)) throw new GuestStuck(`channel ${offer.channelId} was offered twice`);
        this.offers.set(offer.channelId, offer);
        break;
      }
      case 2:
        this.rescinded.push(view.getUint32(8, true));
        break;
      case 4:
        this.allOffersDelivered = true;
        break;
      default:
        this.#inbox.push(bytes);
    }
  }

  /** The answer that a driver waits for: of this type, and with these words at these byte offsets. */
  wait(type: number, words: Readonly<Record<number, number>> = {}): DataView {
    this.#read();
    const at = this.#inbox.findIndex((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return (
        view.getUint32(0, true) === type &&
        Object.entries(words).every(([offset, value]) => view.getUint32(Number(offset), true) === value)
      );
    });
    const found = this.#inbox[at];
    if (found === undefined) throw new GuestStuck(`no answer of type ${type} came, so this guest would wait for ever`);
    this.#inbox.splice(at, 1);
    return new DataView(found.buffer, found.byteOffset, found.byteLength);
  }

  /** Whether an answer of a type is there. */
  has(type: number): boolean {
    this.#read();
    return this.#inbox.some((bytes) => bytes[0] === type);
  }

  /** vmbus_negotiate_version for one version. @returns whether the host took it */
  negotiate(
    version: number,
    options: { readonly processor?: number; readonly monitorPages?: readonly number[] } = {},
  ): boolean {
    const { processor = 0, monitorPages = this.machine.allocate(2) } = options;
    this.#targetProcessor = processor;
    const bytes = new Uint8Array(40);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 14, true);
    view.setUint32(8, version, true);
    view.setUint32(12, processor, true);
    if (version >= WIN10_V5) view.setUint8(16, 2);
    else view.setBigUint64(16, BigInt(this.machine.allocate(1)[0] ?? 0), true);
    view.setBigUint64(24, BigInt(monitorPages[0] ?? 0), true);
    view.setBigUint64(32, BigInt(monitorPages[1] ?? 0), true);
    this.#connectionId = version >= WIN10_V5 ? 4 : 1;
    this.monitorPage = monitorPages[1] ?? 0;
    if (this.post(bytes) !== 'accepted') return false;
    const answer = this.wait(15);
    if (answer.getUint8(8) === 0) return false;
    if (version >= WIN10_V5) this.#connectionId = answer.getUint32(12, true);
    this.version = version;
    return true;
  }

  /** Where this guest's child-to-parent monitor page is. */
  monitorPage = 0;

  /** vmbus_connect: the newest version that both have. */
  connect(newest = VERSIONS[0] ?? 0): number {
    const version = VERSIONS.filter((one) => one <= newest).find((one) => this.negotiate(one));
    if (version === undefined) throw new GuestStuck('the host took no version');
    return version;
  }

  requestOffers(): GuestOffer[] {
    this.post(message(3));
    if (!this.allOffersDelivered) throw new GuestStuck('not all offers were delivered');
    return [...this.offers.values()];
  }

  /** Connects and asks for offers. */
  boot(newest?: number): GuestOffer[] {
    this.connect(newest);
    return this.requestOffers();
  }

  offerOf(interfaceId: string, subchannelIndex = 0): GuestOffer {
    for (const offer of this.offers.values()) {
      if (offer.interfaceId === interfaceId && offer.subchannelIndex === subchannelIndex) return offer;
    }
    throw new GuestStuck(`no offer of ${interfaceId}`);
  }

  /** The messages of vmbus_establish_gpadl for one range. */
  gpadlMessages(channelId: number, gpadlId: number, gpas: readonly number[], bytes = gpas.length * PAGE): Uint8Array[] {
    const description = new Uint8Array(8 + gpas.length * 8);
    new DataView(description.buffer).setUint32(0, bytes, true);
    description.set(pageNumbers(gpas), 8);
    const first = 8 + PFNS_IN_HEADER * 8;
    const header = message(
      8,
      { u32: [channelId, gpadlId, description.length | (1 << 16)] },
      description.subarray(0, first),
    );
    const bodies: Uint8Array[] = [];
    for (let at = first; at < description.length; at += PFNS_IN_BODY * 8) {
      bodies.push(message(9, { u32: [bodies.length, gpadlId] }, description.subarray(at, at + PFNS_IN_BODY * 8)));
    }
    return [header, ...bodies];
  }

  /** vmbus_establish_gpadl. @returns its number, or the host's status */
  lend(channelId: number, gpas: readonly number[]): { readonly gpadlId: number; readonly status: number } {
    const gpadlId = this.#nextGpadl++;
    for (const part of this.gpadlMessages(channelId, gpadlId, gpas)) this.post(part);
    return { gpadlId, status: this.wait(10, { 8: channelId, 12: gpadlId }).getUint32(16, true) };
  }

  /** vmbus_teardown_gpadl, which waits for the answer. */
  takeBack(channelId: number, gpadlId: number): void {
    this.post(message(11, { u32: [channelId, gpadlId] }));
    this.wait(12, { 8: gpadlId });
  }

  /** The open message alone. */
  openMessage(
    channelId: number,
    gpadlId: number,
    downstreamPage: number,
    processor = 0,
    userData = new Uint8Array(0),
  ): Uint8Array {
    const data = new Uint8Array(120);
    data.set(userData);
    return message(5, { u32: [channelId, channelId, gpadlId, processor, downstreamPage] }, data);
  }

  /** vmbus_open. @returns the channel, or the host's status */
  open(
    channelId: number,
    options: {
      readonly sendPages?: number;
      readonly receivePages?: number;
      readonly processor?: number;
      readonly scattered?: boolean;
      readonly userData?: Uint8Array<ArrayBuffer>;
    } = {},
  ): GuestChannel | number {
    const { sendPages = 4, receivePages = 4, processor = 0, scattered = false, userData } = options;
    const offer = this.offers.get(channelId);
    if (offer === undefined) throw new GuestStuck(`channel ${channelId} was not offered`);
    const pages = this.machine.allocate(sendPages + receivePages, scattered);
    const channel = new GuestChannel(this, offer, pages, sendPages);
    const { gpadlId, status } = this.lend(channelId, pages);
    if (status !== 0) return status;
    channel.ringGpadl = gpadlId;
    this.post(this.openMessage(channelId, gpadlId, sendPages, processor, userData));
    const result = this.wait(6, { 8: channelId, 12: channelId }).getUint32(16, true);
    if (result !== 0) {
      this.takeBack(channelId, gpadlId);
      return result;
    }
    channel.processor = processor;
    this.#host.settle();
    return channel;
  }

  /** vmbus_open where it must succeed. */
  opened(channelId: number, options: Parameters<LinuxGuest['open']>[1] = {}): GuestChannel {
    const channel = this.open(channelId, options);
    if (typeof channel === 'number') throw new GuestStuck(`open failed with status 0x${channel.toString(16)}`);
    return channel;
  }

  /** vmbus_send_modifychannel; from 5.3 on it waits. @returns the host's status, or undefined */
  modify(channelId: number, processor: number): number | undefined {
    this.post(message(22, { u32: [channelId, processor] }));
    return (this.version ?? 0) >= 0x50003 ? this.wait(24, { 8: channelId }).getUint32(12, true) : undefined;
  }

  closeMessage(channelId: number): void {
    this.post(message(7, { u32: [channelId] }));
  }

  /** hv_process_channel_removal, after a rescind. */
  releaseChannel(channelId: number): void {
    this.offers.delete(channelId);
    this.post(message(13, { u32: [channelId] }));
  }

  /** vmbus_initiate_unload. */
  unload(): void {
    this.post(message(16));
    this.wait(17);
    this.forget();
  }

  /** A new kernel, which knows nothing of the old one's connection. */
  forget(): void {
    this.offers.clear();
    this.rescinded.length = 0;
    this.#inbox = [];
    this.allOffersDelivered = false;
    this.#nextGpadl = 0xe1e10;
  }

  tlConnect(endpoint: Uint8Array, service: Uint8Array): number {
    const both = new Uint8Array(32);
    both.set(endpoint);
    both.set(service, 16);
    this.post(message(21, {}, both));
    return this.wait(23).getUint32(40, true);
  }

  /** Whether the channel's event flag is set; it is cleared, as vmbus_chan_sched does. */
  takeFlag(processor: number, channelId: number): boolean {
    return this.#host.flags.get(processor)?.delete(channelId) ?? false;
  }
}

/** An open channel of the guest: ring_buffer.c's sender and receiver. */
export class GuestChannel {
  readonly guest: LinuxGuest;
  readonly offer: GuestOffer;
  readonly pages: readonly number[];
  readonly sendPages: number;
  ringGpadl = 0;
  processor = 0;
  /** Signals that this guest sent. */
  signals = 0;
  #readIndex = 0;

  constructor(guest: LinuxGuest, offer: GuestOffer, pages: readonly number[], sendPages: number) {
    this.guest = guest;
    this.offer = offer;
    this.pages = pages;
    this.sendPages = sendPages;
    // hv_ringbuffer_init of both rings.
    for (const control of [this.sendControl, this.receiveControl]) this.#view.setUint32(control + 64, 1, true);
  }

  get #view(): DataView {
    return this.guest.machine.view;
  }

  get sendControl(): number {
    return this.pages[0] ?? 0;
  }

  get receiveControl(): number {
    return this.pages[this.sendPages] ?? 0;
  }

  get sendBytes(): number {
    return (this.sendPages - 1) * PAGE;
  }

  get receiveBytes(): number {
    return (this.pages.length - this.sendPages - 1) * PAGE;
  }

  word(control: number, word: number): number {
    return this.#view.getUint32(control + word * 4, true);
  }

  setWord(control: number, word: number, value: number): void {
    this.#view.setUint32(control + word * 4, value, true);
  }

  #address(firstPage: number, index: number): number {
    return (this.pages[firstPage + 1 + Math.floor(index / PAGE)] ?? 0) + (index % PAGE);
  }

  #writeByte(index: number, value: number): void {
    this.#view.setUint8(this.#address(0, index % this.sendBytes), value);
  }

  /** A raw packet: descriptor, headers, data; vmbus_sendpacket and its kin. @returns false when the ring is full */
  sendRaw(type: number, transactionId: bigint, headers: Uint8Array, data: Uint8Array, flags = 0): boolean {
    const length = Math.ceil((16 + headers.length + data.length) / 8) * 8;
    const packet = new Uint8Array(length + 8);
    const view = new DataView(packet.buffer);
    view.setUint16(0, type, true);
    view.setUint16(2, (16 + headers.length) / 8, true);
    view.setUint16(4, length / 8, true);
    view.setUint16(6, flags, true);
    view.setBigUint64(8, transactionId, true);
    packet.set(headers, 16);
    packet.set(data, 16 + headers.length);
    return this.sendBytesRaw(packet);
  }

  /** Bytes into the ring as they are (the trailer's place included), and a signal where Linux signals. */
  sendBytesRaw(packet: Uint8Array): boolean {
    const write = this.word(this.sendControl, 0);
    const read = this.word(this.sendControl, 1);
    const free = write >= read ? this.sendBytes - (write - read) : read - write;
    if (free <= packet.length) return false;
    new DataView(packet.buffer, packet.byteOffset).setBigUint64(packet.length - 8, BigInt(write) << 32n, true);
    packet.forEach((byte, at) => {
      this.#writeByte(write + at, byte);
    });
    this.setWord(this.sendControl, 0, (write + packet.length) % this.sendBytes);
    if (this.word(this.sendControl, 2) === 0 && this.word(this.sendControl, 1) === write) this.signal();
    return true;
  }

  send(data: Uint8Array, transactionId = 1n, flags = 0): boolean {
    return this.sendRaw(6, transactionId, new Uint8Array(0), data, flags);
  }

  /** vmbus_sendpacket_mpb_desc: data with ranges of guest memory. */
  sendGpaDirect(
    data: Uint8Array,
    transactionId: bigint,
    ranges: readonly { offset: number; bytes: number; pages: readonly number[] }[],
  ): boolean {
    const descriptions = ranges.map(({ offset, bytes, pages }) => {
      const description = new Uint8Array(8 + pages.length * 8);
      const view = new DataView(description.buffer);
      view.setUint32(0, bytes, true);
      view.setUint32(4, offset, true);
      description.set(pageNumbers(pages), 8);
      return description;
    });
    const headers = new Uint8Array(8 + descriptions.reduce((sum, { length }) => sum + length, 0));
    new DataView(headers.buffer).setUint32(4, ranges.length, true);
    let at = 8;
    for (const description of descriptions) {
      headers.set(description, at);
      at += description.length;
    }
    return this.sendRaw(9, transactionId, headers, data, 1);
  }

  signal(): void {
    this.signals++;
    // Without a port, HvCallSignalEvent fails, and Linux does not look.
    const host = this.guest.machine.host;
    if (host.ports.has(this.offer.channelId)) this.guest.bus.onGuestSignal(this.offer.connectionId, 0);
    this.guest.machine.host.settle();
  }

  /** hv_pkt_iter_first and its kin until the ring is empty, then hv_pkt_iter_close. */
  receive(limit = Number.POSITIVE_INFINITY): GuestPacket[] {
    const packets: GuestPacket[] = [];
    const start = this.#readIndex;
    this.guest.takeFlag(this.processor, this.offer.channelId);
    while (packets.length < limit) {
      const write = this.word(this.receiveControl, 0);
      const available = (write - this.#readIndex + this.receiveBytes) % this.receiveBytes;
      if (available < 16) break;
      const bytes = new Uint8Array(available);
      for (let at = 0; at < available; at++) {
        bytes[at] = this.#view.getUint8(this.#address(this.sendPages, (this.#readIndex + at) % this.receiveBytes));
      }
      const view = new DataView(bytes.buffer);
      const offset = view.getUint16(2, true) * 8;
      const length = view.getUint16(4, true) * 8;
      if (length + 8 > available || offset < 16 || offset > length)
        throw new GuestStuck('the host sent a malformed packet');
      const trailer = view.getUint32(length + 4, true);
      if (trailer !== this.#readIndex)
        throw new GuestStuck(`a packet at ${this.#readIndex} says that it is at ${trailer}`);
      packets.push({
        type: view.getUint16(0, true),
        flags: view.getUint16(6, true),
        transactionId: view.getBigUint64(8, true),
        headers: bytes.slice(16, offset),
        data: bytes.slice(offset, length),
      });
      this.#readIndex = (this.#readIndex + length + 8) % this.receiveBytes;
    }
    this.setWord(this.receiveControl, 1, this.#readIndex);
    const pending = this.word(this.receiveControl, 3);
    if ((this.word(this.receiveControl, 16) & 1) === 0 || pending === 0) return packets;
    const write = this.word(this.receiveControl, 0);
    const used = (write - this.#readIndex + this.receiveBytes) % this.receiveBytes;
    const free = this.receiveBytes - used;
    const read = (this.#readIndex - start + this.receiveBytes) % this.receiveBytes;
    if (free - read <= pending && free > pending) this.signal();
    return packets;
  }

  /** vmbus_close of a channel that is not rescinded. */
  close(): void {
    this.guest.closeMessage(this.offer.channelId);
    this.guest.takeBack(this.offer.channelId, this.ringGpadl);
  }
}
