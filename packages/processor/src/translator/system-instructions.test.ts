/** What the differential test cannot run, for it runs in user mode: instructions of a kernel, interpreted and translated. */
import type { RegisterValue } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { TinyMachine } from '../testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from '../translate-after.ts';

const REGISTERS = ['Rax', 'Rbx', 'Rcx', 'Rdx', 'Rsi', 'Rdi', 'Rflags', 'KernelGsBase'] as const;

interface State {
  readonly what: string;
  readonly registers: Readonly<Record<string, RegisterValue>>;
  readonly translated: number;
}

interface Options {
  readonly user?: boolean;
  readonly flags?: bigint;
  readonly registers?: Readonly<Record<string, RegisterValue>>;
  readonly fsgsbase?: boolean;
}

function run(code: readonly number[], translateAfter: number, { fsgsbase = false, ...options }: Options = {}): State {
  const machine = new TinyMachine('long', { translateAfter });
  machine.set('Cr4', 0x10000n, fsgsbase);
  machine.set('Cr4', 0x20_0000n);
  // A page that user mode may use, for what SMAP forbids a kernel.
  machine.map(0x4000_0000n, 0x5000, 7n);
  machine.ram.setBigUint64(0x5000, 0x1122_3344_5566_7788n, true);
  const { what } = machine.run(code, options);
  const registers = Object.fromEntries(REGISTERS.map((name) => [name, machine.processor.readRegister(name)]));
  for (const name of ['Fs', 'Gs'] as const) registers[name] = machine.processor.readRegister(name);
  return { what, registers, translated: machine.processor.instructionCounts().translated };
}

/** Runs code both ways, checks that the ends agree, and gives the translated one. */
function both(code: readonly number[], options?: Options): State {
  const interpreted = run(code, 0, options);
  const translated = run(code, TRANSLATE_AT_ONCE, options);
  expect(interpreted.translated).toBe(0);
  expect({ ...translated, translated: 0 }).toEqual(interpreted);
  return translated;
}

const CLI = [0xfa];
const STI = [0xfb];
const PUSHFQ_POP_RAX = [0x9c, 0x58];
const STAC = [0x0f, 0x01, 0xcb];
const CLAC = [0x0f, 0x01, 0xca];
const SWAPGS = [0x0f, 0x01, 0xf8];
const LOAD_RBX = [0x48, 0x8b, 0x1f];

describe('system instructions in translated code', () => {
  it('CLI and PUSHF', () => {
    // The first push finds no TLB entry: the interpreter's, and that alone.
    const { registers, translated } = both([0x50, 0x58, ...CLI, ...PUSHFQ_POP_RAX], { flags: 0x202n });
    expect(registers.Rax).toBe(2n);
    expect(translated).toBe(4);
  });

  it('CLI is #GP for a user whose I/O privilege does not allow it, and nothing where it does', () => {
    expect(both(CLI, { user: true, flags: 0x202n }).what).toBe('#GP(0x0)');
    const allowed = both([...CLI, ...PUSHFQ_POP_RAX], { user: true, flags: 0x3202n });
    expect(allowed.registers.Rax).toBe(0x3002n);
  });

  it('STI goes on in the region while no interrupt waits', () => {
    const { registers, translated } = both([0x50, 0x58, ...STI, ...STI, ...PUSHFQ_POP_RAX, ...CLI], { flags: 2n });
    expect(registers.Rax).toBe(0x202n);
    expect(translated).toBe(6);
  });

  it('STI is #GP for a user whose I/O privilege does not allow it, and nothing where it does', () => {
    expect(both(STI, { user: true, flags: 2n }).what).toBe('#GP(0x0)');
    const allowed = both([...STI, ...PUSHFQ_POP_RAX], { user: true, flags: 0x3002n });
    expect(allowed.registers.Rax).toBe(0x3202n);
  });

  it('CLD and STD', () => {
    expect(both([0xfd, ...PUSHFQ_POP_RAX]).registers.Rax).toBe(0x402n);
    expect(both([0xfd, 0xfc, ...PUSHFQ_POP_RAX]).registers.Rax).toBe(2n);
  });

  it('STAC opens user pages to a kernel, and CLAC closes them', () => {
    const registers = { Rdi: 0x4000_0000n };
    expect(both(LOAD_RBX, { registers }).what).toMatch(/^#PF/);
    const open = both([...STAC, ...LOAD_RBX, ...PUSHFQ_POP_RAX, ...CLAC], { registers });
    expect(open.what).toBe('done');
    expect(open.registers).toMatchObject({ Rbx: 0x1122_3344_5566_7788n, Rax: 0x4_0002n, Rflags: 2n });
    expect(both([...STAC, ...LOAD_RBX, ...CLAC, ...LOAD_RBX], { registers }).what).toMatch(/^#PF/);
    // Twice is once.
    const twice = both([...STAC, ...STAC, ...LOAD_RBX, ...CLAC, ...CLAC], { registers });
    expect(twice.what).toBe('done');
    expect(both(STAC, { user: true }).what).toBe('#UD');
  });

  it('SWAPGS', () => {
    // gs mov rax, [0] behind it sees the new base.
    const load = [0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0];
    const { registers } = both([...SWAPGS, ...load], { registers: { KernelGsBase: 0x5000n } });
    expect(registers.Rax).toBe(0x1122_3344_5566_7788n);
    expect(registers.KernelGsBase).toBe(0n);
    expect(registers.Gs).toMatchObject({ base: 0x5000n });
    expect(both(SWAPGS, { user: true }).what).toBe('#GP(0x0)');
  });

  it('reads and writes segment bases where CR4 allows it', () => {
    const rdfsbase = [0xf3, 0x48, 0x0f, 0xae, 0xc0];
    const wrfsbase = [0xf3, 0x48, 0x0f, 0xae, 0xd3];
    const wrgsbase32 = [0xf3, 0x0f, 0xae, 0xdb];
    const registers = { Rbx: 0x1234_5678_9abcn };
    expect(both([...wrfsbase, ...rdfsbase], { registers, fsgsbase: true }).registers.Rax).toBe(0x1234_5678_9abcn);
    expect(both(wrgsbase32, { registers, fsgsbase: true }).registers.Gs).toMatchObject({ base: 0x5678_9abcn });
    expect(both(wrfsbase, { registers: { Rbx: 0x8000_0000_0000n }, fsgsbase: true }).what).toBe('#GP(0x0)');
    expect(both(rdfsbase).what).toBe('#UD');
  });

  it('reads segment registers', () => {
    const { registers } = both([0x8c, 0xd8, 0x66, 0x8c, 0xd3], { registers: { Rax: -1n, Rbx: -1n } });
    expect(registers.Rbx).toBe(0xffff_ffff_ffff_0000n | ((registers.Rax as bigint) & 0xffffn));
  });
});
