/**
 * x87 state, FXSAVE and XSAVE against the host's own processor (an AMD one; see native-tests/vector-oracle.c): each instruction,
 * from random states and random memory, leaves the same state and the same memory, or faults alike.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { STATE } from './state-layout.ts';
import { buildTestCore, missingOracle, Oracle, type TestCore } from './testing/native-oracle.ts';
import { Random } from './testing/vector-cases.ts';

const CASES = Number(process.env.PLINTH_VECTOR_CASES ?? 1500);
const RECORD = 2048;
const MEMORY_AT = 512;
const MEMORY_BYTES = 1024;
const RAX = 0x600;
const FAULT = 0x610;
/** The core announces no misaligned SSE, which the mask of MXCSR in the images shows. */
const MXCSR_MASK = 0xffff;

/** What the core is called with: addresses in the operand's memory, EDX:EAX, the word at the operand, or a plain value. */
type Argument = number | 'memory' | 'memory+64' | 'mask' | 'word';
type Step = readonly [name: string, ...values: Argument[]];
interface Case {
  readonly name: string;
  readonly code: readonly number[];
  /** The core's functions that do the same. FXRSTOR and XRSTOR end the case when they refuse (#GP). */
  readonly steps: readonly Step[];
  /** The first instruction looks for pending x87 exceptions first. */
  readonly waits?: boolean;
  /** An image with MXCSR_MASK is written to the memory. */
  readonly image?: boolean;
  /** What the memory holds, if not random bytes: an image of FXSAVE or of XSAVE. */
  readonly memory?: 'image' | 'xsave';
}

const REFUSING = new Set(['fxrstorFrom', 'xrstorFrom']);
// Encodings with the operand [rcx], or [rcx+64].
const FNSTENV = [0xd9, 0x31];
const FNSTENV_64 = [0xd9, 0x71, 0x40];
const FLDENV = [0xd9, 0x21];
const FLDENV_64 = [0xd9, 0x61, 0x40];
const FXSAVE = [0x0f, 0xae, 0x01];
const FXRSTOR = [0x0f, 0xae, 0x09];
const XSAVE = [0x0f, 0xae, 0x21];
const XRSTOR = [0x0f, 0xae, 0x29];
const FNINIT = [0xdb, 0xe3];
const WORD = 0x66;
const WIDE = 0x48;
const fnstenv: Step = ['fnstenvTo', 'memory', 1];

