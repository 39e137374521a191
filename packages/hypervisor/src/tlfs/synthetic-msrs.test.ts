/** Each synthetic register: what it reads, what it takes, what it does, and that it needs its privilege. TLFS, by the names of the rows. */
import { beforeEach, describe, expect, it } from 'vitest';
import { TestGuest } from '../testing/test-guest.ts';
import { CHILD_PRIVILEGES, privilegeMask } from './privileges.ts';
import { SYNTHETIC_MSRS } from './synthetic-msrs.ts';

let guest: TestGuest;
beforeEach(() => {
  guest = new TestGuest();
});

const readable = SYNTHETIC_MSRS.flatMap(({ first, count, name }) =>
  name === 'EOI' ? [] : Array.from({ length: count }, (_, index) => [first + index, `${name} ${index}`] as const),
);

describe('every register', () => {
  it.each(readable)('0x%s (%s) can be read', (msr) => {
    expect(guest.read(msr)).toBeTypeOf('bigint');
  });

  it.each(SYNTHETIC_MSRS.filter(({ privilege }) => privilege !== undefined).map((row) => [row.name, row] as const))(
    '%s is #GP without its privilege, and works with it alone',
    (_, { first, privilege, write, name }) => {
      if (privilege === undefined) throw new Error('filtered above');
      const without = new TestGuest({ privileges: CHILD_PRIVILEGES & ~privilegeMask([privilege]) });
      expect(without.read(first)).toBeUndefined();
      expect(without.write(first, 0n)).toBe(false);
      const only = new TestGuest({ privileges: privilegeMask([privilege]) });
      if (name !== 'EOI') expect(only.read(first)).toBeDefined();
      // Source 0, masked: a value that every register takes.
      expect(only.write(first, name === 'SINT' ? 0x10000n : 0n)).toBe(write !== undefined);
    },
  );

  it.each([0x40000002, 0x40000010, 0x40000020, 0x40000022, 0x40000023, 0x40000081])('0x%s is read-only', (msr) => {
    expect(guest.write(msr, 0n)).toBe(false);
  });

  it.each([0x40000004, 0x40000011, 0x40000024, 0x40000074, 0x40000085, 0x400000a0, 0x400000b8, 0x40000118, 0x40000106])(
    '0x%s does not exist',
    (msr) => {
      expect(guest.read(msr)).toBeUndefined();
      expect(guest.write(msr, 0n)).toBe(false);
    },
  );
});

describe('the hypercall page', () => {
  const slotAt = (gpa: number) => guest.partition.space.find(gpa);
  const ID = 0x8100_0000_0000_0000n;

  it('is not enabled before the guest has said who it is', () => {
    expect(guest.write(0x40000001, 0x5001n)).toBe(true);
    expect(guest.read(0x40000001)).toBe(0x5000n);
    guest.write(0x40000000, ID);
    guest.write(0x40000001, 0x5001n);
    expect(guest.read(0x40000001)).toBe(0x5001n);
    expect(slotAt(0x5000)).toMatchObject({ kind: 'rom', start: 0x5000, end: 0x6000 });
  });

  it('holds the call and the return, over RAM that reappears', () => {
    guest.put(0x5000, 0x1122n);
    guest.write(0x40000000, ID);
    guest.write(0x40000001, 0x5001n);
    expect(guest.at(0x5000)).toBe(0xcccc_cccc_c3d9_010fn);
    expect(guest.partition.guestMemory.writeU8(0x5000, 1)).toBe(false);
    guest.write(0x40000001, 0x7001n);
    expect(guest.at(0x5000)).toBe(0x1122n);
    expect(guest.at(0x7000)).toBe(0xcccc_cccc_c3d9_010fn);
    guest.write(0x40000000, 0n);
    expect(guest.read(0x40000001)).toBe(0x7000n);
    expect(guest.at(0x7000)).toBe(0n);
  });

  it('stays where it is once it is locked, until a reset', () => {
    guest.write(0x40000000, ID);
    guest.write(0x40000001, 0x5003n);
    guest.write(0x40000001, 0x7001n);
    expect(guest.read(0x40000001)).toBe(0x5003n);
    guest.partition.resetDevices();
    expect(guest.read(0x40000001)).toBe(0n);
    guest.write(0x40000000, ID);
    guest.write(0x40000001, 0x7001n);
    expect(guest.read(0x40000001)).toBe(0x7001n);
  });

  it('beyond the address space shows nothing', () => {
    guest.write(0x40000000, ID);
    const far = (1n << 40n) | 1n;
    guest.write(0x40000001, far);
    expect(guest.read(0x40000001)).toBe(far);
    expect(guest.partition.space.slots.some(({ priority }) => priority === 100)).toBe(false);
  });
});

