/**
 * Protection keys of user pages: which accesses PKRU forbids, with what error code, that its changes hold at once, and its place in XSAVE's
 * area. AMD64 manual volume 2, sections 5.6.7 and 11.5; volume 3, RDPKRU and WRPKRU; Intel SDM volume 3, section 4.6.2.
 */
import { describe, expect, it } from 'vitest';
import { TinyMachine } from './testing/tiny-machine.ts';
import type { PageSize } from './testing/tiny-page-tables.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const P = 1n;
const W = 2n;
const U = 4n;
const CR0_WP = 0x1_0000n;
const CR4 = { smap: 0x20_0000n, pke: 0x40_0000n } as const;
const FLAG_AC = 0x4_0000n;
const OSPKE = 1n << 4n;
const LINEAR = 0x8000_0000n;
const FRAME = 0x200000;
const UD2 = [0x0f, 0x0b];
const RDPKRU = [0x0f, 0x01, 0xee];
const WRPKRU = [0x0f, 0x01, 0xef];
/** xor ecx, ecx; xor edx, edx; mov eax, esi; wrpkru: PKRU from ESI. */
const PKRU_FROM_ESI = [0x31, 0xc9, 0x31, 0xd2, 0x89, 0xf0, ...WRPKRU];
/** mov rax, [rbx]; mov [rbx+8], rax; jmp rbx */
const ACCESS = { read: [0x48, 0x8b, 0x03], write: [0x48, 0x89, 0x43, 0x08], execute: [0xff, 0xe3] } as const;
type Access = keyof typeof ACCESS;
const keyOf = (key: number): bigint => BigInt(key) << 59n;
const fault = (error: number, at = LINEAR): string => `#PF(0x${error.toString(16)}) 0x${at.toString(16)}`;
/** Bits of PKRU: no access, no writes. */
const pkruOf = (key: number, noAccess: boolean, noWrite: boolean): bigint =>
  BigInt(Number(noAccess) | (Number(noWrite) << 1)) << BigInt(2 * key);

function keyed(mode: 'long' | 'pae' = 'long', translateAfter = 0): TinyMachine {
  const machine = new TinyMachine(mode, { translateAfter });
  machine.set('Cr4', CR4.pke);
  machine.put(FRAME, UD2);
  return machine;
}
function access(
  machine: TinyMachine,
  kind: Access,
  pkru: bigint,
  options: { user?: boolean; ac?: boolean } = {},
): string {
  const { user = true, ac = false } = options;
  const flags = ac ? FLAG_AC | 2n : 2n;
  const registers = { Rbx: LINEAR, Rsi: pkru };
  const { what, delivery } = machine.run([...PKRU_FROM_ESI, ...ACCESS[kind]], { user, flags, registers });
  return kind === 'execute' && delivery?.vector === 6 && delivery.rip === LINEAR ? 'done' : what;
}

