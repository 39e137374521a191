/** What PLINTH_TRANSLATOR=force promises: 64-bit and flat 32-bit code is interpreted only for the reasons that docs/processor.md gives. */
import { PlinthError } from '@plinth/errors';
import { describe, expect, it } from 'vitest';
import { kickWord, requestInterrupt } from '../interrupt-request.ts';
import { flatSegment, SELECTOR } from '../testing/tiny-descriptors.ts';
import { TinyMachine } from '../testing/tiny-machine.ts';
import { TRANSLATE_AT_ONCE } from '../translate-after.ts';
import { translateLocally } from './local-translation.ts';
import type { TranslationFactory } from './translation-messages.ts';

/** A translator that never finishes anything. */
const idle: TranslationFactory = (parts) => {
  const service = translateLocally(parts);
  return {
    send: () => undefined,
    receive: () => undefined,
    interpreted: (block) => service.interpreted?.(block),
  };
};
const INCREMENT_RAX = [0x48, 0xff, 0xc0];
const CLTS = [0x0f, 0x06];

function forced(translation: TranslationFactory): TinyMachine {
  return new TinyMachine('long', { translateAfter: TRANSLATE_AT_ONCE, translation });
}

describe('a processor that translates before it executes', () => {
  it('refuses to interpret an instruction that has a translation, and names it', () => {
    expect(() => forced(idle).run([...INCREMENT_RAX, ...CLTS])).toThrow(
      expect.objectContaining({
        code: 'PL-4006',
        message: expect.stringMatching(/^PL-4006: The processor interprets INC64 rax at 0x[0-9a-f]+,/),
      }),
    );
    expect(() => forced(idle).run(INCREMENT_RAX)).toThrow(PlinthError);
  });

  it('interprets what is listed with its reason', () => {
    // UD2 alone, and HLT in its handler.
    expect(forced(idle).run([]).what).toBe('done');
    expect(forced(translateLocally).run([...CLTS, ...INCREMENT_RAX]).what).toBe('done');
  });

  it('interprets one instruction behind a side exit, and translates on', () => {
    const machine = forced(translateLocally);
    // mov rbx, [rax]: nothing is in the TLB. Then three increments.
    const code = [0x48, 0x8b, 0x18, ...INCREMENT_RAX, ...INCREMENT_RAX, ...INCREMENT_RAX];
    expect(machine.run(code, { registers: { Rax: 0x5000n } }).what).toBe('done');
    expect(machine.register('Rax')).toBe(0x5003n);
    expect(machine.processor.instructionCounts().translated).toBe(3);
  });

  it.each(['compatibility', 'legacy', 'pae', 'flat'] as const)(
    'translates what a 32-bit program does in %s mode',
    (mode) => {
      const machine = new TinyMachine(mode, { translateAfter: TRANSLATE_AT_ONCE, translation: translateLocally });
      // inc eax; inc eax
      expect(machine.run([0x40, 0xff, 0xc0], { registers: { Rax: 1n } }).exit.kind).toBe('halt-forever');
      expect(machine.register('Rax')).toBe(3n);
      expect(machine.processor.instructionCounts().translated).toBe(2);
      const refused = new TinyMachine(mode, { translateAfter: TRANSLATE_AT_ONCE, translation: idle });
      expect(() => refused.run([0x40])).toThrow(/INC32 rax at 0x10000/);
    },
  );

  it('takes an interrupt that waits behind the instruction after STI, whatever follows', () => {
    const machine = forced(translateLocally);
    machine.processor.writeApicRegister(0xf0, 0x1ff);
    const { memory, layout } = machine.partition;
    const message = { vector: 0x40, deliveryMode: 0, destination: 0, logicalDestination: false, levelTriggered: false };
    requestInterrupt(memory, layout, message);
    Atomics.store(kickWord(memory, layout, 0), 0, 0);
    // sti; nop; nop; cli
    const { delivery } = machine.run([0xfb, 0x90, 0x90, 0xfa]);
    expect(delivery).toMatchObject({ vector: 0x40, rip: 0x10002n });
  });

  it('interprets 32-bit code with a segment that is not flat', () => {
    const machine = new TinyMachine('flat', { translateAfter: TRANSLATE_AT_ONCE, translation: idle });
    // inc eax
    const ds = { ...flatSegment(SELECTOR.data, false, false, false), limit: 0xfffff };
    expect(machine.run([0x40], { registers: { Rax: 1n, Ds: ds } }).exit.kind).toBe('halt-forever');
    expect(machine.register('Rax')).toBe(2n);
  });
});
