/** The root partition's calls: their order, their privileges, and that a worker has no way around them. TLFS, partition management. */
import { PlinthError } from '@plinth/errors';
import { describe, expect, it } from 'vitest';
import type { Device } from './device.ts';
import { GuestMemory } from './guest-memory.ts';
import { mustSucceed, RootPartition } from './root-partition.ts';
import { TestProcessor } from './testing/test-guest.ts';
import { hypervisorLeaves } from './tlfs/cpuid-leaves.ts';
import { CHILD_PRIVILEGES, type PrivilegeName, privilegeMask, ROOT_PRIVILEGES } from './tlfs/privileges.ts';
import { HV_STATUS } from './tlfs/status.ts';

const ID = 7n;
const NX = { leaf: 0x80000001, eax: 0, ebx: 0, ecx: 0, edx: 1 << 20 };
const request = { partitionId: ID, ramBytes: 2 ** 21, processors: 2, clock: { now: () => 0 } };
const leaves = [NX, ...hypervisorLeaves({ privileges: CHILD_PRIVILEGES })];

function created(root = new RootPartition()): RootPartition {
  mustSucceed('HvCallCreatePartition', root.createPartition(request).status);
  mustSucceed('HvCallSetPartitionProperty', root.setPartitionProperty(ID, 'PrivilegeFlags', CHILD_PRIVILEGES));
  mustSucceed('HvCallRegisterInterceptResult', root.registerInterceptResult(ID, leaves));
  return root;
}
function active(): RootPartition {
  const root = created();
  mustSucceed('HvCallInitializePartition', root.initializePartition(ID));
  root.connectHost(ID, {});
  return root;
}
const without = (privilege: PrivilegeName): RootPartition =>
  new RootPartition(ROOT_PRIVILEGES & ~privilegeMask([privilege]));

const device = (name: string): Device => ({
  name,
  ports: [{ first: 0x60, count: 1 }],
  mmio: [],
  reset() {},
  inspect: () => ({}),
  save: () => ({}),
  restore() {},
});

