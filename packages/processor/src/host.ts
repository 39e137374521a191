/**
 * The software engine as other threads than a processor's need it: what CPUID tells, interrupts and kicks through shared memory, and
 * how eagerly to translate. It stays apart from index.ts because that loads decoder tables and translator, 8 MiB of a process's
 * memory, and neither is of any use there. Called by: vmwp, on the main thread and the
 * translator's.
 */
import type { MemoryLayout } from '@plinth/hypervisor';
import { STATE } from './state-layout.ts';

export { CPU_FEATURES, CPU_LEVELS, type CpuFeature, parseCpuFeatures, withoutFeatures } from './cpu-features.ts';
export * from './cpuid.ts';
export * from './interrupt-request.ts';
export { TRANSLATE_AT_ONCE } from './translate-after.ts';

/** The word that tells a processor that a translated batch waits: stored after the batch was posted. */
export function translationReadyWord(memory: WebAssembly.Memory, layout: MemoryLayout, index: number): Int32Array {
  return new Int32Array(
    memory.buffer,
    layout.processorsOffset + index * layout.processorStride + STATE.TRANSLATION_READY,
    1,
  );
}
