/**
 * Delivery of exceptions: what is pushed in each mode, interrupt stacks, double and triple faults, and 32-bit code of long mode.
 * AMD64 manual volume 2, chapter 8.
 */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';

const UD2 = [0x0f, 0x0b];
const INT3 = [0xcc];
const FLAG_RF = 0x1_0000n;
/** mov eax, [0]: with the page at 0 unmapped, a page fault. In 64-bit code by SIB, so that it is absolute. */
const LOAD_ZERO = [0x8b, 0x04, 0x25, 0, 0, 0, 0];

function unmapped(): TinyMachine {
  const machine = new TinyMachine('long');
  machine.map(0n, 0, 0n);
  return machine;
}

describe('an exception in 64-bit mode', () => {
  it('pushes SS, RSP, RFLAGS, CS and RIP on a stack aligned to 16 bytes', () => {
    const { delivery } = new TinyMachine('long').run([], { registers: { Rsp: 0x5ff3n }, flags: 0x8d7n });
    expect(delivery).toEqual({
      vector: 6,
      error: undefined,
      rip: BigInt(PLACE.code),
      cs: 0x08,
      // RF: the instruction begins again.
      flags: 0x8d7n | FLAG_RF,
      rsp: 0x5ff3n,
      handlerStack: 0x5ff0n - 40n,
    });
  });
  it('from user mode takes the stack of the TSS', () => {
    const { delivery } = new TinyMachine('long').run([], { user: true });
    expect(delivery).toMatchObject({ vector: 6, cs: 0x33, rsp: 0x411000n, handlerStack: BigInt(PLACE.stack) - 40n });
  });
  it('takes the interrupt stack that its gate names, whatever the level', () => {
    for (const user of [false, true]) {
      const machine = new TinyMachine('long');
      machine.setGate(6, { stack: 1 });
      const { delivery } = machine.run([], { user });
      expect(delivery?.handlerStack).toBe(BigInt(PLACE.interruptStack) - 40n);
    }
  });
  it('has an error code below RIP where the vector has one', () => {
    const { what, delivery } = unmapped().run(LOAD_ZERO);
    expect(what).toBe('#PF(0x0) 0x0');
    expect(delivery?.handlerStack).toBe(BigInt(PLACE.stack) - 48n);
  });
  it('that is a trap points behind the instruction', () => {
    const machine = new TinyMachine('long');
    expect(machine.run(INT3).delivery).toMatchObject({ vector: 3, rip: BigInt(PLACE.code) + 1n, flags: 2n });
    machine.setGate(3, { level: 3 });
    expect(machine.run(INT3, { user: true }).delivery).toMatchObject({ vector: 3, rip: 0x400001n });
    machine.setGate(3, {});
    expect(machine.run(INT3, { user: true }).what).toBe('#GP(0x1a)');
  });
  it('is returned from by IRETQ with everything as it was', () => {
    // push 0x2b; push 0x410ff8; push 0x8d7; push 0x33; push 0x400000; iretq, to user code that is UD2.
    const machine = new TinyMachine('long');
    machine.put(PLACE.userCode, UD2);
    const push = (value: number): number[] => [0x68, ...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)];
    const code = [...push(0x2b), ...push(0x410ff8), ...push(0x8d7), ...push(0x33), ...push(0x400000), 0x48, 0xcf];
    const { delivery } = machine.run(code);
    expect(delivery).toMatchObject({ vector: 6, rip: 0x400000n, cs: 0x33, rsp: 0x410ff8n, flags: 0x8d7n | FLAG_RF });
  });
});

describe('double and triple faults', () => {
  it('a page fault whose gate is absent is a double fault', () => {
    const machine = unmapped();
    machine.setGate(14, { present: false });
    machine.setGate(8, { stack: 1 });
    const { what, delivery } = machine.run(LOAD_ZERO);
    expect(what).toBe('#DF(0x0)');
    expect(delivery?.handlerStack).toBe(BigInt(PLACE.interruptStack) - 48n);
    expect(machine.register('Cr2')).toBe(0n);
  });
  it('two contributory exceptions are a double fault', () => {
    const machine = new TinyMachine('long');
    machine.setGate(0, { present: false });
    // xor ecx, ecx; div ecx
    expect(machine.run([0x31, 0xc9, 0xf7, 0xf1]).what).toBe('#DF(0x0)');
  });
  it('a benign exception whose gate is absent is just that fault', () => {
    const machine = new TinyMachine('long');
    machine.setGate(6, { present: false });
    expect(machine.run([]).what).toBe(`#NP(0x${(6 * 8 + 3).toString(16)})`);
  });
  it('a stack that is not there makes a page fault of a page fault: a double fault', () => {
    const machine = unmapped();
    machine.setGate(8, { stack: 1 });
    expect(machine.run(LOAD_ZERO, { registers: { Rsp: 0x700000n } }).what).toBe('#DF(0x0)');
  });
  it('a double fault that cannot be delivered shuts the processor down, and the exit tells the chain', () => {
    const machine = unmapped();
    machine.setGate(14, { present: false });
    machine.setGate(8, { present: false });
    const { exit } = machine.run([0x90, ...LOAD_ZERO]);
    const rip = BigInt(PLACE.code) + 1n;
    expect(exit).toEqual({
      kind: 'shutdown',
      faults: [
        { vector: 14, errorCode: 0, rip, address: 0n },
        { vector: 11, errorCode: 14 * 8 + 3, rip, address: 0n },
        { vector: 11, errorCode: 8 * 8 + 3, rip, address: 0n },
      ],
    });
  });
});

