/**
 * The translator of one processor as a thread of its own sees it: a second instance of the core, attached to a block that only decoding
 * uses, and the compiler over it.
 *
 * Invariant: the instance writes nothing but its own block, the compiler's exits and its WebAssembly; the processor runs meanwhile.
 * Called by: the translator's thread (vmwp/translation-worker.ts).
 */
import type { MemoryLayout } from '@plinth/hypervisor';
import type { OperationNames } from './build/operation-names.ts';
import { STATE } from './state-layout.ts';
import { RegionCompiler } from './translator/region-compiler.ts';
import type { TranslatorCore } from './translator/translation-messages.ts';

export type { TranslatorMessage } from './translator/translation-messages.ts';
export type { OperationNames, RegionCompiler };

interface AttachedCore extends TranslatorCore {
  attach(address: number): void;
}

/** Decoding asks nothing of the host; if it did, the answer must not be made up. */
function refuse(): never {
  throw new Error("the translator's instance of the core was asked to execute");
}

/** An instance of the core that decodes and writes WebAssembly for the processor with that number, and executes nothing. */
export function attachTranslatorCore(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  layout: MemoryLayout,
  index: number,
): TranslatorCore {
  const imports: WebAssembly.Imports = {};
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    const entries = imports[space] ?? {};
    imports[space] = entries;
    if (kind === 'function') entries[name] = refuse;
    else if (kind === 'memory') entries[name] = memory;
    else entries[name] = new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
  }
  const core = new WebAssembly.Instance(module, imports).exports as unknown as AttachedCore;
  core.attach(layout.processorsOffset + index * layout.processorStride + STATE.TRANSLATOR);
  return core;
}

/** @param module the compiled engine.wasm; @param names those of the same build (operations.json); @param index number of the processor */
export function createRegionCompiler(
  module: WebAssembly.Module,
  names: OperationNames,
  memory: WebAssembly.Memory,
  layout: MemoryLayout,
  index: number,
): RegionCompiler {
  const core = attachTranslatorCore(module, memory, layout, index);
  const base = layout.processorsOffset + index * layout.processorStride;
  return new RegionCompiler(memory, base, core, base + STATE.TRANSLATOR, names, false);
}
