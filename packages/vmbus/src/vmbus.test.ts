/** Rings, packets and what becomes of a channel whose guest breaks their rules; monitor pages; saving and restoring. */
import { beforeEach, describe, expect, it } from 'vitest';
import { unwrapPipeMessage, wrapPipeMessage } from './pipe.ts';
import { ECHO_INTERFACE, EchoDevice } from './testing/echo-device.ts';
import { type GuestChannel, LinuxGuest } from './testing/linux-guest.ts';
import { TestMachine } from './testing/test-machine.ts';
import type { VmBus } from './vmbus.ts';

let machine: TestMachine;
let guest: LinuxGuest;
let echo: EchoDevice;
let channel: GuestChannel;

const start = (options: Parameters<LinuxGuest['open']>[1] = {}, device = new EchoDevice()): void => {
  machine = new TestMachine();
  guest = new LinuxGuest(machine);
  echo = device;
  machine.bus.offer(echo);
  guest.boot();
  channel = guest.opened(guest.offerOf(ECHO_INTERFACE).channelId, options);
};
beforeEach(() => start());

const stateOf = (bus: VmBus = machine.bus): string | undefined => bus.status().channels[0]?.state;
const bytes = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 7 + seed) & 0xff);

describe('packets', () => {
  it.each([
    ['side by side', false],
    ['scattered', true],
  ])('go around rings whose pages lie %s, byte for byte', (_, scattered) => {
    start({ scattered });
    for (let round = 0; round < 400; round++) {
      const data = bytes(8 * (1 + ((round * 13) % 200)), round);
      expect(channel.send(data, BigInt(round))).toBe(true);
      const [answer, ...more] = channel.receive();
      expect(more).toEqual([]);
      expect(answer).toMatchObject({ type: 6, transactionId: BigInt(round), data });
    }
    expect(machine.host.warnings()).toEqual([]);
  });

  it('keep all 64 bits of their transaction id in completions', () => {
    channel.send(bytes(24, 1), 0xffff_ffff_ffff_fffdn, 1);
    expect(channel.receive()[0]).toMatchObject({ type: 11, transactionId: 0xffff_ffff_ffff_fffdn, data: bytes(24, 1) });
  });

  it('with external buffers reach guest memory in place', () => {
    const pages = machine.allocate(3, true);
    machine.view.setUint8((pages[0] ?? 0) + 100, 0x5a);
    machine.view.setUint8(pages[2] ?? 0, 0xa5);
    channel.sendGpaDirect(bytes(8, 0), 3n, [
      { offset: 100, bytes: 8000, pages: pages.slice(0, 2) },
      { offset: 0, bytes: 16, pages: pages.slice(2) },
    ]);
    expect(channel.receive()[0]?.data.slice(0, 2)).toEqual(Uint8Array.of(0x5a, 0xa5));
    expect(machine.memory.takeDirtyPages()).toContain((pages[0] ?? 0) / 4096);
  });

  it('to the guest may describe transfer pages', () => {
    const [open] = echo.open_;
    open?.send(
      { kind: 'transfer-pages', transactionId: 4n, setId: 0xcafe, ranges: [{ byteCount: 60, byteOffset: 128 }] },
      bytes(8, 2),
    );
    const [packet] = channel.receive();
    expect(packet).toMatchObject({ type: 7, transactionId: 4n, data: bytes(8, 2) });
    const headers = new DataView(packet?.headers.buffer ?? new ArrayBuffer(0));
    expect([
      headers.getUint16(0, true),
      headers.getUint32(4, true),
      headers.getUint32(8, true),
      headers.getUint32(12, true),
    ]).toEqual([0xcafe, 1, 60, 128]);
  });

  it('of transfer pages are understood from the guest, too', () => {
    const headers = new Uint8Array(16);
    const view = new DataView(headers.buffer);
    view.setUint16(0, 9, true);
    view.setUint32(4, 1, true);
    view.setUint32(8, 60, true);
    channel.sendRaw(7, 1n, headers, bytes(8, 0));
    expect(echo.packets[0]).toMatchObject({
      kind: 'transfer-pages',
      setId: 9,
      ranges: [{ byteCount: 60, byteOffset: 0 }],
    });
  });

  it('that were written before the channel was opened are read', () => {
    const pages = machine.allocate(8);
    channel.close();
    const { gpadlId } = guest.lend(1, pages);
    const packet = new DataView(machine.view.buffer, machine.view.byteOffset + (pages[1] ?? 0), 64);
    packet.setUint16(0, 6, true);
    packet.setUint16(2, 2, true);
    packet.setUint16(4, 3, true);
    machine.view.setUint32(pages[0] ?? 0, 32, true);
    guest.post(guest.openMessage(1, gpadlId, 4));
    machine.host.settle();
    expect(machine.view.getUint32(pages[4] ?? 0, true)).toBe(32);
  });
});

