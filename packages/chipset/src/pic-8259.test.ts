import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Pic8259 } from './pic-8259.ts';
import { access, area, HandClock, hostileAccesses } from './testing/fixtures.ts';

const create = () => {
  const state = { output: 0 };
  const wake = vi.fn();
  const pic = new Pic8259(area(), {
    output: (level) => {
      state.output = level;
    },
    wake,
  });
  const write = (port: number, ...values: number[]): void => {
    for (const value of values) pic.writePort(port, 1, value);
  };
  const read = (port: number): number => pic.readPort(port, 1);
  const pulse = (irq: number): void => {
    pic.setLine(irq, 0);
    pic.setLine(irq, 1);
  };
  /** As Linux does: vectors 0x30 and 0x38, 8086 mode, everything unmasked. */
  const initialize = (icw4 = 0x01): void => {
    write(0x20, 0x11);
    write(0x21, 0x30, 0x04, icw4);
    write(0xa0, 0x11);
    write(0xa1, 0x38, 0x02, icw4);
    write(0x21, 0x00);
    write(0xa1, 0x00);
  };
  return { pic, state, wake, write, read, pulse, initialize };
};

describe('initialization', () => {
  it('is what Linux probes for: the mask register holds what is written (probe_8259A)', () => {
    const { read, write } = create();
    write(0xa1, 0xff);
    write(0x21, 0xfb);
    expect([read(0x21), read(0xa1)]).toEqual([0xfb, 0xff]);
  });

  it('forgets edges and masks, keeps level inputs, and may leave out ICW4', () => {
    const { pic, read, write, pulse } = create();
    pulse(3);
    pic.writePort(0x4d0, 1, 0x20);
    pic.setLine(5, 1);
    expect(read(0x20)).toBe(0x28);
    write(0x21, 0xff);
    write(0x20, 0x10);
    write(0x21, 0x40, 0x04);
    expect([read(0x20), read(0x21)]).toEqual([0x20, 0x00]);
    write(0x21, 0xaa);
    expect(read(0x21)).toBe(0xaa);
    expect(pic.acknowledge()).toBe(0x47);
  });
});

describe('requests', () => {
  it('raise the output, wake once, and are acknowledged by priority', () => {
    const { pic, state, wake, pulse, initialize, write } = create();
    initialize();
    pulse(4);
    pulse(1);
    expect([state.output, wake.mock.calls.length]).toEqual([1, 1]);
    expect(pic.acknowledge()).toBe(0x31);
    // Input 4 is below input 1, which is in service.
    expect(state.output).toBe(0);
    write(0x20, 0x20);
    expect(state.output).toBe(1);
    expect(pic.acknowledge()).toBe(0x34);
  });

  it('come through the cascade, and both ends want an EOI', () => {
    const { pic, state, pulse, initialize, read, write } = create();
    initialize();
    pulse(8);
    pulse(9);
    expect([state.output, read(0x20)]).toEqual([1, 0x04]);
    expect(pic.acknowledge()).toBe(0x38);
    write(0x20, 0x0b);
    write(0xa0, 0x0b);
    expect([read(0x20), read(0xa0)]).toEqual([0x04, 0x01]);
    write(0xa0, 0x60);
    write(0x20, 0x62);
    expect([read(0x20), read(0xa0), state.output]).toEqual([0, 0, 1]);
    expect(pic.acknowledge()).toBe(0x39);
  });

  it('that are masked wait', () => {
    const { state, pulse, initialize, write } = create();
    initialize();
    write(0x21, 0x10);
    pulse(4);
    expect(state.output).toBe(0);
    write(0x21, 0x00);
    expect(state.output).toBe(1);
  });

  it('that go away before INTA give the spurious vector of input 7', () => {
    const { pic, state, pulse, initialize, read, write } = create();
    initialize();
    pulse(4);
    pic.setLine(4, 0);
    expect([state.output, pic.acknowledge()]).toEqual([0, 0x37]);
    pulse(10);
    // The slave lets go between the two INTA pulses: only the master has something in service.
    write(0xa1, 0xff);
    pic.setLine(10, 0);
    expect(pic.acknowledge()).toBe(0x37);
    write(0x20, 0x0b);
    expect(read(0x20)).toBe(0);
  });

  it('are one per edge, but follow the level where ELCR says so', () => {
    const { pic, state, initialize, write } = create();
    initialize();
    pic.setLine(4, 1);
    pic.acknowledge();
    write(0x20, 0x20);
    expect(state.output).toBe(0);
    pic.writePort(0x4d1, 1, 0xff);
    expect(pic.readPort(0x4d1, 1)).toBe(0xde);
    expect(pic.readPort(0x4d0, 1)).toBe(0);
    pic.setLine(9, 1);
    expect(pic.acknowledge()).toBe(0x39);
    write(0xa0, 0x20);
    write(0x20, 0x20);
    expect(state.output).toBe(1);
    pic.setLine(9, 0);
    expect(state.output).toBe(0);
  });

  it('cannot come from the cascade input itself', () => {
    const { pic, state, initialize } = create();
    initialize();
    pic.setLine(2, 1);
    expect(state.output).toBe(0);
  });
});

