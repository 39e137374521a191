/**
 * Whole random programs, interpreted and translated: they see the same exceptions with the same registers and memory, and end alike.
 *
 * Functions over page ends, loops, calls and returns of every kind, faults in the middle, page tables that change between and within loops,
 * stores into code ahead, behind and in the running loop, and interrupts at any place; in 64-bit code, in 32-bit code of long mode, and in
 * 32-bit code under page tables of three levels. PLINTH_DIFFERENTIAL_PROGRAMS and
 * PLINTH_DIFFERENTIAL_SEED change how much is run. A failing program is repeated with
 * `node tests/differential/programs.mjs --mode MODE --seed S --program N`.
 */
import { describe, expect, it } from 'vitest';
import { PROGRAM_MODES } from '../../packages/processor/src/testing/program-layout.ts';
import type { Trace } from '../../packages/processor/src/testing/program-machine.ts';
import {
  compareTraces,
  describeProgram,
  minimiseProgram,
  programOf,
  runProgram,
  runPrograms,
  WAYS,
} from '../../packages/processor/src/testing/program-run.ts';
import { isLong } from '../support/long.ts';

const PROGRAMS = Number(process.env.PLINTH_DIFFERENTIAL_PROGRAMS ?? (isLong ? 6000 : 40));
const SEED = Number(process.env.PLINTH_DIFFERENTIAL_SEED ?? 1);
/** A test for each so many programs, so that a long run shows how far it is. */
const PART = 1000;

describe('whole programs, interpreted and translated', () => {
  for (const mode of PROGRAM_MODES) {
    const programs = mode === 'long' ? PROGRAMS : Math.ceil(PROGRAMS / 8);
    for (let first = 0; first < programs; first += PART) {
      const count = Math.min(PART, programs - first);
      it(`agree in ${count} programs of seed ${SEED} from ${first} on (${mode})`, { timeout: 3_600_000 }, () => {
        const result = runPrograms({ seed: SEED, first, count, mode });
        process.stdout.write(
          `programs: seed ${SEED}, ${mode}, ${result.programs} programs in ${WAYS.length} ways, ${result.events} exceptions, ` +
            `${result.interrupts} interrupts, ${result.translated} instructions translated\n`,
        );
        const stories = result.findings.slice(0, 3).map((finding) => describeProgram(minimiseProgram(finding)));
        expect(stories.join('\n\n')).toBe('');
        // Fewer would mean that the programs do not reach what they are for.
        expect(result.translated).toBeGreaterThan(count * 5000);
        expect(result.interrupts).toBeGreaterThan(count * 20);
        expect(result.events).toBeGreaterThan(count * 4);
      });
    }
  }

  it('would notice a wrong register, flag, memory word, exception, and an interrupt within an instruction', () => {
    const way = { name: 'interpreted', translateAfter: 0, interrupts: false };
    const program = programOf(SEED, 0);
    const expected = runProgram(program, way);
    expect(compareTraces(program, expected, runProgram(program, way))).toBeUndefined();
    const spoil = (change: (trace: Trace) => Trace): string | undefined =>
      compareTraces(program, expected, change(structuredClone(expected)));
    const last = (trace: Trace, change: object): Trace => ({
      ...trace,
      events: trace.events.map((event, index) => (index === trace.events.length - 1 ? { ...event, ...change } : event)),
    });
    const event = expected.events.at(-1);
    expect(event).toBeDefined();
    if (event === undefined) return;
    const registers = event.registers.map((value, number) => (number === 9 ? value ^ 1n : value));
    expect(spoil((trace) => last(trace, { registers }))).toContain('R9');
    expect(spoil((trace) => last(trace, { flags: event.flags ^ 0x400n }))).toContain('RFLAGS');
    expect(spoil((trace) => last(trace, { vector: 13 }))).toContain('vector');
    for (const name of ['vectors', 'tables', 'memory'] as const) {
      const hashes = { ...event.hashes, [name]: event.hashes[name] ^ 1 };
      expect(spoil((trace) => last(trace, { hashes }))).toContain('hash');
    }
    expect(spoil((trace) => ({ ...trace, ended: 'without end' }))).toContain('without end');
    expect(spoil((trace) => ({ ...trace, interruptedAt: [program.end + 1n] }))).toContain('no instruction');
  });
});
