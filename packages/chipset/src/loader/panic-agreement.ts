/**
 * How a guest's panic is told from a guest's reboot: by an agreement between the loader and Linux, over a place that a PC has had
 * for it since its BIOS.
 *
 * The command line begins with `panic=-1 reboot=panic_warm`: a kernel that panics, at whatever time, resets the machine at once, and
 * with a warm start. For that Linux writes 0x1234 to the word at 0x472 of the BIOS data area; for any other reset it writes 0 there
 * (Linux Documentation/admin-guide/kernel-parameters.txt; kernel/reboot.c, kernel/panic.c, arch/x86/kernel/reboot.c; `panic_` is
 * there since 5.3). So a reset that finds the warm start's word is a panic, and nothing about the guest has to be guessed: it holds
 * before ACPI is up, and for kernels without any store for crash records. (An administrator who writes `warm` to
 * /sys/kernel/reboot/mode in the guest takes the word for something else, and that restart counts as a crash.)
 *
 * Invariants: what the user says comes later on the line and wins. Whoever gives a `reboot=` may mean warm starts, so then nothing is
 * agreed upon; neither is it where the line would become too long. Called by: `linux.ts`, and by the worker at a reset.
 */

/** The words that Plinth puts before the user's command line. */
export const panicWords = 'panic=-1 reboot=panic_warm';

/** The BIOS's reset flag, a 16-bit word: at this address, and with this value, a warm start. */
export const warmStartFlag = { gpa: 0x472, value: 0x1234 } as const;

/** @returns the command line to give, and whether a warm start now means a panic */
export function withPanicAgreement(commandLine: string, limit: number): { text: string; agreed: boolean } {
  const text = commandLine === '' ? panicWords : `${panicWords} ${commandLine}`;
  const isOpen = !/(^|\s)"?reboot=/.test(commandLine);
  const fits = new TextEncoder().encode(text).length <= limit;
  return isOpen && fits ? { text, agreed: true } : { text: commandLine, agreed: false };
}
