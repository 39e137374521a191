/**
 * Key-value pair messages: Linux's include/uapi/linux/hyperv.h (hv_kvp_msg, hv_kvp_ip_msg), OpenVMM's hyperv_ic_protocol/kvp.rs.
 *
 * A message is operation, pool and a body; bodies of values begin 4 bytes in, those of addresses 2 bytes in. Texts are UTF-16 with
 * an end, in fields of fixed size. Called by: device.ts.
 */
import { Layout } from '@plinth/vmbus';
import { decodeText, encodeText } from '../framework/protocol.ts';

export const KVP_VERSIONS = [
  { major: 3, minor: 0 },
  { major: 4, minor: 0 },
] as const;

const KVP_OPERATION = { set: 1, delete: 2, enumerate: 3, getAddresses: 4, setAddresses: 5 } as const;

/** Whose pairs they are: given by the host, by the guest's programs, by the guest's system, by the host's system, unused. */
export const KVP_POOL = { external: 0, guest: 1, auto: 2, 'auto-external': 3, 'auto-internal': 4 } as const;
export type KvpPool = keyof typeof KVP_POOL;

const KEY_BYTES = 512;
const VALUE_BYTES = 2048;
const MESSAGE_BYTES = 2580;

const VALUE_TYPE = { text: 1, expandText: 2, u32: 4, linuxU64: 8, u64: 11 } as const;

const KVP_HEADER = new Layout({ operation: 'u8', pool: 'u8' });
const VALUE = new Layout({ type: 'u32', keySize: 'u32', valueSize: 'u32', key: KEY_BYTES, value: VALUE_BYTES });
const DELETE = new Layout({ keySize: 'u32', key: KEY_BYTES });
const BODY_OFFSET = 4;
/** In front of the pair in a listing. */
const INDEX_BYTES = 4;

const ADDRESSES = new Layout({
  operation: 'u8',
  pool: 'u8',
  adapterId: 256,
  family: 'u8',
  dhcpEnabled: 'u8',
  addresses: 2048,
  subnets: 2048,
  gateways: 1024,
  dnsServers: 2048,
});

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** The network settings of one adapter in the guest. */
export interface AdapterAddresses {
  readonly dhcp: boolean;
  readonly addresses: readonly string[];
  /** IPv4 masks and IPv6 prefix lengths, one for each address. */
  readonly subnets: readonly string[];
  readonly gateways: readonly string[];
  readonly dnsServers: readonly string[];
}

/** A request about one pair; undefined when key or value is too long. */
export function buildValueRequest(
  operation: 'set' | 'delete',
  pool: KvpPool,
  key: string,
  value = '',
): Uint8Array<ArrayBuffer> | undefined {
  const message = new Uint8Array(MESSAGE_BYTES);
  KVP_HEADER.write(message, 0, { operation: KVP_OPERATION[operation], pool: KVP_POOL[pool] });
  const keyText = encodeText(key, KEY_BYTES);
  const valueText = encodeText(value, VALUE_BYTES);
  if (keyText === undefined || valueText === undefined) return undefined;
  if (operation === 'delete') DELETE.write(message, BODY_OFFSET, { keySize: keyText.length, key: keyText });
  else {
    VALUE.write(message, BODY_OFFSET, {
      type: VALUE_TYPE.text,
      keySize: keyText.length,
      valueSize: valueText.length,
      key: keyText,
      value: valueText,
    });
  }
  return message;
}

export function buildEnumerateRequest(pool: KvpPool, index: number): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(MESSAGE_BYTES);
  KVP_HEADER.write(message, 0, { operation: KVP_OPERATION.enumerate, pool: KVP_POOL[pool] });
  new DataView(message.buffer).setUint32(BODY_OFFSET, index, true);
  return message;
}

/** The pair in an answer to 'enumerate'; undefined when there is none that can be understood. */
export function parseValueAnswer(body: Uint8Array): KeyValue | undefined {
  const fields = VALUE.read(body, BODY_OFFSET + INDEX_BYTES);
  if (fields === undefined) return undefined;
  const view = new DataView(fields.value.buffer, fields.value.byteOffset);
  const key = decodeText(fields.key.subarray(0, Math.min(fields.keySize, KEY_BYTES)));
  const texts = (): string => decodeText(fields.value.subarray(0, Math.min(fields.valueSize, VALUE_BYTES)));
  switch (fields.type) {
    case VALUE_TYPE.text:
    case VALUE_TYPE.expandText:
      return { key, value: texts() };
    case VALUE_TYPE.u32:
      return { key, value: `${view.getUint32(0, true)}` };
    case VALUE_TYPE.u64:
    case VALUE_TYPE.linuxU64:
      return { key, value: `${view.getBigUint64(0, true)}` };
    default:
      return undefined;
  }
}

/** Both families at once. */
const FAMILY = { ipv4: 1, ipv6: 2 } as const;
const isIpv6 = (address: string): boolean => address.includes(':');

/**
 * A request about the addresses of the adapter with this MAC address; undefined when a list is too long.
 * @param adapterId as Linux's daemon compares it: to read, the hardware address in upper case with colons; to write, the device's instance id
 *   in lower case and braces, as its `device_id` in sysfs has it
 */
export function buildAddressesRequest(
  adapterId: string,
  settings?: AdapterAddresses,
): Uint8Array<ArrayBuffer> | undefined {
  const adapter = encodeText(adapterId, 256);
  if (adapter === undefined) return undefined;
  if (settings === undefined) {
    return ADDRESSES.build({ operation: KVP_OPERATION.getAddresses, pool: KVP_POOL.guest, adapterId: adapter });
  }
  const list = (items: readonly string[], bytes: number): Uint8Array | undefined => encodeText(items.join(';'), bytes);
  const addresses = list(settings.addresses, 2048);
  const subnets = list(settings.subnets, 2048);
  const gateways = list(settings.gateways, 1024);
  const dnsServers = list(settings.dnsServers, 2048);
  if (addresses === undefined || subnets === undefined || gateways === undefined || dnsServers === undefined)
    return undefined;
  const family =
    (settings.addresses.some(isIpv6) ? FAMILY.ipv6 : 0) |
    (settings.dhcp || settings.addresses.some((address) => !isIpv6(address)) ? FAMILY.ipv4 : 0);
  return ADDRESSES.build({
    operation: KVP_OPERATION.setAddresses,
    pool: KVP_POOL.guest,
    adapterId: adapter,
    family,
    dhcpEnabled: settings.dhcp ? 1 : 0,
    addresses,
    subnets,
    gateways,
    dnsServers,
  });
}

export function parseAddressesAnswer(body: Uint8Array): AdapterAddresses | undefined {
  const fields = ADDRESSES.read(body);
  if (fields === undefined) return undefined;
  const list = (bytes: Uint8Array): string[] =>
    decodeText(bytes)
      .split(';')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  return {
    dhcp: fields.dhcpEnabled !== 0,
    addresses: list(fields.addresses),
    subnets: list(fields.subnets),
    gateways: list(fields.gateways),
    dnsServers: list(fields.dnsServers),
  };
}
