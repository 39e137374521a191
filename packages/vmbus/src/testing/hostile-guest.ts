/**
 * A guest that breaks every rule it can find: it behaves as Linux does for a while, and in between posts mutated copies of what it
 * posted before, scribbles over its rings and packets - also while the host reads them - and signals ports that it made up.
 * What it does follows from a seed, so that a failure can be repeated.
 * Called by: the fuzz tests of VMBus and of the devices on it.
 */
import { isGpaFault } from '@plinth/hypervisor';
import { type GuestChannel, GuestStuck, LinuxGuest } from './linux-guest.ts';
import type { TestMachine } from './test-machine.ts';

/** mulberry32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % limit;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(Math.max(items.length, 1))];
  }
}

/** Where the seeds of a run begin: PLINTH_TEST_SEED, or `otherwise`. */
export function firstSeed(otherwise = 1): number {
  const given = Number(process.env.PLINTH_TEST_SEED);
  return Number.isSafeInteger(given) && given > 0 ? given : otherwise;
}

const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 16, 24, 0x7f, 0xff, 0x1000, 0x2001, 0xffff, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff,
];
const TRACE_LIMIT = 400;

export class HostileGuest {
  readonly guest: LinuxGuest;
  readonly random: Random;
  readonly channels: GuestChannel[] = [];
  /** Mutated messages, lists and ring contents so far. */
  mutations = 0;
  readonly #machine: TestMachine;
  /** While true, ring pages may change whenever the host looks at guest memory. */
  #racing = false;

  constructor(machine: TestMachine, seed: number) {
    this.#machine = machine;
    this.random = new Random(seed);
    this.guest = new LinuxGuest(machine);
    this.#watchMemory();
  }

  /** Every access of the host is checked to lie in RAM, and is a chance to change what it is about to read. */
  #watchMemory(): void {
    const { memory } = this.#machine;
    const { view } = this.#machine;
    const original = memory.range.bind(memory);
    memory.range = (gpa, length, access) => {
      if (this.#racing && this.random.chance(12)) this.#scribble();
      const pieces = original(gpa, length, access);
      if (isGpaFault(pieces)) return pieces;
      for (const { byteOffset, length: bytes } of pieces) {
        if (byteOffset < view.byteOffset || byteOffset + bytes > view.byteOffset + view.byteLength) {
          throw new Error(`the host touches ${byteOffset}, which is no guest memory`);
        }
      }
      return pieces;
    };
  }

  /** One step of the guest: as often as not what Linux would do. */
  step(): void {
    try {
      this.#racing = this.random.chance(3);
      const steps = this.random.chance(2) ? LEGAL : HOSTILE;
      this.random.pick(steps)?.(this);
      this.#machine.host.settle(64);
    } catch (error) {
      // The guest got stuck by what it did to itself; the next step may be a reboot.
      if (!(error instanceof GuestStuck)) throw error;
    } finally {
      this.#racing = false;
    }
    if (this.guest.trace.length > TRACE_LIMIT) this.guest.trace.splice(0, TRACE_LIMIT / 2);
  }

  boot(): void {
    const { guest, random } = this;
    this.channels.length = 0;
    guest.forget();
    if (random.chance(2)) guest.unload();
    guest.boot(random.pick([0x50003, 0x50003, 0x50002, 0x50000, 0x40001, 0x30000, 0x20004]));
  }

