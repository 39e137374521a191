/** The channel protocol, message by message: what it answers, and what it makes of illegal orders. */
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

describe('InitiateContact', () => {
  it.each(Object.values(VERSION))('agrees on version 0x%s where a guest asks for no newer one', (version) => {
    expect(guest.connect(version)).toBe(version);
    expect(machine.bus.status().version).toBe(`${version >>> 16}.${version & 0xffff}`);
  });

  it.each([0x0d, 0x10001, 0x20003, 0x50004, 0x60000, 0])(
    'refuses version 0x%s, and the guest can ask again',
    (version) => {
      expect(guest.negotiate(version)).toBe(false);
      expect(machine.bus.status().version).toBeNull();
      expect(guest.connect()).toBe(0x50003);
    },
  );

  it('lets the guest step down to the newest that the host offers', () => {
    const older = new TestMachine({ maximumVersion: VERSION.windows10_5_1 });
    expect(new LinuxGuest(older).connect()).toBe(VERSION.windows10_5_1);
    const oldest = new TestMachine({ maximumVersion: VERSION.windows8_1 });
    const stepping = new LinuxGuest(oldest);
    expect(stepping.connect()).toBe(VERSION.windows8_1);
    // Below 5.0 there is no second port to post to.
    expect(oldest.bus.onGuestMessage(4, 1, words(3))).toBe('invalid-connection-id');
  });

  it.each([
    ['another SINT', (view: DataView) => view.setUint8(16, 3)],
    ['another trust level', (view: DataView) => view.setUint8(17, 2)],
    ['a processor that is not there', (view: DataView) => view.setUint32(12, 2, true)],
  ])('refuses %s', (_, change) => {
    const bytes = new Uint8Array(40);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 14, true);
    view.setUint32(8, 0x50003, true);
    view.setUint8(16, 2);
    change(view);
    machine.bus.onGuestMessage(4, 1, bytes);
    expect(machine.bus.status().version).toBeNull();
  });

  it('refuses monitor pages that are not memory, and takes none', () => {
    expect(guest.negotiate(0x50003, { monitorPages: [0x1000, 2 ** 40] })).toBe(true);
    expect(machine.bus.status().version).toBeNull();
    expect(guest.negotiate(0x50003, { monitorPages: [0x1001, 0x2000] })).toBe(true);
    expect(machine.bus.status().version).toBeNull();
    expect(guest.negotiate(0x50003, { monitorPages: [0, 0] })).toBe(true);
    expect(machine.bus.status().version).toBe('5.3');
  });

  it('ignores feature flags, which no version up to 5.3 has', () => {
    const bytes = new Uint8Array(56);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 14, true);
    view.setUint32(8, 0x50003, true);
    view.setUint8(16, 2);
    view.setUint32(20, 0xffffffff, true);
    machine.bus.onGuestMessage(4, 1, bytes);
    expect(machine.bus.status().version).toBe('5.3');
  });

  it('delivers to the processor that the guest named', () => {
    expect(guest.negotiate(0x50003, { processor: 1 })).toBe(true);
    expect(guest.requestOffers()).toHaveLength(1);
  });

  it('starts anew when a kernel connects over an old connection, as after kexec', () => {
    guest.boot();
    const channel = guest.opened(channelId());
    channel.send(Uint8Array.of(1, 2, 3));
    const second = new LinuxGuest(machine);
    second.boot();
    expect(echo.open_.size).toBe(0);
    expect(stateOf()).toBe('offered');
    const reopened = second.opened(second.offerOf(ECHO_INTERFACE).channelId);
    reopened.send(Uint8Array.of(9));
    expect(reopened.receive()[0]?.data[0]).toBe(9);
  });

  it('throws messages away that were meant for the kernel before', () => {
    guest.boot();
    machine.host.slots.set(0, new Uint8Array(8));
    machine.bus.onGuestMessage(4, 1, words(22, channelId(), 0));
    machine.bus.onGuestMessage(4, 1, words(22, channelId(), 0));
    expect(machine.bus.inspect().waitingMessages).toBe(2);
    machine.bus.onGuestMessage(4, 1, words(16));
    // Only the answer to the unload waits.
    expect(machine.bus.inspect().waitingMessages).toBe(1);
  });
});

