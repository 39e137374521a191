/**
 * What to tell of a guest's crash that it reported by the hypervisor's crash registers: one line for people.
 *
 * Linux's message is the end of its kernel's log (drivers/hv), with a time before each line; without a message its parameters are the error,
 * the guest's id, and RIP, RAX and RSP (arch/x86/hyperv/hv_init.c). Called by: run-virtual-machine.ts.
 */
import type { GuestCrash } from '@plinth/hypervisor';
import { printable } from './crash-report.ts';

/** What Linux's panic() begins its line with (kernel/panic.c). */
const PANIC_LINE = 'Kernel panic';
const LENGTH_LIMIT = 200;

export function guestCrashReason({ message = '', parameters, system }: GuestCrash): string {
  const lines = message
    .split('\n')
    .map((line) => printable(line.replace(/^(<\d+>)?(\[\s*[\d.]+\](\[[^\]]*\])? ?)?/, '')).trim())
    .filter((line) => line !== '');
  const line = lines.findLast((text) => text.startsWith(PANIC_LINE)) ?? lines.at(-1);
  if (line !== undefined) return line.slice(0, LENGTH_LIMIT);
  return `${system} reported it, with the parameters ${parameters.map((value) => `0x${value.toString(16)}`).join(', ')}`;
}