describe('time', () => {
  it('counts units of 100 ns, from one clock', () => {
    guest.now = 1_234_567_890;
    expect(guest.read(0x40000020)).toBe(12_345_678n);
    expect(guest.read(0x40000010)).toBe(12_345_678n);
    expect(guest.read(0x40000022)).toBe(2_000_000_000n);
    expect(guest.read(0x40000023)).toBe(1_000_000_000n);
  });

  it('stands in the reference TSC page, whose sequence changes with it and is never 0', () => {
    guest.now = 5e9;
    guest.write(0x40000021, 0x9001n);
    expect(guest.at(0x9000)).toBe(1n);
    const scale = guest.at(0x9008);
    const offset = BigInt.asIntN(64, guest.at(0x9010));
    // At 2 GHz the TSC stands at 10^10.
    expect(((10_000_000_000n * scale) >> 64n) + offset).toBe(50_000_000n);
    guest.write(0x3b, 0xffff_ffff_ffff_fff0n);
    expect(guest.at(0x9000)).toBe(2n);
    guest.write(0x40000021, 0n);
    expect(guest.at(0x9000)).toBe(0n);
    expect(guest.read(0x40000021)).toBe(0n);
  });
});

describe('the local APIC', () => {
  it('is reached by its synthetic registers', () => {
    expect(guest.read(0x40000070)).toBeUndefined();
    expect(guest.write(0x40000070, 0n)).toBe(true);
    expect(guest.processor.apic.get(0xb0)).toBe(0);
    guest.write(0x40000071, 0x0300_0000_0000_40fdn);
    expect([guest.processor.apic.get(0x310), guest.processor.apic.get(0x300)]).toEqual([0x0300_0000, 0x40fd]);
    expect(guest.read(0x40000071)).toBe(0x0300_0000_0000_40fdn);
    expect(guest.write(0x40000072, 0x20n)).toBe(true);
    expect(guest.read(0x40000072)).toBe(0x20n);
    expect(guest.write(0x40000072, 0x100n)).toBe(false);
  });
});

describe('the others', () => {
  it('tell the index, reset the machine, and idle', () => {
    expect(guest.read(0x40000002)).toBe(0n);
    expect(guest.read(0x40000003)).toBe(0n);
    guest.write(0x40000003, 0n);
    expect(guest.resets).toBe(0);
    guest.write(0x40000003, 1n);
    expect(guest.resets).toBe(1);
    expect(guest.read(0x400000f0)).toBe(0n);
    expect(guest.idles).toBe(1);
  });

  it('place the assist page, empty each time it is enabled', () => {
    guest.write(0x40000073, 0xa001n);
    expect(guest.read(0x40000073)).toBe(0xa001n);
    guest.put(0xa000, 7n);
    guest.write(0x40000073, 0xb001n);
    expect([guest.at(0xa000), guest.at(0xb000)]).toEqual([0n, 7n]);
    guest.write(0x40000073, 0n);
    guest.write(0x40000073, 0xb001n);
    expect(guest.at(0xb000)).toBe(0n);
  });
});

describe('a crash', () => {
  const MESSAGE = 1n << 62n;
  const NOTIFY = 1n << 63n;

  beforeEach(() => {
    guest.identify();
    for (let number = 0; number < 5; number++) guest.write(0x40000100 + number, BigInt(number + 1));
  });

  it('is told with its parameters, and with a message where there is one', () => {
    expect(guest.read(0x40000105)).toBe(NOTIFY | MESSAGE);
    expect(guest.read(0x40000104)).toBe(5n);
    guest.write(0x40000105, NOTIFY);
    expect(guest.crashes).toEqual([{ parameters: [1n, 2n, 3n, 4n, 5n], system: 'Linux 6.1.192', message: undefined }]);
    const text = 'Kernel panic - not syncing: x\u0007y\n';
    guest.partition.guestMemory.write(0x40000, new TextEncoder().encode(`${text}\0behind`));
    guest.write(0x40000103, 0x40000n);
    guest.write(0x40000104, 4096n);
    guest.write(0x40000105, NOTIFY | MESSAGE);
    expect(guest.crashes[1]?.message).toBe('Kernel panic - not syncing: x?y\n');
  });

  it.each([
    ['no message bit', NOTIFY, 0x40000n, 16n],
    ['an address without memory', NOTIFY | MESSAGE, 1n << 45n, 16n],
    ['an address that is none', NOTIFY | MESSAGE, (1n << 64n) - 1n, 16n],
    ['a message over the end of memory', NOTIFY | MESSAGE, 0x1f_ff00n, (1n << 63n) + 5n],
    ['no length', NOTIFY | MESSAGE, 0x40000n, 0n],
  ])('without a message that can be read: %s', (_, control, address, length) => {
    guest.write(0x40000103, address);
    guest.write(0x40000104, length);
    guest.write(0x40000105, control);
    expect(guest.crashes).toMatchObject([{ message: undefined }]);
  });

  it.each([
    ['Microsoft', 0x0001_0400_2000_0000n],
    ['vendor 0x5', 0x0005_0000_0000_0000n],
    ['FreeBSD', 0x8200_0000_0000_0000n],
    ['open source type 9', 0x8900_0000_0000_0000n],
    ['none', 0n],
  ])('names the system by its id: %s', (system, id) => {
    guest.write(0x40000000, id);
    guest.write(0x40000105, NOTIFY);
    expect(guest.crashes).toMatchObject([{ system }]);
  });

  it('is not told without the notify bit', () => {
    guest.write(0x40000105, MESSAGE);
    expect(guest.crashes).toEqual([]);
  });
});
