/**
 * Checks of the ring 0 kernel by name that QEMU's TCG (7.2) does not pass, and what the manual says about each. Plinth passes them all.
 * What TCG has not got at all (segment limits, ICEBP, BTF, ..) the kernel leaves out there, and says so.
 */
export const qemuDiffers: Readonly<Record<string, string>> = {
  'MOV from a control register that does not exist':
    'AMD64 manual volume 3, MOV CRn: an illegal control register is #UD; at level 3 TCG says #GP first, silicon does not',
  'a stack that is not present':
    'AMD64 manual volume 2, section 8.2.13: an inner stack that is not present is #SS; TCG raises #TS',
  'at REP only once':
    'AMD64 manual volume 2, section 13.1.3.1: RF is set between iterations, so the breakpoint comes once; with TCG before each',
  'MOV SS from there, behind the next instruction':
    'AMD64 manual volume 2, section 13.1.3.2: debug exceptions are held back behind MOV SS; TCG delivers data breakpoints at once',
  'the same through RBP':
    'AMD64 manual volume 2, section 8.2.13: an address in the stack segment that is not canonical is #SS; TCG raises #GP',
  'the same by PUSH': 'as through RBP',
  'a jump there': 'AMD64 manual volume 3, JMP: #GP is the jump; TCG raises it at the target',
  'an operand over the end of the canonical half':
    'AMD64 manual volume 2, section 1.1.3: every byte of an operand must be canonical; TCG looks at the first',
  'general detect': 'AMD64 manual volume 2, section 13.1.1.4: TCG has no general detect',
  'general detect is a fault': 'general detect, as above',
  'general detect says so': 'general detect, as above',
  'general detect is off then': 'general detect, as above',
};