  open() {
    const { guest, random } = this;
    const offer = random.pick([...guest.offers.values()]);
    if (offer === undefined) return this.boot();
    const channel = guest.open(offer.channelId, {
      sendPages: 2 + random.below(4),
      receivePages: 2 + random.below(4),
      processor: random.below(this.#machine.processors),
      scattered: random.chance(2),
    });
    if (typeof channel !== 'number') this.channels.push(channel);
    if (this.channels.length > 32) this.channels.shift();
  }

  closeOne(): void {
    const [channel] = this.channels.splice(this.random.below(Math.max(this.channels.length, 1)), 1);
    channel?.close();
  }

  send() {
    const { random } = this;
    const channel = random.pick(this.channels);
    if (channel === undefined) return this.open();
    const data = Uint8Array.from({ length: random.below(80) }, () => random.u32() & 0xff);
    if (random.chance(3)) {
      const pages = this.#machine.allocate(1 + random.below(2));
      channel.sendGpaDirect(data, BigInt(random.u32()), [
        { offset: random.below(4000), bytes: 1 + random.below(96), pages },
      ]);
    } else channel.send(data, BigInt(random.u32()), random.below(2));
  }

  receive(): void {
    this.random.pick(this.channels)?.receive();
  }

  lend(): void {
    const { guest, random } = this;
    const offer = random.pick([...guest.offers.values()]);
    if (offer === undefined) return;
    const { gpadlId, status } = guest.lend(offer.channelId, this.#machine.allocate(1 + random.below(60)));
    if (status === 0 && random.chance(2)) guest.takeBack(offer.channelId, gpadlId);
  }

  modify(): void {
    const { guest, random } = this;
    const offer = random.pick([...guest.offers.values()]);
    if (offer !== undefined) guest.modify(offer.channelId, random.below(3));
  }

  release(): void {
    const channelId = this.guest.rescinded.pop();
    if (channelId !== undefined) this.guest.releaseChannel(channelId);
  }

  /** A message of before, changed. */
  mutateMessage() {
    const { random, guest } = this;
    const from = random.pick(guest.trace);
    if (from === undefined) return this.boot();
    let bytes = Uint8Array.from(from);
    const resize = random.below(12);
    if (resize === 0) bytes = bytes.slice(0, random.below(bytes.length + 1));
    if (resize === 1) {
      const longer = new Uint8Array(Math.min(bytes.length + random.below(64), 256));
      longer.set(bytes.subarray(0, longer.length));
      bytes = longer;
    }
    for (let count = 1 + random.below(3); count > 0; count--) this.#mutate(bytes);
    this.mutations++;
    guest.post(bytes, random.chance(10) ? random.below(8) : random.chance(2) ? 1 : 4);
    // A mutated message is a fine base for the next mutation, but half of the trace stays valid.
    if (random.chance(2)) guest.trace.pop();
  }

  /** A list whose descriptions are changed. */
  mutateGpadl() {
    const { random, guest } = this;
    const offer = random.pick([...guest.offers.values()]);
    if (offer === undefined) return this.boot();
    const messages = guest.gpadlMessages(offer.channelId, random.u32(), this.#machine.allocate(1 + random.below(60)));
    for (const bytes of messages) {
      if (random.chance(2)) this.#mutate(bytes, 16);
      if (random.chance(8)) continue;
      guest.post(bytes);
    }
    this.mutations++;
    guest.trace.splice(-messages.length);
  }

  /** A packet that is wrong in some place. */
  mutatePacket() {
    const { random } = this;
    const channel = random.pick(this.channels);
    if (channel === undefined) return this.open();
    const packet = new Uint8Array(24 + random.below(16) * 8);
    const view = new DataView(packet.buffer);
    const type = random.pick([6, 7, 9, 11, random.below(16)]) ?? 6;
    view.setUint16(0, type, true);
    view.setUint16(2, random.chance(2) ? 2 : 2 + random.below(packet.length / 8), true);
    view.setUint16(4, packet.length / 8 - 1, true);
    view.setUint16(6, random.below(2), true);
    for (let at = 16; at < packet.length; at += 4) {
      view.setUint32(at, random.chance(2) ? (random.pick(INTERESTING) ?? 0) : random.below(600), true);
    }
    if (random.chance(2)) this.#mutate(packet);
    this.mutations++;
    channel.sendBytesRaw(packet);
    if (random.chance(2)) channel.signal();
  }

  /** Anything into a ring, and a signal. */
  mutateRing() {
    const channel = this.random.pick(this.channels);
    if (channel === undefined) return this.open();
    this.#scribble();
    this.mutations++;
    channel.signal();
  }

  signalAnything(): void {
    const { random } = this;
    this.mutations++;
    this.guest.bus.onGuestSignal(
      random.chance(2) ? 0x2000 | random.below(40) : random.u32(),
      random.chance(4) ? random.u32() : 0,
    );
  }

  toggleSynic(): void {
    const { host } = this.#machine;
    host.enabled = !host.enabled || this.random.chance(2);
    this.guest.bus.onMessageSlotFree();
  }

  /** Answers what the host sent on a channel with a changed copy of it: for devices that ask the guest. */
  mutateAnswer(prepare: (data: Uint8Array) => void): void {
    const { random } = this;
    const channel = random.pick(this.channels);
    if (channel === undefined) return;
    try {
      for (const { data, transactionId } of channel.receive(8)) {
        prepare(data);
        if (random.chance(2)) for (let count = 1 + random.below(3); count > 0; count--) this.#mutate(data);
        this.mutations++;
        channel.send(random.chance(20) ? data.subarray(0, random.below(data.length)) : data, transactionId);
      }
    } catch (error) {
      if (!(error instanceof GuestStuck)) throw error;
    }
    this.#machine.host.settle(64);
  }

  #mutate(bytes: Uint8Array, from = 0): void {
    const { random } = this;
    if (bytes.length <= from) return;
    const at = from + random.below(bytes.length - from);
    switch (random.below(4)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        bytes[at] = random.u32();
        break;
      default: {
        const aligned = at & ~3;
        if (aligned + 4 > bytes.length) return;
        const value = random.chance(2) ? (random.pick(INTERESTING) ?? 0) : (this.guest.offers.keys().next().value ?? 1);
        new DataView(bytes.buffer, bytes.byteOffset).setUint32(aligned, value, true);
      }
    }
  }

  /** Writes into a page of a ring: its control words, or its data. */
  #scribble(): void {
    const { random } = this;
    const channel = random.pick(this.channels);
    const page = channel === undefined ? undefined : random.pick(channel.pages);
    if (channel === undefined || page === undefined) return;
    const control = random.chance(2) ? channel.sendControl : channel.receiveControl;
    const gpa = random.chance(2) ? control + (random.pick([0, 4, 8, 12, 64]) ?? 0) : page + random.below(1024) * 4;
    const value = random.chance(2) ? (random.pick(INTERESTING) ?? 0) : random.below(2048) * 8;
    this.#machine.view.setUint32(gpa, value, true);
  }
}

const LEGAL: readonly ((hostile: HostileGuest) => void)[] = [
  (hostile) => hostile.open(),
  (hostile) => hostile.open(),
  (hostile) => hostile.send(),
  (hostile) => hostile.send(),
  (hostile) => hostile.send(),
  (hostile) => hostile.receive(),
  (hostile) => hostile.receive(),
  (hostile) => hostile.closeOne(),
  (hostile) => hostile.lend(),
  (hostile) => hostile.modify(),
  (hostile) => hostile.release(),
  (hostile) => {
    if (hostile.random.chance(6)) hostile.boot();
  },
];

const HOSTILE: readonly ((hostile: HostileGuest) => void)[] = [
  (hostile) => hostile.mutateMessage(),
  (hostile) => hostile.mutateMessage(),
  (hostile) => hostile.mutateMessage(),
  (hostile) => hostile.mutateGpadl(),
  (hostile) => hostile.mutatePacket(),
  (hostile) => hostile.mutatePacket(),
  (hostile) => hostile.mutatePacket(),
  (hostile) => hostile.mutateRing(),
  (hostile) => hostile.mutateRing(),
  (hostile) => hostile.signalAnything(),
  (hostile) => {
    if (hostile.random.chance(8)) hostile.toggleSynic();
  },
];
