/**
 * The processor's features by name, for taking some of them away from what CPUID tells (`--cpu-features`): a table.
 *
 * Names are those of Linux's /proc/cpuinfo. Where rows of the instruction table name a feature, its instructions go with it: they are #UD
 * exactly when CPUID does not tell of them. Called by: vmwp, through it the command line, and the build of the decoder's tables.
 */
import type { CpuidEntry } from '@plinth/hypervisor';
import { xsaveBytes, xsaveCompactedBytes, xsaveComponents } from './xsave-components.ts';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Place = readonly [leaf: number, register: Register, bit: number, subleaf?: number];

/** Features that a guest can do without; some stand in two leaves. Rows of the instruction table name those that they need. */
const FEATURES = {
  pni: [[1, 'ecx', 0]],
  pclmulqdq: [[1, 'ecx', 1]],
  ssse3: [[1, 'ecx', 9]],
  fma: [[1, 'ecx', 12]],
  sse4_1: [[1, 'ecx', 19]],
  sse4_2: [[1, 'ecx', 20]],
  movbe: [[1, 'ecx', 22]],
  aes: [[1, 'ecx', 25]],
  avx: [[1, 'ecx', 28]],
  f16c: [[1, 'ecx', 29]],
  bmi1: [[7, 'ebx', 3]],
  avx2: [[7, 'ebx', 5]],
  bmi2: [[7, 'ebx', 8]],
  rdseed: [[7, 'ebx', 18]],
  adx: [[7, 'ebx', 19]],
  clflushopt: [[7, 'ebx', 23]],
  clwb: [[7, 'ebx', 24]],
  sha_ni: [[7, 'ebx', 29]],
  rdpid: [[7, 'ecx', 22]],
  abm: [[0x80000001, 'ecx', 5]],
  xsaveopt: [[0xd, 'eax', 0, 1]],
  xsavec: [
    [0xd, 'eax', 1, 1],
    // XGETBV of register 1.
    [0xd, 'eax', 2, 1],
  ],
  xsaves: [[0xd, 'eax', 3, 1]],
  hypervisor: [[1, 'ecx', 31]],
  cx16: [[1, 'ecx', 13]],
  pcid: [[1, 'ecx', 17]],
  x2apic: [[1, 'ecx', 21]],
  popcnt: [[1, 'ecx', 23]],
  tsc_deadline_timer: [[1, 'ecx', 24]],
  xsave: [[1, 'ecx', 26]],
  rdrand: [[1, 'ecx', 30]],
  mca: [
    [1, 'edx', 14],
    [0x80000001, 'edx', 14],
  ],
  fsgsbase: [[7, 'ebx', 0]],
  tsc_adjust: [[7, 'ebx', 1]],
  smep: [[7, 'ebx', 7]],
  erms: [[7, 'ebx', 9]],
  invpcid: [[7, 'ebx', 10]],
  smap: [[7, 'ebx', 20]],
  umip: [[7, 'ecx', 2]],
  pku: [[7, 'ecx', 3]],
  fsrm: [[7, 'edx', 4]],
  nx: [[0x80000001, 'edx', 20]],
  pdpe1gb: [[0x80000001, 'edx', 26]],
  rdtscp: [[0x80000001, 'edx', 27]],
  constant_tsc: [[0x80000007, 'edx', 8]],
} as const satisfies Readonly<Record<string, readonly Place[]>>;

export type CpuFeature = keyof typeof FEATURES;
export const CPU_FEATURES = Object.keys(FEATURES) as readonly CpuFeature[];

/**
 * Features without which another one is nothing, or is found on no processor: programs that find SHA or AES (OpenSSL) use SSSE3 and SSE4.1 in
 * the same routines without asking.
 */
const REQUIRED: Readonly<Partial<Record<CpuFeature, CpuFeature>>> = {
  ssse3: 'pni',
  sse4_1: 'ssse3',
  sse4_2: 'sse4_1',
  aes: 'sse4_1',
  pclmulqdq: 'sse4_1',
  sha_ni: 'sse4_1',
  avx: 'xsave',
  avx2: 'avx',
  fma: 'avx',
  f16c: 'avx',
  xsaveopt: 'xsave',
  xsavec: 'xsave',
  xsaves: 'xsavec',
  pku: 'xsave',
};

