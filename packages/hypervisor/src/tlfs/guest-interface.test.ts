/** The interface as a whole: saving, restoring, and a guest that means harm. */
import { describe, expect, it } from 'vitest';
import { TestGuest } from '../testing/test-guest.ts';
import { HYPERCALLS } from './hypercalls.ts';
import { HV_STATUS } from './status.ts';
import { SYNTHETIC_MSRS } from './synthetic-msrs.ts';

function busyGuest(): TestGuest {
  const guest = new TestGuest({ processors: 2 });
  guest.now = 7_000_000;
  guest.identify();
  guest.enableSynic();
  guest.write(0x40000021, 0x9001n);
  guest.write(0x40000073, 0xa001n);
  guest.put(0xa000, 0x55n);
  guest.write(0x400000b0, 0x1ed9n);
  guest.write(0x400000b1, 500_000n);
  guest.write(0x40000102, 9n);
  const synic = guest.guest.processors[0]?.synic;
  for (const type of [1, 2, 3]) synic?.postMessage(2, type, 1n, Uint8Array.of(type));
  synic?.signalEvent(2, 5);
  guest.guest.connections.createPort(1, { type: 'message', sint: 2 });
  guest.guest.connections.connectPort(4, 1);
  guest.put(0x20000, 4n, 1n | (1n << 32n), 0x77n);
  guest.call(0x5cn, 0x20000n);
  return guest;
}

describe('a saved state', () => {
  it('is plain data, and brings everything back in another partition', () => {
    const guest = busyGuest();
    const saved: unknown = JSON.parse(JSON.stringify(guest.guest.save()));
    const other = new TestGuest({ processors: 2 });
    other.now = 9_000_000;
    other.guest.restore(saved);
    for (const { first, count, name } of SYNTHETIC_MSRS) {
      if (['TIME_REF_COUNT', 'VP_RUNTIME', 'EOI', 'ICR', 'TPR'].includes(name)) continue;
      for (let index = first; index < first + count; index++)
        expect([name, other.read(index)]).toEqual([name, guest.read(index)]);
    }
    expect(other.at(0xa000)).toBe(0x55n);
    expect(other.at(0x1f_f000)).toBe(0xcccc_cccc_c3d9_010fn);
    expect(other.at(0x11200)).toBe(1n << 5n);
    // The reference TSC page has another sequence number, for the clock may be another one.
    expect([guest.at(0x9000), other.at(0x9000)]).toEqual([1n, 2n]);
    expect(other.processor.assists.get(0xf3)).toEqual({ automaticEoi: false, eoiNotice: true });
    // Messages that waited come in their order.
    const types = [];
    for (let count = 0; count < 3; count++) {
      types.push(other.at(0x10200) & 0xffffffffn);
      other.partition.guestMemory.writeU32(0x10200, 0);
      other.write(0x40000084, 0n);
    }
    expect(types).toEqual([1n, 2n, 3n]);
    expect(other.guest.connections.takeMessage()).toMatchObject({ connectionId: 4, payload: Uint8Array.of(0x77) });
    other.put(0x20000, 5n, 1n);
    expect(other.call(0x5cn, 0x20000n).status).toBe(HV_STATUS.INVALID_CONNECTION_ID);
    other.pass(50_000_000 - other.now);
    expect(other.vectors()).toContain(0xed);
  });

  const saved = (): Record<string, unknown> => JSON.parse(JSON.stringify(busyGuest().guest.save()));

  it.each<[string, unknown, string]>([
    ['nothing', null, 'PL-4104'],
    ['a list', [], 'PL-4104'],
    ['no version', {}, 'PL-4104'],
    ['a newer version', { ...saved(), version: 2 }, 'PL-4103'],
    ['a version that never was', { ...saved(), version: 0 }, 'PL-4104'],
    ['no processors', { ...saved(), processors: undefined }, 'PL-4104'],
    ['another number of processors', { ...saved(), processors: [] }, 'PL-4104'],
    ['a processor that is none', { ...saved(), processors: [1, 2] }, 'PL-4104'],
    ['no registers', { ...saved(), partition: {} }, 'PL-4104'],
  ])('that is %s is refused', (_, state, code) => {
    expect(() => new TestGuest({ processors: 2 }).guest.restore(state)).toThrow(code);
  });

  it.each(['messagePage', 'eventFlagsPage'])('with a %s that is no page is refused', (page) => {
    const state = saved();
    const [first, second] = state.processors as { synic: Record<string, unknown> }[];
    if (first === undefined) throw new Error('no processor');
    first.synic[page] = [1, 2, 256];
    expect(() => new TestGuest({ processors: 2 }).guest.restore({ ...state, processors: [first, second] })).toThrow(
      'PL-4104',
    );
  });
});

