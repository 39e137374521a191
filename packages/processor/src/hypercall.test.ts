/**
 * The processor under the hypervisor's interface to guests: VMMCALL through the hypercall page, overlays over code, automatic EOI, the
 * synthetic APIC registers and the TSC's offset. TLFS, "Hypercall interface", "GPA overlay pages", "Local APIC MSR accesses".
 */
import { CHILD_PRIVILEGES, GuestInterface, type GuestInterfaceHost, type InterruptMessage } from '@plinth/hypervisor';
import { beforeEach, describe, expect, it } from 'vitest';
import { kickWord, requestInterrupt } from './interrupt-request.ts';
import { TinyMachine, type TinyMode } from './testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from './translate-after.ts';

const MSR = {
  guestOsId: 0x40000000,
  hypercall: 0x40000001,
  referenceTsc: 0x40000021,
  eoi: 0x40000070,
  icr: 0x40000071,
  tpr: 0x40000072,
};
const PAGE = 0x30000;
/** VMMCALL */
const CALL = [0x0f, 0x01, 0xd9];
const VECTOR = 0x55;
const ISR = 0x100;

let machine: TinyMachine;
let sent: InterruptMessage[];
let guest: GuestInterface;

function build(mode: TinyMode = 'long', translateAfter = 0): void {
  machine = new TinyMachine(mode, { translateAfter });
  machine.partition.privileges = CHILD_PRIVILEGES;
  sent = [];
  const nothing = (): void => {};
  const host: GuestInterfaceHost = {
    deliver(message) {
      sent.push(message);
      const { memory, layout } = machine.partition;
      requestInterrupt(memory, layout, message);
      Atomics.store(kickWord(memory, layout, 0), 0, 0);
    },
    reset: nothing,
    guestCrashed: nothing,
    wakeRoot: nothing,
    idle: nothing,
    runTime: () => 0,
  };
  guest = new GuestInterface(machine.partition, host);
  guest.attach(machine.partition, machine.processor);
}

const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const writeMsr = (index: number, low: number, high = 0): number[] => [
  ...[0xb9, ...little(index), 0xb8, ...little(low), 0xba, ...little(high), 0x0f, 0x30],
];
const enable = [...writeMsr(MSR.guestOsId, 1, 0x81000000), ...writeMsr(MSR.hypercall, PAGE | 1)];
/** mov rax, PAGE; call rax */
const callPage = [0x48, 0xc7, 0xc0, ...little(PAGE), 0xff, 0xd0];

beforeEach(() => build());

describe('a hypercall', () => {
  it('does not exist before the page is enabled, nor for user mode', () => {
    expect(machine.run(CALL)).toMatchObject({ what: '#UD' });
    expect(machine.run(enable).what).toBe('done');
    expect(machine.run(CALL).what).toBe('done');
    expect(machine.run(CALL, { user: true }).what).toBe('#UD');
  });

  it('goes through the page that the register places, and back', () => {
    machine.run(enable);
    const ended = machine.run(callPage, { registers: { Rcx: 0x8001n, Rdx: 0n, R8: 0x40000n } });
    expect(ended.what).toBe('done');
    expect(machine.register('Rax')).toBe(0n);
    expect(machine.run(callPage, { registers: { Rcx: 0x7777n } }).what).toBe('done');
    expect(machine.register('Rax')).toBe(2n);
  });

  it('takes its parameters from the registers of a 32-bit caller', () => {
    build('flat');
    machine.run(enable);
    const ended = machine.run(CALL, { registers: { Rax: 0x8001n, Rdx: 0n, Rbx: 0n, Rcx: 0n, Rdi: 0n, Rsi: 0x40000n } });
    expect(ended.what).toBe('done');
    expect([machine.register('Rdx'), machine.register('Rax')]).toEqual([0n, 0n]);
    machine.ram.setBigUint64(0x40000, 5n, true);
    machine.run(CALL, { registers: { Rax: 0x8001n, Rdx: 0n, Rdi: 0n, Rsi: 0x40000n } });
    expect(machine.ram.getBigUint64(0x40000, true)).toBe(0n);
  });

  it('that sets registers of its own processor goes on with them', () => {
    machine.run(enable);
    // HvCallSetVpRegisters of one element: RBX.
    const input = 0x40000;
    machine.ram.setBigUint64(input, 0xffff_ffff_ffff_ffffn, true);
    machine.ram.setUint32(input + 8, 0xfffffffe, true);
    machine.ram.setUint32(input + 16, 0x00020003, true);
    machine.ram.setBigUint64(input + 32, 0x1234_5678_9abcn, true);
    const call = machine.run(CALL, { registers: { Rcx: 0x51n | (1n << 32n), Rdx: BigInt(input) } });
    expect(call.what).toBe('done');
    expect(machine.register('Rax')).toBe(1n << 32n);
    expect(machine.register('Rbx')).toBe(0x1234_5678_9abcn);
  });
});

