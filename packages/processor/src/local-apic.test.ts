/**
 * The local APIC through its page and its MSRs, with a clock of the test's own: timer modes, priorities, end of interrupt, and requests from
 * other threads. AMD64 manual volume 2, chapter 16.
 */
import { describe, expect, it } from 'vitest';
import { kickWord, requestInterrupt } from './interrupt-request.ts';
import { TinyMachine } from './testing/tiny-machine.ts';

const REGISTER = {
  id: 0x20,
  tpr: 0x80,
  eoi: 0xb0,
  svr: 0xf0,
  isr: 0x100,
  irr: 0x200,
  esr: 0x280,
  icr: 0x300,
  timer: 0x320,
  initial: 0x380,
  current: 0x390,
  divide: 0x3e0,
} as const;
const PAGE = 0xfee0_0000;
const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** mov dword [page + register], value: 32-bit code without paging. */
const write = (register: number, value: number): number[] => [0xc7, 0x05, ...little(PAGE + register), ...little(value)];
/** mov eax, [page + register] */
const read = (register: number): number[] => [0xa1, ...little(PAGE + register)];
const ENABLE = write(REGISTER.svr, 0x1ff);
const DIVIDE_BY_1 = write(REGISTER.divide, 0xb);
/** sti; hlt */
const SLEEP = [0xfb, 0xf4];
const ONE_SHOT = 0x40;
const PERIODIC = 0x2_0040;
const TSC_DEADLINE = 0x4_0040;
/** mov ecx, index; mov eax, low; mov edx, high; wrmsr */
const writeMsr = (index: number, low: number, high = 0): number[] => [
  ...[0xb9, ...little(index), 0xb8, ...little(low), 0xba, ...little(high), 0x0f, 0x30],
];
const readMsr = (index: number): number[] => [0xb9, ...little(index), 0x0f, 0x32];

/** Asks for an interrupt as another thread does, with its kick taken back: nothing but the interrupt ends a run. */
function request(machine: TinyMachine, vector: number, deliveryMode = 0, levelTriggered = false): void {
  const { memory, layout } = machine.partition;
  requestInterrupt(memory, layout, { vector, deliveryMode, destination: 0, logicalDestination: false, levelTriggered });
  Atomics.store(kickWord(memory, layout, 0), 0, 0);
}