describe('RequestOffers', () => {
  it('offers every device with an id, a signal port and a dedicated interrupt', () => {
    machine.bus.offer(new EchoDevice('second', { instance: 'aaaaaaaa-0000-0000-0000-000000000002' }));
    const offers = guest.boot();
    expect(offers.map((offer) => offer.channelId)).toEqual([1, 2]);
    for (const offer of offers) {
      expect(offer).toMatchObject({
        interfaceId: ECHO_INTERFACE,
        isDedicated: true,
        monitorId: undefined,
        subchannelIndex: 0,
      });
      expect(offer.connectionId).toBe(0x2000 | offer.channelId);
    }
  });

  it('says once that all are delivered, and reports a second request', () => {
    guest.boot();
    guest.post(words(3));
    expect(machine.host.warnings()).toEqual(['The guest asked for offers a second time']);
  });

  it('offers a device that comes later at once, and takes it back', () => {
    guest.boot();
    machine.bus.offer(new EchoDevice('hot', { instance: 'aaaaaaaa-0000-0000-0000-000000000009' }));
    guest.post(words(22, 1, 0));
    expect([...guest.offers.keys()]).toEqual([1, 2]);
    machine.bus.rescind('hot');
    guest.post(words(22, 1, 0));
    expect(guest.rescinded).toEqual([2]);
    guest.releaseChannel(2);
    expect(machine.bus.status().channels.map(({ name }) => name)).toEqual(['echo']);
  });

  it('does not tell a guest that has not asked', () => {
    guest.connect();
    machine.bus.offer(new EchoDevice('hot', { instance: 'aaaaaaaa-0000-0000-0000-000000000009' }));
    expect(guest.offers.size).toBe(0);
  });
});

describe('GPADLs', () => {
  beforeEach(() => {
    guest.boot();
  });

  it.each([1, 25, 26, 27, 54, 55, 400, 1600])('takes one of %i pages', (pages) => {
    const { status, gpadlId } = guest.lend(channelId(), machine.allocate(pages));
    expect(status).toBe(0);
    guest.takeBack(channelId(), gpadlId);
    expect(machine.bus.inspect().connection).toMatchObject({ gpadls: 0, lentPages: 0 });
  });

  it('takes a first message that fills all 240 bytes for a list that needs fewer', () => {
    const short = guest.gpadlMessages(channelId(), 7, machine.allocate(2))[0];
    const padded = new Uint8Array(240);
    padded.set(short ?? new Uint8Array(0));
    guest.post(padded);
    expect(guest.has(10)).toBe(true);
    expect(machine.host.warnings()).toEqual([]);
  });

  it('takes a list of two ranges, which is no ring', () => {
    const description = new Uint8Array(32);
    const view = new DataView(description.buffer);
    view.setUint32(0, 4096, true);
    view.setBigUint64(8, 0x200n, true);
    view.setUint32(16, 100, true);
    view.setUint32(20, 50, true);
    view.setBigUint64(24, 0x201n, true);
    const bytes = new Uint8Array(20 + 32);
    bytes.set(words(8, channelId(), 77, 32 | (2 << 16)));
    bytes.set(description, 20);
    guest.post(bytes);
    expect(guest.has(10)).toBe(true);
    expect(machine.host.warnings()).toEqual([]);
    guest.post(guest.openMessage(channelId(), 77, 2));
    expect(machine.host.warnings()).toEqual(['The channel was not opened: its ring is not one range of memory']);
  });

  const refusals: readonly (readonly [string, () => Uint8Array[], RegExp])[] = [
    [
      'a number that is in use',
      () => [...guest.gpadlMessages(1, 5, [0x200000]), ...guest.gpadlMessages(1, 5, [0x200000])],
      /in use/,
    ],
    [
      'an unfinished number',
      () => [
        guest.gpadlMessages(1, 5, machine.allocate(40))[0] as Uint8Array,
        guest.gpadlMessages(1, 5, [0x200000])[0] as Uint8Array,
      ],
      /in use/,
    ],
    ['pages that are not memory', () => guest.gpadlMessages(1, 5, [2 ** 36]), /not memory/],
    ['page numbers past the address space', () => guest.gpadlMessages(1, 5, [2 ** 52]), /past the address space/],
    ['an empty range', () => guest.gpadlMessages(1, 5, [0x200000], 0), /empty/],
    ['a range longer than its pages', () => guest.gpadlMessages(1, 5, [0x200000], 8192), /page numbers/],
    ['no range', () => [words(8, 1, 5, 0)], /no range|part of it/],
    ['ranges that are not there', () => [words(8, 1, 5, (9 << 16) | 16, 1, 0, 0x200, 0)], /9 ranges/],
    ['an offset past the first page', () => [words(8, 1, 5, (1 << 16) | 16, 1, 5000, 0x200, 0)], /begins 5000 bytes/],
    [
      'an empty continuation',
      () => [guest.gpadlMessages(1, 5, machine.allocate(40))[0] as Uint8Array, words(9, 0, 5)],
      /part of it is empty/,
    ],
  ];
  it.each(refusals)('refuses %s, with an answer', (_, messages, problem) => {
    for (const bytes of messages()) guest.post(bytes);
    expect(guest.has(10)).toBe(true);
    expect(machine.host.warnings().join()).toMatch(problem);
  });

  it('answers for a channel that it does not know, and reports', () => {
    guest.post(guest.gpadlMessages(99, 5, [0x200000])[0] as Uint8Array);
    expect(guest.has(10)).toBe(true);
    expect(machine.host.warnings().join()).toMatch(/channel 99, which it was not offered/);
  });

  it('reports a continuation of nothing, and a return of what was not lent', () => {
    guest.post(words(9, 0, 55, 1, 2));
    guest.post(words(11, 1, 55));
    expect(machine.host.warnings()).toEqual([
      'The guest went on with GPADL 55, which it had not begun',
      'The guest took back GPADL 55, which it had not lent',
    ]);
  });

  it('bounds what a guest can lend, and what it can leave unfinished', () => {
    for (let id = 1; id <= 300; id++) guest.post(guest.gpadlMessages(1, id, machine.allocate(30))[0] as Uint8Array);
    expect(machine.host.warnings()[0]).toMatch(/256 lists are not complete/);
    expect(machine.host.warnings()).toHaveLength(44);
  });

  it('does not lend what one channel lent to another', () => {
    machine.bus.offer(new EchoDevice('second', { instance: 'aaaaaaaa-0000-0000-0000-000000000002' }));
    guest.post(words(22, 1, 0));
    const { gpadlId } = guest.lend(1, machine.allocate(8));
    guest.post(guest.openMessage(2, gpadlId, 4));
    expect(stateOf('second')).toBe('offered');
    expect(machine.host.warnings().at(-1)).toMatch(/its ring was not lent to it/);
  });
});

