/** The engine behind its interface: registers by their TLFS names, every kind of exit, counters, budget and kick. */
import {
  GENERAL_REGISTERS,
  MSR_REGISTERS,
  type RegisterName,
  SEGMENT_REGISTERS,
  TABLE_REGISTERS,
  VECTOR_REGISTERS,
} from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

describe('registers', () => {
  it.each([...GENERAL_REGISTERS, 'Rip', 'Cr2', 'Dr0', 'Dr1', 'Dr2', 'Dr3'] as const)('%s keeps 64 bits', (name) => {
    const { processor } = new TinyMachine('long');
    processor.writeRegister(name, 0x8123_4567_89ab_cdefn);
    expect(processor.readRegister(name)).toBe(0x8123_4567_89ab_cdefn);
  });
  it('are all different', () => {
    const { processor } = new TinyMachine('long');
    const names: RegisterName[] = [...GENERAL_REGISTERS, ...VECTOR_REGISTERS, ...MSR_REGISTERS, 'Cr2', 'Dr0', 'Dr3'];
    const settable = names.filter((name) => name !== 'Tsc' && name !== 'Efer');
    settable.forEach((name, index) => {
      processor.writeRegister(name, BigInt(index + 1) << 8n);
    });
    expect(settable.map((name) => processor.readRegister(name))).toEqual(
      settable.map((_, index) => BigInt(index + 1) << 8n),
    );
  });
  it('of the x87 unit are what FXSAVE stores', () => {
    const machine = new TinyMachine('long');
    const { processor } = machine;
    processor.writeRegister('FpMmx7', 0xffff_3fff_8000_0000_0000_0001n);
    // Top 7, an invalid operation that is not masked: its summary follows.
    const control = 0x037en | (0x3801n << 16n) | (0x80n << 32n) | (0x7d9n << 48n) | (0x1234_5678n << 64n);
    processor.writeRegister('FpControlStatus', control);
    processor.writeRegister('XmmControlStatus', 0x8765_4321n | (0x3f80n << 64n));
    expect(processor.readRegister('FpControlStatus')).toBe(control | (0x8080n << 16n));
    expect(processor.readRegister('XmmControlStatus')).toBe(0x8765_4321n | (0x3f80n << 64n) | (0xffffn << 96n));
    // fxsave64 [rbx]
    expect(machine.run([0x48, 0x0f, 0xae, 0x03], { registers: { Rbx: 0x7800n } }).what).toBe('done');
    const u16 = (offset: number): number => machine.ram.getUint16(0x7800 + offset, true);
    expect([0, 2, 4, 6].map(u16)).toEqual([0x37e, 0xb881, 0x80, 0x7d9]);
    expect(machine.ram.getBigUint64(0x7808, true)).toBe(0x1234_5678n);
    expect(machine.ram.getBigUint64(0x7810, true)).toBe(0x8765_4321n);
    expect(machine.ram.getUint32(0x7818, true)).toBe(0x3f80);
    expect([machine.ram.getBigUint64(0x7820, true), u16(0x28)]).toEqual([0x8000_0000_0000_0001n, 0x3fff]);
  });
  it.each(VECTOR_REGISTERS)('%s keeps 128 bits', (name) => {
    const { processor } = new TinyMachine('long');
    const value = 0xf0e1_d2c3_b4a5_9687_7869_5a4b_3c2d_1e0fn;
    processor.writeRegister(name, value);
    expect(processor.readRegister(name)).toBe(value);
  });
  it.each(SEGMENT_REGISTERS)('%s keeps selector, base, limit and attributes', (name) => {
    const { processor } = new TinyMachine('long');
    const value = { selector: 0x1234, base: 0xffff_8000_1234_5678n, limit: 0x89ab_cdef, attributes: 0xa09b };
    processor.writeRegister(name, value);
    expect(processor.readRegister(name)).toEqual(value);
  });
  it.each(TABLE_REGISTERS)('%s keeps base and limit', (name) => {
    const { processor } = new TinyMachine('long');
    processor.writeRegister(name, { base: 0xffff_8000_0000_1000n, limit: 0xabc });
    expect(processor.readRegister(name)).toEqual({ base: 0xffff_8000_0000_1000n, limit: 0xabc });
  });
  it('Rflags has bit 1 always, and the arithmetic flags that instructions left', () => {
    const machine = new TinyMachine('long');
    machine.processor.writeRegister('Rflags', 0x8d5n);
    expect(machine.register('Rflags')).toBe(0x8d7n);
    // xor eax, eax; stc
    machine.run([0x31, 0xc0, 0xf9], { flags: 0x8d7n });
    expect(machine.register('Rflags') & 0x8c5n).toBe(0x45n);
  });
  it('Cr8 is the upper half of the task priority', () => {
    const machine = new TinyMachine('long');
    machine.processor.writeRegister('Cr8', 9n);
    expect(machine.processor.readRegister('Cr8')).toBe(9n);
    // mov rax, cr8
    expect(machine.run([0x44, 0x0f, 0x20, 0xc0]).what).toBe('done');
    expect(machine.register('Rax')).toBe(9n);
  });
  it('Tsc goes on from what was written', () => {
    const machine = new TinyMachine('long');
    machine.now = 1000;
    machine.processor.writeRegister('Tsc', 5_000_000n);
    machine.now = 1250;
    expect(machine.processor.readRegister('Tsc')).toBe(5_000_250n);
  });
  it('Mxcsr is what STMXCSR stores', () => {
    const machine = new TinyMachine('long');
    machine.processor.writeRegister('Mxcsr', 0x9fc0n);
    expect(machine.run([0x0f, 0xae, 0x1b], { registers: { Rbx: 0x7800n } }).what).toBe('done');
    expect(machine.ram.getUint32(0x7800, true)).toBe(0x9fc0);
    expect(machine.processor.readRegister('Mxcsr')).toBe(0x9fc0n);
  });
  it('refuse values of another shape', () => {
    const { processor } = new TinyMachine('long');
    expect(() => processor.writeRegister('Cs', 1n)).toThrow(RangeError);
    expect(() => processor.writeRegister('Rax', { base: 0n, limit: 0 })).toThrow(RangeError);
    expect(() => processor.writeRegister('Gdtr', { selector: 0, base: 0n, limit: 0, attributes: 0 })).toThrow(
      RangeError,
    );
  });
  it('after reset are as at power-on', () => {
    const machine = new TinyMachine('long');
    machine.run([0x90]);
    machine.processor.reset();
    const { processor } = machine;
    expect(processor.readRegister('Rip')).toBe(0xfff0n);
    expect(processor.readRegister('Cs')).toEqual({
      selector: 0xf000,
      base: 0xffff_0000n,
      limit: 0xffff,
      attributes: 0x9b,
    });
    expect(processor.readRegister('Cr0')).toBe(0x6000_0010n);
    expect(processor.readRegister('Rflags')).toBe(2n);
    expect(processor.readRegister('Efer')).toBe(0n);
    expect(processor.readRegister('ApicBase')).toBe(0xfee0_0900n);
    expect(processor.readRegister('Pat')).toBe(0x0007_0406_0007_0406n);
    expect(processor.readRegister('Dr6')).toBe(0xffff_0ff0n);
    expect(processor.readRegister('Rdx')).toBe(0xf00n);
  });
});

