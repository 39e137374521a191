/** What a debugger needs of the engine: single steps, and stop points before instructions, interpreted and where code was translated. */
import { describe, expect, it } from 'vitest';
import { STATE } from './state-layout.ts';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';

const CODE = BigInt(PLACE.code);
/** A machine that stands before its first instruction. */
function standing(code: readonly number[], translateAfter = 0, flags = 2n): TinyMachine {
  const machine = new TinyMachine('long', { translateAfter });
  expect(machine.run(code, { budget: 0, flags }).what).toBe('budget');
  return machine;
}
const execute = (...addresses: bigint[]) => addresses.map((address) => ({ kind: 'execute', address }) as const);
const stopAt = (address: bigint) => ({ kind: 'stop-point', point: { kind: 'execute', address } });
/** mov rcx, 100; at 7: inc rax; at 10: dec rcx; at 13: jnz 7. */
const LOOP = [0x48, 0xc7, 0xc1, 100, 0, 0, 0, 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc9, 0x75, 0xf8];

describe('a single step', () => {
  it('executes one instruction and no other', () => {
    const machine = standing(LOOP);
    const places = [7n, 10n, 13n, 7n, 10n];
    for (const place of places) {
      expect(machine.processor.step()).toEqual({ kind: 'budget' });
      expect(machine.register('Rip')).toBe(CODE + place);
    }
    expect(machine.register('Rcx')).toBe(99n);
    expect(machine.processor.instructionCounts()).toEqual({ interpreted: 5, translated: 0 });
    expect(machine.resume().what).toBe('done');
    expect(machine.register('Rcx')).toBe(0n);
  });
  it('ends at the first instruction of an exception handler', () => {
    // ud2
    const machine = standing([0x0f, 0x0b]);
    expect(machine.processor.step()).toEqual({ kind: 'budget' });
    expect(machine.register('Rip')).toBe(BigInt(PLACE.stubs + 16 * 6));
  });
  it('of code that is not there ends at the handler of its page fault', () => {
    const machine = standing([0xff, 0xe0]);
    machine.processor.writeRegister('Rax', 0x7000_0000n);
    machine.processor.step();
    machine.processor.step();
    expect(machine.register('Rip')).toBe(BigInt(PLACE.stubs + 16 * 14));
    expect(machine.register('Cr2')).toBe(0x7000_0000n);
  });
  it('takes no interrupt, and leaves it to the run after it', () => {
    // nop; nop, with interrupts on and one pending
    const machine = standing([0x90, 0x90], 0, 0x202n);
    machine.processor.writeApicRegister(0xf0, 0x1ff);
    // A self-interrupt of vector 0x40.
    machine.processor.writeApicRegister(0x300, 0x44040);
    machine.processor.step();
    expect(machine.register('Rip')).toBe(CODE + 1n);
    expect(machine.resume().what).toBe('vector 0x40');
  });
  it('of HLT tells so, and of a halted processor too', () => {
    const machine = standing([0xf4], 0, 0x202n);
    expect(machine.processor.step().kind).toBe('halt');
    expect(machine.processor.step().kind).toBe('halt');
  });
  it('leaves a kick for the next run', () => {
    const machine = standing(LOOP);
    machine.processor.kick();
    expect(machine.processor.step()).toEqual({ kind: 'budget' });
    expect(machine.processor.run(1000)).toEqual({ kind: 'kicked' });
  });
});

