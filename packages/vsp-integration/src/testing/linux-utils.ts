/**
 * The guest's half of the integration services, as Linux's hv_utils and its daemons behave: which versions they choose, what they
 * do while no daemon runs, one request at a time. Written from that behaviour. Called by: tests.
 */
import type { GuestChannel, GuestPacket, LinuxGuest } from '@plinth/vmbus/testing';

const HEADER = 28;
const TYPE_NEGOTIATE = 0;

interface Utility {
  readonly interfaceId: string;
  /** Newest first, as the driver's tables have them: major in the upper half. */
  readonly versions: readonly number[];
  readonly frameworks: readonly number[];
  /** @returns the status and, where they change, the body's bytes; undefined to keep the request unanswered */
  answer(type: number, body: Uint8Array): { readonly status: number } | undefined;
  /** Whether the driver reads its ring now. */
  ready(): boolean;
}

const version = (major: number, minor: number): number => (major << 16) | minor;
const text = (bytes: Uint8Array): string => {
  let result = '';
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    const unit = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    if (unit === 0) break;
    result += String.fromCharCode(unit);
  }
  return result;
};
const put = (bytes: Uint8Array, at: number, value: string): number => {
  for (let index = 0; index <= value.length; index++) {
    const unit = index < value.length ? value.charCodeAt(index) : 0;
    bytes[at + index * 2] = unit & 0xff;
    bytes[at + index * 2 + 1] = unit >> 8;
  }
  return (value.length + 1) * 2;
};

export class LinuxUtils {
  readonly guest: LinuxGuest;
  readonly channels = new Map<string, GuestChannel>();
  /** Daemons that run. */
  readonly daemons = { kvp: true, vss: true, fcopy: true };
  /** Whether the drivers answer at all. */
  alive = true;
  /** What the drivers were asked to do. */
  readonly log: string[] = [];
  readonly times: { readonly host: bigint; readonly reference: bigint; readonly flags: number }[] = [];
  readonly pools: Map<string, string>[] = Array.from({ length: 5 }, () => new Map());
  readonly files = new Map<string, Uint8Array>();
  readonly folders = new Set(['/', '/t/']);
  shutdownStatus = 0;
  vssStatus = 0;
  kvpStatus = 0;
  /** The registry's kind of the values that are listed: 1 is a text. */
  valueType = 1;
  /** From 6.10 on: one packet for each signal. */
  uio = false;
  adapter = {
    deviceId: '{f8615163-df3e-46c5-913f-f2d2f965ed0e}',
    mac: '00:15:5D:01:02:03',
    addresses: '10.0.0.5;fe80::1',
    subnets: '255.255.255.0;64',
    gateway: '10.0.0.1',
    dns: '10.0.0.2',
  };
  setAddresses:
    | { readonly dhcp: number; readonly family: number; readonly addresses: string; readonly dns: string }
    | undefined;
  /** Replaces a table of versions. */
  readonly versions: Record<string, readonly number[]> = {};
  #target: { name: string; flags: number } | undefined;

  constructor(guest: LinuxGuest) {
    this.guest = guest;
  }