/** mov ecx, 20000; again: sub ecx, 1; jnz again */
const COUNT_DOWN = [0xb9, 0x20, 0x4e, 0, 0, 0x83, 0xe9, 0x01, 0x75, 0xfb];

describe.each([
  ['interpreted', 0],
  ['translated', TRANSLATE_AT_ONCE],
] as const)('a run, %s', (_, translateAfter) => {
  const machineWith = (): TinyMachine => new TinyMachine('long', { translateAfter });

  it('ends with halt at HLT while interrupts are on, and stays there', () => {
    const machine = machineWith();
    expect(machine.run([0xfb, 0xf4]).exit).toEqual({ kind: 'halt' });
    expect(machine.register('Rip')).toBe(BigInt(PLACE.code) + 2n);
    expect(machine.resume().exit).toEqual({ kind: 'halt' });
  });
  it('ends with halt-forever at HLT with interrupts off', () => {
    expect(machineWith().run([0xf4]).exit).toEqual({ kind: 'halt-forever' });
  });
  it('ends with shutdown and the faults when nothing can be delivered', () => {
    const machine = machineWith();
    machine.processor.writeRegister('Idtr', { base: 0n, limit: 0 });
    const rip = BigInt(PLACE.code);
    const { exit } = machine.run([]);
    expect(exit).toEqual({
      kind: 'shutdown',
      faults: [
        { vector: 6, errorCode: 0, rip, address: 0n },
        { vector: 13, errorCode: 6 * 8 + 3, rip, address: 0n },
        { vector: 13, errorCode: 13 * 8 + 3, rip, address: 0n },
        { vector: 13, errorCode: 8 * 8 + 3, rip, address: 0n },
      ],
    });
  });
  it('ends with unsupported at a hardware task switch and at virtual-8086 mode, and says where', () => {
    // pushf; or word [esp], 0x4000 (NT); popf; iret
    const task = [0x9c, 0x66, 0x81, 0x0c, 0x24, 0x00, 0x40, 0x9d, 0xcf];
    const { exit } = new TinyMachine('legacy', { translateAfter }).run(task);
    expect(exit).toEqual({ kind: 'unsupported', what: 'a hardware task switch', rip: BigInt(PLACE.code) + 8n });
    // push 0x20002 (VM); push 0; push 0; iret
    const virtual = [0x68, 0x02, 0, 0x02, 0, 0x6a, 0, 0x6a, 0, 0xcf];
    const entered = new TinyMachine('legacy', { translateAfter }).run(virtual);
    expect(entered.exit).toEqual({ kind: 'unsupported', what: 'virtual-8086 mode', rip: BigInt(PLACE.code) + 9n });
    // In long mode NT is an error of the program.
    expect(machineWith().run([0x9c, 0x66, 0x81, 0x0c, 0x24, 0x00, 0x40, 0x9d, 0x48, 0xcf]).what).toBe('#GP(0x0)');
  });
  it('ends with budget near the number of instructions, and goes on where it was', () => {
    const machine = machineWith();
    const { exit } = machine.run(COUNT_DOWN, { budget: 10_000 });
    expect(exit).toEqual({ kind: 'budget' });
    const { interpreted, translated } = machine.processor.instructionCounts();
    expect(interpreted + translated).toBeGreaterThanOrEqual(10_000);
    expect(interpreted + translated).toBeLessThan(20_000);
    expect(machine.resume(1e6).what).toBe('done');
    expect(machine.register('Rcx')).toBe(0n);
  });
  it('counts every instruction once', () => {
    const machine = machineWith();
    machine.run(COUNT_DOWN, { budget: 1e6 });
    const { interpreted, translated } = machine.processor.instructionCounts();
    // 1 + 2 * 20000, UD2 and the handler's HLT: an instruction that faults may or may not count.
    expect(interpreted + translated).toBeGreaterThanOrEqual(40_001);
    expect(interpreted + translated).toBeLessThanOrEqual(40_003);
    if (translateAfter === 0) expect(translated).toBe(0);
    else expect(translated).toBeGreaterThan(30_000);
  });
  it('ends with kicked after a kick, once', () => {
    const machine = machineWith();
    machine.processor.kick();
    // jmp to itself
    expect(machine.run([0xeb, 0xfe]).exit).toEqual({ kind: 'kicked' });
    expect(machine.resume().exit).toEqual({ kind: 'budget' });
  });
  it('tells the last exceptions', () => {
    const machine = machineWith();
    machine.run([0x31, 0xc9, 0xf7, 0xf1]);
    machine.run([0x90]);
    const faults = machine.processor.recentExceptions(2);
    expect(faults.map(({ vector }) => vector)).toEqual([0, 6]);
    expect(faults.map(({ rip }) => rip)).toEqual([BigInt(PLACE.code) + 2n, BigInt(PLACE.code) + 1n]);
    for (let index = 0; index < 20; index++) machine.run([]);
    expect(machine.processor.recentExceptions()).toHaveLength(16);
  });
});

