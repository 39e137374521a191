/**
 * VMBus on the wire: the channel messages between guest and host, as tables.
 *
 * Microsoft has published no specification; numbers and layouts are those that Linux's include/linux/hyperv.h and OpenVMM's
 * vmbus_core (protocol.rs) agree on. A message is the payload of a SynIC message of type 1: an 8-byte header (type, padding)
 * and the fields below, all little-endian, at most 240 bytes.
 *
 * Invariants: `parseGuestMessage` takes any bytes, reads each once, never throws. Called by: server.ts, and the guest model of
 * the tests (which has its own builders).
 */
import type { Guid } from './guid.ts';
import { Layout } from './layout.ts';

/** SynIC: the message type of all VMBus messages, the synthetic interrupt source, and the largest payload. */
export const VMBUS_MESSAGE_TYPE = 1;
export const VMBUS_SINT = 2;
export const MESSAGE_LIMIT = 240;

/** Connection ids that a guest posts its messages to: the older one, and the one for protocol 5.0 and above. */
export const MESSAGE_CONNECTION_ID = 1;
export const MESSAGE_CONNECTION_ID_5_0 = 4;

/** Channel ids are event flags of one SINT: 2048, of which flag 0 stands for none. */
export const CHANNEL_LIMIT = 2047;

/** A target processor that means: never interrupt for this channel. */
export const NO_PROCESSOR = 0xffffffff;

export const USER_DATA_BYTES = 120;

export const MESSAGE = {
  offerChannel: 1,
  rescindChannelOffer: 2,
  requestOffers: 3,
  allOffersDelivered: 4,
  openChannel: 5,
  openChannelResult: 6,
  closeChannel: 7,
  gpadlHeader: 8,
  gpadlBody: 9,
  gpadlCreated: 10,
  gpadlTeardown: 11,
  gpadlTorndown: 12,
  relIdReleased: 13,
  initiateContact: 14,
  versionResponse: 15,
  unload: 16,
  unloadResponse: 17,
  tlConnectRequest: 21,
  modifyChannel: 22,
  tlConnectResult: 23,
  modifyChannelResponse: 24,
} as const;

/** Protocol versions, major in the upper half; names are those of the Windows releases that brought them. */
export const VERSION = {
  windows8: 0x0002_0004,
  windows8_1: 0x0003_0000,
  windows10: 0x0004_0000,
  windows10_4_1: 0x0004_0001,
  windows10_5_0: 0x0005_0000,
  windows10_5_1: 0x0005_0001,
  windows10_5_2: 0x0005_0002,
  windowsServer2022: 0x0005_0003,
} as const;

export const SUPPORTED_VERSIONS: readonly number[] = Object.values(VERSION);
export const NEWEST_VERSION: number = VERSION.windowsServer2022;

/** `5.3` of 0x00050003. */
export const versionText = (version: number): string => `${version >>> 16}.${version & 0xffff}`;

/** NTSTATUS values that cross the wire. */
export const STATUS = {
  success: 0,
  unsuccessful: 0xc0000001,
  invalidParameter: 0xc000000d,
  insufficientResources: 0xc000009a,
  connectionRefused: 0xc0000236,
} as const;

/** Flags of an offer. */
export const OFFER_FLAG = { enumerateDeviceInterface: 0x1, namedPipeMode: 0x10, tlnpiProvider: 0x2000 } as const;

/** The first four bytes of a pipe's user data: how bytes in it belong together. */
export const PIPE_MODE = { byte: 0, message: 4 } as const;

const HEADER = new Layout({ type: 'u32', padding: 'u32' });

/** What guests send. */
const GUEST_MESSAGES = {
  openChannel: new Layout({
    channelId: 'u32',
    openId: 'u32',
    ringGpadlId: 'u32',
    targetProcessor: 'u32',
    downstreamPageOffset: 'u32',
    userData: USER_DATA_BYTES,
  }),
  closeChannel: new Layout({ channelId: 'u32' }),
  gpadlHeader: new Layout({ channelId: 'u32', gpadlId: 'u32', rangeBytes: 'u16', rangeCount: 'u16' }),
  gpadlBody: new Layout({ messageNumber: 'u32', gpadlId: 'u32' }),
  gpadlTeardown: new Layout({ channelId: 'u32', gpadlId: 'u32' }),
  relIdReleased: new Layout({ channelId: 'u32' }),
  /** From 5.0 on, the target takes the place of the interrupt page's address: SINT, trust level, feature flags. */
  initiateContact: new Layout({
    version: 'u32',
    targetProcessor: 'u32',
    sint: 'u8',
    vtl: 'u8',
    targetPadding: 'u16',
    featureFlags: 'u32',
    parentToChildMonitorPage: 'u64',
    childToParentMonitorPage: 'u64',
  }),
  tlConnectRequest: new Layout({ endpointId: 'guid', serviceId: 'guid' }),
  modifyChannel: new Layout({ channelId: 'u32', targetProcessor: 'u32' }),
} as const;

