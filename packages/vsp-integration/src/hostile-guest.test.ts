/**
 * A hostile guest against the integration services: answers that are wrong in every way, late, or none. Each request of the host
 * still ends, with an answer or with a PlinthError, also where a service is switched off meanwhile, or the VM is saved and restored.
 * `npm run test:long` does 400,000 mutations here (and 600,000 in vmbus). The seed stands in each test's name; PLINTH_TEST_SEED gives
 * another first one.
 */
import { PlinthError } from '@plinth/errors';
import type { VmBus } from '@plinth/vmbus';
import { firstSeed, HostileGuest, LinuxGuest, TestMachine } from '@plinth/vmbus/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { IntegrationServices, SERVICE_NAMES } from './integration-services.ts';
import { LinuxUtils } from './testing/linux-utils.ts';

const LONG = process.env.PLINTH_TEST_LONG === '1';
const SEEDS = LONG ? 40 : 4;
const MUTATIONS = LONG ? 10_000 : 800;

const microtasks = async (): Promise<void> => {
  for (let count = 0; count < 8; count++) await Promise.resolve();
};

const seen = new Set<string>();
let restores = 0;

describe('a hostile guest', () => {
  it.each(Array.from({ length: SEEDS }, (_, index) => firstSeed(1000) + index))(
    'of seed %i gets nowhere',
    async (seed) => {
      const machine = new TestMachine({ ramBytes: 4 * 2 ** 20 });
      let now = 0;
      const clock = {
        milliseconds: () => now,
        utc: () => 133_000_000_000_000_000n + BigInt(now) * 10_000n,
        referenceTime: () => BigInt(now) * 10_000n,
      };
      const create = (bus: VmBus): IntegrationServices =>
        new IntegrationServices({ bus, clock, hostItems: { HostName: 'host' } });
      let services = create(machine.bus);
      const hostile = new HostileGuest(machine, seed);
      const { random } = hostile;
      const unexpected: unknown[] = [];
      let pending = 0;
      const started = new Map<string, number>();
      const start = (name: string, work: () => Promise<unknown>): void => {
        if (pending >= 8) return;
        pending++;
        started.set(name, (started.get(name) ?? 0) + 1);
        work().then(
          () => pending--,
          (error: unknown) => {
            pending--;
            if (!(error instanceof PlinthError)) unexpected.push(error);
          },
        );
      };
      const source = { size: 9000, read: (_: number, length: number) => new Uint8Array(length) };
      const settings = { dhcp: false, addresses: ['10.0.0.1'], subnets: ['255.0.0.0'], gateways: [], dnsServers: [] };
      const requests: readonly (() => void)[] = [
        () => start('shutdown', () => services.shutdown.shutDown(random.chance(2) ? 'power-off' : 'reboot')),
        () => start('get', () => services.kvp.get('guest', 'key')),
        () => start('set', () => services.kvp.set('external', 'key', 'value')),
        () => start('delete', () => services.kvp.delete('external', 'key')),
        () => start('list', () => services.kvp.list('auto')),
        () => start('addresses', () => services.kvp.getAddresses('00155d010203')),
        () => start('set addresses', () => services.kvp.setAddresses('a9a0f4e7-5a45-4d96-b827-8a841e8c03e6', settings)),
        () => start('check', () => services.vss.checkHotBackup()),
        () => start('freeze', () => services.vss.freeze(random.below(20_000))),
        () => start('thaw', () => services.vss.thaw()),
        () => start('copy', () => services.fileCopy.copy(source, { fileName: 'a', folder: '/t' })),
        () => services.resumed(),
      ];
      const saveAndRestore = (): void => {
        if (machine.bus.status().channels.some(({ state }) => state === 'closing')) return;
        const off = services.status().filter(({ condition }) => condition === 'disabled');
        hostile.guest.bus = machine.saveAndRestore((bus) => {
          services = create(bus);
          for (const name of SERVICE_NAMES) services.enable(name, !off.some((status) => status.name === name));
        });
        restores++;
      };
      let steps = 0;
      while (hostile.mutations < MUTATIONS) {
        steps++;
        if (random.chance(3)) hostile.step();
        // Mostly answers: they carry a response's flags, and sometimes a status of their own.
        hostile.mutateAnswer((data) => {
          if (data.length < 28) return;
          data[25] = 5;
          if (data[12] === 0 && random.chance(2)) {
            // An agreement: on the last version most of the time, or on an older one.
            const messages = data[30] ?? 1;
            const chosen = random.chance(4) ? random.below(messages) : messages - 1;
            data.copyWithin(36, 40, 44);
            data.copyWithin(40, 44 + chosen * 4, 48 + chosen * 4);
            data.set([1, 0, 1, 0], 28);
          } else if (random.chance(4)) data.set([3, 1, 7, 0x80], 20);
          if (data[12] === 1) data[28] = ((data[28] ?? 0) + 1) & 0xff;
        });
        if (random.chance(2)) random.pick(requests)?.();
        if (random.chance(100)) saveAndRestore();
        if (random.chance(60)) services.enable(random.pick(SERVICE_NAMES) ?? 'kvp', random.chance(2));
        now += random.chance(200) ? 50_000 : 300;
        if (random.chance(4)) services.tick();
        await microtasks();
        for (const { condition } of services.status()) seen.add(condition);
      }
      expect(unexpected).toEqual([]);
      expect(started.size).toBe(requests.length - 1);
      expect(services.status().every(({ text }) => text.length > 3)).toBe(true);
      expect(steps).toBeGreaterThan(0);
      // A guest that goes ends every request, and one that boots in order finds every service.
      for (const name of SERVICE_NAMES) services.enable(name, true);
      machine.host.enabled = true;
      machine.host.slots.clear();
      machine.bus.reset();
      await microtasks();
      await microtasks();
      expect(pending).toBe(0);
      const guest = new LinuxGuest(machine);
      guest.boot();
      const utils = new LinuxUtils(guest);
      utils.load();
      for (let round = 0; round < 50; round++) {
        utils.run();
        await microtasks();
      }
      expect(services.status().map(({ condition }) => condition)).toEqual(new Array(6).fill('working'));
    },
  );

  afterAll(() => {
    expect([...seen].sort()).toEqual([
      'disabled',
      'incompatible',
      'negotiating',
      'no-contact',
      'older-version',
      'working',
    ]);
    expect(restores).toBeGreaterThan(SEEDS);
  });
});
