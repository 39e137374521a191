/**
 * Paging as the manual has it, from ring 0 and ring 3: sizes of pages, permissions with every control bit, accessed and dirty flags,
 * reserved bits, error codes, and what each invalidation must make visible. AMD64 manual volume 2, chapter 5.
 */
import { describe, expect, it } from 'vitest';
import { PLACE, TinyMachine, type TinyMode } from './testing/tiny-machine.ts';
import type { PageSize } from './testing/tiny-page-tables.ts';

const P = 1n;
const W = 2n;
const U = 4n;
const ACCESSED = 0x20n;
const DIRTY = 0x40n;
const GLOBAL = 0x100n;
const NX = 1n << 63n;
const CR0_WP = 0x1_0000n;
const CR4 = { pge: 0x80n, umip: 0x800n, pcide: 0x2_0000n, smep: 0x10_0000n, smap: 0x20_0000n } as const;
const EFER_NXE = 0x800n;
const FLAG_AC = 0x4_0000n;

const LINEAR = 0x8000_0000n;
const FRAME = 0x200000;
const OTHER_FRAME = 0x600000;
/** mov rax, [rbx]; mov [rbx+8], rax; jmp rbx: without REX the same in 32-bit code with EAX, EBX. */
const ACCESS = { read: [0x8b, 0x03], write: [0x89, 0x43, 0x08], execute: [0xff, 0xe3] } as const;
type Access = keyof typeof ACCESS;
const ACCESSES = ['read', 'write', 'execute'] as const;
const UD2 = [0x0f, 0x0b];

/** Does an access at LINEAR; executing it means meeting UD2 there. */
function access(
  machine: TinyMachine,
  kind: Access,
  options: { user?: boolean; ac?: boolean; at?: bigint } = {},
): string {
  const { user = false, ac = false, at = LINEAR } = options;
  const flags = ac ? FLAG_AC | 2n : 2n;
  const { what, delivery } = machine.run(ACCESS[kind], { user, flags, registers: { Rbx: at } });
  return kind === 'execute' && delivery?.vector === 6 && delivery.rip === at ? 'done' : what;
}
const fault = (error: number, at = LINEAR): string => `#PF(0x${error.toString(16)}) 0x${at.toString(16)}`;

const KINDS: readonly (readonly [TinyMode, readonly PageSize[]])[] = [
  ['long', ['4K', '2M', '1G']],
  ['pae', ['4K', '2M']],
  ['legacy', ['4K', '4M']],
];
/** A frame below 16 MiB at which a page of each size may begin, and where UD2 lies in it. */
const OFFSET: Readonly<Record<PageSize, number>> = { '4K': 0, '2M': 0, '4M': FRAME, '1G': FRAME };
const BASE: Readonly<Record<PageSize, number>> = { '4K': FRAME, '2M': FRAME, '4M': 0, '1G': 0 };

interface Setting {
  readonly flags: bigint;
  readonly user: boolean;
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly ac: boolean;
  readonly nxe: boolean;
}
/** The manual's rules: the error code of an access to a present page, or undefined when it is allowed. */
function expectedError(kind: Access, { flags, user, wp, smep, smap, ac, nxe }: Setting): number | undefined {
  const userPage = (flags & U) !== 0n;
  const writable = (flags & W) !== 0n;
  const noExecute = (flags & NX) !== 0n;
  const code = 1 | (kind === 'write' ? 2 : 0) | (user ? 4 : 0) | (kind === 'execute' && (nxe || smep) ? 16 : 0);
  if (noExecute && !nxe) return code | 8;
  if (user && !userPage) return code;
  if (kind === 'execute') return noExecute || (!user && userPage && smep) ? code : undefined;
  if (!user && userPage && smap && !ac) return code;
  return kind === 'write' && !writable && (user || wp) ? code : undefined;
}