/** What the host sends. */
const HOST_MESSAGES = {
  offerChannel: new Layout({
    interfaceId: 'guid',
    instanceId: 'guid',
    reserved: 16,
    flags: 'u16',
    mmioMegabytes: 'u16',
    userData: USER_DATA_BYTES,
    subchannelIndex: 'u16',
    mmioMegabytesOptional: 'u16',
    channelId: 'u32',
    monitorId: 'u8',
    monitorAllocated: 'u8',
    isDedicatedInterrupt: 'u16',
    connectionId: 'u32',
  }),
  rescindChannelOffer: new Layout({ channelId: 'u32' }),
  allOffersDelivered: new Layout({}),
  openChannelResult: new Layout({ channelId: 'u32', openId: 'u32', status: 'u32' }),
  gpadlCreated: new Layout({ channelId: 'u32', gpadlId: 'u32', status: 'u32' }),
  gpadlTorndown: new Layout({ gpadlId: 'u32' }),
  versionResponse: new Layout({
    versionSupported: 'u8',
    connectionState: 'u8',
    padding: 'u16',
    /** Below 5.0 the version that was asked for; from 5.0 on, where the guest is to post its further messages. */
    versionOrConnectionId: 'u32',
  }),
  unloadResponse: new Layout({}),
  tlConnectResult: new Layout({ endpointId: 'guid', serviceId: 'guid', status: 'u32' }),
  modifyChannelResponse: new Layout({ channelId: 'u32', status: 'u32' }),
} as const;

type ValuesOf<L> = L extends { build(values: Partial<infer Values>): unknown } ? Values : never;
type HostMessageName = keyof typeof HOST_MESSAGES;
export type HostMessageValues<Name extends HostMessageName> = ValuesOf<(typeof HOST_MESSAGES)[Name]>;

/** A message to the guest, ready to be posted. */
export function buildHostMessage<Name extends HostMessageName>(
  name: Name,
  values: Partial<HostMessageValues<Name>>,
): Uint8Array<ArrayBuffer> {
  // Every layout takes its own values; that they belong to this one is what the signature says.
  const layout = HOST_MESSAGES[name] as Layout<Record<string, 'u32'>>;
  const bytes = new Uint8Array(HEADER.bytes + layout.bytes);
  HEADER.write(bytes, 0, { type: MESSAGE[name] });
  layout.write(bytes, HEADER.bytes, values as Record<string, number>);
  return bytes;
}

export interface OpenRequest {
  readonly openId: number;
  readonly ringGpadlId: number;
  /** NO_PROCESSOR for none. */
  readonly targetProcessor: number;
  /** Where the ring to the guest begins, in pages of the GPADL. */
  readonly downstreamPageOffset: number;
  readonly userData: Uint8Array;
}

export interface ContactRequest {
  readonly version: number;
  readonly targetProcessor: number;
  readonly sint: number;
  readonly vtl: number;
  readonly featureFlags: number;
  readonly parentToChildMonitorPage: bigint;
  readonly childToParentMonitorPage: bigint;
}

export type GuestMessage =
  | { readonly kind: 'initiate-contact'; readonly contact: ContactRequest }
  | { readonly kind: 'request-offers' }
  | { readonly kind: 'unload' }
  | { readonly kind: 'open-channel'; readonly channelId: number; readonly request: OpenRequest }
  | { readonly kind: 'close-channel'; readonly channelId: number }
  | {
      readonly kind: 'gpadl-header';
      readonly channelId: number;
      readonly gpadlId: number;
      readonly rangeBytes: number;
      readonly rangeCount: number;
      readonly data: Uint8Array;
    }
  | { readonly kind: 'gpadl-body'; readonly gpadlId: number; readonly data: Uint8Array }
  | { readonly kind: 'gpadl-teardown'; readonly channelId: number; readonly gpadlId: number }
  | { readonly kind: 'rel-id-released'; readonly channelId: number }
  | { readonly kind: 'tl-connect-request'; readonly endpointId: Guid; readonly serviceId: Guid }
  | { readonly kind: 'modify-channel'; readonly channelId: number; readonly targetProcessor: number }
  | { readonly kind: 'malformed'; readonly problem: string };

