/** A device for tests: answers each packet with what it carried, reads and writes the guest's external buffers. */
import type { Channel } from '../channel.ts';
import type { VmbusDevice } from '../device.ts';
import type { Packet } from '../packet.ts';

export const ECHO_INTERFACE = '11111111-2222-3333-4444-555555555555';

export class EchoDevice implements VmbusDevice {
  readonly name: string;
  readonly offer;
  readonly open_ = new Set<Channel>();
  readonly packets: Packet[] = [];
  writables = 0;
  /** Packets that it takes before it says 'busy'. */
  capacity = Number.POSITIVE_INFINITY;
  refuse: string | undefined;
  /** Whether it needs time to let go of guest memory. */
  slow = false;
  subchannels = 0;
  restored: unknown;

  constructor(name = 'echo', options: { readonly instance?: string; readonly monitorLatency?: number } = {}) {
    const { instance = 'aaaaaaaa-0000-0000-0000-000000000001', monitorLatency = 0 } = options;
    this.name = name;
    this.offer = { interfaceId: ECHO_INTERFACE, instanceId: instance, monitorLatency };
  }

  open(channel: Channel): 'accepted' | { readonly refused: string } {
    if (this.refuse !== undefined) return { refused: this.refuse };
    this.open_.add(channel);
    if (channel.subchannelIndex === 0 && this.subchannels > 0) channel.offerSubchannels(this.subchannels);
    return 'accepted';
  }

  packet(channel: Channel, packet: Packet): 'done' | 'busy' {
    if (this.capacity === 0) return 'busy';
    this.capacity--;
    this.packets.push(packet);
    if (this.packets.length > 64) this.packets.shift();
    const { transactionId } = packet;
    if (packet.kind === 'gpa-direct') {
      const answer: number[] = [];
      for (const range of packet.ranges) {
        const buffer = channel.buffer(range);
        const first = buffer.read(0, Math.min(buffer.length, 4096));
        if (first === undefined || !buffer.write(0, first)) channel.fail('an external buffer is not memory');
        answer.push(first?.[0] ?? 0);
      }
      channel.send({ kind: 'completion', transactionId }, Uint8Array.from(answer));
    } else if (packet.completionRequested) channel.send({ kind: 'completion', transactionId }, packet.data);
    else if (channel.send({ kind: 'in-band', transactionId }, packet.data) === 'full') return 'busy';
    return 'done';
  }

  writable(channel: Channel): void {
    this.writables++;
    channel.resume();
  }

  close(channel: Channel): 'closed' | 'closing' {
    this.open_.delete(channel);
    return this.slow ? 'closing' : 'closed';
  }

  gpadlTeardown(): 'released' | 'pending' {
    return this.slow ? 'pending' : 'released';
  }

  save(): unknown {
    return { version: 1, name: this.name };
  }

  restore(state: unknown, channels: readonly Channel[]): void {
    this.restored = state;
    for (const channel of channels) this.open_.add(channel);
  }

  inspect() {
    return { open: this.open_.size };
  }
}
