/**
 * Pipes: packets whose data begins with an 8-byte header (type, length), so that a message need not be a multiple of 8 bytes.
 * Linux calls it vmbuspipe_hdr and copies the first word back as it was. Called by: devices whose offer says `pipe`.
 */
import { Layout } from './layout.ts';

const PIPE_HEADER = new Layout({ type: 'u32', length: 'u32' });
const PIPE_DATA = 1;

export const wrapPipeMessage = (message: Uint8Array): Uint8Array<ArrayBuffer> => {
  const data = new Uint8Array(PIPE_HEADER.bytes + message.length);
  PIPE_HEADER.write(data, 0, { type: PIPE_DATA, length: message.length });
  data.set(message, PIPE_HEADER.bytes);
  return data;
};

/** The message in a packet's data; undefined when the header is missing, of another type, or promises more than there is. */
export function unwrapPipeMessage(data: Uint8Array): Uint8Array | undefined {
  const header = PIPE_HEADER.read(data);
  if (header === undefined || header.type !== PIPE_DATA || header.length > data.length - PIPE_HEADER.bytes)
    return undefined;
  return data.subarray(PIPE_HEADER.bytes, PIPE_HEADER.bytes + header.length);
}
