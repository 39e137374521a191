/**
 * Code that changes while it runs, interpreted and translated: stores into the running block, into code that ran before, by another mapping,
 * by string instructions and from another thread. x86 shows a program its own stores at the next instruction.
 */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** mov eax, imm32 */
const setEax = (value: number): number[] => [0xb8, ...little(value)];
/** mov byte [rip + distance], value */
const storeAhead = (distance: number, value: number): number[] => [0xc6, 0x05, ...little(distance), value];
const RET = [0xc3];
const FUNCTION = 0x12000;
/** call rbx */
const CALL = [0xff, 0xd3];

describe.each([
  ['interpreted', 0],
  ['translated at once', TRANSLATE_AT_ONCE],
  ['translated after a few runs', 3],
] as const)('self-modifying code, %s', (_, translateAfter) => {
  const machineWith = (): TinyMachine => new TinyMachine('long', { translateAfter });

  it('sees a store into the instruction behind it', () => {
    const machine = machineWith();
    for (let round = 0; round < 10; round++) {
      expect(machine.run([...storeAhead(1, 0x22), ...setEax(0x11)]).what).toBe('done');
      expect(machine.register('Rax')).toBe(0x22n);
    }
  });
  it('sees a store that makes another instruction of the one behind it', () => {
    // inc eax (ff c0) becomes dec eax (ff c8).
    const machine = machineWith();
    expect(machine.run([...storeAhead(1, 0xc8), 0xff, 0xc0], { registers: { Rax: 10n } }).what).toBe('done');
    expect(machine.register('Rax')).toBe(9n);
  });
  it('sees, in a loop, the store of the round before', () => {
    // mov ecx, 50; again: mov eax, imm32; inc byte [its immediate]; loop: dec ecx; jnz again
    const machine = machineWith();
    const body = [...setEax(0), 0xfe, 0x05, ...little(-10), 0xff, 0xc9, 0x75, 0xf1];
    expect(machine.run([0xb9, ...little(50), ...body]).what).toBe('done');
    expect(machine.register('Rax')).toBe(49n);
  });
  it('calls the changed function after a store through another mapping of its page', () => {
    const machine = machineWith();
    machine.map(0x7000_0000n, FUNCTION, 3n);
    machine.put(FUNCTION, [...setEax(1), ...RET]);
    const again = Array.from({ length: 12 }, (_, index) => [
      // mov byte [rdi + 1], index; call rbx; add esi, eax
      ...[0xc6, 0x47, 0x01, index],
      ...CALL,
      ...[0x01, 0xc6],
    ]).flat();
    const registers = { Rbx: BigInt(FUNCTION), Rdi: 0x7000_0000n, Rsi: 0n };
    expect(machine.run([...CALL, ...CALL, ...CALL, ...CALL, ...again], { registers }).what).toBe('done');
    expect(machine.register('Rsi')).toBe(66n);
  });
  it('calls the function that REP MOVSB has put in place', () => {
    const machine = machineWith();
    machine.put(FUNCTION, [...setEax(1), ...RET]);
    machine.put(0x13000, [...setEax(2), ...RET]);
    // call rbx; call rbx; mov r8d, eax; mov esi, 0x13000; mov edi, FUNCTION; mov ecx, 6; rep movsb; call rbx
    const move = [0xbe, ...little(0x13000), 0xbf, ...little(FUNCTION), 0xb9, ...little(6), 0xf3, 0xa4];
    const code = [...CALL, ...CALL, 0x41, 0x89, 0xc0, ...move, ...CALL];
    expect(machine.run(code, { registers: { Rbx: BigInt(FUNCTION) } }).what).toBe('done');
    expect(machine.register('R8')).toBe(1n);
    expect(machine.register('Rax')).toBe(2n);
  });
  it('sees a store across the end of a page into the next one', () => {
    const machine = machineWith();
    machine.put(FUNCTION, [...setEax(1), ...RET]);
    // A 64-bit store at FUNCTION - 4 whose upper half is the function's first bytes: b8 07 00 00.
    const code = [...CALL, 0x48, 0x89, 0x53, 0xfc, ...CALL];
    const registers = { Rbx: BigInt(FUNCTION), Rdx: 0x0000_07b8_0000_0000n };
    expect(machine.run(code, { registers }).what).toBe('done');
    expect(machine.register('Rax')).toBe(7n);
  });
  it('runs what a host thread wrote, from the next run on', () => {
    const machine = machineWith();
    for (let value = 1; value <= 8; value++) {
      machine.put(FUNCTION, [...setEax(value), ...RET]);
      for (let round = 0; round < 4; round++) {
        expect(machine.run(CALL, { registers: { Rbx: BigInt(FUNCTION) } }).what).toBe('done');
        expect(machine.register('Rax')).toBe(BigInt(value));
      }
    }
  });
  it('runs another page after the mapping of its address changed', () => {
    const machine = machineWith();
    const linear = 0x7000_0000n;
    machine.put(FUNCTION, [...setEax(1), ...RET]);
    machine.put(0x13000, [...setEax(2), ...RET]);
    machine.map(linear, FUNCTION, 3n);
    const [entry = 0] = machine.tables.entries(linear).slice(-1);
    // call rbx (6 times); mov r8d, eax; mov [rcx], rdx; invlpg [rbx]; call rbx
    const code = [
      ...Array.from({ length: 6 }, () => CALL).flat(),
      0x41,
      0x89,
      0xc0,
      0x48,
      0x89,
      0x11,
      0x0f,
      0x01,
      0x3b,
      ...CALL,
    ];
    const registers = { Rbx: linear, Rcx: BigInt(entry), Rdx: 0x13003n };
    expect(machine.run(code, { registers }).what).toBe('done');
    expect(machine.register('R8')).toBe(1n);
    expect(machine.register('Rax')).toBe(2n);
  });
  it('faults where code goes on into a page that must not be executed, and not after it may', () => {
    const machine = machineWith();
    const linear = 0x7000_0000n;
    machine.put(FUNCTION + 0xffb, setEax(1));
    machine.put(0x13000, RET);
    machine.map(linear, FUNCTION, 3n);
    const registers = { Rbx: linear + 0xffbn };
    for (let round = 0; round < 10; round++) {
      machine.map(linear + 0x1000n, 0x13000, round % 2 === 0 ? 3n | (1n << 63n) : 3n);
      // invlpg [rbx + 5]; call rbx
      const { what } = machine.run([0x0f, 0x01, 0x7b, 0x05, ...CALL], { registers });
      expect(what).toBe(round % 2 === 0 ? '#PF(0x11) 0x70001000' : 'done');
      expect(machine.register('Rax')).toBe(1n);
    }
  });
  it('faults at an instruction that a store made invalid', () => {
    const machine = machineWith();
    const { what, delivery } = machine.run([...storeAhead(1, 0x0b), 0x0f, 0x1f, 0x00]);
    expect(what).toBe('#UD');
    expect(delivery?.rip).toBe(BigInt(PLACE.code) + 7n);
  });
});
