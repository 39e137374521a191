/** Selectors of SYSCALL, SYSRET, SYSENTER and SYSEXIT: sums that are cut off at 16 bits (AMD64 manual volume 2, section 6.1). */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine, USER } from './testing/tiny-machine.ts';

const HIGHEST = 0xfff8n;
/** mov eax, ss; mov ecx, cs, with all 32 bits of what is stored there. */
const READ_SELECTORS = [0x8c, 0xd0, 0x8c, 0xc9];

describe('selectors of system calls', () => {
  it('SYSCALL loads SS from the sum of STAR and 8', () => {
    const registers = { Star: HIGHEST << 32n, Lstar: BigInt(PLACE.code) + 2n };
    const machine = new TinyMachine();
    expect(machine.run([0x0f, 0x05, ...READ_SELECTORS], { registers }).what).toBe('done');
    expect(machine.register('Rax')).toBe(0n);
    expect(machine.register('Rcx')).toBe(HIGHEST);
  });

  it('SYSRET loads CS and SS from sums with 16 and 8', () => {
    const machine = new TinyMachine();
    machine.put(PLACE.userCode, [...READ_SELECTORS, 0x0f, 0x0b]);
    const registers = { Star: HIGHEST << 48n, Rcx: USER.code, R11: 2n };
    expect(machine.run([0x48, 0x0f, 0x07], { registers }).what).toBe('#UD');
    expect(machine.register('Rax')).toBe(3n);
    expect(machine.register('Rcx')).toBe(0xbn);
  });

  it('SYSRET to compatibility mode loads SS from the sum with 8', () => {
    const machine = new TinyMachine();
    // Where USER.code would be is beyond 4 GiB for it.
    machine.map(BigInt(PLACE.userCode), PLACE.userCode, 7n);
    machine.put(PLACE.userCode, [...READ_SELECTORS, 0x0f, 0x0b]);
    const registers = { Star: HIGHEST << 48n, Rcx: BigInt(PLACE.userCode), R11: 2n };
    expect(machine.run([0x0f, 0x07], { registers }).what).toBe('#UD');
    expect(machine.register('Rax')).toBe(3n);
    expect(machine.register('Rcx')).toBe(HIGHEST + 3n);
  });

  it('SYSEXIT loads CS and SS from sums with 16 and 24', () => {
    const machine = new TinyMachine('flat');
    machine.put(PLACE.userCode, [...READ_SELECTORS, 0x0f, 0x0b]);
    const registers = { SysenterCs: HIGHEST, Rdx: BigInt(PLACE.userCode), Rcx: BigInt(PLACE.userStack) };
    expect(machine.run([0x0f, 0x35], { registers }).what).toBe('#UD');
    expect(machine.register('Rax')).toBe(0x13n);
    expect(machine.register('Rcx')).toBe(0xbn);
  });

  it('SYSENTER loads SS from the sum of its register and 8', () => {
    const machine = new TinyMachine('flat');
    const registers = {
      SysenterCs: HIGHEST,
      SysenterRip: BigInt(PLACE.code) + 2n,
      SysenterRsp: BigInt(PLACE.stack),
    };
    expect(machine.run([0x0f, 0x34, ...READ_SELECTORS], { registers }).what).toBe('done');
    expect(machine.register('Rax')).toBe(0n);
    expect(machine.register('Rcx')).toBe(HIGHEST);
  });
});
