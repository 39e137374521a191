/** The Linux loader on kernels made for the test: the plan to the byte, every refusal, and arbitrary headers. */
import { PlinthError } from '@plinth/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootArea, type LinuxBootOptions, planLinuxBoot } from './linux.ts';
import { highestPlace, memoryMap } from './memory-map.ts';
import type { BootPlan } from './types.ts';

const mebibyte = 1 << 20;

interface SyntheticKernel {
  version?: number;
  setupSectors?: number;
  kernelBytes?: number;
  xloadflags?: number;
  loadflags?: number;
  relocatable?: number;
  alignment?: number;
  preferredAddress?: bigint;
  initialSize?: number;
  initrdAddressMaximum?: number;
  commandLineSize?: number;
}

/** A bzImage as boot.rst describes it: 3 setup sectors and 4 KiB of protected-mode kernel unless told. */
function syntheticKernel(options: SyntheticKernel = {}): Uint8Array {
  const setupSectors = options.setupSectors ?? 3;
  const start = (setupSectors + 1) * 512;
  const kernelBytes = options.kernelBytes ?? 4096;
  const kernel = new Uint8Array(start + kernelBytes);
  kernel.subarray(start).forEach((_, index, part) => {
    part[index] = index % 251;
  });
  const view = new DataView(kernel.buffer);
  view.setUint8(0x1f1, setupSectors);
  view.setUint32(0x1f4, kernelBytes / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x66eb, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, options.version ?? 0x020f, true);
  view.setUint16(0x20e, 0x100, true);
  kernel.set(new TextEncoder().encode('9.9.9-test (someone)\0'), 0x300);
  view.setUint8(0x211, options.loadflags ?? 1);
  view.setUint32(0x22c, options.initrdAddressMaximum ?? 0x7fffffff, true);
  view.setUint32(0x230, options.alignment ?? 0x200000, true);
  view.setUint8(0x234, options.relocatable ?? 1);
  view.setUint16(0x236, options.xloadflags ?? 0x7f, true);
  view.setUint32(0x238, options.commandLineSize ?? 2047, true);
  view.setBigUint64(0x250, 0xdeadn, true);
  view.setBigUint64(0x258, options.preferredAddress ?? 0x1000000n, true);
  view.setUint32(0x260, options.initialSize ?? 0x3378000, true);
  return kernel;
}

function plan(options: Partial<LinuxBootOptions> = {}): BootPlan {
  return planLinuxBoot({ kernel: syntheticKernel(), memoryBytes: 512 * mebibyte, ...options });
}

function refusal(options: Partial<LinuxBootOptions>): PlinthError {
  try {
    plan(options);
  } catch (error) {
    if (error instanceof PlinthError) return error;
    throw error;
  }
  throw new Error('The plan was not refused');
}

/** The bytes of guest memory at an address, as the writes leave it. */
function memoryAt(bootPlan: BootPlan, gpa: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  for (const write of bootPlan.writes) {
    for (let index = 0; index < length; index++) {
      const byte = write.bytes[gpa + index - write.gpa];
      if (byte !== undefined) bytes[index] = byte;
    }
  }
  return new DataView(bytes.buffer);
}

function expectSound(bootPlan: BootPlan, memoryBytes: number): void {
  const ranges = bootPlan.writes
    .map(({ gpa, bytes }) => ({ start: gpa, end: gpa + bytes.length }))
    .sort((a, b) => a.start - b.start);
  ranges.forEach((range, index) => {
    expect(range.start).toBeGreaterThanOrEqual(ranges[index - 1]?.end ?? 0);
    expect(range.end).toBeLessThanOrEqual(memoryBytes);
    const ram = bootPlan.layout.memoryMap.filter((entry) => entry.type === 'ram');
    expect(ram.some((entry) => entry.start <= range.start && range.end <= entry.end)).toBe(true);
  });
}