describe('an access to a user page with a key', () => {
  it.each(['4K', '2M'] as const)('%s: is forbidden as PKRU says, in every combination', (size: PageSize) => {
    const machine = keyed();
    const wrong: string[] = [];
    for (let setting = 0; setting < 256; setting++) {
      const on = (bit: number): boolean => ((setting >> bit) & 1) === 1;
      const [user, wp, writable, userPage, noAccess, noWrite] = [on(0), on(1), on(2), on(3), on(4), on(5)];
      const key = [1, 15, 0, 7][setting >> 6] ?? 0;
      machine.map(LINEAR, FRAME, P | (writable ? W : 0n) | (userPage ? U : 0n) | keyOf(key), { size });
      machine.set('Cr0', CR0_WP, wp);
      for (const kind of ['read', 'write', 'execute'] as const) {
        const code = 1 | (kind === 'write' ? 2 : 0) | (user ? 4 : 0) | (kind === 'execute' ? 16 : 0);
        const byKey = userPage && kind !== 'execute' && (noAccess || (noWrite && kind === 'write' && (user || wp)));
        const byPage = (user && !userPage) || (kind === 'write' && !writable && (user || wp));
        const expected = byKey
          ? fault(code | 32, kind === 'write' ? LINEAR + 8n : LINEAR)
          : byPage
            ? fault(code, kind === 'write' ? LINEAR + 8n : LINEAR)
            : 'done';
        // Code and stack of user mode have key 0, so what that forbids is tried from ring 0 only.
        if (key === 0 && user && (noAccess || noWrite)) continue;
        const found = access(machine, kind, pkruOf(key, noAccess, noWrite), { user });
        machine.processor.writeRegister('Pkru', 0n);
        if (found !== expected) wrong.push(`${setting} ${kind}: ${found}, not ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('tells of the key even where SMAP forbids it too', () => {
    const machine = keyed();
    machine.map(LINEAR, FRAME, P | W | U | keyOf(3));
    machine.set('Cr4', CR4.smap);
    expect(access(machine, 'read', pkruOf(3, true, false), { user: false })).toBe(fault(0x21));
    expect(access(machine, 'read', 0n, { user: false })).toBe(fault(1));
    expect(access(machine, 'read', 0n, { user: false, ac: true })).toBe('done');
    expect(access(machine, 'read', pkruOf(3, true, false), { user: false, ac: true })).toBe(fault(0x21));
  });

  it('has no key without CR4.PKE, nor outside long mode', () => {
    const machine = keyed();
    machine.map(LINEAR, FRAME, P | W | U | keyOf(3));
    machine.processor.writeRegister('Pkru', 0xffff_fffcn);
    machine.set('Cr4', CR4.pke, false);
    expect(machine.run(ACCESS.read, { user: true, registers: { Rbx: LINEAR } }).what).toBe('done');
    const pae = keyed('pae');
    pae.map(LINEAR, FRAME, P | W | U);
    pae.processor.writeRegister('Pkru', 0xffff_ffffn);
    expect(pae.run([0x8b, 0x03], { user: true, registers: { Rbx: LINEAR } }).what).toBe('done');
  });
});

describe('a change of PKRU', () => {
  /** Writes, forbids and writes again, in one run: mov [rbx+8], rax; PKRU := ESI; mov [rbx+8], rax */
  const twice = [...ACCESS.write, ...PKRU_FROM_ESI, ...ACCESS.write];
  it.each([
    ['interpreted', 0],
    ['translated', TRANSLATE_AT_ONCE],
  ])('holds at once, for pages that were accessed just before (%s)', (_, translateAfter) => {
    for (const [pkru, expected] of [
      [pkruOf(5, true, false), fault(0x27, LINEAR + 8n)],
      [pkruOf(5, false, true), fault(0x27, LINEAR + 8n)],
      [pkruOf(6, true, true), 'done'],
      // Key 0 is that of the code's stack and tables, but not of what is fetched.
      [3n, 'done'],
    ] as const) {
      const machine = keyed('long', translateAfter);
      machine.map(LINEAR, FRAME, P | W | U | keyOf(5));
      expect(machine.run(twice, { user: true, registers: { Rbx: LINEAR, Rsi: pkru } }).what).toBe(expected);
    }
    const machine = keyed('long', translateAfter);
    machine.map(LINEAR, FRAME, P | W | U);
    expect(machine.run(twice, { user: true, registers: { Rbx: LINEAR, Rsi: 1n } }).what).toBe(fault(0x27, LINEAR + 8n));
  });

  it('holds for more pages than any list of them has room for', () => {
    const machine = keyed();
    const pages = 1500;
    for (let page = 0; page < pages; page++) machine.map(LINEAR + BigInt(page * 4096), FRAME, P | W | U | keyOf(1));
    // mov ecx, pages; 1: mov [rbx], rax; add rbx, 4096; dec ecx; jnz 1
    const fill = [
      0xb9,
      pages & 0xff,
      pages >> 8,
      0,
      0,
      0x48,
      0x89,
      0x03,
      0x48,
      0x81,
      0xc3,
      0,
      0x10,
      0,
      0,
      0xff,
      0xc9,
      0x75,
      0xf2,
    ];
    for (const page of [0, 475, 476, 477, 1023, 1024, 1499]) {
      const at = LINEAR + BigInt(page * 4096);
      // ... PKRU := ESI; mov rax, [rdi]
      const code = [...fill, ...PKRU_FROM_ESI, 0x48, 0x8b, 0x07];
      machine.processor.writeRegister('Pkru', 0n);
      const registers = { Rbx: LINEAR, Rsi: pkruOf(1, true, true), Rdi: at };
      expect(machine.run(code, { user: true, registers }).what).toBe(fault(0x25, at));
    }
  });
});

describe('RDPKRU and WRPKRU', () => {
  it('are #UD without CR4.PKE, and #GP with anything in ECX, or for WRPKRU in EDX', () => {
    const machine = new TinyMachine();
    const zero = { Rcx: 0n, Rdx: 0n };
    for (const code of [RDPKRU, WRPKRU]) expect(machine.run(code, { registers: zero }).what).toBe('#UD');
    machine.set('Cr4', CR4.pke);
    for (const code of [RDPKRU, WRPKRU]) {
      for (const user of [false, true]) {
        expect(machine.run(code, { user, registers: { Rcx: 1n, Rdx: 0n } }).what).toBe('#GP(0x0)');
        // The upper halves do not count.
        const registers = { Rcx: 1n << 32n, Rdx: 1n << 32n, Rax: 0n };
        expect(machine.run(code, { user, registers }).what).toBe('done');
      }
    }
    expect(machine.run(WRPKRU, { registers: { Rcx: 0n, Rdx: 1n } }).what).toBe('#GP(0x0)');
    expect(machine.run(RDPKRU, { registers: { Rcx: 0n, Rdx: 1n } }).what).toBe('done');
  });
  it('move all 32 bits; RDPKRU clears EDX', () => {
    const machine = keyed();
    machine.run([...WRPKRU, 0xb8, 0, 0, 0, 0, ...RDPKRU], { registers: { Rax: 0x1_5555_5554n, Rcx: 0n, Rdx: 0n } });
    expect([machine.register('Rax'), machine.register('Rdx')]).toEqual([0x5555_5554n, 0n]);
    expect(machine.processor.readRegister('Pkru')).toBe(0x5555_5554n);
  });
});

describe('CPUID and CR4', () => {
  it('tell OSPKE as CR4.PKE is', () => {
    const machine = new TinyMachine();
    for (const on of [true, false]) {
      machine.set('Cr4', CR4.pke, on);
      machine.run([0x0f, 0xa2], { registers: { Rax: 7n, Rcx: 0n } });
      expect(machine.register('Rcx') & OSPKE).toBe(on ? OSPKE : 0n);
    }
  });
  it('have no PKE where CPUID does not tell of keys, and XCR0 has no PKRU then', () => {
    // mov rax, cr4; bts rax, 22; mov cr4, rax
    const setPke = [0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xe8, 22, 0x0f, 0x22, 0xe0];
    const xsetbv = [0x0f, 0x01, 0xd1];
    const registers = { Rax: 0x203n, Rcx: 0n, Rdx: 0n };
    const with_ = new TinyMachine();
    expect(with_.run(setPke).what).toBe('done');
    expect(with_.run(xsetbv, { registers }).what).toBe('done');
    const without = new TinyMachine('long', { absent: ['pku'] });
    expect(without.run(setPke).what).toBe('#GP(0x0)');
    expect(without.run(xsetbv, { registers }).what).toBe('#GP(0x0)');
    without.processor.writeRegister('Cr4', (without.processor.readRegister('Cr4') as bigint) | CR4.pke);
    expect(without.run(RDPKRU, { registers: { Rcx: 0n } }).what).toBe('#UD');
  });
});

describe("PKRU in XSAVE's area", () => {
  const AREA = 0x7000;
  const PKRU = AREA + 2432;
  const registers = { Rbx: BigInt(AREA), Rdx: 0n };
  const XSAVE = [0x0f, 0xae, 0x23];
  const XSAVEC = [0x0f, 0xc7, 0x23];
  const XSAVEOPT = [0x0f, 0xae, 0x33];
  const XRSTOR = [0x0f, 0xae, 0x2b];
  const HEADER = AREA + 512;
  const COMPACTED = 1n << 63n;
  function machineWith(pkru: bigint): TinyMachine {
    const machine = keyed();
    machine.set('XCr0', 0x207n);
    machine.processor.writeRegister('Pkru', pkru);
    machine.put(
      AREA,
      Array.from({ length: 2440 }, (_, at) => (at < 512 || at >= 576 ? 0xaa : 0)),
    );
    machine.put(AREA, [0x7f, 0x03]);
    machine.put(AREA + 24, [0x80, 0x1f, 0, 0]);
    return machine;
  }
  it('stands at 2432 of the standard form, as CPUID says, with zeros above it', () => {
    for (const code of [XSAVE, XSAVEOPT]) {
      const machine = machineWith(0x1234_5678n);
      machine.run(code, { registers: { ...registers, Rax: 0x200n } });
      expect(machine.ram.getBigUint64(PKRU, true)).toBe(0x1234_5678n);
      expect(machine.ram.getBigUint64(HEADER, true)).toBe(0x200n);
      expect(machine.ram.getUint8(PKRU - 1)).toBe(0xaa);
      expect(machine.ram.getUint8(AREA + 576)).toBe(0xaa);
    }
    const idle = machineWith(0n);
    idle.run(XSAVEOPT, { registers: { ...registers, Rax: 0x200n } });
    expect(idle.ram.getUint8(PKRU)).toBe(0xaa);
    expect(idle.ram.getBigUint64(HEADER, true)).toBe(0n);
    idle.run(XSAVE, { registers: { ...registers, Rax: 0x200n } });
    expect(idle.ram.getBigUint64(PKRU, true)).toBe(0n);
  });
  it.each([
    [0x207n, 832],
    [0x203n, 576],
    [0x200n, 576],
  ])('follows what stands before it in the compacted form (components %s)', (components, offset) => {
    const machine = machineWith(0x8000_0004n);
    machine.run(XSAVEC, { registers: { ...registers, Rax: components } });
    expect(machine.ram.getBigUint64(AREA + offset, true)).toBe(0x8000_0004n);
    expect(machine.ram.getBigUint64(HEADER + 8, true)).toBe(components | COMPACTED);
    machine.processor.writeRegister('Pkru', 0n);
    expect(machine.run(XRSTOR, { registers: { ...registers, Rax: 0x200n } }).what).toBe('done');
    expect(machine.processor.readRegister('Pkru')).toBe(0x8000_0004n);
  });
  it('is loaded by XRSTOR, or cleared where the header lacks it, and left alone where it is not asked for', () => {
    const machine = machineWith(0xcn);
    machine.ram.setBigUint64(PKRU, 0xffff_ffff_0000_0030n, true);
    machine.ram.setBigUint64(HEADER, 0x200n, true);
    machine.run(XRSTOR, { registers: { ...registers, Rax: 1n } });
    expect(machine.processor.readRegister('Pkru')).toBe(0xcn);
    machine.run(XRSTOR, { registers: { ...registers, Rax: 0x200n } });
    expect(machine.processor.readRegister('Pkru')).toBe(0x30n);
    machine.ram.setBigUint64(HEADER, 0n, true);
    machine.run(XRSTOR, { registers: { ...registers, Rax: 0x200n } });
    expect(machine.processor.readRegister('Pkru')).toBe(0n);
  });
  it('holds at once when XRSTOR loads it', () => {
    const machine = machineWith(0n);
    machine.map(LINEAR, FRAME, P | W | U | keyOf(4));
    machine.ram.setBigUint64(PKRU, pkruOf(4, true, false), true);
    machine.ram.setBigUint64(HEADER, 0x200n, true);
    const code = [0x48, 0x8b, 0x37, ...XRSTOR, 0x48, 0x8b, 0x37];
    expect(machine.run(code, { registers: { ...registers, Rax: 0x200n, Rdi: LINEAR } }).what).toBe(fault(0x21));
  });
  it('has the size that CPUID tells for what is enabled, in both forms', () => {
    for (const [xcr0, standard, compacted] of [
      [1n, 576n, 576n],
      [7n, 832n, 832n],
      [0x203n, 2440n, 584n],
      [0x207n, 2440n, 840n],
    ] as const) {
      const machine = new TinyMachine();
      machine.processor.writeRegister('XCr0', xcr0);
      for (const [subleaf, bytes] of [
        [0n, standard],
        [1n, compacted],
      ] as const) {
        machine.run([0x0f, 0xa2], { registers: { Rax: 0xdn, Rcx: subleaf } });
        expect(machine.register('Rbx')).toBe(bytes);
      }
    }
  });
  it('faults as the last byte of the area does where that lies on a page that is not there', () => {
    const machine = machineWith(0x55n);
    const at = LINEAR + 0x1000n - 640n;
    machine.map(LINEAR, FRAME, P | W);
    const absent = fault(0, at + 2439n);
    expect(machine.run(XRSTOR, { registers: { Rbx: at, Rax: 0x200n, Rdx: 0n } }).what).toBe(absent);
    expect(machine.run(XSAVE, { registers: { Rbx: at, Rax: 0x200n, Rdx: 0n } }).what).toBe(fault(2, at + 2439n));
    machine.map(LINEAR + 0x1000n, FRAME + 0x1000, P | W);
    expect(machine.run(XSAVE, { registers: { Rbx: at, Rax: 0x200n, Rdx: 0n } }).what).toBe('done');
    expect(machine.ram.getBigUint64(FRAME + 0x1000 - 640 + 2432, true)).toBe(0x55n);
    machine.processor.writeRegister('Pkru', 0n);
    expect(machine.run(XRSTOR, { registers: { Rbx: at, Rax: 0x200n, Rdx: 0n } }).what).toBe('done');
    expect(machine.processor.readRegister('Pkru')).toBe(0x55n);
  });
});
