/**
 * The differential harness: the smallest kernel, which runs cases in user mode on a processor engine.
 *
 * It gives user mode what Linux gives it on x86-64: the same selectors and descriptors, CR0, CR4 and EFER, four-level page
 * tables with the same permissions, gates that user mode may not call. Every exception saves the whole state to a block in
 * memory and writes a port; the host answers by putting the next case into another block; the kernel loads it and returns to user
 * mode. So thousands of cases run in one call of the engine, and the way of an exception through IDT, TSS and IRET is tested on
 * the side.
 *
 * Called by: differential-machine.ts. Addresses of user mode come from differential-layout.ts.
 */
import type { Lacking } from './differential-host.ts';
import {
  CASE,
  CODE_BASE,
  CODE_BYTES,
  DATA_BASE,
  HIGH_BASE,
  LOCAL_SEGMENTS,
  PAGE,
  RESULT,
  STACK_BASE,
  TEMPLATE_PAGES,
} from './differential-layout.ts';

export const GUEST_RAM_BYTES = 16 * 1024 * 1024;
export const CASE_PORT = 0xf4;

/** Guest-physical addresses. */
export const PHYSICAL = {
  kernel: 0x100000,
  pageTables: 0x200000,
  /** The pages of the template in its order. */
  template: 0x300000,
  code: 0x400000,
} as const;

/** Offsets in the kernel's pages. */
const KERNEL = {
  gdt: 0x0,
  ldt: 0x100,
  tss: 0x200,
  control: 0x400,
  idt: 0x1000,
  stubs: 0x2000,
  text: 0x3000,
  save: 0x4000,
  load: 0x5000,
  stackTop: 0x8000,
} as const;
const KERNEL_PAGES = 8;
const KERNEL_BASE = 0xffff_ffff_8000_0000n;

