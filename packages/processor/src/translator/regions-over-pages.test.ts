/**
 * Loops over pages that are not neighbours: one region over all of them, exact where a page's bytes, mapping or permission change, and where
 * an instruction in a far page faults.
 */
import { describe, expect, it } from 'vitest';
import { TinyMachine } from '../testing/tiny-machine.ts';
import { translateLocally } from './local-translation.ts';
import type { TranslatedRegion } from './translation-messages.ts';

const PAGE = 0x1000;
const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** A range of linear addresses of the tests' own: code of each test, three pages apart, over RAM at `FRAMES`. */
const LINEAR = 0x7000_0000;
const FRAMES = 0x12000;
const OTHER = 0x1e000;
const PIECES = 4;
const STRIDE = 3 * PAGE;
const RW = 3n;
const NX = 1n << 63n;
/** Where the pieces count, each in a dword of its own. */
const COUNTERS = 0x40000;

/** Where a piece lies in its page. */
const offsetOf = (piece: number): number => 0x100 * (piece + 1);
const linearOf = (piece: number): number => LINEAR + piece * STRIDE + offsetOf(piece);

/** add dword [rdi + 4 * piece], step; then the jump on. The last: dec ecx; jnz to the first; ret */
function pieceBytes(piece: number, step: number): number[] {
  const add = [0x83, 0x47, 4 * piece, step];
  const at = linearOf(piece) + add.length;
  if (piece < PIECES - 1) return [...add, 0xe9, ...little(linearOf(piece + 1) - (at + 5))];
  return [...add, 0xff, 0xc9, 0x0f, 0x85, ...little(linearOf(0) - (at + 8)), 0xc3];
}

/** The loop in place, and the regions that were made. */
function machineWithLoop(): { machine: TinyMachine; regions: TranslatedRegion[]; run(rounds: number): string } {
  const regions: TranslatedRegion[] = [];
  const machine = new TinyMachine('long', {
    translateAfter: 3,
    translation: (host) => {
      const service = translateLocally(host);
      return {
        ...service,
        send: (message) => service.send(message),
        receive: () => {
          const batch = service.receive();
          regions.push(...(batch?.regions ?? []));
          return batch;
        },
      };
    },
  });
  for (let piece = 0; piece < PIECES; piece++) {
    machine.map(BigInt(LINEAR + piece * STRIDE), FRAMES + piece * PAGE, RW);
    machine.put(FRAMES + piece * PAGE + offsetOf(piece), pieceBytes(piece, 1));
  }
  const run = (rounds: number): string =>
    machine.run([0xff, 0xd3], {
      registers: { Rbx: BigInt(linearOf(0)), Rcx: BigInt(rounds), Rdi: BigInt(COUNTERS) },
      budget: 100_000_000,
    }).what;
  return { machine, regions, run };
}
const counters = ({ ram }: TinyMachine): number[] =>
  Array.from({ length: PIECES }, (_, piece) => ram.getUint32(COUNTERS + 4 * piece, true));

/** Runs until a region over all pages is there, and clears the counters. */
function warm({ machine, regions, run }: ReturnType<typeof machineWithLoop>): void {
  for (let round = 0; round < 4; round++) expect(run(20_000)).toBe('done');
  expect(Math.max(...regions.map(({ pages }) => pages.length))).toBe(PIECES);
  machine.put(COUNTERS, new Array(4 * PIECES).fill(0));
}