/** Features of the levels of the x86-64 psABI above the first; what no level names is in all of them. */
const LEVELS: Readonly<Record<'v2' | 'v3', readonly CpuFeature[]>> = {
  v2: ['cx16', 'popcnt', 'pni', 'ssse3', 'sse4_1', 'sse4_2'],
  v3: ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe'],
};
export const CPU_LEVELS = ['v1', 'v2', 'v3'] as const;

function level(word: string): readonly CpuFeature[] | undefined {
  if (word === 'v1') return [...LEVELS.v2, ...LEVELS.v3];
  if (word === 'v2') return LEVELS.v3;
  return word === 'v3' ? [] : undefined;
}

/**
 * Features to be taken away by a list such as `v2,+movbe` or `-nx,-avx2`: a level replaces what stands before it, + and - change one feature
 * each. No word means v3, the level at which programs run fastest (SPECIFICATION.md, bench `levels`). @returns undefined for a word that means nothing; `word` tells which
 */
export function parseCpuFeatures(
  words: readonly string[],
): { readonly disabled: readonly CpuFeature[] } | { readonly word: string } {
  let disabled = new Set<CpuFeature>();
  for (const word of words) {
    const above = level(word);
    const feature = CPU_FEATURES.find((known) => known === word.slice(1));
    if (above !== undefined) disabled = new Set(above);
    else if (feature === undefined || !/^[+-]/.test(word)) return { word };
    else if (word.startsWith('-')) disabled.add(feature);
    else {
      // With what it needs.
      for (let needed: CpuFeature | undefined = feature; needed !== undefined; needed = REQUIRED[needed])
        disabled.delete(needed);
    }
  }
  return { disabled: [...disabled] };
}

/** The CPUID table without some features, and without what needs them. */
export function withoutFeatures(entries: readonly CpuidEntry[], features: readonly CpuFeature[]): CpuidEntry[] {
  const absent = new Set(features);
  for (let before = -1; before !== absent.size; ) {
    before = absent.size;
    for (const feature of CPU_FEATURES) {
      const needed = REQUIRED[feature];
      if (needed !== undefined && absent.has(needed)) absent.add(feature);
    }
  }
  const places: readonly Place[] = [...absent].flatMap((feature): readonly Place[] => FEATURES[feature]);
  return entries.map((entry) => {
    const changed: Record<Register, number> = { eax: entry.eax, ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx };
    for (const [leaf, register, bit, subleaf = 0] of places) {
      if (leaf === entry.leaf && (entry.subleaf ?? 0) === subleaf)
        changed[register] = (changed[register] & ~(1 << bit)) >>> 0;
    }
    // XSAVE's area is as long as its components.
    if (entry.leaf === 0xd) {
      const components = xsaveComponents(absent);
      const bytes = xsaveBytes(components);
      if (entry.subleaf === 0) Object.assign(changed, { eax: components, ebx: bytes, ecx: bytes });
      else if (entry.subleaf === 1) changed.ebx = xsaveCompactedBytes(components);
      else if (((components >> (entry.subleaf ?? 0)) & 1) === 0) Object.assign(changed, { eax: 0, ebx: 0, ecx: 0 });
    }
    return { ...entry, ...changed };
  });
}

/** Features that a CPUID table does not tell of, as bits in the order of CPU_FEATURES: SHARED.absentFeatures. */
export function absentFeatures(entries: readonly CpuidEntry[]): bigint {
  const present = ([leaf, register, bit, subleaf = 0]: Place): boolean =>
    entries.some(
      (entry) => entry.leaf === leaf && (entry.subleaf ?? subleaf) === subleaf && ((entry[register] >>> bit) & 1) === 1,
    );
  return Object.values(FEATURES).reduce<bigint>(
    (mask, places: readonly Place[], index) => (places.every(present) ? mask : mask | (1n << BigInt(index))),
    0n,
  );
}
