/**
 * Packets in a ring: a 16-byte descriptor (type, offset and length in units of 8 bytes, flags, transaction id), for some types
 * a description of memory outside the ring, the data, and behind it 8 bytes with the packet's own position.
 * Layouts: Linux's include/linux/hyperv.h (vmpacket_descriptor and what follows it), OpenVMM's vmbus_ring.
 *
 * Invariants: `parsePacket` gets the host's own copy; it never throws, and everything it hands on was measured.
 * Called by: ring.ts; devices build packets with `buildPacket`.
 */
import { type Extent, parseGpaRanges } from './gpa-ranges.ts';
import { Layout } from './layout.ts';

const PACKET_TYPE = { inBand: 6, transferPages: 7, gpaDirect: 9, completion: 11 } as const;

const PACKET_FLAG_COMPLETION_REQUESTED = 1;

export const DESCRIPTOR = new Layout({
  type: 'u16',
  offset8: 'u16',
  length8: 'u16',
  flags: 'u16',
  transactionId: 'u64',
});
/** Behind each packet: four reserved bytes, and where in the ring it began. */
export const TRAILER_BYTES = 8;

const GPA_DIRECT = new Layout({ reserved: 'u32', rangeCount: 'u32' });
const TRANSFER_PAGES = new Layout({ setId: 'u16', senderOwnsSet: 'u8', reserved: 'u8', rangeCount: 'u32' });
const TRANSFER_RANGE = new Layout({ byteCount: 'u32', byteOffset: 'u32' });

export interface TransferRange {
  readonly byteCount: number;
  readonly byteOffset: number;
}

interface PacketCommon {
  readonly transactionId: bigint;
  readonly completionRequested: boolean;
  /** What follows the headers, padded to 8 bytes by the sender. */
  readonly data: Uint8Array;
}

export type Packet =
  | (PacketCommon & { readonly kind: 'in-band' })
  | (PacketCommon & { readonly kind: 'completion' })
  | (PacketCommon & { readonly kind: 'gpa-direct'; readonly ranges: readonly (readonly Extent[])[] })
  | (PacketCommon & {
      readonly kind: 'transfer-pages';
      readonly setId: number;
      readonly ranges: readonly TransferRange[];
    });

/** What parsing says instead of a packet. */
export interface PacketProblem {
  readonly problem: string;
}

export const isPacketProblem = (result: Packet | PacketProblem): result is PacketProblem => 'problem' in result;

/**
 * Parses a packet.
 * @param bytes the whole packet without its trailer: the host's own copy, at least a descriptor long
 * @param offset where the data begins, already checked to lie between the descriptor and the end
 */
export function parsePacket(bytes: Uint8Array, offset: number): Packet | PacketProblem {
  const descriptor = DESCRIPTOR.read(bytes);
  if (descriptor === undefined || offset < DESCRIPTOR.bytes || offset > bytes.length) {
    return { problem: 'a packet is shorter than its descriptor' };
  }
  const { type, flags, transactionId } = descriptor;
  const common = {
    transactionId,
    completionRequested: (flags & PACKET_FLAG_COMPLETION_REQUESTED) !== 0,
    data: bytes.subarray(offset),
  };
  switch (type) {
    case PACKET_TYPE.inBand:
      return { kind: 'in-band', ...common };
    case PACKET_TYPE.completion:
      return { kind: 'completion', ...common };
    case PACKET_TYPE.gpaDirect: {
      const headers = bytes.subarray(DESCRIPTOR.bytes, offset);
      const header = GPA_DIRECT.read(headers);
      if (header === undefined) return { problem: 'a GPA-direct packet has no room for its ranges' };
      const parsed = parseGpaRanges(headers.subarray(GPA_DIRECT.bytes), header.rangeCount);
      if (typeof parsed === 'string') return { problem: `a GPA-direct packet: ${parsed}` };
      return { kind: 'gpa-direct', ...common, ranges: parsed.ranges };
    }
    case PACKET_TYPE.transferPages: {
      const headers = bytes.subarray(DESCRIPTOR.bytes, offset);
      const header = TRANSFER_PAGES.read(headers);
      const room = (headers.length - TRANSFER_PAGES.bytes) / TRANSFER_RANGE.bytes;
      if (header === undefined || header.rangeCount > room) {
        return { problem: 'a transfer-page packet has no room for its ranges' };
      }
      const ranges: TransferRange[] = [];
      for (let index = 0; index < header.rangeCount; index++) {
        const range = TRANSFER_RANGE.read(headers, TRANSFER_PAGES.bytes + index * TRANSFER_RANGE.bytes);
        if (range !== undefined) ranges.push(range);
      }
      return { kind: 'transfer-pages', ...common, setId: header.setId, ranges };
    }
    default:
      return { problem: `packet type ${type}, which is not one that guests may send` };
  }
}

/** A packet to be sent. */
export type OutgoingPacket =
  | { readonly kind: 'in-band'; readonly transactionId: bigint; readonly requestCompletion?: boolean }
  | { readonly kind: 'completion'; readonly transactionId: bigint }
  | {
      readonly kind: 'transfer-pages';
      readonly transactionId: bigint;
      readonly requestCompletion?: boolean;
      readonly setId: number;
      readonly ranges: readonly TransferRange[];
    };

/** The packet's bytes without its trailer, padded to 8 bytes; undefined when its length does not fit its descriptor. */
export function buildPacket(packet: OutgoingPacket, data: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const ranges = packet.kind === 'transfer-pages' ? packet.ranges : [];
  const offset =
    DESCRIPTOR.bytes +
    (packet.kind === 'transfer-pages' ? TRANSFER_PAGES.bytes + ranges.length * TRANSFER_RANGE.bytes : 0);
  const length = Math.ceil((offset + data.length) / 8) * 8;
  if (length / 8 > 0xffff) return undefined;
  const bytes = new Uint8Array(length);
  const requested = packet.kind !== 'completion' && packet.requestCompletion === true;
  DESCRIPTOR.write(bytes, 0, {
    type: {
      'in-band': PACKET_TYPE.inBand,
      completion: PACKET_TYPE.completion,
      'transfer-pages': PACKET_TYPE.transferPages,
    }[packet.kind],
    offset8: offset / 8,
    length8: length / 8,
    flags: requested ? PACKET_FLAG_COMPLETION_REQUESTED : 0,
    transactionId: packet.transactionId,
  });
  if (packet.kind === 'transfer-pages') {
    TRANSFER_PAGES.write(bytes, DESCRIPTOR.bytes, { setId: packet.setId, rangeCount: ranges.length });
    ranges.forEach((range, index) => {
      TRANSFER_RANGE.write(bytes, DESCRIPTOR.bytes + TRANSFER_PAGES.bytes + index * TRANSFER_RANGE.bytes, range);
    });
  }
  bytes.set(data, offset);
  return bytes;
}
