/**
 * Channels: those that the host offers, and the numbers by which the guest knows them.
 *
 * A channel is the host's by its offer id from the first offer on, and the guest's by its channel id while the guest knows it. Ids go
 * round, so that one which was given up is not another's at once. A channel that signals through the monitor page has a place there
 * for as long as it has its id.
 *
 * Invariants: a channel id, and a place in the monitor page, belong to one channel at a time; there are at most CHANNEL_LIMIT ids.
 * Called by: server.ts.
 */
import { CHANNEL_LIMIT } from './protocol.ts';
import { channelWithoutDevice, unofferedLike } from './server-saved.ts';
import type { ChannelOffer, ServerChannel } from './server-types.ts';
import type { SavedChannel } from './state.ts';

/** Places of the monitor page: 4 groups of 32. */
const MONITORS = 128;

export class ChannelTable {
  readonly #all = new Map<number, ServerChannel>();
  /** By channel id, while the guest knows it. */
  readonly #known = new Map<number, ServerChannel>();
  readonly #monitors: boolean[] = new Array<boolean>(MONITORS).fill(false);
  #nextOfferId = 1;
  #nextChannelId = 1;

  /** The channel id that is tried first for the next offer. */
  get nextChannelId(): number {
    return this.#nextChannelId;
  }

  /** Takes a channel that the guest does not know yet. */
  add(offer: ChannelOffer): ServerChannel {
    const offerId = this.#nextOfferId++;
    const channel: ServerChannel = { offerId, offer, gone: false, monitorId: undefined, state: { kind: 'unoffered' } };
    this.#all.set(offerId, channel);
    return channel;
  }

  remove({ offerId }: ServerChannel): void {
    this.#all.delete(offerId);
  }

  find(offerId: number): ServerChannel | undefined {
    return this.#all.get(offerId);
  }

  /** The channel behind an id that the guest uses. */
  known(channelId: number): ServerChannel | undefined {
    return this.#known.get(channelId);
  }

  all(): IterableIterator<ServerChannel> {
    return this.#all.values();
  }

  /** Channels that the guest knows, by their ids. */
  allKnown(): IterableIterator<[number, ServerChannel]> {
    return this.#known.entries();
  }

  /** Whether the guest knows a channel of the same name: it would take another for the same. */
  isNameKnown({ instanceId, subchannelIndex }: ChannelOffer): boolean {
    return [...this.#known.values()].some(
      ({ offer }) => offer.instanceId === instanceId && offer.subchannelIndex === subchannelIndex,
    );
  }

  /** Gives a channel an id, and a place in the monitor page if it wants one and there is one. @returns undefined when all ids are in use */
  makeKnown(channel: ServerChannel): number | undefined {
    const channelId = this.#freeChannelId();
    if (channelId === undefined) return undefined;
    const monitorId = channel.offer.monitorLatency > 0 ? this.#monitors.indexOf(false) : -1;
    channel.monitorId = monitorId < 0 ? undefined : monitorId;
    if (monitorId >= 0) this.#monitors[monitorId] = true;
    channel.state = { kind: 'offered', channelId };
    this.#known.set(channelId, channel);
    return channelId;
  }

  /** The guest knows the channel no more: its id and its place in the monitor page are free. */
  forget(channel: ServerChannel, channelId: number): void {
    this.#known.delete(channelId);
    if (channel.monitorId !== undefined) this.#monitors[channel.monitorId] = false;
    channel.monitorId = undefined;
    channel.state = { kind: 'unoffered' };
  }

  /** Takes the number at which a saved server would have gone on. */
  restoreNextChannelId(channelId: number): void {
    this.#nextChannelId = channelId;
  }

  /** Takes a channel's numbers from a saved state. @returns it, and whether its device is there */
  restore(saved: SavedChannel): { readonly channel: ServerChannel; readonly hasDevice: boolean } {
    const match = saved.gone ? undefined : unofferedLike(this.#all.values(), saved);
    const channel = match ?? channelWithoutDevice(this.#nextOfferId++, saved);
    this.#all.set(channel.offerId, channel);
    channel.monitorId = saved.monitorId ?? undefined;
    if (saved.monitorId !== null) this.#monitors[saved.monitorId] = true;
    this.#known.set(saved.channelId, channel);
    return { channel, hasDevice: match !== undefined };
  }

  #freeChannelId(): number | undefined {
    for (let tried = 0; tried < CHANNEL_LIMIT; tried++) {
      const channelId = this.#nextChannelId;
      this.#nextChannelId = (channelId % CHANNEL_LIMIT) + 1;
      if (!this.#known.has(channelId)) return channelId;
    }
    return undefined;
  }
}
