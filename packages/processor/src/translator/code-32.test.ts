/** 32-bit code translated before its first execution ends as the interpreter ends it: segments with a base, and addresses that begin anew behind 4 GiB. */
import { describe, expect, it } from 'vitest';
import { flatSegment, SELECTOR } from '../testing/tiny-descriptors.ts';
import { PLACE, type RunOptions, TinyMachine, type TinyMode } from '../testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from '../translate-after.ts';

const MODES = ['compatibility', 'legacy', 'pae', 'flat'] as const;
const LAST_PAGE = 0xffff_f000;
const LAST_FRAME = 0x9_4000;
const little32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** Runs the code interpreted and translated. @returns what both found, and how many instructions were translated */
function both(mode: TinyMode, code: readonly number[], options: RunOptions, lastPage: readonly number[] = []) {
  const [expected, found] = [0, TRANSLATE_AT_ONCE].map((translateAfter) => {
    const machine = new TinyMachine(mode, { translateAfter });
    if (mode !== 'flat') machine.map(BigInt(LAST_PAGE), LAST_FRAME, 3n);
    machine.put(LAST_FRAME, lastPage);
    for (let at = 0; at < 64; at += 4) machine.ram.setUint32(0x7000 + at, 0x1000 + at, true);
    const { what, delivery } = machine.run(code, options);
    const registers = (['Rax', 'Rcx', 'Rdx', 'Rbx', 'Rsp', 'Rsi', 'Rdi'] as const).map((name) =>
      machine.register(name),
    );
    const memory = Array.from({ length: 64 }, (_, at) => machine.ram.getUint8(PLACE.stack - 64 + at));
    return {
      ended: { what, delivery, registers, memory },
      translated: machine.processor.instructionCounts().translated,
    };
  });
  expect(found?.ended).toEqual(expected?.ended);
  return { ...expected?.ended, translated: found?.translated ?? 0 };
}
const based = (limit: number) => ({ ...flatSegment(SELECTOR.data, false, false, false), base: 0x6ff0n, limit });

describe.each(MODES)('32-bit code in %s mode', (mode) => {
  it('adds the base of FS and GS', () => {
    // mov eax, fs:[0x14] twice by two forms; lea ecx, fs:[eax+4]; push dword gs:[0x18]; pop dword fs:[ebx]; xor edx, edx
    const code = [
      ...[0x64, 0xa1, ...little32(0x14), 0x64, 0x8b, 0x05, ...little32(0x14), 0x64, 0x8d, 0x48, 4],
      ...[0x65, 0xff, 0x35, ...little32(0x18), 0x64, 0x8f, 0x03, 0x31, 0xd2],
    ];
    const registers = { Fs: based(0xffff_ffff), Gs: based(0xffff_ffff), Rbx: 0x20n };
    const { what, registers: [rax, rcx] = [], translated } = both(mode, code, { registers });
    expect({ what, rax, rcx }).toEqual({ what: 'done', rax: 0x1004n, rcx: 0x1008n });
    expect(translated).toBeGreaterThan(0);
  });

  it('refuses what is behind the limit of FS, and leaves the stack pointer where it was', () => {
    const registers = { Fs: based(0x17), Rbx: 0x14n };
    expect(both(mode, [0x64, 0x8b, 0x03], { registers }).what).toBe('done');
    expect(both(mode, [0x64, 0x8b, 0x43, 1], { registers }).what).toBe('#GP(0x0)');
    // push ebx; pop dword fs:[ebx + 4]
    expect(both(mode, [0x53, 0x64, 0x8f, 0x43, 4], { registers }).what).toBe('#GP(0x0)');
  });

  it('pushes and pops all registers at once, across the end of a page too', () => {
    for (const stack of [BigInt(PLACE.stack), BigInt(PLACE.stack) - 0x1000n + 12n]) {
      const { what } = both(mode, [0x60, 0x31, 0xc0, 0x31, 0xdb, 0x61, 0x66, 0x60, 0x66, 0x61], {
        registers: { Rsp: stack, Rax: 1n, Rbx: 2n, Rcx: 3n, Rdx: 4n, Rsi: 5n, Rdi: 6n },
      });
      expect(what).toBe('done');
    }
  });

  // Without paging what lies behind the machine's memory is nothing.
  if (mode !== 'flat')
    it('jumps over the end of the addresses, both ways, and calls', () => {
      // dec ecx; jz end; jmp LAST_PAGE. There: inc eax; call next; next: pop edx; jmp back
      const back = PLACE.code - (LAST_PAGE + 12);
      const lastPage = [0x40, 0xe8, 0, 0, 0, 0, 0x5a, 0xe9, ...little32(back)];
      const code = [0x49, 0x74, 5, 0xe9, ...little32(LAST_PAGE - (PLACE.code + 8))];
      const {
        what,
        registers: [rax, , rdx] = [],
        translated,
      } = both(mode, code, { registers: { Rax: 0n, Rcx: 50n } }, lastPage);
      expect({ what, rax, rdx }).toEqual({ what: 'done', rax: 49n, rdx: BigInt(LAST_PAGE + 6) });
      expect(translated).toBeGreaterThan(200);
    });
});