type Parse = (bytes: Uint8Array) => GuestMessage | undefined;

/** By message type: its name in events, and its parser, which answers undefined when the message is too short. */
const PARSERS: ReadonlyMap<number, { readonly name: string; readonly parse: Parse }> = new Map([
  [
    MESSAGE.initiateContact,
    {
      name: 'InitiateContact',
      parse: (bytes: Uint8Array) => {
        const contact = GUEST_MESSAGES.initiateContact.read(bytes, HEADER.bytes);
        return contact && { kind: 'initiate-contact' as const, contact };
      },
    },
  ],
  [MESSAGE.requestOffers, { name: 'RequestOffers', parse: () => ({ kind: 'request-offers' as const }) }],
  [MESSAGE.unload, { name: 'Unload', parse: () => ({ kind: 'unload' as const }) }],
  [
    MESSAGE.openChannel,
    {
      name: 'OpenChannel',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.openChannel.read(bytes, HEADER.bytes);
        if (fields === undefined) return undefined;
        const { channelId, ...request } = fields;
        return { kind: 'open-channel' as const, channelId, request };
      },
    },
  ],
  [
    MESSAGE.closeChannel,
    {
      name: 'CloseChannel',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.closeChannel.read(bytes, HEADER.bytes);
        return fields && { kind: 'close-channel' as const, ...fields };
      },
    },
  ],
  [
    MESSAGE.gpadlHeader,
    {
      name: 'GpadlHeader',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.gpadlHeader.read(bytes, HEADER.bytes);
        const data = bytes.slice(HEADER.bytes + GUEST_MESSAGES.gpadlHeader.bytes);
        return fields && { kind: 'gpadl-header' as const, ...fields, data };
      },
    },
  ],
  [
    MESSAGE.gpadlBody,
    {
      name: 'GpadlBody',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.gpadlBody.read(bytes, HEADER.bytes);
        const data = bytes.slice(HEADER.bytes + GUEST_MESSAGES.gpadlBody.bytes);
        return fields && { kind: 'gpadl-body' as const, gpadlId: fields.gpadlId, data };
      },
    },
  ],
  [
    MESSAGE.gpadlTeardown,
    {
      name: 'GpadlTeardown',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.gpadlTeardown.read(bytes, HEADER.bytes);
        return fields && { kind: 'gpadl-teardown' as const, ...fields };
      },
    },
  ],
  [
    MESSAGE.relIdReleased,
    {
      name: 'RelIdReleased',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.relIdReleased.read(bytes, HEADER.bytes);
        return fields && { kind: 'rel-id-released' as const, ...fields };
      },
    },
  ],
  [
    MESSAGE.tlConnectRequest,
    {
      name: 'TlConnectRequest',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.tlConnectRequest.read(bytes, HEADER.bytes);
        return fields && { kind: 'tl-connect-request' as const, ...fields };
      },
    },
  ],
  [
    MESSAGE.modifyChannel,
    {
      name: 'ModifyChannel',
      parse: (bytes: Uint8Array) => {
        const fields = GUEST_MESSAGES.modifyChannel.read(bytes, HEADER.bytes);
        return fields && { kind: 'modify-channel' as const, ...fields };
      },
    },
  ],
]);

/** Reads a message of the guest. @param payload the SynIC message's payload, any bytes */
export function parseGuestMessage(payload: Uint8Array): GuestMessage {
  const header = HEADER.read(payload);
  if (header === undefined) {
    return { kind: 'malformed', problem: `a message of ${payload.length} bytes, shorter than its header` };
  }
  if (payload.length > MESSAGE_LIMIT) {
    return { kind: 'malformed', problem: `a message of ${payload.length} bytes, longer than ${MESSAGE_LIMIT}` };
  }
  const entry = PARSERS.get(header.type);
  if (entry === undefined)
    return { kind: 'malformed', problem: `message type ${header.type}, which guests do not send` };
  return (
    entry.parse(payload) ?? {
      kind: 'malformed',
      problem: `${entry.name} of ${payload.length} bytes, which is too short`,
    }
  );
}

/** Where a guest signals the host for a channel: the id that OpenVMM and Hyper-V give it (channel, SINT, trust level 0). */
export const signalConnectionId = (channelId: number): number => channelId | (VMBUS_SINT << 12);

/** The channel of a signal's connection id; undefined when it is none. */
export function channelOfConnectionId(connectionId: number): number | undefined {
  const channelId = connectionId & 0xfff;
  return connectionId === signalConnectionId(channelId) && channelId >= 1 && channelId <= CHANNEL_LIMIT
    ? channelId
    : undefined;
}
