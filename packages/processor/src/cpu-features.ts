/**
 * The processor's features by name, for taking some of them away from what CPUID tells (`--cpu-features`): a table.
 *
 * Names are those of Linux's /proc/cpuinfo. The instructions themselves stay: a guest that does not ask CPUID still finds them, as with
 * Hyper-V's own processor compatibility settings. Called by: vmwp, and through it the command line.
 */
import type { CpuidEntry } from '@plinth/hypervisor';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Place = readonly [leaf: number, register: Register, bit: number];

/** Features that a guest can do without; some stand in two leaves. */
const FEATURES = {
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
  fsrm: [[7, 'edx', 4]],
  nx: [[0x80000001, 'edx', 20]],
  pdpe1gb: [[0x80000001, 'edx', 26]],
  rdtscp: [[0x80000001, 'edx', 27]],
  constant_tsc: [[0x80000007, 'edx', 8]],
} as const satisfies Readonly<Record<string, readonly Place[]>>;

export type CpuFeature = keyof typeof FEATURES;
export const CPU_FEATURES = Object.keys(FEATURES) as readonly CpuFeature[];

/** The CPUID table without some features. */
export function withoutFeatures(entries: readonly CpuidEntry[], features: readonly CpuFeature[]): CpuidEntry[] {
  const places: readonly Place[] = features.flatMap((feature): readonly Place[] => FEATURES[feature]);
  return entries.map((entry) => {
    const changed: Record<Register, number> = { eax: entry.eax, ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx };
    for (const [leaf, register, bit] of places) {
      if (leaf === entry.leaf && (entry.subleaf ?? 0) === 0)
        changed[register] = (changed[register] & ~(1 << bit)) >>> 0;
    }
    return { ...entry, ...changed };
  });
}