const CASES_OF: readonly Case[] = [
  { name: 'nothing', code: [0x90], steps: [] },
  { name: 'fninit', code: FNINIT, steps: [['fpuInit']] },
  { name: 'fninit, fnstenv', code: [...FNINIT, ...FNSTENV], steps: [['fpuInit'], fnstenv] },
  { name: 'fnclex', code: [0xdb, 0xe2], steps: [['fnclex']] },
  { name: 'fincstp', code: [0xd9, 0xf7], waits: true, steps: [['fincstp']] },
  { name: 'fdecstp', code: [0xd9, 0xf6], waits: true, steps: [['fdecstp']] },
  { name: 'ffree st(0)', code: [0xdd, 0xc0], waits: true, steps: [['ffree', 0]] },
  { name: 'ffree st(3)', code: [0xdd, 0xc3], waits: true, steps: [['ffree', 3]] },
  { name: 'ffree st(7)', code: [0xdd, 0xc7], waits: true, steps: [['ffree', 7]] },
  { name: 'fnstsw ax', code: [0xdf, 0xe0], steps: [['fnstsw']] },
  { name: 'fldcw', code: [0xd9, 0x29], waits: true, steps: [['fldcw', 'word']] },
  { name: 'fnstenv 32', code: FNSTENV, steps: [fnstenv] },
  { name: 'fnstenv 16', code: [WORD, ...FNSTENV], steps: [['fnstenvTo', 'memory', 0]] },
  { name: 'fldenv 32', code: FLDENV, waits: true, steps: [['fldenvFrom', 'memory', 1]] },
  { name: 'fldenv 16', code: [WORD, ...FLDENV], waits: true, steps: [['fldenvFrom', 'memory', 0]] },
  {
    name: 'fldenv 32, fnstenv 32',
    code: [...FLDENV, ...FNSTENV_64],
    waits: true,
    steps: [
      ['fldenvFrom', 'memory', 1],
      ['fnstenvTo', 'memory+64', 1],
    ],
  },
  {
    name: 'fldenv 16, fnstenv 32',
    code: [WORD, ...FLDENV, ...FNSTENV_64],
    waits: true,
    steps: [
      ['fldenvFrom', 'memory', 0],
      ['fnstenvTo', 'memory+64', 1],
    ],
  },
  {
    name: 'fldenv 32, fnstenv 16',
    code: [...FLDENV_64, WORD, ...FNSTENV],
    waits: true,
    steps: [
      ['fldenvFrom', 'memory+64', 1],
      ['fnstenvTo', 'memory', 0],
    ],
  },
  {
    name: 'fldenv 32, fninit, fnstenv 32',
    code: [...FLDENV, ...FNINIT, ...FNSTENV],
    waits: true,
    steps: [['fldenvFrom', 'memory', 1], ['fpuInit'], fnstenv],
  },
  { name: 'fnsave 32', code: [0xdd, 0x31], steps: [['fnsaveTo', 'memory', 1]] },
  { name: 'fnsave 16', code: [WORD, 0xdd, 0x31], steps: [['fnsaveTo', 'memory', 0]] },
  { name: 'frstor 32', code: [0xdd, 0x21], waits: true, steps: [['frstorFrom', 'memory', 1]] },
  { name: 'frstor 16', code: [WORD, 0xdd, 0x21], waits: true, steps: [['frstorFrom', 'memory', 0]] },
  { name: 'fxsave', code: FXSAVE, image: true, steps: [['fxsaveTo', 'memory', 0]] },
  { name: 'fxsave64', code: [WIDE, ...FXSAVE], image: true, steps: [['fxsaveTo', 'memory', 1]] },
  { name: 'fxrstor', code: FXRSTOR, memory: 'image', steps: [['fxrstorFrom', 'memory', 0]] },
  { name: 'fxrstor64', code: [WIDE, ...FXRSTOR], memory: 'image', steps: [['fxrstorFrom', 'memory', 1]] },
  {
    name: 'fxrstor, fnstenv 32',
    code: [...FXRSTOR, ...FNSTENV],
    memory: 'image',
    steps: [['fxrstorFrom', 'memory', 0], fnstenv],
  },
  {
    name: 'fxrstor64, fnstenv 32',
    code: [WIDE, ...FXRSTOR, ...FNSTENV],
    memory: 'image',
    steps: [['fxrstorFrom', 'memory', 1], fnstenv],
  },
  {
    name: 'fldenv 32, fxsave',
    code: [...FLDENV_64, ...FXSAVE],
    waits: true,
    image: true,
    steps: [
      ['fldenvFrom', 'memory+64', 1],
      ['fxsaveTo', 'memory', 0],
    ],
  },
  {
    name: 'fldenv 32, fxsave64',
    code: [...FLDENV_64, WIDE, ...FXSAVE],
    waits: true,
    image: true,
    steps: [
      ['fldenvFrom', 'memory+64', 1],
      ['fxsaveTo', 'memory', 1],
    ],
  },
  {
    name: 'fldenv 32, fxrstor, fnstenv 32',
    code: [...FLDENV_64, ...FXRSTOR, ...FNSTENV],
    waits: true,
    memory: 'image',
    steps: [['fldenvFrom', 'memory+64', 1], ['fxrstorFrom', 'memory', 0], fnstenv],
  },
  {
    name: 'fldenv 32, fxrstor64, fnstenv 32',
    code: [...FLDENV_64, WIDE, ...FXRSTOR, ...FNSTENV],
    waits: true,
    memory: 'image',
    steps: [['fldenvFrom', 'memory+64', 1], ['fxrstorFrom', 'memory', 1], fnstenv],
  },
  { name: 'xsave', code: XSAVE, image: true, steps: [['xsaveTo', 'memory', 'mask', 0]] },
  { name: 'xsave64', code: [WIDE, ...XSAVE], image: true, steps: [['xsaveTo', 'memory', 'mask', 1]] },
  { name: 'xrstor', code: XRSTOR, memory: 'xsave', steps: [['xrstorFrom', 'memory', 'mask', 0]] },
  {
    name: 'xrstor64, fnstenv 32',
    code: [WIDE, ...XRSTOR, ...FNSTENV],
    memory: 'xsave',
    steps: [['xrstorFrom', 'memory', 'mask', 1], fnstenv],
  },
  {
    name: 'xrstor64, xsave64 in place',
    code: [WIDE, ...XRSTOR, WIDE, ...XSAVE],
    memory: 'xsave',
    image: true,
    steps: [
      ['xrstorFrom', 'memory', 'mask', 1],
      ['xsaveTo', 'memory', 'mask', 1],
    ],
  },
];

