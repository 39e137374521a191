/** Which processors an interrupt message reaches, and what it leaves with them. AMD64 manual volume 2, section 16.6. */
import { type InterruptMessage, layoutMemory } from '@plinth/hypervisor';
import { beforeEach, describe, expect, it } from 'vitest';
import { kickProcessor, kickWord, requestInterrupt } from './interrupt-request.ts';
import { STATE } from './state-layout.ts';

const layout = layoutMemory(1024 * 1024, 3);
const memory = new WebAssembly.Memory({
  initial: layout.totalBytes / 65536,
  maximum: layout.totalBytes / 65536,
  shared: true,
});
const words = (index: number): Int32Array =>
  new Int32Array(memory.buffer, layout.processorsOffset + index * layout.processorStride, STATE.TLB_SETS / 4);
const REGISTER = { id: 0x02, ldr: 0x0d, dfr: 0x0e, tmr: 0x18, irr: 0x20 } as const;
const X2APIC = 0xfee0_0c00;
const XAPIC = 0xfee0_0800;

function set(index: number, register: number, value: number): void {
  words(index)[STATE.APIC / 4 + register] = value | 0;
}
const get = (index: number, register: number): number => (words(index)[STATE.APIC / 4 + register] ?? 0) >>> 0;

beforeEach(() => {
  for (let index = 0; index < 3; index++) {
    words(index).fill(0);
    set(index, REGISTER.id, index << 24);
    set(index, REGISTER.dfr, 0xffff_ffff);
    words(index)[STATE.APIC_BASE / 4] = XAPIC | 0;
  }
});

/** Sends a message; the processors that it reached. */
function reached(message: Partial<InterruptMessage>, except?: number): number[] {
  const whole = {
    vector: 0x61,
    deliveryMode: 0,
    destination: 0,
    logicalDestination: false,
    levelTriggered: false,
    ...message,
  };
  requestInterrupt(memory, layout, whole, except);
  return [0, 1, 2].filter((index) => (get(index, REGISTER.irr + 3) & 2) !== 0);
}

describe('a physical destination', () => {
  it('is one APIC id', () => {
    expect(reached({ destination: 1 })).toEqual([1]);
    expect(reached({ destination: 7 })).toEqual([1]);
  });
  it('of FF is everybody in xAPIC mode, and nobody in x2APIC mode', () => {
    words(2)[STATE.APIC_BASE / 4] = X2APIC | 0;
    expect(reached({ destination: 0xff })).toEqual([0, 1]);
  });
  it('of all ones is everybody, but for who is left out', () => {
    words(2)[STATE.APIC_BASE / 4] = X2APIC | 0;
    expect(reached({ destination: 0xffff_ffff }, 0)).toEqual([1, 2]);
  });
});

describe('a logical destination', () => {
  it('is a mask in the flat model', () => {
    for (let index = 0; index < 3; index++) set(index, REGISTER.ldr, 1 << (24 + index));
    expect(reached({ destination: 0b101, logicalDestination: true })).toEqual([0, 2]);
  });
  it('is a cluster and a mask in the cluster model, and cluster F is all clusters', () => {
    [0x11, 0x12, 0x21].forEach((id, index) => {
      set(index, REGISTER.ldr, id << 24);
      set(index, REGISTER.dfr, 0x0fff_ffff);
    });
    expect(reached({ destination: 0x13, logicalDestination: true })).toEqual([0, 1]);
    expect(reached({ destination: 0xf1, logicalDestination: true })).toEqual([0, 1, 2]);
  });
  it('follows from the id in x2APIC mode', () => {
    for (let index = 0; index < 3; index++) words(index)[STATE.APIC_BASE / 4] = X2APIC | 0;
    set(2, REGISTER.id, 0x21 << 24);
    expect(reached({ destination: 0x0000_0002, logicalDestination: true })).toEqual([1]);
    expect(reached({ destination: 0x0002_0002, logicalDestination: true })).toEqual([1, 2]);
  });
});

describe('what a message leaves', () => {
  it('is a request bit, the trigger mode, attention, and a wake-up', () => {
    reached({ destination: 1, levelTriggered: true });
    expect(get(1, REGISTER.irr + 3)).toBe(2);
    expect(get(1, REGISTER.tmr + 3)).toBe(2);
    expect(words(1)[STATE.APIC_ATTENTION / 4]).toBe(1);
    expect(kickWord(memory, layout, 1)[0]).toBe(1);
    expect(kickWord(memory, layout, 0)[0]).toBe(0);
    reached({ destination: 1 });
    expect(get(1, REGISTER.tmr + 3)).toBe(0);
  });
  it.each([
    ['NMI', 4, 1],
    ['INIT', 5, 2],
    ['start-up', 6, 4],
  ])('of an %s is a pending bit', (_, deliveryMode, pending) => {
    expect(reached({ destination: 2, deliveryMode })).toEqual([]);
    expect(words(2)[STATE.PENDING / 4]).toBe(pending);
    expect(kickWord(memory, layout, 2)[0]).toBe(1);
  });
  it('with lowest priority reaches just one', () => {
    expect(reached({ destination: 0xff, deliveryMode: 1 })).toHaveLength(1);
  });
  it('with a vector below 16 is nothing', () => {
    reached({ destination: 0, vector: 15 });
    expect(get(0, REGISTER.irr)).toBe(0);
  });
});

describe('kickProcessor', () => {
  it('sets the word of that processor alone', () => {
    kickProcessor(memory, layout, 1);
    expect([0, 1, 2].map((index) => kickWord(memory, layout, index)[0])).toEqual([0, 1, 0]);
  });
});