describe('signals', () => {
  it('go to the guest only when its ring was empty and it did not mask them', () => {
    const [open] = echo.open_;
    const before = machine.host.signals;
    open?.send({ kind: 'in-band', transactionId: 1n }, bytes(8, 0));
    open?.send({ kind: 'in-band', transactionId: 2n }, bytes(8, 0));
    expect(machine.host.signals - before).toBe(1);
    expect(channel.receive()).toHaveLength(2);
    channel.setWord(channel.receiveControl, 2, 1);
    open?.send({ kind: 'in-band', transactionId: 3n }, bytes(8, 0));
    expect(machine.host.signals - before).toBe(1);
  });

  it('are not asked of the guest while the host reads', () => {
    echo.capacity = 0;
    channel.send(bytes(8, 0));
    expect(channel.word(channel.sendControl, 2)).toBe(1);
    channel.send(bytes(8, 0));
    expect(channel.signals).toBe(1);
    echo.capacity = 10;
    [...echo.open_][0]?.resume();
    expect(channel.receive()).toHaveLength(2);
    expect(channel.word(channel.sendControl, 2)).toBe(0);
  });

  it('wake a guest that waits for room, once there is enough', () => {
    echo.capacity = 0;
    let sent = 0;
    while (channel.send(bytes(1000, sent))) sent++;
    channel.setWord(channel.sendControl, 3, 2048);
    const before = machine.host.signals;
    const [open] = echo.open_;
    // Nobody reads what comes back, so that each signal is for room.
    channel.setWord(channel.receiveControl, 2, 1);
    echo.capacity = 1;
    open?.resume();
    expect(machine.host.signals).toBe(before);
    echo.capacity = 2;
    open?.resume();
    expect(machine.host.signals).toBe(before + 1);
    echo.capacity = 100;
    open?.resume();
    expect(machine.host.signals).toBe(before + 1);
  });

  it('of the guest let a device go on that found the ring full', () => {
    for (let count = 0; count < 60; count++) {
      if (!channel.send(bytes(400, count), BigInt(count))) break;
    }
    expect(channel.word(channel.receiveControl, 3)).toBeGreaterThan(400);
    const seen: number[] = [];
    for (let round = 0; round < 60 && seen.length < 40; round++) {
      for (const { transactionId } of channel.receive()) seen.push(Number(transactionId));
    }
    expect(seen).toEqual([...seen.keys()]);
    expect(echo.writables).toBeGreaterThan(0);
    expect(channel.word(channel.receiveControl, 3)).toBe(0);
  });

  it('through the monitor page reach the channel when it is polled', () => {
    start({}, new EchoDevice('echo', { monitorLatency: 1000 }));
    expect(channel.offer.monitorId).toBe(0);
    expect(machine.bus.usesMonitors).toBe(true);
    machine.bus.pollMonitors();
    channel.setWord(channel.sendControl, 2, 1);
    channel.send(bytes(8, 3));
    expect(channel.signals).toBe(0);
    channel.setWord(channel.sendControl, 2, 0);
    machine.view.setUint32(guest.monitorPage + 8, 0xffffffff, true);
    machine.bus.pollMonitors();
    expect(machine.view.getUint32(guest.monitorPage + 8, true)).toBe(0xfffffffe);
    expect(channel.receive()).toHaveLength(1);
    guest.unload();
    expect(machine.bus.usesMonitors).toBe(false);
    machine.bus.pollMonitors();
  });

  it('of a guest that never stops leave the thread to others', () => {
    // A device that consumes without answering: the guest fills the ring faster than it empties.
    const [open] = echo.open_;
    const packet = new Uint8Array(32);
    new DataView(packet.buffer).setUint16(0, 11, true);
    new DataView(packet.buffer).setUint16(2, 2, true);
    new DataView(packet.buffer).setUint16(4, 3, true);
    let turns = 0;
    echo.packet = () => {
      turns++;
      channel.setWord(channel.sendControl, 2, 1);
      channel.sendBytesRaw(packet);
      return 'done';
    };
    channel.setWord(channel.sendControl, 2, 1);
    channel.sendBytesRaw(packet);
    open?.signalled();
    expect(turns).toBe(256);
    machine.host.settle(3);
    expect(turns).toBe(4 * 256);
  });
});

