/** Each integration service against a guest that behaves as Linux's hv_utils and daemons: what works, what does not, in words. */
import { type GuestChannel, LinuxGuest, TestMachine } from '@plinth/vmbus/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ServiceClock } from './framework/service.ts';
import { findServiceName, IntegrationServices, SERVICE_NAMES } from './integration-services.ts';
import { LinuxUtils } from './testing/linux-utils.ts';

class HandClock implements ServiceClock {
  now = 1_000_000;
  /** Of the wall clock against the other. */
  shift = 0;
  milliseconds(): number {
    return this.now;
  }
  utc(): bigint {
    return 133_000_000_000_000_000n + BigInt(this.now + this.shift) * 10_000n;
  }
  referenceTime(): bigint {
    return BigInt(this.now) * 10_000n;
  }
}

let clock: HandClock;
let machine: TestMachine;
let guest: LinuxGuest;
let utils: LinuxUtils;
let services: IntegrationServices;

beforeEach(() => {
  clock = new HandClock();
  machine = new TestMachine();
  guest = new LinuxGuest(machine);
  utils = new LinuxUtils(guest);
  services = new IntegrationServices({
    bus: machine.bus,
    clock,
    hostItems: { HostName: 'host', VirtualMachineName: 'vm' },
  });
  guest.boot();
});

/** Lets the guest's drivers and the host's promises go on until both are still. */
async function settle(): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (utils.run()) quiet = 0;
  }
}
async function during<T>(work: Promise<T>): Promise<T> {
  // Whoever waits for it looks at it later; until then a failure is not forgotten, only not yet seen.
  work.catch(() => {});
  await settle();
  return work;
}
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    clock.now += 1000;
    services.tick();
    await settle();
  }
}
const statusOf = (name: string) => services.status().find((status) => status.name === name);
const ready = async (...names: string[]): Promise<void> => {
  utils.load(...names);
  await settle();
};

describe('versions', () => {
  it('are those that Linux 6.1 and Hyper-V agree on', async () => {
    await ready();
    expect(services.status().map(({ name, version, condition }) => [name, version, condition])).toEqual([
      ['shutdown', '3.2', 'working'],
      ['time-sync', '4.0', 'working'],
      ['heartbeat', '3.0', 'working'],
      ['kvp', '4.0', 'working'],
      ['vss', '5.0', 'working'],
      ['file-copy', '1.1', 'working'],
    ]);
    expect(machine.host.warnings()).toEqual([]);
  });

  it('may be older in the guest, and then the status says so', async () => {
    utils.versions.shutdown = [0x30000];
    await ready('shutdown');
    expect(statusOf('shutdown')).toMatchObject({
      condition: 'older-version',
      version: '3.0',
      text: 'Works with version 3.0; this host has 3.2',
      operationalStatus: [3, 32775],
    });
    await during(services.shutdown.shutDown('power-off'));
  });

  it('may be none that both have', async () => {
    utils.versions.heartbeat = [0x90000];
    await ready('heartbeat');
    expect(statusOf('heartbeat')).toMatchObject({ condition: 'incompatible', version: null });
    expect(statusOf('heartbeat')?.text).toMatch(/1\.0, 3\.0/);
    await pass(5);
    expect(services.heartbeat.heartbeat).toBe('no-contact');
  });
});