describe('permissions of pages', () => {
  for (const [mode, sizes] of KINDS) {
    for (const size of sizes) {
      it(`${mode}, ${size}: read, write and execute with every setting`, () => {
        const machine = new TinyMachine(mode);
        const at = LINEAR + BigInt(OFFSET[size]);
        machine.put(BASE[size] + OFFSET[size], UD2);
        const wrong: string[] = [];
        const bits = mode === 'legacy' ? 6 : 8;
        for (let setting = 0; setting < 1 << bits; setting++) {
          const on = (bit: number): boolean => ((setting >> bit) & 1) === 1;
          const nxe = mode !== 'legacy' && on(7);
          const flags = P | (on(0) ? W : 0n) | (on(1) ? U : 0n) | (mode !== 'legacy' && on(6) ? NX : 0n);
          const rules = { flags, user: on(2), wp: on(3), smep: on(4), smap: on(5), ac: false, nxe };
          machine.map(LINEAR, BASE[size], flags, { size });
          machine.set('Cr0', CR0_WP, rules.wp);
          machine.set('Cr4', CR4.smep, rules.smep);
          machine.set('Cr4', CR4.smap, rules.smap);
          if (mode !== 'legacy') machine.set('Efer', EFER_NXE, nxe);
          for (const ac of [false, true]) {
            for (const kind of ACCESSES) {
              const error = expectedError(kind, { ...rules, ac });
              const expected = error === undefined ? 'done' : fault(error, kind === 'write' ? at + 8n : at);
              const found = access(machine, kind, { user: rules.user, ac, at });
              if (found !== expected)
                wrong.push(`${JSON.stringify({ ...rules, flags: `${flags}`, ac })} ${kind}: ${found}, not ${expected}`);
            }
          }
        }
        expect(wrong).toEqual([]);
      });
    }
  }

  it('of the tables on the way count like those of the page', () => {
    for (const [tableFlags, expected] of [
      [P | W, { read: fault(5), write: fault(7, LINEAR + 8n), execute: fault(0x15) }],
      [P | U, { read: 'done', write: fault(7, LINEAR + 8n), execute: 'done' }],
      [P | W | U | NX, { read: 'done', write: 'done', execute: fault(0x15) }],
    ] as const) {
      const machine = new TinyMachine('long');
      machine.put(FRAME, UD2);
      machine.map(LINEAR, FRAME, P | W | U, { tableFlags });
      // The first table lies on the way to everything else, too.
      const [top = 0] = machine.tables.entries(LINEAR);
      machine.tables.write(top, (machine.tables.read(top) & ~7n & ~NX) | P | W | U);
      for (const kind of ACCESSES) expect(access(machine, kind, { user: true }), kind).toBe(expected[kind]);
    }
  });

  it('let nobody through where a page is not present', () => {
    const machine = new TinyMachine('long');
    expect(access(machine, 'read')).toBe(fault(0));
    expect(access(machine, 'write')).toBe(fault(2, LINEAR + 8n));
    expect(access(machine, 'execute')).toBe(fault(0x10));
    expect(access(machine, 'read', { user: true })).toBe(fault(4));
    expect(access(machine, 'write', { user: true })).toBe(fault(6, LINEAR + 8n));
    expect(access(machine, 'execute', { user: true })).toBe(fault(0x14));
  });

  it('with UMIP keep SGDT, SIDT, SLDT, STR and SMSW from user mode', () => {
    const machine = new TinyMachine('long');
    const codes = {
      sldt: [0x0f, 0x00, 0xc0],
      str: [0x0f, 0x00, 0xc8],
      smsw: [0x0f, 0x01, 0xe0],
      sgdt: [0x0f, 0x01, 0x04, 0x24],
      sidt: [0x0f, 0x01, 0x0c, 0x24],
    };
    const registers = { Rsp: 0x410800n };
    for (const [name, code] of Object.entries(codes)) {
      machine.set('Cr4', CR4.umip, false);
      expect(machine.run(code, { user: true, registers }).what, name).toBe('done');
      machine.set('Cr4', CR4.umip);
      expect(machine.run(code, { user: true, registers }).what, name).toBe('#GP(0x0)');
      expect(machine.run(code).what, `${name} in ring 0`).toBe('done');
    }
  });
});

