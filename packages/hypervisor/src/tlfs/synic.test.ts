/** The synthetic interrupt controller: messages, event flags, sources, and what each register does to what waits. TLFS, chapter of that name. */
import { beforeEach, describe, expect, it } from 'vitest';
import { TestGuest } from '../testing/test-guest.ts';
import { HV_STATUS } from './status.ts';
import type { Synic } from './synic.ts';

const SLOT = 0x10200;
const FLAGS = 0x11200;
const EOM = 0x40000084;

let guest: TestGuest;
let synic: Synic;
beforeEach(() => {
  guest = new TestGuest();
  const [processor] = guest.guest.processors;
  if (processor === undefined) throw new Error('no processor');
  synic = processor.synic;
});

const post = (type: number, sint = 2): number => synic.postMessage(sint, type, 1n, Uint8Array.of(type, 0xaa));
/** The message in source 2's slot: type, size, flags, first byte. */
function slot(): number[] {
  const header = guest.at(SLOT);
  return [header & 0xffffffffn, (header >> 32n) & 0xffn, (header >> 40n) & 0xffn, guest.at(SLOT + 16) & 0xffn].map(
    Number,
  );
}
/** The guest takes the message out of its slot, as Linux's driver does. */
function take(): boolean {
  const pending = (slot()[2] ?? 0) === 1;
  guest.partition.guestMemory.writeU32(SLOT, 0);
  if (pending) guest.write(EOM, 0n);
  return pending;
}

describe('a message', () => {
  it.each([
    ['the controller is off', [0x40000080, 0n]],
    ['the page is off', [0x40000083, 0x10000n]],
  ] as const)('is refused while %s, and the sender hears when that changes', (_, [msr, value]) => {
    guest.enableSynic();
    guest.write(msr, value);
    expect(post(1)).toBe(HV_STATUS.INVALID_SYNIC_STATE);
    expect(guest.wakes).toBe(0);
    guest.write(msr, value | 1n);
    expect(guest.wakes).toBe(1);
    expect(post(1)).toBe(HV_STATUS.SUCCESS);
  });

  it('goes into its slot with type, size, sender and payload, and interrupts', () => {
    guest.enableSynic();
    expect(post(5)).toBe(HV_STATUS.SUCCESS);
    expect(slot()).toEqual([5, 2, 0, 5]);
    expect(guest.at(SLOT + 8)).toBe(1n);
    expect(guest.interrupts).toEqual([
      { vector: 0xf3, deliveryMode: 0, destination: 0, logicalDestination: false, levelTriggered: false },
    ]);
  });

  it('waits behind another, which then says so; EOM brings it, in order', () => {
    guest.enableSynic();
    for (const type of [1, 2, 3]) post(type);
    expect(slot()).toEqual([1, 2, 1, 1]);
    expect(guest.vectors()).toEqual([0xf3]);
    expect(take()).toBe(true);
    expect(slot()).toEqual([2, 2, 1, 2]);
    expect(take()).toBe(true);
    expect(slot()).toEqual([3, 2, 0, 3]);
    expect(take()).toBe(false);
    expect(guest.vectors()).toEqual([0xf3, 0xf3]);
    guest.write(EOM, 0n);
    expect(slot()[0]).toBe(0);
  });

  it('is also brought by the EOI of its vector, and by another message', () => {
    guest.enableSynic();
    for (const type of [1, 2, 3]) post(type);
    guest.partition.guestMemory.writeU32(SLOT, 0);
    guest.partition.endOfInterrupt(0xf3);
    expect(slot()[0]).toBe(2);
    guest.partition.guestMemory.writeU32(SLOT, 0);
    guest.partition.endOfInterrupt(0xf2);
    expect(slot()[0]).toBe(0);
    post(4);
    expect(slot()[0]).toBe(3);
  });

  it('stays in the slot of its own source', () => {
    guest.enableSynic();
    guest.write(0x40000095, 0x41n);
    post(1);
    post(9, 5);
    expect(slot()[0]).toBe(1);
    expect(guest.at(0x10500) & 0xffffffffn).toBe(9n);
    expect(guest.vectors()).toEqual([0xf3, 0x41]);
  });

  it.each([
    ['masked', 0x1_00f3n],
    ['polled', 0x4_00f3n],
  ])('comes without an interrupt to a source that is %s', (_, source) => {
    guest.enableSynic();
    guest.write(0x40000092, source);
    expect(post(1)).toBe(HV_STATUS.SUCCESS);
    expect(slot()[0]).toBe(1);
    expect(guest.interrupts).toEqual([]);
  });

  it('is refused when 64 wait, and the sender hears when one has gone', () => {
    guest.enableSynic();
    for (let count = 0; count < 65; count++) expect(post(1)).toBe(HV_STATUS.SUCCESS);
    expect(post(1)).toBe(HV_STATUS.INSUFFICIENT_BUFFERS);
    expect(guest.wakes).toBe(0);
    take();
    expect(guest.wakes).toBe(1);
    expect(post(1)).toBe(HV_STATUS.SUCCESS);
  });

  it('that the guest empties while the host looks is not lost: the type is read once more', () => {
    guest.enableSynic();
    post(1);
    // Between the host's two looks: the flag is set by the first, and the guest's slot is empty by the second.
    const { types } = { types: new Int32Array(guest.partition.memory.buffer) };
    const offset = (guest.partition.layout.ramOffset + guest.partition.layout.ramBytes + 2 * 4096 + 0x200) / 4;
    const original = Atomics.or;
    let raced = false;
    Atomics.or = ((array: Uint8Array, index: number, value: number) => {
      if (!raced && array instanceof Uint8Array) {
        raced = true;
        Atomics.store(types, offset, 0);
      }
      return original(array, index, value);
    }) as typeof Atomics.or;
    try {
      post(2);
    } finally {
      Atomics.or = original;
    }
    expect(raced).toBe(true);
    expect(slot()).toEqual([2, 2, 0, 2]);
  });
});