describe('a partition', () => {
  it('goes from created to gone, and has no memory but what is mapped', () => {
    const root = active();
    const partition = root.partition(ID);
    expect(partition.guestMemory).toBeInstanceOf(GuestMemory);
    expect(partition.guestMemory.readU8(0)).toBeUndefined();
    expect(root.mapGpaPages(ID, 0, 256, 'ram', 0)).toBe(HV_STATUS.SUCCESS);
    expect(root.mapGpaPages(ID, 512, 1, 'rom', 256)).toBe(HV_STATUS.SUCCESS);
    expect(root.mapGpaPages(ID, 1, 1, 'hole', 0)).toBe(HV_STATUS.SUCCESS);
    expect(partition.guestMemory.readU8(0)).toBe(0);
    expect(partition.guestMemory.writeU8(512 * 4096, 1)).toBe(false);
    expect([root.createVp(ID, 0), root.createVp(ID, 1)]).toEqual([HV_STATUS.SUCCESS, HV_STATUS.SUCCESS]);
    expect(root.finalizePartition(ID)).toBe(HV_STATUS.SUCCESS);
    expect(root.createVp(ID, 0)).toBe(HV_STATUS.INVALID_PARTITION_STATE);
    expect(root.deletePartition(ID)).toBe(HV_STATUS.SUCCESS);
    expect(root.deletePartition(ID)).toBe(HV_STATUS.INVALID_PARTITION_ID);
    expect(() => root.partition(ID)).toThrow('PL-4110');
  });

  it('is refused what does not fit its state', () => {
    const root = created();
    expect(root.mapGpaPages(ID, 0, 1, 'ram', 0)).toBe(HV_STATUS.INVALID_PARTITION_STATE);
    expect(root.createVp(ID, 0)).toBe(HV_STATUS.INVALID_PARTITION_STATE);
    expect(root.deletePartition(ID)).toBe(HV_STATUS.INVALID_PARTITION_STATE);
    expect(root.initializePartition(ID)).toBe(HV_STATUS.SUCCESS);
    expect(root.initializePartition(ID)).toBe(HV_STATUS.INVALID_PARTITION_STATE);
    expect(root.setPartitionProperty(ID, 'PrivilegeFlags', 0n)).toBe(HV_STATUS.INVALID_PARTITION_STATE);
    expect(root.createVp(9n, 0)).toBe(HV_STATUS.INVALID_PARTITION_ID);
  });

  it.each([
    ['no pages', 0, 0, 'ram', 0],
    ['a page below 0', -1, 1, 'ram', 0],
    ['half a page', 0, 0.5, 'ram', 0],
    ['pages beyond its pool', 0, 2, 'ram', 511],
    ['device memory', 0, 1, 'mmio', 0],
  ] as const)('cannot be mapped %s', (_, page, pages, kind, source) => {
    expect(active().mapGpaPages(ID, page, pages, kind, source)).toBe(HV_STATUS.INVALID_PARAMETER);
  });

  it('has ids of its own, and processors once each', () => {
    const root = active();
    expect(root.createPartition(request).status).toBe(HV_STATUS.INVALID_PARTITION_ID);
    expect(root.createPartition({ ...request, partitionId: 1n }).status).toBe(HV_STATUS.INVALID_PARTITION_ID);
    expect(root.createPartition({ ...request, partitionId: 8n, ramBytes: 2 ** 33 }).status).toBe(
      HV_STATUS.INSUFFICIENT_MEMORY,
    );
    for (const index of [2, -1, 0.5]) expect(root.createVp(ID, index)).toBe(HV_STATUS.INVALID_VP_INDEX);
    root.createVp(ID, 0);
    expect(root.createVp(ID, 0)).toBe(HV_STATUS.INVALID_VP_INDEX);
    expect(root.getNextChildPartition(0n)).toEqual({ status: HV_STATUS.SUCCESS, next: ID });
    expect(root.getNextChildPartition(ID)).toEqual({ status: HV_STATUS.SUCCESS, next: 0n });
  });

  it('does not run on processors that lack NX', () => {
    const root = new RootPartition();
    root.createPartition(request);
    root.registerInterceptResult(ID, [{ ...NX, edx: 0 }]);
    const status = root.initializePartition(ID);
    expect(status).toBe(HV_STATUS.NX_NOT_DETECTED);
    expect(() => mustSucceed('HvCallInitializePartition', status)).toThrow('PL-4111');
  });
});

describe('without CreatePartitions', () => {
  const root = without('CreatePartitions');

  it.each<[string, () => unknown]>([
    ['HvCallCreatePartition', () => root.createPartition(request).status],
    ['HvCallSetPartitionProperty', () => root.setPartitionProperty(ID, 'PrivilegeFlags', 0n)],
    ['HvCallRegisterInterceptResult', () => root.registerInterceptResult(ID, [])],
    ['HvCallInitializePartition', () => root.initializePartition(ID)],
    ['HvCallFinalizePartition', () => root.finalizePartition(ID)],
    ['HvCallDeletePartition', () => root.deletePartition(ID)],
    ['HvCallGetNextChildPartition', () => root.getNextChildPartition(0n).status],
    ['HvCallMapGpaPages', () => root.mapGpaPages(ID, 0, 1, 'ram', 0)],
    ['HvCallCreateVp', () => root.createVp(ID, 0)],
    ['HvCallPostMessageDirect', () => root.postMessageDirect(ID, 0, 2, 1, new Uint8Array(1))],
    ['HvCallSignalEventDirect', () => root.signalEventDirect(ID, 0, 2, 1).status],
  ])('%s is denied', (call, make) => {
    const status = make();
    expect(status).toBe(HV_STATUS.ACCESS_DENIED);
    expect(() => mustSucceed(call, HV_STATUS.ACCESS_DENIED)).toThrow(
      expect.objectContaining({ code: 'PL-4110', parameters: { call, status: 'HV_STATUS_ACCESS_DENIED' } }),
    );
  });

  it('nobody intercepts ports of a partition that is there, on any thread', () => {
    const owner = active();
    owner.partition(ID).introduce(ID, ROOT_PRIVILEGES & ~privilegeMask(['CreatePartitions']));
    const attached = RootPartition.attach(owner.partition(ID).memory, request.clock);
    expect(attached.partitionId).toBe(ID);
    const view = attached.root.partition(ID);
    expect(() => view.addDevice(device('a'))).toThrow(PlinthError);
    expect(() => view.addMsrs(0x10, 1, { read: () => 0n, write: () => true })).toThrow('PL-4110');
    expect(view.devices).toEqual([]);
  });
});

