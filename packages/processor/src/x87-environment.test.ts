/** FNSTENV and FNSAVE write their area and nothing behind it, wherever it begins and whatever its second page holds. */
import { describe, expect, it } from 'vitest';
import { TinyMachine } from './testing/tiny-machine.ts';

const FIRST_PAGE = 0x40000;
const SECOND_PAGE = 0x41000;
/** Code in the second page, behind the areas: ret. */
const CODE_THERE = 0x41100;
const SENTINEL = 0xa5;
const little32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

describe.each([
  ['FNSTENV', [0xd9, 0x31], 28],
  ['FNSAVE', [0xdd, 0x31], 108],
  ['FNSTENV of 14 bytes', [0x66, 0xd9, 0x31], 14],
  ['FNSAVE of 94 bytes', [0x66, 0xdd, 0x31], 94],
] as const)('%s over the end of a page before one with code', (_, code, bytes) => {
  it.each(Array.from({ length: 12 }, (_, before) => before + 1))('from %i bytes before it', (before) => {
    const machine = new TinyMachine();
    const start = SECOND_PAGE - before;
    for (let at = FIRST_PAGE; at < CODE_THERE; at++) machine.ram.setUint8(at, SENTINEL);
    machine.put(CODE_THERE, [0xc3]);
    const prepare = [
      // fninit; mov ecx, start; mov byte [rcx - 256], 1, so that the first page can be written; mov eax, CODE_THERE; call rax
      ...[0xdb, 0xe3, 0xb9, ...little32(start)],
      ...[0xc6, 0x81, ...little32(-256), 1],
      ...[0xb8, ...little32(CODE_THERE), 0xff, 0xd0],
    ];
    expect(machine.run([...prepare, ...code]).what).toBe('done');
    const around = [start - 1, start + bytes, start + bytes + 1].map((at) => machine.ram.getUint8(at));
    expect(around).toEqual([SENTINEL, SENTINEL, SENTINEL]);
    // The control word is its first.
    expect(machine.ram.getUint16(start, true)).toBe(0x37f);
  });
});