describe('the 64-bit boot protocol', () => {
  const bootPlan = plan({ commandLine: 'console=ttyS0', rsdpAddress: 0xe0000 });

  it('loads the protected-mode part at the preferred address and enters it at +0x200 in long mode', () => {
    expect(bootPlan.layout.kernel).toEqual({ start: 0x1000000, end: 0x1000000 + 0x3378000 });
    expect(memoryAt(bootPlan, 0x1000000, 4).getUint32(0, true)).toBe(0x03020100);
    expect(bootPlan.state).toMatchObject({ mode: 'long64', rip: 0x1000200n, rflags: 2n, cr4: 0x20n, efer: 0x500n });
    expect(bootPlan.state.cr0 & 0x80000001n).toBe(0x80000001n);
    expect(bootPlan.layout.kernelVersion).toBe('9.9.9-test (someone)');
    expectSound(bootPlan, 512 * mebibyte);
  });

  it('tells the kernel to reset with a warm start when it panics, before what the user says', () => {
    const given = (commandLine: string): object => {
      const { layout, writes, warmStartIsPanic } = plan({ commandLine });
      const bytes = writes.find(({ gpa }) => gpa === 0x9000)?.bytes ?? new Uint8Array(0);
      expect(new TextDecoder().decode(bytes)).toBe(`${layout.commandLine}\0`);
      return { text: layout.commandLine, agreed: warmStartIsPanic };
    };
    expect(given('')).toEqual({ text: 'panic=-1 reboot=panic_warm', agreed: true });
    const longer = 'console=ttyS0 panic=5 noreboot=1';
    expect(given(longer)).toEqual({ text: `panic=-1 reboot=panic_warm ${longer}`, agreed: true });
    // A user's warm starts may be of any kind.
    for (const own of ['reboot=w', 'quiet reboot=pci,warm', 'quiet\t"reboot=warm"']) {
      expect(given(own)).toEqual({ text: own, agreed: false });
    }
  });

  it('gives the selectors that the protocol asks for, in the descriptor table too', () => {
    const { segments, gdt } = bootPlan.state;
    expect(segments.cs).toEqual({ selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xa09b });
    for (const register of ['ds', 'es', 'ss'] as const) {
      expect(segments[register]).toEqual({ selector: 0x18, base: 0n, limit: 0xffffffff, attributes: 0xc093 });
    }
    const table = memoryAt(bootPlan, Number(gdt.base), gdt.limit + 1);
    expect(table.getBigUint64(0x10, true)).toBe(0x00af9b000000ffffn);
    expect(table.getBigUint64(0x18, true)).toBe(0x00cf93000000ffffn);
  });

  it('maps the first 4 GiB to themselves', () => {
    const entry = (address: bigint): bigint => memoryAt(bootPlan, Number(address), 8).getBigUint64(0, true);
    for (const address of [0n, 0x1000200n, 0x7fffffffn, 0xfee00000n, 0xffffffffn]) {
      const level4 = entry(bootPlan.state.cr3 + ((address >> 39n) & 511n) * 8n);
      const level3 = entry((level4 & ~0xfffn) + ((address >> 30n) & 511n) * 8n);
      const level2 = entry((level3 & ~0xfffn) + ((address >> 21n) & 511n) * 8n);
      expect([level4 & 3n, level3 & 3n, level2 & 0x83n]).toEqual([3n, 3n, 0x83n]);
      expect((level2 & ~0x1fffffn) | (address & 0x1fffffn)).toBe(address);
    }
  });

  it('fills the boot parameters', () => {
    const parameters = memoryAt(bootPlan, Number(bootPlan.state.rsi), 4096);
    expect(parameters.getUint32(0x202, true)).toBe(0x53726448);
    expect(parameters.getUint8(0x210)).toBe(0xff);
    expect(parameters.getUint32(0x214, true)).toBe(0x1000000);
    expect(parameters.getBigUint64(0x70, true)).toBe(0xe0000n);
    expect(parameters.getBigUint64(0x250, true)).toBe(0n);
    expect(parameters.getUint8(0x1ef)).toBe(0);
    const text = memoryAt(bootPlan, parameters.getUint32(0x228, true), 41);
    expect(new TextDecoder().decode(text)).toBe('panic=-1 reboot=panic_warm console=ttyS0\0');
    expect(parameters.getUint8(0x1e8)).toBe(3);
    const entry = (index: number) => ({
      start: Number(parameters.getBigUint64(0x2d0 + index * 20, true)),
      length: Number(parameters.getBigUint64(0x2d8 + index * 20, true)),
      type: parameters.getUint32(0x2e0 + index * 20, true),
    });
    expect([entry(0), entry(1), entry(2)]).toEqual([
      { start: 0, length: 0xa0000, type: 1 },
      { start: 0xa0000, length: 0x60000, type: 2 },
      { start: 0x100000, length: 511 * mebibyte, type: 1 },
    ]);
  });
});

describe('the 32-bit boot protocol', () => {
  it('enters the kernel at its load address in flat protected mode with paging off', () => {
    const bootPlan = plan({ protocol: 32 });
    expect(bootPlan.state).toMatchObject({ mode: 'protected32', rip: 0x1000000n, cr3: 0n, cr4: 0n, efer: 0n });
    expect(bootPlan.state.cr0 & 0x80000001n).toBe(1n);
    expect(bootPlan.state.segments.cs).toMatchObject({ selector: 0x10, attributes: 0xc09b });
    expect(memoryAt(bootPlan, 0x1010, 8).getBigUint64(0, true)).toBe(0x00cf9b000000ffffn);
    expectSound(bootPlan, 512 * mebibyte);
  });

  it('takes a kernel without a 64-bit entry, and one of version 2.6', () => {
    expect(plan({ kernel: syntheticKernel({ xloadflags: 0 }) }).state).toMatchObject({
      mode: 'protected32',
      rip: 0x1000000n,
    });
    const old = plan({ kernel: syntheticKernel({ version: 0x0206 }) });
    // Before 2.10 there was no preferred address.
    expect(old.state.rip).toBe(0x100000n);
  });
});

