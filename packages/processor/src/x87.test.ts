/**
 * x87 instructions where a program on the host cannot compare them (tests/differential does the rest): which encodings exist, availability by
 * CR0, pending exceptions at privilege 0, stores into code, and translated code.
 */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine, type TinyMode } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const CR0 = { MP: 2n, EM: 4n, TS: 8n, NE: 0x20n } as const;
const FNINIT = [0xdb, 0xe3];
const FLD1 = [0xd9, 0xe8];
const FLDZ = [0xd9, 0xee];
const FADD = [0xd8, 0xc1];
/** fdivrp st(1): ST(1) = ST(0) / ST(1) */
const FDIVRP = [0xde, 0xf1];
const FWAIT = [0x9b];
const FNSTSW = [0xdf, 0xe0];
const FNCLEX = [0xdb, 0xe2];
const PUSH_CONTROL = (word: number): number[] => [0x6a, word, 0xd9, 0x2c, 0x24];

/**
 * Register encodings that raise #UD, as from..to, by AMD64 manual volume 3, appendix A.2; what that leaves out and processors execute (D9 D8,
 * DC D0, DC D8, DD C8, DE D0, DF C0..DF with their registers, DB E0, E1 and E4) was found to be executed by an AMD EPYC.
 */
const RESERVED: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
  216: [],
  217: [
    [0xd1, 0xd7],
    [0xe2, 0xe3],
    [0xe6, 0xe7],
    [0xef, 0xef],
  ],
  218: [
    [0xe0, 0xe8],
    [0xea, 0xff],
  ],
  219: [
    [0xe5, 0xe7],
    [0xf8, 0xff],
  ],
  220: [],
  221: [[0xf0, 0xff]],
  222: [
    [0xd8, 0xd8],
    [0xda, 0xdf],
  ],
  223: [
    [0xe1, 0xe7],
    [0xf8, 0xff],
  ],
};
/** Digits of memory encodings that raise #UD. */
const RESERVED_MEMORY: Readonly<Record<number, readonly number[]>> = { 217: [1], 219: [4, 6], 221: [5] };

describe.each(['long', 'legacy'] as const satisfies readonly TinyMode[])('x87 encodings, %s mode', (mode) => {
  it('all exist that the manual has, and no other', () => {
    const machine = new TinyMachine(mode);
    for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
      for (let modrm = 0xc0; modrm <= 0xff; modrm++) {
        const reserved = (RESERVED[opcode] ?? []).some(([from, to]) => modrm >= from && modrm <= to);
        const { what } = machine.run([...FNINIT, opcode, modrm]);
        expect(what, `${opcode.toString(16)} ${modrm.toString(16)}`).toBe(reserved ? '#UD' : 'done');
      }
      for (let digit = 0; digit < 8; digit++) {
        const { what } = machine.run([...FNINIT, opcode, (digit << 3) | 3], { registers: { Rbx: 0x8000n } });
        expect(what, `${opcode.toString(16)} /${digit}`).toBe(
          RESERVED_MEMORY[opcode]?.includes(digit) ? '#UD' : 'done',
        );
        machine.put(0x8000, new Array<number>(128).fill(0));
      }
    }
  });
});

describe.each([
  ['interpreted', 0],
  ['translated at once', TRANSLATE_AT_ONCE],
] as const)('x87, %s', (_, translateAfter) => {
  const machineWith = (): TinyMachine => new TinyMachine('long', { translateAfter });

  it('raises #NM while CR0.TS or CR0.EM is set; FWAIT while TS and MP are', () => {
    for (const bit of [CR0.TS, CR0.EM]) {
      const machine = machineWith();
      machine.set('Cr0', CR0.MP, false);
      machine.set('Cr0', bit);
      for (const code of [FLD1, FADD, FNSTSW, FNINIT]) expect(machine.run(code).what).toBe('#NM');
      expect(machine.run(FWAIT).what).toBe('done');
      machine.set('Cr0', CR0.MP);
      expect(machine.run(FWAIT).what).toBe(bit === CR0.TS ? '#NM' : 'done');
    }
  });

  it('leaves an exception that is not masked to the next instruction that waits', () => {
    const machine = machineWith();
    const divide = [...FNINIT, ...PUSH_CONTROL(0x3b), ...FLDZ, ...FLD1, ...FDIVRP];
    for (const waiting of [FWAIT, FLD1, FADD, PUSH_CONTROL(0x3f)]) {
      const { what, delivery } = machine.run([...divide, ...FNSTSW, ...waiting]);
      expect(what).toBe('#MF');
      const offset = divide.length + FNSTSW.length + (waiting.length === 5 ? 2 : 0);
      expect(delivery?.rip).toBe(BigInt(PLACE.code + offset));
      // ES, ZE, TOP 6: neither operand has gone.
      expect(machine.register('Rax') & 0xb8ffn).toBe(0xb084n);
    }
    expect(machine.run([...divide, ...FNSTSW, ...FNCLEX, ...FWAIT, ...FLD1]).what).toBe('done');
  });

  it('a fault of the operand comes before anything changes', () => {
    const machine = machineWith();
    // fistp qword [rbx], then the status.
    const store = [...FNINIT, ...FLD1, 0xdf, 0x3b];
    expect(machine.run(store, { registers: { Rbx: 0x700000n } }).what).toBe('#PF(0x2) 0x700000');
    expect(machine.run(FNSTSW).what).toBe('done');
    expect(machine.register('Rax') & 0x3800n).toBe(0x3800n);
  });

  it('a store into the code behind it, and into code that ran before, is seen', () => {
    const machine = machineWith();
    for (const value of [0x22, 0x33]) {
      // fild dword [rbx]; fistp dword [rip + 1] over the immediate of mov eax, 0x11
      const code = [...FNINIT, 0xdb, 0x03, 0xdb, 0x1d, 1, 0, 0, 0, 0xb8, 0x11, 0, 0, 0];
      machine.ram.setUint32(0x8000, value, true);
      expect(machine.run(code, { registers: { Rbx: 0x8000n } }).what).toBe('done');
      expect(machine.register('Rax')).toBe(BigInt(value));
    }
    // The same code in a loop, where its own region is running: the immediate grows from round to round.
    const body = [
      0xdb, 0x03, 0xd8, 0xc1, 0xdb, 0x13, 0xdb, 0x1d, 1, 0, 0, 0, 0xb8, 0x11, 0, 0, 0, 0x01, 0xc2, 0xff, 0xc9,
    ];
    const loop = [...FNINIT, ...FLD1, ...body, 0x75, 0x100 - body.length - 2];
    machine.ram.setUint32(0x8000, 0, true);
    const ended = machine.run(loop, { registers: { Rbx: 0x8000n, Rcx: 20n, Rdx: 0n }, budget: 1e6 });
    expect(ended.what).toBe('done');
    expect(machine.register('Rax')).toBe(20n);
    expect(machine.register('Rdx')).toBe(210n);
  });
});