/** Numbers that follow from a seed. */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

describe('a hostile guest', () => {
  const edge = [
    0n,
    1n,
    2n,
    15n,
    16n,
    0xfffn,
    0x1000n,
    0x10001n,
    0x1f_ffffn,
    0x20_0001n,
    0xffff_ffffn,
    1n << 40n,
    1n << 52n,
    1n << 63n,
  ];
  const msrs = SYNTHETIC_MSRS.flatMap(({ first, count }) =>
    Array.from({ length: count + 1 }, (_, index) => first + index),
  );
  const codes = [...HYPERCALLS.map(({ code }) => code), 0, 0x77, 0xffff];

  it.each([1, 2, 3, 4, 5, 6])('gets statuses and faults, and never breaks anything: seed %i', (seed) => {
    const random = generator(seed * 7919);
    const pick = <Value>(list: readonly Value[]): Value => list[random(list.length)] as Value;
    const word = (): bigint =>
      random(3) === 0
        ? pick(edge) + BigInt(random(3))
        : ((BigInt(random(2 ** 32)) << 32n) >> BigInt(random(64))) | BigInt(random(4096));
    const guest = new TestGuest({ processors: 2 });
    guest.identify();
    guest.enableSynic();
    const { connections, processors } = guest.guest;
    connections.createPort(1, { type: 'message', sint: 2 });
    connections.connectPort(4, 1);
    connections.createPort(2, { type: 'event', sint: 2, baseFlagNumber: 3, flagCount: 4 });
    connections.connectPort(5, 2);
    const { memory, layout } = guest.partition;
    // Whatever lies before RAM is nobody's to change but the shared state's: the next processor's block stays as it is.
    const block = new Uint8Array(memory.buffer, layout.processorsOffset, 4096);
    let calls = 0;
    let accepted = 0;
    for (let step = 0; step < 30_000; step++) {
      switch (random(8)) {
        case 0:
        case 1:
          guest.write(pick(msrs), word());
          break;
        case 2:
          guest.read(pick(msrs));
          break;
        case 3:
          guest.put(random(0x1000) * 8 + 0x10000, word(), word());
          break;
        case 4:
          processors[random(2)]?.synic.postMessage(random(16), 1 + random(100), 1n, new Uint8Array(random(241)));
          processors[random(2)]?.synic.signalEvent(random(16), random(2048));
          break;
        case 5:
          guest.pass(random(2_000_000));
          break;
        default: {
          if (random(4) === 0) guest.identify();
          guest.processor.writeRegister('Xmm0', word());
          if (random(64) === 0) guest.enterLegacyMode();
          const control =
            BigInt(pick(codes)) | (random(2) === 0 ? 1n << 16n : 0n) | (random(3) === 0 ? word() << 17n : 0n);
          const gpa = random(4) === 0 ? word() : BigInt(0x10000 + random(0x2000) * 8);
          const { outcome, status } = guest.call(BigInt.asUintN(64, control), gpa, random(3) === 0 ? word() : 0x30000n);
          calls++;
          // It may have locked itself out; then it begins anew.
          if (outcome === 'absent' && random(8) === 0) {
            guest.partition.resetDevices();
            guest.identify();
            guest.enableSynic();
          }
          if (outcome === 'completed' && status === 0) accepted++;
          guest.enterLongMode();
        }
      }
      guest.interrupts.length = 0;
      if (step % 1000 === 0) {
        connections.acknowledgeWake();
        while (connections.takeMessage() !== undefined);
        connections.takeEvents(2);
      }
    }
    // It got somewhere, so the states beyond the first checks were reached.
    expect(calls).toBeGreaterThan(5000);
    expect(accepted).toBeGreaterThan(100);
    expect(block.every((byte) => byte === 0)).toBe(true);
    // At most one slot for each overlay, and the interface still works.
    expect(guest.partition.space.slots.filter(({ priority }) => priority === 100).length).toBeLessThanOrEqual(
      layout.overlayPages,
    );
    guest.partition.resetDevices();
    guest.identify();
    expect(guest.call(0x8001n, 0n, 0x30000n)).toMatchObject({ outcome: 'completed', status: HV_STATUS.SUCCESS });
    expect(JSON.stringify(guest.guest.inspect())).toContain('HvExtCallQueryCapabilities');
  });
});