describe('status', () => {
  it('of a guest without drivers names what is missing', () => {
    expect(statusOf('kvp')).toMatchObject({ condition: 'no-contact', version: null, operationalStatus: [12] });
    expect(statusOf('kvp')?.remedy).toMatch(/hyperv-daemons/);
    expect(statusOf('shutdown')?.remedy).toMatch(/hv_utils/);
  });

  it('of a guest whose daemon does not run is negotiating, and after a minute without contact', async () => {
    utils.daemons.kvp = false;
    await ready('kvp');
    expect(statusOf('kvp')).toMatchObject({ condition: 'negotiating', remedy: null });
    await pass(61);
    expect(statusOf('kvp')).toMatchObject({
      condition: 'no-contact',
      text: 'The guest has the driver, but nothing in it answers',
    });
    utils.daemons.kvp = true;
    await settle();
    expect(statusOf('kvp')?.condition).toBe('working');
  });

  it('of a guest that hangs is lost, fails whoever waits, and recovers', async () => {
    await ready('shutdown', 'heartbeat');
    expect(services.heartbeat.heartbeat).toBe('ok');
    utils.alive = false;
    const asked = services.shutdown.shutDown('reboot');
    const waiting = services.shutdown.shutDown('power-off');
    waiting.catch(() => {});
    const failure = expect(asked).rejects.toMatchObject({ code: 'PL-3201' });
    await pass(31);
    await failure;
    await expect(waiting).rejects.toMatchObject({ code: 'PL-3201' });
    expect(statusOf('shutdown')).toMatchObject({ condition: 'no-contact', text: 'The guest has stopped answering' });
    expect(services.heartbeat.heartbeat).toBe('lost');
    await expect(services.shutdown.shutDown('reboot')).rejects.toThrow(/stopped answering/);
    utils.alive = true;
    await pass(3);
    expect(services.heartbeat.heartbeat).toBe('ok');
    expect(statusOf('shutdown')?.condition).toBe('working');
    // Only the one request that lay in the ring reached the guest.
    expect(utils.log.filter((line) => line.startsWith('shutdown flags'))).toHaveLength(1);
  });

  it('of a service that is switched off says so, and the guest loses the device', async () => {
    await ready();
    services.enable('kvp', false);
    services.enable('kvp', false);
    expect(statusOf('kvp')).toMatchObject({
      condition: 'disabled',
      text: 'It is switched off for this VM',
      operationalStatus: [10],
    });
    guest.post(new Uint8Array(8).fill(0));
    const channel = utils.channels.get('kvp') as GuestChannel;
    expect(guest.rescinded).toEqual([channel.offer.channelId]);
    utils.channels.delete('kvp');
    guest.releaseChannel(channel.offer.channelId);
    services.enable('kvp', true);
    services.enable('kvp', true);
    guest.post(new Uint8Array(8).fill(0));
    await ready('kvp');
    expect(statusOf('kvp')?.condition).toBe('working');
  });

  it.each([
    ['file-copy', 'file-copy'],
    ['Guest Service Interface', 'file-copy'],
    ['guest service interface', 'file-copy'],
    ['Key-Value Pair Exchange', 'kvp'],
    ['VSS', 'vss'],
    ['telepathy', undefined],
  ])('%s is the service %s', (text, service) => {
    expect(findServiceName(text)).toBe(service);
  });

  it('of a service that is switched off while it is asked tells whoever waits', async () => {
    await ready();
    utils.alive = false;
    const [asked, waiting] = [services.kvp.list('guest'), services.kvp.list('auto')];
    services.enable('kvp', false);
    for (const refused of [asked, waiting, services.kvp.list('guest')]) {
      await expect(refused).rejects.toThrow(/PL-3201: .*switched off for this VM\. Try: plinth vm enable vm kvp/);
    }
    services.enable('heartbeat', false);
    expect(services.heartbeat.heartbeat).toBe('disabled');
  });

  it('of services that are off from the beginning', () => {
    const other = new TestMachine();
    const some = new IntegrationServices({ bus: other.bus, clock, disabled: ['file-copy', 'vss'] });
    expect(new LinuxGuest(other).boot()).toHaveLength(SERVICE_NAMES.length - 2);
    expect(some.inspect()).toMatchObject({ vss: { condition: 'disabled' }, kvp: { condition: 'no-contact' } });
  });
});