describe('accessed and dirty flags', () => {
  for (const [mode, sizes] of KINDS) {
    for (const size of sizes) {
      it(`${mode}, ${size}: set by the walk that uses them`, () => {
        const machine = new TinyMachine(mode);
        const at = LINEAR + BigInt(OFFSET[size]);
        machine.put(BASE[size] + OFFSET[size], UD2);
        machine.map(LINEAR, BASE[size], P | W | U, { size });
        // PAE's top entries have no such flags.
        const entries = machine.tables.entries(LINEAR).slice(mode === 'pae' ? 1 : 0);
        const flags = (): bigint[] => entries.map((entry) => machine.tables.read(entry) & (ACCESSED | DIRTY));
        const all = entries.map(() => ACCESSED);
        const clear = (): void => {
          for (const entry of entries) machine.tables.write(entry, machine.tables.read(entry) & ~(ACCESSED | DIRTY));
        };
        clear();
        expect(access(machine, 'read', { at })).toBe('done');
        expect(flags()).toEqual(all);
        expect(access(machine, 'write', { at })).toBe('done');
        expect(flags()).toEqual([...all.slice(1), ACCESSED | DIRTY]);
        clear();
        expect(access(machine, 'execute', { at })).toBe('done');
        expect(flags()).toEqual(all);
        clear();
        machine.map(LINEAR, BASE[size], P | U, { size });
        machine.set('Cr0', CR0_WP);
        expect(access(machine, 'write', { at })).toBe(fault(3, at + 8n));
        expect(flags().at(-1)).toBe(0n);
      });
    }
  }
});

describe('reserved bits', () => {
  const cases: readonly (readonly [string, TinyMode, PageSize, number, bigint])[] = [
    ['address beyond the processor', 'long', '4K', 3, 1n << 45n],
    ['address beyond the processor in a directory', 'long', '4K', 2, 1n << 40n],
    ['page size in the top table', 'long', '4K', 0, 0x80n],
    ['frame bit 13 of a 2M page', 'long', '2M', 2, 1n << 13n],
    ['frame bit 29 of a 1G page', 'long', '1G', 1, 1n << 29n],
    ['write flag in a top entry of PAE', 'pae', '4K', 0, W],
    ['frame bit 20 of a 2M page of PAE', 'pae', '2M', 1, 1n << 20n],
    ['bit 21 of a 4M page', 'legacy', '4M', 0, 1n << 21n],
  ];
  for (const [name, mode, size, level, bit] of cases) {
    it(`${name} (${mode}, ${size})`, () => {
      const machine = new TinyMachine(mode);
      machine.map(LINEAR, BASE[size], P | W | U, { size });
      expect(access(machine, 'read')).toBe('done');
      const at = machine.tables.entries(LINEAR)[level] ?? 0;
      const entry = machine.tables.read(at);
      machine.tables.write(at, entry | bit);
      if (level === 0 && mode === 'long') {
        // The top entry serves the machine itself, too: give the address one of its own.
        machine.tables.write(at, entry);
        const far = 0x8000_0000_00n * 2n;
        machine.map(far, FRAME, P | W | U);
        const top = machine.tables.entries(far)[0] ?? 0;
        machine.tables.write(top, machine.tables.read(top) | bit);
        expect(access(machine, 'read', { at: far })).toBe(fault(9, far));
        return;
      }
      expect(access(machine, 'read')).toBe(fault(9));
      expect(access(machine, 'write', { user: true })).toBe(fault(0xf, LINEAR + 8n));
    });
  }
});

/** mov rax, [rbx]; mov rsi, rax; mov [rcx], rdx (the entry changes); ...; mov rax, [rbx] */
const twice = (between: readonly number[]): number[] => [
  ...[0x48, 0x8b, 0x03, 0x48, 0x89, 0xc6, 0x48, 0x89, 0x11],
  ...between,
  ...[0x48, 0x8b, 0x03],
];
/** mov rdi, cr3; mov cr3, rdi */
const RELOAD = [0x0f, 0x20, 0xdf, 0x0f, 0x22, 0xdf];
/** mov rdi, cr4; btc rdi, 7; mov cr4, rdi; the same again */
const TOGGLE_PGE = [...[0x0f, 0x20, 0xe7, 0x48, 0x0f, 0xba, 0xff, 0x07, 0x0f, 0x22, 0xe7]];
const INVLPG = [0x0f, 0x01, 0x3b];
/** mov edi, type; invpcid rdi, [rbp] */
const invpcid = (type: number): number[] => [0xbf, type, 0, 0, 0, 0x66, 0x0f, 0x38, 0x82, 0x7d, 0x00];

