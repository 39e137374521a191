/**
 * What the software processor tells about itself: a table of CPUID leaves. It names an AuthenticAMD processor (no page-table
 * isolation, the vendor of the silicon the tests compare with) and truthfully says that it has none of the speculation faults.
 *
 * Features are advertised here exactly when instructions of the table stand behind them (cpuid.test.ts compares).
 * Answers to: AMD64 manual volume 3, appendix E; for "not affected" bits the processor programming references of families 19h and 1Ah.
 * Called by: whoever creates a partition.
 */
import type { CpuidEntry } from '@plinth/hypervisor';
import { XSAVE_COMPONENTS, xsaveBytes, xsaveCompactedBytes, xsaveComponents } from './xsave-components.ts';

export interface CpuidOptions {
  readonly processors: number;
  readonly physicalAddressBits?: number;
}

const bit = (...numbers: readonly number[]): number =>
  numbers.reduce((mask, number) => (mask | (1 << number)) >>> 0, 0);

/** Leaf 1 EDX: FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2. MCA has no banks. */
const LEAF_1_EDX = bit(0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26);
/**
 * Leaf 1 ECX: SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 x2APIC MOVBE POPCNT TSC-deadline AES XSAVE AVX F16C RDRAND hypervisor.
 * OSXSAVE follows CR4.
 */
const LEAF_1_ECX = bit(0, 1, 9, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31);
/** Leaf 7 EBX: FSGSBASE TSC_ADJUST BMI1 AVX2 SMEP BMI2 ERMS INVPCID RDSEED ADX SMAP CLFLUSHOPT CLWB SHA. */
const LEAF_7_EBX = bit(0, 1, 3, 5, 7, 8, 9, 10, 18, 19, 20, 23, 24, 29);
/** Leaf 7 ECX: UMIP PKU RDPID. OSPKE follows CR4. */
const LEAF_7_ECX = bit(2, 3, 22);
/** Leaf 7 EDX: FSRM. */
const LEAF_7_EDX = bit(4);
/** 8000_0001 EDX: SYSCALL NX PAGE1GB RDTSCP LM, and what leaf 1 also says. */
const EXTENDED_EDX = bit(0, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 23, 24) | bit(11, 20, 26, 27, 29);
/** 8000_0001 ECX: LAHF/SAHF in long mode, LZCNT, 3DNow prefetch; AltMovCr8 left out (needs a LOCK form). */
const EXTENDED_ECX = bit(0, 5, 8);
/** 8000_0007 EDX: invariant TSC. */
const POWER_EDX = bit(8);
/** 8000_0008 EBX: error pointers always saved and restored (FXSAVE), SSB_NO, BTC_NO. */
const SPECULATION_EBX = bit(2, 26, 29);
/** 8000_0021 EAX: FS/GS base non-serializing, LFENCE serializing, null selector clears base, automatic IBRS, SRSO_NO. */
const EXTENDED_2_EAX = bit(0, 2, 6, 8, 29);

/** 8000_0021 ECX: TSA_SQ_NO, TSA_L1_NO. */
const EXTENDED_2_ECX = bit(1, 2);
/** Caches as this family has them: 32 KiB L1 of each kind and 512 KiB L2, all 8-way with 64-byte lines; TLBs of 64 and 1024 entries. */
const L1_CACHE = (32 << 24) | (8 << 16) | (1 << 8) | 64;
const L1_TLB = 0xff40ff40;
const L2_CACHE = (512 << 16) | (6 << 12) | (1 << 8) | 64;
const L2_TLB = 0x64006400;

const NAME = 'Plinth Virtual Processor';

function words(text: string): number[] {
  const bytes = new Uint8Array(48);
  bytes.set(new TextEncoder().encode(text).subarray(0, 47));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: 12 }, (_, index) => view.getUint32(index * 4, true));
}

/** "AuthenticAMD" in the register order EBX, EDX, ECX. */
const VENDOR = { ebx: 0x68747541, edx: 0x69746e65, ecx: 0x444d4163 } as const;

/** The CPUID table of the software engine. Family 19h, as processors that automatic IBRS came with. */
export function defaultCpuid(options: CpuidOptions): CpuidEntry[] {
  const { processors, physicalAddressBits = 40 } = options;
  const signature = 0x00a10f11;
  const name = words(NAME);
  const components = xsaveComponents();
  const nameLeaf = (leaf: number, at: number): CpuidEntry => ({
    leaf,
    eax: name[at] ?? 0,
    ebx: name[at + 1] ?? 0,
    ecx: name[at + 2] ?? 0,
    edx: name[at + 3] ?? 0,
  });
  const shift = Math.ceil(Math.log2(Math.max(processors, 1)));
  return [
    { leaf: 0, eax: 0xd, ...VENDOR },
    {
      leaf: 1,
      eax: signature,
      ebx: (Math.min(processors, 255) << 16) | (8 << 8),
      ecx: LEAF_1_ECX,
      edx: LEAF_1_EDX | (processors > 1 ? bit(28) : 0),
    },
    { leaf: 7, subleaf: 0, eax: 0, ebx: LEAF_7_EBX, ecx: LEAF_7_ECX, edx: LEAF_7_EDX },
    { leaf: 0xb, subleaf: 0, eax: 0, ebx: 1, ecx: 0x100, edx: 0 },
    { leaf: 0xb, subleaf: 1, eax: shift, ebx: processors, ecx: 0x201, edx: 0 },
    { leaf: 0xd, subleaf: 0, eax: components, ebx: xsaveBytes(components), ecx: xsaveBytes(components), edx: 0 },
    // XSAVEOPT, XSAVEC, XGETBV of register 1, XSAVES; ECX and EDX: there are no supervisor components.
    { leaf: 0xd, subleaf: 1, eax: 15, ebx: xsaveCompactedBytes(components), ecx: 0, edx: 0 },
    { leaf: 0xd, subleaf: 2, eax: XSAVE_COMPONENTS.avx.bytes, ebx: XSAVE_COMPONENTS.avx.offset, ecx: 0, edx: 0 },
    { leaf: 0xd, subleaf: 9, eax: XSAVE_COMPONENTS.pku.bytes, ebx: XSAVE_COMPONENTS.pku.offset, ecx: 0, edx: 0 },
    { leaf: 0x80000000, eax: 0x80000021, ...VENDOR },
    { leaf: 0x80000001, eax: signature, ebx: 0, ecx: EXTENDED_ECX, edx: EXTENDED_EDX },
    nameLeaf(0x80000002, 0),
    nameLeaf(0x80000003, 4),
    nameLeaf(0x80000004, 8),
    { leaf: 0x80000005, eax: L1_TLB, ebx: L1_TLB, ecx: L1_CACHE, edx: L1_CACHE },
    { leaf: 0x80000006, eax: L2_TLB, ebx: L2_TLB, ecx: L2_CACHE, edx: 0 },
    { leaf: 0x80000007, eax: 0, ebx: 0, ecx: 0, edx: POWER_EDX },
    {
      leaf: 0x80000008,
      eax: (48 << 8) | physicalAddressBits,
      ebx: SPECULATION_EBX,
      ecx: (shift << 12) | (processors - 1),
      edx: 0,
    },
    { leaf: 0x80000021, eax: EXTENDED_2_EAX, ebx: 0, ecx: EXTENDED_2_ECX, edx: 0 },
  ];
}