/** A valid image of FXSAVE64: registers of all classes, random words; at times with nothing in use. */
function fillImage(random: Random, view: DataView, at: number, reserved: boolean): void {
  const idle = random.below(8) === 0;
  for (let offset = 0; offset < 512; offset += 4) view.setUint32(at + offset, idle ? 0 : random.next(), true);
  view.setUint16(at, random.below(2) === 0 ? 0x37f : random.next(), true);
  if (random.below(2) === 0) view.setUint16(at + 2, random.next() & 0x3800, true);
  if (idle) view.setUint16(at + 2, 0, true);
  for (const pointer of [8, 16]) {
    const address = BigInt.asIntN(48, random.next64());
    view.setBigInt64(at + pointer, idle ? 0n : address, true);
  }
  view.setUint32(at + 24, random.next() & (reserved && random.below(8) === 0 ? 0xfffdffff : 0xffff), true);
  for (let register = 0; register < 8; register++) {
    const place = at + 32 + register * 16;
    if (random.below(2) === 0) view.setUint16(place + 8, random.pick([0, 0x8000, 0x7fff, 0xffff, 0x3fff]), true);
    if (random.below(3) === 0) view.setBigUint64(place, random.pick([0n, 1n << 63n, 1n, 3n << 62n]), true);
  }
}

function fillMemory(random: Random, view: DataView, at: number, kind: Case['memory']): void {
  for (let offset = 0; offset < MEMORY_BYTES; offset += 4) view.setUint32(at + offset, random.next(), true);
  if (kind !== undefined) fillImage(random, view, at, true);
  if (kind !== 'xsave') return;
  for (let offset = 512; offset < 576; offset += 4) view.setUint32(at + offset, 0, true);
  view.setUint32(at + 512, random.below(4), true);
  // Some headers are wrong: a component that does not exist, reserved bytes. (Not the compact form, which the host may have.)
  if (random.below(8) === 0) view.setUint8(at + 514 + random.below(22), 1 << random.below(7));
  if (random.below(8) === 0) view.setUint8(at + 536 + random.below(40), random.below(256));
}

const missing = missingOracle();

const title = `x87 state against the host's processor${missing === undefined ? '' : ` (skipped: ${missing})`}`;

