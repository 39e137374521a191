/**
 * Masked moves (AMD64 manual volume 4, VPMASKMOV): the address of each element wraps by itself, as some AMD processors have it. Found by the
 * differential harness.
 */
import { describe, expect, it } from 'vitest';
import { TinyMachine } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

/** vpcmpeqd xmm1, xmm1, xmm1: every element is selected. */
const ALL = [0xc5, 0xf1, 0x76, 0xc9];
/** vpmaskmovd xmm0, xmm1, [ebx], and back; in 64-bit code 67h makes the address one of 32 bits. */
const LOAD = [0x67, 0xc4, 0xe2, 0x71, 0x8c, 0x03];
const STORE = [0x67, 0xc4, 0xe2, 0x71, 0x8e, 0x03];
/** movq rax, xmm0 behind a swap of its halves. */
const UPPER_HALF = [0xc5, 0xf9, 0x70, 0xc0, 0x4e, 0xc4, 0xe1, 0xf9, 0x7e, 0xc0];
/** Two elements below 4 GiB, two at 0. */
const registers = { Rbx: 0x1234_ffff_fff8n } as const;

describe.each([
  ['interpreted', 0],
  ['translated', TRANSLATE_AT_ONCE],
])('a masked move over the end of 32-bit addresses, %s', (_, translateAfter) => {
  function machine(firstPage: bigint): TinyMachine {
    const made = new TinyMachine('long', { translateAfter });
    made.set('XCr0', 7n);
    made.map(0xffff_f000n, 0x5000, 3n);
    made.map(0n, 0, firstPage);
    return made;
  }

  it('goes on at 0', () => {
    const made = machine(3n);
    made.ram.setBigUint64(0, 0x1122_3344_5566_7788n, true);
    expect(made.run([...ALL, ...LOAD, ...UPPER_HALF], { registers }).what).toBe('done');
    expect(made.register('Rax')).toBe(0x1122_3344_5566_7788n);
  });

  it('faults there', () => {
    expect(machine(0n).run([...ALL, ...LOAD], { registers }).what).toBe('#PF(0x0) 0x0');
    expect(machine(0n).run([...ALL, ...STORE], { registers }).what).toBe('#PF(0x2) 0x0');
  });
});