describe('compatibility mode', () => {
  it('runs 32-bit code: 40 is INC EAX, not a prefix', () => {
    const machine = new TinyMachine('compatibility');
    expect(machine.run([0x40, 0x40], { registers: { Rax: 5n } }).what).toBe('done');
    expect(machine.register('Rax')).toBe(7n);
  });
  it('enters handlers in 64-bit mode with a 64-bit frame', () => {
    for (const user of [false, true]) {
      const machine = new TinyMachine('compatibility');
      const { delivery } = machine.run([0x90], { user });
      expect(delivery).toMatchObject({ vector: 6, cs: user ? 0x23 : 0x18, handlerStack: BigInt(PLACE.stack) - 40n });
      expect(machine.processor.readRegister('Cs')).toMatchObject({ selector: 0x08 });
    }
  });
  it('wraps addresses at 4 GiB', () => {
    const machine = new TinyMachine('compatibility');
    machine.ram.setUint32(0x7800, 0x1234_5678, true);
    // mov eax, [ebx + 0x10000]
    const { what } = machine.run([0x8b, 0x83, 0, 0, 1, 0], { registers: { Rbx: 0xffff_7800n } });
    expect(what).toBe('done');
    expect(machine.register('Rax')).toBe(0x1234_5678n);
  });
  it('has no instructions of 64-bit mode, and those that 64-bit mode has lost', () => {
    const machine = new TinyMachine('compatibility');
    // aaa; push cs, pop eax
    expect(machine.run([0x37, 0x0e, 0x58], { registers: { Rax: 0xfn } }).what).toBe('done');
    for (const code of [[0x37], [0x0e], [0x60], [0xd4, 0x0a], [0xce]]) {
      expect(new TinyMachine('long').run(code).what).toBe('#UD');
    }
  });
});

describe('32-bit protected mode', () => {
  for (const mode of ['flat', 'legacy', 'pae'] as const) {
    it(`${mode}: pushes 32-bit frames, and takes the stack of the TSS from user mode`, () => {
      const machine = new TinyMachine(mode);
      expect(machine.run([0x90]).delivery).toMatchObject({
        vector: 6,
        cs: 0x18,
        handlerStack: BigInt(PLACE.stack) - 12n,
      });
      if (mode === 'flat') return;
      const { delivery } = machine.run([0x90], { user: true });
      expect(delivery).toMatchObject({ vector: 6, cs: 0x23, rsp: 0x411000n, handlerStack: BigInt(PLACE.stack) - 20n });
    });
  }
  it('goes into long mode the way boot loaders do', () => {
    // With tables in place: mov eax, cr4; or al, 0x20; mov cr4, eax; mov ecx, EFER; rdmsr; or ah, 1; wrmsr; mov eax, cr0; bts eax, 31;
    // mov cr0, eax; jmp 08:next; next (64-bit): mov rax, imm64.
    const machine = new TinyMachine('flat');
    const long = new TinyMachine('long');
    machine.put(PLACE.tables, [...new Uint8Array(long.ram.buffer, long.ram.byteOffset + PLACE.tables, 0x10000)]);
    machine.put(PLACE.gdt, [...new Uint8Array(long.ram.buffer, long.ram.byteOffset + PLACE.gdt, 0x48)]);
    machine.put(PLACE.idt, [...new Uint8Array(long.ram.buffer, long.ram.byteOffset + PLACE.idt, 0x1000)]);
    const enable = [
      ...[
        0x0f, 0x20, 0xe0, 0x0c, 0x20, 0x0f, 0x22, 0xe0, 0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32, 0x80, 0xcc, 1, 0x0f, 0x30,
      ],
      ...[0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xe8, 0x1f, 0x0f, 0x22, 0xc0],
    ];
    const next = PLACE.code + enable.length + 7;
    const jump = [0xea, next & 0xff, next >> 8, next >> 16, 0, 0x08, 0];
    machine.processor.writeRegister('Cr3', BigInt(PLACE.tables));
    machine.run([...enable, ...jump, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(machine.register('Rax')).toBe(0x0807_0605_0403_0201n);
    expect(machine.processor.readRegister('Efer')).toBe(0x500n);
    expect(machine.processor.readRegister('Cs')).toMatchObject({ selector: 0x08, attributes: 0xa09b });
  });
});