describe('an overlay page', () => {
  it.each([
    ['interpreted', 0],
    ['translated', TRANSLATE_AT_ONCE],
  ])('covers code, and gives it back: %s', (_, translateAfter) => {
    build('long', translateAfter);
    // mov ebx, 7; ret
    machine.put(PAGE, [0xbb, 7, 0, 0, 0, 0xc3]);
    machine.run(writeMsr(MSR.guestOsId, 1, 0x81000000));
    const visit = (): bigint => {
      expect(machine.run(callPage, { registers: { Rbx: 0n, Rcx: 0x8n } }).what).toBe('done');
      return machine.register('Rbx');
    };
    expect(visit()).toBe(7n);
    machine.run(writeMsr(MSR.hypercall, PAGE | 1));
    expect(visit()).toBe(0n);
    machine.run(writeMsr(MSR.hypercall, PAGE));
    expect(visit()).toBe(7n);
    machine.run(writeMsr(MSR.hypercall, PAGE | 1));
    expect(visit()).toBe(0n);
    expect(machine.ram.getUint8(PAGE)).toBe(0xbb);
  });

  it('of the hypercall page drops what the guest writes to it', () => {
    machine.run(enable);
    // mov byte [PAGE], 0x90
    expect(machine.run([0xc6, 0x04, 0x25, ...little(PAGE), 0x90]).what).toBe('done');
    expect(machine.run(callPage, { registers: { Rcx: 8n } }).what).toBe('done');
    expect(machine.ram.getUint8(PAGE)).toBe(0);
  });
});

describe('data execution prevention', () => {
  const SCONTROL = 0x40000080;
  const [EXECUTABLE, DATA] = [0x8000_0000n, 0x9000_0000n];
  const [PRESENT_WRITABLE, NX] = [3n, 1n << 63n];
  /** What a page begins with: the hypercall page has its own code, in the others the guest writes RET. */
  const pages: readonly (readonly [string, number | undefined])[] = [
    ['the hypercall page', MSR.hypercall],
    ['the message page', 0x40000083],
    ['the event flags page', 0x40000082],
    ['the assist page', 0x40000073],
    // What it lends to a channel is RAM like any other.
    ['a page of a ring', undefined],
  ];
  it.each(pages.flatMap(([name, msr]) => [0, TRANSLATE_AT_ONCE].map((after) => [name, msr, after] as const)))(
    "holds for %s as the guest's own tables say, to the byte (register %s, translated after %i)",
    (_, msr, translateAfter) => {
      build('long', translateAfter);
      machine.run([...writeMsr(MSR.guestOsId, 1, 0x81000000), ...writeMsr(SCONTROL, 1)]);
      if (msr !== undefined) expect(machine.run(writeMsr(msr, PAGE | 1)).what).toBe('done');
      if (msr !== MSR.hypercall) expect(machine.run([0xc6, 0x04, 0x25, ...little(PAGE), 0xc3]).what).toBe('done');
      machine.map(EXECUTABLE, PAGE, PRESENT_WRITABLE);
      machine.map(DATA, PAGE, PRESENT_WRITABLE | NX);
      // call rbx; HvCallNotifyLongSpinWait, where it is the hypercall page.
      const visit = (at: bigint) => machine.run([0xff, 0xd3], { registers: { Rbx: at, Rcx: 0x10008n } }).what;
      for (let round = 0; round < 3; round++) {
        expect(visit(EXECUTABLE)).toBe('done');
        expect(visit(DATA)).toBe('#PF(0x11) 0x90000000');
      }
      // Data of it can be read all the same.
      expect(machine.run([0x8a, 0x03], { registers: { Rbx: DATA, Rax: 0n } }).what).toBe('done');
      expect(machine.register('Rax')).toBe(msr === MSR.hypercall ? 0x0fn : 0xc3n);
    },
  );
});

