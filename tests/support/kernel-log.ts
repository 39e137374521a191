/**
 * What a guest's kernel may say of its machine: nothing at the level of a warning or worse but what is listed here with its
 * reason, and no trace of a fault at any level. Called by the system tests.
 */

/** Entries of a healthy machine, each with why it is right. */
const allowed: readonly { readonly text: RegExp; readonly reason: string }[] = [
  {
    text: /^tsc: Unable to calibrate against PIT$/,
    reason:
      'Linux wants port reads as quick and even as those of a real 8254; QEMU has the same line. It goes on with the ACPI PM timer, and the frequency that it finds is checked',
  },
  {
    text: /^PCI: Fatal: No config space access function found$/,
    reason: 'The machine has no PCI bus; a generation 2 machine of Hyper-V has the same line',
  },
  { text: /^PCI: System does not support PCI$/, reason: 'As above' },
  {
    text: /^hrtimer: interrupt took \d+ ns$/,
    reason: 'The host took its processor away in the middle of a timer interrupt, as it does when it has other work',
  },
  {
    text: /^Failed to access perfctr msr \(MSR c0010000 is f+\)$/,
    reason:
      'The virtual processor has no performance counters. Linux minds only where it is not told of a hypervisor, as with --cpu-features -hypervisor',
  },
  {
    text: /^amd_pstate: (The CPPC feature is supported but currently disabled by the BIOS\.|the _CPC object is not present in SBIOS or ACPI disabled)$/,
    reason: 'Linux 6.12 misses the power management of a real processor of this model, in any virtual machine',
  },
  { text: /^Please enable it if your BIOS has the CPPC option\.$/, reason: 'The second line of the one above' },
];

/** Marks of a fault, whatever their level. */
const faults =
  /\bWARNING\b|\bBUG\b|\[Firmware Bug\]|unchecked MSR|Call Trace|\bOops\b|general protection|segfault|\bRIP: |soft lockup|hung task|rcu_.*stall|clocksource: .*unstable|spurious|nobody cared|bad: scheduling|Tainted:/;

/** @param log of `dmesg -r` @returns the entries that should not be there */
export function kernelComplaints(log: string): string[] {
  return log.split('\n').filter((line) => {
    const [, level, text] = /^<(\d+)>\[ *[\d.]+\] ?(.*)$/.exec(line) ?? [];
    if (level === undefined || text === undefined) return line !== '';
    if (faults.test(text)) return true;
    return Number(level) <= 4 && !allowed.some((entry) => entry.text.test(text));
  });
}
