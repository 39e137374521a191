/**
 * A channel's state between run time and saved state (state.ts). What is being opened or closed cannot be saved: vmbus.ts refuses.
 * Called by: server.ts.
 */
import { USER_DATA_BYTES } from './protocol.ts';
import { SavedValue, saveBytes } from './saved-value.ts';
import type { ChannelState } from './server-types.ts';
import type { SavedChannelState } from './state.ts';

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
