/**
 * What all integration services have in common on the wire: a header in a pipe message, and the negotiation of versions.
 * Sources: Linux's include/linux/hyperv.h (icmsg_hdr, icmsg_negotiate), OpenVMM's hyperv_ic_protocol.
 *
 * Invariant: parsing takes any bytes of the guest and never throws. Called by: service.ts.
 */
import { Layout } from '@plinth/vmbus';

/** Major and minor number. */
export interface ServiceVersion {
  readonly major: number;
  readonly minor: number;
}

export const MESSAGE_TYPE = {
  negotiate: 0,
  heartbeat: 1,
  kvpExchange: 2,
  shutdown: 3,
  timeSync: 4,
  vss: 5,
  fileCopy: 7,
} as const;

const FLAG = { transaction: 1, request: 2, response: 4 } as const;

/** HRESULTs that guests answer with. */
export const SERVICE_STATUS = {
  ok: 0,
  fail: 0x80004005,
  noMoreItems: 0x80070103,
  notSupported: 0x80070032,
  alreadyExists: 0x80070050,
  diskFull: 0x80070070,
  invalidArgument: 0x80070057,
  notFound: 0x80041002,
  machineLocked: 0x800704f7,
  notConnected: 0x8007048f,
} as const;

/** The framework's own versions that this host has, older ones first. */
const FRAMEWORK_VERSIONS: readonly ServiceVersion[] = [
  { major: 1, minor: 0 },
  { major: 3, minor: 0 },
];

const HEADER = new Layout({
  frameworkMajor: 'u16',
  frameworkMinor: 'u16',
  type: 'u16',
  messageMajor: 'u16',
  messageMinor: 'u16',
  size: 'u16',
  status: 'u32',
  transactionId: 'u8',
  flags: 'u8',
  reserved: 2,
});
const NEGOTIATE = new Layout({ frameworkCount: 'u16', messageCount: 'u16', reserved: 'u32' });
const VERSION = new Layout({ major: 'u16', minor: 'u16' });

export interface NegotiatedVersions {
  readonly framework: ServiceVersion;
  readonly message: ServiceVersion;
}

/** A request to the guest. @param versions what was negotiated, or undefined for the negotiation itself */
export function buildRequest(
  type: number,
  transactionId: number,
  versions: NegotiatedVersions | undefined,
  body: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER.bytes + body.length);
  HEADER.write(message, 0, {
    frameworkMajor: versions?.framework.major ?? 0,
    frameworkMinor: versions?.framework.minor ?? 0,
    messageMajor: versions?.message.major ?? 0,
    messageMinor: versions?.message.minor ?? 0,
    type,
    size: body.length,
    transactionId,
    flags: FLAG.transaction | FLAG.request,
  });
  message.set(body, HEADER.bytes);
  return message;
}

/** The negotiation's body: how many versions there are of each, and then all of them. */
export function buildNegotiation(messages: readonly ServiceVersion[]): Uint8Array<ArrayBuffer> {
  const versions = [...FRAMEWORK_VERSIONS, ...messages];
  const body = new Uint8Array(NEGOTIATE.bytes + versions.length * VERSION.bytes);
  NEGOTIATE.write(body, 0, { frameworkCount: FRAMEWORK_VERSIONS.length, messageCount: messages.length });
  versions.forEach((version, index) => {
    VERSION.write(body, NEGOTIATE.bytes + index * VERSION.bytes, version);
  });
  return body;
}

export interface Response {
  readonly type: number;
  readonly transactionId: number;
  readonly status: number;
  /** Everything behind the header: guests leave the size that the request had, whatever they filled in. */
  readonly body: Uint8Array;
}

/** A response of the guest, or what is wrong with it. */
export function parseResponse(message: Uint8Array): Response | string {
  const header = HEADER.read(message);
  if (header === undefined) return `a message of ${message.length} bytes, shorter than its header`;
  if (header.flags !== (FLAG.transaction | FLAG.response))
    return `a message with flags ${header.flags}, which is no response`;
  const { type, transactionId, status } = header;
  return { type, transactionId, status, body: message.subarray(HEADER.bytes) };
}

/** What the guest chose; undefined when it found nothing that both have. */
export function parseNegotiation(
  body: Uint8Array,
  messages: readonly ServiceVersion[],
): NegotiatedVersions | undefined {
  const counts = NEGOTIATE.read(body);
  const framework = VERSION.read(body, NEGOTIATE.bytes);
  const message = VERSION.read(body, NEGOTIATE.bytes + VERSION.bytes);
  if (counts?.frameworkCount !== 1 || counts.messageCount !== 1) return undefined;
  if (!isOneOf(framework, FRAMEWORK_VERSIONS) || !isOneOf(message, messages)) return undefined;
  return { framework, message };
}

const isOneOf = (version: ServiceVersion | undefined, known: readonly ServiceVersion[]): version is ServiceVersion =>
  known.some(({ major, minor }) => major === version?.major && minor === version.minor);

export const isOlder = (one: ServiceVersion, other: ServiceVersion): boolean =>
  one.major < other.major || (one.major === other.major && one.minor < other.minor);

export const serviceVersionText = ({ major, minor }: ServiceVersion): string => `${major}.${minor}`;

/** Text as guests take it: UTF-16, with an end. @returns undefined when it does not fit into `bytes` */
export function encodeText(text: string, bytes: number): Uint8Array<ArrayBuffer> | undefined {
  return (text.length + 1) * 2 > bytes ? undefined : encodeStart(text, bytes);
}

/** As much of a text as fits, with an end. */
export function encodeStart(whole: string, bytes: number): Uint8Array<ArrayBuffer> {
  const text = whole.slice(0, bytes / 2 - 1);
  const encoded = new Uint8Array((text.length + 1) * 2);
  const view = new DataView(encoded.buffer);
  for (let at = 0; at < text.length; at++) view.setUint16(at * 2, text.charCodeAt(at), true);
  return encoded;
}

/** Text up to its end or the end of the bytes; what is no character becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  const whole = bytes.subarray(0, bytes.length & ~1);
  let end = 0;
  while (end < whole.length && ((whole[end] ?? 0) | (whole[end + 1] ?? 0)) !== 0) end += 2;
  // TextDecoder takes no view of shared memory; what comes here was copied out of the ring.
  return new TextDecoder('utf-16le').decode(whole.subarray(0, end));
}