describe('OpenChannel and CloseChannel', () => {
  beforeEach(() => {
    guest.boot();
  });

  it('opens, closes and opens again', () => {
    for (let round = 0; round < 3; round++) {
      const channel = guest.opened(channelId(), { userData: Uint8Array.of(7, 8) });
      expect([...echo.open_][0]?.userData.slice(0, 3)).toEqual(Uint8Array.of(7, 8, 0));
      channel.close();
      expect(echo.open_.size).toBe(0);
    }
    expect(machine.host.warnings()).toEqual([]);
  });

  it('answers with a failure when the device refuses', () => {
    echo.refuse = 'no room';
    expect(guest.open(channelId())).not.toBe(0);
    expect(machine.host.warnings()).toEqual(['The device did not open the channel: no room']);
    echo.refuse = undefined;
    guest.opened(channelId());
  });

  it.each([
    ['no page for the ring to the host', 1, 8],
    ['no page for the ring to the guest', 7, 8],
    ['a division past the end', 9, 8],
    ['a division far past the end', 0xffffffff, 8],
  ])('refuses %s', (_, downstream, pages) => {
    const { gpadlId } = guest.lend(channelId(), machine.allocate(pages));
    guest.post(guest.openMessage(channelId(), gpadlId, downstream));
    expect(guest.has(6)).toBe(true);
    expect(stateOf()).toBe('offered');
    expect(machine.host.warnings().join()).toMatch(/cannot be divided/);
  });

  it('refuses a processor that is not there, and takes none at all', () => {
    const { gpadlId } = guest.lend(channelId(), machine.allocate(8));
    guest.post(guest.openMessage(channelId(), gpadlId, 4, 2));
    expect(stateOf()).toBe('offered');
    guest.post(guest.openMessage(channelId(), gpadlId, 4, 0xffffffff));
    expect(stateOf()).toBe('open');
    const before = machine.host.signals;
    [...echo.open_][0]?.send({ kind: 'in-band', transactionId: 1n }, new Uint8Array(8));
    expect(machine.host.signals).toBe(before);
  });

  it('refuses indexes outside the ring', () => {
    const pages = machine.allocate(8);
    const { gpadlId } = guest.lend(channelId(), pages);
    machine.view.setUint32((pages[0] ?? 0) + 4, 13, true);
    guest.post(guest.openMessage(channelId(), gpadlId, 4));
    expect(machine.host.warnings().at(-1)).toMatch(/read index of the ring to the host/);
    machine.view.setUint32((pages[0] ?? 0) + 4, 0, true);
    machine.view.setUint32(pages[4] ?? 0, 3 * 4096, true);
    guest.post(guest.openMessage(channelId(), gpadlId, 4));
    expect(machine.host.warnings().at(-1)).toMatch(/write index of the ring to the guest/);
  });

  it('reports what is out of order, and stays as it was', () => {
    guest.closeMessage(channelId());
    expect(machine.host.warnings()).toEqual(['The guest closed a channel that is not open']);
    guest.opened(channelId());
    guest.post(guest.openMessage(channelId(), 1, 4));
    guest.post(words(13, channelId()));
    expect(machine.host.warnings().slice(1)).toEqual([
      'The guest opened a channel that is open',
      'The guest released a channel that is open',
    ]);
    expect(stateOf()).toBe('open');
  });

  it('closes a channel whose ring the guest takes back, and still answers', () => {
    const channel = guest.opened(channelId());
    guest.takeBack(channelId(), channel.ringGpadl);
    expect(stateOf()).toBe('broken');
    expect(machine.host.warnings()).toEqual(['The channel was closed: the guest took back its ring while it was open']);
    guest.post(guest.openMessage(channelId(), channel.ringGpadl, 4));
    expect(stateOf()).toBe('broken');
    expect(guest.wait(6).getUint32(16, true)).not.toBe(0);
    guest.closeMessage(channelId());
    guest.opened(channelId());
  });

  it('waits with its answers until a slow device has let go', () => {
    echo.slow = true;
    const channel = guest.opened(channelId());
    const extra = guest.lend(channelId(), machine.allocate(3));
    const [device] = echo.open_;
    guest.post(words(11, channelId(), extra.gpadlId));
    expect(guest.has(12)).toBe(false);
    device?.gpadlReleased(extra.gpadlId);
    expect(guest.has(12)).toBe(true);
    guest.closeMessage(channelId());
    guest.post(words(11, channelId(), channel.ringGpadl));
    expect(stateOf()).toBe('closing');
    expect(() => machine.bus.save()).toThrow('PL-3101');
    device?.closed();
    expect(stateOf()).toBe('offered');
    expect(machine.bus.inspect().connection).toMatchObject({ gpadls: 0 });
  });

  it('opens again once a slow device has let go of the last opening', () => {
    echo.slow = true;
    guest.opened(channelId());
    const [device] = echo.open_;
    guest.closeMessage(channelId());
    const { gpadlId } = guest.lend(channelId(), machine.allocate(8));
    guest.post(guest.openMessage(channelId(), gpadlId, 4));
    guest.post(guest.openMessage(channelId(), gpadlId, 4));
    expect(machine.host.warnings()).toEqual(['The guest opened a channel that it had opened']);
    device?.closed();
    expect(stateOf()).toBe('open');
    expect(guest.has(6)).toBe(true);
  });
});

