/**
 * The page walk of an address as a crash report shows it: each table's entry with its flags, down to the page or to what is missing. It
 * looks at the tables as they are and changes nothing.
 * Answers to: AMD64 manual volume 2, chapter 5. Called by: processor-snapshot.ts.
 */
import type { GuestMemory, RegisterName, VirtualProcessor } from '@plinth/hypervisor';

const PRESENT = 1n;
const LARGE = 0x80n;
const FRAME = 0x000f_ffff_ffff_f000n;
const FLAGS = ['P', 'W', 'U', 'PWT', 'PCD', 'A', 'D', 'PS', 'G'] as const;
/** CR4.PKE, and where an entry has its protection key. */
const PROTECTION_KEYS = 0x40_0000n;
const KEY_SHIFT = 59n;
const NAMES = ['PTE', 'PDE', 'PDPTE', 'PML4E'] as const;

/** @returns a line for each entry, the last one telling how it ends */
export function walkPages(address: bigint, processor: VirtualProcessor, memory: GuestMemory): string[] {
  const scalar = (name: RegisterName): bigint => {
    const value = processor.readRegister(name);
    return typeof value === 'bigint' ? value : 0n;
  };
  const wide = (scalar('Cr4') & 0x20n) !== 0n;
  const long = (scalar('Efer') & 0x400n) !== 0n;
  const bits = wide ? 9n : 10n;
  const bytes = wide ? 8 : 4;
  let level = !wide ? 1 : long ? 3 : 2;
  let table = scalar('Cr3') & (wide && !long ? 0xffff_ffe0n : long ? FRAME : 0xffff_f000n);
  const lines: string[] = [];
  if (long && BigInt.asUintN(64, BigInt.asIntN(48, address)) !== address) return ['the address is not canonical'];
  for (;;) {
    const shift = 12n + bits * BigInt(level);
    const index = (address >> shift) & ((1n << bits) - 1n);
    const gpa = Number(table + index * BigInt(bytes));
    const raw = memory.read(gpa, bytes);
    const name = `${(NAMES[level] ?? '').padEnd(6)} at GPA 0x${gpa.toString(16)}`;
    if (raw === undefined) return [...lines, `${name} lies in no memory`];
    const entry = raw.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    const large = level > 0 && (entry & LARGE) !== 0n;
    const flags: string[] = FLAGS.filter((_, bit) => (entry & (1n << BigInt(bit))) !== 0n);
    if (wide && entry >> 63n === 1n) flags.push('NX');
    const key = (entry >> KEY_SHIFT) & 15n;
    if (long && (level === 0 || large) && key !== 0n && (scalar('Cr4') & PROTECTION_KEYS) !== 0n)
      flags.push(`key ${key}`);
    lines.push(`${name}: 0x${entry.toString(16).padStart(bytes * 2, '0')} ${flags.join(' ')}`.trimEnd());
    if ((entry & PRESENT) === 0n) return [...lines, 'not present'];
    if (level === 0 || large) {
      const offset = address & ((1n << shift) - 1n);
      const page = entry & FRAME & ~((1n << shift) - 1n);
      return [...lines, `page at GPA 0x${page.toString(16)}, the address at 0x${(page | offset).toString(16)}`];
    }
    table = entry & FRAME;
    level--;
  }
}
