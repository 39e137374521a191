import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { access, area, HandClock, hostileAccesses, WatchedLine } from './testing/fixtures.ts';
import { Uart16550 } from './uart-16550.ts';

const [THR, IER, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const IIR = FCR;

const create = (shared = area()) => {
  const line = new WatchedLine();
  const clock = new HandClock();
  const transmitReady = vi.fn();
  const wake = vi.fn();
  const uart = new Uart16550(shared, { name: 'com1', port: 0x3f8, line, clock, transmitReady, wake });
  /** Lets the time of a transmitter interrupt pass. */
  const pass = (): void => {
    clock.time += 300_000;
    if (uart.deadline() <= clock.time) uart.onDeadline(clock.time);
  };
  const read = (register: number): number => uart.readPort(0x3f8 + register, 1);
  const write = (register: number, value: number): void => uart.writePort(0x3f8 + register, 1, value);
  const text = (): string => new TextDecoder().decode(uart.drain());
  const push = (bytes: string): number => uart.push(new TextEncoder().encode(bytes));
  return { uart, line, clock, pass, transmitReady, wake, read, write, text, push, shared };
};

describe('what Linux probes for a 16550A with (drivers/tty/serial/8250/8250_port.c, autoconfig)', () => {
  it('IER keeps its low four bits and no others', () => {
    const { read, write } = create();
    write(IER, 0);
    expect(read(IER)).toBe(0);
    write(IER, 0xff);
    expect(read(IER)).toBe(0x0f);
  });

  it('loopback wires the modem control outputs to the status inputs', () => {
    const { read, write } = create();
    write(MCR, 0x10 | 0x0a);
    expect(read(MSR) & 0xf0).toBe(0x90);
    write(MCR, 0x10 | 0x05);
    expect(read(MSR) & 0xf0).toBe(0x60);
    write(MCR, 0);
    expect(read(MSR) & 0xf0).toBe(0xb0);
  });

  it('IIR shows enabled FIFOs in bits 6 and 7, and none of a 16750', () => {
    const { read, write } = create();
    expect(read(IIR)).toBe(0x01);
    write(FCR, 0x21);
    expect(read(IIR)).toBe(0xc1);
    write(FCR, 0);
    expect(read(IIR)).toBe(0x01);
  });

  it('the divisor latch lies over data and IER; scratch is a byte of memory', () => {
    const { read, write, uart } = create();
    write(LCR, 0x83);
    write(THR, 0x34);
    write(IER, 0x12);
    expect([read(THR), read(IER)]).toEqual([0x34, 0x12]);
    write(LCR, 0x03);
    expect([read(IER), read(LCR)]).toEqual([0, 3]);
    expect(uart.drain()).toHaveLength(0);
    write(SCR, 0xa5);
    expect(read(SCR)).toBe(0xa5);
  });

  it('enabling the THRE interrupt raises it every time, and reading IIR takes it back', () => {
    const { read, write } = create();
    for (let round = 0; round < 2; round++) {
      write(IER, 0x02);
      expect(read(IIR)).toBe(0x02);
      expect(read(IIR)).toBe(0x01);
      write(IER, 0);
    }
  });

  it('status registers cannot be written', () => {
    const { read, write } = create();
    write(LSR, 0xff);
    write(MSR, 0xff);
    expect([read(LSR), read(MSR)]).toEqual([0x60, 0xb0]);
  });
});

describe('sending', () => {
  it('reaches the host, who is told once per batch', () => {
    const { write, text, transmitReady } = create();
    for (const character of 'hello') write(THR, character.charCodeAt(0));
    expect(transmitReady).toHaveBeenCalledTimes(1);
    expect(text()).toBe('hello');
    write(THR, 0x21);
    expect(transmitReady).toHaveBeenCalledTimes(2);
    expect(text()).toBe('!');
    expect(text()).toBe('');
  });

  it('raises an interrupt some time after a write while THRE interrupts are on', () => {
    const { uart, read, write, line, pass } = create();
    write(MCR, 0x08);
    write(IER, 0x02);
    expect(line.level).toBe(0);
    pass();
    expect([line.level, uart.deadline()]).toEqual([1, Number.POSITIVE_INFINITY]);
    expect(read(IIR)).toBe(0x02);
    expect(line.level).toBe(0);
    write(THR, 65);
    write(THR, 66);
    pass();
    expect([line.level, line.edges]).toEqual([1, 2]);
  });

  it('needs no interrupt for a driver that looks at IIR while it sends', () => {
    const { uart, read, write, line, pass } = create();
    write(MCR, 0x08);
    write(IER, 0x02);
    pass();
    for (let burst = 0; burst < 100; burst++) {
      expect(read(IIR)).toBe(0x02);
      for (let count = 0; count < 16; count++) write(THR, 0x61);
    }
    write(IER, 0x00);
    expect([line.edges, uart.deadline(), uart.drain().length]).toEqual([1, Number.POSITIVE_INFINITY, 1600]);
  });

  it('is not told early: a deadline that has not come changes nothing', () => {
    const { uart, write, line, clock } = create();
    write(MCR, 0x08);
    write(IER, 0x02);
    uart.onDeadline(clock.time);
    expect([line.level, uart.deadline()]).toEqual([0, 300_000]);
    write(THR, 0x61);
    expect(uart.deadline()).toBe(300_000);
  });

  it('needs OUT2 for its interrupt, as a PC does', () => {
    const { write, line, pass } = create();
    write(IER, 0x02);
    pass();
    expect(line.level).toBe(0);
    write(MCR, 0x08);
    pass();
    expect(line.level).toBe(1);
    write(MCR, 0x00);
    expect(line.level).toBe(0);
  });

  it('stops when the host does not drain, and goes on with an interrupt when it does', () => {
    const { uart, read, write, line, wake, pass } = create();
    write(MCR, 0x08);
    let sent = 0;
    while ((read(LSR) & 0x20) !== 0) {
      for (let burst = 0; burst < 16; burst++, sent++) write(THR, sent);
    }
    expect(sent).toBe(65536);
    write(IER, 0x02);
    expect([line.level, read(IIR)]).toEqual([0, 0x01]);
    // What is sent nevertheless is lost, and nothing else.
    write(THR, 0);
    uart.poll();
    pass();
    expect(line.level).toBe(0);
    wake.mockClear();
    const drained = uart.drain();
    expect(drained).toHaveLength(65536);
    expect(drained.every((byte, index) => byte === (index & 0xff))).toBe(true);
    expect(wake).toHaveBeenCalledTimes(1);
    uart.poll();
    pass();
    expect([line.level, read(LSR), read(IIR)]).toEqual([1, 0x60, 0x02]);
    uart.drain();
    expect(wake).toHaveBeenCalledTimes(1);
  });
});

describe('receiving', () => {
  it('fills the FIFO from what the host pushed, and interrupts at the trigger or for what is left', () => {
    const { uart, read, write, push, line, wake } = create();
    write(FCR, 0x81);
    write(MCR, 0x08);
    write(IER, 0x01);
    expect(push('abc')).toBe(3);
    expect([wake.mock.calls.length, line.level]).toEqual([1, 0]);
    uart.poll();
    expect([line.level, read(IIR)]).toEqual([1, 0xcc]);
    push('defghijklmnopqrstuvwxyz');
    uart.poll();
    expect(read(IIR)).toBe(0xc4);
    let received = '';
    while ((read(LSR) & 1) !== 0) received += String.fromCharCode(read(THR));
    expect(received).toBe('abcdefghijklmnopqrstuvwxyz');
    expect([line.level, read(IIR), read(THR)]).toEqual([0, 0xc1, 0]);
  });

  it('takes one byte at a time without FIFO, and needs no poll to be seen', () => {
    const { read, write, push } = create();
    push('xy');
    write(IER, 0x01);
    expect([read(LSR), read(IIR), read(THR), read(THR), read(LSR)]).toEqual([0x61, 0x04, 0x78, 0x79, 0x60]);
  });

  it('loses only the FIFO when the guest clears it', () => {
    const { read, write, push, uart } = create();
    write(FCR, 0x01);
    push('0123456789abcdefREST');
    uart.poll();
    write(FCR, 0x03);
    expect(read(THR)).toBe('R'.charCodeAt(0));
    write(FCR, 0x00);
    expect(read(LSR) & 1).toBe(0);
  });

  it('takes no more than its ring holds', () => {
    const { uart, push, read, write } = create();
    write(FCR, 1);
    expect(push('x'.repeat(20000))).toBe(16384);
    expect([push('y'), uart.receiveSpace]).toEqual([0, 0]);
    read(LSR);
    expect(uart.receiveSpace).toBe(16);
  });

  it('is cut off in loopback, where what is sent comes back', () => {
    const { read, write, push, uart } = create();
    write(MCR, 0x10);
    push('host');
    uart.poll();
    expect(read(LSR)).toBe(0x60);
    write(THR, 0x5a);
    expect(read(LSR)).toBe(0x61);
    write(IER, 0x04);
    write(THR, 0x5b);
    expect([read(IIR), read(LSR), read(LSR)]).toEqual([0x06, 0x63, 0x61]);
    expect(read(THR)).toBe(0x5a);
    expect(uart.drain()).toHaveLength(0);
  });
});

describe('modem status', () => {
  it('reports changes until it is read, and interrupts for them', () => {
    const { read, write } = create();
    write(MCR, 0x10 | 0x04);
    read(MSR);
    write(IER, 0x08);
    write(MCR, 0x10);
    // Ring indicator's trailing edge.
    expect([read(IIR), read(MSR), read(MSR), read(IIR)]).toEqual([0x00, 0x04, 0x00, 0x01]);
    write(MCR, 0x10 | 0x04);
    expect(read(MSR)).toBe(0x40);
    write(MCR, 0x00);
    expect(read(MSR) & 0x0f).toBe(0x0f);
  });
});

describe('state', () => {
  it('is shared by instances: the host drains and pushes on another one', () => {
    const processor = create();
    const host = create(processor.shared);
    processor.write(THR, 0x41);
    expect(host.text()).toBe('A');
    host.push('B');
    processor.uart.poll();
    expect(processor.read(THR)).toBe(0x42);
    expect(host.wake).toHaveBeenCalledTimes(1);
  });

  it('is saved with the input that the guest has not read', () => {
    const from = create();
    from.write(FCR, 1);
    from.write(MCR, 0x08);
    from.write(IER, 1);
    from.push('0123456789abcdefghij');
    from.uart.poll();
    const to = create();
    to.uart.restore(JSON.parse(JSON.stringify(from.uart.save())));
    expect([to.line.level, to.read(IIR)]).toEqual([1, 0xcc - 8]);
    let received = '';
    while ((to.read(LSR) & 1) !== 0) received += String.fromCharCode(to.read(THR));
    expect(received).toBe('0123456789abcdefghij');
  });

  it.each([undefined, 'abc', [256], [-1], new Array(20000).fill(0)])(
    'refuses a saved state with input %j',
    (received) => {
      const { uart } = create();
      expect(() => uart.restore({ ...(uart.save() as object), received })).toThrow('PL-4104');
    },
  );

  it('is back at power-on after a reset, and keeps the input', () => {
    const { uart, read, write, push, line } = create();
    push('later');
    write(MCR, 0x08);
    write(IER, 0x0f);
    uart.poll();
    expect(line.level).toBe(1);
    uart.reset();
    expect([line.level, read(IER), read(MCR), read(LSR) & 1]).toEqual([0, 0, 0, 1]);
    expect(uart.inspect()).toMatchObject({ interruptEnable: 0, receiveWaiting: 3, transmitWaiting: 0 });
  });

  it('stays in range under a hostile guest, its output bounded', () => {
    const clock = new HandClock();
    fc.assert(
      fc.property(hostileAccesses(create().uart), fc.uint8Array({ maxLength: 40 }), (accesses, input) => {
        const { uart, line } = create();
        let writes = 0;
        for (const [index, step] of accesses.entries()) {
          if (index % 16 === 0) uart.push(input);
          if (index % 5 === 0) uart.poll();
          const result = access(uart, step, clock);
          if (step.value !== undefined) writes++;
          if (result !== undefined) expect(result).toBe(result & 0xff);
        }
        expect(uart.drain().length).toBeLessThanOrEqual(writes);
        const { fields } = uart.save() as { fields: Record<string, number> };
        expect(fields.fifoCount).toBeLessThanOrEqual(16);
        expect(fields.line).toBe(line.level);
      }),
    );
  });
});
