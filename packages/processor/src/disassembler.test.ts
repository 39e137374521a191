import { readFileSync } from 'node:fs';
import { layoutMemory } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { operationNames } from './build/operation-names.ts';
import { type CodeBits, disassemble } from './disassembler.ts';

const layout = layoutMemory(16 * 1024 * 1024, 1);
const pages = layout.totalBytes / 65536;
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
const module = new WebAssembly.Module(readFileSync(new URL('../dist/engine.wasm', import.meta.url)));

function lines(bits: CodeBits, before: number[], after: number[], address = 0x1000n): string[] {
  const code = { before: Uint8Array.from(before), after: Uint8Array.from(after), address, bits };
  return disassemble(module, operationNames(), { memory, layout }, code);
}
const texts = (bits: CodeBits, after: number[]): string[] =>
  lines(bits, [], after).map((line) => line.slice(line.lastIndexOf('  ')).trim());

describe('disassembly', () => {
  it('is that of the mode: the same bytes are other instructions', () => {
    const bytes = [0x40, 0xb8, 0x01, 0x00, 0x90, 0x90, 0xc3];
    expect(texts(64, bytes)).toEqual(['MOV_IMM6432 rax, 0x90900001', 'RET']);
    expect(texts(32, bytes)).toEqual(['INC32 rax', 'MOV_IMM6432 rax, 0x90900001', 'RET']);
    expect(texts(16, bytes)).toEqual(['INC16 rax', 'MOV_IMM6416 rax, 0x1', 'NOP16', 'NOP16', 'RET']);
  });

  it('shows addresses, bytes, and which instruction it is about', () => {
    const [first, second] = lines(64, [], [0x48, 0x89, 0xd8, 0x0f, 0x0b], 0xffff_ffff_8000_0ffen);
    expect(first).toMatch(/^> 0xffffffff80000ffe {2}48 89 d8 +MOV64 rax, rbx$/);
    expect(second).toMatch(/^ {2}0xffffffff80001001 {2}0f 0b +UD2/);
  });

  it('begins before it where instructions lead exactly there', () => {
    const shown = lines(32, [0xe8, 0x01, 0x90, 0x40], [0xf4]);
    expect(shown.map((line) => line.slice(0, 8))).toEqual(['  0xffe ', '  0xfff ', '> 0x1000']);
    // Nothing does: a CALL reaches over.
    expect(lines(32, [0xe8], [0xf4])).toHaveLength(1);
  });

  it('shows addresses that stand in the instruction', () => {
    expect(texts(32, [0xa1, 0x34, 0x12, 0, 0xc0])).toEqual(['MOV_LOAD_OFFSET32 [0xc0001234]']);
    expect(texts(16, [0xa1, 0x34, 0x12])).toEqual(['MOV_LOAD_OFFSET16 [0x1234]']);
  });

  it('ends with the bytes', () => {
    expect(lines(64, [], [0x90, 0x48, 0xb8, 0x01])).toHaveLength(1);
    expect(lines(64, [], [])).toEqual([]);
  });
});
