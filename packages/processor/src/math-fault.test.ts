/**
 * x87 exceptions that wait: #MF with CR0.NE, else FERR#, by which the processor stops until an interrupt comes or IGNNE# lets it go on.
 * AMD64 manual volume 2, section 3.1.1; Intel SDM volume 1, sections 8.7 and appendix D.
 */
import { SHARED, SHARED_OFFSET } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const CR0_NE = 0x20n;
const IF = 0x200n;
const OPERAND = 0x7800n;
const VECTOR = 0x75;
/** fldcw [rbx]; fld1; fldz; fdivp: ZE, which 0x37b does not mask. */
const DIVIDE = [0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9];
const FNINIT = [0xdb, 0xe3];
const FNCLEX = [0xdb, 0xe2];
const FWAIT = [0x9b];
const FLD1 = [0xd9, 0xe8];
const EMMS = [0x0f, 0x77];
const FLDCW = [0xd9, 0x2b];

interface Chipset {
  readonly machine: TinyMachine;
  /** Whether each signal was a new one. */
  readonly signals: boolean[];
}
/** A machine with CR0.NE clear. `answer`: IGNNE#, told of how many signals there were; an interrupt comes with the first unless it is `quiet`. */
function machineWith(
  options: { answer?: (count: number) => boolean; quiet?: boolean; translateAfter?: number } = {},
): Chipset {
  const { answer = () => false, quiet = false, translateAfter = 0 } = options;
  const machine = new TinyMachine('long', { translateAfter });
  machine.set('Cr0', CR0_NE, false);
  machine.ram.setUint16(Number(OPERAND), 0x37b, true);
  const signals: boolean[] = [];
  const header = new DataView(machine.partition.memory.buffer, SHARED_OFFSET);
  machine.partition.floatingPointErrorHandler = (isNew) => {
    signals.push(isNew);
    if (!quiet) header.setUint32(SHARED.externalInterrupt, 1, true);
    return answer(signals.length);
  };
  machine.partition.interruptControllers = {
    acknowledge: () => {
      header.setUint32(SHARED.externalInterrupt, 0, true);
      return VECTOR;
    },
    endOfInterrupt: () => {},
  };
  // LINT0 takes the external interrupt.
  machine.processor.writeApicRegister(0xf0, 0x1ff);
  machine.processor.writeApicRegister(0x350, 0x700);
  return { machine, signals };
}
const registers = { Rbx: OPERAND };
const at = (offset: number): bigint => BigInt(PLACE.code + offset);

describe('an x87 exception without CR0.NE', () => {
  it.each([
    ['FWAIT', FWAIT, 0],
    ['FLD1', FLD1, 0],
    ['EMMS', EMMS, 0],
    ['FLDCW', FLDCW, 0],
    ['FLD1, translated', FLD1, TRANSLATE_AT_ONCE],
    ['FWAIT, translated', FWAIT, TRANSLATE_AT_ONCE],
  ])('stops the processor before %s until the interrupt', (_, waiting, translateAfter) => {
    const { machine, signals } = machineWith({ translateAfter });
    const code = [...FNINIT, ...DIVIDE, ...waiting];
    const { what, delivery } = machine.run(code, { registers, flags: IF });
    expect([what, delivery?.rip]).toEqual([`vector 0x${VECTOR.toString(16)}`, at(code.length - waiting.length)]);
    // Translated code leaves for the interpreter, which comes to it again.
    expect([signals[0], signals.slice(1).includes(true)]).toEqual([true, false]);
  });

  it('stops it although no interrupt comes, and the instruction is there to be executed', () => {
    const { machine } = machineWith({ quiet: true });
    const { what } = machine.run([...FNINIT, ...DIVIDE, ...FWAIT], { registers, flags: IF });
    expect([what, machine.register('Rip')]).toEqual(['halt', at(FNINIT.length + DIVIDE.length)]);
    expect(machine.resume().what).toBe('halt');
  });

  it('is ignored with IGNNE#, and stays', () => {
    const { machine, signals } = machineWith({ answer: () => true, quiet: true });
    // fnstsw ax
    const code = [...FNINIT, ...DIVIDE, ...FWAIT, ...FLD1, 0xdf, 0xe0];
    expect(machine.run(code, { registers, flags: IF }).what).toBe('done');
    expect(signals).toEqual([true, false]);
    expect(machine.register('Rax') & 0x84n).toBe(0x84n);
  });

  it('is a new one behind FNCLEX, FNINIT, and a control word that masks it', () => {
    const mask = [0x66, 0xc7, 0x03, 0x7f, 0x03];
    const unmask = [0x66, 0xc7, 0x03, 0x7b, 0x03];
    for (const end of [FNCLEX, FNINIT, [...mask, ...FLDCW, ...unmask]]) {
      const { machine, signals } = machineWith({ answer: () => true, quiet: true });
      const code = [...FNINIT, ...DIVIDE, ...FWAIT, ...FWAIT, ...end, ...DIVIDE, ...FWAIT, ...FWAIT];
      expect(machine.run(code, { registers, flags: IF }).what).toBe('done');
      expect(signals.filter((isNew) => isNew)).toHaveLength(2);
      expect(signals.slice(0, 3)).toEqual([true, false, end.length > 2 ? false : true]);
    }
  });

  it('is nobody’s business where no instruction waits', () => {
    const { machine, signals } = machineWith();
    expect(machine.run([...FNINIT, ...DIVIDE, 0xdf, 0xe0, ...FNCLEX, ...FWAIT], { registers, flags: IF }).what).toBe(
      'done',
    );
    expect(signals).toEqual([]);
  });

  it('is #MF with CR0.NE', () => {
    const { machine, signals } = machineWith();
    machine.set('Cr0', CR0_NE);
    expect(machine.run([...FNINIT, ...DIVIDE, ...FWAIT], { registers, flags: IF }).what).toBe('#MF');
    expect(signals).toEqual([]);
  });
});