describe('shutdown', () => {
  it.each([
    ['power-off', false, 0],
    ['power-off', true, 1],
    ['reboot', false, 2],
    ['hibernate', false, 4],
  ] as const)('%s (force %s) asks with flags %i', async (kind, force, flags) => {
    await ready('shutdown');
    await during(services.shutdown.shutDown(kind, { force, text: 'maintenance' }));
    expect(utils.log).toContain(`shutdown flags ${flags}: maintenance`);
  });

  it('tells why a guest refuses', async () => {
    await ready('shutdown');
    utils.shutdownStatus = 0x800704f7;
    await expect(during(services.shutdown.shutDown('power-off'))).rejects.toThrow(/did not power off.*locked.*--force/);
    utils.shutdownStatus = 0x80004005;
    await expect(during(services.shutdown.shutDown('hibernate'))).rejects.toThrow(/0x80004005/);
  });

  it('cannot be asked before the driver is there, nor after it left', async () => {
    await expect(services.shutdown.shutDown('power-off')).rejects.toMatchObject({ code: 'PL-3201' });
    await ready('shutdown');
    const asked = services.shutdown.shutDown('power-off', { text: 'x'.repeat(5000) });
    utils.unload('shutdown');
    await expect(asked).rejects.toMatchObject({ code: 'PL-3201' });
  });
});

describe('time synchronization', () => {
  it('sets the clock at the start, then sends samples, and sets it again after a pause', async () => {
    await ready('time-sync');
    expect(utils.times).toEqual([{ host: clock.utc(), reference: clock.referenceTime(), flags: 1 }]);
    await pass(20);
    expect(utils.times.slice(1).map(({ flags }) => flags)).toEqual([2, 2, 2, 2]);
    for (const { host, reference } of utils.times) expect(host - reference).toBe(clock.utc() - clock.referenceTime());
    services.resumed();
    await settle();
    expect(utils.times.at(-1)?.flags).toBe(1);
  });

  it('notices that the wall clock was set, or that the host slept', async () => {
    await ready('time-sync');
    await pass(3);
    clock.shift = 3_600_000;
    await pass(1);
    expect(utils.times.at(-1)).toMatchObject({ flags: 1, host: clock.utc() });
  });

  it('sends a setting that was wanted while another message was under way right after it', async () => {
    await ready('time-sync');
    utils.alive = false;
    await pass(6);
    services.resumed();
    utils.alive = true;
    await settle();
    expect(utils.times.map(({ flags }) => flags)).toEqual([1, 2, 1]);
  });

  it('sends the older message to an older guest', async () => {
    utils.versions['time-sync'] = [0x30000];
    await ready('time-sync');
    expect(utils.times).toEqual([{ host: clock.utc(), reference: 0n, flags: 1 }]);
  });
});

describe('heartbeat', () => {
  it('beats every two seconds', async () => {
    await ready('heartbeat');
    await pass(10);
    expect(machine.bus.inspect().devices).toMatchObject({ heartbeat: { heartbeat: 'ok', beats: 6, wrongAnswers: 0 } });
    utils.unload('heartbeat');
    expect(services.heartbeat.heartbeat).toBe('no-contact');
  });

  it('counts an answer that is none', async () => {
    utils.load('heartbeat');
    utils.run();
    const channel = utils.channels.get('heartbeat') as GuestChannel;
    const [packet] = channel.receive();
    const data = packet?.data ?? new Uint8Array(0);
    data[25] = 5;
    channel.send(data);
    expect(services.heartbeat.heartbeat).toBe('no-contact');
    expect(machine.bus.inspect().devices).toMatchObject({ heartbeat: { beats: 0, wrongAnswers: 1 } });
  });

  it.each([
    [1, 'ok-healthy'],
    [2, 'applications-critical'],
    [77, 'ok'],
  ])('tells how the applications are (%i)', async (state, shown) => {
    utils.load('heartbeat');
    utils.run();
    const channel = utils.channels.get('heartbeat') as GuestChannel;
    const data = channel.receive()[0]?.data ?? new Uint8Array(0);
    data[25] = 5;
    data[28] = (data[28] ?? 0) + 1;
    data[36] = state;
    channel.send(data);
    expect(services.heartbeat.heartbeat).toBe(shown);
  });
});