describe('a stop point', () => {
  it.each([
    ['interpreted', 0],
    ['translated', 4],
  ])('stops each time before its instruction, in the middle of a block, %s', (_, translateAfter) => {
    const machine = standing(LOOP, translateAfter);
    machine.processor.setStopPoints(execute(CODE + 10n));
    for (let turn = 1n; turn <= 3n; turn++) {
      expect(machine.processor.run(100_000)).toEqual(stopAt(CODE + 10n));
      expect(machine.register('Rax')).toBe(turn);
      expect(machine.register('Rcx')).toBe(101n - turn);
      expect(machine.processor.step()).toEqual({ kind: 'budget' });
    }
    machine.processor.setStopPoints([]);
    expect(machine.resume().what).toBe('done');
    expect(machine.register('Rax')).toBe(100n);
  });
  it('is heeded by code that was translated before it was set, and forgotten when it is taken away', () => {
    const machine = standing(LOOP, 4);
    machine.processor.writeRegister('Rcx', 1_000_000n);
    machine.processor.writeRegister('Rip', CODE + 7n);
    expect(machine.processor.run(500_000)).toEqual({ kind: 'budget' });
    expect(machine.processor.instructionCounts().translated).toBeGreaterThan(100_000);
    machine.processor.setStopPoints(execute(CODE + 13n));
    expect(machine.processor.run(100_000)).toEqual(stopAt(CODE + 13n));
    const before = machine.processor.instructionCounts().translated;
    machine.processor.step();
    expect(machine.processor.run(100_000)).toEqual(stopAt(CODE + 13n));
    expect(machine.processor.instructionCounts().translated).toBe(before);
    machine.processor.setStopPoints([]);
    // Longer than the second batch waits after the first.
    expect(machine.processor.run(2_000_000)).toEqual({ kind: 'budget' });
    expect(machine.processor.instructionCounts().translated).toBeGreaterThan(before + 100_000);
  });
  it('is one of a linear address: the same code elsewhere goes on', () => {
    const machine = standing(LOOP);
    machine.map(0x5000_0000n, PLACE.code, 3n);
    machine.processor.setStopPoints(execute(0x5000_000an));
    expect(machine.resume().what).toBe('done');
    machine.run(LOOP, { budget: 0 });
    machine.processor.writeRegister('Rip', 0x5000_0000n);
    expect(machine.processor.run(100_000)).toEqual(stopAt(0x5000_000an));
  });
  it('leaves a call alone that stands at the same offset of another page', () => {
    // mov ecx, 100; at 5: call 16; at 10: dec ecx; jnz 5; jmp 22; at 16: add eax, 0x12345; ret
    const code = [
      ...[0xb9, 100, 0, 0, 0],
      ...[0xe8, 6, 0, 0, 0],
      ...[0xff, 0xc9, 0x75, 0xf7],
      ...[0xeb, 6],
      ...[0x05, 0x45, 0x23, 1, 0, 0xc3],
    ];
    const machine = standing(code);
    machine.processor.writeRegister('Rax', 0n);
    machine.processor.setStopPoints(execute(0x7000_0005n));
    expect(machine.resume().what).toBe('done');
    expect(machine.register('Rax')).toBe(100n * 0x12345n);
  });
  it('holds for an instruction over two pages, and for one that faults', () => {
    const machine = standing(LOOP);
    // mov eax, 5, of which two bytes lie in the next page; then ud2
    machine.put(PLACE.code + 0xffd, [0xb8, 5, 0, 0, 0, 0x0f, 0x0b]);
    machine.processor.writeRegister('Rip', CODE + 0xffdn);
    machine.processor.setStopPoints(execute(CODE + 0xffdn, CODE + 0x1002n));
    expect(machine.processor.run(1000)).toEqual(stopAt(CODE + 0xffdn));
    machine.processor.step();
    expect(machine.register('Rax')).toBe(5n);
    expect(machine.processor.run(1000)).toEqual(stopAt(CODE + 0x1002n));
    machine.processor.step();
    expect(machine.register('Rip')).toBe(BigInt(PLACE.stubs + 16 * 6));
  });
  it('outlives a reset of the processor', () => {
    const machine = standing(LOOP);
    machine.processor.setStopPoints(execute(CODE + 10n));
    machine.processor.reset();
    const again = standing(LOOP);
    again.processor.setStopPoints(execute(CODE + 10n));
    const count = ({ partition }: TinyMachine): number =>
      new DataView(partition.memory.buffer, partition.layout.processorsOffset).getUint32(STATE.STOP_COUNT, true);
    expect([count(machine), count(again)]).toEqual([1, 1]);
  });
  it('is refused beyond their number, and the former ones stand', () => {
    const machine = standing(LOOP);
    machine.processor.setStopPoints(execute(CODE + 10n));
    const many = execute(...Array.from({ length: 1000 }, (_, index) => BigInt(index)));
    expect(machine.processor.setStopPoints(many)).toBe(false);
    expect(machine.processor.run(100_000)).toEqual(stopAt(CODE + 10n));
  });
});

