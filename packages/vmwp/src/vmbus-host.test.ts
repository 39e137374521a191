/** VMBus on the main thread: what the guest posts and signals on a processor's thread comes to the bus, and what the bus sends to the guest. */
import { CHILD_PRIVILEGES, HV_STATUS, type HvStatus, hypervisorLeaves, RootPartition } from '@plinth/hypervisor';
import type { Channel, VmbusDevice } from '@plinth/vmbus';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createChildPartition, deleteChildPartition } from './child-partition.ts';
import { VmbusHost } from './vmbus-host.ts';

const NX = { leaf: 0x80000001, eax: 0, ebx: 0, ecx: 0, edx: 1 << 20 };
const FEATURES = { leaf: 1, eax: 0, ebx: 0, ecx: 2 ** 31, edx: 0 };

/** The root's calls as the bus makes them, with what the guest is sent. */
class RecordingRoot extends RootPartition {
  readonly sent: { type: number; payload: Uint8Array }[] = [];
  answer: HvStatus = HV_STATUS.SUCCESS;

  override postMessageDirect(_: bigint, _vp: number, _sint: number, type: number, payload: Uint8Array): HvStatus {
    if (this.answer === HV_STATUS.SUCCESS) this.sent.push({ type, payload: Uint8Array.from(payload) });
    return this.answer;
  }
}

let root: RecordingRoot;
let child: ReturnType<typeof createChildPartition>;
let host: VmbusHost;
const log: string[] = [];

beforeEach(() => {
  log.length = 0;
  root = new RecordingRoot();
  child = createChildPartition(
    { memoryBytes: 2 ** 24, processors: 1, clock: { now: () => 0 }, tscPerNanosecond: 2, cpuid: [FEATURES, NX] },
    root,
  );
  root.connectHost(child.partitionId, {});
  host = new VmbusHost(child, 1, (text) => log.push(text));
});
afterEach(() => {
  host.close();
  deleteChildPartition(child);
});

/** INITIATE_CONTACT of a version, as Linux posts it. */
function contact(version: number): Uint8Array {
  const message = new Uint8Array(40);
  const view = new DataView(message.buffer);
  view.setUint32(0, 14, true);
  view.setUint32(8, version, true);
  view.setUint8(16, 2);
  view.setBigUint64(24, 0x10000n, true);
  view.setBigUint64(32, 0x11000n, true);
  return message;
}

const device: VmbusDevice = {
  name: 'test',
  offer: { interfaceId: '11111111-2222-3333-4444-555555555555', instanceId: '11111111-2222-3333-4444-666666666666' },
  open: (_: Channel) => 'accepted',
  packet: () => 'done',
  close: () => 'closed',
  save: () => ({}),
  restore() {},
  inspect: () => ({}),
};

describe('the ports', () => {
  it('are there for messages on connections 1 and 4, and for channels only while they are open', () => {
    const tree = root.inspectInterface(child.partitionId);
    expect(tree).toMatchObject({ ports: { connections: { '0x1': 'message port 0x1', '0x4': 'message port 0x1' } } });
    host.signalPort(7, true);
    expect(root.inspectInterface(child.partitionId)).toMatchObject({
      ports: { connections: { '0x2007': 'event port 0x1007, flags 7-7' } },
    });
    host.signalPort(7, false);
    expect(root.connectPort(child.partitionId, 0x2007, 0x1007)).toBe(HV_STATUS.INVALID_PORT_ID);
  });
});

describe('a message of the guest', () => {
  it('reaches the bus in the drain after the wake, and the answer goes back', () => {
    const { hypervisorEnd } = guestEnd();
    hypervisorEnd(4, 1, contact(0x50003));
    host.drain();
    expect(host.status().version).toBe('5.3');
    expect(root.sent.map(({ type, payload }) => [type, payload[0]])).toEqual([[1, 15]]);
  });

  it('whose answer cannot be posted now is answered after the next wake', () => {
    const { hypervisorEnd } = guestEnd();
    root.answer = HV_STATUS.INVALID_SYNIC_STATE;
    hypervisorEnd(4, 1, contact(0x50003));
    host.drain();
    expect(root.sent).toEqual([]);
    root.answer = HV_STATUS.SUCCESS;
    host.drain();
    expect(root.sent).toHaveLength(1);
  });

  it('that cannot be posted at all is a fault of the worker', () => {
    const { hypervisorEnd } = guestEnd();
    root.answer = HV_STATUS.ACCESS_DENIED;
    hypervisorEnd(4, 1, contact(0x50003));
    expect(() => host.drain()).toThrow('PL-4110');
  });

  it('that is none of VMBus is told', () => {
    const { hypervisorEnd } = guestEnd();
    hypervisorEnd(1, 77, Uint8Array.of(1));
    host.drain();
    expect(log).toEqual([expect.stringContaining('VMBus: The guest posted a message of type 77')]);
  });
});

describe('a reset', () => {
  it('forgets the guest, and the devices are offered to the next', () => {
    const { hypervisorEnd } = guestEnd();
    host.bus.offer(device);
    hypervisorEnd(4, 1, contact(0x50003));
    host.drain();
    expect(host.status().version).toBe('5.3');
    host.reset();
    expect(host.status()).toMatchObject({ version: null, channels: [{ name: 'test' }] });
    host.close();
    hypervisorEnd(4, 1, contact(0x50003));
    host.drain();
    expect(host.status().version).toBeNull();
  });
});

/** The guest's side of the message ports, on what would be a processor's thread. */
function guestEnd() {
  expect(hypervisorLeaves({ privileges: CHILD_PRIVILEGES })).toHaveLength(6);
  const { partition } = child;
  const registers = new Map<string, bigint>();
  const processor = {
    index: 0,
    executesLongCode: () => true,
    readRegister: (name: string) => registers.get(name) ?? 0n,
    writeRegister: (name: string, value: unknown) => {
      if (typeof value === 'bigint') registers.set(name, value);
    },
    readApicRegister: () => 0,
    writeApicRegister() {},
    flushTlb() {},
    setVectorAssist() {},
    run: () => ({ kind: 'budget' }) as const,
    kick() {},
    reset() {},
    nextDeadline: () => 0,
    setDeviceDeadline() {},
    instructionCounts: () => ({ interpreted: 0, translated: 0 }),
    translate: () => undefined,
  };
  const thread = RootPartition.attach(partition.memory, partition.clock).root;
  thread.connectProcessor(child.partitionId, processor, {
    deliver() {},
    reset() {},
    guestCrashed() {},
    wakeRoot() {},
    idle() {},
    runTime: () => 0,
  });
  const view = thread.partition(child.partitionId);
  view.msrWrite(0x40000000, 1n);
  view.msrWrite(0x40000001, 0x20_0001n);
  return {
    hypervisorEnd(connection: number, type: number, payload: Uint8Array): void {
      const message = new Uint8Array(256);
      const header = new DataView(message.buffer);
      header.setUint32(0, connection, true);
      header.setUint32(8, type, true);
      header.setUint32(12, payload.length, true);
      message.set(payload, 16);
      view.guestMemory.write(0x30_0000, message);
      registers.set('Rcx', 0x5cn);
      registers.set('Rdx', 0x30_0000n);
      expect(view.hypercall()).toBe('completed');
      expect(registers.get('Rax')).toBe(0n);
    },
  };
}