describe('a guest that breaks the rules of its ring loses the channel, and only that', () => {
  const raw = (change: (view: DataView) => void): void => {
    const packet = new Uint8Array(64);
    const view = new DataView(packet.buffer);
    view.setUint16(0, 6, true);
    view.setUint16(2, 2, true);
    view.setUint16(4, 7, true);
    change(view);
    channel.sendBytesRaw(packet);
  };
  const faults: readonly (readonly [string, () => void, RegExp])[] = [
    ['write index past the end', () => channel.setWord(channel.sendControl, 0, 3 * 4096), /write index/],
    ['write index that is not aligned', () => channel.setWord(channel.sendControl, 0, 12), /write index/],
    ['less than a packet', () => channel.setWord(channel.sendControl, 0, 16), /16 bytes in the ring/],
    ['length 0', () => raw((view) => view.setUint16(4, 0, true)), /packet of 0 bytes/],
    ['length past what is there', () => raw((view) => view.setUint16(4, 8, true)), /packet of 64 bytes/],
    ['length 0xffff', () => raw((view) => view.setUint16(4, 0xffff, true)), /packet of 524280 bytes/],
    ['data inside the descriptor', () => raw((view) => view.setUint16(2, 1, true)), /data at 8/],
    ['data past the end', () => raw((view) => view.setUint16(2, 8, true)), /data at 64/],
    ['an unknown type', () => raw((view) => view.setUint16(0, 3, true)), /packet type 3/],
    ['external buffers without room', () => raw((view) => view.setUint16(0, 9, true)), /no room for its ranges/],
    [
      'external buffers that are not there',
      () =>
        raw((view) => {
          view.setUint16(0, 9, true);
          view.setUint16(2, 5, true);
          view.setUint32(20, 1000, true);
        }),
      /1000 ranges/,
    ],
    [
      'transfer pages that are not there',
      () =>
        raw((view) => {
          view.setUint16(0, 7, true);
          view.setUint16(2, 4, true);
          view.setUint32(20, 0xffffffff, true);
        }),
      /no room for its ranges/,
    ],
    [
      'external buffers outside memory',
      () => channel.sendGpaDirect(bytes(8, 0), 1n, [{ offset: 0, bytes: 8, pages: [2 ** 36] }]),
      /not memory/,
    ],
  ];
  it.each(faults)('%s', (_, act, problem) => {
    act();
    channel.signal();
    expect(stateOf()).toBe('broken');
    expect(machine.host.warnings().join()).toMatch(problem);
    expect(machine.bus.inspect().channels).toMatchObject({ echo: { problem: expect.stringMatching(problem) } });
    expect(echo.open_.size).toBe(0);
    // Nothing more is read or written, and the guest can start again.
    channel.signal();
    expect(machine.host.warnings()).toHaveLength(1);
    channel.close();
    channel = guest.opened(1);
    channel.send(bytes(8, 9));
    expect(channel.receive()).toHaveLength(1);
  });

  it.each(Array.from({ length: 40 }, (_, index) => index))('memory that goes away at access %i', (at) => {
    const { memory } = machine;
    const original = memory.range.bind(memory);
    let access = 0;
    // As a ballooned page does: from one look to the next, and for good.
    memory.range = (gpa, length, how) => (access++ >= at ? { fault: 'not-memory', gpa } : original(gpa, length, how));
    channel.send(bytes(3000, 0));
    channel.send(bytes(3000, 1));
    [...echo.open_][0]?.send({ kind: 'in-band', transactionId: 1n }, bytes(8, 0));
    machine.bus.pollMonitors();
    memory.range = original;
    const problems = machine.host.warnings();
    expect(problems.length).toBeLessThanOrEqual(1);
    for (const problem of problems) expect(problem).toMatch(/a page of the ring is not memory/);
  });

  it('a ring whose memory is gone when it is opened', () => {
    for (let at = 0; at < 12; at++) {
      start();
      channel.close();
      const { memory } = machine;
      const original = memory.range.bind(memory);
      const { gpadlId } = guest.lend(1, machine.allocate(8));
      let access = 0;
      memory.range = (gpa, length, how) => (access++ >= at ? { fault: 'not-memory', gpa } : original(gpa, length, how));
      guest.post(guest.openMessage(1, gpadlId, 4));
      expect(guest.has(6)).toBe(true);
      memory.range = original;
    }
  });

  it('a read index outside the ring to the guest', () => {
    channel.setWord(channel.receiveControl, 1, 0xfffffff8);
    [...echo.open_][0]?.send({ kind: 'in-band', transactionId: 1n }, bytes(8, 0));
    expect(machine.host.warnings().join()).toMatch(/read index of the ring to the guest/);
  });

  it('a ring too small for what the device sends', () => {
    start({ receivePages: 2 });
    const [open] = echo.open_;
    expect(open?.fits(5000)).toBe(false);
    expect(open?.send({ kind: 'in-band', transactionId: 1n }, bytes(5000, 0))).toBe('closed');
    expect(open?.send({ kind: 'in-band', transactionId: 1n }, bytes(8, 0))).toBe('closed');
    expect(machine.host.warnings().join()).toMatch(/5000 bytes does not fit/);
  });

  it('a packet longer than a descriptor can say is refused the same way', () => {
    const [open] = echo.open_;
    expect(open?.send({ kind: 'in-band', transactionId: 1n }, bytes(600_000, 0))).toBe('closed');
  });

  it('changing an index that the host keeps changes nothing', () => {
    channel.setWord(channel.sendControl, 1, 64);
    channel.setWord(channel.receiveControl, 0, 64);
    channel.setWord(channel.receiveControl, 1, 0);
    expect([...echo.open_][0]?.send({ kind: 'in-band', transactionId: 1n }, bytes(8, 0))).toBe('sent');
    expect(channel.word(channel.receiveControl, 0)).toBe(32);
    expect(stateOf()).toBe('open');
  });
});