/** mov rcx, 3; at 7: mov [rbx], rcx; at 10: mov rax, [rbx+8]; at 14: dec rcx; at 17: jnz 7. */
const STORES = [
  ...[0x48, 0xc7, 0xc1, 3, 0, 0, 0],
  ...[0x48, 0x89, 0x0b],
  ...[0x48, 0x8b, 0x43, 0x08],
  ...[0x48, 0xff, 0xc9],
  ...[0x75, 0xf4],
];
const DATA = 0x7800n;
function storing(translateAfter = 0): TinyMachine {
  const machine = new TinyMachine('long', { translateAfter });
  machine.run(STORES, { budget: 0, registers: { Rbx: DATA } });
  return machine;
}

describe('a stop point of memory', () => {
  it.each([
    ['interpreted', 0],
    ['translated', 2],
  ])('stops right behind each write that meets it, %s', (_, translateAfter) => {
    const machine = storing(translateAfter);
    const point = { kind: 'write', address: DATA + 2n, bytes: 1 } as const;
    machine.processor.setStopPoints([point]);
    for (const left of [3n, 2n, 1n]) {
      expect(machine.processor.run(100_000)).toEqual({ kind: 'stop-point', point });
      expect([machine.register('Rip'), machine.register('Rcx')]).toEqual([CODE + 10n, left]);
      expect(machine.ram.getBigUint64(Number(DATA), true)).toBe(left);
    }
    expect(machine.resume().what).toBe('done');
  });
  it('stops for reads, or for both, as it is asked to', () => {
    const machine = storing();
    const points = [
      { kind: 'read', address: DATA + 12n, bytes: 4 },
      { kind: 'access', address: DATA, bytes: 1 },
    ] as const;
    machine.processor.setStopPoints(points);
    const stops = Array.from({ length: 6 }, () => {
      const exit = machine.processor.run(100_000);
      return exit.kind === 'stop-point' ? [exit.point.kind, machine.register('Rip') - CODE] : exit.kind;
    });
    const turn = [
      ['access', 10n],
      ['read', 14n],
    ];
    expect(stops).toEqual([...turn, ...turn, ...turn]);
    machine.processor.setStopPoints([]);
    expect(machine.resume().what).toBe('done');
  });
  it('does not stop for its neighbours, nor for a step’s instruction that does not touch it', () => {
    const machine = storing();
    machine.processor.setStopPoints([{ kind: 'access', address: DATA + 16n, bytes: 64 }]);
    expect(machine.processor.step()).toEqual({ kind: 'budget' });
    expect(machine.processor.step()).toEqual({ kind: 'budget' });
    expect(machine.resume().what).toBe('done');
  });
  it('is told by a step too, also where the access crosses pages', () => {
    const machine = storing();
    machine.processor.writeRegister('Rbx', 0x7ffdn);
    const point = { kind: 'write', address: 0x8001n, bytes: 2 } as const;
    machine.processor.setStopPoints([point]);
    expect(machine.processor.step()).toEqual({ kind: 'budget' });
    expect(machine.processor.step()).toEqual({ kind: 'stop-point', point });
    expect(machine.register('Rip')).toBe(CODE + 10n);
  });
  it('does not count an access that faults', () => {
    const machine = storing();
    machine.processor.writeRegister('Rbx', 0x7000_0000n);
    machine.processor.setStopPoints([{ kind: 'write', address: 0x7000_0000n, bytes: 8 }]);
    expect(machine.resume().what).toBe('#PF(0x2) 0x70000000');
  });
  it('meets a string instruction', () => {
    const machine = new TinyMachine('long');
    // rep stosb
    machine.run([0xf3, 0xaa], { budget: 0, registers: { Rdi: DATA, Rcx: 64n, Rax: 0x5an } });
    const point = { kind: 'write', address: DATA + 40n, bytes: 1 } as const;
    machine.processor.setStopPoints([point]);
    expect(machine.processor.run(100_000)).toEqual({ kind: 'stop-point', point });
    expect(machine.ram.getUint8(Number(DATA) + 40)).toBe(0x5a);
    expect(machine.resume().what).toBe('done');
    expect(machine.ram.getUint8(Number(DATA) + 63)).toBe(0x5a);
  });
});