describe('ModifyChannel', () => {
  it('moves interrupts, and answers from 5.3 on', () => {
    guest.boot();
    const channel = guest.opened(channelId());
    expect(guest.modify(channelId(), 1)).toBe(0);
    channel.processor = 1;
    channel.send(Uint8Array.of(1));
    expect(guest.takeFlag(0, channelId())).toBe(false);
    expect(guest.takeFlag(1, channelId())).toBe(true);
  });

  it.each([2, 0xffffffff])('refuses processor %i', (processor) => {
    guest.boot();
    guest.opened(channelId());
    expect(guest.modify(channelId(), processor)).not.toBe(0);
  });

  it('is silent at 5.2 and unknown at 4.0', () => {
    guest.boot(VERSION.windows10_5_2);
    guest.opened(channelId());
    expect(guest.modify(channelId(), 1)).toBeUndefined();
    expect(guest.has(24)).toBe(false);
    guest.unload();
    guest.boot(VERSION.windows10);
    guest.opened(channelId());
    guest.modify(channelId(), 1);
    expect(machine.host.warnings()).toEqual(['The guest moved a channel, which VMBus 4.0 cannot']);
  });

  it('fails for a channel that is not open', () => {
    guest.boot();
    expect(guest.modify(channelId(), 0)).not.toBe(0);
  });
});
