/**
 * The last branches, as crash reports show them: each one of interpreted code; of translated code what enters and leaves regions; always who
 * jumped to a wild address.
 */
import type { GuestBranch } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const CODE = BigInt(PLACE.code);
const WILD = 0x7123_4567_8000n;
const WILD_BYTES = [0x00, 0x80, 0x67, 0x45, 0x23, 0x71, 0, 0];
/** mov rax, WILD */
const LOAD_WILD = [0x48, 0xb8, ...WILD_BYTES];
const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

const MODES = [
  ['interpreted', 0],
  ['translated before it is executed', TRANSLATE_AT_ONCE],
] as const;

const places = (branches: readonly GuestBranch[]): string[] =>
  branches.map(({ from, to, vector }) => {
    const event = vector === undefined ? '' : ` vector ${vector}`;
    return `${(from - CODE).toString()} ${to === WILD ? 'wild' : (to - CODE).toString()}${event}`;
  });

describe.each(MODES)('the last branches of code that is %s', (_, translateAfter) => {
  const machineWith = (): TinyMachine => new TinyMachine('long', { translateAfter });
  /** The branch to the wild address, which the page fault follows, and what was before. */
  const expectWild = (machine: TinyMachine, from: number): void => {
    const [fault, wild] = machine.processor.recentBranches();
    expect(fault).toMatchObject({ from: WILD, vector: 14 });
    expect(wild).toEqual({ from: CODE + BigInt(from), to: WILD, translated: false });
  };

  it('begin with none', () => {
    expect(machineWith().processor.recentBranches()).toEqual([]);
  });

  it.each([
    ['a jump through a register', [...LOAD_WILD, 0x90, 0xff, 0xe0], 11],
    ['a call through a register', [...LOAD_WILD, 0x90, 0x90, 0xff, 0xd0], 12],
    ['a return', [...LOAD_WILD, 0x50, 0xc3], 11],
    ['a return that releases parameters', [...LOAD_WILD, 0x50, 0xc2, 8, 0], 11],
    // mov [rsp - 8], rax; jmp [rsp - 8]; call [rsp - 8]
    ['a jump through memory', [...LOAD_WILD, 0x48, 0x89, 0x44, 0x24, 0xf8, 0xff, 0x64, 0x24, 0xf8], 15],
    ['a call through memory', [...LOAD_WILD, 0x48, 0x89, 0x44, 0x24, 0xf0, 0xff, 0x54, 0x24, 0xf0], 15],
    // The same behind a call of code that the region has inlined: call +0; pop rcx
    ['a jump behind a call', [0xe8, 0, 0, 0, 0, 0x59, ...LOAD_WILD, 0xff, 0xe0], 16],
    // mov rcx, rax; mov r11, 2; sysretq
    ['SYSRET', [...LOAD_WILD, 0x48, 0x89, 0xc1, 0x41, 0xbb, 2, 0, 0, 0, 0x48, 0x0f, 0x07], 19],
  ] as const)('tell who went to a wild address: %s', (what, bytes, from) => {
    const machine = machineWith();
    if (what === 'SYSRET') machine.processor.writeRegister('Efer', 0xd01n);
    machine.run([...bytes]);
    expectWild(machine, from);
  });

  it('tell it of IRET', () => {
    const machine = machineWith();
    // push ss; rsp; 2; cs; wild; iretq
    const bytes = [
      0x66, 0x8c, 0xd1, 0x0f, 0xb7, 0xc9, 0x51, 0x54, 0x6a, 0x02, 0x66, 0x8c, 0xc9, 0x0f, 0xb7, 0xc9, 0x51,
    ];
    machine.run([...bytes, ...LOAD_WILD, 0x50, 0x48, 0xcf]);
    expectWild(machine, bytes.length + 11);
  });

  it('tell that it was a direct jump, and the way to it', () => {
    const machine = machineWith();
    // Far enough for another region: jmp +0x3000; there jmp to 1 GiB, where nothing is.
    const there = PLACE.code + 0x3005;
    machine.put(there, [0xe9, ...little(0x4000_0000 - (there + 5))]);
    machine.run([0xe9, ...little(0x3000)]);
    expect(machine.processor.recentBranches().slice(1)).toMatchObject([
      { from: BigInt(there), to: 0x4000_0000n, translated: false },
      { from: CODE, to: BigInt(there), translated: translateAfter !== 0 },
    ]);
  });

  it('tell of software interrupts once, and of exceptions where they came', () => {
    const machine = machineWith();
    machine.run([0x90, 0xcd, 0x80]);
    const [trap] = machine.processor.recentBranches();
    expect(trap).toMatchObject({ from: CODE + 1n });
    expect(trap).not.toHaveProperty('vector');
    const count = machine.processor.recentBranches().length;
    machine.run([0x90, 0x90, 0x0f, 0x0b]);
    expect(machine.processor.recentBranches()[0]).toMatchObject({ from: CODE + 2n, vector: 6 });
    expect(machine.processor.recentBranches()).toHaveLength(count + 1);
  });

  it('leave out what is not taken and what only goes on', () => {
    const machine = machineWith();
    // xor eax, eax; jnz; cpuid; mov cr3 to itself; jz +0
    machine.run([0x31, 0xc0, 0x75, 0x10, 0x0f, 0xa2, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0x90]);
    expect(places(machine.processor.recentBranches())).toEqual([expect.stringContaining('vector 6')]);
  });

  it('are forgotten by a reset', () => {
    const machine = machineWith();
    machine.run([0xeb, 0x00]);
    expect(machine.processor.recentBranches()).not.toEqual([]);
    machine.processor.reset();
    expect(machine.processor.recentBranches()).toEqual([]);
  });
});

