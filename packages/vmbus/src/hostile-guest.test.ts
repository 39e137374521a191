/**
 * A hostile guest against VMBus: nothing it does throws, reaches outside its memory or takes memory without bound; it loses
 * channels, each with an event that says why, and can always start again - also after the VM was saved and restored in the middle
 * of it. `npm run test:long` does 600,000 mutations here (and 400,000 more with the integration services), `npm test` some thousands
 * of the same kind. The seed stands in each test's name; PLINTH_TEST_SEED gives another first one.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { EchoDevice } from './testing/echo-device.ts';
import { firstSeed, HostileGuest } from './testing/hostile-guest.ts';
import { LinuxGuest } from './testing/linux-guest.ts';
import { TestMachine } from './testing/test-machine.ts';

const LONG = process.env.PLINTH_TEST_LONG === '1';
const SEEDS = LONG ? 60 : 6;
const MUTATIONS = LONG ? 10_000 : 800;

const instance = (index: number): string => `aaaaaaaa-0000-0000-0000-${index.toString(16).padStart(12, '0')}`;
const HOT = 'hot';

/** Four devices that are different in what they can do, and the one that comes and goes. */
function createDevices(machine: TestMachine, { random }: HostileGuest): EchoDevice[] {
  const devices = Array.from({ length: 4 }, (_, index) => {
    const device = new EchoDevice(`echo-${index}`, {
      instance: instance(index),
      monitorLatency: index === 1 ? 100 : 0,
    });
    device.subchannels = index === 2 ? 2 : 0;
    return device;
  });
  // The slow device lets go some time later.
  const [, , , slow] = devices;
  if (slow !== undefined) {
    const close = slow.close.bind(slow);
    slow.close = (channel) => {
      close(channel);
      machine.host.defer(() => channel.closed());
      return random.chance(2) ? 'closed' : 'closing';
    };
    slow.gpadlTeardown = () => 'released';
  }
  return devices;
}

/** What the host does in the meantime. @returns the devices from now on, which are others after a restore */
function hostStep(machine: TestMachine, hostile: HostileGuest, devices: EchoDevice[]): EchoDevice[] {
  const { random } = hostile;
  const isHot = (): boolean => machine.bus.status().channels.some(({ name }) => name === HOT);
  switch (random.below(40)) {
    case 0:
      machine.bus.rescind(HOT);
      break;
    case 1:
      if (!isHot()) machine.bus.offer(new EchoDevice(HOT, { instance: instance(77) }));
      break;
    case 2:
      machine.bus.pollMonitors();
      break;
    case 3:
      if (random.chance(10)) machine.bus.reset();
      break;
    case 4: {
      // What cannot be saved is refused in words; it can be a moment later.
      const { channels } = machine.bus.status();
      if (channels.some(({ state }) => state === 'closing')) {
        expect(() => machine.bus.save()).toThrow('PL-3101');
        break;
      }
      const { version } = machine.bus.status();
      const saved = Object.keys(machine.bus.save().devices);
      const others = createDevices(machine, hostile);
      hostile.guest.bus = machine.saveAndRestore((bus) => {
        for (const device of others) bus.offer(device);
        if (saved.includes(HOT)) bus.offer(new EchoDevice(HOT, { instance: instance(77) }));
      });
      expect(machine.bus.status().version).toBe(version);
      return others;
    }
    default:
  }
  return devices;
}

const seen = { connections: new Set<string>(), channels: new Set<string>() };
let restores = 0;

describe('a hostile guest', () => {
  it.each(Array.from({ length: SEEDS }, (_, index) => firstSeed() + index))('of seed %i gets nowhere', (seed) => {
    const machine = new TestMachine({ ramBytes: 4 * 2 ** 20 });
    const hostile = new HostileGuest(machine, seed);
    let devices = createDevices(machine, hostile);
    for (const device of devices) machine.bus.offer(device);
    let checked = 0;
    let buses = 1;
    while (hostile.mutations < MUTATIONS) {
      hostile.step();
      const { connection, waitingMessages } = machine.bus.inspect() as {
        connection: { state: string; gpadls?: number; lentPages?: number };
        waitingMessages: number;
      };
      seen.connections.add(connection.state);
      for (const { state } of machine.bus.status().channels) seen.channels.add(state);
      const before = devices;
      devices = hostStep(machine, hostile, devices);
      if (devices !== before) buses++;
      if (hostile.mutations - checked < 500) continue;
      checked = hostile.mutations;
      expect(connection.gpadls ?? 0).toBeLessThanOrEqual(16_384);
      expect(connection.lentPages ?? 0).toBeLessThanOrEqual(262_144);
      expect(waitingMessages).toBeLessThanOrEqual(4096 + 64);
      expect(machine.bus.status().channels.length).toBeLessThan(64);
    }
    restores += buses - 1;
    expect(machine.host.events.length).toBeLessThanOrEqual(256 * buses);
    expect(machine.host.events.every(({ text }) => text.length > 10)).toBe(true);
    // Whatever it did: a kernel that boots now finds everything in order.
    machine.host.enabled = true;
    machine.host.slots.clear();
    machine.bus.reset();
    machine.host.settle();
    machine.bus.reset();
    for (const device of devices) expect(device.open_.size).toBe(0);
    const guest = new LinuxGuest(machine);
    expect(guest.boot().length).toBeGreaterThanOrEqual(4);
    const channel = guest.opened([...guest.offers.keys()][0] ?? 0);
    channel.send(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(channel.receive()).toHaveLength(1);
  });

  afterAll(() => {
    // In every state that lasts from one message to the next.
    expect([...seen.connections].sort()).toEqual(['connected', 'disconnected', 'disconnecting']);
    expect([...seen.channels].sort()).toEqual(['broken', 'closing', 'offered', 'open', 'rescinded', 'unoffered']);
    expect(restores).toBeGreaterThan(SEEDS);
  });
});