describe('key-value pairs', () => {
  it('are stored, read, listed and deleted in every pool', async () => {
    await ready('kvp');
    for (const pool of ['external', 'guest', 'auto-internal'] as const) {
      await during(services.kvp.set(pool, 'Küche', 'Œuvre 日本'));
      await during(services.kvp.set(pool, 'second', ''));
      expect(await during(services.kvp.get(pool, 'Küche'))).toBe('Œuvre 日本');
      expect(await during(services.kvp.list(pool))).toEqual([
        { key: 'Küche', value: 'Œuvre 日本' },
        { key: 'second', value: '' },
      ]);
      expect(await during(services.kvp.delete(pool, 'second'))).toBe(true);
      expect(await during(services.kvp.delete(pool, 'second'))).toBe(false);
      expect(await during(services.kvp.get(pool, 'second'))).toBeUndefined();
    }
  });

  it('tell the guest of its host, and the host of its guest', async () => {
    utils.pools[2]
      ?.set('OSName', 'Debian GNU/Linux')
      .set('NetworkAddressIPv4', '10.0.0.5;192.168.1.2')
      .set('NetworkAddressIPv6', 'fe80::1');
    await ready('kvp');
    expect(Object.fromEntries(utils.pools[3] ?? [])).toEqual({ HostName: 'host', VirtualMachineName: 'vm' });
    expect(services.kvp.guestItems.get('OSName')).toBe('Debian GNU/Linux');
    expect(services.kvp.addresses).toEqual(['10.0.0.5', '192.168.1.2', 'fe80::1']);
    utils.pools[2]?.set('OSName', 'Debian 13');
    await pass(31);
    expect(machine.bus.inspect().devices).toMatchObject({ kvp: { guestItems: { OSName: 'Debian 13' } } });
    utils.unload('kvp');
    expect(services.kvp.addresses).toEqual([]);
  });

  it('read and set the addresses of an adapter', async () => {
    await ready('kvp');
    expect(await during(services.kvp.getAddresses('00155d010203'))).toEqual({
      dhcp: true,
      addresses: ['10.0.0.5', 'fe80::1'],
      subnets: ['255.255.255.0', '64'],
      gateways: ['10.0.0.1'],
      dnsServers: ['10.0.0.2'],
    });
    await expect(during(services.kvp.getAddresses('00:15:5d:ff:ff:ff'))).rejects.toThrow(/PL-3202.*00:15:5d:ff:ff:ff/);
    const settings = {
      dhcp: false,
      addresses: ['10.0.0.9', 'fd00::9'],
      subnets: ['255.0.0.0', '64'],
      gateways: [],
      dnsServers: ['1.1.1.1'],
    };
    await during(services.kvp.setAddresses('F8615163-DF3E-46C5-913F-F2D2F965ED0E', settings));
    expect(utils.setAddresses).toEqual({ dhcp: 0, family: 3, addresses: '10.0.0.9;fd00::9', dns: '1.1.1.1' });
    await during(
      services.kvp.setAddresses('f8615163-df3e-46c5-913f-f2d2f965ed0e', { ...settings, dhcp: true, addresses: [] }),
    );
    expect(utils.setAddresses).toMatchObject({ dhcp: 1, family: 1 });
    // Linux's daemon knows an adapter that it is to set by its device, not by its hardware address.
    await expect(during(services.kvp.setAddresses('00155d010203', settings))).rejects.toThrow(/PL-3202/);
  });

  it('that are too long are refused before the guest sees them', async () => {
    await ready('kvp');
    await expect(services.kvp.set('external', 'k'.repeat(256), 'v')).rejects.toThrow(/PL-3203.*kkk\.\.\./);
    await expect(services.kvp.set('external', 'k', 'v'.repeat(1024))).rejects.toMatchObject({ code: 'PL-3203' });
    await expect(services.kvp.delete('external', 'k'.repeat(300))).rejects.toMatchObject({ code: 'PL-3203' });
    await expect(
      services.kvp.setAddresses('0', {
        dhcp: false,
        addresses: ['x'.repeat(1024)],
        subnets: [],
        gateways: [],
        dnsServers: [],
      }),
    ).rejects.toMatchObject({ code: 'PL-3203' });
    await during(services.kvp.set('external', 'k'.repeat(255), 'v'.repeat(1023)));
    expect(await during(services.kvp.get('external', 'k'.repeat(255)))).toBe('v'.repeat(1023));
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['store', () => services.kvp.set('external', 'a', 'b'), /PL-3202.*store the value of a/],
    ['delete', () => services.kvp.delete('external', 'a'), /PL-3202.*delete a/],
    ['list', () => services.kvp.list('external'), /PL-3202.*list its pairs/],
  ])('that a guest cannot %s end in words', async (_, act, message) => {
    await ready('kvp');
    utils.kvpStatus = 0x80070057;
    await expect(during(act())).rejects.toThrow(message);
    expect(services.kvp.isIdle).toBe(true);
  });

  it('are not asked for while an earlier look is not done, and a pair that makes no sense is left out', async () => {
    utils.pools[2]?.set('OSName', 'x');
    await ready('kvp');
    utils.alive = false;
    await pass(31);
    await pass(2);
    utils.alive = true;
    await settle();
    expect(services.kvp.guestItems.get('OSName')).toBe('x');
    // REG_BINARY, which has no text.
    utils.valueType = 3;
    expect(await during(services.kvp.list('auto'))).toEqual([]);
  });

  it('of a guest that never stops listing end all the same', async () => {
    utils.pools[1] = new Map(Array.from({ length: 2000 }, (_, index) => [`k${index}`, 'v']));
    await ready('kvp');
    expect(await during(services.kvp.list('guest'))).toHaveLength(1024);
  });
});

