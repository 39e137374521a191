import type { GuestMemory, RegisterName, VirtualProcessor } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { walkPages } from './page-walk.ts';

/** Tables by guest-physical address of their entries; everything else below 16 MiB reads as zero. */
function walk(
  address: bigint,
  registers: Partial<Record<RegisterName, bigint>>,
  entries: Readonly<Record<number, bigint>>,
): string[] {
  const processor = { readRegister: (name: RegisterName) => registers[name] ?? 0n } as unknown as VirtualProcessor;
  const memory = {
    read: (gpa: number, length: number) => {
      if (gpa >= 1 << 24) return undefined;
      const value = entries[gpa] ?? 0n;
      return Uint8Array.from({ length }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
    },
  } as unknown as GuestMemory;
  return walkPages(address, processor, memory);
}
const LONG = { Cr3: 0x1000n, Cr4: 0x20n, Efer: 0x500n };

describe('a page walk', () => {
  it('goes down four levels in long mode, with the flags of each entry', () => {
    const entries = { 8184: 0x2067n, 12272: 0x3067n, 12288: 0x4063n, 16392: 0x8000_0000_0000_5161n };
    expect(walk(0xffff_ffff_8000_1234n, LONG, entries)).toEqual([
      'PML4E  at GPA 0x1ff8: 0x0000000000002067 P W U A D',
      'PDPTE  at GPA 0x2ff0: 0x0000000000003067 P W U A D',
      'PDE    at GPA 0x3000: 0x0000000000004063 P W A D',
      'PTE    at GPA 0x4008: 0x8000000000005161 P A D G NX',
      'page at GPA 0x5000, the address at 0x5234',
    ]);
  });
  it('tells the protection key of a page where they are on', () => {
    const entries = { 4096: 0x2067n, 8192: 0x3067n, 12288: 0x4067n, 16384: 0x2800_0000_0000_5067n };
    const last = (cr4: bigint): string | undefined => walk(0n, { ...LONG, Cr4: cr4 }, entries).at(-2);
    expect(last(0x40_0020n)).toBe('PTE    at GPA 0x4000: 0x2800000000005067 P W U A D key 5');
    expect(last(0x20n)).toBe('PTE    at GPA 0x4000: 0x2800000000005067 P W U A D');
  });
  it('ends at a large page, at what is missing, and where there is no memory', () => {
    expect(walk(0x40_1234n, LONG, { 4096: 0x2001n, 8192: 0x3001n, 12304: 0x60_00e3n }).at(-1)).toBe(
      'page at GPA 0x600000, the address at 0x601234',
    );
    expect(walk(0n, LONG, { 4096: 0x2001n })).toEqual([
      'PML4E  at GPA 0x1000: 0x0000000000002001 P',
      'PDPTE  at GPA 0x2000: 0x0000000000000000',
      'not present',
    ]);
    expect(walk(0n, LONG, { 4096: 0xf000_0001n }).at(-1)).toBe('PDPTE  at GPA 0xf0000000 lies in no memory');
    expect(walk(1n << 47n, LONG, {})).toEqual(['the address is not canonical']);
  });
  it('knows tables of PAE and of 32 bits', () => {
    const pae = { Cr3: 0x1020n, Cr4: 0x20n };
    expect(walk(0x4000_1000n, pae, { 4136: 0x2001n, 8192: 0x3003n, 12296: 0x7003n }).at(-1)).toBe(
      'page at GPA 0x7000, the address at 0x7000',
    );
    const legacy = { Cr3: 0x1000n };
    expect(walk(0xc000_1234n, legacy, { 7168: 0x2003n, 8196: 0x9003n })).toEqual([
      'PDE    at GPA 0x1c00: 0x00002003 P W',
      'PTE    at GPA 0x2004: 0x00009003 P W',
      'page at GPA 0x9000, the address at 0x9234',
    ]);
    expect(walk(0xc000_1234n, legacy, { 7168: 0x40_0083n }).at(-1)).toBe(
      'page at GPA 0x400000, the address at 0x401234',
    );
  });
});
