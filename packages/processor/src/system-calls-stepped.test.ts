/** SYSCALL and SYSRET with the trap flag: the flags that they load decide (AMD64 manual volume 2, sections 6.1.1 and 13.1.4). */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine, USER } from './testing/tiny-machine.ts';

/** pushfq; or qword [rsp], 0x100; popfq */
const TRAP_ON = [0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d];
const SYSCALL = [0x0f, 0x05];
const BEHIND = BigInt(PLACE.code + TRAP_ON.length + SYSCALL.length);
const TRAP_FLAG = 0x100n;

describe('the trap flag', () => {
  const call = (mask: bigint) => {
    const machine = new TinyMachine();
    const registers = { Star: 8n << 32n, Lstar: BEHIND, Sfmask: mask };
    const ended = machine.run([...TRAP_ON, ...SYSCALL, 0x90], { registers });
    return { ended, r11: machine.processor.readRegister('R11') as bigint };
  };

  it('that SYSCALL masks traps nowhere, and is in R11', () => {
    const { ended, r11 } = call(TRAP_FLAG);
    expect(ended.what).toBe('done');
    expect(r11 & TRAP_FLAG).toBe(TRAP_FLAG);
  });

  it('that SYSCALL leaves traps at the first instruction of the handler', () => {
    const { ended } = call(0n);
    expect(ended.what).toBe('#DB');
    expect(ended.delivery?.rip).toBe(BEHIND);
  });

  it('that SYSRET loads traps before the first instruction of the user', () => {
    const machine = new TinyMachine();
    machine.put(PLACE.userCode, [0x90, 0x0f, 0x0b]);
    const registers = { Star: 8n << 48n, Rcx: USER.code, R11: 2n | TRAP_FLAG };
    const { what, delivery } = machine.run([0x48, 0x0f, 0x07], { registers });
    expect(what).toBe('#DB');
    expect(delivery?.rip).toBe(USER.code);
    expect((delivery?.flags ?? 0n) & TRAP_FLAG).toBe(TRAP_FLAG);
  });
});