describe('backup', () => {
  it('freezes and thaws', async () => {
    await ready('vss');
    expect(await during(services.vss.checkHotBackup())).toBe(5);
    await during(services.vss.freeze());
    expect(services.vss.freezeState.kind).toBe('frozen');
    await expect(services.vss.freeze()).rejects.toThrow(/They are frozen/);
    await during(services.vss.thaw());
    expect(services.vss.freezeState).toEqual({ kind: 'thawed' });
    await during(services.vss.thaw());
    expect(utils.log.filter((line) => line.startsWith('vss '))).toEqual([
      'vss IC version 5.0',
      'vss 2 of 36 bytes',
      'vss 5 of 6260 bytes',
      'vss 6 of 36 bytes',
    ]);
  });

  it('does not leave a guest frozen for ever', async () => {
    await ready('vss');
    await during(services.vss.freeze(5_000));
    utils.vssStatus = 0x80004005;
    await pass(6);
    expect(services.vss.freezeState.kind).toBe('frozen');
    utils.vssStatus = 0;
    await pass(6);
    expect(services.vss.freezeState.kind).toBe('thawed');
    expect(machine.bus.inspect().devices).toMatchObject({ vss: { fileSystems: 'thawed', thawedByLimit: 2 } });
  });

  it('fails in words without the daemon, and stays thawed', async () => {
    utils.daemons.vss = false;
    await ready('vss');
    await expect(during(services.vss.freeze())).rejects.toThrow(/did not freeze its file systems/);
    await expect(during(services.vss.checkHotBackup())).rejects.toThrow(/PL-3202/);
    expect(services.vss.freezeState.kind).toBe('thawed');
  });

  it('keeps a guest frozen that could not be thawed, until its channel goes', async () => {
    await ready('vss');
    await during(services.vss.freeze());
    utils.vssStatus = 0x80004005;
    await expect(during(services.vss.thaw())).rejects.toThrow(/let its file systems go/);
    expect(services.vss.freezeState.kind).toBe('frozen');
    utils.unload('vss');
    expect(services.vss.freezeState.kind).toBe('thawed');
  });

  it('cannot freeze a guest that only has 4.0', async () => {
    utils.versions.vss = [0x40000];
    await ready('vss');
    await expect(services.vss.freeze()).rejects.toThrow(/does not know this request/);
  });
});

