/**
 * Disassembly of a few bytes of guest code in the processor's mode, by the core's own decoder: what is shown is what would be executed.
 * For crash reports, when the processor's threads are over. Called by: vmwp/software-engine.ts.
 */
import type { MemoryLayout } from '@plinth/hypervisor';
import type { OperationNames } from './build/operation-names.ts';
import { STATE } from './state-layout.ts';
import { formatInstruction } from './translator/format-instruction.ts';
import { InstructionReader } from './translator/instruction-reader.ts';

export type CodeBits = 16 | 32 | 64;

interface Decoder {
  attach(address: number): void;
  decodeIn(mode: number, host: number, room: number): number;
}

/** Mode bits of assembly/state.ts: 64-bit code with long mode, 16-bit code; protected mode in all. */
const MODE: Readonly<Record<CodeBits, number>> = { 64: 0x13, 32: 0x10, 16: 0x14 };
const ROOM = 15;

function refuse(): never {
  throw new Error("the disassembler's instance of the core was asked to execute");
}

function attachedDecoder(module: WebAssembly.Module, memory: WebAssembly.Memory, address: number): Decoder {
  const imports: WebAssembly.Imports = {};
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    const entries = imports[space] ?? {};
    imports[space] = entries;
    if (kind === 'function') entries[name] = refuse;
    else entries[name] = kind === 'memory' ? memory : new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
  }
  const decoder = new WebAssembly.Instance(module, imports).exports as unknown as Decoder;
  decoder.attach(address);
  return decoder;
}

/**
 * @param module the compiled engine.wasm, @param names those of the same build (operations.json)
 * @param before bytes before the instruction at `address`, as far as they are known; @param after those from it on
 * @returns a line for each instruction, the one at `address` marked; those before it only where they lead exactly there
 */
export function disassemble(
  module: WebAssembly.Module,
  names: OperationNames,
  { memory, layout }: { readonly memory: WebAssembly.Memory; readonly layout: MemoryLayout },
  code: { readonly before: Uint8Array; readonly after: Uint8Array; readonly address: bigint; readonly bits: CodeBits },
): string[] {
  const { before, after, address, bits } = code;
  const block = layout.processorsOffset + STATE.TRANSLATOR;
  const place = layout.processorsOffset + STATE.TRANSLATOR_CODE;
  const decoder = attachedDecoder(module, memory, block);
  const reader = new InstructionReader(memory, names);
  const bytes = new Uint8Array(memory.buffer, place, before.length + after.length + ROOM);
  bytes.fill(0);
  bytes.set(before);
  bytes.set(after, before.length);
  const end = before.length + after.length;

  const decode = (offset: number, limit: number): { next: number; text: string } | undefined => {
    const length = decoder.decodeIn(MODE[bits], place + offset, ROOM);
    if (length === 0 || offset + length > limit) return undefined;
    const instruction = reader.read(block + STATE.LEAVE_OPERATIONS + 0x200, offset, length, bits !== 64);
    // A target counts from the first of these bytes.
    const text = formatInstruction(instruction, Number(BigInt.asIntN(53, address - BigInt(before.length))));
    const at = BigInt.asUintN(64, address + BigInt(offset - before.length));
    const encoded = [...bytes.subarray(offset, offset + length)].map((byte) => byte.toString(16).padStart(2, '0'));
    const mark = offset === before.length ? '>' : ' ';
    return { next: offset + length, text: `${mark} 0x${at.toString(16)}  ${encoded.join(' ').padEnd(30)}  ${text}` };
  };
  const run = (from: number, to: number): string[] | undefined => {
    const lines: string[] = [];
    let offset = from;
    while (offset < to) {
      const one = decode(offset, to);
      if (one === undefined) return undefined;
      lines.push(one.text);
      offset = one.next;
    }
    return lines;
  };
  const lines: string[] = [];
  for (let from = 0; from < before.length; from++) {
    const leading = run(from, before.length);
    if (leading === undefined) continue;
    lines.push(...leading);
    break;
  }
  for (let offset = before.length; offset < end; ) {
    const one = decode(offset, end);
    if (one === undefined) break;
    lines.push(one.text);
    offset = one.next;
  }
  return lines;
}