describe('translations that were used', () => {
  function changed(flags: bigint, between: readonly number[], pcid = false): readonly bigint[] {
    const machine = new TinyMachine('long');
    machine.map(LINEAR, FRAME, flags);
    machine.ram.setBigUint64(FRAME, 0x1111n, true);
    machine.ram.setBigUint64(OTHER_FRAME, 0x2222n, true);
    machine.set('Cr4', CR4.pge);
    if (pcid) machine.set('Cr4', CR4.pcide);
    // The descriptor of INVPCID: PCID 0, LINEAR.
    machine.ram.setBigUint64(0x7800, 0n, true);
    machine.ram.setBigUint64(0x7808, LINEAR, true);
    const [entry = 0] = machine.tables.entries(LINEAR).slice(-1);
    const registers = { Rbx: LINEAR, Rcx: BigInt(entry), Rdx: BigInt(OTHER_FRAME) | flags, Rbp: 0x7800n };
    expect(machine.run(twice(between), { registers }).what).toBe('done');
    return [machine.register('Rsi'), machine.register('Rax')];
  }
  const fresh = [0x1111n, 0x2222n];

  it.each([
    ['INVLPG', P | W, INVLPG],
    ['INVLPG of a global page', P | W | GLOBAL, INVLPG],
    ['a write of CR3', P | W, RELOAD],
    ['a write of CR4.PGE, global pages too', P | W | GLOBAL, [...TOGGLE_PGE, ...TOGGLE_PGE]],
  ])('end with %s', (_, flags, between) => {
    expect(changed(flags, between)).toEqual(fresh);
  });
  it.each([0, 1, 2, 3])('end with INVPCID of type %i', (type) => {
    expect(changed(P | W, invpcid(type), true)).toEqual(fresh);
  });
  it('of global pages end with INVPCID of type 2', () => {
    expect(changed(P | W | GLOBAL, invpcid(2), true)).toEqual(fresh);
  });

  it('of a descriptor table end with INVLPG', () => {
    const machine = new TinyMachine('long');
    const bytes = new Uint8Array(machine.ram.buffer, machine.ram.byteOffset);
    const level = (access: number): number => (access >> 5) & 3;
    // The same table elsewhere, the descriptor of selector 0x10 with another privilege level.
    bytes.copyWithin(OTHER_FRAME, PLACE.gdt, PLACE.gdt + 0x1000);
    bytes[OTHER_FRAME + 0x15] = (bytes[OTHER_FRAME + 0x15] ?? 0) ^ 0x60;
    const [entry = 0] = machine.tables.entries(BigInt(PLACE.gdt)).slice(-1);
    // lar rsi, rdi; mov [rcx], rdx; invlpg [rbx]; lar rax, rdi
    const code = [0x48, 0x0f, 0x02, 0xf7, 0x48, 0x89, 0x11, ...INVLPG, 0x48, 0x0f, 0x02, 0xc7];
    const Rdx = (machine.tables.read(entry) & 0xfffn) | BigInt(OTHER_FRAME);
    const registers = { Rbx: BigInt(PLACE.gdt), Rcx: BigInt(entry), Rdx, Rdi: 0x10n };
    expect(machine.run(code, { registers }).what).toBe('done');
    const [before, after] = [machine.register('Rsi'), machine.register('Rax')].map((rights) => Number(rights >> 8n));
    expect([level(before ?? 0), level(after ?? 0)]).toEqual([0, 3]);
  });

  it('of one PCID do not serve another', () => {
    const machine = new TinyMachine('long');
    machine.set('Cr4', CR4.pcide);
    machine.map(LINEAR, FRAME, P | W);
    machine.ram.setBigUint64(FRAME, 0x1111n, true);
    machine.ram.setBigUint64(OTHER_FRAME, 0x2222n, true);
    // A second address space that shares only the machine's own lowest gigabyte.
    const { tables } = machine;
    const second = tables.allocate();
    tables.map(LINEAR, OTHER_FRAME, P | W, { root: second });
    const [, shared = 0] = tables.entries(0n);
    const [, below = 0] = tables.entries(0n, second);
    tables.write(below, tables.read(shared));
    // CR3 = rdi, read; CR3 = rsi, read; CR3 = rdi with bit 63, read; CR3 = rsi with bit 63, read.
    const toFirst = [0x0f, 0x22, 0xdf];
    const toSecond = [0x0f, 0x22, 0xde];
    const keep = [0x48, 0x0f, 0xba, 0xef, 0x3f, 0x48, 0x0f, 0xba, 0xee, 0x3f];
    const read = (modrm: number): number[] => [0x4c, 0x8b, modrm];
    const code = [
      ...toFirst,
      ...read(0x03),
      ...toSecond,
      ...read(0x0b),
      ...keep,
      ...toFirst,
      ...read(0x13),
      ...toSecond,
      ...read(0x1b),
    ];
    const registers = { Rbx: LINEAR, Rdi: BigInt(tables.root) | 1n, Rsi: BigInt(second) | 2n };
    expect(machine.run(code, { registers }).what).toBe('done');
    const seen = (['R8', 'R9', 'R10', 'R11'] as const).map((name) => machine.processor.readRegister(name));
    expect(seen).toEqual([0x1111n, 0x2222n, 0x1111n, 0x2222n]);
  });

  it('of INVPCID: bad types and descriptors are #GP', () => {
    const machine = new TinyMachine('long');
    const run = (type: number, pcid: bigint, address: bigint, user = false): string => {
      machine.ram.setBigUint64(0x7800, pcid, true);
      machine.ram.setBigUint64(0x7808, address, true);
      return machine.run(invpcid(type), { user, registers: { Rbp: 0x7800n } }).what;
    };
    expect(run(4, 0n, 0n)).toBe('#GP(0x0)');
    expect(run(0, 0x1000n, 0n)).toBe('#GP(0x0)');
    expect(run(0, 1n, 0n)).toBe('#GP(0x0)');
    expect(run(0, 0n, 1n << 47n)).toBe('#GP(0x0)');
    expect(run(2, 0n, 0n, true)).toBe('#GP(0x0)');
    expect(run(2, 0n, 0n)).toBe('done');
    // Bits 63 to 12 are reserved whatever the type; the PCID below them and the address are only looked at by types that want them.
    for (const type of [1, 2, 3]) {
      expect(run(type, 0x1000n, 0n)).toBe('#GP(0x0)');
      expect(run(type, 1n << 63n, 0n)).toBe('#GP(0x0)');
    }
    expect(run(1, 1n, 0n)).toBe('#GP(0x0)');
    expect(run(2, 0xfffn, 1n << 47n)).toBe('done');
    expect(run(3, 0xfffn, 1n << 47n)).toBe('done');
  });
});

