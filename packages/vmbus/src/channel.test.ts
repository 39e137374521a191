/** A channel as its device has it: what it may do when, and what comes of it. Rings and packets are in vmbus.test.ts. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Channel, type ChannelHost, type ChannelParameters } from './channel.ts';
import { ECHO_INTERFACE, EchoDevice } from './testing/echo-device.ts';
import { type GuestChannel, LinuxGuest } from './testing/linux-guest.ts';
import { TestMachine } from './testing/test-machine.ts';

let machine: TestMachine;
let guest: LinuxGuest;
let echo: EchoDevice;
let lent: GuestChannel;
beforeEach(() => {
  machine = new TestMachine();
  guest = new LinuxGuest(machine);
  echo = new EchoDevice();
  machine.bus.offer(echo);
  guest.boot();
  lent = guest.opened(guest.offerOf(ECHO_INTERFACE).channelId);
});

function opened(): Channel {
  const [channel] = echo.open_;
  if (channel === undefined) throw new Error('the device has no channel');
  return channel;
}

describe('memory that the guest lent', () => {
  it('is reached by its number while the channel is open', () => {
    const pages = machine.allocate(2, true);
    const { gpadlId } = guest.lend(1, pages);
    machine.view.setUint8(pages[1] ?? 0, 0x5a);
    const channel = opened();
    expect(channel.gpadl(gpadlId)?.length).toBe(8192);
    expect(channel.gpadl(gpadlId)?.read(4096, 1)).toEqual(Uint8Array.of(0x5a));
    expect(channel.gpadl(gpadlId + 1)).toBeUndefined();
    guest.takeBack(1, gpadlId);
    expect(channel.gpadl(gpadlId)).toBeUndefined();
    lent.close();
    expect(channel.gpadl(lent.ringGpadl)).toBeUndefined();
  });
});

describe('a device that found the ring full', () => {
  it('goes on when there is room, and a second signal while it reads is no second reading', () => {
    const channel = opened();
    echo.capacity = 0;
    lent.send(Uint8Array.of(1));
    lent.send(Uint8Array.of(2));
    expect(echo.packets).toEqual([]);
    // Nothing is read while it is busy, however often the guest signals.
    lent.signal();
    expect(machine.bus.inspect().channels).toMatchObject({ echo: { stalled: true, packetsReceived: 0 } });
    echo.capacity = Number.POSITIVE_INFINITY;
    channel.resume();
    expect(lent.receive()).toHaveLength(2);
    const packet = echo.packet.bind(echo);
    let depth = 0;
    echo.packet = (given, content) => {
      expect(++depth).toBe(1);
      given.signalled();
      const answer = packet(given, content);
      depth--;
      return answer;
    };
    lent.send(Uint8Array.of(3));
    lent.send(Uint8Array.of(4));
    expect(lent.receive()).toHaveLength(2);
  });
});

describe('a channel that is closed', () => {
  it('while its device reads a packet takes no further one', () => {
    echo.packet = (channel) => {
      channel.fail('no such request');
      channel.fail('once is enough');
      return 'done';
    };
    lent.send(Uint8Array.of(1));
    expect(machine.host.warnings()).toEqual(['The channel was closed: no such request']);
    expect(opened.bind(undefined)).toThrow('no channel');
  });

  it('sends nothing, hears nothing, and says so', () => {
    const channel = opened();
    lent.close();
    const { signals } = machine.host;
    expect(channel.isOpen).toBe(false);
    expect(channel.send({ kind: 'in-band', transactionId: 1n }, new Uint8Array(8))).toBe('closed');
    channel.signalled();
    channel.fail('too late');
    expect(machine.host.signals).toBe(signals);
    expect(machine.host.warnings()).toEqual([]);
  });

  it('between two portions of a long reading is not read on', () => {
    // More than are read in one go.
    for (let count = 0; count < 300; count++) {
      if (count === 0) machine.bus.onGuestSignal = () => true;
      lent.send(Uint8Array.of(count));
    }
    const channel = opened();
    const before = machine.host.deferred.length;
    channel.pump();
    expect(machine.host.deferred.length).toBe(before + 1);
    const read = echo.packets.length;
    // What is due already is not asked for twice.
    channel.pump();
    expect(machine.host.deferred.length).toBe(before + 1);
    guest.closeMessage(1);
    machine.host.settle();
    expect(echo.packets.length).toBe(read);
  });
});

describe('rings that cannot be', () => {
  const host = (): ChannelHost => ({
    memory: machine.memory,
    signal: () => {},
    defer: () => {},
    isFrozen: false,
    gpadl: () => undefined,
    broken: () => {},
    closed: () => {},
    gpadlReleased: () => {},
    offerSubchannels: () => {},
  });
  const parameters = (change: Partial<ChannelParameters>): ChannelParameters => ({
    offerId: 1,
    channelId: 1,
    subchannelIndex: 0,
    device: echo,
    ring: [{ start: 0, gpa: 0x200000, bytes: 4 * 4096 }],
    downstreamPageOffset: 2,
    targetProcessor: 0,
    userData: new Uint8Array(120),
    monitorId: undefined,
    ...change,
  });

  it.each([
    ['divided past their end', { downstreamPageOffset: 5 }, 'its ring is shorter than it says'],
    ['divided too early', { downstreamPageOffset: 1 }, 'its rings are not whole pages, two at least'],
    ['divided too late', { downstreamPageOffset: 3 }, 'its rings are not whole pages, two at least'],
    [
      'of parts of pages',
      { ring: [{ start: 0, gpa: 0x200008, bytes: 4 * 4096 }] },
      'its rings are not whole pages, two at least',
    ],
  ])('%s are refused', (_, change, problem) => {
    expect(Channel.create(host(), parameters(change))).toBe(problem);
  });

  it.each([
    ['read', { readIndex: 4, writeIndex: 0 }],
    ['write', { readIndex: 0, writeIndex: 4096 }],
  ])('with a saved %s index that is none are refused', (_, indexes) => {
    expect(Channel.create(host(), parameters({ indexes }))).toMatch(/index of the ring/);
  });
});
