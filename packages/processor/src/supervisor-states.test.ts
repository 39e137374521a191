/**
 * XSAVES and XRSTORS: the supervisor's forms of XSAVEC and XRSTOR, without any supervisor component. AMD64 manual volume 2, section 11.5, and
 * volume 4; Intel SDM volume 1, sections 13.11 and 13.12.
 */
import { describe, expect, it } from 'vitest';
import { TinyMachine } from './testing/tiny-machine.ts';

const AREA = 0x7000;
const HEADER = AREA + 512;
const XSAVES = [0x0f, 0xc7, 0x2b];
const XRSTORS = [0x0f, 0xc7, 0x1b];
const XSAVEC = [0x0f, 0xc7, 0x23];
const XRSTOR = [0x0f, 0xae, 0x2b];
const COMPACTED = 1n << 63n;
const CR0_TS = 8n;
const OSXSAVE = 0x4_0000n;
const registers = (components: bigint, at = BigInt(AREA)) => ({ Rbx: at, Rax: components, Rdx: 0n });
const area = (machine: TinyMachine): number[] => [
  ...new Uint8Array(machine.ram.buffer, machine.ram.byteOffset + AREA, 848),
];

function ready(): TinyMachine {
  const machine = new TinyMachine();
  machine.set('XCr0', 0x207n);
  machine.put(AREA, new Array<number>(848).fill(0));
  machine.processor.writeRegister('Xmm5', 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10n);
  machine.processor.writeRegister('Pkru', 0x5555_5550n);
  return machine;
}

describe('XSAVES and XRSTORS', () => {
  it.each([0n, 1n, 3n, 7n, 0x200n, 0x207n, 0x2ffn])(
    'write what XSAVEC writes, and load it (components %s)',
    (components) => {
      const supervisor = ready();
      const user = ready();
      expect(supervisor.run(XSAVES, { registers: registers(components) }).what).toBe('done');
      expect(user.run(XSAVEC, { registers: registers(components) }).what).toBe('done');
      expect(area(supervisor)).toEqual(area(user));
      expect(supervisor.ram.getBigUint64(HEADER + 8, true)).toBe((components & 0x207n) | COMPACTED);
      supervisor.processor.writeRegister('Xmm5', 1n);
      supervisor.processor.writeRegister('Pkru', 0xcn);
      expect(supervisor.run(XRSTORS, { registers: registers(components) }).what).toBe('done');
      const has = (bit: bigint): boolean => (components & bit) !== 0n;
      expect(supervisor.processor.readRegister('Xmm5')).toBe(has(2n) ? 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10n : 1n);
      expect(supervisor.processor.readRegister('Pkru')).toBe(has(0x200n) ? 0x5555_5550n : 0xcn);
    },
  );
  it('XRSTORS takes the compacted form alone, and components that are enabled', () => {
    for (const [present, form, what] of [
      [0n, 0n, '#GP(0x0)'],
      [3n, 0n, '#GP(0x0)'],
      [3n, COMPACTED | 3n, 'done'],
      [3n, COMPACTED | 1n, '#GP(0x0)'],
      [0n, COMPACTED | 0x208n, '#GP(0x0)'],
      // CET's supervisor state, which IA32_XSS has no bit for.
      [0n, COMPACTED | 0x1000n, '#GP(0x0)'],
    ] as const) {
      const machine = ready();
      machine.put(AREA + 24, [0x80, 0x1f]);
      machine.ram.setBigUint64(HEADER, present, true);
      machine.ram.setBigUint64(HEADER + 8, form, true);
      expect(machine.run(XRSTORS, { registers: registers(0x207n) }).what, `${present} ${form}`).toBe(what);
      if (form === 0n) expect(machine.run(XRSTOR, { registers: registers(0x207n) }).what).toBe('done');
    }
  });
  it('are for level 0, with CR4.OSXSAVE and without CR0.TS, at addresses aligned to 64', () => {
    for (const code of [XSAVES, XRSTORS]) {
      const machine = ready();
      machine.ram.setBigUint64(HEADER + 8, COMPACTED, true);
      expect(machine.run(code, { registers: registers(0n) }).what).toBe('done');
      expect(machine.run(code, { user: true, registers: registers(0n, 0x410000n) }).what).toBe('#GP(0x0)');
      expect(machine.run(code, { registers: registers(0n, BigInt(AREA + 16)) }).what).toBe('#GP(0x0)');
      machine.set('Cr0', CR0_TS);
      expect(machine.run(code, { registers: registers(0n) }).what).toBe('#NM');
      machine.set('Cr4', OSXSAVE, false);
      expect(machine.run(code, { registers: registers(0n) }).what).toBe('#UD');
    }
  });
});

describe('IA32_XSS', () => {
  const RDMSR = [0x0f, 0x32];
  const WRMSR = [0x0f, 0x30];
  const index = { Rcx: 0xda0n };
  it('is zero, and can be nothing else', () => {
    const machine = ready();
    expect(machine.run(RDMSR, { registers: { ...index, Rax: 1n, Rdx: 1n } }).what).toBe('done');
    expect([machine.register('Rax'), machine.register('Rdx')]).toEqual([0n, 0n]);
    expect(machine.run(WRMSR, { registers: { ...index, Rax: 0n, Rdx: 0n } }).what).toBe('done');
    for (let bit = 0n; bit < 64n; bit++) {
      const value = { Rax: (1n << bit) & 0xffff_ffffn, Rdx: (1n << bit) >> 32n };
      expect(machine.run(WRMSR, { registers: { ...index, ...value } }).what).toBe('#GP(0x0)');
    }
  });
  it('is not there without XSAVES', () => {
    const machine = new TinyMachine('long', { absent: ['xsaves'] });
    expect(machine.run(RDMSR, { registers: index }).what).toBe('#GP(0x0)');
    expect(machine.run(WRMSR, { registers: { ...index, Rax: 0n, Rdx: 0n } }).what).toBe('#GP(0x0)');
    expect(machine.run(XSAVES, { registers: registers(0n) }).what).toBe('#UD');
  });
});
