import type { AccessSize, InterruptMessage } from '@plinth/hypervisor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ioapic } from './ioapic.ts';
import { area } from './testing/fixtures.ts';

const MASKED = 0x10000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;

const create = () => {
  const messages: InterruptMessage[] = [];
  const ioapic = new Ioapic(area(), { deliver: (message) => messages.push(message) });
  const read = (register: number): number => {
    ioapic.writeMmio(0x00, 4, register);
    return ioapic.readMmio(0x10, 4);
  };
  const write = (register: number, value: number): void => {
    ioapic.writeMmio(0x00, 4, register);
    ioapic.writeMmio(0x10, 4, value);
  };
  const entry = (input: number, low: number, high = 0): void => {
    write(0x11 + input * 2, high);
    write(0x10 + input * 2, low);
  };
  const vectors = (): number[] => messages.splice(0).map(({ vector }) => vector);
  return { ioapic, messages, read, write, entry, vectors };
};

describe('registers', () => {
  it('are 24 masked inputs, version 0x20', () => {
    const { read } = create();
    expect(read(1)).toBe(0x00170020);
    expect(Array.from({ length: 24 }, (_, input) => [read(0x10 + 2 * input), read(0x11 + 2 * input)])).toEqual(
      Array.from({ length: 24 }, () => [MASKED, 0]),
    );
  });

  it('keep their writable bits only', () => {
    const { read, write } = create();
    write(0, 0xff000000);
    expect([read(0), read(2)]).toEqual([0x0f000000, 0x0f000000]);
    write(0x10, 0xffffffff);
    expect(read(0x10)).toBe(0x1afff);
    write(0x11, 0xffffffff);
    expect(read(0x11) >>> 0).toBe(0xff000000);
    write(1, 0);
    expect(read(1)).toBe(0x00170020);
  });

  it('are zero where there are none, and for narrow accesses', () => {
    const { ioapic, read, write } = create();
    write(0x40, 1);
    expect([read(0x40), read(0x0f), read(0xff)]).toEqual([0, 0, 0]);
    ioapic.writeMmio(0x00, 1, 0x01);
    expect([ioapic.readMmio(0x10, 1), ioapic.readMmio(0x10, 4), ioapic.readMmio(0x20, 4)]).toEqual([0, 0x170020, 0]);
    expect(ioapic.readMmio(0x00, 4)).toBe(1);
    ioapic.writeMmio(0x10, 2, 0);
  });
});

describe('edges', () => {
  it('make one message each, with what the entry says', () => {
    const { ioapic, entry, messages } = create();
    entry(4, 0x31 | 0x100 | 0x800, 0x03000000);
    ioapic.setLine(4, 1);
    ioapic.setLine(4, 1);
    ioapic.setLine(4, 0);
    expect(messages).toEqual([
      { vector: 0x31, deliveryMode: 1, destination: 3, logicalDestination: true, levelTriggered: false },
    ]);
    ioapic.setLine(4, 1);
    expect(messages).toHaveLength(2);
  });

  it('on a masked input are lost', () => {
    const { ioapic, entry, vectors } = create();
    entry(4, 0x31 | MASKED);
    ioapic.setLine(4, 1);
    entry(4, 0x31);
    expect(vectors()).toEqual([]);
  });
});

describe('levels', () => {
  it('are delivered once until EOI, and again while they last', () => {
    const { ioapic, entry, read, vectors } = create();
    entry(9, 0x39 | LEVEL);
    ioapic.setLine(9, 1);
    ioapic.setLine(9, 1);
    expect([vectors(), read(0x22)]).toEqual([[0x39], 0x39 | LEVEL | REMOTE_IRR]);
    ioapic.endOfInterrupt(0x38);
    expect(vectors()).toEqual([]);
    ioapic.endOfInterrupt(0x39);
    expect(vectors()).toEqual([0x39]);
    ioapic.setLine(9, 0);
    ioapic.endOfInterrupt(0x39);
    expect([vectors(), read(0x22)]).toEqual([[], 0x39 | LEVEL]);
  });

  it('wait behind a mask', () => {
    const { ioapic, entry, vectors } = create();
    entry(9, 0x39 | LEVEL | MASKED);
    ioapic.setLine(9, 1);
    expect(vectors()).toEqual([]);
    entry(9, 0x39 | LEVEL);
    expect(vectors()).toEqual([0x39]);
  });

  it('end by the EOI register too', () => {
    const { ioapic, entry, vectors } = create();
    entry(9, 0x39 | LEVEL);
    ioapic.setLine(9, 1);
    vectors();
    ioapic.writeMmio(0x40, 4, 0x39);
    expect(vectors()).toEqual([0x39]);
  });

  it('keep remote IRR over writes, and lose it when the input turns to edges', () => {
    const { ioapic, entry, read } = create();
    entry(9, 0x39 | LEVEL);
    ioapic.setLine(9, 1);
    entry(9, 0x39 | LEVEL | MASKED);
    expect(read(0x22)).toBe(0x39 | LEVEL | MASKED | REMOTE_IRR);
    entry(9, 0x39 | MASKED);
    expect(read(0x22)).toBe(0x39 | MASKED);
  });

  it('EOI of a vector leaves edge-triggered inputs of the same vector alone', () => {
    const { ioapic, entry, vectors } = create();
    entry(3, 0x39);
    ioapic.setLine(3, 1);
    ioapic.endOfInterrupt(0x39);
    expect(vectors()).toEqual([0x39]);
  });
});

describe('state', () => {
  it('goes on after save and restore; reset masks all and keeps the wires', () => {
    const from = create();
    from.entry(9, 0x39 | LEVEL);
    from.ioapic.setLine(9, 1);
    const to = create();
    to.ioapic.restore(JSON.parse(JSON.stringify(from.ioapic.save())));
    to.ioapic.endOfInterrupt(0x39);
    expect(to.vectors()).toEqual([0x39]);
    to.ioapic.reset();
    expect(to.read(0x22)).toBe(MASKED);
    to.entry(9, 0x40 | LEVEL);
    expect(to.vectors()).toEqual([0x40]);
    expect(to.ioapic.inspect()).toMatchObject({ id: 0, lines: '0x200' });
  });

  it('stays in range under a hostile guest and random wires', () => {
    const step = fc.oneof(
      fc.record({ input: fc.nat(23), level: fc.constantFrom<0 | 1>(0, 1) }),
      fc.record({
        offset: fc.oneof(fc.constantFrom(0, 0x10, 0x40), fc.nat(4095)),
        size: fc.constantFrom<AccessSize>(1, 2, 4),
        value: fc.option(fc.integer({ min: 0, max: 0xffffffff }), { nil: undefined }),
      }),
      fc.record({ eoi: fc.nat(255) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const { ioapic, messages } = create();
        for (const one of steps) {
          if ('input' in one) ioapic.setLine(one.input, one.level);
          else if ('eoi' in one) ioapic.endOfInterrupt(one.eoi);
          else if (one.value === undefined) {
            const value = ioapic.readMmio(one.offset, one.size);
            expect(value).toBe(one.offset === 0x10 ? value : value >>> 0);
          } else ioapic.writeMmio(one.offset, one.size, one.value);
        }
        expect(messages.length).toBeLessThanOrEqual(steps.length * 24);
        for (const { vector, deliveryMode, destination } of messages) {
          expect([vector & 0xff, deliveryMode & 7, destination & 0xff]).toEqual([vector, deliveryMode, destination]);
        }
      }),
    );
  });
});
