/** What PLINTH_TRANSLATOR=force promises: 64-bit code is interpreted only for the reasons that docs/processor.md gives. */
import { PlinthError } from '@plinth/errors';
import { describe, expect, it } from 'vitest';
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

  it('interprets what a 32-bit program does', () => {
    const machine = new TinyMachine('compatibility', { translateAfter: TRANSLATE_AT_ONCE, translation: idle });
    // inc eax
    expect(machine.run([0xff, 0xc0], { registers: { Rax: 1n } }).exit.kind).toBe('halt-forever');
  });
});
