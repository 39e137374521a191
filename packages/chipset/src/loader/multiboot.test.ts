/** The multiboot loader on kernels made for the test: the plan to the byte, every refusal, and arbitrary headers. */
import { PlinthError } from '@plinth/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MultibootOptions, multibootHeader, planMultibootBoot } from './multiboot.ts';
import type { BootPlan } from './types.ts';

const memoryBytes = 64 << 20;

interface SyntheticSegment {
  readonly virtual?: number;
  readonly physical: number;
  readonly memory?: number;
}

/** An ELF32 file with its multiboot header behind the program headers; each segment has 16 bytes in the file. */
function elf(segments: readonly SyntheticSegment[], options: { flags?: number; entry?: number } = {}): Uint8Array {
  const bytes = new Uint8Array(0x1000 + segments.length * 16);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 3, true);
  view.setUint32(24, options.entry ?? segments[0]?.virtual ?? segments[0]?.physical ?? 0, true);
  view.setUint32(28, 52, true);
  view.setUint16(42, 32, true);
  view.setUint16(44, segments.length, true);
  segments.forEach(({ virtual, physical, memory = 32 }, index) => {
    const fields = [1, 0x1000 + index * 16, virtual ?? physical, physical, 16, memory, 7, 0x1000];
    fields.forEach((value, field) => {
      view.setUint32(52 + index * 32 + field * 4, value, true);
    });
    bytes.fill(index + 1, 0x1000 + index * 16, 0x1010 + index * 16);
  });
  const flags = options.flags ?? 3;
  [0x1badb002, flags, -(0x1badb002 + flags)].forEach((value, index) => {
    view.setInt32(0x800 + index * 4, value, true);
  });
  return bytes;
}

