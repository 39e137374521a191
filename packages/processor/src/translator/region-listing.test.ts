import { readFileSync } from 'node:fs';
import { Partition } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { operationNames } from '../build/operation-names.ts';
import { STATE } from '../state-layout.ts';
import { attachTranslatorCore, createRegionCompiler } from '../translator-thread.ts';
import { describeOneWindow } from './code-windows.ts';
import { listRegion } from './region-listing.ts';
import { ATOMIC, FunctionWriter, I32, OP, VOID } from './wasm-encoder.ts';
import { listCode } from './wasm-listing.ts';

const engine = new WebAssembly.Module(readFileSync(new URL('../../dist/engine.wasm', import.meta.url)));

/** A writer of one function. */
function writer(): FunctionWriter {
  const { memory, layout } = Partition.create({
    ramBytes: 2 * 1024 * 1024,
    processors: 1,
    clock: { now: () => 0 },
    tscPerNanosecond: 1,
  });
  const { processorsOffset: base } = layout;
  const core = attachTranslatorCore(engine, memory, layout, 0);
  const code = new FunctionWriter(core, memory, base + STATE.REGION_CODE, base + STATE.REGION_CODE_END);
  code.begin();
  return code;
}

/** The listing of the region that code at an offset of a page becomes. */
function listing(code: readonly number[], at = 0): string {
  const partition = Partition.create({
    ramBytes: 2 * 1024 * 1024,
    processors: 1,
    clock: { now: () => 0 },
    tscPerNanosecond: 1,
  });
  const { memory, layout } = partition;
  new Uint8Array(memory.buffer, layout.ramOffset).set(code, at);
  const all = new Uint8Array(1024).fill(0xff);
  return listRegion(
    createRegionCompiler(engine, operationNames(), memory, layout, 0).examine({
      block: 0,
      gpa: at,
      code32: false,
      description: describeOneWindow([layout.ramOffset, 0], all),
    }),
  );
}

describe('a listing', () => {
  it('has a line for each statement, indented by blocks', () => {
    const code = writer();
    const local = code.local(I32);
    code.get(0);
    code.i32(-5);
    code.op3(OP.i32_add, OP.if, VOID);
    code.i32(0x12345);
    code.set(local);
    code.op(OP.else);
    code.get(0);
    code.i64(-1);
    code.memory(OP.i64_store, 0x90);
    code.op(OP.end);
    const { lines, depth } = listCode(code.view(), 0, code.length, 0, (number) => `$${number}`);
    expect(lines).toEqual([
      '$0  -5  i32.add  if',
      '  0x12345  set $1',
      'else',
      '  $0  -1  i64.store offset=0x90',
      'end',
    ]);
    expect(depth).toBe(0);
  });

  it('names atomic and vector instructions', () => {
    const code = writer();
    code.get(0);
    code.i64(1);
    code.atomic(ATOMIC.cmpxchg, 1);
    code.splat32(0x01020304);
    code.op(OP.drop);
    const { lines } = listCode(code.view(), 0, code.length, 0, (number) => `$${number}`);
    expect(lines).toEqual([
      '$0  1  i64.atomic.rmw16.cmpxchg_u  const 04 03 02 01 04 03 02 01 04 03 02 01 04 03 02 01  drop',
    ]);
  });

  it('has each guest instruction before what it became', () => {
    // again: add rax, [rcx + 8]; dec edx; jnz again; ret
    const text = listing([0x48, 0x03, 0x41, 0x08, 0xff, 0xca, 0x75, 0xf8, 0xc3], 0x40);
    const guest = text.split('\n').filter((line) => line.startsWith('0x'));
    expect(guest).toEqual([
      '0x040  48 03 41 08               ADD64 rax, [rcx+0x8]',
      '0x044  ff ca                     DEC32 rdx',
      '0x046  75 f8                     JCC_NZ 0x40',
      '0x048  c3                        RET',
    ]);
    expect(text).toContain('$rcx  8  i64.add  3  set $exit');
    expect(text).toContain('loop\nblock 0x40:');
  });

  it('has code once, however many jumps lead to the place behind them', () => {
    const jumps = Array.from({ length: 40 }, () => [0x74, 0x00]).flat();
    const text = listing([...jumps, 0x48, 0xff, 0xc0, 0xc3]);
    expect(text.match(/INC64 rax/g)).toHaveLength(1);
  });

  it('knows every opcode of what is translated', () => {
    const instructions = [
      ...[0xf0, 0x48, 0x0f, 0xc1, 0x03, 0x0f, 0xa5, 0xd0, 0xd1, 0xd9, 0x48, 0xf7, 0xe1, 0x48, 0x0f, 0xbc, 0xc1],
      ...[0x66, 0x0f, 0xef, 0xc1, 0x66, 0x0f, 0x70, 0xc1, 0x1b, 0x66, 0x0f, 0xc4, 0xc0, 0x02, 0xf2, 0x0f, 0x58, 0xc1],
      ...[0x0f, 0x5b, 0xc1, 0xf2, 0x0f, 0x2d, 0xc1, 0x66, 0x0f, 0x2e, 0xc1, 0x7a, 0x00, 0x66, 0x0f, 0xd7, 0xc1],
      ...[0x0f, 0x12, 0x03, 0x0f, 0x17, 0x03, 0x0f, 0xae, 0xf0, 0x9c, 0x8f, 0x03, 0x0f, 0x01, 0xcb, 0x0f, 0x0b],
    ];
    const text = listing(instructions);
    expect(text.split('\n').filter((line) => line.startsWith('0x'))).toHaveLength(20);
    expect(text).toContain('LOCK XADD64 [rbx], rax');
    expect(text).not.toMatch(/opcode 0x|vector \d|\batomic\b(?!\.)/);
  });
});