describe('an event', () => {
  it('sets its flag, and interrupts only when it was clear', () => {
    guest.enableSynic();
    expect(synic.signalEvent(2, 70)).toEqual({ status: HV_STATUS.SUCCESS, newly: true });
    expect(guest.at(FLAGS + 8)).toBe(1n << 6n);
    expect(synic.signalEvent(2, 70)).toEqual({ status: HV_STATUS.SUCCESS, newly: false });
    expect(synic.signalEvent(2, 2047).newly).toBe(true);
    expect(guest.at(FLAGS + 248)).toBe(1n << 63n);
    expect(guest.vectors()).toEqual([0xf3, 0xf3]);
  });

  it.each([
    ['the controller is off', 0x40000080, 0n],
    ['the page is off', 0x40000082, 0x11000n],
    ['the source is masked', 0x40000092, 0x1_00f3n],
  ])('is refused while %s', (_, msr, value) => {
    guest.enableSynic();
    guest.write(msr, value);
    expect(synic.signalEvent(2, 1)).toEqual({ status: HV_STATUS.INVALID_SYNIC_STATE, newly: false });
    expect(guest.interrupts).toEqual([]);
  });

  it('comes to a polled source, without an interrupt', () => {
    guest.enableSynic();
    guest.write(0x40000092, 0x5_00f3n);
    expect(synic.signalEvent(2, 1)).toEqual({ status: HV_STATUS.SUCCESS, newly: true });
    expect(guest.interrupts).toEqual([]);
  });
});

describe('sources', () => {
  it('begin masked, and take no vector below 16 unmasked', () => {
    for (let sint = 0; sint < 16; sint++) expect(guest.read(0x40000090 + sint)).toBe(0x10000n);
    expect(guest.write(0x40000093, 15n)).toBe(false);
    expect(guest.write(0x40000093, 0x1000fn)).toBe(true);
    expect(guest.write(0x40000093, 16n)).toBe(true);
  });

  it('tell the local APIC what their vectors need', () => {
    guest.write(0x40000092, 0xf3n);
    expect(guest.processor.assists.get(0xf3)).toEqual({ automaticEoi: false, eoiNotice: true });
    guest.write(0x40000092, 0x200f3n);
    expect(guest.processor.assists.get(0xf3)).toEqual({ automaticEoi: true, eoiNotice: false });
    guest.write(0x40000092, 0x44n);
    expect(guest.processor.assists.get(0xf3)).toEqual({ automaticEoi: false, eoiNotice: false });
    expect(guest.processor.assists.get(0x44)).toEqual({ automaticEoi: false, eoiNotice: true });
    guest.write(0x40000092, 0x10044n);
    expect(guest.processor.assists.get(0x44)).toEqual({ automaticEoi: false, eoiNotice: false });
  });
});

describe('the pages', () => {
  it('are overlays: empty when they come into use, with RAM beneath', () => {
    guest.put(0x10000, 0x77n);
    guest.enableSynic();
    expect(guest.at(0x10000)).toBe(0n);
    post(1);
    guest.write(0x40000083, 0x10000n);
    expect(guest.at(0x10000)).toBe(0x77n);
    guest.write(0x40000083, 0x10001n);
    expect(slot()[0]).toBe(0);
  });

  it('keep their content when they move', () => {
    guest.enableSynic();
    post(1);
    guest.write(0x40000083, 0x18001n);
    expect(guest.at(0x18200) & 0xffffffffn).toBe(1n);
    expect(guest.at(SLOT)).toBe(0n);
  });

  it('and everything else are as after power-on once the guest was reset', () => {
    guest.enableSynic();
    for (const type of [1, 2]) post(type);
    synic.signalEvent(2, 1);
    guest.partition.resetDevices();
    expect(guest.read(0x40000080)).toBe(0n);
    expect(guest.read(0x40000092)).toBe(0x10000n);
    guest.enableSynic();
    expect([slot()[0], guest.at(FLAGS)]).toEqual([0, 0n]);
    guest.write(EOM, 0n);
    expect(slot()[0]).toBe(0);
  });
});

describe('two threads', () => {
  it('post and signal over one state', () => {
    guest.enableSynic();
    const other = new TestGuest({ over: guest.partition });
    expect(other.guest.processors[0]?.synic.postMessage(2, 3, 1n, new Uint8Array(1))).toBe(HV_STATUS.SUCCESS);
    expect(slot()[0]).toBe(3);
    expect(other.vectors()).toEqual([0xf3]);
    expect(other.guest.processors[0]?.synic.signalEvent(2, 4).newly).toBe(true);
    expect(synic.signalEvent(2, 4).newly).toBe(false);
  });
});