function plan(options: Partial<MultibootOptions> = {}): BootPlan {
  return planMultibootBoot({ kernel: elf([{ physical: 0x100000 }]), memoryBytes, ...options });
}
function refusal(options: Partial<MultibootOptions>): string {
  try {
    plan(options);
  } catch (error) {
    if (error instanceof PlinthError) return error.code;
    throw error;
  }
  return 'none';
}
function memoryAt({ writes }: BootPlan, gpa: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const write of writes) {
    for (let index = 0; index < length; index++)
      bytes[index] = write.bytes[gpa + index - write.gpa] ?? bytes[index] ?? 0;
  }
  return bytes;
}
function word(bootPlan: BootPlan, gpa: number): number {
  return new DataView(memoryAt(bootPlan, gpa, 4).buffer).getUint32(0, true);
}
function text(bootPlan: BootPlan, gpa: number): string {
  const bytes = memoryAt(bootPlan, gpa, 256);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
function expectSound(bootPlan: BootPlan): void {
  const ranges = bootPlan.writes
    .map(({ gpa, bytes }) => ({ start: gpa, end: gpa + bytes.length }))
    .sort((a, b) => a.start - b.start);
  const ram = bootPlan.layout.memoryMap.filter((entry) => entry.type === 'ram');
  ranges.forEach((range, index) => {
    expect(range.start).toBeGreaterThanOrEqual(ranges[index - 1]?.end ?? 0);
    expect(ram.some((entry) => entry.start <= range.start && range.end <= entry.end)).toBe(true);
  });
}

describe('a multiboot kernel', () => {
  it('is recognised by its header, at a multiple of 4 within 8192 bytes', () => {
    expect(multibootHeader(elf([]))).toBe(0x800);
    const moved = (at: number): Uint8Array => {
      const bytes = new Uint8Array(0x3000);
      bytes.set(elf([]).subarray(0x800, 0x80c), at);
      return bytes;
    };
    expect(multibootHeader(moved(8192 - 12))).toBe(8192 - 12);
    for (const at of [2, 8192 - 8, 8192]) expect(multibootHeader(moved(at))).toBeUndefined();
    const broken = elf([]);
    broken[0x804] = 1;
    expect(multibootHeader(broken)).toBeUndefined();
  });

  it('is entered in flat protected mode with the magic in EAX and the information in EBX', () => {
    const bootPlan = plan();
    expect(bootPlan.state).toMatchObject({
      mode: 'protected32',
      rip: 0x100000n,
      rax: 0x2badb002n,
      cr0: 0x11n,
      rflags: 2n,
    });
    expect(bootPlan.state.segments.cs).toMatchObject({ base: 0n, limit: 0xffffffff, attributes: 0xc09b });
    expect(memoryAt(bootPlan, 0x100000, 17)).toEqual(new Uint8Array(17).fill(1, 0, 16));
    expectSound(bootPlan);
  });

  it('is loaded at physical addresses, and entered at the physical address of its entry', () => {
    const kernel = elf(
      [
        { virtual: 0xc0100000, physical: 0x100000 },
        { virtual: 0xc0200000, physical: 0x200000 },
      ],
      {
        entry: 0xc0200004,
      },
    );
    const bootPlan = plan({ kernel });
    expect(bootPlan.state.rip).toBe(0x200004n);
    expect(bootPlan.layout.kernel).toEqual({ start: 0x100000, end: 0x200020 });
  });

  it('finds sizes of memory, command line, memory map and the loader through the information', () => {
    const bootPlan = plan({
      commandLine: 'one two',
      reserved: [{ start: 0x3ff0000, end: 0x4000000, type: 'acpi-nvs' }],
    });
    const at = Number(bootPlan.state.rbx);
    expect(word(bootPlan, at)).toBe(0x24d);
    expect([word(bootPlan, at + 4), word(bootPlan, at + 8)]).toEqual([640, 63 * 1024 - 64]);
    expect(text(bootPlan, word(bootPlan, at + 16))).toBe('one two');
    expect(text(bootPlan, word(bootPlan, at + 64))).toBe('Plinth');
    const [length, table] = [word(bootPlan, at + 44), word(bootPlan, at + 48)];
    const entries = Array.from({ length: length / 24 }, (_, index) =>
      [0, 4, 12, 20].map((field) => word(bootPlan, table + index * 24 + field)),
    );
    expect(entries).toEqual([
      [20, 0, 0xa0000, 1],
      [20, 0xa0000, 0x60000, 2],
      [20, 0x100000, 0x3ef0000, 1],
      [20, 0x3ff0000, 0x10000, 4],
    ]);
  });

  it('has its modules above itself, at pages, in order and by name', () => {
    const modules = [5000, 0, 3].map((length, index) => ({
      name: `m${index}`,
      bytes: new Uint8Array(length).fill(index + 7),
    }));
    const bootPlan = plan({ modules });
    const at = Number(bootPlan.state.rbx);
    expect(word(bootPlan, at + 20)).toBe(3);
    const table = word(bootPlan, at + 24);
    const listed = modules.map((_, index) => ({
      start: word(bootPlan, table + index * 16),
      end: word(bootPlan, table + index * 16 + 4),
      name: text(bootPlan, word(bootPlan, table + index * 16 + 8)),
    }));
    expect(listed).toEqual([
      { start: 0x101000, end: 0x101000 + 5000, name: 'm0' },
      { start: 0x103000, end: 0x103000, name: 'm1' },
      { start: 0x104000, end: 0x104003, name: 'm2' },
    ]);
    expect(memoryAt(bootPlan, 0x104000, 4)).toEqual(Uint8Array.from([9, 9, 9, 0]));
    expectSound(bootPlan);
  });

  it('may say itself where it goes, without ELF', () => {
    const kernel = new Uint8Array(0x400).fill(0x90);
    const view = new DataView(kernel.buffer);
    const fields = [0x1badb002, 0x10003, -(0x1badb002 + 0x10003), 0x200100, 0x200000, 0, 0x201000, 0x200180];
    fields.forEach((value, index) => {
      view.setInt32(0x100 + 4 * index, value, true);
    });
    const bootPlan = plan({ kernel });
    expect(bootPlan.layout.kernel).toEqual({ start: 0x200000, end: 0x201000 });
    expect(bootPlan.state.rip).toBe(0x200180n);
    expect(memoryAt(bootPlan, 0x2003ff, 2)).toEqual(Uint8Array.from([0x90, 0]));
  });

  it('is refused for what it asks, for what it is, and where there is no room', () => {
    expect(refusal({ kernel: elf([{ physical: 0x100000 }], { flags: 4 }) })).toBe('PL-2011');
    const wide = elf([{ physical: 0x100000 }]);
    wide[4] = 2;
    expect(refusal({ kernel: wide })).toBe('PL-2012');
    const other = elf([{ physical: 0x100000 }]);
    other[18] = 40;
    expect(refusal({ kernel: other })).toBe('PL-2012');
    expect(refusal({ kernel: elf([]) })).toBe('PL-2012');
    expect(refusal({ kernel: elf([{ physical: 0x100000 }, { physical: 0x100010 }]) })).toBe('PL-2012');
    expect(refusal({ kernel: elf([{ physical: 0x100000, memory: 8 }]) })).toBe('PL-2012');
    expect(refusal({ kernel: elf([{ physical: 0x100000 }]).subarray(0, 0x1008) })).toBe('PL-2003');
    for (const physical of [0xa0000, memoryBytes - 16, 0xfffff000])
      expect(refusal({ kernel: elf([{ physical }]) })).toBe('PL-2013');
    expect(refusal({ modules: [{ name: 'big', bytes: new Uint8Array(memoryBytes) }] })).toBe('PL-2013');
    expect(refusal({ commandLine: 'a\0b' })).toBe('PL-2010');
    expect(refusal({ memoryBytes: 4096 })).toBe('PL-2008');
  });

  it('of arbitrary headers is planned soundly or refused by name', () => {
    const change = fc.tuple(
      fc.integer({ min: 4, max: 150 }),
      fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 255)),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), fc.boolean(), (changes, addresses) => {
        const kernel = elf([{ physical: 0x100000 }, { physical: 0x200000 }]);
        // In the second kind the bytes are the header's own address fields.
        const base = addresses ? 0x80c : 0;
        if (addresses) {
          const view = new DataView(kernel.buffer);
          view.setInt32(0x804, 0x10003, true);
          view.setInt32(0x808, -(0x1badb002 + 0x10003), true);
        }
        for (const [at, value] of changes) kernel[base + (addresses ? at % 20 : at)] = value;
        try {
          expectSound(plan({ kernel }));
        } catch (error) {
          if (!(error instanceof PlinthError)) throw error;
        }
      }),
    );
  });
});
