/** The processor's side of translation: what one call of it does at most, while the guest goes on in between. */
import { describe, expect, it } from 'vitest';
import { STATE } from '../state-layout.ts';
import { TinyMachine } from '../testing/tiny-machine.ts';
import { translateLocally } from './local-translation.ts';
import type { TranslatorMessage } from './translation-messages.ts';

const FUNCTIONS = 300;
const FUNCTION_BYTES = 16;
/** RAM that the machine maps one to one and uses for nothing else. */
const CODE = 0x40000;
const COUNTERS = 0x50000;
const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** mov ecx, 3; inc dword [rbx + place]; dec ecx; jnz back to INC; ret */
const functionThatCountsAt = (place: number): number[] => [
  ...[0xb9, ...little(3), 0xff, 0x83, ...little(place)],
  ...[0xff, 0xc9, 0x75, 0xf6, 0xc3],
];
/** mov edi, CODE; mov esi, FUNCTIONS; call rdi; add edi, 16; dec esi; jnz back to CALL; dec ebp; jnz to the start */
const CALL_ALL = [
  ...[0xbf, ...little(CODE), 0xbe, ...little(FUNCTIONS)],
  ...[0xff, 0xd7, 0x83, 0xc7, FUNCTION_BYTES, 0xff, 0xce, 0x75, 0xf7, 0xff, 0xcd, 0x75, 0xe9],
];

/** A translator that answers behind the next poll, as one on another thread does, and what passed by. */
function machineWith(): { machine: TinyMachine; sent: TranslatorMessage[]; regionsAtPolls: number[] } {
  const sent: TranslatorMessage[] = [];
  const machine = new TinyMachine('long', {
    translateAfter: 20,
    translation: (host) => {
      const local = translateLocally(host);
      const ready = new Int32Array(host.memory.buffer, host.base + STATE.TRANSLATION_READY, 1);
      return {
        send: (message) => {
          sent.push(message);
          local.send(message);
          Atomics.store(ready, 0, 1);
        },
        receive: () => local.receive(),
      };
    },
  });
  const regionsAtPolls: number[] = [];
  // Each poll reads the clock.
  Object.defineProperty(machine, 'now', {
    get: () => {
      regionsAtPolls.push(machine.processor.translatorCounts().regions);
      return 0;
    },
  });
  for (let index = 0; index < FUNCTIONS; index++) {
    machine.put(CODE + index * FUNCTION_BYTES, functionThatCountsAt(4 * index));
  }
  return { machine, sent, regionsAtPolls };
}
const counter = ({ ram }: TinyMachine, place: number): number => ram.getUint32(COUNTERS + place, true);
const start = (machine: TinyMachine, times: number, budget: number): string =>
  machine.run(CALL_ALL, { registers: { Rbx: BigInt(COUNTERS), Rbp: BigInt(times) }, budget }).what;

describe('many blocks that get hot at once', () => {
  it('are sent and put in their place in steps, between which the guest goes on', () => {
    const { machine, sent, regionsAtPolls } = machineWith();
    expect(start(machine, 200, Number.POSITIVE_INFINITY)).toBe('done');
    for (let index = 0; index < FUNCTIONS; index++) expect(counter(machine, 4 * index)).toBe(600);
    const sizes = sent.flatMap((message) => (message.kind === 'translate' ? [message.blocks.length] : []));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(128);
    expect(Math.max(...sizes)).toBeGreaterThan(64);
    expect(machine.processor.translatorCounts().regions).toBeGreaterThanOrEqual(FUNCTIONS);
    const steps = regionsAtPolls.map((regions, poll) => regions - (regionsAtPolls[poll - 1] ?? 0));
    expect(Math.max(...steps)).toBeLessThanOrEqual(64);
    // A batch of more than 64 took more than one.
    expect(steps.filter((regions) => regions > 0).length).toBeGreaterThan(sizes.length);
  });

  it('are not put in their place when their code has changed between two steps', () => {
    const { machine } = machineWith();
    // Of the first batch, and put in its place by the third step, when the write of the first has been seen.
    const late = 120;
    const elsewhere = 0x1000;
    let before: number | undefined;
    Object.defineProperty(machine, 'now', {
      get: () => {
        const { regions } = machine.processor.translatorCounts();
        if (regions > 0 && before === undefined) {
          expect(regions).toBeLessThan(64);
          before = counter(machine, 4 * late);
          machine.put(CODE + late * FUNCTION_BYTES, functionThatCountsAt(elsewhere));
        }
        return 0;
      },
    });
    expect(start(machine, 200, Number.POSITIVE_INFINITY)).toBe('done');
    expect(machine.processor.translatorCounts().regions).toBeGreaterThanOrEqual(FUNCTIONS);
    // A host's write is seen at the next poll, before which the function may be called twice.
    expect(counter(machine, 4 * late) - (before ?? 0)).toBeLessThanOrEqual(6);
    expect(counter(machine, 4 * late) + counter(machine, elsewhere)).toBe(600);
    expect(counter(machine, 0)).toBe(600);
  });
});
