/**
 * Key-value pairs (Hyper-V's "data exchange"): names and values between host and guest, what the guest's system says of itself,
 * and the addresses of its network adapters, read and set. Guest side: drivers/hv/hv_kvp.c and the hv_kvp_daemon, without which
 * Linux does not even agree on a version. Called by: IntegrationServices.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree } from '@plinth/hypervisor';
import { MESSAGE_TYPE, SERVICE_STATUS } from '../framework/protocol.ts';
import { refusal } from '../framework/refusal.ts';
import { IntegrationService, type ServiceClock } from '../framework/service.ts';
import {
  type AdapterAddresses,
  buildAddressesRequest,
  buildEnumerateRequest,
  buildValueRequest,
  type KeyValue,
  KVP_VERSIONS,
  type KvpPool,
  parseAddressesAnswer,
  parseValueAnswer,
} from './protocol.ts';

/** Longer than Linux waits for its daemon before it answers with a failure. */
const PATIENCE = 40_000;
const REFRESH_PERIOD = 30_000;
/** Pairs of one pool that are read at most: a guest may never say that there are no more. */
const PAIR_LIMIT = 1024;

/** What a failure without a reason means of hv_kvp_daemon: it looks the adapter up, or starts a program that sets the addresses. */
const NO_ADAPTER = ['It has no such adapter', 'a hardware address that `ip link` shows in the guest'] as const;
const NO_DEVICE = ['It has no such adapter', 'the Device_ID of one that `lsvmbus -v` shows in the guest'] as const;
const NOT_SET = [
  'The program hv_set_ifconfig, which hv_kvp_daemon starts for this, failed or is not there',
  "installing the guest's hyperv-daemons whole; the guest's log says more",
] as const;

export class KvpService extends IntegrationService {
  readonly #hostItems: Readonly<Record<string, string>>;
  #guestItems = new Map<string, string>();
  #lastRefresh = Number.NEGATIVE_INFINITY;
  #refreshing = false;

  /** @param hostItems what the guest is told of its host, in the pool 'auto-external' (HostName, VirtualMachineName..) */
  constructor(clock: ServiceClock, hostItems: Readonly<Record<string, string>> = {}) {
    super(
      {
        name: 'kvp',
        title: 'Data exchange',
        interfaceId: 'a9a0f4e7-5a45-4d96-b827-8a841e8c03e6',
        instanceId: '242ff919-07db-4180-9c2e-b86cb68c8c55',
        messageType: MESSAGE_TYPE.kvpExchange,
        versions: KVP_VERSIONS,
        remedy: 'the hv_utils driver and the package hyperv-daemons in the guest, with hv_kvp_daemon running',
      },
      clock,
    );
    this.#hostItems = hostItems;
  }

  /** What the guest's system says of itself, as of the last look: OSName, FullyQualifiedDomainName, NetworkAddressIPv4.. */
  get guestItems(): ReadonlyMap<string, string> {
    return this.#guestItems;
  }