describe('code on pages that are mapped elsewhere', () => {
  /** call rbx, twice, so that the call is linked; mov rsi, rax; mov [rcx], rdx; `between`; call rbx */
  const calls = (between: readonly number[]): number[] => [
    ...[0xff, 0xd3, 0xff, 0xd3, 0x48, 0x89, 0xc6, 0x48, 0x89, 0x11],
    ...between,
    ...[0xff, 0xd3],
  ];
  /** mov eax, n; ret */
  const answer = (n: number): number[] => [0xb8, n, 0, 0, 0, 0xc3];
  const NEXT = LINEAR + 0x1000n;

  /** What the code says before and after its page (`second`: the page in which its one instruction ends) is another one. */
  function changed(
    flags: bigint,
    between: readonly number[],
    options: { second?: bigint; pcid?: boolean; translateAfter?: number } = {},
  ): readonly bigint[] {
    const { second, pcid = false, translateAfter = 0 } = options;
    const machine = new TinyMachine('long', { translateAfter });
    machine.set('Cr4', CR4.pge);
    if (pcid) machine.set('Cr4', CR4.pcide);
    machine.map(LINEAR, FRAME, flags);
    const changedPage = second === undefined ? LINEAR : NEXT;
    const start = second === undefined ? 0 : 0xffc;
    const split = 0x1000 - start;
    for (const [frame, n] of [
      [FRAME, 1],
      [OTHER_FRAME, 2],
    ] as const) {
      // The number's own byte lies in the second page: mov eax, n << 24.
      const bytes = second === undefined ? answer(n) : [0xb8, 0, 0, 0, n, 0xc3];
      machine.put(frame + start, bytes.slice(0, split));
      machine.put(frame + 0x1000, bytes.slice(split));
    }
    if (second !== undefined) machine.map(NEXT, FRAME + 0x1000, second);
    machine.ram.setBigUint64(0x7800, 0n, true);
    machine.ram.setBigUint64(0x7808, changedPage, true);
    const [entry = 0] = machine.tables.entries(changedPage).slice(-1);
    const other = second === undefined ? BigInt(OTHER_FRAME) | flags : BigInt(OTHER_FRAME + 0x1000) | second;
    const registers = {
      Rbx: LINEAR + BigInt(start),
      Rcx: BigInt(entry),
      Rdx: other,
      Rbp: 0x7800n,
      R8: changedPage,
    };
    expect(machine.run(calls(between), { registers }).what).toBe('done');
    const scale = second === undefined ? 1n : 1n << 24n;
    return [machine.register('Rsi') / scale, machine.register('Rax') / scale];
  }
  /** invlpg [r8] */
  const invalidate = [0x41, 0x0f, 0x01, 0x38];
  const local = P | W;
  const shared = P | W | GLOBAL;
  const ways = [
    ['interpreted', 0],
    ['translated', 0xffffffff],
  ] as const;

  describe.each(ways)('%s', (_, translateAfter) => {
    it.each([
      ['INVLPG', local, invalidate],
      ['INVLPG of a global page', shared, invalidate],
      ['a write of CR3', local, RELOAD],
      ['a write of CR4.PGE, global pages too', shared, [...TOGGLE_PGE, ...TOGGLE_PGE]],
    ])('is the new page behind %s', (_name, flags, between) => {
      expect(changed(flags, between, { translateAfter })).toEqual([1n, 2n]);
    });
    it.each([0, 1, 2, 3])('is the new page behind INVPCID of type %i', (type) => {
      expect(changed(local, invpcid(type), { pcid: true, translateAfter })).toEqual([1n, 2n]);
    });
    it('is the new page behind INVPCID of type 2 when it is global', () => {
      expect(changed(shared, invpcid(2), { pcid: true, translateAfter })).toEqual([1n, 2n]);
    });
    it('is still the old one behind a write of CR3 when it is global', () => {
      expect(changed(shared, RELOAD, { translateAfter })).toEqual([1n, 1n]);
    });
    it.each([
      ['INVLPG', local, local, invalidate],
      ['INVLPG of a global one', shared, shared, invalidate],
      ['INVLPG of a global one behind a local one', local, shared, invalidate],
      ['a write of CR3, behind a global one', shared, local, RELOAD],
    ])('is the new second page behind %s', (_name, flags, second, between) => {
      expect(changed(flags, between, { second, translateAfter })).toEqual([1n, 2n]);
    });
  });
});