describe('the timer', () => {
  it('fires once after its count', () => {
    const machine = new TinyMachine('flat');
    machine.now = 5000;
    const code = [
      ...ENABLE,
      ...DIVIDE_BY_1,
      ...write(REGISTER.timer, ONE_SHOT),
      ...write(REGISTER.initial, 1000),
      ...SLEEP,
    ];
    expect(machine.run(code).what).toBe('halt');
    expect(machine.processor.nextDeadline()).toBe(6000);
    machine.now = 5999;
    expect(machine.resume().what).toBe('halt');
    machine.now = 6000;
    expect(machine.resume().what).toBe('vector 0x40');
    expect(machine.processor.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
  });
  it.each([
    [0, 2],
    [1, 4],
    [2, 8],
    [3, 16],
    [8, 32],
    [9, 64],
    [10, 128],
    [11, 1],
  ])('with divide configuration %i counts every %i ns', (divide, period) => {
    const machine = new TinyMachine('flat');
    const code = [
      ...ENABLE,
      ...write(REGISTER.divide, divide),
      ...write(REGISTER.timer, ONE_SHOT),
      ...write(REGISTER.initial, 1000),
    ];
    expect(machine.run(code).what).toBe('done');
    expect(machine.processor.nextDeadline()).toBe(1000 * period);
    machine.now = 400 * period;
    expect(machine.run(read(REGISTER.current)).what).toBe('done');
    expect(machine.register('Rax')).toBe(600n);
  });
  it('fires again and again when periodic, once each interrupt has ended', () => {
    const machine = new TinyMachine('flat');
    const start = [
      ...ENABLE,
      ...DIVIDE_BY_1,
      ...write(REGISTER.timer, PERIODIC),
      ...write(REGISTER.initial, 1000),
      ...SLEEP,
    ];
    expect(machine.run(start).what).toBe('halt');
    for (let tick = 1; tick <= 3; tick++) {
      expect(machine.processor.nextDeadline()).toBe(tick * 1000);
      machine.now = tick * 1000;
      expect(machine.resume().what).toBe('vector 0x40');
      expect(machine.run([...write(REGISTER.eoi, 0), ...SLEEP]).what).toBe('halt');
    }
  });
  it('in TSC-deadline mode fires when the TSC has the value, and the MSR is zero then', () => {
    const machine = new TinyMachine('flat');
    const code = [...ENABLE, ...write(REGISTER.timer, TSC_DEADLINE), ...writeMsr(0x6e0, 7000), ...SLEEP];
    expect(machine.run(code).what).toBe('halt');
    expect(machine.processor.nextDeadline()).toBe(7000);
    machine.now = 7000;
    expect(machine.resume().what).toBe('vector 0x40');
    expect(machine.run(readMsr(0x6e0)).what).toBe('done');
    expect(machine.register('Rax')).toBe(0n);
  });
  it('in TSC-deadline mode is disarmed by zero', () => {
    const machine = new TinyMachine('flat');
    const code = [...ENABLE, ...write(REGISTER.timer, TSC_DEADLINE), ...writeMsr(0x6e0, 7000), ...writeMsr(0x6e0, 0)];
    expect(machine.run(code).what).toBe('done');
    expect(machine.processor.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
  });
  it('when masked asks for nothing', () => {
    const machine = new TinyMachine('flat');
    const code = [
      ...ENABLE,
      ...DIVIDE_BY_1,
      ...write(REGISTER.timer, ONE_SHOT | 0x1_0000),
      ...write(REGISTER.initial, 1000),
      ...SLEEP,
    ];
    expect(machine.run(code).what).toBe('halt');
    machine.now = 1000;
    expect(machine.resume().what).toBe('halt');
  });
});

describe('interrupts', () => {
  it('wait for the flag and for one instruction after STI', () => {
    const machine = new TinyMachine('flat');
    machine.run(ENABLE);
    request(machine, 0x51);
    // nop: the flag is clear. Then sti; inc eax; inc eax.
    expect(machine.run([0x90]).what).toBe('done');
    const { what } = machine.run([0xfb, 0x40, 0x40], { registers: { Rax: 0n } });
    expect(what).toBe('vector 0x51');
    expect(machine.register('Rax')).toBe(1n);
  });
  it('of a lower class than the task priority wait; higher ones come first', () => {
    const machine = new TinyMachine('flat');
    machine.run([...ENABLE, ...write(REGISTER.tpr, 0x50)]);
    for (const vector of [0x45, 0x5f, 0x61]) request(machine, vector);
    expect(machine.run(SLEEP).what).toBe('vector 0x61');
    expect(machine.run([...write(REGISTER.eoi, 0), ...SLEEP]).what).toBe('halt');
    expect(machine.run([...write(REGISTER.tpr, 0), ...SLEEP]).what).toBe('vector 0x5f');
    // In service: 5F. 45 is of a lower class and waits for the end of it.
    expect(machine.run([...read(REGISTER.isr + 0x20), ...SLEEP]).what).toBe('halt');
    expect(machine.register('Rax')).toBe(1n << 31n);
    expect(machine.run([...write(REGISTER.eoi, 0), ...SLEEP]).what).toBe('vector 0x45');
  });
  it('to itself go through the ICR', () => {
    const machine = new TinyMachine('flat');
    expect(machine.run([...ENABLE, ...write(REGISTER.icr, 0x4_0061), ...SLEEP]).what).toBe('vector 0x61');
  });
  it('are not taken while the APIC is disabled by software', () => {
    const machine = new TinyMachine('flat');
    request(machine, 0x51);
    expect(machine.run(SLEEP).what).toBe('halt');
  });
  it('of level-triggered lines tell the I/O APIC when they end', () => {
    const machine = new TinyMachine('flat');
    const ended: number[] = [];
    machine.partition.interruptControllers = {
      acknowledge: () => 0xff,
      endOfInterrupt: (vector) => ended.push(vector),
    };
    machine.run(ENABLE);
    request(machine, 0x71, 0, true);
    expect(machine.run(SLEEP).what).toBe('vector 0x71');
    expect(ended).toEqual([]);
    machine.run(write(REGISTER.eoi, 0));
    expect(ended).toEqual([0x71]);
  });
  it('that cannot be masked come with the flag clear', () => {
    const machine = new TinyMachine('flat');
    request(machine, 0, 4);
    expect(machine.run([0x90]).what).toBe('#NMI');
  });
});

describe('x2APIC mode', () => {
  const X2APIC = writeMsr(0x1b, 0xfee0_0d00);
  it('has the registers as MSRs and no page', () => {
    const machine = new TinyMachine('flat');
    expect(machine.run([...X2APIC, ...writeMsr(0x80f, 0x1ff), ...readMsr(0x80f)]).what).toBe('done');
    expect(machine.register('Rax')).toBe(0x1ffn);
    expect(machine.run(readMsr(0x80d)).what).toBe('done');
    // Logical id of processor 0: cluster 0, bit 0.
    expect(machine.register('Rax')).toBe(1n);
    expect(machine.run([...readMsr(0x803), ...read(0x30)]).what).toBe('done');
    expect(machine.register('Rax')).toBe(0xffff_ffffn);
  });
  it('before it is on, its MSRs are #GP; so are those that do not exist', () => {
    const machine = new TinyMachine('flat');
    expect(machine.run(readMsr(0x80f)).what).toBe('#GP(0x0)');
    for (const index of [0x80e, 0x831, 0x80b]) {
      expect(machine.run([...X2APIC, ...readMsr(index)]).what, index.toString(16)).toBe('#GP(0x0)');
    }
    expect(machine.run(writeMsr(0x80b, 1)).what).toBe('#GP(0x0)');
  });
  it('is left only through the disabled state', () => {
    const machine = new TinyMachine('flat');
    expect(machine.run([...X2APIC, ...writeMsr(0x1b, 0xfee0_0900)]).what).toBe('#GP(0x0)');
    expect(machine.run(writeMsr(0x1b, 0xfee0_0100)).what).toBe('done');
    expect(machine.run(writeMsr(0x1b, 0xfee0_0900)).what).toBe('done');
  });
  it('sends to itself through the self register', () => {
    const machine = new TinyMachine('flat');
    expect(machine.run([...X2APIC, ...writeMsr(0x80f, 0x1ff), ...writeMsr(0x83f, 0x66), ...SLEEP]).what).toBe(
      'vector 0x66',
    );
  });
});
