/**
 * The saved state of VMBus: plain data with a version, of its own type, so that neither the wire nor the objects at run time can
 * change it by accident. Bytes are hexadecimal, addresses are numbers.
 *
 * Versions: 1 is the first. Invariant: what `parseSavedVmbus` returns fits together (ids, indexes and lists were checked), so
 * restoring needs no further look. Called by: vmbus.ts.
 */

import type { Extent } from './gpa-ranges.ts';
import { PAGE_LIMIT } from './gpadl-table.ts';
import type { Guid } from './guid.ts';
import { CHANNEL_LIMIT, MESSAGE_LIMIT, USER_DATA_BYTES } from './protocol.ts';
import { SavedValue, saveBytes } from './saved-value.ts';

export const SAVED_VMBUS_VERSION = 1;
const U32 = 0xffffffff;

export interface SavedRequest {
  readonly openId: number;
  readonly ringGpadlId: number;
  readonly targetProcessor: number;
  readonly downstreamPageOffset: number;
  readonly userData: string;
}

export type SavedChannelState =
  | { readonly kind: 'offered' }
  | { readonly kind: 'rescinded' }
  | { readonly kind: 'broken'; readonly problem: string }
  | {
      readonly kind: 'open';
      readonly request: SavedRequest;
      readonly targetProcessor: number;
      /** Where the rings stand. */
      readonly readIndex: number;
      readonly writeIndex: number;
    };

export interface SavedChannel {
  readonly interfaceId: Guid;
  readonly instanceId: Guid;
  readonly subchannelIndex: number;
  readonly channelId: number;
  readonly monitorId: number | null;
  readonly gone: boolean;
  readonly state: SavedChannelState;
}

export type SavedGpadl = { readonly channelId: number; readonly gpadlId: number } & (
  | { readonly kind: 'receiving'; readonly bytes: string; readonly filled: number; readonly rangeCount: number }
  | { readonly kind: 'ready'; readonly ranges: readonly (readonly Extent[])[]; readonly pages: number }
  | { readonly kind: 'tearing-down'; readonly pages: number }
);

export interface SavedConnection {
  readonly version: number;
  readonly processor: number;
  readonly sint: number;
  readonly offersSent: boolean;
  readonly parentToChildMonitorPage: number;
  readonly childToParentMonitorPage: number;
}

/** The channel protocol's part. */
export interface SavedServer {
  /** null while the guest is not connected. */
  readonly connection: SavedConnection | null;
  readonly nextChannelId: number;
  readonly channels: readonly SavedChannel[];
  readonly gpadls: readonly SavedGpadl[];
}

export interface SavedVmbus extends SavedServer {
  readonly version: typeof SAVED_VMBUS_VERSION;
  /** Messages that wait for the guest's message slot. */
  readonly messages: readonly { readonly processor: number; readonly sint: number; readonly message: string }[];
  /** Each device's own state, by the device's name. */
  readonly devices: Readonly<Record<string, unknown>>;
}

/** @throws PlinthError PL-4103 for a newer version, PL-4104 for what is malformed */
export function parseSavedVmbus(saved: unknown): SavedVmbus {
  const root = new SavedValue('vmbus', saved);
  root.version(SAVED_VMBUS_VERSION);
  const devices = root.at('devices').raw();
  return {
    version: SAVED_VMBUS_VERSION,
    connection:
      root.at('connection').optional((connection) => ({
        version: connection.at('version').integer(0, U32),
        processor: connection.at('processor').integer(0, 4095),
        sint: connection.at('sint').integer(0, 15),
        offersSent: connection.at('offersSent').boolean(),
        parentToChildMonitorPage: connection.at('parentToChildMonitorPage').integer(0, 2 ** 52),
        childToParentMonitorPage: connection.at('childToParentMonitorPage').integer(0, 2 ** 52),
      })) ?? null,
    nextChannelId: root.at('nextChannelId').integer(1, CHANNEL_LIMIT),
    channels: root.at('channels').list(CHANNEL_LIMIT).map(parseChannel),
    gpadls: root.at('gpadls').list(PAGE_LIMIT).map(parseGpadl),
    messages: root
      .at('messages')
      .list(1 << 16)
      .map((one) => ({
        processor: one.at('processor').integer(0, 4095),
        sint: one.at('sint').integer(0, 15),
        message: saveBytes(one.at('message').bytes(MESSAGE_LIMIT)),
      })),
    devices: Object.fromEntries(Object.entries(typeof devices === 'object' && devices !== null ? devices : {})),
  };
}

function parseChannel(channel: SavedValue): SavedChannel {
  const state = channel.at('state');
  const kind = state.at('kind').word('offered', 'rescinded', 'broken', 'open');
  return {
    interfaceId: channel.at('interfaceId').text(36),
    instanceId: channel.at('instanceId').text(36),
    subchannelIndex: channel.at('subchannelIndex').integer(0, 0xffff),
    channelId: channel.at('channelId').integer(1, CHANNEL_LIMIT),
    monitorId: channel.at('monitorId').optional((id) => id.integer(0, 127)) ?? null,
    gone: channel.at('gone').boolean(),
    state:
      kind === 'open'
        ? {
            kind,
            request: parseRequest(state.at('request')),
            targetProcessor: state.at('targetProcessor').integer(0, U32),
            readIndex: state.at('readIndex').integer(0, U32),
            writeIndex: state.at('writeIndex').integer(0, U32),
          }
        : kind === 'broken'
          ? { kind, problem: state.at('problem').text() }
          : { kind },
  };
}

function parseRequest(request: SavedValue): SavedRequest {
  return {
    openId: request.at('openId').integer(0, U32),
    ringGpadlId: request.at('ringGpadlId').integer(0, U32),
    targetProcessor: request.at('targetProcessor').integer(0, U32),
    downstreamPageOffset: request.at('downstreamPageOffset').integer(0, U32),
    userData: saveBytes(request.at('userData').bytes(USER_DATA_BYTES)),
  };
}

function parseGpadl(gpadl: SavedValue): SavedGpadl {
  const channelId = gpadl.at('channelId').integer(1, CHANNEL_LIMIT);
  const gpadlId = gpadl.at('gpadlId').integer(0, U32);
  const kind = gpadl.at('kind').word('receiving', 'ready', 'tearing-down');
  if (kind === 'receiving') {
    const bytes = gpadl.at('bytes').bytes(0xffff);
    return {
      channelId,
      gpadlId,
      kind,
      bytes: saveBytes(bytes),
      filled: gpadl.at('filled').integer(0, bytes.length),
      rangeCount: gpadl.at('rangeCount').integer(0, 0xffff),
    };
  }
  const pages = gpadl.at('pages').integer(0, PAGE_LIMIT);
  if (kind === 'tearing-down') return { channelId, gpadlId, kind, pages };
  const ranges = gpadl
    .at('ranges')
    .list(PAGE_LIMIT)
    .map((range) => {
      let start = 0;
      return range.list(PAGE_LIMIT).map((extent) => {
        const placed = {
          start: extent.at('start').integer(start, start),
          gpa: extent.at('gpa').integer(0, 2 ** 52),
          bytes: extent.at('bytes').integer(1, U32),
        };
        start += placed.bytes;
        return placed;
      });
    });
  return { channelId, gpadlId, kind, ranges, pages };
}
