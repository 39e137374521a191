/**
 * A process that translates a program's functions and runs each region once; what it took goes to its standard output as JSON. A process
 * of its own, so that its CPU time is that of the translator and V8 alone, all threads counted, cold as in a run.
 *
 *     node bench/support-translation.mjs PROGRAM BATCH       PROGRAM: a static ELF file for x86-64 with symbols
 *
 * V8 has the settings that a VM's process gives it (compiler-settings.ts): those are what a run pays for.
 * The regions begin where the program's functions do; half of the branches' targets count as executed, which decides how far a region goes.
 */
import { readFileSync } from 'node:fs';
import { layoutMemory, Partition } from '../packages/hypervisor/dist/index.js';
import { defaultCpuid, STATE } from '../packages/processor/dist/index.js';
import { describeOneWindow } from '../packages/processor/dist/translator/code-windows.js';
import { createRegionCompiler } from '../packages/processor/dist/translator-thread.js';
import { setCompilerFlags } from '../packages/vmwp/dist/compiler-settings.js';

setCompilerFlags();

const [program, batchSize] = [process.argv[2], Number(process.argv[3])];
const page = 4096;
const ramBytes = 16 * 2 ** 20;

/** Code and function addresses of an ELF-64 file (System V ABI): its executable section's bytes, functions in order of address. */
function readProgram(file) {
  const bytes = readFileSync(file);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sectionsAt = Number(view.getBigUint64(40, true));
  const sections = Array.from({ length: view.getUint16(60, true) }, (_, index) => {
    const at = sectionsAt + index * 64;
    const [type, flags] = [view.getUint32(at + 4, true), view.getBigUint64(at + 8, true)];
    const [address, offset, size] = [16, 24, 32].map((field) => Number(view.getBigUint64(at + field, true)));
    return { type, flags, address, offset, size };
  });
  const text = sections
    .filter(({ type, flags }) => type === 1 && (flags & 4n) !== 0n)
    .reduce((one, other) => (other.size > one.size ? other : one));
  const symbols = sections.find(({ type }) => type === 2);
  if (symbols === undefined) throw new Error(`${file} has no symbols`);
  const functions = new Set();
  for (let at = symbols.offset; at < symbols.offset + symbols.size; at += 24) {
    const address = Number(view.getBigUint64(at + 8, true));
    const isFunction = (view.getUint8(at + 4) & 15) === 2;
    if (isFunction && address >= text.address && address < text.address + text.size)
      functions.add(address - text.address);
  }
  return {
    code: bytes.subarray(text.offset, text.offset + text.size),
    functions: [...functions].sort((a, b) => a - b),
  };
}

const { code, functions } = readProgram(program);
const layout = layoutMemory(ramBytes, 1);
const partition = Partition.create({ ramBytes, processors: 1, clock: { now: () => 0 }, tscPerNanosecond: 1 });
partition.writeCpuid(defaultCpuid({ processors: 1 }));
const { memory } = partition;
const codeAt = layout.ramOffset + 2 ** 20;
new Uint8Array(memory.buffer).set(code, codeAt);

const engineModule = new WebAssembly.Module(
  readFileSync(new URL('../packages/processor/dist/engine.wasm', import.meta.url)),
);
const imports = { env: { memory, table: new WebAssembly.Table({ element: 'anyfunc', initial: 16384 }) } };
for (const { module, name, kind } of WebAssembly.Module.imports(engineModule)) {
  if (kind !== 'function') continue;
  imports[module] ??= {};
  imports[module][name] = () => 0;
}
const engine = new WebAssembly.Instance(engineModule, imports).exports;
const base = layout.processorsOffset;
engine.attach(base);
engine.reset(0);
const state = new DataView(memory.buffer, base);

/** Hot blocks of one batch: half of all offsets count as executed, by their number alone. */
const executed = Uint8Array.from({ length: 1024 }, (_, index) => (Math.imul(index + 1, 0x9e3779b1) >>> 12) & 0xff);
const host = (offset) => codeAt + offset;
const pageOf = (offset) => host(offset - (offset % page));

const names = JSON.parse(readFileSync(new URL('../packages/processor/dist/operations.json', import.meta.url), 'utf8'));
const compiler = createRegionCompiler(engineModule, names, memory, layout, 0);
const sums = { functions: 0, regions: 0, instructions: 0, bytes: 0, modules: 0 };
const began = { cpu: process.cpuUsage(), wall: performance.now() };
let first;
for (let at = 0; at < functions.length; at += batchSize) {
  const blocks = functions.slice(at, at + batchSize).map((offset) => ({
    block: 0,
    gpa: 2 ** 20 + offset,
    code32: false,
    description: describeOneWindow([pageOf(offset), pageOf(offset) + page], executed),
  }));
  const batch = compiler.handle({ kind: 'translate', epoch: 0, blocks });
  if (batch === undefined) continue;
  const { exports } = new WebAssembly.Instance(batch.module, { env: { memory, execute: () => 0 } });
  // The first run: V8 compiles a function when it is called. With the budget used up it leaves at its first back edge.
  for (const { index } of batch.regions) {
    state.setInt32(STATE.BUDGET, -1, true);
    state.setBigUint64(STATE.RIP_BASE, 0x40_0000n, true);
    exports[String(index)](base);
  }
  sums.functions += blocks.length;
  sums.regions += batch.regions.length;
  sums.instructions += batch.regions.reduce((sum, { instructions }) => sum + instructions, 0);
  sums.bytes += batch.bytes;
  sums.modules += 1;
  first ??= process.cpuUsage(began.cpu);
  compiler.handle({ kind: 'free', epoch: 0, modules: [batch.id] });
}
const { user, system } = process.cpuUsage(began.cpu);
process.stdout.write(
  JSON.stringify({
    ...sums,
    cpuSeconds: (user + system) / 1e6,
    wallSeconds: (performance.now() - began.wall) / 1000,
    firstBatchCpuSeconds: first === undefined ? 0 : (first.user + first.system) / 1e6,
  }),
);