describe.skipIf(missing !== undefined)(title, () => {
  let core: TestCore;
  let oracle: Oracle;
  beforeAll(async () => {
    core = await buildTestCore();
    oracle = await Oracle.compile();
  }, 120_000);

  /** Runs the case on the core from a record's input; describes the differences from the oracle's record. */
  function difference(test: Case, input: DataView, output: DataView, at: number): { faulted: boolean; text: string } {
    const view = new DataView(core.memory.buffer);
    const bytes = new Uint8Array(core.memory.buffer);
    const call = (name: string, ...values: (number | bigint)[]): number => {
      const found = core.exports[name];
      if (found === undefined) throw new Error(`the core lacks ${name}`);
      return found(...values);
    };
    const image = 0x8000;
    // The operand ends where the core's memory ends.
    const memory = bytes.length - MEMORY_BYTES;
    const copy = (from: number, size: number, to: number): void => {
      bytes.set(new Uint8Array(input.buffer, input.byteOffset + from, size), to);
    };
    copy(at, 512, image);
    copy(at + MEMORY_AT, MEMORY_BYTES, memory);
    call('fxrstorFrom', image, 1);
    const mask = BigInt(input.getUint32(at + RAX, true));
    const raises = test.waits === true && call('fpuPending') !== 0;
    const argument = (value: Argument): number | bigint => {
      if (value === 'memory') return memory;
      if (value === 'memory+64') return memory + 64;
      if (value === 'mask') return mask;
      return value === 'word' ? view.getUint16(memory, true) : value;
    };
    let refused = false;
    let result: number | undefined;
    for (const [name, ...values] of raises ? [] : test.steps) {
      const value = call(name, ...values.map(argument));
      if (name === 'fnstsw') result = value;
      refused = REFUSING.has(name) && value === 0;
      if (refused) break;
    }
    call('fxsaveTo', image, 1);

    const fault = output.getUint32(at + FAULT, true);
    const expectedFault = raises ? 0x80000000 : refused ? 0x40000000 : 0;
    output.setUint32(at + 28, MXCSR_MASK, true);
    if (test.image === true && output.getUint32(at + MEMORY_AT + 28, true) === 0x2ffff) {
      output.setUint32(at + MEMORY_AT + 28, MXCSR_MASK, true);
    }
    const problems: string[] = [];
    if ((fault & 0xc0000000) >>> 0 !== expectedFault) {
      problems.push(`fault ${expectedFault.toString(16)}, expected ${fault.toString(16)}`);
    }
    const compare = (name: string, ours: number, theirs: number, size: number): void => {
      for (let offset = 0; offset < size; offset++) {
        // A signal on the host rewrites the MXCSR of a faulting case.
        if (fault !== 0 && name === 'image' && offset >= 24 && offset < 28) continue;
        const mine = view.getUint8(ours + offset);
        const wanted = output.getUint8(theirs + offset);
        if (mine !== wanted) problems.push(`${name}+${offset} ${mine.toString(16)}, expected ${wanted.toString(16)}`);
      }
    };
    compare('image', image, at, 416);
    compare('memory', memory, at + MEMORY_AT, MEMORY_BYTES);
    if (result !== undefined && result !== output.getUint16(at + RAX, true)) problems.push(`AX ${result.toString(16)}`);
    const words = [0, 2, 4, 6].map((offset) => input.getUint16(at + offset, true).toString(16)).join(' ');
    const text = problems.length === 0 ? '' : `words ${words}, mask ${mask}: ${problems.slice(0, 12).join('; ')}`;
    return { faulted: fault !== 0, text };
  }

  it.each(CASES_OF)('$name', (test) => {
    const random = new Random(0x51ed270b ^ CASES_OF.indexOf(test));
    const input = new Uint8Array(CASES * RECORD);
    const inputView = new DataView(input.buffer);
    for (let at = 0; at < input.length; at += RECORD) {
      fillImage(random, inputView, at, false);
      fillMemory(random, inputView, at + MEMORY_AT, test.memory);
      inputView.setUint32(at + RAX, random.below(4), true);
    }
    const batch = { kind: 1, code: Uint8Array.from(test.code), memoryForm: false, recordBytes: RECORD } as const;
    const output = oracle.run({ ...batch, records: input });
    const outputView = new DataView(output.buffer, output.byteOffset);
    new DataView(core.memory.buffer).setUint32(core.processor + STATE.MODE, 1, true);
    new DataView(core.memory.buffer).setBigUint64(core.processor + STATE.XCR0, 3n, true);
    const differences: string[] = [];
    let faults = 0;
    for (let at = 0; at < input.length && differences.length < 6; at += RECORD) {
      let { faulted, text } = difference(test, inputView, outputView, at);
      if (faulted) faults++;
      // A context switch of the host amid the case drops the pointers (its XSAVE writes them only when an exception is
      // pending): a difference counts when it comes every time.
      for (let again = 0; text !== '' && again < 3; again++) {
        const record = oracle.run({ ...batch, records: input.subarray(at, at + RECORD) });
        const recordView = new DataView(record.buffer, record.byteOffset);
        text = difference(test, new DataView(input.buffer, at), recordView, 0).text;
      }
      if (text !== '') differences.push(`case ${at / RECORD}, ${text}`);
    }
    expect(differences.join('\n')).toBe('');
    if (test.waits === true || test.memory !== undefined) expect(faults).toBeGreaterThan(0);
  });
});