/** Where the host finds the saved state, puts the next one, and says whether there is one. */
export const EXCHANGE = {
  save: PHYSICAL.kernel + KERNEL.save,
  load: PHYSICAL.kernel + KERNEL.load,
  /** IRET frame of the next case: RIP, CS, RFLAGS, RSP, SS. */
  loadFrame: PHYSICAL.kernel + KERNEL.load + 0x400,
  /** u64: 1 when there is a next case. */
  more: PHYSICAL.kernel + KERNEL.control,
  /** What the exception pushed, upwards: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
  frame: PHYSICAL.kernel + KERNEL.stackTop - 56,
} as const;

/** Registers with which the kernel starts. */
export const START = {
  rip: KERNEL_BASE + BigInt(KERNEL.text),
  rsp: KERNEL_BASE + BigInt(KERNEL.stackTop),
  gdt: { base: KERNEL_BASE + BigInt(KERNEL.gdt), limit: 0x7f },
  idt: { base: KERNEL_BASE + BigInt(KERNEL.idt), limit: 0xfff },
  // As long as Linux makes it for its last entry.
  ldt: {
    selector: 0x50,
    base: KERNEL_BASE + BigInt(KERNEL.ldt),
    limit: 8 * LOCAL_SEGMENTS.length + 7,
    attributes: 0x82,
  },
  tss: { selector: 0x40, base: KERNEL_BASE + BigInt(KERNEL.tss), limit: 0x67, attributes: 0x8b },
  code: { selector: 0x10, base: 0n, limit: 0xffff_ffff, attributes: 0xa09b },
  data: { selector: 0x18, base: 0n, limit: 0xffff_ffff, attributes: 0xc093 },
  cr3: BigInt(PHYSICAL.pageTables),
  /** PG, AM, WP, NE, ET, MP, PE as Linux has them. */
  cr0: 0x8005_0033n,
  /** PAE, MCE, OSFXSR, OSXMMEXCPT, PGE, FSGSBASE, OSXSAVE. */
  cr4: 0x0005_06e0n,
  /** SCE, LME, LMA, NXE. */
  efer: 0xd01n,
  xcr0: 7n,
} as const;

/** Descriptors of Linux for x86-64: kernel 32 and 64, data, user 32, data, user 64, TSS, an LDT, no TLS, CPU number. */
const DESCRIPTORS: readonly bigint[] = [
  0n,
  0x00cf_9b00_0000_ffffn,
  0x00af_9b00_0000_ffffn,
  0x00cf_9300_0000_ffffn,
  0x00cf_fb00_0000_ffffn,
  0x00cf_f300_0000_ffffn,
  0x00af_fb00_0000_ffffn,
];
const USER_CODE_32 = 4;

class Assembler {
  readonly bytes: number[] = [];
  emit(...bytes: readonly number[]): void {
    this.bytes.push(...bytes);
  }
  /** A 32-bit little-endian number; kernel addresses are sign-extended. */
  word(value: bigint): void {
    for (let at = 0; at < 4; at++) this.bytes.push(Number((value >> BigInt(8 * at)) & 0xffn));
  }
  /** `opcode reg, [absolute]` with REX.W or other prefixes in front. */
  absolute(prefix: readonly number[], opcode: readonly number[], register: number, address: bigint): void {
    const rex = prefix.includes(0x48) && register >= 8 ? prefix.map((byte) => (byte === 0x48 ? 0x4c : byte)) : prefix;
    this.emit(...rex, ...opcode, ((register & 7) << 3) | 4, 0x25);
    this.word(address);
  }
}

const W = [0x48];

/** VINSERTF128 (18h) or VEXTRACTF128 (19h) of a register's upper half and its place. */
function upperHalf(text: Assembler, opcode: number, register: number, places: bigint): void {
  const vvvv = opcode === 0x18 ? ~register & 15 : 15;
  text.emit(0xc4, (register >= 8 ? 0x60 : 0xe0) | 3, (vvvv << 3) | 5, opcode, ((register & 7) << 3) | 4, 0x25);
  text.word(places + BigInt(16 * register));
  text.emit(1);
}

/** The text: entry for the next case first, then what all exceptions come to. @returns bytes and the offset of the latter */
function assembleText(): { bytes: Uint8Array; saveAt: number } {
  const text = new Assembler();
  const save = KERNEL_BASE + BigInt(KERNEL.save);
  const load = KERNEL_BASE + BigInt(KERNEL.load);
  // next: out CASE_PORT, eax; stop when there is no case left.
  text.emit(0xe7, CASE_PORT);
  text.absolute(W, [0x8b], 0, KERNEL_BASE + BigInt(KERNEL.control));
  text.emit(0x48, 0x85, 0xc0, 0x75, 0x04, 0xfa, 0xf4, 0xeb, 0xfc);
  // mov eax, 2B; mov ds, eax; mov es, eax; mov eax, selector; mov fs, eax; mov eax, selector; mov gs, eax
  text.emit(0xb8, 0x2b, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0);
  text.absolute([], [0x8b], 0, load + BigInt(CASE.fsSelector));
  text.emit(0x8e, 0xe0);
  text.absolute([], [0x8b], 0, load + BigInt(CASE.gsSelector));
  text.emit(0x8e, 0xe8);
  text.absolute(W, [0x8b], 0, load + BigInt(CASE.fsBase));
  text.emit(0xf3, 0x48, 0x0f, 0xae, 0xd0);
  text.absolute(W, [0x8b], 0, load + BigInt(CASE.gsBase));
  text.emit(0xf3, 0x48, 0x0f, 0xae, 0xd8);
  text.absolute(W, [0x0f, 0xae], 1, load + BigInt(CASE.vectorState));
  for (let register = 0; register < 16; register++) upperHalf(text, 0x18, register, load + BigInt(CASE.upper));
  // mov rsp, frame
  text.emit(0x48, 0xc7, 0xc4);
  text.word(load + 0x400n);
  for (let register = 15; register >= 0; register--) {
    if (register !== 4) text.absolute(W, [0x8b], register, load + BigInt(CASE.registers + 8 * register));
  }
  text.emit(0x48, 0xcf);
  const saveAt = text.bytes.length;
  for (let register = 0; register < 16; register++) {
    if (register !== 4) text.absolute(W, [0x89], register, save + BigInt(RESULT.registers + 8 * register));
  }
  text.emit(0x0f, 0x20, 0xd0);
  text.absolute(W, [0x89], 0, save + BigInt(RESULT.cr2));
  for (const [segment, field] of [
    [3, RESULT.ds],
    [0, RESULT.es],
    [4, RESULT.fs],
    [5, RESULT.gs],
  ] as const) {
    text.absolute([], [0x8c], segment, save + BigInt(field));
  }
  text.emit(0xf3, 0x48, 0x0f, 0xae, 0xc0);
  text.absolute(W, [0x89], 0, save + BigInt(RESULT.fsBase));
  text.emit(0xf3, 0x48, 0x0f, 0xae, 0xc8);
  text.absolute(W, [0x89], 0, save + BigInt(RESULT.gsBase));
  text.absolute(W, [0x0f, 0xae], 0, save + BigInt(RESULT.vectorState));
  for (let register = 0; register < 16; register++) upperHalf(text, 0x19, register, save + BigInt(RESULT.upper));
  // jmp next
  text.emit(0xe9);
  text.word(BigInt(-(text.bytes.length + 4)));
  return { bytes: Uint8Array.from(text.bytes), saveAt };
}

/** Exceptions that push an error code. */
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);

const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
/** Accessed and dirty from the start. */
const USED = 0x60n;
const NO_EXECUTE = 1n << 63n;

/** Builds four-level tables in guest memory. */
class PageTables {
  readonly #ram: DataView;
  #next = PHYSICAL.pageTables + PAGE;

  constructor(ram: DataView) {
    this.#ram = ram;
  }