  readonly #utilities: Readonly<Record<string, Utility>> = {
    shutdown: {
      interfaceId: '0e0b6031-5213-4934-818b-38d90ced39db',
      versions: [version(3, 2), version(3, 1), version(3, 0), version(1, 0)],
      frameworks: [version(3, 0), version(1, 0)],
      ready: () => true,
      answer: (_, body) => {
        const view = new DataView(body.buffer, body.byteOffset);
        this.log.push(`shutdown flags ${view.getUint32(8, true)}: ${text(body.subarray(12))}`);
        return { status: this.shutdownStatus };
      },
    },
    'time-sync': {
      interfaceId: '9527e630-d0ae-497b-adce-e80ab0175caf',
      versions: [version(4, 0), version(3, 0), version(1, 0)],
      frameworks: [version(3, 0), version(1, 0)],
      ready: () => true,
      answer: (_, body) => {
        const view = new DataView(body.buffer, body.byteOffset);
        const isNew = (this.versions['time-sync']?.[0] ?? version(4, 0)) > version(3, 0);
        this.times.push({
          host: view.getBigUint64(0, true),
          reference: isNew ? view.getBigUint64(8, true) : 0n,
          flags: view.getUint8(isNew ? 16 : 24),
        });
        return { status: 0 };
      },
    },
    heartbeat: {
      interfaceId: '57164f39-9115-4e78-ab55-382f3bd5422d',
      versions: [version(3, 0), version(1, 0)],
      frameworks: [version(3, 0), version(1, 0)],
      ready: () => true,
      answer: (_, body) => {
        const view = new DataView(body.buffer, body.byteOffset);
        view.setBigUint64(0, view.getBigUint64(0, true) + 1n, true);
        return { status: 0 };
      },
    },
    kvp: {
      interfaceId: 'a9a0f4e7-5a45-4d96-b827-8a841e8c03e6',
      versions: [version(4, 0), version(3, 0), version(1, 0)],
      frameworks: [version(3, 0), version(1, 0)],
      ready: () => this.daemons.kvp,
      answer: (_, body) => ({ status: this.kvpStatus === 0 ? this.#kvp(body) : this.kvpStatus }),
    },
    vss: {
      interfaceId: '35fa2e29-ea23-4236-96ae-3a6ebacba440',
      versions: [version(5, 0)],
      frameworks: [version(3, 0)],
      ready: () => true,
      answer: (_, body) => {
        this.log.push(`vss ${body[0]} of ${body.length} bytes`);
        if (!this.daemons.vss) return { status: 0x80004005 };
        if (body[0] === 2) body[8] = 5;
        return { status: this.vssStatus };
      },
    },
    'file-copy': {
      interfaceId: '34d14be3-dee4-41c8-9ae7-6b174977c192',
      versions: [version(1, 1)],
      frameworks: [version(3, 0)],
      ready: () => this.daemons.fcopy,
      answer: (_, body) => ({ status: this.#copy(body) }),
    },
  };

  /** modprobe hv_utils: opens the channel of each service that is offered. */
  load(...names: string[]): void {
    for (const [name, { interfaceId }] of Object.entries(this.#utilities)) {
      if (names.length > 0 && !names.includes(name)) continue;
      const offer = [...this.guest.offers.values()].find((one) => one.interfaceId === interfaceId);
      if (offer === undefined || this.channels.has(name)) continue;
      if ((offer.flags & 0x10) === 0 || offer.userData[0] !== 4) throw new Error(`${name} is no message pipe`);
      this.channels.set(name, this.guest.opened(offer.channelId));
    }
  }

  unload(name: string): void {
    this.channels.get(name)?.close();
    this.channels.delete(name);
  }

  /** Lets each driver read what its ring has. @returns whether there was anything */
  run(): boolean {
    if (!this.alive) return false;
    let found = false;
    for (const [name, channel] of this.channels) {
      const utility = this.#utilities[name];
      if (utility === undefined || !utility.ready()) continue;
      const signalled = this.guest.takeFlag(channel.processor, channel.offer.channelId);
      if (this.uio && name === 'file-copy' && !signalled) continue;
      for (const packet of channel.receive(this.uio ? 1 : Number.POSITIVE_INFINITY)) {
        found = true;
        this.#handle(name, utility, channel, packet);
      }
    }
    return found;
  }

  #handle(name: string, utility: Utility, channel: GuestChannel, { data, transactionId }: GuestPacket): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const type = view.getUint16(12, true);
    let status = 0;
    if (type === TYPE_NEGOTIATE) this.#negotiate(name, utility, view);
    else {
      const answer = utility.answer(type, data.subarray(HEADER));
      if (answer === undefined) return;
      status = answer.status;
    }
    view.setUint32(20, status, true);
    view.setUint8(25, 1 | 4);
    channel.send(data, transactionId);
  }

  /** vmbus_prep_negotiate_resp. */
  #negotiate(name: string, utility: Utility, view: DataView): void {
    const counts = [view.getUint16(28, true), view.getUint16(30, true)] as const;
    const offered = (from: number, count: number): number[] =>
      Array.from({ length: count }, (_, index) =>
        version(view.getUint16(36 + (from + index) * 4, true), view.getUint16(38 + (from + index) * 4, true)),
      );
    const framework = utility.frameworks.find((one) => offered(0, counts[0]).includes(one));
    const own = this.versions[name] ?? utility.versions;
    const message = own.find((one) => offered(counts[0], counts[1]).includes(one));
    view.setUint16(18, 0x10, true);
    const agreed = framework !== undefined && message !== undefined;
    view.setUint16(28, agreed ? 1 : 0, true);
    view.setUint16(30, agreed ? 1 : 0, true);
    if (!agreed) return;
    this.log.push(`${name} IC version ${message >> 16}.${message & 0xffff}`);
    [framework, message].forEach((one, index) => {
      view.setUint16(36 + index * 4, one >> 16, true);
      view.setUint16(38 + index * 4, one & 0xffff, true);
    });
  }

  /** hv_kvp.c and hv_kvp_daemon.c. */
  #kvp(body: Uint8Array): number {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const [operation, poolNumber] = [body[0] ?? 0, body[1] ?? 0];
    const pool = this.pools[poolNumber] ?? new Map<string, string>();
    const value = (at: number, found: string): void => {
      view.setUint32(at, this.valueType, true);
      view.setUint32(at + 8, put(body, at + 12 + 512, found), true);
    };
    switch (operation) {
      case 1:
        pool.set(text(body.subarray(16, 16 + 512)), text(body.subarray(16 + 512)));
        return 0;
      case 2:
        return pool.delete(text(body.subarray(8, 8 + 512))) ? 0 : 0x80070103;
      case 3: {
        const pair = [...pool][view.getUint32(4, true)];
        if (pair === undefined) return 0x80070103;
        value(8, pair[1]);
        view.setUint32(12, put(body, 20, pair[0]), true);
        return 0;
      }
      case 4:
        if (text(body.subarray(2, 258)) !== this.adapter.mac) return 0x80004005;
        body[258] = 3;
        body[259] = 1;
        put(body, 260, this.adapter.addresses);
        put(body, 260 + 2048, this.adapter.subnets);
        put(body, 260 + 4096, this.adapter.gateway);
        put(body, 260 + 4096 + 1024, this.adapter.dns);
        return 0;
      case 5:
        if (text(body.subarray(2, 258)) !== this.adapter.deviceId) return 0x80041002;
        this.setAddresses = {
          family: body[258] ?? 0,
          dhcp: body[259] ?? 0,
          addresses: text(body.subarray(260)),
          dns: text(body.subarray(260 + 4096 + 1024)),
        };
        return 0;
      default:
        return 0x80004005;
    }
  }

  /** hv_fcopy_daemon.c. */
  #copy(body: Uint8Array): number {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const operation = view.getUint32(0, true);
    this.log.push(`fcopy ${operation}`);
    if (operation === 0) {
      const folder = text(body.subarray(556, 556 + 520));
      const name = `${folder}${text(body.subarray(36, 36 + 520))}`;
      const flags = view.getUint32(1076, true);
      // The daemon makes and looks for what stands before a slash.
      if (!folder.endsWith('/') || (!this.folders.has(folder) && (flags & 2) === 0)) return 0x80004005;
      this.folders.add(folder);
      if (this.files.has(name) && (flags & 1) === 0) return 0x80070050;
      this.#target = { name, flags };
      this.files.set(name, new Uint8Array(0));
      return 0;
    }
    const target = this.#target;
    if (target === undefined) return 0x80004005;
    if (operation === 1) {
      const offset = Number(view.getBigUint64(40, true));
      const size = view.getUint32(48, true);
      const before = this.files.get(target.name) ?? new Uint8Array(0);
      if (offset + size > 100_000) return 0x80070070;
      const after = new Uint8Array(Math.max(before.length, offset + size));
      after.set(before);
      after.set(body.subarray(52, 52 + size), offset);
      this.files.set(target.name, after);
    }
    if (operation === 3) this.files.delete(target.name);
    if (operation >= 2) this.#target = undefined;
    return 0;
  }
}