describe('ports', () => {
  const event = { type: 'event', sint: 2, baseFlagNumber: 0, flagCount: 1 } as const;

  it('are denied without their privileges', () => {
    const ports = without('CreatePort');
    const connections = without('ConnectPort');
    expect(ports.createPort(ID, 1, event)).toBe(HV_STATUS.ACCESS_DENIED);
    expect(ports.deletePort(ID, 1)).toBe(HV_STATUS.ACCESS_DENIED);
    expect(connections.connectPort(ID, 1, 1)).toBe(HV_STATUS.ACCESS_DENIED);
    expect(connections.disconnectPort(ID, 1)).toBe(HV_STATUS.ACCESS_DENIED);
  });

  it.each([
    ['an id that is too long', 2 ** 24, event],
    ['source 16', 1, { ...event, sint: 16 }],
    ['flags beyond the last', 1, { ...event, baseFlagNumber: 2047, flagCount: 2 }],
    ['no flag', 1, { ...event, flagCount: 0 }],
    ['half a flag', 1, { ...event, baseFlagNumber: 0.5 }],
  ])('are refused with %s', (_, id, info) => {
    expect(active().createPort(ID, id, info)).toBe(HV_STATUS.INVALID_PARAMETER);
  });

  it('exist once, are connected once, and go', () => {
    const root = active();
    expect(root.createPort(ID, 5, event)).toBe(HV_STATUS.SUCCESS);
    expect(root.createPort(ID, 5, event)).toBe(HV_STATUS.INVALID_PORT_ID);
    expect(root.connectPort(ID, 9, 6)).toBe(HV_STATUS.INVALID_PORT_ID);
    expect(root.connectPort(ID, 9, 5)).toBe(HV_STATUS.SUCCESS);
    expect(root.connectPort(ID, 9, 5)).toBe(HV_STATUS.INVALID_CONNECTION_ID);
    expect(root.connectPort(ID, -1, 5)).toBe(HV_STATUS.INVALID_CONNECTION_ID);
    expect(root.disconnectPort(ID, 9)).toBe(HV_STATUS.SUCCESS);
    expect(root.disconnectPort(ID, 9)).toBe(HV_STATUS.INVALID_CONNECTION_ID);
    expect(root.deletePort(ID, 5)).toBe(HV_STATUS.SUCCESS);
    expect(root.deletePort(ID, 5)).toBe(HV_STATUS.INVALID_PORT_ID);
  });

  it('are bounded', () => {
    const root = active();
    for (let id = 0; id < 1024; id++) root.createPort(ID, id, event);
    expect(root.createPort(ID, 5000, event)).toBe(HV_STATUS.INSUFFICIENT_MEMORY);
    for (let id = 0; id < 2048; id++) root.connectPort(ID, id, 1);
    expect(root.connectPort(ID, 5000, 1)).toBe(HV_STATUS.INSUFFICIENT_MEMORY);
  });
});