describe('saving and restoring', () => {
  const restored = (saved: unknown, devices: readonly EchoDevice[]): VmBus => {
    const bus = machine.newBus();
    for (const device of devices) bus.offer(device);
    bus.restore(JSON.parse(JSON.stringify(saved)));
    guest.bus = bus;
    return bus;
  };

  it('goes on where it was: rings, lists, messages and the id that comes next', () => {
    for (let round = 0; round < 5; round++) channel.send(bytes(200, round));
    channel.receive(3);
    const pages = machine.allocate(70);
    const [header, ...bodies] = guest.gpadlMessages(1, 0x77, pages);
    guest.post(header as Uint8Array);
    const saved = machine.bus.save();
    const device = new EchoDevice();
    const bus = restored(saved, [device]);
    expect(device.restored).toEqual({ version: 1, name: 'echo' });
    expect(bus.save()).toEqual({ ...saved, devices: { echo: { version: 1, name: 'echo' } } });
    expect(channel.receive()).toHaveLength(2);
    channel.send(bytes(8, 77));
    expect(channel.receive()[0]?.data).toEqual(bytes(8, 77));
    for (const body of bodies) guest.post(body);
    expect(guest.wait(10).getUint32(16, true)).toBe(0);
    expect([...device.open_][0]?.gpadl(0x77)?.length).toBe(70 * 4096);
    channel.close();
    guest.unload();
  });

  it('reads what the guest wrote while nobody was there', () => {
    echo.capacity = 0;
    channel.send(bytes(8, 1));
    const device = new EchoDevice();
    restored(machine.bus.save(), [device]);
    expect(channel.receive()).toHaveLength(1);
  });

  it('keeps messages that wait for a slot', () => {
    machine.host.slots.set(0, new Uint8Array(8));
    machine.bus.onGuestMessage(4, 1, Uint8Array.of(22, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0));
    const saved = machine.bus.save();
    expect(saved.messages).toHaveLength(1);
    machine.host.slots.clear();
    restored(saved, [new EchoDevice()]);
    expect(guest.wait(24).getUint32(12, true)).toBe(0);
  });

  it('withdraws a channel whose device is gone, and offers one that is new', () => {
    const other = new EchoDevice('other', { instance: 'aaaaaaaa-0000-0000-0000-00000000000f' });
    const bus = restored(machine.bus.save(), [other]);
    guest.post(Uint8Array.of(22, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0));
    expect(guest.rescinded).toEqual([1]);
    guest.releaseChannel(1);
    expect(bus.status().channels).toEqual([{ name: 'other', channelId: 2, state: 'offered' }]);
  });

  it('restores broken, rescinded and not yet open channels, and subchannels', () => {
    echo.subchannels = 1;
    channel.close();
    channel = guest.opened(1);
    guest.post(Uint8Array.of(22, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0));
    const second = guest.opened(guest.offerOf(ECHO_INTERFACE, 1).channelId);
    machine.bus.offer(new EchoDevice('gone', { instance: 'aaaaaaaa-0000-0000-0000-00000000000e' }));
    guest.post(Uint8Array.of(22, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0));
    machine.bus.rescind('gone');
    second.setWord(second.sendControl, 0, 12);
    second.signal();
    const device = new EchoDevice();
    const bus = restored(machine.bus.save(), [device]);
    expect(bus.status().channels.map(({ state }) => state)).toEqual(['open', 'broken', 'rescinded']);
    expect([...device.open_].map(({ subchannelIndex }) => subchannelIndex)).toEqual([0]);
    guest.releaseChannel(3);
    expect(bus.status().channels).toHaveLength(2);
  });

  it('goes on with lists that are not complete, and with those that a device still has', () => {
    const gpadlId = 0x77;
    const [header = new Uint8Array(0), ...bodies] = guest.gpadlMessages(1, gpadlId, machine.allocate(60));
    guest.post(header);
    echo.slow = true;
    const { gpadlId: kept } = guest.lend(1, machine.allocate(2));
    const teardown = new Uint8Array(16);
    new DataView(teardown.buffer).setUint32(0, 11, true);
    new DataView(teardown.buffer).setUint32(8, 1, true);
    new DataView(teardown.buffer).setUint32(12, kept, true);
    guest.post(teardown);
    const device = new EchoDevice();
    restored(machine.bus.save(), [device]);
    for (const body of bodies) guest.post(body);
    expect(guest.wait(10, { 12: gpadlId }).getUint32(16, true)).toBe(0);
    expect(guest.has(12)).toBe(false);
    [...device.open_][0]?.gpadlReleased(kept);
    expect(guest.wait(12).getUint32(8, true)).toBe(kept);
  });

  it('restores a guest that is not connected', () => {
    guest.unload();
    restored(machine.bus.save(), [new EchoDevice()]);
    expect(guest.boot()).toHaveLength(1);
  });

  it.each([
    ['a newer version', (saved: Record<string, unknown>) => Object.assign(saved, { version: 2 }), 'PL-4103'],
    ['no version', (saved: Record<string, unknown>) => Object.assign(saved, { version: null }), 'PL-4104'],
    [
      'a channel id that cannot be',
      (saved: Record<string, unknown>) => Object.assign(saved, { nextChannelId: 0 }),
      'PL-4104',
    ],
    ['no list of channels', (saved: Record<string, unknown>) => Object.assign(saved, { channels: 7 }), 'PL-4104'],
    [
      'an open channel without its ring',
      (saved: Record<string, unknown>) => Object.assign(saved, { gpadls: [] }),
      'PL-4104',
    ],
    ['no devices', (saved: Record<string, unknown>) => Object.assign(saved, { devices: 7, gpadls: [] }), 'PL-4104'],
    [
      'extents of a list that do not follow each other',
      (saved: Record<string, unknown>) => {
        const [gpadl] = saved.gpadls as { ranges: { start: number }[][] }[];
        for (const extent of gpadl?.ranges[0] ?? []) extent.start += 8;
        return saved;
      },
      'PL-4104',
    ],
    [
      'a list that is further than it can be',
      (saved: Record<string, unknown>) =>
        Object.assign(saved, {
          gpadls: [{ channelId: 1, gpadlId: 1, kind: 'receiving', bytes: '00', filled: 2, rangeCount: 1 }],
        }),
      'PL-4104',
    ],
    [
      'a ring that is not whole pages',
      (saved: Record<string, unknown>) => {
        const [gpadl] = saved.gpadls as { ranges: { bytes: number }[][] }[];
        for (const extent of gpadl?.ranges[0] ?? []) extent.bytes -= 8;
        return saved;
      },
      'PL-4104',
    ],
  ])('refuses %s by name', (_, change, code) => {
    const saved = JSON.parse(JSON.stringify(machine.bus.save())) as Record<string, unknown>;
    expect(() => restored(change(saved), [new EchoDevice()])).toThrow(code);
  });
});

