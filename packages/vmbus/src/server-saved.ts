/**
 * Channels and GPADLs between run time and saved state (state.ts). What is being opened or closed cannot be saved: vmbus.ts refuses.
 * Called by: server.ts, channel-table.ts.
 */
import type { Gpadl } from './gpadl-table.ts';
import { USER_DATA_BYTES } from './protocol.ts';
import { SavedValue, saveBytes } from './saved-value.ts';
import type { ChannelOffer, ChannelState, ServerChannel } from './server-types.ts';
import type { SavedChannel, SavedChannelState, SavedGpadl } from './state.ts';

/** @param indexes where the rings of the channel stand, asked for only when it is open */
export function saveChannelState(
  state: ChannelState,
  indexes: () => { readonly readIndex: number; readonly writeIndex: number },
): SavedChannelState {
  switch (state.kind) {
    case 'open': {
      const { request, targetProcessor } = state;
      const { readIndex, writeIndex } = indexes();
      const saved = { ...request, userData: saveBytes(request.userData) };
      return { kind: 'open', request: saved, targetProcessor, readIndex, writeIndex };
    }
    case 'broken':
      return { kind: 'broken', problem: state.problem };
    case 'rescinded':
      return { kind: 'rescinded' };
    default:
      return { kind: 'offered' };
  }
}

export function restoreChannelState(channelId: number, state: SavedChannelState): ChannelState {
  if (state.kind !== 'open') return { ...state, channelId };
  const userData = new SavedValue('vmbus', state.request.userData).bytes(USER_DATA_BYTES);
  return { kind: 'open', channelId, request: { ...state.request, userData }, targetProcessor: state.targetProcessor };
}

export const saveGpadl = ({ channelId, gpadlId, state }: Gpadl): SavedGpadl =>
  state.kind === 'receiving'
    ? { channelId, gpadlId, ...state, bytes: saveBytes(state.bytes) }
    : { channelId, gpadlId, ...state };

export function restoreGpadl({ channelId, gpadlId, ...state }: SavedGpadl): Gpadl {
  if (state.kind !== 'receiving') return { channelId, gpadlId, state };
  return {
    channelId,
    gpadlId,
    state: { ...state, bytes: new SavedValue('vmbus', state.bytes).bytes(0xffff) },
  };
}

/** The device's channel that a saved one was, if it was offered to the bus. */
export function unofferedLike(
  channels: Iterable<ServerChannel>,
  { interfaceId, instanceId, subchannelIndex }: SavedChannel,
): ServerChannel | undefined {
  return [...channels].find(
    ({ offer, state }) =>
      state.kind === 'unoffered' &&
      offer.interfaceId === interfaceId &&
      offer.instanceId === instanceId &&
      offer.subchannelIndex === subchannelIndex,
  );
}

/** A channel that the guest knows and no device is behind. */
export const channelWithoutDevice = (
  offerId: number,
  { interfaceId, instanceId, subchannelIndex, gone }: SavedChannel,
): ServerChannel => ({
  offerId,
  offer: { ...NO_OFFER, interfaceId, instanceId, subchannelIndex },
  gone,
  monitorId: undefined,
  state: { kind: 'unoffered' },
});

/** What stands for a saved channel whose device does not exist any more. */
const NO_OFFER: ChannelOffer = {
  name: '(gone)',
  interfaceId: '00000000-0000-0000-0000-000000000000',
  instanceId: '00000000-0000-0000-0000-000000000000',
  subchannelIndex: 0,
  flags: 0,
  mmioMegabytes: 0,
  userData: new Uint8Array(0),
  monitorLatency: 0,
};