describe('initrds', () => {
  it('stand one after the other at multiples of 4, as high as the kernel allows', () => {
    const first = new Uint8Array(5).fill(1);
    const second = new Uint8Array(4097).fill(2);
    const bootPlan = plan({ initrds: [first, second] });
    const start = 512 * mebibyte - 8192;
    expect(bootPlan.layout.initrd).toEqual({ start, end: start + 8 + 4097 });
    expect(bootPlan.writes.filter((write) => write.gpa >= start)).toEqual([
      { gpa: start, bytes: first },
      { gpa: start + 8, bytes: second },
    ]);
    const parameters = memoryAt(bootPlan, 0x8000, 4096);
    expect(parameters.getUint32(0x218, true)).toBe(start);
    expect(parameters.getUint32(0x21c, true)).toBe(8 + 4097);
    expectSound(bootPlan, 512 * mebibyte);
  });

  it('stay below the highest address that the kernel names, and out of reserved memory', () => {
    const memoryBytes = 3072 * mebibyte;
    expect(plan({ memoryBytes, initrds: [new Uint8Array(4096)] }).layout.initrd.end).toBe(0x80000000);
    const reserved = [{ start: 0x7ff00000, end: 0x80000000, type: 'acpi-reclaimable' }] as const;
    const bootPlan = plan({ memoryBytes, reserved, initrds: [new Uint8Array(4096)] });
    expect(bootPlan.layout.initrd.end).toBe(0x7ff00000);
    expectSound(bootPlan, memoryBytes);
  });

  it('are absent when there is none or all are empty', () => {
    for (const initrds of [[], [new Uint8Array(0)]]) {
      const bootPlan = plan({ initrds });
      expect(bootPlan.layout.initrd).toEqual({ start: 0, end: 0 });
      expect(memoryAt(bootPlan, 0x8218, 8).getBigUint64(0, true)).toBe(0n);
    }
  });
});

describe('a relocatable kernel whose preferred address is taken', () => {
  it('goes to the lowest aligned one above it, because it would move itself up there', () => {
    const reserved = [{ start: 0x2000000, end: 0x2001000, type: 'reserved' }] as const;
    const kernel = syntheticKernel({ initialSize: 0x1800000 });
    expect(plan({ kernel, reserved }).state.rip).toBe(0x2200200n);
    expect(refusal({ kernel, memoryBytes: 32 * mebibyte }).code).toBe('PL-2004');
    const fixed = syntheticKernel({ initialSize: 0x1800000, relocatable: 0 });
    expect(refusal({ kernel: fixed, reserved }).code).toBe('PL-2004');
  });
});

