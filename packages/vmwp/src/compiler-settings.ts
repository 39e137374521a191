/**
 * How eagerly V8 optimizes, in the whole process. Its defaults suit programs that run for long on few functions; a VM has thousands of
 * regions of which most run a little, and a translator whose JavaScript is done with a boot before its optimized form would pay.
 *
 * Measured on boots (bench boot): see docs/processor.md. Called by: cli, before it loads anything, and software-engine.ts, before the first thread starts.
 */
import { setFlagsFromString } from 'node:v8';

/** Bytes of a WebAssembly function that run before V8 optimizes it; its own default is 1.8 million. */
const WASM_TIERING_BUDGET = 100_000_000;
/**
 * Bytes of bytecode that run in a JavaScript function before V8 thinks of optimizing it; its own default is 67,584. The translator alone is done with
 * a boot sooner without; a hypercall and a VSP's answer are JavaScript too, and take half as long with it as with a million.
 */
const INTERRUPT_BUDGET = 250_000;
/**
 * Bytes of a function's bytecode for which it has to use up that budget once more before V8 optimizes it, beyond three times; V8's own value is 150.
 * Optimizing large functions, which the translator has most of, costs more of a boot than they are run in it; small ones still come soon.
 */
const BYTES_PER_BUDGET = 30;

/** Settings of later versions are not touched: whether they still know this one is theirs to say. */
const OWES_REPORTS = Number.parseInt(process.versions.v8, 10) < 12;

/**
 * An instance of a module of regions without the four reports that V8 11.3 (Node 20) owes for each: how its functions were compiled lazily,
 * 5, 20, 60 and 120 seconds after. Each is a timer in one thread that wakes another, and with four times as many of them as there are modules
 * they were a third of what an idle guest costs. They are owed where an instance is made while functions are compiled lazily, so the
 * setting is away for as long as that takes; how the module's functions are compiled was settled when it was.
 * Called by: software-thread.ts.
 */
export function instantiateRegions(module: WebAssembly.Module, imports: WebAssembly.Imports): WebAssembly.Instance {
  if (!OWES_REPORTS) return new WebAssembly.Instance(module, imports);
  setFlagsFromString('--no-wasm-lazy-compilation');
  try {
    return new WebAssembly.Instance(module, imports);
  } finally {
    setFlagsFromString('--wasm-lazy-compilation');
  }
}

export function setCompilerFlags(): void {
  setFlagsFromString(`--wasm-tiering-budget=${WASM_TIERING_BUDGET}`);
  setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
  setFlagsFromString(`--bytecode-size-allowance-per-tick=${BYTES_PER_BUDGET}`);
}