describe('modes', () => {
  it('automatic EOI leaves nothing in service, and drains a slave request by request', () => {
    const { pic, state, pulse, initialize, read, write } = create();
    initialize(0x03);
    pulse(8);
    pulse(9);
    expect([pic.acknowledge(), pic.acknowledge(), state.output]).toEqual([0x38, 0x39, 0]);
    write(0x20, 0x0b);
    expect(read(0x20)).toBe(0);
  });

  it('rotation gives the input that was served the lowest priority', () => {
    const { pic, pulse, initialize, write } = create();
    initialize();
    pulse(0);
    expect(pic.acknowledge()).toBe(0x30);
    write(0x20, 0xa0); // rotate on non-specific EOI
    pulse(0);
    pulse(1);
    expect(pic.acknowledge()).toBe(0x31);
    write(0x20, 0xe1); // rotate on specific EOI
    pulse(1);
    expect(pic.acknowledge()).toBe(0x30);
    write(0x20, 0x60);
    write(0x20, 0xc0); // set priority: 1 first
    pulse(0);
    expect(pic.acknowledge()).toBe(0x31);
  });

  it('rotation in automatic EOI mode', () => {
    const { pic, pulse, initialize, write } = create();
    initialize(0x03);
    write(0x20, 0x80);
    pulse(0);
    pulse(3);
    expect(pic.acknowledge()).toBe(0x30);
    pulse(0);
    expect(pic.acknowledge()).toBe(0x33);
    write(0x20, 0x00);
    expect(pic.acknowledge()).toBe(0x30);
  });

  it('special fully nested lets a higher slave input through', () => {
    const { pic, state, pulse, initialize } = create();
    initialize(0x11);
    pulse(12);
    expect(pic.acknowledge()).toBe(0x3c);
    pulse(9);
    expect([state.output, pic.acknowledge()]).toEqual([1, 0x39]);
  });

  it('polling acknowledges without INTA', () => {
    const { read, write, pulse, initialize, state } = create();
    initialize();
    pulse(6);
    write(0x20, 0x0c);
    expect(read(0x20)).toBe(0x86);
    expect(state.output).toBe(0);
    write(0x20, 0x0c);
    expect(read(0x20)).toBe(0);
  });

  it('an EOI with nothing in service, and the reserved command, do nothing', () => {
    const { write, initialize, state } = create();
    initialize();
    write(0x20, 0x20, 0x40, 0x68);
    expect(state.output).toBe(0);
  });
});

describe('state', () => {
  it('goes on after save and restore, the output included', () => {
    const from = create();
    from.initialize();
    from.pulse(4);
    const to = create();
    to.pic.restore(JSON.parse(JSON.stringify(from.pic.save())));
    expect([to.state.output, to.pic.acknowledge()]).toEqual([1, 0x34]);
    to.pic.reset();
    expect(to.state.output).toBe(0);
    expect(to.pic.inspect()).toMatchObject({ lines: [0x10, 0], vectorBase: [0, 0], output: 0 });
  });

  it('stays in range under a hostile guest and random wires', () => {
    const wires = fc.array(fc.tuple(fc.nat(15), fc.constantFrom<0 | 1>(0, 1)), { maxLength: 60 });
    fc.assert(
      fc.property(hostileAccesses(create().pic), wires, (accesses, changes) => {
        const { pic, state } = create();
        for (const [index, step] of accesses.entries()) {
          const change = changes[index];
          if (change !== undefined) pic.setLine(...change);
          const result = access(pic, step, new HandClock());
          if (result !== undefined) expect(result).toBe(result & 0xff);
          if (state.output === 1) {
            const vector = pic.acknowledge();
            expect(vector).toBe(vector & 0xff);
          }
        }
      }),
    );
  });
});