describe('refusals', () => {
  const good = syntheticKernel();
  const changed = (offset: number, byte: number): Uint8Array => {
    const copy = good.slice();
    copy[offset] = byte;
    return copy;
  };
  const cases: [string, Partial<LinuxBootOptions>, string, number][] = [
    ['an empty file', { kernel: new Uint8Array(0) }, 'PL-2001', 65],
    ['a short file', { kernel: good.subarray(0, 0x220) }, 'PL-2001', 65],
    ['no boot signature', { kernel: changed(0x1fe, 0) }, 'PL-2001', 65],
    ['no HdrS', { kernel: changed(0x202, 0) }, 'PL-2001', 65],
    ['an old protocol for 64 bits', { protocol: 64, kernel: syntheticKernel({ version: 0x020b }) }, 'PL-2002', 65],
    ['a very old protocol', { kernel: syntheticKernel({ version: 0x0205 }) }, 'PL-2002', 65],
    ['a truncated file', { kernel: good.subarray(0, good.length - 16) }, 'PL-2003', 65],
    [
      'a kernel that is too large',
      { memoryBytes: 64 * mebibyte, kernel: syntheticKernel({ initialSize: 0x4000000 }) },
      'PL-2004',
      65,
    ],
    [
      'an initrd that is too large',
      { memoryBytes: 128 * mebibyte, initrds: [new Uint8Array(100 * mebibyte)] },
      'PL-2005',
      65,
    ],
    ['a command line that is too long', { commandLine: 'x'.repeat(2048) }, 'PL-2006', 64],
    ['a 32-bit kernel for 64 bits', { protocol: 64, kernel: syntheticKernel({ xloadflags: 0x7e }) }, 'PL-2007', 65],
    ['too little memory', { memoryBytes: 8 * mebibyte }, 'PL-2008', 64],
    ['too much memory', { memoryBytes: 3073 * mebibyte }, 'PL-2008', 64],
    ['half a page of memory', { memoryBytes: 512 * mebibyte + 2048 }, 'PL-2008', 64],
    ['no number of memory', { memoryBytes: Number.NaN }, 'PL-2008', 64],
    ['an alignment that is no power of two', { kernel: syntheticKernel({ alignment: 0x300000 }) }, 'PL-2009', 65],
    ['a zImage', { kernel: syntheticKernel({ loadflags: 0 }) }, 'PL-2009', 65],
    ['a load address beyond 4 GiB', { kernel: syntheticKernel({ preferredAddress: 1n << 40n }) }, 'PL-2009', 65],
    ['a kernel without a body', { kernel: syntheticKernel({ kernelBytes: 0 }) }, 'PL-2009', 65],
    ['a zero in the command line', { commandLine: 'a\0b' }, 'PL-2010', 64],
  ];
  it.each(cases)('%s', (_, options, code, exitStatus) => {
    const error = refusal(options);
    expect([error.code, error.exitStatus]).toEqual([code, exitStatus]);
    expect(error.message).not.toMatch(/[{}]|undefined|NaN MiB/);
  });

  it('takes a command line of exactly the kernel’s limit, and then adds nothing to it', () => {
    const longest = 'x'.repeat(2047);
    expect(plan({ commandLine: longest })).toMatchObject({ layout: { commandLine: longest }, warmStartIsPanic: false });
  });

  it('says what a foreign file looks like', () => {
    const cpio = new Uint8Array(4096);
    cpio.set(new TextEncoder().encode('070701'));
    expect(refusal({ kernel: cpio }).message).toContain('cpio');
  });
});

describe('arbitrary headers', () => {
  it('end in a sound plan or a refusal of the catalogue', () => {
    let plans = 0;
    const mutation = fc.record({
      offset: fc.integer({ min: 0x1f1, max: 0x270 }),
      value: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 })),
    });
    fc.assert(
      fc.property(
        fc.array(mutation, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(64, 32),
        fc.integer({ min: 4, max: 900 }),
        fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 3 }),
        fc.integer({ min: 0, max: 6000 }),
        (mutations, protocol, megabytes, initrdSizes, cut) => {
          const kernel = syntheticKernel({ initialSize: 0x1000000 });
          for (const { offset, value } of mutations) kernel[offset] = value;
          const memoryBytes = megabytes * mebibyte;
          try {
            const bootPlan = planLinuxBoot({
              kernel: cut % 5 === 0 ? kernel.subarray(0, cut) : kernel,
              memoryBytes,
              protocol: protocol === 64 ? 64 : 32,
              initrds: initrdSizes.map((size) => new Uint8Array(size)),
              reserved: [{ start: 0x300000, end: 0x310000, type: 'acpi-nvs' }],
            });
            plans++;
            expectSound(bootPlan, memoryBytes);
          } catch (error) {
            if (!(error instanceof PlinthError)) throw error;
          }
        },
      ),
      { numRuns: 2000 },
    );
    expect(plans).toBeGreaterThan(100);
  });
});

describe('the memory map', () => {
  it('cuts reserved ranges out of RAM and joins neighbours', () => {
    const map = memoryMap(0x400000, [
      { start: 0x9fc00, end: 0xa0000, type: 'reserved' },
      { start: 0x3f0000, end: 0x400000, type: 'acpi-nvs' },
      { start: 0x3e0000, end: 0x3f8000, type: 'acpi-reclaimable' },
    ]);
    expect(map).toEqual([
      { start: 0, end: 0x9fc00, type: 'ram' },
      { start: 0x9fc00, end: 0x100000, type: 'reserved' },
      { start: 0x100000, end: 0x3e0000, type: 'ram' },
      { start: 0x3e0000, end: 0x3f0000, type: 'acpi-reclaimable' },
      { start: 0x3f0000, end: 0x400000, type: 'acpi-nvs' },
    ]);
  });

  it('finds the highest place in a window, or none', () => {
    const map = memoryMap(0x400000, [{ start: 0x300000, end: 0x301000, type: 'reserved' }]);
    expect(highestPlace(map, { start: 0x100000, end: 0x400000 }, 0x1001, 0x1000)).toBe(0x3fe000);
    expect(highestPlace(map, { start: 0x100000, end: 0x301800 }, 0x1000, 0x1000)).toBe(0x2ff000);
    expect(highestPlace(map, { start: 0x2ff000, end: 0x302000 }, 0x1001, 0x1000)).toBeUndefined();
  });

  it('leaves low memory that the loader uses to the loader', () => {
    expect(bootArea.end).toBeLessThan(0xa0000);
  });
});