  /** The guest's addresses, as it last told them. */
  get addresses(): string[] {
    return ['NetworkAddressIPv4', 'NetworkAddressIPv6'].flatMap((key) =>
      (this.#guestItems.get(key) ?? '').split(';').filter((address) => address !== ''),
    );
  }

  /**
   * By listing the pool: Linux's driver answers the operation that reads one value with that value's first four bytes missing
   * (hv_kvp.c takes it from where a listing has it).
   * @returns the value, or undefined when the guest has no such key
   */
  async get(pool: KvpPool, key: string): Promise<string | undefined> {
    return (await this.list(pool)).find((pair) => pair.key === key)?.value;
  }

  async set(pool: KvpPool, key: string, value: string): Promise<void> {
    const body = fitting(value.length > key.length ? value : key, buildValueRequest('set', pool, key, value));
    const { status } = await this.request(body, PATIENCE);
    if (status !== SERVICE_STATUS.ok) throw refusal(`store the value of ${key}`, status);
  }

  /** @returns whether there was such a key */
  async delete(pool: KvpPool, key: string): Promise<boolean> {
    const { status } = await this.request(fitting(key, buildValueRequest('delete', pool, key)), PATIENCE);
    if (status === SERVICE_STATUS.noMoreItems || status === SERVICE_STATUS.notFound) return false;
    if (status !== SERVICE_STATUS.ok) throw refusal(`delete ${key}`, status);
    return true;
  }

  /** All pairs of a pool. */
  async list(pool: KvpPool): Promise<KeyValue[]> {
    const pairs: KeyValue[] = [];
    for (let index = 0; index < PAIR_LIMIT; index++) {
      const { status, body } = await this.request(buildEnumerateRequest(pool, index), PATIENCE);
      if (status === SERVICE_STATUS.noMoreItems) return pairs;
      if (status !== SERVICE_STATUS.ok) throw refusal(`list its pairs`, status);
      const pair = parseValueAnswer(body);
      if (pair !== undefined) pairs.push(pair);
    }
    return pairs;
  }

  /** The network settings of the adapter with this MAC address, `00155d010203` in any spelling. */
  async getAddresses(macAddress: string): Promise<AdapterAddresses> {
    const { status, body } = await this.request(
      fitting(macAddress, buildAddressesRequest(adapterId(macAddress))),
      PATIENCE,
    );
    const addresses = status === SERVICE_STATUS.ok ? parseAddressesAnswer(body) : undefined;
    if (addresses === undefined) throw refusal(`tell the addresses of ${macAddress}`, status, NO_ADAPTER);
    return addresses;
  }

  /**
   * Linux's daemon looks the adapter up by its hardware address to read, and by its device on VMBus to write.
   * @param instanceId of the adapter's device, without braces
   */
  async setAddresses(instanceId: string, settings: AdapterAddresses): Promise<void> {
    const adapter = `{${instanceId.toLowerCase()}}`;
    const body = fitting(settings.addresses.join(';'), buildAddressesRequest(adapter, settings));
    const { status } = await this.request(body, PATIENCE);
    const action = `set the addresses of ${instanceId}`;
    if (status === SERVICE_STATUS.notFound) throw refusal(action, SERVICE_STATUS.fail, NO_DEVICE);
    if (status !== SERVICE_STATUS.ok) throw refusal(action, status, NOT_SET);
  }

  /** Asks the guest anew what it says of itself. */
  async refresh(): Promise<void> {
    const pairs = await this.list('auto');
    this.#guestItems = new Map(pairs.map(({ key, value }) => [key, value]));
  }

  protected override onReady(): void {
    for (const [key, value] of Object.entries(this.#hostItems)) {
      const body = buildValueRequest('set', 'auto-external', key, value);
      if (body !== undefined) this.ask(body, PATIENCE, () => {});
    }
    this.#lastRefresh = Number.NEGATIVE_INFINITY;
    this.onTick(this.clock.milliseconds());
  }

  protected override onTick(now: number): void {
    if (this.#refreshing || this.isSilent || now - this.#lastRefresh < REFRESH_PERIOD) return;
    this.#lastRefresh = now;
    this.#refreshing = true;
    const done = (): void => {
      this.#refreshing = false;
    };
    // That it failed shows in the status, and the next look is due soon.
    this.refresh().then(done, done);
  }

  protected override onClosed(): void {
    this.#guestItems = new Map();
  }

  override inspect(): InspectTree {
    return { ...super.inspect(), guestItems: Object.fromEntries(this.#guestItems) };
  }
}

function fitting(value: string, body: Uint8Array<ArrayBuffer> | undefined): Uint8Array<ArrayBuffer> {
  if (body !== undefined) return body;
  throw new PlinthError('PL-3203', {
    value: value.length > 40 ? `${value.slice(0, 40)}...` : value,
    reason: 'A key has at most 255 characters, a value at most 1023',
  });
}

/** `00:15:5D:01:02:03` of any spelling of a MAC address. */
const adapterId = (macAddress: string): string =>
  macAddress
    .replaceAll(/[^0-9a-fA-F]/g, '')
    .toUpperCase()
    .replaceAll(/(..)(?=.)/g, '$1:');
