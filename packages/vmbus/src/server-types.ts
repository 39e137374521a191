/**
 * The states and actions of the channel protocol (server.ts), each a union of what can be.
 * Called by: server.ts, vmbus.ts.
 */
import type { Extent } from './gpa-ranges.ts';
import type { Guid } from './guid.ts';
import type { ContactRequest, OpenRequest } from './protocol.ts';

/** What the guest is told about a channel. */
export interface ChannelOffer {
  /** For people: `shutdown`, `scsi-0`; with the index in brackets for subchannels. */
  readonly name: string;
  readonly interfaceId: Guid;
  readonly instanceId: Guid;
  /** 0 is the device's own channel. */
  readonly subchannelIndex: number;
  /** OFFER_FLAG bits. */
  readonly flags: number;
  readonly mmioMegabytes: number;
  /** At most USER_DATA_BYTES. */
  readonly userData: Uint8Array;
  /** Whether the guest may signal through the monitor page, with this latency in units of 100 ns; 0 for not. */
  readonly monitorLatency: number;
}

export type AfterDisconnect =
  | { readonly kind: 'unload'; readonly processor: number; readonly sint: number }
  | { readonly kind: 'contact'; readonly contact: ContactRequest }
  | { readonly kind: 'reset' };

export interface Connected {
  readonly kind: 'connected';
  readonly version: number;
  /** Where messages to the guest go. */
  readonly processor: number;
  readonly sint: number;
  readonly offersSent: boolean;
  /** 0 where the guest gave none. */
  readonly parentToChildMonitorPage: number;
  readonly childToParentMonitorPage: number;
}

export type ConnectionState =
  | { readonly kind: 'disconnected' }
  | Connected
  | { readonly kind: 'disconnecting'; readonly next: AfterDisconnect };

export type AfterClose =
  | { readonly kind: 'offered' }
  | { readonly kind: 'reopen'; readonly request: OpenRequest }
  | { readonly kind: 'broken'; readonly problem: string }
  | { readonly kind: 'rescinded' }
  | { readonly kind: 'released' };

export type ChannelState =
  | { readonly kind: 'unoffered' }
  | { readonly kind: 'offered'; readonly channelId: number }
  | { readonly kind: 'opening'; readonly channelId: number; readonly request: OpenRequest }
  | {
      readonly kind: 'open';
      readonly channelId: number;
      readonly request: OpenRequest;
      readonly targetProcessor: number;
    }
  | { readonly kind: 'closing'; readonly channelId: number; readonly next: AfterClose }
  | { readonly kind: 'broken'; readonly channelId: number; readonly problem: string }
  | { readonly kind: 'rescinded'; readonly channelId: number };

export interface ServerChannel {
  readonly offerId: number;
  readonly offer: ChannelOffer;
  /** The host has withdrawn it: it is forgotten once the guest has released it. */
  gone: boolean;
  monitorId: number | undefined;
  state: ChannelState;
}

/** What the guest did against the rules, or what it should be known that it did. */
export interface VmbusEvent {
  readonly level: 'information' | 'warning';
  /** The offer's name, or null when no channel is concerned. */
  readonly device: string | null;
  readonly channelId: number | null;
  readonly text: string;
}

export type ServerAction =
  | { readonly kind: 'send'; readonly processor: number; readonly sint: number; readonly message: Uint8Array }
  /** The device is to open the channel; answer with `openCompleted`. */
  | {
      readonly kind: 'open';
      readonly offerId: number;
      readonly channelId: number;
      readonly request: OpenRequest;
      readonly ring: readonly Extent[];
      readonly monitorId: number | undefined;
    }
  /** The device is to let go of the channel and of all guest memory of it; answer with `closeCompleted`. */
  | { readonly kind: 'close'; readonly offerId: number }
  | { readonly kind: 'retarget'; readonly offerId: number; readonly processor: number }
  /** The device is to let go of a GPADL; answer with `gpadlReleased`. */
  | { readonly kind: 'gpadl-teardown'; readonly offerId: number; readonly gpadlId: number }
  /** What waits to be sent belongs to a connection that is no more. */
  | { readonly kind: 'drop-messages' }
  | { readonly kind: 'event'; readonly event: VmbusEvent };

/** A channel that was open when it was saved. */
export interface RestoredChannel {
  readonly offerId: number;
  readonly channelId: number;
  readonly request: OpenRequest;
  readonly targetProcessor: number;
  readonly ring: readonly Extent[];
  readonly monitorId: number | undefined;
  readonly indexes: { readonly readIndex: number; readonly writeIndex: number };
}