/** What the host cannot show to a 64-bit program. */
describe('x87 state', () => {
  let core: TestCore;
  beforeAll(async () => {
    core = await buildTestCore();
  }, 120_000);

  it('outside 64-bit mode FXSAVE and FXRSTOR leave XMM8 to XMM15 alone', () => {
    const view = new DataView(core.memory.buffer);
    const bytes = new Uint8Array(core.memory.buffer);
    const image = 0x8000;
    view.setUint32(core.processor + STATE.MODE, 0, true);
    bytes.fill(0x11, core.processor + STATE.XMM, core.processor + STATE.XMM + 512);
    bytes.fill(0xcc, image, image + 512);
    core.exports.fxsaveTo?.(image, 0);
    expect([...bytes.subarray(image + 160, image + 288)].every((byte) => byte === 0x11)).toBe(true);
    expect([...bytes.subarray(image + 288, image + 512)].every((byte) => byte === 0xcc)).toBe(true);

    bytes.fill(0x22, image + 160, image + 416);
    expect(core.exports.fxrstorFrom?.(image, 0)).toBe(1);
    expect(bytes[core.processor + STATE.XMM + 32 * 7]).toBe(0x22);
    expect(bytes[core.processor + STATE.XMM + 32 * 8]).toBe(0x11);
  });

  it('RESET: registers are zero, tagged as such, exceptions unmasked', () => {
    const view = new DataView(core.memory.buffer);
    new Uint8Array(core.memory.buffer).fill(0x77, core.processor, core.processor + 0x700);
    core.exports.fpuReset?.();
    expect(core.exports.fnstcw?.()).toBe(0x40);
    expect(core.exports.fnstsw?.()).toBe(0);
    expect(core.exports.fullTag?.()).toBe(0x5555);
    expect(view.getUint32(core.processor + STATE.MXCSR, true)).toBe(0x1f80);
    expect(view.getBigUint64(core.processor + STATE.XMM + 15 * 32, true)).toBe(0n);
  });

  it('in real mode the environment has linear addresses and the opcode, in both sizes (AMD64 manual volume 1, section 6.5)', () => {
    const view = new DataView(core.memory.buffer);
    const image = 0x8000;
    view.setUint32(core.processor + STATE.MODE, 4, true);
    const lay = (): void => {
      core.exports.fpuInit?.();
      view.setUint16(core.processor + STATE.FPU_OPCODE, 0x5d9, true);
      view.setBigUint64(core.processor + STATE.FPU_IP, 0x9876n, true);
      view.setUint16(core.processor + STATE.FPU_CS, 0xf123, true);
      view.setBigUint64(core.processor + STATE.FPU_DP, 0x4321n, true);
      view.setUint16(core.processor + STATE.FPU_DS, 0xabcd, true);
    };
    const expected = { instruction: 0xf1230n + 0x9876n, data: 0xabcd0n + 0x4321n };
    const high = (address: bigint): number => Number(address >> 16n) << 12;
    lay();
    core.exports.fnstenvTo?.(image, 1);
    expect(view.getUint16(image + 12, true)).toBe(Number(expected.instruction & 0xffffn));
    expect(view.getUint32(image + 16, true)).toBe(high(expected.instruction) | 0x5d9);
    expect(view.getUint16(image + 20, true)).toBe(Number(expected.data & 0xffffn));
    expect(view.getUint32(image + 24, true)).toBe(high(expected.data));
    lay();
    core.exports.fnstenvTo?.(image + 64, 0);
    expect(view.getUint16(image + 70, true)).toBe(Number(expected.instruction & 0xffffn));
    expect(view.getUint16(image + 72, true)).toBe((high(expected.instruction) & 0xf000) | 0x5d9);
    expect(view.getUint16(image + 74, true)).toBe(Number(expected.data & 0xffffn));
    expect(view.getUint16(image + 76, true)).toBe(high(expected.data) & 0xf000);
    for (const [at, wide] of [
      [image, 1],
      [image + 64, 0],
    ] as const) {
      core.exports.fpuInit?.();
      core.exports.fldenvFrom?.(at, wide);
      expect(view.getBigUint64(core.processor + STATE.FPU_IP, true)).toBe(expected.instruction);
      expect(view.getBigUint64(core.processor + STATE.FPU_DP, true)).toBe(expected.data);
      expect(view.getUint16(core.processor + STATE.FPU_OPCODE, true)).toBe(0x5d9);
      expect(view.getUint32(core.processor + STATE.FPU_CS, true)).toBe(0);
    }
  });
});
