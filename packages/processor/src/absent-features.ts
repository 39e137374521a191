/**
 * Tells the core which features the partition's CPUID table does not have, so that their instructions do not exist either.
 * A partition without a CPUID table has processors with everything. Called by: software-processor.ts.
 */
import { CPUID_ENTRY_BYTES, CPUID_LIMIT, type CpuidEntry, SHARED, SHARED_OFFSET } from '@plinth/hypervisor';
import { absentFeatures } from './cpu-features.ts';

const ANY_SUBLEAF = 0xffffffff;

export function tellAbsentFeatures(memory: ArrayBufferLike): void {
  const header = new DataView(memory, SHARED_OFFSET);
  const count = Math.min(header.getUint32(SHARED.cpuidCount, true), CPUID_LIMIT);
  const entries = Array.from({ length: count }, (_, position): CpuidEntry => {
    const word = (number: number): number =>
      header.getUint32(SHARED.cpuid + position * CPUID_ENTRY_BYTES + number * 4, true);
    const subleaf = word(1);
    return {
      leaf: word(0),
      ...(subleaf === ANY_SUBLEAF ? {} : { subleaf }),
      eax: word(2),
      ebx: word(3),
      ecx: word(4),
      edx: word(5),
    };
  });
  if (count > 0) header.setBigUint64(SHARED.absentFeatures, absentFeatures(entries), true);
}
