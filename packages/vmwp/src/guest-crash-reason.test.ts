import { describe, expect, it } from 'vitest';
import { guestCrashReason } from './guest-crash-reason.ts';

const parameters = [1n, 0x8100_0006_01c0_0000n, 3n, 4n, 5n];
const reason = (message: string | undefined): string =>
  guestCrashReason({ message, parameters, system: 'Linux 6.1.192' });

describe('why a guest crashed, by its own report', () => {
  it.each([
    [
      '[    7.1] sysrq: Trigger a crash\n[    7.2] Kernel panic - not syncing: sysrq\n[    7.3] CPU: 0 PID: 1\n',
      'Kernel panic - not syncing: sysrq',
    ],
    ['<0>[    7.2][  T1] Kernel panic - not syncing: x\n', 'Kernel panic - not syncing: x'],
    ['first\nlast\n\n', 'last'],
    [`Kernel panic${'x'.repeat(300)}`, `Kernel panic${'x'.repeat(188)}`],
  ])('is in its message: %j', (message, expected) => {
    expect(reason(message)).toBe(expected);
  });

  it('is its parameters where it gives no message', () => {
    const expected = 'Linux 6.1.192 reported it, with the parameters 0x1, 0x8100000601c00000, 0x3, 0x4, 0x5';
    expect([reason(undefined), reason('\n \n')]).toEqual([expected, expected]);
  });
});
