/** The channel protocol: channels that come and go, connections that end, and what does not belong. Messages in order are in server.test.ts. */
import { beforeEach, describe, expect, it } from 'vitest';
import { VERSION } from './protocol.ts';
import { ECHO_INTERFACE, EchoDevice } from './testing/echo-device.ts';
import { LinuxGuest } from './testing/linux-guest.ts';
import { TestMachine } from './testing/test-machine.ts';

let machine: TestMachine;
let guest: LinuxGuest;
let echo: EchoDevice;
beforeEach(() => {
  machine = new TestMachine();
  guest = new LinuxGuest(machine);
  echo = new EchoDevice();
  machine.bus.offer(echo);
});

const words = (type: number, ...values: number[]): Uint8Array => {
  const bytes = new Uint8Array(8 + values.length * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  values.forEach((value, index) => {
    view.setUint32(8 + index * 4, value, true);
  });
  return bytes;
};
const stateOf = (name = 'echo'): string | undefined =>
  machine.bus.status().channels.find((channel) => channel.name === name)?.state;
const channelId = (): number => guest.offerOf(ECHO_INTERFACE).channelId;

describe('rescinding', () => {
  beforeEach(() => {
    guest.boot();
  });

  it('closes an open channel, and its id is free only when the guest has released it', () => {
    const channel = guest.opened(channelId());
    machine.bus.rescind('echo');
    expect(echo.open_.size).toBe(0);
    channel.send(Uint8Array.of(1));
    guest.closeMessage(1);
    guest.post(guest.openMessage(1, channel.ringGpadl, 4));
    expect(guest.has(6)).toBe(false);
    guest.takeBack(1, channel.ringGpadl);
    expect(machine.host.warnings()).toEqual([]);
    expect(guest.rescinded).toEqual([1]);
    guest.releaseChannel(1);
    expect(machine.bus.status().channels).toEqual([]);
    expect(machine.bus.inspect().connection).toMatchObject({ gpadls: 0 });
  });

  it('keeps an offer of the same instance back until then', () => {
    machine.bus.rescind('echo');
    machine.bus.offer(new EchoDevice());
    guest.post(words(22, 1, 0));
    expect([...guest.offers.keys()]).toEqual([1]);
    guest.releaseChannel(1);
    expect([...guest.offers.keys()]).toEqual([2]);
  });

  it('waits for a slow device, too', () => {
    echo.slow = true;
    guest.opened(1);
    const [device] = echo.open_;
    machine.bus.rescind('echo');
    guest.releaseChannel(1);
    expect(machine.bus.status().channels).toHaveLength(1);
    device?.closed();
    expect(machine.bus.status().channels).toHaveLength(0);
  });

  it('of a channel that is closing tells the guest, and leaves nothing behind', () => {
    echo.slow = true;
    guest.opened(1);
    const [device] = echo.open_;
    guest.closeMessage(1);
    machine.bus.rescind('echo');
    machine.bus.rescind('echo');
    device?.closed();
    guest.post(words(22, 1, 0));
    expect(guest.rescinded).toEqual([1]);
    guest.releaseChannel(1);
    expect(machine.bus.status().channels).toHaveLength(0);
  });

  it('of a device that the guest never saw is quiet', () => {
    guest.unload();
    machine.bus.rescind('echo');
    expect(machine.bus.status().channels).toEqual([]);
    expect(guest.boot()).toEqual([]);
  });

  it('a released offer comes back with the next connection', () => {
    guest.releaseChannel(1);
    expect(stateOf()).toBe('unoffered');
    guest.unload();
    expect(guest.boot()).toHaveLength(1);
  });
});

describe('subchannels', () => {
  it('come when the device asks, carry packets, and go with the primary', () => {
    echo.subchannels = 2;
    guest.boot();
    const primary = guest.opened(channelId());
    guest.post(words(22, 1, 0));
    const first = guest.offerOf(ECHO_INTERFACE, 1);
    expect(first.instanceId).toBe(echo.offer.instanceId);
    const channel = guest.opened(first.channelId, { processor: 1 });
    channel.send(Uint8Array.of(42));
    expect(guest.takeFlag(1, first.channelId)).toBe(true);
    expect(channel.receive()[0]?.data[0]).toBe(42);
    expect(machine.bus.status().channels.map(({ name }) => name)).toEqual(['echo', 'echo[1]', 'echo[2]']);
    channel.close();
    primary.close();
    expect(guest.rescinded).toEqual([2, 3]);
    guest.releaseChannel(2);
    guest.releaseChannel(3);
    expect(machine.bus.status().channels.map(({ name }) => name)).toEqual(['echo']);
    guest.opened(channelId());
    guest.post(words(22, 1, 0));
    expect(guest.offers.size).toBe(3);
  });

  it('are forgotten with the connection', () => {
    echo.subchannels = 2;
    guest.boot();
    guest.opened(channelId());
    guest.unload();
    expect(machine.bus.status().channels).toHaveLength(1);
    expect(guest.boot()).toHaveLength(1);
  });
});

describe('Unload and reset', () => {
  it('always answers an unload, connected or not', () => {
    guest.unload();
    guest.boot();
    guest.opened(channelId());
    guest.unload();
    expect(echo.open_.size).toBe(0);
    expect(machine.bus.status().version).toBeNull();
    for (let round = 0; round < 50; round++) {
      guest.boot();
      guest.opened(channelId()).send(Uint8Array.of(round));
      guest.unload();
    }
    expect(machine.host.warnings()).toEqual([]);
  });

  it('answers an unload when the last slow device has let go, and a contact after it', () => {
    echo.slow = true;
    guest.boot();
    guest.opened(channelId());
    const [device] = echo.open_;
    guest.post(words(16));
    expect(guest.has(17)).toBe(false);
    guest.post(words(3));
    expect(machine.host.warnings()).toEqual(['The guest sent request-offers while disconnecting']);
    device?.closed();
    expect(guest.has(17)).toBe(true);
    guest.forget();
    guest.boot();
    guest.opened(channelId());
    const [second] = echo.open_;
    const contact = guest.trace.findLast((bytes) => bytes[0] === 14) as Uint8Array;
    guest.post(contact);
    expect(guest.has(15)).toBe(false);
    second?.closed();
    expect(guest.has(15)).toBe(true);
  });

  it('does not offer again what waited for a release, while it ends the connection', () => {
    guest.boot();
    machine.bus.rescind('echo');
    machine.bus.offer(new EchoDevice());
    machine.host.slots.clear();
    machine.bus.reset();
    expect(machine.host.slots.size).toBe(0);
    guest.forget();
    expect(guest.boot().map((offer) => offer.channelId)).toEqual([2]);
  });

  it('says nothing of channels that are released afterwards, as by a driver that is unloaded', () => {
    guest.boot();
    const channel = guest.opened(channelId());
    guest.unload();
    guest.releaseChannel(channel.offer.channelId);
    expect(machine.host.warnings()).toEqual([]);
    expect(guest.boot()).toHaveLength(1);
  });

  it('a reset forgets the guest without a word', () => {
    guest.boot();
    guest.opened(channelId());
    machine.host.slots.clear();
    machine.bus.reset();
    expect(machine.host.slots.size).toBe(0);
    expect(stateOf()).toBe('unoffered');
    machine.bus.reset();
    guest.forget();
    expect(guest.boot()).toHaveLength(1);
  });
});

describe('what does not belong', () => {
  it.each([
    ['nothing', new Uint8Array(0)],
    ['half a header', new Uint8Array(7)],
    ['more than a message', new Uint8Array(241)],
    ['a message of the host', words(1)],
    ['an unknown message', words(18)],
    ['a type far away', words(0xffffffff)],
    ['a contact that is too short', words(14, 0x50003)],
    ['an open that is too short', words(5, 1, 1)],
    ['a close without a channel', words(7)],
    ['a list without its header', words(8, 1)],
    ['a continuation without a number', words(9, 1)],
    ['a return without a number', words(11, 1)],
    ['a release without a channel', words(13)],
    ['half a connection request', words(21, 1)],
    ['a move to nowhere', words(22, 1)],
  ])('reports %s', (_, bytes) => {
    guest.boot();
    guest.post(bytes);
    expect(machine.host.warnings()).toHaveLength(1);
  });

  it('reports messages before a connection', () => {
    for (const type of [3, 5, 7, 8, 9, 11, 21, 22]) {
      const bytes = new Uint8Array(160);
      bytes[0] = type;
      guest.post(bytes);
    }
    expect(machine.host.warnings()).toHaveLength(8);
    expect(machine.bus.status().version).toBeNull();
  });

  it('refuses socket connections, from 4.1 on with an answer', () => {
    guest.boot();
    expect(guest.tlConnect(new Uint8Array(16).fill(1), new Uint8Array(16).fill(2))).toBe(0xc0000236);
    guest.unload();
    guest.boot(VERSION.windows10);
    guest.post(Uint8Array.of(...words(21), ...new Uint8Array(32)));
    expect(guest.has(23)).toBe(false);
  });

  it('knows only its own ports', () => {
    expect(machine.bus.onGuestMessage(2, 1, words(3))).toBe('invalid-connection-id');
    expect(machine.bus.onGuestMessage(0x2001, 1, words(3))).toBe('invalid-connection-id');
    guest.boot();
    expect(machine.bus.onGuestMessage(4, 2, words(3))).toBe('accepted');
    expect(machine.host.warnings()).toEqual(['The guest posted a message of type 2, which VMBus does not have']);
    expect(machine.bus.onGuestSignal(0x2001, 0)).toBe(true);
    expect(machine.bus.onGuestSignal(0x2001, 1)).toBe(false);
    expect(machine.bus.onGuestSignal(0x2002, 0)).toBe(false);
    expect(machine.bus.onGuestSignal(0x2000, 0)).toBe(false);
    expect(machine.bus.onGuestSignal(1, 0)).toBe(false);
  });

  it('refuses further messages of a guest that takes none, and recovers when it does', () => {
    guest.boot();
    machine.host.enabled = false;
    let status = 'accepted';
    for (let count = 0; count < 5000 && status === 'accepted'; count++) {
      status = machine.bus.onGuestMessage(4, 1, words(22, 1, 0));
    }
    expect(status).toBe('insufficient-buffers');
    expect(machine.bus.inspect().waitingMessages).toBe(4096);
    machine.host.enabled = true;
    machine.bus.onMessageSlotFree();
    expect(guest.post(words(22, 1, 0))).toBe('accepted');
    expect(machine.bus.inspect().waitingMessages).toBe(0);
  });

  it('reports a flood of faults only so often, and counts the rest', () => {
    guest.boot();
    for (let count = 0; count < 1000; count++) guest.post(words(18));
    expect(machine.host.events).toHaveLength(256);
    expect(machine.bus.inspect().events).toMatchObject({ count: 1001 });
  });
});

describe('two VMs', () => {
  it('the ids of one mean nothing in the other', () => {
    const other = new TestMachine();
    const otherEcho = new EchoDevice();
    other.bus.offer(otherEcho);
    const otherGuest = new LinuxGuest(other);
    otherGuest.boot();
    const channel = otherGuest.opened(1);
    guest.connect();
    // Before its own offers, each guess of an id finds nothing, though the other VM uses all of these.
    expect(machine.bus.onGuestSignal(channel.offer.connectionId, 0)).toBe(false);
    guest.post(guest.openMessage(1, channel.ringGpadl, 4));
    guest.post(words(11, 1, channel.ringGpadl));
    guest.post(words(7, 1));
    expect(machine.host.warnings()).toHaveLength(3);
    expect(otherEcho.open_.size).toBe(1);
    expect(echo.open_.size).toBe(0);
    channel.send(Uint8Array.of(5));
    expect(channel.receive()[0]?.data[0]).toBe(5);
    expect(other.host.warnings()).toEqual([]);
  });
});