describe('a loop over pages that are no neighbours', () => {
  it('is one region, and counts as the interpreter does', () => {
    const loop = machineWithLoop();
    warm(loop);
    const before = loop.machine.processor.instructionCounts();
    expect(loop.run(10_000)).toBe('done');
    const after = loop.machine.processor.instructionCounts();
    expect(counters(loop.machine)).toEqual([10_000, 10_000, 10_000, 10_000]);
    expect(after.translated + after.interpreted - before.translated - before.interpreted).toBeGreaterThanOrEqual(
      90_000,
    );
    expect(after.interpreted - before.interpreted).toBeLessThan(1000);
  });

  it('sees bytes of a far page that the host changed', () => {
    const loop = machineWithLoop();
    warm(loop);
    loop.machine.put(FRAMES + 2 * PAGE + offsetOf(2), pieceBytes(2, 5));
    expect(loop.run(100)).toBe('done');
    expect(counters(loop.machine)).toEqual([100, 100, 500, 100]);
  });

  it('sees its own store into a far page at once', () => {
    const loop = machineWithLoop();
    const { machine } = loop;
    warm(loop);
    // The first piece stores the third one's immediate from now on: mov byte [rsi], dl instead of the addition.
    const first = [0x88, 0x16, 0x66, 0x90];
    machine.put(FRAMES + offsetOf(0), first);
    const place = BigInt(linearOf(2) + 3);
    const { what } = machine.run([0xff, 0xd3], {
      registers: { Rbx: BigInt(linearOf(0)), Rcx: 1000n, Rdi: BigInt(COUNTERS), Rsi: place, Rdx: 7n },
    });
    expect(what).toBe('done');
    expect(counters(machine)).toEqual([0, 1000, 7000, 1000]);
  });

  it('is not entered where a far page has become another one', () => {
    const loop = machineWithLoop();
    const { machine } = loop;
    warm(loop);
    machine.put(OTHER + offsetOf(2), pieceBytes(2, 9));
    machine.map(BigInt(LINEAR + 2 * STRIDE), OTHER, RW);
    // invlpg [rbx]
    expect(machine.run([0x0f, 0x01, 0x3b], { registers: { Rbx: BigInt(LINEAR + 2 * STRIDE) } }).what).toBe('done');
    for (let round = 1; round <= 4; round++) {
      expect(loop.run(5000)).toBe('done');
      expect(counters(machine)).toEqual([5000 * round, 5000 * round, 45_000 * round, 5000 * round]);
    }
  });

  it('faults at the first instruction of a far page that must not be executed', () => {
    const loop = machineWithLoop();
    const { machine } = loop;
    warm(loop);
    machine.map(BigInt(LINEAR + STRIDE), FRAMES + PAGE, RW | NX);
    const page = BigInt(LINEAR + STRIDE);
    expect(machine.run([0x0f, 0x01, 0x3b], { registers: { Rbx: page } }).what).toBe('done');
    expect(loop.run(100)).toBe(`#PF(0x11) 0x${linearOf(1).toString(16)}`);
    expect(counters(machine)).toEqual([1, 0, 0, 0]);
  });

  it('has the exact address and registers when an access of a far page faults', () => {
    const loop = machineWithLoop();
    const { machine } = loop;
    warm(loop);
    // The third piece's counter lies in a page that is not there: its displacement is -128 now, from the start of a page.
    machine.put(FRAMES + 2 * PAGE + offsetOf(2) + 2, [0x80]);
    const counterPage = 0x7100_0000n;
    machine.map(counterPage, COUNTERS, RW);
    const { what, delivery } = machine.run([0xff, 0xd3], {
      registers: { Rbx: BigInt(linearOf(0)), Rcx: 100n, Rdi: counterPage },
    });
    expect(what).toBe('#PF(0x2) 0x70ffff80');
    expect(delivery?.rip).toBe(BigInt(linearOf(2)));
    expect(machine.register('Rcx')).toBe(100n);
    expect(counters(machine)).toEqual([1, 1, 0, 0]);
  });

  it('ends when its budget does, wherever that is', () => {
    const loop = machineWithLoop();
    warm(loop);
    for (let budget = 10_001; budget < 10_020; budget++) {
      const { exit } = loop.machine.run([0xff, 0xd3], {
        registers: { Rbx: BigInt(linearOf(0)), Rcx: 1_000_000n, Rdi: BigInt(COUNTERS) },
        budget,
      });
      expect(exit.kind).toBe('budget');
    }
    const values = counters(loop.machine);
    expect(Math.max(...values) - Math.min(...values)).toBeLessThanOrEqual(19);
  });
});

describe('a loop over more pages than a region may have', () => {
  it('counts right', () => {
    const machine = new TinyMachine('long', { translateAfter: 3 });
    const pieces = 14;
    const at = (piece: number): number => 0x50000 + piece * 2 * PAGE + 0x40 * piece;
    for (let piece = 0; piece < pieces; piece++) {
      // inc dword [rdi]; jmp to the next; the last: dec ecx; jnz to the first; ret
      const from = at(piece) + 2;
      machine.put(
        at(piece),
        piece < pieces - 1
          ? [0xff, 0x07, 0xe9, ...little(at(piece + 1) - (from + 5))]
          : [0xff, 0x07, 0xff, 0xc9, 0x0f, 0x85, ...little(at(0) - (from + 8)), 0xc3],
      );
    }
    const registers = { Rbx: BigInt(at(0)), Rcx: 20_000n, Rdi: BigInt(COUNTERS + 0x8000) };
    expect(machine.run([0xff, 0xd3], { registers, budget: 100_000_000 }).what).toBe('done');
    expect(machine.ram.getUint32(COUNTERS + 0x8000, true)).toBe(20_000 * pieces);
  });
});