describe('the last branches of interpreted code', () => {
  it('are all there, with 64 the most', () => {
    const machine = new TinyMachine('long', { translateAfter: 0 });
    // mov ecx, 3; a: dec ecx; jnz a; call b; b: ret to the end is not there: pop rax; jmp +1
    machine.run([0xb9, 3, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xe8, 0, 0, 0, 0, 0x58, 0xeb, 1, 0x90]);
    expect(places(machine.processor.recentBranches()).slice(1)).toEqual(['15 18', '9 14', '7 5', '7 5']);
    machine.run([0xb9, 200, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc]);
    expect(places(machine.processor.recentBranches()).slice(1)).toEqual(new Array(63).fill('7 5'));
  });

  it.each(['compatibility', 'pae', 'flat'] as const)('are those of 32-bit code (%s), too', (mode) => {
    const machine = new TinyMachine(mode, { translateAfter: 0 });
    // mov ecx, 2; a: loop a; call +0; pop eax; jmp far to 2 GiB
    machine.run([0xb9, 2, 0, 0, 0, 0xe2, 0xfe, 0xe8, 0, 0, 0, 0, 0x58, 0xeb, 0]);
    expect(places(machine.processor.recentBranches()).slice(1)).toEqual(['13 15', '7 12', '5 5']);
  });
});

/** call first; at first: inc eax; jmp second; at second: inc edx; ret. Each far enough from the others to be a region. */
const FIRST = PLACE.code + 0x4000;
const SECOND = PLACE.code + 0x8000;
function putFunctions(machine: TinyMachine): void {
  machine.put(FIRST, [0xff, 0xc0, 0xe9, ...little(SECOND - (FIRST + 7))]);
  machine.put(SECOND, [0xff, 0xc2, 0xc3]);
}
const callFirst = (at: number): number[] => [0xe8, ...little(FIRST - (PLACE.code + at + 5))];

describe('the last branches between regions', () => {
  it('have the exact addresses of what left them', () => {
    const machine = new TinyMachine('long', { translateAfter: TRANSLATE_AT_ONCE });
    putFunctions(machine);
    // The second time all exits are linked.
    for (let round = 0; round < 2; round++) {
      machine.run([0x90, ...callFirst(1), ...LOAD_WILD, 0xff, 0xe0]);
      const branches = machine.processor.recentBranches();
      expect(places(branches).slice(1, 5)).toEqual(['16 wild', '32770 6', '16386 32768', '1 16384']);
      expect(branches.slice(1, 5).map(({ translated }) => translated)).toEqual([false, true, true, true]);
    }
  });

  it('are known when the regions are gone, and others have their places', () => {
    const machine = new TinyMachine('long', { translateAfter: TRANSLATE_AT_ONCE });
    putFunctions(machine);
    for (let round = 0; round < 2; round++) machine.run([0x90, ...callFirst(1)]);
    machine.processor.setStopPoints([]);
    // Three regions more: jumps with other distances.
    const far = PLACE.code + 0xa000;
    machine.put(far, [0x90, 0x90, 0x90, 0xe9, ...little(-0x3008)]);
    machine.put(far - 0x3000, [0x90, 0x0f, 0x0b]);
    machine.run([0x90, 0x90, 0xe9, ...little(0xa000 - 7)]);
    const all = places(machine.processor.recentBranches());
    const late = all.indexOf('2 40960');
    expect(all.slice(late - 1, late + 1)).toEqual(['40963 28672', '2 40960']);
    expect(all.slice(late + 1).filter((line) => !line.includes('vector'))).toEqual([
      ...['32770 6', '16386 32768', '1 16384'],
      ...['32770 6', '16386 32768', '1 16384'],
    ]);
  });

  it('are told of code that got hot, where all passes are linked', () => {
    const machine = new TinyMachine('long', { translateAfter: 20 });
    putFunctions(machine);
    // mov ecx, 100000; a: call first; dec ecx; jnz a
    const loop = [0xb9, ...little(100_000), ...callFirst(5), 0xff, 0xc9, 0x75, 0xf7];
    for (let round = 0; round < 4; round++) {
      machine.run([...loop, ...LOAD_WILD, 0xff, 0xe0], { budget: 10_000_000 });
      const [, wild, ...before] = places(machine.processor.recentBranches());
      expect(wild).toBe('24 wild');
      // What is one region depends on what was hot first; what is told of it is true in any case.
      const known = ['5 16384', '16386 32768', '32770 10', '12 5'];
      expect(before.slice(0, 20).filter((line) => !known.includes(line))).toEqual([]);
      expect(before.length).toBeGreaterThan(0);
    }
    expect(machine.processor.instructionCounts().translated).toBeGreaterThan(300_000);
  });
});