describe('control registers of paging', () => {
  it.each([
    ['CR3 with address bits beyond the processor', [0x0f, 0x22, 0xd8], 1n << 45n],
    ['CR4 without PAE in long mode', [0x0f, 0x22, 0xe0], 0x680n],
    ['CR4 with an unknown bit', [0x0f, 0x22, 0xe0], 0x6a0n | (1n << 12n)],
    ['CR0 without PG in 64-bit mode', [0x0f, 0x22, 0xc0], 0x1_0033n],
    ['CR0 with PG and without PE', [0x0f, 0x22, 0xc0], 0x8000_0032n],
    ['CR0 with NW and without CD', [0x0f, 0x22, 0xc0], 0xa001_0033n],
    ['CR0 beyond 32 bits', [0x0f, 0x22, 0xc0], 0x1_8001_0033n],
  ])('%s is #GP', (_, code, value) => {
    expect(new TinyMachine('long').run(code, { registers: { Rax: value } }).what).toBe('#GP(0x0)');
  });
  it('CR0 without PG is #GP while CR4.PCIDE is set', () => {
    const machine = new TinyMachine('compatibility');
    machine.set('Cr4', CR4.pcide);
    expect(machine.run([0x0f, 0x22, 0xc0], { registers: { Rax: 0x1_0033n } }).what).toBe('#GP(0x0)');
  });
  it('CR4.PCIDE with a PCID in CR3 is #GP', () => {
    const machine = new TinyMachine('long');
    machine.processor.writeRegister('Cr3', (machine.processor.readRegister('Cr3') as bigint) | 5n);
    expect(machine.run([0x0f, 0x22, 0xe0], { registers: { Rax: 0x206a0n } }).what).toBe('#GP(0x0)');
  });
});
