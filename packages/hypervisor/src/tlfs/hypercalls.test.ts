/**
 * Hypercalls: the forms that all of them have, and each one's statuses. TLFS, "Hypercall interface" and the reference of the calls.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { TestGuest } from '../testing/test-guest.ts';
import { HYPERCALLS } from './hypercalls.ts';
import { CHILD_PRIVILEGES, privilegeMask } from './privileges.ts';
import { HV_STATUS } from './status.ts';

let guest: TestGuest;
beforeEach(() => {
  guest = new TestGuest();
  guest.identify();
});

const INPUT = 0x20000;
const OUTPUT = 0x30000;
const FAST = 1n << 16n;
const SELF = (1n << 64n) - 1n;
const VP_SELF = 0xfffffffen;
const reps = (count: number, start = 0): bigint => (BigInt(count) << 32n) | (BigInt(start) << 48n);
const CODE = {
  space: 0x2n,
  list: 0x3n,
  spin: 0x8n,
  ipi: 0xbn,
  spaceEx: 0x13n,
  listEx: 0x14n,
  ipiEx: 0x15n,
  partitionId: 0x46n,
} as const;
const GET = 0x50n;
const SET = 0x51n;
const POST = 0x5cn;
const SIGNAL = 0x5dn;
const INDEX = 0x9an;
const CAPABILITIES = 0x8001n;
const slow = (control: bigint) => guest.call(control, BigInt(INPUT), BigInt(OUTPUT));

describe('every call', () => {
  it('is absent until the page is enabled', () => {
    expect(new TestGuest().call(CAPABILITIES).outcome).toBe('absent');
    expect(guest.call(CODE.spin | FAST)).toEqual({ outcome: 'completed', status: HV_STATUS.SUCCESS, reps: 0 });
  });

  it.each([0n, 0x1n, 0xffn, 0x4141n, 0x8002n, 0x8003n, 0xffffn])('0x%s is no call', (code) => {
    expect(guest.call(code)).toEqual({ outcome: 'completed', status: HV_STATUS.INVALID_HYPERCALL_CODE, reps: 0 });
  });

  it.each([27n, 28n, 29n, 30n, 31n, 44n, 45n, 46n, 47n, 60n, 61n, 62n, 63n])('refuses the reserved bit %s', (bit) => {
    expect(guest.call(CODE.spin | FAST | (1n << bit)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
  });

  it('refuses rep counts where there are none, and none where there are', () => {
    expect(guest.call(CODE.spin | FAST | reps(1)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
    expect(guest.call(CODE.spin | FAST | (1n << 48n)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
    expect(guest.call(CODE.list | FAST).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
    expect(guest.call(CODE.list | FAST | reps(2, 2)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
  });

  it('refuses a variable header that it does not have', () => {
    expect(guest.call(CODE.space | FAST | (1n << 17n)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
  });

  it.each([
    ['misaligned', BigInt(INPUT + 4)],
    ['over the end of a page', 0x20ff8n],
    ['in no memory', 0x8000_0000n],
    ['beyond every address', 1n << 52n],
    ['all ones', (1n << 64n) - 8n],
  ])('refuses input that is %s', (_, gpa) => {
    expect(guest.call(CODE.space, gpa).status).toBe(HV_STATUS.INVALID_ALIGNMENT);
  });

  it.each([
    ['misaligned', BigInt(OUTPUT + 1)],
    ['in no memory', 0x8000_0000n],
    ['read-only', 0x1f_f000n],
  ])('refuses output that is %s', (_, gpa) => {
    expect(guest.call(CAPABILITIES, 0n, gpa).status).toBe(HV_STATUS.INVALID_ALIGNMENT);
  });

  it('refuses more than 112 bytes in registers', () => {
    expect(guest.call(POST | FAST).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
    expect(guest.call(CODE.list | FAST | reps(12)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
    expect(guest.call(CODE.list | FAST | reps(11)).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.call(GET | FAST | reps(6)).status).toBe(HV_STATUS.INVALID_HYPERCALL_INPUT);
  });

  it.each(HYPERCALLS.filter(({ privilege }) => privilege !== undefined).map((row) => [row.name, row] as const))(
    '%s is denied without its privilege',
    (_, row) => {
      if (row.privilege === undefined) throw new Error('filtered above');
      const without = new TestGuest({ privileges: CHILD_PRIVILEGES & ~privilegeMask([row.privilege]) });
      without.identify();
      const count = 'call' in row ? 0n : reps(1);
      expect(without.call(BigInt(row.code) | count, BigInt(INPUT), BigInt(OUTPUT)).status).toBe(
        HV_STATUS.ACCESS_DENIED,
      );
    },
  );

  it('of the root does nothing for a child that was given the privilege', () => {
    const bold = new TestGuest({
      privileges: CHILD_PRIVILEGES | privilegeMask(['CreatePartitions', 'AccessPartitionId']),
    });
    bold.identify();
    expect(bold.call(0x40n).status).toBe(HV_STATUS.OPERATION_DENIED);
    expect(bold.call(CODE.partitionId, 0n, BigInt(OUTPUT)).status).toBe(HV_STATUS.SUCCESS);
    expect(bold.at(OUTPUT)).toBe(2n);
  });

  it('counts in what inspect tells', () => {
    guest.call(CODE.spin | FAST);
    guest.call(CODE.spin | FAST);
    expect(guest.guest.inspect()).toMatchObject({ hypercalls: { HvCallNotifyLongSpinWait: 2 } });
  });
});

describe('a rep call', () => {
  it('that takes too long is executed again from where it was', () => {
    guest.put(INPUT, SELF, VP_SELF);
    const names = [0x20000n, 0x20001n, 0x20002n, 0x20003n];
    guest.put(INPUT + 16, ((names[1] ?? 0n) << 32n) | (names[0] ?? 0n), ((names[3] ?? 0n) << 32n) | (names[2] ?? 0n));
    // The clock jumps over a time slice with every look at it.
    const clock = guest.partition.clock as { now(): number };
    let time = 0;
    clock.now = () => (time += 60_000);
    const first = slow(GET | reps(4));
    expect(first.outcome).toBe('again');
    expect(guest.processor.readRegister('Rcx')).toBe(GET | reps(4, 1));
    const seen = [first.outcome];
    while (seen.at(-1) === 'again' && seen.length < 10) {
      seen.push(guest.call(guest.processor.readRegister('Rcx') as bigint, BigInt(INPUT), BigInt(OUTPUT)).outcome);
    }
    expect(seen).toEqual(['again', 'again', 'again', 'completed']);
    expect(guest.processor.readRegister('Rax')).toBe(4n << 32n);
    // RBX was the fourth.
    expect(guest.at(OUTPUT + 48)).toBe(guest.processor.readRegister('Rbx'));
  });

  it('tells how many were done before the one that failed', () => {
    guest.put(INPUT, SELF, VP_SELF, 0x2_0003_0002_0003n, 0x2_0003_1234_5678n);
    guest.processor.writeRegister('Rbx', 9n);
    expect(slow(GET | reps(4))).toEqual({ outcome: 'completed', status: HV_STATUS.INVALID_PARAMETER, reps: 2 });
    expect([guest.at(OUTPUT), guest.at(OUTPUT + 16)]).toEqual([9n, 9n]);
  });
});

describe('32-bit callers', () => {
  it('pass everything in pairs of registers', () => {
    guest.enterLegacyMode();
    const { processor } = guest;
    for (const [name, value] of [
      ['Rdx', 0n],
      ['Rax', 0xffff_ffff_0000_8001n],
      ['Rdi', 0n],
      ['Rsi', BigInt(OUTPUT)],
    ] as const) {
      processor.writeRegister(name, value);
    }
    guest.put(OUTPUT, 5n);
    expect(guest.partition.hypercall()).toBe('completed');
    expect([processor.readRegister('Rdx'), processor.readRegister('Rax'), guest.at(OUTPUT)]).toEqual([0n, 0n, 0n]);
  });

  it('get fast output in the registers behind their input', () => {
    guest.enterLegacyMode();
    const { processor } = guest;
    processor.writeRegister('Rdx', 0n);
    processor.writeRegister('Rax', CAPABILITIES | FAST);
    processor.writeRegister('Rbx', 7n);
    processor.writeRegister('Rcx', 7n);
    expect(guest.partition.hypercall()).toBe('completed');
    expect([processor.readRegister('Rbx'), processor.readRegister('Rcx')]).toEqual([0n, 0n]);
  });
});

describe('flushes', () => {
  it.each([
    ['its own processor', 0n, 1n, 1],
    ['no processor', 0n, 0n, 0],
    ['processors that do not exist', 0n, 0xf0n, 0],
    ['all, whatever the mask', 1n, 0n, 1],
    ['all address spaces', 2n, 1n, 1],
    ['all but global ones', 4n, 1n, 1],
  ])('reach %s', (_, flags, mask, flushes) => {
    guest.put(INPUT, 0x1000n, flags, mask);
    expect(slow(CODE.space).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.processor.flushes).toBe(flushes);
  });

  it('refuse flags that are none, and for lists those that make no sense', () => {
    guest.put(INPUT, 0n, 0x10n, 1n);
    expect(slow(CODE.space).status).toBe(HV_STATUS.INVALID_PARAMETER);
    guest.put(INPUT, 0n, 4n, 1n, 0x5000n);
    expect(slow(CODE.list | reps(1)).status).toBe(HV_STATUS.INVALID_PARAMETER);
    expect(guest.processor.flushes).toBe(0);
  });

  it('of lists are done for all elements', () => {
    guest.put(INPUT, 0n, 0n, 1n, 0x5000n, 0x6003n);
    expect(slow(CODE.list | reps(2))).toEqual({ outcome: 'completed', status: HV_STATUS.SUCCESS, reps: 2 });
    expect(guest.processor.flushes).toBe(1);
  });

  it('by sparse sets need the banks that the mask tells of', () => {
    guest.put(INPUT, 0n, 0n, 0n, 1n, 1n);
    expect(slow(CODE.spaceEx | (1n << 17n)).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.processor.flushes).toBe(1);
    expect(slow(CODE.spaceEx).status).toBe(HV_STATUS.INVALID_PARAMETER);
    expect(slow(CODE.spaceEx | (2n << 17n)).status).toBe(HV_STATUS.INVALID_PARAMETER);
    guest.put(INPUT, 0n, 0n, 1n, 0n);
    expect(slow(CODE.spaceEx).status).toBe(HV_STATUS.SUCCESS);
    guest.put(INPUT, 0n, 0n, 2n, 0n);
    expect(slow(CODE.spaceEx).status).toBe(HV_STATUS.INVALID_PARAMETER);
    guest.put(INPUT, 0n, 0n, 0n, 2n, ~0n, 0x5000n);
    expect(slow(CODE.listEx | (1n << 17n) | reps(1))).toMatchObject({ status: HV_STATUS.SUCCESS, reps: 1 });
    expect(guest.processor.flushes).toBe(2);
  });

  it('reach a processor on another thread by way of the slot table', () => {
    const pair = new TestGuest({ processors: 2 });
    pair.identify();
    pair.put(INPUT, 0n, 0n, 2n);
    const header = new Uint32Array(pair.partition.memory.buffer, 2 ** 20, 4);
    const before = header[1] ?? 0;
    pair.call(CODE.space, BigInt(INPUT));
    expect([pair.processor.flushes, header[1]]).toEqual([0, before + 2]);
  });
});

describe('interprocessor interrupts', () => {
  it('go to each processor of the mask', () => {
    const pair = new TestGuest({ processors: 3 });
    pair.identify();
    expect(pair.call(CODE.ipi | FAST, 0xfdn, 0b101n).status).toBe(HV_STATUS.SUCCESS);
    expect(pair.interrupts.map(({ vector, destination }) => [vector, destination])).toEqual([
      [0xfd, 0],
      [0xfd, 2],
    ]);
  });

  it.each([
    ['vector 15', 15n],
    ['vector 256', 256n],
    ['another trust level', 0x1_0000_0040n],
  ])('refuse %s', (_, word) => {
    expect(guest.call(CODE.ipi | FAST, word, 1n).status).toBe(HV_STATUS.INVALID_PARAMETER);
    expect(guest.interrupts).toEqual([]);
  });

  it('by sparse sets, the banks in XMM registers', () => {
    guest.processor.writeRegister('Xmm0', 1n | (1n << 64n));
    expect(guest.call(CODE.ipiEx | FAST | (1n << 17n), 0x40n, 0n).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.vectors()).toEqual([0x40]);
  });
});

describe('registers of its own processor', () => {
  const target = (index = VP_SELF, partition = SELF, vtl = 0n): [bigint, bigint] => [partition, index | (vtl << 32n)];

  it.each([
    ['another partition', target(VP_SELF, 5n), HV_STATUS.ACCESS_DENIED],
    ['a processor that is none', target(7n), HV_STATUS.INVALID_VP_INDEX],
    ['another trust level', target(VP_SELF, SELF, 1n), HV_STATUS.INVALID_PARAMETER],
  ])('and no others: %s', (_, words, status) => {
    guest.put(INPUT, ...words, 0x20000n);
    expect(slow(GET | reps(1))).toEqual({ outcome: 'completed', status, reps: 0 });
    expect(slow(SET | reps(1))).toEqual({ outcome: 'completed', status, reps: 0 });
  });

  it('are read by their numbers', () => {
    guest.processor.writeRegister('Cr3', 0x1234000n);
    guest.processor.writeRegister('Gdtr', { base: 0xffff_8000_0000_1000n, limit: 0x7f });
    guest.processor.writeRegister('Xmm1', (5n << 64n) | 6n);
    guest.put(INPUT, ...target(0n, 2n), 0x60001_00040002n, 0x30001_00070001n, 0x90003_000a0002n);
    expect(slow(GET | reps(6))).toMatchObject({ status: HV_STATUS.SUCCESS, reps: 6 });
    expect(guest.at(OUTPUT)).toBe(0x1234000n);
    expect([guest.at(OUTPUT + 16), guest.at(OUTPUT + 24)]).toEqual([0n, 0xa09b_0008_ffff_ffffn]);
    expect([guest.at(OUTPUT + 32), guest.at(OUTPUT + 40)]).toEqual([0x7fn << 48n, 0xffff_8000_0000_1000n]);
    expect([guest.at(OUTPUT + 48), guest.at(OUTPUT + 56)]).toEqual([6n, 5n]);
    expect([guest.at(OUTPUT + 64), guest.at(OUTPUT + 80)]).toEqual([0x10000n, 0n]);
  });

  it('repeat the CPUID leaves that are told of, and no others', () => {
    guest.put(INPUT, ...target(), 0x200n);
    expect(slow(GET | reps(1)).status).toBe(HV_STATUS.INVALID_PARAMETER);
    guest.partition.writeCpuid([{ leaf: 0x40000003, eax: 1, ebx: 2, ecx: 3, edx: 4 }]);
    expect(slow(GET | reps(1)).status).toBe(HV_STATUS.SUCCESS);
    expect([guest.at(OUTPUT), guest.at(OUTPUT + 8)]).toEqual([0x2_0000_0001n, 0x4_0000_0003n]);
  });

  it('are written, whatever their shape', () => {
    const set = (name: bigint, low: bigint, high = 0n): number => {
      guest.put(INPUT, ...target(), name, 0n, low, high);
      return slow(SET | reps(1)).status;
    };
    expect([set(0x00070001n, 0x7fn << 48n, 0x5000n), set(0x0003_0002n, 6n, 7n)]).toEqual([0, 0]);
    expect(guest.processor.readRegister('Gdtr')).toEqual({ base: 0x5000n, limit: 0x7f });
    expect(guest.processor.readRegister('Xmm2')).toBe((7n << 64n) | 6n);
  });

  it('are written, and reserved words refused', () => {
    const element = [0x0002_0003n, 0n, 77n, 0n] as const;
    guest.put(INPUT, ...target(), ...element);
    expect(slow(SET | reps(1))).toMatchObject({ status: HV_STATUS.SUCCESS, reps: 1 });
    expect(guest.processor.readRegister('Rbx')).toBe(77n);
    guest.put(INPUT, ...target(), 0x0006_0000n, 0n, 0x1000n, 0xc093_0010_0000_ffffn);
    slow(SET | reps(1));
    expect(guest.processor.readRegister('Es')).toEqual({
      base: 0x1000n,
      limit: 0xffff,
      selector: 0x10,
      attributes: 0xc093,
    });
    guest.put(INPUT, ...target(), 0x000a_0002n, 0n, 0x55n, 0n);
    expect(slow(SET | reps(1)).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.read(0x40000092)).toBe(0x55n);
    guest.put(INPUT, ...target(), 0x0002_0003n, 1n, 77n, 0n);
    expect(slow(SET | reps(1)).status).toBe(HV_STATUS.INVALID_PARAMETER);
  });

  it.each([
    ['CR0 with upper bits', 0x0004_0000n, 1n << 40n, HV_STATUS.INVALID_REGISTER_VALUE],
    ['the reference counter', 0x0009_0004n, 5n, HV_STATUS.INVALID_PARAMETER],
    ['the APIC base', 0x0008_0003n, 0n, HV_STATUS.INVALID_PARAMETER],
    ['a source with vector 3', 0x000a_0001n, 3n, HV_STATUS.INVALID_PARAMETER],
    ['a name that is none', 0x7777_7777n, 0n, HV_STATUS.INVALID_PARAMETER],
  ])('refuse %s', (_, name, value, status) => {
    guest.put(INPUT, ...target(), name, 0n, value, 0n);
    expect(slow(SET | reps(1)).status).toBe(status);
  });

  it('come in registers when the call is fast', () => {
    guest.processor.writeRegister('Rbx', 0x42n);
    guest.processor.writeRegister('Xmm0', 0x0002_0003n);
    // Header 16 bytes, one name in XMM0, the value in XMM1.
    expect(guest.call(GET | FAST | reps(1), SELF, VP_SELF)).toMatchObject({ status: HV_STATUS.SUCCESS, reps: 1 });
    expect(guest.processor.readRegister('Xmm1')).toBe(0x42n);
  });
});

describe('messages and events to the root', () => {
  const message = (connection: bigint, type: bigint, size: bigint): void => {
    guest.put(INPUT, connection, type | (size << 32n), 0x1122n, 0x3344n);
  };
  const ports = () => guest.guest.connections;

  it.each([
    ['without such a connection', 9n, 1n, 8n, HV_STATUS.INVALID_CONNECTION_ID],
    ['to an event port', 5n, 1n, 8n, HV_STATUS.INVALID_PORT_ID],
    ['to a port that was deleted', 6n, 1n, 8n, HV_STATUS.INVALID_PORT_ID],
    ['of type 0', 4n, 0n, 8n, HV_STATUS.INVALID_PARAMETER],
    ["of the hypervisor's own type", 4n, 0x80000010n, 8n, HV_STATUS.INVALID_PARAMETER],
    ['of 241 bytes', 4n, 1n, 241n, HV_STATUS.INVALID_PARAMETER],
    ['as it should be', 4n, 1n, 9n, HV_STATUS.SUCCESS],
  ])('a message %s', (_, connection, type, size, status) => {
    ports().createPort(1, { type: 'message', sint: 2 });
    ports().createPort(2, { type: 'event', sint: 2, baseFlagNumber: 7, flagCount: 2 });
    ports().createPort(3, { type: 'message', sint: 2 });
    ports().connectPort(4, 1);
    ports().connectPort(5, 2);
    ports().connectPort(6, 3);
    ports().deletePort(3);
    message(connection, type, size);
    expect(slow(POST).status).toBe(status);
    const received = ports().takeMessage();
    if (status !== HV_STATUS.SUCCESS) expect(received).toBeUndefined();
    else {
      expect(received).toEqual({
        connectionId: 4,
        portId: 1,
        messageType: 1,
        payload: Uint8Array.of(0x22, 0x11, 0, 0, 0, 0, 0, 0, 0x44),
      });
    }
  });

  it('wake the root once until it acknowledges, and a full ring refuses', () => {
    ports().createPort(1, { type: 'message', sint: 2 });
    ports().connectPort(4, 1);
    message(4n, 1n, 1n);
    const statuses = Array.from({ length: 257 }, () => slow(POST).status);
    expect(statuses.slice(0, 256).every((status) => status === HV_STATUS.SUCCESS)).toBe(true);
    expect(statuses[256]).toBe(HV_STATUS.INSUFFICIENT_BUFFERS);
    expect(guest.wakes).toBe(1);
    ports().acknowledgeWake();
    expect(ports().takeMessage()).toBeDefined();
    expect(slow(POST).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.wakes).toBe(2);
  });

  it.each([
    ['flag 0', 0n, HV_STATUS.SUCCESS, [7]],
    ['flag 1', 1n, HV_STATUS.SUCCESS, [8]],
    ['a flag beyond the port', 2n, HV_STATUS.INVALID_PARAMETER, []],
  ])('an event: %s', (_, flag, status, flags) => {
    ports().createPort(2, { type: 'event', sint: 3, baseFlagNumber: 7, flagCount: 2 });
    ports().connectPort(0x2005, 2);
    expect(guest.call(SIGNAL | FAST, 0x2005n | (flag << 32n)).status).toBe(status);
    expect(ports().takeEvents(3)).toEqual(flags);
    expect(ports().takeEvents(3)).toEqual([]);
    expect(guest.wakes).toBe(flags.length);
  });

  it('an event without such a connection, and to a message port', () => {
    ports().createPort(1, { type: 'message', sint: 2 });
    ports().connectPort(4, 1);
    expect(guest.call(SIGNAL | FAST, 0x2006n).status).toBe(HV_STATUS.INVALID_CONNECTION_ID);
    expect(guest.call(SIGNAL | FAST, 4n).status).toBe(HV_STATUS.INVALID_PORT_ID);
    guest.put(INPUT, 4n);
    expect(guest.call(SIGNAL, BigInt(INPUT)).status).toBe(HV_STATUS.INVALID_PORT_ID);
  });
});

describe('the other calls', () => {
  it('give the index of a processor by its APIC id', () => {
    const four = new TestGuest({ processors: 4 });
    four.identify();
    four.put(INPUT, SELF, 0n, 3n, 1n, 9n);
    expect(four.call(INDEX | reps(3), BigInt(INPUT), BigInt(OUTPUT))).toMatchObject({
      status: HV_STATUS.INVALID_PARAMETER,
      reps: 2,
    });
    expect([four.at(OUTPUT), four.at(OUTPUT + 8)]).toEqual([3n, 1n]);
    four.put(INPUT, 77n, 0n);
    expect(four.call(INDEX | reps(1), BigInt(INPUT), BigInt(OUTPUT)).status).toBe(HV_STATUS.ACCESS_DENIED);
  });

  it('have no extended capabilities', () => {
    guest.put(OUTPUT, 0xffn);
    expect(slow(CAPABILITIES).status).toBe(HV_STATUS.SUCCESS);
    expect(guest.at(OUTPUT)).toBe(0n);
  });
});
