/**
 * Pages that are not there yet: whatever of the processor touches them first (an access, one that crosses into the next page, a page walk, a
 * fetch, the delivery of an exception through the descriptor tables), it finds what would have been there, and nothing else comes in.
 */
import { describe, expect, it } from 'vitest';
import { TinyMachine, type TinyMode } from './testing/tiny-machine.ts';

const PAGE_BYTES = 4096;
const LINEAR = 0x8000_0000n;
/** Three pages in linear order, far apart in memory, and one that nobody maps. */
const FRAMES = [0x200000, 0x600000, 0x400000] as const;
const UNTOUCHED = 0x800000;
const FLAGS = 3n;
const UD2 = [0x0f, 0x0b];
const GARBAGE = 0xcc;

/** Takes away all pages that are not zero, with garbage in their places. @returns the pages that have come in since */
function hide(machine: TinyMachine): number[] {
  const { memory, layout, guestMemory } = machine.partition;
  const kept = new Map<number, Uint8Array>();
  const loaded: number[] = [];
  const records = new DataView(memory.buffer, layout.pagesOffset);
  for (let page = 0; page < layout.ramBytes / PAGE_BYTES; page++) {
    const offset = layout.ramOffset + page * PAGE_BYTES;
    if (new BigUint64Array(memory.buffer, offset, PAGE_BYTES / 8).every((word) => word === 0n)) continue;
    const bytes = new Uint8Array(memory.buffer, offset, PAGE_BYTES);
    kept.set(page, bytes.slice());
    bytes.fill(GARBAGE);
    records.setUint32(page * 16 + 8, 0, true);
    guestMemory.absent.mark(page, 1);
  }
  guestMemory.absent.source = {
    load(page) {
      loaded.push(page);
      guestMemory.absent.settle(page, kept.get(page) ?? new Uint8Array(0));
    },
  };
  machine.processor.flushTlb();
  return loaded;
}

function prepared(mode: TinyMode, translateAfter: number): TinyMachine {
  const machine = new TinyMachine(mode, { translateAfter });
  FRAMES.forEach((frame, index) => {
    machine.map(LINEAR + BigInt(index * PAGE_BYTES), frame, FLAGS);
    for (let at = 0; at < PAGE_BYTES; at += 8)
      machine.ram.setBigUint64(frame + at, BigInt(frame + at) * 0x1_0001n, true);
    machine.put(frame + 0x100, UD2);
  });
  machine.put(UNTOUCHED, [1, 2, 3]);
  return machine;
}

/** mov rax, [rbx]; mov [rbx+8], rax; jmp rbx: without REX the same in 32-bit code with EAX, EBX. */
const CODE = { read: [0x8b, 0x03], write: [0x89, 0x43, 0x08], execute: [0xff, 0xe3] } as const;
const CASES = [
  { name: 'an access to one page', kind: 'read', at: LINEAR + 0x10n, frames: [0] },
  { name: 'an access across two pages', kind: 'read', at: LINEAR + 0xffen, frames: [0, 1] },
  { name: 'a write', kind: 'write', at: LINEAR + 0x2010n, frames: [2] },
  { name: 'a write across two pages', kind: 'write', at: LINEAR + 0x1ff6n, frames: [1, 2] },
  { name: 'a fetch, and the exception of what is fetched', kind: 'execute', at: LINEAR + 0x1100n, frames: [1] },
] as const;

describe.each([0, 1])('the first touch, translated after %s transfers', (translateAfter) => {
  for (const mode of ['long', 'pae', 'legacy'] as const) {
    it.each(CASES)(`${mode}: $name`, ({ kind, at, frames }) => {
      const outcomes = [true, false].map((isHidden) => {
        const machine = prepared(mode, translateAfter);
        const loaded = isHidden ? hide(machine) : [];
        const registers = { Rbx: at, Rax: 0x1122334455667788n };
        const { what, delivery } = machine.run(CODE[kind], { registers });
        const data = FRAMES.map((frame) => loaded.includes(frame / PAGE_BYTES));
        const { absent } = machine.partition.guestMemory;
        if (isHidden) {
          expect(data).toEqual(FRAMES.map((_, index) => (frames as readonly number[]).includes(index)));
          // Walks and deliveries came by tables that were not there either; each page came once.
          expect(loaded.length).toBeGreaterThan(frames.length + 3);
          expect(new Set(loaded).size).toBe(loaded.length);
          expect([absent.isAbsent(UNTOUCHED / PAGE_BYTES), machine.ram.getUint8(UNTOUCHED)]).toEqual([true, GARBAGE]);
        }
        absent.bringIn(0, machine.partition.layout.ramBytes / PAGE_BYTES);
        expect(absent.count).toBe(0);
        const memory = FRAMES.map((frame) =>
          Buffer.from(machine.ram.buffer, machine.ram.byteOffset + frame, PAGE_BYTES).toString('hex'),
        );
        return { what, delivery, rax: machine.processor.readRegister('Rax'), memory };
      });
      expect(outcomes[0]).toEqual(outcomes[1]);
    });
  }

  it('cannot be done without somebody who has the page', () => {
    const machine = prepared('long', translateAfter);
    hide(machine);
    machine.partition.guestMemory.absent.source = {
      load() {
        throw new Error('the file is gone');
      },
    };
    expect(() => machine.run(CODE.read, { registers: { Rbx: LINEAR } })).toThrow('the file is gone');
  });
});