describe('translate', () => {
  it('finds the guest-physical address as the supervisor would, and leaves no trace', () => {
    const machine = new TinyMachine('long');
    machine.map(0x8000_0000n, 0x200000, 3n);
    expect(machine.processor.translate(0x8000_0123n)).toBe(0x200123);
    expect(machine.processor.translate(0x9000_0000n)).toBeUndefined();
    const entries = machine.tables.entries(0x8000_0000n);
    expect(entries.slice(1).map((at) => machine.tables.read(at) & 0x60n)).toEqual([0n, 0n, 0n]);
    expect(machine.processor.recentExceptions()).toEqual([]);
  });
});

describe('deadlines', () => {
  it('of devices are the handlers', () => {
    const machine = new TinyMachine('long');
    let calls = 0;
    machine.partition.deadline = () => {
      calls++;
      machine.processor.setDeviceDeadline(Number.POSITIVE_INFINITY);
    };
    machine.processor.setDeviceDeadline(500);
    expect(machine.processor.nextDeadline()).toBe(500);
    machine.now = 499;
    machine.run([0x90]);
    expect(calls).toBe(0);
    machine.now = 500;
    machine.run([0x90]);
    expect(calls).toBe(1);
  });
});

describe('ports', () => {
  it('of nobody read as ones, in the width of the access', () => {
    const machine = new TinyMachine('long');
    // in al, dx; then in eax, dx
    machine.run([0xec], { registers: { Rax: 0n, Rdx: 0x5000n } });
    expect(machine.register('Rax')).toBe(0xffn);
    machine.run([0xed], { registers: { Rax: 0n, Rdx: 0x5000n } });
    expect(machine.register('Rax')).toBe(0xffff_ffffn);
  });
  it('are not for user mode without a permission map', () => {
    const machine = new TinyMachine('long');
    expect(machine.run([0xec], { user: true }).what).toBe('#GP(0x0)');
    expect(machine.run([0xec], { user: true, flags: 0x3002n }).what).toBe('done');
  });
  it('are for user mode where the TSS has a clear bit', () => {
    const machine = new TinyMachine('long');
    machine.put(PLACE.tss + 0x68, [...new Uint8Array(0x20).fill(0xff), 0xff]);
    machine.put(PLACE.tss + 0x68 + (0x60 >> 3), [0xfe]);
    machine.processor.writeRegister('Tr', { selector: 0x38, base: BigInt(PLACE.tss), limit: 0x88, attributes: 0x8b });
    expect(machine.run([0xe4, 0x60], { user: true }).what).toBe('done');
    expect(machine.run([0xe4, 0x61], { user: true }).what).toBe('#GP(0x0)');
    // Two bytes ask for two bits.
    expect(machine.run([0x66, 0xe5, 0x60], { user: true }).what).toBe('#GP(0x0)');
  });
});

describe('instructions that look like others', () => {
  it('90 with REX.B is XCHG, and with F3 is PAUSE', () => {
    const machine = new TinyMachine('long');
    expect(machine.run([0x49, 0x90], { registers: { Rax: 1n, R8: 2n } }).what).toBe('done');
    expect([machine.register('Rax'), machine.register('R8')]).toEqual([2n, 1n]);
    expect(machine.run([0xf3, 0x90], { registers: { Rax: 1n } }).what).toBe('done');
    expect(machine.register('Rax')).toBe(1n);
  });
});