describe('pipes', () => {
  it('carry messages of any length', () => {
    for (const length of [0, 1, 7, 8, 100]) {
      const message = bytes(length, 5);
      const padded = new Uint8Array(Math.ceil((length + 8) / 8) * 8);
      padded.set(wrapPipeMessage(message));
      expect(unwrapPipeMessage(padded)).toEqual(message);
    }
  });

  it.each([[[]], [[1, 0, 0, 0]], [[2, 0, 0, 0, 0, 0, 0, 0]], [[1, 0, 0, 0, 1, 0, 0, 0]]])('refuse %j', (data) => {
    expect(unwrapPipeMessage(Uint8Array.from(data))).toBeUndefined();
  });
});

describe('devices', () => {
  it('have names of their own', () => {
    expect(() => machine.bus.offer(new EchoDevice())).toThrow('echo');
    machine.bus.rescind('nobody');
  });

  it('show themselves', () => {
    expect(machine.bus.inspect()).toMatchObject({
      connection: { state: 'connected', version: '5.3', processor: 0, offersSent: true, gpadls: 1, lentPages: 8 },
      channels: { echo: { state: 'open', channelId: 1, targetProcessor: 0, toHost: { dataBytes: 12288 } } },
      devices: { echo: { open: 1 } },
    });
  });
});