describe('messages and events to a child', () => {
  it.each([
    ['a processor that is none', 2, 2, 1, 1, HV_STATUS.INVALID_VP_INDEX],
    ['source 16', 0, 16, 1, 1, HV_STATUS.INVALID_PARAMETER],
    ['type 0', 0, 2, 0, 1, HV_STATUS.INVALID_PARAMETER],
    ['241 bytes', 0, 2, 1, 241, HV_STATUS.INVALID_PARAMETER],
    ['a SynIC that is off', 0, 2, 1, 1, HV_STATUS.INVALID_SYNIC_STATE],
  ])('%s', (_, vp, sint, type, bytes, status) => {
    expect(active().postMessageDirect(ID, vp, sint, type, new Uint8Array(bytes))).toBe(status);
  });

  it.each([
    ['a processor that is none', 2, 2, 0, HV_STATUS.INVALID_VP_INDEX],
    ['source 16', 0, 16, 0, HV_STATUS.INVALID_PARAMETER],
    ['flag 2048', 0, 2, 2048, HV_STATUS.INVALID_PARAMETER],
    ['a SynIC that is off', 0, 2, 0, HV_STATUS.INVALID_SYNIC_STATE],
  ])('event: %s', (_, vp, sint, flag, status) => {
    expect(active().signalEventDirect(ID, vp, sint, flag)).toEqual({ status, newlySignaled: false });
  });

  it('reach a guest from another thread than its processor, and come back', () => {
    const root = active();
    root.mapGpaPages(ID, 0, 512, 'ram', 0);
    const processorThread = RootPartition.attach(root.partition(ID).memory, request.clock).root;
    let wakes = 0;
    processorThread.connectProcessor(ID, new TestProcessor(0), {
      deliver() {},
      reset() {},
      guestCrashed() {},
      wakeRoot: () => {
        wakes++;
      },
      idle() {},
      runTime: () => 0,
    });
    const view = processorThread.partition(ID);
    for (const [msr, value] of [
      [0x40000080, 1n],
      [0x40000083, 0x10001n],
      [0x40000082, 0x11001n],
      [0x40000092, 0x40n],
      [0x40000000, 1n],
      [0x40000001, 0x12001n],
    ] as const) {
      expect(view.msrWrite(msr, value)).toBe(true);
    }
    expect(root.postMessageDirect(ID, 0, 2, 1, Uint8Array.of(9))).toBe(HV_STATUS.SUCCESS);
    expect(view.guestMemory.readU8(0x10210)).toBe(9);
    expect(root.signalEventDirect(ID, 0, 2, 3)).toEqual({ status: HV_STATUS.SUCCESS, newlySignaled: true });
    expect(view.guestMemory.readU8(0x11200)).toBe(8);
    root.createPort(ID, 1, { type: 'message', sint: 2 });
    root.connectPort(ID, 4, 1);
    view.guestMemory.writeU32(0x20000, 4);
    view.guestMemory.writeU32(0x20008, 1);
    expect(view.hypercall()).toBe('completed');
    expect(wakes).toBe(0);
  });

  it('do not exist for a guest that is not told of the hypervisor', () => {
    const root = new RootPartition();
    root.createPartition(request);
    root.registerInterceptResult(ID, [NX]);
    root.initializePartition(ID);
    root.connectHost(ID, {});
    root.connectProcessor(ID, new TestProcessor(0), {
      deliver() {},
      reset() {},
      guestCrashed() {},
      wakeRoot() {},
      idle() {},
      runTime: () => 0,
    });
    expect(root.partition(ID).msrRead(0x40000000)).toBeUndefined();
    expect(root.partition(ID).hypercall()).toBe('absent');
    expect(root.createPort(ID, 1, { type: 'message', sint: 2 })).toBe(HV_STATUS.INVALID_SYNIC_STATE);
    expect(root.inspectInterface(ID)).toBeNull();
  });
});

describe('inspect', () => {
  it('shows the partition table', () => {
    const root = active();
    root.createVp(ID, 1);
    expect(root.inspect()).toMatchObject({
      '0x1': { kind: 'root', privileges: expect.arrayContaining(['CreatePartitions']) },
      '0x7': { kind: 'child', parent: '0x1', state: 'active', processors: [1], ramBytes: 2 ** 21 },
    });
    expect(root.inspectInterface(ID)).toMatchObject({ partitionId: '0x7', processors: { 0: {}, 1: {} } });
  });

  it('privileges that the root lacks cannot be given to a child', () => {
    const root = without('PostMessages');
    root.createPartition(request);
    expect(root.setPartitionProperty(ID, 'PrivilegeFlags', CHILD_PRIVILEGES)).toBe(HV_STATUS.ACCESS_DENIED);
  });
});