  map(address: bigint, physical: number, flags: bigint): void {
    let table: number = PHYSICAL.pageTables;
    for (const shift of [39n, 30n, 21n]) {
      const at = table + Number((address >> shift) & 511n) * 8;
      if (this.#ram.getBigUint64(at, true) === 0n) {
        this.#ram.setBigUint64(at, BigInt(this.#next) | PRESENT | WRITABLE | USER | USED, true);
        this.#next += PAGE;
      }
      table = Number(this.#ram.getBigUint64(at, true) & 0xf_ffff_f000n);
    }
    this.#ram.setBigUint64(
      table + Number((address >> 12n) & 511n) * 8,
      BigInt(physical) | PRESENT | USED | flags,
      true,
    );
  }
}

/**
 * Writes kernel and page tables into zeroed guest memory, where guest-physical address 0 is `ram`'s byte 0. Segments that the host's kernel
 * lacks are not there.
 */
export function buildGuest(ram: DataView, lacking: Lacking): void {
  const bytes = new Uint8Array(ram.buffer, ram.byteOffset, ram.byteLength);
  const kernel = PHYSICAL.kernel;
  DESCRIPTORS.forEach((descriptor, index) => {
    if (index === USER_CODE_32 && lacking.has('32-bit code')) return;
    ram.setBigUint64(kernel + KERNEL.gdt + 8 * index, descriptor, true);
  });
  for (const { selector, descriptor } of lacking.has('a local descriptor table') ? [] : LOCAL_SEGMENTS)
    ram.setBigUint64(kernel + KERNEL.ldt + (selector & ~7), descriptor, true);
  const tss = KERNEL_BASE + BigInt(KERNEL.tss);
  const low = 0x67n | ((tss & 0xff_ffffn) << 16n) | (0x8bn << 40n) | (((tss >> 24n) & 0xffn) << 56n);
  ram.setBigUint64(kernel + KERNEL.gdt + 0x40, low, true);
  ram.setBigUint64(kernel + KERNEL.gdt + 0x48, tss >> 32n, true);
  // The CPU number's segment: readable data with DPL 3, limit 0.
  ram.setBigUint64(kernel + KERNEL.gdt + 0x78, 0x0040_f500_0000_0000n, true);
  ram.setBigUint64(kernel + KERNEL.tss + 4, START.rsp, true);
  // An I/O permission map beyond the limit: user mode has no ports.
  ram.setUint16(kernel + KERNEL.tss + 0x66, 0x68, true);

  const { bytes: text, saveAt } = assembleText();
  bytes.set(text, kernel + KERNEL.text);
  for (let vector = 0; vector < 256; vector++) {
    const stub = KERNEL.stubs + 16 * vector;
    const entry = WITH_ERROR.has(vector) ? [] : [0x6a, 0];
    entry.push(0x68, vector, 0, 0, 0, 0xe9);
    const jump = KERNEL.text + saveAt - (stub + entry.length + 4);
    bytes.set(entry, kernel + stub);
    ram.setInt32(kernel + stub + entry.length, jump, true);
    // Interrupt gate; user mode may raise 3 and 4 itself, as on Linux.
    const offset = KERNEL_BASE + BigInt(stub);
    const type = vector === 3 || vector === 4 ? 0xee00n : 0x8e00n;
    const gate = (offset & 0xffffn) | (0x10n << 16n) | (type << 32n) | (((offset >> 16n) & 0xffffn) << 48n);
    ram.setBigUint64(kernel + KERNEL.idt + 16 * vector, gate, true);
    ram.setBigUint64(kernel + KERNEL.idt + 16 * vector + 8, offset >> 32n, true);
  }

  const tables = new PageTables(ram);
  for (let page = 0; page < KERNEL_PAGES; page++) {
    tables.map(KERNEL_BASE + BigInt(page * PAGE), kernel + page * PAGE, WRITABLE);
  }
  for (let at = 0; at < CODE_BYTES; at += PAGE) tables.map(CODE_BASE + BigInt(at), PHYSICAL.code + at, USER);
  TEMPLATE_PAGES.forEach((address, index) => {
    const readOnly = address === DATA_BASE + 0x2000n;
    tables.map(address, PHYSICAL.template + index * PAGE, USER | NO_EXECUTE | (readOnly ? 0n : WRITABLE));
  });
}

/** Guest-physical address of a user-mode address that a patch may name; undefined elsewhere. */
export function physicalOf(address: bigint): number | undefined {
  for (const base of [DATA_BASE, STACK_BASE, HIGH_BASE]) {
    const offset = address - base;
    const pages = base === DATA_BASE ? 3n : 2n;
    if (offset < 0n || offset >= pages * BigInt(PAGE)) continue;
    const index = TEMPLATE_PAGES.indexOf((address & ~0xfffn) as (typeof TEMPLATE_PAGES)[number]);
    if (index >= 0) return PHYSICAL.template + index * PAGE + Number(address & 0xfffn);
  }
  return undefined;
}