describe('the reference TSC page', () => {
  /** The time that a guest computes. */
  function time(): bigint {
    const load = [0x48, 0x8b, 0x04, 0x25];
    machine.run([...load, ...little(PAGE + 8)]);
    const scale = machine.register('Rax');
    machine.run([...load, ...little(PAGE + 16)]);
    const offset = machine.register('Rax');
    // rdtsc; shl rdx, 32; or rax, rdx
    machine.run([0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0]);
    return BigInt.asIntN(64, ((machine.register('Rax') * scale) >> 64n) + BigInt.asIntN(64, offset));
  }

  it('agrees with the counter, also after the guest has set its TSC', () => {
    machine.now = 123_456_700;
    machine.run(writeMsr(MSR.referenceTsc, PAGE | 1));
    expect(time()).toBe(1_234_567n);
    machine.run([...writeMsr(0x10, 5), ...writeMsr(0x3b, 0x1000, 0xffff0000)]);
    machine.now += 1_000_000;
    expect(time() - 1_244_567n).toBeGreaterThanOrEqual(-1n);
    expect(time() - 1_244_567n).toBeLessThanOrEqual(1n);
    expect(BigInt(Math.floor(machine.now / 100))).toBe(1_244_567n);
  });
});

describe('the local APIC', () => {
  const inService = (): number => machine.processor.readApicRegister(ISR + (VECTOR >> 5) * 16) & (1 << (VECTOR & 31));
  const enableApic = (): void => machine.processor.writeApicRegister(0xf0, 0x1ff);
  /** sti; nop; nop */
  const open = [0xfb, 0x90, 0x90];

  it('has a vector in service until EOI, but never one with automatic EOI', () => {
    enableApic();
    guest.processors[0]?.synic.writeSource(2, BigInt(VECTOR));
    const { memory, layout } = machine.partition;
    const message = {
      vector: VECTOR,
      deliveryMode: 0,
      destination: 0,
      logicalDestination: false,
      levelTriggered: false,
    };
    requestInterrupt(memory, layout, message);
    machine.run(open);
    machine.resume();
    expect(inService()).not.toBe(0);
    machine.run(writeMsr(MSR.eoi, 0));
    expect(inService()).toBe(0);
    guest.processors[0]?.synic.writeSource(2, BigInt(VECTOR | 0x20000));
    requestInterrupt(memory, layout, message);
    Atomics.store(kickWord(memory, layout, 0), 0, 0);
    expect(machine.run(open).what).toBe(`vector 0x${VECTOR.toString(16)}`);
    expect(inService()).toBe(0);
  });

  it('answers through the synthetic registers', () => {
    enableApic();
    expect(machine.run(writeMsr(MSR.tpr, 0x40)).what).toBe('done');
    expect(machine.processor.readApicRegister(0x80)).toBe(0x40);
    expect(machine.run(writeMsr(MSR.tpr, 0x100)).what).toBe('#GP(0x0)');
    machine.run(writeMsr(MSR.tpr, 0));
    // To itself by its id.
    machine.run(writeMsr(MSR.icr, VECTOR, 0));
    machine.run([0xb9, ...little(MSR.icr), 0x0f, 0x32]);
    expect(machine.register('Rax') & 0xffn).toBe(BigInt(VECTOR));
    expect(machine.run(open).what).toBe(`vector 0x${VECTOR.toString(16)}`);
  });
});