describe('file copy', () => {
  const content = Uint8Array.from({ length: 40_000 }, (_, at) => (at * 31) & 0xff);
  const source = {
    size: content.length,
    read: (offset: number, length: number) => content.slice(offset, offset + length),
  };

  it.each([
    ["6.1's daemon", false],
    ["6.12's daemon, which reads one packet for each signal", true],
  ])('brings a file to %s', async (_, uio) => {
    utils.uio = uio;
    await ready('file-copy');
    const progress: number[] = [];
    await during(
      services.fileCopy.copy(source, {
        fileName: 'päck.bin',
        folder: '/var/tmp',
        createFolder: true,
        progress: (copied) => progress.push(copied),
      }),
    );
    expect(utils.files.get('/var/tmp/päck.bin')).toEqual(content);
    expect(progress).toEqual([6144, 12288, 18432, 24576, 30720, 36864, 40000]);
    expect(services.fileCopy.copyState).toEqual({ kind: 'idle' });
  });

  it('brings an empty file, and one at a time', async () => {
    await ready('file-copy');
    const first = services.fileCopy.copy({ size: 0, read: () => new Uint8Array(0) }, { fileName: 'a', folder: '/' });
    await expect(services.fileCopy.copy(source, { fileName: 'b', folder: '/' })).rejects.toThrow(/a is being copied/);
    expect(machine.bus.inspect().devices).toMatchObject({ 'file-copy': { copying: { name: 'a' } } });
    await during(first);
    expect(utils.files.get('/a')).toEqual(new Uint8Array(0));
  });

  it('replaces a file only when told to', async () => {
    await ready('file-copy');
    await during(services.fileCopy.copy(source, { fileName: 'a', folder: '/t' }));
    await expect(during(services.fileCopy.copy(source, { fileName: 'a', folder: '/t' }))).rejects.toThrow(
      /file of that name.*--force/,
    );
    await during(services.fileCopy.copy(source, { fileName: 'a', folder: '/t', overwrite: true }));
  });

  it('tells the guest to throw a file away that could not be finished', async () => {
    await ready('file-copy');
    const large = { size: 200_000, read: (_: number, length: number) => new Uint8Array(length) };
    await expect(during(services.fileCopy.copy(large, { fileName: 'a', folder: '/t' }))).rejects.toThrow(
      /disk is full/,
    );
    const shrinking = {
      size: 20_000,
      read: (offset: number) => (offset === 0 ? new Uint8Array(100) : new Uint8Array(0)),
    };
    await expect(during(services.fileCopy.copy(shrinking, { fileName: 'b', folder: '/t' }))).rejects.toThrow(
      /become shorter/,
    );
    await settle();
    expect(utils.log.filter((line) => line === 'fcopy 3')).toHaveLength(2);
    expect(utils.files.size).toBe(0);
  });

  it('says what may be wrong with a folder', async () => {
    await ready('file-copy');
    await expect(during(services.fileCopy.copy(source, { fileName: 'a', folder: '/none' }))).rejects.toThrow(
      /folder.*--parents/,
    );
  });

  it('refuses names that no guest can have, and a guest without the daemon', async () => {
    await expect(services.fileCopy.copy(source, { fileName: 'x'.repeat(260), folder: '/' })).rejects.toMatchObject({
      code: 'PL-3203',
    });
    await expect(services.fileCopy.copy(source, { fileName: 'x', folder: '/'.repeat(260) })).rejects.toMatchObject({
      code: 'PL-3203',
    });
    await expect(services.fileCopy.copy(source, { fileName: 'x', folder: '/' })).rejects.toThrow(
      /PL-3201.*hyperv-daemons/,
    );
  });
});

