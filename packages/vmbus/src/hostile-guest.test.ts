/**
 * A hostile guest against VMBus: nothing it does throws, reaches outside its memory or takes memory without bound; it loses
 * channels, each with an event that says why, and can always start again. `npm run test:long` does 600,000 mutations here (and
 * 400,000 more with the integration services), `npm test` some thousands of the same kind.
 */
import { describe, expect, it } from 'vitest';
import type { SavedVmbus } from './state.ts';
import { EchoDevice } from './testing/echo-device.ts';
import { HostileGuest } from './testing/hostile-guest.ts';
import { LinuxGuest } from './testing/linux-guest.ts';
import { TestMachine } from './testing/test-machine.ts';
import { VmBus } from './vmbus.ts';

const LONG = process.env.PLINTH_TEST_LONG === '1';
const SEEDS = LONG ? 60 : 6;
const MUTATIONS = LONG ? 10_000 : 800;

const instance = (index: number): string => `aaaaaaaa-0000-0000-0000-${index.toString(16).padStart(12, '0')}`;

function addDevices(machine: TestMachine, hostile: HostileGuest): EchoDevice[] {
  const devices = Array.from({ length: 4 }, (_, index) => {
    const device = new EchoDevice(`echo-${index}`, {
      instance: instance(index),
      monitorLatency: index === 1 ? 100 : 0,
    });
    device.subchannels = index === 2 ? 2 : 0;
    device.slow = index === 3;
    machine.bus.offer(device);
    return device;
  });
  // The slow device lets go some time later.
  const slow = devices[3];
  const close = slow?.close.bind(slow);
  if (slow !== undefined && close !== undefined) {
    slow.close = (channel) => {
      const answer = close(channel);
      machine.host.defer(() => channel.closed());
      return hostile.random.chance(2) ? answer : 'closing';
    };
    slow.gpadlTeardown = () => 'released';
  }
  return devices;
}

/** What the host does in the meantime. */
function hostStep(machine: TestMachine, hostile: HostileGuest): void {
  const { random } = hostile;
  switch (random.below(40)) {
    case 0:
      machine.bus.rescind('hot');
      break;
    case 1:
      if (!machine.bus.status().channels.some(({ name }) => name === 'hot')) {
        machine.bus.offer(new EchoDevice('hot', { instance: instance(77) }));
      }
      break;
    case 2:
      machine.bus.pollMonitors();
      break;
    case 3:
      if (random.chance(10)) machine.bus.reset();
      break;
    default:
  }
}

/** In every state that can be saved, what is saved can be restored. */
function restoreElsewhere(machine: TestMachine): void {
  if (machine.bus.status().channels.some(({ state }) => state === 'closing')) return;
  const saved = JSON.parse(JSON.stringify(machine.bus.save())) as SavedVmbus;
  const { memory, processors } = machine;
  // Nobody hears this bus: the guest goes on with the one that it has.
  const deaf = { signalEvent: () => {}, signalPort: () => {}, defer: () => {}, report: () => {} };
  const other = new VmBus({ memory, processors, host: { ...deaf, postMessage: () => 'pending' } });
  for (const name of Object.keys(saved.devices)) {
    other.offer(new EchoDevice(name, { instance: instance(name === 'hot' ? 77 : Number(name.at(-1))) }));
  }
  other.restore(saved);
  expect(other.status().version).toBe(machine.bus.status().version);
}

describe('a hostile guest', () => {
  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))('of seed %i gets nowhere', (seed) => {
    const machine = new TestMachine({ ramBytes: 4 * 2 ** 20 });
    const hostile = new HostileGuest(machine, seed);
    const devices = addDevices(machine, hostile);
    while (hostile.mutations < MUTATIONS) {
      hostile.step();
      hostStep(machine, hostile);
      if (hostile.mutations % 500 === 0) {
        const { connection, waitingMessages } = machine.bus.inspect() as {
          connection: { gpadls?: number; lentPages?: number };
          waitingMessages: number;
        };
        expect(connection.gpadls ?? 0).toBeLessThanOrEqual(16_384);
        expect(connection.lentPages ?? 0).toBeLessThanOrEqual(262_144);
        expect(waitingMessages).toBeLessThanOrEqual(4096 + 64);
        expect(machine.bus.status().channels.length).toBeLessThan(64);
        restoreElsewhere(machine);
      }
    }
    expect(machine.host.events.length).toBeLessThanOrEqual(256);
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
});
