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
    expect(machine.processor.run(500_000)).toEqual({ kind: 'budget' });
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
