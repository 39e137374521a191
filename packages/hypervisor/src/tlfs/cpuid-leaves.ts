/**
 * The CPUID leaves by which a guest finds the hypervisor and what it may use: a table, row by row what works.
 *
 * Answers to: TLFS, "Feature and interface discovery". Guests' own conditions: Linux wants leaf 0x40000000 to name a last leaf between
 * 0x40000005 and 0x4000ffff, takes a partition with CpuManagement for the root, and uses nested features from leaf 0x4000000a on.
 * Called by: whoever creates a partition, behind the processor's own leaves.
 */
import type { CpuidEntry } from '../partition.ts';

export interface HypervisorLeafOptions {
  /** HV_PARTITION_PRIVILEGE_MASK. */
  readonly privileges: bigint;
  readonly physicalAddressBits?: number;
}

const bits = (...numbers: readonly number[]): number =>
  numbers.reduce((mask, number) => (mask | (1 << number)) >>> 0, 0);

const text = (characters: string): number =>
  Array.from(characters).reduce((value, character, index) => value + character.charCodeAt(0) * 256 ** index, 0);

const LAST_LEAF = 0x40000005;
/** Hyper-V's version whose interface this is: Windows Server 2022. Guests print it. */
const VERSION = { build: 20348, major: 10, minor: 0 } as const;
/** The most virtual processors that a partition of generation 1 can have, as in Hyper-V. */
const PROCESSOR_LIMIT = 64;

/** EDX of 0x40000003. */
const FEATURES = bits(
  4, // hypercall input in XMM registers
  5, // guest idle state
  8, // frequency registers
  10, // crash registers
  15, // hypercall output in XMM registers
  17, // SINT polling mode
  18, // hypercall page's register can be locked
  19, // direct synthetic timers
);
/** EAX of 0x40000004. No flush or IPI calls are recommended: with the software processor they gain nothing. */
const RECOMMENDATIONS = bits(
  5, // relaxed timing
  9, // no automatic EOI
  11, // sparse processor sets are understood
);
/** EBX of 0x40000004: never tell of long spins. */
const SPIN_RETRIES = 0xffffffff;

export function hypervisorLeaves({ privileges, physicalAddressBits = 40 }: HypervisorLeafOptions): CpuidEntry[] {
  return [
    { leaf: 0x40000000, eax: LAST_LEAF, ebx: text('Micr'), ecx: text('osof'), edx: text('t Hv') },
    { leaf: 0x40000001, eax: text('Hv#1'), ebx: 0, ecx: 0, edx: 0 },
    { leaf: 0x40000002, eax: VERSION.build, ebx: (VERSION.major << 16) | VERSION.minor, ecx: 0, edx: 0 },
    {
      leaf: 0x40000003,
      eax: Number(privileges & 0xffffffffn),
      ebx: Number((privileges >> 32n) & 0xffffffffn),
      ecx: 0,
      edx: FEATURES,
    },
    { leaf: 0x40000004, eax: RECOMMENDATIONS, ebx: SPIN_RETRIES, ecx: physicalAddressBits, edx: 0 },
    { leaf: 0x40000005, eax: PROCESSOR_LIMIT, ebx: PROCESSOR_LIMIT, ecx: 0, edx: 0 },
  ];
}