describe('what a guest should not send', () => {
  const sent = async (change: (data: Uint8Array, view: DataView) => Uint8Array | undefined): Promise<void> => {
    utils.load('shutdown');
    utils.alive = false;
    const channel = utils.channels.get('shutdown') as GuestChannel;
    const data = channel.receive()[0]?.data ?? new Uint8Array(0);
    data[25] = 5;
    channel.send(change(data, new DataView(data.buffer, data.byteOffset)) ?? data);
    await settle();
  };
  const state = (): unknown => machine.bus.status().channels.find(({ name }) => name === 'shutdown')?.state;

  it.each<[string, (data: Uint8Array, view: DataView) => Uint8Array | undefined, RegExp]>([
    ['no pipe header', () => new Uint8Array(0), /without a pipe header/],
    ['a length past the packet', (_, view) => void view.setUint32(4, 9999, true), /without a pipe header/],
    ['a short header', (_, view) => void view.setUint32(4, 19, true), /shorter than its header/],
    ['a request', (data) => void data.set([3], 25), /no response/],
  ])('%s costs it the channel', async (_, change, problem) => {
    await sent(change);
    expect(state()).toBe('broken');
    expect(machine.host.warnings().join()).toMatch(problem);
    expect(statusOf('shutdown')?.condition).toBe('no-contact');
  });

  it.each<[string, (data: Uint8Array, view: DataView) => Uint8Array | undefined]>([
    ['an answer to something else', (data) => void data.set([200], 24)],
    ['an answer of another type', (data) => void data.set([3], 12)],
  ])('%s is dropped', async (_, change) => {
    await sent(change);
    expect(state()).toBe('open');
    expect(machine.bus.inspect().devices).toMatchObject({ shutdown: { staleAnswers: 1, condition: 'negotiating' } });
  });

  it.each<[string, (data: Uint8Array, view: DataView) => Uint8Array | undefined]>([
    ['versions that were not offered', (data) => void data.set([1, 0, 1, 0, 0, 0, 0, 0, 9, 0], 28)],
    ['too many versions', (_, view) => void view.setUint16(28, 2, true)],
  ])('%s are no agreement', async (_, change) => {
    await sent(change);
    expect(statusOf('shutdown')?.condition).toBe('incompatible');
  });

  it('a ring that no message fits into costs it the channel, and whoever waits is told', async () => {
    const offer = [...guest.offers.values()].find(({ interfaceId }) => interfaceId.startsWith('34d14be3'));
    // One page of data: enough to agree on a version, too little for a piece of a file.
    utils.channels.set('file-copy', guest.opened(offer?.channelId ?? 0, { receivePages: 2 }));
    await settle();
    expect(statusOf('file-copy')?.condition).toBe('working');
    const source = { size: 5000, read: (_: number, length: number) => new Uint8Array(length) };
    const copy = services.fileCopy.copy(source, { fileName: 'a', folder: '/t' });
    await expect(during(copy)).rejects.toMatchObject({ code: 'PL-3201' });
    expect(machine.host.warnings().join()).toMatch(/does not fit into the ring/);
    expect(statusOf('file-copy')?.condition).toBe('no-contact');
  });

  it('a second channel of one service is refused', () => {
    const copy = guest.opened([...guest.offers.values()][0]?.channelId ?? 0);
    expect(services.shutdown.open({} as never)).not.toBe('accepted');
    copy.close();
  });
});

describe('saving and restoring', () => {
  it('negotiates again and sets the clock, as Hyper-V does; a frozen guest stays frozen', async () => {
    await ready();
    await during(services.vss.freeze());
    utils.alive = false;
    const lost = services.kvp.get('guest', 'x');
    lost.catch(() => {});
    const saved = JSON.parse(JSON.stringify(machine.bus.save()));
    utils.alive = true;
    utils.times.length = 0;
    const bus = machine.newBus();
    const again = new IntegrationServices({ bus, clock });
    bus.restore(saved);
    guest.bus = bus;
    machine.host.settle();
    services = again;
    await settle();
    expect(again.status().every(({ condition }) => condition === 'working')).toBe(true);
    expect(utils.times.map(({ flags }) => flags)).toEqual([1]);
    expect(again.vss.freezeState.kind).toBe('frozen');
    await during(again.vss.thaw());
    expect(await during(again.kvp.get('guest', 'x'))).toBeUndefined();
    expect(machine.host.warnings()).toEqual([]);
  });

  it('refuses a newer state by name', () => {
    expect(() => services.shutdown.restore({ version: 2 }, [])).toThrow(/PL-4103.*shutdown/);
    expect(() => services.shutdown.restore({}, [])).toThrow('PL-4104');
  });
});
